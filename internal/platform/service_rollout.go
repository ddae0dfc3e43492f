package platform

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// Rollouts lists rollouts, newest first.
func (s *service) Rollouts(ctx context.Context, a audit.Actor, p httpapi.Paging) (page api.Page[api.Rollout], err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("rollout", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.Rollouts(scope, paging(p))
		return err
	})
	for i := range page.Items {
		page.Items[i] = sightOf(a).rollout(page.Items[i])
	}
	return page, err
}

// Rollout answers one rollout.
func (s *service) Rollout(ctx context.Context, a audit.Actor, id ringwall.RolloutID) (r api.Rollout, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("rollout", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		r, err = tx.Rollout(scope, id)
		return err
	})
	return sightOf(a).rollout(r), err
}

// rollout hides whom devices talked to from those who may not see it.
func (v sight) rollout(r api.Rollout) api.Rollout {
	r.Before = nil // how it is undone is the platform's own business
	if !v.whole {
		r.Broken, r.Why, r.Reason = []api.RolloutBreak{}, "", nil
		r.Log = slices.Clone(r.Log)
		for i := range r.Log {
			r.Log[i].Why, r.Log[i].Reason = "", nil
		}
	}
	return r
}

func checkRollout(in *api.RolloutStart) error {
	if len(in.Stages) == 0 {
		in.Stages = defaultStages
	}
	if len(in.Stages) > maxStages || in.Stages[len(in.Stages)-1] != 100 {
		return ringwall.Errorf(ringwall.Invalid, "a rollout has 1 to %d stages, and the last is 100 percent", maxStages)
	}
	for i, p := range in.Stages {
		if p < 1 || p > 100 || i > 0 && p <= in.Stages[i-1] {
			return ringwall.Errorf(ringwall.Invalid, "stages are percents from 1 to 100 that rise")
		}
	}
	if in.Soak == 0 {
		in.Soak = api.Duration(defaultSoak)
	}
	if d := time.Duration(in.Soak); d < minSoak || d > maxSoak {
		return ringwall.Errorf(ringwall.Invalid, "a stage is watched for a second to 30 days")
	}
	if in.Stop.Ends < 0 || in.Stop.Refusals < 0 {
		return ringwall.Errorf(ringwall.Invalid, "what stops a rollout is not negative")
	}
	c := in.Change
	kinds := 0
	for _, is := range []bool{c.Terms != nil, c.Mode != nil, c.Template != ""} {
		if is {
			kinds++
		}
	}
	if kinds != 1 || (c.Template == "") == (c.Group == "") {
		return ringwall.Errorf(ringwall.Invalid, "a rollout changes the terms of a group, the mode of a group, or a template")
	}
	if c.Mode != nil && *c.Mode == ringwall.Learn {
		return ringwall.Errorf(ringwall.Invalid, "nothing is refused in mode learn, so nothing is rolled out")
	}
	if c.Terms != nil {
		return checkTerms(*c.Terms)
	}
	return nil
}

// StartRollout begins a rollout: its first stage is asked for at once.
func (s *service) StartRollout(ctx context.Context, a audit.Actor, in api.RolloutStart) (r api.Rollout, err error) {
	if err := checkRollout(&in); err != nil {
		return r, err
	}
	if len(in.Name) > maxName {
		return r, ringwall.Errorf(ringwall.Invalid, "a name has at most %d bytes", maxName)
	}
	err = s.change(ctx, a, audit.PolicyRollout, on("rollout", string(in.Change.Group)+string(in.Change.Template)), func(t *turn, scope audit.Scope) error {
		r = api.Rollout{
			ID: ringwall.RolloutID(ringwall.NewID(ringwall.PrefixRollout, t.at)), Org: a.Org, Name: strings.TrimSpace(in.Name), Change: in.Change,
			Stages: in.Stages, Soak: in.Soak, Stop: in.Stop, Status: api.RolloutRunning, By: a.String(), Made: t.at,
			Waiting: []ringwall.GatewayID{}, Broken: []api.RolloutBreak{}, Log: []api.RolloutStep{},
		}
		if err := t.aimed(scope, &r); err != nil {
			return err
		}
		t.step(&r, api.RolloutStep{What: "begun", By: r.By})
		if err := t.tx.CreateRollout(scope, r); err != nil {
			return err
		}
		if err := t.tellRollout(scope, r, "timeline.rollout.begun", nil); err != nil {
			return err
		}
		if err := t.beginStage(scope, &r); err != nil {
			return err
		}
		_, err := t.tx.UpdateRollout(scope, r.ID, func(kept *api.Rollout) error { *kept = r; return nil })
		return err
	})
	if err == nil {
		s.wakeRollout()
	}
	return sightOf(a).rollout(r), err
}

// aimed finds what a rollout is for, and gives it a name if it has none.
func (t *turn) aimed(scope audit.Scope, r *api.Rollout) error {
	running, err := t.tx.Running(scope)
	if err != nil {
		return err
	}
	for _, other := range running {
		if other.Change.Group == r.Change.Group && other.Change.Template == r.Change.Template {
			return ringwall.Errorf(ringwall.Conflict, "rollout %q of the same is under way", other.Name)
		}
	}
	if r.Change.Template != "" {
		tpl, err := t.tx.Template(scope, r.Change.Template, r.Change.Version)
		if err != nil {
			return err
		}
		r.Change.Version = tpl.Version
		if r.Name == "" {
			r.Name = tpl.Name
		}
		return nil
	}
	g, err := t.tx.Group(scope, r.Change.Group)
	if err != nil {
		return err
	}
	if r.Name == "" {
		r.Name = g.Name
	}
	return t.knownDevices(r.Change.Terms)
}

// DecideRollout stops a rollout and undoes it, or lets one that was stopped go on.
func (s *service) DecideRollout(ctx context.Context, a audit.Actor, id ringwall.RolloutID, in api.RolloutDecision) (r api.Rollout, err error) {
	err = s.change(ctx, a, audit.PolicyRollout, on("rollout", string(id)), func(t *turn, scope audit.Scope) error {
		r, err = t.tx.UpdateRollout(scope, id, func(kept *api.Rollout) error {
			switch in.Decision {
			default:
				return ringwall.Errorf(ringwall.Invalid, "a rollout is stopped or resumed")
			case "resume":
			case "stop":
				if kept.Status != api.RolloutRunning {
					return ringwall.Errorf(ringwall.Conflict, "the rollout is %s", kept.Status)
				}
				why := api.Said{Text: clip(strings.TrimSpace(in.Reason), maxSaid)}
				if why.Text == "" {
					why = rolloutReason("rolloutwhy.hand", nil)
				}
				return t.stopRollout(scope, kept, a.String(), why)
			}
			if kept.Status != api.RolloutStopped {
				return ringwall.Errorf(ringwall.Conflict, "the rollout is %s", kept.Status)
			}
			probe := *kept
			if err := t.aimed(scope, &probe); err != nil {
				return err
			}
			kept.Status, kept.Why, kept.Reason, kept.Ended = api.RolloutRunning, "", nil, time.Time{}
			t.step(kept, api.RolloutStep{What: "resumed", Stage: kept.Stage, By: a.String(), Why: clip(in.Reason, maxSaid)})
			if err := t.tellRollout(scope, *kept, "timeline.rollout.resumed", nil); err != nil {
				return err
			}
			return t.beginStage(scope, kept)
		})
		return err
	})
	if err == nil {
		s.wakeRollout()
	}
	return sightOf(a).rollout(r), err
}
