package platform

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/mudpolicy"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/mud"
)

const (
	// mudEvery is the round that fetches descriptions, mudAtOnce how many of them.
	mudEvery  = time.Minute
	mudAtOnce = 20
	// mudRetry is the pause after a description that could not be got.
	mudRetry = 6 * time.Hour
)

// mudGetter gets a description from where a device says it is.
type mudGetter interface {
	Fetch(ctx context.Context, at string) (*mudfetch.Fetched, error)
}

// MUD answers what is known of a device's usage description.
func (s *service) MUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (m api.MUDState, err error) {
	if _, err := s.Device(ctx, a, id); err != nil {
		return m, err
	}
	if !sightOf(a).whole {
		return m, ringwall.Errorf(ringwall.Forbidden, "whom a device may talk to is not shown to your parts")
	}
	err = s.view(ctx, a, audit.PolicyRead, on("device", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		m, _, err = tx.MUD(scope, id)
		return err
	})
	return m, err
}

// PutMUD names the URL of a device's description, or takes the file itself.
func (s *service) PutMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDPut) (m api.MUDState, err error) {
	if _, err := s.Device(ctx, a, id); err != nil {
		return m, err
	}
	if (in.URL == "") == (len(in.File) == 0) {
		return m, ringwall.Errorf(ringwall.Invalid, "name the URL of the description, or hand the file in")
	}
	var got *mudfetch.Fetched
	if len(in.File) > 0 {
		f, err := mud.Parse(in.File)
		if err != nil {
			return m, err
		}
		got = &mudfetch.Fetched{URL: f.URL, At: s.now(), Body: in.File, File: f, Signature: in.Signature}
	} else if err := checkMUDURL(in.URL); err != nil {
		return m, err
	}
	err = s.change(ctx, a, audit.PolicyWrite, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		d, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		own, err := t.projector()
		if err != nil {
			return err
		}
		if got == nil {
			return t.mudNoticed(own, d, in.URL, "owner")
		}
		m, _, err := t.tx.MUD(own, id)
		if isCode(err, ringwall.NotFound) || m.URL != got.URL {
			m = api.MUDState{Device: id, URL: got.URL, From: "file", Status: mudWaiting, Noticed: t.at, Terms: []api.Term{}}
		} else if err != nil {
			return err
		}
		return t.mudFetched(own, d, m, got)
	})
	if err != nil {
		return m, err
	}
	if got == nil {
		if err := s.fetchMUD(ctx, a.Org, id); err != nil {
			return m, err
		}
	}
	return s.MUD(ctx, a, id)
}

// DecideMUD puts a description in force as far as it narrows ("narrow"), or all
// of it ("approve"), or not at all ("decline"), or fetches it ("refresh").
func (s *service) DecideMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDDecision) (m api.MUDState, err error) {
	to := map[string]string{"narrow": mudNarrow, "approve": mudApproved, "decline": mudDeclined, "refresh": ""}
	err = s.change(ctx, a, audit.PolicyWrite, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		d, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		own, err := t.projector()
		if err != nil {
			return err
		}
		m, _, err := t.tx.MUD(own, id)
		if err != nil {
			return err
		}
		status, known := to[in.Decision]
		switch {
		case !known:
			return ringwall.Errorf(ringwall.Invalid, "a description is narrowed to, approved, declined or refreshed")
		case status == "":
			m.Next = t.at
			return t.tx.PutMUD(own, m, nil)
		case m.Fetched.IsZero():
			return ringwall.Errorf(ringwall.Conflict, "the description is not at hand yet")
		case status == mudApproved && m.Signature == string(mud.SignatureInvalid):
			return ringwall.Errorf(ringwall.Conflict, "the signature of the description does not hold: whoever wrote it is not whom it names")
		}
		if m.Changed != nil && status != mudDeclined { // the newer file is what was decided on
			m.Terms = m.Pending
		}
		m.Status, m.By, m.Decided, m.Changed, m.Pending, m.Error = status, a.String(), t.at, nil, nil, ""
		if err := t.tx.PutMUD(own, m, nil); err != nil {
			return err
		}
		t.compose(d.Gateway)
		return t.tell(scope, ringwall.EventDeviceMode, deviceSubject(id), "", note{Key: "timeline.device.mud", Params: map[string]string{"state": status, "reason": m.URL}})
	})
	if err == nil && in.Decision == "refresh" {
		err = s.fetchMUD(ctx, a.Org, id)
	}
	if err != nil {
		return m, err
	}
	return s.MUD(ctx, a, id)
}

// fetchMUDs fetches what is due until ctx ends.
func (p *Platform) fetchMUDs(ctx context.Context, ready func()) error {
	ready()
	return p.rounds(ctx, mudEvery, nil, func(k *keptScopes, org ringwall.OrgID) error {
		scope, err := k.get(ctx, audit.SysProject, audit.SystemProject, org)
		if err != nil {
			return err
		}
		var due []ringwall.DeviceID
		if err := p.store.View(ctx, func(tx *sqlstore.Tx) (err error) { due, err = tx.DueMUDs(scope, p.core.now(), mudAtOnce); return err }); err != nil {
			return err
		}
		for _, id := range due {
			if err := p.service.fetchMUD(ctx, org, id); err != nil && ctx.Err() == nil {
				p.core.log.Warn("usage description not taken", "device", id, "cause", err)
			}
		}
		return nil
	})
}

