package incident

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// whole is an incident with everything that any party could see, and with
// numbers that a careless detector might have left in clear.
func whole(t *testing.T) Incident {
	t.Helper()
	as := infection()
	as[0].Peer = as[0].Peer.Next() // 203.0.113.6, the owner's own telephone say
	as[3].Evidence.Facts["neighbour"] = "10.77.0.20"
	as[4].Evidence.Facts["imsi"] = "460001234567890"
	as[4].Evidence.Facts["detail"] = "card 89860012345678901234 moved"
	in, _ := play(t, Config{}, as...)
	for _, r := range Plan(in, nil, nil, t0.Add(2*time.Minute)) {
		r.Reason += " at 10.77.0.10"
		if r.Status == Proposed {
			r = must(t)(Approve(r, "usr_alice", t0.Add(2*time.Minute)))
		}
		in, _ = Apply(&in, Input{Now: r.Made, About: camera, Response: &r}, Config{})
	}
	in, _, err := Decide(in, api.IncidentPatch{Status: ptr(Triaged), Note: ptr("the nanny plugged it in")}, "usr_alice", t0.Add(3*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestProject_byPart(t *testing.T) {
	const (
		lan      = "10.77.0"
		peer     = "203.0.113"
		c2       = "198.51.100"
		name     = "Front door camera"
		alice    = "usr_alice"
		note     = "nanny"
		sim      = "sim_1"
		device   = "dev_cam"
		org      = "org_home"
		gateway  = "gw_1"
		model    = "Acme C100 1.0.3"
		sepFact  = "49015420****51"
		sepTitle = "other equipment"
	)
	tests := []struct {
		parts     []ringwall.Part
		see, hide []string
		alerts    int
		responses int
	}{
		{[]ringwall.Part{ringwall.PartOwner, ringwall.PartEnterprise, ringwall.PartAuditor, ringwall.PartPlatform},
			[]string{peer, c2, name, alice, note, sim, device, org, gateway, sepFact, lan}, nil, 5, 2},
		{[]ringwall.Part{ringwall.PartIntegrator},
			[]string{peer, c2, name, device}, []string{sim, sepFact, sepTitle, note}, 4, 1},
		{[]ringwall.Part{ringwall.PartProvider, ringwall.PartApplication},
			[]string{name, device, "Mirai", "quarantine"}, []string{peer, c2, lan, sepFact, sepTitle, note, gateway}, 4, 2},
		{[]ringwall.Part{ringwall.PartOperator},
			[]string{sim, sepFact, "Mirai", "propagation"}, []string{peer, c2, lan, name, alice, note, device, org, gateway, model}, 5, 1},
		{[]ringwall.Part{ringwall.PartManufacturer},
			[]string{model, "Mirai", "propagation", "credential-guessing", "telnet"}, []string{peer, c2, lan, name, alice, note, sim, device, org, gateway, sepFact, sepTitle}, 4, 0},
	}
	in := whole(t)
	before, _ := json.Marshal(in)
	for _, tt := range tests {
		for _, part := range tt.parts {
			t.Run(string(part), func(t *testing.T) {
				got, ok := Project(in, part)
				if !ok {
					t.Fatal("nothing is shown")
				}
				b, err := json.Marshal(got)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range tt.see {
					if !strings.Contains(string(b), s) {
						t.Errorf("%q is hidden", s)
					}
				}
				for _, s := range append(tt.hide, "460001234567890", "89860012345678901234") {
					if i := strings.Index(string(b), s); i >= 0 {
						t.Errorf("%q is shown: ...%s...", s, b[max(0, i-120):min(len(b), i+60)])
					}
				}
				if len(got.Alerts) != tt.alerts || len(got.Responses) != tt.responses {
					t.Errorf("%d alerts and %d responses, want %d and %d", len(got.Alerts), len(got.Responses), tt.alerts, tt.responses)
				}
				if got.Severity != in.Severity || got.Stage != in.Stage || got.Status != in.Status || len(got.Stages) != 4 {
					t.Error("severity, stage or status is not the incident's")
				}
				for _, l := range got.Story {
					if l.Text != Sentence(l.Key, l.Params) || strings.Contains(l.Text, "?") {
						t.Errorf("line %q (%s)", l.Text, l.Key)
					}
				}
			})
		}
	}
	if after, _ := json.Marshal(in); string(after) != string(before) {
		t.Error("projecting changed the incident")
	}
}

func TestProject_showsNothing(t *testing.T) {
	in := whole(t)
	for _, p := range []ringwall.Part{ringwall.PartIntermediary, ringwall.PartPointOfSale, ringwall.PartConsumer, "", "root"} {
		if got, ok := Project(in, p); ok || got.ID != "" {
			t.Errorf("part %q sees it", p)
		}
	}
	for _, p := range ringwall.Parts {
		watched := in
		watched.Status = Watching
		if _, ok := Project(watched, p); ok {
			t.Errorf("part %q sees one that was never opened", p)
		}
	}
	noSIM := in
	noSIM.SIM = ""
	if _, ok := Project(noSIM, ringwall.PartOperator); ok {
		t.Error("an operator sees a device without a card")
	}
	// A row of a list knows no groups: it is still shown, with nothing that they would guard.
	row := Incident{Incident: in.Incident}
	if got, ok := Project(row, ringwall.PartManufacturer); !ok || len(got.Alerts) != 0 || got.Org != "" || strings.Contains(got.Name, "Front") {
		t.Errorf("a row of a list: %v, %+v", ok, got)
	}
	simOnly := in.clone()
	simOnly.Groups = slices.DeleteFunc(simOnly.Groups, func(g Group) bool { return !g.SIM })
	if _, ok := Project(simOnly, ringwall.PartManufacturer); ok {
		t.Error("a manufacturer sees what concerns the card alone")
	}
}

func TestProject_manufacturerCannotFollowADevice(t *testing.T) {
	a, _ := Project(whole(t), ringwall.PartManufacturer)
	again, _ := Project(whole(t), ringwall.PartManufacturer)
	in := whole(t)
	in.ID = "inc_other"
	b, _ := Project(in, ringwall.PartManufacturer)
	if a.Subject == b.Subject || a.Subject != again.Subject {
		t.Errorf("subjects %v, %v in two incidents, %v again", a.Subject, b.Subject, again.Subject)
	}
}
