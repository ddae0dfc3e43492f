package trust

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// settle returns the debts after this evaluation: faults that stand make or
// renew one, the others are served, step up and, at T4, are paid.
func settle(prev State, caps []capped, in Inputs, now time.Time, cfg Config) []Debt {
	served := min(now.Sub(prev.At), cfg.maxGap())
	if prev.At.IsZero() || served < 0 {
		served = 0
	}
	var debts []Debt
	for _, c := range caps {
		i := slices.IndexFunc(prev.Debts, func(d Debt) bool { return d.Input == c.input })
		var d Debt
		switch {
		case i >= 0:
			d = prev.Debts[i]
		case c.fault:
			d = Debt{Input: c.input, Cap: ringwall.T4}
		default:
			continue
		}
		if c.fault {
			d = d.renew(c, now)
		} else {
			if c.input == InputBehaviour && in.Absolved.After(d.Fault) {
				continue
			}
			d = d.serve(served, in, cfg)
		}
		// A debt at T4 holds nothing down. A renewed one always stands: a fault
		// never allows T4.
		if d.Cap < ringwall.T4 {
			debts = append(debts, d)
		}
	}
	return debts
}

// renew starts the clean period again. A lesser fault than the one being
// recovered from does not raise the cap.
func (d Debt) renew(c capped, now time.Time) Debt {
	if c.cap <= d.Cap {
		d.Key = c.key
	}
	d.Cap = min(d.Cap, c.cap)
	d.Fault, d.Served, d.Assessed = now, 0, 0
	return d
}

// serve counts clean time and clean assessments and takes a step when both
// suffice: one step a call, whatever the clock says.
func (d Debt) serve(served time.Duration, in Inputs, cfg Config) Debt {
	d.Served += served
	if in.Assessed.After(d.Fault) && in.Assessed.After(d.Last) {
		d.Last = in.Assessed
		if in.Clean {
			d.Assessed++
		} else {
			d.Assessed = 0
		}
	}
	if d.Served >= cfg.coolDown() && d.Assessed >= cfg.CleanAssessments {
		d.Cap++
		d.Served, d.Assessed = 0, 0
	}
	return d
}

// recovery explains the debt that holds the level down and when its next step
// is due. Of several at the same level the one that takes longest is named.
func recovery(debts []Debt, level ringwall.Trust, now time.Time, cfg Config) (api.TrustReason, time.Time) {
	var worst Debt
	var due time.Time
	for _, d := range debts {
		at := now.Add(max(0, cfg.coolDown()-d.Served))
		if d.Cap == level && (due.IsZero() || at.After(due)) {
			worst, due = d, at
		}
	}
	key := "trust.recovery.time"
	if worst.Assessed < cfg.CleanAssessments {
		key = "trust.recovery.assessment"
	}
	if worst.Served >= cfg.coolDown() {
		due = time.Time{}
	}
	return api.TrustReason{Input: InputRecovery, Cap: level, Key: key, Reason: messages[key], Evidence: worst.Key, Due: due}, due
}
