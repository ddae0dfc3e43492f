package report

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/i18n"
)

// bounds of a fleet report.
const (
	maxGroups = 200
	maxListed = 2000
	maxMonths = 24
	maxWorst  = 20
)

// Fleet is what a fleet report is made of.
type Fleet struct {
	Devices    []FleetDevice
	Indicators []Indicator
	Made       time.Time
	Tool       string
	Words      i18n.Locale
}

// FleetDevice is one device with its assessments, in any order.
type FleetDevice struct {
	ID            ringwall.DeviceID
	Name          string
	Vendor, Model string // "" = as the newest assessment has them
	Site          string // such as the name of its gateway
	Assessments   []api.Assessment
}

// newest returns the newest assessment made before at.
func (d FleetDevice) newest(at time.Time) (api.Assessment, bool) {
	var best api.Assessment
	found := false
	for _, a := range d.Assessments {
		if !a.Ended.After(at) && (!found || a.Ended.After(best.Ended)) {
			best, found = a, true
		}
	}
	return best, found
}

// tally counts grades and averages risk and coverage.
type tally struct {
	Name                        string
	Count                       int
	High, Medium, Low, Ungraded int
	risk, coverage              float64
	Better, Worse               int // against the month before

	words i18n.Locale
}

func (t *tally) add(a api.Assessment) {
	t.Count++
	switch a.Grade {
	case ringwall.HighRisk:
		t.High++
	case ringwall.MediumRisk:
		t.Medium++
	case ringwall.LowRisk:
		t.Low++
	default:
		t.Ungraded++
		return
	}
	t.risk += a.Risk
	t.coverage += a.Coverage
}

// Risk and Coverage are means over the devices that have a grade.
func (t tally) Risk() float64 {
	if n := t.Count - t.Ungraded; n > 0 {
		return t.risk / float64(n)
	}
	return 0
}

// Coverage is the mean share that was measured.
func (t tally) Coverage() float64 {
	if n := t.Count - t.Ungraded; n > 0 {
		return t.coverage / float64(n)
	}
	return 0
}

// RiskText writes the mean risk, "—" when nothing has a grade.
func (t tally) RiskText() string {
	if t.Count == t.Ungraded {
		return "—"
	}
	return fmt.Sprintf("%.0f", t.Risk())
}

// CoverageText writes the mean coverage.
func (t tally) CoverageText() string {
	if t.Count == t.Ungraded {
		return "—"
	}
	return t.words.Percent(t.Coverage())
}

type fleetRow struct {
	Name, Vendor, Model, Site, Grade, GradeKey, Risk, Coverage, Assessed string
	Fails                                                                string
}

type fleetFail struct {
	ID, Text string
	Count    int
}

type fleetGroups struct {
	Title string
	Rows  []tally
	Note  string
}

type fleetView struct {
	Lang, Title, Subtitle, Footer string
	Now                           tally
	NowText                       string
	Groups                        []fleetGroups
	Trend                         []tally
	Worst                         []fleetFail
	Rows                          []fleetRow
	Note                          string
	T                             func(string, ...any) string
}

