package dnsguard

import (
	"net/netip"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// Policy is what the guard may answer: the content of the policy file.
type Policy struct {
	Version     int            `json:"version"`
	Generation  uint64         `json:"generation"`
	Resolver    netip.AddrPort `json:"resolver"`
	Arrival     policy.State   `json:"arrival"` // of devices that are not named
	Local       []netip.Prefix `json:"local"`
	Devices     []Device       `json:"devices"`
	Remediation []policy.Name  `json:"remediation"`
	// Resolvers are asked instead of Resolver when there are any.
	Resolvers []api.Resolver `json:"resolvers,omitempty"`
}

// Device is one device of a policy, known by the mark that the packet filter
// gives to its packets, and by its address, which the filter ties to its MAC and
// port.
type Device struct {
	ID    ringwall.DeviceID `json:"id"`
	Mark  uint32            `json:"mark"`
	IP    netip.Addr        `json:"ip"`
	State policy.State      `json:"state"`
	Names []policy.Name     `json:"names"`
	// IP6 are its IPv6 addresses; without any, names have none for it.
	IP6 []netip.Addr `json:"ip6,omitempty"`
	// Lookups is how many names it may look up a second; 0 = as all.
	Lookups int `json:"lookups,omitempty"`
	// Programs are what single programs of it may look up besides; of a machine that is
	// its own device. Who of them asks cannot be told: each name is answered to all, and
	// opens its addresses to the programs that it is meant for.
	Programs []Program `json:"programs,omitempty"`
}

// Program is one program of a device, by the mark under which it is bound.
type Program struct {
	Mark  uint32        `json:"mark"`
	Names []policy.Name `json:"names"`
}

// policyVersion is the version of the file's format.
const policyVersion = 1

// PolicyOf returns what a plan says about names.
func PolicyOf(p policy.Plan) Policy {
	out := Policy{
		Version: policyVersion, Generation: p.Generation, Resolver: p.Resolver, Arrival: p.Arrival,
		Local: p.Local, Remediation: p.RemediationNames, Devices: make([]Device, 0, len(p.Devices)),
	}
	for _, d := range p.Devices {
		dev := Device{ID: d.ID, Mark: d.Mark, IP: d.IP, IP6: d.IP6, State: d.State, Names: d.Names}
		for i, g := range d.Programs {
			if len(g.Names) > 0 {
				dev.Programs = append(dev.Programs, Program{programMark(d.Mark, i), g.Names})
			}
		}
		out.Devices = append(out.Devices, dev)
	}
	return out
}

// PolicyFor is PolicyOf with what of the document does not reach the plan: which
// resolvers are asked, and how often a device may ask.
func PolicyFor(d api.Desired, p policy.Plan) Policy {
	out := PolicyOf(p)
	out.Resolvers = d.Resolvers
	lookups := map[ringwall.DeviceID]int{}
	for i := range d.Devices {
		if n := d.Devices[i].Lookups; n > 0 {
			lookups[d.Devices[i].Device] = n
		}
	}
	for i := range out.Devices {
		out.Devices[i].Lookups = lookups[out.Devices[i].ID]
	}
	return out
}

// parsePolicy reads a policy file, which the agent writes by package rulefile.
func parsePolicy(data []byte) (*Policy, error) {
	return rulefile.Parse(data, "the policy of names", policyVersion, func(p *Policy) int { return p.Version })
}
