package dnsguard_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/resolved"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// inUse is a kernel whose flows are a list.
type inUse map[uint32][]string

func (u inUse) InUse(_ context.Context, mark uint32) (map[netip.Addr]bool, error) {
	out := map[netip.Addr]bool{}
	for _, a := range u[mark] {
		out[netip.MustParseAddr(a)] = true
	}
	return out, nil
}

// withNames is a fixture whose guard keeps its file of names and knows flows.
func withNames(t *testing.T, zone func(dns.Question, bool) *dns.Msg, change func(*dnsguard.Policy), flows inUse) (*fixture, *resolved.Reader) {
	t.Helper()
	dir := t.TempDir()
	f := &fixture{up: newUpstream(t, zone), binder: &memBinder{}, path: filepath.Join(dir, "dns.json"), now: 1000 * time.Second}
	p := testPolicy(f.up.addr)
	if change != nil {
		change(&p)
	}
	must(t, rulefile.Put(f.path, p, nil))
	f.restart(t, flows)
	r := resolved.NewReader(filepath.Join(dir, "names"), func() time.Duration { return f.now })
	t.Cleanup(func() { r.Close() })
	return f, r
}

// restart replaces the guard by the next one, as after a kill: nothing of the
// old one is closed.
func (f *fixture) restart(t *testing.T, flows inUse) {
	t.Helper()
	g, err := dnsguard.New(dnsguard.Config{
		PolicyFile: f.path, Names: filepath.Join(filepath.Dir(f.path), "names"), Listen: "127.0.0.1:0", Firewall: f.binder, Flows: flows,
		Report: func(r api.DNSReport) { f.reports = append(f.reports, r) }, Uptime: func() time.Duration { return f.now },
	})
	must(t, err)
	f.Guard = g
}

// rotating answers each question with the next addresses of a row.
func rotating(ttl uint32, each int) func(dns.Question, bool) *dns.Msg {
	n := 0
	return func(q dns.Question, _ bool) *dns.Msg {
		m := new(dns.Msg)
		for range each {
			n++
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl}, A: net.IPv4(45, byte(n>>16), byte(n>>8), byte(n))})
		}
		return m
	}
}

func TestGuard_twoDevicesShareAnAnswer(t *testing.T) {
	f, names := withNames(t, zoneOf(t, "cloud.example. 100 IN A 198.51.100.20"), func(p *dnsguard.Policy) {
		p.Devices[3].State = policy.StateEnforce
	}, nil)
	ttl := func(who netip.Addr) uint32 {
		t.Helper()
		m := f.Answer(t.Context(), who, query("cloud.example", dns.TypeA))
		if len(m.Answer) != 1 {
			t.Fatalf("answer %v", m)
		}
		return m.Answer[0].Header().Ttl
	}
	if got := ttl(cam); got != 100 {
		t.Errorf("TTL %d, want 100", got)
	}
	addr := netip.MustParseAddr("198.51.100.20")
	if names.Knows(resolved.KeyOf("dev_shadow"), addr, "cloud.example") || len(f.binder.bound(4, false)) > 0 {
		t.Error("what one device looked up is open to another")
	}
	f.now += 60*time.Second + time.Millisecond
	if got := ttl(shadow); got != 39 {
		t.Errorf("61 s later from the cache: TTL %d, want 39", got)
	}
	if !names.Knows(resolved.KeyOf("dev_shadow"), addr, "cloud.example") || len(f.binder.bound(4, false)) != 1 {
		t.Error("what came from the cache is not bound to who asked")
	}
	f.now += 40 * time.Second
	ttl(cam)
	f.up.mu.Lock()
	defer f.up.mu.Unlock()
	if len(f.up.seen) != 2 {
		t.Errorf("the resolver was asked %d times, want 2: once, and once when the TTL was over", len(f.up.seen))
	}
}

