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
	byID := map[string][]ringwall.Finding{}
	for _, f := range fs {
		byID[f.Indicator] = append(byID[f.Indicator], f)
	}
	out := make([]ringwall.Finding, 0, len(r.Indicators)+1)
	for _, in := range r.Indicators {
		out = append(out, r.merge(in, byID[in.ID], now))
	}
	return append(out, byID[ringwall.ObservedCompromise]...)
}
