package attack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Kinds of scans.
const (
	Mirai   = "mirai"
	Unknown = "unknown"
)

// ScanConfig says what to scan, and how hard.
type ScanConfig struct {
	Kind   string       `json:"kind"`
	Seed   uint64       `json:"seed"`
	Source netip.Addr   `json:"source"`
	Range  netip.Prefix `json:"range"` // IPv4, at most /8
	// Duration and MaxPackets bound it; both must be set.
	Duration   time.Duration `json:"duration"`
	MaxPackets int           `json:"maxPackets"`
	// Interval makes a scan slow: one target each, on telnet's port; 0 = as its kind does.
	Interval time.Duration `json:"interval,omitempty"`
}

// ScanPlan is what a scan drew from its seed.
type ScanPlan struct {
	Ports      []uint16 `json:"ports"`
	Order      string   `json:"order"`  // "random", "sequential", "strided"
	Rate       float64  `json:"rate"`   // new targets a second
	Jitter     float64  `json:"jitter"` // share of the interval, 0 to 1, by which it varies
	SourcePort uint16   `json:"sourcePort"`
	Fixed      bool     `json:"fixedSourcePort"`
	SeqIsDst   bool     `json:"seqIsDst"`
}

// ScanResult tells what a scan sent.
type ScanResult struct {
	Plan    ScanPlan  `json:"plan"`
	Packets uint64    `json:"packets"`
	Targets uint64    `json:"targets"`
	First   time.Time `json:"first"` // before the first send
	Last    time.Time `json:"last"`  // after the last
	Refused uint64    `json:"refused"`
	Error   string    `json:"error,omitempty"` // the last refusal of the kernel
}

// Mirai's habits.
const (
	miraiRate   = 160
	miraiMain   = 23
	miraiOther  = 2323
	miraiOneIn  = 10
	maxDuration = 10 * time.Minute
	maxPackets  = 1 << 20
)

// strangePorts are where devices of all kinds listen; an unknown family picks
// from them.
var strangePorts = [...]uint16{
	21, 22, 80, 81, 88, 443, 554, 1080, 1900, 3000, 4567, 5000, 5431, 5500, 5555, 6001, 7001, 7547, 8000, 8080, 8081, 8088, 8181, 8291,
	8443, 8888, 9000, 9100, 9527, 10554, 34567, 37215, 37777, 49152, 52869, 60001,
}

func (c ScanConfig) check() error {
	switch {
	case c.Kind != Mirai && c.Kind != Unknown:
		return fmt.Errorf("a scan is %q or %q, not %q", Mirai, Unknown, c.Kind)
	case !c.Source.Is4():
		return fmt.Errorf("scanning from %q: want an IPv4 address", c.Source)
	case !c.Range.IsValid() || !c.Range.Addr().Is4() || c.Range.Bits() < 8 || c.Range.Bits() > 30:
		return fmt.Errorf("scanning %q: want an IPv4 prefix of 8 to 30 bits", c.Range)
	case c.Duration <= 0 || c.Duration > maxDuration:
		return fmt.Errorf("scanning for %s: want up to %s", c.Duration, maxDuration)
	case c.MaxPackets <= 0 || c.MaxPackets > maxPackets:
		return fmt.Errorf("scanning with %d packets: want up to %d", c.MaxPackets, maxPackets)
	}
	return nil
}

// probe is one packet of a scan.
type probe struct {
	wait time.Duration // after the one before
	dst  netip.AddrPort
	src  uint16
	seq  uint32
	id   uint16
	win  uint16
}

// scanner draws a scan's packets.
type scanner struct {
	c    ScanConfig
	plan ScanPlan
	rng  *rand.Rand

	first  uint32 // the range's first address
	size   uint32
	at     uint32 // next offset, in sequential and strided order
	stride uint32
	ports  []uint16 // still to do at this target
	dst    netip.Addr
}

func newScanner(c ScanConfig) *scanner {
	s := &scanner{c: c, rng: rand.New(rand.NewPCG(c.Seed, 0x5ca7))}
	p := c.Range.Masked().Addr().As4()
	s.first = binary.BigEndian.Uint32(p[:])
	s.size = 1 << (32 - c.Range.Bits())
	s.plan = s.draw()
	return s
}

