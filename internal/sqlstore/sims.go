package sqlstore

import (
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// Numbers are those of a card and of the equipment it is bound to, in clear.
// They print masked.
type Numbers struct {
	ICCID     ringwall.ICCID
	IMSI      ringwall.IMSI
	BoundIMEI ringwall.IMEI
	SeenIMEI  ringwall.IMEI
}

func place(column, org string, id ringwall.SIMID) string {
	return "sims/" + column + "/" + org + "/" + string(id)
}

// CreateSIM registers a card. s.ICCID, s.IMSI and the IMEIs are set to the
// masked forms of n's. Codes: Conflict when the organisation has the card, or any
// organisation its IMSI.
func (tx *Tx) CreateSIM(scope audit.Scope, s api.SIM, n Numbers) (api.SIM, error) {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return api.SIM{}, err
	}
	if err := own(org, s.Org, "SIM", string(s.ID)); err != nil {
		return api.SIM{}, err
	}
	if s.Device != "" {
		if err := tx.exists(org, s.Device); err != nil {
			return api.SIM{}, err
		}
	}
	s.Org = ringwall.OrgID(org)
	s.ICCID, s.IMSI, s.BoundIMEI, s.SeenIMEI = n.ICCID.String(), n.IMSI.String(), n.BoundIMEI.String(), n.SeenIMEI.String()
	// Looked up first: a refused INSERT would end the transaction elsewhere.
	if taken, err := tx.taken(n.IMSI); err != nil || taken {
		if taken {
			err = errNumber()
		}
		return api.SIM{}, err
	}
	doc, err := encode(s)
	if err != nil {
		return api.SIM{}, err
	}
	_, err = tx.exec(`INSERT INTO sims (org, id, number_key, imsi_key, iccid_key, imsi, iccid, imei, seen_imei, device, state, customer, tariff, seller, changed, doc)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`, org, string(s.ID), tx.seal.numberKey(n.IMSI),
		tx.seal.find("imsi/"+org, n.IMSI.Reveal()), tx.seal.find("iccid/"+org, n.ICCID.Reveal()),
		tx.seal.seal(place("imsi", org, s.ID), n.IMSI.Reveal()), tx.seal.seal(place("iccid", org, s.ID), n.ICCID.Reveal()),
		tx.seal.seal(place("imei", org, s.ID), n.BoundIMEI.Reveal()), tx.seal.seal(place("seen", org, s.ID), n.SeenIMEI.Reveal()),
		string(s.Device), s.State, s.Customer, s.Tariff, s.Seller, micros(tx.now()), doc)
	return s, err
}

