package declare

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/strict"
	"github.com/ringwall/ringwall/mud"
)

// Lifetime is how long a declaration counts unless it says a nearer end.
const Lifetime = 365 * 24 * time.Hour

// clockError is how far ahead of us a party's clock may be.
const clockError = 24 * time.Hour

// Keys of Finding.Facts that this package writes.
const (
	FactServices    = "services-declared" // "true": the declaration lists the services the device needs
	FactSupportEnds = "support-ends"      // a date
	FactPeers       = "peers"             // of a usage description: names and networks, sorted
	FactContradicts = "contradicts"       // the source whose word is contradicted
	FactSays        = "declared-outcome"
)

// Read reads any declaration (our format in JSON or YAML, or a usage
// description) and returns what it says. who names the party that handed it in; a
// declaration of our format names its own author, which is noted when another
// handed it in. A date later than at by more than a day is refused.
func Read(b []byte, who string, at time.Time) (api.Examination, error) {
	if isJSON(b) && strings.Contains(string(b[:min(len(b), mud.MaxSize)]), `"ietf-mud:mud"`) {
		f, err := mud.Parse(b)
		if err != nil {
			return api.Examination{}, err
		}
		sum := sha256.Sum256(b)
		return FromMUD(f, hex.EncodeToString(sum[:]), who, at)
	}
	d, err := Parse(b)
	if err != nil {
		return api.Examination{}, err
	}
	return d.Examination(who, at)
}

// source returns Finding.Source for a party; a slash would look like another
// kind of source.
func source(who string) string { return "declaration/" + strings.ReplaceAll(who, "/", "-") }

// examiner collects findings of one declaration.
type examiner struct {
	exam api.Examination
	who  string
}

func newExaminer(who, digest string, made, until, at time.Time) (*examiner, error) {
	if who == "" {
		return nil, ringwall.Errorf(ringwall.Invalid, "nobody is named who declares this")
	}
	if made.After(at.Add(clockError)) {
		return nil, ringwall.Errorf(ringwall.Invalid, "the declaration is dated %s, which is to come", made.Format(time.DateOnly))
	}
	end := made.Add(Lifetime)
	if !until.IsZero() && until.Before(end) {
		end = until
	}
	return &examiner{who: who, exam: api.Examination{
		Kind: api.ExamDeclaration, Source: source(who), By: who, Tool: "ringwall declare", Digest: digest, Made: made.UTC(), Until: end.UTC(),
		Findings: []ringwall.Finding{},
	}}, nil
}

var sayings = map[ringwall.Outcome]string{
	ringwall.Pass:          "%s declares that this is met",
	ringwall.Partial:       "%s declares that this is met in part",
	ringwall.Fail:          "%s declares that this is not met",
	ringwall.NotApplicable: "%s declares that this does not apply",
	ringwall.Unknown:       "%s claims this without describing it",
}

func (x *examiner) say(indicator string, o ringwall.Outcome, facts map[string]string, evidence ...string) {
	x.exam.Findings = append(x.exam.Findings, ringwall.Finding{
		Indicator: indicator, Module: moduleOf(indicator), Outcome: o, Confidence: ringwall.Declared,
		Title: fmt.Sprintf(sayings[o], x.who), Evidence: evidence, Facts: facts,
		Source: x.exam.Source, Time: x.exam.Made, Until: x.exam.Until,
	})
}

func (x *examiner) done() api.Examination {
	slices.SortStableFunc(x.exam.Findings, func(a, b ringwall.Finding) int { return strings.Compare(a.Indicator, b.Indicator) })
	return x.exam
}

// Examination returns what the declaration says, by indicator.
func (d *Document) Examination(who string, at time.Time) (api.Examination, error) {
	x, err := newExaminer(who, d.Digest, d.Made, d.Until, at)
	if err != nil {
		return api.Examination{}, err
	}
	x.exam.Identity = d.Device
	if d.By != who {
		x.exam.Notes = append(x.exam.Notes, "made by "+strict.Short(d.By)+", handed in by "+strict.Short(who))
	}
	x.exam.Services, x.exam.Components = d.services(), d.components()
	for _, m := range data().mappings {
		v := d.judge(m)
		facts := map[string]string{}
		switch m.Indicator {
		case "CO-01":
			if _, there := d.Tables["SoftServ"]; there {
				facts[FactServices] = "true"
				if len(v.evidence) == 0 {
					v.add(ringwall.Unknown, "table SoftServ is there, the provisions are not claimed")
				}
			}
		case "FS-12":
			d.support(&v, facts, at)
		case "AP-10":
			d.disclosure(&v)
		}
		if len(v.evidence) > 0 {
			if len(facts) == 0 {
				facts = nil
			}
			x.say(m.Indicator, v.outcome(), facts, v.evidence...)
		}
	}
	for _, id := range d.missing() {
		x.exam.Notes = append(x.exam.Notes, "mandatory provision "+id+" is not answered")
	}
	return x.done(), nil
}

