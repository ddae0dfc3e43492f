package platform

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage/curve"
)

// Rules that hold what an operator says of a card against what the network says
// of the device that it is in. Neither side can say this alone.
const (
	ruleCardOnline    = "card-online"    // the card is used, the device is not heard
	ruleCardSilent    = "card-silent"    // the device is heard, the card is not used
	ruleDeviceChanged = "device-changed" // the equipment is the same, the device is another
	ruleCardVolume    = "card-volume"    // the operator counts far more than the gateway
)

const (
	// crossMargin is how much later than the device the card must have been heard:
	// records of a session that is over come when it ends, and clocks differ.
	crossMargin = 15 * time.Minute
	// crossFresh is how old such a record may be to be told of.
	crossFresh = 24 * time.Hour
	// silentMargin is for how long a card must not have been used while its device
	// is heard: charging records of long sessions come once a day.
	silentMargin = 48 * time.Hour
	// feedFresh is how new the newest record of any card must be: when no records
	// come at all, no card's silence says anything.
	feedFresh = 6 * time.Hour
	// crossAtOnce bounds what one round tells.
	crossAtOnce = 100
	// volumeTimes and volumeLeast say when volumes disagree.
	volumeTimes = 3
	volumeLeast = 10 << 20
	// volumeSpan is the time that is compared, up to volumeLag ago: records of it
	// must have come.
	volumeSpan = 24 * time.Hour
	volumeLag  = 6 * time.Hour
	// volumeEvery is how often volumes are compared.
	volumeEvery = time.Hour
)

// crossRules describes them.
func crossRules() []api.UsageRule {
	none := map[string]float64{}
	return []api.UsageRule{
		{Name: ruleCardOnline, Why: "Records say that the card was used, while the device that it is in had not been heard behind its healthy gateway: the card may have been taken out, or the device speaks past the gateway.", Limits: none},
		{Name: ruleCardSilent, Why: "A device that is bound by its card is heard, while its card was not used for two days and records of other cards come: it speaks by another way, or its records are withheld.", Limits: none},
		{Name: ruleDeviceChanged, Why: "The card is in the equipment that it is bound to, and an assessment found another vendor, model or MAC behind it: the equipment's number may have been copied.", Limits: none},
		{Name: ruleCardVolume, Why: "For a day the operator counted three times as much as went through the gateway, and 10 MiB at least: somebody else uses the card, or the device speaks past the gateway.", Limits: none},
	}
}

// crossAlert joins an alert into the incident of the device, and keeps it with
// the card's. It speaks once a day of a pair.
func (t *turn) crossAlert(scope audit.Scope, s api.SIM, d api.Device, rule string, severity ringwall.Severity, at time.Time, title string, facts map[string]string) error {
	a := ringwall.Alert{
		ID:  ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, string(t.org), rule, string(s.ID), string(d.ID), at.UTC().Format(time.DateOnly))),
		Org: t.org, Time: at.UTC(), Rule: rule, Nature: ringwall.NatureDeviation, Severity: severity, Subject: simSubject(s.ID), Title: title,
		Evidence: ringwall.Evidence{Count: 1, First: at.UTC(), Last: at.UTC(), Facts: facts}, Attack: "T1451",
	}
	kept := api.SIMAlert{ID: a.ID, SIM: s.ID, Time: a.Time, Rule: rule, Nature: a.Nature, Severity: severity, Title: title, Facts: facts, Area: s.Area}
	if _, err := t.tx.SIMAlert(scope, a.ID); err == nil {
		return nil // told today
	} else if !isCode(err, ringwall.NotFound) {
		return err
	}
	var err error
	if kept.Muted, kept.MutedBy, err = t.muted(scope, s, a, seenAs{}); err != nil {
		return err
	}
	if kept.Muted == "" {
		if err := t.alert(scope, aboutDevice(d), a); err != nil {
			return err
		}
		if in, err := t.tx.OpenIncident(scope, deviceSubject(d.ID)); err == nil {
			kept.Incident = in.ID
		} else if !isCode(err, ringwall.NotFound) {
			return err
		}
		t.judge(d.ID, string(a.ID))
	}
	_, err = t.tx.PutSIMAlert(scope, kept)
	return err
}