func TestGuard_namesRunOut(t *testing.T) {
	f, names := withNames(t, rotating(5, 1), nil, nil)
	f.ask(t, cam, "cloud.example", dns.TypeA)
	a := f.binder.list[0].Addr
	key := resolved.KeyOf("dev_cam")
	if !names.Knows(key, a, "cloud.example") {
		t.Fatal("bound and not known")
	}
	f.now += 91 * time.Second // a minute at least, and the grace
	f.Renew(t.Context())
	if names.Knows(key, a, "cloud.example") || len(f.binder.list) != 1 {
		t.Error("an address that nobody wants is renewed")
	}
	if names.Stale(key, a) != "cloud.example" {
		t.Error("it is forgotten what the address was")
	}
	f.now += 2 * time.Hour
	f.Renew(t.Context())
	if names.Stale(key, a) != "" {
		t.Error("it is never forgotten what the address was")
	}
}

func TestGuard_renewsWhatIsWanted(t *testing.T) {
	flows := inUse{}
	f, names := withNames(t, rotating(5, 1), nil, flows)
	key := resolved.KeyOf("dev_cam")
	ask := func() netip.Addr {
		f.ask(t, cam, "cloud.example", dns.TypeA)
		return f.binder.list[len(f.binder.list)-1].Addr
	}
	first := ask()
	for range 20 { // it keeps asking, and is given other addresses
		f.now += 20 * time.Second
		ask()
		f.Renew(t.Context())
		if !names.Knows(key, first, "cloud.example") {
			t.Fatal("an address runs out though its name is asked for")
		}
	}
	// It does not for ever: the address may belong to somebody else by now.
	for range 200 {
		f.now += 20 * time.Second
		ask()
		f.Renew(t.Context())
	}
	if names.Knows(key, first, "cloud.example") {
		t.Error("an address that no answer has had for an hour is kept")
	}
	// A flow keeps one however old it is.
	last := ask()
	flows[1] = []string{last.String()}
	for range 300 {
		f.now += 20 * time.Second
		f.Renew(t.Context())
	}
	if !names.Knows(key, last, "cloud.example") {
		t.Error("an address runs out under a flow")
	}
	flows[1] = nil
	for range 6 {
		f.now += 20 * time.Second
		f.Renew(t.Context())
	}
	if names.Knows(key, last, "cloud.example") {
		t.Error("an address is kept though the flow is over")
	}
}

func TestGuard_theOldestUnusedGoes(t *testing.T) {
	flows := inUse{}
	f, names := withNames(t, rotating(3600, 8), nil, flows)
	for i := range 8 {
		f.now += 3601 * time.Second / 100
		f.ask(t, cam, "cloud.example", dns.TypeA)
		f.now += time.Duration(i)
		if i < 7 {
			f.restart(t, flows) // with an empty cache: the resolver is asked again
		}
	}
	oldest := f.binder.list[0].Addr
	flows[1] = []string{oldest.String()}
	f.restart(t, flows)
	f.ask(t, cam, "cloud.example", dns.TypeA)
	key := resolved.KeyOf("dev_cam")
	if !names.Knows(key, oldest, "cloud.example") {
		t.Error("the address in use has gone")
	}
	left := 0
	for _, b := range f.binder.list {
		if b.Life > time.Second && names.Knows(key, b.Addr, "cloud.example") {
			left++
		}
	}
	if left != dnsguard.MaxAddrs {
		t.Errorf("%d addresses of one name are known, want %d", left, dnsguard.MaxAddrs)
	}
	ended := 0
	for _, b := range f.binder.list {
		if b.Life <= time.Second {
			ended++
		}
	}
	if ended != 8 {
		t.Errorf("%d addresses ended in the kernel to make room, want 8", ended)
	}
}

