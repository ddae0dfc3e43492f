package meter

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
)

const (
	// maxPeers bounds the peers that are noted of one device between two
	// TakePeers, maxTainted those that are remembered as never to be learned.
	maxPeers   = 512
	maxTainted = 4096
	// maxDests bounds the destinations that are told apart within one minute,
	// maxKnown those that are remembered as not new.
	maxDests = 1024
	maxKnown = 4096
	// oneWay is after how many packets of UDP without an answer (reports to a
	// log server, video) the other end is a peer.
	oneWay = 8
	// maxMinutes bounds the closed minutes that wait for TakeFeatures.
	maxMinutes = 4096
)

// peerKey names a peer.
type peerKey struct {
	dir    api.Direction
	addr   netip.Addr // invalid when there is a domain
	domain string
	proto  string
	port   uint16
}

// device is what the meter holds of one device.
type device struct {
	Device
	peers   map[peerKey]*api.Peer
	tainted map[peerKey]struct{}
	since   time.Time // of the alert that ended learning; zero = it goes on

	min        api.Features
	ends       ends
	ports      []uint16 // of this minute, sorted
	beats      []beat
	foldMinute int64
	single     int // reports in this minute
}

func newDevice(d Device) *device { return &device{Device: d} }

// reported counts one more report in this minute.
func (d *device) reported(now time.Time) int {
	if m := now.Unix() / 60; m != d.foldMinute {
		d.foldMinute, d.single = m, 0
	}
	d.single++
	return d.single
}

// learn notes the other end of a flow for the devices at its ends.
func (m *Meter) learn(e *entry) {
	r := &e.rec
	if r.Verdict == flow.Refused || !unicast(r.Remote.Addr()) || !unicast(r.Local.Addr()) {
		return
	}
	service := r.Remote.Port()
	if r.Direction == flow.ToDevice {
		service = r.Local.Port()
	}
	proto := flow.ProtoName(r.Proto)
	if proto == "icmp" {
		service = 0
	}
	if e.dev != m.nobody {
		m.note(e.dev, api.Direction(r.Direction), r.Remote.Addr(), r.Name, proto, service, r.Start)
	}
	if e.peer != nil && e.peer != e.dev {
		dir := api.ToDevice
		if r.Direction == flow.ToDevice {
			dir = api.FromDevice
		}
		m.note(e.peer, dir, r.Local.Addr(), "", proto, service, r.Start)
	}
}

