package policy

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// way is one direction of a device's terms as areas.
type way struct {
	allow, deny         areas
	lookAllow, lookDeny areas // of terms that look inside
	unlimited           areas // what of allow has no limit
}

// limited is one term with a limit.
type limited struct {
	term  *api.Term
	to    bool
	areas areas
	names []Name
}

// program is one program and its terms.
type program struct {
	who         api.Who
	allow, deny areas
	names       []Name
}

// sorter takes the terms of one device apart.
type sorter struct {
	from, to        way
	gwAllow, gwDeny areas
	names           []Name
	limits          []limited
	programs        []program
}

// terms compiles the terms of d into dev.
func (c *compiler) terms(dev *Device, d *api.DevicePolicy) error {
	if len(d.Terms) > MaxTerms {
		return ringwall.Errorf(ringwall.Invalid, "%d terms are more than %d", len(d.Terms), MaxTerms)
	}
	if d.Limit != nil {
		if err := CheckLimit(*d.Limit); err != nil {
			return err
		}
		dev.Limits = append(dev.Limits, Limit{Limit: *d.Limit})
	}
	var s sorter
	for i := range d.Terms {
		t := &d.Terms[i]
		if err := Check(*t); err != nil {
			return err
		}
		open, err := c.holds(t)
		if err != nil {
			return err
		}
		e, err := c.end(d, t)
		if err != nil {
			return err
		}
		if open {
			s.add(t, e, c.Host)
		}
	}
	return s.lists(dev)
}

// gatewayEnd stands for the gateway itself where areas want an address.
var gatewayEnd = end{ranges: [2][]ipRange{{{u128{}, u128{}}}, nil}}

func (s *sorter) add(t *api.Term, e end, host bool) {
	deny := t.Action == api.Deny
	if t.Gateway {
		to := &s.gwAllow
		if deny {
			to = &s.gwDeny
		}
		to.put(t, gatewayEnd)
		return
	}
	names := namesOf(t, e)
	if t.Who != nil && !deny && !host {
		return // nobody can tell whose flow it is
	}
	if t.Who != nil && host {
		p := s.program(*t.Who)
		switch {
		case deny:
			p.deny.put(t, e) // nobody looks inside on the device but an SDK
		case t.Inside == nil:
			p.allow.put(t, e)
		default:
			return
		}
		for _, n := range names {
			n.Inspect = false
			p.names = append(p.names, n)
		}
		return
	}
	w := &s.from
	if t.Direction == api.ToDevice {
		w = &s.to
	}
	switch {
	case t.Inside != nil && deny:
		w.lookDeny.put(t, e)
	case t.Inside != nil:
		w.lookAllow.put(t, e)
	case deny:
		w.deny.put(t, e)
	default:
		w.allow.put(t, e)
		if t.Limit == nil {
			w.unlimited.put(t, e)
		}
	}
	if t.Limit != nil {
		l := limited{term: t, to: t.Direction == api.ToDevice, names: names}
		l.areas.put(t, e)
		s.limits = append(s.limits, l)
		return // its names are known by their limit, once that has a number
	}
	s.names = append(s.names, names...)
}

func (s *sorter) program(w api.Who) *program {
	for i := range s.programs {
		if p := &s.programs[i]; compareWho(p.who, w) == 0 {
			return p
		}
	}
	s.programs = append(s.programs, program{who: w})
	return &s.programs[len(s.programs)-1]
}

func compareWho(a, b api.Who) int {
	uid := func(w api.Who) int64 {
		if w.UID == nil {
			return -1
		}
		return int64(*w.UID)
	}
	return cmp.Or(cmp.Compare(uid(a), uid(b)), cmp.Compare(a.Cgroup, b.Cgroup))
}

// put adds what a term covers. What stands inside is carried by some transports
// only.
func (a *areas) put(t *api.Term, e end) {
	protos := []uint8{protoOf(t.Proto)}
	if t.Inside != nil && t.Proto == "any" {
		protos = nil
		for _, p := range []string{"tcp", "udp"} {
			if carries(p, t.Inside.Proto) {
				protos = append(protos, protoOf(p))
			}
		}
	}
	ports := portsOf(t.Ports)
	for f, ranges := range e.ranges {
		for _, r := range ranges {
			for _, p := range protos {
				a[f] = append(a[f], area{r.first, r.last, p, ports})
			}
		}
	}
}

func namesOf(t *api.Term, e end) []Name {
	var out []Name
	for _, n := range e.names {
		protos := []string{t.Proto}
		if t.Inside != nil && t.Proto == "any" {
			protos = slices.DeleteFunc([]string{"tcp", "udp"}, func(p string) bool { return !carries(p, t.Inside.Proto) })
		}
		for _, p := range protos {
			out = append(out, Name{
				Pattern: strings.ToLower(strings.TrimSuffix(n, ".")), Deny: t.Action == api.Deny,
				Proto: protoOf(p), Ports: portsOf(t.Ports), Inspect: t.Inside != nil, Private: t.Private,
			})
		}
	}
	return out
}

