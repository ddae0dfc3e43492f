package dnsguard

import (
	"encoding/json"
	"net/netip"
	"strings"

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

// File returns the policy as a file for rulefile.Replace.
func File(path string, p Policy) (rulefile.File, error) {
	data, err := json.Marshal(p)
	return rulefile.File{Path: path, Data: data}, err
}

// WritePolicy replaces the policy file and runs apply, which puts the same
// policy into the kernel, both under the exclusive lock: no address is bound
// meanwhile, and none by the old policy afterwards. When apply fails, the
// former file is put back. A crash in between leaves the new file with the old
// rules: less is bound than could be, until the agent applies again.
func WritePolicy(path string, p Policy, apply func() error) error {
	f, err := File(path, p)
	if err != nil {
		return err
	}
	return rulefile.Replace(rulefile.LockOf(path), apply, f)
}

// ReadPolicy reads a policy file.
func ReadPolicy(path string) (Policy, error) {
	data, err := rulefile.Read(path)
	if err != nil {
		return Policy{}, err
	}
	return parsePolicy(data)
}

func parsePolicy(data []byte) (Policy, error) {
	var p Policy
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return Policy{}, ringwall.Errorf(ringwall.Invalid, "reading the policy of names: %w", err)
	}
	if p.Version != policyVersion {
		return Policy{}, ringwall.Errorf(ringwall.Invalid, "the policy of names has version %d, want %d", p.Version, policyVersion)
	}
	return p, nil
}
