package policy

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// Changes are what one list of terms lets pass and another does not.
type Changes struct {
	Allowed []Change `json:"allowed"` // by the second, not by the first
	Refused []Change `json:"refused"` // by the second, not by the first
}

// Empty reports whether the two lists mean the same.
func (c *Changes) Empty() bool { return len(c.Allowed) == 0 && len(c.Refused) == 0 }

// Change is a block of flows.
type Change struct {
	Direction api.Direction `json:"direction"`
	// End says who the other end is: "198.51.100.0-198.51.100.7", "name a.example",
	// "device dev_…", "local", "same maker", "controller …", "gateway".
	End   string          `json:"end"`
	Proto string          `json:"proto"` // "tcp", "udp", "icmp", "any", "other"
	Ports []api.PortRange `json:"ports,omitempty"`
	// When is under what condition: "" = always, else the inside, window, program or
	// limit in words of the term, in JSON.
	When string `json:"when,omitempty"`
	// Other says that this is about a deny alone: what changes is only what some other
	// term allows of it, by name, role or address.
	Other bool `json:"other,omitempty"`

	first, last netip.Addr // of addresses
	term        *api.Term  // of other ends
	families    [2]bool    // with term
}

// Diff compares what two lists of terms mean, not how they are written: the
// same terms in another order, split or put together, differ in nothing.
// Addresses are compared address by address; names, roles, makers and devices
// as such, without asking who they are. What is denied to a name only counts as
// refused to that name. A condition (a window, what stands inside, a limit, a
// program) is compared as it is written.
func Diff(a, b []api.Term) (Changes, error) {
	var out Changes
	for _, list := range [][]api.Term{a, b} {
		for i := range list {
			if err := Check(list[i]); err != nil {
				return Changes{}, err
			}
		}
	}
	conditions := conditionsOf(a, b)
	for _, dir := range []api.Direction{api.FromDevice, api.ToDevice} {
		for _, cond := range conditions {
			gained, err := addrDiff(a, b, dir, cond)
			if err != nil {
				return Changes{}, err
			}
			lost, err := addrDiff(b, a, dir, cond)
			if err != nil {
				return Changes{}, err
			}
			out.Allowed, out.Refused = append(out.Allowed, gained...), append(out.Refused, lost...)
			for _, e := range endsOf(dir, a, b) {
				out.Allowed = append(out.Allowed, endDiff(a, b, e, cond)...)
				out.Refused = append(out.Refused, endDiff(b, a, e, cond)...)
			}
			fewer, more, err := denyDiff(a, b, dir, cond)
			if err != nil {
				return Changes{}, err
			}
			out.Allowed, out.Refused = append(out.Allowed, fewer...), append(out.Refused, more...)
		}
	}
	return out, nil
}

// condition is what a term holds under, besides its end and ports.
type condition struct {
	text string
	deny bool // of a term that denies: the plain allows lose by it
}

func conditionOf(t *api.Term) condition {
	if t.Inside == nil && t.Window == nil && t.Who == nil && t.Limit == nil && !t.Private {
		return condition{}
	}
	b, err := json.Marshal(struct {
		Inside  *api.Inside `json:"inside,omitempty"`
		Window  *api.Window `json:"window,omitempty"`
		Who     *api.Who    `json:"who,omitempty"`
		Limit   *api.Limit  `json:"limit,omitempty"`
		Private bool        `json:"private,omitempty"`
	}{t.Inside, t.Window, t.Who, t.Limit, t.Private})
	if err != nil { // no part of a term is without a form in JSON
		panic("policy: a term cannot be written as JSON: " + err.Error())
	}
	return condition{string(b), t.Action == api.Deny}
}

// conditionsOf returns all conditions of two lists, the plain one first.
func conditionsOf(a, b []api.Term) []condition {
	out := []condition{{}}
	for _, list := range [][]api.Term{a, b} {
		for i := range list {
			out = append(out, conditionOf(&list[i]))
		}
	}
	slices.SortFunc(out, func(x, y condition) int { return cmp.Or(strings.Compare(x.text, y.text), boolCompare(x.deny, y.deny)) })
	return slices.Compact(out)
}

// counts reports whether a term has a say under a condition: a plain one always,
// another under its own.
func counts(t *api.Term, c condition) bool {
	k := conditionOf(t)
	return k == condition{} || k == c
}

