// Package objectauth probes the service behind a device: does it check, object by
// object, who may read what (AP-09)? It takes two test accounts, A and B, with
// an object of each, and has A ask for B's.
//
// A fault is confirmed by a proof: B's marker, a text that stands in B's object
// and nowhere else, came to A, or to somebody without an account. It counts only
// when the controls hold: B reads the marker, A's own object is given to A
// without it, and an id that nobody has is not answered with it. Whatever else
// comes is a refusal, or is not understood and said to be so.
//
// It reads only: every request is a GET, of the paths that the configuration
// names, at the address that was assessed. Redirects are not followed, since
// they could take a token elsewhere. Tokens come from files or the configuration
// and stand in no evidence; bodies are searched and forgotten.
//
// The configuration is JSON (see Config), at most maxConfig bytes. Standards:
// OWASP API Security Top 10 2023, API1 (broken object level authorisation).
package objectauth

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
)

const (
	maxBody    = 1 << 20
	askTimeout = 10 * time.Second
)

// Probe is the probe of one service; it runs only with a configuration.
type Probe struct{ Config Config }

// Def says what the probe is.
func (p Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "objectauth", Title: "Does the service behind it check who reads what?",
		Sends:      fmt.Sprintf("five GETs for each of %d objects, with the tokens of two test accounts", len(p.Config.Objects)),
		Indicators: []string{"AP-09"}, Intrusion: assess.LogsIn,
	}
}

// Run asks for every object.
func (p Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	if err := p.Config.Check(); err != nil {
		return a, err
	}
	c := newClient(env.Net, t, p.Config)
	defer c.tr.CloseIdleConnections()
	worst := ringwall.Unknown
	f := ringwall.Finding{Indicator: "AP-09", Confidence: ringwall.Observed}
	passed := 0
	for _, o := range p.Config.Objects {
		out, line := c.judge(ctx, o)
		f.Evidence = append(f.Evidence, o.Title+": "+line)
		switch {
		case out == ringwall.Fail:
			worst = ringwall.Fail
		case out == ringwall.Pass:
			passed++
		}
		if ctx.Err() != nil {
			break
		}
	}
	a.Alive = c.answered
	f.Facts = map[string]string{"objects": fmt.Sprint(len(p.Config.Objects)), "refused": fmt.Sprint(passed)}
	switch {
	case worst == ringwall.Fail:
		f.Outcome, f.Confidence, f.Title = ringwall.Fail, ringwall.Confirmed, "the service gives one account's objects to another"
	case passed == len(p.Config.Objects):
		f.Outcome, f.Confidence, f.Title = ringwall.Pass, ringwall.Confirmed, "the service refuses one account the objects of another"
	default:
		f.Title = "whether the service checks who reads what could not be told of every object"
	}
	a.Findings = []ringwall.Finding{f}
	return a, nil
}

type client struct {
	cfg      Config
	base     *url.URL
	tr       *http.Transport
	http     *http.Client
	answered bool
}

func newClient(n assess.Network, t assess.Target, cfg Config) *client {
	base, _ := url.Parse(cfg.Base) // Check has read it
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	c := &client{cfg: cfg, base: base}
	c.tr = &http.Transport{
		// Only ever the address that was assessed, whatever the name resolves to now.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return n.DialContext(ctx, network, net.JoinHostPort(t.Addr.String(), port))
		},
		MaxIdleConns: 1, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10, ResponseHeaderTimeout: askTimeout,
		TLSClientConfig: &tls.Config{ServerName: base.Hostname(), MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.Insecure},
	}
	c.http = &http.Client{Transport: c.tr, Timeout: askTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// answer is what one account got for one id.
type answer struct {
	status int
	marked bool // the marker stands in it
	err    error
}

func (a answer) String() string {
	if a.err != nil {
		return "no answer"
	}
	return fmt.Sprintf("HTTP %d", a.status)
}

// refused reports whether the answer is a clear no.
func (a answer) refused() bool {
	return a.err == nil && !a.marked && (a.status == 401 || a.status == 403 || a.status == 404 || a.status == 410)
}

// get asks for an object; who is nil for somebody without an account.
func (c *client) get(ctx context.Context, o Object, id string, who *Account) answer {
	u, err := url.Parse(strings.TrimSuffix(c.cfg.Base, "/") + strings.ReplaceAll(o.Path, "{id}", url.PathEscape(id)))
	if err != nil || u.Host != c.base.Host {
		return answer{err: ringwall.Errorf(ringwall.Invalid, "the path of %q is not a path", o.Title)}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return answer{err: err}
	}
	req.Header.Set("User-Agent", "ringwall-assess")
	req.Header.Set("Accept", "*/*")
	if who != nil {
		who.sign(req)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	c.answered = true
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil && len(b) == 0 {
		return answer{err: err}
	}
	return answer{status: resp.StatusCode, marked: strings.Contains(string(b), o.Marker)}
}

// judge makes the controls and asks the question.
func (c *client) judge(ctx context.Context, o Object) (ringwall.Outcome, string) {
	if own := c.get(ctx, o, o.B, &c.cfg.B); !own.marked || own.status != http.StatusOK {
		return ringwall.Unknown, fmt.Sprintf("B does not find the marker in its own object (%v), so nothing can be proven", own)
	}
	if own := c.get(ctx, o, o.A, &c.cfg.A); own.status != http.StatusOK {
		return ringwall.Unknown, fmt.Sprintf("A is not given its own object (%v), so a refusal of B's says nothing", own)
	} else if own.marked {
		return ringwall.Unknown, "B's marker stands in A's object too, so it proves nothing"
	}
	if r := c.get(ctx, o, nobody(o.B), &c.cfg.A); r.marked || r.err != nil {
		return ringwall.Unknown, fmt.Sprintf("an id that nobody has is answered like B's (%v), so the answers say nothing", r)
	}
	if r := c.get(ctx, o, o.B, nil); r.marked {
		return ringwall.Fail, fmt.Sprintf("B's object was given to somebody without an account (%v, with B's marker)", r)
	}
	switch r := c.get(ctx, o, o.B, &c.cfg.A); {
	case r.marked:
		return ringwall.Fail, fmt.Sprintf("A was given B's object (%v, with B's marker); an id that nobody has, and somebody without an account, were not", r)
	case r.refused():
		return ringwall.Pass, fmt.Sprintf("A was refused B's object (%v), and B was given it", r)
	default:
		return ringwall.Unknown, fmt.Sprintf("A got an answer for B's object (%v) without B's marker: it is neither a refusal nor a proof", r)
	}
}

// nobody returns an id of the same form that nobody has: digits for digits,
// letters for letters, so that it is not refused for its form.
func nobody(id string) string {
	out := []byte(id)
	var r [64]byte
	if _, err := rand.Read(r[:]); err != nil {
		panic("objectauth: the system's random source failed: " + err.Error())
	}
	for i, c := range out {
		x := r[i%len(r)]
		switch {
		case c >= '0' && c <= '9':
			out[i] = '0' + x%10
		case c >= 'a' && c <= 'f':
			out[i] = 'a' + x%6
		case c >= 'a' && c <= 'z':
			out[i] = 'a' + x%26
		case c >= 'A' && c <= 'F':
			out[i] = 'A' + x%6
		case c >= 'A' && c <= 'Z':
			out[i] = 'A' + x%26
		}
	}
	if string(out) == id { // of a short id, by chance
		return id + "0"
	}
	return string(out)
}
