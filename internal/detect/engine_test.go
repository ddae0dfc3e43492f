package detect_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

// everything plays a day on which all that the rules know happens, mixed.
func everything(w *world, seed uint64) {
	w.engine.SetDevices(append(homeDevices(), detect.Device{ID: "dev_phone", IP: phone, Mode: ringwall.Learn, Learned: homeDevices()[1].Learned}))
	r := rand.New(rand.NewPCG(seed, 9))
	acts := []func(i int){
		func(i int) { w.seg(cam, 6000, outside(i), 23, packet.SYN, seqOf(outside(i)), "") },
		func(i int) { w.syn(cam, outside(r.IntN(5000)), 22) },
		func(i int) { w.open(phone, outside(20000+r.IntN(5000)), 7000) },
		func(i int) {
			for range 5 {
				w.syn(phone, outside(10000+r.IntN(5000)), 9000)
			}
		},
		func(i int) {
			for range 4 {
				w.syn(cam, goodCam, uint16(r.IntN(3000))).refuse()
			}
		},
		func(i int) { w.syn(goodCam, outside(i%40), 8080) },
		func(i int) { w.syn(cam, command, 6667); w.pass(3 * time.Second) },
		func(i int) { w.open(cam, loader, 4444).close(); w.pass(10 * time.Second) },
		func(i int) { w.open(stranger, cam, 22).close() },
		func(i int) {
			w.open(cam, loader, 80).say("GET /x HTTP/1.0\r\nHost: 198.51.100.66\r\n\r\n").hear("HTTP/1.0 200 OK\r\n\r\n\x7fELF")
		},
		func(i int) {
			for j := range 6 {
				w.send(packet.Packet{Layers: packet.ARP, SrcMAC: macs[cam], ARPOp: 1, ARPSender: cam, ARPSenderMAC: macs[cam], ARPTarget: netip.AddrFrom4([4]byte{10, 77, 0, byte(i*6 + j)})})
			}
		},
		func(i int) {
			w.send(packet.Packet{Layers: packet.IPv4 | packet.ICMP, Proto: 1, Src: phone, Dst: outside(r.IntN(500)), ICMPType: 8})
		},
		func(i int) {
			w.open(stranger, goodCam, 554).say("PLAY rtsp://x RTSP/1.0\r\n\r\n").hear("RTSP/1.0 200 OK\r\n\r\n")
		},
		func(i int) {
			w.send(packet.Packet{Layers: packet.IPv4 | packet.TCP, Proto: 6, SrcMAC: packet.MAC{2, 1, 1, 1, 1, byte(i)}, Src: goodCam, Dst: phone, SrcPort: uint16(i), DstPort: 80, Flags: packet.SYN})
		},
		func(i int) { w.resolve(phone, fmt.Sprintf("n%d.example", i%20), outside(i)) },
		func(i int) {
			for range 600 {
				w.dgram(cam, 5000, stranger, 80, "x")
				w.now = w.now.Add(100 * time.Microsecond)
			}
		},
	}
	for i := range 6000 {
		acts[r.IntN(len(acts))](i)
		w.now = w.now.Add(time.Duration(r.Int64N(int64(200 * time.Millisecond))))
	}
	w.open(stranger, cam, 80).say("GET /x?y=1;wget%20x HTTP/1.0\r\n\r\n")
	w.open(cam, command, 3333).say(`{"id": 1, "method": "mining.subscribe", "params": []}`)
	w.dgram(cam, 4000, gateway, 5351, natPMP(2, 554, 3600))
	for range 240 { // requests, for some seconds
		w.open(cam, stranger, 8080)
		w.now = w.now.Add(20 * time.Millisecond)
	}
	for i := range 30000 { // and one flood that lasts
		w.dgram(cam, 5001, stranger, 81, "x")
		w.now = w.now.Add(100 * time.Microsecond)
		_ = i
	}
	w.pass(2 * time.Second)
}

func texts(alerts []ringwall.Alert, rule string) (out []string) {
	for _, a := range alerts {
		if a.Rule == rule {
			b, err := json.Marshal(a)
			if err != nil {
				panic(err)
			}
			out = append(out, string(b))
		}
	}
	return out
}

