package platform

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// Why a device is to be assessed again, as Device.DueReason names it.
const (
	dueInterval    = "interval"    // its class asks for it from time to time
	dueCertificate = "certificate" // its certificate is about to expire
	dueFirmware    = "firmware"    // another one than was examined
	dueExploited   = "exploited"   // what it has is now known to be exploited
	dueOpened      = "opened"      // it opened a port
	dueIncident    = "incident"    // it took part in an attack
	dueGate        = "gate"        // the gate asks for a grade that it has not
)

const (
	// dueRound is how often what is due is looked for, and dueAtOnce how much of
	// it one round begins: the rest is due in the next.
	dueRound  = time.Minute
	dueAtOnce = 20
	// dueRetry is how long after an assessment that could not be begun it is
	// tried again.
	dueRetry = 6 * time.Hour
	// afterIncident leaves those who deal with an incident the time to do so: what
	// is measured in the middle of it would be out of date at its end.
	afterIncident = 10 * time.Minute
	// certificateNear is how long before its end a certificate is looked at again.
	certificateNear = 30 * 24 * time.Hour
)

// next returns when an assessed device is due again, and why.
func (e evidence) next(res assess.Result, ended time.Time) (at time.Time, why string) {
	at, why = assess.NextDue(ended, assess.Supervise(res)), dueInterval
	for _, f := range e.findings {
		end, err := time.Parse(time.RFC3339, f.Facts["notAfter"])
		if err != nil {
			continue
		}
		// What has been looked at so near its end is looked at again when it is over.
		near := end.Add(-certificateNear)
		if near.Before(ended) {
			near = end
		}
		if near.After(ended) && near.Before(at) {
			at, why = near, dueCertificate
		}
	}
	return at, why
}

// due has a device assessed again at a time, unless it is due before that.
func due(d *api.Device, at time.Time, why string) {
	if d.Due.IsZero() || at.Before(d.Due) {
		d.Due, d.DueReason = at, why
	}
}

// assessDue begins the assessments of an organisation that are due. One that
// cannot begin is tried again later, and said to be so in the log.
func (p *Platform) assessDue(ctx context.Context, kept *keptScopes, org ringwall.OrgID) error {
	if p.assessor == nil {
		return nil // whoever assesses from elsewhere sees on the console what is due
	}
	scope, err := kept.get(ctx, audit.SysPresence, audit.SystemPresence, org)
	if err != nil {
		return err
	}
	var ids []ringwall.DeviceID
	if err := p.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		ids, err = tx.DueDevices(scope, p.core.now(), dueAtOnce)
		return err
	}); err != nil {
		return err
	}
	for _, id := range ids {
		run, err := p.auditor.Authorise(ctx, audit.System(audit.SysAssess, org), audit.AssessRun, audit.Target{Kind: "device", ID: string(id), Org: org})
		if err != nil {
			return err
		}
		if _, err = p.service.assess(ctx, run, id); err == nil {
			continue
		}
		if ctx.Err() != nil {
			return nil
		}
		p.core.log.Warn("an assessment that is due could not begin", "device", id, "cause", err)
		if err := p.core.turn(ctx, org, func(t *turn) error {
			own, err := t.projector()
			if err != nil {
				return err
			}
			_, err = t.tx.UpdateDevice(own, id, func(d *api.Device) error { d.Due = t.at.Add(dueRetry); return nil })
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// gateAsks has a device of ours assessed at once where a gate asks for a grade
// and it has none.
func (t *turn) gateAsks(scope audit.Scope, d api.Device) error {
	if !d.Enrolled || d.Grade != ringwall.Ungraded || !d.Due.IsZero() {
		return nil
	}
	set, err := t.assessSettings(scope)
	if err != nil {
		return err
	}
	if g := gateOf(set, d); g.Worst == ringwall.Ungraded || g.Ungraded {
		return nil
	}
	_, err = t.tx.UpdateDevice(scope, d.ID, func(d *api.Device) error { due(d, t.at, dueGate); return nil })
	return err
}

// gateOf is the gate that counts for a device: its own, or else the
// organisation's.
func gateOf(set api.AssessSettings, d api.Device) api.Gate {
	if d.Gate != nil {
		return *d.Gate
	}
	return set.Gate
}
