package platform

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"reflect"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/zones"
	"github.com/ringwall/ringwall/internal/trust"
)

// composeGateway makes and signs the next generation of a gateway's desired
// state, unless it would say what the newest one says.
func (t *turn) composeGateway(gw ringwall.GatewayID) error {
	scope, err := t.as(audit.SysPolicy, audit.SystemPolicy)
	if err != nil {
		return err
	}
	d, err := t.desired(scope, gw)
	if err != nil {
		return err
	}
	digest, err := contentDigest(d)
	if err != nil {
		return err
	}
	_, generation, newest, err := t.tx.Desired(scope, gw)
	if err != nil && !isCode(err, ringwall.NotFound) {
		return err
	}
	if err == nil && newest == digest {
		return nil
	}
	d.Generation, d.Issued = generation+1, t.at
	signed, err := t.signer.Sign(d)
	if err != nil {
		return err
	}
	if err := t.tx.PutDesired(scope, gw, d.Generation, digest, signed); err != nil {
		return err
	}
	t.pokes[gw] = d.Generation
	return t.showTerms(scope, d)
}

// contentDigest hashes what a desired state says, without its number and time.
func contentDigest(d api.Desired) (string, error) {
	b, err := json.Marshal(d)
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// desired gathers what a gateway has to enforce.
func (t *turn) desired(scope audit.Scope, gw ringwall.GatewayID) (api.Desired, error) {
	g, err := t.tx.Gateway(scope, gw)
	if err != nil {
		return api.Desired{}, err
	}
	d, err := t.desiredOf(scope, g, "")
	if err != nil {
		return d, err
	}
	// A gateway that has not asked yet is told in today's protocol; if it asks in
	// an older one, the document is made anew before it gets any (gatewayDesk).
	return policy.Narrow(d, cmp.Or(g.Protocol, api.Version)), nil
}

// desiredOf gathers what a gateway with these settings has to enforce, as if
// the rollout except were not under way.
func (t *turn) desiredOf(scope audit.Scope, g api.Gateway, except ringwall.RolloutID) (api.Desired, error) {
	d := api.Desired{
		Version: api.Version, Org: t.org, Gateway: g.ID, Arrival: g.Arrival, LocalNets: g.LocalNets, Remediation: g.Remediate,
		Devices: []api.DevicePolicy{}, Reflexes: limitReflexes(reflexes(t.incident.Rules), g.ReflexLimit),
		Controllers: g.Controllers, MaxAge: g.MaxAge, Confirm: g.Confirm,
	}
	var err error
	if g.Resolver != "" {
		if d.Resolver, err = netip.ParseAddrPort(g.Resolver); err != nil {
			return d, ringwall.Errorf(ringwall.Internal, "resolver of gateway %q: %w", g.ID, err)
		}
	}
	c, err := t.composer(scope, g)
	if err != nil {
		return d, err
	}
	c.except = except
	devices, marks, err := t.tx.DevicesBehind(scope, g.ID)
	if err != nil {
		return d, err
	}
	for i, dev := range devices {
		// A device that turned up elsewhere is not behind this gateway any more;
		// whoever shows its MAC here now is a stranger. One that is held is named
		// all the same: a gateway can hold only whom it knows, and nobody leaves
		// quarantine by going to another gateway.
		if !dev.Binding.IP.IsValid() && !t.bySIM(dev) || dev.Presence == ringwall.Moved && len(dev.Holds) == 0 {
			continue
		}
		p, _, err := c.policy(dev, marks[i])
		if err != nil {
			return d, err
		}
		if p.Binding.Subscriber != "" {
			d.SubscriberSalt = t.subscriberSalt()
		}
		d.Devices = append(d.Devices, p)
	}
	// The tables reach years ahead. They are made for the week that it is, so that
	// what says the same is the same.
	if d.Zones, err = zones.For(t.at.Truncate(7*24*time.Hour), zonesOf(d)); err != nil {
		return d, err
	}
	if d.Tunnels, err = t.tunnelsOf(scope, g.ID); err != nil {
		return d, err
	}
	d.Holds, d.Releases, err = t.tx.HoldsOf(scope, g.ID, t.at)
	return d, err
}

// composer composes the policies of devices behind one gateway.
type composer struct {
	t      *turn
	scope  audit.Scope
	g      api.Gateway
	place  *placing
	byName map[ringwall.DeviceID][]ringwall.GroupID
	// except is a rollout that is looked through.
	except ringwall.RolloutID
	// owner, when it is not nil, stands for the owner's terms of every device.
	owner *[]api.Term
	// mud, when it is not nil, stands for the usage description of every device.
	mud *api.MUDState
}

func (t *turn) composer(scope audit.Scope, g api.Gateway) (*composer, error) {
	c := &composer{t: t, scope: scope, g: g}
	var err error
	if c.place, err = t.placing(scope); err != nil {
		return nil, err
	}
	c.byName, err = t.tx.MemberOf(scope, g.ID)
	return c, err
}

// policy composes what one device may do, and tells who says so.
func (c *composer) policy(dev api.Device, mark uint32) (api.DevicePolicy, api.PolicyView, error) {
	t, view := c.t, api.PolicyView{Device: dev.ID, Groups: []api.GroupTerms{}, Site: orNone(c.g.Terms), SIM: []api.Term{}}
	learned, err := t.tx.Peers(c.scope, dev.ID)
	if err != nil {
		return api.DevicePolicy{}, view, err
	}
	owner, err := t.tx.Terms(c.scope, dev.ID)
	if err != nil {
		return api.DevicePolicy{}, view, err
	}
	if c.owner != nil {
		owner = *c.owner
	}
	view.Owner = orNone(owner)
	groups := c.place.groupsOf(&dev, c.byName[dev.ID], c.g.Groups)
	covering := c.place.covering(dev.ID, groups, c.except)
	var all []api.Term
	for _, g := range groups {
		terms := orNone(groupTerms(g, covering))
		view.Groups = append(view.Groups, api.GroupTerms{ID: g.ID, Name: g.Name, Terms: terms})
		all = append(all, named(string(g.ID), "group:"+g.Name, terms)...)
	}
	for _, r := range covering {
		view.Rollouts = append(view.Rollouts, r.ID)
	}
	all = append(all, named("site", "site:"+c.g.Name, c.g.Terms)...)
	mode := modeUnder(dev.Mode, covering)
	in := policy.Input{
		Type: dev.Type, Trust: dev.Trust, Mode: mode, Learned: learned, Owner: owner, Group: all, LocalNets: c.g.LocalNets, Remediation: c.g.Remediate,
		IP6: len(dev.IP6) > 0, Controllers: c.g.Controllers,
	}
	limit, err := c.said(dev, &in, &view)
	if err != nil {
		return api.DevicePolicy{}, view, err
	}
	terms := policy.Compose(in)
	gate, err := t.gate(c.scope, dev)
	if err != nil {
		return api.DevicePolicy{}, view, err
	}
	if gate == trust.GateClosed {
		mode = ringwall.Enforce // nobody passes a closed gate because he is still being learned
	}
	view.Mode, view.Terms = mode, orNone(terms)
	if dev.Binding, err = t.binding(c.scope, dev); err != nil {
		return api.DevicePolicy{}, view, err
	}
	return api.DevicePolicy{
		Device: dev.ID, Mark: mark, Binding: dev.Binding, Mode: mode, Trust: dev.Trust, Terms: terms, Learned: learned,
		Assessor: dev.Assessor, Maker: dev.Maker, IP6: dev.IP6, Limit: cmp.Or(dev.Limit, limit), Fail: dev.Fail, Lookups: dev.Lookups, Leaves: dev.Leaves,
	}, view, nil
}

// said adds what others say of a device: the maker's usage description and the
// function profile of its card. It returns the limit that the profile sets.
func (c *composer) said(dev api.Device, in *policy.Input, view *api.PolicyView) (*api.Limit, error) {
	m, _, err := c.t.tx.MUD(c.scope, dev.ID)
	if c.mud != nil {
		m, err = *c.mud, nil
	}
	switch {
	case isCode(err, ringwall.NotFound):
	case err != nil:
		return nil, err
	case m.InForce():
		in.MUD, in.MUDApproved = orNone(m.Terms), m.Status == mudApproved
	}
	if dev.SIM == "" {
		return nil, nil
	}
	versions, err := c.t.tx.SIMProfiles(c.scope, dev.SIM)
	if err != nil || len(versions) == 0 || versions[0].None {
		return nil, err
	}
	plan := versions[0].Plan
	in.Function, view.SIM = orNone(plan.Terms), orNone(plan.Terms)
	return plan.Limit, nil
}

func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// zonesOf returns the names of the time zones that windows of a document are in.
func zonesOf(d api.Desired) []string {
	names := zones.Named(d.Remediation)
	for _, p := range d.Devices {
		names = append(names, zones.Named(p.Terms)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// limitReflexes lowers how many devices one reflex may hold; it never raises it.
func limitReflexes(rs []api.Reflex, limit int) []api.Reflex {
	for i := range rs {
		if limit > 0 && rs[i].Limit > limit {
			rs[i].Limit = limit
		}
	}
	return rs
}

// showTerms keeps with each device the terms that the new generation has for
// it, for people to read.
func (t *turn) showTerms(scope audit.Scope, d api.Desired) error {
	for _, p := range d.Devices {
		dev, err := t.tx.Device(scope, p.Device)
		if err != nil {
			return err
		}
		if len(dev.Terms) == len(p.Terms) && (len(p.Terms) == 0 || reflect.DeepEqual(dev.Terms, p.Terms)) {
			continue
		}
		if _, err := t.tx.UpdateDevice(scope, p.Device, func(dev *api.Device) error { dev.Terms = p.Terms; return nil }); err != nil {
			return err
		}
	}
	return nil
}

// reflexes turns the response rules that act on a device by themselves into
// what a gateway may do alone: one reflex for each detector whose alert by
// itself fulfils the rule. What takes more than one alert is for the platform.
func reflexes(rules []incident.Rule) []api.Reflex {
	if rules == nil {
		rules = incident.DefaultRules()
	}
	out := []api.Reflex{}
	for _, det := range detect.Rules() {
		for _, r := range rules {
			if r.Do != incident.Act || !fulfils(det, r) {
				continue
			}
			do := ringwall.Quarantine
			if r.Kind == incident.Cutoff {
				do = ringwall.Cutoff
			}
			out = append(out, api.Reflex{Rule: det.Name, Severity: max(r.Severity, ringwall.High), Do: do, Limit: r.Limit, Expiry: api.Duration(r.Expiry)})
			break
		}
	}
	return out
}

// fulfils reports whether one alert of a detector meets the conditions of a
// rule that restricts a device; its severity is judged on the gateway.
func fulfils(det detect.RuleInfo, r incident.Rule) bool {
	return det.Nature == ringwall.NatureAttack && det.Stage >= r.Stage &&
		(r.Alert == "" || r.Alert == det.Name) && (r.Kind == incident.Quarantine || r.Kind == incident.Cutoff)
}
