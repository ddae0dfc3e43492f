package credential

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
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
)

// Login presents one credential once. proof is a line of evidence when the
// outcome is Accepted; it must not hold the password.
type Login func(ctx context.Context, user, password string) (o Outcome, proof string)

// Service is what credentials are tried at.
type Service struct {
	Name  string // for people, such as "RTSP on port 554"
	Key   string // in the ledger, such as assess.ServiceKey("rtsp", 554)
	Realm assess.Realm
}

// Report is what came of Check.
type Report struct {
	Service  Service
	Hit      *Pair
	Tried    int      // known pairs presented and answered
	Earlier  int      // known pairs that it refused earlier in the ledger's window
	Of       int      // known pairs for this kind of account
	Decoy    bool     // lets in what it must not: its answers say nothing
	Locked   bool     // it locked us out or asked us to wait
	Shaky    bool     // it changed its manner, or a proven pair could not be tried again
	Stopped  string   // why no more were tried, "" when the list was finished
	Evidence []string // a line per step that matters
}

// enough is how many refused pairs, the likeliest of their kind, make a pass:
// what the lowest budget leaves after the negative control.
const enough = 3

// Check tries known credentials at one service.
func Check(ctx context.Context, env *assess.Env, s Service, login Login) Report {
	c := check{env: env, s: s, login: login, r: Report{Service: s}}
	pairs := c.order(Known(s.Realm, env.Known.Vendor))
	c.r.Of = len(pairs)
	c.r.Earlier = env.Ledger.RefusedBy(s.Realm, s.Key)
	if !c.control(ctx) {
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
}

// order puts proven pairs first and refused ones last, each in list order.
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
	slices.SortStableFunc(pairs, func(a, b Pair) int { return class(a) - class(b) })
	return pairs
}

func (c *check) say(format string, args ...any) {
	c.r.Evidence = append(c.r.Evidence, fmt.Sprintf(format, args...))
}

// control presents a random credential; true means that it was refused.
func (c *check) control(ctx context.Context) bool {
	user := "rw" + strings.ToLower(rand.Text()[:6])
	if ok, why := c.env.Ledger.Spend(c.s.Realm, c.s.Key, user); !ok {
		c.r.Stopped = why
		// What was proven here before may still open it.
		c.r.Shaky = len(c.env.Ledger.Hits(c.s.Realm)) > 0
		return false
	}
	o, _ := c.login(ctx, user, rand.Text()[:10])
	switch o {
	case Refused:
		c.say("negative control: a random user and password were refused")
		return true
	case Accepted, Hollow:
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
	o, proof := c.login(ctx, p.User, p.password)
	if o == Refused || o == Accepted || o == Hollow {
		c.r.Tried++
	}
	switch o {
	case Refused:
		c.env.Ledger.Refused(c.s.Realm, c.s.Key, p.N)
		return true, ""
	case Accepted:
		c.env.Ledger.Refund(c.s.Realm, c.s.Key, p.User)
		c.confirm(ctx, p, proof)
	case Hollow:
		c.decoy("it said yes to %v, but showed nothing that only a user sees", p)
	default:
		c.end(o)
	}
	return false, ""
}

// confirm asks again with a wrong password for the same user.
func (c *check) confirm(ctx context.Context, p Pair, proof string) {
	c.say("%v was accepted", p)
	if proof != "" {
		c.say("proof: %s", proof)
	}
	if ok, why := c.env.Ledger.Spend(c.s.Realm, c.s.Key, p.User); !ok {
		c.r.Stopped = "the second negative control could not be made: " + why
		return
	}
	o, _ := c.login(ctx, p.User, rand.Text()[:10])
	switch o {
	case Refused:
		c.say("negative control: the same user with a random password was refused")
		c.env.Ledger.Proven(c.s.Realm, c.s.Key, p.User, p.N)
		c.r.Hit = &p
	case Accepted, Hollow:
		c.env.Ledger.Refund(c.s.Realm, c.s.Key, p.User)
		c.decoy("user %q was let in with a random password too: it does not check passwords", p.User)
	default:
		c.end(o)
		c.r.Stopped = "the second negative control was not answered: " + c.r.Stopped
	}
}

func (c *check) decoy(format string, args ...any) {
	c.r.Decoy = true
	c.r.Stopped = fmt.Sprintf(format, args...)
	c.say("%s", c.r.Stopped)
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

// exhausted reports whether no account of the list may be tried any more.
func (c *check) exhausted(pairs []Pair) bool {
	return !slices.ContainsFunc(pairs, func(p Pair) bool { return c.env.Ledger.Left(c.s.Realm, c.s.Key, p.User) > 0 })
}

// Findings turns a report into answers on known credentials (AP-01), on a
// forced change (AP-02) and, when it was seen, on resistance to guessing
// (AP-03).
func (r Report) Findings() []ringwall.Finding {
	out := []ringwall.Finding{r.known()}
	if r.Hit != nil {
		out = append(out, ringwall.Finding{
			Indicator: "AP-02", Outcome: ringwall.Fail, Confidence: ringwall.Observed,
			Title:    r.Service.Name + " works with a default password: nothing forces its change",
			Evidence: []string{r.Hit.String() + " is in use"},
		})
	}
	if r.Locked {
		out = append(out, ringwall.Finding{
			Indicator: "AP-03", Outcome: ringwall.Pass, Confidence: ringwall.Observed,
			Title:    r.Service.Name + " stops guessing",
			Evidence: []string{fmt.Sprintf("it locked or asked to wait after the control and %d known credentials", r.Tried)},
		})
	}
	return out
}

func (r Report) known() ringwall.Finding {
	f := ringwall.Finding{Indicator: "AP-01", Evidence: slices.Clone(r.Evidence), Facts: map[string]string{
		"service": r.Service.Key, "tried": fmt.Sprint(r.Tried), "of": fmt.Sprint(r.Of),
	}}
	switch {
	case r.Hit != nil:
		f.Outcome, f.Confidence = ringwall.Fail, ringwall.Confirmed
		f.Title = fmt.Sprintf("%s lets in %v", r.Service.Name, *r.Hit)
		f.Facts["pair"] = fmt.Sprint(r.Hit.N)
		f.Facts["user"] = r.Hit.User
	case r.Decoy:
		f.Title = r.Service.Name + " lets in what it must not, so its answers on credentials say nothing"
		f.Confidence = ringwall.Observed
	case r.Tried+r.Earlier >= min(enough, r.Of) && !r.Locked && !r.Shaky:
		f.Outcome, f.Confidence = ringwall.Pass, ringwall.Observed
		f.Title = fmt.Sprintf("%s refused the %d likeliest default credentials", r.Service.Name, r.Tried+r.Earlier)
	default:
		f.Title = fmt.Sprintf("%s: too few default credentials could be tried to say", r.Service.Name)
		f.Confidence = ringwall.Observed
	}
	if r.Hit == nil && !r.Decoy {
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d of %d known credentials were tried", r.Tried, r.Of))
		if r.Earlier > 0 {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%d were refused earlier, and are not tried again so soon", r.Earlier))
		}
		if r.Stopped != "" {
			f.Evidence = append(f.Evidence, "no more, because "+r.Stopped)
		}
	}
	return f
}
