package sqlstore

import (
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// SIMFilter narrows a list of cards; zero fields do not.
type SIMFilter struct {
	State    string
	Customer string
	Tariff   string
	Seller   string
	Area     string
	NoDevice bool
	Broken   bool      // separated from its equipment
	Silent   time.Time // used before, and not since
	Never    bool      // never used
	Changed  time.Time // judged otherwise since
	Judged   bool      // its number is its own
	Double   bool      // its number is another card's, which was registered first
}

func (f SIMFilter) where(args []any) (string, []any) {
	var b strings.Builder
	add := func(is bool, text string, v ...any) {
		if !is {
			return
		}
		for _, x := range v {
			args = append(args, x)
			text = strings.Replace(text, "?", placeholder(len(args)), 1)
		}
		b.WriteString(" AND " + text)
	}
	add(f.State != "", "state = ?", f.State)
	add(f.Customer != "", "customer = ?", f.Customer)
	add(f.Tariff != "", "tariff = ?", f.Tariff)
	add(f.Seller != "", "seller = ?", f.Seller)
	add(f.Area != "", "area = ?", f.Area)
	add(f.NoDevice, "device = ''")
	add(f.Broken, "separated > 0")
	add(!f.Silent.IsZero(), "last_used > 0 AND last_used < ?", micros(f.Silent))
	add(f.Never, "last_used = 0")
	add(!f.Changed.IsZero(), "changed >= ?", micros(f.Changed))
	add(f.Judged, "number_key IS NOT NULL")
	add(f.Double, "number_key IS NULL")
	return b.String(), args
}

// FindSIMs returns a page of the cards that a filter means, newest first.
func (tx *Tx) FindSIMs(scope audit.Scope, f SIMFilter, p Paging) (api.Page[api.SIM], error) {
	page := api.Page[api.SIM]{Items: []api.SIM{}}
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return page, err
	}
	before, err := p.after(1)
	if err != nil {
		return page, err
	}
	where, args := f.where([]any{org, before[0], p.limit() + 1})
	page.Items, err = docs[api.SIM](tx, `SELECT doc FROM sims WHERE org = $1 AND ($2 = '' OR id < $2)`+where+` ORDER BY id DESC LIMIT $3`, args...)
	if len(page.Items) > p.limit() {
		page.Items = page.Items[:p.limit()]
		page.Next = cursor(string(page.Items[p.limit()-1].ID))
	}
	return page, err
}

// CountSIMsBy counts the cards that a filter means.
func (tx *Tx) CountSIMsBy(scope audit.Scope, f SIMFilter) (n int, err error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return 0, err
	}
	where, args := f.where([]any{org})
	err = tx.row("organisation", org, `SELECT COUNT(*) FROM sims WHERE org = $1`+where, args, &n)
	return n, err
}

// SIMStates counts cards by state.
func (tx *Tx) SIMStates(scope audit.Scope) (map[string]int, error) {
	return tx.countBy(scope, `SELECT state, COUNT(*) FROM sims WHERE org = $1 GROUP BY state`)
}

// SIMAreas counts cards by the area of their last use.
func (tx *Tx) SIMAreas(scope audit.Scope) (map[string]int, error) {
	return tx.countBy(scope, `SELECT area, COUNT(*) FROM sims WHERE org = $1 AND area <> '' GROUP BY area`)
}

// SIMParties counts cards by customer, or by seller.
func (tx *Tx) SIMParties(scope audit.Scope, seller bool) (map[string]int, error) {
	if seller {
		return tx.countBy(scope, `SELECT seller, COUNT(*) FROM sims WHERE org = $1 AND seller <> '' GROUP BY seller`)
	}
	return tx.countBy(scope, `SELECT customer, COUNT(*) FROM sims WHERE org = $1 AND customer <> '' GROUP BY customer`)
}

func (tx *Tx) countBy(scope audit.Scope, query string) (map[string]int, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	return out, tx.rows(query, []any{org}, func(scan func(...any) error) error {
		var k string
		var n int
		if err := scan(&k, &n); err != nil {
			return fail(err)
		}
		out[k] = n
		return nil
	})
}

// PartyUse tells of a customer or seller how many of its cards were used since a
// time, and when one of its cards was registered first; zero when it has none.
func (tx *Tx) PartyUse(scope audit.Scope, seller bool, name string, since time.Time) (used int, first time.Time, err error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return 0, first, err
	}
	column := "customer"
	if seller {
		column = "seller"
	}
	if err := tx.row("organisation", org, `SELECT COUNT(*) FROM sims WHERE org = $1 AND `+column+` = $2 AND last_used >= $3`, []any{org, name, micros(since)}, &used); err != nil {
		return 0, first, err
	}
	var oldest string
	if err := tx.row("organisation", org, `SELECT COALESCE(MIN(id), '') FROM sims WHERE org = $1 AND `+column+` = $2`, []any{org, name}, &oldest); err != nil || oldest == "" {
		return used, first, err
	}
	s, err := docs[api.SIM](tx, `SELECT doc FROM sims WHERE org = $1 AND id = $2`, org, oldest)
	if err == nil && len(s) == 1 {
		first = s[0].Registered
	}
	return used, first, err
}

// SIMCurve returns what package usage/curve keeps of a card; nil for nothing.
func (tx *Tx) SIMCurve(scope audit.Scope, id ringwall.SIMID) (b []byte, err error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	err = tx.row("SIM", string(id), `SELECT curve FROM sims WHERE org = $1 AND id = $2`, []any{org, string(id)}, &b)
	return b, err
}

