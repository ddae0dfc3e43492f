package assess

import (
	"time"

	"github.com/ringwall/ringwall"
)

// Settled makes of the answers of all sources one an indicator, in the rubric's
// order, each with the evidence of those that agree and the word of those that
// do not; an indicator that nobody measured is there as unknown. What the
// rubric does not know is left out, but for ObservedCompromise, whose answers
// come last as they are. Grading what Settled returns gives what grading fs
// gives.
func (r *Rubric) Settled(fs []ringwall.Finding, now time.Time) []ringwall.Finding {
	by := r.sort(fs)
	answers := make([]answer, len(r.Indicators))
	for i := range r.Indicators {
		answers[i] = r.settle(by.of(i), now)
	}
	doubted := r.doubts(by, answers, now)
	out := make([]ringwall.Finding, 0, len(r.Indicators)+1)
	for i, in := range r.Indicators {
		out = append(out, r.merge(in, by.of(i), doubted, now))
	}
	return append(out, by.compromise...)
}
