package httpapitest

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// attack fills in the story of the front-door camera, and that of a SIM that
// was over before.
func (w *World) attack(h *holdings, org ringwall.OrgID, t time.Time) {
	s := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(w.BadCamera)}
	at := func(d time.Duration) time.Time { return t.Add(-10*time.Minute + d) }
	alert := func(rule, title, technique string, st ringwall.Stage, sev ringwall.Severity, when time.Time, peer string, ev ringwall.Evidence) ringwall.Alert {
		return ringwall.Alert{
			ID: id[ringwall.AlertID]("alt", rule), Org: org, Time: when, Rule: rule, Nature: ringwall.NatureAttack, Severity: sev, Subject: s, Stage: st,
			Title: title, Evidence: ev, Attack: technique, Gateway: w.House, Peer: netip.MustParseAddr(peer),
		}
	}
	alerts := []ringwall.Alert{
		alert("credential-guessing", "Somebody guesses passwords on telnet", "T1110.001", ringwall.Infection, ringwall.Medium, at(0), "203.0.113.5",
			ringwall.Evidence{Packets: []uint64{11, 24, 37, 52}, Count: 14, First: at(0), Last: at(22 * time.Second), Facts: map[string]string{"service": "telnet", "attempts": "14", "peer": "203.0.113.5"}}),
		alert("binary-download", "The device fetches a program from a bare address", "T1105", ringwall.Infection, ringwall.High, at(41*time.Second), "198.51.100.66",
			ringwall.Evidence{Packets: []uint64{118, 119, 121}, Count: 47, First: at(41 * time.Second), Last: at(43 * time.Second), Facts: map[string]string{"bytes": "48128", "kind": "ELF", "peer": "198.51.100.66"}}),
		alert("failing-beacon", "The device calls one address again and again", "T1071", ringwall.Command, ringwall.High, at(64*time.Second), "198.51.100.67",
			ringwall.Evidence{Packets: []uint64{180, 214, 251}, Count: 9, First: at(46 * time.Second), Last: at(64 * time.Second), Facts: map[string]string{"every": "5s", "port": "48101", "peer": "198.51.100.67"}}),
		alert("mirai-scan", "The device scans the internet as Mirai does", "T1046", ringwall.Propagation, ringwall.Critical, at(120*time.Second), "198.51.100.201",
			ringwall.Evidence{Packets: []uint64{402, 403, 404, 405, 406, 407, 408, 409}, Count: 512, First: at(119 * time.Second), Last: at(140 * time.Second), Facts: map[string]string{"targets": "64", "ports": "23,2323"}}),
	}
	line := func(when time.Time, key, text, ref string, params map[string]string) api.StoryLine {
		return api.StoryLine{Time: when, Key: key, Params: params, Text: text, Ref: ref}
	}
	h.incidents[w.Attack] = api.Incident{
		ID: w.Attack, Org: org, Subject: s, Name: "Front door camera", Severity: ringwall.Critical, Stage: ringwall.Propagation, Status: "contained", Score: 92,
		Stages: []api.StageSeen{{Stage: ringwall.Infection, First: at(0), Count: 2}, {Stage: ringwall.Command, First: at(64 * time.Second), Count: 1}, {Stage: ringwall.Action}, {Stage: ringwall.Propagation, First: at(120 * time.Second), Count: 1}},
		Opened: at(0), Updated: at(3 * time.Minute), Alerts: alerts, AlertCount: 531,
		Story: []api.StoryLine{
			line(at(0), "", "203.0.113.5 guessed passwords on telnet: 14 attempts in 22 s.", string(alerts[0].ID), nil),
			line(at(0), "story.opened", "An incident was opened, severity high.", string(w.Attack), map[string]string{"severity": "high"}),
			line(at(41*time.Second), "", "The camera fetched a program (ELF, 47 kB) from 198.51.100.66.", string(alerts[1].ID), nil),
			line(at(64*time.Second), "", "It called 198.51.100.67:48101 every 5 s: a command server.", string(alerts[2].ID), nil),
			line(at(120*time.Second), "", "It scanned 64 addresses on ports 23 and 2323, as Mirai does.", string(alerts[3].ID), nil),
		},
	}
	h.responses[w.Done] = api.Response{ID: w.Done, Org: org, Incident: w.Attack, Kind: "quarantine", Target: s, Do: "act", Status: "done", By: "system:incident", Reason: "device-compromised", Made: at(120 * time.Second), Done: at(121 * time.Second), Expires: t.Add(24 * time.Hour), Hold: id[ringwall.HoldID]("hld", "front-door")}
	h.responses[w.Waiting] = api.Response{ID: w.Waiting, Org: org, Incident: w.Attack, Kind: "sim-suspend", Target: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(w.MeterSIM)}, Do: "ask", Status: "proposed", By: "system:incident", Reason: "sim-of-compromised", Made: at(122 * time.Second)}

	old := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(w.Meter)}
	h.incidents[w.OldIncident] = api.Incident{
		ID: w.OldIncident, Org: org, Subject: old, Name: "Electricity meter", SIM: w.MeterSIM, Severity: ringwall.High, Stage: ringwall.Action, Status: "closed", Disposition: "benign", Score: 40,
		Stages: []api.StageSeen{{Stage: ringwall.Infection}, {Stage: ringwall.Command}, {Stage: ringwall.Action, First: t.Add(-70 * time.Hour), Count: 1}, {Stage: ringwall.Propagation}},
		Opened: t.Add(-70 * time.Hour), Updated: t.Add(-60 * time.Hour), Closed: t.Add(-60 * time.Hour), AlertCount: 1,
		Story: []api.StoryLine{line(t.Add(-70*time.Hour), "", "The meter's SIM was seen in other equipment.", "", nil)},
	}
	w.history(h, s, alerts, at)
	row := func(when time.Time, d api.Direction, proto, local, remote, name, verdict, why, term string, packets, bytes uint64) api.FlowRow {
		return api.FlowRow{Time: when, Gateway: string(w.House), Device: w.BadCamera, Direction: d, Proto: proto, Local: netip.MustParseAddrPort(local), Remote: netip.MustParseAddrPort(remote), Name: name, Verdict: verdict, Reason: why, Term: term, Packets: packets, Bytes: bytes}
	}
	h.flows[w.BadCamera] = []api.FlowRow{
		row(at(9*time.Minute), api.FromDevice, "tcp", "10.77.0.10:40112", "198.51.100.67:48101", "", "refused", "quarantine", "", 6, 360),
		row(at(8*time.Minute), api.FromDevice, "tcp", "10.77.0.10:40110", "198.51.100.67:48101", "", "refused", "quarantine", "", 6, 360),
		row(at(7*time.Minute), api.FromDevice, "tcp", "10.77.0.10:51002", "198.51.100.90:443", "update.hikari.example", "allowed", "", "r1", 48, 31_112),
		row(at(121*time.Second), api.FromDevice, "tcp", "10.77.0.10:1025", "198.51.100.201:23", "", "refused", "quarantine", "", 1, 60),
		row(at(0), api.ToDevice, "tcp", "10.77.0.10:23", "203.0.113.5:40022", "", "allowed", "learn", "", 212, 14_020),
	}
}

