package gen

import (
	"fmt"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// What an operator has in its books about a world. Nothing of the truth is in it.

// Notices are what the operator was told of single cards, or did to them.
func (w *World) Notices() []Notice { return w.notices }

// Windows are the nights of new software that customers announced.
func (w *World) Windows() (out []Window) {
	for _, cu := range w.fleet.customers {
		for n := range int64(waveNights) {
			if day := w.start + (cu.wave+n)*86400; cu.told && day < w.end {
				out = append(out, Window{Customer: cu.index, From: day + waveFrom - 1800, To: day + waveTo + 1800})
			}
		}
	}
	return out
}

// Settings is the number of a customer's settings in the book; 0 is for cards of
// nobody.
func (cu *Customer) Settings() uint32 { return uint32(cu.index) + 1 }

// Book is what the cards are to be judged by: the tariffs, word for word, and what
// the operator was told.
func (w *World) Book() rules.BookSpec {
	spec := rules.BookSpec{Version: 1, Settings: []rules.Spec{{}}}
	for _, cu := range w.fleet.customers {
		spec.Settings = append(spec.Settings, w.spec(cu))
		if cu.Tariff.Pool {
			p := rules.Pool{Name: cu.Name}
			for m := range cu.models {
				p.TACs = append(p.TACs, fmt.Sprint(cu.tac(m)))
			}
			spec.Pools = append(spec.Pools, p)
		}
	}
	when := func(at int64) time.Time { return time.Unix(at, 0).UTC() }
	for i, x := range w.Windows() {
		spec.Exceptions = append(spec.Exceptions, rules.Exception{
			ID: fmt.Sprintf("window-%d", i), Kind: api.ExceptWindow, Customer: w.fleet.customers[x.Customer].Name, Rules: []string{rules.Volume, rules.Hours}, From: when(x.From), Until: when(x.To),
		})
	}
	for i, n := range w.notices {
		x := rules.Exception{ID: fmt.Sprintf("%s-%d", n.Kind, i), Card: n.Card, From: when(n.From), Until: when(n.To)}
		switch n.Kind {
		case "swap":
			x.Kind, x.Equipment = api.ExceptSwap, n.Equipment
		case "move":
			// A window, not an exception: what is seen in it is learned.
			x.Kind, x.Rules = api.ExceptWindow, []string{rules.Moved, rules.Travel}
		default:
			continue
		}
		spec.Exceptions = append(spec.Exceptions, x)
	}
	return spec
}

// spec is a tariff in the words of the rules.
func (w *World) spec(cu *Customer) rules.Spec {
	t := &cu.Tariff
	s := rules.Spec{
		Customer: cu.Name, Tariff: cu.Kind.String(), Judged: true, Services: t.Services, Fixed: t.Fixed, Homes: append([]string{w.plan.nets[home].MCC}, t.Roaming...),
		Bytes: t.MonthBytes, Calls: uint64(t.MonthCalls), Messages: uint64(t.MonthMessages),
		Rules: map[string]api.UsageRuleSetting{},
	}
	s.Peers = append(append(append(s.Peers, t.Peers...), t.Numbers...), t.APN)
	if t.Pool {
		s.Pools = []string{cu.Name}
	}
	for _, a := range t.Areas {
		s.Areas = append(s.Areas, fmt.Sprint(w.plan.areas[a].Code))
	}
	if t.From != t.To {
		utc := func(h int) string { return fmt.Sprintf("%02d:00", (h+24-zone/3600)%24) }
		s.Hours = []api.Window{{From: utc(t.From), To: utc(t.To)}}
	}
	limit := func(rule string, limits map[string]float64) { s.Rules[rule] = api.UsageRuleSetting{Limits: limits} }
	limit(rules.Volume, map[string]float64{"least-bytes": float64(t.HourBytes), "most-bytes": float64(t.HourBytes) * 1.1})
	limit(rules.Dormant, map[string]float64{"days": float64(t.Quiet)})
	if t.DayCalls > 0 {
		limit(rules.Burst, map[string]float64{"calls-day": float64(t.DayCalls), "messages-day": float64(t.DayCalls)})
	}
	return s
}