func (f *Fleet) view() fleetView {
	l := f.Words
	v := fleetView{Now: tally{words: l}, Lang: l.Tag, Title: l.T("fleet.title"), T: l.T, Subtitle: l.N("fleet.devices", len(f.Devices))}
	devices := slices.Clone(f.Devices)
	slices.SortStableFunc(devices, func(a, b FleetDevice) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	by := []map[string]*tally{{}, {}, {}}
	fails := map[string]int{}
	for _, d := range devices {
		a, _ := d.newest(f.Made)
		d.Vendor, d.Model = cmp.Or(d.Vendor, a.Vendor), cmp.Or(d.Model, a.Model)
		v.Now.add(a)
		unnamed := l.T("fleet.unnamed")
		for i, name := range []string{d.Vendor, strings.TrimSpace(d.Vendor + " " + d.Model), d.Site} {
			name = cut(cmp.Or(name, unnamed))
			if by[i][name] == nil {
				by[i][name] = &tally{Name: name, words: l}
			}
			by[i][name].add(a)
		}
		v.Rows = append(v.Rows, f.row(d, a, fails))
	}
	if n := len(v.Rows) - maxListed; n > 0 {
		v.Rows, v.Note = v.Rows[:maxListed], l.N("fleet.rest", n)
	}
	for i, key := range []string{"fleet.vendor", "fleet.model", "fleet.site"} {
		v.Groups = append(v.Groups, f.groups(key, by[i]))
	}
	v.NowText = l.T("fleet.score", "risk", v.Now.RiskText(), "share", v.Now.CoverageText())
	v.Trend = f.trend(devices)
	for id, n := range fails {
		v.Worst = append(v.Worst, fleetFail{ID: cut(id), Text: f.title(id), Count: n})
	}
	slices.SortFunc(v.Worst, func(a, b fleetFail) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.ID, b.ID)) })
	v.Worst = v.Worst[:min(len(v.Worst), maxWorst)]
	v.Footer = cmp.Or(f.Tool, "ringwall") + " · " + l.Time(f.Made.UTC()) + " UTC"
	return v
}

func (f *Fleet) title(id string) string {
	if f.Words.Has("indicator." + id) {
		return f.Words.T("indicator." + id)
	}
	for _, i := range f.Indicators {
		if i.ID == id {
			return i.Title
		}
	}
	return ""
}

func (f *Fleet) row(d FleetDevice, a api.Assessment, fails map[string]int) fleetRow {
	l := f.Words
	r := fleetRow{
		Name: cut(cmp.Or(d.Name, a.Target, string(d.ID))), Vendor: cut(d.Vendor), Model: cut(d.Model), Site: cut(d.Site),
		Grade: l.Word("grade", a.Grade.String()), GradeKey: a.Grade.String(), Risk: "—", Coverage: "—",
	}
	if a.Grade != ringwall.Ungraded {
		r.Risk, r.Coverage = fmt.Sprintf("%.0f", a.Risk), l.Percent(clamp(a.Coverage))
	}
	if !a.Ended.IsZero() {
		r.Assessed = l.Date(a.Ended.UTC())
	}
	var ids []string
	for _, x := range a.Findings {
		if x.Outcome == ringwall.Fail && !slices.Contains(ids, x.Indicator) {
			ids = append(ids, x.Indicator)
			fails[x.Indicator]++
		}
	}
	slices.Sort(ids)
	r.Fails = cut(strings.Join(ids, ", "))
	return r
}

// groups orders groups by how bad they are.
func (f *Fleet) groups(key string, by map[string]*tally) fleetGroups {
	g := fleetGroups{Title: f.Words.T(key)}
	for _, t := range by {
		g.Rows = append(g.Rows, *t)
	}
	slices.SortFunc(g.Rows, func(a, b tally) int {
		return cmp.Or(cmp.Compare(b.Risk(), a.Risk()), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Name, b.Name))
	})
	if n := len(g.Rows) - maxGroups; n > 0 {
		g.Rows, g.Note = g.Rows[:maxGroups], f.Words.N("fleet.rest", n)
	}
	return g
}

