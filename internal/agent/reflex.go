package agent

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// reaction is an alert on its way from the detectors.
type reaction struct {
	alert ringwall.Alert
	at    time.Time // when the detector spoke
}

// alerted is called by the detectors, on the goroutine of a tap. It waits when
// many alerts are under way: none is dropped, and the ring holds the packets.
func (a *Agent) alerted(al ringwall.Alert) {
	al.Org, al.Gateway = a.id.Org, a.id.Gateway
	if al.Subject.Kind == ringwall.SubjectDevice && al.Nature == ringwall.NatureAttack {
		a.watch.taint(ringwall.DeviceID(al.Subject.ID), al.Time)
	}
	select {
	case a.reacts <- reaction{al, time.Now()}:
	case <-a.ended: // nobody reacts any more, but it is written down
		a.books.write(api.RecordAlert, al)
	}
}

// react takes alerts one by one: into the log, then the reflex.
func (a *Agent) react(ctx context.Context, ready func()) error {
	defer close(a.ended)
	ready()
	for {
		select {
		case <-ctx.Done():
			// What the detectors have already said is written down.
			for {
				select {
				case r := <-a.reacts:
					a.books.write(api.RecordAlert, r.alert)
				default:
					return nil
				}
			}
		case r := <-a.reacts:
			a.books.write(api.RecordAlert, r.alert)
			a.log.Warn("alert", "rule", r.alert.Rule, "subject", r.alert.Subject.ID, "severity", r.alert.Severity, "alert", r.alert.ID)
			a.reflex(ctx, r)
		}
	}
}

// tellHold reports a hold that this gateway has made. Who is killed before that has
// a successor that does.
func (a *Agent) tellHold(r api.HoldReport) {
	if _, seq := a.books.write(api.RecordHold, r); seq == 0 {
		return // there is no log; the next start tries again
	}
	if err := a.keeper.Told(r.Hold.ID); err != nil {
		a.log.Warn("that a hold was reported is not on disk; it will be reported again", "hold", r.Hold.ID, "err", err)
	}
}

// reflex holds the device if the desired state says so.
func (a *Agent) reflex(ctx context.Context, r reaction) {
	a.kernel.Lock()
	h, ok, why, err := a.keeper.React(r.alert)
	if !ok {
		a.kernel.Unlock()
		if why != "" {
			a.log.Info("reflex does not act", "alert", r.alert.ID, "why", why)
			a.books.note(api.RecordHold, api.HoldReport{
				Hold:     api.Hold{Device: ringwall.DeviceID(r.alert.Subject.ID), By: "reflex:" + r.alert.Rule, Alert: r.alert.ID, Reason: r.alert.Title, Made: a.cfg.Now()},
				Declined: why,
			})
		}
		return
	}
	if err != nil {
		a.log.Error("hold is in force, but not on disk", "hold", h.ID, "err", err)
	}
	report := api.HoldReport{Hold: h}
	dev, _ := a.keeper.Device(h.Device) // React has found it there
	err = a.fence.Restrict(ctx, dev.Mark, a.restriction(h.Device))
	report.InForce, report.Took = a.cfg.Now(), time.Since(r.at)
	a.hash = ""
	a.kernel.Unlock()
	if err != nil {
		// The device is not in the kernel yet, or the rules are damaged: the whole
		// plan, which holds the restriction, puts both right.
		a.log.Error("fast path of the reflex failed; applying the whole plan", "hold", h.ID, "err", err)
		if err = a.apply(ctx); err != nil {
			a.log.Error("HOLD IS NOT IN FORCE", "hold", h.ID, "device", h.Device, "err", err)
			report.Why = "not in force: " + err.Error()
		}
		report.InForce, report.Took = a.cfg.Now(), time.Since(r.at)
	}
	if report.Flushed, err = a.fence.CutFlows(ctx, dev.Mark); err != nil {
		a.log.Warn("established flows were not flushed; they are refused all the same", "device", h.Device, "err", err)
	}
	a.log.Warn("device is held", "device", h.Device, "do", h.Do, "hold", h.ID, "took", report.Took, "flows", report.Flushed)
	a.tellHold(report)
	a.noteView()
	poke(a.again)
}
