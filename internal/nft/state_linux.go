package nft

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ringwall/ringwall/internal/policy"
)

// force is what the kernel is known to hold. Everything in it but the digests
// follows from the plan and from what stands of each device, so that a fleet
// costs no more memory here than its plan.
type force struct {
	plan    policy.Plan
	standby map[uint32]standing
	macs    map[macKey]int // how many devices have it
	at      time.Time      // when it was put there, which quotas depend on
	sums    ledger
	// gen is the last transaction of the namespace after which the rules were as
	// they should be; 0 = others have made some since.
	gen   uint32
	moved map[uint32]bool // devices whose state is not the plan's since, by Restrict

	// What a change that is not yet in force does to standby and macs, which it shares
	// with what it came from.
	pending map[uint32]standing
	gone    []uint32
	counted map[macKey]int
	fresh   []uint32 // devices that had no token
	names   bool     // names of devices have changed
}

// settle makes a change that is in force part of what is.
func (h *force) settle() {
	for _, m := range h.gone {
		delete(h.standby, m)
	}
	maps.Copy(h.standby, h.pending)
	for m, n := range h.counted {
		if h.macs[m] += n; h.macs[m] == 0 {
			delete(h.macs, m)
		}
	}
	h.pending, h.gone, h.counted, h.fresh, h.names = nil, nil, nil, nil, false
}

// standing returns what stands of a device.
func (h *force) standing(mark uint32) (s standing, ok bool) {
	if h == nil {
		return s, false
	}
	if s, ok = h.pending[mark]; ok {
		return s, true
	}
	s, ok = h.standby[mark]
	return s, ok
}

// liveToken is the token by which packets of a device pass without another look.
func (h *force) liveToken(mark uint32) (token uint32, ok bool) {
	s, ok := h.standing(mark)
	if !ok {
		return 0, false
	}
	d, ok := h.plan.Device(mark)
	if !ok || !s.fast(&d) {
		return 0, false
	}
	return s.token, true
}

// touch notes that Restrict has changed the state of a device.
func (h *force) touch(mark uint32) {
	if h.moved == nil {
		h.moved = map[uint32]bool{}
	}
	h.moved[mark] = true
}

func newForce() *force {
	return &force{standby: map[uint32]standing{}, macs: map[macKey]int{}}
}

// change is what one transaction does to the sets whose elements come from the
// plan.
type change struct {
	del, add []changed
}

type changed struct {
	set *setDef
	e   element
}

// noting returns a function that notes elements in a list.
func (f *Firewall) noting(to *[]changed) put {
	var room []byte // of keys: one by one they would keep the collector busy
	keep := func(b []byte) []byte {
		if len(b) == 0 {
			return nil
		}
		if cap(room)-len(room) < len(b) {
			room = make([]byte, 0, 64<<10)
		}
		n := len(room)
		room = append(room, b...)
		return room[n:len(room):len(room)]
	}
	return func(set string, fam family, e element) {
		e.key, e.end = keep(e.key), keep(e.end)
		*to = append(*to, changed{f.sets[setID{fam, set}], e})
	}
}

// roughly is how many elements a device has, at least.
func roughly(d *policy.Device) int {
	return 16 + len(d.Allow) + len(d.Deny) + len(d.InAllow) + len(d.InDeny) + len(d.Inspect)
}

// between notes what turns one group of elements into another.
func (c *change) between(now, want items) {
	for _, k := range now.sorted() {
		if w, ok := want[k]; !ok || !w.same(now[k]) {
			c.del = append(c.del, changed{k.set, k.element(now[k])})
		}
	}
	for _, k := range want.sorted() {
		if v, ok := now[k]; !ok || !v.same(want[k]) {
			c.add = append(c.add, changed{k.set, k.element(want[k])})
		}
	}
}

// differ calls do for each device that is not the same in both plans; one of the
// two is nil where a device comes or goes.
func differ(old, now []policy.Device, do func(a, b *policy.Device)) {
	i, j := 0, 0
	for i < len(old) || j < len(now) {
		switch {
		case j == len(now) || i < len(old) && old[i].Mark < now[j].Mark:
			do(&old[i], nil)
			i++
		case i == len(old) || now[j].Mark < old[i].Mark:
			do(nil, &now[j])
			j++
		default:
			if !sameDevice(&old[i], &now[j]) {
				do(&old[i], &now[j])
			}
			i++
			j++
		}
	}
}

