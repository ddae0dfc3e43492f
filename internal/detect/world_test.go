package detect_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/packet"
)

var (
	cam      = netip.MustParseAddr("10.77.0.10")
	goodCam  = netip.MustParseAddr("10.77.0.11")
	phone    = netip.MustParseAddr("10.77.0.30")
	gateway  = netip.MustParseAddr("10.77.0.1")
	cloud    = netip.MustParseAddr("198.51.100.20")
	loader   = netip.MustParseAddr("198.51.100.66")
	command  = netip.MustParseAddr("198.51.100.67")
	stranger = netip.MustParseAddr("203.0.113.5")
	began    = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

const (
	camID  = ringwall.DeviceID("dev_cam")
	goodID = ringwall.DeviceID("dev_good")
)

var macs = map[netip.Addr]packet.MAC{cam: {2, 0, 0, 0, 0, 0x10}, goodCam: {2, 0, 0, 0, 0, 0x11}, phone: {2, 0, 0, 0, 0, 0x30}}

// home are two cameras; the good one was learned, the bad one is new.
func homeDevices() []detect.Device {
	return []detect.Device{
		{ID: camID, MAC: macs[cam].String(), IP: cam},
		{ID: goodID, MAC: macs[goodCam].String(), IP: goodCam, Mode: ringwall.Enforce, Learned: []api.Peer{
			{Direction: api.FromDevice, Domain: "cloud.example", Proto: "tcp", Port: 443},
			{Direction: api.FromDevice, Addr: gateway, Proto: "udp", Port: 53},
			{Direction: api.ToDevice, Addr: phone, Proto: "tcp", Port: 554},
		}},
	}
}

// world sends packets to an engine and keeps its alerts.
type world struct {
	t      testing.TB
	engine *detect.Engine
	now    time.Time
	n      uint64
	alerts []ringwall.Alert
	port   uint16
}

func newWorld(t testing.TB, c detect.Config, devices []detect.Device) *world {
	w := &world{t: t, now: began, port: 40000}
	c.Alert = func(a ringwall.Alert) { w.alerts = append(w.alerts, a) }
	c.Local = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}
	if c.Seed == 0 {
		c.Seed = 42
	}
	w.engine = detect.New(c)
	w.engine.SetDevices(devices)
	return w
}

func (w *world) send(p packet.Packet) {
	w.n++
	p.Number, p.Time = w.n, w.now
	if p.SrcMAC == (packet.MAC{}) {
		p.SrcMAC = packet.MAC{2, 0, 0, 0, 0, 1}
		if m, ok := macs[p.Src]; ok {
			p.SrcMAC = m
		}
	}
	p.Layers |= packet.Link
	w.engine.Packet(&p)
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.engine.Tick(w.now)
}

// seg sends one TCP segment.
func (w *world) seg(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, f packet.Flags, seq uint32, text string) {
	w.send(packet.Packet{Layers: packet.IPv4 | packet.TCP, Proto: 6, Src: src, Dst: dst, SrcPort: sport, DstPort: dport, Flags: f, Seq: seq,
		Payload: []byte(text), PayloadLen: len(text), IPLen: 40 + len(text)})
}

func (w *world) dgram(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, text string) {
	w.send(packet.Packet{Layers: packet.IPv4 | packet.UDP, Proto: 17, Src: src, Dst: dst, SrcPort: sport, DstPort: dport, Payload: []byte(text), PayloadLen: len(text), IPLen: 28 + len(text)})
}

// dial is one TCP connection.
type dial struct {
	w            *world
	src, dst     netip.Addr
	sport, dport uint16
	up, down     uint32 // what comes next
	first        uint32 // of the opener's bytes
}

// dial is a connection that is yet to be opened.
func (w *world) dial(src, dst netip.Addr, dport uint16) *dial {
	w.port++
	first := uint32(w.port)*77777 + 1
	return &dial{w: w, src: src, dst: dst, sport: w.port, dport: dport, first: first, up: first, down: uint32(w.port)*55555 + 1}
}

func (d *dial) open() { d.w.seg(d.src, d.sport, d.dst, d.dport, packet.SYN, d.first-1, "") }

func (d *dial) answer() {
	d.w.send(packet.Packet{Layers: packet.IPv4 | packet.TCP, Proto: 6, Src: d.dst, Dst: d.src, SrcPort: d.dport, DstPort: d.sport,
		Flags: packet.SYN | packet.ACK, Seq: d.down - 1, AckNum: d.up, IPLen: 40})
	d.w.seg(d.src, d.sport, d.dst, d.dport, packet.ACK, d.up, "")
}

