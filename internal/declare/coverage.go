package declare

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
)

// Reference says that an indicator answers a clause of a standard.
type Reference struct {
	Indicator string
	Standard  string // with or without its edition
	Clause    string // such as "5.6-1" or "5.9-1 to -3"
}

// Met says how a provision stands by the evidence.
type Met string

// How a provision stands.
const (
	IsMet        Met = "met"
	MetInPart    Met = "partly"
	NotMet       Met = "unmet"
	DoesNotApply Met = "not-applicable"
	NotKnown     Met = "unknown"
)

// CoverageRow is one provision of a standard, and how it stands.
type CoverageRow struct {
	Provision
	Met        Met
	By         ringwall.Confidence // of the weakest answer that it rests on
	Indicators []string            // that answer it; none = nothing here measures it
	Evidence   []string            // "AP-01: pass (probe/credential)"
}

// Coverage tells, provision by provision, how a device stands against one
// edition of a standard by the findings, one an indicator as assess settles
// them. claims, which may be nil, are a conformance statement's; they answer
// provisions that no indicator does, and never better a measured answer.
//
// A provision is unmet when any indicator behind it fails, and met only when
// every one of them is answered. This is a view of evidence, no certificate of
// conformity.
func Coverage(standard, edition string, refs []Reference, claims map[string]Claim, findings []ringwall.Finding) ([]CoverageRow, error) {
	std, ok := data().standard(standard, edition)
	if !ok {
		return nil, ringwall.Errorf(ringwall.NotFound, "standard %q edition %q is not known", standard, edition)
	}
	by := map[string]ringwall.Finding{}
	for _, f := range findings {
		by[f.Indicator] = f
	}
	rows := make([]CoverageRow, 0, len(std.Provisions))
	for _, p := range std.Provisions {
		row := CoverageRow{Provision: p, Met: NotKnown}
		for _, r := range refs {
			if std.named(r.Standard) && covers(r.Clause, p.ID) && !slices.Contains(row.Indicators, r.Indicator) {
				row.Indicators = append(row.Indicators, r.Indicator)
			}
		}
		slices.Sort(row.Indicators)
		row.settle(by, claims[p.ID])
		rows = append(rows, row)
	}
	return rows, nil
}

// named reports whether a reference means this standard. A clause that we give
// for one edition of EN 303 645 stands for the others: the numbers of what is
// kept did not change.
func (s Standard) named(ref string) bool {
	rest, ok := strings.CutPrefix(ref, s.Name)
	return ok && (rest == "" || rest[0] == ' ')
}

// covers reports whether a clause as references write it means provision id.
func covers(clause, id string) bool {
	if strings.EqualFold(clause, id) || id == "authentication" && clause == "auth" {
		return true
	}
	from, to, ok := strings.Cut(clause, " to -")
	if !ok {
		return false
	}
	head, first, ok := cutLast(from, "-")
	idHead, n, ok2 := cutLast(id, "-")
	if !ok || !ok2 || head != idHead {
		return false
	}
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(to)
	i, err3 := strconv.Atoi(strings.TrimRight(n, "AB"))
	return cmp.Or(err1, err2, err3) == nil && a <= i && i <= b
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (r *CoverageRow) settle(by map[string]ringwall.Finding, claim Claim) {
	var v verdicts
	r.By = ringwall.Confirmed
	for _, id := range r.Indicators {
		f, ok := by[id]
		if !ok {
			v.add(ringwall.Unknown, id+": unknown")
			continue
		}
		v.add(f.Outcome, id+": "+f.Outcome.String()+" ("+f.Source+")")
		if f.Outcome != ringwall.Unknown {
			r.By = min(r.By, f.Confidence)
		}
	}
	if len(r.Indicators) == 0 {
		r.By = ringwall.Declared
		switch claim.Support {
		case Yes:
			v.add(ringwall.Pass, "claimed")
		case No:
			v.add(ringwall.Fail, "declared as not met")
		case NotApplicable:
			v.add(ringwall.NotApplicable, "declared as not applicable")
		}
	}
	r.Evidence = v.evidence
	switch v.outcome() {
	case ringwall.Pass:
		r.Met = IsMet
	case ringwall.Partial:
		r.Met = MetInPart
	case ringwall.Fail:
		r.Met = NotMet
	case ringwall.NotApplicable:
		r.Met = DoesNotApply
	}
	if r.Met == NotKnown {
		r.By = ringwall.Declared
	}
}
