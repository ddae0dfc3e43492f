package httpadmin

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// office is a site with a form whose sessions the test decides.
func office(cookie func(n int, before string) *http.Cookie, early bool, inside string) http.Handler {
	n, open := 0, map[string]bool{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var before string
		if c, err := r.Cookie("s"); err == nil {
			before = c.Value
		}
		switch {
		case r.URL.Path == "/logout":
			delete(open, before)
		case r.Method == http.MethodPost:
			if r.PostFormValue("username") != "admin" || r.PostFormValue("password") != "admin" {
				_, _ = io.WriteString(w, loginPage)
				return
			}
			n++
			c := cookie(n, before)
			open[c.Value] = true
			http.SetCookie(w, c)
			http.Redirect(w, r, "/", http.StatusSeeOther)
		case open[before]:
			_, _ = io.WriteString(w, inside)
		default:
			if early {
				http.SetCookie(w, &http.Cookie{Name: "s", Value: "early" + rand.Text(), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			}
			_, _ = io.WriteString(w, loginPage)
		}
	})
}

func TestProbe_sessions(t *testing.T) {
	good := func(v string) *http.Cookie {
		return &http.Cookie{Name: "s", Value: v, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}
	}
	home := homePage + `<a href="/logout">log out</a>`
	for name, tt := range map[string]struct {
		cookie func(int, string) *http.Cookie
		early  bool
		want   ringwall.Outcome
		says   string
	}{
		"random":          {func(int, string) *http.Cookie { return good(rand.Text()) }, false, ringwall.Unknown, ""},
		"numbers in row":  {func(n int, _ string) *http.Cookie { return good(fmt.Sprint(1000 + n)) }, false, ringwall.Fail, "numbers in a row"},
		"always the same": {func(int, string) *http.Cookie { return good("session") }, false, ringwall.Fail, "the same token"},
		"little varies":   {func(n int, _ string) *http.Cookie { return good(fmt.Sprintf("device-session-%c", 'a'+n*7%26)) }, false, ringwall.Fail, "bits only"},
		"fixation":        {func(_ int, before string) *http.Cookie { return good(before) }, true, ringwall.Fail, "fixation"},
		"careless":        {func(int, string) *http.Cookie { return &http.Cookie{Name: "s", Value: rand.Text(), Path: "/"} }, false, ringwall.Partial, "HttpOnly"},
	} {
		a := probe(t, office(tt.cookie, tt.early, home), false)
		probetest.Want(t, a.Findings, "AP-01", ringwall.Fail, ringwall.Confirmed)
		var got ringwall.Finding
		for _, f := range a.Findings {
			if f.Indicator == "AP-06" && strings.Contains(f.Title, "sessions") {
				got = f
			}
		}
		if got.Outcome != tt.want || !strings.Contains(strings.Join(got.Evidence, "\n"), tt.says) {
			t.Errorf("%s: %v %q", name, got.Outcome, got.Evidence)
		}
	}
}

func TestProbe_forcedChange(t *testing.T) {
	const change = `<html><title>First start</title><form method="post" action="/set">New password <input type="password" name="p1"> again <input type="password" name="p2"></form></html>`
	a := probe(t, office(func(int, string) *http.Cookie { return &http.Cookie{Name: "s", Value: rand.Text(), Path: "/"} }, false, change), false)
	probetest.Want(t, a.Findings, "AP-01", ringwall.Partial, ringwall.Confirmed)
	probetest.Want(t, a.Findings, "AP-02", ringwall.Pass, ringwall.Confirmed)
	// A device that shows nothing but that form to anybody.
	b := probe(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, change) }), false)
	probetest.Want(t, b.Findings, "AP-02", ringwall.Pass, ringwall.Observed)
	if f := probetest.Find(b.Findings, "AP-01"); f.Outcome != ringwall.Unknown {
		t.Errorf("AP-01 is %v", f.Outcome)
	}
}
