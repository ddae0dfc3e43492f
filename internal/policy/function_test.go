package policy_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

func meter() api.FunctionProfile {
	return api.FunctionProfile{
		Name: "water meter",
		SMS:  &api.CallUse{In: true, Numbers: []string{"+8613800138000"}, Month: 30},
		Data: &api.DataUse{
			APNs:  []string{"Meters.Grid"},
			Peers: []api.FunctionPeer{{CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "udp", Ports: ports(5684, 5684)}, {Direction: api.ToDevice, CIDR: netip.MustParsePrefix("198.51.100.0/28"), Proto: "tcp", Ports: ports(8883, 8883)}},
			Bytes: 5 << 20,
		},
		Place: &api.PlaceBounds{Countries: []string{"460"}, Areas: []string{"4f01"}},
		Hours: []api.Window{{Zone: "Asia/Shanghai", From: "01:00", To: "04:00"}},
	}
}

func TestCompileFunction(t *testing.T) {
	got, err := policy.CompileFunction(meter())
	if err != nil {
		t.Fatal(err)
	}
	night := &api.Window{Zone: "Asia/Shanghai", From: "01:00", To: "04:00"}
	want := api.FunctionPlan{
		Operator: api.OperatorSettings{
			SMS: api.OperatorService{In: true, Numbers: []string{"+8613800138000"}}, Data: api.OperatorService{In: true, Out: true}, APNs: []string{"Meters.Grid"},
			Peers: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/28"), netip.MustParsePrefix("198.51.100.20/32")},
			Bytes: 5 << 20, Countries: []string{"460"}, Areas: []string{"4f01"},
		},
		Terms: []api.Term{
			{ID: "function/1/1", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "udp", Ports: ports(5684, 5684), Window: night, Why: "function"},
			{ID: "function/2/1", Action: api.Allow, Direction: api.ToDevice, CIDR: netip.MustParsePrefix("198.51.100.0/28"), Proto: "tcp", Ports: ports(8883, 8883), Window: night, Why: "function"},
		},
		Limit: &api.Limit{Quota: 5 << 20, Per: "month"},
		Rules: api.UsageRules{
			Services: []string{"data", "sms"}, Peers: []string{"+8613800138000", "198.51.100.0/28", "198.51.100.20/32", "meters.grid"},
			Countries: []string{"460"}, Areas: []string{"4f01"}, Hours: []api.Window{*night}, Bytes: 5 << 20, Messages: 30, OnlyIn: []string{"sms"},
		},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// What the gateway makes of it: one peer, at night, and nothing else.
	d := api.DevicePolicy{Device: "dev_m", Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: got.Terms, Limit: got.Limit}
	site := policy.Site{Zones: policytest.Zones()}
	at := time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC) // two in the morning there
	for _, c := range []struct {
		remote string
		at     time.Time
		pass   bool
	}{{"198.51.100.20:5684", at, true}, {"198.51.100.20:5684", at.Add(3 * time.Hour), false}, {"198.51.100.21:5684", at, false}, {"198.51.100.20:53", at, false}} {
		if v := site.Decide(&d, 0, &policy.Flow{Direction: api.FromDevice, Remote: ap(c.remote), Proto: "udp", At: c.at}); v.Pass != c.pass {
			t.Errorf("to %s at %s: %+v", c.remote, c.at, v)
		}
	}
}

func TestCompileFunction_names(t *testing.T) {
	p := meter()
	p.Data.Peers = append(p.Data.Peers, api.FunctionPeer{Domain: "head-end.grid.example", Proto: "tcp", Ports: ports(443, 443)})
	got, err := policy.CompileFunction(p)
	if err != nil {
		t.Fatal(err)
	}
	// Records and operators know no names: bounding addresses would refuse the head end.
	if got.Operator.Peers != nil || slices.ContainsFunc(got.Rules.Peers, func(s string) bool { return strings.Contains(s, "198.51") || strings.Contains(s, "head-end") }) || len(got.Terms) != 3 {
		t.Errorf("operator %v, rules %v, %d terms", got.Operator.Peers, got.Rules.Peers, len(got.Terms))
	}
	p.Voice = &api.CallUse{Out: true, Any: true}
	if got, err = policy.CompileFunction(p); err != nil || slices.Contains(got.Rules.Peers, "+8613800138000") || !slices.Contains(got.Operator.SMS.Numbers, "+8613800138000") {
		t.Errorf("calls to anybody, messages from one: %+v, %v", got.Rules, err)
	}
}

// A SIM without data passes nothing, whatever else its device is allowed.
func TestCompileFunction_noData(t *testing.T) {
	got, err := policy.CompileFunction(api.FunctionProfile{Name: "lift alarm", Voice: &api.CallUse{Out: true, Numbers: []string{"112"}}})
	if err != nil || len(got.Rules.Services) != 1 || got.Operator.Data.Out {
		t.Fatalf("%+v, %v", got, err)
	}
	d := api.DevicePolicy{Mode: ringwall.Enforce, Trust: ringwall.T3, IP6: []netip.Addr{netip.MustParseAddr("2001:db8::1")},
		Terms: append(got.Terms, api.Term{ID: "all", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"})}
	for _, remote := range []string{"198.51.100.20:443", "[2001:db8::2]:443"} {
		for _, dir := range []api.Direction{api.FromDevice, api.ToDevice} {
			if v := policy.Decide(d, 0, nil, policy.Flow{Direction: dir, Remote: ap(remote), Local: ap("10.0.0.1:1"), Proto: "tcp"}); v.Reason != policy.ReasonDeny {
				t.Errorf("%s %s: %+v", dir, remote, v)
			}
		}
	}
}

func TestCompileFunction_refuses(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*api.FunctionProfile)
		want string
	}{
		{"no name", func(p *api.FunctionProfile) { p.Name = "" }, "name"},
		{"no numbers", func(p *api.FunctionProfile) { p.SMS.Numbers = nil }, "numbers, or any"},
		{"numbers and any", func(p *api.FunctionProfile) { p.SMS.Any = true }, "numbers, or any"},
		{"letters", func(p *api.FunctionProfile) { p.SMS.Numbers = []string{"+86138x"} }, "number 1"},
		{"no peers", func(p *api.FunctionProfile) { p.Data.Peers = nil }, "peers, or any"},
		{"peer", func(p *api.FunctionProfile) { p.Data.Peers[0].Proto = "gre" }, "protocol"},
		{"apn", func(p *api.FunctionProfile) { p.Data.APNs = []string{"a b"} }, "APN"},
		{"country", func(p *api.FunctionProfile) { p.Place.Countries = []string{"CN"} }, "country"},
		{"cell", func(p *api.FunctionProfile) { p.Place.Cells = []string{""} }, "cell"},
		{"hours", func(p *api.FunctionProfile) { p.Hours[0].From = "late" }, "time of day"},
	} {
		p := meter()
		c.do(&p)
		_, err := policy.CompileFunction(p)
		if ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "+86138") {
			t.Errorf("%s: %v, want code invalid with %q", c.name, err, c.want)
		}
	}
}
