package report

import (
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/i18n"
)

// Reasons says why an assessment's grade is what it is, in the reader's
// language and as every report says it, for pages that show it themselves.
func Reasons(a api.Assessment, words i18n.Locale) []string {
	in := told(a, words)
	return in.reasons()
}

// Next tells the cheapest measurements that would narrow the grade.
func Next(a api.Assessment, words i18n.Locale) []string {
	in := told(a, words)
	out := make([]string, 0, len(a.Next))
	for _, n := range a.Next {
		out = append(out, in.next(n))
	}
	return out
}

func told(a api.Assessment, words i18n.Locale) Input {
	return Input{Assessment: a, Indicators: FromRubric(assess.Default().For(a.Profile)), Words: words}
}
