package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/policy"
)

// apply puts what is in force into the DNS guard's policy and the kernel.
func (a *Agent) apply(ctx context.Context) error {
	for {
		v := a.keeper.View()
		if v.Desired.Generation == 0 {
			return nil // closed
		}
		plan, err := policy.Compile(v.Desired, v.Holds, a.cfg.Now())
		if err != nil {
			return fmt.Errorf("compiling generation %d: %w", v.Desired.Generation, err)
		}
		a.kernel.Lock()
		if a.keeper.View().Version != v.Version {
			a.kernel.Unlock()
			continue // a hold came or went while the plan was compiled
		}
		err = a.put(ctx, plan)
		a.kernel.Unlock()
		return err
	}
}

// put puts a plan in force. The caller holds kernel, and the holds that the
// plan was compiled from are still those in force.
func (a *Agent) put(ctx context.Context, plan policy.Plan) error {
	var hash string
	err := dnsguard.WritePolicy(a.cfg.path(dnsPolicy), dnsguard.PolicyOf(plan), func() (err error) {
		hash, err = a.fence.Apply(ctx, plan)
		return err
	})
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
	d, lifted, err := a.take(ctx, signed)
	if err != nil {
		a.log.Error("desired state is refused", "err", err)
		if text := err.Error(); text != a.reported {
			a.reported = text
			a.acknowledge(text)
		}
		return err
	}
	a.reported = ""
	a.log.Info("desired state is in force", "generation", d.Generation, "devices", len(d.Devices), "ahead", a.keeper.Ahead())
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
	a.books.write(api.RecordAck, ack)
}

func (a *Agent) take(ctx context.Context, signed api.Signed) (d api.Desired, lifted []enforce.Lifted, err error) {
	if d, err = a.keeper.Verify(signed); err != nil {
		return d, nil, err
	}
	for {
		holds, version := a.keeper.After(signed, d)
		plan, err := policy.Compile(d, holds, a.cfg.Now())
		if err != nil {
			return d, nil, fmt.Errorf("compiling generation %d: %w", d.Generation, err)
		}
		a.kernel.Lock()
		if a.keeper.View().Version != version {
			a.kernel.Unlock()
			continue
		}
		// The kernel first: what it refuses must not be what the next start finds
		// on the disk.
		if err = a.put(ctx, plan); err == nil {
			lifted, err = a.keeper.Accept(signed)
		}
		a.kernel.Unlock()
		return d, lifted, err
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

// keepApplied applies the plan after reflexes, lifts holds that were served,
// and compares the kernel with what should be in it.
func (a *Agent) keepApplied(ctx context.Context, ready func()) error {
	ready()
	drift := time.NewTicker(a.cfg.Drift)
	defer drift.Stop()
	for {
		wait := time.Minute
		if left, ok := a.keeper.NextExpiry(); ok {
			wait = min(wait, left+time.Millisecond)
		}
		expiry := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			expiry.Stop()
			return nil
		case <-expiry.C:
			a.expire(ctx)
		case <-a.again:
			select {
			case <-ctx.Done():
			case <-time.After(settle):
			}
			a.reapply(ctx)
		case <-drift.C:
			a.checkDrift(ctx)
		}
		expiry.Stop()
	}
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

// checkDrift puts right what others have changed in the kernel, and tells.
func (a *Agent) checkDrift(ctx context.Context) {
	a.kernel.Lock()
	want, generation := a.hash, a.applied
	a.kernel.Unlock()
	if a.keeper.View().Desired.Generation == 0 {
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
	if err == nil && got == want {
		return
	}
	a.kernel.Lock()
	unchanged := a.hash == want // nothing of ours came in between
	a.kernel.Unlock()
	if !unchanged || ctx.Err() != nil {
		return
	}
	a.log.Error("the kernel's rules were changed by others; putting them right", "want", want, "got", got, "err", err)
	ack := api.Ack{Generation: generation, At: a.cfg.Now(), Drift: true}
	if err := a.apply(ctx); err != nil {
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
