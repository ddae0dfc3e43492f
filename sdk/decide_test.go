package sdk

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// BenchmarkDecide is the decision on the path of every dial and request, among 20
// terms, the last of which allows.
func BenchmarkDecide(b *testing.B) {
	dev := api.DevicePolicy{Device: "dev", Mode: ringwall.Enforce, Trust: ringwall.T3}
	for i := range 20 {
		dev.Terms = append(dev.Terms, api.Term{
			ID: fmt.Sprint("t", i), Action: api.Allow, Direction: api.FromDevice, Domain: fmt.Sprintf("h%d.vendor.example", i), Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}},
			Inside: &api.Inside{Proto: "http", Paths: []string{"/v1/*"}, Methods: []string{"GET"}},
		})
	}
	d := api.Desired{Generation: 1, Devices: []api.DevicePolicy{dev}}
	c := &Client{cfg: Config{Now: time.Now}}
	f := &inForce{generation: 1, device: &dev, site: policy.SiteOf(&d), judge: policy.NewJudge(dev, policy.SiteOf(&d)), desired: &d}
	seen := &policy.Seen{Proto: "http", Host: "h19.vendor.example", Path: "/v1/state", Method: "GET", TLS: 0x0304, Complete: true}
	flow := policy.Flow{Direction: api.FromDevice, Proto: "tcp", Remote: netip.MustParseAddrPort("203.0.113.5:443"), Names: []string{"h19.vendor.example"}, Inside: seen}
	b.ReportAllocs()
	for b.Loop() {
		if v := c.decide(f, &flow); !v.Pass {
			b.Fatal(v)
		}
	}
}

// answers resolves every name to one address.
type answers netip.Addr

func (a answers) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.Addr(a)}, nil
}

// FuzzExplain asks about anything: an answer that passes must be one that a term
// of the policy allows, whatever the question looks like.
func FuzzExplain(f *testing.F) {
	dev := api.DevicePolicy{Device: "dev", Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: []api.Term{{
		ID: "only", Action: api.Allow, Direction: api.FromDevice, Domain: "api.example", Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}},
		Inside: &api.Inside{Proto: "http", Paths: []string{"/v1/*"}, Methods: []string{"GET"}},
	}}}
	d := api.Desired{Generation: 1, Devices: []api.DevicePolicy{dev}}
	site := policy.SiteOf(&d)
	c := &Client{cfg: Config{Now: time.Now, Resolver: answers(netip.MustParseAddr("203.0.113.5"))}}
	c.force.Store(&inForce{generation: 1, device: &dev, site: site, judge: policy.NewJudge(dev, site), desired: &d})
	for _, to := range []string{
		"https://api.example/v1/x", "https://api.example/v1/../v2", "https://API.example.:443/v1/%2e%2e/x", "tcp://api.example:443", "in:tcp://192.0.2.1:80", "udp://[::1]:1",
		"coap://api.example/v1/", "https://api.example@evil.example/v1/", "https://203.0.113.5/v1/",
	} {
		f.Add(to, "GET")
	}
	f.Fuzz(func(t *testing.T, to, method string) {
		got, err := c.Explain(context.Background(), Question{To: to, Method: method})
		if err != nil {
			return
		}
		for _, a := range got {
			if a.String() == "" || a.Pass == (a.Refused != nil) {
				t.Fatalf("Explain(%q) = %+v", to, a)
			}
			if !a.Pass {
				continue
			}
			u, err := url.Parse(to)
			if err != nil || u.Scheme != "https" || canonicalName(u.Hostname()) != "api.example" || a.Term != "only" || method != "" && method != "GET" {
				t.Fatalf("Explain(%q, %q) passes: %+v", to, method, a)
			}
			if path, ok := policy.CanonicalPath(u.RequestURI()); !ok || !strings.HasPrefix(path, "/v1/") {
				t.Fatalf("Explain(%q) lets %q pass", to, path)
			}
		}
	})
}
