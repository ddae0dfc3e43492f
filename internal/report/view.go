package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// bounds of what a report shows; the rest is counted.
const (
	maxFindings   = 500
	maxEvidence   = 64
	maxServices   = 256
	maxComponents = 400
	maxVulns      = 400
	maxText       = 2000 // of one text of others, in runes
)

// view is a report in the words of one language: what HTML and PDF lay out.
type view struct {
	Lang, Title, Name, Subtitle string
	Facts                       []fact
	Grade, GradeKey             string
	Interval, Class, Impact     string
	Numbers                     []fact
	Reasons                     []string
	Modules                     []moduleView
	Findings                    []findingView // failed and partly met
	Unknown, Good               []findingView
	FindingsNote                string // what was left out
	Prescribed                  []prescriptionView
	Tasks                       []taskView
	Services                    []string
	ServicesNote                string
	Components                  []componentView
	ComponentsNote              string
	Vulns                       []vulnView
	VulnsNote                   string
	Standards                   []standardView
	Sources                     []sourceView
	Next                        []string
	Regrade                     []string
	Footer                      string
	T                           func(string, ...any) string
}

type fact struct{ Label, Value string }

type moduleView struct {
	Name                   string
	Key                    string
	Best, Expected, Worst  float64
	Coverage               float64
	Measured, Text, Figure string
}

type findingView struct {
	ID, Asked, Module, Outcome, Key, Knock     string
	Title, Why, Remedy, Confidence, Source, At string
	Evidence                                   []string
	More                                       string
	References                                 string
}

type prescriptionView struct{ Module, Capability, Text, Because string }

type taskView struct{ Title, Party, Remedy, Effort, Status, Due, Do string }

type componentView struct{ Name, Version, Supplier, Exposed, How string }

type vulnView struct{ ID, Component, Severity, Key, Score, KEV, State, Why string }

type standardView struct {
	Name    string
	Summary string
	Rows    []standardRow
}

type standardRow struct{ ID, Text, Status, Met, Key, By, Indicators string }

type sourceView struct{ Kind, Source, Made, Until, Digest, Notes string }

// word answers a message where the language has one, or else the other text.
func (in *Input) word(key, other string) string {
	if in.Words.Has(key) {
		return in.Words.T(key)
	}
	return other
}

// cut bounds a text of others.
func cut(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '□' // controls, and overrides that turn the text around
		}
		return r
	}, strings.ToValidUTF8(s, "□"))
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText]) + "…"
	}
	return s
}

func cuts(all []string, most int) []string {
	out := make([]string, 0, min(len(all), most))
	for _, s := range all[:min(len(all), most)] {
		out = append(out, cut(s))
	}
	return out
}

// view tells the report in the input's language.
func (in *Input) view() view {
	l, a := in.Words, in.Assessment
	v := view{
		Lang: l.Tag, Title: l.T("report.title"), Name: cut(in.name()), Grade: l.Word("grade", a.Grade.String()), GradeKey: a.Grade.String(),
		Class: l.Word("class", a.Class.String()), T: l.T,
	}
	v.Subtitle = cut(strings.TrimSpace(strings.Join([]string{a.Vendor, a.Model, a.Firmware}, " ")))
	v.facts(in)
	if a.Grade == ringwall.Ungraded {
		v.Interval = l.T("report.interval.none")
	} else if a.Best == a.Worst {
		v.Interval = l.T("report.interval.sure")
	} else {
		v.Interval = l.T("report.interval", "best", l.Word("grade", a.Best.String()), "worst", l.Word("grade", a.Worst.String()))
	}
	v.Impact = cut(a.Impact)
	if a.Profile.Class != "" {
		v.Impact = in.word("impact."+a.Profile.Class, v.Impact)
	}
	v.Numbers = []fact{
		{l.T("report.risk"), fmt.Sprintf("%.0f / 100", a.Risk)},
		{l.T("report.coverage"), l.Percent(a.Coverage)},
		{l.T("report.class"), v.Class},
	}
	v.Reasons = in.reasons()
	for _, m := range a.Modules {
		v.Modules = append(v.Modules, in.module(m))
	}
	v.findings(in)
	for _, p := range a.Prescribed {
		v.Prescribed = append(v.Prescribed, prescriptionView{
			Module: l.Word("module", p.Module.String()), Capability: in.word("capability."+p.Capability, cut(p.Capability)), Text: cut(p.Text), Because: cut(strings.Join(p.Because, ", ")),
		})
	}
	v.tasks(in)
	v.services(in)
	v.components(in)
	v.vulns(in)
	v.standards(in)
	v.sources(in)
	for _, n := range a.Next {
		v.Next = append(v.Next, in.next(n))
	}
	v.Regrade = []string{l.T("report.regrade.probe", "target", cut(a.Target)), l.T("report.regrade.bundle"), l.T("report.regrade.rubric", "version", cut(a.Rubric))}
	v.Footer = l.T("report.footer", "tool", cut(cmp.Or(in.Tool, "ringwall")), "rubric", cut(a.Rubric), "time", l.Time(in.Made.UTC()), "id", cmp.Or(string(a.ID), "—"))
	return v
}

