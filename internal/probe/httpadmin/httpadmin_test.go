package httpadmin

import (
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/digest"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

const loginPage = `<!doctype html><html><head><title>IPC login</title></head><body><form method="post" action="/login">
<input type="hidden" name="csrf" value="tok"><input name="username"><input type="password" name="password"><button>Log in</button></form></body></html>`

const homePage = `<!doctype html><html><head><title>IPC settings</title></head><body><h1>Settings</h1>
<form action="/password" method="post">New password <input type="password" name="password"></form></body></html>`

// site is a device with a web page.
type site struct {
	mu             sync.Mutex
	user, password string
	mode           string // "form", "basic", "digest"
	lockAfter      int
	wrong          int
	sessions       map[string]bool
	verifier       *digest.Verifier
}

func newSite(mode, user, password string) *site {
	return &site{mode: mode, user: user, password: password, sessions: map[string]bool{}, verifier: digest.NewVerifier("cam", "MD5", time.Now)}
}

func (s *site) check(user, password string) bool {
	if user == s.user && password == s.password {
		return true
	}
	s.wrong++
	return false
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lockAfter > 0 && s.wrong >= s.lockAfter {
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "<p>Too many attempts")
		return
	}
	in := false
	switch s.mode {
	case "basic":
		if u, p, ok := r.BasicAuth(); ok {
			in = s.check(u, p)
		}
		if !in {
			w.Header().Set("WWW-Authenticate", `Basic realm="IPC"`)
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, "<h1>401</h1>")
			return
		}
	case "digest":
		h := r.Header.Get("Authorization")
		_, in, _ = s.verifier.Verify(h, r.Method, func(u string) (string, bool) { return s.password, u == s.user })
		if !in {
			if h != "" {
				s.wrong++
			}
			w.Header().Set("WWW-Authenticate", s.verifier.Challenge(false))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	case "form":
		if r.Method == http.MethodPost {
			if r.PostFormValue("csrf") == "tok" && s.check(r.PostFormValue("username"), r.PostFormValue("password")) {
				id := rand.Text()
				s.sessions[id] = true
				http.SetCookie(w, &http.Cookie{Name: "s", Value: id, Path: "/"})
				http.Redirect(w, r, "/", http.StatusSeeOther)
				return
			}
			_, _ = io.WriteString(w, loginPage) // 200 with the login page again
			return
		}
		c, err := r.Cookie("s")
		if in = err == nil && s.sessions[c.Value]; !in {
			_, _ = io.WriteString(w, loginPage)
			return
		}
	}
	_, _ = io.WriteString(w, homePage)
}

func probe(t *testing.T, h http.Handler, inTLS bool) assess.Answer {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	name := "http"
	if inTLS {
		s.StartTLS()
		name = "https"
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, name, s.Listener.Addr().String())), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestProbe_defaultPasswords(t *testing.T) {
	for _, mode := range []string{"form", "basic", "digest"} {
		bad, good := newSite(mode, "admin", "12345"), newSite(mode, "admin", "correct horse")
		a := probe(t, bad, false)
		probetest.Want(t, a.Findings, "AP-01", ringwall.Fail, ringwall.Confirmed)
		probetest.Want(t, a.Findings, "CO-07", ringwall.Fail, ringwall.Confirmed)
		if ev := strings.Join(probetest.Find(a.Findings, "AP-01").Evidence, "\n"); !strings.Contains(ev, `"IPC settings"`) || strings.Contains(ev, "12345") {
			t.Errorf("%s: evidence is %q", mode, ev)
		}
		a = probe(t, good, false)
		probetest.Want(t, a.Findings, "AP-01", ringwall.Pass, ringwall.Observed)
		for name, s := range map[string]*site{"bad": bad, "good": good} {
			if s.wrong == 0 || s.wrong > 4 {
				t.Errorf("%s: the %s site saw %d wrong passwords, want 1 to 4", mode, name, s.wrong)
			}
		}
	}
}

func TestProbe_schemes(t *testing.T) {
	for mode, want := range map[string]ringwall.Outcome{"form": ringwall.Fail, "basic": ringwall.Fail, "digest": ringwall.Partial} {
		probetest.Want(t, probe(t, newSite(mode, "a", "b"), false).Findings, "AP-06", want, ringwall.Observed)
	}
	a := probe(t, newSite("form", "admin", "correct horse"), true)
	probetest.Want(t, a.Findings, "CO-07", ringwall.Pass, ringwall.Observed)
	probetest.Want(t, a.Findings, "AP-01", ringwall.Pass, ringwall.Observed)
}

