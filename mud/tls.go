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
		p.note("tls.names", "TLS profiles carry the member names of the example in RFC 9761, not of its YANG modules")
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
		version := func(v strict.Value) {
			if s := v.OneOf("tls12", "tls13", "dtls12", "dtls13"); s != "" && !slices.Contains(t.Versions, s) {
				t.Versions = append(t.Versions, s)
			}
		}
		either("supported-tls-version", "supported-tls-versions").Each(8, version)
		either("supported-dtls-version", "supported-dtls-versions").Each(8, version)
		t.Ciphers = p.numbers(either("cipher-suite", "cipher-suites"))
		t.Extensions = p.numbers(either("extension-type", "extension-types"))
		t.Groups = p.numbers(either("supported-group", "supported-groups"))
		t.Signatures = p.numbers(either("signature-algorithm", "signature-algorithms"))
		t.PSK = p.numbers(either("psk-key-exchange-mode", "psk-key-exchange-modes"))
		t.ALPN = either("application-protocol", "application-protocols").Texts(maxTLS)
		p.pins(get("spki"), &t)
	}, func(name string, v strict.Value) bool {
		// A profile only tells one TLS from another: without one of its members it
		// tells less, and allows nothing more than the entry does.
		t.Partial = true
		p.note("tls.member", "TLS profile on line {line}: member {member} was left out", "line", strconv.Itoa(v.Line()), "member", strconv.Quote(strict.Short(name)))
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

// pins reads pins of subject public keys: SHA-256 values in base64 (RFC 9761
// section 5.2, spki-pin-set). Pins in another form are left out with a note.
func (p *parser) pins(v strict.Value, t *TLSProfile) {
	if !v.Present() {
		return
	}
	taken := false
	for _, m := range v.Node().Members {
		if m.Name != "spki-pin-set" || m.Value.Kind != strict.List {
			continue
		}
		v.Fields(func(get func(string) strict.Value) {
			get("spki-pin-set").Each(maxTLS, func(v strict.Value) {
				s := v.Text()
				if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) != 32 {
					v.Failf("%q is no SHA-256 in base64", strict.Short(s))
					return
				}
				t.Pins = append(t.Pins, s)
			})
		})
		taken = true
	}
	if !taken {
		t.Partial = true
		p.note("tls.pins", "TLS profile on line {line}: pins are not in the form that is read here and were left out", "line", strconv.Itoa(v.Line()))
	}
}
