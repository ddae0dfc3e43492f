package enforce

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// maxMet bounds the terms of one device that are met, in the pairs that are
// tried. What is left out by it is refused.
const maxMet = 4096

// meetTerms returns terms that allow only what both lists allow, and deny what
// either denies.
func meetTerms(prev, next []api.Term) []api.Term {
	var out []api.Term
	ids := map[string]bool{}
	add := func(t api.Term) {
		if len(out) >= maxMet {
			return
		}
		for ids[t.ID] {
			t.ID += "'"
		}
		ids[t.ID] = true
		out = append(out, t)
	}
	within := func(list []api.Term, t api.Term) bool {
		return slices.ContainsFunc(list, func(o api.Term) bool { return reflect.DeepEqual(t, o) })
	}
	var both, onlyPrev, onlyNext []api.Term
	for _, t := range next {
		switch {
		case t.Action == api.Deny:
			add(t)
		case within(prev, t):
			both = append(both, t)
		default:
			onlyNext = append(onlyNext, t)
		}
	}
	for _, t := range prev {
		switch {
		case t.Action == api.Deny && !within(next, t):
			add(t)
		case t.Action == api.Allow && !within(both, t):
			onlyPrev = append(onlyPrev, t)
		}
	}
	for _, t := range both {
		add(t)
	}
	// What a term of both meets is a part of itself, so only the others are left.
	for _, n := range onlyNext {
		for _, o := range onlyPrev {
			if t, ok := meetTerm(o, n); ok {
				add(t)
			}
		}
	}
	return out
}

// meetTerm returns an allow term that speaks only of flows of which both speak.
// Where that cannot be said in one term, there is none.
func meetTerm(o, n api.Term) (t api.Term, ok bool) {
	if o.Direction != n.Direction {
		return t, false
	}
	t = n
	if o.ID != n.ID {
		t.ID = n.ID + "&" + o.ID
	}
	switch {
	case o.Proto == n.Proto, o.Proto == "any":
	case n.Proto == "any":
		t.Proto = o.Proto
	default:
		return t, false
	}
	if t.Ports, ok = meetPorts(o.Ports, n.Ports); !ok || len(t.Ports) > 0 && t.Proto == "icmp" {
		return t, false
	}
	if !meetEnd(&t, o, n) {
		return t, false
	}
	switch {
	case reflect.DeepEqual(o.Inside, n.Inside), o.Inside == nil:
	case n.Inside == nil:
		t.Inside = o.Inside
	default:
		return t, false
	}
	switch {
	case reflect.DeepEqual(o.Window, n.Window), o.Window == nil:
	case n.Window == nil:
		t.Window = o.Window
	default:
		return t, false
	}
	switch {
	case reflect.DeepEqual(o.Who, n.Who), o.Who == nil:
	case n.Who == nil:
		t.Who = o.Who
	default:
		return t, false
	}
	t.Limit = meetLimit(o.Limit, n.Limit)
	t.Private = o.Private && n.Private
	return t, true
}

// meetEnd sets the other end of t to that of which both o and n speak.
func meetEnd(t *api.Term, o, n api.Term) bool {
	oAll, nAll := everywhere(o), everywhere(n)
	switch {
	case o.CIDR.IsValid() && n.CIDR.IsValid():
		if !o.CIDR.Overlaps(n.CIDR) {
			return false
		}
		if o.CIDR.Bits() > n.CIDR.Bits() {
			t.CIDR = o.CIDR
		}
		return true
	case oAll && !n.Gateway:
		return true
	case nAll && !o.Gateway:
		t.CIDR, t.Domain, t.Device, t.Local = netip.Prefix{}, o.Domain, o.Device, o.Local
		t.Controller, t.SameMaker, t.Private = o.Controller, o.SameMaker, o.Private
		return true
	case o.Domain != "" && n.Domain != "":
		var ok bool
		t.Domain, ok = meetNames(o.Domain, n.Domain)
		return ok
	case o.Device != "" || n.Device != "":
		if o.Device == n.Device {
			return true
		}
		if o.Local {
			return true
		}
		if n.Local {
			t.Local, t.Device = false, o.Device
			return true
		}
		return false
	}
	return o.Local && n.Local || o.Gateway && n.Gateway || o.SameMaker && n.SameMaker || o.Controller != "" && o.Controller == n.Controller
}

// everywhere reports whether a term speaks of all addresses of IPv4.
func everywhere(t api.Term) bool {
	return t.CIDR.IsValid() && t.CIDR.Bits() == 0 && t.CIDR.Addr().Is4()
}

// meetNames returns the pattern of which both speak.
func meetNames(a, b string) (string, bool) {
	a, b = strings.ToLower(strings.TrimSuffix(a, ".")), strings.ToLower(strings.TrimSuffix(b, "."))
	below := func(pattern, name string) bool {
		rest, wild := strings.CutPrefix(pattern, "*")
		return wild && len(name) > len(rest) && strings.HasSuffix(strings.TrimPrefix(name, "*"), rest)
	}
	switch {
	case a == b, below(b, a):
		return a, true
	case below(a, b):
		return b, true
	}
	return "", false
}

// meetPorts returns the ports of which both lists speak; none means all.
func meetPorts(a, b []api.PortRange) (out []api.PortRange, ok bool) {
	switch {
	case len(a) == 0:
		return b, true
	case len(b) == 0:
		return a, true
	}
	for _, x := range a {
		for _, y := range b {
			if first, last := max(x.First, y.First), min(x.Last, y.Last); first <= last {
				out = append(out, api.PortRange{First: first, Last: last})
			}
		}
	}
	return out, len(out) > 0
}

// meetLimit returns a limit that bounds as both do.
func meetLimit(a, b *api.Limit) *api.Limit {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	least := func(x, y uint64) uint64 {
		if x == 0 || y != 0 && y < x {
			return y
		}
		return x
	}
	out := &api.Limit{
		PacketRate: least(a.PacketRate, b.PacketRate), ByteRate: least(a.ByteRate, b.ByteRate),
		NewFlows: least(a.NewFlows, b.NewFlows), Flows: least(a.Flows, b.Flows), Quota: least(a.Quota, b.Quota),
	}
	if out.Quota > 0 {
		// The lesser number of bytes over the longer time is within both.
		rank := map[string]int{"": 0, "hour": 1, "day": 2, "month": 3}
		out.Per = a.Per
		if rank[b.Per] > rank[a.Per] {
			out.Per = b.Per
		}
	}
	return out
}