func TestGuard_theNextGoesOn(t *testing.T) {
	flows := inUse{1: {"198.51.100.20"}, 4: {"198.51.100.20"}}
	f, names := withNames(t, zoneOf(t, "cloud.example. 60 IN A 198.51.100.20", "x.cdn.example. 60 IN A 198.51.100.21"), func(p *dnsguard.Policy) {
		p.Devices[3].State = policy.StateEnforce
	}, flows)
	a, b := netip.MustParseAddr("198.51.100.20"), netip.MustParseAddr("198.51.100.21")
	f.ask(t, cam, "cloud.example", dns.TypeA)
	f.ask(t, shadow, "cloud.example", dns.TypeA)
	f.ask(t, cam, "x.cdn.example", dns.TypeA)
	// While no guard runs, one device loses a name and another one its mark.
	p := testPolicy(f.up.addr)
	p.Devices[0].Names = p.Devices[0].Names[:1]
	p.Devices[3].State, p.Devices[3].Mark = policy.StateEnforce, 40
	must(t, rulefile.Put(f.path, p, nil))
	if !names.Knows(resolved.KeyOf("dev_cam"), a, "cloud.example") {
		t.Error("what is known dies with the guard")
	}
	f.restart(t, flows)
	n := len(f.binder.list)
	f.now += 50 * time.Second
	f.Renew(t.Context())
	again := f.binder.list[n:]
	if len(again) != 1 || again[0].Mark != 1 || again[0].Addr != a || again[0].Life != 90*time.Second {
		t.Errorf("the next guard binds %+v, want the one that is still allowed and in use", again)
	}
	if names.Knows(resolved.KeyOf("dev_cam"), b, "x.cdn.example") || names.Knows(resolved.KeyOf("dev_shadow"), a, "cloud.example") {
		t.Error("what was taken away while no guard ran is still known")
	}
}

func TestGuard_followsThePolicy(t *testing.T) {
	f, _ := withNames(t, zoneOf(t, "cloud.example. 600 IN A 198.51.100.20"), nil, nil)
	f.Follow(t.Context())
	f.ask(t, cam, "cloud.example", dns.TypeA)
	n := len(f.binder.list)
	f.now += 100 * time.Second
	f.Follow(t.Context())
	if len(f.binder.list) != n {
		t.Error("bound anew though nothing has changed")
	}
	p := testPolicy(f.up.addr)
	p.Devices[0].Names[0].Ports = append(p.Devices[0].Names[0].Ports, api.PortRange{First: 8443, Last: 8443})
	must(t, rulefile.Put(f.path, p, nil))
	f.Follow(t.Context())
	more := f.binder.list[n:]
	if len(more) != 1 || more[0].Life != 530*time.Second || len(more[0].Services[0].Ports) != 2 {
		t.Errorf("another port of a name that was looked up: bound %+v", more)
	}
}

func TestGuard_denied(t *testing.T) {
	f, names := withNames(t, zoneOf(t,
		"bad.cdn.example. 300 IN A 198.51.100.66", "evil.cdn.example. 300 IN CNAME bad.cdn.example.", "part.example. 300 IN A 198.51.100.67",
	), func(p *dnsguard.Policy) {
		p.Devices[0].Names = append(p.Devices[0].Names,
			policy.Name{Pattern: "part.example", Proto: policy.ProtoTCP},
			policy.Name{Pattern: "part.example", Deny: true, Proto: policy.ProtoTCP, Ports: []api.PortRange{{First: 80, Last: 80}}})
	}, nil)
	for _, c := range []struct{ name, rcode string }{{"bad.cdn.example", "NXDOMAIN"}, {"evil.cdn.example", "NXDOMAIN"}, {"part.example", "NOERROR"}} {
		if rcode, _ := f.ask(t, cam, c.name, dns.TypeA); rcode != c.rcode {
			t.Errorf("%s: %s, want %s", c.name, rcode, c.rcode)
		}
	}
	var got []string
	for _, b := range f.binder.list {
		got = append(got, fmt.Sprint(b.Addr, b.Denied, b.Services))
	}
	want := []string{"198.51.100.66 true [{0 [] false 0}]", "198.51.100.67 false [{6 [] false 0}]", "198.51.100.67 true [{6 [{80 80}] false 0}]"}
	if !slices.Equal(got, want) {
		t.Errorf("bound %q, want %q", got, want)
	}
	if names.Knows(resolved.KeyOf("dev_cam"), netip.MustParseAddr("198.51.100.66"), "bad.cdn.example") {
		t.Error("a denied name is known to open something")
	}
	// Nobody else suffers.
	if rcode, _ := f.ask(t, learner, "bad.cdn.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("a device without such a term: %s", rcode)
	}
}

