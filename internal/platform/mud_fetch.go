package platform

import (
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
		return t.mudFetched(scope, d, m, got, false)
	})
}

// taken is what a description becomes by a file, before anything is said of what
// is in force.
func taken(m api.MUDState, got *mudfetch.Fetched, sig mud.Signature, at time.Time) (api.MUDState, []api.Term) {
	m.Error, m.Fetched = "", at
	if m.From != "file" {
		m.Next = at.Add(got.File.CacheValidity)
	}
	m.Signature, m.Signer, m.Root, m.Reason = string(sig.State), sig.Signer, sig.Root, sig.Reason
	terms, notes := mudpolicy.Terms(got.File)
	m.Notes, m.Remarks = slices.Clone(got.File.Notes), nil
	for _, n := range got.File.Remarks {
		m.Remarks = append(m.Remarks, api.Said{Key: n.Key, Params: n.Params, Text: n.Text})
	}
	for _, n := range notes {
		m.Notes, m.Remarks = append(m.Notes, n.Text), append(m.Remarks, n)
	}
	m.Digest, m.Model, m.Info, m.Supported = digestOf(got.Body), got.File.Model, got.File.SystemInfo, got.File.Supported
	if u, err := url.Parse(got.File.URL); err == nil {
		m.Maker = u.Host
	}
	return m, terms
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// mudFetched takes a description. A new one is proposed. One that differs from
// what is in force comes into force by itself when it only takes away; else it
// waits beside the one in force, with what it would change. One that a person
// hands in waits always: the person is there to decide.
func (t *turn) mudFetched(scope audit.Scope, d api.Device, old api.MUDState, got *mudfetch.Fetched, handed bool) error {
	set, err := mudSettings(t.tx, scope)
	if err != nil {
		return err
	}
	trust, err := t.mudTrust(set, old.NamedSigner)
	if err != nil {
		return err
	}
	m, terms := taken(old, got, got.Check(trust), t.at)
	file := &sqlstore.MUDFile{Body: got.Body, Signature: got.Signature}
	if m.Digest == old.Digest && !(handed && old.Status == mudDeclined) { // who hands in what was declined asks anew
		return t.tx.PutMUD(scope, m, file)
	}
	if !m.Supported && (old.Supported || old.Digest == "") {
		if err := t.writeFinding(scope, d.ID, unsupported(t.at, got.File), string(d.ID)); err != nil {
			return err
		}
	}
	if !m.InForce() {
		m.Terms, m.Status = terms, mudProposed
		if err := t.tx.PutMUD(scope, m, file); err != nil {
			return err
		}
		return t.tellMUD(scope, d.ID, "timeline.device.mud.proposed", m.URL)
	}
	m.Changed, m.Pending = nil, nil
	change, err := policy.Diff(m.Terms, terms)
	if err != nil {
		return err
	}
	if change.Empty() {
		m.Terms = terms // the same in other words
		m.ForceSignature, m.ForceSigner = m.Signature, m.Signer
		return t.tx.PutMUD(scope, m, file)
	}
	alone := !handed && !set.Ask && len(change.Allowed) == 0 && asGood(old, m)
	if alone {
		if alone, err = t.onlyTakes(scope, d, m, terms); err != nil {
			return err
		}
	}
	key := "timeline.device.mud.newer"
	if alone {
		key = "timeline.device.mud.narrowed"
		m.Terms, m.Narrowed, m.ForceSignature, m.ForceSigner = terms, t.at, m.Signature, m.Signer
		t.compose(d.Gateway)
	} else {
		c := changeOf(change, t.at)
		m.Changed, m.Pending = &c, terms
	}
	if err := t.tx.PutMUD(scope, m, file); err != nil {
		return err
	}
	return t.tellMUD(scope, d.ID, key, m.URL)
}

// asGood reports whether a newer file is at least as well vouched for as the one
// in force: nobody who cannot sign for it takes anything away either.
func asGood(old, now api.MUDState) bool {
	was, signer := old.ForceSignature, old.ForceSigner
	if was == "" {
		was, signer = old.Signature, old.Signer
	}
	switch mud.SignatureState(now.Signature) {
	case mud.SignatureValid:
		return was != string(mud.SignatureValid) || now.Signer == signer
	case mud.SignatureNone, mud.SignatureUnknown:
		return now.Signature == was && now.Signer == signer
	}
	return false
}

// onlyTakes reports whether other terms of a description in force would let
// nothing new pass in all that the device may do: a description that narrows by
// itself may still let pass what the one before could not be put together with.
func (t *turn) onlyTakes(scope audit.Scope, d api.Device, m api.MUDState, terms []api.Term) (bool, error) {
	before, err := t.policyMUD(scope, d.ID, &m)
	if err != nil {
		return false, err
	}
	m.Terms = terms
	after, err := t.policyMUD(scope, d.ID, &m)
	if err != nil {
		return false, err
	}
	c, err := policy.Diff(before.Terms, after.Terms)
	return err == nil && len(c.Allowed) == 0, err
}

// unsupported is the finding that a maker has given a device up.
func unsupported(now time.Time, f *mud.File) ringwall.Finding {
	return ringwall.Finding{
		Indicator: "FS-12", Module: ringwall.Firmware, Outcome: ringwall.Fail, Confidence: ringwall.Declared,
		Title: "its maker's usage description says that it is not supported any more", Source: "mud", Time: now, Evidence: []string{f.URL},
	}
}
