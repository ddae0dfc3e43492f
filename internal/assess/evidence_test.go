package assess

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

func TestRank(t *testing.T) {
	r := Default()
	f := func(source string, c ringwall.Confidence, id string) *ringwall.Finding {
		return &ringwall.Finding{Indicator: id, Source: source, Confidence: c}
	}
	for _, x := range []struct {
		f    *ringwall.Finding
		want int
	}{
		{f("probe/x", ringwall.Confirmed, "AP-01"), proven},
		{f("inline/x", ringwall.Confirmed, "AP-01"), proven},
		{f("probe/x", ringwall.Observed, "AP-01"), shown},
		{f("probe/x", ringwall.Declared, "AP-01"), said},
		{f("agent/x", ringwall.Observed, "AP-01"), proven},
		{f("firmware/x", ringwall.Confirmed, "AP-01"), static},
		{f("laboratory/x", ringwall.Confirmed, "HW-01"), proven},
		{f("laboratory/x", ringwall.Confirmed, "FS-09"), bench},
		{f("laboratory/x", ringwall.Declared, "HW-01"), said},
		{f("declaration/x", ringwall.Confirmed, "HW-01"), said},
		{f("rumour", ringwall.Confirmed, "HW-01"), said},
		{f("", ringwall.Confirmed, "HW-01"), said},
	} {
		if got := r.rank(x.f); got != x.want {
			t.Errorf("%s, %v, %s has rank %d, want %d", x.f.Source, x.f.Confidence, x.f.Indicator, got, x.want)
		}
	}
}

func TestEvidence_nobodySpeaksForAnother(t *testing.T) {
	xs := []api.Examination{{Kind: api.ExamDeclaration, Source: "declaration/maker", Made: noon, Until: noon.Add(time.Hour), Findings: []ringwall.Finding{
		{Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Source: "agent/dev", Until: noon.Add(time.Hour * 99)},
		{Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Pass, Source: "assess"},
	}}, {Kind: api.ExamFirmware, Source: "laboratory/x", Made: noon, Findings: []ringwall.Finding{{Indicator: "FS-01", Outcome: ringwall.Pass, Source: "probe/x"}}}}
	got := Evidence(xs, nil)
	if len(got) != 2 {
		t.Fatalf("%d findings, want 2: %+v", len(got), got)
	}
	if f := got[0]; f.Source != "declaration/maker" || f.Confidence != ringwall.Declared || !f.Time.Equal(noon) || !f.Until.Equal(noon.Add(time.Hour)) {
		t.Errorf("a declaration becomes %+v", f)
	}
	if f := got[1]; f.Source != "firmware/laboratory/x" {
		t.Errorf("an image's finding is said by %q", f.Source)
	}
}

