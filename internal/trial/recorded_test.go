package trial_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/client"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/trial"
)

// Where there is no range, its recording is judged by the same code: it needs
// no privilege, and tells the same story.
func TestRecorded_tellsTheStoryWithoutPrivilege(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: playing the recording is left out of a short run")
	}
	t.Parallel()
	x, err := trial.Start(t.Context(), trial.Config{Recorded: true, Speed: 6, Log: logTo{t}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	ctx := t.Context()
	over, err := x.Client.Overview(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := over.Demo; d == nil || d.Live || d.Why == "" || !slices.Contains(d.Attacks, lab.Full) {
		t.Fatalf("the screen is told %+v, want that and why the range is not live", d)
	}
	wait := func(what string, f func() (bool, error)) {
		t.Helper()
		if err := x.Until(ctx, 3*time.Minute, what, f); err != nil {
			t.Fatal(err)
		}
	}
	names := map[string]string{lab.BadCam: "Front door camera", lab.GoodCam: "Garden camera", lab.Meter: "Electricity meter", lab.Phone: "Phone"}
	wait("the home's devices are named", func() (bool, error) {
		for actor, name := range names {
			d, err := x.Device(ctx, actor)
			if ringwall.CodeOf(err) == ringwall.NotFound {
				return false, nil
			}
			if err != nil || d.Name != name || !d.Enrolled {
				return false, err
			}
		}
		return true, nil
	})
	wait("the cameras are graded as they were found", func() (bool, error) {
		bad, err := x.Device(ctx, lab.BadCam)
		if err != nil {
			return false, err
		}
		good, err := x.Device(ctx, lab.GoodCam)
		return bad.Grade == ringwall.HighRisk && good.Grade == ringwall.MediumRisk, err
	})
	cam, err := x.Device(ctx, lab.BadCam)
	if err != nil {
		t.Fatal(err)
	}
	a, err := x.Client.Assessment(ctx, cam.Assess)
	if err != nil || len(a.Findings) == 0 || len(a.Reasons) == 0 {
		t.Errorf("what the grade stands on = %d findings, reasons %q, %v", len(a.Findings), a.Reasons, err)
	}

	in, err := x.Incident(ctx, cam.ID, 3*time.Minute, func(in api.Incident) bool {
		return hasRule(in, "credential-guessing") && hasRule(in, "binary-download") && hasRule(in, "mirai-scan") && in.Stage == ringwall.Propagation
	})
	if err != nil {
		t.Fatalf("%v; incident: stage %v, rules %q", err, in.Stage, rulesOf(in))
	}
	var stages []ringwall.Stage
	for _, s := range in.Stages {
		if s.Count > 0 {
			stages = append(stages, s.Stage)
		}
	}
	if !slices.Contains(stages, ringwall.Infection) || !slices.Contains(stages, ringwall.Propagation) {
		t.Errorf("stages of the kill chain = %v", stages)
	}
	for _, l := range in.Story {
		if strings.Contains(l.Text, "{") || strings.TrimSpace(l.Text) == "" {
			t.Errorf("the story has a line that nobody can read: %q", l.Text)
		}
	}
	wait("the hold is reported", func() (bool, error) {
		d, err := x.Device(ctx, lab.BadCam)
		return len(d.Holds) > 0 && d.Trust <= ringwall.T1, err
	})

	meter, err := x.Device(ctx, lab.Meter)
	if err != nil {
		t.Fatal(err)
	}
	in, err = x.Incident(ctx, meter.ID, 3*time.Minute, func(in api.Incident) bool { return hasRule(in, "separation") })
	if err != nil {
		t.Fatalf("%v; incident: stage %v, rules %q", err, in.Stage, rulesOf(in))
	}
	wait("the meter's card is shown as separated", func() (bool, error) {
		sims, err := x.Client.SIMs(ctx, client.Paging{})
		return len(sims.Items) == 1 && !sims.Items[0].Separated.IsZero() && sims.Items[0].Device == meter.ID && sims.Items[0].SeenIMEI != sims.Items[0].BoundIMEI, err
	})
	// Nobody else is accused.
	for _, actor := range []string{lab.GoodCam, lab.Phone} {
		d, err := x.Device(ctx, actor)
		if err != nil || d.Incident != "" || len(d.Holds) > 0 {
			t.Errorf("%s has incident %q and holds %v, %v", actor, d.Incident, d.Holds, err)
		}
	}
}

func rulesOf(in api.Incident) (rules []string) {
	for _, a := range in.Alerts {
		rules = append(rules, a.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

func hasRule(in api.Incident, rule string) bool {
	return slices.ContainsFunc(in.Alerts, func(a ringwall.Alert) bool { return a.Rule == rule })
}

// logTo passes what everybody says to the test's log, which is shown when the
// test fails.
type logTo struct{ t *testing.T }

func (l logTo) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if !strings.Contains(line, "msg=request") && !strings.Contains(line, "desired state is in force") {
			l.t.Log(strings.TrimRight(line, "\n"))
		}
	}
	return len(b), nil
}
