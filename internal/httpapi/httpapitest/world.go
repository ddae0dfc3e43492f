package httpapitest

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// World is a Mem that holds a house whose front-door camera was attacked, and a
// foreign organisation with a fleet of its own.
type World struct {
	*Mem

	Owner         audit.Actor // of the house; plays owner and platform
	OwnerPassword string      // login name "owner"
	OwnerToken    string
	Auditor       audit.Actor // of the house; may read, may not act
	AuditorToken  string

	Stranger      audit.Actor // of the foreign organisation
	StrangerToken string

	// Things of the house that tests name.
	BadCamera, GoodCamera, Meter, Newcomer ringwall.DeviceID
	House, Shed                            ringwall.GatewayID
	MeterSIM                               ringwall.SIMID
	Attack, OldIncident                    ringwall.IncidentID
	Waiting, Done                          ringwall.ResponseID
	Assessed                               ringwall.AssessID

	// IDs are those of the house (Own) and of the foreign organisation (Foreign).
	IDs IDs
}

// ID names one thing of the worlds, the same in every run.
func id[T ~string](prefix, name string) T { return T(ringwall.DeriveID(prefix, "httpapitest", name)) }

// NewWorld returns the world as it is at the time that now answers first.
func NewWorld(now func() time.Time) *World {
	w := &World{
		Mem:           NewMem(now),
		OwnerPassword: "correct horse battery", OwnerToken: "rwt_OWNERTOKENOFTHETESTWORLD", AuditorToken: "rwt_AUDITORTOKENOFTHETESTWORLD", StrangerToken: "rwt_STRANGERTOKENOFTHETESTWORLD",
		BadCamera: id[ringwall.DeviceID]("dev", "front-door"), GoodCamera: id[ringwall.DeviceID]("dev", "garage"), Meter: id[ringwall.DeviceID]("dev", "meter"), Newcomer: id[ringwall.DeviceID]("dev", "newcomer"),
		House: id[ringwall.GatewayID]("gw", "house"), Shed: id[ringwall.GatewayID]("gw", "shed"), MeterSIM: id[ringwall.SIMID]("sim", "meter"),
		Attack: id[ringwall.IncidentID]("inc", "front-door"), OldIncident: id[ringwall.IncidentID]("inc", "meter"),
		Waiting: id[ringwall.ResponseID]("rsp", "suspend"), Done: id[ringwall.ResponseID]("rsp", "quarantine"), Assessed: id[ringwall.AssessID]("asm", "front-door"),
	}
	house, foreign := id[ringwall.OrgID]("org", "house"), id[ringwall.OrgID]("org", "foreign")
	w.Owner = audit.Actor{Kind: audit.KindUser, ID: id[string]("usr", "owner"), Org: house, Parts: []ringwall.Part{ringwall.PartOwner, ringwall.PartPlatform}, Name: "owner"}
	w.Auditor = audit.Actor{Kind: audit.KindUser, ID: id[string]("usr", "auditor"), Org: house, Parts: []ringwall.Part{ringwall.PartAuditor}, Name: "auditor"}
	w.Stranger = audit.Actor{Kind: audit.KindUser, ID: id[string]("usr", "stranger"), Org: foreign, Parts: []ringwall.Part{ringwall.PartOwner}, Name: "stranger"}
	w.Grant(w.Owner, "owner", w.OwnerPassword, w.OwnerToken)
	w.Grant(w.Auditor, "auditor", w.OwnerPassword, w.AuditorToken)
	w.Grant(w.Stranger, "stranger", w.OwnerPassword, w.StrangerToken)

	t := now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.furnish(w.org(house), house, t)
	w.abroad(w.org(foreign), foreign, t)
	w.fillFleet(house, t, w.GoodCamera, w.House)
	w.fillFleet(foreign, t, "", "")
	w.fillTunnels(house, t, w.GoodCamera, w.BadCamera, w.House)
	w.fillTunnels(foreign, t, "", "", "")
	w.fillSIMUse(house, t, w.MeterSIM, w.Meter)
	w.fillSIMUse(foreign, t, id[ringwall.SIMID]("sim", "foreign"), id[ringwall.DeviceID]("dev", "foreign"))
	w.IDs = IDs{Own: w.idsOf(house), Foreign: w.idsOf(foreign)}
	return w
}

