package trial_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/trial"
)

// The meter is graded medium. It obeys a command server, over the home and over
// its card: the gateway's packets and the operator's records, which know
// nothing of each other, bear each other out in one incident, which makes the
// grade high. Its owner cleans it, has it assessed again, and it recovers.
func TestMeter_packetsAndUsageRecordsTellOneStory(t *testing.T) {
	x := start(t, trial.Config{Lab: lab.Config{UsagePeriod: 2 * time.Second}})
	ctx := t.Context()
	meter := device(t, x, lab.Meter)
	a, err := x.Assessment(ctx, meter.ID)
	if err != nil {
		t.Fatal(err)
	}
	if d := device(t, x, lab.Meter); a.Grade != ringwall.MediumRisk || d.Grade != ringwall.MediumRisk || d.Incident != "" {
		t.Fatalf("before anything happened the meter is graded %v, its assessment says %v (%q), its incident is %q", d.Grade, a.Grade, a.Reasons, d.Incident)
	}

	c2, _ := lab.Addr(lab.C2)
	rep, err := x.Range.Attack(ctx, lab.MeterCompromise, lab.AttackOptions{Duration: 30 * time.Second, NoCapture: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("attack: did %t, %d packets, %d arrived: %+v", rep.Did, rep.Packets, rep.Reached(), rep.Steps[0].Detail)
	ofCard := func(a ringwall.Alert) bool { return len(a.Evidence.Records) > 0 && a.Peer == c2 }
	ofPackets := func(a ringwall.Alert) bool { return len(a.Evidence.Packets) > 0 && a.Peer == c2 }
	in, err := x.Incident(ctx, meter.ID, time.Minute, func(in api.Incident) bool {
		return in.Stage >= ringwall.Command && slices.ContainsFunc(in.Alerts, ofCard) && slices.ContainsFunc(in.Alerts, ofPackets)
	})
	for _, l := range in.Story {
		t.Logf("story: %s %s", l.Time.Format(time.TimeOnly), l.Text)
	}
	if err != nil {
		t.Fatalf("%v; incident: stage %v, rules %q", err, in.Stage, rulesOf(in))
	}
	if !hasRule(in, "sim-peer") || !hasRule(in, "beacon") && !hasRule(in, "new-peer") {
		t.Errorf("the rules of the incident are %q, want those of the card beside those of the packets", rulesOf(in))
	}
	if in.SIM == "" {
		t.Error("the incident does not name the card")
	}
	// Each of both is a line of the story, by the id of its alert.
	told := func(which func(ringwall.Alert) bool) bool {
		return slices.ContainsFunc(in.Alerts, func(a ringwall.Alert) bool {
			return which(a) && slices.ContainsFunc(in.Story, func(l api.StoryLine) bool { return l.Ref == string(a.ID) && strings.TrimSpace(l.Text) != "" })
		})
	}
	if !told(ofCard) || !told(ofPackets) {
		t.Errorf("the story tells of the card: %t, of the packets: %t; want both", told(ofCard), told(ofPackets))
	}
	until(t, x, time.Minute, "observed-compromise makes the meter high", func() (bool, error) {
		d, err := x.Device(ctx, lab.Meter)
		return d.Grade == ringwall.HighRisk && d.Incident == string(in.ID), err
	})
	line, err := x.Client.Timeline(ctx, ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(meter.ID)}, time.Time{}, 200)
	if err != nil || !slices.ContainsFunc(line, func(e api.TimelineEntry) bool {
		return e.Kind == ringwall.EventDeviceGrade && e.Params["old"] == "medium" && e.Params["new"] == "high" && e.Params["reason"] != ""
	}) {
		t.Errorf("the timeline does not say that and why the grade went from medium to high (%v): %+v", err, line)
	}

	// An assessment alone, with nothing done at the device, clears nothing while
	// the incident is open.
	if err := x.Range.Clean(ctx, lab.Meter); err != nil {
		t.Fatal(err)
	}
	if err := x.Release(ctx, meter.ID); err != nil {
		t.Fatal(err)
	}
	resolved, disposition := "resolved", "true"
	if _, err := x.Client.PatchIncident(ctx, in.ID, api.IncidentPatch{Status: &resolved, Disposition: &disposition}); err != nil {
		t.Fatal(err)
	}
	if d := device(t, x, lab.Meter); d.Grade != ringwall.HighRisk {
		t.Errorf("closing the incident made the grade %v; only what is measured anew may", d.Grade)
	}
	if a, err = x.Assessment(ctx, meter.ID); err != nil {
		t.Fatal(err)
	}
	t.Logf("assessed again: %v %q", a.Grade, a.Reasons)
	until(t, x, time.Minute, "the meter is medium and trusted again", func() (bool, error) {
		d, err := x.Device(ctx, lab.Meter)
		return d.Grade == ringwall.MediumRisk && d.Trust >= ringwall.T2, err
	})
}
