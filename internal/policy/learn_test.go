package policy_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/policy"
)

// keyed fails unless a reason is told under a known key too, with the parameters
// that it has.
func keyed(t *testing.T, key, text string, params map[string]string) {
	t.Helper()
	names, ok := policy.LearnKeys()[key]
	if !ok || len(names) != len(params) || strings.ContainsAny(text, "{}") {
		t.Errorf("%q is told under %q with %v", text, key, params)
	}
	for _, n := range names {
		if v, ok := params[n]; !ok || !strings.Contains(text, v) {
			t.Errorf("%s does not tell {%s}: %q", key, n, text)
		}
	}
}

func TestLearn(t *testing.T) {
	day := time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)
	var seen []policy.Observation
	add := func(days, times int, o policy.Observation) {
		if o.Direction == "" {
			o.Direction = api.FromDevice
		}
		if o.Proto == "" {
			o.Proto = "tcp"
		}
		for d := range days {
			for i := range times {
				q := o
				q.First = day.AddDate(0, 0, d).Add(time.Duration(i) * time.Minute)
				if !o.First.IsZero() {
					q.First = o.First.AddDate(0, 0, d)
				}
				q.Last, q.Flows, q.Bytes = q.First.Add(time.Second), 1, 100
				seen = append(seen, q)
			}
		}
	}
	at := netip.MustParseAddr
	// A cloud behind many addresses, once without asking for the name again.
	for i := range 6 {
		add(3, 2, policy.Observation{Name: "Cloud.Vendor.Example.", Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), Port: 443})
	}
	add(1, 1, policy.Observation{Addr: at("203.0.113.2"), Port: 443})
	// Media on a dense range of ports, and a scan over scattered ones.
	for p := uint16(20000); p < 20040; p += 2 {
		add(2, 2, policy.Observation{Addr: at("198.51.100.7"), Port: p, Proto: "udp"})
	}
	for i := range 40 {
		add(2, 2, policy.Observation{Addr: at("198.51.100.9"), Port: uint16(1000 + 137*i)})
	}
	add(1, 9, policy.Observation{Addr: at("198.51.100.11"), Port: 8080})                                 // one day
	add(2, 1, policy.Observation{Addr: at("198.51.100.12"), Port: 8080})                                 // twice
	add(3, 3, policy.Observation{Addr: at("198.51.100.13"), Port: 6667, First: day.AddDate(0, 0, 5)})    // after the alert
	add(3, 3, policy.Observation{Addr: at("198.51.100.14"), Port: 23})                                   // denied
	add(3, 3, policy.Observation{Addr: at("198.51.100.15"), Port: 443, Refused: true})                   // was refused
	add(3, 3, policy.Observation{Addr: at("2001:db8::1"), Port: 443})                                    // IPv6
	add(3, 3, policy.Observation{Addr: at("198.51.100.16"), Proto: "47"})                                // GRE
	add(3, 3, policy.Observation{Addr: at("198.51.100.20"), Port: 123, Proto: "udp"})                    // covered
	add(3, 3, policy.Observation{Addr: at("10.77.0.30"), Device: "dev_nvr", Port: 554, Direction: "to"}) // a neighbour
	add(3, 3, policy.Observation{Addr: at("198.51.100.21"), Proto: "icmp", Port: 8, Direction: "from"})  // ping

	d := api.DevicePolicy{Device: "dev_cam", Mode: ringwall.Learn, Trust: ringwall.T0, Terms: []api.Term{
		{ID: "no-telnet", Action: api.Deny, Direction: api.FromDevice, CIDR: mustPrefix("0.0.0.0/0"), Proto: "tcp", Ports: ports(23, 23)},
		{ID: "ntp", Action: api.Allow, Direction: api.FromDevice, CIDR: mustPrefix("198.51.100.20/32"), Proto: "udp", Ports: ports(123, 123)},
	}}
	draft := policy.Learn(seen, d, policy.Site{}, policy.LearnOptions{Alert: day.AddDate(0, 0, 5)})
	var got []string
	for _, x := range draft.Terms {
		if err := policy.Check(x.Term); err != nil {
			t.Errorf("a proposed term is none: %v", err)
		}
		got = append(got, fmt.Sprintf("%s flows %d days %d addrs %d ports %d", policy.TermText(&x.Term), x.Flows, x.Days, len(x.Addrs), x.Ports))
	}
	want := []string{
		"allow udp to 198.51.100.7 on port 20000-20038 flows 80 days 2 addrs 1 ports 20",
		"allow icmp to 198.51.100.21 flows 9 days 3 addrs 1 ports 1",
		"allow tcp to name cloud.vendor.example on port 443 flows 37 days 3 addrs 6 ports 1",
		"allow tcp from device dev_nvr on port 554 flows 9 days 3 addrs 1 ports 1",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("draft:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	why := map[string]string{}
	for _, x := range draft.Dropped {
		why[x.Addr.String()] = x.Why
		keyed(t, x.Key, x.Why, x.Params)
	}
	for _, x := range draft.Terms {
		if x.Note != "" {
			keyed(t, x.NoteKey, x.Note, x.NoteParams)
		}
	}
	for addr, part := range map[string]string{
		"198.51.100.9": "scattered", "198.51.100.11": "on 1 days", "198.51.100.12": "seen 2 times", "198.51.100.13": "after an alert", "198.51.100.14": `"no-telnet" denies`,
		"198.51.100.15": "refused", "2001:db8::1": "IPv6", "198.51.100.16": "no term can speak",
	} {
		if !strings.Contains(why[addr], part) {
			t.Errorf("%s was dropped because %q, want %q", addr, why[addr], part)
		}
	}
	if draft.Covered != 1 {
		t.Errorf("%d needs are covered, want 1", draft.Covered)
	}
	// Without the alert, what came after it is a need like others.
	if all := policy.Learn(seen, d, policy.Site{}, policy.LearnOptions{}); len(all.Terms) != len(draft.Terms)+1 {
		t.Errorf("%d terms without an alert, want one more than %d", len(all.Terms), len(draft.Terms))
	}
	// What is proposed, together with what was there, lets all of it pass, and the rest not.
	d.Mode, d.Trust = ringwall.Enforce, ringwall.T3
	d.Terms = append(d.Terms, draft.APITerms()...)
	for _, o := range seen {
		f := policy.Flow{Direction: o.Direction, Proto: o.Proto, Remote: netip.AddrPortFrom(o.Addr, o.Port), Local: netip.AddrPortFrom(at("10.77.0.10"), o.Port), RemoteDevice: o.Device}
		if o.Name != "" {
			f.Names = []string{"cloud.vendor.example"}
		}
		v := policy.Decide(d, 0, nil, f)
		if _, dropped := why[o.Addr.String()]; v.Pass == dropped && o.Addr != at("203.0.113.2") {
			t.Errorf("%+v was dropped: %v, and the terms say %+v", o, dropped, v)
		}
	}
	if once := policy.Learn(seen, d, policy.Site{}, policy.LearnOptions{}); len(once.Terms) != 1 {
		t.Errorf("learned twice: %d new terms, want that of after the alert", len(once.Terms))
	}
}

func TestObserve(t *testing.T) {
	at := time.Date(2026, 11, 10, 9, 0, 0, 0, time.UTC)
	o := policy.ObserveFlow(flow.Record{Start: at, End: at.Add(time.Hour), Direction: flow.ToDevice, Proto: 6, Local: ap("10.77.0.10:554"), Remote: ap("10.77.0.30:50000"), BytesUp: 5, BytesDown: 6, Verdict: flow.WouldRefuse})
	if o.Port != 554 || o.Proto != "tcp" || o.Bytes != 11 || o.Refused || o.Flows != 1 || !o.Last.Equal(at.Add(time.Hour)) {
		t.Errorf("%+v", o)
	}
	if o = policy.ObserveFlow(flow.Record{Start: at, End: at, Direction: flow.FromDevice, Proto: 47, Remote: ap("203.0.113.1:0"), Verdict: flow.Refused}); o.Proto != "47" || !o.Refused {
		t.Errorf("%+v", o)
	}
	if o = policy.ObservePeer(api.Peer{Direction: api.FromDevice, Addr: netip.MustParseAddr("203.0.113.1"), Proto: "udp", Port: 123, First: at}, at.AddDate(0, 0, 2)); o.Flows != 1 || !o.Last.Equal(at.AddDate(0, 0, 2)) {
		t.Errorf("%+v", o)
	}
}

func TestExplain(t *testing.T) {
	from := api.FromDevice
	d := api.DevicePolicy{Device: "dev_cam", Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: []api.Term{
		{ID: "class:camera/no-admin-out", Action: api.Deny, Direction: from, CIDR: mustPrefix("0.0.0.0/0"), Proto: "tcp", Ports: ports(23, 23), Why: "class:camera"},
		{ID: "cloud", Action: api.Allow, Direction: from, Domain: "cloud.example", Proto: "tcp", Ports: ports(443, 443), Why: "learned", Limit: &api.Limit{ByteRate: 1000}},
		{ID: "night", Action: api.Allow, Direction: from, CIDR: mustPrefix("198.51.100.0/24"), Proto: "tcp", Ports: ports(443, 443), Why: "owner", Window: &api.Window{From: "22:00", To: "06:00"}},
		{ID: "web", Action: api.Allow, Direction: from, CIDR: mustPrefix("203.0.113.0/24"), Proto: "tcp", Inside: &api.Inside{Proto: "http", Paths: []string{"/api/*"}}},
	}}
	noon := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, remote string
		names        []string
		r            ringwall.Restriction
		inside       *policy.Seen
		reason       string
		want         []string // somewhere in it
	}{
		{"allowed", "192.0.2.1:443", []string{"cloud.example"}, 0, nil, "allow", []string{`term "cloud" allows it`, "up to 1000 bytes a second", "learned from"}},
		{"denied", "192.0.2.1:23", nil, 0, nil, "deny", []string{"no allow outweighs", "would have to go", `class \"camera\"`}},
		{"bare address", "192.0.2.1:443", nil, 0, nil, "default", []string{"did not find 192.0.2.1 by a name", "allow tcp to 192.0.2.1 on port 443"}},
		{"other port", "192.0.2.1:8443", []string{"cloud.example"}, 0, nil, "default", []string{`term \"cloud\" would allow it, but port 8443 is not among 443`, "allow tcp to name cloud.example on port 8443"}},
		{"window", "198.51.100.1:443", nil, 0, nil, "default", []string{"its window (every day 22:00-06:00 UTC) is closed"}},
		{"quarantined", "192.0.2.1:443", []string{"cloud.example"}, ringwall.Quarantine, nil, "quarantine", []string{"hold", "released"}},
		{"inspect", "203.0.113.1:80", nil, 0, nil, "inspect", []string{"depends on what stands inside", "an inspector has to look"}},
		{"inside", "203.0.113.1:80", nil, 0, &policy.Seen{Proto: "http", Method: "GET", Path: "/admin", Complete: true}, "default", []string{"what stands inside (http GET /admin)", "(http /api/*)"}},
		{"IPv6", "[2001:db8::1]:443", nil, 0, nil, "ipv6", []string{"given IPv6 addresses"}},
	} {
		f := policy.Flow{Direction: from, Local: ap("10.0.0.1:4000"), Remote: ap(c.remote), Proto: "tcp", Names: c.names, At: noon, Inside: c.inside}
		site := policy.Site{}
		x := site.Explain(&d, c.r, &f)
		if x.Verdict != site.Decide(&d, c.r, &f) || x.Verdict.Reason != c.reason {
			t.Errorf("%s: %+v, want reason %q", c.name, x.Verdict, c.reason)
		}
		text := spell(x)
		for _, w := range c.want {
			if !strings.Contains(text, w) && !strings.Contains(strings.ReplaceAll(text, `\"`, `"`), w) {
				t.Errorf("%s: %q is not in %s", c.name, w, text)
			}
		}
	}
}
