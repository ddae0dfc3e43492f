package agent

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/meter"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/tap"
	"github.com/ringwall/ringwall/internal/task"
)

// watch hands packets to the detectors and the meter.
type watch struct {
	agent *Agent
	taps  []*listener
	pend  atomic.Pointer[view] // devices that the meter does not know yet

	// mu is held for each packet: detectors and meter belong to one goroutine at
	// a time. Whoever reacts to alerts never takes it, since the taps may wait
	// for him while they hold it.
	mu     sync.Mutex
	engine *detect.Engine
	meter  *meter.Meter
	nets   []netip.Prefix
	number uint64 // of the last packet
	failed uint64 // packets that could not be decoded
	ports  map[packet.MAC]string
	twins  *twins
	self   map[packet.MAC]bool        // of the gateway's interfaces
	own    map[netip.Addr]bool        // addresses of the gateway
	fell   map[ringwall.DeviceID]bool // tainted devices whose trust has fallen since
	muds   once[mudTold]
	firsts *firsts
}

// listener is one tap.
type listener struct {
	iface  string
	uplink bool
	tap    *tap.Tap // nil while the interface is not there
}

// maxPorts bounds the hosts whose port is remembered.
const maxPorts = 4096

func newWatch(a *Agent) *watch {
	w := &watch{
		agent: a, ports: map[packet.MAC]string{}, twins: newTwins(),
		muds: once[mudTold]{every: mudURLEvery, most: maxMUDURLs}, firsts: newFirsts(),
	}
	w.learnSelf()
	w.rebuild(nil)
	return w
}

// learnSelf notes the gateway's own addresses.
func (w *watch) learnSelf() {
	self, own := map[packet.MAC]bool{}, map[netip.Addr]bool{}
	ifaces, err := net.Interfaces()
	if err != nil {
		return // what was known stays
	}
	for _, i := range ifaces {
		if len(i.HardwareAddr) == 6 {
			self[packet.MAC(i.HardwareAddr)] = true
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				own[p.Addr().Unmap()] = true
			}
		}
	}
	w.self, w.own = self, own
}

// localNets returns the networks behind the gateway: what the desired state
// says, else those of its own interfaces towards devices, else nil for the
// private ranges.
func (w *watch) localNets(d api.Desired) []netip.Prefix {
	if len(d.LocalNets) > 0 {
		return d.LocalNets
	}
	var out []netip.Prefix
	for _, name := range append(slices.Clone(w.agent.cfg.LAN), w.agent.cfg.Bridge) {
		i, err := net.InterfaceByName(name)
		if err != nil {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
				out = append(out, p.Masked())
			}
		}
	}
	return out
}

// rebuild makes the detectors and the meter for these networks.
func (w *watch) rebuild(nets []netip.Prefix) {
	if w.meter != nil {
		w.meter.Flush()
	}
	w.nets = nets
	w.engine = detect.New(detect.Config{Now: w.agent.cfg.Now, Local: nets, Alert: w.agent.alerted})
	w.meter = meter.New(meter.Config{Local: nets, Probation: w.agent.cfg.Probation, Verdict: w.verdict, Generation: w.generation, Emit: w.emit})
	debug.FreeOSMemory() // the tables that were there before are large
}

// setDevices makes the devices known that the desired state names. It does
// not wait for the taps.
func (w *watch) setDevices(v *view) { w.pend.Store(v) }

// adopt takes what setDevices left. The caller holds mu.
func (w *watch) adopt() {
	v := w.pend.Swap(nil)
	if v == nil {
		return
	}
	if nets := w.localNets(v.desired); !slices.Equal(nets, w.nets) {
		w.rebuild(nets)
	}
	seen := make([]detect.Device, 0, len(v.desired.Devices))
	counted := make([]meter.Device, 0, len(v.desired.Devices))
	for _, d := range v.desired.Devices {
		seen = append(seen, detect.Device{ID: d.Device, MAC: d.Binding.MAC, IP: d.Binding.IP, Learned: d.Learned, Terms: d.Terms, Mode: d.Mode, Assessor: d.Assessor, Cleared: v.cleared[d.Device]})
		counted = append(counted, meter.Device{ID: d.Device, MAC: d.Binding.MAC, IP: d.Binding.IP, Learn: d.Mode != ringwall.Enforce})
	}
	w.engine.SetDevices(seen)
	w.meter.SetDevices(counted)
	w.cleanse(v.desired.Devices)
}

// taint ends learning for a device. The detectors call it by way of an alert,
// so mu is held.
func (w *watch) taint(dev ringwall.DeviceID, at time.Time) { w.meter.Taint(dev, at) }

