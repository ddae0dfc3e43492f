package policy_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

// oneTerm judges a flow by one term and a plain allow of the rest.
func oneTerm(t api.Term, f policy.Flow, others ...api.Term) policy.Verdict {
	t.ID, t.Direction = "t", api.FromDevice
	if t.Proto == "" {
		t.Proto = "tcp"
	}
	if t.Domain == "" {
		t.CIDR = netip.MustParsePrefix("198.51.100.0/24")
	}
	d := api.DevicePolicy{Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: append([]api.Term{t}, others...)}
	f.Direction, f.Remote = api.FromDevice, ap("198.51.100.20:443")
	if f.Proto == "" {
		f.Proto = "tcp"
	}
	s := policy.Site{Zones: policytest.Zones()}
	return s.Decide(&d, 0, &f)
}

func TestDecide_inside(t *testing.T) {
	rest := api.Term{ID: "rest", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"}
	tls := func(host string) *policy.Seen {
		return &policy.Seen{Proto: "tls", Host: host, TLS: 0x0304, Complete: true}
	}
	http := func(method, host, path string) *policy.Seen {
		return &policy.Seen{Proto: "http", Method: method, Host: host, Path: path, Complete: true}
	}
	mqtt := func(method, topic string) *policy.Seen {
		return &policy.Seen{Proto: "mqtt", Method: method, Path: topic, Complete: true}
	}
	ech := tls("cloud.example")
	ech.ECH = true
	old := tls("cloud.example")
	old.TLS = 0x0302
	half := tls("cloud.example")
	half.Complete = false
	sdk := http("GET", "cloud.example", "/api/x")
	sdk.TLS = 0x0304
	sni := api.Inside{Proto: "tls", Hosts: []string{"cloud.example"}}
	optional := api.Inside{Proto: "tls", Hosts: []string{"cloud.example"}, NameOptional: true}
	api1 := api.Inside{Proto: "http", Hosts: []string{"cloud.example"}, Paths: []string{"/api/*"}, Methods: []string{"GET"}}
	admin := api.Inside{Proto: "http", Paths: []string{"/admin/*", "/admin"}}
	up := api.Inside{Proto: "mqtt", Paths: []string{"cam/+/up"}, Methods: []string{"PUBLISH"}}
	allow, deny := api.Allow, api.Deny
	for _, c := range []struct {
		name   string
		action api.Action
		in     api.Inside
		rest   bool // all else is allowed
		seen   *policy.Seen
		want   string // reason
	}{
		{"nobody looked", allow, sni, false, nil, "inspect"},
		{"the name", allow, sni, false, tls("cloud.example"), "allow"},
		{"capitals", allow, sni, false, tls("CLOUD.example"), "allow"},
		{"another name", allow, sni, false, tls("c2.example"), "default"},
		{"no name", allow, sni, false, tls(""), "default"},
		{"no name, optional", allow, optional, false, tls(""), "allow"},
		{"another name, optional", allow, optional, false, tls("c2.example"), "default"},
		{"ECH", allow, sni, false, ech, "default"},
		{"ECH, optional", allow, optional, false, ech, "default"},
		{"half a hello", allow, sni, false, half, "inspect"},
		{"no TLS at all", allow, sni, false, http("GET", "cloud.example", "/"), "default"},
		{"something else", allow, sni, false, &policy.Seen{Complete: true}, "default"},
		{"something else, open anyway", allow, sni, true, &policy.Seen{Complete: true}, "allow"},
		{"open anyway", allow, sni, true, nil, "allow"},
		{"old TLS", allow, api.Inside{Proto: "tls", MinTLS: "1.2"}, false, old, "default"},
		{"new TLS", allow, api.Inside{Proto: "tls", MinTLS: "1.3"}, false, tls(""), "allow"},
		{"path", allow, api1, false, http("GET", "cloud.example", "/api/x"), "allow"},
		{"path of the SDK inside TLS", allow, api1, false, sdk, "allow"},
		{"path inside TLS at a gateway", allow, api1, false, tls("cloud.example"), "default"},
		{"other path", allow, api1, false, http("GET", "cloud.example", "/admin"), "default"},
		{"climbing path", allow, api1, false, http("GET", "cloud.example", "/api/../admin"), "default"},
		{"other method", allow, api1, false, http("POST", "cloud.example", "/api/x"), "default"},
		{"other host", allow, api1, false, http("GET", "c2.example", "/api/x"), "default"},
		{"denied path, nobody looked", deny, admin, true, nil, "inspect"},
		{"denied path, nothing allowed", deny, admin, false, nil, "default"},
		{"denied path", deny, admin, true, http("GET", "x.example", "/admin/users"), "deny"},
		{"denied path, climbing", deny, admin, true, http("GET", "x.example", "/x/../admin"), "deny"},
		{"denied path, escaped", deny, admin, true, http("GET", "x.example", "/%61dmin"), "deny"},
		{"other than denied", deny, admin, true, http("GET", "x.example", "/index"), "allow"},
		{"denied path and TLS", deny, admin, true, tls("x.example"), "deny"},
		{"denied path and SSH", deny, admin, true, &policy.Seen{Complete: true}, "allow"},
		{"denied name", deny, sni, true, tls("cloud.example"), "deny"},
		{"denied name hidden", deny, sni, true, ech, "deny"},
		{"denied name not shown", deny, sni, true, tls(""), "deny"},
		{"denied name not shown, optional", deny, optional, true, tls(""), "allow"},
		{"other than the denied name", deny, sni, true, tls("x.example"), "allow"},
		{"publish", allow, up, false, mqtt("PUBLISH", "cam/7/up"), "allow"},
		{"publish elsewhere", allow, up, false, mqtt("PUBLISH", "cmd/7"), "default"},
		{"subscribe", allow, up, false, mqtt("SUBSCRIBE", "cam/7/up"), "default"},
		{"connect", allow, up, false, mqtt("CONNECT", ""), "allow"},
		{"publish to a filter", allow, up, false, mqtt("PUBLISH", "cam/+/up"), "default"},
	} {
		var others []api.Term
		if c.rest {
			others = []api.Term{rest}
		}
		term := api.Term{Action: c.action, Inside: &c.in}
		v := oneTerm(term, policy.Flow{Inside: c.seen}, others...)
		if v.Reason != c.want || v.Pass != (c.want == "allow") || v.Inspect != (c.want == "inspect") {
			t.Errorf("%s: %+v, want reason %q", c.name, v, c.want)
		}
	}
	// The term's own domain is what has to be shown where it names no hosts.
	named := api.Term{Action: allow, Domain: "*.cdn.example", Inside: &api.Inside{Proto: "tls"}}
	for host, pass := range map[string]bool{"a.cdn.example": true, "b.cdn.example": true, "c2.example": false, "": false} {
		if v := oneTerm(named, policy.Flow{Names: []string{"a.cdn.example"}, Inside: tls(host)}); v.Pass != pass {
			t.Errorf("%q shown to the address of a.cdn.example: %+v", host, v)
		}
	}
	if v := oneTerm(named, policy.Flow{Names: []string{"other.example"}, Inside: tls("a.cdn.example")}); v.Pass {
		t.Errorf("a name that is shown opens an address that is not of the name: %+v", v)
	}
}

func TestCanonicalPath(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a/b": "/a/b", "/a/": "/a/", "/a?x=/..": "/a", "/a//b": "/a/b", "/a/./b": "/a/b", "/a/../b": "/b", "/a/b/..": "/a/",
		"/%61dmin": "/admin", "/a%2e%2e/b": "/a../b", "/%2e%2e/b": "!", "/a/%2E%2E/b": "/b", "/a%20b": "/a%20b", "/%e4%bd%a0": "/%E4%BD%A0", "*": "*",
		"": "!", "a": "!", "/..": "!", "/a%2fb": "!", "/a%5cb": "!", "/a\\b": "!", "/a%00": "!", "/a%zz": "!", "/a%2": "!", "/a;b": "!", "/a b": "!", "/a%252e": "!", "http://x/": "!",
	} {
		got, ok := policy.CanonicalPath(in)
		if !ok {
			got = "!"
		}
		if got != want {
			t.Errorf("CanonicalPath(%q) = %q, want %q", in, got, want)
		}
	}
}

