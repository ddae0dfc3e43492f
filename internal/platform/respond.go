package platform

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

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
			// The gateway ends it in time by itself, also while the platform is away.
			By: r.By, Reason: r.Reason, Made: t.at, Expires: r.Expires,
		}
		next.Hold = h.ID
		if err := t.reachable(scope, d); err != nil {
			failed, err := incident.Fail(next, err)
			if err != nil {
				return err
			}
			failed.Hold = "" // none was made
			return t.record(scope, failed)
		}
		if _, err := t.tx.PutHold(scope, h, d.Gateway, false); err != nil {
			return err
		}
		if err := t.record(scope, next); err != nil {
			return err
		}
	case incident.Undoing:
		gone, err := t.release(scope, d, r)
		if err != nil {
			return err
		}
		if gone {
			next, err := incident.Lifted(r, t.at)
			if err != nil {
				return err
			}
			if err := t.record(scope, next); err != nil {
				return err
			}
		}
	default:
		return nil // it has moved on meanwhile
	}
	t.judge(d.ID, string(r.ID))
	t.compose(d.Gateway)
	return nil
}

// reachable says why no gateway would enforce a hold on the device, if so.
func (t *turn) reachable(scope audit.Scope, d api.Device) error {
	if d.Gateway == "" {
		return ringwall.Errorf(ringwall.Unavailable, "no gateway is in front of the device")
	}
	g, err := t.tx.Gateway(scope, d.Gateway)
	if err != nil {
		return err
	}
	if !g.Revoked.IsZero() {
		return ringwall.Errorf(ringwall.Unavailable, "the gateway in front of the device was revoked")
	}
	return nil
}

