package platform

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage/credit"
)

const (
	// fleetSpan is how far back the fleet's alerts are looked at.
	fleetSpan = 30 * 24 * time.Hour
	// silentFor is how long a card that was used must not have been used to be
	// listed as silent. Meters speak daily or weekly.
	silentFor = 7 * 24 * time.Hour
	fleetTop  = 20
	// maxUsageAreas bounds the table of areas: a large country has some 50,000
	// tracking areas.
	maxUsageAreas = 200_000
)

// riskOf is the risk of an area, 0 to 100, of the severity points of its alerts
// and its cards: a critical alert for each hundred cards is a hundred. Few cards
// count as twenty, so that one alert in an empty area is not the worst of all.
func riskOf(points, cards int) int {
	return int(math.Round(min(100, 100*float64(points)/20/(max(20, float64(cards))/100)/5)))
}

// SIMFleet is the fleet of cards at a glance.
func (s *service) SIMFleet(ctx context.Context, a audit.Actor) (out api.SIMFleet, err error) {
	now := s.now().UTC()
	out = api.SIMFleet{From: now.Add(-fleetSpan), To: now, SilentFor: api.Duration(silentFor), Areas: []api.AreaRisk{}, Top: []api.CardRisk{}, Rules: []api.RuleCount{}, Trend: []api.UsageDay{}}
	v := sightOf(a)
	err = s.view(ctx, a, audit.SIMRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if out.ByState, err = tx.SIMStates(scope); err != nil {
			return err
		}
		for _, n := range out.ByState {
			out.Cards += n
		}
		if !v.usage {
			return nil
		}
		for _, c := range []struct {
			n *int
			f sqlstore.SIMFilter
		}{
			{&out.NoDevice, sqlstore.SIMFilter{NoDevice: true}}, {&out.Separated, sqlstore.SIMFilter{Broken: true}},
			{&out.Silent, sqlstore.SIMFilter{Silent: now.Add(-silentFor)}}, {&out.Never, sqlstore.SIMFilter{Never: true}},
		} {
			if *c.n, err = tx.CountSIMsBy(scope, c.f); err != nil {
				return err
			}
		}
		if out.Top, err = tx.TopSIMs(scope, out.From, fleetTop); err != nil {
			return err
		}
		if !v.names {
			for i := range out.Top {
				out.Top[i].Device = ""
			}
		}
		if out.Rules, err = tx.RuleCounts(scope, out.From); err != nil {
			return err
		}
		if out.Trend, err = tx.UsageDays(scope, out.From); err != nil {
			return err
		}
		out.Trend = everyDay(out.Trend, out.From, now)
		return fleetAreas(tx, scope, &out)
	})
	if err != nil {
		return out, err
	}
	return out, optional(s.view(ctx, a, audit.DeviceRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		out.NoCard, err = tx.CountDevicesWithoutSIM(scope)
		return err
	}))
}

// everyDay fills in the days on which nothing was said.
func everyDay(some []api.UsageDay, from, to time.Time) []api.UsageDay {
	byDay := map[int64]api.UsageDay{}
	for _, d := range some {
		byDay[d.Day.Unix()] = d
	}
	all := []api.UsageDay{}
	for day := from.Truncate(24 * time.Hour); !day.After(to); day = day.Add(24 * time.Hour) {
		d, ok := byDay[day.Unix()]
		if !ok {
			d.Day = day
		}
		all = append(all, d)
	}
	return all
}

func fleetAreas(tx *sqlstore.Tx, scope audit.Scope, out *api.SIMFleet) error {
	cards, err := tx.SIMAreas(scope)
	if err != nil {
		return err
	}
	alerts, err := tx.SIMAlertAreas(scope, out.From)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for k := range cards {
		names[k] = true
	}
	for k := range alerts {
		names[k] = true
	}
	all := []api.AreaRisk{}
	for _, k := range slices.Sorted(maps.Keys(names)) {
		all = append(all, api.AreaRisk{Area: k, Cards: cards[k], Alerts: alerts[k].Alerts, Risk: riskOf(alerts[k].Points, cards[k])})
	}
	slices.SortStableFunc(all, func(a, b api.AreaRisk) int {
		return cmp.Or(cmp.Compare(b.Risk, a.Risk), cmp.Compare(b.Alerts, a.Alerts), cmp.Compare(b.Cards, a.Cards))
	})
	out.AreasTotal = len(all)
	out.Areas = all[:min(len(all), api.MaxAreas)]
	for i := range out.Areas {
		at, err := tx.UsageArea(scope, out.Areas[i].Area)
		if isCode(err, ringwall.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		r := &out.Areas[i]
		r.Known, r.Name, r.Lat, r.Lon, r.Given = true, at.Name, at.Lat, at.Lon, at.Risk
	}
	return nil
}

// DevicesWithoutSIM lists the devices that no card is in.
func (s *service) DevicesWithoutSIM(ctx context.Context, a audit.Actor, p httpapi.Paging) (page api.Page[api.Device], err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.DevicesWithoutSIM(scope, paging(p))
		return err
	})
	for i, v := 0, sightOf(a); i < len(page.Items); i++ {
		page.Items[i] = v.device(page.Items[i])
	}
	return page, err
}

// UsageAreas lists where areas are.
func (s *service) UsageAreas(ctx context.Context, a audit.Actor, p httpapi.Paging) (page api.Page[api.UsageArea], err error) {
	err = s.view(ctx, a, audit.SIMRead, on("areas", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.UsageAreas(scope, paging(p))
		return err
	})
	return page, err
}

