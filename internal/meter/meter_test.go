package meter_test

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/meter"
	"github.com/ringwall/ringwall/internal/packet"
)

var (
	camMAC = packet.MAC{2, 0, 0, 0, 0, 0x10}
	gwMAC  = packet.MAC{2, 0, 0, 0, 0, 1}
	cam    = netip.MustParseAddr("10.77.0.10")
	phone  = netip.MustParseAddr("10.77.0.30")
	cloud  = netip.MustParseAddr("198.51.100.20")
	evil   = netip.MustParseAddr("198.51.100.67")
	dns    = netip.MustParseAddr("10.77.0.1")
	start  = time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)
)

// bench is a meter with one camera and what it has emitted.
type bench struct {
	*meter.Meter
	recs []flow.Record
	now  time.Time
}

func newBench(c meter.Config) *bench {
	b := &bench{now: start}
	c.Emit = func(r flow.Record) { b.recs = append(b.recs, r) }
	b.Meter = meter.New(c)
	b.SetDevices([]meter.Device{{ID: "dev_cam", MAC: camMAC.String(), IP: cam, Learn: true}, {ID: "dev_phone", IP: phone, Learn: true}})
	return b
}

func (b *bench) send(p packet.Packet) {
	p.Time = b.now
	if p.SrcMAC == (packet.MAC{}) {
		p.SrcMAC = gwMAC
		if p.Src == cam {
			p.SrcMAC = camMAC
		}
	}
	if p.IPLen == 0 {
		p.IPLen = 40 + len(p.Payload)
	}
	b.Packet(&p)
}

func (b *bench) tcp(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, f packet.Flags) {
	b.send(packet.Packet{Layers: packet.Link | packet.IPv4 | packet.TCP, Proto: 6, Src: src, Dst: dst, SrcPort: sport, DstPort: dport, Flags: f})
}

func (b *bench) udp(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, payload []byte) {
	b.send(packet.Packet{Layers: packet.Link | packet.IPv4 | packet.UDP, Proto: 17, Src: src, Dst: dst, SrcPort: sport, DstPort: dport, Payload: payload, PayloadLen: len(payload)})
}

// talk opens, answers and ends a TCP connection.
func (b *bench) talk(src netip.Addr, sport uint16, dst netip.Addr, dport uint16) {
	b.tcp(src, sport, dst, dport, packet.SYN)
	b.tcp(dst, dport, src, sport, packet.SYN|packet.ACK)
	b.tcp(src, sport, dst, dport, packet.ACK)
	b.tcp(src, sport, dst, dport, packet.FIN|packet.ACK)
	b.tcp(dst, dport, src, sport, packet.FIN|packet.ACK)
	b.tcp(src, sport, dst, dport, packet.ACK)
}