// SIM returns one card, its numbers masked.
func (tx *Tx) SIM(scope audit.Scope, id ringwall.SIMID) (api.SIM, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return api.SIM{}, err
	}
	var doc string
	if err := tx.row("SIM", string(id), `SELECT doc FROM sims WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return api.SIM{}, err
	}
	return decode[api.SIM](doc)
}

// SIMByIMSI returns the card of a number, and NotFound without the number when
// there is none.
func (tx *Tx) SIMByIMSI(scope audit.Scope, imsi ringwall.IMSI) (api.SIM, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return api.SIM{}, err
	}
	var doc string
	if err := tx.row("SIM", imsi.String(), `SELECT doc FROM sims WHERE org = $1 AND imsi_key = $2`,
		[]any{org, tx.seal.find("imsi/"+org, imsi.Reveal())}, &doc); err != nil {
		return api.SIM{}, err
	}
	return decode[api.SIM](doc)
}

// SIMs returns a page of the organisation's cards, newest first.
func (tx *Tx) SIMs(scope audit.Scope, p Paging) (api.Page[api.SIM], error) {
	page := api.Page[api.SIM]{Items: []api.SIM{}}
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return page, err
	}
	before, err := p.after(1)
	if err != nil {
		return page, err
	}
	page.Items, err = docs[api.SIM](tx, `SELECT doc FROM sims WHERE org = $1 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3`, org, before[0], p.limit()+1)
	if len(page.Items) > p.limit() {
		page.Items = page.Items[:p.limit()]
		page.Next = cursor(string(page.Items[p.limit()-1].ID))
	}
	return page, err
}

// CountSIMs counts the organisation's cards.
func (tx *Tx) CountSIMs(scope audit.Scope) (n int, err error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return 0, err
	}
	return n, tx.row("organisation", org, `SELECT COUNT(*) FROM sims WHERE org = $1`, []any{org}, &n)
}

// UpdateSIM changes a card; its id, organisation and numbers stay.
func (tx *Tx) UpdateSIM(scope audit.Scope, id ringwall.SIMID, f func(*api.SIM) error) (api.SIM, error) {
	if !scope.Permits(audit.SIMRespond) {
		if _, err := need(scope, audit.SIMWrite); err != nil {
			return api.SIM{}, err
		}
	}
	old, err := tx.SIM(scope, id)
	if err != nil {
		return api.SIM{}, err
	}
	s := old
	if err := f(&s); err != nil {
		return api.SIM{}, err
	}
	org := string(scope.Org())
	s.ID, s.Org, s.ICCID, s.IMSI, s.BoundIMEI, s.SeenIMEI = id, old.Org, old.ICCID, old.IMSI, old.BoundIMEI, old.SeenIMEI
	if s.Device != "" && s.Device != old.Device {
		if err := tx.exists(org, s.Device); err != nil {
			return api.SIM{}, err
		}
	}
	if !slices.Equal(s.Services, old.Services) || !slices.Equal(s.Peers, old.Peers) || s.Customer != old.Customer || s.Tariff != old.Tariff || s.State != old.State {
		if _, err := tx.exec(`UPDATE sims SET changed = $1 WHERE org = $2 AND id = $3`, micros(tx.now()), org, string(id)); err != nil {
			return s, err
		}
	}
	return s, tx.writeSIM(org, s)
}

func (tx *Tx) writeSIM(org string, s api.SIM) error {
	doc, err := encode(s)
	if err != nil {
		return err
	}
	_, err = tx.exec(`UPDATE sims SET device = $1, state = $2, doc = $3, customer = $4, tariff = $5, seller = $6, area = $7, last_used = $8, separated = $9 WHERE org = $10 AND id = $11`,
		string(s.Device), s.State, doc, s.Customer, s.Tariff, s.Seller, s.Area, micros(s.LastUsage), micros(s.Separated), org, string(s.ID))
	return err
}

// SetIMEI keeps the equipment that a card is bound to (bound) or was last seen
// in.
func (tx *Tx) SetIMEI(scope audit.Scope, id ringwall.SIMID, imei ringwall.IMEI, bound bool) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	s, err := tx.SIM(scope, id)
	if err != nil {
		return err
	}
	column, text := "seen", `UPDATE sims SET seen_imei = $1 WHERE org = $2 AND id = $3`
	s.SeenIMEI = imei.String()
	if bound {
		column, text = "imei", `UPDATE sims SET imei = $1 WHERE org = $2 AND id = $3`
		s.BoundIMEI = imei.String()
	}
	if bound {
		if old, err := tx.SIM(scope, id); err == nil {
			s.SeenIMEI = old.SeenIMEI
		}
	}
	if _, err := tx.exec(text, tx.seal.seal(place(column, org, id), imei.Reveal()), org, string(id)); err != nil {
		return err
	}
	if bound {
		if _, err := tx.exec(`UPDATE sims SET changed = $1 WHERE org = $2 AND id = $3`, micros(tx.now()), org, string(id)); err != nil {
			return err
		}
	}
	return tx.writeSIM(org, s)
}

// Numbers returns the numbers of a card in clear: to judge its usage, to name it
// to its operator, or to show them to who gave a reason.
func (tx *Tx) Numbers(scope audit.Scope, id ringwall.SIMID) (Numbers, error) {
	if !scope.Permits(audit.SIMRespond) && !scope.Permits(audit.SystemPolicy) && !scope.Permits(audit.SIMReveal) {
		if _, err := need(scope, audit.SIMWrite); err != nil {
			return Numbers{}, err
		}
	}
	org := string(scope.Org())
	if org == "" {
		return Numbers{}, ringwall.Errorf(ringwall.Forbidden, "the scope names no organisation")
	}
	var sealed [4][]byte
	if err := tx.row("SIM", string(id), `SELECT iccid, imsi, imei, seen_imei FROM sims WHERE org = $1 AND id = $2`, []any{org, string(id)},
		&sealed[0], &sealed[1], &sealed[2], &sealed[3]); err != nil {
		return Numbers{}, err
	}
	var text [4]string
	for i, column := range []string{"iccid", "imsi", "imei", "seen"} {
		var err error
		if text[i], err = tx.seal.open(place(column, org, id), sealed[i]); err != nil {
			return Numbers{}, err
		}
	}
	return Numbers{ringwall.ICCID(text[0]), ringwall.IMSI(text[1]), ringwall.IMEI(text[2]), ringwall.IMEI(text[3])}, nil
}

// UsageState returns what package usage knows of a card, as it wrote it; nil
// when it knows nothing. It is kept sealed, since it holds numbers.
func (tx *Tx) UsageState(scope audit.Scope, id ringwall.SIMID) ([]byte, error) {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return nil, err
	}
	var sealed []byte
	if err := tx.row("SIM", string(id), `SELECT usage FROM sims WHERE org = $1 AND id = $2`, []any{org, string(id)}, &sealed); err != nil {
		return nil, err
	}
	text, err := tx.seal.open(place("usage", org, id), sealed)
	if text == "" {
		return nil, err
	}
	return []byte(text), err
}

// PutUsageState keeps what package usage knows of a card.
func (tx *Tx) PutUsageState(scope audit.Scope, id ringwall.SIMID, state []byte) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE sims SET usage = $1 WHERE org = $2 AND id = $3`, tx.seal.seal(place("usage", org, id), string(state)), org, string(id))
	if err == nil && n == 0 {
		return notFound("SIM", string(id))
	}
	return err
}