// A machine that is its own device asks from itself, and for its programs.
func TestGuard_ownMachine(t *testing.T) {
	f, _ := withNames(t, rotating(60, 1), func(p *dnsguard.Policy) {
		p.Devices = p.Devices[:1]
		p.Devices[0].Programs = []dnsguard.Program{
			{Mark: 1<<22 | 1, Names: []policy.Name{{Pattern: "update.example", Proto: policy.ProtoTCP}}},
			{Mark: 1<<22 | 2, Names: []policy.Name{{Pattern: "other.example"}}},
		}
	}, nil)
	self := netip.MustParseAddr("127.0.0.1")
	for name, want := range map[string]string{"cloud.example": "NOERROR", "update.example": "NOERROR", "evil.example": "NXDOMAIN"} {
		if rcode, _ := f.ask(t, self, name, dns.TypeA); rcode != want {
			t.Errorf("%s: %s, want %s", name, rcode, want)
		}
	}
	for mark, n := range map[uint32]int{1: 1, 1<<22 | 1: 1, 1<<22 | 2: 0} {
		if got := f.binder.bound(mark, false); len(got) != n {
			t.Errorf("bound to mark %#x: %v, want %d", mark, got, n)
		}
	}
}

func TestGuard_privateAndIPv6(t *testing.T) {
	f, _ := withNames(t, zoneOf(t,
		"nas.home.example. 60 IN A 10.0.0.5", "lo.home.example. 60 IN A 127.0.0.1", "meta.home.example. 60 IN A 169.254.169.254",
		"cloud.example. 60 IN A 10.0.0.5", "six.example. 60 IN AAAA 2001:db8::5", "in.six.example. 60 IN AAAA fd00::5", "map.six.example. 60 IN AAAA ::ffff:10.0.0.5",
		"sixtofour.six.example. 60 IN AAAA 2002:0a00:0005::1", "nas.home.example. 60 IN AAAA fd00::6", "ll.home.example. 60 IN AAAA fe80::1",
	), func(p *dnsguard.Policy) {
		p.Devices[0].IP6 = []netip.Addr{netip.MustParseAddr("2001:db8:1::10")}
		p.Devices[0].Names = append(p.Devices[0].Names, policy.Name{Pattern: "*.home.example", Private: true}, policy.Name{Pattern: "six.example"}, policy.Name{Pattern: "*.six.example"})
	}, nil)
	v6 := netip.MustParseAddr("2001:db8:1::10")
	for _, c := range []struct {
		who   netip.Addr
		name  string
		qtype uint16
		data  []string
	}{
		{cam, "nas.home.example", dns.TypeA, []string{"10.0.0.5"}},
		{v6, "nas.home.example", dns.TypeAAAA, []string{"fd00::6"}},
		{cam, "lo.home.example", dns.TypeA, nil},
		{cam, "meta.home.example", dns.TypeA, nil},
		{cam, "ll.home.example", dns.TypeAAAA, nil},
		{cam, "cloud.example", dns.TypeA, nil},
		{cam, "six.example", dns.TypeAAAA, []string{"2001:db8::5"}},
		{cam, "in.six.example", dns.TypeAAAA, nil},
		{cam, "map.six.example", dns.TypeAAAA, nil},
		{cam, "sixtofour.six.example", dns.TypeAAAA, nil},
		{shadow, "six.example", dns.TypeAAAA, nil},
	} {
		rcode, data := f.ask(t, c.who, c.name, c.qtype)
		if rcode != "NOERROR" || !slices.Equal(data, c.data) {
			t.Errorf("%s asks for %s: %s %q, want %q", c.who, c.name, rcode, data, c.data)
		}
	}
	if got, want := f.binder.bound(1, false), []string{"10.0.0.5", "fd00::6", "2001:db8::5"}; !slices.Equal(got, want) {
		t.Errorf("bound %v, want %v", got, want)
	}
}

