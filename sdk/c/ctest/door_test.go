package ctest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/mqttport"
	"github.com/ringwall/ringwall/internal/segment"
)

// site is the platform of one terminal: authority, door, store of reports.
type site struct {
	t     *testing.T
	org   ringwall.OrgID
	gw    ringwall.GatewayID
	store *segment.Store
	port  *mqttport.Port
	key   ed25519.PrivateKey
	relay net.Listener // plain sockets in, mutual TLS out
	// pem is the terminal's key and certificate, ca the platform's authority.
	pem, ca []byte

	mu     sync.Mutex
	doc    api.Desired
	forged bool
}

func newSite(t *testing.T) *site {
	s := &site{t: t, org: ringwall.OrgID(ringwall.NewID(ringwall.PrefixOrg, time.Now())), gw: ringwall.GatewayID(ringwall.NewID(ringwall.PrefixGateway, time.Now()))}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	auth, err := identity.OpenAuthority(t.TempDir(), time.Now)
	must(err)
	s.store, err = segment.Open(t.TempDir(), segment.Config{})
	must(err)
	t.Cleanup(func() { s.store.Close() })
	_, s.key, err = ed25519.GenerateKey(rand.Reader)
	must(err)
	cert, err := auth.Server([]string{"127.0.0.1"})
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	s.port, err = mqttport.New(mqttport.Config{Listener: l, TLS: &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: auth.Pool()}, Desk: s})
	must(err)
	t.Cleanup(s.port.Close)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(err)
	own, err := auth.SignGateway(s.org, s.gw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	must(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(err)
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	pair, err := tls.X509KeyPair(own.PEM, keyPEM)
	must(err)
	s.pem, s.ca = append(keyPEM, own.PEM...), auth.Certificate()
	s.relay, err = net.Listen("tcp", "127.0.0.1:0")
	must(err)
	t.Cleanup(func() { s.relay.Close() })
	go func() {
		for {
			in, err := s.relay.Accept()
			if err != nil {
				return
			}
			out, err := tls.Dial("tcp", s.port.Addr().String(), &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: auth.Pool(), ServerName: "127.0.0.1"})
			if err != nil {
				in.Close()
				continue
			}
			go func() { _, _ = io.Copy(out, in); out.Close() }()
			go func() { _, _ = io.Copy(in, out); in.Close() }()
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doc = api.Desired{
		Version: api.Version, Org: s.org, Gateway: s.gw, Generation: 1, Issued: time.Now(),
		Devices: []api.DevicePolicy{{
			Device: ringwall.DeviceID(ringwall.NewID(ringwall.PrefixDevice, time.Now())), Mode: ringwall.Enforce, Trust: ringwall.T3,
			Terms: []api.Term{{ID: "api", Action: api.Allow, Direction: api.FromDevice, Domain: "api.example", Proto: "tcp"}},
		}},
	}
	return s
}

func (s *site) Admit(_ context.Context, cert *x509.Certificate) (ringwall.OrgID, ringwall.GatewayID, error) {
	return identity.GatewayOf(cert)
}

func (s *site) Report(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) (api.BatchAck, error) {
	return s.store.Ingest(ctx, org, gw, b)
}

func (s *site) Desired(context.Context, ringwall.OrgID, ringwall.GatewayID, api.DesiredRequest) (api.DesiredAnswer, error) {
	return api.DesiredAnswer{}, nil
}

func (s *site) Terminal(_ context.Context, _ ringwall.OrgID, _ ringwall.GatewayID, have uint64) (*api.SignedTerminal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if have == s.doc.Generation {
		return nil, nil
	}
	p, err := s.doc.Terminal(s.doc.Devices[0].Device, time.Now())
	if err != nil {
		return nil, err
	}
	signed, err := api.SignTerminal(p, "k", s.key)
	if s.forged {
		signed.Sig[3] ^= 1
	}
	return &signed, err
}

func (s *site) change(f func(*api.Desired)) {
	s.mu.Lock()
	s.doc.Generation++
	f(&s.doc)
	gen := s.doc.Generation
	s.mu.Unlock()
	s.port.Poke(s.org, s.gw, gen)
}

// terminal is the harness as it runs as a client.
type terminal struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
	key ed25519.PublicKey
}

func (s *site) run(mqtt int, epoch string, keep string) *terminal {
	s.t.Helper()
	host, port, _ := net.SplitHostPort(s.relay.Addr().String())
	cmd := exec.Command(harness(s.t), "client", host, port, string(s.org), string(s.gw), fmt.Sprint(mqtt), epoch, keep)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	timer := time.AfterFunc(60*time.Second, func() { _ = cmd.Process.Kill() })
	s.t.Cleanup(func() { timer.Stop(); _ = cmd.Process.Kill(); _ = cmd.Wait() })
	c := &terminal{t: s.t, cmd: cmd, in: in, out: bufio.NewScanner(out), key: s.key.Public().(ed25519.PublicKey)}
	c.out.Buffer(nil, 1<<20)
	return c
}

// until returns the next line that begins with what; it verifies signatures that
// are asked about on the way.
func (c *terminal) until(what string) string {
	c.t.Helper()
	line, ok := c.next(what)
	if !ok {
		c.t.Fatalf("the terminal ended before %q", what)
	}
	return line
}

// ends waits until the terminal has ended well.
func (c *terminal) ends() {
	c.t.Helper()
	for ok := true; ok; {
		_, ok = c.next("")
	}
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the terminal ended with %v", err)
	}
}

