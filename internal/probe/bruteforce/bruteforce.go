// Package bruteforce measures whether a service slows or stops who guesses
// (AP-03): it guesses, on purpose. That strains a device and may lock an
// account, so it runs only when it is named, and by default at an account that
// does not exist.
//
// It presents a stated number of wrong passwords to one service of each kind,
// RTSP, web pages behind Basic or digest, ONVIF, and looks at how the refusals
// change: a lock in words or by status, a request to wait, a hang-up, answers that
// take ever longer. It stops at the first such sign, since that is the answer.
// Afterwards it looks whether the service still answers, and says so if not.
//
// The tries are counted in the device's ledger all the same, so that no other
// probe adds to them. They are measured, not hurried: one after another, over
// fresh connections. Standards: ETSI EN 303 645 provision 5.1-5.
package bruteforce

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/digest"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/rtsp"
)

// tries is how many wrong passwords one service sees: more than any lock of
// cameras that we know waits for, and than a person mistypes.
const tries = 12

const (
	askTimeout = 6 * time.Second
	maxAnswer  = 64 << 10
	// slower is the growth that counts as holding back: three times the quickest
	// refusal and this much more.
	slower = 700 * time.Millisecond
)

// Probe is the probe of resistance to guessing.
type Probe struct {
	// User is an account of the owner's, whose lock he accepts; "" means one that
	// does not exist.
	User string
}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "bruteforce", Title: "Is guessing slowed or stopped?",
		Sends:      fmt.Sprintf("%d wrong passwords to one service each of RTSP, web and ONVIF: this may lock an account", tries),
		Indicators: []string{"AP-03"}, Needs: []string{"rtsp", "rtsps", "http", "https", "onvif"}, Intrusion: assess.Strains,
		Optional: true, Tries: 3 * tries, Within: 3 * time.Minute,
	}
}

// sign is what one refusal shows.
type sign struct {
	asked   bool   // there is a login, and it was wrong
	stopped string // what stops the guesser, "" for nothing
}

// guess presents one wrong password.
type guess func(ctx context.Context, user, password string) sign

// Run guesses at one service of each kind.
func (p Probe) Run(ctx context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	var a assess.Answer
	user := cmp.Or(p.User, "rw"+strings.ToLower(rand.Text()[:8]))
	for _, kind := range []struct {
		names []string
		make  func(*assess.Env, assess.Target, api.Service) guess
	}{
		{[]string{"rtsp", "rtsps"}, overRTSP}, {[]string{"http", "https"}, overHTTP}, {[]string{"onvif", "http", "https"}, overONVIF},
	} {
		for _, s := range env.Named(kind.names...) {
			f, ok := p.measure(ctx, env, s, user, kind.make(env, t, s))
			if ok {
				a.Findings, a.Alive = append(a.Findings, f), true
				break
			}
		}
	}
	return a, nil
}

// measure guesses at one service; ok is false when it asks for no login.
func (p Probe) measure(ctx context.Context, env *assess.Env, s api.Service, user string, g guess) (ringwall.Finding, bool) {
	name := fmt.Sprintf("%s on port %d", s.Name, s.Port)
	f := ringwall.Finding{Indicator: "AP-03", Confidence: ringwall.Observed, Facts: map[string]string{"service": assess.ServiceKey(s.Name, s.Port)}}
	if p.User != "" {
		f.Confidence = ringwall.Confirmed // a lock may spare accounts that do not exist, not this one
	}
	var took []time.Duration
	stopped := ""
	n := 0
	for ; n < tries && stopped == "" && ctx.Err() == nil; n++ {
		_, _ = env.Ledger.Spend(assess.CameraAccounts, assess.ServiceKey(s.Name, s.Port), user) // counted, not asked for leave
		began := env.Now()
		r := g(ctx, user, rand.Text()[:12])
		spent := env.Now().Sub(began)
		if n == 0 && (!r.asked || r.stopped != "") {
			return f, false // no login, or one that already stands locked
		}
		if stopped = r.stopped; stopped != "" {
			break
		}
		if !r.asked {
			stopped = "it changed its answer"
			break
		}
		took = append(took, spent)
		if quick := slices.Min(took); spent > 3*quick && spent > quick+slower {
			stopped = fmt.Sprintf("its refusals grew from %v to %v", quick.Round(time.Millisecond), spent.Round(time.Millisecond))
		}
	}
	if ctx.Err() != nil {
		return f, false
	}
	f.Facts["tries"] = fmt.Sprint(n)
	whom := "at an account that does not exist"
	if p.User != "" {
		whom = "at the account that was named"
	}
	if stopped == "" {
		f.Outcome, f.Title = ringwall.Fail, name+" lets anybody guess on"
		f.Evidence = []string{fmt.Sprintf("%d wrong passwords %s were refused alike, in %v to %v each", n, whom, slices.Min(took).Round(time.Millisecond), slices.Max(took).Round(time.Millisecond))}
		return f, true
	}
	f.Outcome, f.Title = ringwall.Pass, name+" stops who guesses"
	f.Evidence = []string{fmt.Sprintf("after %d wrong passwords %s: %s", n, whom, stopped)}
	env.Ledger.Stop(assess.ServiceKey(s.Name, s.Port), "it was guessed at on purpose")
	return f, true
}

