package platform

import (
	"context"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// Templates lists the newest version of each template, by name.
func (s *service) Templates(ctx context.Context, a audit.Actor) (all []api.Template, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("template", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if all, err = tx.Templates(scope); err != nil {
			return err
		}
		for i := range all {
			if err := countTemplate(tx, scope, &all[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return orNone(all), err
}

// Template answers one version of a template; 0 is the newest.
func (s *service) Template(ctx context.Context, a audit.Actor, id ringwall.TemplateID, version int) (t api.Template, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("template", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if t, err = tx.Template(scope, id, version); err != nil {
			return err
		}
		return countTemplate(tx, scope, &t)
	})
	return t, err
}

// countTemplate counts the gateways that have a template.
func countTemplate(tx *sqlstore.Tx, scope audit.Scope, t *api.Template) error {
	gateways, err := tx.AllGateways(scope)
	if err != nil {
		return err
	}
	newest, err := tx.Template(scope, t.ID, 0)
	if err != nil {
		return err
	}
	sites := map[int]api.Site{t.Version: t.Site}
	for _, g := range gateways {
		if g.Template != t.ID || !g.Revoked.IsZero() {
			continue
		}
		t.Gateways++
		if g.TemplateVersion < newest.Version {
			t.Behind++
		}
		site, ok := sites[g.TemplateVersion]
		if !ok {
			v, err := tx.Template(scope, t.ID, g.TemplateVersion)
			if err != nil {
				return err
			}
			site = v.Site
			sites[g.TemplateVersion] = site
		}
		if len(driftOf(g, site)) > 0 {
			t.Drifted++
		}
	}
	return nil
}

// PutTemplate makes a template (id ""), or its next version. Gateways that have
// it keep their version until somebody gives them this one, or rolls it out.
func (s *service) PutTemplate(ctx context.Context, a audit.Actor, id ringwall.TemplateID, in api.TemplatePut) (out api.Template, err error) {
	if in.Name != "" || id == "" {
		if err := checkName(strings.TrimSpace(in.Name)); err != nil {
			return out, err
		}
	}
	if err := checkSite(in.Site); err != nil {
		return out, err
	}
	err = s.change(ctx, a, audit.TemplateWrite, on("template", string(id)), func(t *turn, scope audit.Scope) error {
		if err := t.knownSite(scope, in.Site); err != nil {
			return err
		}
		out = api.Template{ID: ringwall.TemplateID(ringwall.NewID(ringwall.PrefixTemplate, t.at)), Org: a.Org}
		if id != "" {
			if out, err = t.tx.Template(scope, id, 0); err != nil {
				return err
			}
		}
		if in.Name != "" {
			out.Name = strings.TrimSpace(in.Name)
		}
		out.Version++
		out.Site, out.By, out.Made = in.Site, a.String(), t.at
		if err := t.tx.PutTemplate(scope, out); err != nil {
			return err
		}
		return t.tell(scope, ringwall.EventGroup, ringwall.Subject{Kind: ringwall.SubjectGroup, ID: string(out.ID)}, "",
			note{Key: "timeline.template.changed", Params: map[string]string{"name": out.Name, "version": strconv.Itoa(out.Version)}})
	})
	if err != nil {
		return out, err
	}
	return s.Template(ctx, a, out.ID, 0)
}

// giveTemplate gives a gateway a version of a template, 0 the newest.
func (t *turn) giveTemplate(scope audit.Scope, gw ringwall.GatewayID, id ringwall.TemplateID, version int) error {
	tpl, err := t.tx.Template(scope, id, version)
	if err != nil {
		return err
	}
	if _, err := t.tx.UpdateGateway(scope, gw, func(g *api.Gateway) error {
		setSite(g, tpl.Site)
		g.Template, g.TemplateVersion = tpl.ID, tpl.Version
		return nil
	}); err != nil {
		return err
	}
	t.compose(gw)
	return t.tell(scope, ringwall.EventGatewayState, gatewaySubject(gw), "", note{
		Key: "timeline.gateway.template", Params: map[string]string{"name": tpl.Name, "version": strconv.Itoa(tpl.Version)},
	})
}
