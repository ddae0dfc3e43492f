package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func mustPrefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func ports(p ...uint16) []api.PortRange {
	var out []api.PortRange
	for i := 0; i+1 < len(p); i += 2 {
		out = append(out, api.PortRange{First: p[i], Last: p[i+1]})
	}
	return out
}

func TestDecide_table(t *testing.T) {
	from, to := api.FromDevice, api.ToDevice
	cidr := netip.MustParsePrefix
	terms := []api.Term{
		{ID: "cloud", Action: api.Allow, Direction: from, CIDR: cidr("198.51.100.0/24"), Proto: "tcp", Ports: ports(443, 443)},
		{ID: "no-bad", Action: api.Deny, Direction: from, CIDR: cidr("198.51.100.66/32"), Proto: "any"},
		{ID: "ntp", Action: api.Allow, Direction: from, Domain: "ntp.example", Proto: "udp", Ports: ports(123, 123)},
		{ID: "cdn", Action: api.Allow, Direction: from, Domain: "*.cdn.example", Proto: "tcp", Ports: ports(443, 443)},
		{ID: "rtsp", Action: api.Allow, Direction: to, Local: true, Proto: "tcp", Ports: ports(554, 554)},
		{ID: "hub", Action: api.Allow, Direction: from, Device: "dev_hub", Proto: "any"},
	}
	rem := []api.Term{{ID: "update", Action: api.Allow, Direction: from, CIDR: cidr("198.51.100.90/32"), Proto: "tcp", Ports: ports(443, 443)}}
	local := ap("10.77.0.10:40000")
	out := func(remote, proto string, names ...string) policy.Flow {
		return policy.Flow{Direction: from, Local: local, Remote: ap(remote), Proto: proto, Names: names}
	}
	in := func(port uint16, remote string, dev ringwall.DeviceID) policy.Flow {
		return policy.Flow{Direction: to, Local: netip.AddrPortFrom(local.Addr(), port), Remote: ap(remote), Proto: "tcp", RemoteDevice: dev}
	}
	T3 := ringwall.T3
	for _, c := range []struct {
		name  string
		mode  ringwall.Mode
		trust ringwall.Trust
		r     ringwall.Restriction
		flow  policy.Flow
		want  policy.Verdict
	}{
		{"allowed address", ringwall.Enforce, T3, 0, out("198.51.100.20:443", "tcp"), policy.Verdict{Pass: true, Reason: "allow", Term: "cloud"}},
		{"4in6 is IPv4", ringwall.Enforce, T3, 0, out("[::ffff:198.51.100.20]:443", "tcp"), policy.Verdict{Pass: true, Reason: "allow", Term: "cloud"}},
		{"other port", ringwall.Enforce, T3, 0, out("198.51.100.20:80", "tcp"), policy.Verdict{Reason: "default"}},
		{"other protocol", ringwall.Enforce, T3, 0, out("198.51.100.20:443", "udp"), policy.Verdict{Reason: "default"}},
		{"deny wins", ringwall.Enforce, T3, 0, out("198.51.100.66:443", "tcp"), policy.Verdict{Reason: "deny", Term: "no-bad"}},
		{"name", ringwall.Enforce, T3, 0, out("203.0.113.9:123", "udp", "ntp.example"), policy.Verdict{Pass: true, Reason: "allow", Term: "ntp"}},
		{"name in capitals", ringwall.Enforce, T3, 0, out("203.0.113.9:123", "udp", "NTP.example"), policy.Verdict{Pass: true, Reason: "allow", Term: "ntp"}},
		{"bare address of a named host", ringwall.Enforce, T3, 0, out("203.0.113.9:123", "udp"), policy.Verdict{Reason: "default"}},
		{"below a wildcard", ringwall.Enforce, T3, 0, out("203.0.113.9:443", "tcp", "a.b.cdn.example"), policy.Verdict{Pass: true, Reason: "allow", Term: "cdn"}},
		{"the wildcard's own name", ringwall.Enforce, T3, 0, out("203.0.113.9:443", "tcp", "cdn.example"), policy.Verdict{Reason: "default"}},
		{"a name that only ends alike", ringwall.Enforce, T3, 0, out("203.0.113.9:443", "tcp", "evilcdn.example"), policy.Verdict{Reason: "default"}},
		{"local viewer", ringwall.Enforce, T3, 0, in(554, "10.77.0.30:50000", "dev_phone"), policy.Verdict{Pass: true, Reason: "allow", Term: "rtsp"}},
		{"stranger's view", ringwall.Enforce, T3, 0, in(554, "203.0.113.5:50000", ""), policy.Verdict{Reason: "inbound"}},
		{"another device", ringwall.Enforce, T3, 0, policy.Flow{Direction: from, Local: local, Remote: ap("10.77.0.50:9"), Proto: "132", RemoteDevice: "dev_hub"}, policy.Verdict{Pass: true, Reason: "allow", Term: "hub"}},
		{"IPv6 is closed", ringwall.Learn, T3, 0, out("[2001:db8::1]:443", "tcp"), policy.Verdict{Reason: "ipv6"}},
		{"learn", ringwall.Learn, T3, 0, out("203.0.113.9:23", "tcp"), policy.Verdict{Pass: true, Reason: "learn"}},
		{"learn, never enrolled", ringwall.Learn, ringwall.T0, 0, out("203.0.113.9:23", "tcp"), policy.Verdict{Pass: true, Reason: "learn"}},
		{"shadow notes", ringwall.Shadow, T3, 0, out("203.0.113.9:23", "tcp"), policy.Verdict{Pass: true, Would: true, Reason: "default"}},
		{"shadow notes a deny", ringwall.Shadow, T3, 0, out("198.51.100.66:443", "tcp"), policy.Verdict{Pass: true, Would: true, Reason: "deny", Term: "no-bad"}},
		{"quarantine in mode learn", ringwall.Learn, T3, ringwall.Quarantine, out("203.0.113.9:23", "tcp"), policy.Verdict{Reason: "quarantine"}},
		{"quarantine leaves repair", ringwall.Enforce, T3, ringwall.Quarantine, out("198.51.100.90:443", "tcp"), policy.Verdict{Pass: true, Reason: "remediation", Term: "update"}},
		{"quarantine by trust", ringwall.Learn, ringwall.T1, 0, out("203.0.113.9:23", "tcp"), policy.Verdict{Reason: "quarantine"}},
		{"quarantine and inbound", ringwall.Enforce, T3, ringwall.Quarantine, in(554, "10.77.0.30:50000", "dev_phone"), policy.Verdict{Reason: "quarantine"}},
		{"cut off", ringwall.Learn, ringwall.T4, ringwall.Cutoff, out("198.51.100.90:443", "tcp"), policy.Verdict{Reason: "cutoff"}},
		{"cut off by trust", ringwall.Enforce, ringwall.T0, 0, out("198.51.100.90:443", "tcp"), policy.Verdict{Reason: "cutoff"}},
	} {
		d := api.DevicePolicy{Device: "dev_cam", Mode: c.mode, Trust: c.trust, Terms: terms}
		if got := policy.Decide(d, c.r, rem, c.flow); got != c.want {
			t.Errorf("%s: Decide = %+v, want %+v", c.name, got, c.want)
		}
	}
}

