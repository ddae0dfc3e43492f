// Package disclosure judges what a device tells strangers in greetings (CO-09):
// product names with versions, serial numbers, MAC addresses.
//
// It sends nothing: it reads what other probes have kept of greetings.
package disclosure

import (
	"context"
	"fmt"
	"regexp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
)

// Probe is the disclosure probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "disclosure", Title: "What greetings give away", Sends: "nothing", Indicators: []string{"CO-09"}, Intrusion: assess.Listens,
	}
}

// Run judges the greetings that were kept.
func (Probe) Run(_ context.Context, env *assess.Env, _ assess.Target) (assess.Answer, error) {
	var a assess.Answer
	if len(env.Services) == 0 {
		return a, nil
	}
	version := regexp.MustCompile(`(?i)[a-z][a-z0-9 _.-]*[ /_-]v?\d+\.\d+`)
	serial := regexp.MustCompile(`(?i)(serial|s/n|sn)[ :=#]+[a-z0-9-]{5,}|([0-9a-f]{2}[:-]){5}[0-9a-f]{2}`)
	f := ringwall.Finding{
		Indicator: "CO-09", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "greetings give nothing away",
		Evidence: []string{fmt.Sprintf("%d open ports were read", len(env.Services))},
	}
	protocol := regexp.MustCompile(`^(SSH|RTSP|HTTP|SIP)[/-]\d\.\d+[ -]?`) // which everybody must say
	for _, s := range env.Services {
		said := protocol.ReplaceAllString(s.Info, "")
		switch {
		case serial.MatchString(said):
			f.Outcome, f.Title = ringwall.Fail, "a greeting gives a serial number or hardware address away"
		case version.MatchString(said) && f.Outcome == ringwall.Pass:
			f.Outcome, f.Title = ringwall.Partial, "greetings give product names and versions away"
		default:
			continue
		}
		f.Evidence = append(f.Evidence, fmt.Sprintf("port %d says %q", s.Port, s.Info))
	}
	a.Findings = []ringwall.Finding{f}
	return a, nil
}
