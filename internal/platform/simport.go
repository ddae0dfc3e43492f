package platform

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/operatorport"
)

// simPort is what the responder asks of a telecom operator; an
// operatorport.Client is one. nil where no operator is configured.
type simPort interface {
	Suspend(ctx context.Context, card operatorport.Card, reason string, idem ringwall.ResponseID) (operatorport.Status, error)
	Restore(ctx context.Context, card operatorport.Card, reason string, idem ringwall.ResponseID) (operatorport.Status, error)
}

// simRestricts is a simPort that reduces cards, simStates one that tells what a
// card is.
type (
	simRestricts interface {
		Restrict(ctx context.Context, card operatorport.Card, r *api.SIMRestriction, until time.Time, reason string, idem ringwall.ResponseID) error
	}
	simStates interface {
		State(ctx context.Context, card operatorport.Card) (operatorport.Status, error)
	}
)

// askTime bounds one question to an operator, with the port's own tries.
const askTime = time.Minute

// respondSIM carries out or undoes a response on a SIM. It is written down as
// doing before the operator is asked. An answer that does not tell what the
// operator did leaves it so, to be asked again under the same key: it is not
// settled then.
func (c *core) respondSIM(ctx context.Context, org ringwall.OrgID, r api.Response, sims simPort) (settled bool, err error) {
	var card operatorport.Card
	if err := c.turn(ctx, org, func(t *turn) error {
		scope, err := t.as(audit.SysIncident, audit.SIMRespond)
		if err != nil {
			return err
		}
		if r, err = t.tx.Response(scope, r.ID); err != nil {
			return err
		}
		numbers, err := t.tx.Numbers(scope, ringwall.SIMID(r.Target.ID))
		if err != nil {
			return err
		}
		card = operatorport.Card{ICCID: numbers.ICCID, IMSI: numbers.IMSI}
		switch r.Status {
		case incident.Approved:
			if r, err = incident.Start(r, t.at); err != nil {
				return err
			}
			if err := t.record(scope, r); err != nil {
				return err
			}
		case incident.Undoing:
			// Another response of the kind is in force: the card stays as it is.
			if other, err := t.otherInForce(scope, r); err != nil || other {
				if err == nil {
					r, err = incident.Lifted(r, t.at)
				}
				if err == nil {
					err = t.record(scope, r)
				}
				return err
			}
		}
		if sims == nil {
			return nil // nobody is asked
		}
		return t.cardSettled(scope, ringwall.SIMID(r.Target.ID), func(*api.SIM) error { return nil })
	}); err != nil {
		return false, err
	}
	undo := r.Status == incident.Undoing
	if r.Status != incident.Doing && !undo {
		return true, nil
	}
	answer := ask(ctx, sims, card, r, undo)
	if ringwall.CodeOf(answer) == ringwall.Unavailable && sims != nil {
		c.log.Warn("operator did not say what became of the SIM; asking again", "response", r.ID, "cause", answer)
		return false, nil
	}
	// A restore that was refused is asked for again: the card is still cut off.
	return answer == nil || !undo, c.turn(ctx, org, func(t *turn) error { return t.simAnswered(r, undo, answer) })
}

func ask(ctx context.Context, sims simPort, card operatorport.Card, r api.Response, undo bool) error {
	if sims == nil {
		return ringwall.Errorf(ringwall.Unavailable, "no operator is configured")
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var err error
	if r.Kind == incident.SIMRestrict {
		to, ok := sims.(simRestricts)
		if !ok {
			return operatorport.ErrNoRestrictions
		}
		what := r.Restrict
		if undo {
			what = nil
		}
		return to.Restrict(ctx, card, what, r.Expires, r.Reason, r.ID)
	}
	if undo {
		_, err = sims.Restore(ctx, card, r.Reason, r.ID)
	} else {
		_, err = sims.Suspend(ctx, card, r.Reason, r.ID)
	}
	return err
}

// simAnswered records how it ended.
func (t *turn) simAnswered(r api.Response, undo bool, answer error) error {
	scope, err := t.as(audit.SysIncident, audit.SIMRespond)
	if err != nil {
		return err
	}
	if r, err = t.tx.Response(scope, r.ID); err != nil {
		return err
	}
	var next api.Response
	switch {
	case answer != nil && undo:
		next, err = incident.LiftFailed(r, answer)
	case answer != nil:
		next, err = incident.Fail(r, answer)
	case undo:
		next, err = incident.Lifted(r, t.at)
	default:
		next, err = incident.Finish(r, "", t.at)
	}
	if isCode(err, ringwall.Conflict) {
		return nil // it was decided otherwise meanwhile; the next round does that
	}
	if err != nil {
		return err
	}
	if next.Status == r.Status && next.Error == r.Error {
		return nil // refused as before: told already
	}
	if err := t.record(scope, next); err != nil {
		return err
	}
	id := ringwall.SIMID(r.Target.ID)
	if answer != nil {
		// A refusal says that this was not done. What the card is, it does not say: an
		// earlier try may have been taken and its answer lost.
		return t.cardSettled(scope, id, func(s *api.SIM) error {
			if r.Kind == incident.SIMSuspend {
				s.State = simUnknown
			}
			return nil
		})
	}
	state, key := string(operatorport.Suspended), "timeline.sim.suspended"
	switch {
	case r.Kind == incident.SIMRestrict && undo:
		key = "timeline.sim.released"
	case r.Kind == incident.SIMRestrict:
		key = "timeline.sim.restricted"
	case undo:
		state, key = string(operatorport.Active), "timeline.sim.restored"
	}
	if err := t.cardSettled(scope, id, func(s *api.SIM) error {
		switch {
		case r.Kind != incident.SIMRestrict:
			s.State, s.StateSince = state, t.at
		case undo:
			s.Restriction = nil
		default:
			s.Restriction = r.Restrict
		}
		return nil
	}); err != nil {
		return err
	}
	return t.tell(scope, ringwall.EventSIM, r.Target, string(r.ID), note{Key: key, Ref: string(r.ID)})
}
