package report

import (
	"fmt"
	"strings"

	"github.com/ringwall/ringwall"
)

// reasons says why the grade is what it is. In English the words of the grader
// are kept; another language gets them told from what the assessment holds: knock-outs,
// risk, coverage, what failed.
func (in *Input) reasons() []string {
	a, l := in.Assessment, in.Words
	if !in.foreign() && len(a.Reasons) > 0 {
		return cuts(a.Reasons, 64)
	}
	if a.Grade == ringwall.Ungraded {
		return []string{l.T("report.reason.ungraded")}
	}
	var out, fails []string
	for _, f := range in.findings() {
		i, _ := in.indicator(f.Indicator)
		asked := in.word("indicator."+f.Indicator, cut(f.Title))
		full, some := i.knockout(f)
		switch {
		case f.Indicator == ringwall.ObservedCompromise && f.Outcome == ringwall.Fail:
			out = append(out, l.T("report.reason.compromise"))
		case full:
			out = append(out, l.T("report.reason.full", "id", cut(f.Indicator), "asked", asked))
		case some:
			out = append(out, l.T("report.reason.half", "id", cut(f.Indicator), "asked", asked))
		case f.Outcome == ringwall.Fail:
			fails = append(fails, l.T("report.reason.fail", "id", cut(f.Indicator), "asked", asked))
		}
	}
	out = append(out, l.T("report.reason.risk", "risk", fmt.Sprintf("%.0f", a.Risk)), l.T("report.reason.coverage", "share", l.Percent(a.Coverage)))
	var blank []string
	for _, m := range a.Modules {
		if m.Coverage == 0 {
			blank = append(blank, l.Word("module", m.Module.String()))
		}
	}
	if len(blank) > 0 {
		out = append(out, l.T("report.reason.blank", "modules", strings.Join(blank, l.T("report.listsep"))))
	}
	const most = 6 // the rest stands among the findings
	if n := len(fails) - most; n > 0 {
		fails = append(fails[:most], l.N("fleet.rest", n))
	}
	return append(out, fails...)
}

// next tells one of the cheapest next measurements. The grader writes "ID by
// means: ..."; the id is told in the reader's language where it is one of the rubric.
func (in *Input) next(text string) string {
	text = cut(text)
	if !in.foreign() {
		return text
	}
	for _, i := range in.Indicators {
		if strings.Contains(text, i.ID) && in.Words.Has("indicator."+i.ID) {
			return i.ID + " " + in.Words.T("indicator."+i.ID)
		}
	}
	return text
}
