package mudpolicy

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/mud"
)

// MyController is the role of my-controller (RFC 8520 section 8.1).
const MyController = "my-controller"

// RoleOfModel returns the role that devices with this MUD URL fill.
func RoleOfModel(url string) string { return "mud-model:" + url }

// RoleOfMaker returns the role that devices fill whose MUD URL has this authority.
func RoleOfMaker(authority string) string { return "mud-maker:" + authority }

// Terms returns what a description says as terms, and notes on what it could not
// say as it stands. Every term passes policy.Check.
func Terms(f *mud.File) (terms []api.Term, notes []api.Said) {
	c := converter{why: "mud:" + f.URL, ids: map[string]int{}}
	terms = []api.Term{}
	for _, r := range f.Rules() {
		if t, ok := c.rule(r); ok {
			terms = append(terms, t)
		}
	}
	if !f.Supported {
		c.say("unsupported", "the manufacturer does not support the device any more (is-supported)", nil)
	}
	return terms, c.notes
}

type converter struct {
	why   string
	ids   map[string]int
	notes []api.Said
}

// answers reports whether a rule only lets the answers to some flow pass, which
// a term needs not say.
func answers(r mud.Rule) bool {
	tcp := r.Protocol == 6
	switch {
	case r.Outbound && !r.Opens: // direction-initiated to-device
		return true
	case !r.Outbound && r.Opens && tcp: // direction-initiated from-device
		return true
	case r.Protocol != 6 && r.Protocol != 17:
		return false
	case r.Outbound:
		return fromService(r.Local, r.Remote) // from a port on which it serves
	}
	return fromService(r.Remote, r.Local) // from a port that it asked
}

func fromService(from, to mud.Ports) bool {
	return !from.Any() && (to.Any() || ephemeral(to) && !ephemeral(from))
}

// ephemeral reports whether ports are those of a side that opens a flow, not of
// a service.
func ephemeral(p mud.Ports) bool { return p.Any() || p.Low >= 1024 && p.High == 0xffff }

func (c *converter) rule(r mud.Rule) (api.Term, bool) {
	if answers(r) {
		return api.Term{}, false
	}
	t := api.Term{Action: api.Allow, Direction: api.FromDevice, Why: c.why}
	deny := r.Action != mud.Accept
	if deny {
		t.Action = api.Deny
	}
	ports, foreign := r.Remote, r.Local
	if !r.Outbound {
		t.Direction, ports, foreign = api.ToDevice, r.Local, r.Remote
	}
	// omit says that a part of the rule is left out: a deny then covers more, an
	// allow would, and is left out as a whole.
	omit := func(what, text string) bool {
		if deny {
			c.say("more."+what, text+" cannot be said; more is denied", where(r.List, r.Entry))
			return true
		}
		c.say("left."+what, text+" cannot be said; it is left out", where(r.List, r.Entry))
		return false
	}
	switch r.Protocol {
	case 0:
		t.Proto = "any"
	case 1, 58:
		t.Proto = "icmp"
	case 6:
		t.Proto = "tcp"
	case 17:
		t.Proto = "udp"
	default:
		n := strconv.Itoa(int(r.Protocol))
		c.say("protocol", "protocol "+n+" cannot be said; it is left out, and refused unless something else allows every protocol", where(r.List, r.Entry, "protocol", n))
		return api.Term{}, false
	}
	if r.ICMP != nil && (r.ICMP.Type >= 0 || r.ICMP.Code >= 0) && !omit("icmp", "a type of ICMP") {
		return api.Term{}, false
	}
	if !ports.Any() {
		t.Ports = []api.PortRange{{First: ports.Low, Last: ports.High}}
	}
	switch {
	case foreign.Any():
	case ephemeral(foreign):
		c.say("lowports", "ports below 1024 of the side that opens are not told apart from others", where(r.List, r.Entry))
	case !omit("port", "the port of the side that opens"):
		return api.Term{}, false
	}
	if !c.end(r, &t, omit) {
		return api.Term{}, false
	}
	c.tls(r, &t)
	t.ID = "mud:" + r.List + "/" + r.Entry
	if c.ids[t.ID]++; c.ids[t.ID] > 1 {
		t.ID += "/" + strconv.Itoa(c.ids[t.ID])
	}
	if err := policy.Check(t); err != nil {
		c.say("wrong", err.Error()+"; it is left out", where(r.List, r.Entry, "reason", err.Error()))
		return api.Term{}, false
	}
	return t, true
}