func unicast(a netip.Addr) bool {
	return !a.IsMulticast() && !a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

func (m *Meter) note(d *device, dir api.Direction, addr netip.Addr, name, proto string, port uint16, at time.Time) {
	if !d.Learn {
		return
	}
	k := peerKey{dir: dir, addr: addr, proto: proto, port: port}
	if name != "" && dir == api.FromDevice {
		k.addr, k.domain = netip.Addr{}, name
	}
	if _, never := d.tainted[k]; never {
		return
	}
	if p := d.peers[k]; p != nil {
		p.Count++
		return
	}
	if !d.since.IsZero() {
		// First seen after an alert: never a need of the device.
		d.taint(k)
		return
	}
	if len(d.peers) < maxPeers {
		if d.peers == nil {
			d.peers = map[peerKey]*api.Peer{}
		}
		d.peers[k] = &api.Peer{Direction: dir, Addr: k.addr, Domain: k.domain, Proto: proto, Port: port, First: at, Count: 1}
	}
}

// TakePeers returns the peers of a device that have passed probation since the
// last call, the oldest first.
func (m *Meter) TakePeers(id ringwall.DeviceID) []api.Peer {
	d := m.devices[id]
	if d == nil {
		return nil
	}
	var out []api.Peer
	for k, p := range d.peers {
		if p.Count > 0 && m.now.Sub(p.First) >= m.c.Probation {
			out = append(out, *p)
			// It stays known, so that an alert to come does not taint it; what
			// is counted from here is told next time.
			d.peers[k].Count = 0
		}
	}
	slices.SortFunc(out, func(a, b api.Peer) int {
		if c := a.First.Compare(b.First); c != 0 {
			return c
		}
		return strings.Compare(a.Domain+a.Addr.String()+a.Proto, b.Domain+b.Addr.String()+b.Proto)
	})
	return out
}

// Taint ends learning for a device: an alert at this time was about it.
func (m *Meter) Taint(id ringwall.DeviceID, at time.Time) {
	d := m.devices[id]
	if d == nil {
		return
	}
	if d.since.IsZero() || at.Before(d.since) {
		d.since = at
	}
	for k, p := range d.peers {
		if p.First.After(at.Add(-m.c.Probation)) {
			delete(d.peers, k)
			d.taint(k)
		}
	}
}

// taint notes a peer that is never to be learned.
func (d *device) taint(k peerKey) {
	if len(d.tainted) >= maxTainted {
		return
	}
	if d.tainted == nil {
		d.tainted = map[peerKey]struct{}{}
	}
	d.tainted[k] = struct{}{}
}

// Tainted reports whether learning has ended for a device.
func (m *Meter) Tainted(id ringwall.DeviceID) bool {
	d := m.devices[id]
	return d != nil && !d.since.IsZero()
}

// Cleanse lets a device learn again, after it was cleaned and assessed. Peers
// first seen while it was tainted stay unlearned.
func (m *Meter) Cleanse(id ringwall.DeviceID) {
	if d := m.devices[id]; d != nil {
		d.since = time.Time{}
	}
}

// minute returns the features of the minute that t lies in.
func (m *Meter) minute(d *device, t time.Time) *device {
	from := t.Truncate(time.Minute)
	if !d.min.From.Equal(from) && from.After(d.min.From) {
		m.closeMinuteOf(d)
		d.min = api.Features{Device: d.ID, From: from}
		d.anew()
	}
	return d
}

// begun counts a flow that begins; to is the hash of the address of its other end.
func (d *device) begun(e *entry, to uint64) {
	d.min.Flows++
	if e.rec.Direction != flow.FromDevice {
		return
	}
	d.beat(to, e.rec.Start)
	p := e.rec.Remote.Port()
	if i, there := slices.BinarySearch(d.ports, p); !there && len(d.ports) < maxDests {
		d.ports = slices.Insert(d.ports, i, p)
		d.min.Ports = uint64(len(d.ports))
	}
	if d.min.Dests >= maxDests {
		return
	}
	if again, known := d.ends.begun(to); !again {
		d.min.Dests++
		if !known {
			d.min.NewDests++
		}
	}
}

// anew begins another minute.
func (d *device) anew() {
	d.ends.anew()
	d.ports = d.ports[:0]
	if cap(d.ports) > fewPorts {
		d.ports = nil // a scan is over
	}
}

// fewPorts is how many ports are kept room for from one minute to the next.
const fewPorts = 64

// closeMinute closes the minute of a device if it has passed.
func (m *Meter) closeMinute(d *device, force bool) {
	if !d.min.From.IsZero() && (force || m.now.Sub(d.min.From) >= time.Minute) {
		m.closeMinuteOf(d)
		d.min = api.Features{}
		d.anew()
	}
}

func (m *Meter) closeMinuteOf(d *device) {
	if d == m.nobody || d.min.From.IsZero() || d.min.Flows+d.min.PktsUp+d.min.PktsDn+d.min.Unanswered == 0 {
		return
	}
	d.regular()
	if len(m.features) < maxMinutes {
		m.features = append(m.features, d.min)
	}
}

// TakeFeatures returns the minutes that have closed since the last call.
func (m *Meter) TakeFeatures() []api.Features {
	out := m.features
	m.features = nil
	slices.SortFunc(out, func(a, b api.Features) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return strings.Compare(string(a.Device), string(b.Device))
	})
	return out
}
