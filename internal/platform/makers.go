package platform

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// maxMakers bounds the list, and maxMade the devices of one that are looked at:
// a score does not get better by more.
const (
	maxMakers = 200
	maxMade   = 2000
)

// Makers scores manufacturers by their devices here, the worst first.
func (s *service) Makers(ctx context.Context, a audit.Actor) ([]api.MakerScore, error) {
	type made struct {
		name    string
		devices []assess.DeviceResult
	}
	makers := map[string]*made{}
	err := s.view(ctx, a, audit.DeviceRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		set, err := assessSettings(tx, scope)
		if err != nil {
			return err
		}
		return eachDevice(tx, scope, func(d api.Device) error {
			key := strings.ToLower(strings.TrimSpace(d.Vendor))
			if key == "" {
				return nil
			}
			m := makers[key]
			if m == nil {
				if len(makers) >= maxMakers {
					return nil
				}
				m = &made{name: strings.TrimSpace(d.Vendor)}
				makers[key] = m
			}
			if len(m.devices) >= maxMade {
				return nil
			}
			r := assess.DeviceResult{Device: d.ID, Model: d.Model}
			if d.Assess != "" {
				last, err := tx.Assessment(scope, d.Assess)
				if err != nil {
					return err
				}
				r.Result = again(last, set.Laboratories)
			}
			tasks, err := tx.Remedials(scope, sqlstore.RemedialFilter{Device: d.ID}, sqlstore.Paging{})
			r.Remedials = tasks.Items
			m.devices = append(m.devices, r)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	out := []api.MakerScore{}
	for _, m := range makers {
		out = append(out, assess.Maker(assess.Default(), m.name, m.devices).MakerScore)
	}
	slices.SortFunc(out, func(a, b api.MakerScore) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// again grades the evidence of an assessment as it was graded then.
func again(a api.Assessment, labs []api.Laboratory) assess.Result {
	var seen []ringwall.Finding
	for _, x := range a.Examinations {
		if x.Kind == api.ExamIncident {
			seen = append(seen, x.Findings...)
		}
	}
	return assess.Grade(assess.Default().For(a.Profile), append(assess.Evidence(a.Examinations, labs), seen...), a.Ended)
}

// eachDevice calls f for every device of the organisation, by name.
func eachDevice(tx *sqlstore.Tx, scope audit.Scope, f func(api.Device) error) error {
	for p := (sqlstore.Paging{}); ; {
		page, err := tx.Devices(scope, sqlstore.DeviceFilter{}, p)
		if err != nil {
			return err
		}
		for _, d := range page.Items {
			if err := f(d); err != nil {
				return err
			}
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			return nil
		}
	}
}