// answer makes a DNS answer with one address.
func answer(name string, a netip.Addr) []byte {
	m := []byte{0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}
	m = append(m, byte(len(name)))
	m = append(m, name...)
	m = append(m, 0, 0, 1, 0, 1, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
	return append(m, a.AsSlice()...)
}

func (b *bench) lookup(name string, a netip.Addr) {
	b.udp(cam, 40000, dns, 53, []byte{0})
	b.udp(dns, 53, cam, 40000, answer(name, a))
}

func TestMeter_oneFlowIsOneRecord(t *testing.T) {
	var asked []meter.Key
	b := newBench(meter.Config{Verdict: func(k *meter.Key) (flow.Verdict, string, string) {
		asked = append(asked, *k)
		return flow.WouldRefuse, "no term", "t9"
	}})
	b.lookup("cloud", cloud)
	b.talk(cam, 41000, cloud, 443)
	b.now = b.now.Add(3 * time.Second)
	b.Tick(b.now)
	var got *flow.Record
	for i := range b.recs {
		if b.recs[i].Proto == 6 {
			if got != nil {
				t.Errorf("a second record: %+v", b.recs[i])
			}
			got = &b.recs[i]
		}
	}
	want := flow.Record{
		Start: start, End: start, Device: "dev_cam", Direction: flow.FromDevice, Proto: 6, Local: netip.AddrPortFrom(cam, 41000), Remote: netip.AddrPortFrom(cloud, 443),
		Name: "cloud", Verdict: flow.WouldRefuse, Reason: "no term", Term: "t9", PacketsUp: 4, PacketsDown: 2, BytesUp: 160, BytesDown: 80,
	}
	if got == nil || *got != want {
		t.Errorf("record\n%+v, want\n%+v", got, want)
	}
	if k := asked[len(asked)-1]; k.Name != "cloud" || k.Device != "dev_cam" || k.Direction != flow.FromDevice || k.Remote.Port() != 443 {
		t.Errorf("verdict asked of %+v", k)
	}
}

func TestMeter_direction(t *testing.T) {
	b := newBench(meter.Config{})
	b.talk(evil, 5000, cam, 554)
	b.talk(phone, 5001, cam, 554)
	b.Flush()
	if r := b.recs[0]; r.Device != "dev_cam" || r.Direction != flow.ToDevice || r.Local.Port() != 554 || r.PacketsUp != 2 || r.PacketsDown != 4 {
		t.Errorf("from outside: %+v", r)
	}
	if r := b.recs[1]; r.Device != "dev_phone" || r.Direction != flow.FromDevice || r.Remote.Addr() != cam {
		t.Errorf("between two devices: %+v, want it from the one that opened", r)
	}
}

func TestMeter_longFlowIsReportedInPieces(t *testing.T) {
	b := newBench(meter.Config{Active: time.Minute})
	b.tcp(cam, 41000, cloud, 443, packet.SYN)
	b.tcp(cloud, 443, cam, 41000, packet.SYN|packet.ACK)
	for range 18 {
		b.now = b.now.Add(10 * time.Second)
		b.tcp(cam, 41000, cloud, 443, packet.ACK)
		b.Tick(b.now)
	}
	b.Flush()
	var up uint64
	for i, r := range b.recs {
		up += r.PacketsUp
		if i > 0 && !r.Start.Equal(b.recs[i-1].End) {
			t.Errorf("piece %d begins at %s, the one before ends at %s", i, r.Start, b.recs[i-1].End)
		}
	}
	if len(b.recs) != 3 || up != 19 {
		t.Errorf("%d pieces with %d packets up, want 3 with 19", len(b.recs), up)
	}
}

func TestMeter_features(t *testing.T) {
	b := newBench(meter.Config{})
	b.talk(cam, 41000, cloud, 443)
	b.talk(cam, 41001, cloud, 443)
	b.talk(cam, 41002, evil, 80)
	b.now = b.now.Add(70 * time.Second)
	b.talk(cam, 41003, cloud, 443)
	b.now = b.now.Add(70 * time.Second)
	b.Tick(b.now)
	got := b.TakeFeatures()
	want := []api.Features{
		{Device: "dev_cam", From: start, Flows: 3, Dests: 2, NewDests: 2, BytesUp: 480, BytesDn: 240, PktsUp: 12, PktsDn: 6, Ports: 2},
		{Device: "dev_cam", From: start.Add(time.Minute), Flows: 1, Dests: 1, NewDests: 0, BytesUp: 160, BytesDn: 80, PktsUp: 4, PktsDn: 2, Ports: 1},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("features %+v, want %+v", got, want)
	}
	if again := b.TakeFeatures(); len(again) != 0 {
		t.Errorf("taken twice: %+v", again)
	}
}

func peerText(peers []api.Peer) (out []string) {
	for _, p := range peers {
		to := p.Domain
		if to == "" {
			to = p.Addr.String()
		}
		out = append(out, string(p.Direction)+" "+to+" "+p.Proto)
	}
	return out
}

func TestMeter_learnsPeersByNameAfterProbation(t *testing.T) {
	b := newBench(meter.Config{})
	b.lookup("cloud", cloud)
	b.talk(cam, 41000, cloud, 443)
	b.tcp(cam, 41001, evil, 6667, packet.SYN) // never answered: no need
	b.talk(phone, 5001, cam, 554)
	if got := b.TakePeers("dev_cam"); len(got) != 0 {
		t.Errorf("during probation: %v", peerText(got))
	}
	b.now = b.now.Add(3 * time.Minute)
	b.Tick(b.now)
	want := []string{"from 10.77.0.1 udp", "from cloud tcp", "to 10.77.0.30 tcp"}
	got := peerText(b.TakePeers("dev_cam"))
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || g == w
		}
		if !found || len(got) != len(want) {
			t.Errorf("peers %q, want %q", got, want)
		}
	}
	if got := peerText(b.TakePeers("dev_phone")); len(got) != 1 || got[0] != "from 10.77.0.10 tcp" {
		t.Errorf("peers of the phone: %q", got)
	}
}

