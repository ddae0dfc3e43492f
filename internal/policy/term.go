package policy

import (
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Check tells what is wrong with a term, with code Invalid, or nil.
func Check(t api.Term) error {
	bad := func(format string, args ...any) error {
		return ringwall.Errorf(ringwall.Invalid, "term %q: "+format, append([]any{short(t.ID)}, args...)...)
	}
	if t.Action != api.Allow && t.Action != api.Deny {
		return bad("action %q is neither allow nor deny", short(string(t.Action)))
	}
	if t.Direction != api.FromDevice && t.Direction != api.ToDevice {
		return bad("direction %q is neither from nor to", short(string(t.Direction)))
	}
	switch t.Proto {
	case "tcp", "udp", "any":
	case "icmp":
		if len(t.Ports) > 0 {
			return bad("icmp has no ports")
		}
	default:
		return bad("protocol %q is none of tcp, udp, icmp, any", short(t.Proto))
	}
	ends := 0
	for _, is := range []bool{t.CIDR.IsValid(), t.Domain != "", t.Device != "", t.Local, t.Controller != "", t.SameMaker, t.Gateway} {
		if is {
			ends++
		}
	}
	if ends != 1 {
		return bad("want one of cidr, domain, device, local, controller, sameMaker and gateway, have %d", ends)
	}
	if len(t.Ports) > MaxPortRanges {
		return bad("%d ranges of ports are more than %d", len(t.Ports), MaxPortRanges)
	}
	ports := 0
	for _, r := range t.Ports {
		if r.First > r.Last {
			return bad("ports %d-%d end before they begin", r.First, r.Last)
		}
		ports += int(r.Last) - int(r.First) + 1
	}
	if err := checkLook(&t); err != nil {
		return bad("%w", err)
	}
	switch {
	case t.Private && t.Domain == "":
		return bad("private speaks of a domain only")
	case t.Gateway && t.Direction != api.FromDevice:
		return bad("what the gateway opens itself is not subject to terms")
	case len(t.Controller) > maxRole:
		return bad("a role has %d octets at most", maxRole)
	case t.Domain == "":
		return nil
	case t.Direction != api.FromDevice:
		return bad("a domain cannot name who opens a flow to the device")
	case !namePorts(&t, ports):
		return bad("a domain may have %d ports at most, or all", MaxNamePorts)
	}
	if err := CheckPattern(t.Domain); err != nil {
		return bad("domain %q: %w", short(t.Domain), err)
	}
	return nil
}

// Bounds of one term.
const (
	MaxPortRanges = 256
	maxRole       = 512 // octets: a MUD controller class is a URI
)

// namePorts reports whether what the term says of ports can stand beside a
// name: each port becomes an entry for each address of the name.
func namePorts(t *api.Term, ports int) bool {
	return ports <= MaxNamePorts || len(t.Ports) == 1 && t.Ports[0] == api.PortRange{First: 0, Last: 0xffff}
}

// CheckPattern tells what is wrong with a pattern of names, or nil: a name, or
// "*." and a name.
func CheckPattern(p string) error { return CheckName(strings.TrimPrefix(p, "*.")) }

// CheckName tells what is wrong with a domain name in text, or nil: labels of
// 1 to 63 letters, digits, hyphens and underscores, 253 octets in all
// (RFC 1035 section 2.3.1; underscores as in RFC 8552 section 1.1).
func CheckName(name string) error {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return ringwall.Errorf(ringwall.Invalid, "a name has 1 to 253 octets")
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return ringwall.Errorf(ringwall.Invalid, "a label has 1 to 63 octets")
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return ringwall.Errorf(ringwall.Invalid, "octet %q does not belong into a name", c)
			}
		}
	}
	return nil
}