// release releases the hold of a response that is being undone, and reports
// whether nothing is left to wait for: there was none, the gateway has reported
// it lifted, or no gateway is there to do so.
func (t *turn) release(scope audit.Scope, d api.Device, r api.Response) (gone bool, err error) {
	if r.Hold == "" {
		return true, nil
	}
	_, lifted, err := t.tx.HoldEnd(scope, r.Hold)
	switch {
	case isCode(err, ringwall.NotFound):
		return true, nil
	case err != nil:
		return false, err
	case !lifted.IsZero():
		return true, nil
	}
	// Who undoes it releases it, not who asked for it.
	if _, err := t.tx.ReleaseHold(scope, r.Hold, firstOf(r.Decided, "system:expiry"), t.at); err != nil {
		return false, err
	}
	if err := t.reachable(scope, d); err != nil {
		if isCode(err, ringwall.Unavailable) {
			return true, nil
		}
		return false, err
	}
	return false, nil
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
	// What the newest document released is gone, also where the gateway had
	// never made it and so has nothing to report: it need not be told again.
	act, err := t.as(audit.SysIncident, audit.DeviceRespond)
	if err != nil {
		return err
	}
	lifted, err := t.tx.LiftReleased(act, gw, t.at)
	if err != nil {
		return err
	}
	if lifted > 0 {
		t.compose(gw)
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
	if !ringwall.ValidID(ringwall.PrefixHold, string(h.Hold.ID)) && h.Declined == "" {
		return ringwall.Errorf(ringwall.Invalid, "%.80q is no hold's id", h.Hold.ID)
	}
	h.Hold.By, h.Hold.Reason = clip(h.Hold.By, maxName), clip(h.Hold.Reason, maxSaid)
	h.Why, h.Declined = clip(h.Why, maxSaid), clip(h.Declined, maxSaid)
	d, err := t.behind(scope, gw, h.Hold.Device)
	if err != nil {
		return err
	}
	if err := t.checkHold(scope, gw, h); err != nil {
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

// Bounds of what a gateway may say in words.
const (
	maxSaid  = 300
	holdSkew = 5 * time.Minute // by which a gateway's clock may end a hold early
)

// clip cuts a text that came from outside to at most n bytes of whole runes.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// checkHold refuses a report on a hold that is another device's or another
// gateway's, and one that lifts what the platform made and has neither
// released nor let run out: only a signed release or its expiry ends a hold.
func (t *turn) checkHold(scope audit.Scope, gw ringwall.GatewayID, h api.HoldReport) error {
	kept, err := t.tx.HoldOrigin(scope, h.Hold.ID)
	if isCode(err, ringwall.NotFound) {
		return nil // new, or one that is not told of: LiftHold says so
	}
	if err != nil {
		return err
	}
	if kept.Hold.Device != h.Hold.Device || kept.Gateway != gw {
		return ringwall.Errorf(ringwall.NotFound, "hold %q is not on device %q behind gateway %q", h.Hold.ID, h.Hold.Device, gw)
	}
	over := !kept.Hold.Expires.IsZero() && !t.at.Before(kept.Hold.Expires.Add(-holdSkew))
	if h.Lifted && !kept.Local && kept.Released.IsZero() && !over {
		return ringwall.Errorf(ringwall.Invalid, "hold %q was neither released nor has it run out: it stands", h.Hold.ID)
	}
	return nil
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
		if !h.Lifted || r.Status != incident.Undoing && r.Status != incident.Done && r.Status != incident.Doing {
			return nil
		}
		if r.Status != incident.Undoing { // it ran out on the gateway
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

// unfinished lists what is to be done or undone on targets of a kind, and
// reports whether time has decided something. A device's response whose hold
// is made or released waits for its gateway, and is not listed: only the
// gateway's word helps. scope, of the projector, is only for looking: a round
// that finds nothing to do writes nothing.
func (c *core) unfinished(ctx context.Context, scope audit.Scope, kind ringwall.SubjectKind) (todo []api.Response, due bool, err error) {
	err = c.store.View(ctx, func(tx *sqlstore.Tx) error {
		for _, status := range mortal {
			late, err := tx.DueResponses(scope, status, c.now(), 1)
			if err != nil {
				return err
			}
			due = due || len(late) > 0
		}
		for _, status := range []string{incident.Approved, incident.Doing, incident.Undoing} {
			for p := (sqlstore.Paging{}); ; {
				page, err := tx.Responses(scope, sqlstore.ResponseFilter{Status: status, Target: ringwall.Subject{Kind: kind}}, p)
				if err != nil {
					return err
				}
				for _, r := range page.Items {
					wait, err := awaitsGateway(tx, scope, r)
					if err != nil {
						return err
					}
					if !wait && c.later.due(r.ID, c.now()) {
						todo = append(todo, r)
					}
				}
				if p.Cursor = page.Next; p.Cursor == "" {
					break
				}
			}
		}
		return nil
	})
	return todo, due, err
}

func awaitsGateway(tx *sqlstore.Tx, scope audit.Scope, r api.Response) (bool, error) {
	if r.Target.Kind != ringwall.SubjectDevice {
		return false, nil
	}
	if r.Status == incident.Doing {
		return true, nil
	}
	if r.Status != incident.Undoing || r.Hold == "" {
		return false, nil
	}
	released, lifted, err := tx.HoldEnd(scope, r.Hold)
	if isCode(err, ringwall.NotFound) {
		return false, nil
	}
	return !released.IsZero() && lifted.IsZero(), err
}

// respondDevices carries out what is approved or being undone on the devices
// of an organisation, and ends what has expired. A response that cannot be
// carried out keeps none of the others from it, and is tried again later.
func (c *core) respondDevices(ctx context.Context, scope audit.Scope) error {
	org := scope.Org()
	todo, due, err := c.unfinished(ctx, scope, ringwall.SubjectDevice)
	if err != nil {
		return err
	}
	var errs []error
	if due {
		errs = append(errs, c.turn(ctx, org, func(t *turn) error { return t.expire() }))
	}
	for _, r := range todo {
		err := c.turn(ctx, org, func(t *turn) error {
			scope, err := t.as(audit.SysIncident, audit.DeviceRespond)
			if err != nil {
				return err
			}
			now, err := t.tx.Response(scope, r.ID) // it may have moved on
			if err != nil {
				return err
			}
			return t.carryOut(scope, now)
		})
		c.tried(r.ID, err == nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("response %q: %w", r.ID, err))
		}
	}
	return errors.Join(errs...)
}

// respondSIMs does so for SIMs. It is a round of its own: an operator that
// takes its time must not hold up a quarantine.
func (c *core) respondSIMs(ctx context.Context, scope audit.Scope, sims simPort) error {
	todo, _, err := c.unfinished(ctx, scope, ringwall.SubjectSIM)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range todo {
		settled, err := c.respondSIM(ctx, scope.Org(), r, sims)
		c.tried(r.ID, settled && err == nil)
		if err != nil {
			errs = append(errs, fmt.Errorf("response %q: %w", r.ID, err))
		}
	}
	return errors.Join(errs...)
}

// tried notes how a try went.
func (c *core) tried(id ringwall.ResponseID, settled bool) {
	if settled {
		c.later.settled(id)
		return
	}
	c.later.failed(id, c.now())
}

// mortal lists the statuses that time may end.
var mortal = [...]string{incident.Proposed, incident.Approved, incident.Doing, incident.Done, incident.Failed}

// expire moves what time has decided.
func (t *turn) expire() error {
	scope, err := t.as(audit.SysExpiry, audit.DeviceRespond)
	if err != nil {
		return err
	}
	for _, status := range mortal {
		due, err := t.tx.DueResponses(scope, status, t.at, recentResponses)
		if err != nil {
			return err
		}
		for _, r := range incident.Due(due, t.at) {
			act, err := t.as(audit.SysExpiry, respondAct(r.Target))
			if err != nil {
				return err
			}
			// What failed is not in force, and there is nothing to lift: an operator is
			// not asked to restore what it refused to suspend.
			if status == incident.Failed {
				if r, err = incident.Lifted(r, t.at); err != nil {
					return err
				}
			}
			if err := t.record(act, r); err != nil {
				return err
			}
		}
	}
	return nil
}
