package trial_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/lab/attack"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/platform"
	"github.com/ringwall/ringwall/internal/trial"
	"github.com/ringwall/ringwall/internal/trust"
)

// agentProgram is the real ringwall-agent, built for these tests.
var agentProgram string

func TestMain(m *testing.M) {
	lab.MaybeActor()
	dir, err := os.MkdirTemp("", "ringwall-e2e-")
	if err == nil {
		agentProgram = filepath.Join(dir, "ringwall-agent")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", agentProgram, "github.com/ringwall/ringwall/cmd/ringwall-agent")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "building ringwall-agent:", err)
		os.Exit(1)
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func start(t *testing.T, cfg trial.Config) *trial.Trial {
	t.Helper()
	if err := netns.Available(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("network namespaces are needed on CI: %v", err)
		}
		t.Skipf("SKIPPED, NOT TESTED: the range needs root on Linux: %v", err)
	}
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: the range is left out of a short run")
	}
	if cfg.Log = (logTo{t}); cfg.Agent == nil {
		cfg.Agent = []string{agentProgram}
	}
	change := cfg.Platform
	cfg.Platform = func(c *platform.Config) {
		c.Trust = trust.Config{CoolDown: 2 * time.Second, MaxGap: time.Second}
		if change != nil {
			change(c)
		}
	}
	t.Parallel() // each has a range of its own, and mostly waits
	x, err := trial.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return x
}