// TestEngine_rulesAreIndependent: switching a rule off, or all but one, changes
// nothing in what any other says.
func TestEngine_rulesAreIndependent(t *testing.T) {
	small := detect.Limits{Conns: 512, Endpoints: 128, Pairs: 128, Hosts: 16, Strangers: 16, Newcomers: 64, Names: 64} // crowded tables too
	for seed, limits := range []detect.Limits{{}, small} {
		full := newWorld(t, detect.Config{Limits: limits}, homeDevices())
		everything(full, uint64(seed))
		names := []string{}
		for _, r := range detect.Rules() {
			names = append(names, r.Name)
			if seed == 0 && len(texts(full.alerts, r.Name)) == 0 {
				t.Errorf("rule %s is never heard: the test says nothing about it", r.Name)
			}
		}
		check := func(off []string) {
			w := newWorld(t, detect.Config{Limits: limits, Off: off}, homeDevices())
			everything(w, uint64(seed))
			for _, n := range names {
				want := texts(full.alerts, n)
				if slices.Contains(off, n) {
					want = nil
				}
				if got := texts(w.alerts, n); !slices.Equal(got, want) {
					t.Errorf("without %v, rule %s says %d alerts, want %d", off, n, len(got), len(want))
				}
			}
		}
		for _, n := range names {
			check([]string{n})
			var others []string
			for _, m := range names {
				if m != n {
					others = append(others, m)
				}
			}
			check(others)
		}
	}
}

func TestEngine_samePacketsSameAlerts(t *testing.T) {
	// Tables that are not crowded: what gives way in a full bucket is up to the
	// secret.
	a := newWorld(t, detect.Config{Limits: detect.Workstation()}, homeDevices())
	b := newWorld(t, detect.Config{Limits: detect.Workstation(), Seed: 777}, homeDevices())
	everything(a, 5)
	everything(b, 5) // another secret: other buckets, the same alerts
	for _, r := range detect.Rules() {
		if x, y := texts(a.alerts, r.Name), texts(b.alerts, r.Name); !slices.Equal(x, y) {
			t.Errorf("%s: %d alerts, then %d", r.Name, len(x), len(y))
		}
	}
	ids := map[ringwall.AlertID]bool{}
	for _, x := range a.alerts {
		if ids[x.ID] {
			t.Errorf("two alerts have the id %s", x.ID)
		}
		ids[x.ID] = true
	}
}

func TestEngine_alertAsJSON(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	w.seg(cam, 1, stranger, 23, packet.SYN, seqOf(stranger), "")
	b, err := json.Marshal(w.alerts[0])
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"id", "time", "rule", "severity", "subject", "stage", "title", "evidence", "attack"} {
		if m[k] == nil {
			t.Errorf("%s has no %q", b, k)
		}
	}
}

// TestEngine_boundedUnderTenMillionSources: with ten million spoofed sources
// the engine takes the memory that Limits.Bytes states and not more, makes a
// bounded number of alerts, and still finds a real scan.
func TestEngine_boundedUnderTenMillionSources(t *testing.T) {
	n := uint32(10_000_000)
	if testing.Short() {
		n = 500_000
	}
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	limits := detect.Gateway()
	byRule := map[string]int{}
	var scan []ringwall.Alert
	e := detect.New(detect.Config{Local: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Limits: limits, Alert: func(a ringwall.Alert) {
		byRule[a.Rule]++
		if a.Subject.ID == "10.99.99.99" {
			scan = append(scan, a)
		}
	}})
	e.SetDevices(homeDevices())
	var p packet.Packet
	f := frame([4]byte{}, [4]byte{10, 77, 0, 10}, 6, tcpHead(6000, 80, 1, packet.SYN), 0)
	real := frame([4]byte{10, 99, 99, 99}, [4]byte{}, 6, tcpHead(6000, 23, 1, packet.SYN), 0)
	at := began
	for i := range n {
		v := i * 2654435761
		if i&1 == 0 {
			v = 10<<24 | v&0xffffff // half of them claim to be of the local networks
		}
		frame := f
		binary.BigEndian.PutUint32(f[26:], v)
		switch {
		case i%5 == 0:
			binary.BigEndian.PutUint32(f[38:], 0x0a4d000a) // and some bear Mirai's mark
		case i%5000 == 1: // the real one, hidden among them: one packet in five thousand
			binary.BigEndian.PutUint32(real[30:], 0xc6000000|i)
			frame = real
		default:
			binary.BigEndian.PutUint32(f[38:], i)
		}
		p.Number, p.Time = uint64(i+1), at
		if err := packet.Decode(packet.LinkEthernet, frame, &p); err != nil {
			t.Fatal(err)
		}
		e.Packet(&p)
		at = at.Add(2 * time.Microsecond)
	}
	grown := heap() - before
	stated := int64(limits.Bytes(2))
	t.Logf("%d packets: heap grown by %d KiB, stated bound %d KiB, alerts %v, held back %d", n, grown>>10, stated>>10, byRule, e.Stats().Suppressed)
	if grown > stated+256<<10 { // maps of devices and the engine itself
		t.Errorf("heap grown by %d bytes, bound is %d", grown, stated)
	}
	if stated > 12<<20 {
		t.Errorf("the stated bound of a gateway is %d bytes, the documentation says about 7 MiB", stated)
	}
	for rule, got := range byRule {
		if got > detect.MaxAddressAlerts+4 {
			t.Errorf("%d alerts of %s within %s", got, rule, at.Sub(began))
		}
	}
	if len(scan) == 0 {
		t.Error("a scan hidden among spoofed sources is not found")
	}
	runtime.KeepAlive(e)
}