func (v *view) facts(in *Input) {
	l, a := in.Words, in.Assessment
	add := func(key, value string) {
		if value != "" {
			v.Facts = append(v.Facts, fact{l.T(key), cut(value)})
		}
	}
	add("report.target", a.Target)
	add("report.type", l.Word("type", cmp.Or(a.Type, a.Profile.Class)))
	add("report.vendor", a.Vendor)
	add("report.model", a.Model)
	add("report.firmware", a.Firmware)
	add("report.mac", a.MAC)
	if a.Profile.Class != "" {
		use := in.word("profile."+a.Profile.Class, a.Profile.Class)
		if a.Profile.Use != "" {
			use += " · " + in.word("use."+a.Profile.Use, a.Profile.Use)
		}
		if a.Profile.SIM {
			use += " · " + l.T("report.withsim")
		}
		add("report.profile", use)
	}
	if !a.Ended.IsZero() {
		add("report.assessed", l.Time(a.Ended.UTC())+" UTC")
	}
	add("report.rubric", a.Rubric)
}

func (in *Input) module(m api.ModuleScore) moduleView {
	l := in.Words
	v := moduleView{
		Name: l.Word("module", m.Module.String()), Key: m.Module.String(), Best: clamp(m.Best), Expected: clamp(m.Expected), Worst: clamp(m.Worst), Coverage: clamp(m.Coverage),
		Measured: l.Percent(clamp(m.Coverage)),
	}
	v.Figure = fmt.Sprintf("%.0f", 100*v.Expected)
	v.Text = l.T("report.module.bar", "module", v.Name, "best", fmt.Sprintf("%.0f", 100*v.Best), "expected", v.Figure, "worst", fmt.Sprintf("%.0f", 100*v.Worst), "measured", v.Measured)
	return v
}

func clamp(f float64) float64 {
	if !(f > 0) { // not a number is not good
		return 0
	}
	return min(f, 1)
}

func (v *view) findings(in *Input) {
	all := in.findings()
	if len(all) > maxFindings {
		v.FindingsNote = in.Words.N("report.more.findings", len(all)-maxFindings)
		all = all[:maxFindings]
	}
	for _, f := range all {
		x := in.finding(f)
		switch f.Outcome {
		case ringwall.Fail, ringwall.Partial:
			v.Findings = append(v.Findings, x)
		case ringwall.Unknown:
			v.Unknown = append(v.Unknown, x)
		default:
			v.Good = append(v.Good, x)
		}
	}
}

func (in *Input) finding(f ringwall.Finding) findingView {
	l := in.Words
	i, _ := in.indicator(f.Indicator)
	x := findingView{
		ID: cut(f.Indicator), Asked: in.word("indicator."+f.Indicator, cut(cmp.Or(i.Title, f.Title))), Module: l.Word("module", f.Module.String()),
		Outcome: l.Word("outcome", f.Outcome.String()), Key: f.Outcome.String(), Title: cut(f.Title),
		Why: in.word("why."+f.Indicator, i.Why), Remedy: cut(cmp.Or(f.Remedy, i.Remedy)), Confidence: l.Word("confidence", f.Confidence.String()),
		Source: cut(f.Source), Evidence: cuts(f.Evidence, maxEvidence), References: i.standards(),
	}
	if in.foreign() { // the rubric's words are translated, a probe's are not
		x.Remedy = in.word("remedy."+f.Indicator, x.Remedy)
	}
	if f.Outcome == ringwall.Unknown && f.Confidence == ringwall.Declared && len(f.Evidence) == 0 {
		x.Confidence = ""
	}
	if n := len(f.Evidence) - len(x.Evidence); n > 0 {
		x.More = l.N("report.more.evidence", n)
	}
	if !f.Time.IsZero() {
		x.At = l.Time(f.Time.UTC())
	}
	if full, some := i.knockout(f); full {
		x.Knock = l.T("report.knock.full")
	} else if some {
		x.Knock = l.T("report.knock.half")
	}
	return x
}

// foreign reports whether the language is another than that of the API.
func (in *Input) foreign() bool { return !strings.HasPrefix(in.Words.Tag, "en") }