// idsOf lists the ids of everything that an organisation has, its own included.
func (m *Mem) idsOf(org ringwall.OrgID) []string {
	h := m.org(org)
	ids := []string{string(org)}
	for k := range h.devices {
		ids = append(ids, string(k))
	}
	for k := range h.gateways {
		ids = append(ids, string(k))
	}
	for k := range h.sims {
		ids = append(ids, string(k))
	}
	for k := range h.incidents {
		ids = append(ids, string(k))
	}
	for k := range h.responses {
		ids = append(ids, string(k))
	}
	for k := range h.assessments {
		ids = append(ids, string(k))
	}
	for k := range h.fleet.groups {
		ids = append(ids, string(k))
	}
	for k := range h.fleet.rollouts {
		ids = append(ids, string(k))
	}
	for k := range h.fleet.templates {
		ids = append(ids, string(k))
	}
	ids = append(ids, h.reportIDs()...)
	for k := range h.tunnels {
		ids = append(ids, string(k))
	}
	for k := range h.simuse.alerts {
		ids = append(ids, string(k))
	}
	for k := range h.simuse.exceptions {
		ids = append(ids, string(k))
	}
	for k := range h.simuse.routes {
		ids = append(ids, string(k))
	}
	for k := range h.remedials {
		ids = append(ids, string(k))
	}
	for _, u := range h.users {
		ids = append(ids, string(u.ID))
	}
	for _, t := range h.tokens {
		ids = append(ids, string(t.ID))
	}
	return ids
}

func binding(mac, ip string) api.Binding {
	return api.Binding{Port: "lan0", MAC: mac, IP: netip.MustParseAddr(ip)}
}

func reason(input string, cap ringwall.Trust, key, text, evidence string, since time.Time) api.TrustReason {
	return api.TrustReason{Input: input, Cap: cap, Key: key, Reason: text, Evidence: evidence, Since: since}
}

