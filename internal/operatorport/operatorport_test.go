package operatorport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

const token = "tok-3f9a2c"

var (
	t0    = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	meter = Card{ICCID: "89860012345678901234", IMSI: "460001234567890"}
	lock  = Card{ICCID: "89860099999999999999", IMSI: "460009999999999"}
)

func newStore(t *testing.T, changed func(Status)) *MemStore {
	t.Helper()
	s, err := NewMemStore(func() time.Time { return t0 }, changed, meter, lock)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve returns a client of h over a real connection.
func serve(t *testing.T, h http.Handler) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	c, err := New(Config{URL: srv.URL, Token: token, Plain: true, Timeout: 300 * time.Millisecond, Tries: 3, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestContract drives client and reference server against each other, over TLS.
func TestContract(t *testing.T) {
	var changes []string
	store := newStore(t, func(s Status) { changes = append(changes, string(s.State)) })
	srv := httptest.NewTLSServer(NewHandler(HandlerConfig{Store: store, Token: token}))
	defer srv.Close()
	c, err := New(Config{URL: srv.URL + "/", Token: token, HTTP: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	check := func(what string, st Status, err error, want State) {
		t.Helper()
		if err != nil || st.State != want || st.Card != meter || !st.Since.Equal(t0) {
			t.Fatalf("%s = %+v, %v; want %s", what, st, err, want)
		}
	}
	st, err := c.State(ctx, Card{IMSI: meter.IMSI})
	check("State by IMSI", st, err, Active)
	st, err = c.Suspend(ctx, meter, "separation", "rsp_1")
	check("Suspend", st, err, Suspended)
	st, err = c.Suspend(ctx, meter, "separation", "rsp_1")
	check("Suspend again", st, err, Suspended)
	st, err = c.State(ctx, Card{ICCID: meter.ICCID})
	check("State by ICCID", st, err, Suspended)
	st, err = c.Restore(ctx, meter, "undone", "rsp_1")
	check("Restore with the id of the response", st, err, Active)
	if got := strings.Join(changes, " "); got != "suspended active" {
		t.Errorf("the network saw %q, want one suspension and one restoration", got)
	}
	if s, _ := c.State(ctx, lock); s.State != Active {
		t.Errorf("another card is %s", s.State)
	}

	_, err = c.Suspend(ctx, lock, "x", "rsp_1")
	if ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a key used for another card: %v, want a conflict", err)
	}
	if _, err := c.State(ctx, Card{ICCID: "89860000000000000000"}); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("an unknown card: %v, want not-found", err)
	}
	if _, err := c.State(ctx, Card{ICCID: meter.ICCID, IMSI: lock.IMSI}); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("numbers of two cards: %v, want not-found", err)
	}
	if _, err := c.Suspend(ctx, Card{}, "x", "rsp_2"); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("no card: %v, want invalid", err)
	}
	if _, err := c.Suspend(ctx, meter, "x", ""); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("no key: %v, want invalid", err)
	}
	wrong, err := New(Config{URL: srv.URL, Token: "other", HTTP: srv.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.Suspend(ctx, meter, "x", "rsp_3"); ringwall.CodeOf(err) != ringwall.Forbidden {
		t.Errorf("a wrong token: %v, want forbidden", err)
	}
	if s, _ := c.State(ctx, meter); s.State != Active {
		t.Errorf("a refused request changed the card to %s", s.State)
	}
}

// TestClient_neverTakesFailureForDone is the heart of the package: whatever an
// operator answers but the truth, the answer is Unavailable.
func TestClient_neverTakesFailureForDone(t *testing.T) {
	good := `{"iccid":"89860012345678901234","imsi":"460001234567890","state":"suspended"}`
	write := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); io.WriteString(w, body) }
	}
	tests := map[string]http.HandlerFunc{
		"500":                write(500, good),
		"502":                write(502, "<html>bad gateway</html>"),
		"429":                write(429, ""),
		"204 without a word": write(204, ""),
		"201":                write(201, good),
		"empty":              write(200, ""),
		"garbage":            write(200, "<html>ok</html>"),
		"JSON null":          write(200, "null"),
		"JSON array":         write(200, "[]"),
		"no state":           write(200, `{"iccid":"89860012345678901234"}`),
		"no card":            write(200, `{"state":"suspended"}`),
		"other card":         write(200, strings.Replace(good, "460001234567890", "460009999999999", 1)),
		"still active":       write(200, strings.Replace(good, "suspended", "active", 1)),
		"pending":            write(202, strings.Replace(good, "suspended", "pending", 1)),
		"state nobody knows": write(200, strings.Replace(good, "suspended", "OK", 1)),
		"bare 404":           write(404, "404 page not found"),
		"cut off in the body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			io.WriteString(w, good)
		},
		"giant": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, `{"x":"`+strings.Repeat("y", 1<<20)+`",`+good[1:])
		},
		"endless": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, strings.Repeat(" ", 4096))
			}
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-time.After(2 * time.Second):
			}
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect to the good": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/good", http.StatusTemporaryRedirect)
		},
	}
	for name, h := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mux := http.NewServeMux()
			mux.HandleFunc("/good", write(200, good))
			mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body) // so that the server notices when the client leaves
				h(w, r)
			})
			c := serve(t, mux)
			st, err := c.Suspend(t.Context(), meter, "separation", "rsp_1")
			if ringwall.CodeOf(err) != ringwall.Unavailable || st != (Status{}) {
				t.Fatalf("Suspend = %+v, %v; want an unavailable error and no status", st, err)
			}
			for _, secret := range []string{token, meter.ICCID.Reveal(), meter.IMSI.Reveal()} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error gives away %q: %v", secret, err)
				}
			}
		})
	}
	c, err := New(Config{URL: "http://127.0.0.1:1", Token: token, Plain: true, Tries: 2, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Suspend(t.Context(), meter, "x", "rsp_1"); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("nobody listens: %v, want unavailable", err)
	}
}

