package digest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"
	"time"
)

// nonceLife is how long a server nonce is good for: long enough for a slow
// client's retry, short enough that a sniffed answer is soon worthless.
const nonceLife = 2 * time.Minute

// maxNonces bounds the replay memory; when it is full the oldest are dropped
// and their clients are asked again with stale=true.
const maxNonces = 4096

// Verifier is the server side of Digest. Its nonces are authenticated with a
// key of its own, expire, and each request count of a nonce is accepted once.
type Verifier struct {
	realm     string
	algorithm string
	now       func() time.Time
	key       [32]byte

	mu    sync.Mutex
	seen  map[string]uint32 // highest count accepted per nonce
	floor time.Time         // nonces made before are refused: their counts were forgotten
}

// NewVerifier returns a Verifier. algorithm is "MD5" or "SHA-256".
func NewVerifier(realm, algorithm string, now func() time.Time) *Verifier {
	v := &Verifier{realm: realm, algorithm: algorithm, now: now, seen: map[string]uint32{}}
	if _, err := rand.Read(v.key[:]); err != nil {
		panic("digest: the system's random source failed: " + err.Error())
	}
	return v
}

// Challenge returns a fresh WWW-Authenticate value.
func (v *Verifier) Challenge(stale bool) string {
	s := `Digest realm="` + escape(v.realm) + `", qop="auth", algorithm=` + v.algorithm + `, nonce="` + v.nonce() + `"`
	if stale {
		s += ", stale=true"
	}
	return s
}

func (v *Verifier) nonce() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(v.now().UnixNano()))
	if _, err := rand.Read(b[8:]); err != nil {
		panic("digest: the system's random source failed: " + err.Error())
	}
	return hex.EncodeToString(b[:]) + hex.EncodeToString(v.tag(b[:]))
}

func (v *Verifier) tag(b []byte) []byte {
	m := hmac.New(sha256.New, v.key[:])
	m.Write(b)
	return m.Sum(nil)[:16]
}

// made returns when nonce was made, if it is ours.
func (v *Verifier) made(nonce string) (time.Time, bool) {
	b, err := hex.DecodeString(nonce)
	if err != nil || len(b) != 32 || !hmac.Equal(b[16:], v.tag(b[:16])) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), true
}

func (v *Verifier) inTime(made time.Time) bool {
	age := v.now().Sub(made)
	return age >= 0 && age <= nonceLife
}

// Verify judges an Authorization value. stale tells that the answer was right
// or at least made for a nonce of ours that is used up: challenge again.
func (v *Verifier) Verify(header, method string, password func(user string) (string, bool)) (user string, ok, stale bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "digest") {
		return "", false, false
	}
	p, err := parseParams(rest)
	if err != nil || p["realm"] != v.realm || !strings.EqualFold(p["qop"], "auth") {
		return "", false, false
	}
	made, ours := v.made(p["nonce"])
	if !ours {
		return "", false, false
	}
	count, err := strconv.ParseUint(p["nc"], 16, 32)
	if err != nil || p["cnonce"] == "" {
		return "", false, false
	}
	c := Challenge{Algorithm: v.algorithm}
	newHash, session, err := c.algorithm()
	if err != nil {
		return "", false, false
	}
	secret, known := password(p["username"])
	want := answer{
		user: p["username"], realm: v.realm, nonce: p["nonce"], uri: p["uri"], method: method,
		cnonce: p["cnonce"], count: uint32(count), qop: true, session: session, newHash: newHash,
	}.response(secret)
	right := subtle.ConstantTimeCompare([]byte(want), []byte(strings.ToLower(p["response"]))) == 1
	if !right || !known {
		return "", false, false
	}
	if !v.inTime(made) || !v.first(p["nonce"], made, uint32(count)) {
		return "", false, true
	}
	return p["username"], true, false
}

// first reports whether this count of nonce has not been accepted before.
func (v *Verifier) first(nonce string, made time.Time, count uint32) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if count == 0 || count <= v.seen[nonce] || made.Before(v.floor) {
		return false
	}
	if _, known := v.seen[nonce]; !known && len(v.seen) >= maxNonces {
		v.prune()
	}
	v.seen[nonce] = count
	return true
}

// prune forgets what has expired (such nonces are refused by their age) and,
// when nothing has, everything, raising the floor so that a forgotten count
// can never be replayed. The caller holds mu.
func (v *Verifier) prune() {
	for n := range v.seen {
		if made, ours := v.made(n); !ours || !v.inTime(made) {
			delete(v.seen, n)
		}
	}
	if len(v.seen) >= maxNonces {
		clear(v.seen)
		v.floor = v.now()
	}
}

// ParseBasic reads a Basic Authorization value.
func ParseBasic(header string) (user, password string, ok bool) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "basic") || len(rest) > MaxHeader {
		return "", "", false
	}
	b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(string(b), ":")
}
