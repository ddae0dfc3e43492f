package sdk

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Reasons of a refusal beside those of package policy.
const (
	reasonNoPolicy = "no-policy" // none has come yet
	reasonRebind   = "rebinding" // the name points inside
	reasonLookup   = "lookup"    // no term speaks of the name
	reasonClosed   = "closed"    // the client has been closed
)

// inForce is a policy as it is in force; nobody changes it.
type inForce struct {
	generation uint64
	device     *api.DevicePolicy // nil = none that is this client's
	judge      *policy.Judge
	restrict   ringwall.Restriction
	site       policy.Site
	local      []netip.Prefix
	byAddr     map[netip.Addr]ringwall.DeviceID
	restricted map[ringwall.DeviceID]ringwall.Restriction
	desired    *api.Desired
}

// apply puts what the keeper has in force and has what is open judged anew.
func (c *Client) apply() {
	v := c.keeper.View()
	f := &inForce{
		generation: v.Desired.Generation, site: policy.SiteOf(&v.Desired), local: v.Desired.LocalNets, restricted: c.keeper.InForce(),
		byAddr: map[netip.Addr]ringwall.DeviceID{}, desired: &v.Desired,
	}
	f.site.Stale = v.Desired.MaxAge > 0 && c.contact.Age(time.Since(c.began)) > time.Duration(v.Desired.MaxAge)
	for _, d := range v.Desired.Devices {
		f.byAddr[d.Binding.IP] = d.Device
	}
	if own, ok := v.Desired.Own(); ok && v.Desired.Generation > 0 {
		f.device, f.restrict, f.judge = &own, f.restricted[own.Device], policy.NewJudge(own, f.site)
	}
	if f.device != nil {
		delete(f.byAddr, f.device.Binding.IP) // who calls from the own address is no other device
	}
	old := c.force.Swap(f)
	if f.device != nil {
		c.once.Do(func() { close(c.first) })
	}
	c.tellHolds(old, f)
	c.flows.judge(c)
	if c.cfg.Changed != nil && (old == nil || old.generation != f.generation || old.restrict != f.restrict) {
		c.cfg.Changed(c.Status())
	}
}

// tellHolds reports holds that have come in force on this device.
func (c *Client) tellHolds(old, now *inForce) {
	if now.device == nil || old != nil && old.restrict == now.restrict {
		return
	}
	at := c.cfg.Now().UTC()
	for _, h := range c.keeper.View().Holds {
		if h.Device == now.device.Device {
			c.books.json(api.RecordHold, api.HoldReport{Hold: h, InForce: at})
		}
	}
}

// lookEvery is how often open flows are judged anew for what time alone changes:
// windows, and holds that have been served.
const lookEvery = 500 * time.Millisecond

// watch lets time pass.
func (c *Client) watch(ctx context.Context) {
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.look:
		case <-t.C:
		}
		c.accepting.Lock()
		lifted, err := c.keeper.Expire()
		if err != nil {
			c.log.Error("holds are not kept", "err", err)
		}
		f := c.force.Load()
		if most := f.desired.MaxAge; most > 0 && f.site.Stale != (c.contact.Age(time.Since(c.began)) > time.Duration(most)) {
			c.books.json(api.RecordNotice, api.Notice{Kind: api.NoticeExpired, Device: f.own(), Text: "the platform was not heard for as long as the policy may stand alone", Time: c.cfg.Now().UTC()})
			c.apply()
		}
		if err := c.contact.Keep(c.cfg.Now(), time.Since(c.began)); err != nil {
			c.log.Warn("when the platform was heard is not kept", "err", err)
		}
		if len(lifted) > 0 {
			c.apply()
		}
		c.accepting.Unlock()
		for _, l := range lifted {
			c.books.json(api.RecordHold, api.HoldReport{Hold: l.Hold, Lifted: true, Why: l.Why, InForce: c.cfg.Now().UTC()})
		}
		c.flows.judge(c)
		c.books.tick()
	}
}

func (f *inForce) own() ringwall.DeviceID {
	if f.device == nil {
		return ""
	}
	return f.device.Device
}

// decide judges one flow by what is in force now.
func (c *Client) decide(f *inForce, flow *policy.Flow) policy.Verdict {
	if f.device == nil {
		return policy.Verdict{Reason: reasonNoPolicy}
	}
	flow.At = c.cfg.Now()
	flow.Program = (*policy.Process)(c.process)
	if flow.RemoteDevice == "" {
		flow.RemoteDevice = f.byAddr[flow.Remote.Addr()]
	}
	v := f.judge.Decide(f.restrict, *flow)
	if v.Pass && len(flow.Names) > 0 && (v.Reason == policy.ReasonAllow || v.Reason == policy.ReasonRemediation) && f.pointsInside(flow.Remote.Addr()) && !f.wantsInside(flow.Names) {
		// The name may be allowed, but what it points to is not the world's: let it
		// pass only where the address is allowed for its own sake.
		bare := *flow
		bare.Names = nil
		if w := f.judge.Decide(f.restrict, bare); !w.Pass || w.Would {
			return policy.Verdict{Pass: f.device.Mode == ringwall.Shadow, Would: f.device.Mode == ringwall.Shadow, Reason: reasonRebind, Term: v.Term}
		}
	}
	return v
}