// fetchMUD gets a device's description. That it cannot be got is written down
// with it, and is no error; what is in force stays.
func (s *service) fetchMUD(ctx context.Context, org ringwall.OrgID, id ringwall.DeviceID) error {
	var at string
	if err := s.turn(ctx, org, func(t *turn) error {
		scope, err := t.projector()
		if err != nil {
			return err
		}
		m, _, err := t.tx.MUD(scope, id)
		at = m.URL
		return err
	}); err != nil || at == "" {
		return err
	}
	got, fetchErr := s.muds.Fetch(ctx, at)
	return s.turn(ctx, org, func(t *turn) error {
		scope, err := t.projector()
		if err != nil {
			return err
		}
		d, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		m, _, err := t.tx.MUD(scope, id)
		if err != nil || m.URL != at {
			return err
		}
		if fetchErr != nil {
			m.Error, m.Next = words(fetchErr), t.at.Add(mudRetry)
			if m.Fetched.IsZero() {
				m.Status = mudFailed
			}
			return t.tx.PutMUD(scope, m, nil)
		}
		return t.mudFetched(scope, d, m, got)
	})
}

// mudFetched takes a description. A new one is proposed; one that differs from
// what is in force waits beside it, with what it would change.
func (t *turn) mudFetched(scope audit.Scope, d api.Device, m api.MUDState, got *mudfetch.Fetched) error {
	sum := sha256.Sum256(got.Body)
	digest := hex.EncodeToString(sum[:])
	m.Error, m.Fetched = "", t.at
	if m.From != "file" {
		m.Next = t.at.Add(got.File.CacheValidity)
	}
	signature := got.Check(mud.Trust{Now: t.at})
	m.Signature, m.Signer = string(signature.State), signature.Signer
	if digest == m.Digest {
		return t.tx.PutMUD(scope, m, nil)
	}
	terms, notes := mudpolicy.Terms(got.File)
	inForce := m.Status == mudNarrow || m.Status == mudApproved
	m.Digest, m.Notes, m.Model, m.Info = digest, append(slices.Clone(got.File.Notes), notes...), got.File.Model, got.File.SystemInfo
	if u, err := url.Parse(got.File.URL); err == nil {
		m.Maker = u.Host
	}
	if !got.File.Supported && m.Supported || m.Digest == "" && !got.File.Supported {
		if err := t.writeFinding(scope, d.ID, unsupported(t.at, got.File), string(d.ID)); err != nil {
			return err
		}
	}
	m.Supported = got.File.Supported
	if inForce {
		change, err := policy.Diff(m.Terms, terms)
		if err != nil {
			return err
		}
		if change.Empty() {
			return t.tx.PutMUD(scope, m, got.Body)
		}
		m.Changed = &api.PolicyChange{Allows: changeTexts(change.Allowed), Refuses: changeTexts(change.Refused), Flows: []api.FlowRow{}, From: t.at}
		m.Pending = terms
	} else {
		m.Terms, m.Status = terms, mudProposed
	}
	if err := t.tx.PutMUD(scope, m, got.Body); err != nil {
		return err
	}
	reason := m.URL
	if m.Changed != nil {
		reason = "a newer file would change what is in force"
	}
	return t.tell(scope, ringwall.EventDeviceMode, deviceSubject(d.ID), "", note{Key: "timeline.device.mud", Params: map[string]string{"state": m.Status, "reason": reason}})
}

// unsupported is the finding that a maker has given a device up.
func unsupported(now time.Time, f *mud.File) ringwall.Finding {
	return ringwall.Finding{
		Indicator: "FS-12", Module: ringwall.Firmware, Outcome: ringwall.Fail, Confidence: ringwall.Declared,
		Title: "its maker's usage description says that it is not supported any more", Source: "mud", Time: now, Evidence: []string{f.URL},
	}
}

// ExportMUD drafts a usage description of what a device was learned to need.
func (s *service) ExportMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (out api.MUDExport, err error) {
	v, err := s.DevicePolicy(ctx, a, id)
	if err != nil {
		return out, err
	}
	d, err := s.Device(ctx, a, id)
	if err != nil {
		return out, err
	}
	m, err := s.MUD(ctx, a, id)
	known := err == nil
	if err != nil && !isCode(err, ringwall.NotFound) {
		return out, err
	}
	at := m.URL
	if at == "" {
		at = "https://mud.invalid/" + string(id)
	}
	f, notes, err := mudpolicy.Draft(v.Terms, mudpolicy.About{URL: at, SystemInfo: clip(d.Name, 60), Manufacturer: d.Vendor, Model: d.Model, Firmware: d.Firmware, Updated: s.now()})
	if err != nil {
		return out, err
	}
	if out.File, err = mud.Write(f); err != nil {
		return out, err
	}
	out.File, out.Notes = bytes.TrimSpace(out.File), orNone(notes)
	if known && !m.Fetched.IsZero() {
		terms, _ := mudpolicy.Terms(f)
		change, err := policy.Diff(m.Terms, terms)
		if err != nil {
			return out, err
		}
		out.Change = &api.PolicyChange{Allows: changeTexts(change.Allowed), Refuses: changeTexts(change.Refused), Flows: []api.FlowRow{}, From: s.now().UTC()}
	}
	return out, nil
}
