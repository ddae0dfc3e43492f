package platform

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// A rollout is an overlay: while it is under way, the devices that it covers
// are composed with what it brings, and the group stays as it was. To undo it
// is to look through it; to finish it is to write it into the group. A
// template's rollout writes at the gateways and keeps what was there before.

const (
	defaultSoak = time.Hour
	minSoak     = time.Second
	maxSoak     = 30 * 24 * time.Hour
	maxStages   = 20
	// maxSteps bounds a rollout's own story.
	maxSteps = 200
)

var defaultStages = []int{5, 25, 100}

// target is one device, or one gateway of a template, that a rollout is for.
type target struct {
	id  string
	gw  ringwall.GatewayID
	at  uint64
	dev *api.Device
}

// targets returns everything that a rollout is for.
func targets(tx *sqlstore.Tx, scope audit.Scope, r *api.Rollout) ([]target, error) {
	var out []target
	if r.Change.Template != "" {
		gateways, err := tx.AllGateways(scope)
		for _, g := range gateways {
			if g.Template == r.Change.Template && g.Revoked.IsZero() {
				out = append(out, target{id: string(g.ID), gw: g.ID, at: placeOf(r.ID, string(g.ID))})
			}
		}
		return out, err
	}
	g, err := tx.Group(scope, r.Change.Group)
	if err != nil {
		return nil, err
	}
	in, err := devicesIn(tx, scope, g)
	for i, d := range in {
		out = append(out, target{id: string(d.ID), gw: d.Gateway, at: placeOf(r.ID, string(d.ID)), dev: &in[i]})
	}
	return out, err
}

func covered(all []target, cut uint64) []target {
	return slices.DeleteFunc(slices.Clone(all), func(x target) bool { return x.at > cut })
}

// beginStage puts the rollout's stage in force, or asks for it.
func (t *turn) beginStage(scope audit.Scope, r *api.Rollout) error {
	all, err := targets(t.tx, scope, r)
	if err != nil {
		return err
	}
	places := make([]uint64, len(all))
	for i, x := range all {
		places[i] = x.at
	}
	r.Cut = cutAt(places, r.Stages[r.Stage])
	has := covered(all, r.Cut)
	r.Total, r.Covered, r.Begun, r.Since, r.Wanted = len(all), len(has), t.at, time.Time{}, nil
	r.Waiting, r.Broken = []ringwall.GatewayID{}, []api.RolloutBreak{}
	t.step(r, api.RolloutStep{What: "stage", Stage: r.Stage})
	if r.Change.Template != "" {
		if err := t.giveSites(scope, r, has); err != nil {
			return err
		}
	}
	t.forgetPlacing()
	for _, x := range has {
		t.compose(x.gw)
	}
	return t.tellRollout(scope, *r, "timeline.rollout.stage", map[string]string{
		"stage": strconv.Itoa(r.Stage + 1), "covered": strconv.Itoa(r.Covered), "total": strconv.Itoa(r.Total),
	})
}

// giveSites gives gateways the rollout's version of their template, and keeps
// what they had.
func (t *turn) giveSites(scope audit.Scope, r *api.Rollout, has []target) error {
	for _, x := range has {
		g, err := t.tx.Gateway(scope, x.gw)
		if err != nil {
			return err
		}
		if g.TemplateVersion == r.Change.Version {
			continue
		}
		if r.Before == nil {
			r.Before = map[ringwall.GatewayID]api.SiteState{}
		}
		if _, kept := r.Before[x.gw]; !kept {
			r.Before[x.gw] = api.SiteState{Template: g.Template, Version: g.TemplateVersion, Site: siteNow(g)}
		}
		if err := t.giveTemplate(scope, x.gw, r.Change.Template, r.Change.Version); err != nil {
			return err
		}
	}
	return nil
}

