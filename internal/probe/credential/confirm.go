package credential

import (
	"context"
	"crypto/rand"
	"slices"
	"time"
)

// A pair that was let in is presented again so often, with a stranger asking
// in between where the service has a question for him. Neither costs a try when
// the pair is right, and a service that says yes and no by chance passes all of
// it once in ten thousand times.
const (
	repeats      = 9
	repeatsAsked = 5
	// spares is how often in all a device may fail to answer while a pair that it
	// let in is proven: small devices stall, and a connection lost is not a no.
	spares = 2
	// breath is how long it is left alone then.
	breath = time.Second
)

// confirm decides whether p, which was let in once, really opens the service:
// the same user with a random password must be refused, the pair be let in
// again each time, a stranger never, and a password one character off be
// refused too, as far as the purse allows for. Whatever else happens, nothing
// was found.
func (c *check) confirm(ctx context.Context, p Pair, as Outcome, proof string) {
	c.say("%v was accepted", p)
	if proof != "" {
		c.say("proof: %s", proof)
	}
	if !c.refuses(ctx, p, rand.Text()[:10], "a random password") {
		return
	}
	c.say("negative control: the same user with a random password was refused")
	near, known := false, slices.Contains(c.env.Ledger.Hits(c.s.Realm), p.N)
	times := repeats
	if c.s.Stranger != nil {
		times = repeatsAsked
	}
	for n := range times {
		if c.s.Stranger != nil {
			if o := c.s.Stranger(ctx); o != Refused && ctx.Err() == nil {
				c.decoy("between logins it showed a stranger what it had refused: its answers say nothing")
				return
			}
		}
		o, _ := c.login(ctx, p.User, p.password)
		for o != as && o.unanswered() && c.spare(ctx) {
			o, _ = c.login(ctx, p.User, p.password)
		}
		if o != as {
			if ctx.Err() != nil {
				c.r.Shaky, c.r.Stopped = true, "time was up before the pair was proven"
				return
			}
			if o == Dropped || o == Unclear {
				c.end(o) // neither a yes nor a no
				return
			}
			c.decoy("it let %v in, and not when it came again (%d): its answers say nothing", p, n+1)
			return
		}
		// A pair that another service of these accounts has proven already had this
		// control there, and the last try in the purse is not ours to take.
		if n == 1 && !known && p.password != "" && c.env.Ledger.Left(c.s.Realm, c.s.Key, p.User) > 1 {
			if !c.refuses(ctx, p, offByOne(p.password), "a password one character off") {
				return
			}
			near = true
		}
	}
	if near {
		c.say("negative control: the same user with a password one character off was refused")
	}
	c.say("it was let in %d times in all", times+1)
	c.env.Ledger.Proven(c.s.Realm, c.s.Key, p.User, p.N)
	c.r.Hit, c.r.Forced = &p, as == Forced
}

// refuses makes one negative control with p's user.
func (c *check) refuses(ctx context.Context, p Pair, password, what string) bool {
	if ok, why := c.env.Ledger.Spend(c.s.Realm, c.s.Key, p.User); !ok {
		c.r.Stopped = "the second negative control could not be made: " + why
		return false
	}
	o, _ := c.login(ctx, p.User, password)
	for (o == Dropped || o == Unclear) && c.spare(ctx) {
		if ok, _ := c.env.Ledger.Spend(c.s.Realm, c.s.Key, p.User); !ok {
			break
		}
		o, _ = c.login(ctx, p.User, password)
	}
	switch o {
	case Refused:
		return true
	case Accepted, Hollow, Forced:
		c.env.Ledger.Refund(c.s.Realm, c.s.Key, p.User)
		c.decoy("user %q was let in with %s too: it does not check passwords", p.User, what)
	default:
		c.end(o)
		c.r.Stopped = "a negative control was not answered: " + c.r.Stopped
	}
	return false
}

// unanswered reports whether the service may merely have stalled: it said
// neither no nor that somebody is locked, and showed no proof either.
func (o Outcome) unanswered() bool { return o == Dropped || o == Unclear || o == Hollow }

// spare leaves the device alone for a moment and reports whether it may be
// asked again; it may only so often while one pair is proven.
func (c *check) spare(ctx context.Context) bool {
	if c.spared == spares {
		return false
	}
	c.spared++
	t := time.NewTimer(breath)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// offByOne returns s with its first character changed: some devices cut long
// passwords off and some ignore case, but none ignores the first character.
func offByOne(s string) string {
	b := []byte(s)
	if b[0] == '7' {
		b[0] = 'k'
	} else {
		b[0] = '7'
	}
	return string(b)
}
