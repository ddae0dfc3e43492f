// Package telnet probes the remote shell that a device should not have:
// whether it opens without any login, or with a credential that worms try
// (AP-01, FS-01).
//
// What it confirms is a shell: it ran a command and gave the answer that only a
// shell can give. A prompt alone proves nothing, and neither does a server that
// echoes everything. Whether telnet is reachable at all is the port scan's
// answer (CO-02).
//
// The negotiation is a state machine of its own (RFC 854); dialogues are
// bounded in time and size, and endless banners given up. Nothing is run but
// one echo.
package telnet

import (
	"context"
	"fmt"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

// Probe is the telnet probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "telnet", Title: "Telnet: a shell without a login, or with a credential that worms try",
		Sends:      "a few known credentials within the budget; one echo when let in",
		Indicators: []string{"AP-01", "AP-02", "AP-03", "FS-01"}, Needs: []string{"telnet"}, Intrusion: assess.LogsIn,
		Tries: 12, Within: 75 * time.Second,
	}
}

// maxServices bounds how many telnet ports of one device are tried.
const maxServices = 2

// Run probes the telnet services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named("telnet")
	for _, s := range services[:min(len(services), maxServices)] {
		a.Findings = append(a.Findings, probe(ctx, env, t, s)...)
	}
	return a, nil
}

func probe(ctx context.Context, env *assess.Env, t assess.Target, s api.Service) []ringwall.Finding {
	name, address := fmt.Sprintf("telnet on port %d", s.Port), t.AddrPort(s.Port)
	if bare(ctx, env.Net, address) {
		return []ringwall.Finding{{
			Indicator: "FS-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: name + " opens a shell without any login",
			Evidence: []string{"a shell ran echo on a random word and answered it joined, before any login"},
		}, {
			Indicator: "AP-02", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: name + " has no password to change",
		}}
	}
	r := credential.Check(ctx, env, credential.Service{Name: name, Key: assess.ServiceKey("telnet", s.Port), Realm: assess.SystemAccounts},
		func(ctx context.Context, user, password string) (credential.Outcome, string) {
			return login(ctx, env.Net, address, user, password)
		})
	out := r.Findings()
	if r.Hit != nil {
		out = append(out, ringwall.Finding{
			Indicator: "FS-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed,
			Title:    "its system has an account with a known password",
			Evidence: []string{fmt.Sprintf("%s lets in %v", name, *r.Hit)},
		})
	}
	return out
}

// bare reports whether a shell answers before any login.
func bare(ctx context.Context, n assess.Network, address string) bool {
	s, err := open(ctx, n, address)
	if err != nil {
		return false
	}
	defer s.close()
	text, err := s.until(ctx, promptTimeout, func(t string) bool { return asksUser(t) || asksPassword(t) || looksLikeShell(t) })
	if err != nil || !looksLikeShell(text) {
		return false
	}
	return s.shellProof(ctx)
}
