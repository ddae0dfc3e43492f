package platform

import (
	"context"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// policyMUD composes what a device may do with another usage description than
// the one that is kept; nil is with none.
func (t *turn) policyMUD(scope audit.Scope, id ringwall.DeviceID, m *api.MUDState) (api.DevicePolicy, error) {
	dev, err := t.tx.Device(scope, id)
	if err != nil {
		return api.DevicePolicy{}, err
	}
	var g api.Gateway
	if dev.Gateway != "" {
		if g, err = t.tx.Gateway(scope, dev.Gateway); err != nil {
			return api.DevicePolicy{}, err
		}
	}
	c, err := t.composer(scope, g)
	if err != nil {
		return api.DevicePolicy{}, err
	}
	c.mud = m
	p, _, err := c.policy(dev, 1) // the mark is not looked at
	return p, err
}

// ExplainMUD tells what a description would do: the one that is handed in, or,
// when none is, the one that waits. Nothing is kept.
func (s *service) ExplainMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDPut) (out api.MUDPreview, err error) {
	if err := s.seesMUD(ctx, a, id); err != nil {
		return out, err
	}
	var g mudGiven
	if len(in.File) > 0 {
		if g, err = s.given(in); err != nil {
			return out, err
		}
	} else if in.URL != "" || len(in.Signature)+len(in.Certificate) > 0 {
		return out, ringwall.Errorf(ringwall.Invalid, "a description is tried by its file; one that is only named is fetched first")
	}
	var narrow, approve trial
	err = s.peek(ctx, a, audit.PolicyRead, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		m, f, err := t.tx.MUD(scope, id)
		if err != nil && (g.file == nil || !isCode(err, ringwall.NotFound)) {
			return err
		}
		terms := m.Terms
		if m.Changed != nil {
			terms = m.Pending
		}
		if g.file != nil {
			m = handedIn(m, id, g, t)
			set, err := mudSettings(t.tx, scope)
			if err != nil {
				return err
			}
			trust, err := t.mudTrust(set, m.NamedSigner)
			if err != nil {
				return err
			}
			m, terms = taken(m, g.file, g.file.Check(trust), t.at)
		} else if m, err = t.signatureNow(t.tx, scope, m, f); err != nil {
			return err
		}
		if m.Fetched.IsZero() {
			return ringwall.Errorf(ringwall.Conflict, "the description is not at hand yet")
		}
		m.Waits = m.Asks()
		out.State = m
		out.State.Terms = orNone(terms)
		for _, x := range []struct {
			status string
			to     *trial
		}{{mudNarrow, &narrow}, {mudApproved, &approve}} {
			if *x.to, err = t.trial(scope, id, nil); err != nil {
				return err
			}
			as := api.MUDState{Status: x.status, Terms: terms}
			if x.to.now, err = t.policyMUD(scope, id, &as); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	if out.Narrow, err = s.explain(ctx, a.Org, narrow); err != nil {
		return out, err
	}
	out.Approve, err = s.explain(ctx, a.Org, approve)
	return out, err
}
