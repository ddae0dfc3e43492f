package dnsguard

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// FuzzPolicy reads policy files of any content.
func FuzzPolicy(f *testing.F) {
	p := Policy{Version: 1, Resolver: netip.MustParseAddrPort("198.51.100.53:53"), Arrival: policy.StateLearn,
		Devices: []Device{{ID: "dev_a", Mark: 1, IP: netip.MustParseAddr("10.77.0.10"), State: policy.StateEnforce,
			Names: []policy.Name{{Pattern: "*.a.example", Proto: 6, Ports: []api.PortRange{{First: 443, Last: 443}}}}}}}
	b, err := json.Marshal(p)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte(`{"version":1,"unknown":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parsePolicy(b)
		if err != nil {
			if ringwall.CodeOf(err) != ringwall.Invalid {
				t.Fatalf("parsePolicy = %v, want code invalid", err)
			}
			return
		}
		tab := newTable(*p)
		for _, d := range p.Devices {
			tab.grant(tab.asker(source{addr: d.IP}), "x.a.example")
		}
	})
}
