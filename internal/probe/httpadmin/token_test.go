package httpadmin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// A service that takes tokens only has no password to be known; one that has a
// login besides, or that refuses by a challenge of several kinds, is not such.
func TestProbe_tokensOnly(t *testing.T) {
	refuse := func(w http.ResponseWriter, challenge string) {
		w.Header().Set("WWW-Authenticate", challenge)
		w.WriteHeader(http.StatusUnauthorized)
	}
	tokens := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, `Bearer realm="device"`) })
	inside := probe(t, tokens, true).Findings
	for _, id := range []string{"AP-01", "AP-06", "CO-07"} {
		probetest.Want(t, inside, id, ringwall.Pass, ringwall.Observed)
	}
	clear := probe(t, tokens, false).Findings
	probetest.Want(t, clear, "AP-01", ringwall.Pass, ringwall.Observed)
	probetest.Want(t, clear, "AP-06", ringwall.Fail, ringwall.Observed)
	probetest.Want(t, clear, "CO-07", ringwall.Fail, ringwall.Confirmed)

	for name, h := range map[string]http.HandlerFunc{
		"a page that anybody may see": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				tokens(w, r)
			}
		},
		"no word of how":            func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"nothing at usual places":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
		"hangs up at some":          func(w http.ResponseWriter, r *http.Request) { hangs(w, r, tokens) },
		"something else that it is": func(w http.ResponseWriter, _ *http.Request) { refuse(w, `Bearer realm="x", Negotiate`) },
	} {
		if f := probetest.Find(probe(t, h, true).Findings, "AP-01"); f.Outcome != ringwall.Unknown {
			t.Errorf("%s: AP-01 is %v: %q", name, f.Outcome, f.Title)
		}
	}
}

func hangs(w http.ResponseWriter, r *http.Request, then http.Handler) {
	if strings.HasPrefix(r.URL.Path, "/login") {
		panic(http.ErrAbortHandler)
	}
	then.ServeHTTP(w, r)
}