// furnish fills the house.
func (w *World) furnish(h *holdings, org ringwall.OrgID, t time.Time) {
	ago := func(d time.Duration) time.Time { return t.Add(-d) }
	hold := api.Hold{ID: id[ringwall.HoldID]("hld", "front-door"), Device: w.BadCamera, Do: ringwall.Quarantine, By: "reflex:mirai-scan", Alert: id[ringwall.AlertID]("alt", "mirai-scan"), Reason: "mirai-scan: 64 targets on ports 23, 2323", Made: ago(8 * time.Minute), Expires: t.Add(24 * time.Hour)}
	bad := api.Device{
		ID: w.BadCamera, Org: org, Name: "Front door camera", Type: "camera", Vendor: "Hikari", Model: "HK-2100", Firmware: "5.4.1 build 160530", Gateway: w.House,
		Binding: binding("02:77:00:00:00:10", "10.77.0.10"), Presence: ringwall.Online, Seen: ago(4 * time.Second), Created: ago(96 * time.Hour),
		Grade: ringwall.HighRisk, Class: ringwall.WatchInRealTime, Coverage: 0.62, Graded: ago(7 * time.Minute), Assess: w.Assessed,
		Trust: ringwall.T1, Enrolled: true, Mode: ringwall.Learn, Generation: 41, Holds: []api.Hold{hold}, Incident: string(w.Attack), Version: 12,
		TrustReasons: []api.TrustReason{
			reason("behaviour", ringwall.T1, "trust.behaviour.incident", "an incident is open that calls for action", string(w.Attack), ago(8*time.Minute)),
			reason("posture", ringwall.T2, "trust.posture.default-credential", "it takes a default credential, as was confirmed", string(w.Assessed), ago(90*time.Hour)),
			reason("root", ringwall.T3, "trust.root.vouched", "no identity of its own; pinned to its port, MAC and IP, and a healthy gateway vouches for it", string(w.House), ago(96*time.Hour)),
		},
		Terms: []api.Term{
			{ID: "r1", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.90/32"), Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}, Why: "remediation"},
		},
	}
	good := api.Device{
		ID: w.GoodCamera, Org: org, Name: "Garage camera", Type: "camera", Vendor: "Axiom", Model: "P3265", Firmware: "11.8.61", Gateway: w.House,
		Binding: binding("02:77:00:00:00:11", "10.77.0.11"), Presence: ringwall.Online, Seen: ago(2 * time.Second), Created: ago(96 * time.Hour),
		Grade: ringwall.MediumRisk, Class: ringwall.WatchPeriodically, Coverage: 0.48, Graded: ago(90 * time.Hour), Assess: id[ringwall.AssessID]("asm", "garage"),
		Trust: ringwall.T3, Enrolled: true, Mode: ringwall.Enforce, Generation: 41, Version: 7,
		TrustReasons: []api.TrustReason{
			reason("root", ringwall.T3, "trust.root.vouched", "no identity of its own; pinned to its port, MAC and IP, and a healthy gateway vouches for it", string(w.House), ago(96*time.Hour)),
			reason("posture", ringwall.T4, "trust.posture.clean", "assessed; nothing found that limits trust", "", ago(90*time.Hour)),
		},
		Terms: []api.Term{
			{ID: "c1", Action: api.Allow, Direction: api.FromDevice, Domain: "*.cloud.axiom.example", Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}, Why: "learned"},
			{ID: "c2", Action: api.Allow, Direction: api.FromDevice, Domain: "ntp.example", Proto: "udp", Ports: []api.PortRange{{First: 123, Last: 123}}, Why: "class:camera"},
			{ID: "c3", Action: api.Allow, Direction: api.ToDevice, Device: id[ringwall.DeviceID]("dev", "phone"), Proto: "tcp", Ports: []api.PortRange{{First: 554, Last: 554}}, Why: "learned"},
			{ID: "c4", Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("203.0.113.0/24"), Proto: "any", Why: "owner"},
		},
	}
	meter := api.Device{
		ID: w.Meter, Org: org, Name: "Electricity meter", Type: "meter", Vendor: "Voltan", Model: "E350", Gateway: w.House, SIM: w.MeterSIM,
		Binding: binding("02:77:00:00:00:20", "10.77.0.20"), Presence: ringwall.Online, Seen: ago(40 * time.Second), Created: ago(96 * time.Hour),
		Grade: ringwall.LowRisk, Class: ringwall.WatchOccasionally, Coverage: 0.81, Graded: ago(80 * time.Hour), Trust: ringwall.T3, Enrolled: true, Mode: ringwall.Enforce, Generation: 41, Version: 4,
		TrustReasons: []api.TrustReason{reason("root", ringwall.T3, "trust.root.own", "a key of its own, authenticated now", "", ago(96*time.Hour))},
	}
	phone := api.Device{
		ID: id[ringwall.DeviceID]("dev", "phone"), Org: org, Name: "Mei's phone", Type: "phone", Gateway: w.House, Binding: binding("02:77:00:00:00:30", "10.77.0.30"),
		Presence: ringwall.Silent, Seen: ago(3 * time.Hour), Created: ago(96 * time.Hour), Trust: ringwall.T3, Enrolled: true, Mode: ringwall.Shadow, Generation: 41, Version: 3,
		TrustReasons: []api.TrustReason{reason("posture", ringwall.T3, "trust.posture.unknown", "not assessed yet", "", ago(96*time.Hour))},
	}
	newcomer := api.Device{
		ID: w.Newcomer, Org: org, Name: "espressif-61", Type: "unknown", Gateway: w.House, Binding: binding("02:77:00:00:00:61", "10.77.0.61"),
		Presence: ringwall.PresenceUnknown, Created: ago(25 * time.Minute), Trust: ringwall.T0, Mode: ringwall.Enforce, Version: 1,
		TrustReasons: []api.TrustReason{reason("enrolment", ringwall.T0, "trust.enrolment.non-self", "never enrolled: not one of ours", "", ago(25*time.Minute))},
	}
	for _, d := range []api.Device{bad, good, meter, phone, newcomer} {
		h.devices[d.ID] = d
	}
	w.posture(h, org, t)
	w.network(h, org, t)
	w.attack(h, org, t)
	h.demo = &api.DemoState{Live: true, Replaced: []string{"telnet server: busybox is not installed here; our own telnetd stands in"}, Attacks: []string{"telnet-guess", "infect", "beacon", "mirai-scan", "unknown-scan", "stranger-video", "sim-swap", "full"}}
	h.tokens = []api.APIToken{{ID: id[ringwall.TokenID]("tok", "grafana"), Name: "grafana", Parts: []ringwall.Part{ringwall.PartAuditor}, Created: ago(50 * time.Hour), Expires: t.Add(900 * time.Hour)}}
	h.audit = []api.AuditEntry{
		{Time: ago(6 * time.Minute), Actor: string(w.Owner.ID), Act: "device.write", Target: "device:" + string(w.GoodCamera), Allowed: true, Why: "people change what is theirs"},
		{Time: ago(8 * time.Minute), Actor: "system:incident", Act: "device.respond", Target: "device:" + string(w.BadCamera), Allowed: true, Why: "the incident part responds"},
		{Time: ago(30 * time.Minute), Actor: string(w.Auditor.ID), Act: "device.write", Target: "device:" + string(w.BadCamera), Allowed: false, Why: "no policy permits it"},
	}
}

