package policy

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Judge decides flows of one device on one site: it gives the answers of
// Site.Decide, from terms that were taken apart beforehand. It holds no state
// and may be used from several goroutines; the policy and the site that it was
// made of must not change any more.
type Judge struct {
	policy  api.DevicePolicy
	stale   bool
	ip6     bool
	makers  map[ringwall.DeviceID]string
	from    ruleset
	to      ruleset
	gateway ruleset
	remedy  ruleset
}

// NewJudge returns a Judge of device d on site s.
func NewJudge(d api.DevicePolicy, s Site) *Judge {
	j := &Judge{policy: d, stale: s.Stale, ip6: len(d.IP6) > 0, makers: s.Makers}
	for i := range d.Terms {
		t := &d.Terms[i]
		r := newRule(t, i, &s)
		switch {
		case t.Gateway && t.Direction == api.FromDevice:
			j.gateway.rules = append(j.gateway.rules, r)
		case t.Gateway:
		case t.Direction == api.FromDevice:
			j.from.rules = append(j.from.rules, r)
		case t.Direction == api.ToDevice:
			j.to.rules = append(j.to.rules, r)
		}
	}
	for i := range s.Remediation {
		if t := &s.Remediation[i]; t.Direction == api.FromDevice && !t.Gateway {
			j.remedy.rules = append(j.remedy.rules, newRule(t, i, &s))
		}
	}
	for _, set := range []*ruleset{&j.from, &j.to, &j.gateway, &j.remedy} {
		set.index()
	}
	return j
}

// kind is how a rule knows the other end.
type kind uint8

const (
	kindNone kind = iota // nobody
	kindNet4
	kindNet6
	kindName
	kindDevice
	kindLocal
	kindMaker
	kindAll // of the gateway's own services
	kindRole
)

// rule is one term taken apart, small, since all of them are gone through.
type rule struct {
	kind       kind
	proto      uint8 // 0 = any
	ported     bool  // it names ports
	scattered  bool  // in more than one range
	further    bool  // there is more to ask: window, who, inside
	wild       bool  // name stands for all below it
	first      uint16
	last       uint16
	base, mask uint32 // of kindNet4
	name       string // lower case; of a wildcard, from the dot on
	*detail
}

// ruleset finds rules: those about one address or name by hash, the rest one
// after the other.
type ruleset struct {
	rules  []rule
	others []int32 // the rest
	addrs  table
	names  table
}

// table maps hashes to chains of rules; nil = it has none.
type table struct {
	heads []int32 // 1 + index of a rule
	next  []int32
}

func (t *table) put(hash uint32, rule, rules, entries int) {
	if t.heads == nil {
		size := 8
		for size < 2*entries {
			size *= 2
		}
		t.heads, t.next = make([]int32, size), make([]int32, rules)
	}
	h := &t.heads[hash&uint32(len(t.heads)-1)]
	t.next[rule], *h = *h, int32(rule+1)
}

func (s *ruleset) index() {
	exact := func(r *rule) bool { return r.kind == kindNet4 && r.mask == 1<<32-1 }
	addrs, names := 0, 0
	for i := range s.rules {
		switch r := &s.rules[i]; {
		case exact(r):
			addrs++
		case r.kind == kindName:
			names++
		}
	}
	for i := range s.rules {
		switch r := &s.rules[i]; {
		case exact(r):
			s.addrs.put(hashAddr(r.base), i, len(s.rules), addrs)
		case r.kind == kindName:
			h := uint32(0)
			for k := len(r.name) - 1; k >= 0; k-- {
				h = hashNext(h, r.name[k])
			}
			s.names.put(hashEnd(h), i, len(s.rules), names)
		case r.kind != kindNone:
			s.others = append(s.others, int32(i))
		}
	}
}

func hashAddr(a uint32) uint32 { return a * 0x9e3779b1 >> 8 }

// hashNext moves the hash of a text on to the byte before it; the bit in which
// capitals differ is left out.
func hashNext(h uint32, c byte) uint32 { return (h ^ uint32(c|0x20)) * 0x01000193 }

func hashEnd(h uint32) uint32 { return h ^ h>>15 }

// detail is what few flows ask of a rule.
type detail struct {
	term   *api.Term
	pos    int // among the terms of the policy
	deny   bool
	role   *role
	window *window // nil = always
	zone   *zone
	never  bool // its window cannot be told: open where it denies only
}

