package detect

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// ring is how many contacts of a host are remembered per protocol.
const ring = 64

// grace is how long a target has to answer before it counts as not answering;
// answers across the world take up to 300 ms.
const grace = 500 * time.Millisecond

// What became of a contact.
const (
	contactPending uint8 = iota
	contactAnswered
	contactRefused
)

// contacts are the last distinct targets of one host that no name led to.
type contacts struct {
	keys  [ring]uint32
	at    [ring]int64
	num   [ring]uint64
	port  [ring]uint16
	state [ring]uint8
	n     uint8
	head  uint8
	hour  int64 // in which a scan was told of
	judge bool  // there is something that was not judged since it was added
}

// add notes a contact and returns its place, from 1; fresh reports whether the
// target is new within a minute.
func (c *contacts) add(key uint32, port uint16, num uint64, now int64) (slot uint8, fresh bool) {
	for i, k := range c.keys[:c.n] {
		if k == key && recent(c.at[i], now, time.Minute) {
			return uint8(i + 1), false
		}
	}
	i := c.head
	c.head = (i + 1) % ring
	c.n = min(c.n+1, ring)
	c.keys[i], c.at[i], c.num[i], c.port[i], c.state[i] = key, now, num, port, contactPending
	c.judge = true
	return i + 1, true
}

// told reports whether these contacts were told of as a scan in this hour:
// more of them would say nothing new.
func (c *contacts) told(now int64) bool { return c.hour != 0 && c.hour == now/int64(hour) }

// settle notes what became of the contact in a place, if it is still there.
func (c *contacts) settle(slot uint8, key uint32, state uint8) {
	if c == nil || slot == 0 || slot > ring || c.keys[slot-1] != key {
		return
	}
	if c.state[slot-1] != contactAnswered {
		c.state[slot-1] = state
	}
}

func (c *contacts) count() int {
	if c == nil {
		return 0
	}
	return int(c.n)
}

// drop forgets the contact that was made last.
func (c *contacts) drop() {
	c.n--
	c.head = (c.head + ring - 1) % ring
	c.keys[c.head], c.at[c.head] = 0, 0
}

// tally is what contacts add up to.
type tally struct {
	failing10 int // did not answer, within ten seconds
	failing60 int // within a minute
	bare60    int // within a minute, answered or not, but for answers of the web
	ports     int // distinct ports of those, or a few less
	first     int64
}

// quiet are the ports on which many honest bare targets answer: the web,
// names, time, and what phones keep open for messages.
func quiet(port uint16) bool {
	switch port {
	case 80, 443, 53, 123, 853, 993, 5222, 5223, 5228, 8443, 8883:
		return true
	}
	return false
}

func (c *contacts) tally(now int64) (t tally) {
	var ports [4]uint64 // a bit for each port, by a hash; two seldom share one
	for i := range c.at[:c.n] {
		at := c.at[i]
		if !recent(at, now, time.Minute) {
			continue
		}
		state := c.state[i]
		if state == contactAnswered && quiet(c.port[i]) {
			continue
		}
		t.bare60++
		if t.first == 0 || at < t.first {
			t.first = at
		}
		b := c.port[i] * 40503 >> 8
		ports[b>>6] |= 1 << (b & 63)
		if state == contactRefused || state == contactPending && now-at >= int64(grace) {
			t.failing60++
			if now-at <= int64(10*time.Second) {
				t.failing10++
			}
		}
	}
	for _, p := range ports {
		t.ports += bits.OnesCount64(p)
	}
	return t
}

// evidence lists packets and ports of the contacts within a minute.
func (c *contacts) evidence(now int64) (packets []uint64, ports []uint16) {
	var set []target
	for i := range c.at[:c.n] {
		if recent(c.at[i], now, time.Minute) && (c.state[i] != contactAnswered || !quiet(c.port[i])) {
			set = append(set, target{at: c.at[i], num: c.num[i]})
			ports = addPort(ports, c.port[i])
		}
	}
	sortTargets(set)
	for _, x := range set[:min(len(set), maxEvidence)] {
		packets = append(packets, x.num)
	}
	return packets, ports
}

func sortTargets(set []target) {
	slices.SortFunc(set, func(a, b target) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.num, b.num)) })
}

// addPort adds a port to a short sorted list without repeats.
func addPort(ports []uint16, p uint16) []uint16 {
	i, found := slices.BinarySearch(ports, p)
	if found || len(ports) >= 16 {
		return ports
	}
	return slices.Insert(ports, i, p)
}

// joinPorts writes a list of ports.
func joinPorts(ports []uint16) string {
	s := ""
	for i, p := range ports {
		if i > 0 {
			s += ","
		}
		s += itoa(p)
	}
	return s
}
