package declare

import (
	"embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/ringwall/ringwall"
)

//go:embed data/*.json
var files embed.FS

// Words is a text in both languages.
type Words struct {
	En string `json:"en"`
	Zh string `json:"zh"`
}

// In returns the text in a language by its tag: Chinese for "zh…", else English.
func (w Words) In(tag string) string {
	if strings.HasPrefix(tag, "zh") {
		return w.Zh
	}
	return w.En
}

// Table is one of the 29 tables of TS 103 701 annex C.
type Table struct {
	Number int    `json:"number"`
	Name   string `json:"name"` // such as "AuthMech"
	Words
	Single  bool     `json:"single,omitempty"` // one row without an id
	Columns []Column `json:"columns"`
}

// Column is one column of a table.
type Column struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // text, word, yesno, url, date, port, ref
	Words
	Choices []string `json:"words,omitempty"` // of kind word
	Table   string   `json:"table,omitempty"` // of kind ref
	Ours    bool     `json:"ours,omitempty"`  // not of the standard: makes the row answerable
}

// Standard is one edition of a standard with its provisions.
type Standard struct {
	Name       string      `json:"standard"`
	Edition    string      `json:"edition"`
	About      string      `json:"about,omitempty"`
	Provisions []Provision `json:"provisions"`
}

// Provision is one thing that a standard asks for, in our words.
type Provision struct {
	ID     string `json:"id"`
	Status string `json:"status"` // M, R, with C (conditional) and F (if the feature is there)
	Words
}

// Mandatory reports whether the provision must be met, be it on a condition.
func (p Provision) Mandatory() bool { return strings.HasPrefix(p.Status, "M") }

// mapping says how an indicator is answered by a declaration.
type mapping struct {
	Indicator string   `json:"indicator"`
	Claims    []string `json:"claims"`   // provisions, each of which must be claimed
	Evidence  string   `json:"evidence"` // the table that must describe what is claimed
	Rows      []rowMap `json:"rows"`
}

// rowMap judges one column of the rows of a table that match Where. "" stands
// for a column that was left out.
type rowMap struct {
	Table         string              `json:"table"`
	Where         map[string][]string `json:"where"`
	Column        string              `json:"column"`
	Pass          []string            `json:"pass"`
	Partial       []string            `json:"partial"`
	Fail          []string            `json:"fail"`
	NotApplicable []string            `json:"notApplicable"`
}

func (m rowMap) judge(value string) ringwall.Outcome {
	switch {
	case slices.Contains(m.Fail, value):
		return ringwall.Fail
	case slices.Contains(m.Partial, value):
		return ringwall.Partial
	case slices.Contains(m.Pass, value):
		return ringwall.Pass
	case slices.Contains(m.NotApplicable, value):
		return ringwall.NotApplicable
	}
	return ringwall.Unknown
}

type library struct {
	tables    []Table
	standards []Standard
	mappings  []mapping
	questions []Question
}

// data returns what is embedded, read once; it is never written to again. What
// is broken in it is a broken build, which the tests of this package refuse.
var data = sync.OnceValue(func() *library {
	var l library
	for name, into := range map[string]any{
		"tables": &l.tables, "standards": &l.standards, "mapping": &l.mappings, "questions": &l.questions,
	} {
		b, err := files.ReadFile("data/" + name + ".json")
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			panic("declare: the built-in " + name + " are broken: " + err.Error())
		}
	}
	return &l
})

// Tables lists the tables in the order of their numbers.
func Tables() []Table { return slices.Clone(data().tables) }

// Standards lists the standards whose provisions are known.
func Standards() []Standard { return slices.Clone(data().standards) }

func (l *library) table(name string) (Table, bool) {
	for _, t := range l.tables {
		if t.Name == name {
			return t, true
		}
	}
	return Table{}, false
}

func (l *library) standard(name, edition string) (Standard, bool) {
	for _, s := range l.standards {
		if s.Name == name && s.Edition == edition {
			return s, true
		}
	}
	return Standard{}, false
}

func (s Standard) provision(id string) (Provision, bool) {
	for _, p := range s.Provisions {
		if p.ID == id {
			return p, true
		}
	}
	return Provision{}, false
}

// moduleOf returns the module of an indicator by the letters of its id.
func moduleOf(indicator string) ringwall.Module {
	letters, _, _ := strings.Cut(indicator, "-")
	return ringwall.Module(max(0, slices.Index([]string{"HW", "FS", "AP", "DA", "CO"}, letters)))
}
