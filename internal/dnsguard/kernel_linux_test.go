package dnsguard_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/nft/nfttest"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/resolved"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// house is a real gateway: a device, the guard behind a real packet filter, and
// an internet with a cloud of 40 addresses and a resolver that shuffles them.
type house struct {
	gw, dev, net *netns.NS
	fw           *nft.Firewall
	desired      api.Desired
	path         string
}

func newHouse(t testing.TB) *house {
	t.Helper()
	var edges []string
	for i := range 40 {
		edges = append(edges, fmt.Sprintf("198.51.100.%d", 60+i))
	}
	x := nfttest.New(t, nft.Config{}, edges...)
	h := &house{gw: x.Gateway, dev: x.Camera, net: x.World, fw: x.Firewall, desired: x.Desired, path: filepath.Join(t.TempDir(), "dns.json")}
	l, err := h.net.Listen(context.Background(), "tcp4", "0.0.0.0:443")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	pc, err := h.net.ListenPacket(context.Background(), "udp4", "198.51.100.53:53")
	must(t, err)
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(req)
		edge := rand.Perm(40)
		if strings.HasPrefix(req.Question[0].Name, "shared.") {
			slices.Sort(edge) // one edge serves many names
		}
		for _, i := range edge[:4] {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: net.IPv4(198, 51, 100, byte(60+i))})
		}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	named := func(id, name string) api.Term {
		return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, Domain: name, Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}}
	}
	h.desired.Devices[0].Terms = []api.Term{named("cloud", "*.cloud.example")}
	h.desired.Remediation = []api.Term{named("update", "update.example")}
	h.apply(t)
	return h
}

func (h *house) apply(t testing.TB, holds ...api.Hold) {
	t.Helper()
	p, err := policy.Compile(h.desired, holds, time.Now())
	must(t, err)
	must(t, rulefile.Put(h.path, dnsguard.PolicyOf(p), func() error {
		_, err := h.fw.Apply(context.Background(), p)
		return err
	}))
}

// guard runs a guard, in its own process in all but name: with a firewall that
// can only bind. Its clock runs fast, so that its rate does not matter here.
func (h *house) guard(t testing.TB, wrap func(dnsguard.Binder) dnsguard.Binder) {
	t.Helper()
	fw, err := nft.Open(nft.Config{NS: h.gw, Bridge: "br0", BindOnly: true})
	must(t, err)
	var binder dnsguard.Binder = fw
	if wrap != nil {
		binder = wrap(fw)
	}
	var mu sync.Mutex
	var ahead time.Duration
	g, err := dnsguard.New(dnsguard.Config{PolicyFile: h.path, Listen: "10.77.0.1:53", NS: h.gw, Firewall: binder, Uptime: func() time.Duration {
		mu.Lock()
		defer mu.Unlock()
		ahead += time.Second
		return resolved.Uptime() + ahead
	}})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	select {
	case <-g.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
		fw.Close()
	})
}

// resolve asks as the device does.
func (h *house) resolve(t testing.TB, name string) (int, []netip.Addr) {
	t.Helper()
	c, err := h.dev.DialContext(t.Context(), "udp4", "10.77.0.1:53")
	must(t, err)
	defer c.Close()
	dc := dns.Conn{Conn: c}
	c.SetDeadline(time.Now().Add(3 * time.Second))
	must(t, dc.WriteMsg(query(name, dns.TypeA)))
	m, err := dc.ReadMsg()
	must(t, err)
	var out []netip.Addr
	for _, r := range m.Answer {
		if a, ok := r.(*dns.A); ok {
			ip, _ := netip.AddrFromSlice(a.A.To4())
			out = append(out, ip)
		}
	}
	return m.Rcode, out
}