// world is a random world of all features, whose seed the test logs.
func world(t *testing.T, f policytest.Features) policytest.World {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return policytest.World{R: rand.New(rand.NewPCG(seed, 1)), Features: f}
}

// Decide works term by term, Compile makes disjoint boxes: they share no code
// past the matching of names and windows, and must never differ.
func TestDecide_agreesWithCompile(t *testing.T) {
	for _, c := range []struct {
		name string
		host bool
		f    policytest.Features
	}{
		{"plain", false, policytest.NameDenies},
		{"gateway", false, policytest.AllFeatures &^ policytest.Programs},
		{"terms about programs on a gateway", false, policytest.AllFeatures},
		{"host", true, policytest.AllFeatures},
	} {
		t.Run(c.name, func(t *testing.T) { agree(t, world(t, c.f), c.host) })
	}
}

func agree(t *testing.T, w policytest.World, host bool) {
	count := map[string]int{}
	for range 600 {
		d := w.Desired()
		o := policy.Options{Host: host, Stale: w.R.IntN(4) == 0}
		site := policy.SiteOf(&d)
		site.Stale = o.Stale
		now := w.Time()
		p, err := o.Compile(d, nil, now)
		if err != nil {
			t.Fatalf("Compile: %v", err)
		}
		for range 40 {
			i := w.R.IntN(len(d.Devices))
			dp := &d.Devices[i]
			f := w.Flow(&d, i)
			f.At = now
			if !host {
				f.Program = nil
			} else if f.Program == nil {
				f.Program = &policy.Process{}
			}
			dev, ok := p.Device(dp.Mark)
			k, known := policytest.PacketOf(f)
			if !ok || !known {
				t.Fatalf("device %d in plan: %v, flow %+v known: %v", dp.Mark, ok, f, known)
			}
			v := site.Decide(dp, 0, &f)
			o, would, limit := policytest.Judge(p, dev, k)
			bad := false
			switch o {
			case policytest.Pass:
				bad = !v.Pass || v.Inspect || v.Would != would || (limit == nil) != (v.Limit == nil) || limit != nil && (limit.Limit != *v.Limit || limit.Term != v.Term)
				if limit != nil {
					count["limit"]++
				}
			case policytest.Refuse:
				bad = v.Pass != would || v.Would != would || v.Inspect && !host // on the device nobody looks inside
			case policytest.Steer: // where a name opens all, the inspector lets all pass
				bad = !v.Inspect && (!v.Pass || v.Would)
			}
			if count[o.String()]++; bad {
				t.Fatalf("Decide = %+v, the plan says %v would %v limit %+v\nflow %+v\nprogram %+v\npolicy %+v\ndevice %+v", v, o, would, limit, f, f.Program, spell(dp), dev)
			}
		}
	}
	t.Log(count)
	if count["pass"] < 500 || count["refuse"] < 500 {
		t.Errorf("%v: the test says little", count)
	}
}