// posture fills in assessments.
func (w *World) posture(h *holdings, org ringwall.OrgID, t time.Time) {
	f := func(ind string, m ringwall.Module, o ringwall.Outcome, c ringwall.Confidence, title, evidence, remedy, source string) ringwall.Finding {
		return ringwall.Finding{Indicator: ind, Module: m, Outcome: o, Confidence: c, Title: title, Evidence: []string{evidence}, Remedy: remedy, Source: source, Time: t.Add(-7 * time.Minute)}
	}
	h.assessments[w.Assessed] = api.Assessment{
		ID: w.Assessed, Org: org, Device: w.BadCamera, Target: "10.77.0.10", Started: t.Add(-8 * time.Minute), Ended: t.Add(-7 * time.Minute), Vendor: "Hikari", Model: "HK-2100", Type: "camera",
		Grade: ringwall.HighRisk, Class: ringwall.WatchInRealTime, Best: ringwall.HighRisk, Worst: ringwall.HighRisk, Risk: 83, Coverage: 0.62, Rubric: "2026.1",
		Reasons: []string{"knock-out: observed in an attack", "knock-out: a default password opens it (confirmed)"},
		Modules: []api.ModuleScore{
			{Module: ringwall.Hardware, Best: 0, Expected: 0.5, Worst: 1, Coverage: 0},
			{Module: ringwall.Firmware, Best: 0.4, Expected: 0.6, Worst: 0.8, Coverage: 0.5},
			{Module: ringwall.Application, Best: 0.9, Expected: 0.95, Worst: 1, Coverage: 0.9},
			{Module: ringwall.Data, Best: 0.6, Expected: 0.75, Worst: 0.9, Coverage: 0.7},
			{Module: ringwall.Communication, Best: 0.5, Expected: 0.65, Worst: 0.8, Coverage: 0.8},
		},
		Findings: []ringwall.Finding{
			f(ringwall.ObservedCompromise, ringwall.Application, ringwall.Fail, ringwall.Confirmed, "The device took part in an attack", "incident at stage propagation", "Change the password, update or reset it, then assess again.", "system:incident"),
			f("AP-01", ringwall.Application, ringwall.Fail, ringwall.Confirmed, "A default password opens the device", "RTSP: a frame of 640x360 was decoded; a random wrong password was refused", "Set a password of its own.", "rtsp-default-credential"),
			f("DA-02", ringwall.Data, ringwall.Fail, ringwall.Observed, "Video travels in clear", "RTP over UDP, no SRTP offered", "Switch on RTSPS, or let the gateway carry it.", "rtsp-transport"),
			f("CO-04", ringwall.Communication, ringwall.Partial, ringwall.Observed, "Telnet is open", "23/tcp answers with a login prompt", "Switch telnet off.", "open-services"),
			f("CO-01", ringwall.Communication, ringwall.Pass, ringwall.Observed, "No service faces the internet", "no port is forwarded", "", "open-services"),
			f("FW-01", ringwall.Firmware, ringwall.Unknown, ringwall.Declared, "Whether firmware is signed is not known", "no image at hand", "Give the firmware image to \"ringwall assess\".", "firmware"),
			f("HW-01", ringwall.Hardware, ringwall.Unknown, ringwall.Declared, "Whether debug ports are closed is not known", "cannot be seen from the network", "", "hardware"),
		},
		Services: []api.Service{{Proto: "tcp", Port: 23, Name: "telnet"}, {Proto: "tcp", Port: 80, Name: "http", Info: "GoAhead-Webs"}, {Proto: "tcp", Port: 554, Name: "rtsp"}, {Proto: "tcp", Port: 8899, Name: "onvif"}},
	}
	password := id[ringwall.RemedialID](ringwall.PrefixRemedial, "password")
	h.remedials[password] = api.Remedial{
		ID: password, Device: w.BadCamera, Indicator: "AP-01", Party: ringwall.PartOwner, Title: "A default password opens the device",
		Remedy: "Set a password of its own.", Effort: "low", Status: "open", Do: "change-password", Target: "onvif", Opened: t.Add(-7 * time.Minute),
	}
	signing := id[ringwall.RemedialID](ringwall.PrefixRemedial, "signing")
	h.remedials[signing] = api.Remedial{
		ID: signing, Device: w.BadCamera, Indicator: "FS-09", Party: ringwall.PartManufacturer, Title: "Updates are checked by checksum only",
		Remedy: "Sign updates and verify them on the device.", Effort: "high", Status: "doing", Opened: t.Add(-90 * time.Hour), Due: t.Add(60 * 24 * time.Hour),
	}
	h.examinations[w.BadCamera] = []api.Examination{{
		ID: id[ringwall.ExamID](ringwall.PrefixExam, "front-door"), Org: org, Device: w.BadCamera, Kind: api.ExamNetwork, Source: "probe", By: "usr_owner",
		Made: t.Add(-7 * time.Minute), Findings: h.assessments[w.Assessed].Findings, Services: h.assessments[w.Assessed].Services,
	}}
	garage := id[ringwall.AssessID]("asm", "garage")
	h.assessments[garage] = api.Assessment{
		ID: garage, Org: org, Device: w.GoodCamera, Target: "10.77.0.11", Started: t.Add(-91 * time.Hour), Ended: t.Add(-90 * time.Hour), Type: "camera",
		Grade: ringwall.MediumRisk, Class: ringwall.WatchPeriodically, Best: ringwall.LowRisk, Worst: ringwall.HighRisk, Risk: 41, Coverage: 0.48, Rubric: "2026.1",
		Reasons: []string{"too much is unknown for low"},
		Modules: []api.ModuleScore{{Module: ringwall.Application, Best: 0.05, Expected: 0.1, Worst: 0.2, Coverage: 0.9}, {Module: ringwall.Firmware, Best: 0, Expected: 0.5, Worst: 1, Coverage: 0}},
		Findings: []ringwall.Finding{
			f("AP-01", ringwall.Application, ringwall.Pass, ringwall.Confirmed, "No default password opens the device", "214 pairs refused on RTSP, HTTP and ONVIF", "", "rtsp-default-credential"),
			f("FW-01", ringwall.Firmware, ringwall.Unknown, ringwall.Declared, "Whether firmware is signed is not known", "no image at hand", "", "firmware"),
		},
	}
}

