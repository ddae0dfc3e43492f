package dnsguard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// upstream is a real resolver on loopback whose zone is a function.
type upstream struct {
	addr netip.AddrPort
	mu   sync.Mutex
	zone func(q dns.Question, tcp bool) *dns.Msg
	seen []string
}

func newUpstream(t testing.TB, zone func(q dns.Question, tcp bool) *dns.Msg) *upstream {
	t.Helper()
	u := &upstream{zone: zone}
	pc, l := bothPorts(t)
	u.addr = pc.LocalAddr().(*net.UDPAddr).AddrPort()
	h := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		q := req.Question[0]
		u.mu.Lock()
		u.seen = append(u.seen, q.Name)
		u.mu.Unlock()
		_, tcp := w.RemoteAddr().(*net.TCPAddr)
		m := u.zone(dns.Question{Name: strings.ToLower(q.Name), Qtype: q.Qtype, Qclass: q.Qclass}, tcp)
		if m == nil {
			return
		}
		if len(m.Question) == 0 {
			m.SetRcode(req, m.Rcode)
		}
		w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return u
}

// bothPorts listens on a port that is free for UDP and TCP.
func bothPorts(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 {
		pc, err := net.ListenPacket("udp4", "127.0.0.1:0")
		must(t, err)
		l, err := net.Listen("tcp4", pc.LocalAddr().String())
		if err == nil {
			return pc, l
		}
		pc.Close() // somebody else has that number
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	must(t, err)
	return r
}

// zoneOf answers from lines of a zone file, by owner and type, following CNAMEs
// as resolvers do.
func zoneOf(t testing.TB, lines ...string) func(dns.Question, bool) *dns.Msg {
	var all []dns.RR
	for _, l := range lines {
		all = append(all, rr(t, l))
	}
	return func(q dns.Question, _ bool) *dns.Msg {
		m := new(dns.Msg)
		owner := q.Name
		for range 20 {
			next := ""
			for _, r := range all {
				switch {
				case r.Header().Name != owner:
				case r.Header().Rrtype == q.Qtype:
					m.Answer = append(m.Answer, r)
				case r.Header().Rrtype == dns.TypeCNAME:
					m.Answer = append(m.Answer, r)
					next = r.(*dns.CNAME).Target
				}
			}
			if next == "" {
				break
			}
			owner = next
		}
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		return m
	}
}

// memBinder is a packet filter that only remembers.
type memBinder struct {
	mu   sync.Mutex
	list []nft.Binding
	err  error
}

func (b *memBinder) BindAll(_ context.Context, list []nft.Binding) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.list = append(b.list, list...)
	return nil
}

func (b *memBinder) bound(mark uint32, remedy bool) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []string
	for _, x := range b.list {
		if x.Mark == mark && x.Remediation == remedy && !x.Denied {
			out = append(out, x.Addr.String())
		}
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var (
	cam      = netip.MustParseAddr("10.77.0.10")
	learner  = netip.MustParseAddr("10.77.0.11")
	held     = netip.MustParseAddr("10.77.0.12")
	shadow   = netip.MustParseAddr("10.77.0.13")
	cut      = netip.MustParseAddr("10.77.0.14")
	stranger = netip.MustParseAddr("10.77.0.99")
)

func testPolicy(resolver netip.AddrPort) dnsguard.Policy {
	tcp443 := []api.PortRange{{First: 443, Last: 443}}
	names := []policy.Name{
		{Pattern: "cloud.example", Proto: policy.ProtoTCP, Ports: tcp443},
		{Pattern: "*.cdn.example", Proto: policy.ProtoTCP, Ports: tcp443},
		{Pattern: "bad.cdn.example", Deny: true},
	}
	return dnsguard.Policy{
		Version: 1, Resolver: resolver, Arrival: policy.StateEnforce, Local: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Remediation: []policy.Name{{Pattern: "update.example", Proto: policy.ProtoTCP, Ports: tcp443}},
		Devices: []dnsguard.Device{
			{ID: "dev_cam", Mark: 1, IP: cam, State: policy.StateEnforce, Names: names},
			{ID: "dev_new", Mark: 2, IP: learner, State: policy.StateLearn},
			{ID: "dev_held", Mark: 3, IP: held, State: policy.StateQuarantine, Names: names},
			{ID: "dev_shadow", Mark: 4, IP: shadow, State: policy.StateShadow, Names: names},
			{ID: "dev_cut", Mark: 5, IP: cut, State: policy.StateCutoff, Names: names},
		},
	}
}

type fixture struct {
	*dnsguard.Guard
	up      *upstream
	binder  *memBinder
	path    string
	now     time.Duration
	reports []api.DNSReport
}

func newFixture(t testing.TB, zone func(dns.Question, bool) *dns.Msg) *fixture {
	t.Helper()
	f := &fixture{up: newUpstream(t, zone), binder: &memBinder{}, path: filepath.Join(t.TempDir(), "dns.json"), now: 1000 * time.Second}
	must(t, rulefile.Put(f.path, testPolicy(f.up.addr), nil))
	g, err := dnsguard.New(dnsguard.Config{
		PolicyFile: f.path, Listen: "127.0.0.1:0", Firewall: f.binder,
		Report: func(r api.DNSReport) { f.reports = append(f.reports, r) }, Uptime: func() time.Duration { return f.now },
	})
	must(t, err)
	f.Guard = g
	return f
}

func query(name string, qtype uint16) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), qtype)
	return m
}

