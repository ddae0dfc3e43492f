package declare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Contradict sets a declaration against what was measured and returns a
// finding for each thing that does not hold: a declared pass that a measurement
// fails, an open service that the declaration does not list, a declared
// support period that has run out. Each carries the evidence of both sides,
// stands under the indicator in question (CO-01 for services) and is as
// confident as the measurement. services are those seen on the network, none
// of another source.
//
// The newest measurement gives the time; without one, when the declaration was
// made. The findings come in the order of their indicators and titles.
func Contradict(declared api.Examination, measured []ringwall.Finding, services []api.Service) []ringwall.Finding {
	c := comparison{declared: declared, at: declared.Made}
	for _, f := range measured {
		if f.Time.After(c.at) {
			c.at = f.Time
		}
	}
	for _, said := range declared.Findings {
		if said.Outcome == ringwall.Pass {
			c.answers(said, measured)
		}
		if ends := said.Facts[FactSupportEnds]; ends != "" && said.Outcome != ringwall.Fail && over(ends, c.at) {
			c.add(said, ringwall.Declared, "", "the declared support period is over",
				"declared: support ends on "+ends, "it is "+c.at.UTC().Format(time.DateOnly))
		}
		if said.Indicator == "CO-01" && said.Facts[FactServices] == "true" {
			c.services(said, services)
		}
	}
	slices.SortStableFunc(c.found, func(a, b ringwall.Finding) int {
		if n := strings.Compare(a.Indicator, b.Indicator); n != 0 {
			return n
		}
		return strings.Compare(a.Title, b.Title)
	})
	return c.found
}

type comparison struct {
	declared api.Examination
	at       time.Time
	found    []ringwall.Finding
}

func (c *comparison) add(said ringwall.Finding, how ringwall.Confidence, by, title string, evidence ...string) {
	facts := map[string]string{FactContradicts: c.declared.Source, FactSays: said.Outcome.String()}
	if by != "" {
		facts["measured-by"] = by
	}
	c.found = append(c.found, ringwall.Finding{
		Indicator: said.Indicator, Module: said.Module, Outcome: ringwall.Fail, Confidence: how,
		Title: title, Evidence: evidence, Facts: facts, Source: "assess", Time: c.at,
		Remedy: "Ask " + strings.TrimPrefix(c.declared.Source, "declaration/") + " to correct the device or the declaration",
	})
}

// answers compares one declared pass with what was measured. Other
// declarations are no measurement.
func (c *comparison) answers(said ringwall.Finding, measured []ringwall.Finding) {
	for _, m := range measured {
		if m.Indicator != said.Indicator || m.Outcome != ringwall.Fail || m.Confidence == ringwall.Declared || m.Facts[FactContradicts] != "" {
			continue
		}
		evidence := []string{"declared by " + c.declared.By + ": " + said.Title}
		evidence = append(evidence, said.Evidence[:min(len(said.Evidence), 8)]...)
		evidence = append(evidence, "measured by "+m.Source+": "+m.Title)
		evidence = append(evidence, m.Evidence[:min(len(m.Evidence), 8)]...)
		c.add(said, m.Confidence, m.Source, "what is declared does not hold when measured", evidence...)
	}
}

// services compares open ports with those declared.
func (c *comparison) services(said ringwall.Finding, open []api.Service) {
	var undeclared []string
	for _, s := range open {
		if !slices.ContainsFunc(c.declared.Services, func(d api.Service) bool { return d.Proto == s.Proto && d.Port == s.Port }) {
			undeclared = append(undeclared, strings.TrimSpace(s.Proto+"/"+strconv.Itoa(int(s.Port))+" "+s.Name))
		}
	}
	if len(undeclared) == 0 {
		return
	}
	slices.Sort(undeclared)
	undeclared = slices.Compact(undeclared)
	evidence := []string{fmt.Sprintf("declared by %s: %s", c.declared.By, list(c.declared.Services))}
	for _, u := range undeclared[:min(len(undeclared), 24)] {
		evidence = append(evidence, "open and not declared: "+u)
	}
	c.add(said, ringwall.Confirmed, "network", "services are open that are not declared", evidence...)
}

func list(services []api.Service) string {
	if len(services) == 0 {
		return "no service"
	}
	var out []string
	for _, s := range services[:min(len(services), 32)] {
		out = append(out, s.Proto+"/"+strconv.Itoa(int(s.Port)))
	}
	return strings.Join(out, ", ")
}
