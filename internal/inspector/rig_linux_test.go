package inspector_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/inspector"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/nft/nfttest"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

const inspectPort = 7788

// house is a gateway with a camera behind a real packet filter, the DNS guard, the
// inspector, and an internet on one cable.
type house struct {
	gw, cam, net *netns.NS
	fw           *nft.Firewall
	desired      api.Desired
	dir          string
	in           *inspector.Inspector
	stop         func()
	headWait     time.Duration

	mu      sync.Mutex
	notices []api.Notice
	flows   []flow.Record
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	edge  = "198.51.100.60" // of cloud.example, and of evil.example too
	other = "198.51.100.61" // of other.example
)

func ports(p uint16) []api.PortRange { return []api.PortRange{{First: p, Last: p}} }

func allow(id, domain string, proto string, port uint16, in *api.Inside) api.Term {
	return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, Domain: domain, Proto: proto, Ports: ports(port), Inside: in}
}

func newHouse(t testing.TB, terms ...api.Term) *house { return newHouseBehind(t, false, terms...) }

// newHouseBehind is newHouse with the devices behind the gateway's own address.
func newHouseBehind(t testing.TB, masquerade bool, terms ...api.Term) *house {
	t.Helper()
	x := nfttest.New(t, nft.Config{Masquerade: masquerade, Inspect: inspectPort}, edge, other)
	h := &house{gw: x.Gateway, cam: x.Camera, net: x.World, fw: x.Firewall, desired: x.Desired, dir: t.TempDir()}
	h.desired.Devices[0].Terms = terms
	h.apply(t)
	h.resolver(t)
	h.guard(t)
	h.inspect(t)
	return h
}

// apply puts the desired state in force, everywhere at once, as an agent does.
func (h *house) apply(t testing.TB, holds ...api.Hold) {
	t.Helper()
	p, err := policy.Compile(h.desired, holds, time.Now())
	must(t, err)
	names, err := rulefile.JSON(filepath.Join(h.dir, "dns.json"), dnsguard.PolicyFor(h.desired, p))
	must(t, err)
	inside, err := rulefile.JSON(filepath.Join(h.dir, "inspect.json"), inspector.PolicyOf(h.desired, p))
	must(t, err)
	must(t, rulefile.Replace(rulefile.LockOf(names.Path), func() error {
		_, err := h.fw.Apply(context.Background(), p)
		return err
	}, names, inside))
}

// resolver knows two names of one address, and one of another.
func (h *house) resolver(t testing.TB) {
	pc, err := h.net.ListenPacket(context.Background(), "udp4", "198.51.100.53:53")
	must(t, err)
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(req)
		ip := net.ParseIP(edge)
		if len(req.Question[0].Name) > 5 && (req.Question[0].Name[0]|0x20) == 'o' {
			ip = net.ParseIP(other)
		}
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: ip}}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
}

type task interface {
	Run(context.Context) error
	Ready() <-chan struct{}
}

func start(t testing.TB, x task) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	select {
	case <-x.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func (h *house) guard(t testing.TB) {
	t.Helper()
	fw, err := nft.Open(nft.Config{NS: h.gw, Bridge: "br0", Inspect: inspectPort, BindOnly: true})
	must(t, err)
	t.Cleanup(func() { fw.Close() })
	g, err := dnsguard.New(dnsguard.Config{PolicyFile: filepath.Join(h.dir, "dns.json"), Names: filepath.Join(h.dir, "names"), Listen: "10.77.0.1:53", NS: h.gw, Firewall: fw})
	must(t, err)
	start(t, g)
}

func (h *house) inspect(t testing.TB) {
	t.Helper()
	in, err := inspector.New(inspector.Config{
		PolicyFile: filepath.Join(h.dir, "inspect.json"), Names: filepath.Join(h.dir, "names"), Port: inspectPort, NS: h.gw, HeadWait: h.headWait,
		Report: func(n api.Notice) { h.mu.Lock(); h.notices = append(h.notices, n); h.mu.Unlock() },
		Flow:   func(r flow.Record) { h.mu.Lock(); h.flows = append(h.flows, r); h.mu.Unlock() },
	})
	must(t, err)
	h.in, h.stop = in, start(t, in)
}

// told ends the inspector and returns what it reported, in words.
func (h *house) told() []string {
	h.stop()
	var out []string
	for _, n := range h.notices {
		out = append(out, fmt.Sprintf("%s %s %s %s %s %s", n.Detail["verdict"], n.Detail["reason"], n.Detail["proto"], n.Detail["host"], n.Detail["method"], n.Detail["path"]))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// resolve asks as the camera does.
func (h *house) resolve(t testing.TB, name string) netip.Addr {
	t.Helper()
	c, err := h.cam.DialContext(t.Context(), "udp4", "10.77.0.1:53")
	must(t, err)
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	dc := dns.Conn{Conn: c}
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.TypeA)
	must(t, dc.WriteMsg(m))
	r, err := dc.ReadMsg()
	must(t, err)
	if len(r.Answer) == 0 {
		return netip.Addr{}
	}
	a, _ := netip.AddrFromSlice(r.Answer[0].(*dns.A).A.To4())
	return a
}

func (h *house) dial(t testing.TB, network, addr string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	c, err := h.cam.DialContext(ctx, network, addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(4 * time.Second))
	return c
}

// say sends text and reads until the end, or what comes within a moment.
func say(c net.Conn, text string, want string) string {
	io.WriteString(c, text)
	var got bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil || want != "" && bytes.Contains(got.Bytes(), []byte(want)) {
			return got.String()
		}
	}
}

// server is one in the internet that keeps what it is sent.
type server struct {
	mu    sync.Mutex
	got   bytes.Buffer
	froms []string
	conns int
}

func (s *server) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got.String()
}

func (s *server) calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns
}

// serve runs handle for each connection to addr; what is read of it is kept.
func (h *house) serve(t testing.TB, addr string, handle func(net.Conn)) *server {
	t.Helper()
	l, err := h.net.Listen(context.Background(), "tcp4", addr)
	must(t, err)
	t.Cleanup(func() { l.Close() })
	s := &server{}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.froms = append(s.froms, c.RemoteAddr().(*net.TCPAddr).IP.String())
			s.mu.Unlock()
			go func() {
				defer c.Close()
				handle(&kept{c, s})
			}()
		}
	}()
	return s
}

type kept struct {
	net.Conn
	s *server
}

func (k *kept) Read(b []byte) (int, error) {
	n, err := k.Conn.Read(b)
	k.s.mu.Lock()
	k.s.got.Write(b[:n])
	k.s.mu.Unlock()
	return n, err
}

// certificate is one for any name.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