func TestProbe_locksNobodyOut(t *testing.T) {
	s := newSite("form", "admin", "correct horse")
	s.lockAfter = 5
	probe(t, s, false)
	if s.wrong >= 5 {
		t.Errorf("%d wrong passwords: locked", s.wrong)
	}
	early := newSite("form", "admin", "correct horse")
	early.lockAfter = 2
	a := probe(t, early, false)
	probetest.Want(t, a.Findings, "AP-01", ringwall.Unknown, 0)
	probetest.Want(t, a.Findings, "AP-03", ringwall.Pass, ringwall.Observed)
	if early.wrong > 2 {
		t.Errorf("%d wrong passwords after a lock at 2", early.wrong)
	}
}

func TestProbe_decoysGiveNoFinding(t *testing.T) {
	page := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, s) }
	}
	var drops int
	for name, h := range map[string]http.HandlerFunc{
		"200 with a login page, always": page(loginPage),
		"welcome to any post": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				_, _ = io.WriteString(w, "<h1>Welcome!</h1>")
				return
			}
			_, _ = io.WriteString(w, loginPage)
		},
		"anybody is let in": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				http.SetCookie(w, &http.Cookie{Name: "s", Value: "1", Path: "/"})
				_, _ = io.WriteString(w, "<h1>Welcome!</h1>")
				return
			}
			if _, err := r.Cookie("s"); err == nil {
				_, _ = io.WriteString(w, homePage)
				return
			}
			_, _ = io.WriteString(w, loginPage)
		},
		"any Basic is let in": func(w http.ResponseWriter, r *http.Request) {
			if _, _, ok := r.BasicAuth(); ok {
				_, _ = io.WriteString(w, homePage)
				return
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"any password for admin": func(w http.ResponseWriter, r *http.Request) {
			if u, _, _ := r.BasicAuth(); u == "admin" {
				_, _ = io.WriteString(w, homePage)
				return
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		},
		"hangs up after three tries": func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				if drops++; drops > 3 {
					panic(http.ErrAbortHandler)
				}
			}
			_, _ = io.WriteString(w, loginPage)
		},
		"asks nobody":                 page(homePage),
		"a form that posts elsewhere": page(strings.Replace(loginPage, "/login", "http://192.0.2.1/steal", 1)),
		"redirects elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		},
		"redirects for ever": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path+"x", http.StatusFound) },
		"an endless page":    page(strings.Repeat("<form><input type=password name=p><input name=u>", 100_000)),
	} {
		t.Run(name, func(t *testing.T) {
			a := probe(t, h, false)
			if f := probetest.Find(a.Findings, "AP-01"); f.Outcome == ringwall.Fail || f.Outcome == ringwall.Pass && name != "200 with a login page, always" && name != "an endless page" {
				t.Errorf("AP-01 is %v: %q", f.Outcome, f.Evidence)
			}
		})
	}
}

func TestProbe_endlessBannerAndTarpitEnd(t *testing.T) {
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	for name, f := range map[string]func(net.Conn){
		"endless": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		},
		"endless header": func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nA: ")
			for {
				if _, err := io.WriteString(c, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		},
	} {
		began := time.Now()
		addr := probetest.Serve(t, f)
		a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "http", addr)), probetest.Target())
		if err != nil || len(a.Findings) > 0 || time.Since(began) > 20*time.Second {
			t.Errorf("%s: %+v, %v after %v", name, a.Findings, err, time.Since(began))
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(loginPage))
	f.Add([]byte(homePage))
	f.Add([]byte(`<title><form action="http://[::1"><input type=password id=p>`))
	at := &url.URL{Scheme: "http", Host: "10.0.0.1", Path: "/"}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p page
		p.read(b, at, *at)
		if p.form != nil {
			if p.form.target.Host != at.Host || p.form.target.Scheme != at.Scheme {
				t.Fatalf("a form posts to %v", p.form.target)
			}
			p.form.fill("u", "p")
		}
		if len(p.text) > maxText+len(b) {
			t.Fatalf("%d bytes of text out of %d", len(p.text), len(b))
		}
		p.locked()
	})
}
