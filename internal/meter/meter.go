// Package meter counts what goes through a gateway: it turns packets into flow
// reports, per-minute features of each device, sightings, and the peers that a
// device in mode learn or shadow was seen to need.
//
// It is fed the packets that the detectors see, ahead of the packet filter; so
// a flow's verdict is asked of Config.Verdict once, when the flow begins, and
// refused flows are counted like others.
//
// Everything is bounded. At most Max flows are open: when another begins, the
// one longest idle is reported and closed, unanswered ones first, so that a
// flood of spoofed sources closes its own flows. A device that opens more than
// FoldAfter flows in a minute has the rest of them folded into one record per
// service, whose Remote has the unspecified address: a scan is reported as a
// number, not as ten thousand lines. Peers, destinations and sightings per
// device have limits of their own (the constants beside them).
//
// Learning is careful. A peer is handed out by TakePeers only after Probation;
// Taint, called for an alert about the device, throws away what was first seen
// within Probation before it, and what is first seen from then on is never
// learned, not even after Cleanse.
//
// A Meter belongs to one goroutine and starts none. Time is that of the
// packets and of Tick.
package meter

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/passivedns"
)

// Config of a Meter. The zero value of a field means what its comment says.
type Config struct {
	Idle   time.Duration // a flow without packets for this long has ended; 30 s
	Active time.Duration // a flow that lasts longer is reported in pieces; 2 min
	Max    int           // flows open at once; 8192

	// Verdict says what enforcement decides on a flow that begins; nil = allowed.
	Verdict func(*Key) (v flow.Verdict, reason, term string)
	// Generation returns that of the policy that Verdict decides by; nil = not known.
	Generation func() uint64
	// Emit takes each report; nil throws them away.
	Emit func(flow.Record)

	Local     []netip.Prefix // networks behind the gateway; empty = the private ranges
	Port      string         // interface that the packets come from, for sightings
	Probation time.Duration  // 2 min
	Names     int            // addresses whose names are remembered; 2048
	FoldAfter int            // flows of one device in one minute that are reported singly; 256
	Routed    bool           // MACs say nothing, addresses alone name devices
}

// Key is what a verdict is asked about.
type Key struct {
	Device    ringwall.DeviceID // "" = none that is known
	Peer      ringwall.DeviceID // the other end, where it is a device too
	Direction flow.Direction
	Proto     uint8
	Local     netip.AddrPort // the device's end
	Remote    netip.AddrPort
	Name      string // by which Remote was found
}

// Device is one device that the meter knows.
type Device struct {
	ID    ringwall.DeviceID
	MAC   string
	IP    netip.Addr
	Learn bool // note its peers: mode learn or shadow
}

// linger is how long after its end a flow waits for the last packets.
const linger = 2 * time.Second

// Stats of a Meter.
type Stats struct {
	Packets  uint64
	Flows    uint64 // begun
	Evicted  uint64 // closed for want of place
	Folded   uint64 // reported as part of a folded record
	Unlinked uint64 // packets that are of no flow: not IP, or fragments without ports
}

// Meter counts; see the package comment.
type Meter struct {
	c     Config
	now   time.Time
	nets  []netip.Prefix
	names *passivedns.Table
	stats Stats

	devices map[ringwall.DeviceID]*device
	byMAC   map[packet.MAC]*device
	byIP    map[netip.Addr]*device
	nobody  *device // what is of no known device

	seed   maphash.Seed
	flows  table
	share  float64 // of the room for reports that is taken
	free   *entry
	fresh  list // not answered yet, longest idle first
	steady list // answered
	folds  map[foldKey]*flow.Record

	features []api.Features
	sights   map[sightKey]*sight
}

// New makes a meter.
func New(c Config) *Meter {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&c.Idle, 30*time.Second)
	def(&c.Active, 2*time.Minute)
	def(&c.Probation, 2*time.Minute)
	if c.Max <= 0 {
		c.Max = 8192
	}
	if c.Names <= 0 {
		c.Names = 2048
	}
	if c.FoldAfter <= 0 {
		c.FoldAfter = 256
	}
	if c.Verdict == nil {
		c.Verdict = func(*Key) (flow.Verdict, string, string) { return flow.Allowed, "", "" }
	}
	if c.Emit == nil {
		c.Emit = func(flow.Record) {}
	}
	m := &Meter{
		c: c, nets: c.Local, names: passivedns.NewTable(c.Names, 24*time.Hour, 0),
		devices: map[ringwall.DeviceID]*device{}, byMAC: map[packet.MAC]*device{}, byIP: map[netip.Addr]*device{},
		nobody: newDevice(Device{}), seed: maphash.MakeSeed(), folds: map[foldKey]*flow.Record{}, sights: map[sightKey]*sight{},
	}
	m.flows.init(m.seed, c.Max)
	m.fresh.init()
	m.steady.init()
	if len(m.nets) == 0 {
		for _, s := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"} {
			m.nets = append(m.nets, netip.MustParsePrefix(s))
		}
	}
	return m
}

