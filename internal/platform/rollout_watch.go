package platform

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

const (
	// watchRows bounds the reports of one device that one look reads.
	watchRows = 2000
	// habit is how far back a rollout of a mode looks for what shadow would have
	// refused: whoever starts it has accepted that it will be.
	habit = 7 * 24 * time.Hour
	// bystander is how far back an end that is refused now must have been refused
	// before to be no news.
	bystander = 24 * time.Hour
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// watched is what is refused to one device of a rollout, and how it was judged
// before.
type watched struct {
	dev    api.Device
	before api.DevicePolicy
	site   policy.Site
	at     map[netip.Addr]ringwall.DeviceID
}

// broken returns the ends that a rollout broke since its stage was begun, of
// the devices that it covers. It reads the reports of refusals alone, and
// judges each by the policy that the device would have without the rollout.
func (s *service) broken(ctx context.Context, scope audit.Scope, r api.Rollout, has []target, gateways map[ringwall.GatewayID]api.Gateway) ([]api.RolloutBreak, error) {
	devices, err := s.coveredDevices(ctx, scope, has)
	if err != nil {
		return nil, err
	}
	verdicts := []string{"refused", "would-refuse"}
	if r.Change.Mode != nil {
		verdicts = verdicts[:1]
	}
	var out []api.RolloutBreak
	for _, dev := range devices {
		g := gateways[dev.Gateway]
		from := r.Begun
		if g.Health != nil {
			from = from.Add(g.Health.Clock) // reports bear the gateway's time
		}
		var rows []api.FlowRow
		for _, v := range verdicts {
			more, err := s.rows(ctx, segment.Query{Org: scope.Org(), Device: dev.ID, From: from, Verdict: v})
			if err != nil {
				return nil, err
			}
			rows = append(rows, more...)
		}
		if len(rows) == 0 {
			continue
		}
		found, err := s.brokenOf(ctx, scope, r, dev, g, rows, from)
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// coveredDevices returns the devices that a rollout covers: those it is for, or
// those behind the gateways it is for.
func (s *service) coveredDevices(ctx context.Context, scope audit.Scope, has []target) (out []api.Device, err error) {
	err = s.store.View(ctx, func(tx *sqlstore.Tx) error {
		for _, x := range has {
			if x.dev != nil {
				out = append(out, *x.dev)
				continue
			}
			behind, _, err := tx.DevicesBehind(scope, x.gw)
			if err != nil {
				return err
			}
			out = append(out, behind...)
		}
		return nil
	})
	return out, err
}

func (s *service) rows(ctx context.Context, q segment.Query) (out []api.FlowRow, err error) {
	q.Limit = segment.MaxLimit
	for len(out) < watchRows {
		page, err := s.segments.FlowPage(ctx, q)
		if err != nil {
			return nil, err
		}
		out = append(out, page.Items...)
		if page.Next == "" || len(page.Items) == 0 {
			break
		}
		q.Cursor = page.Next
	}
	return out, nil
}

// brokenOf judges the refusals of one device.
func (s *service) brokenOf(ctx context.Context, scope audit.Scope, r api.Rollout, dev api.Device, g api.Gateway, rows []api.FlowRow, from time.Time) ([]api.RolloutBreak, error) {
	w, err := s.policyBefore(ctx, scope, r, dev, g)
	if err != nil {
		return nil, err
	}
	found := map[end]*api.RolloutBreak{}
	for _, row := range rows { // newest first
		was := w.allowed(r, row)
		if was == "" {
			continue
		}
		e := endOf(row)
		b := found[e]
		if b == nil {
			b = &api.RolloutBreak{Device: dev.ID, Name: dev.Name, Flow: row, Was: was}
			found[e] = b
		}
		b.Count += max(row.Packets, 1)
	}
	maps.DeleteFunc(found, func(_ end, b *api.RolloutBreak) bool { return b.Count < uint64(cmp.Or(r.Stop.Refusals, 3)) })
	if len(found) == 0 {
		return nil, nil
	}
	// What was refused before the rollout as well is not its doing.
	back, verdict := bystander, "refused"
	if r.Change.Mode != nil {
		back, verdict = habit, "would-refuse"
	}
	old, err := s.rows(ctx, segment.Query{Org: scope.Org(), Device: dev.ID, From: from.Add(-back), To: r.Made.Add(from.Sub(r.Begun)), Verdict: verdict})
	if err != nil {
		return nil, err
	}
	for _, row := range old {
		if b := found[endOf(row)]; b != nil && (r.Change.Mode == nil || b.Was == "shadow") {
			delete(found, endOf(row))
		}
	}
	out := make([]api.RolloutBreak, 0, len(found))
	for _, b := range found {
		out = append(out, *b)
	}
	slices.SortFunc(out, func(a, b api.RolloutBreak) int { return cmp.Compare(b.Count, a.Count) })
	return out, nil
}

// policyBefore composes the policy that a device would have without a rollout.
func (s *service) policyBefore(ctx context.Context, scope audit.Scope, r api.Rollout, dev api.Device, g api.Gateway) (w watched, err error) {
	if was, ok := r.Before[g.ID]; ok {
		setSite(&g, was.Site)
	}
	w.dev = dev
	err = s.store.View(ctx, func(tx *sqlstore.Tx) error {
		t := &turn{core: s.core, ctx: ctx, tx: tx, org: scope.Org(), at: s.now().UTC(), keys: map[scopeKey]audit.Scope{}}
		c, err := t.composer(scope, g)
		if err != nil {
			return err
		}
		c.except = r.ID
		if w.before, _, err = c.policy(dev, 1); err != nil || g.ID == "" {
			return err
		}
		w.site, w.at, err = t.siteOf(scope, g.ID)
		w.site.Remediation, w.site.Controllers = g.Remediate, g.Controllers
		return err
	})
	return w, err
}

// allowed tells what let a flow pass before, "" when nothing did.
func (w *watched) allowed(r api.Rollout, row api.FlowRow) string {
	switch row.Reason {
	case policy.ReasonQuarantine, policy.ReasonCutoff, policy.ReasonRemediation:
		return "" // a hold refused it
	}
	f := flowOf(row, w.at)
	p := w.before
	mode := p.Mode
	p.Mode = ringwall.Enforce
	if v := w.site.Decide(&p, ringwall.Unrestricted, &f); v.Pass {
		return cmp.Or(v.Term, v.Reason)
	}
	// Before a rollout of a mode everything passed, but for what shadow told of
	// (the caller takes that out) and what is denied by word.
	if r.Change.Mode != nil && mode != ringwall.Enforce && row.Reason != policy.ReasonDeny {
		return "shadow"
	}
	return ""
}
