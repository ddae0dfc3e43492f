package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// maxSIMAlerts bounds what is kept of what rules said of one card: a rule speaks
// once a day of a card, so this is the worst fortnight and a long time else.
const maxSIMAlerts = 200

// PutSIMAlert keeps what a rule said of a card, and reports whether it is new:
// one that was said before stays as people left it.
func (tx *Tx) PutSIMAlert(scope audit.Scope, a api.SIMAlert) (isNew bool, err error) {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return false, err
	}
	s, err := tx.SIM(scope, a.SIM)
	if err != nil {
		return false, err
	}
	doc, err := encode(a)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(`INSERT INTO sim_alerts (org, id, sim, customer, seller, rule, severity, time, area, muted, disposition, doc)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT (org, id) DO NOTHING`,
		org, string(a.ID), string(a.SIM), s.Customer, s.Seller, a.Rule, int64(a.Severity), micros(a.Time), a.Area, a.Muted, a.Disposition, doc)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.exec(`DELETE FROM sim_alerts WHERE org = $1 AND sim = $2 AND id IN
		(SELECT id FROM sim_alerts WHERE org = $1 AND sim = $2 ORDER BY time DESC, id DESC LIMIT 1000 OFFSET $3)`, org, string(a.SIM), maxSIMAlerts)
	return true, err
}

// UpdateSIMAlert changes what people made of an alert.
func (tx *Tx) UpdateSIMAlert(scope audit.Scope, id ringwall.AlertID, f func(*api.SIMAlert) error) (api.SIMAlert, error) {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return api.SIMAlert{}, err
	}
	old, err := tx.SIMAlert(scope, id)
	if err != nil {
		return old, err
	}
	a := old
	if err := f(&a); err != nil {
		return old, err
	}
	a.ID, a.SIM, a.Rule, a.Time = old.ID, old.SIM, old.Rule, old.Time
	doc, err := encode(a)
	if err != nil {
		return a, err
	}
	_, err = tx.exec(`UPDATE sim_alerts SET disposition = $1, doc = $2 WHERE org = $3 AND id = $4`, a.Disposition, doc, org, string(id))
	return a, err
}