// PutSIMCurve keeps what package usage/curve knows of a card.
func (tx *Tx) PutSIMCurve(scope audit.Scope, id ringwall.SIMID, b []byte) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE sims SET curve = $1 WHERE org = $2 AND id = $3`, b, org, string(id))
	if err == nil && n == 0 {
		return notFound("SIM", string(id))
	}
	return err
}

// TouchSIMs says that the records of the cards of a customer ("" = of all) are
// judged otherwise from now on.
func (tx *Tx) TouchSIMs(scope audit.Scope, customer string) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE sims SET changed = $1 WHERE org = $2 AND ($3 = '' OR customer = $3)`, micros(tx.now()), org, customer)
	return err
}

// DevicesWithoutSIM returns a page of devices that no card is in, by id.
func (tx *Tx) DevicesWithoutSIM(scope audit.Scope, p Paging) (api.Page[api.Device], error) {
	page := api.Page[api.Device]{Items: []api.Device{}}
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return page, err
	}
	after, err := p.after(1)
	if err != nil {
		return page, err
	}
	var ids []ringwall.DeviceID
	if err := tx.rows(`SELECT id FROM devices d WHERE org = $1 AND id > $2 AND NOT EXISTS (SELECT 1 FROM sims s WHERE s.org = d.org AND s.device = d.id) ORDER BY id LIMIT $3`,
		[]any{org, after[0], p.limit() + 1}, func(scan func(...any) error) error {
			var id ringwall.DeviceID
			err := scan(&id)
			ids = append(ids, id)
			return fail(err)
		}); err != nil {
		return page, err
	}
	if len(ids) > p.limit() {
		ids = ids[:p.limit()]
		page.Next = cursor(string(ids[p.limit()-1]))
	}
	for _, id := range ids {
		d, err := tx.Device(scope, id)
		if err != nil {
			return page, err
		}
		page.Items = append(page.Items, d)
	}
	return page, nil
}

// CountDevicesWithoutSIM counts the devices that no card is in.
func (tx *Tx) CountDevicesWithoutSIM(scope audit.Scope) (n int, err error) {
	org, err := need(scope, audit.DeviceRead)
	if err != nil {
		return 0, err
	}
	err = tx.row("organisation", org, `SELECT COUNT(*) FROM devices d WHERE org = $1 AND NOT EXISTS (SELECT 1 FROM sims s WHERE s.org = d.org AND s.device = d.id)`, []any{org}, &n)
	return n, err
}

// PutUsageAreas replaces the table of areas, or adds to it, up to most in all.
func (tx *Tx) PutUsageAreas(scope audit.Scope, areas []api.UsageArea, add bool, most int) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	if !add {
		if _, err := tx.exec(`DELETE FROM usage_areas WHERE org = $1`, org); err != nil {
			return err
		}
	}
	for _, a := range areas {
		doc, err := encode(a)
		if err != nil {
			return err
		}
		if _, err := tx.exec(`INSERT INTO usage_areas (org, area, doc) VALUES ($1, $2, $3) ON CONFLICT (org, area) DO UPDATE SET doc = excluded.doc`, org, a.Area, doc); err != nil {
			return err
		}
	}
	var n int
	if err := tx.row("organisation", org, `SELECT COUNT(*) FROM usage_areas WHERE org = $1`, []any{org}, &n); err != nil {
		return err
	}
	if n > most {
		return ringwall.Errorf(ringwall.Conflict, "%d areas are more than %d", n, most)
	}
	return nil
}

// UsageAreas returns a page of the table of areas, by name.
func (tx *Tx) UsageAreas(scope audit.Scope, p Paging) (api.Page[api.UsageArea], error) {
	page := api.Page[api.UsageArea]{Items: []api.UsageArea{}}
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return page, err
	}
	after, err := p.after(1)
	if err != nil {
		return page, err
	}
	page.Items, err = docs[api.UsageArea](tx, `SELECT doc FROM usage_areas WHERE org = $1 AND area > $2 ORDER BY area LIMIT $3`, org, after[0], p.limit()+1)
	if len(page.Items) > p.limit() {
		page.Items = page.Items[:p.limit()]
		page.Next = cursor(page.Items[p.limit()-1].Area)
	}
	return page, err
}

// UsageArea returns where an area is. Codes: NotFound.
func (tx *Tx) UsageArea(scope audit.Scope, area string) (api.UsageArea, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return api.UsageArea{}, err
	}
	var doc string
	if err := tx.row("area", area, `SELECT doc FROM usage_areas WHERE org = $1 AND area = $2`, []any{org, area}, &doc); err != nil {
		return api.UsageArea{}, err
	}
	return decode[api.UsageArea](doc)
}

// SameSIM reports whether the organisation has a card with both numbers. One
// that has only one of them is a Conflict.
func (tx *Tx) SameSIM(scope audit.Scope, iccid ringwall.ICCID, imsi ringwall.IMSI) (bool, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return false, err
	}
	var both, some int
	if err := tx.row("organisation", org, `SELECT COUNT(*), COALESCE(SUM(CASE WHEN imsi_key = $2 AND iccid_key = $3 THEN 1 ELSE 0 END), 0) FROM sims WHERE org = $1 AND (imsi_key = $2 OR iccid_key = $3)`,
		[]any{org, tx.seal.find("imsi/"+org, imsi.Reveal()), tx.seal.find("iccid/"+org, iccid.Reveal())}, &some, &both); err != nil {
		return false, err
	}
	if some > 0 && (both == 0 || some > 1) {
		return false, ringwall.Errorf(ringwall.Conflict, "one of the card's numbers belongs to another card")
	}
	return both > 0, nil
}