// ask gives the response code and the data of the records.
func (f *fixture) ask(t testing.TB, src netip.Addr, name string, qtype uint16) (string, []string) {
	t.Helper()
	m := f.Answer(t.Context(), src, query(name, qtype))
	if m == nil {
		return "nothing", nil
	}
	var out []string
	for _, r := range m.Answer {
		out = append(out, strings.TrimPrefix(r.String(), r.Header().String()))
	}
	return dns.RcodeToString[m.Rcode], out
}

func TestGuard_decisions(t *testing.T) {
	f := newFixture(t, zoneOf(t,
		"cloud.example. 300 IN A 198.51.100.20",
		"update.example. 300 IN A 198.51.100.90",
		"a.cdn.example. 300 IN CNAME b.elsewhere.example.",
		"b.elsewhere.example. 200 IN A 198.51.100.30",
		"b.elsewhere.example. 200 IN A 198.51.100.31",
		"rebind.cdn.example. 300 IN A 10.77.0.20",
		"rebind2.cdn.example. 300 IN A 203.0.113.7",
		"half.cdn.example. 300 IN A 169.254.169.254",
		"half.cdn.example. 300 IN A 198.51.100.33",
		"evil.example. 300 IN A 198.51.100.66",
		"bad.cdn.example. 300 IN A 198.51.100.67",
		"nas.home.example. 300 IN A 10.77.0.50",
		"cloud.example. 300 IN TXT \"way out\"",
		"cloud.example. 300 IN AAAA 2001:db8::1",
		`cloud.example. 300 IN HTTPS 1 . alpn="h3,h2" ipv4hint="198.51.100.66" ech="AEX+DQBBpQAgACCtL12wVGvhJJtUTxZOT5hbVbHBqBdDWf0M4Y+dcw8ORwAEAAEAAQASY2xvdWRmbGFyZS1lY2guY29tAAA="`,
		`c.cdn.example. 300 IN HTTPS 1 . mandatory="ipv4hint" ipv4hint="198.51.100.66"`,
	))
	for _, c := range []struct {
		who   netip.Addr
		name  string
		qtype uint16
		rcode string
		data  []string
	}{
		{cam, "cloud.example", dns.TypeA, "NOERROR", []string{"198.51.100.20"}},
		{cam, "CLOUD.Example", dns.TypeA, "NOERROR", []string{"198.51.100.20"}},
		{cam, "evil.example", dns.TypeA, "NXDOMAIN", nil},
		{cam, "update.example", dns.TypeA, "NXDOMAIN", nil},
		{cam, "cdn.example", dns.TypeA, "NXDOMAIN", nil},
		{cam, "b.elsewhere.example", dns.TypeA, "NXDOMAIN", nil},
		{cam, "a.cdn.example", dns.TypeA, "NOERROR", []string{"b.elsewhere.example.", "198.51.100.30", "198.51.100.31"}},
		{cam, "bad.cdn.example", dns.TypeA, "NXDOMAIN", nil},
		{cam, "rebind.cdn.example", dns.TypeA, "NOERROR", nil},
		{cam, "rebind2.cdn.example", dns.TypeA, "NOERROR", nil},
		{cam, "half.cdn.example", dns.TypeA, "NOERROR", []string{"198.51.100.33"}},
		{cam, "cloud.example", dns.TypeAAAA, "NOERROR", nil},
		{cam, "cloud.example", dns.TypeTXT, "NOERROR", nil},
		{cam, "cloud.example", dns.TypeANY, "NOTIMP", nil},
		{cam, "cloud.example", dns.TypeHTTPS, "NOERROR", []string{`1 . alpn="h3,h2"`}},
		{cam, "c.cdn.example", dns.TypeHTTPS, "NOERROR", nil},
		{cam, "use-application-dns.net", dns.TypeA, "NXDOMAIN", nil},
		{cam, "no.cdn.example", dns.TypeA, "NXDOMAIN", nil},
		{cam, `a\.b.cdn.example`, dns.TypeA, "NXDOMAIN", nil},
		{learner, "evil.example", dns.TypeA, "NOERROR", []string{"198.51.100.66"}},
		{learner, "nas.home.example", dns.TypeA, "NOERROR", []string{"10.77.0.50"}},
		{learner, "cloud.example", dns.TypeTXT, "NOERROR", []string{`"way out"`}},
		{shadow, "evil.example", dns.TypeA, "NOERROR", []string{"198.51.100.66"}},
		{shadow, "cloud.example", dns.TypeA, "NOERROR", []string{"198.51.100.20"}},
		{held, "cloud.example", dns.TypeA, "NXDOMAIN", nil},
		{held, "update.example", dns.TypeA, "NOERROR", []string{"198.51.100.90"}},
		{cut, "update.example", dns.TypeA, "NXDOMAIN", nil},
		{stranger, "cloud.example", dns.TypeA, "NXDOMAIN", nil},
	} {
		rcode, data := f.ask(t, c.who, c.name, c.qtype)
		if rcode != c.rcode || !slices.Equal(data, c.data) {
			t.Errorf("%s asks for %s %s: %s %q, want %s %q", c.who, c.name, dns.TypeToString[c.qtype], rcode, data, c.rcode, c.data)
		}
	}
	for _, c := range []struct {
		mark   uint32
		remedy bool
		want   []string
	}{
		{1, false, []string{"198.51.100.20", "198.51.100.20", "198.51.100.30", "198.51.100.31", "198.51.100.33"}},
		{1, true, nil},
		{2, false, []string{"198.51.100.66"}}, // what is inside is passed on, never bound
		{3, false, nil},
		{3, true, []string{"198.51.100.90"}},
		{4, false, []string{"198.51.100.20"}},
		{5, true, nil},
		{0, false, nil},
	} {
		if got := f.binder.bound(c.mark, c.remedy); !slices.Equal(got, c.want) {
			t.Errorf("bound to mark %d (remediation %v): %v, want %v", c.mark, c.remedy, got, c.want)
		}
	}
	for _, b := range f.binder.list {
		if b.Life < time.Minute || b.Name == "" || b.Life < 200*time.Second {
			t.Errorf("binding %+v lasts too short or has no name", b)
		}
	}
}

