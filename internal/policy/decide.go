package policy

import (
	"net/netip"
	"strings"

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

// match returns the term that decides f: the first deny that matches, else the
// first allow, else none.
func match(terms []api.Term, f *Flow) (id string, action api.Action) {
	for i := range terms {
		t := &terms[i]
		if t.Action == api.Allow && action == api.Allow || !matches(t, f) {
			continue
		}
		if t.Action == api.Deny {
			return t.ID, api.Deny
		}
		if t.Action == api.Allow {
			id, action = t.ID, api.Allow
		}
	}
	return id, action
}

func matches(t *api.Term, f *Flow) bool {
	if t.Direction != f.Direction || t.Proto != "any" && t.Proto != f.Proto {
		return false
	}
	if len(t.Ports) > 0 {
		if f.Proto != "tcp" && f.Proto != "udp" {
			return false
		}
		port := f.Remote.Port()
		if f.Direction == api.ToDevice {
			port = f.Local.Port()
		}
		if !inPorts(t.Ports, port) {
			return false
		}
	}
	switch {
	case t.Domain != "":
		if f.Direction != api.FromDevice {
			return false
		}
		for _, n := range f.Names {
			if MatchName(t.Domain, n) {
				return true
			}
		}
		return false
	case t.Device != "":
		return f.RemoteDevice == t.Device
	case t.Local:
		return f.RemoteDevice != ""
	case t.CIDR.IsValid():
		return t.CIDR.Contains(f.Remote.Addr().Unmap())
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
	if suffix, wild := strings.CutPrefix(pattern, "*"); wild {
		return len(name) > len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix)
	}
	return strings.EqualFold(pattern, name)
}
