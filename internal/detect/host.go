package detect

import (
	"math"
	"net/netip"
	"time"
)

// host is one source and whom it has contacted lately.
type host struct {
	tag        uint64
	addr       netip.Addr
	last       int64
	local      bool
	sweeps     uint16 // sets of resolutions that a gateway has filled
	peerHour   int64
	peerAlerts uint8
	// attacked is when an attack by or on the device was last told of; 0 = never.
	attacked int64

	adminAt int64 // when a fast scan of administration ports was last told of

	// What is made when it is first needed: a device that keeps to its names and
	// peers has none of it.
	tcp, udp *contacts
	daily    *dayset
	arps     *targets16

	admin targets6
	pings targets10
	peers targets5
}

// weight says how much evidence a host holds, for eviction.
func (h *host) weight(now int64) int {
	if !recent(h.last, now, 10*time.Minute) {
		return 0
	}
	return 1 + int(h.admin.n) + h.tcp.count() + h.udp.count() + int(h.pings.n) + h.arps.count()
}

// target is one of few distinct targets.
type target struct {
	at   int64
	num  uint64
	key  uint32
	port uint16
}

// distinct counts distinct targets within a window that ends now, over places
// for as many as make the alert. It reports whether key filled the last place.
func distinct(set []target, n *uint8, key uint32, port uint16, num uint64, now int64, window time.Duration) bool {
	live, oldest, age := 0, 0, int64(-1)
	for i := range set[:*n] {
		x := &set[i]
		if x.key == key {
			x.at = now
			return false
		}
		d := now - x.at
		if recent(x.at, now, window) {
			live++
		} else if d < 0 {
			d = math.MaxInt64 // from before the clock was set back
		}
		if d > age {
			oldest, age = i, d
		}
	}
	at := oldest
	if int(*n) < len(set) {
		at = int(*n)
		*n++
		live++
	} else if !recent(set[oldest].at, now, window) {
		live++
	}
	set[at] = target{at: now, num: num, key: key, port: port}
	return live >= len(set)
}

// The sets of few targets differ in size only.
type (
	targets5 struct {
		set [5]target
		n   uint8
	}
	targets6 struct {
		set [6]target
		n   uint8
	}
	targets10 struct {
		set [10]target
		n   uint8
	}
	targets16 struct {
		set [16]target
		n   uint8
	}
)

func (t *targets16) count() int {
	if t == nil {
		return 0
	}
	return int(t.n)
}

// evidence lists packets and ports of a set, and when it began.
func evidence(set []target) (packets []uint64, ports []uint16, first int64) {
	first = set[0].at
	for _, x := range set {
		first = min(first, x.at)
		ports = addPort(ports, x.port)
	}
	sorted := make([]target, len(set))
	copy(sorted, set)
	sortTargets(sorted)
	for _, x := range sorted[:min(len(sorted), maxEvidence)] {
		packets = append(packets, x.num)
	}
	return packets, ports, first
}

// slowTargets is how many distinct targets of a day are a slow scan.
const slowTargets = 20

// dayset counts distinct targets of one day.
type dayset struct {
	keys [slowTargets]uint32
	nums [slowTargets]uint64
	day  int64
	from int64
	n    uint8
}

// add reports whether key filled the last place of its day.
func (d *dayset) add(key uint32, num uint64, now int64) bool {
	if today := now / int64(day); today != d.day {
		*d = dayset{day: today, from: now}
	}
	if int(d.n) == len(d.keys) {
		return false
	}
	for _, k := range d.keys[:d.n] {
		if k == key {
			return false
		}
	}
	d.keys[d.n], d.nums[d.n] = key, num
	d.n++
	return int(d.n) == len(d.keys)
}

// newcomer is a source that has not earned state of its own.
type newcomer struct {
	tag  uint32
	last uint32 // seconds
	n    uint8
}

// admission is how many contacts within a minute earn a source state of its
// own when there is no free place.
const admission = 4

// hosts is a table of sources. Tags stand apart from the slots, so that a
// bucket is searched in one cache line.
type hosts struct {
	tags    []uint64
	slots   []host
	mask    uint64
	waiting []newcomer
}

