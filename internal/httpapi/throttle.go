package httpapi

import (
	"hash/maphash"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

// Throttle slows down those who guess credentials, per address. It costs the
// same memory however many addresses guess: addresses share a fixed number of
// buckets by a keyed hash, so that nobody can choose whose bucket to empty.
//
// Its methods may be called concurrently.
type Throttle struct {
	now  func() time.Time
	seed maphash.Seed

	mu      sync.Mutex
	buckets [4096]bucket
}

type bucket struct {
	spent float64 // attempts not yet forgiven
	at    time.Time
}

// A guesser has throttleBurst attempts at once, then one every throttleEvery.
// A person who mistypes never notices; 10^6 passwords take months.
const (
	throttleBurst = 10
	throttleEvery = 6 * time.Second
)

// NewThrottle returns a throttle that forgives as now moves on.
func NewThrottle(now func() time.Time) *Throttle {
	return &Throttle{now: now, seed: maphash.MakeSeed()}
}

// of returns the bucket of r's address.
func (t *Throttle) of(r *http.Request) *bucket {
	host := remoteHost(r)
	// An IPv6 host owns a /64 and could use a fresh address for every guess.
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		host = ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return &t.buckets[maphash.String(t.seed, host)%uint64(len(t.buckets))]
}

// Take spends one attempt of r's address. It reports how long to wait when
// there is none left.
func (t *Throttle) Take(r *http.Request) (wait time.Duration, ok bool) {
	b, now := t.of(r), t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if past := now.Sub(b.at); past > 0 {
		b.spent = max(0, b.spent-past.Seconds()/throttleEvery.Seconds())
	}
	b.at = now
	if b.spent+1 > throttleBurst {
		return time.Duration((b.spent + 1 - throttleBurst) * float64(throttleEvery)), false
	}
	b.spent++
	return 0, true
}

// Forgive gives back what a right credential had spent.
func (t *Throttle) Forgive(r *http.Request) {
	b := t.of(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	b.spent = max(0, b.spent-1)
}

// guard puts the throttle before h.
func (t *Throttle) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wait, ok := t.Take(r); !ok {
			ev := eventOf(r.Context())
			ev.code = ringwall.Unavailable
			w.Header().Set("Retry-After", strconv.Itoa(int(wait.Seconds())+1))
			writeProblem(w, newProblem(ev.id, http.StatusTooManyRequests, TooMany()))
			return
		}
		rec := &recorder{ResponseWriter: w}
		h.ServeHTTP(rec, r)
		if rec.status < 400 {
			t.Forgive(r)
		}
	})
}

// TooMany is the error for somebody whom a Throttle stopped.
func TooMany() *ringwall.Error {
	return &ringwall.Error{Code: ringwall.Unavailable, Text: "too many attempts from this address", Hint: "wait a little and try again"}
}
