package credential

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
)

// Outcome is what a service did with one credential.
type Outcome uint8

// The outcomes. Unclear is the zero value: what was not understood is neither
// a yes nor a no.
const (
	Unclear Outcome = iota
	Refused
	Accepted // let in, and the login function saw its proof
	Hollow   // said yes, but showed no proof
	Locked   // said that the account or we are locked, or asked to wait
	Dropped  // hung up, or stopped listening
	Forced   // let in, with proof, but only to set a new password
)

// Login presents one credential once. proof is a line of evidence when the
// outcome is Accepted or Forced; it must not hold the password.
type Login func(ctx context.Context, user, password string) (o Outcome, proof string)

// Many presents many credentials as fast as the service takes them and tells
// what came of each, in any order, from one goroutine at a time; seen returns
// false to end it. Accepted means here that the login was passed: Check has
// Login prove it. What is not told was not presented, or not answered.
type Many func(ctx context.Context, pairs []Pair, seen func(n int, o Outcome) (more bool))

// Service is what credentials are tried at.
type Service struct {
	Name  string // for people, such as "RTSP on port 554"
	Key   string // in the ledger, such as assess.ServiceKey("rtsp", 554)
	Realm assess.Realm
	Many  Many // nil: one at a time. Used only where the budget allows more than a handful
	// Stranger asks for what the login protects without presenting anything; it
	// costs no try. Refused is the honest answer. nil: there is no such question.
	Stranger func(context.Context) Outcome
	// Alone is the only user that can be told, such as where a form has no field
	// for one; "" means any.
	Alone string
}

// Report is what came of Check.
type Report struct {
	Service  Service
	Hit      *Pair
	Forced   bool     // Hit opens only a change of itself
	Tried    int      // known pairs presented and answered
	Earlier  int      // known pairs that it refused earlier in the ledger's window
	Of       int      // known pairs for this kind of account
	Decoy    bool     // lets in what it must not: its answers say nothing
	Locked   bool     // it locked us out or asked us to wait
	Slowed   bool     // its refusals grew slow
	Shaky    bool     // it changed its manner, or a proven pair could not be tried again
	Stopped  string   // why no more were tried, "" when the list was finished
	Evidence []string // a line per step that matters
}

const (
	// enough is how many refused pairs, the likeliest of their kind, make a pass:
	// what the lowest budget leaves after the negative control.
	enough = 3
	// batch is how many pairs are handed to Many at once: a lock that shows ends
	// the tries within so many.
	batch = 64
	// handful is how many a purse must hold before Many is worth its haste.
	handful = 8
)

// Check tries known credentials at one service.
func Check(ctx context.Context, env *assess.Env, s Service, login Login) Report {
	c := check{env: env, s: s, login: login, r: Report{Service: s}}
	pairs := c.order(Known(s.Realm, env.Known.Vendor))
	c.r.Of = len(pairs)
	c.r.Earlier = env.Ledger.RefusedBy(s.Realm, s.Key)
	if !c.control(ctx) {
		return c.r
	}
	if c.r.Slowed {
		c.slowed()
		return c.r
	}
	if s.Many != nil && c.left(pairs) > handful {
		c.all(ctx, pairs)
		return c.r
	}
	for _, p := range pairs {
		if ctx.Err() != nil {
			c.r.Stopped = "time is up"
			return c.r
		}
		more, blocked := c.pair(ctx, p)
		if !more {
			return c.r
		}
		if blocked != "" && slices.Contains(env.Ledger.Hits(s.Realm), p.N) && !env.Ledger.RefusedIn(s.Realm, p.N) {
			c.r.Shaky = true // proven before, and nobody of these accounts has refused it since
		}
		if blocked != "" && c.exhausted(pairs) {
			c.r.Stopped = blocked
			return c.r
		}
	}
	return c.r
}

