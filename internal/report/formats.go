package report

import (
	"io"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/declare"
	"github.com/ringwall/ringwall/internal/i18n"
)

// Format is one way to write a report.
type Format struct {
	Name  string
	Type  string // media type
	Ext   string // of a file, with the dot
	Write func(io.Writer, Input) error
}

// Formats lists all of them.
func Formats() []Format {
	return []Format{
		{"html", "text/html; charset=utf-8", ".html", HTML},
		{"pdf", "application/pdf", ".pdf", PDF},
		{"sarif", "application/sarif+json", ".sarif", SARIF},
		{"oscal", "application/json", ".oscal.json", OSCAL},
		{"cyclonedx", "application/vnd.cyclonedx+json; version=1.6", ".cdx.json", CycloneDX},
		{"csv", "text/csv; charset=utf-8", ".csv", CSV},
	}
}

// FormatNamed returns the format of a name.
func FormatNamed(name string) (Format, error) {
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
	}
	return Format{}, ringwall.Errorf(ringwall.Invalid, "there is no report in the form %.20q; html, pdf, sarif, oscal, cyclonedx and csv are written", name)
}

// Of gathers what a report on an assessment is made of, by the rubric that is
// built in: indicators in the assessment's profile, and how the device stands
// against each standard that is known.
func Of(a api.Assessment, name string, tasks []api.Remedial, made time.Time, tool string, words i18n.Locale) (Input, error) {
	r := assess.Default().For(a.Profile)
	in := Input{Assessment: a, Name: name, Tasks: tasks, Indicators: FromRubric(r), Made: made, Tool: tool, Words: words}
	for _, s := range declare.Standards() {
		rows, err := declare.Coverage(s.Name, s.Edition, References(r), nil, a.Findings)
		if err != nil {
			return in, err
		}
		in.Standards = append(in.Standards, Standard{Name: s.Name, Edition: s.Edition, Rows: rows})
	}
	return in, nil
}
