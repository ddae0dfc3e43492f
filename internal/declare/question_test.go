package declare

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/strict"
)

// plain turns a tree into what encoding/json writes.
func plain(n *strict.Node) any {
	switch n.Kind {
	case strict.List:
		out := []any{}
		for _, i := range n.Items {
			out = append(out, plain(i))
		}
		return out
	case strict.Object:
		out := map[string]any{}
		for _, m := range n.Members {
			out[m.Name] = plain(m.Value)
		}
		return out
	case strict.Bool:
		return n.Text == "true"
	case strict.Number:
		return json.Number(n.Text)
	case strict.Null:
		return nil
	}
	return n.Text
}

func TestQuestions_hold_together(t *testing.T) {
	seen := map[string]Question{}
	rubric := assess.Default()
	en, _ := data().standard("ETSI EN 303 645", "V3.1.3")
	for _, q := range data().questions {
		if _, twice := seen[q.ID]; twice || q.ID == "" {
			t.Errorf("question %q stands twice", q.ID)
		}
		if q.Text.En == "" || q.Text.Zh == "" || (q.Help.En == "") != (q.Help.Zh == "") {
			t.Errorf("%s: a text is missing in one language", q.ID)
		}
		if _, ok := rubric.Indicator(q.Indicator); !ok {
			t.Errorf("%s: no indicator %q", q.ID, q.Indicator)
		}
		for _, p := range q.Provisions {
			if _, ok := en.provision(p); !ok {
				t.Errorf("%s: no provision %q", q.ID, p)
			}
		}
		if q.When != nil {
			up, ok := seen[q.When.Question]
			if !ok {
				t.Errorf("%s depends on %q, which does not come before it", q.ID, q.When.Question)
			}
			for _, id := range q.When.Is {
				if _, ok := up.choice(id); !ok {
					t.Errorf("%s depends on answer %q of %s, which is no choice", q.ID, id, up.ID)
				}
			}
		}
		if (q.Kind == AskChoice) != (len(q.Choices) > 1) {
			t.Errorf("%s: kind %s with %d choices", q.ID, q.Kind, len(q.Choices))
		}
		known, outcomes := map[string]bool{}, map[ringwall.Outcome]bool{}
		for _, c := range q.Choices {
			if known[c.ID] || c.Text.En == "" || c.Text.Zh == "" {
				t.Errorf("%s: choice %q stands twice or has no words", q.ID, c.ID)
			}
			known[c.ID], outcomes[c.Outcome] = true, true
		}
		if q.Kind == AskChoice && len(outcomes) < 2 {
			t.Errorf("%s: every answer means the same", q.ID)
		}
		seen[q.ID] = q
	}
	for _, class := range []string{"camera", "lock", "meter", "appliance", "vehicle", "gateway", "microcontroller", "cloud"} {
		n := len(Questions(api.Profile{Class: class}))
		if low := 30; class != "cloud" && n < low || class == "cloud" && n < 5 {
			t.Errorf("%s is asked %d questions", class, n)
		}
	}
	if len(data().questions) < 40 || len(data().questions) > 60 {
		t.Errorf("%d questions", len(data().questions))
	}
	if a, b := len(Questions(api.Profile{Class: "meter"})), len(Questions(api.Profile{Class: "meter", SIM: true})); b != a+1 {
		t.Errorf("with a SIM %d questions, without %d", b, a)
	}
}

func set(t *testing.T, d Draft, id, value string) Draft {
	t.Helper()
	next, err := d.Set(d.Revision, id, Answer{Value: value}, today)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func asks(d Draft, id string) bool {
	for _, q := range d.Asked() {
		if q.ID == id {
			return true
		}
	}
	return false
}

func TestDraft_asks_what_follows(t *testing.T) {
	d := NewDraft(api.Profile{Class: "camera"}, today)
	if asks(d, "update-signed") || asks(d, "rollback") {
		t.Error("asked about updates before it is known that there are any")
	}
	d = set(t, d, "updates", "yes")
	if !asks(d, "update-signed") {
		t.Error("not asked who verifies updates")
	}
	before := d.Progress()
	d = set(t, d, "update-signed", "device")
	if p := d.Progress(); p.Answered != before.Answered+1 || p.Complete || p.Next == "" {
		t.Errorf("progress %+v after %+v", p, before)
	}
	d = set(t, d, "updates", "no")
	if asks(d, "update-signed") {
		t.Error("still asked who verifies updates that do not exist")
	}
	// What was answered under the condition counts no more.
	e, err := d.Examination("Owner", api.Identity{}, today)
	if err != nil {
		t.Fatal(err)
	}
	if f := finding(t, e.Findings, "FS-09"); f.Outcome != ringwall.Fail || strings.Contains(strings.Join(f.Evidence, " "), "The device itself") {
		t.Errorf("%+v", f)
	}
}

func TestDraft_guards(t *testing.T) {
	d := NewDraft(api.Profile{Class: "camera"}, today)
	for _, c := range []struct {
		name, id, value string
		at              time.Time
		revision        uint64
		code            ringwall.Code
	}{
		{"no such question", "nonsense", "yes", today, 0, ringwall.NotFound},
		{"of another class", "metering", "yes", today, 0, ringwall.NotFound},
		{"no such choice", "updates", "maybe", today, 0, ringwall.Invalid},
		{"no date", "support-ends", "next year", today, 0, ringwall.Invalid},
		{"no address", "support-published", "javascript:alert(1)", today, 0, ringwall.Invalid},
		{"no port", "services", "tcp/554\nhello", today, 0, ringwall.Invalid},
		{"port 0", "services", "tcp/0", today, 0, ringwall.Invalid},
		{"no name", "destinations", "cloud.example\n-- what?", today, 0, ringwall.Invalid},
		{"control", "services", "tcp/554\x00", today, 0, ringwall.Invalid},
		{"changed elsewhere", "updates", "yes", today, 3, ringwall.Conflict},
		{"expired", "updates", "yes", today.Add(DraftLife + time.Hour), 0, ringwall.NotFound},
	} {
		if _, err := d.Set(c.revision, c.id, Answer{Value: c.value}, c.at); ringwall.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want code %s", c.name, err, c.code)
		}
	}
	if _, err := d.Examination("Owner", api.Identity{}, today); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a questionnaire without an answer was taken: %v", err)
	}
}

