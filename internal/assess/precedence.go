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
	SourceLaboratory  = "laboratory/"
	SourceIncident    = "incident/"
	SourceAssess      = "assess"
)

// Ranks of answers to one indicator, best last. Between two answers the higher
// rank counts; at one rank the worse outcome does.
const (
	said   = 1 // what a party declares, and whatever has no known source
	shown  = 2 // what a banner says
	static = 3 // a fact of the firmware image
	bench  = 4 // a laboratory's signed result
	proven = 5 // an active proof, or the device's own signed statement
)

// rank is the one place that says who is believed over whom:
//
//	proven  a confirmed answer of a probe or gateway; an agent; a laboratory on hardware
//	bench   a laboratory on anything else
//	static  a firmware image
//	shown   an observed answer of a probe or gateway
//	said    a declaration, and all else
//
// An agent does not outrank a proof: the device that was broken into is the one
// that would lie, so where they differ the worse answer stands. (Rule 1 let the
// agent win.) A laboratory opens the case, which nobody else does, so on
// hardware it is as good as a proof. A source we do not know ranks as a
// declaration: nothing is believed because of a word in front of a slash. That a
// laboratory's signature was checked is Evidence's to see to.
func (r *Rubric) rank(f *ringwall.Finding) int {
	if f.Confidence == ringwall.Declared {
		return said
	}
	switch {
	case strings.HasPrefix(f.Source, SourceAgent):
		if r.Rule < 2 {
			return proven + 1
		}
		return proven
	case strings.HasPrefix(f.Source, SourceProbe), strings.HasPrefix(f.Source, SourceInline), f.Source == SourceAssess:
		if f.Confidence == ringwall.Confirmed {
			return proven
		}
		return shown
	case strings.HasPrefix(f.Source, SourceLaboratory) && r.Rule >= 2:
		if i, ok := r.index[f.Indicator]; ok && r.Indicators[i].Module == ringwall.Hardware {
			return proven
		}
		return bench
	case strings.HasPrefix(f.Source, SourceFirmware):
		return static
	}
	return said
}

// channel returns the means behind a finding.
func channel(f *ringwall.Finding) Channel {
	switch {
	case strings.HasPrefix(f.Source, SourceAgent):
		return ByAgent
	case strings.HasPrefix(f.Source, SourceInline):
		return ByGateway
	case strings.HasPrefix(f.Source, SourceFirmware):
		return ByImage
	case strings.HasPrefix(f.Source, SourceLaboratory):
		return ByLaboratory
	case strings.HasPrefix(f.Source, SourceProbe), f.Source == SourceAssess:
		return ByProbe
	}
	return ByDeclaration
}