// words reports whether a text says that somebody is locked out.
func words(s string) string {
	s = strings.ToLower(s)
	for _, w := range []string{"locked", "too many", "try again later", "temporarily blocked", "已锁定", "稍后再试"} {
		if strings.Contains(s, w) {
			return "it says " + strconv.Quote(w)
		}
	}
	return ""
}

func overRTSP(env *assess.Env, t assess.Target, s api.Service) guess {
	path := ""
	if len(env.Paths) > 0 {
		path = env.Paths[0]
	}
	return func(ctx context.Context, user, password string) sign {
		open := rtsp.Connect
		if s.Name == "rtsps" {
			open = rtsp.ConnectTLS
		}
		c, err := open(ctx, env.Net.DialContext, t.AddrPort(s.Port))
		if err != nil {
			return sign{asked: true, stopped: "it takes no more connections"}
		}
		defer func() { _ = c.Close() }()
		r, err := c.Describe(ctx, path, &rtsp.Credential{User: user, Password: password})
		switch {
		case err != nil:
			return sign{asked: true, stopped: "it hung up"}
		case r.Status == 401 && words(r.Reason) == "":
			return sign{asked: true}
		case r.Status == 401 || r.Status == 403 || r.Status == 429 || r.Status == 453 || r.Status == 503:
			return sign{asked: true, stopped: fmt.Sprintf("it answers %d %s", r.Status, words(r.Reason))}
		}
		return sign{}
	}
}

func overHTTP(env *assess.Env, t assess.Target, s api.Service) guess {
	base := map[string]string{"http": "http://", "https": "https://"}[s.Name] + t.AddrPort(s.Port)
	return func(ctx context.Context, user, password string) sign {
		tr := &http.Transport{
			DialContext: env.Net.DialContext, DisableCompression: true, MaxResponseHeaderBytes: 32 << 10,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}, // judged by the tls probe
		}
		defer tr.CloseIdleConnections()
		c := &http.Client{Transport: tr, Timeout: askTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		ask := func(authorization string) (*http.Response, string, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/", nil)
			if err != nil {
				return nil, "", err
			}
			req.Header.Set("User-Agent", "ringwall-assess")
			if authorization != "" {
				req.Header.Set("Authorization", authorization)
			}
			resp, err := c.Do(req)
			if err != nil {
				return nil, "", err
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // what came counts
			return resp, string(b), nil
		}
		first, text, err := ask("")
		if err != nil {
			return sign{asked: true, stopped: "it takes no more connections"}
		}
		if stop := stops(first, text); stop != "" {
			return sign{asked: true, stopped: stop}
		}
		cs, err := digest.ParseChallenges(first.Header.Values("WWW-Authenticate"))
		best, ok := digest.Best(cs)
		if err != nil || !ok || first.StatusCode != http.StatusUnauthorized {
			return sign{}
		}
		h, err := best.Answer(http.MethodGet, "/", user, password, 1)
		if err != nil {
			return sign{}
		}
		r, text, err := ask(h)
		if err != nil {
			return sign{asked: true, stopped: "it hung up"}
		}
		return sign{asked: r.StatusCode == http.StatusUnauthorized, stopped: stops(r, text)}
	}
}

// stops reads a lock off an answer of HTTP.
func stops(r *http.Response, text string) string {
	switch {
	case r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusLocked || r.StatusCode == http.StatusForbidden:
		return fmt.Sprintf("it answers %d", r.StatusCode)
	case r.Header.Get("Retry-After") != "":
		return "it asks to wait"
	}
	return words(text)
}

func overONVIF(env *assess.Env, t assess.Target, s api.Service) guess {
	return func(ctx context.Context, user, password string) sign {
		c := onvif.New(onvif.Config{Address: t.AddrPort(s.Port), Dial: env.Net.DialContext, Username: user, Password: password, Now: env.Now, TLS: s.Name == "https"})
		defer c.Close()
		if _, err := c.SystemTime(ctx); err != nil {
			if _, fault := errors.AsType[*onvif.Fault](err); !fault {
				return sign{} // no ONVIF, or no more: the first try tells which
			}
		}
		_, err := c.Users(ctx)
		fault, ok := errors.AsType[*onvif.Fault](err)
		switch {
		case ok && fault.Locked():
			return sign{asked: true, stopped: "it says that it is locked"}
		case ok && fault.NotAuthorized():
			return sign{asked: true}
		}
		return sign{}
	}
}
