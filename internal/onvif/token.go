package onvif

import (
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"strings"
	"time"
)

// UsernameToken is the credential of a SOAP message (WS-Security UsernameToken
// Profile 1.1 section 3.1). It never holds a password, only its digest, unless
// a peer sent it as text.
type UsernameToken struct {
	Username string `xml:"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd Username"`
	Password struct {
		Type  string `xml:"Type,attr"`
		Value string `xml:",chardata"`
	} `xml:"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd Password"`
	Nonce   string `xml:"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd Nonce"`
	Created string `xml:"http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd Created"`
}

// NewToken returns a digest token with a fresh nonce, made at created.
func NewToken(user, password string, created time.Time) *UsernameToken {
	var nonce [16]byte
	if _, err := rand.Read(nonce[:]); err != nil {
		panic("onvif: the system's random source failed: " + err.Error())
	}
	t := &UsernameToken{Username: user, Nonce: base64.StdEncoding.EncodeToString(nonce[:]), Created: created.UTC().Format("2006-01-02T15:04:05.000Z")}
	t.Password.Type = typeDigest
	t.Password.Value = passwordDigest(nonce[:], t.Created, password)
	return t
}

// NewTextToken returns a token that carries the password itself, as a camera
// should refuse on a connection without TLS.
func NewTextToken(user, password string, created time.Time) *UsernameToken {
	t := NewToken(user, password, created)
	t.Password.Type, t.Password.Value = typeText, password
	return t
}

// Text reports whether the token carries the password itself, and whether it is
// this one.
func (t *UsernameToken) Text(password string) (text, right bool) {
	text = strings.HasSuffix(t.Password.Type, "#PasswordText")
	return text, text && subtle.ConstantTimeCompare([]byte(password), []byte(t.Password.Value)) == 1
}

func passwordDigest(nonce []byte, created, password string) string {
	h := sha1.New()
	h.Write(nonce)
	h.Write([]byte(created))
	h.Write([]byte(password))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Digest reports whether the token carries a digest rather than a password in
// the clear.
func (t *UsernameToken) Digest() bool { return strings.HasSuffix(t.Password.Type, "#PasswordDigest") }

// Proves reports whether t was made with password. It says nothing of age and
// replay: see device.
func (t *UsernameToken) Proves(password string) bool {
	nonce, err := base64.StdEncoding.DecodeString(strings.TrimSpace(t.Nonce))
	if err != nil || len(nonce) == 0 || !t.Digest() {
		return false
	}
	want := passwordDigest(nonce, t.Created, password)
	return subtle.ConstantTimeCompare([]byte(want), []byte(strings.TrimSpace(t.Password.Value))) == 1
}

// CreatedAt returns the time in the token.
func (t *UsernameToken) CreatedAt() (time.Time, error) {
	return time.Parse(time.RFC3339Nano, strings.TrimSpace(t.Created))
}

func (t *UsernameToken) write(b *bytes.Buffer) {
	b.WriteString(`<wsse:Security s:mustUnderstand="1" xmlns:wsse="` + NSWSSE + `" xmlns:wsu="` + NSWSU + `"><wsse:UsernameToken><wsse:Username>`)
	text(b, t.Username)
	b.WriteString(`</wsse:Username><wsse:Password Type="`)
	text(b, t.Password.Type)
	b.WriteString(`">`)
	text(b, t.Password.Value)
	b.WriteString(`</wsse:Password><wsse:Nonce EncodingType="` + typeNonce + `">`)
	text(b, t.Nonce)
	b.WriteString(`</wsse:Nonce><wsu:Created>`)
	text(b, t.Created)
	b.WriteString(`</wsu:Created></wsse:UsernameToken></wsse:Security>`)
}
