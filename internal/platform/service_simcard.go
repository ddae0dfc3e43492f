package platform

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/curve"
)

const (
	cardAlerts = 30  // of one card's page
	cardSteps  = 200 // of its way
)

// custodian knows the proven way of a card: the ledger does. nil = what the
// platform itself saw is told.
type custodian interface {
	Custody(ctx context.Context, scope audit.Scope, id ringwall.SIMID) ([]api.CustodyEvent, error)
}

// SIMCard answers all that is known of one card.
func (s *service) SIMCard(ctx context.Context, a audit.Actor, id ringwall.SIMID) (out api.SIMCard, err error) {
	v := sightOf(a)
	err = s.view(ctx, a, audit.SIMRead, on("sim", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if out.SIM, err = tx.SIM(scope, id); err != nil {
			return err
		}
		if out.Settings, err = settingsOf(tx, scope, out.SIM.Customer, out.SIM.Tariff); err != nil {
			return err
		}
		if out.Custody, out.Proven, err = s.custody(ctx, tx, scope, id, v); err != nil {
			return err
		}
		now := s.now().UTC()
		exceptions, err := tx.Exceptions(scope, id, true, now, sqlstore.Paging{Limit: 50})
		if err != nil {
			return err
		}
		out.Except = exceptions.Items
		out.Binding = bindingOf(out.SIM, out.Settings, out.Except, now)
		out.Hours, out.Days, out.Places, out.Alerts = emptyCurve(time.Hour), emptyCurve(24*time.Hour), []api.SIMPlace{}, []api.SIMAlert{}
		if !v.usage {
			// What a card was used for, and whom it may reach, is not shown to who only
			// passes it on.
			out.Binding, out.Except, out.Settings = api.SIMBinding{State: out.Binding.State}, []api.UsageException{}, api.UsageSettings{}
			return nil
		}
		if err := s.cardUse(tx, scope, &out, now); err != nil {
			return err
		}
		versions, err := tx.SIMProfiles(scope, id)
		if err == nil && len(versions) > 0 {
			out.Profile = &versions[0]
		}
		return err
	})
	if err != nil {
		return out, err
	}
	out.SIM = v.sim(out.SIM)
	out.Open, out.Acts = []api.Incident{}, []api.Response{}
	if err := optional(s.cardStory(ctx, a, &out)); err != nil {
		return out, err
	}
	return out, nil
}

// cardUse fills in curves, places and alerts.
func (s *service) cardUse(tx *sqlstore.Tx, scope audit.Scope, out *api.SIMCard, now time.Time) error {
	b, err := tx.SIMCurve(scope, out.SIM.ID)
	if err != nil {
		return err
	}
	c, err := curve.Decode(b)
	if err != nil {
		s.log.Error("a card's curve cannot be read", "sim", out.SIM.ID, "cause", err)
	}
	out.Hours = curveOf(c.Hour, time.Hour, curve.Hours, now)
	out.Days = curveOf(c.Day, 24*time.Hour, curve.Days, now)
	for _, p := range c.Places {
		out.Places = append(out.Places, api.SIMPlace{Area: p.Area, Cell: p.Cell, PLMN: p.PLMN, First: time.Unix(p.First, 0).UTC(), Last: time.Unix(p.Last, 0).UTC(), Count: p.Count})
	}
	alerts, err := tx.SIMAlerts(scope, sqlstore.SIMAlertFilter{SIM: out.SIM.ID}, sqlstore.Paging{Limit: cardAlerts})
	if err != nil {
		return err
	}
	out.Alerts = alerts.Items
	return tx.Unwatch(scope, out.Alerts)
}

// cardStory fills in incidents and responses, for those who may see any.
func (s *service) cardStory(ctx context.Context, a audit.Actor, out *api.SIMCard) error {
	subjects := []ringwall.Subject{simSubject(out.SIM.ID)}
	if out.SIM.Device != "" {
		subjects = append(subjects, deviceSubject(out.SIM.Device))
	}
	for _, subject := range subjects {
		page, err := s.Incidents(ctx, a, httpapi.IncidentFilter{Subject: subject}, httpapi.Paging{Limit: 10})
		if err != nil {
			return err
		}
		out.Open = append(out.Open, page.Items...)
	}
	rs, err := s.Responses(ctx, a, httpapi.ResponseFilter{Target: subjects[0]}, httpapi.Paging{Limit: 20})
	out.Acts = rs.Items
	return err
}

func emptyCurve(step time.Duration) api.UsageCurve {
	return api.UsageCurve{Step: api.Duration(step), Points: []api.UsagePoint{}}
}

