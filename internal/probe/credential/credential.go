// Package credential tries the credentials that devices are known to ship with,
// without locking anybody out and without believing a liar.
//
// Check is the one way in which any probe tries a password. Its order is its
// promise. First a random user with a random password: a service that lets
// that in says yes to everything, and nothing it says counts. Then known
// pairs, the likeliest for this vendor first, each paid for from the device's
// assess.Ledger and made after its pause; proven hits of another service of the
// same accounts come before all others, pairs that one refused come last.
//
// A pair that is let in is believed only when the login function itself saw a
// proof, when the same user is refused with a random password and with one that
// is a character off, when the pair is let in again each of many times, and when
// a stranger in between never is. A lock, a request to wait, refusals that grow
// slow or a changed manner end the tries for the ledger's window.
//
// Where the owner has raised the budget far enough, Service.Many presents
// hundreds of pairs at once; what it lets pass is proven one by one as ever.
//
// A password never leaves a Pair but through Password, and no message here
// carries one: a finding names "admin with known default password #12".
package credential

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/internal/assess"
)

//go:embed known.txt
var knownText string

// Pair is one known credential.
type Pair struct {
	N        int // its number in the list, for good
	User     string
	password string
	realms   string
	vendors  []string
}

// Password returns the password, for presenting it and for nothing else.
func (p Pair) Password() string { return p.password }

// String names the pair without its password.
func (p Pair) String() string {
	return fmt.Sprintf("%q with known default password #%d", p.User, p.N)
}

// GoString is String: %#v must not show the password either.
func (p Pair) GoString() string { return p.String() }

// Known returns the pairs for one kind of account, the likeliest first for
// this vendor.
func Known(realm assess.Realm, vendor string) []Pair {
	vendor = strings.ToLower(vendor)
	var first, rest []Pair
	for _, p := range parse(knownText) {
		if !strings.Contains(p.realms, string(realm[0])) {
			continue
		}
		if p.from(vendor) {
			first = append(first, p)
		} else {
			rest = append(rest, p)
		}
	}
	return append(first, rest...)
}

func (p Pair) from(vendor string) bool {
	for _, v := range p.vendors {
		if vendor != "" && strings.Contains(vendor, v) {
			return true
		}
	}
	return false
}

// parse reads the list; it is ours, so a broken line is a broken build, which
// the test of this package finds.
func parse(text string) []Pair {
	var out []Pair
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil || len(f) != 5 || n != len(out)+1 {
			panic("credential: the built-in list is broken after number " + strconv.Itoa(len(out)))
		}
		p := Pair{N: n, realms: f[1], User: blank(f[3]), password: blank(f[4])}
		if f[2] != "-" {
			p.vendors = strings.Split(f[2], ",")
		}
		out = append(out, p)
	}
	return out
}

func blank(s string) string {
	if s == "-" {
		return ""
	}
	return s
}