// role is whoever fills the role that a term names.
type role struct {
	nets    []netip.Prefix
	devices []ringwall.DeviceID
	names   []string
}

// protoOther stands for every protocol that no term names, in a flow.
const protoOther = ProtoOther

func newRule(t *api.Term, pos int, s *Site) rule {
	r := rule{detail: &detail{term: t, pos: pos, deny: t.Action == api.Deny}, further: t.Window != nil || t.Who != nil || t.Inside != nil}
	switch t.Proto {
	case "any":
	case "tcp", "udp", "icmp":
		r.proto = protoOf(t.Proto)
	default:
		return r // a protocol by number is no term; it matches nothing
	}
	if len(t.Ports) > 0 {
		r.ported, r.first = true, 0xffff
		for _, p := range t.Ports {
			r.first, r.last = min(r.first, p.First), max(r.last, p.Last)
		}
		r.scattered = len(t.Ports) > 1
	}
	switch {
	case t.Domain != "":
		r.kind = kindName
		r.name, r.wild = t.Domain, len(t.Domain) > 1 && t.Domain[0] == '*'
		if r.wild {
			r.name = r.name[1:]
		}
		r.name = lowerASCII(r.name)
	case t.CIDR.IsValid():
		r.kind = kindNet6
		if a := t.CIDR.Addr(); a.Is4() {
			b := t.CIDR.Masked().Addr().As4()
			r.kind, r.base = kindNet4, uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])
			r.mask = uint32(uint64(1)<<32 - uint64(1)<<(32-t.CIDR.Bits()))
		}
	case t.Device != "":
		r.kind = kindDevice
	case t.Local:
		r.kind = kindLocal
	case t.SameMaker:
		r.kind = kindMaker
	case t.Gateway:
		r.kind = kindAll
	case t.Controller != "":
		r.kind, r.role = kindRole, newRole(t.Controller, s)
	}
	r.setWindow(t, s)
	return r
}

func newRole(name string, s *Site) *role {
	out := &role{}
	for i := range s.Controllers {
		if c := &s.Controllers[i]; c.Role == name {
			out.nets, out.devices, out.names = append(out.nets, c.Nets...), append(out.devices, c.Devices...), append(out.names, c.Domains...)
		}
	}
	return out
}

func (r *rule) setWindow(t *api.Term, s *Site) {
	if t.Window == nil {
		return
	}
	w, err := parseWindow(t.Window)
	if err != nil {
		r.never = true
		return
	}
	r.window = &w
	if w.zone == "" {
		return
	}
	i := slices.IndexFunc(s.Zones, func(z api.Zone) bool { return z.Name == w.zone })
	if i < 0 {
		r.never = true
		return
	}
	z, ok := makeZone(&s.Zones[i])
	r.zone, r.never = z, !ok
}

func lowerASCII(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}

// query is a flow as rules are compared with it.
type query struct {
	proto  uint8
	ported bool
	is4    bool
	port   uint16
	num    uint32
	addr   netip.Addr
}

// Decide judges f under restriction r (of the holds in force). It answers for
// every input and allocates nothing.
func (j *Judge) Decide(r ringwall.Restriction, f Flow) Verdict { return j.decide(r, &f) }

func (j *Judge) decide(r ringwall.Restriction, f *Flow) Verdict {
	r, mode := standing(&j.policy, r, j.stale)
	v, set := first(r, mode, j.ip6, f)
	var rules *ruleset
	switch set {
	case setNone:
		return v
	case setTerms:
		switch f.Direction {
		case api.FromDevice:
			rules = &j.from
		case api.ToDevice:
			rules = &j.to
		default:
			rules = &ruleset{}
		}
	case setGateway:
		rules = &j.gateway
	case setRemediation:
		rules = &j.remedy
	}
	m := matched{rank: rankNone}
	j.match(&m, rules, f, set == setRemediation)
	return last(set, mode, f, &m)
}

