package inspector

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/resolved"
)

func samplePolicy(t testing.TB) Policy {
	t.Helper()
	d := api.Desired{Version: 2, Generation: 3, Devices: []api.DevicePolicy{
		{Device: "dev_a", Mark: 1, Mode: ringwall.Enforce, Trust: ringwall.T3, Binding: api.Binding{MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.77.0.10")},
			Terms: []api.Term{{ID: "x", Action: api.Allow, Direction: api.FromDevice, Domain: "a.example", Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}, Inside: &api.Inside{Proto: "tls"}}}},
		{Device: "dev_b", Mark: 2, Mode: ringwall.Enforce, Trust: ringwall.T3, Maker: "acme", Binding: api.Binding{MAC: "02:00:00:00:00:02", IP: netip.MustParseAddr("10.77.0.11")},
			Terms: []api.Term{{ID: "y", Action: api.Allow, Direction: api.FromDevice, Domain: "b.example", Proto: "tcp"}}},
	}}
	p, err := policy.Compile(d, []api.Hold{{ID: "h", Device: "dev_b", Do: ringwall.Quarantine}}, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	return PolicyOf(d, p)
}

func TestPolicyOf(t *testing.T) {
	p := samplePolicy(t)
	if len(p.Devices) != 2 || !p.Devices[0].Judged || p.Devices[1].Judged || len(p.Devices[1].Policy.Terms) != 0 || p.Devices[1].Policy.Maker != "acme" || p.Devices[1].Restrict != ringwall.Quarantine || !p.Needed() || p.Generation != 3 {
		t.Errorf("PolicyOf = %+v", p)
	}
}

// FuzzPolicy reads policy files of any content, and asks what it has read.
func FuzzPolicy(f *testing.F) {
	b, err := json.Marshal(samplePolicy(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"devices":[{"policy":{"terms":[{"inside":{}}]},"judged":true,"ip":"10.0.0.1"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePolicy(b)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatalf("parsePolicy = %v, want code invalid", err)
			}
			return
		}
		in := &Inspector{cfg: Config{Now: time.Now}, names: resolved.NewReader("", nil)}
		tab := newTable(*p)
		for _, d := range p.Devices {
			e := ends{"tcp", netip.AddrPortFrom(d.IP, 1), netip.MustParseAddrPort("198.51.100.1:443")}
			in.judge(tab, e, &seen{Seen: policy.Seen{Proto: "tls", Host: "a.example", Complete: true}}, nil)
		}
	})
}

func TestLimits(t *testing.T) {
	now, up := time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC), time.Duration(0)
	l := limits{now: func() time.Time { return now }, uptime: func() time.Duration { return up }}
	of := func(x api.Limit) []bound { return []bound{{"dev_a", "t", x}} }
	// room counts how many flows may be opened at once.
	room := func(list []bound) (n int) {
		for l.enter(list) {
			n++
		}
		return n
	}
	flows := of(api.Limit{Flows: 2})
	if n := room(flows); n != 2 {
		t.Errorf("%d flows at once, want 2", n)
	}
	l.leave(flows)
	if !l.enter(flows) {
		t.Error("a flow that ended is still counted")
	}
	fresh := []bound{{"dev_b", "t", api.Limit{NewFlows: 2}}}
	if n := room(fresh); n != 2 {
		t.Errorf("%d new flows, want 2", n)
	}
	up += 500 * time.Millisecond
	if n := room(fresh); n != 1 {
		t.Errorf("%d new flows half a second later, want 1", n)
	}
	quota := []bound{{"dev_c", "t", api.Limit{Quota: 1000, Per: "month"}}}
	if _, over := l.count(quota, 1000); over {
		t.Error("the last byte of a quota is refused")
	}
	if _, over := l.count(quota, 1); !over || l.enter(quota) {
		t.Error("a quota is used up and nobody minds")
	}
	if now = now.Add(2 * time.Hour); !l.enter(quota) {
		t.Error("in the next month the quota is still used up")
	}
	path := filepath.Join(t.TempDir(), "quota")
	l.count(quota, 900)
	if err := l.save(path); err != nil {
		t.Fatal(err)
	}
	next := limits{now: l.now, uptime: l.uptime}
	if err := next.load(path); err != nil {
		t.Fatal(err)
	}
	if _, over := next.count(quota, 100); over || next.enter(quota) {
		t.Error("the next inspector does not go on from what was used")
	}
	rate := []bound{{"dev_d", "t", api.Limit{ByteRate: 1000}}}
	if wait, _ := l.count(rate, 500); wait != 500*time.Millisecond {
		t.Errorf("500 of 1000 bytes a second: wait %v", wait)
	}
	if wait, _ := l.count(rate, 500); wait != time.Second {
		t.Errorf("and 500 more: wait %v", wait)
	}
}

// FuzzUsage reads files of any content.
func FuzzUsage(f *testing.F) {
	f.Add([]byte(`[{"device":"dev_a","term":"t","period":"2026-01-01T00:00:00Z","used":5}]`))
	f.Add([]byte(`[{"x":1}]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := parseUsage(b); err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatalf("parseUsage = %v, want code invalid", err)
		}
	})
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{"/user=admin&password=secret": "/user=…", "/a/b": "/a/b", "/\xff": "/?"} {
		if got := shown(in); got != want {
			t.Errorf("shown(%q) = %q, want %q", in, got, want)
		}
	}
}
