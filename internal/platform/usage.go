package platform

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/operatorport"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/curve"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/spool"
)

// UsageFile is a file of usage records that the platform follows while it is
// being written.
type UsageFile struct {
	Path    string
	Mapping cdr.Mapping
}

// usageFollower judges the usage records of one organisation's cards as they
// are written. It belongs to one goroutine, that of run.
//
// An alert is committed when it is found; what the engine knows and how far it
// has read are written together, later. After a crash the records between are
// judged again, and repeat no alert: their ids follow from what they say.
type usageFollower struct {
	*core
	org    ringwall.OrgID
	file   UsageFile
	state  string // path of the snapshot
	key    []byte
	keys   *cdr.Keys
	engine *usage.Engine
	specs  *specs // what the engine's Book has
	// settings are those that were read in this look at cards.
	settings map[[2]string]api.UsageSettings
	cards    map[ringwall.SIMID]ringwall.IMSI
	said     map[ringwall.SIMID]string // what each may be used for, as the engine was told
	// touched holds what was seen of each card since the last write.
	touched map[ringwall.SIMID]*touch
	looked  time.Time // when cards were last read
	// counted is how far the records are in the curves that are kept: further than
	// the snapshot, when the process died between the two.
	counted []spool.Cursor // of the last files, the newest last
	waiting int            // uses in touched
}

// touch is what was seen of a card since the last write.
type touch struct {
	imei ringwall.IMEI
	at   time.Time // of the record that named it
	uses []curve.Use
}

// maxUses bounds the uses of all cards that wait to be written: past it they are
// written down at once.
const maxUses = 50_000

// cardRound is how long a card that was just registered may go unjudged.
const cardRound = time.Second

// usageKey reads the key that keeps the ids of usage alerts from being guessed
// back, or makes it.
func usageKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	switch {
	case err == nil && len(key) == 32:
		return key, nil
	case err == nil:
		return nil, fmt.Errorf("usage key %q has %d bytes, want 32", path, len(key))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	key = make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, durable.WriteFile(path, key, 0o600)
}

// followUsage judges a file's records until ctx ends.
func followUsage(ctx context.Context, c *core, org ringwall.OrgID, file UsageFile, dir string, key []byte) error {
	u := &usageFollower{
		core: c, org: org, file: file, cards: map[ringwall.SIMID]ringwall.IMSI{}, said: map[ringwall.SIMID]string{}, touched: map[ringwall.SIMID]*touch{},
		state: filepath.Join(dir, ringwall.DeriveID("usage", string(org), file.Path)+".state"), key: key, keys: usage.KeysOf(key), specs: newSpecs(),
	}
	if err := u.begin(ctx); err != nil {
		return err
	}
	defer func() {
		if err := u.engine.Close(); err != nil {
			c.log.Error("what is known of card usage is not let go", "cause", err)
		}
	}()
	from, err := u.restore()
	if err != nil {
		return err
	}
	if err := u.refresh(ctx); err != nil {
		return err
	}
	return spool.Follow(ctx, spool.Config{
		Path: file.Path, Mapping: file.Mapping,
		Bad:  func(e *cdr.LineError) { c.log.Warn("usage record is wrong", "line", e.Line, "cause", e.Err) },
		Sync: func(cur spool.Cursor) error { return u.keep(ctx, cur) },
	}, from, func(r *cdr.Record, cur spool.Cursor) error { return u.record(ctx, r, cur) })
}

// begin makes an engine that knows where areas are. A table that is changed is
// read when records are followed anew.
func (u *usageFollower) begin(ctx context.Context) error {
	scope, err := u.auditor.Authorise(ctx, audit.System(audit.SysUsage, u.org), audit.SystemUsage, audit.Target{Kind: "sim", Org: u.org})
	if err != nil {
		return err
	}
	var areas *rules.Areas
	if err := u.store.View(ctx, func(tx *sqlstore.Tx) (err error) { areas, err = areasOf(tx, scope, u.keys); return err }); err != nil {
		return err
	}
	u.engine = usage.New(usage.Config{Key: u.key, Keys: u.keys, Areas: areas, Now: u.now})
	return nil
}