// TestEngine_evidenceOfADeviceCannotBeWashedOut: a known device keeps what is
// held against it, whatever is spoofed in between.
func TestEngine_evidenceOfADeviceCannotBeWashedOut(t *testing.T) {
	small := detect.Limits{Conns: 256, Endpoints: 64, Pairs: 64, Hosts: 8, Strangers: 8, Newcomers: 16, Names: 16}
	w := newWorld(t, detect.Config{Limits: small}, homeDevices())
	r := rand.New(rand.NewPCG(1, 1))
	flood := func() {
		for range 5000 {
			w.syn(netip.AddrFrom4([4]byte{10, 77, byte(r.Uint32()), byte(r.Uint32())}), outside(r.IntN(1<<20)), 23)
			w.now = w.now.Add(time.Microsecond)
		}
	}
	for i := range 6 {
		w.open(phone, cloud, 443) // the line works
		w.syn(cam, outside(i), 23)
		w.syn(cam, command, 6667)
		flood()
		w.pass(4 * time.Second)
	}
	for _, rule := range []string{detect.AdminFanout, detect.FailingBeacon} {
		found := false
		for _, a := range w.of(rule) {
			found = found || a.Subject.ID == string(camID)
		}
		if !found {
			t.Errorf("%s about the camera is washed out by 30,000 spoofed packets", rule)
		}
	}
}

func TestEngine_SetDevicesKeepsEvidence(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 3 {
		w.syn(cam, outside(i), 23)
	}
	list := homeDevices()
	slices.Reverse(list)
	list = append(list, detect.Device{ID: "dev_third", IP: phone})
	w.engine.SetDevices(list)
	for i := range 3 {
		w.syn(cam, outside(3+i), 23)
	}
	w.want(detect.AdminFanout, attack, string(camID), "source")
	// A device that is gone is an address again.
	w.engine.SetDevices(nil)
	w.alerts = nil
	w.seg(cam, 1, stranger, 23, packet.SYN, seqOf(stranger), "")
	w.want(detect.MiraiScan, attack, cam.String(), "source")
}

func TestEngine_SetDevicesFromAnotherGoroutine(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			list := homeDevices()
			w.engine.SetDevices(list[:1+i%2])
		}
	}()
	for i := range 20000 {
		w.open(goodCam, outside(i), 443)
	}
	<-done
}

func TestEngine_clockThatJumps(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for _, jump := range []time.Duration{0, -24 * time.Hour, 10 * 365 * 24 * time.Hour, -20 * 365 * 24 * time.Hour, time.Hour} {
		w.now = w.now.Add(jump)
		for i := range 4 { // too few for a scan, however often the clock jumps
			w.syn(cam, outside(i+int(jump/time.Hour)*7), 23)
			w.now = w.now.Add(time.Second)
		}
		w.engine.Tick(w.now)
	}
	w.silent()
	for i := range 6 {
		w.syn(cam, outside(100+i), 23)
	}
	w.want(detect.AdminFanout, attack, string(camID), "source")
}