// undo takes back what a rollout has put in force.
func (t *turn) undo(scope audit.Scope, r *api.Rollout) error {
	all, err := targets(t.tx, scope, r)
	if err != nil && !isCode(err, ringwall.NotFound) { // the group may have gone
		return err
	}
	for gw, was := range r.Before {
		if _, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error {
			setSite(g, was.Site)
			g.Template, g.TemplateVersion = was.Template, was.Version
			return nil
		}); err != nil && !isCode(err, ringwall.NotFound) {
			return err
		}
		t.compose(gw)
	}
	r.Before = nil
	for _, x := range covered(all, r.Cut) {
		t.compose(x.gw)
	}
	r.Cut, r.Covered = 0, 0
	t.forgetPlacing()
	return nil
}

// stopRollout ends a rollout and undoes it.
func (t *turn) stopRollout(scope audit.Scope, r *api.Rollout, by string, why api.Said) error {
	if err := t.undo(scope, r); err != nil {
		return err
	}
	r.Status, r.Ended, r.Waiting = api.RolloutStopped, t.at, []ringwall.GatewayID{}
	r.Why, r.Reason = why.Text, keyed(why)
	t.step(r, api.RolloutStep{What: "stopped", Stage: r.Stage, By: by, Why: why.Text, Reason: keyed(why)})
	return t.tellRollout(scope, *r, "timeline.rollout.stopped", map[string]string{"reason": why.Text})
}

// finish writes a rollout's change to where it belongs for good.
func (t *turn) finish(scope audit.Scope, r *api.Rollout) error {
	if r.Change.Terms != nil {
		if _, err := t.tx.UpdateGroup(scope, r.Change.Group, func(g *api.Group) error {
			g.Terms, g.Changed = *r.Change.Terms, t.at
			return nil
		}); err != nil {
			return err
		}
	}
	if r.Change.Mode != nil {
		all, err := targets(t.tx, scope, r)
		if err != nil {
			return err
		}
		for _, x := range all {
			if x.dev.Mode == *r.Change.Mode {
				continue
			}
			now, err := t.tx.UpdateDevice(scope, x.dev.ID, func(d *api.Device) error { d.Mode = *r.Change.Mode; return nil })
			if err != nil {
				return err
			}
			if err := t.tellPatch(scope, *x.dev, now); err != nil {
				return err
			}
			t.judge(x.dev.ID, string(r.ID))
		}
	}
	t.forgetPlacing()
	r.Status, r.Ended, r.Waiting, r.Before = api.RolloutDone, t.at, []ringwall.GatewayID{}, nil
	t.step(r, api.RolloutStep{What: "done", Stage: r.Stage})
	return t.tellRollout(scope, *r, "timeline.rollout.done", nil)
}

func (t *turn) step(r *api.Rollout, s api.RolloutStep) {
	s.Time = t.at
	if r.Log = append(r.Log, s); len(r.Log) > maxSteps {
		r.Log = r.Log[len(r.Log)-maxSteps:]
	}
}

func (t *turn) tellRollout(scope audit.Scope, r api.Rollout, key string, params map[string]string) error {
	if params == nil {
		params = map[string]string{}
	}
	params["name"] = r.Name
	return t.tell(scope, ringwall.EventRollout, ringwall.Subject{Kind: ringwall.SubjectRollout, ID: string(r.ID)}, "", note{Key: key, Params: params, Ref: string(r.ID)})
}

// rolloutEvery is how often rollouts are looked at.
const rolloutEvery = time.Second

// carryRollouts looks at every rollout under way until ctx ends.
func (p *Platform) carryRollouts(ctx context.Context, ready func()) error {
	ready()
	looked := map[ringwall.RolloutID]time.Time{}
	return p.rounds(ctx, rolloutEvery, p.wakeRollouts, func(k *keptScopes, org ringwall.OrgID) error {
		scope, err := k.get(ctx, audit.SysRollout, audit.SystemRollout, org)
		if err != nil {
			return err
		}
		var running []api.Rollout
		if err := p.store.View(ctx, func(tx *sqlstore.Tx) (err error) { running, err = tx.Running(scope); return err }); err != nil {
			return err
		}
		for _, r := range running {
			// A long soak is looked at less often: what it looks through is longer.
			every := min(max(time.Duration(r.Soak)/60, 0), 30*time.Second)
			if now := p.core.now(); r.Since.IsZero() || now.Sub(looked[r.ID]) >= every {
				looked[r.ID] = now
				if err := p.service.carryRollout(ctx, scope, r); err != nil && ctx.Err() == nil {
					p.core.log.Error("rollout not looked at", "rollout", r.ID, "cause", err)
				}
			}
		}
		if len(running) == 0 {
			clear(looked)
		}
		return nil
	})
}

