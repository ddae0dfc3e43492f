package trial_test

import (
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/trial"
)

// A device whose cable is pulled is silent, then gone, and on line when it is
// back; the others are on line all the while.
func TestPresence_ofACablePulledAndPutBack(t *testing.T) {
	x := start(t, trial.Config{Lab: lab.Config{Pace: time.Second}, Flags: []string{"-silent", "6s", "-gone", "15s"}})
	ctx := t.Context()
	if d := device(t, x, lab.Meter); d.Presence != ringwall.Online {
		t.Fatalf("before its cable is pulled the meter is %v", d.Presence)
	}
	cable := func(in bool) {
		t.Helper()
		if err := x.Range.NS(lab.Gateway).SetUp(lab.Port(lab.Meter), in); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want ringwall.Presence) {
		t.Helper()
		from := time.Now()
		until(t, x, 90*time.Second, "the meter is "+want.String(), func() (bool, error) {
			d, err := x.Device(ctx, lab.Meter)
			return d.Presence == want, err
		})
		t.Logf("%v after %v", want, time.Since(from))
	}
	cable(false)
	is(ringwall.Silent)
	for _, actor := range []string{lab.BadCam, lab.GoodCam} {
		if d := device(t, x, actor); d.Presence != ringwall.Online {
			t.Errorf("%s, whose cable nobody touched, is %v", actor, d.Presence)
		}
	}
	is(ringwall.Gone)
	cable(true)
	is(ringwall.Online)
	d := device(t, x, lab.Meter)
	line, err := x.Client.Timeline(ctx, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(d.ID)}, time.Time{}, 200)
	if err != nil {
		t.Fatal(err)
	}
	var went []string
	for _, e := range slices.Backward(line) {
		if e.Kind == ringwall.EventDevicePresence && e.Params["new"] != "" {
			went = append(went, e.Params["old"]+">"+e.Params["new"])
		}
	}
	online, silent, gone := ringwall.Online.String(), ringwall.Silent.String(), ringwall.Gone.String()
	if want := []string{online + ">" + silent, silent + ">" + gone, gone + ">" + online}; !slices.Equal(went, want) {
		t.Errorf("the timeline says %q, want %q", went, want)
	}
	if !d.Enrolled || d.Name == "" {
		t.Errorf("back on line it is %+v, want the one that it was", d)
	}
}

// The gateway's program is killed again and again while the camera attacks: what
// it left in the kernel stands, so that nothing gets out, and what is allowed
// goes on.
func killedUnderAttack(t *testing.T, x *trial.Trial) {
	const rounds = 5
	ctx := t.Context()
	before, err := x.Range.Phone(ctx)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan lab.Report, 1)
	go func() {
		// Longer than it takes: it is ended below.
		rep, err := x.Range.Attack(ctx, lab.MiraiScan, lab.AttackOptions{Duration: 3 * time.Minute, MaxPackets: 1 << 20, NoCapture: true})
		if err != nil {
			t.Error(err)
		}
		over <- rep
	}()
	var hold api.Hold
	until(t, x, time.Minute, "the gateway holds the camera", func() (bool, error) {
		st, err := x.GatewayStatus(ctx)
		if len(st.Holds) > 0 {
			hold = st.Holds[0]
		}
		return len(st.Holds) > 0, err
	})
	for round := range rounds {
		from := time.Now()
		if err := x.KillAgent(); err != nil {
			t.Fatal(err)
		}
		// A while without it: the scan goes on.
		time.Sleep(time.Duration(200+200*round) * time.Millisecond)
		if err := x.StartAgent(ctx); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		st, err := x.GatewayStatus(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(st.Holds, func(h api.Hold) bool { return h.ID == hold.ID }) {
			t.Errorf("round %d: the hold %s is forgotten: %+v", round, hold.ID, st.Holds)
		}
		select {
		case rep := <-over:
			t.Fatalf("round %d: the attack was over before the kill was: %+v; this proves nothing", round, rep)
		default:
		}
		t.Logf("round %d: killed, back after %v", round, time.Since(from))
	}
	if err := x.Range.Clean(ctx, lab.BadCam); err != nil { // the bot ends
		t.Fatal(err)
	}
	rep := <-over
	t.Logf("%d packets from %v to %v, arrived %+v", rep.Packets, rep.First, rep.Last, rep.Arrived)
	if rep.Packets < 100 {
		t.Errorf("the attack sent %d packets: this proves little", rep.Packets)
	}
	if n := rep.Reached(); n != 0 {
		t.Errorf("%d of %d attack packets arrived while the gateway's program was killed %d times", n, rep.Packets, rounds)
	}
	after, err := x.Range.Phone(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if g, h := view(before, lab.GoodCam), view(after, lab.GoodCam); h.Pictures <= g.Pictures || h.Broken > g.Broken {
		t.Errorf("the phone's view of the good camera was cut: %+v, before the attack %+v", h, g)
	}
	// It is of use again: it follows the platform.
	cam := device(t, x, lab.BadCam)
	if err := x.Release(ctx, cam.ID); err != nil {
		t.Fatal(err)
	}
	if err := x.InForce(ctx); err != nil {
		t.Fatal(err)
	}
}