// PutUsageAreas replaces the table of areas, or adds to it.
func (s *service) PutUsageAreas(ctx context.Context, a audit.Actor, areas []api.UsageArea, add bool) (int, error) {
	if len(areas) > maxUsageAreas {
		return 0, ringwall.Errorf(ringwall.Invalid, "%d areas are more than %d", len(areas), maxUsageAreas)
	}
	seen := map[string]bool{}
	for _, r := range areas {
		switch {
		case r.Area == "" || len(r.Area) > maxName || len(r.Name) > maxName || seen[r.Area]:
			return 0, ringwall.Errorf(ringwall.Invalid, "area %.40q has no name, a long one, or is there twice", r.Area)
		case math.Abs(r.Lat) > 90 || math.Abs(r.Lon) > 180 || math.IsNaN(r.Lat) || math.IsNaN(r.Lon):
			return 0, ringwall.Errorf(ringwall.Invalid, "area %.40q lies nowhere on earth", r.Area)
		case r.Risk < 0 || r.Risk > 100:
			return 0, ringwall.Errorf(ringwall.Invalid, "the risk of area %.40q is %d, want 0 to 100", r.Area, r.Risk)
		}
		seen[r.Area] = true
	}
	err := s.change(ctx, a, audit.SIMWrite, on("areas", ""), func(t *turn, scope audit.Scope) error {
		return t.tx.PutUsageAreas(scope, areas, add, maxUsageAreas)
	})
	if err == nil {
		s.usage.areasChanged(a.Org)
	}
	return len(areas), err
}

// Kinds of those who have a credit.
const (
	creditCustomer = "customer"
	creditSeller   = "seller"
	// maxSaid bounds what a credit is reckoned from: the newest.
	maxCreditSaid = 20_000
	maxCredits    = 200
)

// Credits lists the credit of customers, or of sellers, the least first.
func (s *service) Credits(ctx context.Context, a audit.Actor, kind string) ([]api.Credit, error) {
	if kind != creditCustomer && kind != creditSeller {
		return nil, ringwall.Errorf(ringwall.Invalid, "credit is of a %q or a %q, not of a %.20q", creditCustomer, creditSeller, kind)
	}
	all := []api.Credit{}
	err := s.view(ctx, a, audit.SIMRead, on("credit", kind), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if !sightOf(a).usage {
			return ringwall.Errorf(ringwall.Forbidden, "what cards were used for is not shown to your parts")
		}
		parties, err := tx.SIMParties(scope, kind == creditSeller)
		if err != nil {
			return err
		}
		for n, name := range slices.Sorted(maps.Keys(parties)) {
			if n == maxCredits {
				break
			}
			c, err := s.credit(tx, scope, kind, name)
			if err != nil {
				return err
			}
			all = append(all, c)
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b api.Credit) int {
		if a.Known != b.Known {
			if a.Known {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Value, b.Value)
	})
	return all, err
}

// Credit answers the credit of one customer or seller.
func (s *service) Credit(ctx context.Context, a audit.Actor, kind, name string) (out api.Credit, err error) {
	if kind != creditCustomer && kind != creditSeller {
		return out, ringwall.Errorf(ringwall.Invalid, "credit is of a %q or a %q, not of a %.20q", creditCustomer, creditSeller, kind)
	}
	err = s.view(ctx, a, audit.SIMRead, on("credit", name), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if !sightOf(a).usage {
			return ringwall.Errorf(ringwall.Forbidden, "what cards were used for is not shown to your parts")
		}
		parties, err := tx.SIMParties(scope, kind == creditSeller)
		if err != nil {
			return err
		}
		if parties[name] == 0 {
			return ringwall.Errorf(ringwall.NotFound, "no %s %.60q", kind, name)
		}
		out, err = s.credit(tx, scope, kind, name)
		return err
	})
	return out, err
}

func (s *service) credit(tx *sqlstore.Tx, scope audit.Scope, kind, name string) (api.Credit, error) {
	now := s.now().UTC()
	out := api.Credit{Kind: kind, Name: name, From: now.Add(-credit.Span), To: now, Deductions: []api.CreditDeduction{}}
	in := credit.Input{}
	var err error
	if in.Cards, in.Since, err = tx.PartyUse(scope, kind == creditSeller, name, out.From); err != nil {
		return out, err
	}
	f := sqlstore.SIMAlertFilter{Since: out.From, Loud: true}
	if kind == creditSeller {
		f.Seller = name
	} else {
		f.Customer = name
	}
	for p := (sqlstore.Paging{}); len(in.Said) < maxCreditSaid; {
		page, err := tx.SIMAlerts(scope, f, p)
		if err != nil {
			return out, err
		}
		for _, x := range page.Items {
			if x.Nature != ringwall.NatureNotice {
				in.Said = append(in.Said, credit.Statement{ID: x.ID, Card: x.SIM, Rule: x.Rule, Severity: x.Severity, Time: x.Time, Disposition: x.Disposition})
			}
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	score := credit.Of(in, now)
	out.Known, out.Value, out.Why, out.Cards = score.Known, score.Value, score.Why, in.Cards
	for _, d := range score.Deductions {
		out.Deductions = append(out.Deductions, api.CreditDeduction{Rule: d.Rule, Points: d.Points, Alerts: d.Statements, Cards: d.Cards, Share: d.Share, First: d.First, Last: d.Last, Proofs: d.Proofs})
	}
	return out, nil
}