// addrDiff returns what b allows under a condition at addresses and a does not,
// when that is not so under the plain condition already.
func addrDiff(a, b []api.Term, dir api.Direction, cond condition) ([]Change, error) {
	var allowA, denyA, allowB, denyB, plainAllowA, plainDenyA, plainAllowB, plainDenyB areas
	for _, x := range []struct {
		terms       []api.Term
		allow, deny *areas
		cond        condition
	}{{a, &allowA, &denyA, cond}, {b, &allowB, &denyB, cond}, {a, &plainAllowA, &plainDenyA, condition{}}, {b, &plainAllowB, &plainDenyB, condition{}}} {
		for i := range x.terms {
			t := &x.terms[i]
			if t.Direction != dir || !t.CIDR.IsValid() || !counts(t, x.cond) {
				continue
			}
			var e end
			e.prefix(t.CIDR)
			if t.Action == api.Deny {
				x.deny.put(t, e)
			} else {
				x.allow.put(t, e)
			}
		}
	}
	plain := cond == condition{}
	found, err := boxes(func(at []segment) segment {
		gained := at[2].without(at[3]).without(at[0].without(at[1]))
		if plain {
			return gained
		}
		return gained.without(at[6].without(at[7]).without(at[4].without(at[5])))
	}, &allowA, &denyA, &allowB, &denyB, &plainAllowA, &plainDenyA, &plainAllowB, &plainDenyB)
	if err != nil {
		return nil, err
	}
	out := make([]Change, 0, len(found))
	for _, b := range found {
		c := Change{Direction: dir, End: rangeText(b.First, b.Last), Proto: protoText(b.Proto), When: cond.text, first: b.First, last: b.Last}
		if !b.AllPorts() {
			c.Ports = []api.PortRange{{First: b.PortFirst, Last: b.PortLast}}
			if n := len(out); n > 0 && out[n-1].first == c.first && out[n-1].last == c.last && out[n-1].Proto == c.Proto {
				out[n-1].Ports = append(out[n-1].Ports, c.Ports...)
				continue
			}
		}
		out = append(out, c)
	}
	return out, nil
}

func rangeText(first, last netip.Addr) string {
	if first == last {
		return first.String()
	}
	return first.String() + "-" + last.String()
}

func protoText(p uint8) string {
	switch p {
	case ProtoTCP:
		return "tcp"
	case ProtoUDP:
		return "udp"
	case ProtoICMP:
		return "icmp"
	case ProtoOther:
		return "other"
	}
	return "any"
}

// endsOf returns the ends that are no addresses, each once, as terms that speak
// of nothing else.
func endsOf(dir api.Direction, lists ...[]api.Term) []api.Term {
	var out []api.Term
	for _, list := range lists {
		for _, t := range list {
			if t.Direction == dir && !t.CIDR.IsValid() {
				out = append(out, api.Term{Direction: dir, Domain: canonicalName(t.Domain), Device: t.Device, Local: t.Local, Controller: t.Controller, SameMaker: t.SameMaker, Gateway: t.Gateway})
			}
		}
	}
	slices.SortFunc(out, func(a, b api.Term) int { return strings.Compare(endText(&a), endText(&b)) })
	return slices.CompactFunc(out, func(a, b api.Term) bool { return endText(&a) == endText(&b) })
}

func endText(t *api.Term) string {
	switch {
	case t.Domain != "":
		return "name " + t.Domain
	case t.Device != "":
		return "device " + string(t.Device)
	case t.Local:
		return "local"
	case t.SameMaker:
		return "same maker"
	case t.Controller != "":
		return "controller " + t.Controller
	case t.Gateway:
		return "gateway"
	}
	return t.CIDR.String()
}

// endDiff is addrDiff for one end that is no address. What differs over IPv6
// alone is said apart, since terms about all addresses are about one family.
func endDiff(a, b []api.Term, e api.Term, cond condition) []Change {
	gained := func(f family) segment {
		s := openTo(b, &e, cond, f).without(openTo(a, &e, cond, f))
		if cond != (condition{}) {
			s = s.without(openTo(b, &e, condition{}, f).without(openTo(a, &e, condition{}, f)))
		}
		return s
	}
	over4, over6 := gained(ipv4), gained(ipv6)
	var out []Change
	add := func(s segment, suffix string, families [2]bool) {
		for _, v := range services(s.boxes(netip.IPv4Unspecified(), netip.IPv4Unspecified())) {
			out = append(out, Change{Direction: e.Direction, End: endText(&e) + suffix, Proto: protoText(v.Proto), Ports: v.Ports, When: cond.text, term: &e, families: families})
		}
	}
	add(over4.and(over6), "", [2]bool{true, true})
	add(over4.without(over6), " over IPv4", [2]bool{ipv4: true})
	add(over6.without(over4), " over IPv6", [2]bool{ipv6: true})
	return out
}

