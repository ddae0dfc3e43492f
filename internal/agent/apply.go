package agent

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/inspector"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// apply puts what is in force into the policies of the guards and the kernel.
func (a *Agent) apply(ctx context.Context) error {
	for {
		v := a.keeper.View()
		if v.Newest == 0 {
			return nil // closed
		}
		plan, d, err := a.control.compile(v)
		if err != nil {
			return fmt.Errorf("compiling generation %d: %w", v.Desired.Generation, err)
		}
		a.kernel.Lock()
		if a.keeper.View().Version != v.Version {
			a.kernel.Unlock()
			continue // a hold came or went while the plan was compiled
		}
		if err = a.put(ctx, plan, d); err == nil {
			a.control.inForce(plan, v)
		}
		a.kernel.Unlock()
		return err
	}
}

// put puts a plan in force, in one step with the policies of the DNS guard and the
// inspector. The caller holds kernel, and the holds that the plan was compiled
// from, with d, are still those in force.
func (a *Agent) put(ctx context.Context, plan policy.Plan, d api.Desired) error {
	names, err := rulefile.JSON(a.cfg.path(dnsPolicy), dnsguard.PolicyFor(d, plan))
	if err != nil {
		return err
	}
	files := []rulefile.File{names}
	if a.inspector != nil {
		inside, err := rulefile.JSON(a.cfg.path(inspectPolicy), inspector.PolicyOf(d, plan))
		if err != nil {
			return err
		}
		files = append(files, inside)
	}
	a.openIPv6(ctx, plan)
	var hash string
	err = rulefile.Replace(rulefile.LockOf(a.cfg.path(dnsPolicy)), func() (err error) {
		hash, err = a.fence.Apply(ctx, plan)
		return err
	}, files...)
	if err != nil {
		return fmt.Errorf("putting generation %d in force: %w", plan.Generation, err)
	}
	a.hash, a.applied = hash, plan.Generation
	return nil
}

// accept takes a signed desired state: into the kernel, then onto the disk,
// then it is acknowledged. One that is refused changes nothing; why is logged
// and reported.
func (a *Agent) accept(ctx context.Context, signed api.Signed) error {
	v, err := a.keeper.Verify(signed)
	if err == nil && v.Known() && a.holds() {
		a.reported = ""
		a.acknowledge("") // somebody has not heard it
		return nil
	}
	d := v.Desired()
	var lifted []enforce.Lifted
	if err == nil {
		lifted, err = a.take(ctx, v)
	}
	if err != nil {
		a.log.Error("desired state is refused", "err", err)
		if text := err.Error(); text != a.reported {
			a.reported = text
			a.acknowledge(text)
		}
		return err
	}
	a.reported = ""
	a.log.Info("desired state is in force", "phase", a.keeper.View().Phase, "generation", d.Generation, "devices", len(d.Devices), "ahead", a.keeper.Ahead())
	a.noteCleared(lifted)
	a.noteView()
	a.reportLifted(lifted)
	a.acknowledge("")
	return nil
}

// acknowledge reports what is in force, and why a document was refused.
func (a *Agent) acknowledge(refusal string) {
	a.kernel.Lock()
	ack := api.Ack{Generation: a.applied, Hash: a.hash, At: a.cfg.Now(), Error: refusal}
	a.kernel.Unlock()
	epoch, seq := a.books.write(api.RecordAck, ack)
	if refusal == "" {
		a.control.logged(ack.Generation, epoch, seq)
	}
}

// holds reports whether the kernel holds what is in force, as far as we know.
func (a *Agent) holds() bool {
	a.kernel.Lock()
	defer a.kernel.Unlock()
	return a.hash != "" && a.keeper.View().Phase != enforce.RolledBack
}

func (a *Agent) take(ctx context.Context, verified enforce.Verified) (lifted []enforce.Lifted, err error) {
	d := verified.Desired()
	for {
		then := a.keeper.After(verified)
		plan, now, err := a.control.compile(then)
		if err != nil {
			return nil, fmt.Errorf("compiling generation %d: %w", d.Generation, err)
		}
		a.kernel.Lock()
		if a.keeper.View().Version != then.Version {
			a.kernel.Unlock()
			continue
		}
		a.hasten(ctx, d, then)
		// The kernel first: what it refuses must not be what the next start finds
		// on the disk.
		if err = a.put(ctx, plan, now); err == nil {
			if lifted, err = a.keeper.Take(verified); err == nil {
				a.control.inForce(plan, then)
			}
		}
		a.kernel.Unlock()
		return lifted, err
	}
}

// hasten restricts at once whom a verified document restricts anew: one element
// of the kernel each, while the whole plan takes its time. The caller holds kernel.
func (a *Agent) hasten(ctx context.Context, d api.Desired, then enforce.View) {
	want := map[ringwall.DeviceID]ringwall.Restriction{}
	for _, h := range then.Holds {
		want[h.Device] = max(want[h.Device], h.Do)
	}
	if len(want) == 0 {
		return
	}
	have := a.keeper.InForce()
	for i := range d.Devices {
		p := &d.Devices[i]
		if want[p.Device] <= have[p.Device] {
			continue
		}
		// One that is not in the kernel yet comes with the plan.
		if err := a.fence.Restrict(ctx, p.Mark, want[p.Device]); err != nil && ringwall.CodeOf(err) != ringwall.NotFound {
			a.log.Warn("device is restricted with the whole plan only", "device", p.Device, "err", err)
		}
	}
}

