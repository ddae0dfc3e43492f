// Package httpadmin probes a device's management pages: whether a known default
// credential opens them (AP-01), whether the password crosses the wire in the
// clear (AP-06, CO-07), whether a default must be changed at first (AP-02), and
// whether the sessions that logins give can be taken over (AP-06).
//
// It logs in by HTTP Basic or Digest where it is challenged, and by a form
// where a page has one. A login is believed only when the page behind it is
// not a login page and differs from what a stranger gets at the same address.
// Pages that need a script to log in are not understood, and reported so.
//
// Requests stay on the device: redirects and form targets elsewhere are not
// followed, cookies live for one try, and no page is read past maxPage bytes.
// Nothing but a login is ever posted. Standards: RFC 9110 section 11, RFC 7616,
// RFC 7617, RFC 6265.
package httpadmin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/digest"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

// Probe is the management page probe.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "httpadmin", Title: "Management pages: default credentials, passwords in the clear",
		Sends:      fmt.Sprintf("GET of up to %d pages; a few known credentials within the budget, by the login that the page offers", len(entrances)),
		Indicators: []string{"AP-01", "AP-02", "AP-03", "AP-06", "CO-07"}, Needs: []string{"http", "https"}, Intrusion: assess.LogsIn,
		Tries: 4, Within: 60 * time.Second,
	}
}

// maxServices bounds how many web ports of one device are looked at.
const maxServices = 6

// entrances are where management pages begin, and then the interfaces that
// pages of some makers, which log in by a script, stand on: those take the same
// accounts by HTTP digest or Basic.
var entrances = [...]string{
	"/", "/admin", "/login", "/login.html", "/web/",
	"/ISAPI/Security/userCheck",                           // Hikvision and its brands
	"/cgi-bin/magicBox.cgi?action=getSystemInfo",          // Dahua and its brands
	"/axis-cgi/param.cgi?action=list&group=Brand",         // Axis
	"/cgi-bin/operator/param.cgi",                         // Vivotek
	"/stw-cgi/system.cgi?msubmenu=deviceinfo&action=view", // Hanwha
}

// Run probes the web services of the target.
func (Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	inside, plain := false, false
	services := env.Named("http", "https")
	for _, s := range services[:min(len(services), maxServices)] {
		v := visit{env: env, t: t, s: s, tls: s.Name == "https"}
		if !v.find(ctx) {
			if v.out.setup {
				a.Findings = append(a.Findings, ringwall.Finding{
					Indicator: "AP-02", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: v.name() + " wants a first password set before anything else",
					Evidence: []string{fmt.Sprintf("GET %s shows a form with a new password and its repetition, and no login", v.path)},
				})
			}
			if v.tokens {
				inside, plain = inside || v.tls, plain || !v.tls
				a.Findings = append(a.Findings, v.byToken()...)
			}
			continue
		}
		inside, plain = inside || v.tls, plain || !v.tls
		a.Findings = append(a.Findings, v.wire()...)
		a.Findings = append(a.Findings, v.credentials(ctx)...)
		a.Findings = append(a.Findings, v.judged()...)
	}
	if inside && !plain {
		a.Findings = append(a.Findings, ringwall.Finding{
			Indicator: "CO-07", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "its pages ask for a login inside TLS only",
		})
	}
	return a, nil
}

type visit struct {
	env   *assess.Env
	t     assess.Target
	s     api.Service
	tls   bool
	path  string // where the login is
	out   page   // what a stranger gets there
	login credential.Login
	seen  sessions
	// tokens says that what it serves asks for a bearer token (RFC 6750) and that no
	// entrance offers a login.
	tokens bool
}

func (v *visit) name() string { return fmt.Sprintf("the web page on port %d", v.s.Port) }