// end sets the other end of a term.
func (c *converter) end(r mud.Rule, t *api.Term, omit func(what, text string) bool) bool {
	switch p := r.Peer; {
	case p.LocalNetworks:
		t.Local = true
	case p.SameManufacturer:
		t.SameMaker = true
	case p.MyController:
		t.Controller = MyController
	case p.Controller != "":
		t.Controller = p.Controller
	case p.Model != "":
		t.Controller = RoleOfModel(p.Model)
	case p.Manufacturer != "":
		t.Controller = RoleOfMaker(p.Manufacturer)
	}
	named := t.Local || t.SameMaker || t.Controller != ""
	everybody := r.Net.IsValid() && r.Net.Bits() == 0 || !r.Net.IsValid()
	switch {
	case named && (r.Name != "" || !everybody):
		return omit("peer", "a network or name together with a kind of peer")
	case named:
		return true
	case r.Name != "" && r.Net.IsValid() && !everybody:
		return omit("both", "a name together with a network") && c.nameOrNet(r, t)
	}
	return c.nameOrNet(r, t)
}

func (c *converter) nameOrNet(r mud.Rule, t *api.Term) bool {
	switch {
	case r.Name != "" && t.Direction == api.ToDevice && t.Action == api.Allow:
		c.say("left.opener", "a name cannot say who opens a flow; it is left out", where(r.List, r.Entry))
		return false
	case r.Name != "" && t.Direction == api.ToDevice:
		c.say("more.opener", "a name cannot say who opens a flow; everybody is denied", where(r.List, r.Entry))
		t.CIDR = everybodyOf(r.Family)
	case r.Name != "":
		t.Domain = r.Name
	case r.Net.IsValid():
		t.CIDR = r.Net
	default:
		t.CIDR = everybodyOf(r.Family)
	}
	return true
}

func everybodyOf(f mud.Family) netip.Prefix {
	if f == mud.IPv6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// tls turns profiles into the least version that one of them names. What of a
// profile no gateway enforces is noted part by part: a description that pins a
// certificate must not be read as if the pin were kept.
func (c *converter) tls(r mud.Rule, t *api.Term) {
	if len(r.TLS) == 0 || t.Action == api.Deny {
		return
	}
	if t.Proto != "tcp" {
		c.say("dtls", "what its profile says of DTLS is not enforced", where(r.List, r.Entry))
		return
	}
	least := "1.3"
	for _, p := range r.TLS {
		if slices.Contains(p.Versions, "tls12") {
			least = "1.2"
		}
		for _, x := range []struct {
			is        bool
			key, text string
		}{
			{len(p.Ciphers) > 0, "ciphers", "the cipher suites"},
			{len(p.Extensions)+len(p.Groups)+len(p.Signatures)+len(p.PSK) > 0, "extensions", "the extensions, groups, signature algorithms and key exchange modes"},
			{len(p.ALPN) > 0, "alpn", "the application protocols"},
			{len(p.Pins) > 0, "pins", "the pins of certificates"},
			{p.Partial, "rest", "members that could not be read"},
		} {
			if x.is {
				c.say("tls."+x.key, "of its TLS profile "+x.text+" are not enforced by the inspector, which enforces the least version and the name; they are for detectors", where(r.List, r.Entry))
			}
		}
	}
	t.Inside = &api.Inside{Proto: "tls", MinTLS: least}
}