func (a *Agent) reportLifted(lifted []enforce.Lifted) {
	for _, l := range lifted {
		a.log.Info("hold is lifted", "hold", l.Hold.ID, "device", l.Hold.Device, "why", l.Why)
		a.books.write(api.RecordHold, api.HoldReport{Hold: l.Hold, Lifted: true, Why: l.Why, InForce: a.cfg.Now()})
	}
}

// settle is how soon after a reflex the whole plan follows.
const settle = 50 * time.Millisecond

// keepApplied applies the plan after reflexes and whenever time asks for it,
// lifts holds that were served, sees to it that the newest document is confirmed
// or rolled back, and compares the kernel with what should be in it.
func (a *Agent) keepApplied(ctx context.Context, ready func()) error {
	ready()
	drift := time.NewTicker(a.cfg.Drift)
	defer drift.Stop()
	for {
		wait := a.control.next()
		if left, ok := a.keeper.NextExpiry(); ok {
			wait = min(wait, left+time.Millisecond)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-a.turn:
		case <-a.again:
			select {
			case <-ctx.Done():
			case <-time.After(settle):
			}
			a.reapply(ctx)
			a.noteView()
		case <-drift.C:
			a.checkDrift(ctx)
		}
		timer.Stop()
		// Whatever has woken us, what is due is done: others may wake us more often
		// than the timer ever ends.
		a.expire(ctx)
		a.inTime(ctx)
		a.tellAge()
		a.turnTo(ctx)
	}
}

// inTime applies the plan anew when the time asks for it.
func (a *Agent) inTime(ctx context.Context) {
	why := a.control.timely()
	if a.sims.moved() {
		why = "the modem has another address"
	}
	if why == "" {
		return
	}
	a.reapply(ctx)
	a.noteView()
	a.log.Info("policy is looked at again", "why", why)
}

// tellAge reports, once, that the document has become too old, and that it is no
// longer.
func (a *Agent) tellAge() {
	old, changed := a.control.toldAge()
	if !changed {
		return
	}
	n := api.Notice{Kind: api.NoticeExpired, Text: "the platform is heard again", Detail: map[string]string{
		"generation": decimal(a.keeper.View().Desired.Generation), "open": strconv.Itoa(len(old.Open)), "closed": strconv.Itoa(len(old.Closed)),
	}}
	if old.Any() {
		n.Text = "the document is older than it may be without word from the platform"
	}
	a.log.Warn(n.Text, "open", len(old.Open), "closed", len(old.Closed))
	a.notice(n)
	a.health()
}

func (a *Agent) reapply(ctx context.Context) {
	if err := a.apply(ctx); err != nil && ctx.Err() == nil {
		a.log.Error("policy is not wholly in force; trying again", "err", err)
	}
}

func (a *Agent) expire(ctx context.Context) {
	a.kernel.Lock()
	lifted, err := a.keeper.Expire()
	a.kernel.Unlock()
	if err != nil {
		a.log.Error("expiry of holds is not on disk", "err", err)
	}
	if lifted == nil {
		return
	}
	a.reapply(ctx)
	a.noteCleared(lifted)
	a.noteView()
	a.reportLifted(lifted)
}

// checkDrift puts right what others have changed in the kernel and of the machine,
// and tells.
func (a *Agent) checkDrift(ctx context.Context) {
	astray := a.cfg.astray()
	var errs []error
	if len(astray) > 0 {
		a.log.Error("others have changed how this machine forwards; putting it right", "what", astray)
		errs = append(errs, a.cfg.prepare(ctx))
	}
	if there, err := a.fence.Steered(ctx); err != nil {
		a.log.Warn("it is not known whether packets find the inspector", "err", err)
	} else if !there {
		a.log.Error("others have taken away the way to the inspector; putting it right")
		astray = append(astray, "packets do not find the inspector")
		errs = append(errs, a.fence.Steer(ctx))
	}
	if a.fast != nil {
		for _, name := range a.fast.Astray() {
			astray = append(astray, "the fast path was taken from "+name)
		}
	}
	a.kernel.Lock()
	want, generation := a.hash, a.applied
	a.kernel.Unlock()
	if a.keeper.View().Newest == 0 {
		if err := a.fence.Base(ctx); err != nil {
			a.log.Error("closed base is not in force", "err", err)
		}
		return
	}
	if want == "" {
		a.reapply(ctx) // an earlier apply has failed
		return
	}
	got, err := a.fence.Hash(ctx)
	changed := err != nil || got != want
	if changed {
		a.kernel.Lock()
		changed = a.hash == want // nothing of ours came in between
		a.kernel.Unlock()
	}
	if !changed && len(astray) == 0 || ctx.Err() != nil {
		return
	}
	if changed {
		a.log.Error("the kernel's rules were changed by others; putting them right", "want", want, "got", got, "err", err)
		errs = append(errs, a.apply(ctx))
	}
	ack := api.Ack{Generation: generation, At: a.cfg.Now(), Drift: true}
	if err := errors.Join(errs...); err != nil {
		a.log.Error("drift is not repaired", "err", err)
		ack.Error = err.Error()
	}
	a.kernel.Lock()
	ack.Hash = a.hash
	a.kernel.Unlock()
	a.books.write(api.RecordAck, ack)
}

// restriction returns what is in force for a device now.
func (a *Agent) restriction(dev ringwall.DeviceID) ringwall.Restriction {
	return a.keeper.InForce()[dev]
}