// find looks for a page that asks for a login.
func (v *visit) find(ctx context.Context) bool {
	asks, others := false, false // for tokens; answers otherwise than that or by "not here"
	defer func() { v.tokens = asks && !others }()
	for _, p := range entrances {
		b := newBrowser(v.env.Net, v.t.AddrPort(v.s.Port), v.tls)
		pg, err := b.get(ctx, p, "")
		b.close()
		if err != nil {
			others = true
			continue
		}
		asks = asks || bearer(pg)
		others = others || !bearer(pg) && pg.status != http.StatusNotFound
		if v.out.setup {
			break // the first page decides
		}
		v.path, v.out = p, pg
		switch {
		case pg.status == http.StatusUnauthorized && answerable(pg.challenges):
			v.login = v.byChallenge
			return true
		case pg.form != nil:
			v.login = v.byForm
			return true
		}
	}
	return false
}

// bearer reports whether a page is refused for want of a token, and no password
// would do instead.
func bearer(p page) bool {
	return p.status == http.StatusUnauthorized && len(p.challenges) > 0 &&
		!slices.ContainsFunc(p.challenges, func(c digest.Challenge) bool { return !strings.EqualFold(c.Scheme, "bearer") })
}

// byToken judges a service that takes tokens only. That there is no password to
// be known was seen, not tried.
func (v *visit) byToken() []ringwall.Finding {
	evidence := []string{fmt.Sprintf("401 with WWW-Authenticate: Bearer, and no login at any of %d usual places", len(entrances))}
	name := fmt.Sprintf("the web service on port %d", v.s.Port)
	scheme := ringwall.Finding{
		Indicator: "AP-06", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: name + " takes its tokens inside TLS only", Evidence: evidence,
	}
	out := []ringwall.Finding{{
		Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: name + " takes tokens only: there is no password to be known", Evidence: evidence,
	}}
	if !v.tls {
		scheme.Outcome, scheme.Title = ringwall.Fail, name+" takes its tokens in the clear"
		out = append(out, ringwall.Finding{
			Indicator: "CO-07", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: name + " is spoken in plain HTTP", Evidence: evidence,
		})
	}
	return append(out, scheme)
}

func answerable(cs []digest.Challenge) bool {
	_, ok := digest.Best(cs)
	return ok
}

// wire judges how the password travels.
func (v *visit) wire() []ringwall.Finding {
	if v.tls {
		return []ringwall.Finding{{
			Indicator: "AP-06", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: v.name() + " asks for its password inside TLS",
			Evidence: []string{fmt.Sprintf("GET https %s asks for a login", v.path)},
		}}
	}
	scheme := ringwall.Finding{Indicator: "AP-06", Outcome: ringwall.Fail, Confidence: ringwall.Observed}
	managed := ringwall.Finding{
		// The prompt itself came in the clear: that is the proof.
		Indicator: "CO-07", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: v.name() + " manages the device in plain HTTP",
		Evidence: []string{fmt.Sprintf("GET http %s asks for a login without TLS", v.path)},
	}
	best, _ := digest.Best(v.out.challenges)
	switch {
	case v.out.form != nil && best.Scheme != "digest":
		scheme.Title = v.name() + " takes the password in the clear, by a form without TLS"
	case best.Scheme == "basic":
		scheme.Title = v.name() + " takes the password in the clear (Basic without TLS)"
	default:
		scheme.Outcome, scheme.Title = ringwall.Partial, v.name()+" asks by digest, without TLS"
	}
	for _, c := range v.out.challenges {
		scheme.Evidence = append(scheme.Evidence, strings.TrimSpace("offers "+c.Scheme+" "+c.Algorithm))
	}
	if v.out.form != nil {
		scheme.Evidence = append(scheme.Evidence, "has a login form")
	}
	return []ringwall.Finding{scheme, managed}
}

func (v *visit) credentials(ctx context.Context) []ringwall.Finding {
	return credential.Check(ctx, v.env, credential.Service{
		Name: v.name(), Key: assess.ServiceKey(v.s.Name, v.s.Port), Realm: assess.CameraAccounts, Stranger: v.stranger,
	}, v.login).Findings()
}