// history fills in timelines.
func (w *World) history(h *holdings, s ringwall.Subject, alerts []ringwall.Alert, at func(time.Duration) time.Time) {
	add := func(s ringwall.Subject, when time.Time, kind, key, text, actor, ref string, params map[string]string) {
		e := api.TimelineEntry{Time: when, Kind: kind, Key: key, Params: params, Text: text, Actor: actor, Ref: ref, Event: ringwall.EventID(w.fresh(ringwall.PrefixEvent))}
		h.timeline[s] = append([]api.TimelineEntry{e}, h.timeline[s]...)
	}
	p := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i+1 < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	day := -96 * time.Hour
	add(s, at(day), ringwall.EventDeviceSeen, "timeline.device.seen", "Front door camera appeared on port lan0 with MAC 02:77:00:00:00:10 and address 10.77.0.10", string(w.House), "", p("name", "Front door camera", "port", "lan0", "mac", "02:77:00:00:00:10", "ip", "10.77.0.10"))
	add(s, at(day+time.Minute), ringwall.EventDevicePolicy, "timeline.device.enrolled", "enrolled: it is one of ours", w.Owner.ID, "", nil)
	add(s, at(day+6*time.Hour), ringwall.EventAssessment, "timeline.assessment", "assessed: 7 findings, 3 of them failed", w.Owner.ID, string(w.Assessed), p("findings", "7", "failed", "3"))
	add(s, at(day+6*time.Hour), ringwall.EventDeviceGrade, "timeline.device.grade", "graded high risk (was unknown), 62 % measured: a default password opens it", "system:project", string(w.Assessed), p("old", "unknown", "new", "high", "coverage", "62", "reason", "a default password opens it"))
	add(s, at(day+6*time.Hour), ringwall.EventDeviceTrust, "timeline.device.trust", "trust T3 → T2: it takes a default credential, as was confirmed", "system:project", string(w.Assessed), p("old", "T3", "new", "T2", "reason", "it takes a default credential, as was confirmed", "reasonKey", "trust.posture.default-credential"))
	for _, a := range alerts {
		add(s, a.Time, ringwall.EventAlert, "timeline.alert", a.Title, string(w.House), string(a.ID), p("title", a.Title, "rule", a.Rule))
		if a.Rule == "binary-download" {
			add(s, a.Time, ringwall.EventIncident, "timeline.incident.opened", "incident opened: severity high, stage infection", "system:incident", string(w.Attack), p("severity", "high", "stage", "infection"))
		}
	}
	add(s, at(120*time.Second), ringwall.EventDeviceHold, "timeline.device.hold", "quarantine in force 41ms after the alert, by reflex:mirai-scan; 3 live flows cut", string(w.House), "", p("do", "quarantine", "took", "41ms", "by", "reflex:mirai-scan", "flows", "3"))
	add(s, at(121*time.Second), ringwall.EventResponse, "timeline.response.done", "quarantine in force", "system:incident", string(w.Done), p("kind", "quarantine"))
	add(s, at(121*time.Second), ringwall.EventDeviceTrust, "timeline.device.trust", "trust T2 → T1: an incident is open that calls for action", "system:project", string(w.Attack), p("old", "T2", "new", "T1", "reason", "an incident is open that calls for action", "reasonKey", "trust.behaviour.incident"))
	add(s, at(3*time.Minute), ringwall.EventDeviceGrade, "timeline.device.compromise", "finding written: seen in an attack", "system:incident", string(w.Attack), nil)

	g := ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(w.GoodCamera)}
	add(g, at(day), ringwall.EventDeviceSeen, "timeline.device.seen", "Garage camera appeared", string(w.House), "", p("name", "Garage camera", "port", "lan0", "mac", "02:77:00:00:00:11", "ip", "10.77.0.11"))
	add(g, at(4*time.Minute), ringwall.EventDeviceMode, "timeline.device.mode", "mode learn → enforce", w.Owner.ID, "", p("old", "learn", "new", "enforce"))
	m := ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(w.MeterSIM)}
	add(m, at(-70*time.Hour), ringwall.EventAlert, "timeline.sim.separated", "SIM seen in other equipment than the one it is bound to", "system:usage", "", nil)
	gw := ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(w.House)}
	add(gw, at(day-time.Hour), ringwall.EventGatewayEnrol, "timeline.gateway.enrolled", "gateway House gateway enrolled", string(w.House), "", p("name", "House gateway"))
	add(gw, at(3*time.Minute), ringwall.EventGatewayState, "timeline.gateway.ack", "generation 41 in force", string(w.House), "", p("generation", "41"))
}
