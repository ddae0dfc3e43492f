package platform

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// simUnknown is the state of a card whose operator has not said what it is.
const simUnknown = "unknown"

// Questions to an operator, as api.SIM.Asked names them.
const (
	askSuspend  = "suspend"
	askRestore  = "restore"
	askRestrict = "restrict"
	askRelease  = "release"
)

func questionOf(r api.Response) string {
	undo := r.Status == incident.Undoing
	switch {
	case r.Kind == incident.SIMRestrict && undo:
		return askRelease
	case r.Kind == incident.SIMRestrict:
		return askRestrict
	case undo:
		return askRestore
	}
	return askSuspend
}

// otherInForce reports whether a response of r's kind, other than r, is in force
// on its card, or may be.
func (t *turn) otherInForce(scope audit.Scope, r api.Response) (bool, error) {
	for _, status := range []string{incident.Done, incident.Doing} {
		page, err := t.tx.Responses(scope, sqlstore.ResponseFilter{Status: status, Target: r.Target}, sqlstore.Paging{Limit: recentResponses})
		if err != nil {
			return false, err
		}
		for _, o := range page.Items {
			if o.ID != r.ID && o.Kind == r.Kind {
				return true, nil
			}
		}
	}
	return false, nil
}

// asking returns what the operator was asked of a card and has not answered; ""
// for nothing. What bears on whether the card is usable at all comes first.
func (t *turn) asking(scope audit.Scope, id ringwall.SIMID) (string, error) {
	what := ""
	for _, status := range []string{incident.Doing, incident.Undoing} {
		page, err := t.tx.Responses(scope, sqlstore.ResponseFilter{Status: status, Target: simSubject(id)}, sqlstore.Paging{Limit: recentResponses})
		if err != nil {
			return "", err
		}
		for _, r := range page.Items {
			if q := questionOf(r); what == "" || q == askSuspend || q == askRestore {
				what = q
			}
		}
	}
	return what, nil
}

func simSubject(id ringwall.SIMID) ringwall.Subject {
	return ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(id)}
}

// cardSettled changes a card, then says of it what is known: while its operator
// has not answered whether it is suspended, its state is unknown.
func (t *turn) cardSettled(scope audit.Scope, id ringwall.SIMID, f func(*api.SIM) error) error {
	what, err := t.asking(scope, id)
	if err != nil {
		return err
	}
	was := ""
	if _, err := t.tx.UpdateSIM(scope, id, func(s *api.SIM) error {
		was = s.Asked
		if err := f(s); err != nil {
			return err
		}
		s.Asked = what
		if what == askSuspend || what == askRestore {
			s.State = simUnknown
		}
		return nil
	}); err != nil || what == "" || what == was {
		return err
	}
	return t.tell(scope, ringwall.EventSIM, simSubject(id), "", note{Key: "timeline.sim.asked", Params: map[string]string{"what": what}})
}

// statesAtOnce bounds the cards whose state is asked in one round.
const statesAtOnce = 20

// laterState is what the pauses of a question for a card's state are kept under.
func laterState(id ringwall.SIMID) ringwall.ResponseID { return ringwall.ResponseID("state " + id) }

// askStates asks the operator what the cards are whose state is unknown though
// nothing is being asked of them: after a refusal, or an answer that was lost.
func (c *core) askStates(ctx context.Context, scope audit.Scope, sims simPort) error {
	to, ok := sims.(simStates)
	if !ok {
		return nil
	}
	var page api.Page[api.SIM]
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		page, err = tx.FindSIMs(scope, sqlstore.SIMFilter{State: simUnknown}, sqlstore.Paging{Limit: 10 * statesAtOnce})
		return err
	}); err != nil {
		return err
	}
	asked := 0
	for _, s := range page.Items {
		if s.Asked != "" || !c.later.due(laterState(s.ID), c.now()) {
			continue
		}
		if asked++; asked > statesAtOnce {
			return nil
		}
		if err := c.askState(ctx, scope.Org(), s.ID, to); err != nil {
			return err
		}
	}
	return nil
}