// restore reads the last snapshot; without one it begins at the start. One that
// is torn, or of an older program, is put aside: the records are judged again,
// and alerts that are there already are not said twice.
func (u *usageFollower) restore() (from spool.Cursor, err error) {
	b, err := os.ReadFile(u.state)
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil
	}
	if err != nil {
		return from, err
	}
	position, err := u.engine.Restore(bytes.NewReader(b))
	switch ringwall.CodeOf(err) {
	case "":
		return from, json.Unmarshal(position, &from)
	case ringwall.Unverified, ringwall.Conflict:
		u.log.Error("what is known of card usage cannot be read, and is put aside; records are judged from the start", "cause", err)
		return from, os.Rename(u.state, u.state+".aside")
	}
	return from, fmt.Errorf("reading what is known of card usage: %w", err)
}

// refresh tells the engine of the organisation's cards.
func (u *usageFollower) refresh(ctx context.Context) error {
	scope, err := u.auditor.Authorise(ctx, audit.System(audit.SysUsage, u.org), audit.SystemUsage, audit.Target{Kind: "sim", Org: u.org})
	if err != nil {
		return err
	}
	since := u.looked
	u.looked = u.now()
	if !since.IsZero() {
		since = since.Add(-changeOverlap)
	}
	u.settings = map[[2]string]api.UsageSettings{} // as they are now; many cards have the same
	var changed []usage.Card
	said := map[ringwall.SIMID]string{}
	if err := u.store.View(ctx, func(tx *sqlstore.Tx) error {
		if u.counted, err = u.countedTo(tx, scope); err != nil {
			return err
		}
		for p := (sqlstore.Paging{Limit: 500}); ; {
			page, err := tx.FindSIMs(scope, sqlstore.SIMFilter{Changed: since}, p)
			if err != nil {
				return err
			}
			for _, s := range page.Items {
				c, text, err := u.cardOf(tx, scope, s)
				if err != nil {
					return err
				}
				if c.SIM != "" {
					changed, said[c.SIM] = append(changed, c), text
				}
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				return nil
			}
		}
	}); err != nil {
		return err
	}
	if err := u.specs.put(u.engine, u.keys); err != nil {
		return err
	}
	for _, c := range changed {
		if err := u.engine.SetCard(c); err != nil {
			return err
		}
		u.cards[c.SIM], u.said[c.SIM] = c.IMSI, said[c.SIM]
	}
	return nil
}

// changeOverlap covers what was changed while cards were being read.
const changeOverlap = 10 * time.Second

// cursorOf names the place up to which the curves count a file's records.
func (u *usageFollower) cursorOf() string { return "curves/" + string(u.org) + "/" + u.file.Path }

func (u *usageFollower) countedTo(tx *sqlstore.Tx, scope audit.Scope) (cur []spool.Cursor, err error) {
	text, err := tx.Cursor(scope, u.cursorOf())
	if err != nil || text == "" {
		return cur, err
	}
	return cur, json.Unmarshal([]byte(text), &cur)
}

// isCounted reports whether the records before cur are in the curves already.
func (u *usageFollower) isCounted(cur spool.Cursor) bool {
	i := slices.IndexFunc(u.counted, func(c spool.Cursor) bool { return c.File == cur.File && c.Head == cur.Head })
	return i >= 0 && cur.Offset <= u.counted[i].Offset
}

// maxCounted bounds the files of which it is known how far they are counted: more
// than are rotated between two snapshots.
const maxCounted = 4

// countTo returns counted as it is once the records before cur are counted too.
func (u *usageFollower) countTo(cur spool.Cursor) []spool.Cursor {
	all := slices.DeleteFunc(slices.Clone(u.counted), func(c spool.Cursor) bool { return c.File == cur.File })
	all = append(all, cur)
	return all[max(0, len(all)-maxCounted):]
}