func TestGuard_ttlNeverOutlivesTheBinding(t *testing.T) {
	f := newFixture(t, zoneOf(t,
		"cloud.example. 2147483647 IN A 198.51.100.20",
		"a.cdn.example. 5 IN CNAME x.example.", "x.example. 100000 IN A 198.51.100.21",
	))
	for _, name := range []string{"cloud.example", "a.cdn.example"} {
		m := f.Answer(t.Context(), cam, query(name, dns.TypeA))
		b := f.binder.list[len(f.binder.list)-1]
		for _, r := range m.Answer {
			if time.Duration(r.Header().Ttl)*time.Second >= b.Life || b.Life > 25*time.Hour {
				t.Errorf("%s: TTL %d, bound for %v", name, r.Header().Ttl, b.Life)
			}
		}
	}
}

func TestGuard_noBindingNoAnswer(t *testing.T) {
	f := newFixture(t, zoneOf(t, "cloud.example. 300 IN A 198.51.100.20"))
	f.binder.err = errors.New("no room")
	if rcode, data := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "SERVFAIL" || data != nil {
		t.Errorf("when the kernel cannot bind: %s %v, want SERVFAIL", rcode, data)
	}
	f.binder.err = nil
	if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("when it can: %s", rcode)
	}
}

func TestGuard_manyAddresses(t *testing.T) {
	f := newFixture(t, func(q dns.Question, tcp bool) *dns.Msg {
		m := new(dns.Msg)
		if !tcp {
			m.Truncated = true
			return m
		}
		for i := range 200 {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60}, A: net.IPv4(198, 51, 100, byte(i))})
		}
		return m
	})
	m := f.Answer(t.Context(), cam, query("cloud.example", dns.TypeA))
	if len(m.Answer) != dnsguard.MaxAddrs || len(f.binder.list) != dnsguard.MaxAddrs {
		t.Errorf("%d addresses answered, %d bound, want %d", len(m.Answer), len(f.binder.list), dnsguard.MaxAddrs)
	}
}