// SIMAlert returns one alert about a card.
func (tx *Tx) SIMAlert(scope audit.Scope, id ringwall.AlertID) (api.SIMAlert, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return api.SIMAlert{}, err
	}
	var doc string
	if err := tx.row("alert", string(id), `SELECT doc FROM sim_alerts WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.SIMAlert{}, err
	}
	return decode[api.SIMAlert](doc)
}

// SIMAlertFilter narrows a list of alerts; zero fields do not.
type SIMAlertFilter struct {
	SIM      ringwall.SIMID
	Customer string
	Seller   string
	Rule     string
	Area     string
	Since    time.Time
	Loud     bool // those that were not muted
}

// SIMAlerts returns a page of what rules said of cards, newest first.
func (tx *Tx) SIMAlerts(scope audit.Scope, f SIMAlertFilter, p Paging) (api.Page[api.SIMAlert], error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return api.Page[api.SIMAlert]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.SIMAlert]{}, err
	}
	which, args := "", []any{org, before, id, micros(f.Since)}
	for _, c := range []struct{ column, value string }{{"sim", string(f.SIM)}, {"customer", f.Customer}, {"seller", f.Seller}, {"rule", f.Rule}, {"area", f.Area}} {
		if c.value != "" {
			args = append(args, c.value)
			which += " AND " + c.column + " = " + placeholder(len(args))
		}
	}
	if f.Loud {
		which += " AND muted = ''"
	}
	return newestFirst[api.SIMAlert](tx, p.limit(), `SELECT time, id, doc FROM sim_alerts WHERE org = $1 AND (time < $2 OR time = $2 AND id < $3) AND time >= $4`+which+
		` ORDER BY time DESC, id DESC LIMIT `+placeholder(len(args)+1), args...)
}

// Unwatch takes the names of incidents that are only watched out of alerts that
// are shown: nobody could look at them. What is kept names them, since they may
// open later.
func (tx *Tx) Unwatch(scope audit.Scope, all []api.SIMAlert) error {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return err
	}
	shown := map[ringwall.IncidentID]bool{"": false}
	for i := range all {
		id := all[i].Incident
		if _, known := shown[id]; !known {
			var n int64
			if err := tx.row("incident", string(id), `SELECT COUNT(*) FROM incidents WHERE org = $1 AND id = $2 AND open <> $3`, []any{org, string(id), int64(stageWatching)}, &n); err != nil {
				return err
			}
			shown[id] = n > 0
		}
		if !shown[id] {
			all[i].Incident = ""
		}
	}
	return nil
}

// severityPoints is how grave an alert is, for sums in SQL; the scale is that of
// package incident's weights.
const severityPoints = `CASE WHEN severity >= 5 THEN 20 WHEN severity = 4 THEN 12 WHEN severity = 3 THEN 5 WHEN severity = 2 THEN 2 ELSE 1 END`

// loud are the alerts that count: not muted, and not called false or benign.
const loud = ` muted = '' AND disposition NOT IN ('false', 'benign') `

// AreaAlert is a sum over one area.
type AreaAlert struct{ Alerts, Points int }

// SIMAlertAreas sums what was said since a time by area.
func (tx *Tx) SIMAlertAreas(scope audit.Scope, since time.Time) (map[string]AreaAlert, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	out := map[string]AreaAlert{}
	return out, tx.rows(`SELECT area, COUNT(*), SUM(`+severityPoints+`) FROM sim_alerts WHERE org = $1 AND time >= $2 AND area <> '' AND`+loud+`GROUP BY area`,
		[]any{org, micros(since)}, func(scan func(...any) error) error {
			var k string
			var a AreaAlert
			if err := scan(&k, &a.Alerts, &a.Points); err != nil {
				return fail(err)
			}
			out[k] = a
			return nil
		})
}

// TopSIMs returns the cards of which the worst was said since a time.
func (tx *Tx) TopSIMs(scope audit.Scope, since time.Time, limit int) ([]api.CardRisk, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	all := []api.CardRisk{}
	if err := tx.rows(`SELECT sim, SUM(`+severityPoints+`) AS points, COUNT(*), MAX(severity), MAX(time) FROM sim_alerts WHERE org = $1 AND time >= $2 AND`+loud+
		`GROUP BY sim ORDER BY points DESC, sim LIMIT $3`, []any{org, micros(since), limit}, func(scan func(...any) error) error {
		var c api.CardRisk
		var last int64
		if err := scan(&c.SIM, &c.Points, &c.Alerts, &c.Worst, &last); err != nil {
			return fail(err)
		}
		c.Last = at(last)
		all = append(all, c)
		return nil
	}); err != nil {
		return nil, err
	}
	for i := range all {
		c := &all[i]
		s, err := tx.SIM(scope, c.SIM)
		if err != nil {
			return nil, err
		}
		c.ICCID, c.Device, c.Customer, c.Rules = s.ICCID, s.Device, s.Customer, []string{}
		if err := tx.rows(`SELECT DISTINCT rule FROM sim_alerts WHERE org = $1 AND sim = $2 AND time >= $3 AND`+loud+`ORDER BY rule`, []any{org, string(c.SIM), micros(since)}, func(scan func(...any) error) error {
			var rule string
			err := scan(&rule)
			c.Rules = append(c.Rules, rule)
			return fail(err)
		}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// RuleCounts counts what each rule said since a time.
func (tx *Tx) RuleCounts(scope audit.Scope, since time.Time) ([]api.RuleCount, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	all := []api.RuleCount{}
	err = tx.rows(`SELECT rule, COUNT(*) AS n, COUNT(DISTINCT sim), SUM(CASE WHEN muted <> '' THEN 1 ELSE 0 END), SUM(CASE WHEN disposition = 'false' THEN 1 ELSE 0 END)
		FROM sim_alerts WHERE org = $1 AND time >= $2 GROUP BY rule ORDER BY n DESC, rule LIMIT 100`, []any{org, micros(since)}, func(scan func(...any) error) error {
		var c api.RuleCount
		err := scan(&c.Rule, &c.Alerts, &c.Cards, &c.Muted, &c.False)
		all = append(all, c)
		return fail(err)
	})
	return all, err
}

// dayMicros is a day as times are kept.
const dayMicros = int64(24 * time.Hour / time.Microsecond)

// UsageDays counts what was said, by day (UTC), since a time; days on which
// nothing was said are left out.
func (tx *Tx) UsageDays(scope audit.Scope, since time.Time) ([]api.UsageDay, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	all := []api.UsageDay{}
	err = tx.rows(`SELECT time / $3 AS day, COUNT(*), SUM(CASE WHEN severity >= 4 THEN 1 ELSE 0 END), COUNT(DISTINCT sim) FROM sim_alerts
		WHERE org = $1 AND time >= $2 AND`+loud+`GROUP BY day ORDER BY day`, []any{org, micros(since), dayMicros}, func(scan func(...any) error) error {
		var d api.UsageDay
		var n int64
		if err := scan(&n, &d.Alerts, &d.Severe, &d.Cards); err != nil {
			return fail(err)
		}
		d.Day = at(n * dayMicros)
		all = append(all, d)
		return nil
	})
	return all, err
}
