package platform

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/zones"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// maxTerms bounds the terms that a person writes for one device, group or site.
const maxTerms = 500

// checkTerms looks at terms that a person wrote.
func checkTerms(terms []api.Term) error {
	if len(terms) > maxTerms {
		return ringwall.Errorf(ringwall.Invalid, "%d terms are more than %d", len(terms), maxTerms)
	}
	seen := map[string]bool{}
	for _, t := range terms {
		if t.ID == "" || len(t.ID) > maxName || strings.ContainsAny(t.ID, "/\r\n\t") {
			return ringwall.Errorf(ringwall.Invalid, "term %.40q: an id has 1 to %d bytes and no slash", t.ID, maxName)
		}
		if seen[t.ID] {
			return ringwall.Errorf(ringwall.Invalid, "two terms have the id %.40q", t.ID)
		}
		seen[t.ID] = true
		if err := policy.Check(t); err != nil {
			return err
		}
	}
	_, err := zones.For(time.Unix(0, 0), zones.Named(terms))
	return err
}

// DevicePolicy tells what a device may do, and who says so.
func (s *service) DevicePolicy(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (v api.PolicyView, err error) {
	if !sightOf(a).whole {
		if _, err := s.Device(ctx, a, id); err != nil {
			return v, err
		}
		return v, ringwall.Errorf(ringwall.Forbidden, "whom a device may talk to is not shown to your parts")
	}
	err = s.peek(ctx, a, audit.PolicyRead, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		_, v, err = t.policyNow(scope, id, nil, "")
		return err
	})
	return v, err
}

// peek authorises an act and runs f in a turn that changes nothing: what is
// composed in it is only shown.
func (s *service) peek(ctx context.Context, a audit.Actor, act audit.Act, target audit.Target, f func(*turn, audit.Scope) error) error {
	return s.view(ctx, a, act, target, func(tx *sqlstore.Tx, scope audit.Scope) error {
		t := &turn{core: s.core, ctx: ctx, tx: tx, org: a.Org, at: s.now().UTC(), keys: map[scopeKey]audit.Scope{}}
		return f(t, scope)
	})
}

// policyNow composes the policy of one device as it is, or with other terms of
// its owner, or without a rollout. A device with no gateway has a policy all
// the same: it is what it would bring to one.
func (t *turn) policyNow(scope audit.Scope, id ringwall.DeviceID, owner *[]api.Term, except ringwall.RolloutID) (api.DevicePolicy, api.PolicyView, error) {
	dev, err := t.tx.Device(scope, id)
	if err != nil {
		return api.DevicePolicy{}, api.PolicyView{}, err
	}
	var g api.Gateway
	if dev.Gateway != "" {
		if g, err = t.tx.Gateway(scope, dev.Gateway); err != nil {
			return api.DevicePolicy{}, api.PolicyView{}, err
		}
	}
	c, err := t.composer(scope, g)
	if err != nil {
		return api.DevicePolicy{}, api.PolicyView{}, err
	}
	c.owner, c.except = owner, except
	mark, err := t.tx.Mark(scope, id)
	if err != nil {
		return api.DevicePolicy{}, api.PolicyView{}, err
	}
	return c.policy(dev, mark)
}

// PutOwnerTerms replaces what the owner says of a device.
func (s *service) PutOwnerTerms(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.OwnerTerms) (api.PolicyView, error) {
	if err := checkTerms(in.Terms); err != nil {
		return api.PolicyView{}, err
	}
	err := s.change(ctx, a, audit.PolicyWrite, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		if err := t.knownDevices(&in.Terms); err != nil {
			return err
		}
		return t.ownerTerms(scope, id, in)
	})
	if err != nil {
		return api.PolicyView{}, err
	}
	return s.DevicePolicy(ctx, a, id)
}

// ownerTerms keeps what the owner says of a device, tells of it and composes.
func (t *turn) ownerTerms(scope audit.Scope, id ringwall.DeviceID, in api.OwnerTerms) error {
	d, err := t.tx.Device(scope, id)
	if err != nil {
		return err
	}
	if err := t.tx.PutTerms(scope, id, in.Terms); err != nil {
		return err
	}
	if err := t.tell(scope, ringwall.EventDeviceMode, deviceSubject(id), "", note{
		Key: "timeline.device.terms", Params: map[string]string{"count": strconv.Itoa(len(in.Terms))},
	}); err != nil {
		return err
	}
	if in.Mode != nil && *in.Mode != d.Mode {
		own, err := t.as(audit.SysPolicy, audit.SystemPolicy)
		if err != nil {
			return err
		}
		now, err := t.tx.UpdateDevice(own, id, func(d *api.Device) error { d.Mode = *in.Mode; return nil })
		if err != nil {
			return err
		}
		if err := t.tellPatch(scope, d, now); err != nil {
			return err
		}
		t.judge(id, "")
	}
	t.compose(d.Gateway)
	return nil
}

const (
	// explainBack is how far back a change is tried on what was seen.
	explainBack = 7 * 24 * time.Hour
	// explainRows bounds the flow reports that are looked at.
	explainRows = 20_000
	// explainShown bounds the ends that are shown.
	explainShown = 50
)

