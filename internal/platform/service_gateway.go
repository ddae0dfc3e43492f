package platform

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/identity"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// Gateways lists gateways, newest first.
func (s *service) Gateways(ctx context.Context, a audit.Actor, p httpapi.Paging) (page api.Page[api.Gateway], err error) {
	err = s.view(ctx, a, audit.GatewayRead, on("gateway", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if page, err = tx.Gateways(scope, paging(p)); err != nil {
			return err
		}
		return showGateways(tx, scope, page.Items, s.now())
	})
	return page, err
}

// FindGateways lists those gateways that a filter means, by name: all of them,
// since what is filtered by is worked out of each.
func (s *service) FindGateways(ctx context.Context, a audit.Actor, f httpapi.GatewayFilter) (out []api.Gateway, err error) {
	if f.Flag != "" && !slices.Contains(api.GatewayFlags(), f.Flag) {
		return nil, ringwall.Errorf(ringwall.Invalid, "no gateway has a flag %.40q", f.Flag)
	}
	err = s.view(ctx, a, audit.GatewayRead, on("gateway", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		all, err := tx.AllGateways(scope)
		if err != nil {
			return err
		}
		if err := showGateways(tx, scope, all, s.now()); err != nil {
			return err
		}
		for _, g := range all {
			if wanted(g, f.Flag, f.Template, f.Text) {
				out = append(out, g)
			}
		}
		slices.SortFunc(out, byName)
		return nil
	})
	return orNone(out), err
}

// Gateway answers one gateway.
func (s *service) Gateway(ctx context.Context, a audit.Actor, id ringwall.GatewayID) (g api.Gateway, err error) {
	err = s.view(ctx, a, audit.GatewayRead, on("gateway", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if g, err = tx.Gateway(scope, id); err != nil {
			return err
		}
		one := []api.Gateway{g}
		if err := showGateways(tx, scope, one, s.now()); err != nil {
			return err
		}
		g = one[0]
		g.Notices, err = tx.Notices(scope, id, shownNotices)
		return err
	})
	return g, err
}

// shownNotices is how many notices are shown with a gateway.
const shownNotices = 50

// PatchGateway changes what a gateway is told.
func (s *service) PatchGateway(ctx context.Context, a audit.Actor, id ringwall.GatewayID, p api.GatewayPatch) (g api.Gateway, err error) {
	if err := checkGateway(p); err != nil {
		return g, err
	}
	site := api.Site{
		Arrival: p.Arrival, Resolver: p.Resolver, LocalNets: p.LocalNets, Remediate: p.Remediate, Controllers: p.Controllers, Groups: p.Groups,
		Terms: p.Terms, Use: p.Use, ReflexLimit: p.ReflexLimit, MaxAge: p.MaxAge, Confirm: p.Confirm,
	}
	if err := checkSite(site); err != nil {
		return g, err
	}
	err = s.change(ctx, a, audit.GatewayWrite, on("gateway", string(id)), func(t *turn, scope audit.Scope) error {
		if _, err := t.tx.Gateway(scope, id); err != nil {
			return err
		}
		if err := t.knownSite(scope, site); err != nil {
			return err
		}
		if p.Template != nil && *p.Template != "" {
			if err := t.giveTemplate(scope, id, *p.Template, 0); err != nil {
				return err
			}
		}
		g, err = t.tx.UpdateGateway(scope, id, func(g *api.Gateway) error {
			set(&g.Name, p.Name)
			setSite(g, site)
			if p.Template != nil && *p.Template == "" {
				g.Template, g.TemplateVersion = "", 0
			}
			return nil
		})
		if err != nil {
			return err
		}
		t.compose(id)
		if p.Revoked != nil {
			return t.revoke(scope, g, *p.Revoked)
		}
		return nil
	})
	if err != nil {
		return g, err
	}
	if !g.Revoked.IsZero() || p.Revoked != nil {
		s.gatewayRevoked(id)
	}
	return s.Gateway(ctx, a, id)
}

// revoke ends a gateway's identity. What is behind it is vouched for by nobody
// from then on; the gateway itself keeps its last good policy, as it does
// whenever it hears nothing.
func (t *turn) revoke(scope audit.Scope, g api.Gateway, yes bool) error {
	switch {
	case !yes && !g.Revoked.IsZero():
		return ringwall.Errorf(ringwall.Conflict, "a revoked gateway has to enrol anew; what was revoked stays so")
	case !yes || !g.Revoked.IsZero():
		return nil
	}
	if _, err := t.tx.UpdateGateway(scope, g.ID, func(g *api.Gateway) error { g.Revoked, g.Online = t.at, false; return nil }); err != nil {
		return err
	}
	own, err := t.projector()
	if err != nil {
		return err
	}
	if err := t.judgeBehind(own, g.ID); err != nil {
		return err
	}
	return t.tell(scope, ringwall.EventGatewayState, ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(g.ID)}, "", note{Key: "timeline.gateway.revoked"})
}

// knownDevices answers NotFound when a term names a device that the
// organisation does not have.
func (t *turn) knownDevices(terms *[]api.Term) error {
	if terms == nil {
		return nil
	}
	scope, err := t.as(audit.SysPolicy, audit.SystemPolicy)
	if err != nil {
		return err
	}
	for _, term := range *terms {
		if term.Device == "" {
			continue
		}
		if _, err := t.tx.Device(scope, term.Device); err != nil {
			return err
		}
	}
	return nil
}

