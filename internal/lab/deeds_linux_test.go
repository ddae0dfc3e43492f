package lab_test

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/lab"
)

// What an infected device does besides scanning works in the range, is counted,
// and is found in its recording by the rules that it names.
func TestAttack_deeds(t *testing.T) {
	t.Parallel()
	r := newRange(t, lab.Config{Busybox: "-"})
	info := map[string]lab.AttackInfo{}
	for _, a := range lab.Attacks() {
		info[a.Name] = a
	}
	for _, tt := range []struct {
		name     string
		duration time.Duration
		did      bool // without anybody who stops it
	}{
		{lab.Exploit, 0, true},
		{lab.Lateral, 0, true},
		{lab.Mine, 2 * time.Second, true},
		{lab.MapPort, 0, false}, // the range's gateway maps no ports
		{lab.UDPFlood, 3500 * time.Millisecond, true},
		{lab.SYNFlood, 3500 * time.Millisecond, true},
		{lab.HTTPFlood, 6 * time.Second, true},
	} {
		rep := attackOf(t, r, tt.name, lab.AttackOptions{Seed: 9, Duration: tt.duration})
		if rep.Did != tt.did || rep.Packets == 0 {
			t.Errorf("%s: did %v, want %v, with %d packets: %+v", tt.name, rep.Did, tt.did, rep.Packets, rep.Steps)
		}
		if tt.did && rep.Reached() == 0 {
			t.Errorf("%s: no packet arrived", tt.name)
		}
		got := found(t, rep)
		for _, rule := range info[tt.name].Rules {
			if !got[rule] {
				t.Errorf("%s is not found by %q, only by %v", tt.name, rule, got)
			}
		}
		if err := r.Clean(t.Context(), lab.BadCam); err != nil {
			t.Fatal(err)
		}
	}
}

// One device is taken after the other.
func TestAttack_outbreak(t *testing.T) {
	t.Parallel()
	r := newRange(t, lab.Config{Busybox: "-"})
	rep := attackOf(t, r, lab.Outbreak, lab.AttackOptions{Seed: 5, Duration: 2 * time.Second, MaxPackets: 200, NoCapture: true})
	if len(rep.Steps) != 6 || !rep.Did {
		t.Errorf("%d steps, did %v: %+v", len(rep.Steps), rep.Did, rep.Steps)
	}
}