func device(t *testing.T, x *trial.Trial, actor string) api.Device {
	t.Helper()
	d, err := x.Device(t.Context(), actor)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func until(t *testing.T, x *trial.Trial, most time.Duration, what string, f func() (bool, error)) {
	t.Helper()
	if err := x.Until(t.Context(), most, what, f); err != nil {
		t.Fatal(err)
	}
}

func view(s lab.PhoneStats, camera string) lab.ViewStats {
	for _, v := range s.Views {
		if v.Camera == camera {
			return v
		}
	}
	return lab.ViewStats{}
}

// The loop, end to end: a camera with default passwords is graded high, a good
// one medium; the bad one is attacked and infected, caught, explained and cut
// off; trust, grade and policy follow; the owner repairs it and it recovers.
func TestLoop_cameraIsGradedAttackedCaughtCutOffAndRecovers(t *testing.T) {
	x := start(t, trial.Config{Assess: true})
	ctx := t.Context()
	graded := func(actor string, want ringwall.Grade) {
		t.Helper()
		until(t, x, 5*time.Minute, actor+" is graded", func() (bool, error) {
			d, err := x.Device(ctx, actor)
			return err == nil && d.Grade != ringwall.Ungraded, err
		})
		if d := device(t, x, actor); d.Grade != want {
			a, _ := x.Client.Assessment(ctx, d.Assess)
			t.Fatalf("%s is graded %v, want %v: %q", actor, d.Grade, want, a.Reasons)
		}
	}
	graded(lab.BadCam, ringwall.HighRisk)
	graded(lab.GoodCam, ringwall.MediumRisk)
	graded(lab.Meter, ringwall.MediumRisk)
	cam := device(t, x, lab.BadCam)
	if cam.Trust != ringwall.T2 {
		t.Errorf("trust in a camera with a confirmed default credential = %v (%v), want T2", cam.Trust, cam.TrustReasons)
	}

	before, err := x.Range.Phone(ctx)
	if err != nil {
		t.Fatal(err)
	}
	// The meter's and the SIM's part of the story are tested by themselves.
	for _, part := range []struct {
		name  string
		lasts time.Duration
	}{{lab.Infect, 30 * time.Second}, {lab.Beacon, 4 * time.Second}, {lab.MiraiScan, 3 * time.Second}} {
		rep, err := x.Range.Attack(ctx, part.name, lab.AttackOptions{On: lab.BadCam, Duration: part.lasts, NoCapture: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("attack: %+v", rep)
		if part.name != lab.Infect {
			continue
		}
		c, err := x.Range.Camera(ctx, lab.BadCam)
		if err != nil {
			t.Fatal(err)
		}
		// On a slow machine the camera is cut off before its wget has ended.
		if caught := len(device(t, x, lab.BadCam).Holds) > 0; len(c.Infected) == 0 && !caught || !rep.Steps[0].Detail.(attack.GuessResult).In {
			t.Errorf("the camera was neither infected nor caught, in a mode that refuses nothing: it holds %q; %+v", c.Infected, rep.Steps)
		}
	}
	in, err := x.Incident(ctx, cam.ID, time.Minute, func(in api.Incident) bool {
		return in.Stage >= ringwall.Command && slices.ContainsFunc(in.Responses, func(r api.Response) bool { return r.Status == "done" })
	})
	if err != nil {
		t.Fatalf("%v; incident: %+v", err, in)
	}
	if !hasRule(in, "credential-guessing") {
		t.Errorf("the guessing that opened the attack is not in the incident: %v", in.Story)
	}
	for _, l := range in.Story {
		t.Logf("story: %s %s", l.Time.Format(time.TimeOnly), l.Text)
		if strings.Contains(l.Text, "{") || strings.TrimSpace(l.Text) == "" {
			t.Errorf("the story has a line that nobody can read: %q", l.Text)
		}
	}
	until(t, x, time.Minute, "trust falls and the finding is written", func() (bool, error) {
		d, err := x.Device(ctx, lab.BadCam)
		return err == nil && d.Trust == ringwall.T1 && len(d.Holds) > 0 && d.Grade == ringwall.HighRisk, err
	})
	if err := x.InForce(ctx); err != nil {
		t.Fatal(err)
	}

	// The good camera and the phone are never cut.
	after, err := x.Range.Phone(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if g, h := view(before, lab.GoodCam), view(after, lab.GoodCam); h.Pictures <= g.Pictures || h.Broken > g.Broken {
		t.Errorf("the phone's view of the good camera was cut: %+v, before the attack %+v", h, g)
	}

	// The owner repairs it, releases it, and has it assessed again.
	for _, service := range []string{"admin", "telnet"} {
		if err := x.Range.SetPassword(ctx, lab.BadCam, service, "a password that nobody ships 7"); err != nil {
			t.Fatal(err)
		}
	}
	if err := x.Range.Telnet(ctx, lab.BadCam, false); err != nil {
		t.Fatal(err)
	}
	if err := x.Range.Clean(ctx, lab.BadCam); err != nil {
		t.Fatal(err)
	}
	if err := x.Release(ctx, cam.ID); err != nil {
		t.Fatal(err)
	}
	resolved, disposition := "resolved", "true"
	if _, err := x.Client.PatchIncident(ctx, in.ID, api.IncidentPatch{Status: &resolved, Disposition: &disposition}); err != nil {
		t.Fatal(err)
	}
	// Trust comes back a step at a time; until the first the gateway keeps the
	// camera apart, and nobody could measure anything of it.
	until(t, x, time.Minute, "the camera is let out", func() (bool, error) {
		d, err := x.Device(ctx, lab.BadCam)
		return err == nil && d.Trust >= ringwall.T2, err
	})
	if err := x.InForce(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Assessment(ctx, cam.ID); err != nil {
		t.Fatal(err)
	}
	if err := x.Until(ctx, 3*time.Minute, "grade and trust recover", func() (bool, error) {
		d, err := x.Device(ctx, lab.BadCam)
		return err == nil && d.Grade == ringwall.MediumRisk && d.Trust == ringwall.T3, err
	}); err != nil {
		d := device(t, x, lab.BadCam)
		a, _ := x.Client.Assessment(ctx, d.Assess)
		t.Fatalf("%v: grade %v (%q), trust %v (%+v), holds %+v, incident %q", err, d.Grade, a.Reasons, d.Trust, d.TrustReasons, d.Holds, d.Incident)
	}

	// All of it stands on one timeline, and trust rose step by step.
	line, err := x.Client.Timeline(ctx, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(cam.ID)}, time.Time{}, 500)
	if err != nil {
		t.Fatal(err)
	}
	var levels []string
	kinds := map[string]bool{}
	for _, e := range slices.Backward(line) {
		kinds[e.Kind] = true
		if e.Kind == ringwall.EventDeviceTrust {
			levels = append(levels, e.Params["new"])
		}
	}
	for _, k := range []string{ringwall.EventDeviceSeen, ringwall.EventAssessment, ringwall.EventDeviceGrade, ringwall.EventAlert, ringwall.EventIncident, ringwall.EventDeviceHold, ringwall.EventResponse, ringwall.EventDeviceTrust, ringwall.EventDevicePolicy} {
		if !kinds[k] {
			t.Errorf("the timeline has no %s", k)
		}
	}
	if got := strings.Join(levels, " "); !strings.HasSuffix(got, "T1 T2 T3") {
		t.Errorf("trust went %s, want it to fall to T1 and rise by T2 to T3", got)
	}
}

// Mode enforce: the same attacks fail at the first packet and yet alert, since
// the detectors read ahead of the packet filter.
func TestEnforce_noAttackPacketArrivesAndEveryAttackAlerts(t *testing.T) {
	x := start(t, trial.Config{})
	ctx := t.Context()
	// What the devices need was seen; now nothing else passes.
	time.Sleep(3 * time.Second)
	home := []string{lab.BadCam, lab.GoodCam, lab.Meter}
	if err := x.Mode(ctx, ringwall.Enforce, home...); err != nil {
		t.Fatal(err)
	}
	for _, attack := range []struct{ name, rule string }{
		{lab.TelnetGuess, "credential-guessing"}, {lab.MiraiScan, "mirai-scan"}, {lab.UnknownScan, "any-fanout"},
		{lab.Lateral, "new-peer"}, {lab.UDPFlood, "flood"}, {lab.MapPort, "port-mapping"}, {lab.Mine, "new-peer"},
	} {
		t.Run(attack.name, func(t *testing.T) {
			rep, err := x.Range.Attack(ctx, attack.name, lab.AttackOptions{Duration: 6 * time.Second, NoCapture: true})
			if err != nil {
				t.Fatal(err)
			}
			if rep.Packets == 0 {
				t.Fatal("the attack sent no packet: this proves nothing")
			}
			if n := rep.Reached(); n != 0 {
				t.Errorf("%d of %d attack packets arrived: %+v", n, rep.Packets, rep.Arrived)
			}
			cam := device(t, x, lab.BadCam)
			until(t, x, time.Minute, "alert "+attack.rule, func() (bool, error) {
				line, err := x.Client.Timeline(ctx, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(cam.ID)}, time.Time{}, 200)
				return slices.ContainsFunc(line, func(e api.TimelineEntry) bool {
					return e.Kind == ringwall.EventAlert && e.Time.After(rep.From) && (e.Params["rule"] == attack.rule || attack.rule == "any-fanout" && e.Params["rule"] == "admin-fanout")
				}), err
			})
			if err := x.Release(ctx, cam.ID); err != nil {
				t.Fatal(err)
			}
			if err := x.Range.Clean(ctx, lab.BadCam); err != nil {
				t.Fatal(err)
			}
		})
	}
	t.Run("with the gateway's program killed again and again", func(t *testing.T) { killedUnderAttack(t, x) })
}

// The SIM thread: a meter's card turns up in other equipment; the operator's
// records tell, the incident shows it beside the packets, and suspending the
// card at the operator stops it, until it is undone.
func TestSIM_swapIsSeenSuspendedAndUndone(t *testing.T) {
	x := start(t, trial.Config{})
	ctx := t.Context()
	meter := device(t, x, lab.Meter)
	go x.Range.Attack(ctx, lab.SIMSwap, lab.AttackOptions{Duration: 30 * time.Second, NoCapture: true})
	in, err := x.Incident(ctx, meter.ID, time.Minute, func(in api.Incident) bool {
		return hasRule(in, "separation") && slices.ContainsFunc(in.Responses, func(r api.Response) bool { return r.Kind == "sim-suspend" && r.Status == "proposed" })
	})
	if err != nil {
		t.Fatalf("%v; incident: %+v", err, in)
	}
	sims, err := x.Client.SIMs(ctx, client.Paging{})
	if err != nil || len(sims.Items) != 1 {
		t.Fatalf("SIMs = %+v, %v", sims, err)
	}
	if text := fmt.Sprintf("%+v %+v", in, sims); strings.Contains(text, x.Range.SIM().IMSI.Reveal()) || strings.Contains(text, x.Range.SIM().ICCID.Reveal()) {
		t.Error("a card's number is shown in clear")
	}
	// The alert is told at once; what is known of the card follows with the batch.
	until(t, x, time.Minute, "trust in a meter whose SIM sits elsewhere is T1 at most", func() (bool, error) {
		d, err := x.Device(ctx, lab.Meter)
		return err == nil && d.Trust <= ringwall.T1, err
	})
	var suspend api.Response
	for _, r := range in.Responses {
		if r.Kind == "sim-suspend" {
			suspend = r
		}
	}
	decide := func(decision, status, state string) {
		t.Helper()
		if _, err := x.Client.DecideResponse(ctx, suspend.ID, decision); err != nil {
			t.Fatal(err)
		}
		until(t, x, time.Minute, "the response is "+status, func() (bool, error) {
			s, err := x.Client.SIM(ctx, sims.Items[0].ID)
			if err != nil || s.State != state {
				return false, err
			}
			op, err := x.Range.Card(ctx)
			return err == nil && op.State == state, err
		})
	}
	decide("approve", "done", "suspended")
	decide("undo", "undone", "active")
}

// A reflex acts with the platform stopped.
func TestReflex_quarantinesWithThePlatformStopped(t *testing.T) {
	x := start(t, trial.Config{})
	ctx := t.Context()
	if err := x.InForce(ctx); err != nil {
		t.Fatal(err)
	}
	if err := x.PlatformAway(ctx); err != nil {
		t.Fatal(err)
	}
	rep, err := x.Range.Attack(ctx, lab.MiraiScan, lab.AttackOptions{Duration: 5 * time.Second, NoCapture: true})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Packets == 0 {
		t.Fatal("the attack sent no packet: this proves nothing")
	}
	until(t, x, time.Minute, "the gateway holds the camera, the platform being away", func() (bool, error) {
		st, err := x.GatewayStatus(ctx)
		return len(st.Holds) > 0, err
	})
	// Once it is back it hears of it.
	if err := x.PlatformBack(ctx); err != nil {
		t.Fatal(err)
	}
	until(t, x, time.Minute, "the platform knows of the hold", func() (bool, error) {
		d, err := x.Device(ctx, lab.BadCam)
		return err == nil && len(d.Holds) > 0 && d.Trust <= ringwall.T1, err
	})
}
