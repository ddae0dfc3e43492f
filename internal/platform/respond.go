package platform

import (
	"context"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// recentResponses is how many of an organisation's newest responses the caps
// of rules look at. The longest window of the default rules is an hour.
const recentResponses = 500

// plan records the responses that the rules call for on an incident.
func (t *turn) plan(scope audit.Scope, in incident.Incident) error {
	recent, err := t.tx.Responses(scope, sqlstore.ResponseFilter{}, sqlstore.Paging{Limit: recentResponses})
	if err != nil {
		return err
	}
	for _, r := range incident.Plan(in, t.incident.Rules, recent.Items, t.at) {
		act, err := t.as(audit.SysIncident, respondAct(r.Target))
		if err != nil {
			return err
		}
		if err := t.record(act, r); err != nil {
			return err
		}
	}
	return nil
}

func respondAct(target ringwall.Subject) audit.Act {
	if target.Kind == ringwall.SubjectSIM {
		return audit.SIMRespond
	}
	return audit.DeviceRespond
}

// record keeps a response, new or changed, tells of it, and writes it into its
// incident's story.
func (t *turn) record(scope audit.Scope, r api.Response) error {
	_, err := t.tx.Response(scope, r.ID)
	switch {
	case isCode(err, ringwall.NotFound):
		err = t.tx.CreateResponse(scope, r)
	case err == nil:
		_, err = t.tx.UpdateResponse(scope, r.ID, func(kept *api.Response) error { *kept = r; return nil })
	}
	if err != nil {
		return err
	}
	switch r.Status {
	case incident.Approved, incident.Undoing:
		t.respond = true
	}
	if err := t.tell(scope, ringwall.EventResponse, r.Target, string(r.Incident), note{
		Key: "timeline.response." + r.Status, Ref: string(r.ID),
		Params: map[string]string{"kind": r.Kind, "by": r.By, "reason": firstOf(r.Error, r.Reason)},
	}); err != nil {
		return err
	}
	if r.Incident == "" {
		return nil
	}
	return t.tellStory(r)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// tellStory writes a response into the story of its incident.
func (t *turn) tellStory(r api.Response) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	old, err := t.incidentState(scope, r.Incident)
	if err != nil {
		return err
	}
	about := incident.About{Subject: old.Subject, Name: old.Name, SIM: old.SIM, Vendor: old.Vendor, Model: old.Model, Firmware: old.Firmware}
	next, effects := incident.Apply(&old, incident.Input{Now: t.at, Org: t.org, About: about, Response: &r}, t.incident)
	if next.ID != old.ID {
		return nil // the incident is over; its response's end is on the timeline
	}
	return t.keep(scope, &old, next, string(r.ID), effects)
}

// lift begins to undo a response, in a person's name or because its time is
// over (by "").
func (t *turn) lift(id ringwall.ResponseID, by string) error {
	scope, err := t.as(audit.SysExpiry, audit.DeviceRespond)
	if err != nil {
		return err
	}
	r, err := t.tx.Response(scope, id)
	if err != nil {
		return err
	}
	if scope, err = t.as(audit.SysExpiry, respondAct(r.Target)); err != nil {
		return err
	}
	next, err := incident.Lift(r, by)
	if err != nil {
		return err
	}
	return t.record(scope, next)
}

// carryOut does what a response asks for on a device: it makes the hold, or
// releases it, in the same turn that says so. The gateway's acknowledgement
// ends it (inForce).
func (t *turn) carryOut(scope audit.Scope, r api.Response) error {
	d, err := t.tx.Device(scope, ringwall.DeviceID(r.Target.ID))
	if err != nil {
		return err
	}
	switch r.Status {
	case incident.Approved, incident.Failed:
		next, err := incident.Start(r, t.at)
		if err != nil {
			return err
		}
		do := ringwall.Quarantine
		if r.Kind == incident.Cutoff {
			do = ringwall.Cutoff
		}
		h := api.Hold{
			// The id follows from the response, so that doing it twice makes one hold.
			ID: ringwall.HoldID(ringwall.DeriveID(ringwall.PrefixHold, string(t.org), string(r.ID))), Device: d.ID, Do: do,
			By: r.By, Reason: r.Reason, Made: t.at,
		}
		next.Hold = h.ID
		if d.Gateway == "" {
			failed, err := incident.Fail(next, ringwall.Errorf(ringwall.Unavailable, "no gateway is in front of the device"))
			if err != nil {
				return err
			}
			return t.record(scope, failed)
		}
		if _, err := t.tx.PutHold(scope, h, d.Gateway, false); err != nil {
			return err
		}
		if err := t.record(scope, next); err != nil {
			return err
		}
	case incident.Undoing:
		if r.Hold != "" {
			if _, err := t.tx.ReleaseHold(scope, r.Hold, firstOf(r.By, "system:expiry"), t.at); err != nil && !isCode(err, ringwall.NotFound) {
				return err
			}
		}
	}
	t.judge(d.ID, string(r.ID))
	t.compose(d.Gateway)
	return nil
}

// inForce ends the responses on devices behind a gateway that has acknowledged
// the newest generation: their holds are in force, or gone.
func (t *turn) inForce(scope audit.Scope, gw ringwall.GatewayID, g api.Gateway) error {
	if g.InForce < g.Desired {
		return nil
	}
	subject := ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(gw)}
	devices, _, err := t.tx.DevicesBehind(scope, gw)
	if err != nil {
		return err
	}
	for _, d := range devices {
		if err := t.settleResponses(scope, gw, d); err != nil {
			return err
		}
		if err := t.tell(scope, ringwall.EventDevicePolicy, deviceSubject(d.ID), subject.ID, note{
			Key: "timeline.device.policy", Params: map[string]string{"generation": strconv.FormatUint(g.InForce, 10)},
		}); err != nil {
			return err
		}
	}
	return nil
}