// sameDevice compares what the kernel would hold. Lists that share their memory
// are not looked at.
func sameDevice(a, b *policy.Device) bool {
	return a == b || a.Mark == b.Mark && a.Port == b.Port && a.MAC == b.MAC && a.IP == b.IP && a.State == b.State && a.Free == b.Free && a.Subscribed == b.Subscribed &&
		sameList(a.Allow, b.Allow) && sameList(a.Deny, b.Deny) && sameList(a.InAllow, b.InAllow) && sameList(a.InDeny, b.InDeny) &&
		sameList(a.Inspect, b.Inspect) && sameList(a.InspectNamed, b.InspectNamed) && sameList(a.InInspect, b.InInspect) && sameList(a.IP6, b.IP6) &&
		slices.EqualFunc(a.Names, b.Names, sameName) &&
		slices.EqualFunc(a.GatewayAllow, b.GatewayAllow, sameService) && slices.EqualFunc(a.GatewayDeny, b.GatewayDeny, sameService) &&
		slices.EqualFunc(a.Limits, b.Limits, sameLimit) && slices.EqualFunc(a.Programs, b.Programs, sameProgram)
}

func sameList[T comparable](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

func sameName(a, b policy.Name) bool {
	return a.Pattern == b.Pattern && a.Deny == b.Deny && a.Proto == b.Proto && a.Inspect == b.Inspect && a.Private == b.Private && a.Limit == b.Limit && slices.Equal(a.Ports, b.Ports)
}

func sameService(a, b policy.Service) bool {
	return a.Proto == b.Proto && a.Inspect == b.Inspect && a.Limit == b.Limit && slices.Equal(a.Ports, b.Ports)
}

func sameLimit(a, b policy.Limit) bool {
	return a.ID == b.ID && a.Term == b.Term && a.Limit == b.Limit && a.Inspect == b.Inspect && sameList(a.Boxes, b.Boxes) && sameList(a.In, b.In) && slices.EqualFunc(a.Names, b.Names, sameName)
}

func sameProgram(a, b policy.Program) bool {
	return (a.UID == nil) == (b.UID == nil) && (a.UID == nil || *a.UID == *b.UID) && a.Cgroup == b.Cgroup &&
		sameList(a.Allow, b.Allow) && sameList(a.Deny, b.Deny) && slices.EqualFunc(a.Names, b.Names, sameName)
}

// takes reports which devices lose something by a change: those whose flows must
// be judged anew.
func (c *change) takes() map[uint32]bool {
	out := map[uint32]bool{}
	for i := range c.del {
		switch c.del[i].set.name {
		case setAllow, setAllowI, setInspect, setInspectI:
			out[u32(string(c.del[i].e.key))] = true
		case setOwner: // an address that is no longer this device's
			out[u32(string(c.del[i].e.val))] = true
		case setProgUID:
			out[u32(string(c.del[i].e.val))] = true
		}
	}
	for i := range c.add {
		if c.add[i].set.name == setDenyI || c.add[i].set.name == setInspectNamed {
			out[u32(string(c.add[i].e.key))] = true
		}
	}
	return out
}

// namesLost reports whether a device may look up less than before.
func namesLost(old, now *policy.Device) bool {
	if old == nil {
		return true // after a restart it is not known what was before
	}
	for _, n := range old.Names {
		if !n.Deny && !slices.ContainsFunc(now.Names, func(m policy.Name) bool { return sameName(n, m) }) {
			return true
		}
	}
	for _, m := range now.Names {
		if m.Deny && !slices.ContainsFunc(old.Names, func(n policy.Name) bool { return sameName(n, m) }) {
			return true
		}
	}
	return false
}

// namesMatter reports whether what names have opened to a device may have to
// change.
func namesMatter(a, b *policy.Device) bool {
	named := func(d *policy.Device) bool {
		return slices.ContainsFunc(d.Limits, func(l policy.Limit) bool { return len(l.Names) > 0 })
	}
	return !slices.EqualFunc(a.Names, b.Names, sameName) || a.Free != b.Free || named(a) || named(b)
}

// sum makes the digests of a whole plan, and its counts of MACs.
func (f *Firewall) sum(h *force) {
	h.sums = ledger{}
	cur := f.cfg.at(h.at)
	note := func(set string, fam family, e element) { h.sums.add(f.sets[setID{fam, set}], &e) }
	h.macs = map[macKey]int{}
	for i := range h.plan.Devices {
		d := &h.plan.Devices[i]
		cur.device(note, d)
		f.cfg.stand(note, d, h.standby[d.Mark])
		for _, k := range macsOf(d) {
			h.macs[k]++
		}
	}
	for _, m := range h.plan.Isolated {
		h.macs[macKey{mac: m}]++
	}
	for m := range maps.Keys(h.macs) {
		f.cfg.mac(note, m)
	}
	f.cfg.common(note, &h.plan)
	f.fixed(note)
}

// fixed puts the elements of the skeleton itself.
func (f *Firewall) fixed(p put) {
	for i := range f.defs {
		d := &f.defs[i]
		if d.elements == nil {
			continue
		}
		for _, e := range d.elements(f.cfg.Config) {
			p(d.name, d.family, element{key: e.Key})
		}
	}
}

// readSums reads all sets and returns the digests of what they hold. Somebody
// else's transaction in between may make it wrong, so that it is repeated a few
// times where it does not come to what is expected.
func (f *Firewall) readSums(expected *ledger) (got ledger, err error) {
	for range 4 {
		got = ledger{}
		all := true
		for i := range f.defs {
			d := &f.defs[i]
			if !d.fromPlan() && d.role != fixed {
				continue
			}
			whole, err := f.wire.dump(d, func(e *found) { got.found(d, e) })
			if err != nil {
				return got, err
			}
			all = all && whole
		}
		if all || expected != nil && got.same(expected) {
			return got, nil
		}
	}
	return got, nil
}

// readItems returns what the sets hold.
func (f *Firewall) readItems() (items, error) {
	m := items{}
	for i := range f.defs {
		d := &f.defs[i]
		if !d.fromPlan() {
			continue
		}
		for range 4 {
			whole, err := f.wire.dump(d, func(e *found) {
				m[item{d, string(e.key), string(e.boxEnd(d)), e.stop()}] = value{val: string(e.val), comment: e.comment(), bound: e.bound}
			})
			if err != nil {
				return nil, err
			}
			if whole {
				break
			}
		}
	}
	return m, nil
}

// confirm looks up in the kernel what a transaction changed.
func (f *Firewall) confirm(c *change) error {
	type one struct{ want, gone []element }
	by := map[*setDef]*one{}
	of := func(d *setDef) *one {
		if by[d] == nil {
			by[d] = &one{}
		}
		return by[d]
	}
	kept := map[string]bool{}
	for i := range c.add {
		o := of(c.add[i].set)
		o.want = append(o.want, c.add[i].e)
		kept[c.add[i].set.name+string(c.add[i].set.family)+string(c.add[i].e.key)+string(c.add[i].e.end)] = true
	}
	for i := range c.del {
		x := &c.del[i]
		if !kept[x.set.name+string(x.set.family)+string(x.e.key)+string(x.e.end)] {
			o := of(x.set)
			o.gone = append(o.gone, x.e)
		}
	}
	var s summer
	for d, o := range by {
		if d.interval && !d.concatInterval() {
			continue // single keys mean nothing there; its few networks are read as a whole
		}
		bad := false
		i := 0
		missing, err := f.wire.lookup(d, o.want, func(e *found) {
			w := &o.want[i]
			i++
			bad = bad || s.of(d, e.key, e.boxEnd(d), e.stop(), e.val, e.comment(), e.bound) != s.of(d, w.key, w.end, w.stop, w.val, w.comment, boundOf(w.expr))
		})
		if err != nil {
			return err
		}
		i = 0
		_, err = f.wire.lookup(d, o.gone, func(e *found) {
			for i := range o.gone {
				w := &o.gone[i]
				bad = bad || string(e.key) == string(w.key) && string(e.boxEnd(d)) == string(w.end)
			}
		})
		if err != nil {
			return err
		}
		if bad || missing > 0 {
			return fmt.Errorf("set %q does not hold what was put into it", d.name)
		}
	}
	return nil
}
