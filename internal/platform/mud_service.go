package platform

import (
	"bytes"
	"context"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/mudfetch"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/mudpolicy"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/mud"
)

// MUD answers what is known of a device's usage description. What is known of its
// signature is what it is worth now: with the roots that are trusted now, and at
// this time.
func (s *service) MUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (m api.MUDState, err error) {
	if err := s.seesMUD(ctx, a, id); err != nil {
		return m, err
	}
	err = s.view(ctx, a, audit.PolicyRead, on("device", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		var f sqlstore.MUDFile
		if m, f, err = tx.MUD(scope, id); err != nil {
			return err
		}
		m, err = s.signatureNow(tx, scope, m, f)
		return err
	})
	m.Waits = m.Asks()
	return m, err
}

// seesMUD refuses those to whom it is not shown whom a device may talk to.
func (s *service) seesMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID) error {
	if _, err := s.Device(ctx, a, id); err != nil {
		return err
	}
	if !sightOf(a).whole {
		return ringwall.Errorf(ringwall.Forbidden, "whom a device may talk to is not shown to your parts")
	}
	return nil
}

// mudGiven is a usage description that a person hands in or names.
type mudGiven struct {
	url    string // to be fetched, or of the file
	file   *mudfetch.Fetched
	signer *string // that the device's certificate names; nil = no certificate was handed in
}

func (s *service) given(in api.MUDPut) (g mudGiven, err error) {
	if len(in.Certificate) > 0 {
		cert, err := mud.ReadCertificate(in.Certificate)
		if err != nil {
			return g, err
		}
		at, signer, err := mud.Certified(cert)
		switch {
		case err != nil:
			return g, err
		case at == "" && signer == "":
			return g, ringwall.Errorf(ringwall.Invalid, "the device's certificate says nothing of a usage description (RFC 8520 section 11)")
		case in.URL != "" && at != "" && in.URL != at:
			return g, ringwall.Errorf(ringwall.Invalid, "the device's certificate names another URL: %.80q", at)
		}
		if g.signer = &signer; at != "" && len(in.File) == 0 {
			in.URL = at
		}
	}
	switch {
	case len(in.File) > 0 && in.URL != "", len(in.File) == 0 && in.URL == "":
		return g, ringwall.Errorf(ringwall.Invalid, "name the URL of the description, or hand the file in")
	case len(in.File) == 0:
		g.url = in.URL
		return g, checkMUDURL(in.URL)
	}
	f, err := mud.Parse(in.File)
	if err != nil {
		return g, err
	}
	g.url = f.URL
	g.file = &mudfetch.Fetched{URL: f.URL, At: s.now(), Body: in.File, File: f, Signature: in.Signature}
	return g, checkMUDURL(f.URL)
}

// PutMUD names the URL of a device's description, or takes the file itself.
func (s *service) PutMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDPut) (m api.MUDState, err error) {
	if err := s.seesMUD(ctx, a, id); err != nil {
		return m, err
	}
	g, err := s.given(in)
	if err != nil {
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
		if g.file == nil {
			if err := t.mudNoticed(own, d, g.url, "owner"); err != nil {
				return err
			}
			return t.nameSigner(own, id, g.signer)
		}
		m, _, err := t.tx.MUD(own, id)
		if err != nil && !isCode(err, ringwall.NotFound) {
			return err
		}
		return t.mudFetched(own, d, handedIn(m, id, g, t), g.file, true)
	})
	if err != nil {
		return m, err
	}
	if g.file == nil {
		if err := s.fetchMUD(ctx, a.Org, id); err != nil {
			return m, err
		}
	}
	return s.MUD(ctx, a, id)
}

// handedIn is what is known of a description of which a file was handed in. What
// is in force stays so, whatever its URL was.
func handedIn(m api.MUDState, id ringwall.DeviceID, g mudGiven, t *turn) api.MUDState {
	if m.URL != g.url {
		if !m.InForce() {
			m = api.MUDState{Device: id, Status: mudWaiting, Noticed: t.at, Terms: []api.Term{}, Supported: true, NamedSigner: m.NamedSigner}
		}
		m.URL, m.From, m.Digest, m.Told = g.url, "file", "", ""
	}
	if g.signer != nil {
		m.NamedSigner = *g.signer
	}
	return m
}

