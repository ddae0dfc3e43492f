package agent

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

// twins tells the two copies of a packet that pass two taps: that of the
// uplink and that of its device's port. Which ring is read first is chance, and
// the answers stand in that of the port: so the first copy that is read is
// judged, whichever it is, and what begins is judged before what answers it.
// What the packet filter refuses has one copy, at the uplink.
//
// The table has a fixed size. A pair of which one half is forgotten is judged
// twice, never not at all.
type twins struct {
	seed  maphash.Seed
	slots []pair
}

// pair counts the copies of packets that look alike.
type pair struct {
	key   uint64
	at    time.Time
	ahead int8 // judged at the uplink, and not seen at the port yet; below zero the other way round
}

const (
	twinSlots = 4096
	// twinLife is how far apart two copies may be read.
	twinLife = 2 * time.Second
	maxAhead = 100
)

func newTwins() *twins { return &twins{seed: maphash.MakeSeed(), slots: make([]pair, twinSlots)} }

// looks is what copies have in common.
type looks struct {
	src, dst     netip.Addr
	sport, dport uint16
	icmp, proto  uint8
	id, size     int
	seq, ack     uint32
}

// first reports whether p is the copy that is to be judged.
func (t *twins) first(p *packet.Packet, uplink bool) bool {
	key := maphash.Comparable(t.seed, looks{
		src: p.Src, dst: p.Dst, sport: p.SrcPort, dport: p.DstPort, icmp: p.ICMPType, proto: p.Proto,
		id: int(p.ICMPID)<<16 | int(p.ICMPSeq), size: p.PayloadLen, seq: p.Seq, ack: p.AckNum,
	})
	x := &t.slots[key%twinSlots]
	if age := p.Time.Sub(x.at); x.key != key || age > twinLife || age < -twinLife {
		*x = pair{key: key}
	}
	x.at = p.Time
	if uplink {
		x.ahead = min(x.ahead+1, maxAhead)
		return x.ahead > 0
	}
	x.ahead = max(x.ahead-1, -maxAhead)
	return x.ahead < 0
}