// lists makes the lists of dev. What is denied, and what only a look inside can
// tell, is taken out of what is allowed here, not by looking into two sets one
// after the other: a packet that does so while both change could see one before
// and the other after, and pass though neither policy lets it.
func (s *sorter) lists(dev *Device) error {
	keep := func(at []segment) segment { return at[0] }
	less := func(at []segment) segment { return at[0].without(at[1]) }
	less2 := func(at []segment) segment { return at[0].without(at[1]).without(at[2]) }
	inspect := func(at []segment) segment { // allow, deny, lookAllow, lookDeny
		return at[0].and(at[3]).or(at[2].without(at[0])).without(at[1])
	}
	var first error
	make := func(to *[]Box, rule func([]segment) segment, lists ...*areas) {
		var err error
		if *to, err = boxes(rule, lists...); err != nil && first == nil {
			first = err
		}
	}
	f, t := &s.from, &s.to
	make(&dev.Allow, less2, &f.allow, &f.deny, &f.lookDeny)
	make(&dev.Deny, keep, &f.deny)
	make(&dev.Inspect, inspect, &f.allow, &f.deny, &f.lookAllow, &f.lookDeny)
	make(&dev.InAllow, less2, &t.allow, &t.deny, &t.lookDeny)
	make(&dev.InDeny, keep, &t.deny)
	make(&dev.InInspect, inspect, &t.allow, &t.deny, &t.lookAllow, &t.lookDeny)
	make(&dev.InspectNamed, less, &f.lookDeny, &f.deny)

	var gwAllow, gwDeny []Box
	make(&gwAllow, less, &s.gwAllow, &s.gwDeny)
	make(&gwDeny, keep, &s.gwDeny)
	dev.GatewayAllow, dev.GatewayDeny = services(gwAllow), services(gwDeny)

	slices.SortFunc(s.programs, func(a, b program) int { return compareWho(a.who, b.who) })
	for i := range s.programs {
		p := &s.programs[i]
		q := Program{UID: p.who.UID, Cgroup: p.who.Cgroup, Names: sortNames(p.names)}
		general := f.deny.plus(&f.lookDeny)
		make(&q.Allow, less2, &p.allow, &p.deny, &general)
		make(&q.Deny, keep, &p.deny)
		dev.Programs = append(dev.Programs, q)
	}

	// A flow counts against one limit: that of the first term by id, and none
	// where a term without limit allows it too.
	slices.SortStableFunc(s.limits, func(a, b limited) int { return cmp.Compare(a.term.ID, b.term.ID) })
	taken := map[bool]*areas{false: f.unlimited.plus(&f.deny).ref(), true: t.unlimited.plus(&t.deny).ref()}
	for _, l := range s.limits {
		out := Limit{Term: l.term.ID, Limit: *l.term.Limit, Inspect: l.term.Inside != nil, Names: sortNames(l.names)}
		to := &out.Boxes
		if l.to {
			to = &out.In
		}
		make(to, less, &l.areas, taken[l.to])
		if !out.Inspect {
			taken[l.to] = taken[l.to].plus(&l.areas).ref()
		}
		dev.Limits = append(dev.Limits, out)
		for _, n := range l.names {
			n.Limit = uint32(len(dev.Limits))
			s.names = append(s.names, n)
		}
	}
	dev.Names = sortNames(s.names)
	return first
}

func (a areas) plus(b *areas) areas {
	return areas{append(slices.Clone(a[ipv4]), b[ipv4]...), append(slices.Clone(a[ipv6]), b[ipv6]...)}
}

func (a areas) ref() *areas { return &a }

// services turns boxes of the gateway into services.
func services(boxes []Box) []Service {
	var out []Service
	for _, b := range boxes {
		r := api.PortRange{First: b.PortFirst, Last: b.PortLast}
		if n := len(out); n > 0 && out[n-1].Proto == b.Proto && out[n-1].Ports != nil {
			out[n-1].Ports = append(out[n-1].Ports, r)
			continue
		}
		s := Service{Proto: b.Proto}
		if !b.AllPorts() {
			s.Ports = []api.PortRange{r}
		}
		out = append(out, s)
	}
	return out
}

func sortNames(names []Name) []Name {
	slices.SortFunc(names, compareNames)
	return slices.CompactFunc(names, func(a, b Name) bool { return compareNames(a, b) == 0 })
}

func compareNames(a, b Name) int {
	return cmp.Or(
		strings.Compare(a.Pattern, b.Pattern), boolCompare(a.Deny, b.Deny), cmp.Compare(a.Proto, b.Proto),
		slices.CompareFunc(a.Ports, b.Ports, func(x, y api.PortRange) int {
			return cmp.Or(cmp.Compare(x.First, y.First), cmp.Compare(x.Last, y.Last))
		}),
		boolCompare(a.Inspect, b.Inspect), boolCompare(a.Private, b.Private), cmp.Compare(a.Limit, b.Limit))
}

// numberLimits gives each limit its number: of the device, the term and what it
// bounds, so that it stays the same while they do and what was counted is kept.
func numberLimits(devices []Device) {
	taken := map[uint32]bool{0: true}
	for i := range devices {
		dev := &devices[i]
		for j := range dev.Limits {
			l := &dev.Limits[j]
			h := fnv.New32a()
			var b []byte
			for _, s := range []string{string(dev.ID), l.Term, l.Limit.Per} {
				b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
			}
			for _, n := range []uint64{l.Limit.PacketRate, l.Limit.ByteRate, l.Limit.NewFlows, l.Limit.Flows, l.Limit.Quota} {
				b = binary.LittleEndian.AppendUint64(b, n)
			}
			h.Write(b)
			l.ID = h.Sum32()
			for taken[l.ID] {
				l.ID++
			}
			taken[l.ID] = true
		}
	}
}
