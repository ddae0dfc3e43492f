package agent

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/policy"
)

// control decides which document is in force, and as what: it knows what time
// it is, for how long the platform was not heard, and whether the newest
// document was confirmed.
//
// What confirms a document is an answer of the platform, over the spine's mutual
// TLS, to something that the gateway said after the document was in force and
// that tells so: the acknowledgement of the batch that holds the Ack record, or
// the answer to a DesiredRequest that names the generation. Where the document
// brings another resolver, that must answer, too, unless the one before does not
// either.
type control struct {
	agent *Agent

	mu      sync.Mutex
	piece   enforce.Timepiece
	contact *enforce.Contact
	skew    time.Duration // of the gateway's clock, ahead of the platform's
	old     enforce.Old   // to whom the end of MaxAge has come
	until   time.Time     // when the plan is to be compiled anew; zero = not for its own sake
	aging   bool          // MaxAge counted when the plan was compiled
	told    bool          // it was reported that the document is too old
	leapt   bool          // the clock has leapt since the plan was compiled

	// Of the document that is on trial:
	trial     uint64        // its generation; 0 = none
	since     time.Time     // when it came into force
	epoch     uint64        // of the record that acknowledges it
	seq       uint64        // 0 = it is not in the log
	heard     bool          // it was answered
	asking    bool          // the resolver is being asked
	why       string        // why being heard is not enough
	retry     time.Time     // not before, after a rollback
	pause     time.Duration // before the next try
	listening bool          // the platform was heard since the rollback
}

func newControl(a *Agent) *control {
	c := &control{agent: a}
	c.piece.Raise(a.keeper.Floor())
	clock := a.keeper.Clock()
	now, sure, _ := c.piece.Now(clock)
	c.contact = enforce.OpenContact(a.cfg.path(enforceDir), a.keeper.View().Issued, now, sure, clock.Mono)
	return c
}

// read returns the time and whether it is sure. The caller holds mu.
func (c *control) read(clock enforce.Clock) (now time.Time, sure bool) {
	now, sure, leapt := c.piece.Now(clock)
	c.leapt = c.leapt || leapt
	return now, sure
}

// effective returns the document that v puts in force, as it is at this moment,
// and the time to compile it at.
func (c *control) effective(v enforce.View) (d api.Desired, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clock := c.agent.keeper.Clock()
	now, sure := c.read(clock)
	d = c.agent.sims.overlay(v.Desired)
	d, c.old = enforce.Aged(d, c.contact.Age(clock.Mono))
	c.aging = c.old.Any()
	if !sure {
		d = enforce.Untimed(d)
	}
	// Holds are measured in time served, which no clock can jump over: here all that
	// are given are in force.
	d.Holds, d.Releases = nil, nil
	return d, now
}

// compile makes the plan of what v puts in force, and returns the document as it
// is at this moment.
func (c *control) compile(v enforce.View) (policy.Plan, api.Desired, error) {
	d, now := c.effective(v)
	holds := make([]api.Hold, len(v.Holds))
	for i, h := range v.Holds {
		h.Expires = time.Time{}
		holds[i] = h
	}
	plan, err := policy.Options{Host: c.agent.cfg.Host}.Compile(d, holds, now)
	return plan, d, err
}

// now returns the time by which windows are judged; the zero time when it is not
// sure, by which what windows allow is closed.
func (c *control) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, sure := c.read(c.agent.keeper.Clock())
	if !sure {
		return time.Time{}
	}
	return now
}

// inForce notes that a plan is in force, and begins the trial of a document that
// is on trial.
func (c *control) inForce(plan policy.Plan, v enforce.View) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = plan.Until
	switch {
	case v.Phase != enforce.Trial:
		c.trial = 0
	case c.trial != v.Newest:
		c.trial, c.since, c.epoch, c.seq, c.heard, c.why = v.Newest, time.Now(), 0, 0, false, ""
	}
}

// logged notes which record acknowledges the document on trial.
func (c *control) logged(generation, epoch, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trial == generation && c.seq == 0 {
		c.epoch, c.seq = epoch, seq
	}
}