// draw decides how this scan goes about it.
func (s *scanner) draw() ScanPlan {
	p := ScanPlan{SourcePort: uint16(1024 + s.rng.IntN(64000))}
	if s.c.Kind == Mirai {
		p.Ports, p.Order, p.Rate, p.Fixed, p.SeqIsDst = []uint16{miraiMain, miraiOther}, "random", miraiRate, true, true
		return p
	}
	if s.c.Interval > 0 {
		p.Ports, p.Order, p.Rate = []uint16{miraiMain}, "random", float64(time.Second)/float64(s.c.Interval)
		return p
	}
	ports := slices.Clone(strangePorts[:])
	s.rng.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	p.Ports = ports[:1+s.rng.IntN(4)]
	p.Order = [...]string{"random", "sequential", "strided"}[s.rng.IntN(3)]
	p.Rate = 20 + 480*s.rng.Float64()
	p.Jitter = s.rng.Float64()
	p.Fixed = s.rng.IntN(2) == 0
	s.at = s.rng.Uint32N(s.size)
	// An odd stride visits every address of a range whose size is a power of two.
	s.stride = s.rng.Uint32N(s.size)/2*2 + 1
	return p
}

// target draws the next address.
func (s *scanner) target() netip.Addr {
	var off uint32
	switch s.plan.Order {
	case "sequential":
		off = s.at
		s.at = (s.at + 1) % s.size
	case "strided":
		off = s.at
		s.at = (s.at + s.stride) % s.size
	default:
		off = s.rng.Uint32N(s.size)
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], s.first+off)
	return netip.AddrFrom4(b)
}

// next draws the next packet.
func (s *scanner) next() probe {
	p := probe{src: s.plan.SourcePort, id: uint16(s.rng.Uint32()), win: uint16(1 + s.rng.IntN(65535)), seq: s.rng.Uint32()}
	if !s.plan.Fixed {
		p.src = uint16(1024 + s.rng.IntN(64000))
	}
	if s.c.Kind == Mirai {
		port := uint16(miraiMain)
		if s.rng.IntN(miraiOneIn) == 0 {
			port = miraiOther
		}
		s.dst = s.target()
		b := s.dst.As4()
		p.seq = binary.BigEndian.Uint32(b[:])
		p.dst = netip.AddrPortFrom(s.dst, port)
		p.wait = time.Second / miraiRate
		return p
	}
	if len(s.ports) == 0 {
		s.dst = s.target()
		s.ports = s.plan.Ports
		interval := float64(time.Second) / s.plan.Rate
		p.wait = time.Duration(interval * (1 + s.plan.Jitter*(s.rng.Float64()-0.5)))
	}
	p.dst = netip.AddrPortFrom(s.dst, s.ports[0])
	s.ports = s.ports[1:]
	return p
}

// packet writes p as an IPv4 packet with a TCP SYN (RFC 791, RFC 9293).
func (p probe) packet(b []byte, src netip.Addr) []byte {
	b = append(b[:0], make([]byte, 40)...)
	s, d := src.As4(), p.dst.Addr().As4()
	b[0] = 0x45
	binary.BigEndian.PutUint16(b[2:], 40)
	binary.BigEndian.PutUint16(b[4:], p.id)
	b[8], b[9] = 64, 6
	copy(b[12:], s[:])
	copy(b[16:], d[:])
	binary.BigEndian.PutUint16(b[10:], checksum(b[:20], 0))
	t := b[20:]
	binary.BigEndian.PutUint16(t[0:], p.src)
	binary.BigEndian.PutUint16(t[2:], p.dst.Port())
	binary.BigEndian.PutUint32(t[4:], p.seq)
	t[12], t[13] = 5<<4, 0x02 // SYN
	binary.BigEndian.PutUint16(t[14:], p.win)
	// The pseudo header: both addresses, the protocol and the length.
	pseudo := uint32(6 + 20)
	for i := 12; i < 20; i += 2 {
		pseudo += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(t[16:], checksum(t, pseudo))
	return b
}

// checksum is that of RFC 1071 over b, of even length, begun with sum.
func checksum(b []byte, sum uint32) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