func (t *turn) settleResponses(scope audit.Scope, gw ringwall.GatewayID, d api.Device) error {
	for _, status := range []string{incident.Doing, incident.Undoing} {
		page, err := t.tx.Responses(scope, sqlstore.ResponseFilter{Status: status, Target: deviceSubject(d.ID)}, sqlstore.Paging{Limit: recentResponses})
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			var next api.Response
			if status == incident.Doing {
				next, err = incident.Finish(r, r.Hold, t.at)
			} else {
				var standing bool
				if _, standing, err = t.tx.Hold(scope, r.Hold); err != nil && !isCode(err, ringwall.NotFound) {
					return err
				}
				if standing {
					continue // not released yet: the responder is on its way
				}
				next, err = incident.Lifted(r, t.at)
			}
			if err != nil {
				return err
			}
			act, err := t.as(audit.SysIncident, audit.DeviceRespond)
			if err != nil {
				return err
			}
			if err := t.record(act, next); err != nil {
				return err
			}
			t.judge(d.ID, string(r.ID))
		}
	}
	return nil
}

// holdReport takes a gateway's word that a hold came into force or was lifted.
func (t *turn) holdReport(gw ringwall.GatewayID, h api.HoldReport) error {
	scope, err := t.projector()
	if err != nil {
		return err
	}
	d, err := t.behind(scope, gw, h.Hold.Device)
	if err != nil {
		return err
	}
	n := note{Key: "timeline.device.hold", Ref: string(h.Hold.ID), Params: map[string]string{
		"do": h.Hold.Do.String(), "by": h.Hold.By, "took": "", "flows": strconv.FormatUint(h.Flushed, 10), "reason": firstOf(h.Why, h.Declined),
	}}
	switch {
	case h.Declined != "" && len(d.Holds) > 0:
		return nil // it is held already: nothing was left undone
	case h.Declined != "":
		n.Key = "timeline.device.hold.declined"
	case h.Lifted:
		n.Key = "timeline.device.hold.lifted"
		if err := t.tx.LiftHold(scope, h.Hold.ID, t.at); err != nil && !isCode(err, ringwall.NotFound) {
			return err
		}
		t.compose(gw) // the release has done its work
	default:
		if h.Took > 0 {
			n.Params["took"] = h.Took.Round(100 * time.Microsecond).String()
		}
		if _, err := t.tx.PutHold(scope, h.Hold, gw, true); err != nil {
			return err
		}
	}
	if err := t.tell(scope, ringwall.EventDeviceHold, deviceSubject(d.ID), string(h.Hold.Alert), n); err != nil {
		return err
	}
	t.judge(d.ID, string(h.Hold.ID))
	if h.Declined != "" {
		return nil
	}
	return t.reflexResponse(scope, d, h)
}