// carryRollout looks at what a rollout did so far, and stops it, or takes it to
// its next stage.
func (s *service) carryRollout(ctx context.Context, scope audit.Scope, r api.Rollout) error {
	was := r
	var has []target
	var gateways map[ringwall.GatewayID]api.Gateway
	var why api.Said
	if err := s.store.View(ctx, func(tx *sqlstore.Tx) error {
		all, err := targets(tx, scope, &r)
		if isCode(err, ringwall.NotFound) {
			why = rolloutGone()
			return nil
		}
		if err != nil {
			return err
		}
		has = covered(all, r.Cut)
		gateways = map[ringwall.GatewayID]api.Gateway{}
		for _, x := range has {
			if _, ok := gateways[x.gw]; ok || x.gw == "" {
				continue
			}
			if gateways[x.gw], err = tx.Gateway(scope, x.gw); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	now := s.now().UTC()
	answered := waiting(&r, gateways)
	if why.Text == "" {
		why = gatewayTrouble(r, gateways)
	}
	if why.Text == "" {
		broken, err := s.broken(ctx, scope, r, has, gateways)
		if err != nil {
			return err
		}
		r.Broken = broken[:min(len(broken), api.MaxBroken)]
		if n := len(broken); n >= cmp.Or(r.Stop.Ends, 1) {
			why = brokenReason(broken)
		}
	}
	if why.Text != "" && r.Stop.Never && len(gateways) > 0 {
		r.Why, r.Reason, why = why.Text, keyed(why), api.Said{} // shown, and nothing is done about it
	}
	if r.Since.IsZero() && answered {
		r.Since = now
	}
	soaked := !r.Since.IsZero() && answered && now.Sub(r.Since) >= time.Duration(r.Soak)
	if why.Text == "" && !soaked && r.Since.Equal(was.Since) && slices.Equal(r.Waiting, was.Waiting) && len(r.Broken) == len(was.Broken) && len(r.Wanted) == len(was.Wanted) {
		return nil // nothing to write down
	}
	return s.turn(ctx, scope.Org(), func(t *turn) error {
		own, err := t.as(audit.SysRollout, audit.SystemRollout)
		if err != nil {
			return err
		}
		_, err = t.tx.UpdateRollout(own, r.ID, func(kept *api.Rollout) error {
			if kept.Status != api.RolloutRunning || kept.Stage != was.Stage || !kept.Begun.Equal(was.Begun) {
				return nil // somebody has decided meanwhile
			}
			kept.Since, kept.Waiting, kept.Wanted, kept.Broken, kept.Why, kept.Reason = r.Since, r.Waiting, r.Wanted, r.Broken, r.Why, r.Reason
			switch {
			case why.Text != "":
				return t.stopRollout(own, kept, "system:rollout", why)
			case !soaked:
				return nil
			case kept.Stage == len(kept.Stages)-1:
				return t.finish(own, kept)
			}
			kept.Stage++
			return t.beginStage(own, kept)
		})
		return err
	})
}

// waiting notes which gateways have yet to acknowledge the stage. It reports
// whether all that can be reached have; gateways that are away hold up nobody,
// unless all are.
func waiting(r *api.Rollout, gateways map[ringwall.GatewayID]api.Gateway) bool {
	if r.Wanted == nil {
		r.Wanted = map[ringwall.GatewayID]uint64{}
		for id, g := range gateways {
			r.Wanted[id] = g.Desired
		}
	}
	r.Waiting = []ringwall.GatewayID{}
	reached := len(gateways) == 0
	for id, g := range gateways {
		if g.InForce >= r.Wanted[id] {
			reached = true
			continue
		}
		r.Waiting = append(r.Waiting, id)
	}
	slices.Sort(r.Waiting)
	return reached && !slices.ContainsFunc(r.Waiting, func(id ringwall.GatewayID) bool { return gateways[id].Online })
}