type check struct {
	env   *assess.Env
	s     Service
	login Login
	r     Report
	// spared is how many stalls were forgiven while a pair was proven.
	spared int
	slow   string // why its refusals say that a lock is near, "" while they do not
}

// order puts proven pairs first and refused ones last, each in list order, and
// leaves out whom the service cannot be told.
func (c *check) order(pairs []Pair) []Pair {
	hits := c.env.Ledger.Hits(c.s.Realm)
	class := func(p Pair) int {
		switch {
		case slices.Contains(hits, p.N):
			return 0
		case c.env.Ledger.RefusedIn(c.s.Realm, p.N):
			return 2
		}
		return 1
	}
	if c.s.Alone != "" {
		pairs = slices.DeleteFunc(pairs, func(p Pair) bool { return p.User != c.s.Alone })
	}
	slices.SortStableFunc(pairs, func(a, b Pair) int { return class(a) - class(b) })
	return pairs
}

func (c *check) say(format string, args ...any) {
	c.r.Evidence = append(c.r.Evidence, fmt.Sprintf(format, args...))
}

// present is one try, made when the ledger's pause is over. The ledger sees how
// it was refused: signs of a lock that is near end the tries as a lock does.
func (c *check) present(ctx context.Context, user, password string) (Outcome, string) {
	if p := c.env.Ledger.Pause(c.s.Key); p > 0 {
		t := time.NewTimer(p)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return Unclear, ""
		}
	}
	began := c.env.Now()
	o, proof := c.login(ctx, user, password)
	refusal := assess.Refusal{Took: c.env.Now().Sub(began), Words: o == Locked}
	if o == Refused || o == Locked {
		if again, why := c.env.Ledger.Refuse(c.s.Realm, c.s.Key, refusal); !again && o == Refused {
			c.r.Slowed, c.slow = true, why
		}
	}
	return o, proof
}

// control presents a random credential; true means that it was refused.
func (c *check) control(ctx context.Context) bool {
	user := c.s.Alone
	if user == "" {
		user = "rw" + strings.ToLower(rand.Text()[:6])
	}
	if ok, why := c.env.Ledger.Spend(c.s.Realm, c.s.Key, user); !ok {
		c.r.Stopped = why
		// What was proven here before may still open it.
		c.r.Shaky = len(c.env.Ledger.Hits(c.s.Realm)) > 0
		return false
	}
	o, _ := c.present(ctx, user, rand.Text()[:10])
	switch o {
	case Refused:
		c.say("negative control: a random user and password were refused")
		return true
	case Accepted, Hollow, Forced:
		c.env.Ledger.Refund(c.s.Realm, c.s.Key, user)
		c.decoy("a random user with a random password was let in: it says yes to everything")
	default:
		c.end(o)
	}
	return false
}

// pair tries one; more is false when Check is over. blocked says why a pair
// was passed over.
func (c *check) pair(ctx context.Context, p Pair) (more bool, blocked string) {
	if ok, why := c.env.Ledger.Spend(c.s.Realm, c.s.Key, p.User); !ok {
		return true, why
	}
	o, proof := c.present(ctx, p.User, p.password)
	if o == Refused || o == Accepted || o == Hollow || o == Forced {
		c.r.Tried++
	}
	switch o {
	case Refused:
		c.env.Ledger.Refused(c.s.Realm, c.s.Key, p.N)
		if c.r.Slowed {
			c.slowed()
			return false, ""
		}
		return true, ""
	case Accepted, Forced:
		c.env.Ledger.Refund(c.s.Realm, c.s.Key, p.User)
		c.confirm(ctx, p, o, proof)
	case Hollow:
		// A shell that is slow to come shows nothing either; a liar never will.
		if ok, _ := c.env.Ledger.Spend(c.s.Realm, c.s.Key, p.User); ok && c.spare(ctx) {
			switch o, proof := c.login(ctx, p.User, p.password); o {
			case Accepted, Forced:
				c.env.Ledger.Refund(c.s.Realm, c.s.Key, p.User)
				c.env.Ledger.Refund(c.s.Realm, c.s.Key, p.User)
				c.confirm(ctx, p, o, proof)
				return false, ""
			case Locked:
				c.end(o)
				return false, ""
			}
		}
		c.decoy("it said yes to %v, but showed nothing that only a user sees", p)
	default:
		c.end(o)
	}
	return false, ""
}

