package platform

import (
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// TestMetrics_of_gateways: what somebody should look at is counted by kind, and no
// gateway, device or organisation is named.
func TestMetrics_of_gateways(t *testing.T) {
	t.Parallel()
	r := start(t, t.TempDir())
	one, two := r.enrol(), r.enrol()
	svc, who := r.Service(), r.owner()
	if _, err := r.AddOrg(t.Context(), "Neighbour", "neighbour", "a long password for it", []ringwall.Part{ringwall.PartOwner}); err != nil {
		t.Fatal(err)
	}
	tpl, err := svc.PutTemplate(t.Context(), who, "", api.TemplatePut{Name: "site", Site: api.Site{Resolver: text("192.0.2.53:53")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PatchGateway(t.Context(), who, one.answer.Gateway, api.GatewayPatch{Template: &tpl.ID}); err != nil {
		t.Fatal(err)
	}
	if _, err := svc.PatchGateway(t.Context(), who, one.answer.Gateway, api.GatewayPatch{Resolver: text("192.0.2.99:53")}); err != nil {
		t.Fatal(err)
	}
	r.report(one, record(api.RecordHealth, api.Health{Version: "1.2.0", Tier: "nft+conntrack+(no BTF)", Clock: -5 * time.Minute, Lost: 7, Unwritten: 2, DNSRunning: true}))
	r.report(two, record(api.RecordHealth, api.Health{Version: "1.10.0", Tier: "nft+conntrack+fastpath", DNSRunning: true}))
	r.wait("both", func() bool {
		gs, err := svc.FindGateways(t.Context(), who, httpapi.GatewayFilter{})
		return err == nil && len(gs) == 2 && gs[0].Health != nil && gs[1].Health != nil
	})
	values := func() map[string]float64 {
		t.Helper()
		found, err := r.meters.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]float64{}
		for _, f := range found {
			for _, m := range f.Metric {
				key := f.GetName()
				for _, l := range m.Label {
					key += "," + l.GetName() + "=" + l.GetValue()
					if strings.Contains(l.GetValue(), "_") {
						t.Errorf("%s has the label %s", f.GetName(), l)
					}
				}
				out[key] = m.GetGauge().GetValue()
			}
		}
		return out
	}
	got := values()
	for key, want := range map[string]float64{
		"ringwall_gateways,state=online": 2, "ringwall_gateways,state=away": 0, "ringwall_gateways,state=revoked": 0,
		"ringwall_gateway_flags,flag=clock": 1, "ringwall_gateway_flags,flag=old-version": 1, "ringwall_gateway_flags,flag=lost-reports": 1,
		"ringwall_gateway_flags,flag=drift": 1, "ringwall_gateway_flags,flag=fast-path": 1, "ringwall_gateway_flags,flag=dns-down": 0, "ringwall_gateway_flags,flag=away": 0,
		"ringwall_gateway_lost_reports": 9, "ringwall_gateway_clock_offset_seconds_max": 300, "ringwall_descriptions_waiting": 0,
	} {
		if v, ok := got[key]; !ok || v != want {
			t.Errorf("%s = %v (there: %v), want %v", key, v, ok, want)
		}
	}
	n := 0
	for key := range got {
		if strings.HasPrefix(key, "ringwall_gateway_flags,") {
			n++
		}
	}
	if n != len(api.GatewayFlags()) {
		t.Errorf("%d flags are counted, want %d", n, len(api.GatewayFlags()))
	}
}
