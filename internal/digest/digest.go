// Package digest speaks HTTP authentication as cameras use it: it reads
// WWW-Authenticate challenges, answers them for Basic and Digest, and keeps
// the server side of Digest for the range's own devices.
//
// RTSP borrows the whole scheme from HTTP, so one implementation serves both.
// Digest follows RFC 7616 (MD5, MD5-sess, SHA-256, SHA-256-sess; qop auth or
// none as in RFC 2069); Basic follows RFC 7617. auth-int, userhash and
// SHA-512-256 are refused by name rather than answered wrongly.
//
// Input comes from strangers: a header is at most MaxHeader bytes and MaxParams
// parameters, and what does not parse is an error, never a guess. Passwords are
// never part of an error. A Verifier may be used by several goroutines;
// everything else is a value.
package digest

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/ringwall/ringwall"
)

// Bounds of what is read from a peer. Real challenges stay below 400 bytes.
const (
	MaxHeader = 8 << 10
	MaxParams = 32
)

// Challenge is one challenge of a WWW-Authenticate header.
type Challenge struct {
	Scheme    string // lower case: "basic", "digest" or what the peer said
	Realm     string
	Nonce     string
	Opaque    string
	Algorithm string // as the peer wrote it; "" means MD5
	QOP       []string
	Stale     bool
}

// ParseChallenges reads the values of all WWW-Authenticate headers of one answer.
func ParseChallenges(headers []string) ([]Challenge, error) {
	var out []Challenge
	for _, h := range headers {
		cs, err := parse(h)
		if err != nil {
			return nil, err
		}
		out = append(out, cs...)
	}
	return out, nil
}

// Best returns the strongest challenge that Answer can answer: SHA-256 before
// MD5 before Basic.
func Best(cs []Challenge) (Challenge, bool) {
	best, rank := Challenge{}, 0
	for _, c := range cs {
		if r := c.rank(); r > rank {
			best, rank = c, r
		}
	}
	return best, rank > 0
}

func (c Challenge) rank() int {
	switch c.Scheme {
	case "basic":
		return 1
	case "digest":
		if _, _, err := c.algorithm(); err != nil || c.Nonce == "" || !c.qopOK() {
			return 0
		}
		if strings.HasPrefix(strings.ToUpper(c.Algorithm), "SHA-256") {
			return 3
		}
		return 2
	}
	return 0
}

func (c Challenge) qopOK() bool {
	if len(c.QOP) == 0 {
		return true
	}
	for _, q := range c.QOP {
		if strings.EqualFold(q, "auth") {
			return true
		}
	}
	return false
}

func (c Challenge) algorithm() (newHash func() hash.Hash, session bool, err error) {
	switch strings.ToUpper(c.Algorithm) {
	case "", "MD5":
		return md5.New, false, nil
	case "MD5-SESS":
		return md5.New, true, nil
	case "SHA-256":
		return sha256.New, false, nil
	case "SHA-256-SESS":
		return sha256.New, true, nil
	}
	return nil, false, ringwall.Errorf(ringwall.Invalid, "digest algorithm %q is not one we answer", shorten(c.Algorithm))
}

// Answer returns the value of the Authorization header that answers c for one
// request. count is the number of requests made with this nonce, from 1.
func (c Challenge) Answer(method, uri, user, password string, count uint32) (string, error) {
	switch c.Scheme {
	case "basic":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), nil
	case "digest":
	default:
		return "", ringwall.Errorf(ringwall.Invalid, "authentication scheme %q is not one we answer", shorten(c.Scheme))
	}
	newHash, session, err := c.algorithm()
	if err != nil {
		return "", err
	}
	if !c.qopOK() {
		return "", ringwall.Errorf(ringwall.Invalid, "digest challenge offers no qop that we answer")
	}
	if strings.ContainsAny(user, "\"\r\n") || strings.ContainsAny(uri, "\"\r\n") {
		return "", ringwall.Errorf(ringwall.Invalid, "user name or URI cannot stand in a quoted string")
	}
	a := answer{
		user: user, realm: c.Realm, nonce: c.Nonce, uri: uri, method: method,
		cnonce: token(), count: count, qop: len(c.QOP) > 0, session: session, newHash: newHash,
	}
	var b strings.Builder
	b.WriteString(`Digest username="` + user + `", realm="` + escape(c.Realm) + `", nonce="` + escape(c.Nonce) + `", uri="` + uri + `"`)
	if c.Algorithm != "" {
		b.WriteString(", algorithm=" + c.Algorithm)
	}
	if c.Opaque != "" {
		b.WriteString(`, opaque="` + escape(c.Opaque) + `"`)
	}
	if a.qop {
		b.WriteString(", qop=auth, nc=" + a.nc() + `, cnonce="` + a.cnonce + `"`)
	} else if session {
		b.WriteString(`, cnonce="` + a.cnonce + `"`)
	}
	b.WriteString(`, response="` + a.response(password) + `"`)
	return b.String(), nil
}

// answer is what a digest response is computed from (RFC 7616 section 3.4).
type answer struct {
	user, realm, nonce, uri, method, cnonce string
	count                                   uint32
	qop, session                            bool
	newHash                                 func() hash.Hash
}

func (a answer) nc() string {
	const hexDigits = "0123456789abcdef"
	var b [8]byte
	for i, n := 7, a.count; i >= 0; i, n = i-1, n>>4 {
		b[i] = hexDigits[n&15]
	}
	return string(b[:])
}

func (a answer) response(password string) string {
	h := func(s string) string {
		d := a.newHash()
		d.Write([]byte(s))
		return hex.EncodeToString(d.Sum(nil))
	}
	ha1 := h(a.user + ":" + a.realm + ":" + password)
	if a.session {
		ha1 = h(ha1 + ":" + a.nonce + ":" + a.cnonce)
	}
	ha2 := h(a.method + ":" + a.uri)
	if a.qop {
		return h(ha1 + ":" + a.nonce + ":" + a.nc() + ":" + a.cnonce + ":auth:" + ha2)
	}
	return h(ha1 + ":" + a.nonce + ":" + ha2)
}

func token() string {
	var b [12]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("digest: the system's random source failed: " + err.Error())
	}
	return hex.EncodeToString(b[:])
}

func escape(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }

func shorten(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