// A path that comes out is clean, stays what it is, and cannot climb.
func FuzzCanonicalPath(f *testing.F) {
	for _, s := range []string{"/a/b", "/a/../b?c", "/%2e%2e/", "//a//", "/a%2", "*", "/a;b/../c", "/%C3%A4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		p, ok := policy.CanonicalPath(in)
		if !ok {
			return
		}
		again, ok := policy.CanonicalPath(p)
		if !ok || again != p || strings.Contains(p, "//") || strings.Contains(p+"/", "/../") || strings.Contains(p+"/", "/./") || p != "*" && p[0] != '/' {
			t.Errorf("CanonicalPath(%q) = %q, and of that %q, %v", in, p, again, ok)
		}
	})
}

func TestShownName(t *testing.T) {
	remote := netip.MustParseAddr("198.51.100.20")
	for in, want := range map[string]string{
		"a.example": "a.example", "a.example:8080": "a.example", "a.example.": "a.example", "user@a.example": "a.example",
		"198.51.100.20": "", "198.51.100.20:80": "", "198.51.100.21": "198.51.100.21", "[2001:db8::1]:80": "2001:db8::1", "[::ffff:198.51.100.20]": "", "": "",
	} {
		if got := policy.ShownName(in, remote); got != want {
			t.Errorf("ShownName(%q) = %q, want %q", in, got, want)
		}
	}
}

