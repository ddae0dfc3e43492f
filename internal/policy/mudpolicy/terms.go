package mudpolicy

import (
	"fmt"
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
func Terms(f *mud.File) (terms []api.Term, notes []string) {
	c := converter{why: "mud:" + f.URL, ids: map[string]int{}}
	terms = []api.Term{}
	for _, r := range f.Rules() {
		if t, ok := c.rule(r); ok {
			terms = append(terms, t)
		}
	}
	if !f.Supported {
		c.note("the manufacturer does not support the device any more (is-supported)")
	}
	return terms, c.notes
}

type converter struct {
	why   string
	ids   map[string]int
	notes []string
}

func (c *converter) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(c.notes, n) && len(c.notes) < 256 {
		c.notes = append(c.notes, n)
	}
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
	where := fmt.Sprintf("entry %q of list %q", r.Entry, r.List)
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
	omit := func(what string) bool {
		if deny {
			c.note("%s: %s cannot be said; more is denied", where, what)
			return true
		}
		c.note("%s: %s cannot be said; it is left out", where, what)
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
		c.note("%s: protocol %d cannot be said; it is left out, and refused unless something else allows every protocol", where, r.Protocol)
		return api.Term{}, false
	}
	if r.ICMP != nil && (r.ICMP.Type >= 0 || r.ICMP.Code >= 0) && !omit("a type of ICMP") {
		return api.Term{}, false
	}
	if !ports.Any() {
		t.Ports = []api.PortRange{{First: ports.Low, Last: ports.High}}
	}
	switch {
	case foreign.Any():
	case ephemeral(foreign):
		c.note("%s: ports below 1024 of the side that opens are not told apart from others", where)
	case !omit("the port of the side that opens"):
		return api.Term{}, false
	}
	if !c.end(r, &t, where, omit) {
		return api.Term{}, false
	}
	c.tls(r, &t, where)
	t.ID = "mud:" + r.List + "/" + r.Entry
	if c.ids[t.ID]++; c.ids[t.ID] > 1 {
		t.ID += "/" + strconv.Itoa(c.ids[t.ID])
	}
	if err := policy.Check(t); err != nil {
		c.note("%s: %v; it is left out", where, err)
		return api.Term{}, false
	}
	return t, true
}

// end sets the other end of a term.
func (c *converter) end(r mud.Rule, t *api.Term, where string, omit func(string) bool) bool {
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
		return omit("a network or name together with a kind of peer")
	case named:
		return true
	case r.Name != "" && r.Net.IsValid() && !everybody:
		return omit("a name together with a network") && c.nameOrNet(r, t, where)
	}
	return c.nameOrNet(r, t, where)
}

func (c *converter) nameOrNet(r mud.Rule, t *api.Term, where string) bool {
	switch {
	case r.Name != "" && t.Direction == api.ToDevice && t.Action == api.Allow:
		c.note("%s: a name cannot say who opens a flow; it is left out", where)
		return false
	case r.Name != "" && t.Direction == api.ToDevice:
		c.note("%s: a name cannot say who opens a flow; everybody is denied", where)
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

// tls turns profiles into the least version that one of them names.
func (c *converter) tls(r mud.Rule, t *api.Term, where string) {
	if len(r.TLS) == 0 || t.Action == api.Deny {
		return
	}
	if t.Proto != "tcp" {
		c.note("%s: what its profile says of DTLS is not enforced", where)
		return
	}
	least := "1.3"
	for _, p := range r.TLS {
		if slices.Contains(p.Versions, "tls12") {
			least = "1.2"
		}
		if len(p.Ciphers)+len(p.Extensions)+len(p.Groups)+len(p.Signatures)+len(p.ALPN)+len(p.PSK)+len(p.Pins) > 0 || p.Partial {
			c.note("%s: of its TLS profile the least version is enforced, and the name; the rest is for detectors", where)
		}
	}
	t.Inside = &api.Inside{Proto: "tls", MinTLS: least}
}
