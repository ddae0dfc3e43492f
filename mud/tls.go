package mud

import (
	"encoding/base64"
	"slices"
	"strconv"

	"github.com/ringwall/ringwall/internal/strict"
)

// profiles reads the client profiles of RFC 9761. The YANG modules of its
// section 5 name the members in the singular; the example in section 7 writes
// them otherwise, and so do the files made after it.
func (p *parser) profiles(v strict.Value, e *ACE, asExample bool) {
	if !v.Present() {
		return
	}
	if asExample {
		p.note("TLS profiles carry the member names of the example in RFC 9761, not of its YANG modules")
	}
	v.Fields(func(get func(string) strict.Value) {
		for _, name := range []string{"tls-dtls-profile", "tls-dtls-profiles"} {
			get(name).Each(maxTLS, func(v strict.Value) { e.TLS = append(e.TLS, p.profile(v)) })
		}
	})
}

func (p *parser) profile(v strict.Value) TLSProfile {
	var t TLSProfile
	v.Fields(func(get func(string) strict.Value) {
		either := func(names ...string) strict.Value {
			var found strict.Value
			for _, n := range names {
				if w := get(n); w.Present() {
					found = w
				}
			}
			return found
		}
		t.Name = p.text(get("name"))
		either("supported-tls-version", "supported-tls-versions").Each(8, func(v strict.Value) {
			if s := v.OneOf("tls12", "tls13", "dtls12", "dtls13"); s != "" {
				t.Versions = append(t.Versions, s)
			}
		})
		t.Ciphers = p.numbers(either("cipher-suite", "cipher-suites"))
		t.Extensions = p.numbers(either("extension-type", "extension-types"))
		t.Groups = p.numbers(either("supported-group", "supported-groups"))
		t.Signatures = p.numbers(either("signature-algorithm", "signature-algorithms"))
		t.PSK = p.numbers(either("psk-key-exchange-mode", "psk-key-exchange-modes"))
		t.ALPN = either("application-protocol", "application-protocols").Texts(maxTLS)
		t.Pins = p.pins(get("spki"))
	}, func(name string, v strict.Value) bool {
		// A profile only tells one TLS from another: without one of its members it
		// tells less, and allows nothing more than the entry does.
		t.Partial = true
		p.note("TLS profile on line " + strconv.Itoa(v.Line()) + ": member " + strconv.Quote(strict.Short(name)) + " was left out")
		return true
	})
	if len(t.Versions) == 0 {
		v.Failf("a TLS profile names no version")
	}
	return t
}

func (p *parser) numbers(v strict.Value) []uint16 {
	var out []uint16
	v.Each(maxTLS, func(v strict.Value) {
		n := uint16(v.Int(0, 65535))
		if slices.Contains(out, n) {
			v.Failf("%d stands twice", n)
		}
		out = append(out, n)
	})
	return out
}

// pins reads pins of subject public keys: lists of base64 SHA-256 values, in
// the container "spki" of RFC 9761 section 5.3.
func (p *parser) pins(v strict.Value) []string {
	var out []string
	take := func(v strict.Value) {
		s := v.Text()
		if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) != 32 {
			v.Failf("%q is no SHA-256 in base64", strict.Short(s))
			return
		}
		out = append(out, s)
	}
	v.Fields(func(get func(string) strict.Value) {
		get("spki-pin-set").Each(maxTLS, take)
		get("spki-pin-set-list").Each(maxTLS, take)
	})
	return out
}