// all presents the pairs in batches, each paid for before, and proves one by
// one what was let past.
func (c *check) all(ctx context.Context, pairs []Pair) {
	for len(pairs) > 0 && ctx.Err() == nil {
		var now []Pair
		for len(pairs) > 0 && len(now) < batch {
			p := pairs[0]
			pairs = pairs[1:]
			ok, why := c.env.Ledger.Spend(c.s.Realm, c.s.Key, p.User)
			if !ok {
				c.r.Stopped = why
				continue
			}
			now = append(now, p)
		}
		if len(now) == 0 {
			return
		}
		var passed []Pair
		bad := Refused
		told := 0
		c.s.Many(ctx, now, func(n int, o Outcome) bool {
			told++
			switch o {
			case Refused:
				c.r.Tried++
				c.env.Ledger.Refused(c.s.Realm, c.s.Key, now[n].N)
			case Accepted:
				passed = append(passed, now[n])
			default:
				bad = o
				return false
			}
			return len(passed) < enough // more than one default is rare, more than a few a liar
		})
		for _, p := range passed {
			c.env.Ledger.Refund(c.s.Realm, c.s.Key, p.User)
			if more, _ := c.pair(ctx, p); !more {
				return
			}
		}
		switch {
		case bad != Refused:
			c.end(bad)
			return
		case len(passed) >= enough:
			c.decoy("it let %d known credentials pass, and proved none of them", len(passed))
			return
		case told < len(now):
			c.end(Dropped)
			return
		}
	}
	if len(pairs) > 0 {
		c.r.Stopped = "time is up"
	}
}

func (c *check) decoy(format string, args ...any) {
	c.r.Decoy = true
	c.r.Stopped = fmt.Sprintf(format, args...)
	c.say("%s", c.r.Stopped)
	c.env.Ledger.Stop(c.s.Key, c.r.Stopped)
}

func (c *check) slowed() {
	c.r.Shaky = true
	c.r.Stopped = "a lock seems near: " + c.slow
	c.say("after %d answers on known credentials %s", c.r.Tried, c.r.Stopped)
	c.env.Ledger.Stop(c.s.Key, c.r.Stopped)
}

// end stops the tries at this service after a lock or a changed manner.
func (c *check) end(o Outcome) {
	switch o {
	case Locked:
		c.r.Locked = true
		c.r.Stopped = "it locked the account or asked us to wait"
	case Dropped:
		c.r.Shaky = true
		c.r.Stopped = "it hung up or stopped listening"
	default:
		c.r.Shaky = true
		c.r.Stopped = "its answer was not understood"
	}
	c.say("after %d answers on known credentials %s", c.r.Tried, c.r.Stopped)
	c.env.Ledger.Stop(c.s.Key, c.r.Stopped)
}

// left is how many of the pairs the purse pays for.
func (c *check) left(pairs []Pair) int {
	users, n := map[string]int{}, 0
	for _, p := range pairs {
		l, seen := users[p.User]
		if !seen {
			l = c.env.Ledger.Left(c.s.Realm, c.s.Key, p.User)
		}
		if l > 0 {
			n++
		}
		users[p.User] = l - 1
	}
	return min(n, c.env.Ledger.LeftAt(c.s.Realm, c.s.Key))
}

// exhausted reports whether no account of the list may be tried any more.
func (c *check) exhausted(pairs []Pair) bool {
	return !slices.ContainsFunc(pairs, func(p Pair) bool { return c.env.Ledger.Left(c.s.Realm, c.s.Key, p.User) > 0 })
}