// reflexResponse keeps the response that stands for what a gateway did alone,
// so that people see it, and undo it, like any other.
func (t *turn) reflexResponse(scope audit.Scope, d api.Device, h api.HoldReport) error {
	var inc ringwall.IncidentID
	if open, err := t.tx.OpenIncident(scope, deviceSubject(d.ID)); err == nil {
		inc = open.ID
	} else if !isCode(err, ringwall.NotFound) {
		return err
	}
	act, err := t.as(audit.SysIncident, audit.DeviceRespond)
	if err != nil {
		return err
	}
	page, err := t.tx.Responses(act, sqlstore.ResponseFilter{Target: deviceSubject(d.ID)}, sqlstore.Paging{Limit: recentResponses})
	if err != nil {
		return err
	}
	for _, r := range page.Items {
		if r.Hold != h.Hold.ID {
			continue
		}
		if !h.Lifted || r.Status != incident.Undoing && r.Status != incident.Done {
			return nil
		}
		if r.Status == incident.Done { // it ran out on the gateway
			if r, err = incident.Lift(r, ""); err != nil {
				return err
			}
		}
		if r, err = incident.Lifted(r, t.at); err != nil {
			return err
		}
		return t.record(act, r)
	}
	if h.Lifted {
		return nil
	}
	return t.record(act, incident.FromHold(t.org, inc, h))
}

// respondOnce carries out what is approved or being undone in an organisation,
// ends what has expired, and reports whether anything could not be done now
// and has to be tried again. scope, of the projector, is only for looking: a
// round that finds nothing to do writes nothing.
func (c *core) respondOnce(ctx context.Context, scope audit.Scope, sims simPort) (again bool, err error) {
	org := scope.Org()
	var todo []api.Response
	var due bool
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) error {
		for _, status := range []string{incident.Proposed, incident.Done, incident.Failed} {
			late, err := tx.DueResponses(scope, status, c.now(), 1)
			if err != nil {
				return err
			}
			due = due || len(late) > 0
		}
		for _, status := range []string{incident.Approved, incident.Doing, incident.Undoing} {
			page, err := tx.Responses(scope, sqlstore.ResponseFilter{Status: status}, sqlstore.Paging{Limit: recentResponses})
			if err != nil {
				return err
			}
			todo = append(todo, page.Items...)
		}
		return nil
	}); err != nil {
		return true, err
	}
	if due {
		if err := c.turn(ctx, org, func(t *turn) error { return t.expire() }); err != nil {
			return true, err
		}
	}
	for _, r := range todo {
		if r.Target.Kind == ringwall.SubjectSIM {
			retry, err := c.respondSIM(ctx, org, r, sims)
			if err != nil {
				return true, err
			}
			again = again || retry
			continue
		}
		if r.Status == incident.Doing {
			continue // the hold is made; the gateway's word is awaited
		}
		if err := c.turn(ctx, org, func(t *turn) error {
			scope, err := t.as(audit.SysIncident, audit.DeviceRespond)
			if err != nil {
				return err
			}
			now, err := t.tx.Response(scope, r.ID) // it may have moved on
			if err != nil {
				return err
			}
			return t.carryOut(scope, now)
		}); err != nil {
			return true, err
		}
	}
	return again, nil
}

// expire moves what time has decided.
func (t *turn) expire() error {
	scope, err := t.as(audit.SysExpiry, audit.DeviceRespond)
	if err != nil {
		return err
	}
	for _, status := range []string{incident.Proposed, incident.Done, incident.Failed} {
		due, err := t.tx.DueResponses(scope, status, t.at, recentResponses)
		if err != nil {
			return err
		}
		for _, r := range incident.Due(due, t.at) {
			act, err := t.as(audit.SysExpiry, respondAct(r.Target))
			if err != nil {
				return err
			}
			if err := t.record(act, r); err != nil {
				return err
			}
		}
	}
	return nil
}
