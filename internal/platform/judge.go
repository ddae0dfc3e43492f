package platform

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/trust"
)

// gatewayFresh is how long a gateway counts as healthy after it was last
// heard: three of its minutely health records.
const gatewayFresh = 3 * time.Minute

// indicatorDefaultCredential is the indicator of the rubric that says whether
// the device takes a known credential.
const indicatorDefaultCredential = "AP-01"

// evaluate brings the trust in one device up to date, and asks for a new
// desired state when its level changed.
func (t *turn) evaluate(id ringwall.DeviceID, cause string) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	d, err := t.tx.Device(scope, id)
	if err != nil {
		return err
	}
	in, err := t.inputs(scope, d)
	if err != nil {
		return err
	}
	var prev trust.State
	kept, err := t.tx.TrustState(scope, id)
	if err != nil {
		return err
	}
	if kept != nil {
		if err := json.Unmarshal(kept, &prev); err != nil {
			return ringwall.Errorf(ringwall.Internal, "reading the trust in device %q: %w", id, err)
		}
	}
	next := trust.Evaluate(prev, in, t.at, t.trust)
	state, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if err := t.tx.PutTrustState(scope, id, state); err != nil {
		return err
	}
	if kept != nil && !next.Changed(prev) {
		return nil
	}
	if _, err := t.tx.UpdateDevice(scope, id, func(d *api.Device) error {
		d.Trust, d.TrustReasons = next.Level, next.Reasons
		return nil
	}); err != nil {
		return err
	}
	if kept != nil && next.Level == prev.Level {
		return nil
	}
	t.compose(d.Gateway)
	old := prev.Level.String()
	if kept == nil {
		old = "unknown"
	}
	n := note{Key: "timeline.device.trust", Params: map[string]string{"old": old, "new": next.Level.String(), "reason": "", "reasonKey": ""}, Ref: cause}
	if len(next.Reasons) > 0 {
		n.Params["reason"], n.Params["reasonKey"] = next.Reasons[0].Reason, next.Reasons[0].Key
	}
	return t.tell(scope, ringwall.EventDeviceTrust, deviceSubject(id), cause, n)
}

// inputs gathers what trust in a device depends on.
func (t *turn) inputs(scope audit.Scope, d api.Device) (trust.Inputs, error) {
	in := trust.Inputs{Enrolled: d.Enrolled, Root: trust.RootNone, Pin: trust.PinNone}
	// Of a device that is known by its card the network that let the card on has
	// proven who it is, and its gateway where it is: what is sent from any other
	// address is not this device's. That the card is in other equipment is another
	// input (Binding).
	if (d.Binding.MAC != "" || t.bySIM(d)) && d.Gateway != "" {
		in.Root = trust.RootVouched
		g, err := t.tx.Gateway(scope, d.Gateway)
		if err != nil {
			return in, err
		}
		in.Gateway = vouches(g, t.at)
	}
	switch {
	case d.Presence == ringwall.Moved:
		in.Pin = trust.PinBroken
	case t.bySIM(d) && d.Gateway != "", d.Binding.MAC != "" && d.Binding.IP.IsValid() && d.Binding.Port != "":
		in.Pin = trust.PinHeld
	}
	findings, err := t.tx.Findings(scope, d.ID)
	if err != nil {
		return in, err
	}
	in.Posture, in.PostureEvidence = posture(d, assess.Default().Settled(findings, t.at))
	in.Assessed, in.Clean = d.Graded, in.Posture == trust.PostureClean
	if in.Gate, err = t.gate(scope, d); err != nil {
		return in, err
	}
	in.GateEvidence = string(d.Assess)
	for _, h := range d.Holds {
		if h.Do > in.Hold {
			in.Hold, in.HoldID = h.Do, h.ID
		}
	}
	if in.Incident, in.Absolved, err = t.behaviour(scope, d.ID); err != nil {
		return in, err
	}
	if d.SIM != "" {
		s, err := t.tx.SIM(scope, d.SIM)
		if err != nil {
			return in, err
		}
		switch {
		case !s.Separated.IsZero(), !s.Contradicted.IsZero():
			in.Binding, in.BindingEvidence = trust.BindingBroken, string(s.ID)
		case s.BoundIMEI != "":
			in.Binding = trust.BindingHeld
		}
	}
	return in, nil
}

// gate says whether a device passes the deployment gate: its own, or else the
// organisation's. Its grade is the one it has now.
func (t *turn) gate(scope audit.Scope, d api.Device) (trust.Gate, error) {
	set, err := t.assessSettings(scope)
	if err != nil {
		return trust.GateNone, err
	}
	g := gateOf(set, d)
	switch {
	case g.Worst == ringwall.Ungraded:
		return trust.GateNone, nil
	case assess.GateAllows(g, d.Grade):
		return trust.GateOpen, nil
	}
	return trust.GateClosed, nil
}

// vouches says whether a gateway may vouch for what is behind it.
func vouches(g api.Gateway, now time.Time) trust.Gateway {
	switch {
	case g.LastError != "", !g.Revoked.IsZero():
		return trust.GatewayUnhealthy
	case !g.Online || now.Sub(g.Seen) > gatewayFresh:
		return trust.GatewayUnknown
	}
	return trust.GatewayHealthy
}

// posture reads what the findings say of the device's own state. A device that
// was never assessed is unknown, unless it was caught in an attack.
func posture(d api.Device, findings []ringwall.Finding) (trust.Posture, string) {
	if compromised(findings) {
		return trust.PostureCritical, string(d.Assess)
	}
	if d.Graded.IsZero() {
		return trust.PostureUnknown, ""
	}
	failed := func(f ringwall.Finding) bool {
		return f.Indicator == indicatorDefaultCredential && f.Outcome == ringwall.Fail && f.Confidence == ringwall.Confirmed
	}
	if slices.ContainsFunc(findings, failed) {
		return trust.PostureDefaultCredential, string(d.Assess)
	}
	return trust.PostureClean, string(d.Assess)
}

func compromised(findings []ringwall.Finding) bool {
	return slices.ContainsFunc(findings, func(f ringwall.Finding) bool {
		return f.Indicator == ringwall.ObservedCompromise && f.Outcome == ringwall.Fail
	})
}

// behaviour returns the open incident that caps trust, and when a person last
// decided that the device did nothing wrong.
func (t *turn) behaviour(scope audit.Scope, id ringwall.DeviceID) (ringwall.IncidentID, time.Time, error) {
	page, err := t.tx.Incidents(scope, sqlstore.IncidentFilter{Subject: deviceSubject(id)}, sqlstore.Paging{Limit: 20})
	if err != nil {
		return "", time.Time{}, err
	}
	var open ringwall.IncidentID
	var absolved time.Time
	for _, i := range page.Items {
		kept, err := t.incidentState(scope, i.ID)
		if err != nil {
			return "", time.Time{}, err
		}
		if kept.CapsTrust() && open == "" {
			open = i.ID
		}
		if (i.Disposition == incident.DispositionFalse || i.Disposition == incident.DispositionBenign) && kept.Disposed.After(absolved) {
			absolved = kept.Disposed
		}
	}
	return open, absolved, nil
}

// incidentState returns an incident with all that is needed to carry it on.
func (t *turn) incidentState(scope audit.Scope, id ringwall.IncidentID) (incident.Incident, error) {
	kept, err := t.tx.IncidentState(scope, id)
	if err != nil {
		return incident.Incident{}, err
	}
	var in incident.Incident
	if err := json.Unmarshal(kept, &in); err != nil {
		return in, ringwall.Errorf(ringwall.Internal, "reading incident %q: %w", id, err)
	}
	return in, nil
}