// curveOf returns the last span steps of a curve.
func curveOf(slots []curve.Slot, step time.Duration, span int64, now time.Time) api.UsageCurve {
	c := emptyCurve(step)
	last := now.Unix() / int64(step/time.Second)
	c.From, c.To = time.Unix((last-span+1)*int64(step/time.Second), 0).UTC(), now
	for _, s := range slots {
		if s.N <= last-span {
			continue
		}
		c.Points = append(c.Points, api.UsagePoint{
			Time: time.Unix(s.N*int64(step/time.Second), 0).UTC(), Up: s.Up, Down: s.Down, Calls: s.Calls, Messages: s.Messages, Records: s.Records,
		})
	}
	return c
}

func bindingOf(s api.SIM, set api.UsageSettings, except []api.UsageException, now time.Time) api.SIMBinding {
	b := api.SIMBinding{State: "unknown", Bound: s.BoundIMEI, Seen: s.SeenIMEI, Since: s.Separated, Pools: set.Pools}
	switch {
	case !s.Separated.IsZero():
		b.State = "broken"
	case s.BoundIMEI == "" && s.SeenIMEI != "":
		b.State = "learned"
	case s.BoundIMEI != "" && s.SeenIMEI != "":
		b.State = "held"
	}
	for _, e := range except {
		if e.Kind == api.ExceptSwap && e.Ended.IsZero() && now.Before(e.Until) {
			b.Swap, b.Until = e.IMEI, e.Until
		}
	}
	return b
}

// steps says what entries of a card's timeline are steps of its way.
var steps = map[string]string{
	"timeline.sim.added": "registered", "timeline.sim.suspended": "suspended", "timeline.sim.restored": "restored",
	"timeline.sim.restricted": "restricted", "timeline.sim.released": "released", "timeline.sim.bound": "bound",
	"timeline.sim.separated": "separated", "timeline.sim.rejoined": "rejoined", "timeline.sim.profile": "profile",
	"timeline.sim.customer": "customer", "timeline.sim.state": "state",
	"timeline.sim.revealed": "revealed",
}

// custody tells a card's way: by the ledger where there is one, else as far as
// the platform saw it.
func (s *service) custody(ctx context.Context, tx *sqlstore.Tx, scope audit.Scope, id ringwall.SIMID, v sight) ([]api.CustodyEvent, bool, error) {
	if s.custodian != nil {
		all, err := s.custodian.Custody(ctx, scope, id)
		return all, err == nil, err
	}
	line, err := tx.Timeline(scope, simSubject(id), time.Time{}, cardSteps)
	if err != nil {
		return nil, false, err
	}
	all := []api.CustodyEvent{}
	for _, e := range v.timeline(line) {
		if what := steps[e.Key]; what != "" {
			all = append(all, api.CustodyEvent{Time: e.Time, What: what, By: e.Actor, Text: e.Text, Ref: string(e.Event)})
		}
	}
	slices.Reverse(all)
	return all, false, nil
}

// FindSIMs lists the cards that a filter means.
func (s *service) FindSIMs(ctx context.Context, a audit.Actor, f httpapi.SIMFilter, p httpapi.Paging) (page api.Page[api.SIM], err error) {
	v := sightOf(a)
	if !v.usage && (f.Separated || f.Silent || f.Never || f.Area != "") {
		return page, ringwall.Errorf(ringwall.Forbidden, "what a card was used for is not shown to your parts")
	}
	err = s.view(ctx, a, audit.SIMRead, on("sim", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.FindSIMs(scope, s.simFilter(f), paging(p))
		return err
	})
	for i := range page.Items {
		page.Items[i] = v.sim(page.Items[i])
	}
	return page, err
}

func (s *service) simFilter(f httpapi.SIMFilter) sqlstore.SIMFilter {
	out := sqlstore.SIMFilter{State: f.State, Customer: f.Customer, Tariff: f.Tariff, Seller: f.Seller, Area: f.Area, NoDevice: f.NoDevice, Broken: f.Separated, Never: f.Never}
	if f.Silent {
		out.Silent = s.now().Add(-silentFor)
	}
	return out
}

// words that people give: customers, tariffs and the like.
func checkWord(what, text string) error {
	if len(text) > maxName || strings.ContainsAny(text, "/\r\n\t\x00") {
		return ringwall.Errorf(ringwall.Invalid, "%s has %d bytes, want at most %d without slash and line break", what, len(text), maxName)
	}
	return nil
}

