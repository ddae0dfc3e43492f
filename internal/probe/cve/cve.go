// Package cve looks for well-known flaws that cameras were taken over by
// (AP-07), and for models that are on the list of known exploited ones (FS-04).
//
// There are two probes. Versions asks nothing of its own: it compares what the
// device has said of itself with the data it is given and with a small table of
// its own; its answers are observations. Checks asks the device the very
// question that a flaw answers wrongly. That goes beyond what a guest may do, so
// it strains and runs only for who allows that, and it never changes anything:
// each question reads, or computes a product that only the flaw can compute, or
// opens a session that is closed again.
//
// A flaw is confirmed only by its own proof, and only when its controls hold:
// the same question without the flaw's key is refused, and a random path does
// not answer alike. A server that says yes to everything has no flaw here.
// Nothing of what a flaw gives away is kept: names and passwords of users are
// counted and forgotten.
//
// Flaws stand in flaws.go, one entry each, by their CVE numbers. Answers are
// read to maxBody bytes, redirects not followed.
package cve

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

// Matcher knows which vulnerabilities a device of this make, model and firmware
// has.
type Matcher interface {
	MatchDevice(api.Identity) []api.Vulnerability
}

// Versions compares what a device says of itself with what is known.
type Versions struct {
	Data Matcher // nil: only the table of this package
}

// Def says what the probe is.
func (Versions) Def() assess.Definition {
	return assess.Definition{
		ID: "cve", Title: "Known flaws of this make, model and firmware", Sends: "nothing", Indicators: []string{"AP-07", "FS-04"}, Intrusion: assess.Listens,
	}
}

// maxEvidence bounds the flaws that one finding names.
const maxEvidence = 24

// Run compares.
func (p Versions) Run(_ context.Context, env *assess.Env, _ assess.Target) (assess.Answer, error) {
	id := api.Identity{Vendor: env.Known.Vendor, Model: env.Known.Model, Firmware: env.Known.Firmware, MAC: env.Known.MAC, Type: env.Known.Type}
	found := byTable(id, env.Services)
	if p.Data != nil && id.Vendor != "" {
		for _, v := range p.Data.MatchDevice(id) {
			if v.State == api.VEXAffected && !slices.ContainsFunc(found, func(o api.Vulnerability) bool { return o.ID == v.ID }) {
				found = append(found, v)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b api.Vulnerability) int { return strings.Compare(a.ID, b.ID) })
	var exploited, severe []string
	for _, v := range found {
		line := strings.TrimSpace(fmt.Sprintf("%s: %s %s %s", v.ID, v.Component, v.Version, v.Range))
		if v.KEV && len(exploited) < maxEvidence {
			exploited = append(exploited, line+", known to be exploited")
		}
		if (v.KEV || v.Severity == "critical" || v.Score >= 9) && len(severe) < maxEvidence {
			severe = append(severe, line)
		}
	}
	var a assess.Answer
	if len(exploited) > 0 {
		a.Findings = append(a.Findings, ringwall.Finding{
			Indicator: "FS-04", Outcome: ringwall.Fail, Confidence: ringwall.Observed, Evidence: exploited,
			Title: "its model and firmware are on the list of those known to be exploited", Facts: map[string]string{"cve": ids(exploited)},
		})
	}
	if len(severe) > 0 {
		a.Findings = append(a.Findings, ringwall.Finding{
			Indicator: "AP-07", Outcome: ringwall.Fail, Confidence: ringwall.Observed, Evidence: severe,
			Title: "by its version it has a flaw that lets strangers in", Facts: map[string]string{"cve": ids(severe)},
		})
	}
	return a, nil
}

// ids are the CVE numbers that lines begin with.
func ids(lines []string) string {
	var out []string
	for _, l := range lines {
		id, _, _ := strings.Cut(l, ":")
		out = append(out, id)
	}
	return strings.Join(out, " ")
}

// Checks asks the questions that flaws answer wrongly.
type Checks struct{}

// Def says what the probe is.
func (Checks) Def() assess.Definition {
	return assess.Definition{
		ID: "cve-checks", Title: "Known flaws, asked for without harm",
		Sends:      fmt.Sprintf("up to eight requests for each of %d known flaws, none of which changes anything; with a control for each", len(flaws())),
		Indicators: []string{"AP-07", "FS-04"}, Needs: []string{"http", "https"}, Intrusion: assess.Strains,
	}
}

// maxServices bounds how many web ports of one device are asked.
const maxServices = 4

// Run asks.
func (Checks) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("http", "https")
	asked := 0
	var proven, evidence, exploited []string
	for _, s := range services[:min(len(services), maxServices)] {
		w := newAsker(env.Net, t.AddrPort(s.Port), s.Name == "https")
		steady, err := w.steady(ctx)
		if err == nil && !steady {
			env.Say("cve-checks: port %d answers the same question differently, so its answers prove nothing", s.Port)
		}
		for _, f := range flaws() {
			if !steady || ctx.Err() != nil || w.silent >= maxSilent {
				break
			}
			asked++
			proof, yes := f.check(ctx, w)
			if yes { // and again: chance does not come twice
				proof, yes = f.check(ctx, w)
			}
			if !yes {
				continue
			}
			a.Alive = true
			proven = append(proven, f.id)
			evidence = append(evidence, fmt.Sprintf("%s on port %d (%s): %s", f.id, s.Port, f.title, proof))
			if f.kev {
				exploited = append(exploited, f.id+": proven on port "+fmt.Sprint(s.Port))
			}
		}
		w.close()
	}
	switch {
	case len(proven) > 0:
		slices.Sort(proven)
		a.Findings = append(a.Findings, ringwall.Finding{
			Indicator: "AP-07", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "it has a known flaw that lets strangers in",
			Evidence: evidence, Facts: map[string]string{"cve": strings.Join(slices.Compact(proven), " ")},
		})
		if len(exploited) > 0 {
			a.Findings = append(a.Findings, ringwall.Finding{
				Indicator: "FS-04", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "it has a flaw that is known to be exploited", Evidence: exploited,
			})
		}
	case asked >= len(flaws()):
		a.Findings = append(a.Findings, ringwall.Finding{
			Indicator: "AP-07", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
			Title:    "none of the known flaws that can be asked for without harm was there",
			Evidence: []string{fmt.Sprintf("%d known flaws were asked for", len(flaws()))},
		})
	}
	return a, nil
}