func TestGuard_oneDeviceCannotFillTheSet(t *testing.T) {
	n := 0
	f := newFixture(t, func(q dns.Question, tcp bool) *dns.Msg {
		m := new(dns.Msg)
		for range 20 {
			n++
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 3600}, A: net.IPv4(45, byte(n>>16), byte(n>>8), byte(n))})
		}
		return m
	})
	last := ""
	for i := range 300 {
		f.now += time.Second
		last, _ = f.ask(t, cam, fmt.Sprintf("t%d.cdn.example", i), dns.TypeA)
	}
	if last != "SERVFAIL" || len(f.binder.list) > 4096 {
		t.Errorf("after 300 names of 20 addresses: %s, %d bound; want SERVFAIL and 4096 at most", last, len(f.binder.list))
	}
	if rcode, _ := f.ask(t, shadow, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("another device gets %s", rcode)
	}
	f.now += 2 * time.Hour
	if rcode, _ := f.ask(t, cam, "late.cdn.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("after they ran out: %s", rcode)
	}
}

func TestGuard_rate(t *testing.T) {
	f := newFixture(t, zoneOf(t, "cloud.example. 300 IN A 198.51.100.20"))
	answered := 0
	for range 300 {
		if rcode, _ := f.ask(t, cam, "evil.example", dns.TypeA); rcode != "nothing" {
			answered++
		}
	}
	if answered != 100 {
		t.Errorf("%d of 300 questions at once are answered, want 100", answered)
	}
	if rcode, _ := f.ask(t, shadow, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("another device gets %s meanwhile", rcode)
	}
	f.now += time.Second
	if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("a second later: %s", rcode)
	}
}

func TestGuard_forgedAnswersAreNotTaken(t *testing.T) {
	good := zoneOf(t, "cloud.example. 300 IN A 198.51.100.20")
	for _, c := range []struct {
		name string
		zone func(q dns.Question, tcp bool) *dns.Msg
		want string
	}{
		{"honest", good, "NOERROR"},
		{"silent", func(dns.Question, bool) *dns.Msg { return nil }, "SERVFAIL"},
		{"another id", func(q dns.Question, tcp bool) *dns.Msg {
			m := good(q, tcp)
			m.Question, m.Response, m.Id = []dns.Question{q}, true, 1
			return m
		}, "SERVFAIL"},
		{"other capitals", func(q dns.Question, tcp bool) *dns.Msg {
			m := good(q, tcp)
			m.SetQuestion(strings.ToUpper(q.Name), q.Qtype)
			m.Response = true
			return m
		}, "SERVFAIL"},
		{"owner of another name", func(q dns.Question, tcp bool) *dns.Msg {
			m := new(dns.Msg)
			m.Answer = []dns.RR{rr(t, "other.example. 300 IN A 198.51.100.66")}
			return m
		}, "NOERROR"},
		{"a loop of aliases", func(q dns.Question, tcp bool) *dns.Msg {
			m := new(dns.Msg)
			m.Answer = []dns.RR{rr(t, q.Name+" 300 IN CNAME b.example."), rr(t, "b.example. 300 IN CNAME "+q.Name)}
			return m
		}, "NOERROR"},
		{"a failing resolver", func(q dns.Question, tcp bool) *dns.Msg { return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeRefused}} }, "SERVFAIL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // those that wait in vain wait together
			f := newFixture(t, c.zone)
			rcode, data := f.ask(t, cam, "cloud.example", dns.TypeA)
			if rcode != c.want {
				t.Errorf("%s, want %s", rcode, c.want)
			}
			if c.name != "honest" && len(f.binder.list) != 0 {
				t.Errorf("bound %v, answered %v", f.binder.list, data)
			}
		})
	}
	f := newFixture(t, good)
	for range 20 {
		f.now += time.Hour
		f.ask(t, cam, "cloud.example", dns.TypeA)
	}
	f.up.mu.Lock()
	defer f.up.mu.Unlock()
	slices.Sort(f.up.seen)
	if n := len(slices.Compact(f.up.seen)); n < 15 {
		t.Errorf("only %d kinds of capitals in 20 questions", n)
	}
}