// PatchSIM says whose card it is.
func (s *service) PatchSIM(ctx context.Context, a audit.Actor, id ringwall.SIMID, p api.SIMPatch) (out api.SIM, err error) {
	for what, v := range map[string]*string{"the customer": p.Customer, "the tariff": p.Tariff, "the seller": p.Seller} {
		if v != nil {
			if err := checkWord(what, *v); err != nil {
				return out, err
			}
		}
	}
	err = s.change(ctx, a, audit.SIMWrite, on("sim", string(id)), func(t *turn, scope audit.Scope) error {
		was, err := t.tx.SIM(scope, id)
		if err != nil {
			return err
		}
		out, err = t.tx.UpdateSIM(scope, id, func(s *api.SIM) error {
			for to, v := range map[*string]*string{&s.Customer: p.Customer, &s.Tariff: p.Tariff, &s.Seller: p.Seller} {
				if v != nil {
					*to = *v
				}
			}
			return nil
		})
		if err != nil || out.Customer == was.Customer && out.Tariff == was.Tariff && out.Seller == was.Seller {
			return err
		}
		return t.tell(scope, ringwall.EventSIM, simSubject(id), "", note{Key: "timeline.sim.customer", Params: map[string]string{"customer": firstOf(out.Customer, "–"), "tariff": firstOf(out.Tariff, "–")}})
	})
	return sightOf(a).sim(out), err
}

// CreateSIMs registers many cards: each that is good, whatever the others are.
// One that is there already with these numbers is left as it is, so that a list
// can be sent again.
func (s *service) CreateSIMs(ctx context.Context, a audit.Actor, in api.SIMBatch) (out api.SIMBatchAnswer, err error) {
	out.Wrong = []api.SIMBatchFail{}
	if len(in.Cards) == 0 || len(in.Cards) > api.MaxBatch {
		return out, ringwall.Errorf(ringwall.Invalid, "a batch has %d cards, want 1 to %d", len(in.Cards), api.MaxBatch)
	}
	err = s.change(ctx, a, audit.SIMWrite, on("sim", ""), func(t *turn, scope audit.Scope) error {
		out = api.SIMBatchAnswer{Wrong: []api.SIMBatchFail{}}
		for i, c := range in.Cards {
			made, err := t.createSIM(scope, a, c, true)
			switch ringwall.CodeOf(err) {
			case "":
				if made == "" {
					out.There++
				} else {
					out.Made++
				}
			case ringwall.Invalid, ringwall.NotFound, ringwall.Conflict:
				if len(in.Cards) == 1 {
					return err
				}
				out.Wrong = append(out.Wrong, api.SIMBatchFail{Index: i, Why: words(err)})
			default:
				return err
			}
		}
		return nil
	})
	return out, err
}

// createSIM registers one card, and returns its id. With again, one that is there
// with the same numbers is no error, and its id is "".
func (t *turn) createSIM(scope audit.Scope, a audit.Actor, in api.SIMCreate, again bool) (ringwall.SIMID, error) {
	card, err := checkSIM(in)
	if err != nil {
		return "", err
	}
	if in.Device != "" {
		if _, err := t.tx.Device(scope, in.Device); err != nil {
			return "", err
		}
	}
	if again {
		// Looked up first: a refused INSERT would end the transaction elsewhere.
		same, err := t.tx.SameSIM(scope, card.ICCID, card.IMSI)
		if err != nil || same {
			return "", err
		}
	}
	s := api.SIM{
		ID: ringwall.SIMID(ringwall.NewID(ringwall.PrefixSIM, t.at)), Org: a.Org, Device: in.Device, State: string(operatorport.Active),
		Services: in.Services, Peers: in.Peers, Customer: in.Customer, Tariff: in.Tariff, Seller: in.Seller, Registered: t.at,
	}
	if s.Peers == nil {
		s.Peers = []string{}
	}
	if s, err = t.tx.CreateSIM(scope, s, sqlstore.Numbers{ICCID: card.ICCID, IMSI: card.IMSI, BoundIMEI: ringwall.IMEI(in.IMEI)}); err != nil {
		return "", err
	}
	if in.Device != "" {
		own, err := t.projector()
		if err != nil {
			return "", err
		}
		if _, err := t.tx.UpdateDevice(own, in.Device, func(d *api.Device) error { d.SIM = s.ID; return nil }); err != nil {
			return "", err
		}
		t.judge(in.Device, string(s.ID))
	}
	return s.ID, t.tell(scope, ringwall.EventSIM, simSubject(s.ID), "", note{Key: "timeline.sim.added"})
}