// Filters and topics of MQTT 5.0 section 4.7, against the definition: a filter
// covers another when it matches every topic that the other matches.
func TestDecide_topics(t *testing.T) {
	levels := []string{"a", "b", "", "$s"}
	var topics []string
	for _, x := range levels {
		if x != "" {
			topics = append(topics, x)
		}
		for _, y := range levels {
			topics = append(topics, x+"/"+y)
			for _, z := range levels {
				topics = append(topics, x+"/"+y+"/"+z)
			}
		}
	}
	filters := []string{"a", "a/b", "a/+", "+", "+/b", "a/#", "#", "+/+", "+/#", "a/+/b", "a/b/#", "$s/#", "$s/+", "/+", "a/", "+/b/#"}
	pass := func(filter, method, topic string, action api.Action) bool {
		in := api.Inside{Proto: "mqtt", Paths: []string{filter}, Methods: []string{method}}
		rest := api.Term{ID: "rest", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"}
		if action == api.Allow {
			rest.Action, rest.Ports = api.Deny, ports(1, 1)
		}
		return oneTerm(api.Term{Action: action, Inside: &in}, policy.Flow{Inside: &policy.Seen{Proto: "mqtt", Method: method, Path: topic, Complete: true}}, rest).Pass
	}
	match := func(filter, topic string) bool { return pass(filter, "PUBLISH", topic, api.Allow) }
	for _, c := range []struct {
		filter, topic string
		want          bool
	}{ // examples of the standard
		{"sport/tennis/player1/#", "sport/tennis/player1", true}, {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
		{"sport/tennis/+", "sport/tennis/player1", true}, {"sport/tennis/+", "sport/tennis/player1/ranking", false}, {"sport/+", "sport", false},
		{"sport/+", "sport/", true}, {"+/+", "/finance", true}, {"/+", "/finance", true}, {"+", "/finance", false},
		{"#", "$SYS/monitor", false}, {"+/monitor/Clients", "$SYS/monitor/Clients", false}, {"$SYS/#", "$SYS/monitor", true},
	} {
		if got := match(c.filter, c.topic); got != c.want {
			t.Errorf("filter %q, topic %q: %v", c.filter, c.topic, got)
		}
	}
	for _, f := range filters {
		for _, g := range filters {
			covers, meets := true, false
			for _, topic := range topics {
				inF, inG := match(f, topic), match(g, topic)
				covers = covers && (inF || !inG)
				meets = meets || inF && inG
			}
			if got := pass(f, "SUBSCRIBE", g, api.Allow); got && !covers {
				t.Errorf("%q lets one subscribe to %q, which is more", f, g)
			} else if !got && covers && g != "+/#" && f != "+/#" { // "+/#" is "#" without saying so
				t.Errorf("%q does not let one subscribe to %q, which is less", f, g)
			}
			if got := !pass(f, "SUBSCRIBE", g, api.Deny); got != meets {
				t.Errorf("%q denied: subscribing to %q denied: %v, want %v", f, g, got, meets)
			}
		}
	}
	if !pass("cam/#", "SUBSCRIBE", "$share/group/cam/+/up", api.Allow) || pass("cam/#", "SUBSCRIBE", "$share/group/#", api.Allow) || pass("cam/#", "SUBSCRIBE", "$share/cam", api.Allow) {
		t.Error("a shared subscription is not judged by its filter")
	}
}

func TestDecide_windows(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	night := api.Window{Zone: "Asia/Shanghai", From: "22:00", To: "06:00"}
	work := api.Window{Zone: "Europe/Berlin", Days: []string{"mon", "tue"}, From: "08:00", To: "17:30"}
	late := api.Window{Days: []string{"sat"}, From: "23:00", To: "02:00"}
	for _, c := range []struct {
		w    api.Window
		at   string
		open bool
	}{
		{night, "2026-11-21T14:00:00Z", true}, {night, "2026-11-21T13:59:59Z", false}, {night, "2026-11-21T21:59:59Z", true}, {night, "2026-11-21T22:00:00Z", false},
		{work, "2026-11-23T07:00:00Z", true}, {work, "2026-11-23T06:59:00Z", false}, {work, "2026-11-24T16:29:00Z", true}, {work, "2026-11-25T10:00:00Z", false},
		{work, "2026-11-17T06:00:00Z", true}, // in the zone's table, summer time ends on the 22nd
		{late, "2026-11-21T23:30:00Z", true}, {late, "2026-11-22T01:59:00Z", true}, {late, "2026-11-22T02:00:00Z", false}, {late, "2026-11-22T23:30:00Z", false}, {late, "2026-11-21T01:00:00Z", false},
		{api.Window{From: "00:00", To: "24:00"}, "2026-11-21T12:00:00Z", true}, {api.Window{From: "08:00", To: "08:00", Days: []string{"sat"}}, "2026-11-22T07:59:00Z", true},
		{api.Window{Zone: "Mars/Olympus", From: "00:00", To: "24:00"}, "2026-11-21T12:00:00Z", false}, // nobody knows
	} {
		if v := oneTerm(api.Term{Action: api.Allow, Window: &c.w}, policy.Flow{At: at(c.at)}); v.Pass != c.open {
			t.Errorf("%+v at %s: %+v, want open %v", c.w, c.at, v, c.open)
		}
	}
	all := api.Window{From: "00:00", To: "24:00"}
	if oneTerm(api.Term{Action: api.Allow, Window: &all}, policy.Flow{}).Pass {
		t.Error("a window opens without a time")
	}
	rest := api.Term{ID: "rest", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"}
	if oneTerm(api.Term{Action: api.Deny, Window: &night}, policy.Flow{}, rest).Pass {
		t.Error("a denying window is off without a time")
	}
}

// Until is the first moment at which the plan of later differs, found by trying
// every minute.
func TestCompile_until(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := policytest.World{R: rand.New(rand.NewPCG(seed, 2)), Features: policytest.Windows, Devices: 2}
	moved := 0
	for range 12 {
		d := w.Desired()
		for i := range d.Devices {
			d.Devices[i].Terms = append(d.Devices[i].Terms, api.Term{ID: "w", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("192.0.2.0/24"), Proto: "tcp",
				Window: &api.Window{Zone: "Europe/Berlin", From: "07:30", To: "22:00", Days: [][]string{nil, {"sun"}}[w.R.IntN(2)]}})
		}
		now := w.Time()
		p, err := policy.Compile(d, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if !p.Until.After(now) || p.Until.After(now.AddDate(0, 0, 8)) {
			t.Fatalf("at %s: until %s", now, p.Until)
		}
		for at := now; at.Before(p.Until); at = at.Add(17 * time.Minute) {
			q, err := policy.Compile(d, nil, at)
			if err != nil {
				t.Fatal(err)
			}
			if !q.Until.Equal(p.Until) {
				t.Fatalf("until %s as of %s, %s as of %s", p.Until, now, q.Until, at)
			}
			if q.Until = p.Until; !q.Equal(p) {
				t.Fatalf("the plan of %s holds until %s, but that of %s differs", now, p.Until, at)
			}
		}
		q, err := policy.Compile(d, nil, p.Until)
		if err != nil {
			t.Fatal(err)
		}
		if q.Until = p.Until; !q.Equal(p) {
			moved++
		}
	}
	if moved == 0 {
		t.Error("no plan moved when it was said to")
	}
	if p, err := policy.Compile(api.Desired{}, nil, w.Time()); err != nil || !p.Until.IsZero() {
		t.Errorf("without windows: until %s, %v", p.Until, err)
	}
}

func TestCheck_whatLooksFurther(t *testing.T) {
	good := func() api.Term {
		return api.Term{ID: "t", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "tcp"}
	}
	uid := uint32(5)
	for _, c := range []struct {
		name string
		do   func(*api.Term)
		want string // "" = good
	}{
		{"tls", func(t *api.Term) {
			t.Inside = &api.Inside{Proto: "tls", Hosts: []string{"*.a.example"}, MinTLS: "1.2"}
		}, ""},
		{"http", func(t *api.Term) {
			t.Inside = &api.Inside{Proto: "http", Paths: []string{"/", "/a/*", "/a/b", "/*", "*"}, Methods: []string{"GET", "M-SEARCH"}}
		}, ""},
		{"mqtt", func(t *api.Term) {
			t.Inside = &api.Inside{Proto: "mqtt", Paths: []string{"a/+/#"}, Methods: []string{"SUBSCRIBE"}}
		}, ""},
		{"window", func(t *api.Term) {
			t.Window = &api.Window{Zone: "Asia/Shanghai", Days: []string{"mon"}, From: "22:00", To: "06:00"}
		}, ""},
		{"limit", func(t *api.Term) { t.Limit = &api.Limit{Quota: 5, Per: "month"} }, ""},
		{"who", func(t *api.Term) { t.Who = &api.Who{UID: &uid, Cgroup: "system.slice/x.service"} }, ""},
		{"gateway", func(t *api.Term) { t.CIDR, t.Gateway = netip.Prefix{}, true }, ""},
		{"inside of what", func(t *api.Term) { t.Inside = &api.Inside{Proto: "ftp"} }, "none of tls"},
		{"http over icmp", func(t *api.Term) { t.Proto, t.Inside = "icmp", &api.Inside{Proto: "http"} }, "does not run over"},
		{"coap over tcp", func(t *api.Term) { t.Inside = &api.Inside{Proto: "coap"} }, "does not run over"},
		{"host of mqtt", func(t *api.Term) { t.Inside = &api.Inside{Proto: "mqtt", Hosts: []string{"a.example"}} }, "no host"},
		{"path of tls", func(t *api.Term) { t.Inside = &api.Inside{Proto: "tls", Paths: []string{"/"}} }, "no path"},
		{"relative path", func(t *api.Term) { t.Inside = &api.Inside{Proto: "http", Paths: []string{"a/b"}} }, "not written as"},
		{"star in the middle", func(t *api.Term) { t.Inside = &api.Inside{Proto: "http", Paths: []string{"/a*"}} }, "not written as"},
		{"climbing", func(t *api.Term) { t.Inside = &api.Inside{Proto: "http", Paths: []string{"/a/../b"}} }, "not written as"},
		{"filter", func(t *api.Term) { t.Inside = &api.Inside{Proto: "mqtt", Paths: []string{"a/#/b"}} }, "no topic filter"},
		{"method", func(t *api.Term) { t.Inside = &api.Inside{Proto: "http", Methods: []string{"get"}} }, "capitals"},
		{"mqtt method", func(t *api.Term) { t.Inside = &api.Inside{Proto: "mqtt", Methods: []string{"CONNECT"}} }, "neither PUBLISH"},
		{"tls 1.1", func(t *api.Term) { t.Inside = &api.Inside{Proto: "tls", MinTLS: "1.1"} }, "neither 1.2"},
		{"least version denied", func(t *api.Term) { t.Action, t.Inside = api.Deny, &api.Inside{Proto: "tls", MinTLS: "1.2"} }, "least version"},
		{"too many hosts", func(t *api.Term) {
			t.Inside = &api.Inside{Proto: "tls", Hosts: make([]string, policy.MaxPatterns+1)}
		}, "more than"},
		{"hour", func(t *api.Term) { t.Window = &api.Window{From: "24:00", To: "06:00"} }, "no time of day"},
		{"minute", func(t *api.Term) { t.Window = &api.Window{From: "23:60", To: "06:00"} }, "no time of day"},
		{"day", func(t *api.Term) { t.Window = &api.Window{From: "23:00", To: "06:00", Days: []string{"Monday"}} }, "none of mon"},
		{"zone", func(t *api.Term) { t.Window = &api.Window{From: "23:00", To: "06:00", Zone: "a b"} }, "no time zone"},
		{"denied limit", func(t *api.Term) { t.Action, t.Limit = api.Deny, &api.Limit{Flows: 1} }, "limit belongs"},
		{"empty limit", func(t *api.Term) { t.Limit = &api.Limit{} }, "bounds nothing"},
		{"quota per", func(t *api.Term) { t.Limit = &api.Limit{Quota: 1} }, "per what"},
		{"per year", func(t *api.Term) { t.Limit = &api.Limit{Quota: 1, Per: "year"} }, "none of hour"},
		{"nobody", func(t *api.Term) { t.Who = &api.Who{} }, "neither a user"},
		{"cgroup", func(t *api.Term) { t.Who = &api.Who{Cgroup: "/a/../b"} }, "no path"},
		{"program inbound", func(t *api.Term) { t.Direction, t.Who = api.ToDevice, &api.Who{UID: &uid} }, "program of the device"},
		{"gateway opens", func(t *api.Term) { t.CIDR, t.Gateway, t.Direction = netip.Prefix{}, true, api.ToDevice }, "not subject"},
		{"inside of the gateway", func(t *api.Term) {
			t.CIDR, t.Gateway, t.Inside = netip.Prefix{}, true, &api.Inside{Proto: "http"}
		}, "nobody looks"},
		{"private address", func(t *api.Term) { t.Private = true }, "domain only"},
		{"two ends", func(t *api.Term) { t.Controller = "nvr" }, "have 2"},
		{"ports", func(t *api.Term) { t.Ports = make([]api.PortRange, policy.MaxPortRanges+1) }, "ranges of ports"},
	} {
		term := good()
		c.do(&term)
		err := policy.Check(term)
		if c.want == "" && err != nil || c.want != "" && (ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: Check = %v, want %q", c.name, err, c.want)
		}
	}
}

// What an older gateway lets pass, the document lets pass.
func TestNarrow_isNeverWider(t *testing.T) {
	w := world(t, policytest.AllFeatures&^policytest.NameDenies)
	kept := 0
	for range 300 {
		d := w.Desired()
		site := policy.SiteOf(&d)
		n := policy.Narrow(d, 1)
		if _, err := policy.Compile(n, nil, time.Now()); err != nil {
			t.Fatalf("the narrowed document does not compile: %v", err)
		}
		for _, term := range n.Devices[0].Terms {
			if term.Inside != nil || term.Window != nil || term.Limit != nil || term.Who != nil || term.Controller != "" || term.SameMaker || term.Gateway || term.Private {
				t.Fatalf("a gateway of version 1 reads over a part of %s", spell(term))
			}
		}
		for range 60 {
			i := w.R.IntN(len(d.Devices))
			f := w.Flow(&d, i)
			f.Program, f.At = nil, time.Time{} // a version 1 gateway knows neither
			v := policy.Decide(n.Devices[i], 0, n.Remediation, f)
			if !v.Pass || f.Gateway {
				continue
			}
			f.At = w.Time()
			if full := site.Decide(&d.Devices[i], 0, &f); !full.Pass || full.Inspect && !full.Would {
				t.Fatalf("narrowed: %+v, in full: %+v\nflow %+v\nterms %s\nnarrowed %s", v, full, f, spell(d.Devices[i].Terms), spell(n.Devices[i].Terms))
			}
			if v.Reason == "allow" {
				kept++
			}
		}
	}
	if kept < 50 {
		t.Errorf("%d flows stayed open: the test says little", kept)
	}
	d := w.Desired()
	if got := policy.Narrow(d, api.Version); spell(got) != spell(d) {
		t.Error("a gateway of this version gets another document")
	}
	d.Devices[0].Binding = api.Binding{Subscriber: policy.Subscriber([]byte("salt"), "460001234567890"), IP: w.DeviceAddr(0)}
	if n := policy.Narrow(d, 1); len(n.Devices) != len(d.Devices)-1 {
		t.Error("a device without MAC reaches a gateway that cannot bind it")
	}
}

func TestCompile_subscriber(t *testing.T) {
	sub := policy.Subscriber([]byte("salt"), "460001234567890")
	if len(sub) != 32 || sub == policy.Subscriber([]byte("other"), "460001234567890") || strings.Contains(sub, "46000") {
		t.Errorf("Subscriber = %q", sub)
	}
	d := api.Desired{Devices: []api.DevicePolicy{{Device: "dev_a", Mark: 1, Mode: ringwall.Enforce, Trust: ringwall.T3, Binding: api.Binding{Subscriber: sub}}}}
	p, err := policy.Compile(d, nil, time.Now())
	if err != nil || len(p.Devices) != 0 || len(p.Isolated) != 0 {
		t.Fatalf("without an address: %+v, %v", p, err)
	}
	d.Devices[0].Binding.IP = netip.MustParseAddr("10.9.0.7")
	if p, err = policy.Compile(d, nil, time.Now()); err != nil || !p.Devices[0].Subscribed || p.Devices[0].MAC != (policy.MAC{}) {
		t.Fatalf("with one: %+v, %v", p, err)
	}
	d.Devices[0].Binding.Subscriber = "460001234567890"
	if _, err = policy.Compile(d, nil, time.Now()); err == nil || strings.Contains(err.Error(), "460001234567890") {
		t.Errorf("an IMSI in clear: %v", err)
	}
}

// The number of a limit stays while the term does, whatever else changes.
func TestCompile_limitNumbers(t *testing.T) {
	lim := &api.Limit{ByteRate: 1000}
	term := func(id string, l *api.Limit) api.Term {
		return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, Domain: id + ".example", Proto: "tcp", Ports: ports(443, 443), Limit: l}
	}
	compile := func(terms ...api.Term) map[string]uint32 {
		d := api.Desired{Devices: []api.DevicePolicy{{Device: "dev_a", Mark: 1, Binding: api.Binding{MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.0.0.1")}, Limit: lim, Terms: terms}}}
		p, err := policy.Compile(d, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]uint32{}
		for _, l := range p.Devices[0].Limits {
			out[l.Term] = l.ID
		}
		for _, n := range p.Devices[0].Names {
			if l := p.Devices[0].Limits[n.Limit-1]; !strings.HasPrefix(n.Pattern, l.Term) {
				t.Errorf("name %q counts against limit of %q", n.Pattern, l.Term)
			}
		}
		return out
	}
	one, two := compile(term("b", lim)), compile(term("c", lim), term("b", lim), term("a", lim))
	if one["b"] != two["b"] || one[""] != two[""] || len(two) != 4 {
		t.Errorf("numbers moved: %v, %v", one, two)
	}
	if three := compile(term("b", &api.Limit{ByteRate: 2000})); three["b"] == one["b"] {
		t.Error("another limit has the same number: what was counted would be carried over")
	}
}
