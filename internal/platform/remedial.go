package platform

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// Status of a task.
const (
	remedialOpen     = "open"
	remedialDone     = "done"
	remedialAccepted = "accepted"
)

// syncRemedials makes a device's tasks those of its assessment: what failed is
// a task, what was measured to be better is done, what failed again is open
// again. What a person said of a task stays: a risk that was taken stays taken.
func (t *turn) syncRemedials(scope audit.Scope, a api.Assessment) error {
	wanted := map[ringwall.RemedialID]api.Remedial{}
	for _, r := range remedials(a) {
		wanted[r.ID] = r
	}
	had := map[ringwall.RemedialID]bool{}
	for p := (sqlstore.Paging{}); ; {
		page, err := t.tx.Remedials(scope, sqlstore.RemedialFilter{Device: a.Device}, p)
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			had[r.ID] = true
			w, failed := wanted[r.ID]
			switch {
			case failed && r.Status == remedialDone:
				r.Status, r.Opened, r.Updated = remedialOpen, t.at, t.at
				fallthrough
			case failed:
				r.Title, r.Remedy, r.Effort, r.Party, r.Do, r.Target = w.Title, w.Remedy, w.Effort, w.Party, w.Do, w.Target
			case r.Status == remedialDone || !settledWell(a, r.Indicator):
				continue // what is unknown now was not measured to be better
			default:
				r.Status, r.Updated = remedialDone, t.at
			}
			if err := t.tx.PutRemedial(scope, r); err != nil {
				return err
			}
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	for id, r := range wanted {
		if had[id] {
			continue
		}
		r.Status, r.Opened = remedialOpen, t.at
		if err := t.tx.PutRemedial(scope, r); err != nil {
			return err
		}
	}
	return nil
}

// settledWell reports whether an indicator was answered well.
func settledWell(a api.Assessment, indicator string) bool {
	for _, f := range a.Findings {
		if f.Indicator == indicator {
			return f.Outcome == ringwall.Pass || f.Outcome == ringwall.NotApplicable
		}
	}
	return false
}

// remedials returns the tasks that an assessment comes to.
func remedials(a api.Assessment) (out []api.Remedial) {
	rubric := assess.Default()
	for _, f := range a.Findings {
		in, ok := rubric.Indicator(f.Indicator)
		if !ok || f.Outcome != ringwall.Fail && f.Outcome != ringwall.Partial {
			continue
		}
		out = append(out, api.Remedial{
			ID: ringwall.RemedialID(ringwall.DeriveID(ringwall.PrefixRemedial, string(a.Device), f.Indicator)), Device: a.Device, Indicator: f.Indicator,
			Party: ringwall.PartOwner, Title: f.Title, Remedy: in.Remedy, Effort: in.Effort,
		})
	}
	return out
}