func TestClient_triesAgainWithTheSameKey(t *testing.T) {
	store := newStore(t, nil)
	next := NewHandler(HandlerConfig{Store: store, Token: token})
	var keys []string
	n := 0
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
		n++
		switch n {
		case 1:
			w.WriteHeader(503)
		case 2: // done, and the answer is lost
			next.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(500)
		default:
			next.ServeHTTP(w, r)
		}
	}))
	st, err := c.Suspend(t.Context(), meter, "x", "rsp_9")
	if err != nil || st.State != Suspended {
		t.Fatalf("Suspend = %+v, %v; want suspended at the third try", st, err)
	}
	if got := strings.Join(keys, " "); got != "suspended:rsp_9 suspended:rsp_9 suspended:rsp_9" {
		t.Errorf("keys %q, want the same three times", got)
	}
}

func TestClient_triesAreBounded(t *testing.T) {
	var n atomic.Int32
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { n.Add(1); w.WriteHeader(500) }))
	if _, err := c.Suspend(t.Context(), meter, "x", "rsp_1"); err == nil || n.Load() != 3 {
		t.Errorf("%d tries, %v; want 3 and an error", n.Load(), err)
	}
	n.Store(0)
	c = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { n.Add(1); w.WriteHeader(409) }))
	if _, err := c.Suspend(t.Context(), meter, "x", "rsp_1"); ringwall.CodeOf(err) != ringwall.Conflict || n.Load() != 1 {
		t.Errorf("a conflict was tried %d times: %v", n.Load(), err)
	}
}

func TestClient_endsWithItsContext(t *testing.T) {
	c := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(503)
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := c.Suspend(ctx, meter, "x", "rsp_1")
	if ringwall.CodeOf(err) != ringwall.Unavailable || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: %v; want unavailable as soon as the context ends", time.Since(start), err)
	}
}

func TestNew_refuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no URL":              {Token: token},
		"no token":            {URL: "https://operator.example"},
		"plain without word":  {URL: "http://operator.example", Token: token},
		"other scheme":        {URL: "ftp://operator.example", Token: token, Plain: true},
		"password in the URL": {URL: "https://user:hunter2@operator.example", Token: token},
		"line break in token": {URL: "https://operator.example", Token: "a\r\nX: y"},
		"not a URL":           {URL: "https://operator.example:hunter2/%zz", Token: token},
	} {
		_, err := New(c)
		if ringwall.CodeOf(err) != ringwall.Invalid || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %v, want an invalid error without secrets", name, err)
		}
	}
}

