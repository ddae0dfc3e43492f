package sdk

import (
	"fmt"
	"net/netip"
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
