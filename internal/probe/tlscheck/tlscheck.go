// Package tlscheck looks at how a device speaks TLS: which versions and cipher
// suites it takes (CO-05) and what its certificate and key are worth (CO-06).
//
// It writes its own ClientHellos, since no library still offers what has to be
// found out: SSL 2 and 3, export ciphers, no encryption at all. Each offers one
// version or one family of suites, and what the server picks is the answer; a
// hello with suites that nobody has is the negative control, for a server that
// takes that would take anything. Nothing is sent inside a connection, and
// nothing is trusted.
//
// What the server sends is read by readAnswer, which is bounded. Several
// connections follow each other, never two at once: small devices keep few.
//
// Standards: RFC 5246, RFC 8446, RFC 6101 (SSL 3), RFC 8996 (TLS 1.0 and 1.1 are
// not to be used), RFC 7465 (nor RC4), RFC 9325 section 4 (recommendations), RFC
// 5280 section 4.1.2.5 (validity).
package tlscheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
)

// Probe is the TLS probe.
type Probe struct{}

// Services are the names of services that speak TLS.
func Services() []string { return []string{"https", "rtsps", "mqtts", "tls"} }

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "tls", Title: "TLS versions, cipher suites, certificate and key",
		Sends:      "up to 18 handshakes, one after the other and none completed but one, on each of at most 4 TLS ports",
		Indicators: []string{"CO-05", "CO-06"}, Needs: Services(), Intrusion: assess.Asks, Together: true, Absent: []string{"CO-05", "CO-06"},
	}
}

const (
	maxServices = 4
	handshakeIn = 3 * time.Second
	// minDH is the least Diffie-Hellman prime that is still called strong (RFC
	// 9325 section 4.2.1); below brokenDH it can be broken by a laboratory (RFC
	// 7919 section 1).
	minDH, brokenDH = 2048, 1024
)

// Run looks at the TLS services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	services := env.Named(Services()...)
	for _, s := range services[:min(len(services), maxServices)] {
		st := climb(ctx, env.Net, t.AddrPort(s.Port))
		if st.newest() == 0 || ctx.Err() != nil {
			continue // it speaks no TLS after all, or we have run out of time
		}
		a.Findings = append(a.Findings, judge(s.Port, st))
		if st.anything {
			continue
		}
		chain := st.certificates
		if len(chain) == 0 {
			chain = shown(ctx, env.Net, t.AddrPort(s.Port))
		}
		if len(chain) > 0 {
			f, mark := certificate(s.Port, t.Name, chain, env.Now())
			a.Findings, a.Secrets = append(a.Findings, f), append(a.Secrets, mark...)
		}
	}
	return a, nil
}

// Key returns the mark of the key that a service shows; "" when it shows none.
func Key(ctx context.Context, n assess.Network, at netip.AddrPort) string {
	chain := shown(ctx, n, at.String())
	if len(chain) == 0 {
		return ""
	}
	_, marks := certificate(at.Port(), "", chain, time.Time{})
	return marks[len(marks)-1].Mark
}

// shown completes a handshake to see the certificates, which TLS 1.3 encrypts.
func shown(ctx context.Context, n assess.Network, address string) [][]byte {
	ctx, cancel := context.WithTimeout(ctx, handshakeIn)
	defer cancel()
	raw, err := n.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil
	}
	defer raw.Close()
	c := tls.Client(raw, Client())
	if c.HandshakeContext(ctx) != nil {
		return nil
	}
	var out [][]byte
	for _, cert := range c.ConnectionState().PeerCertificates {
		out = append(out, cert.Raw)
	}
	return out
}

// judge answers CO-05 for one port.
func judge(port uint16, s stance) ringwall.Finding {
	f := ringwall.Finding{
		Indicator: "CO-05", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Title: fmt.Sprintf("TLS on port %d takes current versions and ciphers only", port),
		Facts: map[string]string{"port": fmt.Sprint(port), "newest": versionName(s.newest())},
	}
	if s.anything {
		f.Outcome, f.Confidence, f.Title = ringwall.Unknown, ringwall.Observed, fmt.Sprintf("what answers as TLS on port %d takes anything, so its yes means nothing", port)
		f.Evidence = []string{"negative control: it picked a cipher suite that does not exist"}
		return f
	}
	var yes, no []string
	for _, v := range []uint16{tls13, tls12, tls11, tls10, ssl3, ssl2} {
		if s.versions[v] {
			yes = append(yes, versionName(v))
		} else {
			no = append(no, versionName(v))
		}
	}
	f.Evidence = append(f.Evidence, "takes "+strings.Join(yes, ", "))
	if len(no) > 0 {
		f.Evidence = append(f.Evidence, "does not take "+strings.Join(no, ", "))
	}
	worsen := func(o ringwall.Outcome, format string, args ...any) {
		if f.Outcome == ringwall.Pass || o == ringwall.Fail && f.Outcome == ringwall.Partial {
			f.Outcome, f.Title = o, fmt.Sprintf("TLS on port %d %s", port, fmt.Sprintf(format, args...))
		}
	}
	switch newest := s.newest(); {
	case newest < tls12:
		worsen(ringwall.Fail, "takes nothing newer than %s", versionName(newest))
	case s.versions[ssl2] || s.versions[ssl3]:
		worsen(ringwall.Fail, "still takes SSL 2 or 3")
	case s.versions[tls10] || s.versions[tls11]:
		worsen(ringwall.Partial, "still takes TLS 1.0 or 1.1")
	}
	for _, fam := range families() {
		if !s.families[fam.name] {
			continue
		}
		f.Evidence = append(f.Evidence, "takes "+fam.name)
		switch fam.weight {
		case wrong:
			worsen(ringwall.Fail, "takes %s", fam.name)
		case aged:
			worsen(ringwall.Partial, "still takes %s", fam.name)
		}
	}
	if s.dhBits > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("its Diffie-Hellman prime has %d bits", s.dhBits))
		switch {
		case s.dhBits < brokenDH:
			worsen(ringwall.Fail, "uses a Diffie-Hellman prime of %d bits", s.dhBits)
		case s.dhBits < minDH:
			worsen(ringwall.Partial, "uses a Diffie-Hellman prime of %d bits", s.dhBits)
		}
	}
	if len(s.families) > 0 && !s.versions[tls13] {
		switch {
		case !s.families["suites with forward secrecy"]:
			worsen(ringwall.Partial, "has no suite with forward secrecy: who takes the key reads what was recorded")
		case !s.families["authenticated ciphers (AEAD)"]:
			worsen(ringwall.Partial, "has no authenticated cipher")
		}
	}
	f.Evidence = append(f.Evidence, "negative control: a cipher suite that does not exist was not taken")
	if s.unsure > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d of the questions were not answered in time", s.unsure))
		if f.Outcome == ringwall.Pass {
			f.Confidence = ringwall.Observed
		}
	}
	return f
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
