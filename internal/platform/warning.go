package platform

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/webhook"
)

// Types of a warning.
const (
	warnOpened = "incident.opened"
	warnGrew   = "incident.grew"
	warnClosed = "incident.closed"
	warnTest   = "test"
)

// States of a delivery.
const (
	deliveryWaiting = "waiting"
	deliverySent    = "sent"
	deliveryGivenUp = "given-up"
)

const (
	// warnEvery is the round of what waits.
	warnEvery = 2 * time.Second
	// warnAtOnce bounds one round.
	warnAtOnce = 20
	// warnFirst, warnLongest and warnFor say when a warning that was not taken is
	// tried again: after a second first, then doubled, once an hour at last, for
	// three days: a party's system may be down over a weekend.
	warnFirst   = time.Second
	warnLongest = time.Hour
	warnFor     = 72 * time.Hour
	maxRoutes   = 200
)

// partiesWarned are the parts to which warnings go; each sees what package
// incident shows it.
var partiesWarned = []ringwall.Part{
	ringwall.PartOwner, ringwall.PartEnterprise, ringwall.PartOperator, ringwall.PartManufacturer, ringwall.PartApplication, ringwall.PartProvider, ringwall.PartIntegrator,
}

// warn puts on their way what the parties are to be told of an incident that
// changed, in the transaction that changes it.
func (t *turn) warn(scope audit.Scope, old *incident.Incident, next incident.Incident) error {
	kind := ""
	switch {
	case !next.Listed():
		return nil
	case old == nil || !old.Listed():
		kind = warnOpened
	case old.Status != next.Status && (next.Status == incident.Resolved || next.Status == incident.Closed):
		kind = warnClosed
	case old.Severity < next.Severity || old.Stage < next.Stage:
		kind = warnGrew
	default:
		return nil
	}
	routes, err := t.tx.WarningRoutes(scope)
	if err != nil || len(routes) == 0 {
		return err
	}
	where, err := t.whereabouts(next)
	if err != nil {
		return err
	}
	for _, r := range routes {
		if r.Off || next.Severity < r.Severity || !where.means(r, next) {
			continue
		}
		shown, ok := incident.Project(next, r.Party)
		if !ok {
			continue
		}
		cause := string(next.ID) + "/" + next.Status + "/" + next.Severity.String() + "/" + next.Stage.String() + "/" + strconv.Itoa(next.AlertCount)
		if err := t.queue(scope, r, api.Warning{Type: kind, Time: t.at, Party: r.Party, Incident: &shown}, cause); err != nil {
			return err
		}
	}
	return nil
}

// queue puts one warning on its way.
func (t *turn) queue(scope audit.Scope, r api.WarningRoute, w api.Warning, cause string) error {
	body, err := json.Marshal(w)
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "writing a warning: %w", err)
	}
	if len(body) > webhook.MaxBody && w.Incident != nil {
		// A story can be long; its end and the alerts are read by its id.
		w.Incident.Story, w.Incident.Alerts = nil, nil
		if body, err = json.Marshal(w); err != nil {
			return ringwall.Errorf(ringwall.Internal, "writing a warning: %w", err)
		}
	}
	d := api.Delivery{ID: ringwall.DeriveID("wrn", string(t.org), string(r.ID), w.Type, cause), Route: r.ID, Type: w.Type, Made: t.at, Next: t.at, State: deliveryWaiting}
	err = t.tx.QueueWarning(scope, d, string(body))
	if errors.Is(err, sqlstore.ErrFull) {
		t.log.Error("a party is not warned: too much waits for it", "route", r.ID, "party", r.Party)
		return nil
	}
	return err
}

// whereabouts is what says whether a route is for an incident.
type whereabouts struct {
	customer, vendor string
	tags             []string
}

func (t *turn) whereabouts(in incident.Incident) (w whereabouts, err error) {
	scope, err := t.projector()
	if err != nil {
		return w, err
	}
	w.vendor = in.Vendor
	sim := in.SIM
	if in.Subject.Kind == ringwall.SubjectSIM {
		sim = ringwall.SIMID(in.Subject.ID)
	}
	if id := in.Device(); id != "" {
		d, err := t.tx.Device(scope, id)
		if err != nil && !isCode(err, ringwall.NotFound) {
			return w, err
		}
		w.tags = d.Tags
		w.vendor = firstOf(d.Vendor, w.vendor)
		if sim == "" {
			sim = d.SIM
		}
	}
	if sim != "" {
		s, err := t.tx.SIM(scope, sim)
		if err != nil && !isCode(err, ringwall.NotFound) {
			return w, err
		}
		w.customer = s.Customer
	}
	return w, nil
}