// Two interfaces are two rings: the reply may be read, at the uplink and with
// the routers' MACs, before what it answers.
func TestMeter_aReplyReadFirstIsOfItsDevice(t *testing.T) {
	b := newBench(meter.Config{})
	late := func(src netip.Addr, sport uint16, dst netip.Addr, dport uint16, f packet.Flags) {
		b.send(packet.Packet{Layers: packet.Link | packet.IPv4 | packet.TCP, Proto: 6, Src: src, Dst: dst, SrcPort: sport, DstPort: dport, Flags: f,
			SrcMAC: packet.MAC{2, 9, 9, 9, 9, 1}, DstMAC: packet.MAC{2, 9, 9, 9, 9, 2}})
	}
	late(cloud, 443, cam, 41000, packet.SYN|packet.ACK)
	b.lookup("cloud", cloud)
	b.tcp(cam, 41000, cloud, 443, packet.SYN)
	b.tcp(cam, 41000, cloud, 443, packet.ACK)
	// What only looks like a reply is no need, even where the device refuses it.
	late(evil, 443, cam, 41001, packet.SYN|packet.ACK)
	b.tcp(cam, 41001, evil, 443, packet.RST)
	late(evil, 443, cam, 41001, packet.SYN|packet.ACK)
	b.now = b.now.Add(3 * time.Minute)
	b.Tick(b.now)
	if got := peerText(b.TakePeers("dev_cam")); len(got) != 2 || got[0] != "from 10.77.0.1 udp" && got[1] != "from 10.77.0.1 udp" || got[0] != "from cloud tcp" && got[1] != "from cloud tcp" {
		t.Errorf("peers %q, want the cloud by its name, the name server, and nobody else", got)
	}
	for _, r := range b.recs {
		if r.Remote.Addr() == cloud && (r.Device != "dev_cam" || r.Name != "cloud" || r.Direction != flow.FromDevice) {
			t.Errorf("the flow to the cloud is reported as %+v", r)
		}
	}
}

func TestMeter_neverLearnsWhatCameWithAnAlert(t *testing.T) {
	b := newBench(meter.Config{})
	b.talk(cam, 41000, cloud, 443)
	b.now = b.now.Add(3 * time.Minute)
	b.talk(cam, 41001, evil, 80) // the download that leads to the alert
	b.now = b.now.Add(10 * time.Second)
	b.Taint("dev_cam", b.now)
	b.talk(cam, 41002, evil, 6667) // the command server, afterwards
	if !b.Tainted("dev_cam") || b.Tainted("dev_phone") {
		t.Error("the wrong device is tainted")
	}
	b.now = b.now.Add(10 * time.Minute)
	b.Tick(b.now)
	if got := peerText(b.TakePeers("dev_cam")); len(got) != 1 || got[0] != "from 198.51.100.20 tcp" {
		t.Errorf("learned %q, want the cloud alone", got)
	}
	// Clean again: the cloud and what is new are learned, the old evil is not.
	b.Cleanse("dev_cam")
	b.talk(cam, 41003, evil, 80)
	b.talk(cam, 41004, evil, 6667)
	b.talk(cam, 41005, dns, 80)
	b.now = b.now.Add(10 * time.Minute)
	b.Tick(b.now)
	if got := peerText(b.TakePeers("dev_cam")); len(got) != 1 || got[0] != "from 10.77.0.1 tcp" {
		t.Errorf("after cleansing learned %q, want the new peer alone", got)
	}
}

func TestMeter_refusedFlowsAreNoNeed(t *testing.T) {
	b := newBench(meter.Config{Verdict: func(*meter.Key) (flow.Verdict, string, string) { return flow.Refused, "no term", "" }})
	b.talk(cam, 41000, evil, 80)
	b.now = b.now.Add(10 * time.Minute)
	b.Tick(b.now)
	if got := b.TakePeers("dev_cam"); len(got) != 0 {
		t.Errorf("learned %q of refused flows", peerText(got))
	}
}

// TestMeter_pressed: when the room for reports becomes short, answered flows are
// folded too, and fewer are told singly; nothing of them is left uncounted.
func TestMeter_pressed(t *testing.T) {
	for _, c := range []struct {
		share  float64
		single uint64
	}{{0, 100}, {0.49, 100}, {0.5, 40}, {0.75, 20}, {1, leastSingle}} {
		b := newBench(meter.Config{FoldAfter: 40})
		b.Press(c.share)
		for i := range 100 {
			far := netip.AddrFrom4([4]byte{203, 0, 0, byte(i)})
			b.tcp(cam, 6000, far, 443, packet.SYN)
			b.tcp(far, 443, cam, 6000, packet.SYN|packet.ACK)
		}
		b.Flush()
		single, flows, packets := uint64(0), uint64(0), uint64(0)
		for _, r := range b.recs {
			if flows += 1 + r.More; !r.Remote.Addr().IsUnspecified() {
				single++
			}
			packets += r.PacketsUp + r.PacketsDown
		}
		if single != c.single || flows != 100 || packets != 200 {
			t.Errorf("share %v: %d flows are told singly, %d in all with %d packets; want %d, 100, 200", c.share, single, flows, packets, c.single)
		}
	}
}