// network fills in gateways and SIMs.
func (w *World) network(h *holdings, org ringwall.OrgID, t time.Time) {
	h.gateways[w.House] = api.Gateway{
		ID: w.House, Org: org, Name: "House gateway", Enrolled: t.Add(-97 * time.Hour), Seen: t.Add(-3 * time.Second), Online: true, Desired: 41, InForce: 41,
		Hash: "9f2c5a77e1b04d6c8a3f", Devices: 5, Arrival: ringwall.Learn, Resolver: "198.51.100.53:53", LocalNets: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")},
		Remediate:  []api.Term{{ID: "r1", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.90/32"), Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}}},
		Health:     &api.Health{Version: "0.1.0", Uptime: 97 * time.Hour, Tier: "nft+conntrack", Devices: 5, Packets: 48_211_904, WALBytes: 1_204_224, RSSBytes: 31 << 20, DNSRunning: true},
		CertExpiry: t.Add(61 * 24 * time.Hour),
	}
	h.gateways[w.Shed] = api.Gateway{
		ID: w.Shed, Org: org, Name: "Shed gateway", Enrolled: t.Add(-40 * time.Hour), Seen: t.Add(-5 * time.Hour), Desired: 9, InForce: 8,
		LastError: "generation 9 was refused: device mark 7 is used twice", Arrival: ringwall.Enforce, CertExpiry: t.Add(9 * 24 * time.Hour),
	}
	h.sims[w.MeterSIM] = api.SIM{
		ID: w.MeterSIM, Org: org, ICCID: "898604****1234", IMSI: "46004****77", BoundIMEI: "86012345****01", SeenIMEI: "86012345****01", Device: w.Meter, State: "active",
		Services: []string{"data"}, Peers: []string{"198.51.100.21"}, LastUsage: t.Add(-9 * time.Minute), Bytes: 18_443_221, Records: 1204,
	}
	spare := id[ringwall.SIMID]("sim", "spare")
	h.sims[spare] = api.SIM{ID: spare, Org: org, ICCID: "898604****9911", IMSI: "46004****12", State: "unknown", Services: []string{"data", "sms"}}
}

// abroad fills the foreign organisation: one of each, all with names that no
// list of the house may show.
func (w *World) abroad(h *holdings, org ringwall.OrgID, t time.Time) {
	dev, gw, sim := id[ringwall.DeviceID]("dev", "foreign"), id[ringwall.GatewayID]("gw", "foreign"), id[ringwall.SIMID]("sim", "foreign")
	inc, rsp, asm := id[ringwall.IncidentID]("inc", "foreign"), id[ringwall.ResponseID]("rsp", "foreign"), id[ringwall.AssessID]("asm", "foreign")
	s := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(dev)}
	h.devices[dev] = api.Device{ID: dev, Org: org, Name: "Foreign camera", Type: "camera", Gateway: gw, SIM: sim, Presence: ringwall.Online, Grade: ringwall.LowRisk, Assess: asm, Trust: ringwall.T3, Enrolled: true, Incident: string(inc), Version: 1, Created: t}
	h.gateways[gw] = api.Gateway{ID: gw, Org: org, Name: "Foreign gateway", Online: true, Devices: 1}
	h.sims[sim] = api.SIM{ID: sim, Org: org, ICCID: "898601****0000", IMSI: "46001****00", Device: dev, State: "active"}
	h.incidents[inc] = api.Incident{ID: inc, Org: org, Subject: s, Name: "Foreign camera", Severity: ringwall.High, Stage: ringwall.Command, Status: "new", Opened: t, Updated: t}
	h.responses[rsp] = api.Response{ID: rsp, Org: org, Incident: inc, Kind: "quarantine", Target: s, Do: "ask", Status: "proposed", Made: t}
	h.assessments[asm] = api.Assessment{ID: asm, Org: org, Device: dev, Target: "10.9.0.1", Started: t, Ended: t}
	rem := id[ringwall.RemedialID](ringwall.PrefixRemedial, "foreign")
	h.remedials[rem] = api.Remedial{ID: rem, Device: dev, Indicator: "AP-01", Party: ringwall.PartOwner, Title: "Foreign task", Status: "open", Opened: t}
	h.examinations[dev] = []api.Examination{{ID: id[ringwall.ExamID](ringwall.PrefixExam, "foreign"), Org: org, Device: dev, Kind: api.ExamFirmware, Source: "firmware/foreign", Made: t}}
	h.tokens = []api.APIToken{{ID: id[ringwall.TokenID]("tok", "foreign"), Name: "foreign token", Created: t}}
	h.timeline[s] = []api.TimelineEntry{{Time: t, Kind: ringwall.EventDeviceSeen, Text: "Foreign camera appeared", Actor: string(gw), Event: id[ringwall.EventID]("evt", "foreign")}}
	h.flows[dev] = []api.FlowRow{{Time: t, Gateway: string(gw), Device: dev, Verdict: "allowed"}}
}
