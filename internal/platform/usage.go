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
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
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
	engine *usage.Engine
	cards  map[ringwall.SIMID]ringwall.IMSI
	said   map[ringwall.SIMID]string // what each may be used for, as the engine was told
	// touched holds what was seen of each card since the last write.
	touched map[ringwall.SIMID]ringwall.IMEI
	looked  time.Time // when cards were last read
}

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
		core: c, org: org, file: file, cards: map[ringwall.SIMID]ringwall.IMSI{}, said: map[ringwall.SIMID]string{}, touched: map[ringwall.SIMID]ringwall.IMEI{},
		state:  filepath.Join(dir, ringwall.DeriveID("usage", string(org), file.Path)+".state"),
		engine: usage.New(usage.Config{Key: key, Now: c.now}),
	}
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
	}, from, func(r *cdr.Record, _ spool.Cursor) error { return u.record(ctx, r) })
}

// restore reads the last snapshot; without one it begins at the start.
func (u *usageFollower) restore() (from spool.Cursor, err error) {
	b, err := os.ReadFile(u.state)
	if errors.Is(err, fs.ErrNotExist) {
		return from, nil
	}
	if err != nil {
		return from, err
	}
	position, err := u.engine.Restore(bytes.NewReader(b))
	if err != nil {
		return from, fmt.Errorf("reading what is known of card usage: %w", err)
	}
	return from, json.Unmarshal(position, &from)
}

// refresh tells the engine of the organisation's cards.
func (u *usageFollower) refresh(ctx context.Context) error {
	scope, err := u.auditor.Authorise(ctx, audit.System(audit.SysUsage, u.org), audit.SystemUsage, audit.Target{Kind: "sim", Org: u.org})
	if err != nil {
		return err
	}
	u.looked = u.now()
	return u.store.View(ctx, func(tx *sqlstore.Tx) error {
		for p := (sqlstore.Paging{Limit: 500}); ; {
			page, err := tx.SIMs(scope, p)
			if err != nil {
				return err
			}
			for _, s := range page.Items {
				if err := u.setCard(tx, scope, s); err != nil {
					return err
				}
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				return nil
			}
		}
	})
}

func (u *usageFollower) setCard(tx *sqlstore.Tx, scope audit.Scope, s api.SIM) error {
	said := strings.Join(s.Services, ",") + "\n" + strings.Join(s.Peers, ",")
	if _, known := u.cards[s.ID]; known && u.said[s.ID] == said {
		return nil // what it may be used for is as it was
	}
	numbers, err := tx.Numbers(scope, s.ID)
	if err != nil {
		return err
	}
	services, err := usage.ParseServices(s.Services)
	if err != nil {
		return err
	}
	peers, err := usage.ParsePeers(s.Peers)
	if err != nil {
		return err
	}
	if err := u.engine.SetCard(usage.Card{SIM: s.ID, Org: u.org, IMSI: numbers.IMSI, IMEI: numbers.BoundIMEI, Services: services, Peers: peers}); err != nil {
		return err
	}
	u.cards[s.ID], u.said[s.ID] = numbers.IMSI, said
	return nil
}

// record judges one record. A card that nobody knows may have been registered
// a moment ago.
func (u *usageFollower) record(ctx context.Context, r *cdr.Record) error {
	if u.now().Sub(u.looked) > cardRound {
		if err := u.refresh(ctx); err != nil {
			return err
		}
	}
	out := u.engine.Record(r)
	if out.SIM == "" {
		return nil
	}
	if u.touched[out.SIM] == "" || r.IMEI != "" {
		u.touched[out.SIM] = r.IMEI
	}
	for _, a := range out.Alerts {
		if err := u.turn(ctx, u.org, func(t *turn) error { return t.simAlert(a) }); err != nil {
			return err
		}
	}
	return nil
}

// simAlert joins an alert about a card into the incident of the device that it
// sits in, or of the card itself.
func (t *turn) simAlert(a ringwall.Alert) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	a.Org = t.org
	about := incident.About{Subject: a.Subject, Name: a.Subject.ID, SIM: ringwall.SIMID(a.Subject.ID)}
	d, err := maybe(t.tx.DeviceBySIM(scope, ringwall.SIMID(a.Subject.ID)))
	if err != nil {
		return err
	}
	if d != nil {
		about = aboutDevice(*d)
	}
	return t.alert(scope, about, a)
}

// keep writes down what became known, then the snapshot that covers it.
func (u *usageFollower) keep(ctx context.Context, cur spool.Cursor) error {
	if len(u.touched) == 0 {
		return nil
	}
	if err := u.turn(ctx, u.org, func(t *turn) error {
		for id, imei := range u.touched {
			use, ok := u.engine.Use(u.cards[id])
			if !ok {
				continue
			}
			if err := t.cardUsed(id, imei, use); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	position, err := json.Marshal(cur)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := u.engine.Snapshot(&b, position); err != nil {
		return err
	}
	if err := durable.WriteFile(u.state, b.Bytes(), 0o600); err != nil {
		return err
	}
	clear(u.touched)
	return nil
}

// cardUsed notes what is known of a card's use, and when it left, or came back
// to, the equipment it is bound to.
func (t *turn) cardUsed(id ringwall.SIMID, imei ringwall.IMEI, use usage.Use) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	if imei != "" {
		if err := t.tx.SetIMEI(scope, id, imei, false); err != nil {
			return err
		}
	}
	separated := use.Declared && use.Bound != 0 && use.Seen != 0 && use.Bound != use.Seen
	was := false
	s, err := t.tx.UpdateSIM(scope, id, func(s *api.SIM) error {
		was = !s.Separated.IsZero()
		s.LastUsage, s.Bytes, s.Records = use.Last, use.Up+use.Down, use.Records
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
