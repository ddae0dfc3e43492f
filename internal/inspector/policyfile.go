package inspector

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

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

// File returns the policy as a file for rulefile.Replace.
func File(path string, p Policy) (rulefile.File, error) {
	data, err := json.Marshal(p)
	return rulefile.File{Path: path, Data: data}, err
}

// WritePolicy replaces the policy file and runs apply, as dnsguard.WritePolicy
// does for its own. An agent that has both replaces both at once
// (rulefile.Replace), under the lock of the DNS guard's.
func WritePolicy(path string, p Policy, apply func() error) error {
	f, err := File(path, p)
	if err != nil {
		return err
	}
	return rulefile.Replace(rulefile.LockOf(path), apply, f)
}

func parsePolicy(data []byte) (Policy, error) {
	var p Policy
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Policy{}, ringwall.Errorf(ringwall.Invalid, "reading the policy of the inspector: %w", err)
	}
	if p.Version != policyVersion {
		return Policy{}, ringwall.Errorf(ringwall.Invalid, "the policy of the inspector has version %d, want %d", p.Version, policyVersion)
	}
	return p, nil
}