// leastSingle is how many flows are told singly when there is no room left.
const leastSingle = 8

func TestMeter_aScanIsFolded(t *testing.T) {
	b := newBench(meter.Config{FoldAfter: 10, Idle: time.Second, Verdict: func(*meter.Key) (flow.Verdict, string, string) { return flow.Refused, "no term", "" }})
	for i := range 5000 {
		b.tcp(cam, 6000, netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 23, packet.SYN)
	}
	b.now = b.now.Add(2 * time.Second)
	b.Tick(b.now)
	b.Flush()
	var packets uint64
	for _, r := range b.recs {
		packets += r.PacketsUp
	}
	if len(b.recs) > 12 || packets != 5000 {
		t.Errorf("%d records of %d packets, want 11 or so of all 5000", len(b.recs), packets)
	}
	if last := b.recs[len(b.recs)-1]; !last.Remote.Addr().IsUnspecified() || last.Remote.Port() != 23 || last.Verdict != flow.Refused || last.Device != "dev_cam" {
		t.Errorf("folded record %+v", last)
	}
}

func TestMeter_boundedUnderSpoofedSources(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	b := newBench(meter.Config{Max: 4096})
	emitted := 0
	b.Meter = meter.New(meter.Config{Max: 4096, Emit: func(flow.Record) { emitted++ }})
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	for i := range uint32(500000) {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], i*2654435761)
		b.now = b.now.Add(10 * time.Microsecond)
		b.tcp(netip.AddrFrom4(a), uint16(i), cam, 80, packet.SYN)
		if i%100000 == 0 {
			b.Tick(b.now)
		}
	}
	grown := int64(heap()) - int64(before)
	t.Logf("grown by %d KiB, %d records, %+v", grown>>10, emitted, b.Stats())
	if grown > 6<<20 {
		t.Errorf("half a million spoofed sources took %d bytes", grown)
	}
	if emitted > 5000 {
		t.Errorf("%d records emitted", emitted)
	}
	runtime.KeepAlive(b)
}

func TestMeter_sightings(t *testing.T) {
	b := newBench(meter.Config{Port: "lan0"})
	dhcp := make([]byte, 240)
	dhcp[0] = 1
	copy(dhcp[236:], "\x63\x82\x53\x63")
	dhcp = append(dhcp, 12, 6, 'b', 'a', 'd', '<', 'c', 'm', 50, 4, 10, 77, 0, 10, 255)
	b.send(packet.Packet{Layers: packet.Link | packet.IPv4 | packet.UDP, Proto: 17, SrcMAC: camMAC, Src: netip.IPv4Unspecified(), Dst: netip.MustParseAddr("255.255.255.255"), SrcPort: 68, DstPort: 67, Payload: dhcp})
	b.talk(cam, 41000, cloud, 443)
	got := b.Sightings()
	var s api.Sighting
	for _, x := range got {
		if x.IP == cloud {
			t.Errorf("a host of the Internet is sighted: %+v", x)
		}
		if x.IP == cam {
			s = x
		}
	}
	if s.Device != "dev_cam" || s.MAC != camMAC.String() || s.Port != "lan0" || s.Hostname != "badcm" || s.Presence != ringwall.Online || s.Packets < 4 {
		t.Errorf("sighting %+v", s)
	}
	presence := func(after time.Duration) ringwall.Presence {
		b.Tick(start.Add(after))
		for _, x := range b.Sightings() {
			if x.IP == cam {
				return x.Presence
			}
		}
		return ringwall.PresenceUnknown
	}
	for _, tt := range []struct {
		after time.Duration
		want  ringwall.Presence
	}{{time.Minute, ringwall.Online}, {3 * time.Minute, ringwall.Silent}, {31 * time.Minute, ringwall.Gone}} {
		if got := presence(tt.after); got != tt.want {
			t.Errorf("%s after its last packet: %s, want %s", tt.after, got, tt.want)
		}
	}
}

func TestMeter_aSleepyDeviceIsNotSilent(t *testing.T) {
	b := newBench(meter.Config{})
	for range 5 { // a meter that reports every five minutes
		b.talk(cam, 41000, cloud, 443)
		b.now = b.now.Add(5 * time.Minute)
	}
	b.now = b.now.Add(-time.Minute)
	b.Tick(b.now)
	for _, x := range b.Sightings() {
		if x.IP == cam && x.Presence != ringwall.Online {
			t.Errorf("presence %s within its habit", x.Presence)
		}
	}
}