func TestEngine_termsAllow(t *testing.T) {
	devices := []detect.Device{{ID: goodID, MAC: macs[goodCam].String(), IP: goodCam, Mode: ringwall.Enforce, Terms: []api.Term{
		{Action: api.Allow, Direction: api.FromDevice, Domain: "*.vendor.example", Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}},
		{Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.0/28"), Proto: "any"},
		{Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "tcp", Ports: []api.PortRange{{First: 554, Last: 554}}},
		{Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"},
	}}}
	w := newWorld(t, detect.Config{}, devices)
	w.resolve(goodCam, "a.cloud.vendor.example", cloud)
	w.open(goodCam, cloud, 443)
	w.open(goodCam, netip.MustParseAddr("198.51.100.7"), 8080)
	w.open(phone, goodCam, 554)
	w.silent()
	w.open(goodCam, cloud, 80)
	w.want(detect.NewPeer, deviation, string(goodID), "source")
}

func FuzzEngine(f *testing.F) {
	f.Add(uint32(packet.LinkEthernet), frame([4]byte{10, 77, 0, 10}, [4]byte{1, 2, 3, 4}, 6, tcpHead(1, 23, 0x01020304, packet.SYN), 0), uint8(3))
	f.Add(uint32(packet.LinkEthernet), append(frame([4]byte{1, 2, 3, 4}, [4]byte{10, 77, 0, 10}, 6, tcpHead(80, 1, 9, packet.ACK), 0), "HTTP/1.1 401 x\r\n\r\n\x7fELF"...), uint8(9))
	f.Add(uint32(packet.LinkRaw), []byte{0x60, 0, 0, 0, 0, 0, 58, 255}, uint8(1))
	f.Fuzz(func(t *testing.T, link uint32, data []byte, cut uint8) {
		e := detect.New(detect.Config{Seed: 1, Limits: detect.Limits{Conns: 8, Endpoints: 8, Pairs: 8, Hosts: 8, Strangers: 8, Newcomers: 8, Names: 8}, Alert: func(a ringwall.Alert) {
			if a.Rule == "" || a.Subject.ID == "" || len(a.Evidence.Packets) == 0 {
				t.Fatalf("alert %+v", a)
			}
		}})
		e.SetDevices(homeDevices())
		var p packet.Packet
		at := began
		// The input is cut into packets of many lengths, each judged both ways
		// round.
		for i := 0; len(data) > 0 && i < 64; i++ {
			n := min(len(data), 1+int(cut)*(1+i%5))
			p.Number, p.Time = uint64(i+1), at
			_ = packet.Decode(packet.LinkType(link), data[:n], &p)
			e.Packet(&p)
			p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
			if p.IP() {
				e.Packet(&p)
			}
			data = data[n:]
			at = at.Add(time.Duration(int8(cut)) * time.Second)
		}
		e.Tick(at)
	})
}

// TestReplay_sameIDs: the same capture gives the same ids, whatever the
// secret of the tables.
func TestReplay_sameIDs(t *testing.T) {
	file := sharedtest.Path(t, "pcap/attack/ndpi_synscan.pcap")
	a, _ := replay(t, file, detect.Config{Seed: 3})
	b, _ := replay(t, file, detect.Config{Seed: 4})
	if len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d alerts, then %d", len(a), len(b))
	}
	for i := range a {
		if a[i].ID != b[i].ID {
			t.Errorf("alert %d: %s, then %s", i, a[i].ID, b[i].ID)
		}
	}
}

// FuzzInspect: whatever two ends say to each other on the ports whose text is
// read, nothing breaks, and the evidence names packets that there were.
func FuzzInspect(f *testing.F) {
	f.Add("GET /x HTTP/1.0\r\nHost: 198.51.100.66\r\nAuthorization: Basic eA==\r\n\r\n", "HTTP/1.0 401 No\r\n\r\n", uint16(80), uint8(3))
	f.Add("GET /x HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n\x7fELF", uint16(80), uint8(200))
	f.Add("PLAY rtsp://x RTSP/1.0\r\nAuthorization: Digest username=\"a\", x\r\n\r\n", "RTSP/1.0 200 OK\r\n\r\n", uint16(554), uint8(255))
	f.Add("root\r\n/bin/busybox wget", "login: Login incorrect\r\nlogin: ", uint16(23), uint8(7))
	f.Add("PASS x\r\n", "530 no\r\n", uint16(21), uint8(40))
	f.Fuzz(func(t *testing.T, up, down string, port uint16, cut uint8) {
		w := newWorld(t, detect.Config{}, homeDevices())
		d := w.open(stranger, cam, port)
		e := w.open(cam, loader, port)
		n := 1 + int(cut)
		for i := 0; i < 20 && (up != "" || down != ""); i++ {
			a, b := min(n, len(up)), min(n, len(down))
			d.say(up[:a]).hear(down[:b])
			e.say(up[:a]).hear(down[:b])
			up, down = up[a:], down[b:]
		}
		d.close()
		e.close()
		for _, a := range w.alerts {
			for _, p := range a.Evidence.Packets {
				if p == 0 || p > w.n {
					t.Fatalf("%s names packet %d of %d", a.Rule, p, w.n)
				}
			}
		}
	})
}
