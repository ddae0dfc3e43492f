package digest

import (
	"strings"

	"github.com/ringwall/ringwall"
)

// parse reads one WWW-Authenticate value, which may hold several challenges
// (RFC 9110 section 11.6.1). It is forgiving where cameras are sloppy (missing
// commas, unquoted values) and strict about size.
func parse(h string) ([]Challenge, error) {
	if len(h) > MaxHeader {
		return nil, ringwall.Errorf(ringwall.Invalid, "authentication header of %d bytes is longer than %d", len(h), MaxHeader)
	}
	var out []Challenge
	p := scanner{s: h}
	params := 0
	for {
		p.skip(" \t,")
		if p.end() {
			return out, nil
		}
		word := p.token()
		if word == "" {
			return nil, ringwall.Errorf(ringwall.Invalid, "authentication header: unexpected %q at byte %d", p.s[p.at:p.at+1], p.at)
		}
		p.skip(" \t")
		if p.peek() != '=' {
			out = append(out, Challenge{Scheme: strings.ToLower(word)})
			continue
		}
		if params++; params > MaxParams {
			return nil, ringwall.Errorf(ringwall.Invalid, "authentication header has more than %d parameters", MaxParams)
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		if len(out) == 0 {
			return nil, ringwall.Errorf(ringwall.Invalid, "authentication header: parameter %q before any scheme", shorten(word))
		}
		out[len(out)-1].set(strings.ToLower(word), value)
	}
}

func (c *Challenge) set(name, value string) {
	switch name {
	case "realm":
		c.Realm = value
	case "nonce":
		c.Nonce = value
	case "opaque":
		c.Opaque = value
	case "algorithm":
		c.Algorithm = value
	case "stale":
		c.Stale = strings.EqualFold(value, "true")
	case "qop":
		for q := range strings.SplitSeq(value, ",") {
			if q = strings.TrimSpace(q); q != "" {
				c.QOP = append(c.QOP, q)
			}
		}
	}
}

// parseParams reads the parameters of an Authorization header after its scheme.
func parseParams(s string) (map[string]string, error) {
	if len(s) > MaxHeader {
		return nil, ringwall.Errorf(ringwall.Invalid, "authorization header of %d bytes is longer than %d", len(s), MaxHeader)
	}
	out := map[string]string{}
	p := scanner{s: s}
	for {
		p.skip(" \t,")
		if p.end() {
			return out, nil
		}
		word := p.token()
		p.skip(" \t")
		if word == "" || p.peek() != '=' || len(out) >= MaxParams {
			return nil, ringwall.Errorf(ringwall.Invalid, "authorization header is malformed at byte %d", p.at)
		}
		value, err := p.value()
		if err != nil {
			return nil, err
		}
		out[strings.ToLower(word)] = value
	}
}

type scanner struct {
	s  string
	at int
}

func (p *scanner) end() bool { return p.at >= len(p.s) }

func (p *scanner) peek() byte {
	if p.end() {
		return 0
	}
	return p.s[p.at]
}

func (p *scanner) skip(set string) {
	for !p.end() && strings.IndexByte(set, p.s[p.at]) >= 0 {
		p.at++
	}
}

func (p *scanner) token() string {
	from := p.at
	for !p.end() && strings.IndexByte(" \t,=\"\r\n", p.s[p.at]) < 0 {
		p.at++
	}
	return p.s[from:p.at]
}

// value reads '=' and a token or quoted string.
func (p *scanner) value() (string, error) {
	p.at++
	p.skip(" \t")
	if p.peek() != '"' {
		return p.token(), nil
	}
	p.at++
	var b strings.Builder
	for !p.end() {
		switch c := p.s[p.at]; c {
		case '"':
			p.at++
			return b.String(), nil
		case '\\':
			p.at++
			if p.end() {
				continue
			}
			b.WriteByte(p.s[p.at])
		case '\r', '\n':
			return "", ringwall.Errorf(ringwall.Invalid, "authentication header: line break in a quoted string at byte %d", p.at)
		default:
			b.WriteByte(c)
		}
		p.at++
	}
	return "", ringwall.Errorf(ringwall.Invalid, "authentication header: quoted string is not closed")
}