// stale reports whether f is past its validity. What is dated later than now
// by more than a clock may err is stale too: it proves nothing yet.
func (r *Rubric) stale(f *ringwall.Finding, now time.Time) bool {
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

// sorted are findings by the indicator they answer, in the rubric's order.
type sorted struct {
	ends       []int
	all        []*ringwall.Finding
	compromise []ringwall.Finding
}

func (s sorted) of(i int) []*ringwall.Finding {
	from := 0
	if i > 0 {
		from = s.ends[i-1]
	}
	return s.all[from:s.ends[i]:s.ends[i]]
}

// sort files findings under their indicators. They are pointed to, not copied.
func (r *Rubric) sort(fs []ringwall.Finding) sorted {
	s := sorted{ends: make([]int, len(r.Indicators)), all: make([]*ringwall.Finding, len(fs))}
	places := make([]int, len(fs))
	for n := range fs {
		i, ok := r.index[fs[n].Indicator]
		if !ok {
			i = -1
			if fs[n].Indicator == ringwall.ObservedCompromise {
				s.compromise = append(s.compromise, fs[n])
			}
		} else {
			s.ends[i]++
		}
		places[n] = i
	}
	for i := 1; i < len(s.ends); i++ {
		s.ends[i] += s.ends[i-1]
	}
	at := make([]int, len(s.ends))
	copy(at[1:], s.ends)
	for n, i := range places {
		if i >= 0 {
			s.all[at[i]] = &fs[n]
			at[i]++
		}
	}
	return s
}

// answer is what one indicator comes to; rank 0 is no answer.
type answer struct {
	finding *ringwall.Finding
	rank    int
	stale   bool
	against []*ringwall.Finding // answers of other sources that say otherwise
	fails   []*ringwall.Finding // all confirmed fails behind it, when it is a fail
}

// outcome is that of the finding, Unknown when there is none.
func (a answer) outcome() ringwall.Outcome {
	if a.finding == nil {
		return ringwall.Unknown
	}
	return a.finding.Outcome
}

// settle returns the answer that counts among all findings on one indicator.
// Of one source and rank the newest speaks; between them the higher rank, then
// the worse outcome.
//
// It is monotone: one more fail never leads to a better answer, one more pass
// never to a worse one. Hence rules that look odd alone. A newer but weaker
// answer of the same source does not displace a stronger one: findings are the
// evidence of one assessment, and the next assessment's replace them (Runner).
// A stale pass is as if never said; a stale fail stands until somebody passes.
// A finding that says "unknown" displaces nothing.
func (r *Rubric) settle(fs []*ringwall.Finding, now time.Time) answer {
	type word struct {
		f    *ringwall.Finding
		rank int
	}
	var room [8]word // most indicators have fewer answers
	valid := room[:0]
	for _, f := range fs {
		stalePass := (f.Outcome == ringwall.Pass || f.Outcome == ringwall.NotApplicable) && r.stale(f, now)
		if f.Outcome != ringwall.Unknown && !stalePass {
			valid = append(valid, word{f, r.rank(f)})
		}
	}
	if len(valid) == 0 {
		return answer{}
	}
	// One source and rank after the other, in each the last word first.
	slices.SortFunc(valid, func(a, b word) int {
		if c := cmp.Or(
			cmp.Compare(b.rank, a.rank), strings.Compare(a.f.Source, b.f.Source), b.f.Time.Compare(a.f.Time),
			cmp.Compare(badness(b.f.Outcome), badness(a.f.Outcome)),
		); c != 0 {
			return c
		}
		return compare(a.f, b.f)
	})
	var words []answer
	for i := 0; i < len(valid); {
		last := answer{finding: valid[i].f, rank: valid[i].rank, stale: r.stale(valid[i].f, now)}
		agrees := true
		for ; i < len(valid) && valid[i].rank == last.rank && valid[i].f.Source == last.finding.Source; i++ {
			if agrees = agrees && valid[i].f.Outcome == last.finding.Outcome; agrees {
				last.note(valid[i].f)
			}
		}
		words = append(words, last)
	}
	slices.SortFunc(words, func(a, b answer) int {
		if c := cmp.Or(
			cmp.Compare(b.rank, a.rank), cmp.Compare(badness(b.finding.Outcome), badness(a.finding.Outcome)),
			cmp.Compare(b.finding.Confidence, a.finding.Confidence),
		); c != 0 {
			return c
		}
		return compare(a.finding, b.finding)
	})
	best := words[0]
	for _, a := range words[1:] {
		if (a.outcome() == ringwall.Pass) != (best.outcome() == ringwall.Pass) {
			best.against = append(best.against, a.finding)
		}
		best.fails = append(best.fails, a.fails...)
	}
	if best.outcome() != ringwall.Fail {
		best.fails = nil
	}
	return best
}

// note keeps f if it is a confirmed fail of somebody who measures: any of them
// may be a knock-out.
func (a *answer) note(f *ringwall.Finding) {
	if f.Outcome == ringwall.Fail && f.Confidence == ringwall.Confirmed && a.rank > said {
		a.fails = append(a.fails, f)
	}
}

// compare is a total order over findings that the outcome does not depend on;
// it only makes equal evidence come out in one order.
func compare(a, b *ringwall.Finding) int {
	if c := cmp.Or(
		cmp.Compare(a.Indicator, b.Indicator), cmp.Compare(a.Source, b.Source), cmp.Compare(b.Confidence, a.Confidence),
		cmp.Compare(badness(b.Outcome), badness(a.Outcome)), b.Time.Compare(a.Time), cmp.Compare(a.Title, b.Title),
		slices.Compare(a.Evidence, b.Evidence),
	); c != 0 {
		return c
	}
	return cmp.Or(compareFacts(a.Facts, b.Facts), a.Until.Compare(b.Until))
}

func compareFacts(a, b map[string]string) int {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(a), len(b))
	}
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
