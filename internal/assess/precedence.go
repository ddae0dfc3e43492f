package assess

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Prefixes of Finding.Source: who answered. What stands behind the slash is
// the probe or party.
const (
	SourceProbe       = "probe/"
	SourceInline      = "inline/"
	SourceFirmware    = "firmware/"
	SourceAgent       = "agent/"
	SourceDeclaration = "declaration/"
	SourceIncident    = "incident/"
	SourceAssess      = "assess"
)

// rank orders answers to one indicator: the device's own signed statement over
// an active proof, over a firmware fact, over what a banner says, over what a
// party declares. A source we do not know ranks as a declaration: nothing is
// believed because of a word in front of a slash.
func rank(f ringwall.Finding) int {
	if f.Confidence == ringwall.Declared {
		return 1
	}
	switch {
	case strings.HasPrefix(f.Source, SourceAgent):
		return 5
	case strings.HasPrefix(f.Source, SourceProbe), strings.HasPrefix(f.Source, SourceInline), f.Source == SourceAssess:
		if f.Confidence == ringwall.Confirmed {
			return 4
		}
		return 2
	case strings.HasPrefix(f.Source, SourceFirmware):
		return 3
	}
	return 1
}

// channel returns the means behind a finding.
func channel(f ringwall.Finding) Channel {
	switch {
	case strings.HasPrefix(f.Source, SourceAgent):
		return ByAgent
	case strings.HasPrefix(f.Source, SourceInline):
		return ByGateway
	case strings.HasPrefix(f.Source, SourceFirmware):
		return ByImage
	case strings.HasPrefix(f.Source, SourceProbe), f.Source == SourceAssess:
		return ByProbe
	}
	return ByDeclaration
}

// stale reports whether f is past its validity. What is dated later than now
// by more than a clock may err is stale too: it proves nothing yet.
func (r *Rubric) stale(f ringwall.Finding, now time.Time) bool {
	if f.Time.After(now.Add(clockError)) {
		return true
	}
	if !f.Until.IsZero() {
		return now.After(f.Until)
	}
	life := time.Duration(r.Validity[channel(f)])
	return life > 0 && now.Sub(f.Time) > life
}

// clockError is how far two honest clocks may differ.
const clockError = 5 * time.Minute

// badness orders outcomes at equal rank: the worst answer wins, and "not
// applicable" is better supported than a pass only until somebody measures.
func badness(o ringwall.Outcome) int {
	switch o {
	case ringwall.Fail:
		return 4
	case ringwall.Partial:
		return 3
	case ringwall.NotApplicable:
		return 2
	case ringwall.Pass:
		return 1
	}
	return 0
}

// answer is what one indicator comes to.
type answer struct {
	finding ringwall.Finding
	rank    int
	stale   bool
	against []ringwall.Finding // answers of other sources that say otherwise
	fails   []ringwall.Finding // all confirmed fails behind it, when it is a fail
}

// settle returns the answer that counts among all findings on one indicator,
// and whether there is one. Per source the newest speaks; between sources the
// higher rank, then the worse outcome.
//
// It is monotone: one more fail never leads to a better answer, one more pass
// never to a worse one. Hence three rules that look odd alone. A run of like
// answers of one source keeps its highest confidence. A stale pass is as if
// never said; a stale fail stands until somebody passes. A finding that says
// "unknown" displaces nothing.
func (r *Rubric) settle(fs []ringwall.Finding, now time.Time) (answer, bool) {
	bySource := map[string][]ringwall.Finding{}
	for _, f := range fs {
		if f.Outcome != ringwall.Unknown {
			bySource[f.Source] = append(bySource[f.Source], f)
		}
	}
	var said []answer
	for _, run := range bySource {
		if a, ok := r.lastWord(run, now); ok {
			said = append(said, a)
		}
	}
	if len(said) == 0 {
		return answer{}, false
	}
	slices.SortFunc(said, func(a, b answer) int {
		return cmp.Or(
			cmp.Compare(b.rank, a.rank),
			cmp.Compare(badness(b.finding.Outcome), badness(a.finding.Outcome)),
			compare(a.finding, b.finding),
		)
	})
	best := said[0]
	for _, a := range said[1:] {
		if (a.finding.Outcome == ringwall.Pass) != (best.finding.Outcome == ringwall.Pass) {
			best.against = append(best.against, a.finding)
		}
		best.fails = append(best.fails, a.fails...)
	}
	if best.finding.Outcome != ringwall.Fail {
		best.fails = nil
	}
	return best, true
}

// lastWord returns what one source says in the end.
func (r *Rubric) lastWord(run []ringwall.Finding, now time.Time) (answer, bool) {
	slices.SortFunc(run, func(a, b ringwall.Finding) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(badness(b.Outcome), badness(a.Outcome)), compare(a, b))
	})
	a := answer{finding: run[0], rank: rank(run[0]), stale: r.stale(run[0], now)}
	a.note(a.finding)
	if a.stale && (a.finding.Outcome == ringwall.Pass || a.finding.Outcome == ringwall.NotApplicable) {
		return answer{}, false
	}
	for _, f := range run[1:] {
		if f.Outcome != a.finding.Outcome {
			break
		}
		if f.Outcome != ringwall.Fail && r.stale(f, now) {
			break
		}
		a.note(f)
		if rank(f) > a.rank || rank(f) == a.rank && f.Confidence > a.finding.Confidence {
			a.finding, a.rank = f, rank(f)
		}
	}
	return a, true
}

// note keeps f if it is a confirmed fail: any of them may be a knock-out.
func (a *answer) note(f ringwall.Finding) {
	if f.Outcome == ringwall.Fail && f.Confidence == ringwall.Confirmed {
		a.fails = append(a.fails, f)
	}
}

// compare is a total order over findings that the outcome does not depend on;
// it only makes equal evidence come out in one order.
func compare(a, b ringwall.Finding) int {
	return cmp.Or(
		cmp.Compare(a.Indicator, b.Indicator), cmp.Compare(a.Source, b.Source), cmp.Compare(b.Confidence, a.Confidence),
		cmp.Compare(badness(b.Outcome), badness(a.Outcome)), b.Time.Compare(a.Time), cmp.Compare(a.Title, b.Title),
		slices.Compare(a.Evidence, b.Evidence), compareFacts(a.Facts, b.Facts), a.Until.Compare(b.Until),
	)
}

func compareFacts(a, b map[string]string) int {
	flat := func(m map[string]string) []string {
		out := make([]string, 0, len(m))
		for k, v := range m {
			out = append(out, k+"="+v)
		}
		slices.Sort(out)
		return out
	}
	return slices.Compare(flat(a), flat(b))
}
