package assess

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
)

// maxEvidence bounds the lines that one merged answer carries.
const maxEvidence = 48

// merge makes one answer of all on one indicator: the one that settles it,
// with the evidence of those that agree and the word of those that do not.
// Grading merged answers gives what grading all of them gives.
func (r *Rubric) merge(in Indicator, fs []*ringwall.Finding, doubted []Doubt, now time.Time) ringwall.Finding {
	fs = slices.Clone(fs)
	slices.SortFunc(fs, compare)
	a, fewer := r.believe(fs, r.settle(fs, now), doubted, now)
	if a.rank == 0 {
		// Nobody knows; who tried to find out tells more than who did not.
		i := slices.IndexFunc(fs, func(f *ringwall.Finding) bool { return f.Outcome == ringwall.Unknown })
		if i < 0 {
			out := unmeasured(in, now)
			if fewer {
				out.Title = in.Title + ": only declared, by a party that is not believed"
				for _, f := range fs {
					out.Evidence = append(out.Evidence, fmt.Sprintf("%s says %s: %s", f.Source, f.Outcome, f.Title))
				}
				out.Evidence = out.Evidence[:min(len(out.Evidence), maxEvidence)]
			}
			return out
		}
		a.finding = fs[i]
	}
	out := *a.finding
	out.Evidence = append([]string{}, out.Evidence...) // never nil: it is shown as a list
	out.Facts = maps.Clone(out.Facts)
	for _, f := range fs {
		if compare(f, a.finding) == 0 {
			continue
		}
		out.Evidence = append(out.Evidence, fmt.Sprintf("%s also says %s: %s", f.Source, f.Outcome, f.Title))
		if f.Outcome == a.finding.Outcome {
			out.Evidence = append(out.Evidence, f.Evidence...)
		}
	}
	// What makes a confirmed fail a knock-out must not be lost in the merging.
	for _, f := range a.fails {
		out.Confidence = ringwall.Confirmed
		for k, v := range f.Facts {
			if out.Facts == nil {
				out.Facts = map[string]string{}
			}
			if _, has := out.Facts[k]; !has || in.decides(k, v) {
				out.Facts[k] = v
			}
		}
	}
	out.Evidence = out.Evidence[:min(len(out.Evidence), maxEvidence)]
	return out
}

// decides reports whether a knock-out of in hangs on this fact.
func (in *Indicator) decides(fact, value string) bool {
	return slices.ContainsFunc(in.Knockouts, func(k Knockout) bool { return k.Fact == fact && k.Value == value })
}