// means reports whether a route is for what lies there. What a route is narrowed
// to must be known to hold: an incident of which it is not known whose it is
// goes to nobody's customer.
func (w whereabouts) means(r api.WarningRoute, in incident.Incident) bool {
	switch {
	case r.Customer != "" && r.Customer != w.customer:
		return false
	case r.Vendor != "" && !strings.EqualFold(strings.TrimSpace(r.Vendor), strings.TrimSpace(w.vendor)):
		return false
	case r.Tag != "" && !slices.Contains(w.tags, r.Tag):
		return false
	}
	return true
}

// checkRoute looks at a route before it is kept: a party that is one of many is
// named, so that none is told of another's.
func (s *service) checkRoute(in api.WarningRoutePut) error {
	for what, text := range map[string]string{"the name": in.Name, "the customer": in.Customer, "the vendor": in.Vendor, "the tag": in.Tag} {
		if err := checkWord(what, text); err != nil {
			return err
		}
	}
	switch {
	case !slices.Contains(partiesWarned, in.Party):
		return ringwall.Errorf(ringwall.Invalid, "no warnings go to the part %.40q", in.Party)
	case strings.TrimSpace(in.Name) == "":
		return ringwall.Errorf(ringwall.Invalid, "a route has a name")
	case in.Party == ringwall.PartEnterprise && in.Customer == "":
		return ringwall.Errorf(ringwall.Invalid, "a route to an enterprise names the customer")
	case in.Party == ringwall.PartManufacturer && in.Vendor == "":
		return ringwall.Errorf(ringwall.Invalid, "a route to a manufacturer names the vendor of the devices")
	case (in.Party == ringwall.PartApplication || in.Party == ringwall.PartProvider || in.Party == ringwall.PartIntegrator) && in.Tag == "" && in.Customer == "":
		return ringwall.Errorf(ringwall.Invalid, "a route to this part names the tag of the devices that it is for, or the customer")
	case in.Severity > ringwall.Critical:
		return ringwall.Errorf(ringwall.Invalid, "there is no such severity")
	}
	return s.hooks.CheckURL(in.URL)
}

// WarningRoutes lists to whom warnings go.
func (s *service) WarningRoutes(ctx context.Context, a audit.Actor) (all []api.WarningRoute, err error) {
	err = s.view(ctx, a, audit.IncidentRead, on("route", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if !sightOf(a).whole {
			return ringwall.Errorf(ringwall.Forbidden, "to whom warnings go is not shown to your parts")
		}
		all, err = tx.WarningRoutes(scope)
		return err
	})
	return orNone(all), err
}

// PutWarningRoute makes a route (id "") or changes one. The secret of a new one
// is in this answer and nowhere else.
func (s *service) PutWarningRoute(ctx context.Context, a audit.Actor, id ringwall.RouteID, in api.WarningRoutePut) (out api.WarningRoute, err error) {
	if in.Severity == 0 {
		in.Severity = ringwall.Medium
	}
	err = s.change(ctx, a, audit.WarningWrite, on("route", string(id)), func(t *turn, scope audit.Scope) error {
		var secret []byte
		if id != "" { // what is another's is not found, whatever else is wrong
			if _, err := t.tx.WarningRoute(scope, id); err != nil {
				return err
			}
		}
		if err := s.checkRoute(in); err != nil {
			return err
		}
		out = api.WarningRoute{ID: id, Made: t.at, By: a.String()}
		if id == "" {
			all, err := t.tx.WarningRoutes(scope)
			if err != nil {
				return err
			}
			if len(all) >= maxRoutes {
				return ringwall.Errorf(ringwall.Conflict, "there are %d routes; no more are taken", len(all))
			}
			out.ID = ringwall.RouteID(ringwall.NewID(ringwall.PrefixRoute, t.at))
			secret, out.Secret = webhook.NewSecret()
		} else if out, err = t.tx.WarningRoute(scope, id); err != nil {
			return err
		}
		if id != "" && (out.Party != in.Party || out.Customer != in.Customer || out.Vendor != in.Vendor || out.Tag != in.Tag) {
			return ringwall.Errorf(ringwall.Conflict, "whom a route is for does not change: make another, whose secret only they know")
		}
		out.Party, out.Name, out.URL, out.Customer, out.Vendor, out.Tag, out.Severity, out.Off = in.Party, in.Name, in.URL, in.Customer, in.Vendor, in.Tag, in.Severity, in.Off
		return t.tx.PutWarningRoute(scope, out, secret)
	})
	return out, err
}

