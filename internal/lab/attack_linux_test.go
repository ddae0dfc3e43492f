package lab_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/packet"
)

// labelled returns the packets of a recording that have this label, and the
// number of all others.
func labelled(t *testing.T, path, label string) (attack []packet.Packet, others int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := capture.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var before time.Time
	for {
		fr, err := r.Next()
		if errors.Is(err, io.EOF) {
			return attack, others
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(fr.Comments) != 1 || !strings.HasPrefix(fr.Comments[0], "label=") {
			t.Fatalf("comments of a packet = %q, want one label", fr.Comments)
		}
		if fr.Time.Before(before) {
			t.Errorf("a packet of %s is recorded after one of %s", fr.Time, before)
		}
		before = fr.Time
		if fr.Comments[0] != "label="+label {
			others++
			continue
		}
		var p packet.Packet
		if err := packet.Decode(packet.LinkEthernet, fr.Data, &p); err != nil {
			t.Fatalf("a recorded packet does not decode: %v", err)
		}
		p.Time, p.Payload = fr.Time, nil
		attack = append(attack, p)
	}
}

func attackOf(t *testing.T, r *lab.Range, name string, o lab.AttackOptions) lab.Report {
	t.Helper()
	rep, err := r.Attack(t.Context(), name, o)
	if err != nil {
		t.Fatalf("attack %q: %v", name, err)
	}
	if testing.Verbose() {
		b, _ := json.MarshalIndent(rep, "", "  ")
		t.Logf("%s", b)
	}
	return rep
}

// found tells which rules of the detectors find the attack in its recording.
func found(t *testing.T, rep lab.Report) map[string]bool {
	t.Helper()
	f, err := os.Open(rep.Capture)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := capture.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	j := newJudge(t, lab.Script{Devices: lab.Devices(), SIM: lab.RecordedSIM{IMSI: "001011111111111", IMEI: "350000001111119"}})
	for {
		fr, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := j.frame(fr.Data, fr.Time, fr.OrigLen, ""); err != nil {
			t.Fatal(err)
		}
	}
	out := map[string]bool{}
	for rule := range j.got[ringwall.Subject{Kind: ringwall.SubjectDevice, ID: rep.On}] {
		out[rule] = true
	}
	return out
}

func TestAttack_miraiScan(t *testing.T) {
	t.Parallel()
	r := newRange(t, lab.Config{Busybox: "-"})
	rep := attackOf(t, r, lab.MiraiScan, lab.AttackOptions{Seed: 7, Duration: 3 * time.Second})
	if !rep.Did || rep.Packets < 400 || rep.Packets > 520 {
		t.Errorf("packets at the gateway in 3 s = %d, want about 480", rep.Packets)
	}
	if len(rep.Arrived) != 1 || rep.Arrived[0].Packets != rep.Packets {
		t.Errorf("arrived = %+v, want all %d at the sink", rep.Arrived, rep.Packets)
	}
	pkts, _ := labelled(t, rep.Capture, lab.MiraiScan)
	if uint64(len(pkts)) != rep.Packets {
		t.Fatalf("%d packets recorded, %d counted", len(pkts), rep.Packets)
	}
	camera, _ := lab.Addr(lab.BadCam)
	ports := map[uint16]int{}
	for i, p := range pkts {
		dst := p.Dst.As4()
		switch {
		case p.Src != camera || p.Flags != packet.SYN || p.TTL > 64 || p.TTL < 62:
			t.Fatalf("packet %d = %+v, want a SYN of the camera", i, p)
		case p.Seq != binary.BigEndian.Uint32(dst[:]):
			t.Fatalf("packet %d to %s has sequence number %#x", i, p.Dst, p.Seq)
		case p.SrcPort != pkts[0].SrcPort:
			t.Fatalf("packet %d is from port %d, the first from %d", i, p.SrcPort, pkts[0].SrcPort)
		}
		ports[p.DstPort]++
	}
	if share := float64(ports[2323]) / float64(len(pkts)); len(ports) != 2 || share < 0.05 || share > 0.16 {
		t.Errorf("ports = %v, want 23 and 2323 about nine to one", ports)
	}
	if !rep.First.Equal(pkts[0].Time) {
		t.Errorf("first packet at %s, recorded at %s", rep.First, pkts[0].Time)
	}
}

func TestAttack_unknownScan_isDrawnFromItsSeed(t *testing.T) {
	t.Parallel()
	r := newRange(t, lab.Config{Busybox: "-"})
	flow := func(seed uint64) (to []netip.AddrPort, rate float64) {
		rep := attackOf(t, r, lab.UnknownScan, lab.AttackOptions{Seed: seed, Duration: 2 * time.Second})
		pkts, _ := labelled(t, rep.Capture, lab.UnknownScan)
		targets := map[netip.Addr]bool{}
		for _, p := range pkts {
			to = append(to, netip.AddrPortFrom(p.Dst, p.DstPort))
			targets[p.Dst] = true
		}
		if rep.Reached() != rep.Packets {
			t.Errorf("seed %d: %d packets, %d arrived", seed, rep.Packets, rep.Reached())
		}
		return to, float64(len(targets)) / 2
	}
	seen := map[netip.AddrPort]bool{}
	for _, seed := range []uint64{1, 2, 3} {
		to, rate := flow(seed)
		if rate < 15 || rate > 550 {
			t.Errorf("seed %d: %.0f new targets a second, want 20 to 500", seed, rate)
		}
		if seen[to[0]] {
			t.Errorf("seed %d begins like another: %s", seed, to[0])
		}
		seen[to[0]] = true
	}
	a, _ := flow(1)
	b, _ := flow(1)
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			t.Fatalf("the same seed gives %s and %s as target %d", a[i], b[i], i)
		}
	}
}

