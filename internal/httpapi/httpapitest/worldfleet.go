package httpapitest

import (
	"cmp"
	"net/netip"
	"strings"
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
		Why: "Garage camera was refused cloud.vendor.example tcp/443, which group/cloud allowed before", Reason: &api.Said{
			Key: "rolloutwhy.broken", Params: map[string]string{"device": "Garage camera", "other": "cloud.vendor.example", "service": "tcp/443", "term": "group/cloud"},
			Text: "Garage camera was refused cloud.vendor.example tcp/443, which group/cloud allowed before",
		}, By: "usr_owner", Made: t.Add(-26 * time.Hour), Ended: t.Add(-25 * time.Hour),
		Log: []api.RolloutStep{{Time: t.Add(-26 * time.Hour), What: "begun", By: "usr_owner"}, {Time: t.Add(-25 * time.Hour), What: "stopped", By: "system:rollout", Why: "Garage camera was refused cloud.vendor.example"}},
	}
	if device != "" {
		m.fillDescriptions(h, t, device)
	}
	if device != "" && gateway != "" {
		for n, x := range []api.RemoteTunnel{
			{State: api.TunnelAsked, Port: 80, Minutes: 30, Reason: "set its clock"},
			{State: api.TunnelApproved, Port: 554, Minutes: 60, Reason: "look at its picture while it is aimed", Expires: t.Add(40 * time.Minute), Reported: "up", Connections: 2, Recordings: []api.TunnelRecording{{Name: "0001.age", Begun: t.Add(-10 * time.Minute)}}},
			{State: api.TunnelExpired, Port: 22, Minutes: 15, Reason: "read its log", Ended: t.Add(-20 * time.Hour), Reported: "down", Connections: 1, Recordings: []api.TunnelRecording{{Name: "0001.age", Begun: t.Add(-21 * time.Hour), Bytes: 48_211, SHA256: strings.Repeat("cd", 32), Torn: true}}},
			{State: api.TunnelApproved, Port: 443, Minutes: 10, Reason: "new firmware", Expires: t.Add(5 * time.Minute), Reported: "refused", Why: "the device is cut off"},
		} {
			x.ID, x.Org, x.Device, x.Gateway, x.Asked, x.AskedBy = id[ringwall.TunnelID]("tun", tag+x.State+x.Reason), org, device, gateway, t.Add(-time.Duration(n)*11*time.Hour), "usr_owner"
			h.tunnels[x.ID] = x
		}
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

// fillDescriptions gives a device a usage description in force, with a newer file
// that waits and another URL told, and the others one that is proposed, unsigned,
// or could not be got.
func (m *Mem) fillDescriptions(h *holdings, t time.Time, device ringwall.DeviceID) {
	tls := &api.Inside{Proto: "tls", MinTLS: "1.3"}
	port := func(n uint16) []api.PortRange { return []api.PortRange{{First: n, Last: n}} }
	cloud := api.Term{ID: "mud:from/cloud", Action: api.Allow, Direction: api.FromDevice, Domain: "cloud.vendor.example", Proto: "tcp", Ports: port(443), Inside: tls, Why: "mud:https://mud.vendor.example/lc2.json"}
	night := api.Term{ID: "backup", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("203.0.113.0/28"), Proto: "tcp", Ports: []api.PortRange{{First: 8000, Last: 8010}},
		Window: &api.Window{Zone: "Asia/Shanghai", Days: []string{"sat", "sun"}, From: "01:00", To: "04:00"}, Limit: &api.Limit{ByteRate: 1 << 20, Quota: 5 << 30, Per: "day"}}
	view := api.Term{ID: "mud:to/rtsp", Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "tcp", Ports: port(554), Why: "mud:https://mud.vendor.example/lc2.json"}
	h.fleet.muds[device] = api.MUDState{
		Device: device, URL: "https://mud.vendor.example/lc2.json", From: "device", Status: "approved", Noticed: t.Add(-240 * time.Hour), Fetched: t.Add(-2 * time.Hour), Next: t.Add(46 * time.Hour),
		Signature: "valid", Signer: "CN=mud signing,O=Vendor Cameras", Root: "CN=Vendor root,O=Vendor Cameras", ForceSignature: "valid", Digest: "00", Maker: "mud.vendor.example", Model: "LC-2", Info: "A camera for houses", Supported: true,
		Terms: []api.Term{cloud, night, view}, Pending: []api.Term{cloud}, Told: "https://mud.elsewhere.example/other.json",
		Remarks: []api.Said{
			{Key: "mudnote.tls.pins", Params: map[string]string{"list": "from", "entry": "cloud"}, Text: `entry "cloud" of list "from": of its TLS profile the pins of certificates are not enforced by the inspector, which enforces the least version and the name; they are for detectors`},
			{Text: "access lists stand in \"access-lists\""},
		},
		Changed: &api.PolicyChange{
			Allows: []string{"→ name telemetry.vendor.example tcp/443"}, Refuses: []string{"← local tcp/554"}, Flows: []api.FlowRow{}, From: t, All: true,
			Lines: []api.ChangeLine{
				{Allows: true, Direction: api.FromDevice, Kind: "name", Value: "telemetry.vendor.example", Proto: "tcp", Ports: port(443), When: &api.Condition{Inside: tls}},
				{Direction: api.ToDevice, Kind: "local", Proto: "tcp", Ports: port(554)}, {Direction: api.FromDevice, Kind: "controller", Value: "my-controller", Proto: "any", Over: "IPv6", Deny: true},
				{Direction: api.FromDevice, Kind: "samemaker", Proto: "udp"}, {Direction: api.FromDevice, Kind: "gateway", Proto: "icmp"}, {Direction: api.FromDevice, Kind: "device", Value: string(device), Proto: "other"},
			},
		},
		By: "usr_owner", Decided: t.Add(-200 * time.Hour),
	}
	others := []api.MUDState{
		{URL: "https://mud.strange.example/x.json", From: "file", Status: "proposed", Signature: "invalid", Signer: "CN=somebody", Reason: "it does not hold for this file", Fetched: t.Add(-time.Hour), Supported: false, Terms: []api.Term{cloud}},
		{URL: "https://mud.gone.example/x.json", From: "device", Status: "failed", Error: "mud: there is nothing at https://mud.gone.example/x.json (status 404)", Next: t.Add(time.Hour), Supported: true, Terms: []api.Term{}},
	}
	for _, d := range sorted(h.devices, func(x, y api.Device) int { return cmp.Compare(x.Name, y.Name) }) {
		if d.ID == device || len(others) == 0 {
			continue
		}
		s := others[0]
		s.Device, s.Noticed, others = d.ID, t.Add(-3*time.Hour), others[1:]
		h.fleet.muds[d.ID] = s
	}
	h.mudSettings = api.MUDSettings{Trusted: []api.MUDRoot{{Subject: "CN=Vendor root,O=Vendor Cameras", Digest: strings.Repeat("ab", 32), Until: t.AddDate(4, 0, 0), From: "platform"}}}
}
