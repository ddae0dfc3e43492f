package policy

import (
	"cmp"
	"net/netip"
	"reflect"
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
	// Group are the terms of the groups it belongs to.
	Group []api.Term
	// Function are those of the function profile of its SIM (see CompileFunction); nil =
	// it has none. What was learned counts within them only.
	Function []api.Term
	// MUD are those of the manufacturer's usage description; nil = there is none. See
	// WithMUD.
	MUD         []api.Term
	MUDApproved bool
	// IP6 says that it has IPv6.
	IP6 bool
	// Controllers fill the roles that terms name.
	Controllers []api.Controller
	// LocalNets tell which addresses are behind the same gateway.
	LocalNets []netip.Prefix
	// Remediation is what is left to a device at trust T1.
	Remediation []api.Term
}

// MaxLearned bounds the learned peers that become terms. A device that needs
// more is no thing of one purpose; its owner allows it by a term of his own.
const MaxLearned = 256

// Compose returns the least privilege terms of a device: what its class needs
// and never needs, what it was seen to need, what its SIM is for, what its maker
// says, and what its groups and its owner say, reduced to what its trust allows:
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
	if in.IP6 {
		terms = append(terms, sixth(terms)...)
	}
	learned := learnedTerms(in.Learned)
	if in.Function != nil {
		learned = within(learned, in.Function)
	}
	terms = append(terms, learned...)
	if in.MUD != nil {
		terms = WithMUD(terms, in.MUD, in.MUDApproved)
	}
	for _, x := range []struct {
		why   string
		terms []api.Term
	}{{"group", in.Group}, {"function", in.Function}, {"owner", in.Owner}} {
		for _, t := range x.terms {
			if t.Why == "" {
				t.Why = x.why
			}
			terms = append(terms, t)
		}
	}
	if in.Trust == ringwall.T2 {
		terms = slices.DeleteFunc(terms, func(t api.Term) bool { return t.Action == api.Allow && !near(t, &in) })
	}
	return unique(terms)
}

// WithMUD returns the terms together with those of a manufacturer's usage
// description. Until an operator has approved it, a description can only take
// away: what it denies is denied, and of what is allowed only that is kept which
// it allows as well. Once approved, what it allows is allowed too. An
// operator's own terms are not to be among terms: they stand beside it.
func WithMUD(terms, mud []api.Term, approved bool) []api.Term {
	var out, allows, denies []api.Term
	for _, t := range mud {
		if t.Action == api.Deny {
			denies = append(denies, t)
		} else {
			allows = append(allows, t)
		}
	}
	if approved {
		out = append(slices.Clone(terms), allows...)
	} else {
		out = within(terms, allows)
	}
	return unique(append(out, denies...))
}

// within returns the terms with those that allow reduced to what some of bounds
// allows as well. Where that cannot be told, as of a name and an address, it is
// not.
func within(terms, bounds []api.Term) []api.Term {
	var out []api.Term
	for _, t := range terms {
		if t.Action != api.Allow {
			out = append(out, t)
			continue
		}
		n := 0
		for _, b := range bounds {
			if b.Action != api.Allow {
				continue
			}
			u, ok := intersect(t, b)
			if !ok {
				continue
			}
			if n++; n > 1 {
				u.ID += "/" + strconv.Itoa(n)
			}
			out = append(out, u)
		}
	}
	return out
}

// intersect returns what both of two terms allow, with the id of a; ok is false
// when that is nothing or cannot be told.
func intersect(a, b api.Term) (t api.Term, ok bool) {
	if a.Direction != b.Direction {
		return a, false
	}
	t = a
	switch {
	case a.Proto == "any":
		t.Proto = b.Proto
	case b.Proto != "any" && a.Proto != b.Proto:
		return a, false
	}
	switch {
	case len(a.Ports) == 0:
		t.Ports = b.Ports
	case len(b.Ports) > 0:
		if t.Ports = andPorts(MergePorts(a.Ports), MergePorts(b.Ports)); len(t.Ports) == 0 {
			return a, false
		}
	}
	if t.Proto == "icmp" && len(t.Ports) > 0 {
		return a, false
	}
	switch {
	case endWithin(&a, &b):
	case endWithin(&b, &a):
		t.CIDR, t.Domain, t.Device, t.Local, t.Controller, t.SameMaker, t.Gateway = b.CIDR, b.Domain, b.Device, b.Local, b.Controller, b.SameMaker, b.Gateway
		t.Private = a.Private && b.Private
	default:
		return a, false
	}
	// A condition of either is one of both; two different ones are not put together.
	if b.Inside != nil {
		if a.Inside != nil && !reflect.DeepEqual(a.Inside, b.Inside) {
			return a, false
		}
		t.Inside = b.Inside
	}
	if b.Window != nil {
		if a.Window != nil && !reflect.DeepEqual(a.Window, b.Window) {
			return a, false
		}
		t.Window = b.Window
	}
	if b.Who != nil {
		if a.Who != nil && !reflect.DeepEqual(a.Who, b.Who) {
			return a, false
		}
		t.Who = b.Who
	}
	if b.Limit != nil {
		l := tighter(a.Limit, b.Limit)
		t.Limit = &l
	}
	return t, Check(t) == nil
}

