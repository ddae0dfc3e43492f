package platform

import (
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Why an alert about a card makes no incident: api.SIMAlert.Muted.
const (
	mutedOff       = "off"
	mutedException = "exception"
	mutedWindow    = "window"
	mutedSwap      = "swap"
	mutedPool      = "pool"
)

// settingsOf returns what the records of a card are judged by: what was said
// for its customer's tariff, else for its customer, else for all.
func settingsOf(tx *sqlstore.Tx, scope audit.Scope, customer, tariff string) (api.UsageSettings, error) {
	tried := map[[2]string]bool{}
	for _, k := range [][2]string{{customer, tariff}, {customer, ""}, {"", ""}} {
		if tried[k] {
			continue
		}
		tried[k] = true
		versions, err := tx.UsageSettings(scope, k[0], k[1])
		if err != nil {
			return api.UsageSettings{}, err
		}
		if len(versions) > 0 && !versions[0].None {
			return versions[0], nil
		}
	}
	return api.UsageSettings{Customer: customer, Tariff: tariff}, nil
}

// covers reports whether an exception is for a card, a rule and a time.
func covers(e api.UsageException, s api.SIM, rule string, at time.Time) bool {
	end := e.Until
	if !e.Ended.IsZero() && e.Ended.Before(end) {
		end = e.Ended
	}
	switch {
	case at.Before(e.From) || !at.Before(end):
		return false
	case e.SIM != "" && e.SIM != s.ID, e.SIM == "" && e.Customer != "" && e.Customer != s.Customer:
		return false
	}
	switch e.Kind {
	case api.ExceptSwap:
		return rule == usage.Separation
	case api.ExceptWindow:
		return len(e.Rules) == 0 || slices.Contains(e.Rules, rule)
	}
	return slices.Contains(e.Rules, rule)
}

// muted says why an alert about a card makes no incident, and by whose word; ""
// when it does. seen is the equipment that the record named.
func (t *turn) muted(scope audit.Scope, s api.SIM, a ringwall.Alert, seen seenAs) (why, by string, err error) {
	set, err := settingsOf(t.tx, scope, s.Customer, s.Tariff)
	if err != nil {
		return "", "", err
	}
	if set.Rules[a.Rule].Off {
		return mutedOff, settingsName(set), nil
	}
	// Cards of a pool's equipment take turns in it: that is no box of many cards.
	if a.Rule == usage.Separation || a.Rule == rules.Box && a.Evidence.Facts["kind"] == cross.Equipment.String() {
		if pool, err := t.poolOf(scope, set.Pools, seen); err != nil || pool != "" {
			return mutedPool, pool, err
		}
	}
	live, err := t.tx.LiveExceptions(scope, s.ID, s.Customer, a.Time)
	if err != nil {
		return "", "", err
	}
	for _, e := range live {
		if !covers(e.UsageException, s, a.Rule, a.Time) {
			continue
		}
		switch e.Kind {
		case api.ExceptSwap:
			if seen.is(usage.EquipmentOf(e.To)) {
				return mutedSwap, string(e.ID), nil
			}
		case api.ExceptWindow:
			return mutedWindow, string(e.ID), nil
		default:
			return mutedException, string(e.ID), nil
		}
	}
	return "", "", nil
}

func settingsName(s api.UsageSettings) string {
	return strings.Trim(s.Customer+"/"+s.Tariff, "/")
}

// poolOf returns the pool that a piece of equipment is in; "" for none.
func (t *turn) poolOf(scope audit.Scope, names []string, seen seenAs) (string, error) {
	if seen.masked == "" || len(names) == 0 {
		return "", nil
	}
	pools, err := t.tx.IMEIPools(scope)
	if err != nil {
		return "", err
	}
	for _, p := range pools {
		if !slices.Contains(names, p.Name) {
			continue
		}
		if slices.Contains(p.TACs, seen.tac()) {
			return p.Name, nil
		}
		numbers, err := t.tx.PoolNumbers(scope, p.Name)
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(numbers, func(n string) bool { return seen.is(usage.EquipmentOf(ringwall.IMEI(n))) }) {
			return p.Name, nil
		}
	}
	return "", nil
}

// mayBeIn reports whether a card may be in equipment that it is not bound to: in
// that of a pool, or by a planned swap, which then binds it.
func (t *turn) mayBeIn(scope audit.Scope, s api.SIM, imei ringwall.IMEI, at time.Time) (may, swapped bool, err error) {
	why, _, err := t.muted(scope, s, ringwall.Alert{Rule: usage.Separation, Time: at}, seenAs{usage.EquipmentOf(imei), usage.EquipmentOf(imei).String()})
	return why == mutedPool || why == mutedSwap, why == mutedSwap, err
}
