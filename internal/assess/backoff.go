package assess

import (
	"fmt"
	"time"
)

// Refusal is how a service refused one login, as far as a probe saw it.
type Refusal struct {
	// Status is the protocol's own, such as 401, 403, 423 or 429 of HTTP and RTSP;
	// 0 where there is none.
	Status int
	// RetryAfter is how long it asks us to wait.
	RetryAfter time.Duration
	// Left is how many tries it says are left, with Counts true.
	Left   int
	Counts bool
	// Took is how long the answer took.
	Took time.Duration
	// Words is true when it says in words that an account or address is locked.
	Words bool
}

// Limits of patience with a service that refuses.
const (
	// slowed is the delay from which a refusal that also takes four times as long
	// as the first one is a service that slows us down.
	slowed = 1500 * time.Millisecond
	// asked is how long we may be asked to wait before it counts as a lock.
	asked = 2 * time.Second
)

// habit is how a service refuses: what it did first, and how often since.
type habit struct {
	status int
	took   time.Duration
	n      int
	at     time.Time
}

// Refuse notes a refusal and reports whether the service may be tried again
// in this window; if not, why says what it did. The signs of a lock that is
// near or has fallen: it says so in words or by 423 or 429, it counts the tries
// that are left and one is, it asks to wait, it takes much longer than at
// first, or it refuses otherwise than at first. A lock of accounts is of all
// services that share them, so a service that stops us stops its whole realm.
func (l *Ledger) Refuse(realm Realm, service string, r Refusal) (again bool, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if l.habits == nil {
		l.habits = map[string]habit{}
	}
	h, seen := l.habits[service]
	if !seen || now.Sub(h.at) >= l.budget.Window {
		h = habit{status: r.Status, took: r.Took, at: now}
	}
	h.n++
	l.habits[service] = h
	why = r.hints(h)
	if why == "" {
		return true, ""
	}
	l.stopped[service] = stop{now, why}
	if l.shut == nil {
		l.shut = map[Realm]stop{}
	}
	l.shut[realm] = stop{now, service + ": " + why}
	return false, why
}

func (r Refusal) hints(first habit) string {
	switch {
	case r.Words:
		return "it says that the account or we are locked"
	case r.Status == 423 || r.Status == 429:
		return fmt.Sprintf("it answers %d: locked, or asked to slow down", r.Status)
	case r.Counts && r.Left <= 1:
		return fmt.Sprintf("it says that %d tries are left", max(r.Left, 0))
	case r.RetryAfter >= asked:
		return fmt.Sprintf("it asks us to wait %v", r.RetryAfter.Round(time.Second))
	case first.n > 1 && first.status != 0 && r.Status != 0 && r.Status != first.status:
		return fmt.Sprintf("it refuses with %d now, and did with %d at first", r.Status, first.status)
	case first.n > 1 && r.Took >= slowed && r.Took >= 4*first.took:
		return fmt.Sprintf("its refusals take %v now, and took %v at first", r.Took.Round(10*time.Millisecond), first.took.Round(10*time.Millisecond))
	}
	return ""
}

// Shut reports whether a realm's services must be left alone in this window,
// and why.
func (l *Ledger) Shut(realm Realm) (why string, shut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.shut[realm]
	if !ok || l.now().Sub(s.at) >= l.budget.Window {
		return "", false
	}
	return s.why, true
}

// Pause is how long to wait before the next try at a service: nothing after
// its first refusal, then twice as long with each, so that a lock that counts
// tries in a minute is not run into. It is never longer than two seconds.
func (l *Ledger) Pause(service string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := l.habits[service]
	if h.n < 2 || l.now().Sub(h.at) >= l.budget.Window {
		return 0
	}
	return min(2*time.Second, 125*time.Millisecond<<min(h.n-2, 4))
}