func TestAttack_infect(t *testing.T) {
	t.Parallel()
	for _, busybox := range []string{"", "-"} {
		name := "busybox"
		if busybox == "-" {
			name = "without"
		}
		t.Run(name, func(t *testing.T) {
			r := newRange(t, lab.Config{Busybox: busybox})
			t.Logf("replaced: %q", r.Replaced())
			rep := attackOf(t, r, lab.Infect, lab.AttackOptions{Seed: 3})
			if !rep.Did {
				t.Fatalf("the camera was not infected: %+v", rep.Steps)
			}
			cam, err := r.Camera(t.Context(), lab.BadCam)
			if err != nil || len(cam.Infected) != 1 {
				t.Errorf("infected = %v, %v, want one file", cam.Infected, err)
			}
			if n, err := r.Count(t.Context(), lab.Loader, "fetched"); err != nil || n != 1 {
				t.Errorf("fetched from the loader %d times, %v, want 1", n, err)
			}
			attackPackets, _ := labelled(t, rep.Capture, lab.Infect)
			syns := 0
			for _, p := range attackPackets {
				if p.Flags == packet.SYN && p.DstPort == 23 {
					syns++
				}
			}
			if syns < 12 {
				t.Errorf("%d connections to telnet recorded, want at least 12", syns)
			}

			// The owner repairs it: what was fetched is gone, and so is the door.
			if err := r.Repair(t.Context(), lab.BadCam, "a-better-one-77"); err != nil {
				t.Fatal(err)
			}
			if cam, err := r.Camera(t.Context(), lab.BadCam); err != nil || len(cam.Infected) != 0 || cam.Telnet != "" {
				t.Errorf("after the repair: %+v, %v", cam, err)
			}
			again := attackOf(t, r, lab.TelnetGuess, lab.AttackOptions{Duration: 2 * time.Second})
			if again.Did {
				t.Error("the repaired camera was guessed into")
			}
		})
	}
}

func TestAttack_beacon_video_meter(t *testing.T) {
	t.Parallel()
	r := newRange(t, lab.Config{Busybox: "-", Pace: time.Second})
	rep := attackOf(t, r, lab.Beacon, lab.AttackOptions{Duration: 4 * time.Second})
	if calls, err := r.Count(t.Context(), lab.C2, "calls"); err != nil || calls < 2 || !rep.Did {
		t.Errorf("calls at the command server = %d, %v, want at least 2", calls, err)
	}
	rep = attackOf(t, r, lab.FailingBeacon, lab.AttackOptions{Duration: 18 * time.Second})
	if rep.Packets < 12 || !rep.Did {
		t.Errorf("failing beacon: %d packets", rep.Packets)
	}
	if got := found(t, rep); !got[detect.FailingBeacon] || !got[detect.NewPeer] {
		t.Errorf("failing beacon: found by %v", got)
	}
	rep = attackOf(t, r, lab.StrangerVideo, lab.AttackOptions{})
	if !rep.Did || rep.Reached() == 0 {
		t.Errorf("the stranger saw nothing: %+v", rep.Steps)
	}
	rep = attackOf(t, r, lab.MeterCompromise, lab.AttackOptions{Duration: 6 * time.Second})
	if !rep.Did {
		t.Errorf("the meter called nobody: %+v", rep.Steps)
	}
	rep = attackOf(t, r, lab.SIMSwap, lab.AttackOptions{})
	if !rep.Did {
		t.Errorf("the swapped card was not used: %+v", rep.Steps)
	}
	b, err := os.ReadFile(r.UsageFile())
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{"off-list peer": "198.51.100.67", "own IMEI": r.SIM().IMEI.Reveal(), "other IMEI": ",86111111", "message": ",sms,mo,"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("usage records lack the %s %q:\n%s", what, want, b)
		}
	}
}

// TestAttack_infect_busyboxTelnetd runs where a busybox was built with telnetd:
// name it by RINGWALL_BUSYBOX.
func TestAttack_infect_busyboxTelnetd(t *testing.T) {
	path := os.Getenv("RINGWALL_BUSYBOX")
	if path == "" {
		t.Skip("SKIPPED, NOT TESTED: busybox's own telnetd; name a busybox that has it (Debian: busybox-static) by RINGWALL_BUSYBOX")
	}
	r := newRange(t, lab.Config{Busybox: path})
	if replaced := r.Replaced(); len(replaced) != 0 {
		t.Fatalf("replaced: %q", replaced)
	}
	if rep := attackOf(t, r, lab.Infect, lab.AttackOptions{Seed: 3}); !rep.Did {
		t.Fatalf("the camera was not infected: %+v", rep.Steps)
	}
	if cam, err := r.Camera(t.Context(), lab.BadCam); err != nil || len(cam.Infected) != 1 {
		t.Errorf("infected = %v, %v, want one file", cam.Infected, err)
	}
	if err := r.Clean(t.Context(), lab.BadCam); err != nil {
		t.Fatal(err)
	}
	if cam, err := r.Camera(t.Context(), lab.BadCam); err != nil || len(cam.Infected) != 0 || cam.Telnet == "" {
		t.Errorf("after the restart: %+v, %v", cam, err)
	}
}
