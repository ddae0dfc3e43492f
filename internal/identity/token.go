package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
)

// Kinds of tokens: the first word of each.
const (
	APIToken     = "rwt"
	EnrolToken   = "rwe"
	SessionToken = "rws"
)

const (
	// EnrolLife is how long a one-time token waits to be used.
	EnrolLife = 24 * time.Hour
	// SessionLife is how long a login lasts.
	SessionLife = 12 * time.Hour
	// secretSize is beyond guessing, so that a plain hash protects it at rest.
	secretSize = 32
)

// TokenRecord is what is kept of a token: all but the token.
type TokenRecord struct {
	ID      ringwall.TokenID
	Org     ringwall.OrgID
	Name    string
	Subject string // who it stands for: usr_… of a session, the token itself otherwise
	Hash    []byte // SHA-256 of the secret
	Parts   []ringwall.Part
	Created time.Time
	Expires time.Time // zero = never; enrolment tokens and sessions always expire
	Used    time.Time // of an enrolment token
}

// Secret is a token in clear. It prints and logs as stars; Reveal gives it.
type Secret string

func (Secret) String() string { return "****" }

// GoString keeps %#v from printing it.
func (Secret) GoString() string { return "****" }

// MarshalText keeps it out of JSON and structured logs.
func (Secret) MarshalText() ([]byte, error) { return []byte("****"), nil }

// Reveal returns the token.
func (s Secret) Reveal() string { return string(s) }

var alphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewToken makes a token of a kind for an organisation.
func NewToken(kind string, org ringwall.OrgID, now time.Time) (Secret, TokenRecord) {
	var raw [secretSize]byte
	if _, err := rand.Read(raw[:]); err != nil {
		panic("identity: the system's random source failed: " + err.Error())
	}
	secret := alphabet.EncodeToString(raw[:])
	id := ringwall.TokenID(ringwall.NewID(ringwall.PrefixToken, now))
	sum := hash(kind, secret)
	text := strings.Join([]string{
		kind, strings.TrimPrefix(string(org), ringwall.PrefixOrg+"_"), strings.TrimPrefix(string(id), ringwall.PrefixToken+"_"), secret,
	}, "_")
	return Secret(text), TokenRecord{ID: id, Org: org, Subject: string(id), Hash: sum, Created: now.UTC()}
}

// Claim is what a token says of itself, before anything is proven.
type Claim struct {
	Kind string
	Org  ringwall.OrgID
	ID   ringwall.TokenID
	hash []byte
}

// errToken is the one answer to a proof that does not hold.
func errToken() error { return ringwall.Errorf(ringwall.Unverified, "the token is not valid") }

// ParseToken reads a token of a kind. It checks the form alone. The error is
// the same as that of Check and holds nothing of the token.
func ParseToken(kind, text string) (Claim, error) {
	part := strings.Split(text, "_")
	if len(text) > 200 || len(part) != 4 || part[0] != kind || len(part[3]) != alphabet.EncodedLen(secretSize) {
		return Claim{}, errToken()
	}
	org, id := ringwall.PrefixOrg+"_"+part[1], ringwall.PrefixToken+"_"+part[2]
	if !ringwall.ValidID(ringwall.PrefixOrg, org) || !ringwall.ValidID(ringwall.PrefixToken, id) {
		return Claim{}, errToken()
	}
	return Claim{Kind: kind, Org: ringwall.OrgID(org), ID: ringwall.TokenID(id), hash: hash(kind, part[3])}, nil
}

// Check reports whether the claim is proven by what is kept of the token, in
// time that does not depend on how much of it is right, and whether it is in
// its life. Codes: Unverified.
func (c Claim) Check(r TokenRecord, now time.Time) error {
	if subtle.ConstantTimeCompare(c.hash, r.Hash) != 1 || c.ID != r.ID || c.Org != r.Org {
		return errToken()
	}
	if !r.Expires.IsZero() && !now.Before(r.Expires) || !r.Used.IsZero() {
		return errToken()
	}
	return nil
}

func hash(kind, secret string) []byte {
	sum := sha256.Sum256([]byte("ringwall " + kind + " v1\x00" + secret))
	return sum[:]
}