func (c *terminal) next(what string) (string, bool) {
	for c.out.Scan() {
		line := c.out.Text()
		if rest, ok := strings.CutPrefix(line, "verify "); ok {
			f := strings.Fields(rest)
			msg, _ := hex.DecodeString(f[1])
			sig, _ := hex.DecodeString(f[2])
			fmt.Fprintln(c.in, bit(f[0] != "k" || !ed25519.Verify(c.key, msg, sig)))
			continue
		}
		if strings.HasPrefix(line, what) {
			return line, true
		}
	}
	return "", false
}

func TestClient_againstTheDoor(t *testing.T) {
	harness(t)
	for _, mqtt := range []int{4, 5} {
		t.Run(fmt.Sprint("MQTT ", mqtt), func(t *testing.T) {
			s := newSite(t)
			keep := filepath.Join(t.TempDir(), "policy")
			c := s.run(mqtt, "77", keep)
			if got := c.until("connected"); got != "connected 0" {
				t.Fatal(got)
			}
			if got := c.until("changed"); got != "changed 1 2 0" {
				t.Fatal(got)
			}
			if got := c.until("acked"); got != "acked 77 2 " {
				t.Fatal(got)
			}
			var flows []flow.Record
			n := 0
			if _, err := s.store.Scan(t.Context(), segment.Cursor{}, func(_ ringwall.GatewayID, _ ringwall.OrgID, r api.Record) error {
				n++
				if r.Kind == api.RecordFlow {
					var f flow.Record
					if err := f.UnmarshalBinary(r.Bin); err != nil {
						return err
					}
					flows = append(flows, f)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			// The decision was made before the first policy had come.
			if n != 2 || len(flows) != 1 || flows[0].Name != "api.example" || flows[0].Verdict != flow.Refused || flows[0].Reason != "no-policy" {
				t.Errorf("stored: %d records, %+v", n, flows)
			}
			// A forged policy is not taken, and the connection goes on.
			s.mu.Lock()
			s.forged = true
			s.mu.Unlock()
			s.change(func(d *api.Desired) { d.Devices[0].Mode = ringwall.Learn })
			if got := c.until("poll"); got != "poll -4" {
				t.Errorf("a forged policy: %s", got)
			}
			s.mu.Lock()
			s.forged = false
			s.mu.Unlock()
			s.change(func(d *api.Desired) {
				d.Devices[0].Mode = ringwall.Enforce
				d.Holds = []api.Hold{{ID: "hld_1", Device: d.Devices[0].Device, Do: ringwall.Quarantine}}
			})
			if got := c.until("changed"); got != "changed 3 2 1" {
				t.Errorf("quarantine: %s", got)
			}
			s.change(func(d *api.Desired) { d.Holds[0].Do = ringwall.Cutoff })
			if got := c.until("changed"); got != "changed 4 2 2" {
				t.Errorf("cutoff: %s", got)
			}
			c.ends()
			// The next run begins with what was kept, also when the platform has an
			// older one now.
			s.mu.Lock()
			s.doc.Generation, s.doc.Holds = 2, nil
			s.mu.Unlock()
			c = s.run(mqtt, "77", keep)
			if got := c.until("restored"); got != "restored 0" {
				t.Errorf("restoring: %s", got)
			}
			if got := c.until("connected"); got != "connected 0" {
				t.Error(got)
			}
			c.ends() // it is still cut off
		})
	}
}

// TestClient_malformedPlatform gives the client what no platform should say: it
// ends the connection, says so, and does not fall over.
func TestClient_malformedPlatform(t *testing.T) {
	bin := harness(t)
	connack := "\x20\x02\x00\x00"
	suback := "\x90\x05\x00\x01\x00\x00\x00"
	for name, say := range map[string]string{
		"nothing":                    "",
		"garbage":                    "HTTP/1.1 400 Bad Request\r\n\r\n",
		"a refusal":                  "\x20\x02\x00\x05",
		"a CONNACK too short":        "\x20\x01\x00",
		"a length that never ends":   "\x20\xff\xff\xff\xff\xff",
		"a packet over the buffer":   "\x30\xff\xff\xff\x7f",
		"a SUBACK first":             suback,
		"a SUBACK of another packet": connack + "\x90\x05\x00\x09\x00\x00\x00",
		"a subscription refused":     connack + "\x90\x05\x00\x01\x00\x80\x00",
		"a SUBACK with two answers":  connack + "\x90\x04\x00\x01\x00\x00",
		"a second CONNACK":           connack + suback + connack,
		"a topic over the packet":    connack + suback + "\x30\x03\xff\xff\x00",
		"QoS 2":                      connack + suback + "\x34\x05\x00\x01a\x00\x01",
		"QoS 1 without its id":       connack + suback + "\x32\x03\x00\x01a",
		"a reserved packet":          connack + suback + "\xf0\x00",
		"a goodbye":                  connack + suback + "\xe0\x00",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, say)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			c.Close()
		}()
		host, port, _ := net.SplitHostPort(l.Addr().String())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		out, err := exec.CommandContext(ctx, bin, "client", host, port, "org_x", "gw_x", "4", "1", filepath.Join(t.TempDir(), "p")).CombinedOutput()
		cancel()
		l.Close()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if strings.Contains(string(out), "changed") {
			t.Errorf("%s: a policy came of it: %s", name, out)
		}
		if !strings.Contains(string(out), "connected -") && !strings.Contains(string(out), "poll -") {
			t.Errorf("%s: the client did not notice: %s", name, out)
		}
	}
}