// onTrial returns the generation on trial, for a question that will tell of it.
func (c *control) onTrial() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.trial
}

// leap is how far the platform's time may be from what was thought it is.
const leap = 2 * time.Second

// answered takes an answer of the platform: when it came, what clock it bears,
// and what it confirms, a generation or the records of an epoch up to a seq.
func (c *control) answered(sent time.Time, platform time.Time, generation, epoch, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	clock := c.agent.keeper.Clock()
	if !platform.IsZero() {
		now := platform.Add(time.Since(sent) / 2)
		if before, sure := c.read(clock); !sure || before.Sub(now).Abs() > leap {
			c.leapt = true
		}
		c.skew = clock.Wall.Sub(now)
		c.piece.Vouch(now, clock)
	}
	now, _ := c.read(clock)
	if err := c.contact.Heard(now, clock.Mono); err != nil {
		c.agent.log.Warn("when the platform was heard is not on disk", "err", err)
	}
	c.listening = true
	if c.trial != 0 && (generation == c.trial || c.seq != 0 && epoch == c.epoch && seq >= c.seq) {
		c.heard = true
	}
	poke(c.agent.turn)
}

// clockSkew returns by how much this machine's clock is ahead of the platform's.
func (c *control) clockSkew() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew
}

// aged returns to whom the end of MaxAge has come.
func (c *control) aged() enforce.Old {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.old
}

// toldAge returns the same, and whether it has to be reported, which it notes.
func (c *control) toldAge() (old enforce.Old, changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changed = c.old.Any() != c.told
	c.told = c.old.Any()
	return c.old, changed
}

// timely reports whether the plan is to be compiled anew for the time's sake: a
// window opens or closes, the clock has leapt, the document has become too old or
// is no longer.
func (c *control) timely() (why string) {
	v := c.agent.keeper.View()
	c.mu.Lock()
	defer c.mu.Unlock()
	clock := c.agent.keeper.Clock()
	now, _ := c.read(clock)
	leapt := c.leapt
	c.leapt = false
	if err := c.contact.Keep(now, clock.Mono); err != nil {
		c.agent.log.Warn("when the platform was heard is not on disk", "err", err)
	}
	_, old := enforce.Aged(v.Desired, c.contact.Age(clock.Mono))
	switch {
	case leapt:
		return "the clock has leapt"
	case !c.until.IsZero() && !now.Before(c.until):
		return "a window opens or closes"
	case old.Any() != c.aging:
		return "the age of the document"
	}
	return ""
}

// next returns how long until something is due, second at most: whether the
// clock has leapt is looked at each second.
func (c *control) next() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	wait := time.Second
	if !c.until.IsZero() {
		now, _ := c.read(c.agent.keeper.Clock())
		wait = min(wait, c.until.Sub(now))
	}
	return max(wait, time.Millisecond)
}

// verdict says what is to be done about the newest document.
type verdict int

const (
	wait verdict = iota
	confirm
	rollBack
	tryAgain
	askResolver
)

// decide says what is to be done about the newest document now, and why it is to
// be rolled back.
func (c *control) decide(v enforce.View) (verdict, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case v.Phase == enforce.RolledBack:
		if c.listening && !time.Now().Before(c.retry) {
			return tryAgain, ""
		}
		return wait, ""
	case v.Phase != enforce.Trial || c.trial != v.Newest:
		return wait, ""
	case c.heard && !c.asksResolver(v):
		return confirm, ""
	case time.Since(c.since) >= v.Within:
		if c.heard {
			return rollBack, c.why
		}
		return rollBack, "the platform was not heard within " + v.Within.String()
	case c.heard && !c.asking:
		c.asking = true
		return askResolver, ""
	}
	return wait, ""
}

// asksResolver reports whether the document's resolver has still to answer.
func (c *control) asksResolver(v enforce.View) bool {
	return len(c.agent.cfg.DNS) > 0 && v.Before.IsValid() && v.Resolver != v.Before && c.why != resolverAnswered
}

