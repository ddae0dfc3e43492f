package platform

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
)

// apply turns one record of a gateway's log into state. It runs in the turn
// that moves the projector's cursor past the record, so each counts once.
//
// A record that a correct gateway cannot have sent is logged and passed over:
// it is in the segments for ever, and must not stop those behind it. An error
// means that the turn cannot go on now.
func (t *turn) apply(gw ringwall.GatewayID, r api.Record) error {
	var err error
	switch r.Kind {
	case api.RecordAlert:
		err = read(r, func(a ringwall.Alert) error { return t.gatewayAlert(gw, a) })
	case api.RecordHold:
		err = read(r, func(h api.HoldReport) error { return t.holdReport(gw, h) })
	case api.RecordAck:
		err = read(r, func(a api.Ack) error { return t.ack(gw, a) })
	case api.RecordPresence:
		err = read(r, func(s api.Sighting) error { return t.sighting(gw, s) })
	case api.RecordPeers:
		err = read(r, func(p api.PeersSeen) error { return t.peers(gw, p) })
	case api.RecordHealth:
		err = read(r, func(h api.Health) error { return t.health(gw, r.Time, h) })
	case api.RecordPosture:
		err = t.posture(gw, r)
	case api.RecordNotice:
		err = read(r, func(n api.Notice) error { return t.notice(gw, n) })
	case api.RecordTunnel:
		err = read(r, func(tr api.TunnelReport) error { return t.tunnelReport(gw, tr) })
	case api.RecordFlow, api.RecordDNS, api.RecordFeatures:
		return nil // evidence: kept in the segments, read on demand
	}
	switch ringwall.CodeOf(err) {
	case ringwall.Invalid, ringwall.NotFound, ringwall.Conflict:
		t.log.Warn("record passed over", "gateway", gw, "seq", r.Seq, "kind", r.Kind, "cause", err)
		return nil
	}
	return err
}

// read decodes a record's data.
func read[T any](r api.Record, f func(T) error) error {
	var v T
	if err := json.Unmarshal(r.Data, &v); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading record of kind %q: %w", r.Kind, err)
	}
	return f(v)
}

// behind returns a device if it is behind the gateway that speaks of it.
func (t *turn) behind(scope audit.Scope, gw ringwall.GatewayID, id ringwall.DeviceID) (api.Device, error) {
	d, err := t.tx.Device(scope, id)
	if err != nil {
		return d, err
	}
	if d.Gateway != gw {
		return d, ringwall.Errorf(ringwall.NotFound, "device %q is not behind gateway %q", id, gw)
	}
	return d, nil
}

// gatewayAlert takes an alert of a gateway's detectors.
func (t *turn) gatewayAlert(gw ringwall.GatewayID, a ringwall.Alert) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	a.Org, a.Gateway, a.Title, a.Rule = t.org, gw, clip(a.Title, maxSaid), clip(a.Rule, maxName)
	about := incident.About{Subject: a.Subject, Name: a.Subject.ID}
	switch a.Subject.Kind {
	case ringwall.SubjectDevice:
		d, err := t.behind(scope, gw, ringwall.DeviceID(a.Subject.ID))
		if err != nil {
			return err
		}
		about = aboutDevice(d)
	case ringwall.SubjectAddress, ringwall.SubjectGateway:
	default:
		return ringwall.Errorf(ringwall.Invalid, "a gateway does not speak of a %q", a.Subject.Kind)
	}
	if a.ID == "" || a.Rule == "" || a.Time.IsZero() {
		return ringwall.Errorf(ringwall.Invalid, "an alert lacks its id, rule or time")
	}
	return t.alert(scope, about, a)
}

func aboutDevice(d api.Device) incident.About {
	return incident.About{Subject: deviceSubject(d.ID), Name: d.Name, SIM: d.SIM, Vendor: d.Vendor, Model: d.Model, Firmware: d.Firmware}
}

// alert joins an alert into the incident of its subject.
func (t *turn) alert(scope audit.Scope, about incident.About, a ringwall.Alert) error {
	in, err := t.carryOn(scope, about, string(a.ID), incident.Input{Alert: &a})
	if err != nil {
		return err
	}
	isNew, err := t.tx.PutAlert(scope, a, in.ID)
	if err != nil || !isNew {
		return err
	}
	return t.tell(scope, ringwall.EventAlert, about.Subject, string(a.ID), note{
		Key: "timeline.alert", Ref: string(a.ID),
		Params: map[string]string{"title": a.Title, "rule": a.Rule, "severity": a.Severity.String(), "nature": string(a.Nature)},
	})
}

// carryOn applies one input to the incident of a subject, keeps the result,
// and does what it asks for. cause is the id of what brought it about.
func (t *turn) carryOn(scope audit.Scope, about incident.About, cause string, in incident.Input) (incident.Incident, error) {
	in.Now, in.Org, in.About = t.at, t.org, about
	var open *incident.Incident
	found, err := t.tx.OpenIncident(scope, about.Subject)
	switch {
	case err == nil:
		kept, err := t.incidentState(scope, found.ID)
		if err != nil {
			return incident.Incident{}, err
		}
		open = &kept
	case !isCode(err, ringwall.NotFound):
		return incident.Incident{}, err
	}
	next, effects := incident.Apply(open, in, t.incident)
	if next.ID == "" {
		return next, nil
	}
	return next, t.keep(scope, open, next, cause, effects)
}

