package sqlstore

import (
	"encoding/json"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// PutUsageSettings keeps the next version of what usage records are judged by.
func (tx *Tx) PutUsageSettings(scope audit.Scope, s api.UsageSettings) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	doc, err := encode(s)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO usage_settings (org, customer, tariff, version, made, doc) VALUES ($1, $2, $3, $4, $5, $6)`,
		org, s.Customer, s.Tariff, int64(s.Version), micros(s.Made), doc)
	return err
}

// UsageSettings returns the versions for a customer and a tariff, newest first.
func (tx *Tx) UsageSettings(scope audit.Scope, customer, tariff string) ([]api.UsageSettings, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	return docs[api.UsageSettings](tx, `SELECT doc FROM usage_settings WHERE org = $1 AND customer = $2 AND tariff = $3 ORDER BY version DESC LIMIT 50`, org, customer, tariff)
}

// AllUsageSettings returns the newest version of each, by customer and tariff.
func (tx *Tx) AllUsageSettings(scope audit.Scope) ([]api.UsageSettings, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	return docs[api.UsageSettings](tx, `SELECT doc FROM usage_settings u WHERE org = $1 AND version =
		(SELECT MAX(version) FROM usage_settings v WHERE v.org = u.org AND v.customer = u.customer AND v.tariff = u.tariff) ORDER BY customer, tariff`, org)
}

// PutException keeps an exception; imei is that of a planned swap, in clear.
func (tx *Tx) PutException(scope audit.Scope, e api.UsageException, imei ringwall.IMEI) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	var one int
	if e.SIM != "" {
		if err := tx.row("SIM", string(e.SIM), `SELECT 1 FROM sims WHERE org = $1 AND id = $2`, []any{org, string(e.SIM)}, &one); err != nil {
			return err
		}
	}
	e.IMEI = imei.String()
	doc, err := encode(e)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO usage_exceptions (org, id, kind, sim, customer, until, made, imei, doc) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		org, string(e.ID), e.Kind, string(e.SIM), e.Customer, micros(e.Until), micros(e.Made), tx.seal.seal("exceptions/imei/"+org+"/"+string(e.ID), imei.Reveal()), doc)
	return err
}

// EndException ends an exception before its time. One that has ended is a
// Conflict.
func (tx *Tx) EndException(scope audit.Scope, id ringwall.ExceptionID, by string, now time.Time) (e api.UsageException, err error) {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return e, err
	}
	var doc string
	if err := tx.row("exception", string(id), `SELECT doc FROM usage_exceptions WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc); err != nil {
		return e, err
	}
	if e, err = decode[api.UsageException](doc); err != nil {
		return e, err
	}
	if !e.Ended.IsZero() || !now.Before(e.Until) {
		return e, ringwall.Errorf(ringwall.Conflict, "exception %q has ended", id)
	}
	e.Ended, e.EndedBy = now, by
	if doc, err = encode(e); err != nil {
		return e, err
	}
	_, err = tx.exec(`UPDATE usage_exceptions SET until = $1, doc = $2 WHERE org = $3 AND id = $4`, micros(now), doc, org, string(id))
	return e, err
}

// Exceptions returns a page of exceptions, newest first: those of a card, or of
// all, and with live only those that have not ended by now.
func (tx *Tx) Exceptions(scope audit.Scope, sim ringwall.SIMID, live bool, now time.Time, p Paging) (api.Page[api.UsageException], error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return api.Page[api.UsageException]{}, err
	}
	before, id, err := p.descending()
	if err != nil {
		return api.Page[api.UsageException]{}, err
	}
	after := int64(-1)
	if live {
		after = micros(now)
	}
	return newestFirst[api.UsageException](tx, p.limit(), `SELECT made, id, doc FROM usage_exceptions
		WHERE org = $1 AND ($2 = '' OR sim = $2) AND until > $3 AND (made < $4 OR made = $4 AND id < $5) ORDER BY made DESC, id DESC LIMIT $6`,
		org, string(sim), after, before, id)
}

// LiveException is an exception in force or to come, with the number that a
// planned swap is to.
type LiveException struct {
	api.UsageException
	To ringwall.IMEI
}

// maxLiveExceptions bounds what is judged by at once.
const maxLiveExceptions = 1000

// LiveExceptions returns those of a card, of its customer and of everybody that
// had not ended at a time, in clear: to judge by. What was found out first comes
// first.
func (tx *Tx) LiveExceptions(scope audit.Scope, sim ringwall.SIMID, customer string, at time.Time) (all []LiveException, err error) {
	org, err := need(scope, audit.SystemUsage)
	if err != nil {
		return nil, err
	}
	err = tx.rows(`SELECT imei, doc FROM usage_exceptions WHERE org = $1 AND until > $2 AND (sim = $3 OR sim = '' AND (customer = '' OR customer = $4)) ORDER BY made LIMIT $5`,
		[]any{org, micros(at), string(sim), customer, maxLiveExceptions}, func(scan func(...any) error) error {
			var sealed []byte
			var doc string
			if err := scan(&sealed, &doc); err != nil {
				return fail(err)
			}
			e, err := decode[api.UsageException](doc)
			if err != nil {
				return err
			}
			imei, err := tx.seal.open("exceptions/imei/"+org+"/"+string(e.ID), sealed)
			all = append(all, LiveException{e, ringwall.IMEI(imei)})
			return err
		})
	return all, err
}

// PutIMEIPool keeps a pool; its IMEIs are sealed together.
func (tx *Tx) PutIMEIPool(scope audit.Scope, p api.IMEIPool) (api.IMEIPool, error) {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return p, err
	}
	numbers, err := json.Marshal(p.IMEIs)
	if err != nil {
		return p, err
	}
	p.Count, p.IMEIs = len(p.IMEIs), nil
	doc, err := encode(p)
	if err != nil {
		return p, err
	}
	_, err = tx.exec(`INSERT INTO imei_pools (org, name, imeis, doc) VALUES ($1, $2, $3, $4) ON CONFLICT (org, name) DO UPDATE SET imeis = excluded.imeis, doc = excluded.doc`,
		org, p.Name, tx.seal.seal("pools/"+org+"/"+p.Name, string(numbers)), doc)
	return p, err
}

// IMEIPools returns all pools by name, without IMEIs.
func (tx *Tx) IMEIPools(scope audit.Scope) ([]api.IMEIPool, error) {
	org, err := need(scope, audit.SIMRead)
	if err != nil {
		return nil, err
	}
	return docs[api.IMEIPool](tx, `SELECT doc FROM imei_pools WHERE org = $1 ORDER BY name`, org)
}

// PoolNumbers returns the IMEIs of a pool in clear: to judge by.
func (tx *Tx) PoolNumbers(scope audit.Scope, name string) ([]string, error) {
	org, err := need(scope, audit.SystemUsage)
	if err != nil {
		return nil, err
	}
	var sealed []byte
	if err := tx.row("pool", name, `SELECT imeis FROM imei_pools WHERE org = $1 AND name = $2`, []any{org, name}, &sealed); err != nil {
		return nil, err
	}
	text, err := tx.seal.open("pools/"+org+"/"+name, sealed)
	if err != nil || text == "" {
		return nil, err
	}
	return decode[[]string](text)
}

// DropIMEIPool forgets a pool.
func (tx *Tx) DropIMEIPool(scope audit.Scope, name string) error {
	org, err := need(scope, audit.SIMWrite)
	if err != nil {
		return err
	}
	n, err := tx.exec(`DELETE FROM imei_pools WHERE org = $1 AND name = $2`, org, name)
	if err == nil && n == 0 {
		return notFound("pool", name)
	}
	return err
}