// syn sends the opening only.
func (w *world) syn(src, dst netip.Addr, dport uint16) *dial {
	d := w.dial(src, dst, dport)
	d.open()
	return d
}

// open opens a connection.
func (w *world) open(src, dst netip.Addr, dport uint16) *dial {
	d := w.syn(src, dst, dport)
	d.answer()
	return d
}

func (d *dial) say(text string) *dial {
	d.w.send(packet.Packet{Layers: packet.IPv4 | packet.TCP, Proto: 6, Src: d.src, Dst: d.dst, SrcPort: d.sport, DstPort: d.dport, Flags: packet.ACK | packet.PSH,
		Seq: d.up, AckNum: d.down, Payload: []byte(text), PayloadLen: len(text), IPLen: 40 + len(text)})
	d.up += uint32(len(text))
	return d
}

func (d *dial) hear(text string) *dial {
	d.w.seg(d.dst, d.dport, d.src, d.sport, packet.ACK|packet.PSH, d.down, text)
	d.down += uint32(len(text))
	return d
}

func (d *dial) close() {
	d.w.seg(d.src, d.sport, d.dst, d.dport, packet.FIN|packet.ACK, d.up, "")
	d.w.seg(d.dst, d.dport, d.src, d.sport, packet.FIN|packet.ACK, d.down, "")
}

// refuse answers an opening with a reset.
func (d *dial) refuse() { d.w.seg(d.dst, d.dport, d.src, d.sport, packet.RST|packet.ACK, 0, "") }

// resolve lets a device look up a name.
func (w *world) resolve(who netip.Addr, name string, addr netip.Addr) {
	w.port++
	w.dgram(who, w.port, gateway, 53, "?")
	m := "\x00\x01\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00"
	for _, l := range strings.Split(name, ".") {
		m += string(rune(len(l))) + l
	}
	b := addr.As4()
	m += "\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04" + string(b[:])
	w.dgram(gateway, 53, who, w.port, m)
}

// outside gives the i-th of many addresses of the Internet.
func outside(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(20 + i%180), byte(i * 7), byte(i >> 6), byte(i)})
}

// of returns the alerts of a rule.
func (w *world) of(rule string) (out []ringwall.Alert) {
	for _, a := range w.alerts {
		if a.Rule == rule {
			out = append(out, a)
		}
	}
	return out
}

// want checks that a rule has made exactly one alert, of this shape.
func (w *world) want(rule string, nature ringwall.Nature, subject string, role string) ringwall.Alert {
	w.t.Helper()
	all := w.of(rule)
	if len(all) != 1 {
		w.t.Fatalf("%d alerts of %s, want one: %+v\nall: %s", len(all), rule, all, w.summary())
	}
	a := all[0]
	if a.Nature != nature || a.Subject.ID != subject || a.Evidence.Facts["role"] != role {
		w.t.Errorf("alert %s of %s %s (%s), want %s of %s (%s)", a.Nature, a.Subject.Kind, a.Subject.ID, a.Evidence.Facts["role"], nature, subject, role)
	}
	if !ringwall.ValidID(ringwall.PrefixAlert, string(a.ID)) || a.Title == "" || a.Attack == "" || a.Severity == 0 || a.Time.IsZero() || len(a.Evidence.Packets) == 0 {
		w.t.Errorf("alert is not whole: %+v", a)
	}
	for _, n := range a.Evidence.Packets {
		if n == 0 || n > w.n {
			w.t.Errorf("evidence names packet %d of %d", n, w.n)
		}
	}
	if a.Evidence.Facts["role"] == "target" && a.Severity > ringwall.Medium && rule != detect.StrangerVideo {
		w.t.Errorf("an alert about a victim has severity %s", a.Severity)
	}
	return a
}

// silent checks that nothing is said at all, or only by these rules.
func (w *world) silent(except ...string) {
	w.t.Helper()
	for _, a := range w.alerts {
		if !slices.Contains(except, a.Rule) {
			w.t.Errorf("%s speaks: %s %v", a.Rule, a.Title, a.Evidence)
		}
	}
}

func (w *world) noAttack() {
	w.t.Helper()
	for _, a := range w.alerts {
		if a.Nature == ringwall.NatureAttack {
			w.t.Errorf("%s claims an attack: %s %v", a.Rule, a.Title, a.Evidence)
		}
	}
}

func (w *world) summary() string {
	var b strings.Builder
	for _, a := range w.alerts {
		fmt.Fprintf(&b, "%s %s %s %s %v\n", a.Time.Sub(began), a.Rule, a.Nature, a.Subject.ID, a.Evidence.Facts)
	}
	return b.String()
}