func (w *watch) tasks() []task.Task {
	var out []task.Task
	for _, name := range w.agent.cfg.taps() {
		l := &listener{iface: name, uplink: name == w.agent.cfg.Uplink}
		w.taps = append(w.taps, l)
		out = append(out, task.Func("tap "+name, func(ctx context.Context, ready func()) error { return w.listen(ctx, l, ready) }))
	}
	return append(out, task.Func("seconds", w.seconds))
}

// retryTap is how long a tap waits for an interface that went away.
const retryTap = time.Second

// listen taps an interface for as long as the program runs: an interface that
// goes away, as a cable does, is waited for.
func (w *watch) listen(ctx context.Context, l *listener, ready func()) error {
	log := w.agent.log.With("interface", l.iface)
	for first := true; ctx.Err() == nil; first = false {
		t, err := tap.Open(tap.Config{Interface: l.iface, RingBytes: w.agent.cfg.RingBytes / len(w.taps), IgnoreOutgoing: l.uplink})
		if err == nil {
			w.mu.Lock()
			l.tap = t
			w.mu.Unlock()
			ready()
			var p packet.Packet
			link := t.Link()
			err = t.Run(ctx, func(data []byte, ts time.Time, origLen int) { w.packet(l, link, &p, data, ts, origLen) })
			w.mu.Lock()
			l.tap = nil
			w.mu.Unlock()
			t.Close()
		}
		if ctx.Err() != nil {
			return nil
		}
		if first {
			log.Warn("interface cannot be watched; trying again", "err", err)
		}
		ready() // the gateway serves also while a cable is out
		select {
		case <-ctx.Done():
		case <-time.After(retryTap):
		}
	}
	return nil
}

// packet judges one packet, once: where it comes in, ahead of the packet
// filter.
func (w *watch) packet(l *listener, link packet.LinkType, p *packet.Packet, data []byte, ts time.Time, origLen int) {
	err := packet.Decode(link, data, p)
	p.Time, p.OrigLen = ts, origLen
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failed++
	}
	w.judge(l, p)
}

// judge hands p to the detectors and the meter if it comes in here. The caller
// holds mu.
func (w *watch) judge(l *listener, p *packet.Packet) {
	w.number++
	p.Number = w.number
	if !w.comesIn(l, p) {
		return
	}
	if !l.uplink && !w.self[p.SrcMAC] && p.SrcMAC != (packet.MAC{}) && w.ports[p.SrcMAC] != l.iface {
		w.sits(p.SrcMAC, l.iface)
	}
	if !l.uplink {
		w.mud(p)
	}
	w.adopt()
	w.engine.Packet(p)
	w.meter.Packet(p)
}

// sits notes at which port a host is. Where there are too many, any gives way:
// one that is there is noted again with its next packet.
func (w *watch) sits(mac packet.MAC, port string) {
	if _, known := w.ports[mac]; !known && len(w.ports) >= maxPorts {
		for any := range w.ports {
			delete(w.ports, any)
			break
		}
	}
	w.ports[mac] = port
}

// comesIn reports whether p is judged where it is seen now. Each packet is
// judged once: where it comes in, ahead of the packet filter, but for what
// comes from the world. What goes on in a TCP connection is judged where it
// leaves towards its device, on the port where the device's answers come in:
// the two directions then stand in one ring and so in order, which inspection
// needs. What such a connection begins with, and all that is not TCP, the
// filter may refuse: it is judged at the uplink or on the device's port,
// wherever it is read first (see twins). And what the gateway says itself is
// judged: its DNS answers tell by which names devices call. Its proxy ARP is no
// claim of a stranger's. Behind a masquerade the uplink is not watched.
func (w *watch) comesIn(l *listener, p *packet.Packet) bool {
	ours := w.self[p.SrcMAC]
	goesOn := p.Has(packet.TCP) && p.Flags&packet.ACK != 0
	switch {
	case l.uplink:
		return !ours && p.IP() && w.local(p.Dst) && !goesOn && w.twins.first(p, true)
	case !ours:
		return true
	case !p.IP():
		return false
	case w.own[p.Src]:
		return true
	case w.local(p.Src):
		return false
	}
	port, known := w.ports[p.DstMAC]
	switch {
	case known && port != l.iface:
		return false // a bridge that has forgotten where a host is hands out copies on all ports
	case goesOn, w.agent.cfg.Masquerade:
		return true
	}
	return known && w.twins.first(p, false)
}

func (w *watch) local(a netip.Addr) bool {
	if len(w.nets) == 0 {
		return a.IsPrivate() || a.IsLinkLocalUnicast()
	}
	return slices.ContainsFunc(w.nets, func(n netip.Prefix) bool { return n.Contains(a) })
}