// nameSigner notes who has to sign a device's description.
func (t *turn) nameSigner(scope audit.Scope, id ringwall.DeviceID, signer *string) error {
	if signer == nil {
		return nil
	}
	m, _, err := t.tx.MUD(scope, id)
	if err != nil || m.NamedSigner == *signer {
		return err
	}
	m.NamedSigner = *signer
	return t.tx.PutMUD(scope, m, nil)
}

// DecideMUD puts a description in force as far as it narrows ("narrow"), or all
// of it ("approve"), or not at all ("decline"), or fetches it ("refresh"), or
// keeps to it although the device tells another URL ("keep"). Of a newer file
// beside one in force, "decline" is of that file alone.
func (s *service) DecideMUD(ctx context.Context, a audit.Actor, id ringwall.DeviceID, in api.MUDDecision) (m api.MUDState, err error) {
	err = s.change(ctx, a, audit.PolicyWrite, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		d, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		own, err := t.projector()
		if err != nil {
			return err
		}
		m, f, err := t.tx.MUD(own, id)
		if err != nil {
			return err
		}
		if m, err = s.signatureNow(t.tx, own, m, f); err != nil {
			return err
		}
		key := ""
		switch in.Decision {
		default:
			return ringwall.Errorf(ringwall.Invalid, "a description is narrowed to, approved, declined, kept or refreshed")
		case "refresh":
			m.Next = t.at
			return t.tx.PutMUD(own, m, nil)
		case "keep":
			if m.Told == "" {
				return ringwall.Errorf(ringwall.Conflict, "the device tells no other URL")
			}
			key, m.Kept, m.Told = "timeline.device.mud.kept", m.Told, ""
		case "narrow", "approve", "decline":
			if key, err = decideMUD(&m, in.Decision); err != nil {
				return err
			}
		}
		m.By, m.Decided, m.Error = a.String(), t.at, ""
		if err := t.tx.PutMUD(own, m, nil); err != nil {
			return err
		}
		t.compose(d.Gateway)
		return t.tellMUD(scope, id, key, m.URL)
	})
	if err == nil && in.Decision == "refresh" {
		err = s.fetchMUD(ctx, a.Org, id)
	}
	if err != nil {
		return m, err
	}
	return s.MUD(ctx, a, id)
}

// decideMUD puts a person's decision into a description, and returns what tells
// of it.
func decideMUD(m *api.MUDState, decision string) (key string, err error) {
	newer := m.Changed != nil
	switch {
	case m.Fetched.IsZero():
		return "", ringwall.Errorf(ringwall.Conflict, "the description is not at hand yet")
	case decision == "approve" && m.Signature == string(mud.SignatureInvalid):
		return "", ringwall.Errorf(ringwall.Conflict, "the signature of the description does not hold: whoever wrote it is not whom it names")
	case decision == "decline" && newer:
		m.Changed, m.Pending = nil, nil
		return "timeline.device.mud.stays", nil
	case decision == "decline":
		m.Status, m.ForceSignature, m.ForceSigner = mudDeclined, "", ""
		return "timeline.device.mud.declined", nil
	}
	if newer { // the newer file is what was decided on
		m.Terms = m.Pending
	}
	m.Changed, m.Pending, m.ForceSignature, m.ForceSigner = nil, nil, m.Signature, m.Signer
	if decision == "narrow" {
		m.Status = mudNarrow
		return "timeline.device.mud.narrow", nil
	}
	m.Status = mudApproved
	return "timeline.device.mud.approved", nil
}

// maxMUDTasks bounds how many descriptions that wait are answered.
const maxMUDTasks = 1000

// MUDTasks lists the descriptions that wait for a person.
func (s *service) MUDTasks(ctx context.Context, a audit.Actor) (out []api.MUDTask, err error) {
	out = []api.MUDTask{}
	if !sightOf(a).whole {
		return nil, ringwall.Errorf(ringwall.Forbidden, "whom devices may talk to is not shown to your parts")
	}
	err = s.view(ctx, a, audit.PolicyRead, on("organisation", string(a.Org)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		waiting, err := tx.MUDsWaiting(scope, maxMUDTasks)
		if err != nil {
			return err
		}
		for _, m := range waiting {
			d, err := tx.Device(scope, m.Device)
			if err != nil {
				return err
			}
			out = append(out, api.MUDTask{Name: d.Name, State: m})
		}
		return nil
	})
	return out, err
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
		c := changeOf(change, s.now())
		out.Change = &c
	}
	return out, nil
}
