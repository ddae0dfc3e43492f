package platform

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// subscriberSalt turns an IMSI into what documents call its card by. It follows
// from a key that never leaves the platform, so that who reads a document cannot
// try all IMSIs of another organisation.
func (c *core) saltOf(org ringwall.OrgID) []byte {
	h := sha256.New()
	h.Write([]byte("ringwall subscriber salt v1\x00" + string(org) + "\x00"))
	h.Write(c.evidenceKey.Seed())
	return h.Sum(nil)[:16]
}

func (t *turn) subscriberSalt() []byte { return t.saltOf(t.org) }

func (t *turn) bySIM(d api.Device) bool { return d.BySIM && d.SIM != "" }

// binding is what ties a device to where it is: its port, MAC and address, or
// its card.
func (t *turn) binding(scope audit.Scope, d api.Device) (api.Binding, error) {
	if !t.bySIM(d) || !scope.Permits(audit.SystemPolicy) { // who only looks at a policy is shown no card
		return d.Binding, nil
	}
	n, err := t.tx.Numbers(scope, d.SIM)
	if err != nil {
		return d.Binding, err
	}
	return api.Binding{Subscriber: policy.Subscriber(t.subscriberSalt(), n.IMSI.Reveal())}, nil
}

// SIMProfiles lists the versions of what a card may be used for, newest first.
func (s *service) SIMProfiles(ctx context.Context, a audit.Actor, id ringwall.SIMID) (all []api.SIMProfile, err error) {
	err = s.view(ctx, a, audit.SIMRead, on("sim", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if _, err := tx.SIM(scope, id); err != nil {
			return err
		}
		all, err = tx.SIMProfiles(scope, id)
		return err
	})
	if !sightOf(a).usage {
		all = nil // whom a card may reach is as private as whom it did
	}
	return orNone(all), err
}

// PutSIMProfile says what a card may be used for, from now on.
func (s *service) PutSIMProfile(ctx context.Context, a audit.Actor, id ringwall.SIMID, in api.FunctionProfile) ([]api.SIMProfile, error) {
	plan, err := policy.CompileFunction(in)
	if err != nil {
		return nil, err
	}
	err = s.change(ctx, a, audit.SIMWrite, on("sim", string(id)), func(t *turn, scope audit.Scope) error {
		versions, err := t.tx.SIMProfiles(scope, id)
		if err != nil {
			return err
		}
		if len(versions) == 0 {
			if versions, err = t.profileBefore(scope, id, a); err != nil {
				return err
			}
		}
		return t.putProfile(scope, id, api.SIMProfile{Version: versions[0].Version + 1, Profile: in, Plan: plan, Made: t.at, By: a.String()})
	})
	if err != nil {
		return nil, err
	}
	return s.SIMProfiles(ctx, a, id)
}

// profileBefore keeps what a card was allowed before it had any profile, so
// that the first one can be undone as well.
func (t *turn) profileBefore(scope audit.Scope, id ringwall.SIMID, a audit.Actor) ([]api.SIMProfile, error) {
	card, err := t.tx.SIM(scope, id)
	if err != nil {
		return nil, err
	}
	p := api.SIMProfile{Version: 1, None: true, Made: t.at, By: a.String(), State: profileDone, Plan: api.FunctionPlan{
		Terms: []api.Term{}, Rules: api.UsageRules{Services: card.Services, Peers: card.Peers},
	}}
	return []api.SIMProfile{p}, t.tx.PutSIMProfile(scope, id, p)
}

// UndoSIMProfile goes back to the version before the newest, as a version of its
// own: what was in force when stays written down.
func (s *service) UndoSIMProfile(ctx context.Context, a audit.Actor, id ringwall.SIMID) ([]api.SIMProfile, error) {
	err := s.change(ctx, a, audit.SIMWrite, on("sim", string(id)), func(t *turn, scope audit.Scope) error {
		if _, err := t.tx.SIM(scope, id); err != nil {
			return err
		}
		versions, err := t.tx.SIMProfiles(scope, id)
		if err != nil {
			return err
		}
		if len(versions) < 2 {
			return ringwall.Errorf(ringwall.Conflict, "there is no version before this one")
		}
		p := versions[1]
		p.Version, p.Made, p.By, p.Error, p.Done = versions[0].Version+1, t.at, a.String(), "", time.Time{}
		return t.putProfile(scope, id, p)
	})
	if err != nil {
		return nil, err
	}
	return s.SIMProfiles(ctx, a, id)
}