func (v *view) tasks(in *Input) {
	l := in.Words
	tasks := slices.Clone(in.Tasks)
	slices.SortStableFunc(tasks, func(a, b api.Remedial) int {
		return cmp.Or(cmp.Compare(a.Party, b.Party), a.Due.Compare(b.Due), cmp.Compare(a.Indicator, b.Indicator), cmp.Compare(a.ID, b.ID))
	})
	for _, t := range tasks[:min(len(tasks), maxFindings)] {
		x := taskView{
			Title: cut(t.Indicator + " " + in.word("indicator."+t.Indicator, t.Title)), Party: cut(l.Word("part", string(t.Party))), Remedy: cut(t.Remedy),
			Effort: in.word("report.effort."+t.Effort, cut(t.Effort)), Status: in.word("report.task."+t.Status, cut(t.Status)),
		}
		if in.foreign() {
			x.Remedy = in.word("remedy."+t.Indicator, x.Remedy)
		}
		if !t.Due.IsZero() {
			x.Due = l.Date(t.Due.UTC())
		}
		if t.Do != "" {
			x.Do = in.word("report.do."+t.Do, cut(t.Do))
			if t.Target != "" {
				x.Do += " (" + cut(t.Target) + ")"
			}
		}
		v.Tasks = append(v.Tasks, x)
	}
}

func (v *view) services(in *Input) {
	all := in.Assessment.Services
	for _, s := range all[:min(len(all), maxServices)] {
		text := s.Proto + "/" + strconv.Itoa(int(s.Port))
		if s.Name != "" {
			text += " " + s.Name
		}
		if s.Info != "" {
			text += " (" + s.Info + ")"
		}
		v.Services = append(v.Services, cut(text))
	}
	if n := len(all) - maxServices; n > 0 {
		v.ServicesNote = in.Words.N("report.more.services", n)
	}
}

func (v *view) components(in *Input) {
	all := in.components()
	for _, c := range all[:min(len(all), maxComponents)] {
		x := componentView{Name: cut(c.Name), Version: cut(cmp.Or(c.Version, in.Words.T("word.unknown"))), Supplier: cut(c.Supplier), How: cut(c.How)}
		if c.Exposed {
			x.Exposed = in.Words.T("report.exposed")
		}
		v.Components = append(v.Components, x)
	}
	if n := len(all) - maxComponents; n > 0 {
		v.ComponentsNote = in.Words.N("report.more.components", n)
	}
}

func (v *view) vulns(in *Input) {
	l, all := in.Words, in.vulnerabilities()
	for _, c := range all[:min(len(all), maxVulns)] {
		x := vulnView{
			ID: cut(c.ID), Component: cut(strings.TrimSpace(c.Component + " " + c.Version)), Severity: cut(l.Word("severity", c.Severity)), Key: "unknown",
			State: in.word("report.vex."+string(c.State), cut(string(c.State))), Why: cut(c.Why),
		}
		switch c.Severity {
		case "critical", "high", "medium", "low":
			x.Key = c.Severity
		case "":
			x.Severity = l.T("word.unknown")
		}
		if c.Score > 0 {
			x.Score = fmt.Sprintf("%.1f", c.Score)
		}
		if c.KEV {
			x.KEV = l.T("report.kev")
		}
		v.Vulns = append(v.Vulns, x)
	}
	if n := len(all) - maxVulns; n > 0 {
		v.VulnsNote = l.N("report.more.vulns", n)
	}
}

func (v *view) standards(in *Input) {
	l := in.Words
	for _, s := range in.Standards {
		x := standardView{Name: strings.TrimSpace(s.Name + " " + s.Edition)}
		count := map[string]int{}
		for _, r := range s.Rows {
			count[string(r.Met)]++
			by := ""
			if r.Met != "unknown" {
				by = l.Word("confidence", r.By.String())
			}
			x.Rows = append(x.Rows, standardRow{
				ID: r.ID, Text: r.In(l.Tag), Status: r.Status, Met: l.T("report.met." + string(r.Met)), Key: string(r.Met), By: by, Indicators: strings.Join(r.Indicators, ", "),
			})
		}
		x.Summary = l.T("report.standard.summary", "met", count["met"], "partly", count["partly"], "unmet", count["unmet"], "unknown", count["unknown"], "na", count["not-applicable"])
		v.Standards = append(v.Standards, x)
	}
}

func (v *view) sources(in *Input) {
	l := in.Words
	for _, e := range in.Assessment.Examinations {
		x := sourceView{Kind: in.word("report.exam."+string(e.Kind), cut(string(e.Kind))), Source: cut(e.Source), Made: l.Time(e.Made.UTC()), Notes: strings.Join(cuts(e.Notes, 8), "; ")}
		if !e.Until.IsZero() {
			x.Until = l.Date(e.Until.UTC())
		}
		if len(e.Digest) >= 16 {
			x.Digest = cut(e.Digest[:16]) + "…"
		}
		v.Sources = append(v.Sources, x)
	}
}
