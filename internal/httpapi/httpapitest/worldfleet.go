package httpapitest

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// fillFleet gives an organisation groups, a rollout under way and one that
// stopped, and a template. The caller holds mu.
func (m *Mem) fillFleet(org ringwall.OrgID, t time.Time, device ringwall.DeviceID, gateway ringwall.GatewayID) {
	h := m.org(org)
	tag := string(org)
	group, mode, template := id[ringwall.GroupID]("grp", tag), ringwall.Enforce, id[ringwall.TemplateID]("tpl", tag)
	ntp := api.Term{ID: "ntp", Action: api.Allow, Direction: api.FromDevice, Domain: "time.vendor.example", Proto: "udp", Ports: []api.PortRange{{First: 123, Last: 123}}}
	h.fleet.groups[group] = api.Group{
		ID: group, Org: org, Name: "Cameras", Note: "all that see", Members: []ringwall.DeviceID{}, Select: &api.Selector{Type: "camera"}, Terms: []api.Term{ntp},
		Made: t.Add(-48 * time.Hour), Changed: t.Add(-time.Hour), Version: 3,
	}
	running, stopped := id[ringwall.RolloutID]("rol", tag+"running"), id[ringwall.RolloutID]("rol", tag+"stopped")
	h.fleet.rollouts[running] = api.Rollout{
		ID: running, Org: org, Name: "Enforce cameras", Change: api.RolloutChange{Group: group, Mode: &mode}, Stages: []int{5, 25, 100}, Soak: api.Duration(time.Hour),
		Status: api.RolloutRunning, Stage: 1, Begun: t.Add(-20 * time.Minute), Since: t.Add(-19 * time.Minute), Waiting: []ringwall.GatewayID{}, Total: 40, Covered: 10,
		Broken: []api.RolloutBreak{}, By: "usr_owner", Made: t.Add(-2 * time.Hour),
		Log: []api.RolloutStep{{Time: t.Add(-2 * time.Hour), What: "begun", By: "usr_owner"}, {Time: t.Add(-2 * time.Hour), What: "stage"}, {Time: t.Add(-20 * time.Minute), What: "stage", Stage: 1}},
	}
	broken := []api.RolloutBreak{}
	if device != "" {
		broken = append(broken, api.RolloutBreak{
			Device: device, Name: "Garage camera", Count: 7, Was: "group/cloud",
			Flow: api.FlowRow{
				Time: t.Add(-25 * time.Hour), Device: device, Gateway: string(gateway), Direction: api.FromDevice, Proto: "tcp", Name: "cloud.vendor.example", Verdict: "refused", Reason: "default",
				Local: netip.MustParseAddrPort("10.77.0.11:40000"), Remote: netip.MustParseAddrPort("198.51.100.20:443"), Packets: 7, Bytes: 420,
			},
		})
	}
	h.fleet.rollouts[stopped] = api.Rollout{
		ID: stopped, Org: org, Name: "New camera terms", Change: api.RolloutChange{Group: group, Terms: &[]api.Term{}}, Stages: []int{5, 100}, Soak: api.Duration(time.Hour),
		Status: api.RolloutStopped, Begun: t.Add(-26 * time.Hour), Waiting: []ringwall.GatewayID{}, Total: 40, Broken: broken,
		Why: "Garage camera was refused cloud.vendor.example tcp/443, which group/cloud allowed before", By: "usr_owner", Made: t.Add(-26 * time.Hour), Ended: t.Add(-25 * time.Hour),
		Log: []api.RolloutStep{{Time: t.Add(-26 * time.Hour), What: "begun", By: "usr_owner"}, {Time: t.Add(-25 * time.Hour), What: "stopped", By: "system:rollout", Why: "Garage camera was refused cloud.vendor.example"}},
	}
	resolver, arrival := "198.51.100.53:53", ringwall.Enforce
	h.fleet.templates[template] = []api.Template{{
		ID: template, Org: org, Name: "Branch office", Version: 1, Site: api.Site{Resolver: &resolver, Arrival: &arrival, Groups: &[]ringwall.GroupID{group}}, By: "usr_owner", Made: t.Add(-72 * time.Hour),
		Gateways: 12, Behind: 3, Drifted: 1,
	}}
	if gateway != "" {
		g := h.gateways[gateway]
		g.Template, g.TemplateVersion, g.Drift, g.Protocol = template, 1, []string{"resolver"}, api.Version
		g.Flags = []string{api.FlagDrift, api.FlagClock}
		g.Notices = []api.GatewayNotice{{
			Notice: api.Notice{Kind: api.NoticeMappingTry, Device: device, Text: "tcp/554", Time: t.Add(-time.Hour)}, First: t.Add(-3 * time.Hour), Last: t.Add(-time.Hour), Total: 4,
		}}
		h.gateways[gateway] = g
	}
}
