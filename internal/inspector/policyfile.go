package inspector

import (
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// Policy is what the inspector judges by: the content of its file.
type Policy struct {
	Version     int              `json:"version"`
	Generation  uint64           `json:"generation"`
	Stale       bool             `json:"stale,omitempty"` // see policy.Site
	Local       []netip.Prefix   `json:"local,omitempty"`
	Remediation []api.Term       `json:"remediation,omitempty"`
	Controllers []api.Controller `json:"controllers,omitempty"`
	Zones       []api.Zone       `json:"zones,omitempty"`
	Devices     []Device         `json:"devices"`
}

// Device is one device of a policy. Of those whose flows never come here, and
// that never meet one whose do, only the address stands in the file.
type Device struct {
	Mark     uint32               `json:"mark"`
	IP       netip.Addr           `json:"ip,omitzero"`
	Restrict ringwall.Restriction `json:"restrict,omitempty"`
	Policy   api.DevicePolicy     `json:"policy"`
	// Judged says that Policy is whole.
	Judged bool `json:"judged,omitempty"`
}

const policyVersion = 1

// PolicyOf returns what the inspector needs of a desired state and the plan that
// was compiled of it. The addresses are those of the plan.
func PolicyOf(d api.Desired, p policy.Plan) Policy {
	out := Policy{
		Version: policyVersion, Generation: p.Generation, Local: p.Local, Remediation: d.Remediation,
		Controllers: d.Controllers, Zones: d.Zones, Devices: make([]Device, 0, len(p.Devices)),
	}
	// Who opens a flow to a device that has flows inspected is judged too.
	all := slices.ContainsFunc(p.Devices, func(x policy.Device) bool { return len(x.InInspect) > 0 })
	byID := make(map[ringwall.DeviceID]*api.DevicePolicy, len(d.Devices))
	for i := range d.Devices {
		byID[d.Devices[i].Device] = &d.Devices[i]
	}
	for i := range p.Devices {
		x := &p.Devices[i]
		full := byID[x.ID]
		if full == nil {
			continue
		}
		dev := Device{Mark: x.Mark, IP: x.IP, Judged: all || inspected(x)}
		switch x.State {
		case policy.StateQuarantine:
			dev.Restrict = ringwall.Quarantine
		case policy.StateCutoff:
			dev.Restrict = ringwall.Cutoff
		}
		if dev.Judged {
			dev.Policy = *full
			dev.Policy.Learned, dev.Policy.Leaves = nil, nil
		} else {
			dev.Policy = api.DevicePolicy{Device: full.Device, Maker: full.Maker, IP6: full.IP6}
		}
		out.Devices = append(out.Devices, dev)
	}
	return out
}

func inspected(d *policy.Device) bool {
	return len(d.Inspect)+len(d.InInspect)+len(d.InspectNamed) > 0 || slices.ContainsFunc(d.Names, func(n policy.Name) bool { return n.Inspect })
}

// Needed reports whether the policy has anything to inspect.
func (p Policy) Needed() bool {
	return slices.ContainsFunc(p.Devices, func(d Device) bool { return d.Judged })
}

// parsePolicy reads a policy file, which the agent writes by package rulefile.
func parsePolicy(data []byte) (*Policy, error) {
	return rulefile.Parse(data, "the policy of the inspector", policyVersion, func(p *Policy) int { return p.Version })
}
