package report

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// oscalVersion is that of the model that is written.
const oscalVersion = "1.1.2"

// The parts of the OSCAL assessment-results model that we write.
type oscalDocument struct {
	Results oscalResults `json:"assessment-results"`
}

type oscalResults struct {
	UUID     string          `json:"uuid"`
	Metadata oscalMetadata   `json:"metadata"`
	Plan     oscalPlan       `json:"import-ap"`
	Results  []oscalResult   `json:"results"`
	Back     oscalBackMatter `json:"back-matter"`
}

type oscalMetadata struct {
	Title    string `json:"title"`
	Modified string `json:"last-modified"`
	Version  string `json:"version"`
	OSCAL    string `json:"oscal-version"`
}

type oscalPlan struct {
	Href string `json:"href"`
}

type oscalResult struct {
	UUID         string             `json:"uuid"`
	Title        string             `json:"title"`
	Description  string             `json:"description"`
	Start        string             `json:"start"`
	End          string             `json:"end,omitempty"`
	Props        []oscalProp        `json:"props,omitempty"`
	Local        oscalLocal         `json:"local-definitions"`
	Reviewed     oscalReviewed      `json:"reviewed-controls"`
	Observations []oscalObservation `json:"observations,omitempty"`
	Risks        []oscalRisk        `json:"risks,omitempty"`
	Findings     []oscalFinding     `json:"findings,omitempty"`
}

type oscalProp struct {
	Name  string `json:"name"`
	NS    string `json:"ns"`
	Value string `json:"value"`
}

type oscalLocal struct {
	Components []oscalComponent `json:"components"`
}

type oscalComponent struct {
	UUID        string      `json:"uuid"`
	Type        string      `json:"type"`
	Title       string      `json:"title"`
	Description string      `json:"description"`
	Props       []oscalProp `json:"props,omitempty"`
	Status      oscalState  `json:"status"`
}

type oscalState struct {
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Remarks string `json:"remarks,omitempty"`
}

type oscalReviewed struct {
	Selections []oscalSelection `json:"control-selections"`
}

type oscalSelection struct {
	Description string         `json:"description"`
	Include     []oscalControl `json:"include-controls,omitempty"`
	All         *struct{}      `json:"include-all,omitempty"`
}

type oscalControl struct {
	ID string `json:"control-id"`
}

type oscalObservation struct {
	UUID        string          `json:"uuid"`
	Title       string          `json:"title,omitempty"`
	Description string          `json:"description"`
	Props       []oscalProp     `json:"props,omitempty"`
	Methods     []string        `json:"methods"`
	Types       []string        `json:"types,omitempty"`
	Subjects    []oscalSubject  `json:"subjects"`
	Evidence    []oscalEvidence `json:"relevant-evidence,omitempty"`
	Collected   string          `json:"collected"`
	Expires     string          `json:"expires,omitempty"`
}

type oscalSubject struct {
	UUID string `json:"subject-uuid"`
	Type string `json:"type"`
}

type oscalEvidence struct {
	Description string `json:"description"`
}

