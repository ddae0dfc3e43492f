package mudfetch_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/mud"
)

// server answers by path; its description names itself and its signature.
func server(t *testing.T, answers map[string]http.HandlerFunc) (*httptest.Server, *mudfetch.Client) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "mud", "testdata", "camera.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := answers[r.URL.Path]; h != nil {
			h(w, r)
			return
		}
		if r.URL.Path != "/lc2.json" {
			http.NotFound(w, r)
			return
		}
		if r.Header.Get("Accept") != "application/mud+json" || r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = w.Write(bytes.ReplaceAll(b, []byte("https://mud.lantern-cams.example"), []byte(s.URL)))
	}))
	t.Cleanup(s.Close)
	s.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, mudfetch.New(mudfetch.Config{Roots: roots, Reachable: netip.Addr.IsLoopback, Timeout: 5 * time.Second})
}

func TestFetch(t *testing.T) {
	s, c := server(t, map[string]http.HandlerFunc{
		"/lc2.p7s": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("cms")) },
		"/moved":   func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/lc2.json", http.StatusFound) },
		"/loop":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) },
		"/away": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.2/lc2.json", http.StatusFound)
		},
		"/clear": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://"+r.Host+"/lc2.json", http.StatusFound)
		},
		"/giant":    func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, mud.MaxSize+1)) },
		"/broken":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("{")) },
		"/busy":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"/wrongone": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/lc2.json", http.StatusFound) },
	})
	got, err := c.Fetch(t.Context(), s.URL+"/lc2.json")
	if err != nil || string(got.Signature) != "cms" || got.SignatureErr != nil || got.File.Model != "LC-2" || !bytes.Contains(got.Body, []byte(s.URL)) {
		t.Fatalf("Fetch = %+v, %v", got, err)
	}
	if sig := got.Check(mud.Trust{}); sig.State != mud.SignatureUnproven {
		t.Errorf("signature %+v", sig)
	}
	for path, want := range map[string]struct {
		code ringwall.Code
		text string
	}{
		"/moved": {ringwall.Invalid, "says that it is another"}, "/loop": {ringwall.Invalid, "more than 3 times"}, "/away": {ringwall.Invalid, "another host"},
		"/clear": {ringwall.Invalid, "another host or scheme"}, "/giant": {ringwall.Invalid, "more than"}, "/broken": {ringwall.Invalid, "mud:"},
		"/busy?token=secret": {ringwall.Unavailable, "503"}, "/nothing?token=secret": {ringwall.NotFound, "404"},
	} {
		_, err := c.Fetch(t.Context(), s.URL+path)
		if ringwall.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.text) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want code %s with %q", path, err, want.code, want.text)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := c.Fetch(ctx, s.URL+"/lc2.json"); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("cancelled: %v", err)
	}
}

func TestFetch_noSignature(t *testing.T) {
	s, c := server(t, nil)
	got, err := c.Fetch(t.Context(), s.URL+"/lc2.json")
	if err != nil || got.Signature != nil || ringwall.CodeOf(got.SignatureErr) != ringwall.NotFound {
		t.Fatalf("Fetch = %+v, %v", got, err)
	}
	if sig := got.Check(mud.Trust{}); sig.State != mud.SignatureUnproven || !strings.Contains(sig.Reason, "404") {
		t.Errorf("signature %+v", sig)
	}
}

// A device that names a server inside gets nothing asked there. The control is
// TestFetch: the same server is reached when its address may be.
func TestFetch_reachesNothingInside(t *testing.T) {
	asked := false
	s, _ := server(t, map[string]http.HandlerFunc{"/lc2.json": func(http.ResponseWriter, *http.Request) { asked = true }})
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	c := mudfetch.New(mudfetch.Config{Roots: roots, Timeout: 5 * time.Second})
	if _, err := c.Fetch(t.Context(), s.URL+"/lc2.json"); ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), "not a public one") || asked {
		t.Errorf("%v, asked %v", err, asked)
	}
	strange := mudfetch.New(mudfetch.Config{Reachable: netip.Addr.IsLoopback, Timeout: 5 * time.Second})
	if _, err := strange.Fetch(t.Context(), s.URL+"/lc2.json"); ringwall.CodeOf(err) != ringwall.Unavailable || asked {
		t.Errorf("a certificate that nobody vouches for: %v, asked %v", err, asked)
	}
}

func TestCheckURL(t *testing.T) {
	if err := mudfetch.CheckURL("https://mud.example/a/b.json?v=1"); err != nil {
		t.Error(err)
	}
	for _, u := range []string{"", "http://a.example/x", "https://", "https:opaque", "file:///etc/passwd", "https://user:pw@a.example/", "https://a.example/#x", "https://a.example/" + strings.Repeat("x", 300), "https://a.example/%zz"} {
		if err := mudfetch.CheckURL(u); ringwall.CodeOf(err) != ringwall.Invalid || strings.Contains(err.Error(), "pw") {
			t.Errorf("CheckURL(%q) = %v", u, err)
		}
	}
}

func TestPublic(t *testing.T) {
	for a, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1": true, "127.0.0.1": false, "10.1.2.3": false, "169.254.169.254": false, "100.64.0.1": false, "192.168.1.1": false, "224.0.0.1": false,
		"0.0.0.0": false, "198.51.100.1": false, "::1": false, "fe80::1": false, "fd00::1": false, "2001:db8::1": false, "64:ff9b::a00:1": false, "2002:a00:1::": false, "::ffff:10.0.0.1": false, "255.255.255.255": false,
	} {
		if got := mudfetch.Public(netip.MustParseAddr(a)); got != want {
			t.Errorf("Public(%s) = %v", a, got)
		}
	}
}
