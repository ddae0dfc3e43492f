package sqlstore

import (
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
)

// CreateOrg adds the scope's own organisation.
func (tx *Tx) CreateOrg(scope audit.Scope, o api.Org) error {
	org, err := need(scope, audit.OrgAdmin)
	if err != nil {
		return err
	}
	if string(o.ID) != org {
		return notFound("organisation", string(o.ID))
	}
	_, err = tx.exec(`INSERT INTO orgs (id, name, created) VALUES ($1, $2, $3)`, org, o.Name, micros(tx.now()))
	return err
}

// Org returns the scope's organisation.
func (tx *Tx) Org(scope audit.Scope) (api.Org, error) {
	org, err := need(scope, audit.OrgRead)
	if err != nil {
		return api.Org{}, err
	}
	o := api.Org{ID: ringwall.OrgID(org)}
	return o, tx.row("organisation", org, `SELECT name FROM orgs WHERE id = $1`, []any{org}, &o.Name)
}

// Orgs returns all organisations: for the platform's own parts, which do their
// round through them.
func (tx *Tx) Orgs(scope audit.Scope) ([]api.Org, error) {
	allowed := []audit.Act{audit.SystemBootstrap, audit.SystemPresence, audit.SystemMeter, audit.SystemProject, audit.SystemOutbox, audit.SystemUsage}
	if !slices.ContainsFunc(allowed, scope.Permits) {
		return nil, ringwall.Errorf(ringwall.Forbidden, "the scope does not permit reading all organisations")
	}
	all := []api.Org{}
	err := tx.rows(`SELECT id, name FROM orgs ORDER BY id`, nil, func(scan func(...any) error) error {
		var o api.Org
		if err := scan(&o.ID, &o.Name); err != nil {
			return fail(err)
		}
		all = append(all, o)
		return nil
	})
	return all, err
}

// Parties returns who plays which part in the scope's organisation.
func (tx *Tx) Parties(scope audit.Scope) ([]ringwall.Party, error) {
	org, err := need(scope, audit.OrgRead)
	if err != nil {
		return nil, err
	}
	all := []ringwall.Party{}
	err = tx.rows(`SELECT subject, part FROM party WHERE org = $1 ORDER BY subject, part`, []any{org}, func(scan func(...any) error) error {
		p := ringwall.Party{Org: ringwall.OrgID(org)}
		if err := scan(&p.Subject, &p.Part); err != nil {
			return fail(err)
		}
		all = append(all, p)
		return nil
	})
	return all, err
}

func (tx *Tx) parts(org, subject string) ([]ringwall.Part, error) {
	parts := []ringwall.Part{}
	err := tx.rows(`SELECT part FROM party WHERE org = $1 AND subject = $2 ORDER BY part`, []any{org, subject}, func(scan func(...any) error) error {
		var p ringwall.Part
		if err := scan(&p); err != nil {
			return fail(err)
		}
		parts = append(parts, p)
		return nil
	})
	return parts, err
}

func (tx *Tx) setParts(org, subject string, parts []ringwall.Part) error {
	if _, err := tx.exec(`DELETE FROM party WHERE org = $1 AND subject = $2`, org, subject); err != nil {
		return err
	}
	for _, p := range parts {
		if !slices.Contains(ringwall.Parts, p) {
			return ringwall.Errorf(ringwall.Invalid, "part %.40q is none of %q", p, ringwall.Parts)
		}
		if _, err := tx.exec(`INSERT INTO party (org, subject, part) VALUES ($1, $2, $3) ON CONFLICT (org, subject, part) DO NOTHING`, org, subject, string(p)); err != nil {
			return err
		}
	}
	return nil
}
