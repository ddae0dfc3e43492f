// Package known holds what the world already knows of the secrets that devices
// ship with: default passwords by number, and public keys whose private half
// anybody can download.
//
// Both are facts, not guesses: a password stands here because a manual, a worm
// or a published analysis names it for a device; a key because its private half
// is part of a public source tree. A finding names an entry by number or by
// name; a password leaves a Default through Password alone, so that none
// reaches a message by accident.
//
// The package is pure, reads nothing but its own embedded lists, and owns no
// goroutine.
package known

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed passwords.txt
var passwordsText string

//go:embed keys.txt
var keysText string

// Default is one known default credential.
type Default struct {
	N        int    // its number, for good; equal to that of the credential probe where both know it
	User     string // the account it was seen with; a password is tried on every account
	password string
}

// Password returns the password, for checking it against a hash and for
// nothing else.
func (d Default) Password() string { return d.password }

// String names the default without its password.
func (d Default) String() string {
	return fmt.Sprintf("known default password #%d", d.N)
}

// GoString is String: %#v must not show the password either.
func (d Default) GoString() string { return d.String() }

// Defaults returns the known defaults in their order, the likeliest first.
func Defaults() []Default {
	out, err := parseDefaults(passwordsText)
	if err != nil {
		panic("known: the built-in list of defaults is broken: " + err.Error())
	}
	return out
}

func parseDefaults(text string) ([]Default, error) {
	var out []Default
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		n, err := strconv.Atoi(f[0])
		if err != nil || len(f) != 3 {
			return nil, fmt.Errorf("the entry after number %d is not: number user password", last(out))
		}
		if n <= last(out) {
			return nil, fmt.Errorf("number %d does not rise", n)
		}
		out = append(out, Default{N: n, User: blank(f[1]), password: blank(f[2])})
	}
	return out, nil
}

func last(ds []Default) int {
	if len(ds) == 0 {
		return 0
	}
	return ds[len(ds)-1].N
}

func blank(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// Key is a public key whose private half is public.
type Key struct {
	Mark string // SHA-256 of its SubjectPublicKeyInfo, in hexadecimal
	// Library tells that it belongs to the self-test of a library: inside that
	// library it harms nobody. Any other was meant to be served.
	Library bool
	Name    string // such as "mbed TLS test server key (RSA)"
}

// Keys returns the known keys by their marks.
func Keys() map[string]Key {
	out, err := parseKeys(keysText)
	if err != nil {
		panic("known: the built-in list of keys is broken: " + err.Error())
	}
	return out
}

func parseKeys(text string) (map[string]Key, error) {
	out := map[string]Key{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) < 3 || len(f[0]) != 64 || strings.Trim(f[0], "0123456789abcdef") != "" || f[1] != "test" && f[1] != "shipped" {
			return nil, fmt.Errorf("%.20q is not: mark, test or shipped, name", line)
		}
		if _, twice := out[f[0]]; twice {
			return nil, fmt.Errorf("mark %s stands twice", f[0])
		}
		out[f[0]] = Key{Mark: f[0], Library: f[1] == "test", Name: strings.Join(f[2:], " ")}
	}
	return out, nil
}
