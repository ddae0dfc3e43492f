package policy

import (
	"net/netip"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Flow is one flow as the device's side sees it.
type Flow struct {
	Direction api.Direction  // who opens it
	Local     netip.AddrPort // the device's end
	Remote    netip.AddrPort // the other end
	Proto     string         // "tcp", "udp", "icmp", or the protocol's number in decimal
	// Names are the domain names, in lower case without a final dot, whose
	// answers gave the remote address to this device.
	Names []string
	// RemoteDevice is set when the other end is a device that the desired state
	// names behind the same gateway.
	RemoteDevice ringwall.DeviceID
}

// Verdict is what is decided on one flow.
type Verdict struct {
	Pass bool
	// Would is set when the flow passes only because the mode is shadow.
	Would bool
	// Reason is one of the Reason constants.
	Reason string
	// Term is the id of the term that decided, "" when none matched.
	Term string
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
)

// Decide judges the flow f of device d under restriction r (of the holds in
// force; trust is added here). It answers for every input and allocates
// nothing.
func Decide(d api.DevicePolicy, r ringwall.Restriction, remediation []api.Term, f Flow) Verdict {
	return decide(&d, r, remediation, &f)
}

func decide(d *api.DevicePolicy, r ringwall.Restriction, remediation []api.Term, f *Flow) Verdict {
	r = max(r, restrictionOf(d.Trust, d.Mode))
	if r >= ringwall.Cutoff {
		return Verdict{Reason: ReasonCutoff}
	}
	remote := f.Remote.Addr()
	v6 := !remote.Unmap().Is4()
	if r == ringwall.Quarantine {
		if v6 || f.Direction != api.FromDevice {
			return Verdict{Reason: ReasonQuarantine}
		}
		if term, action := match(remediation, f); action == api.Allow {
			return Verdict{Pass: true, Reason: ReasonRemediation, Term: term}
		}
		return Verdict{Reason: ReasonQuarantine}
	}
	if v6 {
		return Verdict{Reason: ReasonIPv6}
	}
	if d.Mode == ringwall.Learn {
		return Verdict{Pass: true, Reason: ReasonLearn}
	}
	term, action := match(d.Terms, f)
	if action == api.Allow {
		return Verdict{Pass: true, Reason: ReasonAllow, Term: term}
	}
	v := Verdict{Reason: ReasonDefault, Term: term}
	switch {
	case action == api.Deny:
		v.Reason = ReasonDeny
	case f.Direction != api.FromDevice:
		v.Reason = ReasonInbound
	}
	if d.Mode == ringwall.Shadow {
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
	to     bool // opened to the device
	from   bool
	proto  string
	ported bool   // TCP or UDP
	port   uint16 // of the side that is connected to
	addr   uint32 // the other end
	names  []string
	device ringwall.DeviceID
	terms  []api.Term // all of them
}

// match returns the term that decides f: the first deny that matches, else the
// first allow, else none. A deny of a name keeps the name from being resolved
// and takes nothing from what other terms allow, as in the kernel: it is the
// answer when there is no other. The other end of f has an IPv4 address.
func match(terms []api.Term, f *Flow) (id string, action api.Action) {
	p := probe{
		to: f.Direction == api.ToDevice, from: f.Direction == api.FromDevice,
		proto: f.Proto, ported: f.Proto == "tcp" || f.Proto == "udp", port: f.Remote.Port(),
		addr: num4(f.Remote.Addr().Unmap()), names: f.Names, device: f.RemoteDevice, terms: terms,
	}
	if p.to {
		p.port = f.Local.Port()
	}
	for i := range terms {
		t := &terms[i]
		deny := t.Action == api.Deny
		if !deny && (action == api.Allow || t.Action != api.Allow) || !p.matches(t) {
			continue
		}
		switch {
		case !deny:
			id, action = t.ID, api.Allow
		case t.Domain == "":
			return t.ID, api.Deny
		case action == "":
			id, action = t.ID, api.Deny
		}
	}
	return id, action
}

// matches looks at what differs most often first.
func (p *probe) matches(t *api.Term) bool {
	// Comparing with constants is several times faster than with each other.
	if p.from && t.Direction != api.FromDevice || p.to && t.Direction != api.ToDevice || !p.from && !p.to {
		return false
	}
	switch {
	case t.Domain != "":
		if !p.from || !p.named(t) {
			return false
		}
	case t.Device != "":
		if p.device != t.Device {
			return false
		}
	case t.Local:
		if p.device == "" {
			return false
		}
	default:
		a := t.CIDR.Addr()
		if !a.Is4() || uint64(p.addr^num4(a))>>(32-t.CIDR.Bits()) != 0 {
			return false
		}
	}
	if t.Proto != p.proto && t.Proto != "any" {
		return false
	}
	return len(t.Ports) == 0 || p.ported && inPorts(t.Ports, p.port)
}

// named reports whether the other end bears a name that t speaks of. A name of
// which any deny speaks opens nothing, as Lookup has it, even where it is known
// because it repairs.
func (p *probe) named(t *api.Term) bool {
	for _, n := range p.names {
		if MatchName(t.Domain, n) && (t.Action == api.Deny || !p.denied(n)) {
			return true
		}
	}
	return false
}

func (p *probe) denied(name string) bool {
	for i := range p.terms {
		if t := &p.terms[i]; t.Domain != "" && t.Action == api.Deny && MatchName(t.Domain, name) {
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