// cardOf is a card as the engine is told of it, and what was said in a text; an
// empty one when the engine knows that already.
func (u *usageFollower) cardOf(tx *sqlstore.Tx, scope audit.Scope, s api.SIM) (c usage.Card, said string, err error) {
	key := [2]string{s.Customer, s.Tariff}
	set, ok := u.settings[key]
	if !ok {
		if set, err = settingsOf(tx, scope, s.Customer, s.Tariff); err != nil {
			return c, "", err
		}
		u.settings[key] = set
	}
	versions, err := tx.SIMProfiles(scope, s.ID)
	if err != nil {
		return c, "", err
	}
	var profile *api.SIMProfile
	if len(versions) > 0 {
		profile = &versions[0]
	}
	n, err := u.specs.add(specOf(s, set, profile))
	if err != nil {
		return c, "", err
	}
	life := rules.LifeActive
	if s.State == string(operatorport.Suspended) && !s.StateSince.IsZero() {
		life = rules.LifeSuspended
	}
	said = fmt.Sprint(n, s.BoundIMEI, life, s.StateSince.Unix())
	if _, known := u.cards[s.ID]; known && u.said[s.ID] == said {
		return c, said, nil // what it may be used for is as it was
	}
	numbers, err := tx.Numbers(scope, s.ID)
	if err != nil {
		return c, "", err
	}
	return usage.Card{SIM: s.ID, Org: u.org, IMSI: numbers.IMSI, IMEI: numbers.BoundIMEI, Settings: n, Life: life, Since: s.StateSince}, said, nil
}

// record judges one record. A card that nobody knows may have been registered
// a moment ago.
func (u *usageFollower) record(ctx context.Context, r *cdr.Record, cur spool.Cursor) error {
	if u.now().Sub(u.looked) > cardRound {
		if err := u.refresh(ctx); err != nil {
			return err
		}
	}
	out := u.engine.Record(r)
	if out.SIM == "" {
		return nil
	}
	w := u.touched[out.SIM]
	if w == nil {
		w = &touch{}
		u.touched[out.SIM] = w
	}
	if r.IMEI != "" {
		w.imei, w.at = r.IMEI, r.Time
	}
	if !out.Duplicate && !u.isCounted(cur) {
		w.uses = append(w.uses, useOf(r))
		u.waiting++
	}
	for _, a := range out.Alerts {
		if err := u.turn(ctx, u.org, func(t *turn) error { return t.simAlert(a, r) }); err != nil {
			return err
		}
	}
	if u.waiting >= maxUses {
		return u.keep(ctx, cur)
	}
	return nil
}

// useOf is what a record adds to its card's curve.
func useOf(r *cdr.Record) curve.Use {
	u := curve.Use{At: r.Time, Point: curve.Point{Records: 1}, Area: r.Area, Cell: r.Cell, PLMN: r.PLMN}
	switch r.Service {
	case cdr.Voice:
		u.Point.Calls = 1
	case cdr.SMS:
		u.Point.Messages = 1
	default:
		u.Point.Up, u.Point.Down = r.Up, r.Down
	}
	return u
}

// simAlert keeps an alert about a card, and joins it into the incident of the
// device that it sits in, or of the card itself, unless somebody has said that
// this is expected. r is the record that tipped it.
func (t *turn) simAlert(a ringwall.Alert, r *cdr.Record) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	s, err := t.tx.SIM(scope, ringwall.SIMID(a.Subject.ID))
	if isCode(err, ringwall.NotFound) {
		t.log.Error("an alert is about no card of ours, and is passed over", "rule", a.Rule, "alert", a.ID)
		return nil
	}
	if err != nil {
		return err
	}
	kept := api.SIMAlert{
		ID: a.ID, SIM: s.ID, Time: a.Time, Rule: a.Rule, Nature: a.Nature, Severity: a.Severity, Title: clip(a.Title, maxSaid), Facts: a.Evidence.Facts, Area: clip(r.Area, maxName),
	}
	if kept.Muted, kept.MutedBy, err = t.muted(scope, s, a, usage.EquipmentOf(r.IMEI)); err != nil {
		return err
	}
	a.Org = t.org
	if kept.Muted != "" {
		isNew, err := t.tx.PutSIMAlert(scope, kept)
		if err != nil || !isNew {
			return err
		}
		return t.tell(scope, ringwall.EventSIM, simSubject(s.ID), string(a.ID), note{Key: "timeline.sim.muted", Ref: string(a.ID), Params: map[string]string{"title": kept.Title, "muted": kept.Muted}})
	}
	about, err := t.aboutSIM(scope, s)
	if err != nil {
		return err
	}
	if err := t.alert(scope, about, a); err != nil {
		return err
	}
	if in, err := t.tx.OpenIncident(scope, about.Subject); err == nil {
		kept.Incident = in.ID
	} else if !isCode(err, ringwall.NotFound) {
		return err
	}
	_, err = t.tx.PutSIMAlert(scope, kept)
	return err
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