func (h *house) connects(a netip.Addr, port string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := h.dev.DialContext(ctx, "tcp4", net.JoinHostPort(a.String(), port))
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// lookups does n lookups of rotating names, connects at once to the first
// address of each answer, and counts the connections that fail.
func (h *house) lookups(t testing.TB, n int) (failures int) {
	for i := range n {
		rcode, addrs := h.resolve(t, fmt.Sprintf("n%d.cloud.example", i%10))
		if rcode != dns.RcodeSuccess || len(addrs) == 0 {
			t.Fatalf("lookup %d: %s, %v", i, dns.RcodeToString[rcode], addrs)
		}
		if !h.connects(addrs[0], "443") {
			failures++
		}
	}
	return failures
}

// late is what must not be done: it says that an address is bound before it is.
type late struct{ dnsguard.Binder }

func (l late) BindAll(_ context.Context, list []nft.Binding) error {
	time.AfterFunc(2*time.Millisecond, func() { l.Binder.BindAll(context.Background(), list) })
	return nil
}

func TestGuard_firstConnectionsNeverFail(t *testing.T) {
	const n = 400
	h := newHouse(t)
	h.guard(t, nil)
	if h.connects(netip.MustParseAddr("198.51.100.60"), "443") {
		t.Error("an address of the cloud is open before anybody asked for its name")
	}
	if f := h.lookups(t, n); f != 0 {
		t.Errorf("%d of %d first connections fail, want 0", f, n)
	}
	if h.connects(netip.MustParseAddr("198.51.100.60"), "80") {
		t.Error("another port of the cloud is open")
	}
}

func TestGuard_firstConnectionsFailWhenTheAnswerComesFirst(t *testing.T) {
	h := newHouse(t)
	h.guard(t, func(b dnsguard.Binder) dnsguard.Binder { return late{b} })
	f := h.lookups(t, 60)
	t.Logf("%d of 60 first connections fail", f)
	if f == 0 {
		t.Error("control: no connection fails though the answer is released before the binding; the test above could not fail either")
	}
}

func TestGuard_policyEndsBindings(t *testing.T) {
	h := newHouse(t)
	h.guard(t, nil)
	_, addrs := h.resolve(t, "a.cloud.example")
	ip := addrs[0]
	if !h.connects(ip, "443") {
		t.Fatal("bound and not open")
	}
	h.desired.Devices[0].Terms = append(h.desired.Devices[0].Terms, api.Term{ID: "more", Action: api.Allow, Direction: api.FromDevice, Domain: "ntp.example", Proto: "udp"})
	h.apply(t)
	if !h.connects(ip, "443") {
		t.Error("a binding that is still allowed is gone after a change of policy")
	}
	h.apply(t, api.Hold{ID: "hld_1", Device: "dev_cam", Do: ringwall.Quarantine})
	if h.connects(ip, "443") {
		t.Error("a binding is open in quarantine")
	}
	if rcode, _ := h.resolve(t, "a.cloud.example"); rcode != dns.RcodeNameError {
		t.Errorf("quarantined, its usual name: %s", dns.RcodeToString[rcode])
	}
	rcode, addrs := h.resolve(t, "update.example")
	if rcode != dns.RcodeSuccess || len(addrs) == 0 || !h.connects(addrs[0], "443") {
		t.Errorf("quarantined, the update server: %s %v", dns.RcodeToString[rcode], addrs)
	}
	h.apply(t)
	if !h.connects(ip, "443") {
		t.Error("released, and its binding is gone though it had not run out")
	}
	h.desired.Devices[0].Terms = nil
	h.apply(t)
	if h.connects(ip, "443") {
		t.Error("a binding outlives the term that allowed its name")
	}
	if rcode, _ := h.resolve(t, "a.cloud.example"); rcode != dns.RcodeNameError {
		t.Errorf("a name that was taken away: %s", dns.RcodeToString[rcode])
	}
}

func TestGuard_whatWasLearnedWorksWhenEnforced(t *testing.T) {
	h := newHouse(t)
	h.guard(t, nil)
	h.desired.Devices[0].Mode = ringwall.Learn
	h.apply(t)
	_, good := h.resolve(t, "a.cloud.example")
	_, bad := h.resolve(t, "evil.example")
	_, both := h.resolve(t, "shared.cloud.example")
	h.resolve(t, "shared.evil.example")
	if !h.connects(good[0], "443") || !h.connects(bad[0], "443") {
		t.Fatal("something is refused in mode learn")
	}
	h.desired.Devices[0].Mode = ringwall.Enforce
	h.apply(t)
	if !h.connects(both[0], "443") {
		t.Error("an address of an allowed name is closed at the end of learning, because another name that was looked up later has it too")
	}
	if !h.connects(good[0], "443") {
		t.Error("the first connection after the end of learning fails, though its name is allowed and was looked up")
	}
	for _, a := range bad {
		if !slices.Contains(good, a) && !slices.Contains(both, a) && h.connects(a, "443") {
			t.Error("an address of a name that is not allowed stays open after the end of learning")
		}
	}
}