func TestGuard_tunnels(t *testing.T) {
	f, _ := withNames(t, rotating(60, 1), nil, nil)
	data := func(i int) string {
		return fmt.Sprintf("%032x.%032x.t.cdn.example", uint64(i)*0x9e3779b97f4a7c15, uint64(i)*0xbf58476d1ce4e5b9+7)
	}
	passed := 0
	for i := range 300 {
		f.now += time.Second
		if rcode, _ := f.ask(t, cam, data(i), dns.TypeA); rcode == "NOERROR" {
			passed += 64
		}
	}
	if passed > 4096+300*2 {
		t.Errorf("%d octets went out by names in five minutes, want 4096 and 2 a second at most", passed)
	}
	if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("a name in full: %s", rcode)
	}
	// What a camera does: the same few names of a delivery network, all day.
	f.restart(t, nil)
	for i := range 5000 {
		f.now += time.Second
		name := fmt.Sprintf("edge-%d-eu-west.media-storage.cdn.example", i%40)
		if rcode, _ := f.ask(t, cam, name, dns.TypeA); rcode != "NOERROR" {
			t.Fatalf("lookup %d of an ordinary name: %s", i, rcode)
		}
	}
}

// runOnce lets the guard tell what it has gathered.
func runOnce(t *testing.T, f *fixture) error {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	<-f.Ready()
	cancel()
	return <-done
}

func TestGuard_tunnelIsTold(t *testing.T) {
	f, _ := withNames(t, rotating(60, 1), nil, nil)
	for i := range 200 {
		f.now += time.Second
		f.ask(t, cam, fmt.Sprintf("%060x.cdn.example", uint64(i)*0x9e3779b97f4a7c15), dns.TypeA)
	}
	must(t, runOnce(t, f))
	if !slices.ContainsFunc(f.reports, func(r api.DNSReport) bool { return r.Device == "dev_cam" && r.Reason == "tunnel" }) {
		t.Error("a tunnel is refused and not reported")
	}
}

func TestGuard_hiddenResolvers(t *testing.T) {
	f, _ := withNames(t, rotating(60, 1), func(p *dnsguard.Policy) {
		p.Devices[0].Names = append(p.Devices[0].Names, policy.Name{Pattern: "*.google"}, policy.Name{Pattern: "dns.quad9.net"})
	}, nil)
	for _, c := range []struct {
		who         netip.Addr
		name, rcode string
	}{
		{cam, "dns.google", "NXDOMAIN"},
		{cam, "other.google", "NOERROR"},
		{cam, "dns.quad9.net", "NOERROR"}, // named in full
		{cam, "_dns.resolver.arpa", "NXDOMAIN"},
		{learner, "_dns.resolver.arpa", "NXDOMAIN"},
		{cam, "mask.icloud.com", "NXDOMAIN"},
		{shadow, "mozilla.cloudflare-dns.com", "NOERROR"},
	} {
		if rcode, _ := f.ask(t, c.who, c.name, dns.TypeA); rcode != c.rcode {
			t.Errorf("%s asks for %s: %s, want %s", c.who, c.name, rcode, c.rcode)
		}
	}
}

func TestGuard_ownRate(t *testing.T) {
	f, _ := withNames(t, rotating(60, 1), func(p *dnsguard.Policy) { p.Devices[0].Lookups = 2 }, nil)
	answered := 0
	for range 100 {
		if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "nothing" {
			answered++
		}
	}
	if answered != 10 {
		t.Errorf("%d of 100 at once are answered to a device of 2 a second, want 10", answered)
	}
}

func TestGuard_capitalsOfTheAsker(t *testing.T) {
	f, _ := withNames(t, zoneOf(t, "cloud.example. 300 IN A 198.51.100.20"), nil, nil)
	for _, name := range []string{"cloud.example", "CLOUD.example", "Cloud.Example"} {
		m := f.Answer(t.Context(), cam, query(name, dns.TypeA))
		if len(m.Answer) != 1 || strings.TrimSuffix(m.Answer[0].Header().Name, ".") != name {
			t.Errorf("asked for %s: %v", name, m.Answer)
		}
	}
}
