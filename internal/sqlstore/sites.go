package sqlstore

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// PutTemplate keeps the next version of a template; version 1 makes it. Codes:
// Conflict when the version is not the one after the newest, or the name is
// taken.
func (tx *Tx) PutTemplate(scope audit.Scope, t api.Template) error {
	org, err := need(scope, audit.TemplateWrite)
	if err != nil {
		return err
	}
	if err := own(org, t.Org, "template", string(t.ID)); err != nil {
		return err
	}
	t.Org, t.Gateways, t.Behind, t.Drifted = ringwall.OrgID(org), 0, 0, 0
	doc, err := encode(t)
	if err != nil {
		return err
	}
	if t.Version == 1 {
		_, err = tx.exec(`INSERT INTO templates (org, id, name, version, doc) VALUES ($1, $2, $3, 1, $4)`, org, string(t.ID), t.Name, doc)
	} else {
		var n int64
		n, err = tx.exec(`UPDATE templates SET name = $1, version = $2, doc = $3 WHERE org = $4 AND id = $5 AND version = $6`,
			t.Name, int64(t.Version), doc, org, string(t.ID), int64(t.Version)-1)
		if err == nil && n == 0 {
			if _, err := tx.Template(scope, t.ID, 0); err != nil {
				return err
			}
			return ringwall.Errorf(ringwall.Conflict, "version %d of the template does not follow the newest", t.Version)
		}
	}
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO template_versions (org, template, version, doc) VALUES ($1, $2, $3, $4)`, org, string(t.ID), int64(t.Version), doc)
	return err
}

// Template returns one version of a template; 0 is the newest.
func (tx *Tx) Template(scope audit.Scope, id ringwall.TemplateID, version int) (api.Template, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return api.Template{}, err
	}
	var doc string
	if version == 0 {
		err = tx.row("template", string(id), `SELECT doc FROM templates WHERE org = $1 AND id = $2`, []any{org, string(id)}, &doc)
	} else {
		err = tx.row("version of template", string(id), `SELECT doc FROM template_versions WHERE org = $1 AND template = $2 AND version = $3`,
			[]any{org, string(id), int64(version)}, &doc)
	}
	if err != nil {
		return api.Template{}, err
	}
	return decode[api.Template](doc)
}

// Templates returns the newest version of each template, by name.
func (tx *Tx) Templates(scope audit.Scope) ([]api.Template, error) {
	org, err := need(scope, audit.PolicyRead)
	if err != nil {
		return nil, err
	}
	return docs[api.Template](tx, `SELECT doc FROM templates WHERE org = $1 ORDER BY name`, org)
}

// AllGateways returns every gateway, by name.
func (tx *Tx) AllGateways(scope audit.Scope) ([]api.Gateway, error) {
	org, err := need(scope, audit.GatewayRead)
	if err != nil {
		return nil, err
	}
	all := []api.Gateway{}
	err = tx.rows(`SELECT `+gatewayColumns+` FROM `+gatewayTables+` WHERE g.org = $1 ORDER BY g.name, g.id`, []any{org}, func(scan func(...any) error) error {
		g, err := scanGateway(scan)
		all = append(all, g)
		return err
	})
	return all, err
}

// EnrolLine is one line of a token's manifest, resolved when it was made.
type EnrolLine struct {
	Line     int
	Name     string
	Serial   string
	Template ringwall.TemplateID
	Groups   []ringwall.GroupID
	Gateway  ringwall.GatewayID // who used it
}

// PutEnrolLines gives a token its manifest. bulk makes it good for every line,
// once each; without it there is one line, and the token is good once as ever.
func (tx *Tx) PutEnrolLines(scope audit.Scope, id ringwall.TokenID, bulk bool, lines []EnrolLine) error {
	org, err := need(scope, audit.GatewayEnrol)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE enrol_tokens SET bulk = $1 WHERE org = $2 AND id = $3`, flag(bulk), org, string(id))
	if err != nil {
		return err
	}
	if n == 0 {
		return notFound("token", string(id))
	}
	for i, l := range lines {
		doc, err := encode(l)
		if err != nil {
			return err
		}
		if _, err := tx.exec(`INSERT INTO enrol_lines (org, token, line, serial, name, used, gateway, doc) VALUES ($1, $2, $3, $4, $5, 0, '', $6)`,
			org, string(id), int64(i+1), l.Serial, l.Name, doc); err != nil {
			return err
		}
	}
	return nil
}