// crossCheck compares cards with devices.
func (c *core) crossCheck(ctx context.Context, scope audit.Scope) error {
	now := c.now()
	var unheard, unused []sqlstore.Pair
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		if unheard, err = tx.UsedUnheard(scope, now.Add(-crossFresh), crossMargin, crossAtOnce); err != nil {
			return err
		}
		newest, err := tx.NewestUse(scope)
		if err != nil || now.Sub(newest) > feedFresh {
			return err
		}
		unused, err = tx.HeardUnused(scope, silentMargin, crossAtOnce)
		return err
	}); err != nil || len(unheard)+len(unused) == 0 {
		return err
	}
	return c.turn(ctx, scope.Org(), func(t *turn) error {
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		for _, p := range unheard {
			if err := t.cardOnline(scope, p); err != nil {
				return err
			}
		}
		for _, p := range unused {
			if err := t.cardSilent(scope, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// pairNow reads a pair anew, and reports whether the device stands behind a
// gateway that can be believed on what it hears.
func (t *turn) pairNow(scope audit.Scope, p sqlstore.Pair) (s api.SIM, d api.Device, believed bool, err error) {
	if s, err = t.tx.SIM(scope, p.SIM); err != nil {
		return s, d, false, err
	}
	if d, err = t.tx.Device(scope, p.Device); err != nil || d.Gateway == "" {
		return s, d, false, err
	}
	look, err := t.projector()
	if err != nil {
		return s, d, false, err
	}
	g, err := t.tx.Gateway(look, d.Gateway)
	return s, d, err == nil && g.Online && g.Revoked.IsZero() && t.at.Sub(g.Seen) < gatewayFresh && g.LastError == "", err
}

func (t *turn) cardOnline(scope audit.Scope, p sqlstore.Pair) error {
	s, d, believed, err := t.pairNow(scope, p)
	if err != nil || !believed || d.Presence != ringwall.Silent && d.Presence != ringwall.Gone || s.LastUsage.Sub(d.Seen) <= crossMargin {
		return err
	}
	return t.crossAlert(scope, s, d, ruleCardOnline, ringwall.High, s.LastUsage, "SIM in use while its device was not heard", map[string]string{
		"used": s.LastUsage.UTC().Format(time.RFC3339), "seen": d.Seen.UTC().Format(time.RFC3339),
	})
}

func (t *turn) cardSilent(scope audit.Scope, p sqlstore.Pair) error {
	s, d, believed, err := t.pairNow(scope, p)
	if err != nil || !believed || !t.bySIM(d) || d.Presence != ringwall.Online || d.Seen.Sub(s.LastUsage) <= silentMargin {
		return err
	}
	return t.crossAlert(scope, s, d, ruleCardSilent, ringwall.Medium, d.Seen, "device heard while its SIM was not used", map[string]string{"used": s.LastUsage.UTC().Format(time.RFC3339)})
}

// deviceIdentified compares what an assessment found behind a card with what
// was there before.
func (t *turn) deviceIdentified(was api.Device, found api.Assessment) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	d, err := t.tx.Device(scope, was.ID)
	if err != nil || d.SIM == "" {
		return err
	}
	s, err := t.tx.SIM(scope, d.SIM)
	if err != nil {
		return err
	}
	what, before, now := otherIdentity(was, found)
	if what == "" || s.BoundIMEI == "" || s.SeenIMEI == "" || !s.Separated.IsZero() {
		return nil // where the card is in other equipment, or nobody knows, that is the alert
	}
	if err := t.crossAlert(scope, s, d, ruleDeviceChanged, ringwall.High, t.at, "the SIM's equipment is the same, the device behind it is another", map[string]string{
		"what": what, "old": clip(before, 60), "new": clip(now, 60),
	}); err != nil {
		return err
	}
	kept, err := t.tx.SIMAlerts(scope, sqlstore.SIMAlertFilter{SIM: s.ID, Rule: ruleDeviceChanged, Loud: true, Since: t.at.Add(-time.Second)}, sqlstore.Paging{Limit: 1})
	if err != nil || len(kept.Items) == 0 {
		return err // somebody has said that this is expected
	}
	if _, err := t.tx.UpdateSIM(scope, s.ID, func(s *api.SIM) error {
		if s.Contradicted.IsZero() {
			s.Contradicted = t.at
		}
		return nil
	}); err != nil {
		return err
	}
	t.judge(d.ID, string(s.ID))
	return nil
}

// deviceAccepted takes a person's word that the device behind a card is the
// right one.
func (t *turn) deviceAccepted(scope audit.Scope, id ringwall.SIMID) error {
	s, err := t.tx.UpdateSIM(scope, id, func(s *api.SIM) error { s.Contradicted = time.Time{}; return nil })
	if err == nil && s.Device != "" {
		t.judge(s.Device, string(id))
	}
	return err
}

// otherIdentity says in what an assessment found another device; "" for the
// same, as far as both are known.
func otherIdentity(was api.Device, found api.Assessment) (what, before, now string) {
	for _, c := range []struct{ what, before, now string }{
		{"vendor", was.Vendor, found.Vendor}, {"model", was.Model, found.Model}, {"MAC", oui(was.Binding.MAC), oui(found.MAC)},
	} {
		if c.before != "" && c.now != "" && !strings.EqualFold(strings.TrimSpace(c.before), strings.TrimSpace(c.now)) {
			return c.what, c.before, c.now
		}
	}
	return "", "", ""
}

// oui is the part of a MAC that names who made it (IEEE 802, OUI); "" when it
// was not given by a maker.
func oui(mac string) string {
	if len(mac) < 8 {
		return ""
	}
	first, err := strconv.ParseUint(mac[:2], 16, 8)
	if err != nil || first&2 != 0 {
		return ""
	}
	return strings.ToLower(mac[:8])
}

// compareVolumes compares what operators counted of cards with what went
// through the gateways of devices that are bound by them.
func (c *core) compareVolumes(ctx context.Context, scope audit.Scope, segments *segment.Store) error {
	to := c.now().UTC().Add(-volumeLag).Truncate(time.Hour)
	from := to.Add(-volumeSpan)
	for after := ringwall.DeviceID(""); ; {
		var pairs []sqlstore.Pair
		if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) { pairs, err = tx.BySIM(scope, after, crossAtOnce); return err }); err != nil || len(pairs) == 0 {
			return err
		}
		for _, p := range pairs {
			after = p.Device
			if err := c.compareVolume(ctx, scope, segments, p, from, to); err != nil {
				return err
			}
		}
	}
}

func (c *core) compareVolume(ctx context.Context, scope audit.Scope, segments *segment.Store, p sqlstore.Pair, from, to time.Time) error {
	var b []byte
	if err := c.store.View(ctx, func(tx *sqlstore.Tx) (err error) { b, err = tx.SIMCurve(scope, p.SIM); return err }); err != nil {
		return err
	}
	used, err := curve.Decode(b)
	if err != nil {
		return nil // told when it was read to be written
	}
	sum, rest := used.Since(from), used.Since(to)
	card := sum.Up + sum.Down - rest.Up - rest.Down
	if card < volumeLeast {
		return nil
	}
	totals, err := segments.Totals(ctx, segment.Query{Org: scope.Org(), Device: p.Device, From: from, To: to})
	if err != nil {
		return err
	}
	if card/volumeTimes <= totals.Bytes {
		return nil
	}
	return c.turn(ctx, scope.Org(), func(t *turn) error {
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		s, d, believed, err := t.pairNow(scope, p)
		if err != nil || !believed || !t.bySIM(d) || d.Created.After(from) {
			return err
		}
		return t.crossAlert(scope, s, d, ruleCardVolume, ringwall.High, to, "the operator counted far more of the SIM than went through the gateway", map[string]string{
			"card": strconv.FormatUint(card, 10), "gateway": strconv.FormatUint(totals.Bytes, 10),
		})
	})
}