func spell(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// A deny by name takes away what it speaks of at the addresses of that name, by
// whatever other name or term they are open, and nothing else.
func TestDecide_denyByName(t *testing.T) {
	d := api.DevicePolicy{Device: "dev_1", Mark: 1, Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: []api.Term{
		{ID: "all", Action: api.Allow, Direction: api.FromDevice, Domain: "*.a.example", Proto: "any"},
		{ID: "not-udp", Action: api.Deny, Direction: api.FromDevice, Domain: "x.a.example", Proto: "udp"},
		{ID: "there", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "udp", Ports: []api.PortRange{{First: 53, Last: 53}}},
	}}
	for _, c := range []struct {
		names []string
		proto string
		port  uint16
		pass  bool
		term  string
	}{
		{[]string{"x.a.example"}, "tcp", 443, true, "all"},
		{[]string{"x.a.example"}, "udp", 443, false, "not-udp"},
		{[]string{"y.a.example"}, "udp", 443, true, "all"},
		{[]string{"x.a.example", "y.a.example"}, "udp", 443, false, "not-udp"},
		{[]string{"x.a.example"}, "udp", 53, false, "not-udp"},
		{nil, "udp", 53, true, "there"},
	} {
		v := policy.Decide(d, 0, nil, policy.Flow{Direction: api.FromDevice, Proto: c.proto, Names: c.names,
			Local: netip.MustParseAddrPort("10.77.0.11:1000"), Remote: netip.AddrPortFrom(netip.MustParseAddr("198.51.100.20"), c.port)})
		if v.Pass != c.pass || v.Term != c.term {
			t.Errorf("%s to %s port %d: %+v, want pass %v by term %q", c.proto, c.names, c.port, v, c.pass, c.term)
		}
	}
	p, err := policy.Compile(api.Desired{Devices: []api.DevicePolicy{{Device: "dev_1", Mark: 1, Terms: d.Terms, Binding: api.Binding{MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.0.0.1")}}}}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := policy.Lookup(p.Devices[0].Names, "x.a.example"); ok {
		t.Error("Lookup resolves a name that is denied in part")
	}
	if r, ok := policy.Resolve(p.Devices[0].Names, "x.a.example"); !ok || len(r.Allow) != 1 || len(r.Deny) != 1 || r.Deny[0].Proto != policy.ProtoUDP {
		t.Errorf("Resolve = %+v, %v", r, ok)
	}
}

func TestCompile_boxesAreDisjointAndCanonical(t *testing.T) {
	u := policytest.World{R: rand.New(rand.NewPCG(7, 7)), Features: policytest.AllFeatures}
	for range 500 {
		d := u.Desired()
		p, err := policy.Compile(d, nil, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		for _, dev := range p.Devices {
			for _, list := range [][]policy.Box{dev.Allow, dev.Deny, dev.InAllow, dev.InDeny, dev.Inspect, dev.InInspect, dev.InspectNamed} {
				for i, a := range list {
					for _, b := range list[i+1:] {
						if a.First.Is4() == b.First.Is4() && a.First.Compare(b.Last) <= 0 && b.First.Compare(a.Last) <= 0 && (a.Proto == b.Proto || a.Proto == 0 || b.Proto == 0) &&
							a.PortFirst <= b.PortLast && b.PortFirst <= a.PortLast {
							t.Fatalf("boxes overlap: %+v and %+v", a, b)
						}
					}
				}
			}
		}
		// The order in which terms and devices are written down means nothing.
		for i := range d.Devices {
			u.R.Shuffle(len(d.Devices[i].Terms), func(a, b int) {
				x := d.Devices[i].Terms
				x[a], x[b] = x[b], x[a]
			})
		}
		slices.Reverse(d.Devices)
		q, err := policy.Compile(d, nil, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		if !p.Equal(q) {
			t.Fatalf("plans differ:\n%+v\n%+v", p, q)
		}
	}
}

func TestCompile_refusesWhatIsWrong(t *testing.T) {
	ok := func() api.Desired {
		return api.Desired{Devices: []api.DevicePolicy{
			{Device: "dev_a", Mark: 1, Binding: api.Binding{MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.0.0.1")}},
			{Device: "dev_b", Mark: 2, Binding: api.Binding{MAC: "02:00:00:00:00:02", IP: netip.MustParseAddr("10.0.0.2")}},
		}}
	}
	if _, err := policy.Compile(ok(), nil, time.Now()); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	term := func(t api.Term) func(*api.Desired) {
		return func(d *api.Desired) { d.Devices[1].Terms = []api.Term{t} }
	}
	all := netip.MustParsePrefix("0.0.0.0/0")
	for _, c := range []struct {
		name string
		do   func(*api.Desired)
		want string
	}{
		{"same mark", func(d *api.Desired) { d.Devices[1].Mark = 1 }, "same mark"},
		{"mark 0", func(d *api.Desired) { d.Devices[1].Mark = 0 }, "mark 0"},
		{"mark of strangers", func(d *api.Desired) { d.Devices[1].Mark = policy.Stranger }, "mark"},
		{"same address", func(d *api.Desired) { d.Devices[1].Binding.IP = d.Devices[0].Binding.IP }, "same address"},
		{"same id", func(d *api.Desired) { d.Devices[1].Device = "dev_a" }, "twice"},
		{"no id", func(d *api.Desired) { d.Devices[1].Device = "" }, "no id"},
		{"bad MAC", func(d *api.Desired) { d.Devices[1].Binding.MAC = "02:00" }, "MAC"},
		{"long MAC", func(d *api.Desired) { d.Devices[1].Binding.MAC = "02:00:00:00:00:00:00:01" }, "MAC"},
		{"bad port", func(d *api.Desired) { d.Devices[1].Binding.Port = "a-name-that-is-too-long" }, "no interface"},
		{"no action", term(api.Term{Direction: api.FromDevice, CIDR: all, Proto: "any"}), "neither allow nor deny"},
		{"no direction", term(api.Term{Action: api.Allow, CIDR: all, Proto: "any"}), "neither from nor to"},
		{"protocol", term(api.Term{Action: api.Allow, Direction: api.FromDevice, CIDR: all, Proto: "gre"}), "none of tcp"},
		{"icmp ports", term(api.Term{Action: api.Allow, Direction: api.FromDevice, CIDR: all, Proto: "icmp", Ports: ports(1, 1)}), "no ports"},
		{"two ends", term(api.Term{Action: api.Allow, Direction: api.FromDevice, CIDR: all, Local: true, Proto: "any"}), "have 2"},
		{"no end", term(api.Term{Action: api.Allow, Direction: api.FromDevice, Proto: "any"}), "have 0"},
		{"ports backwards", term(api.Term{Action: api.Allow, Direction: api.FromDevice, CIDR: all, Proto: "tcp", Ports: ports(9, 8)}), "before they begin"},
		{"domain inbound", term(api.Term{Action: api.Allow, Direction: api.ToDevice, Domain: "a.example", Proto: "tcp"}), "domain"},
		{"domain of too many ports", term(api.Term{Action: api.Allow, Direction: api.FromDevice, Domain: "a.example", Proto: "tcp", Ports: ports(1, 500)}), "ports at most"},
		{"domain with a space", term(api.Term{Action: api.Allow, Direction: api.FromDevice, Domain: "a b.example", Proto: "tcp"}), "domain"},
		{"star in the middle", term(api.Term{Action: api.Allow, Direction: api.FromDevice, Domain: "a.*.example", Proto: "tcp"}), "domain"},
		{"everything below the root", term(api.Term{Action: api.Allow, Direction: api.FromDevice, Domain: "*.", Proto: "tcp"}), "domain"},
		{"remediation", func(d *api.Desired) {
			d.Remediation = []api.Term{{Action: api.Allow, Direction: api.FromDevice, Proto: "any"}}
		}, "remediation"},
		{"local net", func(d *api.Desired) { d.LocalNets = []netip.Prefix{{}} }, "local network"},
	} {
		d := ok()
		c.do(&d)
		_, err := policy.Compile(d, nil, time.Now())
		if ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Compile = %v, want code invalid with %q", c.name, err, c.want)
		}
	}
}

func TestCompile_holds(t *testing.T) {
	now := time.Unix(1000, 0)
	d := api.Desired{Devices: []api.DevicePolicy{{
		Device: "dev_a", Mark: 1, Trust: ringwall.T3, Mode: ringwall.Learn,
		Binding: api.Binding{Port: "p1", MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.0.0.1")},
	}}}
	hold := func(id string, do ringwall.Restriction, expires time.Time) api.Hold {
		return api.Hold{ID: ringwall.HoldID(id), Device: "dev_a", Do: do, Expires: expires}
	}
	for _, c := range []struct {
		name           string
		local, desired []api.Hold
		releases       []api.Release
		want           policy.State
		closed         bool
	}{
		{"none", nil, nil, nil, policy.StateLearn, false},
		{"made here", []api.Hold{hold("h1", ringwall.Quarantine, time.Time{})}, nil, nil, policy.StateQuarantine, true},
		{"made there", nil, []api.Hold{hold("h1", ringwall.Quarantine, now.Add(1))}, nil, policy.StateQuarantine, true},
		{"the strictest", []api.Hold{hold("h1", ringwall.Cutoff, time.Time{})}, []api.Hold{hold("h2", ringwall.Quarantine, time.Time{})}, nil, policy.StateCutoff, true},
		{"expired", []api.Hold{hold("h1", ringwall.Quarantine, now)}, nil, nil, policy.StateLearn, false},
		{"released", []api.Hold{hold("h1", ringwall.Quarantine, time.Time{})}, nil, []api.Release{{Hold: "h1"}}, policy.StateLearn, false},
		{"another released", []api.Hold{hold("h1", ringwall.Quarantine, time.Time{})}, nil, []api.Release{{Hold: "h2"}}, policy.StateQuarantine, true},
	} {
		d.Holds, d.Releases = c.desired, c.releases
		p, err := policy.Compile(d, c.local, now)
		if err != nil {
			t.Fatal(err)
		}
		if dev := p.Devices[0]; dev.State != c.want || dev.Free != policy.StateLearn || (len(p.ClosedPorts) == 1) != c.closed {
			t.Errorf("%s: state %v (free %v), closed %v, want %v", c.name, dev.State, dev.Free, p.ClosedPorts, c.want)
		}
	}
}

func TestCompile_deviceWithoutAddress(t *testing.T) {
	d := api.Desired{Devices: []api.DevicePolicy{
		{Device: "dev_a", Mark: 1, Trust: ringwall.T3, Mode: ringwall.Learn, Binding: api.Binding{MAC: "02:00:00:00:00:01"}},
		{Device: "dev_b", Mark: 2, Trust: ringwall.T3, Mode: ringwall.Enforce, Binding: api.Binding{MAC: "02:00:00:00:00:02"}},
	}}
	p, err := policy.Compile(d, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Devices) != 0 || len(p.Isolated) != 1 || p.Isolated[0] != (policy.MAC{2, 0, 0, 0, 0, 2}) {
		t.Errorf("devices %v, isolated %v; want the enforced one isolated and the learned one a stranger", p.Devices, p.Isolated)
	}
}

func TestDecide_allocatesNothing(t *testing.T) {
	d, f := benchInput(20)
	if n := testing.AllocsPerRun(100, func() { policy.Decide(d, 0, nil, f) }); n != 0 {
		t.Errorf("Decide allocates %v times", n)
	}
}

func benchInput(terms int) (api.DevicePolicy, policy.Flow) {
	d := api.DevicePolicy{Mode: ringwall.Enforce, Trust: ringwall.T3}
	for i := range terms {
		t := api.Term{ID: fmt.Sprint(i), Action: api.Allow, Direction: api.FromDevice, Proto: "tcp", Ports: ports(443, 443)}
		if i%2 == 0 {
			t.CIDR = netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32)
		} else {
			t.Domain = fmt.Sprintf("*.cdn%d.example", i)
		}
		d.Terms = append(d.Terms, t)
	}
	return d, policy.Flow{Direction: api.FromDevice, Local: ap("10.0.0.1:40000"), Remote: ap("203.0.113.1:443"), Proto: "tcp", Names: []string{"x.cdn19.example"}}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{5, 20} {
		d, f := benchInput(n)
		b.Run(fmt.Sprintf("terms=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				policy.Decide(d, 0, nil, f)
			}
		})
	}
}