// missing lists the provisions without a condition that the statement leaves out.
func (d *Document) missing() []string {
	var ids []string
	std, _ := data().standard(d.Standard, d.Edition)
	for _, p := range std.Provisions {
		if _, said := d.Claims[p.ID]; p.Status == "M" && !said {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// verdicts collects what claims and rows say of one indicator. The worst wins:
// a row that says otherwise than the claim is believed.
type verdicts struct {
	seen     [5]int
	evidence []string
}

func (v *verdicts) add(o ringwall.Outcome, evidence string) {
	v.seen[o]++
	if len(v.evidence) < 32 {
		v.evidence = append(v.evidence, evidence)
	}
}

func (v *verdicts) outcome() ringwall.Outcome {
	switch {
	case v.seen[ringwall.Fail] > 0:
		return ringwall.Fail
	case v.seen[ringwall.Partial] > 0:
		return ringwall.Partial
	case v.seen[ringwall.Unknown] > 0:
		return ringwall.Unknown
	case v.seen[ringwall.Pass] > 0:
		return ringwall.Pass
	case v.seen[ringwall.NotApplicable] > 0:
		return ringwall.NotApplicable
	}
	return ringwall.Unknown
}

func (d *Document) judge(m mapping) verdicts {
	var v verdicts
	claimed, not := 0, 0
	for _, id := range m.Claims {
		c, ok := d.Claims[id]
		if !ok {
			continue
		}
		line := "provision " + id + ": " + string(c.Support)
		if text := c.Detail + c.Why; text != "" {
			line += " (" + strict.Short(strings.Join(strings.Fields(text), " ")) + ")"
		}
		switch c.Support {
		case Yes:
			claimed++
			v.add(ringwall.Pass, line)
		case No:
			not++
			v.add(ringwall.Fail, line)
		case NotApplicable:
			v.add(ringwall.NotApplicable, line)
		}
	}
	if claimed > 0 && not > 0 { // some of the provisions behind the indicator are met
		v.seen[ringwall.Fail], v.seen[ringwall.Partial] = 0, not
	}
	if claimed > 0 && m.Evidence != "" && len(d.Tables[m.Evidence]) == 0 {
		v.add(ringwall.Unknown, "table "+m.Evidence+" does not describe it")
	}
	for _, r := range m.Rows {
		for _, row := range d.Tables[r.Table] {
			if !row.matches(r.Where) {
				continue
			}
			value := row.Value(r.Column)
			if o := r.judge(value); o != ringwall.Unknown {
				v.add(o, r.Table+" "+strict.Short(row.ID)+": "+r.Column+" = "+strconv.Quote(value))
			}
		}
	}
	return v
}

func (r Row) matches(where map[string][]string) bool {
	for column, any := range where {
		if !slices.Contains(any, r.Value(column)) {
			return false
		}
	}
	return true
}

// support judges the support period: what is over is a fail, whoever claims it.
func (d *Document) support(v *verdicts, facts map[string]string, at time.Time) {
	for _, row := range d.Tables["UserInfo"] {
		ends := row.Value("supportEnds")
		if ends == "" {
			continue
		}
		facts[FactSupportEnds] = ends
		if over(ends, at) {
			v.add(ringwall.Fail, "UserInfo: support ended on "+ends)
		} else {
			v.add(ringwall.Pass, "UserInfo: support ends on "+ends)
		}
	}
}

// over reports whether a day (a date) has passed.
func over(day string, at time.Time) bool {
	t, err := time.Parse(time.DateOnly, day)
	return err == nil && !at.Before(t.AddDate(0, 0, 1))
}

func (d *Document) disclosure(v *verdicts) {
	if d.Claims["5.2-1"].Support != Yes {
		return
	}
	for _, row := range d.Tables["UserInfo"] {
		if u := row.Value("disclosurePublication"); u != "" {
			v.add(ringwall.Pass, "UserInfo: disclosure policy at "+u)
			return
		}
	}
	v.add(ringwall.Unknown, "UserInfo gives no place where the disclosure policy is published")
}

func (d *Document) services() []api.Service {
	var out []api.Service
	for _, row := range d.Tables["SoftServ"] {
		port, err := strconv.ParseUint(row.Value("port"), 10, 16)
		if err != nil || row.Value("status") == "disabled" {
			continue
		}
		proto := row.Value("protocol")
		if proto == "" {
			proto = "tcp"
		}
		out = append(out, api.Service{Proto: proto, Port: uint16(port), Name: strings.ToLower(row.Value("service")), Info: strict.Short(row.ID)})
	}
	sortServices(out)
	return out
}

func sortServices(s []api.Service) {
	slices.SortStableFunc(s, func(a, b api.Service) int {
		if c := strings.Compare(a.Proto, b.Proto); c != 0 {
			return c
		}
		return int(a.Port) - int(b.Port)
	})
}

func (d *Document) components() []api.Component {
	var out []api.Component
	for _, row := range d.Tables["SoftComp"] {
		name := row.Value("name")
		if name == "" {
			name = row.ID
		}
		out = append(out, api.Component{
			Name: name, Version: row.Value("version"), Supplier: row.Value("supplier"), CPE: row.Value("cpe"), PURL: row.Value("purl"), How: "declared",
		})
	}
	return out
}