const resolverAnswered = "the resolver answers"

// resolved takes what came of asking the resolvers.
func (c *control) resolved(ok bool, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking = false
	if c.why = text; ok {
		c.why = resolverAnswered
	}
	poke(c.agent.turn)
}

// rolledBack notes that the newest document was rolled back, and when it may be
// tried again: later each time.
func (c *control) rolledBack(within time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause = min(max(2*c.pause, within), maxPause)
	c.retry, c.listening, c.trial = time.Now().Add(c.pause), false, 0
}

// maxPause is the longest that a gateway waits before it tries a document again
// that was rolled back.
const maxPause = time.Hour

// settled notes that a document was confirmed.
func (c *control) settled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pause, c.trial = 0, 0
}

// turnTo does what decide says.
func (a *Agent) turnTo(ctx context.Context) {
	v := a.keeper.View()
	what, why := a.control.decide(v)
	switch what {
	case confirm:
		a.kernel.Lock()
		changed, err := a.keeper.Confirm(v.Newest)
		a.kernel.Unlock()
		if err != nil {
			a.log.Error("confirmation is not on disk; the document will be tried anew after a restart", "err", err)
		}
		if changed {
			a.control.settled()
			a.log.Info("desired state is confirmed", "generation", v.Newest)
		}
	case rollBack:
		a.rollBack(ctx, v, why)
	case tryAgain:
		if _, err := a.keeper.Retry(); err != nil {
			a.log.Error("document is not tried again", "err", err)
			return
		}
		a.log.Info("the platform is heard; trying the document again", "generation", v.Newest)
		if err := a.apply(ctx); err != nil {
			a.log.Error("document is not in force", "generation", v.Newest, "err", err)
			return
		}
		a.noteView()
		a.acknowledge("")
	case askResolver:
		go func() { // ends with its timeouts, or ctx
			ok := a.cfg.asksNames(ctx, v.Resolver) || !a.cfg.asksNames(ctx, v.Before)
			a.control.resolved(ok, "the resolver "+v.Resolver.String()+" does not answer, and the one before does")
		}()
	}
}

// rollBack puts in force what the newest document and the one before both
// allow.
func (a *Agent) rollBack(ctx context.Context, was enforce.View, why string) {
	for {
		v, ok := a.keeper.Fallback()
		if !ok {
			return
		}
		plan, d, err := a.control.compile(v)
		if err != nil {
			// Closed is within both.
			a.log.Error("what both documents allow cannot be compiled; closing", "err", err)
			plan, d = policy.Plan{Arrival: policy.StateEnforce}, api.Desired{}
		}
		a.kernel.Lock()
		if a.keeper.View().Version != v.Version {
			a.kernel.Unlock()
			continue
		}
		if what, _ := a.control.decide(a.keeper.View()); what != rollBack {
			a.kernel.Unlock()
			return // it was confirmed meanwhile
		}
		err = a.put(ctx, plan, d)
		if err == nil {
			_, err = a.keeper.Rollback()
			a.control.inForce(plan, a.keeper.View())
		}
		a.kernel.Unlock()
		a.control.rolledBack(was.Within)
		if err != nil {
			a.log.Error("document is not wholly rolled back; trying again", "err", err)
			poke(a.again)
		}
		break
	}
	now := a.keeper.View()
	a.log.Error("desired state is rolled back", "generation", was.Newest, "to", now.Desired.Generation, "why", why)
	a.noteView()
	a.acknowledge("generation " + decimal(was.Newest) + " was rolled back: " + why)
	a.notice(api.Notice{Kind: api.NoticeRolledBack, Text: why, Detail: map[string]string{
		"generation": decimal(was.Newest), "to": decimal(now.Desired.Generation),
	}})
}

// asksNames reports whether a resolver answers, whatever it answers.
func (c Config) asksNames(ctx context.Context, resolver netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*resolverWait)
	defer cancel()
	for range 3 {
		if c.askNames(ctx, resolver) == nil {
			return true
		}
	}
	return false
}