// keep writes down what became known, then the snapshot that covers it.
func (u *usageFollower) keep(ctx context.Context, cur spool.Cursor) error {
	if len(u.touched) == 0 {
		return nil
	}
	position, err := json.Marshal(cur)
	if err != nil {
		return err
	}
	counted := u.countTo(cur)
	places, err := json.Marshal(counted)
	if err != nil {
		return err
	}
	if err := u.turn(ctx, u.org, func(t *turn) error {
		for id, w := range u.touched {
			use, ok := u.engine.Use(u.cards[id])
			if !ok {
				continue
			}
			if err := t.cardUsed(id, w, use); err != nil {
				return err
			}
		}
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil || u.isCounted(cur) {
			return err
		}
		// With the curves, in one transaction: each record counts once in them.
		return t.tx.PutCursor(scope, u.cursorOf(), string(places))
	}); err != nil {
		return err
	}
	if !u.isCounted(cur) {
		u.counted = counted
	}
	var b bytes.Buffer
	if err := u.engine.Snapshot(&b, position); err != nil {
		return err
	}
	if err := durable.WriteFile(u.state, b.Bytes(), 0o600); err != nil {
		return err
	}
	clear(u.touched)
	u.waiting = 0
	return nil
}

// cardUsed notes what is known of a card's use, and when it left, or came back
// to, the equipment it is bound to.
func (t *turn) cardUsed(id ringwall.SIMID, w *touch, use usage.Use) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	if w.imei != "" {
		if err := t.tx.SetIMEI(scope, id, w.imei, false); err != nil {
			return err
		}
	}
	separated := use.Declared && use.Bound != 0 && use.Seen != 0 && use.Bound != use.Seen
	if separated && w.imei != "" {
		card, err := t.tx.SIM(scope, id)
		if err != nil {
			return err
		}
		may, swapped, err := t.mayBeIn(scope, card, w.imei, w.at)
		if err != nil {
			return err
		}
		if swapped { // as was planned: it belongs there from now on
			if err := t.tx.SetIMEI(scope, id, w.imei, true); err != nil {
				return err
			}
			if err := t.tell(scope, ringwall.EventSIM, simSubject(id), "", note{Key: "timeline.sim.bound", Ref: string(id)}); err != nil {
				return err
			}
		}
		separated = !may
	}
	area, err := t.count(scope, id, w.uses)
	if err != nil {
		return err
	}
	was := false
	s, err := t.tx.UpdateSIM(scope, id, func(s *api.SIM) error {
		was = !s.Separated.IsZero()
		s.LastUsage, s.Bytes, s.Records = use.Last, use.Up+use.Down, use.Records
		if area != "" {
			s.Area = area
		}
		switch {
		case separated && !was:
			s.Separated = t.at
		case !separated:
			s.Separated = time.Time{}
		}
		return nil
	})
	if err != nil || separated == was {
		return err
	}
	key := "timeline.sim.rejoined"
	if separated {
		key = "timeline.sim.separated"
	}
	subject := ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(id)}
	if s.Device != "" {
		t.judge(s.Device, string(id))
		subject = deviceSubject(s.Device)
	}
	return t.tell(scope, ringwall.EventSIM, subject, string(id), note{Key: key, Ref: string(id)})
}

// count adds uses to a card's curve, and returns the area of its last use.
func (t *turn) count(scope audit.Scope, id ringwall.SIMID, uses []curve.Use) (area string, err error) {
	if len(uses) == 0 {
		return "", nil
	}
	b, err := t.tx.SIMCurve(scope, id)
	if err != nil {
		return "", err
	}
	c, err := curve.Decode(b)
	if err != nil {
		t.log.Error("a card's curve cannot be read, and begins anew", "sim", id, "cause", err)
	}
	for _, u := range uses {
		c.Add(u, t.at)
	}
	return c.Area(), t.tx.PutSIMCurve(scope, id, c.Encode())
}
