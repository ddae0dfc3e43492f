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
		return said
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
	return said
}

// said is the rank of what somebody merely says.
const said = 1

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
// and whether there is one. Of one source and rank the newest speaks; between
// them the higher rank, then the worse outcome.
//
// It is monotone: one more fail never leads to a better answer, one more pass
// never to a worse one. Hence rules that look odd alone. A newer but weaker
// answer of the same source does not displace a stronger one: findings are the
// evidence of one assessment, and the next assessment's replace them (Runner).
// A stale pass is as if never said; a stale fail stands until somebody passes.
// A finding that says "unknown" displaces nothing.
func (r *Rubric) settle(fs []ringwall.Finding, now time.Time) (answer, bool) {
	type voice struct {
		source string
		rank   int
	}
	voices := map[voice][]ringwall.Finding{}
	for _, f := range fs {
		stalePass := (f.Outcome == ringwall.Pass || f.Outcome == ringwall.NotApplicable) && r.stale(f, now)
		if f.Outcome != ringwall.Unknown && !stalePass {
			v := voice{f.Source, rank(f)}
			voices[v] = append(voices[v], f)
		}
	}
	var words []answer
	for v, run := range voices {
		words = append(words, r.lastWord(run, v.rank, now))
	}
	if len(words) == 0 {
		return answer{}, false
	}
	slices.SortFunc(words, func(a, b answer) int {
		return cmp.Or(
			cmp.Compare(b.rank, a.rank),
			cmp.Compare(badness(b.finding.Outcome), badness(a.finding.Outcome)),
			compare(a.finding, b.finding),
		)
	})
	best := words[0]
	for _, a := range words[1:] {
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

// lastWord returns what one source says in the end, with one rank.
func (r *Rubric) lastWord(run []ringwall.Finding, rank int, now time.Time) answer {
	slices.SortFunc(run, func(a, b ringwall.Finding) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(badness(b.Outcome), badness(a.Outcome)), compare(a, b))
	})
	a := answer{finding: run[0], rank: rank, stale: r.stale(run[0], now)}
	for _, f := range run {
		if f.Outcome != a.finding.Outcome {
			break
		}
		a.note(f)
	}
	return a
}

// note keeps f if it is a confirmed fail of somebody who measures: any of them
// may be a knock-out.
func (a *answer) note(f ringwall.Finding) {
	if f.Outcome == ringwall.Fail && f.Confidence == ringwall.Confirmed && a.rank > said {
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