// ExplainPolicy tells what other terms of a device's owner would do.
func (s *service) ExplainPolicy(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.OwnerTerms) (out api.PolicyChange, err error) {
	if err := checkTerms(in.Terms); err != nil {
		return out, err
	}
	if _, err := s.Device(ctx, a, id); err != nil {
		return out, err
	}
	if !sightOf(a).whole {
		return out, ringwall.Errorf(ringwall.Forbidden, "whom a device may talk to is not shown to your parts")
	}
	var x trial
	err = s.peek(ctx, a, audit.PolicyRead, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		if err := t.knownDevices(&in.Terms); err != nil {
			return err
		}
		x, err = t.trial(scope, id, &in.Terms)
		return err
	})
	if err != nil {
		return out, err
	}
	return s.explain(ctx, a.Org, x)
}

// trial is one device's policy before and after a change, with its site.
type trial struct {
	device      ringwall.DeviceID
	before, now api.DevicePolicy
	site        policy.Site
	neighbours  map[netip.Addr]ringwall.DeviceID
}

// trial prepares to try other terms of the owner on what was seen.
func (t *turn) trial(scope audit.Scope, id ringwall.DeviceID, owner *[]api.Term) (x trial, err error) {
	x.device = id
	if x.before, _, err = t.policyNow(scope, id, nil, ""); err != nil {
		return x, err
	}
	if x.now, _, err = t.policyNow(scope, id, owner, ""); err != nil {
		return x, err
	}
	dev, err := t.tx.Device(scope, id)
	if err != nil || dev.Gateway == "" {
		return x, err
	}
	x.site, x.neighbours, err = t.siteOf(scope, dev.Gateway)
	return x, err
}

// siteOf returns what terms may speak of beside the device itself.
func (t *turn) siteOf(scope audit.Scope, gw ringwall.GatewayID) (policy.Site, map[netip.Addr]ringwall.DeviceID, error) {
	g, err := t.tx.Gateway(scope, gw)
	if err != nil {
		return policy.Site{}, nil, err
	}
	devices, _, err := t.tx.DevicesBehind(scope, gw)
	if err != nil {
		return policy.Site{}, nil, err
	}
	d := api.Desired{Remediation: g.Remediate, Controllers: g.Controllers}
	at := map[netip.Addr]ringwall.DeviceID{}
	for _, dev := range devices {
		d.Devices = append(d.Devices, api.DevicePolicy{Device: dev.ID, Maker: dev.Maker})
		if dev.Binding.IP.IsValid() {
			at[dev.Binding.IP] = dev.ID
		}
	}
	return policy.SiteOf(&d), at, nil
}

// flowOf is a flow report as policies judge it.
func flowOf(r api.FlowRow, neighbours map[netip.Addr]ringwall.DeviceID) policy.Flow {
	f := policy.Flow{
		Direction: r.Direction, Local: r.Local, Remote: r.Remote, Proto: r.Proto, At: r.Time, RemoteDevice: neighbours[r.Remote.Addr().Unmap()],
	}
	if r.Name != "" {
		f.Names = []string{strings.ToLower(strings.TrimSuffix(r.Name, "."))}
	}
	return f
}

// end names the other end of a flow, so that the reports of one end are one.
type end struct {
	direction api.Direction
	proto     string
	other     string
	port      uint16
}

func endOf(r api.FlowRow) end {
	e := end{r.Direction, r.Proto, r.Name, r.Remote.Port()}
	if e.other == "" {
		e.other = r.Remote.Addr().String()
	}
	if r.Direction == api.ToDevice {
		e.port = r.Local.Port()
	}
	return e
}

// explain tries a change on what passed lately. Both policies are asked as if
// they were enforced: what mode they are in is another question.
func (s *service) explain(ctx context.Context, org ringwall.OrgID, x trial) (api.PolicyChange, error) {
	x.before.Mode, x.now.Mode = ringwall.Enforce, ringwall.Enforce
	d, err := policy.Diff(x.before.Terms, x.now.Terms)
	if err != nil {
		return api.PolicyChange{Allows: []string{}, Refuses: []string{}, Flows: []api.FlowRow{}}, err
	}
	out := changeOf(d, s.now().Add(-explainBack))
	out.All = true
	seen := map[end]bool{}
	err = s.eachFlow(ctx, segment.Query{Org: org, Device: x.device, From: out.From, Verdict: "allowed"}, explainRows, &out, func(r api.FlowRow) {
		e := endOf(r)
		if seen[e] || len(out.Flows) >= explainShown {
			return
		}
		f := flowOf(r, x.neighbours)
		if !x.site.Decide(&x.before, ringwall.Unrestricted, &f).Pass || x.site.Decide(&x.now, ringwall.Unrestricted, &f).Pass {
			return
		}
		seen[e] = true
		out.Flows = append(out.Flows, r)
	})
	return out, err
}

// eachFlow calls f for each report that a query finds, the newest first, up to
// limit of them, and counts them.
func (s *service) eachFlow(ctx context.Context, q segment.Query, limit int, out *api.PolicyChange, f func(api.FlowRow)) error {
	q.Limit = segment.MaxLimit
	for {
		page, err := s.segments.FlowPage(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			f(r)
		}
		out.Looked += len(page.Items)
		if page.Next == "" || len(page.Items) == 0 {
			return nil
		}
		if out.Looked >= limit {
			out.All = false
			return nil
		}
		q.Cursor = page.Next
	}
}
