package platform

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/usage"
)

// simAlert keeps an alert about cards, with each card that it names, and joins it
// into the incident of the device that the first of them sits in, or of the card
// itself, of which nobody has said that this is expected. r is the record that
// tipped it; an empty one when nobody has it any more.
func (t *turn) simAlert(a ringwall.Alert, r *cdr.Record) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	var kept []api.SIMAlert
	var cards []api.SIM
	named := namedIn(a)
	facts := maps.Clone(a.Evidence.Facts)
	delete(facts, factSIMs)
	for _, id := range named {
		s, err := t.tx.SIM(scope, id)
		if isCode(err, ringwall.NotFound) {
			t.log.Error("an alert is about no card of ours, and is passed over", "rule", a.Rule, "alert", a.ID)
			continue
		}
		if err != nil {
			return err
		}
		k := api.SIMAlert{
			ID: a.ID, SIM: s.ID, Time: a.Time, Rule: a.Rule, Nature: a.Nature, Severity: a.Severity, Title: clip(a.Title, maxSaid), Facts: facts, Area: clip(r.Area, maxName),
		}
		if string(s.ID) != a.Subject.ID { // it has an entry of its own
			k.ID = ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, string(a.ID), string(s.ID)))
		}
		if k.Muted, k.MutedBy, err = t.muted(scope, s, a, seenOf(a, r)); err != nil {
			return err
		}
		kept, cards = append(kept, k), append(cards, s)
	}
	a.Org = t.org
	loud := slices.IndexFunc(kept, func(k api.SIMAlert) bool { return k.Muted == "" })
	var in ringwall.IncidentID
	if loud >= 0 {
		// An incident's words go to the party that its card belongs to, which need not
		// learn of another's.
		var same []string
		for _, s := range cards {
			if s.Customer == cards[loud].Customer {
				same = append(same, string(s.ID))
			}
		}
		if a.Evidence.Facts = facts; len(same) > 1 {
			a.Evidence.Facts = maps.Clone(facts)
			a.Evidence.Facts[factSIMs] = strings.Join(same, " ")
		}
		about, err := t.aboutSIM(scope, cards[loud])
		if err != nil {
			return err
		}
		if err := t.alert(scope, about, a); err != nil {
			return err
		}
		if open, err := t.tx.OpenIncident(scope, about.Subject); err == nil {
			in = open.ID
		} else if !isCode(err, ringwall.NotFound) {
			return err
		}
	}
	for _, k := range kept {
		for _, other := range cards { // that are ours
			if other.ID != k.SIM {
				k.With = append(k.With, other.ID)
			}
		}
		if k.Muted == "" {
			k.Incident = in
		}
		isNew, err := t.tx.PutSIMAlert(scope, k)
		if err != nil {
			return err
		}
		if k.Muted == "" || !isNew {
			continue
		}
		if err := t.tell(scope, ringwall.EventSIM, simSubject(k.SIM), string(k.ID), note{Key: "timeline.sim.muted", Ref: string(k.ID), Params: map[string]string{"title": k.Title, "muted": k.Muted}}); err != nil {
			return err
		}
	}
	return nil
}

// factSIMs names the cards of an alert that is about several.
const factSIMs = "sims"

// namedIn are the cards that an alert names, its subject first.
func namedIn(a ringwall.Alert) []ringwall.SIMID {
	all := []ringwall.SIMID{ringwall.SIMID(a.Subject.ID)}
	for _, s := range strings.Fields(a.Evidence.Facts[factSIMs]) {
		if !slices.Contains(all, ringwall.SIMID(s)) {
			all = append(all, ringwall.SIMID(s))
		}
	}
	return all
}

// seenAs is equipment as an alert or its record has it: whole, or masked.
type seenAs struct {
	number usage.Equipment
	masked string
}

// seenOf is the equipment that the card was seen in.
func seenOf(a ringwall.Alert, r *cdr.Record) seenAs {
	n := usage.EquipmentOf(r.IMEI)
	return seenAs{n, cmp.Or(n.String(), a.Evidence.Facts["seenImei"])}
}

// is reports whether it is this equipment, as far as can be told.
func (s seenAs) is(e usage.Equipment) bool {
	if s.number != 0 {
		return s.number == e
	}
	return s.masked != "" && s.masked == e.String()
}

// tac is its model; "" = not known.
func (s seenAs) tac() string {
	if len(s.masked) < 8 {
		return ""
	}
	return s.masked[:8]
}

// aboutSIM is what an alert about a card is about: the device that it is in, or
// the card itself.
func (t *turn) aboutSIM(scope audit.Scope, s api.SIM) (incident.About, error) {
	d, err := maybe(t.tx.DeviceBySIM(scope, s.ID))
	if err != nil || d == nil {
		return incident.About{Subject: simSubject(s.ID), Name: string(s.ID), SIM: s.ID}, err
	}
	return aboutDevice(*d), nil
}