// DropWarningRoute ends a route, and what waits on it.
func (s *service) DropWarningRoute(ctx context.Context, a audit.Actor, id ringwall.RouteID) error {
	return s.change(ctx, a, audit.WarningWrite, on("route", string(id)), func(t *turn, scope audit.Scope) error { return t.tx.DropWarningRoute(scope, id) })
}

// TestWarningRoute sends a warning of nothing.
func (s *service) TestWarningRoute(ctx context.Context, a audit.Actor, id ringwall.RouteID) (d api.Delivery, err error) {
	err = s.change(ctx, a, audit.WarningWrite, on("route", string(id)), func(t *turn, scope audit.Scope) error {
		r, err := t.tx.WarningRoute(scope, id)
		if err != nil {
			return err
		}
		d = api.Delivery{ID: ringwall.DeriveID("wrn", string(t.org), string(id), warnTest, t.at.Format(time.RFC3339Nano)), Route: id, Type: warnTest, Made: t.at, State: deliveryWaiting}
		return t.queue(scope, r, api.Warning{Type: warnTest, Time: t.at, Party: r.Party}, t.at.Format(time.RFC3339Nano))
	})
	return d, err
}

// Deliveries lists warnings on their way and those that have come.
func (s *service) Deliveries(ctx context.Context, a audit.Actor, route ringwall.RouteID, p httpapi.Paging) (page api.Page[api.Delivery], err error) {
	page.Items = []api.Delivery{}
	err = s.view(ctx, a, audit.IncidentRead, on("route", string(route)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if !sightOf(a).whole {
			return ringwall.Errorf(ringwall.Forbidden, "to whom warnings go is not shown to your parts")
		}
		page, err = tx.Deliveries(scope, route, paging(p))
		return err
	})
	return page, err
}

// sendWarnings sends what waits until ctx ends.
func (p *Platform) sendWarnings(ctx context.Context, ready func()) error {
	ready()
	return p.rounds(ctx, warnEvery, nil, func(k *keptScopes, org ringwall.OrgID) error {
		scope, err := k.get(ctx, audit.SysOutbox, audit.SystemOutbox, org)
		if err != nil {
			return err
		}
		return p.core.sendDue(ctx, scope, p.hooks)
	})
}

// deliverer is what sendDue sends by; a webhook.Sender is one.
type deliverer interface {
	Send(ctx context.Context, to, id string, secret, body []byte) error
}

// sendDue sends what is due of one organisation: the first of each route, beside
// each other, so that a party that does not answer holds up no other.
func (c *core) sendDue(ctx context.Context, scope audit.Scope, by deliverer) error {
	var due []sqlstore.Outgoing
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		due, err = tx.DueWarnings(scope, c.now(), warnAtOnce)
		return err
	}); err != nil || len(due) == 0 {
		return err
	}
	answers := make(chan error, len(due))
	for _, o := range due {
		go func() { answers <- c.sendOne(ctx, scope, by, o) }() // ends with its timeout; waited for below
	}
	var errs []error
	for range due {
		errs = append(errs, <-answers)
	}
	return errors.Join(errs...)
}

func (c *core) sendOne(ctx context.Context, scope audit.Scope, by deliverer, o sqlstore.Outgoing) error {
	d := o.Delivery
	d.Tries++
	var err error
	if o.To.Off {
		err = ringwall.Errorf(ringwall.Forbidden, "the route is switched off")
	} else {
		err = by.Send(ctx, o.To.URL, d.ID, o.Secret, []byte(o.Body))
	}
	now := c.now().UTC()
	if ctx.Err() != nil {
		return nil // not known; it is sent again, under the same id
	}
	switch {
	case err == nil:
		d.State, d.Done, d.Next, d.Error = deliverySent, now, time.Time{}, ""
	case ringwall.CodeOf(err) != ringwall.Unavailable || now.Sub(d.Made) > warnFor:
		d.State, d.Done, d.Next, d.Error = deliveryGivenUp, now, time.Time{}, words(err)
	default:
		d.Next, d.Error = now.Add(min(warnFirst<<min(d.Tries-1, 20), warnLongest)), words(err)
	}
	err = c.store.Update(ctx, func(tx *sqlstore.Tx) error { return tx.PutDelivery(scope, d) })
	if isCode(err, ringwall.NotFound) {
		return nil // the route has ended meanwhile
	}
	return err
}