// States of a profile at the operator.
const (
	profileAsked  = "asked"
	profileDone   = "done"
	profileFailed = "failed"
	profileLocal  = "local"
)

// putProfile keeps the next version: usage records are judged by it from now
// on, the document of the device's gateway is composed with it, and the operator
// is asked.
func (t *turn) putProfile(scope audit.Scope, id ringwall.SIMID, p api.SIMProfile) error {
	p.State = profileAsked
	if err := t.tx.PutSIMProfile(scope, id, p); err != nil {
		return err
	}
	card, err := t.tx.UpdateSIM(scope, id, func(s *api.SIM) error {
		s.Services, s.Peers = orNone(slices.Clone(p.Plan.Rules.Services)), orNone(slices.Clone(p.Plan.Rules.Peers))
		return nil
	})
	if err != nil {
		return err
	}
	if card.Device != "" {
		own, err := t.as(audit.SysPolicy, audit.SystemPolicy)
		if err != nil {
			return err
		}
		d, err := t.tx.Device(own, card.Device)
		if err != nil {
			return err
		}
		t.compose(d.Gateway)
	}
	t.respond = true
	return t.tellProfile(scope, id, p)
}

func (t *turn) tellProfile(scope audit.Scope, id ringwall.SIMID, p api.SIMProfile) error {
	n := note{Key: "timeline.sim.profile", Params: map[string]string{"state": p.State}}
	if p.State == profileFailed {
		n = note{Key: "timeline.sim.profile.failed", Params: map[string]string{"reason": p.Error}}
	}
	return t.tell(scope, ringwall.EventSIM, ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(id)}, "", n)
}

// simProfiles is what the platform asks of an operator that takes profiles.
type simProfiles interface {
	Configure(ctx context.Context, card operatorport.Card, settings *api.OperatorSettings, key string) error
}

// laterProfile is what the pauses of a card's profile are kept under.
func laterProfile(id ringwall.SIMID) ringwall.ResponseID { return ringwall.ResponseID("profile " + id) }

// askProfiles asks the operator for the profiles that are to be put in force.
func (c *core) askProfiles(ctx context.Context, scope audit.Scope, sims simPort) error {
	var ids []ringwall.SIMID
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) { ids, err = tx.AskedProfiles(scope, 20); return err }); err != nil {
		return err
	}
	for _, id := range ids {
		if !c.later.due(laterProfile(id), c.now()) {
			continue
		}
		if err := c.askProfile(ctx, scope.Org(), id, sims); err != nil {
			return err
		}
	}
	return nil
}

func (c *core) askProfile(ctx context.Context, org ringwall.OrgID, id ringwall.SIMID, sims simPort) error {
	var p api.SIMProfile
	var card operatorport.Card
	if err := c.turn(ctx, org, func(t *turn) error {
		scope, err := t.as(audit.SysIncident, audit.SIMRespond)
		if err != nil {
			return err
		}
		versions, err := t.tx.SIMProfiles(scope, id)
		if err != nil || len(versions) == 0 {
			return err
		}
		p = versions[0]
		n, err := t.tx.Numbers(scope, id)
		card = operatorport.Card{ICCID: n.ICCID, IMSI: n.IMSI}
		return err
	}); err != nil || p.State != profileAsked {
		return err
	}
	to, speaks := sims.(simProfiles)
	var answer error
	if speaks {
		var settings *api.OperatorSettings
		if !p.None {
			settings = &p.Plan.Operator
		}
		asked, cancel := context.WithTimeout(ctx, askTime)
		answer = to.Configure(asked, card, settings, "profile:"+string(id)+":"+strconv.Itoa(p.Version))
		cancel()
	}
	switch {
	case !speaks || errors.Is(answer, operatorport.ErrNoProfiles):
		p.State = profileLocal
	case ringwall.CodeOf(answer) == ringwall.Unavailable:
		c.log.Warn("operator did not say what became of a function profile; asking again", "sim", id, "cause", answer)
		c.later.failed(laterProfile(id), c.now())
		return nil
	case answer != nil:
		p.State, p.Error = profileFailed, words(answer)
	default:
		p.State, p.Done = profileDone, c.now().UTC()
	}
	c.later.settled(laterProfile(id))
	return c.turn(ctx, org, func(t *turn) error {
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		versions, err := t.tx.SIMProfiles(scope, id)
		if err != nil || len(versions) == 0 || versions[0].Version != p.Version {
			return err // another is wanted meanwhile
		}
		if err := t.tx.PutSIMProfile(scope, id, p); err != nil {
			return err
		}
		return t.tellProfile(scope, id, p)
	})
}