func (t *hosts) init(n, newcomers int) {
	t.tags = make([]uint64, pow2(n))
	t.slots = make([]host, pow2(n))
	t.mask = uint64(len(t.slots)/ways - 1)
	t.waiting = make([]newcomer, pow2(newcomers))
}

// find returns the place of a tag, -1 for none; free is a place that is free
// in its bucket, -1 for none.
func find(tags []uint64, mask, tag uint64) (at, free int) {
	b := int(tag>>8&mask) * ways
	free = -1
	for i, x := range tags[b : b+ways : b+ways] {
		if x == tag {
			return b + i, free
		}
		if x == 0 {
			free = b + i
		}
	}
	return -1, free
}

// get returns the state of a source, nil while it has none.
func (t *hosts) get(who *party, now int64) *host {
	at, free := find(t.tags, t.mask, who.key)
	if at >= 0 {
		t.slots[at].last = now
		return &t.slots[at]
	}
	if free < 0 {
		if !t.earned(who.key, now) {
			return nil
		}
		b := int(who.key>>8&t.mask) * ways
		least := 1 << 30
		for i := b; i < b+ways; i++ {
			if w := t.slots[i].weight(now); w < least {
				free, least = i, w
			}
		}
		if least > admission {
			// The newcomer has shown less than the one it would replace, which
			// loses a little: its oldest contact.
			t.slots[free].age()
			return nil
		}
	}
	t.tags[free] = who.key
	h := &t.slots[free]
	h.begin(who, now)
	return h
}

// begin makes the place of a host that of another, which takes over what was made
// for it.
func (h *host) begin(who *party, now int64) {
	tcp, udp, daily, arps := h.tcp, h.udp, h.daily, h.arps
	*h = host{tag: who.key, addr: who.addr, local: who.local, last: now, tcp: tcp, udp: udp, daily: daily, arps: arps}
	if tcp != nil {
		*tcp = contacts{}
	}
	if udp != nil {
		*udp = contacts{}
	}
	if daily != nil {
		*daily = dayset{}
	}
	if arps != nil {
		*arps = targets16{}
	}
}

// made returns what p points to, and makes it if need be.
func made[T any](p **T) *T {
	if *p == nil {
		*p = new(T)
	}
	return *p
}

// age takes away a contact.
func (h *host) age() {
	switch {
	case h.tcp.count() > 0:
		h.tcp.drop()
	case h.udp.count() > 0:
		h.udp.drop()
	case h.arps.count() > 0:
		h.arps.n--
	case h.pings.n > 0:
		h.pings.n--
	case h.admin.n > 0:
		h.admin.n--
	}
}

// earned counts a contact of a newcomer and reports whether it has made
// enough of them.
func (t *hosts) earned(key uint64, now int64) bool {
	w := &t.waiting[key>>20&uint64(len(t.waiting)-1)]
	tag, second := uint32(key>>32)|1, uint32(now/int64(time.Second))
	if w.tag != tag || second-w.last > 60 {
		if w.tag != 0 && w.tag != tag && w.n > 1 && second-w.last <= 60 {
			w.n-- // another holds the place; it must be worn down first
			return false
		}
		*w = newcomer{tag: tag, last: second}
	}
	w.n++
	if w.n < admission {
		return false
	}
	*w = newcomer{}
	return true
}

// hostOf returns the state of a source, nil while it has none.
func (e *Engine) hostOf(who *party, now int64) *host {
	switch {
	case who.dev >= 0:
		h := e.devices[who.dev].state()
		h.tag, h.addr, h.local, h.last = who.key, who.addr, true, now
		return h
	case who.local:
		return e.hosts.get(who, now)
	}
	return e.strangers.get(who, now)
}

// seen returns the state of a source without making any.
func (e *Engine) seen(who *party) *host {
	if who.dev >= 0 {
		return e.devices[who.dev].host
	}
	t := &e.strangers
	if who.local {
		t = &e.hosts
	}
	if at, _ := find(t.tags, t.mask, who.key); at >= 0 {
		return &t.slots[at]
	}
	return nil
}
