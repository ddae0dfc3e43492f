package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Input is what the terms of one device are made of.
type Input struct {
	Type    string // "camera", "meter", "phone", "laptop", "hub"; anything else is unknown
	Trust   ringwall.Trust
	Mode    ringwall.Mode
	Learned []api.Peer // what it was seen to need before any alert
	Owner   []api.Term
	// LocalNets tell which addresses are behind the same gateway.
	LocalNets []netip.Prefix
	// Remediation is what is left to a device at trust T1.
	Remediation []api.Term
}

// MaxLearned bounds the learned peers that become terms. A device that needs
// more is no thing of one purpose; its owner allows it by a term of his own.
const MaxLearned = 256

// Compose returns the least privilege terms of a device: what its class needs
// and never needs, what it was seen to need, and what its owner says, reduced
// to what its trust allows:
//
//   - T4 and T3: all of it,
//   - T2: named hosts and local peers, and nothing that is opened from outside,
//   - T1: the remediation set,
//   - T0: nothing.
//
// Denies are kept at every level. Ids are stable and unique, the order is too.
// Terms do not depend on the mode: the mode says what is done about them.
func Compose(in Input) []api.Term {
	switch in.Trust {
	case ringwall.T0:
		return nil
	case ringwall.T1:
		return slices.Clone(in.Remediation)
	}
	terms := classTerms(in.Type)
	terms = append(terms, learnedTerms(in.Learned)...)
	for _, t := range in.Owner {
		if t.Why == "" {
			t.Why = "owner"
		}
		terms = append(terms, t)
	}
	if in.Trust == ringwall.T2 {
		terms = slices.DeleteFunc(terms, func(t api.Term) bool { return t.Action == api.Allow && !near(t, in.LocalNets) })
	}
	return unique(terms)
}

// near reports whether an allow term speaks of a named host or a local peer
// only: what is left at T2.
func near(t api.Term, local []netip.Prefix) bool {
	if t.Device != "" || t.Local {
		return true
	}
	if t.Domain != "" {
		return t.Direction == api.FromDevice
	}
	return slices.ContainsFunc(local, func(n netip.Prefix) bool {
		return n.Bits() <= t.CIDR.Bits() && n.Contains(t.CIDR.Addr())
	})
}

func allPrefix() netip.Prefix { return netip.PrefixFrom(netip.IPv4Unspecified(), 0) }

func port(p uint16) []api.PortRange { return []api.PortRange{{First: p, Last: p}} }

// adminPorts are those by which worms for small devices spread: telnet and its
// neighbour (Mirai), ADB, SSH, SMB, TR-064 and TR-069, RDP, UPnP control of
// Realtek's SDK. No camera or meter opens them on others, nor does anybody need
// to open telnet on it.
func adminPorts() []api.PortRange {
	var out []api.PortRange
	for _, p := range []uint16{22, 23, 445, 2222, 2323, 3389, 5555, 7547, 37215, 52869} {
		out = append(out, api.PortRange{First: p, Last: p})
	}
	return out
}

// classTerms returns what a class needs whatever it was seen to do, and what
// it never needs.
func classTerms(class string) []api.Term {
	why := "class:" + class
	term := func(name string, t api.Term) api.Term {
		t.ID, t.Why = why+"/"+name, why
		return t
	}
	noAdmin := func() []api.Term {
		return []api.Term{
			term("no-admin-out", api.Term{Action: api.Deny, Direction: api.FromDevice, CIDR: allPrefix(), Proto: "tcp", Ports: adminPorts()}),
			term("no-telnet-in", api.Term{Action: api.Deny, Direction: api.ToDevice, CIDR: allPrefix(), Proto: "tcp",
				Ports: []api.PortRange{{First: 23, Last: 23}, {First: 2323, Last: 2323}}}),
		}
	}
	local := func(name, proto string, ports []api.PortRange) api.Term {
		return term(name, api.Term{Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: proto, Ports: ports})
	}
	switch class {
	case "camera":
		// Its purpose is to be watched from inside.
		return append(noAdmin(), local("rtsp", "tcp", port(554)), local("ping", "icmp", nil))
	case "meter":
		// It reports; nobody opens anything on it.
		return append(noAdmin(), term("none-in", api.Term{Action: api.Deny, Direction: api.ToDevice, CIDR: allPrefix(), Proto: "any"}))
	case "phone", "laptop":
		// General purpose: it goes where its user goes; nobody opens anything on it.
		return []api.Term{term("out", api.Term{Action: api.Allow, Direction: api.FromDevice, CIDR: allPrefix(), Proto: "any"})}
	case "hub":
		// It serves the others in the house.
		return append(noAdmin(),
			term("local-out", api.Term{Action: api.Allow, Direction: api.FromDevice, Local: true, Proto: "any"}),
			term("local-in", api.Term{Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "any"}))
	}
	why = "class:unknown"
	return noAdmin()
}

// learnedTerms returns one term for each peer, the most used first when there
// are too many.
func learnedTerms(peers []api.Peer) []api.Term {
	peers = slices.Clone(peers)
	slices.SortStableFunc(peers, func(a, b api.Peer) int { return cmp.Compare(b.Count, a.Count) })
	var out []api.Term
	for _, p := range peers {
		if len(out) == MaxLearned {
			break
		}
		t := api.Term{Action: api.Allow, Direction: p.Direction, Proto: p.Proto, Why: "learned"}
		if p.Proto == "tcp" || p.Proto == "udp" {
			t.Ports = port(p.Port)
		}
		end := ""
		if domain := strings.ToLower(strings.TrimSuffix(p.Domain, ".")); domain != "" && p.Direction == api.FromDevice {
			t.Domain, end = domain, domain
		} else if a := p.Addr.Unmap(); a.IsValid() {
			t.CIDR, end = netip.PrefixFrom(a, a.BitLen()), a.String()
		}
		t.ID = "learned:" + string(p.Direction) + ":" + end + ":" + p.Proto + ":" + strconv.Itoa(int(p.Port))
		if Check(t) == nil { // a peer that makes no sense as a term is not needed
			out = append(out, t)
		}
	}
	return out
}

// unique sorts terms by id and drops those whose id is taken: denies first, so
// that a deny is never the one that is dropped.
func unique(terms []api.Term) []api.Term {
	slices.SortStableFunc(terms, func(a, b api.Term) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), -cmp.Compare(a.Action, b.Action)) // "deny" before "allow"
	})
	return slices.CompactFunc(terms, func(a, b api.Term) bool { return a.ID == b.ID })
}