func (j *Judge) match(m *matched, set *ruleset, f *Flow, quarantined bool) {
	q := query{proto: protoOther, port: f.Remote.Port(), addr: f.Remote.Addr()}
	switch f.Proto {
	case "tcp":
		q.proto, q.ported = ProtoTCP, true
	case "udp":
		q.proto, q.ported = ProtoUDP, true
	case "icmp":
		q.proto = ProtoICMP
	}
	if f.Direction == api.ToDevice {
		q.port = f.Local.Port()
	}
	if q.addr.Is4() || q.addr.Is4In6() {
		b := q.addr.As4()
		q.is4, q.num = true, uint32(b[0])<<24|uint32(b[1])<<16|uint32(b[2])<<8|uint32(b[3])
	}
	if q.is4 && set.addrs.heads != nil {
		t := &set.addrs
		for i := t.heads[hashAddr(q.num)&uint32(len(t.heads)-1)]; i != 0; i = t.next[i-1] {
			if r := &set.rules[i-1]; r.base == q.num && r.serves(&q) {
				r.answer(m, f, false, quarantined)
			}
		}
	}
	for _, i := range set.others {
		r := &set.rules[i]
		if !r.serves(&q) {
			continue
		}
		if r.kind == kindNet4 {
			if q.is4 && (q.num^r.base)&r.mask == 0 {
				r.answer(m, f, false, quarantined)
			}
		} else if ok, byName := j.end(r, &q, f); ok {
			r.answer(m, f, byName, quarantined)
		}
	}
	if set.names.heads != nil {
		for _, n := range f.Names {
			set.named(n, &q, m, f, quarantined)
		}
	}
}

// named asks the rules about a name: those whose text stands at its end.
func (s *ruleset) named(n string, q *query, m *matched, f *Flow, quarantined bool) {
	t := &s.names
	h := uint32(0)
	for k := len(n) - 1; k >= 0; k-- {
		h = hashNext(h, n[k])
		if n[k] != '.' && k != 0 {
			continue
		}
		for i := t.heads[hashEnd(h)&uint32(len(t.heads)-1)]; i != 0; i = t.next[i-1] {
			r := &s.rules[i-1]
			// A wildcard stands for what is below it, never for a whole name.
			if len(r.name) == len(n)-k && r.wild == (k > 0) && (n[k:] == r.name || MatchName(r.name, n[k:])) && r.serves(q) {
				r.answer(m, f, true, quarantined)
			}
		}
	}
}

// serves compares what a rule says of protocol and ports.
func (r *rule) serves(q *query) bool {
	return (r.proto == 0 || r.proto == q.proto) &&
		(!r.ported || q.ported && q.port >= r.first && q.port <= r.last && (!r.scattered || inPorts(r.term.Ports, q.port)))
}

// answer asks a rule whose end and ports match.
func (r *rule) answer(m *matched, f *Flow, byName, quarantined bool) {
	a := yes
	if r.further {
		if a = r.ask(f, quarantined); a == no {
			return
		}
	}
	m.add(r.term, r.pos, a, byName)
}

// end is for the kinds of ends that are rare.
func (j *Judge) end(r *rule, q *query, f *Flow) (ok, byName bool) {
	switch r.kind {
	case kindNet6:
		return !q.is4 && r.term.CIDR.Contains(q.addr.WithZone("")), false
	case kindDevice:
		return f.RemoteDevice == r.term.Device, false
	case kindLocal:
		return f.RemoteDevice != "", false
	case kindMaker:
		return j.policy.Maker != "" && f.RemoteDevice != "" && j.makers[f.RemoteDevice] == j.policy.Maker, false
	case kindAll:
		return true, false
	case kindRole:
		for _, n := range r.role.nets {
			if n.Contains(q.addr.Unmap().WithZone("")) {
				return true, false
			}
		}
		if f.RemoteDevice != "" && slices.Contains(r.role.devices, f.RemoteDevice) {
			return true, false
		}
		if f.Direction != api.FromDevice {
			return false, false
		}
		for _, p := range r.role.names {
			for _, n := range f.Names {
				if MatchName(p, n) {
					return true, true
				}
			}
		}
	}
	return false, false
}

// ask is for what terms say beside ends and ports.
func (r *rule) ask(f *Flow, quarantined bool) answer {
	t := r.term
	if t.Window != nil {
		if r.never || f.At.IsZero() {
			if !r.deny {
				return no
			}
		} else if at := f.At.Unix(); !r.window.open(at + r.zone.offset(at)) {
			return no
		}
	}
	if t.Who != nil && !runs(t.Who, f.Program, r.deny) {
		return no
	}
	switch {
	case t.Inside == nil:
		return yes
	case !carries(f.Proto, t.Inside.Proto):
		return no
	case quarantined:
		return is(r.deny)
	}
	return look(t, f.Inside)
}
