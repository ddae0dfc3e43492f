package sdk_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/sdk"
)

// web is an HTTPS server that notes what reached it.
type web struct {
	*httptest.Server
	mu  sync.Mutex
	got []string
}

func newWeb(t testing.TB, secure bool) *web {
	w := &web{}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.got = append(w.got, r.Method+" "+r.Host+r.URL.Path)
		w.mu.Unlock()
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(rw, r, to, http.StatusFound)
			return
		}
		_, _ = io.WriteString(rw, "hello")
	}))
	if secure {
		w.StartTLS()
	} else {
		w.Start()
	}
	t.Cleanup(w.Close)
	return w
}

func (w *web) port() string {
	_, p, _ := net.SplitHostPort(w.Listener.Addr().String())
	return p
}

func (w *web) reached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got)
}

// roots trusts the test server for any name.
func (w *web) roots() *http.Transport {
	pool := x509.NewCertPool()
	pool.AddCert(w.Certificate())
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: ""}}
}

func get(c *http.Client, method, url string) error {
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func TestTransport_judgesTheURIInsideTLS(t *testing.T) {
	w := newWeb(t, true)
	in := &api.Inside{Proto: "http", Paths: []string{"/v1/*"}, Methods: []string{"GET"}}
	s := newSite(t, allowName("api", "example.com", in)) // the name in the test server's certificate
	c := s.open(t.TempDir(), nil)
	client := &http.Client{Transport: c.Transport(w.roots())}
	base := "https://example.com:" + w.port()
	if err := get(client, "GET", base+"/v1/state"); err != nil {
		t.Fatalf("what is allowed fails: %v", err)
	}
	for _, bad := range []struct{ method, url string }{
		{"GET", base + "/v2/secret"}, {"POST", base + "/v1/state"}, {"GET", base + "/v1/../v2/secret"}, {"GET", base + "/v1/%2e%2e/v2/secret"}, {"GET", base + "/v1%2f..%2fv2"},
	} {
		err := get(client, bad.method, bad.url)
		r, ok := sdk.AsRefusal(err)
		if !ok || ringwall.CodeOf(err) != ringwall.Forbidden || r.Generation != 1 {
			t.Errorf("%s %s: %v, want a refusal", bad.method, bad.url, err)
			continue
		}
		if want, ok := r.Want(); r.Reason == "default" && (!ok || want.Domain != "example.com" || want.Inside == nil || want.Inside.Methods[0] != bad.method) {
			t.Errorf("%s %s: asks for %+v", bad.method, bad.url, want)
		}
	}
	if got := w.reached(); !slices.Equal(got, []string{"GET example.com:" + w.port() + "/v1/state"}) {
		t.Errorf("reached the server: %v", got)
	}
	// The control: the same requests without the policy reach it.
	free := &http.Client{Transport: w.roots()}
	tr := free.Transport.(*http.Transport)
	tr.DialContext = func(ctx context.Context, n, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, n, w.Listener.Addr().String())
	}
	if err := get(free, "GET", base+"/v2/secret"); err != nil || len(w.reached()) != 2 {
		t.Errorf("the control did not reach the server: %v", err)
	}
	client.CloseIdleConnections()
	c.Close()
}

