package assess

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall"
)

// Consent says what may be spoken to. Registered are the networks that an
// organisation has laid down as its own; Own is a person's word that the
// targets are theirs, wherever they are.
type Consent struct {
	Registered []netip.Prefix
	Own        bool
}

// Covers reports whether a may be spoken to.
func (c Consent) Covers(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if !a.IsValid() || a.IsMulticast() || a.IsUnspecified() {
		return false
	}
	return c.Own || slices.ContainsFunc(c.Registered, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
}

// CoversNet reports whether all of p may be spoken to: one registered network
// holds it.
func (c Consent) CoversNet(p netip.Prefix) bool {
	return p.IsValid() && (c.Own || slices.ContainsFunc(c.Registered, func(r netip.Prefix) bool {
		return r.Addr().Is4() == p.Addr().Is4() && r.Bits() <= p.Bits() && r.Masked().Contains(p.Addr())
	}))
}

// check returns the refusal of targets that are not covered; code Forbidden.
func (c Consent) check(targets []Target) error {
	var out []string
	for _, t := range targets {
		for _, a := range slices.Concat([]netip.Addr{t.Addr}, t.Outside, t.Beside) {
			if !c.Covers(a) {
				out = append(out, a.String())
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	rest := ""
	if n := len(out) - 3; n > 0 {
		rest = fmt.Sprintf(" and %d more", n)
		out = out[:3]
	}
	return &ringwall.Error{
		Code: ringwall.Forbidden, Text: fmt.Sprintf("%v%s: not in a network that is registered as the organisation's own", out, rest),
		Hint: "register the network first, or say that the devices are yours",
	}
}