// stranger asks for the page behind the login without one.
func (v *visit) stranger(ctx context.Context) credential.Outcome {
	b := newBrowser(v.env.Net, v.t.AddrPort(v.s.Port), v.tls)
	defer b.close()
	pg, err := b.get(ctx, v.path, "")
	switch {
	case err != nil:
		return broken(err)
	case pg.locked():
		return credential.Locked
	case pg.status == http.StatusUnauthorized, pg.status == http.StatusForbidden, pg.form != nil:
		return credential.Refused
	}
	return credential.Accepted
}

// byChallenge presents a credential to a page that answers 401.
func (v *visit) byChallenge(ctx context.Context, user, password string) (credential.Outcome, string) {
	b := newBrowser(v.env.Net, v.t.AddrPort(v.s.Port), v.tls)
	defer b.close()
	out, err := b.get(ctx, v.path, "") // a fresh challenge each time
	if err != nil {
		return broken(err), ""
	}
	if out.locked() {
		return credential.Locked, ""
	}
	best, ok := digest.Best(out.challenges)
	if out.status != http.StatusUnauthorized || !ok {
		return credential.Unclear, ""
	}
	header, err := best.Answer(http.MethodGet, v.path, user, password, 1)
	if err != nil {
		return credential.Unclear, ""
	}
	in, err := b.get(ctx, v.path, header)
	if err != nil {
		return broken(err), ""
	}
	return judge(in, out)
}

// byForm fills in and posts the login form, then looks at the page again.
func (v *visit) byForm(ctx context.Context, user, password string) (credential.Outcome, string) {
	b := newBrowser(v.env.Net, v.t.AddrPort(v.s.Port), v.tls)
	defer b.close()
	out, err := b.get(ctx, v.path, "") // a fresh form: hidden fields may hold a token
	if err != nil {
		return broken(err), ""
	}
	if out.locked() {
		return credential.Locked, ""
	}
	if out.form == nil {
		return credential.Unclear, ""
	}
	before := slices.Clone(b.set)
	answer, err := b.post(ctx, out.form.target, out.form.fill(user, password))
	if err != nil {
		return broken(err), ""
	}
	switch {
	case answer.locked():
		return credential.Locked, ""
	case answer.status == http.StatusUnauthorized, answer.status == http.StatusForbidden, answer.form != nil:
		return credential.Refused, ""
	}
	// The answer to a post may say anything. What counts is the page that a
	// stranger is not shown, asked for with what the login gave us.
	in, err := b.get(ctx, v.path, "")
	if err != nil {
		return broken(err), ""
	}
	o, proof := judge(in, out)
	if o == credential.Accepted || o == credential.Forced {
		at := in.at
		if answer.at != nil && answer.at.RawQuery != "" {
			at = answer.at
		}
		v.seen.add(before, b.set, at)
		for _, p := range []page{in, answer} {
			if p.logout != "" { // small devices keep few sessions: leave none behind
				_, _ = b.get(ctx, p.logout, "")
				break
			}
		}
	}
	if o == credential.Refused {
		// The answer to the post was no refusal, and yet nothing opened: it may
		// mean either, so it means nothing.
		o = credential.Hollow
	}
	return o, proof
}

// judge compares the page behind the login with what a stranger gets.
func judge(in, out page) (credential.Outcome, string) {
	switch {
	case in.locked():
		return credential.Locked, ""
	case in.status == http.StatusUnauthorized, in.status == http.StatusForbidden, in.form != nil:
		return credential.Refused, ""
	case in.status != http.StatusOK:
		return credential.Unclear, ""
	case len(in.text) == 0 || in.text == out.text:
		return credential.Hollow, ""
	case in.setup && len(in.text) < maxSetup:
		return credential.Forced, fmt.Sprintf("behind the login is nothing but a form that sets a new password (%q)", in.title)
	}
	return credential.Accepted, fmt.Sprintf("behind the login is a page of %d bytes that a stranger is not shown (%q; a stranger gets HTTP %d)",
		in.size, in.title, out.status)
}

// maxSetup is how many words, in bytes, a page has that only sets a password; one
// with more does more.
const maxSetup = 600

func broken(err error) credential.Outcome {
	var ne net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED):
		return credential.Dropped
	case errors.As(err, &ne) && ne.Timeout():
		return credential.Dropped
	}
	return credential.Unclear
}