type oscalRisk struct {
	UUID        string         `json:"uuid"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Statement   string         `json:"statement"`
	Status      string         `json:"status"`
	Deadline    string         `json:"deadline,omitempty"`
	Related     []oscalRelated `json:"related-observations,omitempty"`
}

type oscalFinding struct {
	UUID        string         `json:"uuid"`
	Title       string         `json:"title"`
	Description string         `json:"description"`
	Target      oscalTarget    `json:"target"`
	Related     []oscalRelated `json:"related-observations,omitempty"`
	Risks       []oscalRiskRef `json:"related-risks,omitempty"`
}

type oscalTarget struct {
	Type   string     `json:"type"`
	ID     string     `json:"target-id"`
	Title  string     `json:"title,omitempty"`
	Status oscalState `json:"status"`
}

type oscalRelated struct {
	UUID string `json:"observation-uuid"`
}

type oscalRiskRef struct {
	UUID string `json:"risk-uuid"`
}

type oscalBackMatter struct {
	Resources []oscalResource `json:"resources"`
}

type oscalResource struct {
	UUID        string `json:"uuid"`
	Title       string `json:"title"`
	Description string `json:"description"`
}

// oscalNS is the namespace of our properties.
const oscalNS = "https://ringwall.dev/ns/oscal"

// OSCAL writes the assessment as OSCAL assessment results in JSON. Each
// indicator is a control, each finding an observation and, by its outcome, a
// finding that is satisfied or not; what is unknown is not satisfied, with the
// reason "other". Failed findings are risks with the task's deadline. The plan that was
// followed is the rubric, a resource in the document's own back matter.
func OSCAL(w io.Writer, in Input) error {
	a := in.Assessment
	id := in.identity()
	device := uuid5("oscal-device", id)
	plan := uuid5("oscal-rubric", a.Rubric)
	result := oscalResult{
		UUID: uuid5("oscal-result", id), Title: "Assessment of " + cut(in.name()), Description: "Grade " + a.Grade.String() + " by rubric " + cut(a.Rubric) + ".",
		Start: oscalTime(a.Started, a.Ended, in.Made), End: oscalTime(a.Ended, in.Made),
		Props: []oscalProp{{"grade", oscalNS, a.Grade.String()}, {"grade-best", oscalNS, a.Best.String()}, {"grade-worst", oscalNS, a.Worst.String()}, {"supervision", oscalNS, a.Class.String()}},
		Local: oscalLocal{[]oscalComponent{{
			UUID: device, Type: "hardware", Title: cut(in.name()), Description: cut(cmp.Or(strings.TrimSpace(a.Vendor+" "+a.Model+" "+a.Firmware), a.Target)), Status: oscalState{State: "operational"},
		}}},
	}
	var controls []oscalControl
	for n, f := range in.findings() {
		control := token(f.Indicator)
		if !slices.Contains(controls, oscalControl{control}) {
			controls = append(controls, oscalControl{control})
		}
		in.oscalFinding(&result, f, control, device, id, n)
	}
	slices.SortFunc(controls, func(a, b oscalControl) int { return cmp.Compare(a.ID, b.ID) })
	selection := oscalSelection{Description: "The indicators of the rubric that were answered.", Include: controls}
	if len(controls) == 0 {
		selection.All = &struct{}{}
	}
	result.Reviewed = oscalReviewed{[]oscalSelection{selection}}
	return writeJSON(w, oscalDocument{oscalResults{
		UUID:     uuid5("oscal", id),
		Metadata: oscalMetadata{Title: "Security assessment of " + cut(in.name()), Modified: oscalTime(in.Made, a.Ended), Version: cmp.Or(string(a.ID), "1"), OSCAL: oscalVersion},
		Plan:     oscalPlan{"#" + plan},
		Results:  []oscalResult{result},
		Back:     oscalBackMatter{[]oscalResource{{UUID: plan, Title: "Rubric " + cut(a.Rubric), Description: "The indicators, weights and means of measurement by which Ringwall grades devices."}}},
	}})
}

func (in *Input) oscalFinding(r *oscalResult, f ringwall.Finding, control, device, id string, n int) {
	i, _ := in.indicator(f.Indicator)
	key := []string{id, f.Indicator, f.Source, f.Title, strconv.Itoa(n)}
	observation := uuid5(append([]string{"oscal-observation"}, key...)...)
	title := cut(cmp.Or(i.Title, f.Title, f.Indicator))
	o := oscalObservation{
		UUID: observation, Title: title, Description: cut(cmp.Or(f.Title, f.Indicator)), Methods: []string{method(f)}, Types: []string{"finding"},
		Subjects: []oscalSubject{{device, "component"}}, Collected: oscalTime(f.Time, in.Assessment.Ended, in.Made),
		Props: []oscalProp{{"confidence", oscalNS, f.Confidence.String()}, {"outcome", oscalNS, f.Outcome.String()}},
	}
	if !f.Until.IsZero() {
		o.Expires = stamp(f.Until)
	}
	for _, e := range cuts(f.Evidence, 32) {
		if strings.TrimSpace(e) != "" {
			o.Evidence = append(o.Evidence, oscalEvidence{e})
		}
	}
	r.Observations = append(r.Observations, o)
	x := oscalFinding{
		UUID: uuid5(append([]string{"oscal-finding"}, key...)...), Title: title, Description: o.Description,
		Target: oscalTarget{Type: "objective-id", ID: control, Title: title, Status: verdictState(f.Outcome)}, Related: []oscalRelated{{observation}},
	}
	if f.Outcome == ringwall.Fail || f.Outcome == ringwall.Partial {
		risk := oscalRisk{
			UUID: uuid5(append([]string{"oscal-risk"}, key...)...), Title: o.Description, Description: cut(cmp.Or(i.Why, title)),
			Statement: cut(cmp.Or(f.Remedy, i.Remedy, title)), Status: "open", Related: []oscalRelated{{observation}},
		}
		for _, t := range in.Tasks {
			if t.Indicator != f.Indicator {
				continue
			}
			if t.Status == "accepted" {
				risk.Status = "deviation-approved"
			} else if t.Status == "doing" {
				risk.Status = "remediating"
			}
			if !t.Due.IsZero() {
				risk.Deadline = stamp(t.Due)
			}
		}
		r.Risks = append(r.Risks, risk)
		x.Risks = []oscalRiskRef{{risk.UUID}}
	}
	r.Findings = append(r.Findings, x)
}

func verdictState(o ringwall.Outcome) oscalState {
	switch o {
	case ringwall.Pass:
		return oscalState{State: "satisfied", Reason: "pass"}
	case ringwall.NotApplicable:
		return oscalState{State: "satisfied", Reason: "other", Remarks: "not applicable"}
	case ringwall.Partial:
		return oscalState{State: "not-satisfied", Reason: "fail", Remarks: "met in part"}
	case ringwall.Fail:
		return oscalState{State: "not-satisfied", Reason: "fail"}
	}
	return oscalState{State: "not-satisfied", Reason: "other", Remarks: "not known"}
}

// method says how a finding was made, in the words of OSCAL.
func method(f ringwall.Finding) string {
	switch kind, _, _ := strings.Cut(f.Source, "/"); kind {
	case "declaration":
		return "INTERVIEW"
	case "firmware":
		return "EXAMINE"
	}
	if f.Outcome == ringwall.Unknown {
		return "UNKNOWN"
	}
	return "TEST"
}

// token makes an identifier as OSCAL wants it: letters, digits, dot, dash and
// underscore, a letter first.
func token(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' || r == '_' {
			return r
		}
		return '_'
	}, s)
	if s == "" || !(s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z' || s[0] == '_') {
		s = "_" + s
	}
	return strings.ToLower(s)
}

// oscalTime writes the first time that is known.
func oscalTime(ts ...time.Time) string {
	for _, t := range ts {
		if !t.IsZero() {
			return stamp(t)
		}
	}
	return stamp(time.Unix(0, 0))
}