func TestEvidence_laboratories(t *testing.T) {
	xs, labs := testExams(t, true)
	at := func(fs []ringwall.Finding) ringwall.Finding {
		return fs[slices.IndexFunc(fs, func(f ringwall.Finding) bool { return f.Indicator == "HW-02" })]
	}
	if f := at(Evidence(xs, labs)); f.Confidence != ringwall.Confirmed || f.Source != "laboratory/bench" {
		t.Errorf("signed, it says %+v", f)
	}
	other := []api.Laboratory{{Name: "bench", Key: make([]byte, ed25519.PublicKeySize)}, {Name: "else", Key: labs[0].Key}, {Name: "bench", Key: []byte{1}}}
	for name, trusted := range map[string][]api.Laboratory{"no laboratory": nil, "another key or name": other} {
		if f := at(Evidence(xs, trusted)); f.Confidence != ringwall.Declared || f.Source != "declaration/bench" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	xs[3].Findings[0].Title += "!"
	if f := at(Evidence(xs, labs)); f.Confidence != ringwall.Declared {
		t.Errorf("changed after signing: %+v", f)
	}
}

func TestEvidence_newestOfEachSource(t *testing.T) {
	old := api.Examination{Kind: api.ExamFirmware, Source: "firmware/a", Made: noon.Add(-time.Hour), Findings: []ringwall.Finding{{Indicator: "FS-01", Outcome: ringwall.Fail}}}
	fresh := api.Examination{Kind: api.ExamFirmware, Source: "firmware/a", Made: noon, Findings: []ringwall.Finding{{Indicator: "FS-01", Outcome: ringwall.Pass}}}
	for _, xs := range [][]api.Examination{{old, fresh}, {fresh, old}} {
		if got := Evidence(xs, nil); len(got) != 1 || got[0].Outcome != ringwall.Pass {
			t.Errorf("evidence is %+v", got)
		}
	}
}

func TestEvidence_aKeyThatIsServedAndLiesInTheImage(t *testing.T) {
	xs, labs := testExams(t, true)
	res := Grade(Default(), Evidence(xs, labs), noon)
	reasons := strings.Join(res.Reasons, "\n")
	if res.Grade != ringwall.HighRisk || !strings.Contains(reasons, "FS-02: the private key of a service lies in the firmware image — proven, and alone enough") ||
		!strings.Contains(reasons, "CO-06: the private key of a service lies in the firmware image — proven, and alone enough") {
		t.Errorf("grade %v: %s", res.Grade, reasons)
	}
	xs[0].Secrets[0].Mark = "another"
	if got := Grade(Default(), Evidence(xs, labs), noon); strings.Contains(strings.Join(got.Reasons, "\n"), "FS-02") {
		t.Errorf("another key is shown, and the reasons are %q", got.Reasons)
	}
}

func TestDoubt(t *testing.T) {
	r := Default()
	maker := func(id string, o ringwall.Outcome) ringwall.Finding {
		return with(say(id, o), "declaration/maker", ringwall.Declared)
	}
	fs := []ringwall.Finding{say("CO-02", ringwall.Fail), maker("CO-02", ringwall.Pass), maker("HW-01", ringwall.Pass), maker("HW-02", ringwall.Fail)}
	honest := []ringwall.Finding{say("CO-02", ringwall.Fail), maker("HW-01", ringwall.Pass), maker("HW-02", ringwall.Fail)}
	got, before := Grade(r, fs, noon), Grade(r, honest, noon)
	if len(got.Doubted) != 1 || got.Doubted[0].Supplier != "declaration/maker" || !slices.Equal(got.Doubted[0].Indicators, []string{"CO-02"}) {
		t.Fatalf("doubted: %+v", got.Doubted)
	}
	if got.Risk <= before.Risk || got.RiskMax != before.RiskMax || got.RiskBest != before.RiskBest {
		t.Errorf("risk %v (%v to %v), without the false declaration %v (%v to %v)", got.Risk, got.RiskBest, got.RiskMax, before.Risk, before.RiskBest, before.RiskMax)
	}
	for _, f := range got.Settled {
		if f.Indicator == "HW-01" {
			t.Errorf("what a doubted maker declares is settled: %+v", f)
		}
	}
	// What somebody else declares too still stands, and so does a declared fail.
	second := append(slices.Clone(fs), with(say("HW-01", ringwall.Pass), "declaration/integrator", ringwall.Declared))
	if g := Grade(r, second, noon); g.Risk >= got.Risk {
		t.Error("another party's word does not count")
	}
	// Merged, it is told why HW-01 is unknown, and grading that gives the same.
	merged := r.Settled(fs, noon)
	i := slices.IndexFunc(merged, func(f ringwall.Finding) bool { return f.Indicator == "HW-01" })
	if merged[i].Outcome != ringwall.Unknown || !strings.Contains(merged[i].Title, "not believed") {
		t.Errorf("HW-01 is %+v", merged[i])
	}
	if again := Grade(r, merged, noon); again.Risk != got.Risk || again.Grade != got.Grade {
		t.Errorf("merged it has risk %v, before %v", again.Risk, got.Risk)
	}
	c := Contradictions(r, fs, noon)
	if len(c) != 1 || c[0].Indicator != "CO-02" || c[0].Facts["supplier"] != "declaration/maker" || len(c[0].Evidence) != 2 {
		t.Errorf("contradictions: %+v", c)
	}
	// An expired declaration contradicts nothing.
	fs[1].Until = noon.Add(-time.Minute)
	if g := Grade(r, fs, noon); len(g.Doubted) != 0 || len(Contradictions(r, fs, noon)) != 0 {
		t.Errorf("doubted for what it declared once: %+v", g.Doubted)
	}
	// Taking it back beside it does not clear the name.
	fs[1].Until = time.Time{}
	back := maker("CO-02", ringwall.Fail)
	back.Time = noon
	if g := Grade(r, append(fs, back), noon); len(g.Doubted) != 1 {
		t.Error("one more fail clears the name, and lowers the risk")
	}
}