func TestTransport_anotherHostHeader_isRefused(t *testing.T) {
	w := newWeb(t, true)
	s := newSite(t, allowName("api", "example.com", &api.Inside{Proto: "http"}))
	c := s.open(t.TempDir(), nil)
	client := &http.Client{Transport: c.Transport(w.roots())}
	do := func(host string) error {
		req, _ := http.NewRequest("GET", "https://example.com:"+w.port()+"/", nil)
		req.Host = host
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	if err := do(""); err != nil {
		t.Fatal(err)
	}
	if _, ok := sdk.AsRefusal(do("c2.example")); !ok || len(w.reached()) != 1 {
		t.Errorf("a request for a hidden host went out: %v", w.reached())
	}
}

func TestTransport_redirectToADeniedHost_isJudgedAgain(t *testing.T) {
	good, bad := newWeb(t, false), newWeb(t, false)
	s := newSite(t, allowName("good", "good.example", nil))
	c := s.open(t.TempDir(), nil)
	follow := "http://good.example:" + good.port() + "/?to=http://bad.example:" + bad.port() + "/loot"
	err := get(&http.Client{Transport: c.Transport(nil)}, "GET", follow)
	if r, ok := sdk.AsRefusal(err); !ok || r.Name != "bad.example" || r.Reason != "lookup" {
		t.Fatalf("following the redirect: %v", err)
	}
	if len(good.reached()) != 1 || len(bad.reached()) != 0 {
		t.Fatalf("reached %v and %v", good.reached(), bad.reached())
	}
	s.terms(allowName("good", "good.example", nil), allowName("bad", "bad.example", nil)) // the control
	s.inForce(c)
	if err := get(&http.Client{Transport: c.Transport(nil)}, "GET", follow); err != nil || len(bad.reached()) != 1 {
		t.Errorf("the control did not arrive: %v", err)
	}
}

func TestTransport_connectionThatIsOpen_isJudgedForEachRequest(t *testing.T) {
	w := newWeb(t, true)
	s := newSite(t, allowName("api", "example.com", &api.Inside{Proto: "http", Paths: []string{"/a", "/b"}}))
	c := s.open(t.TempDir(), nil)
	client := &http.Client{Transport: c.Transport(w.roots())}
	base := "https://example.com:" + w.port()
	if err := get(client, "GET", base+"/a"); err != nil {
		t.Fatal(err)
	}
	if n := c.Status().Flows; n != 1 {
		t.Fatalf("%d flows are open, want the one that is kept alive", n)
	}
	if _, ok := sdk.AsRefusal(get(client, "GET", base+"/c")); !ok {
		t.Error("a denied request went over the open connection")
	}
	if err := get(client, "GET", base+"/b"); err != nil {
		t.Errorf("an allowed request after a refused one: %v", err)
	}
	if got := w.reached(); len(got) != 2 {
		t.Errorf("reached the server: %v", got)
	}
}

func TestTransport_shadow_passesAndSays(t *testing.T) {
	w := newWeb(t, false)
	s := newSite(t, allowName("api", "example.com", &api.Inside{Proto: "http", Paths: []string{"/a"}}))
	s.doc.Devices[0].Mode = ringwall.Shadow
	c := s.open(t.TempDir(), nil)
	client := &http.Client{Transport: c.Transport(nil)}
	for _, path := range []string{"/a", "/c", "/a"} {
		if err := get(client, "GET", "http://example.com:"+w.port()+path); err != nil {
			t.Fatal(err)
		}
	}
	s.sent(c)
	if !slices.ContainsFunc(s.flows(), func(f flow.Record) bool {
		return f.Verdict == flow.WouldRefuse && f.Inside.Path == "/c" && f.Reason == "default"
	}) {
		t.Errorf("what would have been refused was not reported: %+v", s.flows())
	}
	if got := w.reached(); len(got) != 3 {
		t.Errorf("reached the server: %v", got)
	}
}

func TestDialer_rebinding_isRefused(t *testing.T) {
	w := newWeb(t, false)
	plain := api.Term{ID: "cloud", Action: api.Allow, Direction: api.FromDevice, Domain: "cloud.example", Proto: "tcp"}
	s := newSite(t, plain)
	c := s.open(t.TempDir(), func(cfg *sdk.Config) {
		cfg.Resolver = fixed{"cloud.example.": {netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("169.254.169.254")}}
	})
	dial := func() error {
		conn, err := c.Dialer().DialContext(t.Context(), "tcp", "cloud.example:"+w.port())
		if err == nil {
			conn.Close()
		}
		return err
	}
	if r, ok := sdk.AsRefusal(dial()); !ok || r.Reason != "rebinding" {
		t.Fatalf("a name that points inside: %v", r)
	}
	plain.Private = true
	s.terms(plain) // the control: a term that wants it
	s.inForce(c)
	if err := dial(); err != nil {
		t.Errorf("the control: %v", err)
	}
}

func TestDialer_otherPort_directAddress_and_deny(t *testing.T) {
	w := newWeb(t, false)
	deny := api.Term{ID: "no", Action: api.Deny, Direction: api.FromDevice, Domain: "bad.example", Proto: "any"}
	s := newSite(t, allowName("all", "*.example", nil), deny)
	c := s.open(t.TempDir(), nil)
	dial := func(address string) error {
		conn, err := c.Dialer().DialContext(t.Context(), "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := dial("good.example:" + w.port()); err != nil {
		t.Fatalf("the control: %v", err)
	}
	if r, ok := sdk.AsRefusal(dial("127.0.0.1:" + w.port())); !ok || r.Reason != "default" {
		t.Errorf("the address without its name: %v", r)
	}
	if r, ok := sdk.AsRefusal(dial("bad.example:" + w.port())); !ok || r.Reason != "deny" || r.Term != "no" {
		t.Errorf("a denied name: %v", r)
	}
	if r, ok := sdk.AsRefusal(dial("[::1]:" + w.port())); !ok || r.Reason != "ipv6" {
		t.Errorf("IPv6: %v", r)
	}
	err := dial("other.test:" + w.port())
	if r, ok := sdk.AsRefusal(err); !ok || r.Reason != "lookup" || !strings.Contains(err.Error(), "other.test") || !strings.Contains(err.Error(), "ask the device's owner") {
		t.Errorf("a name that no term speaks of: %v", err)
	}
}

func TestDialer_DialTLSContext_judgesTheName(t *testing.T) {
	w := newWeb(t, true)
	s := newSite(t, allowName("tls", "*.com", &api.Inside{Proto: "tls", Hosts: []string{"example.com"}}))
	c := s.open(t.TempDir(), nil)
	d := c.Dialer()
	d.TLS = w.roots().TLSClientConfig
	conn, err := d.DialTLSContext(t.Context(), "tcp", "example.com:"+w.port())
	if err != nil {
		t.Fatalf("the allowed name: %v", err)
	}
	conn.Close()
	d.TLS = d.TLS.Clone()
	d.TLS.ServerName = "hidden.com"
	if _, ok := sdk.AsRefusal(func() error { _, err := d.DialTLSContext(t.Context(), "tcp", "example.com:"+w.port()); return err }()); !ok {
		t.Error("another name was shown to the server")
	}
	d.TLS.ServerName, d.TLS.MaxVersion = "", tls.VersionTLS12
	s.terms(allowName("tls", "*.com", &api.Inside{Proto: "tls", MinTLS: "1.3"}))
	s.inForce(c)
	if _, ok := sdk.AsRefusal(func() error { _, err := d.DialTLSContext(t.Context(), "tcp", "example.com:"+w.port()); return err }()); !ok {
		t.Error("TLS 1.2 was offered where 1.3 is the least")
	}
	// What nobody can look into does not pass by a term about what stands inside.
	if r, ok := sdk.AsRefusal(func() error { _, err := d.DialContext(t.Context(), "tcp", "example.com:"+w.port()); return err }()); !ok || r.Reason != "inspect" {
		t.Errorf("a plain dial: %v", r)
	}
	s.sent(c)
	if !slices.ContainsFunc(s.flows(), func(f flow.Record) bool {
		return f.Verdict == flow.Refused && f.Inside.Host == "hidden.com" && f.Name == "example.com"
	}) {
		t.Error("the refused name was not reported")
	}
}