// openTo returns what terms open to an end under a condition over one family.
func openTo(terms []api.Term, e *api.Term, cond condition, f family) segment {
	var allow, deny []area
	for i := range terms {
		t := &terms[i]
		speaks := endWithin(e, t)
		if t.CIDR.IsValid() {
			speaks = !e.Gateway && t.CIDR.Bits() == 0 && t.CIDR.Addr().Is4() == (f == ipv4)
		}
		if t.Direction != e.Direction || !counts(t, cond) || !speaks {
			continue
		}
		var one areas
		one.put(t, gatewayEnd)
		if t.Action == api.Deny {
			deny = append(deny, one[ipv4]...)
		} else {
			allow = append(allow, one[ipv4]...)
		}
	}
	return cover(allow).without(cover(deny))
}

// denyDiff returns the denies of a that b has not, and the other way round, as
// far as terms about other kinds of ends may allow what they deny.
func denyDiff(a, b []api.Term, dir api.Direction, cond condition) (fewer, more []Change, err error) {
	byAddr, byOther := false, false
	for _, list := range [][]api.Term{a, b} {
		for i := range list {
			if t := &list[i]; t.Action == api.Allow && t.Direction == dir && !t.Gateway {
				byAddr, byOther = byAddr || t.CIDR.IsValid(), byOther || !t.CIDR.IsValid()
			}
		}
	}
	only := func(list []api.Term, addrs bool) []api.Term {
		var out []api.Term
		for _, t := range list {
			if t.Action == api.Deny && t.CIDR.IsValid() == addrs && !t.Gateway && conditionOf(&t) == cond {
				t.Action = api.Allow // so that what is denied is what is compared
				t.Inside, t.Window, t.Who, t.Limit, t.Private = nil, nil, nil, nil, false
				out = append(out, t)
			}
		}
		return out
	}
	for _, x := range []struct {
		to   *[]Change
		a, b []api.Term
	}{{&fewer, b, a}, {&more, a, b}} {
		if byOther {
			found, err := addrDiff(only(x.a, true), only(x.b, true), dir, condition{})
			if err != nil {
				return nil, nil, err
			}
			*x.to = append(*x.to, found...)
		}
		if byAddr || byOther {
			p, q := only(x.a, false), only(x.b, false)
			for _, e := range endsOf(dir, p, q) {
				*x.to = append(*x.to, endDiff(p, q, e, condition{})...)
			}
		}
	}
	for _, list := range [][]Change{fewer, more} {
		for i := range list {
			list[i].When, list[i].Other = cond.text, true
		}
	}
	return fewer, more, nil
}

// Covers reports whether a flow is one of those that a change speaks of, as far
// as that can be told from the flow and the change alone: conditions and roles
// are not looked at.
func (c *Change) Covers(f *Flow) bool {
	if c.Direction != f.Direction {
		return false
	}
	port, ported := f.Remote.Port(), f.Proto == "tcp" || f.Proto == "udp"
	if f.Direction == api.ToDevice {
		port = f.Local.Port()
	}
	switch c.Proto {
	case "any":
	case "other":
		if ported || f.Proto == "icmp" {
			return false
		}
	default:
		if c.Proto != f.Proto {
			return false
		}
	}
	if len(c.Ports) > 0 && (!ported || !inPorts(c.Ports, port)) {
		return false
	}
	a := f.Remote.Addr().Unmap()
	if c.term == nil {
		return !f.Gateway && c.first.Is4() == a.Is4() && c.first.Compare(a) <= 0 && a.Compare(c.last) <= 0
	}
	if is4 := a.Is4(); !c.families[ipv4] && is4 || !c.families[ipv6] && !is4 {
		return c.term.Gateway && f.Gateway
	}
	switch t := c.term; {
	case t.Domain != "":
		return slices.ContainsFunc(f.Names, func(n string) bool { return MatchName(t.Domain, n) })
	case t.Device != "":
		return f.RemoteDevice == t.Device
	case t.Gateway:
		return f.Gateway
	}
	return f.RemoteDevice != "" || c.term.Controller != ""
}