// seconds lets time pass for the detectors and the meter, and tells of the
// presence of hosts.
func (w *watch) seconds(ctx context.Context, ready func()) error {
	ready()
	t := time.NewTicker(time.Second)
	defer t.Stop()
	pr := presence{agent: w.agent, told: map[hostKey]api.Sighting{}}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			w.mu.Lock()
			w.meter.Flush()
			w.mu.Unlock()
			return nil
		case <-t.C:
			now := w.agent.cfg.Now()
			w.agent.memory.follow()
			share := w.agent.books.pressure().Share()
			w.mu.Lock()
			w.adopt()
			w.meter.Press(share)
			w.engine.Tick(now)
			w.meter.Tick(now)
			var sights []api.Sighting
			if n%2 == 0 {
				sights = w.sightings()
			}
			w.mu.Unlock()
			if n%2 == 0 {
				pr.tell(now, sights)
			}
			if n%60 == 0 {
				w.mu.Lock()
				w.learnSelf()
				w.mu.Unlock()
			}
		}
	}
}

// sightings returns who was seen, without the gateway itself, and without those
// of the world who write a sender's address of ours. The caller holds mu.
func (w *watch) sightings() []api.Sighting {
	all := w.meter.Sightings()
	out := all[:0]
	for _, s := range all {
		mac, ok := packet.ParseMAC(s.MAC)
		port, here := w.ports[mac]
		if !ok || !here || w.self[mac] || mac.Multicast() {
			continue
		}
		s.Port = port
		out = append(out, s)
	}
	return out
}

func (w *watch) generation() uint64 {
	if v := w.agent.view.Load(); v != nil {
		return v.desired.Generation
	}
	return 0
}

// emit writes down a flow report.
func (w *watch) emit(r flow.Record) {
	r.First = r.Verdict == flow.Refused && w.firsts.first(r.Device, r.Remote.String(), r.Reason, r.End)
	b, err := r.MarshalBinary()
	if err != nil {
		w.agent.books.miss(api.RecordFlow)
		w.agent.log.Debug("flow report cannot be encoded", "err", err)
		return
	}
	w.agent.books.note(api.RecordFlow, b)
}

// verdict says what the packet filter decides on a flow that begins.
func (w *watch) verdict(k *meter.Key) (flow.Verdict, string, string) {
	v := w.agent.view.Load()
	switch {
	case v == nil || v.desired.Generation == 0:
		return flow.Refused, "closed", ""
	case w.own[k.Remote.Addr()] || w.own[k.Local.Addr()]:
		return flow.Allowed, "gateway", ""
	}
	f := policy.Flow{
		Direction: api.Direction(k.Direction), Local: k.Local, Remote: k.Remote, Proto: protoName(k.Proto), RemoteDevice: k.Peer,
	}
	if k.Name != "" {
		f.Names = []string{k.Name}
	}
	out := w.decide(v, k.Device, f)
	if out.Inspect && w.agent.inspector == nil {
		out = policy.Verdict{Reason: policy.ReasonInspect, Term: out.Term} // nobody looks: refused
	}
	if k.Peer == "" || !out.Pass {
		return outcome(out)
	}
	// Behind the same gateway the policies of both must allow it.
	g := policy.Flow{Direction: api.ToDevice, Local: f.Remote, Remote: f.Local, Proto: f.Proto, RemoteDevice: k.Device}
	if f.Direction == api.ToDevice {
		g.Direction = api.FromDevice
	}
	if other := w.decide(v, k.Peer, g); !other.Pass || other.Would {
		return outcome(other)
	}
	return outcome(out)
}

func (w *watch) decide(v *view, dev ringwall.DeviceID, f policy.Flow) policy.Verdict {
	d := v.device[dev]
	if d == nil {
		if v.desired.Arrival == ringwall.Enforce {
			return policy.Verdict{Reason: "stranger"}
		}
		return policy.Verdict{Pass: true, Reason: policy.ReasonLearn}
	}
	f.At = w.agent.control.now()
	return v.site.Decide(d, v.inForce[dev], &f)
}

func outcome(v policy.Verdict) (flow.Verdict, string, string) {
	switch {
	case v.Inspect:
		// The inspector tells what stood inside in a report of its own.
		return flow.Allowed, policy.ReasonInspect, v.Term
	case !v.Pass:
		return flow.Refused, v.Reason, v.Term
	case v.Would:
		return flow.WouldRefuse, v.Reason, v.Term
	}
	return flow.Allowed, v.Reason, v.Term
}

// protoName names a protocol as package policy wants it.
func protoName(p uint8) string {
	if n := flow.ProtoName(p); n != "any" {
		return n
	}
	return fmt.Sprint(p)
}

// counts returns what the taps have seen and lost.
func (w *watch) counts() (packets, drops uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.taps {
		if l.tap != nil {
			drops += l.tap.Stats().Drops
		}
	}
	return w.number, drops
}

// unwatched names the interfaces that are not tapped now.
func (w *watch) unwatched() (names []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.taps {
		if l.tap == nil {
			names = append(names, l.iface)
		}
	}
	return names
}
