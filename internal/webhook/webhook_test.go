package webhook

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

func TestSend_is_verified_by_its_receiver(t *testing.T) {
	secret, text := NewSecret()
	parsed, err := ParseSecret(text)
	if err != nil || !bytes.Equal(parsed, secret) {
		t.Fatalf("the secret does not go round: %v", err)
	}
	other, _ := NewSecret()
	var got string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		again := r.Clone(r.Context())
		id, body, err := Verify(r, secret, time.Now())
		if err != nil {
			t.Error(err)
		}
		got = id + " " + string(body)
		for name, change := range map[string]func(*http.Request) ([]byte, time.Time){
			"another secret":  func(*http.Request) ([]byte, time.Time) { return other, time.Now() },
			"a day later":     func(*http.Request) ([]byte, time.Time) { return secret, time.Now().AddDate(0, 0, 1) },
			"another id":      func(r *http.Request) ([]byte, time.Time) { r.Header.Set(HeaderID, "x"); return secret, time.Now() },
			"another time":    func(r *http.Request) ([]byte, time.Time) { r.Header.Set(HeaderTime, "1"); return secret, time.Now() },
			"another body":    func(r *http.Request) ([]byte, time.Time) { body = append(body, ' '); return secret, time.Now() },
			"no signature":    func(r *http.Request) ([]byte, time.Time) { r.Header.Del(HeaderSignature); return secret, time.Now() },
			"an empty secret": func(*http.Request) ([]byte, time.Time) { return nil, time.Now() },
		} {
			x := again.Clone(r.Context())
			key, now := change(x)
			x.Body = http.NoBody
			x.Body = readCloser(bytes.Clone(body))
			if _, _, err := Verify(x, key, now); ringwall.CodeOf(err) != ringwall.Unverified {
				t.Errorf("%s: %v, want it refused", name, err)
			}
			body = []byte(`{"a":1}`)
		}
	}))
	defer srv.Close()
	s := New(Config{Plain: true})
	if err := s.Send(t.Context(), srv.URL, "wrn_1", secret, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if got != `wrn_1 {"a":1}` {
		t.Errorf("received %q", got)
	}
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

func readCloser(b []byte) body { return body{bytes.NewReader(b)} }

func TestSend_answers(t *testing.T) {
	var status atomic.Int64
	var asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if status.Load() == 302 {
			w.Header().Set("Location", "/elsewhere")
		}
		w.WriteHeader(int(status.Load()))
	}))
	defer srv.Close()
	s := New(Config{Plain: true})
	for code, want := range map[int]ringwall.Code{200: "", 204: "", 302: ringwall.Unavailable, 404: ringwall.Unavailable, 410: ringwall.Forbidden, 500: ringwall.Unavailable} {
		status.Store(int64(code))
		asked.Store(0)
		err := s.Send(t.Context(), srv.URL+"/secret-path", "wrn_1", []byte("0123456789abcdef"), nil)
		if ringwall.CodeOf(err) != want || err != nil && strings.Contains(err.Error(), "secret-path") {
			t.Errorf("status %d: %v, want code %q and no address", code, err, want)
		}
		if asked.Load() != 1 {
			t.Errorf("status %d: asked %d times", code, asked.Load())
		}
	}
	srv.Close()
	if err := s.Send(t.Context(), srv.URL+"/secret-path", "wrn_1", nil, nil); ringwall.CodeOf(err) != ringwall.Unavailable || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("nobody there: %v", err)
	}
}

// TestSend_reaches_no_inner_address: what a name leads to is looked at when it
// is dialled, also where the URL itself looks harmless.
func TestSend_reaches_no_inner_address(t *testing.T) {
	reached := false
	srv := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer srv.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "https://"), ":")
	strict := New(Config{})
	for _, to := range []string{srv.URL, "https://localhost:" + port, "https://169.254.169.254/latest", "https://[::1]:" + port, "https://0.0.0.0:" + port, "https://[::ffff:127.0.0.1]:" + port} {
		if err := strict.Send(t.Context(), to, "wrn_1", nil, nil); err == nil {
			t.Errorf("%s was taken", to)
		}
	}
	if reached {
		t.Error("the inner server was reached")
	}
	// The same server is reached where that is allowed: it was there to be reached.
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer plain.Close()
	if err := New(Config{Plain: true}).Send(t.Context(), plain.URL, "wrn_1", nil, nil); err != nil || !reached {
		t.Errorf("the negative control failed: %v", err)
	}
}

func TestCheckURL(t *testing.T) {
	s := New(Config{})
	for to, good := range map[string]bool{
		"https://hooks.example/ringwall?x=1": true, "https://10.1.2.3/x": true, "http://hooks.example/": false, "https://user:pw@hooks.example/": false, "https:///x": false,
		"ftp://x": false, "": false, "https://127.0.0.1/": false, "https://[fe80::1]/": false, "https://h/#x": false, "https://h/" + strings.Repeat("x", 600): false,
	} {
		if err := s.CheckURL(to); (err == nil) != good || err != nil && (ringwall.CodeOf(err) != ringwall.Invalid || strings.Contains(err.Error(), "pw")) {
			t.Errorf("CheckURL(%.40q) = %v", to, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	f.Add("wrn_1", "1700000000", "v1,AAAA v1,BBBB", []byte("{}"))
	f.Fuzz(func(t *testing.T, id, at, sig string, b []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(b))
		r.Header[http.CanonicalHeaderKey(HeaderID)] = []string{id}
		r.Header[http.CanonicalHeaderKey(HeaderTime)] = []string{at}
		r.Header[http.CanonicalHeaderKey(HeaderSignature)] = []string{sig}
		if _, _, err := Verify(r, []byte("a secret that nobody knows"), time.Unix(1700000000, 0)); err == nil {
			t.Fatal("a message was taken that nobody signed")
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := ParseSecret(s); err == nil && (len(b) < 16 || len(b) > 64) {
			t.Fatalf("%d bytes were taken", len(b))
		}
	})
}
