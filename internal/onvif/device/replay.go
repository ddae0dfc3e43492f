package device

import (
	"crypto/sha256"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall/internal/onvif"
)

// TokenLife is how far a token's time may lie from the device's clock. WS-
// Security recommends five minutes (UsernameToken Profile 1.1 section 3.1).
const TokenLife = 5 * time.Minute

// maxTokens bounds the replay memory. When it is full of tokens still alive,
// further tokens are refused: a flood costs service, never a replay.
const maxTokens = 8192

// replay remembers the tokens accepted within TokenLife.
type replay struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[[32]byte]time.Time // when it may be forgotten
}

func newReplay(now func() time.Time) *replay {
	return &replay{now: now, seen: map[[32]byte]time.Time{}}
}

// inTime reports whether the token's time is near the device's.
func (r *replay) inTime(t *onvif.UsernameToken) bool {
	created, err := t.CreatedAt()
	now := r.now()
	return err == nil && !created.Before(now.Add(-TokenLife)) && !created.After(now.Add(TokenLife))
}

// first reports whether t, which is in time, was not accepted before.
func (r *replay) first(t *onvif.UsernameToken) bool {
	created, err := t.CreatedAt()
	if err != nil {
		return false
	}
	now := r.now()
	// The digest covers nonce, time and password, and Proves has compared it to
	// what they give: it alone names the token, and writing the rest of the token
	// differently (blanks, other base64) does not change it.
	key := sha256.Sum256([]byte(t.Username + "\x00" + strings.TrimSpace(t.Password.Value)))
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, replayed := r.seen[key]; replayed {
		return false
	}
	if len(r.seen) >= maxTokens {
		for k, until := range r.seen {
			if now.After(until) {
				delete(r.seen, k)
			}
		}
		if len(r.seen) >= maxTokens {
			return false
		}
	}
	r.seen[key] = created.Add(TokenLife)
	return true
}