func TestDraft_survives_saving(t *testing.T) {
	d := NewDraft(api.Profile{Class: "camera"}, today)
	d = set(t, d, "services", "tcp/554 RTSP\nudp/3702\ntcp/554")
	d = set(t, d, "support-ends", "2030-01-01")
	b, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseDraft([]byte(strings.Replace(string(b), `"support-ends"`, `"a-question-of-yesterday":{"value":"x"},"support-ends"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if len(again.Answers) != 2 || again.Revision != 2 || !again.Expires.Equal(d.Expires) {
		t.Errorf("%+v", again)
	}
	e, err := again.Examination("Owner", api.Identity{Vendor: "V"}, today)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Services) != 2 || e.Services[0].Name != "rtsp" || finding(t, e.Findings, "CO-01").Facts[FactServices] != "true" {
		t.Errorf("services %v", e.Services)
	}
	if f := finding(t, e.Findings, "HW-01"); f.Outcome != ringwall.Unknown {
		t.Errorf("what was not answered is %v", f.Outcome)
	}
	if _, err := ParseDraft([]byte(`{"version":99}`)); err == nil {
		t.Error("a draft of a newer version was taken")
	}
}

func TestDraft_alternatives_do_not_fail(t *testing.T) {
	d := NewDraft(api.Profile{Class: "camera"}, today)
	d = set(t, set(t, d, "gb35114", "none"), "media-signing", "yes")
	e, err := d.Examination("Owner", api.Identity{}, today)
	if err != nil {
		t.Fatal(err)
	}
	if f := finding(t, e.Findings, "DA-04"); f.Outcome != ringwall.Pass {
		t.Errorf("signed another way than GB 35114: %+v", f)
	}
	d = set(t, d, "media-signing", "no")
	if e, err = d.Examination("Owner", api.Identity{}, today); err != nil {
		t.Fatal(err)
	}
	if f := finding(t, e.Findings, "DA-04"); f.Outcome != ringwall.Fail {
		t.Errorf("signed in no way: %+v", f)
	}
}

func TestCoverage(t *testing.T) {
	var refs []Reference
	for _, in := range assess.Default().Indicators {
		for _, r := range in.References {
			refs = append(refs, Reference{in.ID, r.Standard, r.Clause})
		}
	}
	findings := []ringwall.Finding{
		{Indicator: "FS-01", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Source: "firmware/x"},
		{Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Source: "probe/credential"},
		{Indicator: "AP-02", Outcome: ringwall.Pass, Confidence: ringwall.Declared, Source: "declaration/x"},
		{Indicator: "CO-10", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "probe/snmp"},
		{Indicator: "CO-12", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Source: "probe/burst"},
		{Indicator: "AP-10", Outcome: ringwall.Partial, Confidence: ringwall.Declared, Source: "declaration/x"},
	}
	claims := map[string]Claim{"5.12-1": {Support: Yes}, "6.7": {Support: No}, "5.1-1": {Support: Yes}}
	rows, err := Coverage("ETSI EN 303 645", "V3.1.3", refs, claims, findings)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]CoverageRow{}
	for _, r := range rows {
		got[r.ID] = r
	}
	for id, want := range map[string]Met{
		"5.1-1": NotMet, "5.1-2": IsMet, "5.9-2": IsMet, "5.2-1": MetInPart, "5.5-1": NotKnown, "5.12-1": IsMet, "6.7": NotMet, "6.1": NotKnown,
	} {
		if got[id].Met != want {
			t.Errorf("%s is %s by %q, want %s", id, got[id].Met, got[id].Evidence, want)
		}
	}
	if got["5.1-2"].By != ringwall.Confirmed || got["5.12-1"].By != ringwall.Declared || len(got["5.12-1"].Indicators) != 0 {
		t.Errorf("%+v, %+v", got["5.1-2"], got["5.12-1"])
	}
	for _, s := range Standards() {
		rows, err := Coverage(s.Name, s.Edition, refs, nil, findings)
		if err != nil || len(rows) != len(s.Provisions) {
			t.Errorf("%s %s: %d rows, %v", s.Name, s.Edition, len(rows), err)
		}
	}
	psti, _ := Coverage("UK PSTI 2023/1007 Sch. 1", "", refs, nil, findings)
	if psti[0].Met != IsMet || psti[2].Met != NotKnown {
		t.Errorf("%+v", psti)
	}
	if _, err := Coverage("ISO 9001", "", nil, nil, nil); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("an unknown standard: %v", err)
	}
}

func FuzzParseDraft(f *testing.F) {
	d := NewDraft(api.Profile{Class: "camera"}, today)
	d.Answers["services"] = Answer{Value: "tcp/554 rtsp"}
	b, _ := json.Marshal(d)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ParseDraft(b)
		if err != nil {
			return
		}
		d.Progress()
		if e, err := d.Examination("who", api.Identity{}, d.Updated); err == nil && len(e.Findings) == 0 && len(d.Asked()) > 3 {
			t.Fatal("answers without findings")
		}
	})
}