func TestHandler_refuses(t *testing.T) {
	var log bytes.Buffer
	store := newStore(t, func(s Status) { t.Errorf("a refused request changed %v", s.Card) })
	h := NewHandler(HandlerConfig{Store: store, Token: token, Log: slog.New(slog.NewTextHandler(&log, nil))})
	body := `{"iccid":"89860012345678901234","imsi":"460001234567890"}`
	tests := []struct {
		name, method, path, auth, key, body string
		want                                int
	}{
		{"no token", "POST", pathSuspend, "", "k", body, 401},
		{"wrong token", "POST", pathSuspend, "Bearer x" + token, "k", body, 401},
		{"other scheme", "POST", pathSuspend, "Basic " + token, "k", body, 401},
		{"no key", "POST", pathSuspend, "Bearer " + token, "", body, 400},
		{"long key", "POST", pathSuspend, "Bearer " + token, strings.Repeat("k", 200), body, 400},
		{"not JSON", "POST", pathSuspend, "Bearer " + token, "k", "iccid=1", 400},
		{"no card", "POST", pathRestore, "Bearer " + token, "k", "{}", 400},
		{"bad card", "POST", pathSuspend, "Bearer " + token, "k", `{"iccid":"1; drop"}`, 400},
		{"unknown card", "POST", pathSuspend, "Bearer " + token, "k", `{"iccid":"89860012345678900000"}`, 404},
		{"giant", "POST", pathSuspend, "Bearer " + token, "k", `{"reason":"` + strings.Repeat("x", 1<<20) + `"}`, 400},
		{"long reason", "POST", pathSuspend, "Bearer " + token, "k", `{"iccid":"89860012345678901234","reason":"` + strings.Repeat("x", 600) + `"}`, 400},
		{"wrong method", "GET", pathState, "Bearer " + token, "", "", 405},
		{"wrong path", "POST", "/v1/sim", "Bearer " + token, "", body, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
			r.Header.Set("Authorization", tt.auth)
			r.Header.Set("Idempotency-Key", tt.key)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("status %d, want %d: %s", w.Code, tt.want, w.Body)
			}
			var p problem
			if w.Code == 400 && (json.Unmarshal(w.Body.Bytes(), &p) != nil || p.Status != 400 || p.Detail == "") {
				t.Errorf("no problem in the answer: %s", w.Body)
			}
		})
	}
	for _, secret := range []string{token, "89860012345678901234", "460001234567890"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log gives away %q", secret)
		}
	}
}

// TestHandler_emptyTokenAdmitsNobody: a server set up without one is closed.
func TestHandler_emptyTokenAdmitsNobody(t *testing.T) {
	h := NewHandler(HandlerConfig{Store: newStore(t, nil)})
	r := httptest.NewRequest("POST", pathState, strings.NewReader(`{"imsi":"460001234567890"}`))
	r.Header.Set("Authorization", "Bearer ")
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 401 {
		t.Errorf("status %d, want 401", w.Code)
	}
}

func TestMemStore_remembersABoundedNumberOfKeys(t *testing.T) {
	s := newStore(t, nil)
	for i := range maxKeys + 10 {
		if _, err := s.Change(t.Context(), meter, Suspended, "", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.done) != maxKeys || len(s.order) != maxKeys {
		t.Errorf("%d keys in a list of %d, want %d", len(s.done), len(s.order), maxKeys)
	}
}

func TestMemStore_Add(t *testing.T) {
	s := newStore(t, nil)
	if err := s.Add(Card{ICCID: "89860012345678901235", IMSI: meter.IMSI}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("an IMSI that is taken: %v, want a conflict", err)
	}
	if err := s.Add(Card{ICCID: "89860012345678901235"}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a card without IMSI: %v, want invalid", err)
	}
	if got := s.Cards(); len(got) != 2 || got[0].Card != meter {
		t.Errorf("Cards = %v", got)
	}
}

// FuzzRead feeds answers to the client: none but the asked-for state of the
// asked-for card may pass.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"iccid":"89860012345678901234","imsi":"460001234567890","state":"suspended","since":"2026-11-21T14:00:00Z"}`))
	f.Add([]byte(`{"ICCID":"89860012345678901234","STATE":"suspended"}`))
	f.Add([]byte(`[{"state":null}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := read(b, meter, Suspended)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Unavailable {
				t.Fatalf("%v has code %s", err, ringwall.CodeOf(err))
			}
			return
		}
		if st.State != Suspended || st.Card.ICCID != meter.ICCID && st.Card.IMSI != meter.IMSI {
			t.Fatalf("%q was taken for %+v", b, st)
		}
	})
}