func TestGuard_revokedWhileTheResolverThinks(t *testing.T) {
	asked, go_ := make(chan bool, 1), make(chan bool)
	f := newFixture(t, func(q dns.Question, tcp bool) *dns.Msg {
		asked <- true
		<-go_
		return zoneOf(t, "cloud.example. 300 IN A 198.51.100.20")(q, tcp)
	})
	done := make(chan string)
	go func() {
		rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA)
		done <- rcode
	}()
	<-asked
	p := testPolicy(f.up.addr)
	p.Devices[0].Names = nil
	applied := false
	must(t, rulefile.Put(f.path, p, func() error { applied = true; return nil }))
	close(go_)
	if rcode := <-done; rcode != "NXDOMAIN" || len(f.binder.list) != 0 || !applied {
		t.Errorf("a name that was taken away meanwhile: %s, bound %v", rcode, f.binder.list)
	}
}

func TestWritePolicy_keepsTheOldWhenTheKernelRefuses(t *testing.T) {
	f := newFixture(t, zoneOf(t, "cloud.example. 300 IN A 198.51.100.20"))
	p := testPolicy(f.up.addr)
	p.Devices = nil
	boom := errors.New("boom")
	if err := rulefile.Put(f.path, p, func() error { return boom }); !errors.Is(err, boom) {
		t.Fatalf("WritePolicy = %v", err)
	}
	if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("the former policy is gone: %s", rcode)
	}
}

func TestGuard_badPolicyFileKeepsTheLast(t *testing.T) {
	f := newFixture(t, zoneOf(t, "cloud.example. 300 IN A 198.51.100.20"))
	if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Fatal(rcode)
	}
	must(t, os.WriteFile(f.path, []byte(`{"version":1,`), 0o600))
	if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "NOERROR" {
		t.Errorf("with a torn file: %s", rcode)
	}
	must(t, os.Remove(f.path))
	if rcode, _ := f.ask(t, cam, "cloud.example", dns.TypeA); rcode != "SERVFAIL" {
		t.Errorf("without a file: %s, want SERVFAIL", rcode)
	}
}

func TestGuard_runServesAndReports(t *testing.T) {
	up := newUpstream(t, zoneOf(t, "cloud.example. 300 IN A 198.51.100.20"))
	path := filepath.Join(t.TempDir(), "dns.json")
	p := testPolicy(up.addr)
	p.Devices[0].IP = netip.MustParseAddr("127.0.0.1")
	must(t, rulefile.Put(path, p, nil))
	pc, l := bothPorts(t)
	addr := pc.LocalAddr().String()
	pc.Close()
	l.Close()
	var reports []api.DNSReport
	g, err := dnsguard.New(dnsguard.Config{PolicyFile: path, Listen: "127.0.0.1:0", Also: []string{addr}, Firewall: &memBinder{}, Report: func(r api.DNSReport) { reports = append(reports, r) }, ReportEvery: time.Hour})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.Run(ctx) }()
	<-g.Ready()
	for _, network := range []string{"udp", "tcp"} {
		c := &dns.Client{Net: network, Timeout: 2 * time.Second}
		m, _, err := c.Exchange(query("cloud.example", dns.TypeA), addr)
		if err != nil || len(m.Answer) != 1 {
			t.Errorf("%s: %v, %v", network, m, err)
		}
		m, _, err = c.Exchange(query("evil.example", dns.TypeA), addr)
		if err != nil || m.Rcode != dns.RcodeNameError {
			t.Errorf("%s: %v, %v", network, m, err)
		}
	}
	cancel()
	must(t, <-done)
	want := []api.DNSReport{
		{Device: "dev_cam", Name: "cloud.example", Type: "A", Verdict: "bound", Addrs: []netip.Addr{netip.MustParseAddr("198.51.100.20")}, Count: 2},
		{Device: "dev_cam", Name: "evil.example", Type: "A", Verdict: "refused", Reason: "name", Count: 2},
	}
	if fmt.Sprint(reports) != fmt.Sprint(want) {
		t.Errorf("reports %+v, want %+v", reports, want)
	}
}

