package exposure

import (
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/probetest"
	"github.com/ringwall/ringwall/internal/probe/ssh"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
)

// forward opens a port at the site's address that leads to an address inside.
func forward(t *testing.T, to string) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.7:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in, err := net.Dial("tcp4", to)
				if err != nil {
					return
				}
				defer in.Close()
				go func() { _, _ = io.Copy(in, c) }()
				_, _ = io.Copy(c, in)
			}()
		}
	}()
	return probetest.Port(t, l.Addr().String())
}

func sshServer(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := gossh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := &gossh.ServerConfig{PublicKeyCallback: func(gossh.ConnMetadata, gossh.PublicKey) (*gossh.Permissions, error) { return nil, io.EOF }}
	cfg.AddHostKey(signer)
	return probetest.Serve(t, func(c net.Conn) { _, _, _, _ = gossh.NewServerConn(c, cfg) })
}

func webPage(words string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "lighttpd")
		_, _ = io.WriteString(w, "<title>Camera</title>"+strings.Repeat(words, 20))
	})
}

func TestProbe(t *testing.T) {
	door, other := sshServer(t), sshServer(t)
	secure := httptest.NewTLSServer(webPage("this camera "))
	plain, neighbour := httptest.NewServer(webPage("this camera ")), httptest.NewServer(webPage("another one "))
	for _, s := range []*httptest.Server{secure, plain, neighbour} {
		t.Cleanup(s.Close)
	}
	inside := []api.Service{
		probetest.Service(t, "ssh", door), probetest.Service(t, "https", secure.Listener.Addr().String()),
		{Proto: "tcp", Port: probetest.Port(t, plain.Listener.Addr().String()), Name: "http", Info: "lighttpd"},
	}
	env := probetest.Env(t, inside...)
	for _, p := range []assess.Probe{ssh.Probe{}, tlscheck.Probe{}} {
		a, err := p.Run(t.Context(), env, probetest.Target())
		if err != nil {
			t.Fatal(err)
		}
		env.Secrets = append(env.Secrets, a.Secrets...)
	}
	env.Alive, env.Outside = true, probetest.Host{}
	site := netip.MustParseAddr("127.0.0.7")
	for _, tt := range []struct {
		name, to, says string
		declare        bool
		want           ringwall.Outcome
		c              ringwall.Confidence
	}{
		{"its shell", door, "the same host key", false, ringwall.Fail, ringwall.Confirmed},
		{"its shell, declared", door, "the same host key", true, ringwall.Partial, ringwall.Confirmed},
		{"its page in TLS", secure.Listener.Addr().String(), "the same TLS key", false, ringwall.Fail, ringwall.Confirmed},
		{"its page", plain.Listener.Addr().String(), "the same page", false, ringwall.Fail, ringwall.Observed},
		{"another's shell", other, "does not reach it", false, ringwall.Unknown, 0},
		{"another's page", neighbour.Listener.Addr().String(), "does not reach it", false, ringwall.Unknown, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := *env
			e.Ports = []uint16{forward(t, tt.to)}
			target := probetest.Target()
			target.Outside = []netip.Addr{site}
			if tt.declare {
				target.Declared = []api.Service{{Proto: "tcp", Port: probetest.Port(t, tt.to)}}
			}
			a, err := Probe{}.Run(t.Context(), &e, target)
			if err != nil {
				t.Fatal(err)
			}
			probetest.Want(t, a.Findings, "CO-01", tt.want, tt.c)
			f := probetest.Find(a.Findings, "CO-01")
			if story := f.Title + "\n" + strings.Join(f.Evidence, "\n"); !strings.Contains(story, tt.says) {
				t.Errorf("does not tell of %q: %s", tt.says, story)
			}
		})
	}
}

func TestProbe_noVantage(t *testing.T) {
	env := probetest.Env(t)
	env.Alive = true
	for _, out := range []assess.Network{nil, probetest.Host{}} {
		env.Outside = out
		a, err := Probe{}.Run(t.Context(), env, probetest.Target())
		if err != nil || len(a.Findings) != 1 || a.Findings[0].Outcome != ringwall.Unknown || !strings.Contains(a.Findings[0].Title, "unknown") {
			t.Errorf("%+v, %v", a.Findings, err)
		}
	}
}
