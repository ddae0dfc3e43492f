package platform

import (
	"reflect"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/policy"
)

// siteNow returns all that a template could set at a gateway, as it stands.
func siteNow(g api.Gateway) api.Site {
	nets, repair, controllers, groups, terms := orNone(g.LocalNets), orNone(g.Remediate), orNone(g.Controllers), orNone(g.Groups), orNone(g.Terms)
	return api.Site{
		Arrival: &g.Arrival, Resolver: &g.Resolver, LocalNets: &nets, Remediate: &repair, Controllers: &controllers, Groups: &groups, Terms: &terms,
		Use: &g.Use, ReflexLimit: &g.ReflexLimit, MaxAge: &g.MaxAge, Confirm: &g.Confirm,
	}
}

// setSite sets at a gateway what a template says.
func setSite(g *api.Gateway, s api.Site) {
	set(&g.Arrival, s.Arrival)
	set(&g.Resolver, s.Resolver)
	set(&g.LocalNets, s.LocalNets)
	set(&g.Remediate, s.Remediate)
	set(&g.Controllers, s.Controllers)
	set(&g.Groups, s.Groups)
	set(&g.Terms, s.Terms)
	set(&g.Use, s.Use)
	set(&g.ReflexLimit, s.ReflexLimit)
	set(&g.MaxAge, s.MaxAge)
	set(&g.Confirm, s.Confirm)
}

// driftOf names what a template sets and a gateway has otherwise, as its JSON
// names it.
func driftOf(g api.Gateway, s api.Site) []string {
	var out []string
	want, have := reflect.ValueOf(s), reflect.ValueOf(siteNow(g))
	for i := range want.NumField() {
		w, h := want.Field(i), have.Field(i)
		if w.IsNil() {
			continue
		}
		if w.Elem().Kind() == reflect.Slice && w.Elem().Len() == 0 && h.Elem().Len() == 0 {
			continue
		}
		if !reflect.DeepEqual(w.Elem().Interface(), h.Elem().Interface()) {
			out = append(out, jsonName(want.Type().Field(i)))
		}
	}
	return out
}

func jsonName(f reflect.StructField) string {
	name := f.Tag.Get("json")
	for i, c := range name {
		if c == ',' {
			return name[:i]
		}
	}
	return name
}

// maxControllers bounds the roles of a site, and maxInRole who fills one.
const (
	maxControllers = 100
	maxInRole      = 100
)

// checkSite looks at settings of a site that a person wrote.
func checkSite(s api.Site) error {
	if err := checkGateway(api.GatewayPatch{Arrival: s.Arrival, Resolver: s.Resolver, LocalNets: s.LocalNets, Remediate: s.Remediate}); err != nil {
		return err
	}
	if s.Terms != nil {
		if err := checkTerms(*s.Terms); err != nil {
			return err
		}
	}
	if s.Use != nil {
		if err := checkUse(*s.Use); err != nil {
			return err
		}
	}
	if s.ReflexLimit != nil && (*s.ReflexLimit < 0 || *s.ReflexLimit > 1000) {
		return ringwall.Errorf(ringwall.Invalid, "the limit of reflexes is 0 to 1000 devices")
	}
	if s.Groups != nil && len(*s.Groups) > 100 {
		return ringwall.Errorf(ringwall.Invalid, "a site is in at most 100 groups")
	}
	for what, d := range map[string]*api.Duration{"maximum age": s.MaxAge, "time to confirm": s.Confirm} {
		if d != nil && *d < 0 {
			return ringwall.Errorf(ringwall.Invalid, "the %s is negative", what)
		}
	}
	if s.Controllers == nil {
		return nil
	}
	if len(*s.Controllers) > maxControllers {
		return ringwall.Errorf(ringwall.Invalid, "a site has at most %d controllers", maxControllers)
	}
	for _, c := range *s.Controllers {
		if c.Role == "" || len(c.Role) > maxName*2 || len(c.Nets)+len(c.Domains)+len(c.Devices) > maxInRole {
			return ringwall.Errorf(ringwall.Invalid, "controller %.40q: a role has a name, and at most %d who fill it", c.Role, maxInRole)
		}
		for _, n := range c.Nets {
			if !n.IsValid() {
				return ringwall.Errorf(ringwall.Invalid, "controller %.40q has a network that is none", c.Role)
			}
		}
		for _, d := range c.Domains {
			if err := policy.CheckPattern(d); err != nil {
				return ringwall.Errorf(ringwall.Invalid, "controller %.40q: %w", c.Role, err)
			}
		}
	}
	return nil
}

// knownSite answers NotFound when settings name what is not the organisation's.
func (t *turn) knownSite(scope audit.Scope, s api.Site) error {
	if err := t.knownDevices(s.Remediate); err != nil {
		return err
	}
	if err := t.knownDevices(s.Terms); err != nil {
		return err
	}
	if s.Groups != nil {
		for _, id := range *s.Groups {
			if _, err := t.tx.Group(scope, id); err != nil {
				return err
			}
		}
	}
	if s.Controllers == nil {
		return nil
	}
	own, err := t.as(audit.SysPolicy, audit.SystemPolicy)
	if err != nil {
		return err
	}
	for _, c := range *s.Controllers {
		for _, d := range c.Devices {
			if _, err := t.tx.Device(own, d); err != nil {
				return err
			}
		}
	}
	return nil
}