func (c *core) askState(ctx context.Context, org ringwall.OrgID, id ringwall.SIMID, to simStates) error {
	var card operatorport.Card
	if err := c.turn(ctx, org, func(t *turn) error {
		scope, err := t.as(audit.SysIncident, audit.SIMRespond)
		if err != nil {
			return err
		}
		n, err := t.tx.Numbers(scope, id)
		card = operatorport.Card{ICCID: n.ICCID, IMSI: n.IMSI}
		return err
	}); err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, askTime)
	st, err := to.State(asked, card)
	cancel()
	if err != nil || st.State == operatorport.Pending {
		c.later.failed(laterState(id), c.now())
		return nil // it stays unknown
	}
	c.later.settled(laterState(id))
	return c.turn(ctx, org, func(t *turn) error {
		scope, err := t.as(audit.SysIncident, audit.SIMRespond)
		if err != nil {
			return err
		}
		told := false
		if err := t.cardSettled(scope, id, func(s *api.SIM) error {
			told = s.State == simUnknown
			s.State, s.StateSince = string(st.State), st.Since.UTC()
			return nil
		}); err != nil || !told {
			return err
		}
		return t.tell(scope, ringwall.EventSIM, simSubject(id), "", note{Key: "timeline.sim.state", Params: map[string]string{"state": string(st.State)}})
	})
}

// checkSIM looks at a response on a card before it is asked for: a card has one
// restriction at a time, so that undoing one never leaves the question which
// other is in force.
func (t *turn) checkSIM(scope audit.Scope, in api.ResponseCreate) error {
	if in.Kind != incident.SIMRestrict {
		return nil
	}
	if err := operatorport.CheckRestriction(in.Restrict); err != nil {
		return err
	}
	for _, status := range []string{incident.Approved, incident.Doing, incident.Done, incident.Undoing} {
		page, err := t.tx.Responses(scope, sqlstore.ResponseFilter{Status: status, Target: in.Target}, sqlstore.Paging{Limit: recentResponses})
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			if r.Kind == incident.SIMRestrict {
				return &ringwall.Error{Code: ringwall.Conflict, Text: "the card is restricted already", Hint: "undo response " + string(r.ID) + " first"}
			}
		}
	}
	return nil
}

// tryResponse says what a response would do, and does nothing.
func (t *turn) tryResponse(scope audit.Scope, r api.Response) (api.Response, error) {
	r.Trial, r.Status, r.ID = true, incident.Proposed, ""
	params := map[string]string{"kind": r.Kind, "until": "", "device": "", "state": "", "others": ""}
	if !r.Expires.IsZero() {
		params["until"] = r.Expires.UTC().Format(time.RFC3339)
	}
	key := "trial.device"
	if r.Target.Kind == ringwall.SubjectSIM {
		key = "trial.sim"
		s, err := t.tx.SIM(scope, ringwall.SIMID(r.Target.ID))
		if err != nil {
			return r, err
		}
		params["state"] = s.State
		if s.Device != "" {
			d, err := t.tx.Device(scope, s.Device)
			if err != nil {
				return r, err
			}
			params["device"] = d.Name
		}
		other, err := t.otherInForce(scope, r)
		if err != nil {
			return r, err
		}
		if other {
			params["others"] = "yes"
		}
	}
	r.Effect = &api.Said{Key: key, Params: params, Text: incident.Render(trialTexts[key], params)}
	return r, nil
}

// trialTexts is the English of what a trial says. It is never written to.
var trialTexts = map[string]string{
	"trial.sim":    "{kind} would be asked of the operator[, until {until}]; the SIM is {state} now[; it is in {device}, which would feel it][; another of this kind in force: {others}].",
	"trial.device": "{kind} would be put in force[ until {until}].",
}