func checkGateway(p api.GatewayPatch) error {
	if p.Name != nil {
		if err := checkName(*p.Name); err != nil {
			return err
		}
	}
	if p.Arrival != nil && *p.Arrival == ringwall.Shadow {
		return ringwall.Errorf(ringwall.Invalid, "arrival is learn or enforce")
	}
	if p.Resolver != nil && *p.Resolver != "" {
		if _, err := netip.ParseAddrPort(*p.Resolver); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "resolver %q is not address:port", *p.Resolver)
		}
	}
	if p.LocalNets != nil {
		for _, n := range *p.LocalNets {
			if !n.IsValid() || !n.Addr().Is4() {
				return ringwall.Errorf(ringwall.Invalid, "local network %q is not an IPv4 network", n)
			}
		}
	}
	if p.Remediate != nil {
		for _, t := range *p.Remediate {
			if err := policy.Check(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// CreateEnrolToken makes a one-time token.
func (s *service) CreateEnrolToken(ctx context.Context, a audit.Actor) (api.EnrolToken, error) {
	scope, err := s.auditor.Authorise(ctx, a, audit.GatewayEnrol, audit.Target{Kind: "gateway", Org: a.Org})
	if err != nil {
		return api.EnrolToken{}, err
	}
	secret, rec := identity.NewToken(identity.EnrolToken, a.Org, s.now())
	if rec.Expires.IsZero() {
		rec.Expires = s.now().Add(identity.EnrolLife)
	}
	if err := s.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.CreateEnrolToken(scope, rec) }); err != nil {
		return api.EnrolToken{}, err
	}
	return api.EnrolToken{ID: rec.ID, Token: secret.Reveal(), Expires: rec.Expires, CAPin: s.authority.Pin()}, nil
}

// refusedToken is the one answer to a token that does not hold, whatever is
// wrong with it.
func refusedToken(err error) error {
	return &ringwall.Error{Code: ringwall.Unverified, Text: "the enrolment token does not hold", Hint: "make a new one with \"ringwall gateway token\"", Err: err}
}

// Enrol gives a gateway its identity. The token is used up in the same
// transaction in which the gateway comes to be: of any number who show it at
// once, one is enrolled.
func (s *service) Enrol(ctx context.Context, req api.EnrolRequest) (api.EnrolAnswer, error) {
	var out api.EnrolAnswer
	claim, err := identity.ParseToken(identity.EnrolToken, req.Token)
	if err != nil {
		return out, refusedToken(err)
	}
	name := strings.TrimSpace(req.Name)
	if name == "" {
		name = "gateway"
	}
	if err := checkName(name); err != nil {
		return out, err
	}
	enrol := func(tx *sqlstore.Tx) (audit.Scope, error) {
		scope, err := s.auditor.Authorise(ctx, audit.System(audit.SysEnrol, claim.Org), audit.GatewayEnrol, audit.Target{Kind: "token", ID: string(claim.ID), Org: claim.Org})
		if err != nil {
			return scope, err
		}
		rec, err := tx.EnrolToken(scope, claim.ID)
		if err != nil {
			return scope, refusedToken(err)
		}
		if err := claim.Check(rec, s.now()); err != nil {
			return scope, refusedToken(err)
		}
		return scope, nil
	}
	err = s.turn(ctx, claim.Org, func(t *turn) error {
		scope, err := enrol(t.tx)
		if err != nil {
			return err
		}
		gw := ringwall.GatewayID(ringwall.NewID(ringwall.PrefixGateway, t.at))
		cert, err := s.authority.SignGateway(claim.Org, gw, []byte(req.CSR))
		if err != nil {
			return err
		}
		line, listed, err := t.claimLine(scope, claim.ID, req, gw)
		if err != nil {
			return refusedToken(err)
		}
		g := api.Gateway{
			ID: gw, Org: claim.Org, Name: name, Enrolled: t.at, Arrival: ringwall.Learn, CertExpiry: cert.Expires,
			LocalNets: []netip.Prefix{}, Remediate: []api.Term{}, Serial: clip(strings.TrimSpace(req.Serial), maxName),
		}
		if listed {
			g.Name, name = line.Name, line.Name
			if line.Template != "" {
				tpl, err := t.tx.Template(scope, line.Template, 0)
				if err != nil {
					return err
				}
				setSite(&g, tpl.Site)
				g.Template, g.TemplateVersion = tpl.ID, tpl.Version
			}
			for _, id := range line.Groups {
				if !slices.Contains(g.Groups, id) {
					g.Groups = append(slices.Clone(g.Groups), id)
				}
			}
		}
		if err := t.tx.CreateGateway(scope, g, cert.Serial); err != nil {
			return err
		}
		t.compose(gw)
		out = api.EnrolAnswer{
			Org: claim.Org, Gateway: gw, Certificate: string(cert.PEM), CA: string(s.authority.Certificate()), Spine: s.spineAddrs, SigningKeys: s.signer.Keys(), MQTT: s.mqtt.addrs,
		}
		return t.tell(scope, ringwall.EventGatewayEnrol, ringwall.Subject{Kind: ringwall.SubjectGateway, ID: string(gw)}, string(claim.ID),
			note{Key: "timeline.gateway.enrolled", Params: map[string]string{"name": name}})
	})
	return out, err
}