func TestMeter_SetDevicesKeepsWhatIsKnown(t *testing.T) {
	b := newBench(meter.Config{})
	b.talk(cam, 41000, cloud, 443)
	b.Taint("dev_cam", start.Add(-time.Hour))
	b.SetDevices([]meter.Device{{ID: "dev_cam", MAC: camMAC.String(), IP: cam, Learn: true}})
	if !b.Tainted("dev_cam") {
		t.Error("a new list of devices lifts the taint")
	}
	b.SetDevices(nil)
	b.talk(cam, 41001, cloud, 443)
	b.Flush()
	if r := b.recs[len(b.recs)-1]; r.Device != "" {
		t.Errorf("a device that is gone is still named: %+v", r)
	}
}

func BenchmarkMeter(b *testing.B) {
	m := meter.New(meter.Config{})
	m.SetDevices([]meter.Device{{ID: "dev_cam", MAC: camMAC.String(), IP: cam, Learn: true}})
	p := packet.Packet{Layers: packet.Link | packet.IPv4 | packet.TCP, Proto: 6, SrcMAC: camMAC, Src: cam, Dst: cloud, SrcPort: 1, DstPort: 443, Flags: packet.ACK, IPLen: 1400, Time: start}
	var i int
	b.ReportAllocs()
	for b.Loop() {
		i++
		p.SrcPort = uint16(i & 1023)
		p.Time = p.Time.Add(10 * time.Microsecond)
		m.Packet(&p)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mpps")
}

// FuzzMeter_dhcp: whatever a host says when it asks for an address, its name
// stays printable and short.
func FuzzMeter_dhcp(f *testing.F) {
	f.Add([]byte{12, 3, 'c', 'a', 'm', 255})
	f.Add([]byte{50, 4, 10, 77, 0, 10, 12, 200})
	f.Fuzz(func(t *testing.T, options []byte) {
		b := newBench(meter.Config{})
		msg := make([]byte, 240, 240+len(options))
		msg[0], msg[12] = 1, 10
		copy(msg[236:], "\x63\x82\x53\x63")
		b.send(packet.Packet{Layers: packet.Link | packet.IPv4 | packet.UDP, Proto: 17, SrcMAC: camMAC, Src: netip.IPv4Unspecified(), Dst: netip.MustParseAddr("255.255.255.255"), SrcPort: 68, DstPort: 67,
			Payload: append(msg, options...)})
		for _, s := range b.Sightings() {
			if len(s.Hostname) > 63 || !s.IP.IsValid() {
				t.Fatalf("sighting %+v", s)
			}
			for _, c := range s.Hostname {
				if c <= ' ' || c > '~' || c == '<' {
					t.Fatalf("host name %q", s.Hostname)
				}
			}
		}
	})
}

// TestFeatures_ofBehaviour: connections that nobody answers, fan-out over ports,
// and a rhythm are counted.
func TestFeatures_ofBehaviour(t *testing.T) {
	m := meter.New(meter.Config{Local: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, Generation: func() uint64 { return 7 }})
	m.SetDevices([]meter.Device{{ID: "dev_a", IP: netip.MustParseAddr("10.0.0.2")}})
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	open := func(dst string, sport, dport uint16) {
		m.Packet(&packet.Packet{
			Time: at, Layers: packet.IPv4 | packet.TCP, Proto: packet.ProtoTCP, Src: netip.MustParseAddr("10.0.0.2"), Dst: netip.MustParseAddr(dst),
			SrcPort: sport, DstPort: dport, Flags: packet.SYN, IPLen: 40,
		})
	}
	for i := range 10 {
		open("198.51.100.1", uint16(40000+i), uint16(100+i))
	}
	for i := range 8 { // every ten seconds
		open("203.0.113.5", uint16(50000+i), 443)
		at = at.Add(10 * time.Second)
		m.Tick(at)
	}
	m.Tick(at.Add(3 * time.Minute))
	m.Tick(at.Add(5 * time.Minute))
	var unanswered, ports, regular uint64
	var interval api.Duration
	for _, f := range m.TakeFeatures() {
		unanswered += f.Unanswered
		ports, regular = max(ports, f.Ports), max(regular, f.Regular)
		if f.Interval != 0 {
			interval = f.Interval
		}
	}
	if unanswered != 18 || ports != 11 || regular != 1 || interval != api.Duration(10*time.Second) {
		t.Errorf("unanswered %d, ports %d, regular %d each %s", unanswered, ports, regular, time.Duration(interval))
	}
}