// pointsInside reports whether no name of the world has a reason to resolve to
// a: RFC 6890's private, loopback, link-local and shared ranges, and the networks
// of the site.
func (f *inForce) pointsInside(a netip.Addr) bool {
	a = a.Unmap()
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return true
	}
	if a.Is4() {
		b := a.As4()
		if b[0] == 0 || b[0] == 100 && b[1]&0xc0 == 64 || b[0] >= 240 {
			return true
		}
	}
	return slices.ContainsFunc(f.local, func(p netip.Prefix) bool { return p.Contains(a) })
}

// wantsInside reports whether a term lets one of names point inside.
func (f *inForce) wantsInside(names []string) bool {
	for _, terms := range [][]api.Term{f.device.Terms, f.site.Remediation} {
		for i := range terms {
			t := &terms[i]
			if t.Private && t.Action == api.Allow && t.Domain != "" && slices.ContainsFunc(names, func(n string) bool { return policy.MatchName(t.Domain, n) }) {
				return true
			}
		}
	}
	return false
}

// mayLookup judges whether a name may be looked up at all: a question carries
// data to whoever answers for the name.
func (f *inForce) mayLookup(name string) policy.Verdict {
	if f.device == nil {
		return policy.Verdict{Reason: reasonNoPolicy}
	}
	probe := policy.Flow{Direction: api.FromDevice, Proto: "icmp", Remote: netip.AddrPortFrom(netip.IPv4Unspecified(), 0)}
	// What holds whatever the terms say.
	terms, quarantined := f.device.Terms, false
	switch v := f.judge.Decide(f.restrict, probe); v.Reason {
	case policy.ReasonCutoff, policy.ReasonLearn:
		return v
	case policy.ReasonQuarantine, policy.ReasonRemediation:
		terms, quarantined = f.site.Remediation, true
	}
	speaks := ""
	for i := range terms {
		t := &terms[i]
		all := t.CIDR.IsValid() && t.CIDR.Bits() == 0
		if !all && !f.named(t, name) {
			continue
		}
		if t.Action == api.Deny && !all && len(t.Ports) == 0 && t.Inside == nil && t.Window == nil && t.Who == nil {
			return f.shadowed(policy.Verdict{Reason: policy.ReasonDeny, Term: t.ID}, quarantined)
		}
		if t.Action == api.Allow && t.Direction == api.FromDevice {
			speaks = t.ID
		}
	}
	if speaks == "" {
		return f.shadowed(policy.Verdict{Reason: reasonLookup}, quarantined)
	}
	return policy.Verdict{Pass: true, Reason: policy.ReasonAllow, Term: speaks}
}

func (f *inForce) named(t *api.Term, name string) bool {
	if t.Domain != "" {
		return policy.MatchName(t.Domain, name)
	}
	for i := range f.site.Controllers {
		if r := &f.site.Controllers[i]; t.Controller != "" && r.Role == t.Controller {
			return slices.ContainsFunc(r.Domains, func(d string) bool { return policy.MatchName(d, name) })
		}
	}
	return false
}

func (f *inForce) shadowed(v policy.Verdict, quarantined bool) policy.Verdict {
	if f.device.Mode == ringwall.Shadow && !quarantined {
		v.Pass, v.Would = true, true
	}
	return v
}

// canonicalName returns a name as terms are compared with it.
func canonicalName(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// Status is what a client stands on now.
type Status struct {
	Device     ringwall.DeviceID
	Generation uint64 // 0 = there is no policy yet
	Mode       ringwall.Mode
	Trust      ringwall.Trust
	Restricted ringwall.Restriction // by holds
	Stale      bool                 // the policy is older than it may be without the platform
	Connected  bool                 // to the platform
	Flows      int                  // open now
	Waiting    uint64               // reports that the platform has not acknowledged
	Lost       uint64               // reports dropped for want of disk
}

// Status returns what the client stands on now.
func (c *Client) Status() Status {
	f := c.force.Load()
	s := Status{Generation: f.generation, Restricted: f.restrict, Stale: f.site.Stale, Flows: c.flows.count(), Lost: c.wal.Lost()}
	if c.up != nil {
		s.Connected = c.up.connected()
	}
	if f.device != nil {
		s.Device, s.Mode, s.Trust = f.device.Device, f.device.Mode, f.device.Trust
	}
	if last, sent := c.wal.Last(), c.books.acked.Load(); last > sent {
		s.Waiting = last - sent
	}
	return s
}

// Desired returns the document in force. It is shared: nobody may change it.
func (c *Client) Desired() *api.Desired { return c.force.Load().desired }
