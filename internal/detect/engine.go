package detect

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/passivedns"
)

// nameLife is how long a DNS answer names its address: devices keep using an
// address for long after the answer has formally expired.
const nameLife = 24 * time.Hour

// tickEvery is how often, in packet time, hosts are looked at whose contacts
// have had time to answer.
const tickEvery = int64(250 * time.Millisecond)

// Config of an Engine.
type Config struct {
	// Now is asked by Tick when it is given no time; nil is time.Now. Packets
	// carry their own.
	Now func() time.Time
	// Local are the networks of our own; empty means the private ranges of
	// RFC 1918, RFC 6598, RFC 3927 and RFC 4193, and IPv6 link-local.
	Local []netip.Prefix
	// Alert is called for each alert, on the goroutine that calls Packet.
	Alert func(ringwall.Alert)
	// Limits bounds memory; the zero value is Gateway.
	Limits Limits
	// Off names rules that are not to speak.
	Off []string
	// Routed says that the tap sits behind a router, so that MACs say nothing
	// about devices and addresses alone name them.
	Routed bool
	// Seed makes the tables' hash reproducible, for tests; 0 draws a secret.
	Seed uint64
}

// DefaultLocal returns the networks that Config.Local means when it is empty.
func DefaultLocal() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Stats of an Engine.
type Stats struct {
	Packets    uint64
	Alerts     uint64
	Suppressed uint64 // alerts about addresses over MaxAddressAlerts
}

// Engine is the detector engine; see the package comment.
type Engine struct {
	alert   func(ringwall.Alert)
	wall    func() time.Time
	off     [ruleCount]bool
	limits  Limits
	routed  bool
	records bool // evidence is numbered by record, not by packet
	hash    hasher

	nets4 []net4
	nets6 []netip.Prefix

	pending atomic.Pointer[[]*known] // set by SetDevices from anywhere
	devices []*known                 // by slot; nil = free
	byMAC   map[uint64]int32         // by macKey
	byIP    map[uint64]int32         // by hash of the address

	conns     conns
	endpoints endpoints
	logins    endpoints // refusals that were read
	pairs     pairs
	hosts     hosts // of the local networks
	strangers hosts // of outside
	routers   routers
	names     *passivedns.Table
	tellers   [ruleCount]teller

	now, ticked int64
	upAt        int64 // when a host of the Internet last answered one of ours; 0 = never
	stats       Stats
}

type net4 struct{ mask, value, broadcast uint32 }

// New makes an engine and all its tables.
func New(c Config) *Engine {
	if c.Alert == nil {
		c.Alert = func(ringwall.Alert) {}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if len(c.Local) == 0 {
		c.Local = DefaultLocal()
	}
	l := c.Limits.orDefault()
	e := &Engine{
		alert: c.Alert, wall: c.Now, limits: l, routed: c.Routed,
		byMAC: map[uint64]int32{}, byIP: map[uint64]int32{},
		hash:  hasher{rand.Uint64() | 1, rand.Uint64() | 1},
		names: passivedns.NewTable(l.Names, nameLife, c.Seed),
	}
	if c.Seed != 0 {
		e.hash = hasher{mix(c.Seed, 0x9e3779b97f4a7c15) | 1, mix(c.Seed, 0xd6e8feb86659fd93) | 1}
	}
	e.conns.init(l.Conns)
	e.endpoints.init(l.Endpoints)
	e.logins.init(l.Endpoints / loginShare)
	e.pairs.init(l.Pairs)
	e.hosts.init(l.Hosts, l.Newcomers)
	e.strangers.init(l.Strangers, l.Newcomers)
	for _, p := range c.Local {
		p = p.Masked()
		if !p.Addr().Is4() {
			e.nets6 = append(e.nets6, p)
			continue
		}
		v := p.Addr().As4()
		n := net4{mask: ^uint32(0) << (32 - p.Bits()), value: binary.BigEndian.Uint32(v[:])}
		n.broadcast = n.value | ^n.mask
		e.nets4 = append(e.nets4, n)
	}
	for i, r := range rules {
		e.off[i] = slices.Contains(c.Off, r.Name)
	}
	return e
}

// Stats returns what was done so far.
func (e *Engine) Stats() Stats { return e.stats }

// Packet judges one packet.
func (e *Engine) Packet(p *packet.Packet) {
	e.adopt()
	e.stats.Packets++
	now := e.clock(p.Time)
	switch {
	case p.Layers&packet.TCP != 0:
		e.tcp(p, now)
	case p.Layers&packet.UDP != 0:
		e.udp(p, now)
	case p.Layers&packet.ICMP != 0:
		e.icmp(p, now)
	case p.Layers&packet.ICMPv6 != 0:
		e.icmp6(p, now)
	case p.Layers&packet.ARP != 0:
		e.arp(p, now)
	}
}

// Tick lets time pass: it judges what has not been answered by now. Call it
// about once a second on a live tap, and once after the last packet of a file.
// The zero time means now.
func (e *Engine) Tick(now time.Time) {
	e.adopt()
	if now.IsZero() {
		now = e.wall()
	}
	e.tick(e.clock(now))
}

// clock returns the time by which a packet is judged. It does not go back for
// packets that come out of order, and it follows a clock that was set back.
func (e *Engine) clock(t time.Time) int64 {
	now := t.UnixNano()
	if now > e.now || e.now-now > int64(time.Minute) {
		e.now = now
	}
	if d := e.now - e.ticked; d >= tickEvery || d < 0 {
		e.ticked = e.now
		e.tick(e.now)
	}
	return e.now
}

func (e *Engine) tick(now int64) {
	for _, d := range e.devices {
		if d != nil && d.host != nil {
			e.fanoutLate(d.host, now)
		}
	}
	for i := range e.hosts.slots {
		if h := &e.hosts.slots[i]; h.tag != 0 {
			e.fanoutLate(h, now)
		}
	}
	for i := range e.strangers.slots {
		if h := &e.strangers.slots[i]; h.tag != 0 {
			e.fanoutLate(h, now)
		}
	}
}

// recent reports whether at lies in the window before now; a time after now,
// from before the clock was set back, does not.
func recent(at, now int64, window time.Duration) bool {
	d := now - at
	return d >= 0 && d <= int64(window)
}