// trend counts, at the end of each month up to now, the newest grade of each
// device that had one by then.
func (f *Fleet) trend(devices []FleetDevice) []tally {
	var first time.Time
	for _, d := range devices {
		for _, a := range d.Assessments {
			if !a.Ended.IsZero() && (first.IsZero() || a.Ended.Before(first)) {
				first = a.Ended
			}
		}
	}
	if first.IsZero() || first.After(f.Made) {
		return nil
	}
	now := f.Made.UTC()
	month := time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC).AddDate(0, 1-maxMonths, 0)
	if begin := time.Date(first.UTC().Year(), first.UTC().Month(), 1, 0, 0, 0, 0, time.UTC); begin.After(month) {
		month = begin
	}
	var out []tally
	before := map[ringwall.DeviceID]ringwall.Grade{}
	for ; !month.After(now); month = month.AddDate(0, 1, 0) {
		t := tally{Name: month.Format("2006-01"), words: f.Words}
		end := month.AddDate(0, 1, 0).Add(-time.Nanosecond)
		if end.After(now) {
			end = now
		}
		for _, d := range devices {
			a, ok := d.newest(end)
			if !ok {
				continue
			}
			t.add(a)
			if was := before[d.ID]; was != ringwall.Ungraded && a.Grade != ringwall.Ungraded {
				if a.Grade < was {
					t.Better++
				} else if a.Grade > was {
					t.Worse++
				}
			}
			before[d.ID] = a.Grade
		}
		out = append(out, t)
	}
	return out
}

// FleetHTML writes the comparison and the trend as one page.
func FleetHTML(w io.Writer, f Fleet) error { return render(w, "fleet.html", f.view()) }

// FleetCSV writes a line for each device.
func FleetCSV(w io.Writer, f Fleet) error {
	v := f.view()
	c := csv.NewWriter(w)
	rows := [][]string{{"device", "vendor", "model", "site", "grade", "risk", "coverage", "assessed", "fails"}}
	for _, r := range v.Rows {
		rows = append(rows, []string{r.Name, r.Vendor, r.Model, r.Site, r.GradeKey, r.Risk, r.Coverage, r.Assessed, r.Fails})
	}
	return writeCSV(c, rows)
}

// TrendCSV writes a line for each month.
func TrendCSV(w io.Writer, f Fleet) error {
	rows := [][]string{{"month", "devices", "high", "medium", "low", "not-graded", "mean-risk", "mean-coverage", "better", "worse"}}
	for _, t := range f.view().Trend {
		rows = append(rows, []string{
			t.Name, strconv.Itoa(t.Count), strconv.Itoa(t.High), strconv.Itoa(t.Medium), strconv.Itoa(t.Low), strconv.Itoa(t.Ungraded),
			fmt.Sprintf("%.1f", t.Risk()), fmt.Sprintf("%.3f", t.Coverage()), strconv.Itoa(t.Better), strconv.Itoa(t.Worse),
		})
	}
	return writeCSV(csv.NewWriter(w), rows)
}

// trendChart draws the months as stacked columns.
func trendChart(months []tally) template.HTML {
	if len(months) == 0 {
		return ""
	}
	const width, height, foot = 640.0, 190.0, 24.0
	most := 1
	for _, m := range months {
		most = max(most, m.Count)
	}
	step := width / float64(len(months))
	bar := min(step*0.7, 44)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" role="img" viewBox="0 0 %s %s" xmlns="http://www.w3.org/2000/svg">`, num(width), num(height+foot))
	for i, m := range months {
		x, y := step*float64(i)+(step-bar)/2, height
		fmt.Fprintf(&b, `<g><title>%s: %d / %d / %d / %d</title>`, esc(m.Name), m.High, m.Medium, m.Low, m.Ungraded)
		for _, part := range []struct {
			n   int
			key string
		}{{m.Ungraded, "unknown"}, {m.Low, "low"}, {m.Medium, "medium"}, {m.High, "high"}} {
			h := (height - 18) * float64(part.n) / float64(most)
			y -= h
			if part.n > 0 {
				fmt.Fprintf(&b, `<rect x="%s" y="%s" width="%s" height="%s" class="bar %s"/>`, num(x), num(y), num(bar), num(h), part.key)
			}
		}
		fmt.Fprintf(&b, `<text x="%s" y="%s" class="axis">%d</text>`, num(x+bar/2), num(y-4), m.Count)
		if len(months) <= 12 || i%2 == 0 {
			fmt.Fprintf(&b, `<text x="%s" y="%s" class="axis">%s</text>`, num(x+bar/2), num(height+16), esc(m.Name))
		}
		b.WriteString(`</g>`)
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String())
}