// Press says how much of the room for reports is taken, from 0 to 1. From a half
// on, fewer flows of a device are reported singly, and answered ones are folded too:
// what is counted together is not lost.
func (m *Meter) Press(share float64) { m.share = share }

const (
	pressed  = 0.5 // from which share on more is folded
	leastOne = 8   // flows of a device and minute that are reported singly whatever the share
)

func (m *Meter) foldAfter() int {
	if m.share < pressed {
		return m.c.FoldAfter
	}
	return max(min(leastOne, m.c.FoldAfter), int(float64(m.c.FoldAfter)*(1-m.share)/(1-pressed)))
}

// Stats returns what was done so far.
func (m *Meter) Stats() Stats { return m.stats }

// SetDevices replaces the devices that are known. What was gathered about one
// that stays is kept; flows that are open keep their device.
func (m *Meter) SetDevices(list []Device) {
	old := m.devices
	m.devices, m.byMAC, m.byIP = map[ringwall.DeviceID]*device{}, map[packet.MAC]*device{}, map[netip.Addr]*device{}
	for _, d := range list {
		x := old[d.ID]
		if x == nil {
			x = newDevice(d)
		}
		x.Device = d
		m.devices[d.ID] = x
		if mac, ok := packet.ParseMAC(d.MAC); ok {
			m.byMAC[mac] = x
		}
		if d.IP.IsValid() {
			m.byIP[d.IP.Unmap()] = x
		}
	}
	for id, x := range old {
		if m.devices[id] == nil {
			m.closeMinute(x, true)
		}
	}
}

// Packet counts one packet.
func (m *Meter) Packet(p *packet.Packet) {
	m.stats.Packets++
	if p.Time.After(m.now) || m.now.Sub(p.Time) > time.Minute { // the second: the clock was set back
		m.now = p.Time
	}
	m.see(p)
	if !p.IP() {
		m.stats.Unlinked++
		return
	}
	t, opener, ok := tupleOf(p)
	if !ok {
		m.stats.Unlinked++
		return
	}
	e := m.flows.find(&t)
	if e != nil && (p.Time.Sub(e.rec.End) > m.c.Idle || e.done && p.Flags&(packet.SYN|packet.ACK) == packet.SYN) {
		m.close(e)
		e = nil
	}
	if e == nil {
		e = m.begin(p, t, opener)
	}
	m.count(p, t, e, opener)
	if p.Has(packet.UDP) && p.SrcPort == 53 && e.answered {
		_ = passivedns.Parse(p.Payload, func(name []byte, a netip.Addr) { m.names.Note(name, a, p.Time) }) // a broken answer names what it named before it broke
	}
}

// Tick lets time pass: flows that are idle or long are reported, minutes are
// closed. Call it about once a second.
func (m *Meter) Tick(now time.Time) {
	if now.After(m.now) || m.now.Sub(now) > time.Minute {
		m.now = now
	}
	for _, l := range [...]*list{&m.fresh, &m.steady} {
		for e := l.oldest(); e != nil && m.now.Sub(e.rec.End) > m.c.Idle; e = l.oldest() {
			m.close(e)
		}
	}
	for e := m.steady.oldest(); e != nil; {
		next := m.steady.after(e)
		switch {
		case e.done && m.now.Sub(e.rec.End) > linger:
			m.close(e)
		case m.now.Sub(e.rec.Start) > m.c.Active:
			m.split(e)
		}
		e = next
	}
	for _, d := range m.devices {
		m.closeMinute(d, false)
	}
	m.closeMinute(m.nobody, false)
	m.emitFolds(false)
}

// Flush reports everything that is open, as at the end of a file or a stop.
func (m *Meter) Flush() {
	for _, l := range [...]*list{&m.fresh, &m.steady} {
		for e := l.oldest(); e != nil; e = l.oldest() {
			m.close(e)
		}
	}
	m.emitFolds(true)
	for _, d := range m.devices {
		m.closeMinute(d, true)
	}
	m.closeMinute(m.nobody, true)
}

func (m *Meter) local(a netip.Addr) bool {
	for _, n := range m.nets {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// who returns the device of one end of a packet, nil for none: by MAC first,
// since addresses are easily written, then by an address whose MAC fits.
func (m *Meter) who(addr netip.Addr, mac packet.MAC) *device {
	if d := m.byMAC[mac]; d != nil && !m.c.Routed {
		return d
	}
	d := m.byIP[addr]
	if d == nil || m.c.Routed || d.MAC == "" || mac == (packet.MAC{}) {
		return d
	}
	return nil
}