// keep writes an incident down, tells of what is new about it, and does what
// it asks for.
func (t *turn) keep(scope audit.Scope, old *incident.Incident, next incident.Incident, cause string, effects []incident.Effect) error {
	state, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := t.tx.PutIncident(scope, next.Incident, state); err != nil {
		return err
	}
	if err := t.tellIncident(scope, old, next, cause); err != nil {
		return err
	}
	if err := t.warn(scope, old, next); err != nil {
		return err
	}
	for _, e := range effects {
		if err := t.effect(scope, next, e); err != nil {
			return err
		}
	}
	// An incident that began or ended to cap trust does so now.
	if id := next.Device(); id != "" && (old == nil || old.CapsTrust() != next.CapsTrust()) {
		t.judge(id, string(next.ID))
	}
	return nil
}

func (t *turn) tellIncident(scope audit.Scope, old *incident.Incident, next incident.Incident, cause string) error {
	if !next.Listed() {
		return nil
	}
	key := ""
	switch {
	case old == nil || !old.Listed():
		key = "timeline.incident.opened"
	case old.Status != next.Status || old.Disposition != next.Disposition:
		key = "timeline.incident.status"
	case old.Severity != next.Severity || old.Stage != next.Stage:
		key = "timeline.incident.grew"
	default:
		return nil
	}
	return t.tell(scope, ringwall.EventIncident, next.Subject, cause, note{Key: key, Ref: string(next.ID), Params: map[string]string{
		"severity": next.Severity.String(), "stage": next.Stage.String(), "status": next.Status, "disposition": next.Disposition,
	}})
}

// effect does what an incident asks for.
func (t *turn) effect(scope audit.Scope, in incident.Incident, e incident.Effect) error {
	switch e := e.(type) {
	case incident.Respond:
		return t.plan(scope, in)
	case incident.DropTrust:
		t.judge(e.Device, string(e.Incident))
	case incident.Absolve:
		t.judge(e.Device, string(in.ID))
	case incident.WriteFinding:
		return t.writeFinding(scope, e.Device, e.Finding, string(in.ID))
	case incident.LiftResponse:
		return t.lift(e.Response, e.By)
	default:
		return fmt.Errorf("platform: effect %T of incident %q is not known", e, in.ID)
	}
	return nil
}

// peers takes what a device in mode learn or shadow was seen to need.
func (t *turn) peers(gw ringwall.GatewayID, p api.PeersSeen) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	d, err := t.behind(scope, gw, p.Device)
	if err != nil {
		return err
	}
	if d.Mode == ringwall.Enforce {
		return nil // the mode has changed since: what is allowed now is settled
	}
	added, err := t.tx.LearnPeers(scope, p.Device, p.Peers)
	if len(added) > 0 {
		t.compose(gw)
	}
	return err
}

// ack takes a gateway's word on which generation is in force.
func (t *turn) ack(gw ringwall.GatewayID, a api.Ack) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	before, err := t.tx.Gateway(scope, gw)
	if err != nil {
		return err
	}
	if a.Generation > before.Desired && a.Error == "" {
		return ringwall.Errorf(ringwall.Invalid, "generation %d is said to be in force; the newest is %d", a.Generation, before.Desired)
	}
	a.Error, a.Hash = clip(a.Error, maxSaid), clip(a.Hash, maxName)
	after, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error {
		g.LastError = a.Error
		if a.Drift {
			g.Drifted = t.at
		}
		if a.Error == "" {
			g.InForce, g.Hash = a.Generation, a.Hash
		}
		return nil
	})
	if err != nil {
		return err
	}
	subject := ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(gw)}
	generation := strconv.FormatUint(a.Generation, 10)
	key := ""
	switch {
	case a.Error != "" && a.Error != before.LastError:
		key = "timeline.gateway.refused"
	case a.Drift:
		key = "timeline.gateway.drift"
	case a.Error == "" && after.InForce != before.InForce:
		key = "timeline.gateway.ack"
	}
	if key != "" {
		if err := t.tell(scope, ringwall.EventGatewayState, subject, "", note{Key: key, Params: map[string]string{"generation": generation, "reason": a.Error}}); err != nil {
			return err
		}
	}
	if (before.LastError == "") != (a.Error == "") {
		if err := t.judgeBehind(scope, gw); err != nil {
			return err
		}
	}
	if a.Error != "" || after.InForce == before.InForce {
		return nil
	}
	return t.inForce(scope, gw, after)
}

// judgeBehind asks for the trust in all devices behind a gateway.
func (t *turn) judgeBehind(scope audit.Scope, gw ringwall.GatewayID) error {
	devices, _, err := t.tx.DevicesBehind(scope, gw)
	for _, d := range devices {
		t.judge(d.ID, string(gw))
	}
	return err
}

// health takes a gateway's word on itself; hearing from it is what keeps it on
// line.
func (t *turn) health(gw ringwall.GatewayID, at time.Time, h api.Health) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	before, err := t.tx.Gateway(scope, gw)
	if err != nil {
		return err
	}
	if _, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error {
		g.Health = &h
		// The gateway's clock may be wrong; only ours says when it was heard. A record
		// may also have lain here or there for long: it is a sign of life when it is
		// fresh, or when the gateway itself speaks to us now.
		if g.Revoked.IsZero() && (t.at.Sub(at) < gatewayFresh || t.hears.lately(gw)) {
			g.Seen, g.Online = t.at, true
		}
		return nil
	}); err != nil {
		return err
	}
	if before.Online || !before.Revoked.IsZero() {
		return nil
	}
	subject := ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(gw)}
	if err := t.tell(scope, ringwall.EventGatewayState, subject, "", note{Key: "timeline.gateway.online"}); err != nil {
		return err
	}
	return t.judgeBehind(scope, gw)
}
