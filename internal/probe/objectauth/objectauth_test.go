package objectauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

const (
	tokenA, tokenB = "secret-token-of-a", "secret-token-of-b"
	marker         = "Bertha's hallway"
)

// backend is a service with an object of each account; may says who may read
// whose.
func backend(may func(caller, owner string) bool) http.Handler {
	objects := map[string][2]string{"cam-1001": {"a", "Anna's kitchen"}, "cam-1002": {"b", marker}}
	callers := map[string]string{"Bearer " + tokenA: "a", "Bearer " + tokenB: "b", "": ""}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/cameras/{id}", func(w http.ResponseWriter, r *http.Request) {
		caller, known := callers[r.Header.Get("Authorization")]
		o, there := objects[r.PathValue("id")]
		switch {
		case !known:
			w.WriteHeader(401)
		case !there:
			w.WriteHeader(404)
		case !may(caller, o[0]):
			w.WriteHeader(403)
		default:
			_, _ = fmt.Fprintf(w, `{"name":%q}`, o[1])
		}
	})
	return mux
}

func config(base string) Config {
	return Config{
		Base: base, A: Account{Bearer: tokenA}, B: Account{Bearer: tokenB},
		Objects: []Object{{Title: "a camera's settings", Path: "/v1/cameras/{id}", A: "cam-1001", B: "cam-1002", Marker: marker}},
	}
}

func probe(t *testing.T, h http.Handler, change func(*Config)) ringwall.Finding {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg := config(s.URL)
	if change != nil {
		change(&cfg)
	}
	a, err := Probe{cfg}.Run(t.Context(), probetest.Env(t), probetest.Target())
	if err != nil {
		t.Fatal(err)
	}
	f := probetest.Find(a.Findings, "AP-09")
	if all := fmt.Sprintf("%+v %v %+v %#v", f, cfg.A, cfg.A, cfg.B); strings.Contains(all, "secret-token") {
		t.Errorf("a token is shown: %s", all)
	}
	return f
}

func TestProbe(t *testing.T) {
	always := func(s string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, s) })
	}
	for _, tt := range []struct {
		name string
		h    http.Handler
		want ringwall.Outcome
		conf ringwall.Confidence
		says string
	}{
		{"owners only", backend(func(c, o string) bool { return c == o }), ringwall.Pass, ringwall.Confirmed, "was refused"},
		{"any account", backend(func(c, _ string) bool { return c != "" }), ringwall.Fail, ringwall.Confirmed, "A was given B's object"},
		{"anybody", backend(func(string, string) bool { return true }), ringwall.Fail, ringwall.Confirmed, "without an account"},
		{"nobody", backend(func(string, string) bool { return false }), ringwall.Unknown, 0, "B does not find"},
		{"yes to everything", always(marker), ringwall.Unknown, 0, "stands in A's object too"},
		{"a page for everything", always("<html>welcome"), ringwall.Unknown, 0, "B does not find"},
		{"B's for every id but A's", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "1001") {
				_, _ = io.WriteString(w, "Anna")
				return
			}
			_, _ = io.WriteString(w, marker)
		}), ringwall.Unknown, 0, "an id that nobody has"},
		{"200 without the object", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer "+tokenB {
				_, _ = io.WriteString(w, marker)
				return
			}
			_, _ = io.WriteString(w, "{}")
		}), ringwall.Unknown, 0, "neither a refusal nor a proof"},
		{"a redirect", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
		}), ringwall.Unknown, 0, ""},
		{"it hangs up", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), ringwall.Unknown, 0, ""},
	} {
		f := probe(t, tt.h, nil)
		if f.Outcome != tt.want || tt.want != ringwall.Unknown && f.Confidence != tt.conf || !strings.Contains(strings.Join(f.Evidence, "\n"), tt.says) {
			t.Errorf("%s: %v (%v) %q", tt.name, f.Outcome, f.Confidence, f.Evidence)
		}
	}
}

func TestProbe_onlyEverReads(t *testing.T) {
	inner := backend(func(c, o string) bool { return c == o })
	f := probe(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s was sent", r.Method)
		}
		inner.ServeHTTP(w, r)
	}), nil)
	if f.Outcome != ringwall.Pass {
		t.Errorf("%+v", f)
	}
}

func TestProbe_checksTheCertificate(t *testing.T) {
	s := httptest.NewTLSServer(backend(func(c, _ string) bool { return c != "" }))
	t.Cleanup(s.Close)
	for insecure, want := range map[bool]ringwall.Outcome{false: ringwall.Unknown, true: ringwall.Fail} {
		cfg := config(s.URL)
		cfg.Insecure = insecure
		a, err := Probe{cfg}.Run(t.Context(), probetest.Env(t), probetest.Target())
		if err != nil || probetest.Find(a.Findings, "AP-09").Outcome != want {
			t.Errorf("insecure %v: %+v, %v", insecure, a.Findings, err)
		}
	}
}

const good = `{"base":"https://api.example","a":{"bearerFile":"tok"},"b":{"cookie":"s=secret-token"},"objects":[{"title":"t","path":"/x/{id}","a":"1","b":"2","marker":"some text"}]}`

func TestLoad(t *testing.T) {
	read := func(name string) ([]byte, error) {
		if name == "tok" {
			return []byte("secret-token\n"), nil
		}
		return nil, errors.New("no such file")
	}
	c, err := Load(strings.NewReader(good), read)
	if err != nil || c.A.Bearer != "secret-token" {
		t.Fatalf("%v, %v", c.A.Bearer, err)
	}
	for name, bad := range map[string]string{
		"not JSON":           `{"base":`,
		"an unknown field":   strings.Replace(good, `"a":{`, `"method":"POST","a":{`, 1),
		"two documents":      good + good,
		"no token":           strings.Replace(good, `"cookie":"s=secret-token"`, ``, 1),
		"no file":            strings.Replace(good, `"tok"`, `"other"`, 1),
		"a path elsewhere":   strings.Replace(good, `/x/{id}`, `//evil.example/{id}`, 1),
		"no place for an id": strings.Replace(good, `{id}`, `id`, 1),
		"the same ids":       strings.Replace(good, `"b":"2"`, `"b":"1"`, 1),
		"a short marker":     strings.Replace(good, `some text`, `x`, 1),
		"marker is the id":   strings.Replace(good, `"b":"2"`, `"b":"some text"`, 1),
		"another scheme":     strings.Replace(good, `https://`, `file://`, 1),
		"a token in base":    strings.Replace(good, `https://`, `https://user:secret-token@`, 1),
		"a broken header":    strings.Replace(good, `s=secret-token`, `s=secret-token\r\nX: y`, 1),
		"a number as token":  strings.Replace(good, `"s=secret-token"`, `{"secret-token":1}`, 1),
		"endless":            good[:len(good)-1] + strings.Repeat(" ", maxConfig),
	} {
		if _, err := Load(strings.NewReader(bad), read); err == nil || strings.Contains(err.Error(), "secret-token") {
			t.Errorf("%s: error is %v", name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Load(strings.NewReader(string(b)), func(string) ([]byte, error) { return []byte("t"), nil })
		if err != nil {
			return
		}
		if c.Check() != nil || len(c.Objects) > maxObjects {
			t.Fatal("a configuration was loaded that does not check")
		}
		for _, o := range c.Objects {
			if nobody(o.B) == o.B {
				t.Fatalf("an id that nobody has is %q", o.B)
			}
		}
	})
}