func andPorts(a, b []api.PortRange) []api.PortRange {
	return subtractPorts(a, subtractPorts(a, b))
}

// tighter returns the smaller bound of each kind.
func tighter(a, b *api.Limit) api.Limit {
	if a == nil {
		return *b
	}
	least := func(x, y uint64) uint64 {
		if x == 0 || y != 0 && y < x {
			return y
		}
		return x
	}
	out := api.Limit{PacketRate: least(a.PacketRate, b.PacketRate), ByteRate: least(a.ByteRate, b.ByteRate), NewFlows: least(a.NewFlows, b.NewFlows), Flows: least(a.Flows, b.Flows), Quota: a.Quota, Per: a.Per}
	if out.Quota == 0 || b.Quota > 0 && (b.Per == out.Per && b.Quota < out.Quota || b.Per != out.Per) {
		out.Quota, out.Per = b.Quota, b.Per
	}
	return out
}

// endWithin reports whether everybody of whom a speaks is one of whom b does, as
// far as the terms themselves tell.
func endWithin(a, b *api.Term) bool {
	switch {
	case b.Gateway || a.Gateway:
		return a.Gateway && b.Gateway
	case b.Local:
		return a.Local || a.Device != "" || a.SameMaker
	case b.SameMaker:
		return a.SameMaker
	case b.Device != "":
		return a.Device == b.Device
	case b.Controller != "":
		return a.Controller == b.Controller
	case b.Domain != "":
		return a.Domain != "" && patternWithin(a.Domain, b.Domain)
	}
	if b.CIDR.IsValid() && b.CIDR.Bits() == 0 && !a.CIDR.IsValid() {
		return b.CIDR.Addr().Is4() // everybody; the IPv6 addresses of a name go with it
	}
	return b.CIDR.IsValid() && a.CIDR.IsValid() && b.CIDR.Bits() <= a.CIDR.Bits() && b.CIDR.Contains(a.CIDR.Addr())
}

// patternWithin reports whether every name of pattern a is one of pattern b.
func patternWithin(a, b string) bool {
	a, b = canonicalName(a), canonicalName(b)
	if strings.HasPrefix(a, "*.") {
		return strings.HasPrefix(b, "*.") && strings.HasSuffix(a[1:], b[1:])
	}
	return MatchName(b, a)
}

func canonicalName(s string) string { return lowerASCII(strings.TrimSuffix(s, ".")) }

// sixth returns the terms that speak of all of IPv4 anew for IPv6.
func sixth(terms []api.Term) []api.Term {
	var out []api.Term
	for _, t := range terms {
		if t.CIDR == allPrefix() {
			t.ID, t.CIDR = t.ID+"/6", netip.PrefixFrom(netip.IPv6Unspecified(), 0)
			out = append(out, t)
		}
	}
	return out
}

// near reports whether an allow term speaks of a named host or a local peer
// only: what is left at T2.
func near(t api.Term, in *Input) bool {
	if t.Device != "" || t.Local || t.SameMaker || t.Gateway {
		return true
	}
	if t.Domain != "" {
		return t.Direction == api.FromDevice
	}
	inside := func(p netip.Prefix) bool {
		return slices.ContainsFunc(in.LocalNets, func(n netip.Prefix) bool { return n.Bits() <= p.Bits() && n.Contains(p.Addr()) })
	}
	if t.Controller != "" {
		for _, c := range in.Controllers {
			if c.Role == t.Controller && slices.ContainsFunc(c.Nets, func(p netip.Prefix) bool { return !inside(p) }) {
				return false
			}
		}
		return true
	}
	return inside(t.CIDR)
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
