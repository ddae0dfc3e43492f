package policy

import (
	"net/netip"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Flow is one flow as the device's side sees it.
type Flow struct {
	Direction api.Direction  // who opens it
	Local     netip.AddrPort // the device's end
	Remote    netip.AddrPort // the other end
	Proto     string         // "tcp", "udp", "icmp" (of both families), or the protocol's number in decimal
	// Names are the domain names, without a final dot, whose answers gave the
	// remote address to this device.
	Names []string
	// RemoteDevice is set when the other end is a device that the desired state
	// names behind the same gateway.
	RemoteDevice ringwall.DeviceID
	// Gateway says that the other end is the gateway itself.
	Gateway bool
	// At is the moment for which windows are asked. Without it what a window allows
	// is closed and what it denies is denied.
	At time.Time
	// Inside is what stands inside; nil = nobody has looked.
	Inside *Seen
	// Program opened the flow; nil = nobody can tell.
	Program *Process
}

// Verdict is what is decided on one flow.
type Verdict struct {
	Pass bool `json:"pass"`
	// Would is set when the flow passes only because the mode is shadow.
	Would bool `json:"would,omitempty"`
	// Inspect is set when only a look inside can tell. Who cannot look takes Pass for
	// the answer.
	Inspect bool `json:"inspect,omitempty"`
	// Reason is one of the Reason constants.
	Reason string `json:"reason"`
	// Term is the id of the term that decided, "" when none matched.
	Term string `json:"term,omitempty"`
	// Limit is that of the term which allows, nil when it has none. Whether it is
	// used up is for whoever counts to say; DevicePolicy.Limit holds besides.
	Limit *api.Limit `json:"limit,omitempty"`
}

// Reasons of a verdict.
const (
	ReasonAllow       = "allow"       // an allow term
	ReasonDeny        = "deny"        // a deny term
	ReasonDefault     = "default"     // no term matched a flow that the device opens
	ReasonInbound     = "inbound"     // no term matched a flow that is opened to the device
	ReasonLearn       = "learn"       // everything passes
	ReasonQuarantine  = "quarantine"  // not in the remediation set
	ReasonCutoff      = "cutoff"      //
	ReasonRemediation = "remediation" // quarantined, and in the remediation set
	ReasonIPv6        = "ipv6"        // IPv6 is closed
	ReasonMalformed   = "malformed"   // the other end has no address
	ReasonGateway     = "gateway"     // the gateway offers no such service to the device
	ReasonInspect     = "inspect"     // what stands inside decides
	ReasonLimited     = "limited"     // allowed, but over a limit: said by who counts
)

// Site is what terms may speak of beside the device itself.
type Site struct {
	Remediation []api.Term
	Controllers []api.Controller
	Zones       []api.Zone
	// Makers tells who made the devices behind the gateway.
	Makers map[ringwall.DeviceID]string
	// Stale says that the document is older than its MaxAge: devices with Fail
	// "closed" are quarantined, and for those with "open" mode enforce is shadow.
	Stale bool
}

// SiteOf returns the site of a desired state that is not stale.
func SiteOf(d *api.Desired) Site {
	s := Site{Remediation: d.Remediation, Controllers: d.Controllers, Zones: d.Zones, Makers: make(map[ringwall.DeviceID]string, len(d.Devices))}
	for i := range d.Devices {
		if m := d.Devices[i].Maker; m != "" {
			s.Makers[d.Devices[i].Device] = m
		}
	}
	return s
}

// Decide judges the flow f of device d under restriction r (of the holds in
// force; trust is added here), on a site of which only the remediation set is
// known. It answers for every input and allocates nothing.
func Decide(d api.DevicePolicy, r ringwall.Restriction, remediation []api.Term, f Flow) Verdict {
	return decide(&d, r, &Site{Remediation: remediation}, &f)
}

// Decide judges the flow f of device d on this site, as the function Decide does.
// It is the meaning of a policy, written down term by term; a Judge gives the
// same answers faster.
func (s *Site) Decide(d *api.DevicePolicy, r ringwall.Restriction, f *Flow) Verdict {
	return decide(d, r, s, f)
}

func decide(d *api.DevicePolicy, r ringwall.Restriction, s *Site, f *Flow) Verdict {
	r, mode := standing(d, r, s.Stale)
	v, set := first(r, mode, len(d.IP6) > 0, f)
	if set == setNone {
		return v
	}
	p := newProbe(f, s, d)
	switch set {
	case setRemediation:
		p.quarantined = true
		m := p.match(s.Remediation)
		return last(set, mode, f, &m)
	case setGateway:
		p.gateway = true
	}
	m := p.match(d.Terms)
	return last(set, mode, f, &m)
}

// standing returns the restriction and the mode in force, whatever the terms say.
func standing(d *api.DevicePolicy, r ringwall.Restriction, stale bool) (ringwall.Restriction, ringwall.Mode) {
	r, mode := max(r, restrictionOf(d.Trust, d.Mode)), d.Mode
	if stale && d.Fail == "closed" {
		r = max(r, ringwall.Quarantine)
	}
	if stale && d.Fail == "open" && mode == ringwall.Enforce {
		mode = ringwall.Shadow
	}
	return r, mode
}

// set is which terms are asked.
type set uint8

const (
	setNone set = iota // none: it is decided
	setTerms
	setGateway     // those terms that speak of the gateway
	setRemediation // as in quarantine, where nobody looks inside
)

// first decides what needs no terms, and else says which are to be asked.
func first(r ringwall.Restriction, mode ringwall.Mode, ip6 bool, f *Flow) (Verdict, set) {
	if r >= ringwall.Cutoff {
		return Verdict{Reason: ReasonCutoff}, setNone
	}
	remote := f.Remote.Addr()
	v4 := remote.Is4() || remote.Is4In6()
	if r == ringwall.Quarantine {
		if !remote.IsValid() || !v4 && !ip6 || f.Direction != api.FromDevice || f.Gateway {
			return Verdict{Reason: ReasonQuarantine}, setNone
		}
		return Verdict{}, setRemediation
	}
	switch {
	case f.Gateway && f.Direction == api.FromDevice:
		// No mode opens the gateway: it is what all else stands on.
		return Verdict{}, setGateway
	case f.Gateway:
		return Verdict{Pass: true, Reason: ReasonGateway}, setNone
	case !remote.IsValid():
		return Verdict{Reason: ReasonMalformed}, setNone
	case !v4 && !ip6:
		return Verdict{Reason: ReasonIPv6}, setNone
	case mode == ringwall.Learn:
		return Verdict{Pass: true, Reason: ReasonLearn}, setNone
	}
	return Verdict{}, setTerms
}

// matched are the terms that speak of a flow; nil = none does. Of several the
// first in the order of the policy is kept.
type matched struct {
	deny, allow         *api.Term
	lookDeny, lookAllow *api.Term // those that would if something stood inside
	rank                int       // of allow
	at                  [4]int    // where they stand, in this order
}

// ranks of a term that allows. Which one is named does not depend on the order
// of terms where it matters: where one of them has a limit. Addresses come
// before names, since the kernel knows them before it knows names, and what is
// open to the program alone, which has no limit, before both.
const (
	rankProgram = iota
	rankAddr
	rankAddrLimited
	rankName
	rankNameLimited
	rankNone
)

// add notes that t, which stands at position pos, answers a to the flow; byName
// is set when it knows the other end by its name alone. It reports whether
// nothing else matters any more but what stands before t.
func (m *matched) add(t *api.Term, pos int, a answer, byName bool) (done bool) {
	switch {
	case t.Action == api.Deny && a == yes:
		keepFirst(&m.deny, &m.at[0], t, pos)
		return true
	case t.Action == api.Deny:
		keepFirst(&m.lookDeny, &m.at[2], t, pos)
	case t.Action != api.Allow:
	case a == maybe:
		keepFirst(&m.lookAllow, &m.at[3], t, pos)
	default:
		rank := rankAddr
		if byName {
			rank = rankName
		}
		switch {
		case t.Who != nil:
			rank = rankProgram
		case t.Limit != nil:
			rank++
		}
		better := m.allow == nil || rank < m.rank
		if !better && rank == m.rank {
			better = pos < m.at[1]
			if t.Limit != nil && t.ID != m.allow.ID {
				better = t.ID < m.allow.ID
			}
		}
		if better {
			m.allow, m.rank, m.at[1] = t, rank, pos
		}
	}
	return false
}

func keepFirst(to **api.Term, at *int, t *api.Term, pos int) {
	if *to == nil || pos < *at {
		*to, *at = t, pos
	}
}

// last turns what matched into the verdict.
func last(which set, mode ringwall.Mode, f *Flow, m *matched) Verdict {
	if which == setRemediation {
		if m.deny == nil && m.allow != nil {
			return Verdict{Pass: true, Reason: ReasonRemediation, Term: m.allow.ID}
		}
		return Verdict{Reason: ReasonQuarantine}
	}
	v := Verdict{Reason: ReasonDefault}
	switch {
	case m.deny != nil:
		v.Reason, v.Term = ReasonDeny, m.deny.ID
	case m.allow != nil && m.lookDeny != nil:
		v.Inspect, v.Reason, v.Term = true, ReasonInspect, m.lookDeny.ID
	case m.allow != nil:
		return Verdict{Pass: true, Reason: ReasonAllow, Term: m.allow.ID, Limit: m.allow.Limit}
	case m.lookAllow != nil:
		v.Inspect, v.Reason, v.Term = true, ReasonInspect, m.lookAllow.ID
	case which == setGateway:
		v.Reason = ReasonGateway
	case f.Direction != api.FromDevice:
		v.Reason = ReasonInbound
	}
	if mode == ringwall.Shadow && which == setTerms {
		v.Pass, v.Would = true, true
	}
	return v
}

// restrictionOf returns what a level of trust demands by itself, whatever the
// terms say. The levels above T1 are expressed by the terms.
func restrictionOf(t ringwall.Trust, mode ringwall.Mode) ringwall.Restriction {
	switch {
	case t == ringwall.T0 && mode != ringwall.Learn:
		return ringwall.Cutoff
	case t == ringwall.T1:
		return ringwall.Quarantine
	}
	return ringwall.Unrestricted
}

// probe is a flow as terms are compared with it, worked out once.
type probe struct {
	to, from bool // who opens it
	ported   bool // TCP or UDP
	port     uint16
	addr     netip.Addr // the other end, IPv4 as such, no zone
	f        *Flow
	site     *Site
	maker    string
	// gateway and quarantined say which terms are asked.
	gateway, quarantined bool
}

func newProbe(f *Flow, s *Site, d *api.DevicePolicy) probe {
	p := probe{
		to: f.Direction == api.ToDevice, from: f.Direction == api.FromDevice,
		ported: f.Proto == "tcp" || f.Proto == "udp", port: f.Remote.Port(),
		addr: f.Remote.Addr().Unmap().WithZone(""), f: f, site: s, maker: d.Maker,
	}
	if p.to {
		p.port = f.Local.Port()
	}
	return p
}

// match asks all terms. Any deny wins: the first that matches is named.
func (p *probe) match(terms []api.Term) matched {
	m := matched{rank: rankNone}
	for i := range terms {
		t := &terms[i]
		if a, byName := p.ask(t); a != no && m.add(t, i, a, byName) {
			break
		}
	}
	return m
}

// ask looks at what differs most often first.
func (p *probe) ask(t *api.Term) (a answer, byName bool) {
	// Comparing with constants is several times faster than with each other.
	if p.from && t.Direction != api.FromDevice || p.to && t.Direction != api.ToDevice || !p.from && !p.to || t.Gateway != p.gateway {
		return no, false
	}
	if t.Proto != p.f.Proto && t.Proto != "any" || len(t.Ports) > 0 && (!p.ported || !inPorts(t.Ports, p.port)) {
		return no, false
	}
	ok, byName := p.end(t)
	if !ok {
		return no, false
	}
	deny := t.Action == api.Deny
	if t.Window != nil && !openAt(t.Window, p.f.At, p.site.Zones, deny) {
		return no, false
	}
	if t.Who != nil && !runs(t.Who, p.f.Program, deny) {
		return no, false
	}
	switch {
	case t.Inside == nil:
		return yes, byName
	case !carries(p.f.Proto, t.Inside.Proto):
		return no, false
	case p.quarantined:
		return is(deny), byName
	}
	return look(t, p.f.Inside), byName
}

// runs reports whether a program is who a term speaks of. Where nobody can tell,
// it is for a term that denies and is not for one that allows.
func runs(w *api.Who, p *Process, deny bool) bool {
	if p == nil {
		return deny
	}
	return (w.UID == nil || *w.UID == p.UID) && (w.Cgroup == "" || underCgroup(w.Cgroup, p.Cgroup))
}

// underCgroup reports whether path is the cgroup top or one below it.
func underCgroup(top, path string) bool {
	return strings.HasPrefix(path, top) && (len(path) == len(top) || path[len(top)] == '/')
}

// end reports whether the other end is whom the term speaks of.
func (p *probe) end(t *api.Term) (ok, byName bool) {
	switch {
	case t.Domain != "":
		return p.from && p.named(t.Domain), true
	case t.CIDR.IsValid():
		return t.CIDR.Contains(p.addr), false
	case t.Device != "":
		return p.f.RemoteDevice == t.Device, false
	case t.Local:
		return p.f.RemoteDevice != "", false
	case t.SameMaker:
		return p.maker != "" && p.f.RemoteDevice != "" && p.site.Makers[p.f.RemoteDevice] == p.maker, false
	case t.Gateway:
		return true, false
	case t.Controller != "":
		return p.controller(t.Controller)
	}
	return false, false
}

func (p *probe) controller(role string) (ok, byName bool) {
	for i := range p.site.Controllers {
		c := &p.site.Controllers[i]
		if c.Role != role {
			continue
		}
		for _, n := range c.Nets {
			if n.Contains(p.addr) {
				return true, false
			}
		}
		for _, d := range c.Devices {
			if d != "" && d == p.f.RemoteDevice {
				return true, false
			}
		}
		for _, n := range c.Domains {
			if p.from && p.named(n) {
				ok, byName = true, true
			}
		}
	}
	return ok, byName
}

// named reports whether the other end bears a name of the pattern.
func (p *probe) named(pattern string) bool {
	for _, n := range p.f.Names {
		if MatchName(pattern, n) {
			return true
		}
	}
	return false
}

func inPorts(ports []api.PortRange, p uint16) bool {
	for _, r := range ports {
		if r.First <= p && p <= r.Last {
			return true
		}
	}
	return false
}

// MatchName reports whether a name is what a pattern speaks of: the name
// itself, or, for a pattern that begins with "*.", any name below it, at any
// depth, but not the one it is below of. Case does not matter.
func MatchName(pattern, name string) bool {
	if len(pattern) > 1 && pattern[0] == '*' {
		pattern = pattern[1:]
		if len(name) <= len(pattern) {
			return false
		}
		name = name[len(name)-len(pattern):]
	} else if len(pattern) != len(name) {
		return false
	}
	for i := range len(name) { // names are ASCII; letters differ by one bit
		a, b := pattern[i], name[i]
		if a != b && (a^b != 0x20 || a|0x20 < 'a' || a|0x20 > 'z') {
			return false
		}
	}
	return true
}