func checkSIM(in api.SIMCreate) (operatorport.Card, error) {
	card := operatorport.Card{ICCID: ringwall.ICCID(in.ICCID), IMSI: ringwall.IMSI(in.IMSI)}
	if err := usage.Check(in); err != nil {
		return card, err
	}
	if in.ICCID == "" || in.IMSI == "" {
		return card, ringwall.Errorf(ringwall.Invalid, "a SIM has an ICCID and an IMSI")
	}
	for what, text := range map[string]string{"the customer": in.Customer, "the tariff": in.Tariff, "the seller": in.Seller} {
		if err := checkWord(what, text); err != nil {
			return card, err
		}
	}
	return card, card.Validate()
}

// SIMAlerts lists what rules said of cards.
func (s *service) SIMAlerts(ctx context.Context, a audit.Actor, f httpapi.SIMAlertFilter, p httpapi.Paging) (page api.Page[api.SIMAlert], err error) {
	page.Items = []api.SIMAlert{}
	err = s.view(ctx, a, audit.SIMRead, on("sim", string(f.SIM)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if !sightOf(a).usage {
			return ringwall.Errorf(ringwall.Forbidden, "what a card was used for is not shown to your parts")
		}
		page, err = tx.SIMAlerts(scope, sqlstore.SIMAlertFilter{SIM: f.SIM, Customer: f.Customer, Rule: f.Rule, Area: f.Area, Loud: f.Loud}, paging(p))
		if err != nil {
			return err
		}
		return tx.Unwatch(scope, page.Items)
	})
	return page, err
}

// DecideSIMAlert takes what somebody makes of an alert, and with it an exception.
func (s *service) DecideSIMAlert(ctx context.Context, a audit.Actor, id ringwall.AlertID, in api.AlertDecision) (out api.SIMAlert, err error) {
	err = s.change(ctx, a, audit.SIMWrite, on("alert", string(id)), func(t *turn, scope audit.Scope) error {
		old, err := t.tx.SIMAlert(scope, id)
		if err != nil {
			return err
		}
		if err := checkDecision(in); err != nil {
			return err
		}
		var exception ringwall.ExceptionID
		if in.Except != nil {
			card, err := t.tx.SIM(scope, old.SIM)
			if err != nil {
				return err
			}
			c := api.ExceptionCreate{Kind: api.ExceptRule, SIM: old.SIM, Rules: []string{old.Rule}, Until: in.Except.Until, Reason: firstOf(in.Note, "alert "+in.Disposition)}
			if in.Except.Customer {
				if card.Customer == "" {
					return ringwall.Errorf(ringwall.Invalid, "the card has no customer: make the exception for the card")
				}
				c.SIM, c.Customer = "", card.Customer
			}
			e, err := t.except(scope, a, c, old.ID)
			if err != nil {
				return err
			}
			exception = e.ID
		}
		if out, err = t.tx.UpdateSIMAlert(scope, id, func(k *api.SIMAlert) error {
			k.Disposition, k.Note, k.Decided, k.DecidedAt = in.Disposition, in.Note, a.String(), t.at
			if exception != "" {
				k.Exception = exception
			}
			return nil
		}); err != nil {
			return err
		}
		if old.Rule == ruleDeviceChanged && (in.Disposition == "false" || in.Disposition == "benign") {
			if err := t.deviceAccepted(scope, old.SIM); err != nil {
				return err
			}
		}
		one := []api.SIMAlert{out}
		if err := t.tx.Unwatch(scope, one); err != nil {
			return err
		}
		out = one[0]
		return t.tell(scope, ringwall.EventSIM, simSubject(old.SIM), string(id), note{Key: "timeline.sim.alert", Ref: string(id), Params: map[string]string{"rule": old.Rule, "disposition": in.Disposition}})
	})
	return out, err
}

func checkDecision(in api.AlertDecision) error {
	if !slices.Contains([]string{"true", "benign", "false", "unknown"}, in.Disposition) {
		return ringwall.Errorf(ringwall.Invalid, "disposition %.20q is none of true, benign, false, unknown", in.Disposition)
	}
	if len(in.Note) > 1000 {
		return ringwall.Errorf(ringwall.Invalid, "the note has %d bytes, want at most 1000", len(in.Note))
	}
	if in.Except != nil && in.Disposition != "false" && in.Disposition != "benign" {
		return ringwall.Errorf(ringwall.Invalid, "an exception goes with an alert that is false or benign")
	}
	return nil
}