// EnrolLine returns the line of a token that waits for a gateway: by its serial
// number when the line has one, else by its name. bulk tells whether the token
// is one of many lines. Codes: NotFound when none waits for it.
func (tx *Tx) EnrolLine(scope audit.Scope, id ringwall.TokenID, serial, name string) (l EnrolLine, bulk bool, err error) {
	org, err := need(scope, audit.GatewayEnrol)
	if err != nil {
		return l, false, err
	}
	var b int64
	if err := tx.row("token", string(id), `SELECT bulk FROM enrol_tokens WHERE org = $1 AND id = $2`, []any{org, string(id)}, &b); err != nil {
		return l, false, err
	}
	var doc string
	var line int64
	if b == 0 {
		err = tx.row("line", "", `SELECT line, doc FROM enrol_lines WHERE org = $1 AND token = $2 AND used = 0 LIMIT 1`, []any{org, string(id)}, &line, &doc)
	} else {
		err = tx.row("line", "", `SELECT line, doc FROM enrol_lines WHERE org = $1 AND token = $2 AND used = 0
			AND (serial <> '' AND serial = $3 OR serial = '' AND name = $4) ORDER BY line LIMIT 1`, []any{org, string(id), serial, name}, &line, &doc)
	}
	if err != nil {
		return l, b != 0, err
	}
	l, err = decode[EnrolLine](doc)
	l.Line = int(line)
	return l, b != 0, err
}

// UseEnrolLine marks a line as used by a gateway, if it still waits, and the
// token when no line of it waits any more. Codes: Conflict.
func (tx *Tx) UseEnrolLine(scope audit.Scope, id ringwall.TokenID, line int, gw ringwall.GatewayID, now time.Time) error {
	org, err := need(scope, audit.GatewayEnrol)
	if err != nil {
		return err
	}
	n, err := tx.exec(`UPDATE enrol_lines SET used = $1, gateway = $2 WHERE org = $3 AND token = $4 AND line = $5 AND used = 0`, micros(now), string(gw), org, string(id), int64(line))
	if err != nil {
		return err
	}
	if n == 0 {
		return ringwall.Errorf(ringwall.Conflict, "the line of the token was used")
	}
	_, err = tx.exec(`UPDATE enrol_tokens SET used = $1, gateway = $2 WHERE org = $3 AND id = $4 AND bulk = 1
		AND NOT EXISTS (SELECT 1 FROM enrol_lines l WHERE l.org = $3 AND l.token = $4 AND l.used = 0)`, micros(now), string(gw), org, string(id))
	return err
}

// MaxNotices bounds what is kept of one gateway's notices, so that one that
// goes wild fills no database.
const MaxNotices = 500

// PutNotice keeps a notice of a gateway and counts it; isNew reports whether it
// is the first of its kind about that device since quiet.
func (tx *Tx) PutNotice(scope audit.Scope, gw ringwall.GatewayID, n api.Notice, now time.Time, quiet time.Duration) (isNew bool, err error) {
	org, err := need(scope, audit.GatewayWrite)
	if err != nil {
		return false, err
	}
	about := string(n.Device)
	if about == "" {
		about = n.MAC
	}
	doc, err := encode(n)
	if err != nil {
		return false, err
	}
	var last int64
	err = tx.row("notice", n.Kind, `SELECT last FROM notices WHERE org = $1 AND gateway = $2 AND kind = $3 AND about = $4`, []any{org, string(gw), n.Kind, about}, &last)
	count := max(int64(min(n.Count, 1<<40)), 1)
	switch {
	case err == nil:
		_, err = tx.exec(`UPDATE notices SET last = $1, count = count + $2, doc = $3 WHERE org = $4 AND gateway = $5 AND kind = $6 AND about = $7`,
			micros(now), count, doc, org, string(gw), n.Kind, about)
		return now.Sub(at(last)) > quiet, err
	case ringwall.CodeOf(err) != ringwall.NotFound:
		return false, err
	}
	var have int
	if err := tx.row("notice", "", `SELECT COUNT(*) FROM notices WHERE org = $1 AND gateway = $2`, []any{org, string(gw)}, &have); err != nil {
		return false, err
	}
	if have >= MaxNotices {
		if _, err := tx.exec(`DELETE FROM notices WHERE org = $1 AND gateway = $2 AND last = (SELECT MIN(last) FROM notices WHERE org = $1 AND gateway = $2)`, org, string(gw)); err != nil {
			return false, err
		}
	}
	_, err = tx.exec(`INSERT INTO notices (org, gateway, kind, about, first, last, count, doc) VALUES ($1, $2, $3, $4, $5, $5, $6, $7)`,
		org, string(gw), n.Kind, about, micros(now), count, doc)
	return true, err
}

// Notices returns the newest notices of a gateway.
func (tx *Tx) Notices(scope audit.Scope, gw ringwall.GatewayID, limit int) ([]api.GatewayNotice, error) {
	org, err := need(scope, audit.GatewayRead)
	if err != nil {
		return nil, err
	}
	all := []api.GatewayNotice{}
	err = tx.rows(`SELECT doc, first, last, count FROM notices WHERE org = $1 AND gateway = $2 ORDER BY last DESC, kind, about LIMIT $3`,
		[]any{org, string(gw), limit}, func(scan func(...any) error) error {
			var doc string
			var first, last, count int64
			if err := scan(&doc, &first, &last, &count); err != nil {
				return fail(err)
			}
			n, err := decode[api.Notice](doc)
			all = append(all, api.GatewayNotice{Notice: n, First: at(first), Last: at(last), Total: uint64(count)})
			return err
		})
	return all, err
}