// FuzzAnswer gives the guard questions and upstream answers of any octets. It
// must never panic, and never answer an address that it has not bound, or one
// inside.
func FuzzAnswer(f *testing.F) {
	seed := func(m *dns.Msg) []byte {
		b, err := m.Pack()
		must(f, err)
		return b
	}
	q := query("cloud.example", dns.TypeA)
	a := new(dns.Msg)
	a.SetReply(q)
	a.Answer = []dns.RR{rr(f, "cloud.example. 300 IN A 198.51.100.20"), rr(f, "cloud.example. 300 IN A 10.0.0.1")}
	f.Add(seed(q), seed(a))
	h := new(dns.Msg)
	h.SetReply(query("cloud.example", dns.TypeHTTPS))
	h.Answer = []dns.RR{rr(f, `cloud.example. 300 IN HTTPS 1 . alpn="h2" ipv4hint="198.51.100.66"`)}
	f.Add(seed(query("cloud.example", dns.TypeHTTPS)), seed(h))
	c := new(dns.Msg)
	c.SetReply(q)
	c.Answer = []dns.RR{rr(f, "cloud.example. 1 IN CNAME x.example."), rr(f, "x.example. 1 IN A 198.51.100.20")}
	f.Add(seed(q), seed(c))
	f.Add([]byte{0, 1, 1, 0}, []byte{0xff})

	path := filepath.Join(f.TempDir(), "dns.json")
	must(f, rulefile.Put(path, testPolicy(netip.MustParseAddrPort("127.0.0.1:53")), nil))
	f.Fuzz(func(t *testing.T, question, raw []byte) {
		req := new(dns.Msg)
		if req.Unpack(question) != nil {
			return
		}
		binder := &memBinder{}
		g, err := dnsguard.New(dnsguard.Config{
			PolicyFile: path, Listen: "127.0.0.1:0", Firewall: binder,
			Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
				return &echoConn{raw: raw, tcp: network == "tcp"}, nil
			},
		})
		must(t, err)
		m := g.Answer(t.Context(), cam, req)
		if m == nil {
			return
		}
		if _, err := m.Pack(); err != nil && len(m.Answer) == 0 {
			t.Skip("the question itself cannot be packed again")
		}
		for _, r := range m.Answer {
			if v, ok := r.(*dns.A); ok {
				ip, _ := netip.AddrFromSlice(v.A.To4())
				if !slices.Contains(binder.bound(1, false), ip.String()) || ip.IsPrivate() || ip.IsLoopback() {
					t.Fatalf("answered %s, bound %v", ip, binder.list)
				}
			}
		}
	})
}

// echoConn is a connection to a resolver that answers every question with the
// same octets, with the id and question put right where there is room.
type echoConn struct {
	net.Conn
	raw  []byte
	tcp  bool
	out  []byte
	read int
}

func (c *echoConn) SetDeadline(time.Time) error { return nil }
func (c *echoConn) Close() error                { return nil }
func (c *echoConn) Write(b []byte) (int, error) {
	c.out, c.read = nil, 0
	q := b
	if c.tcp {
		q = b[2:]
	}
	req, resp := new(dns.Msg), new(dns.Msg)
	raw := c.raw
	if req.Unpack(q) == nil && resp.Unpack(raw) == nil {
		resp.Id, resp.Question, resp.Response = req.Id, req.Question, true
		for _, r := range resp.Answer {
			if strings.EqualFold(r.Header().Name, req.Question[0].Name) {
				r.Header().Name = req.Question[0].Name
			}
		}
		if p, err := resp.Pack(); err == nil {
			raw = p
		}
	}
	if c.tcp {
		raw = append([]byte{byte(len(raw) >> 8), byte(len(raw))}, raw...)
	}
	c.out = raw
	return len(b), nil
}
func (c *echoConn) Read(b []byte) (int, error) {
	if c.read >= len(c.out) {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(b, c.out[c.read:])
	c.read += n
	return n, nil
}
