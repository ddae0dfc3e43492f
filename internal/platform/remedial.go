package platform

import (
	"reflect"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

const remedialDone = "done"

// syncRemedials makes a device's tasks those of its assessment: what failed is
// a task, what was measured to be better is done, what failed again is open
// again. What a person said of a task stays: a risk that was taken stays taken.
func (t *turn) syncRemedials(scope audit.Scope, a api.Assessment, e evidence, res assess.Result) error {
	before := map[ringwall.RemedialID]api.Remedial{}
	var all []api.Remedial
	for p := (sqlstore.Paging{}); ; {
		page, err := t.tx.Remedials(scope, sqlstore.RemedialFilter{Device: a.Device}, p)
		if err != nil {
			return err
		}
		for _, r := range page.Items {
			before[r.ID] = r
		}
		all = append(all, page.Items...)
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	for _, r := range assess.Settle(e.rubric, all, res, a.Device, a.Services, t.at) {
		if old, had := before[r.ID]; had && reflect.DeepEqual(old, r) {
			continue
		}
		if err := t.tx.PutRemedial(scope, r); err != nil {
			return err
		}
	}
	return nil
}
