package platform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/archive"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/quarantine"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// errAnew ends a life after which the next begins at once.
var errAnew = errors.New("what usage records are judged with has changed")

// judgeUsage is one life.
func judgeUsage(ctx context.Context, d *usageDesk, world UsageWorld, sources []UsageSource, bad *quarantine.File) (err error) {
	kept := keptScopes{auditor: d.auditor, now: d.core.now}
	u := &usageJudge{
		core: d.core, desk: d, home: d.home, keys: world.Keys, bad: bad, feeds: map[string]*feed{}, pieces: make(chan *piece, maxPieces), wake: make(chan struct{}, 1),
		touched: map[owned]*touch{}, written: map[owned]ringwall.IMEI{}, emits: kept, writes: kept, counted: map[string]*countedTo{}, places: places{},
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	u.ctx = ctx
	areas, version, err := u.areas()
	if err != nil {
		return err
	}
	restored, err := u.open(areas)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.set.Close()) }()
	if len(restored) > 0 {
		if err := json.Unmarshal(restored, &u.places); err != nil {
			return ringwall.Errorf(ringwall.Internal, "reading how far usage records were judged: %w", err)
		}
	}
	for i := range d.files {
		u.feeds[d.files[i].Path] = &feed{file: &d.files[i]}
	}
	for i := range sources {
		u.feeds[sources[i].Name] = &feed{source: &sources[i]}
	}
	if err := u.ready(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, u.archive.Close()) }()
	u.cards = d.cards
	if err := u.cards.tell(ctx, u); err != nil {
		return err
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	for name, f := range u.feeds {
		f.name, f.keys, f.bad, f.round, f.give = name, u.keys, world.Bad, u.cards.round.Load, u.give
		f.begun = func(ctx context.Context, at feedPlace) error { return u.putPlaces(ctx, map[string]feedPlace{name: at}) }
		f.given = u.places[name]
		reading.Go(func() { u.read(ctx, f) })
	}
	d.now.Store(u)
	defer d.now.Store(nil)
	stop := context.AfterFunc(ctx, func() { nudge(u.wake) })
	defer stop()
	u.version = version
	// Run ends when Next says so and not before, so that the last piece is reckoned.
	err = usage.Run(context.WithoutCancel(ctx), usage.RunConfig{
		Set: u.set, Source: u, Keep: u.keep, Every: u.desk.every, Durable: u.settle, Saved: u.saved,
	})
	if err == nil && ctx.Err() == nil {
		return errAnew
	}
	return err
}

// areas reads the network's table of areas, which is the first organisation's;
// version is that of before.
func (u *usageJudge) areas() (areas *rules.Areas, version uint64, err error) {
	version = u.desk.version()
	scope, err := u.scope()
	if err != nil {
		return nil, 0, err
	}
	err = u.store.View(u.ctx, func(tx *sqlstore.Tx) (err error) { areas, err = areasOf(tx, scope, u.keys); return err })
	return areas, version, err
}

func (u *usageJudge) scope() (audit.Scope, error) {
	return u.auditor.Authorise(u.ctx, audit.System(audit.SysUsage, u.home), audit.SystemUsage, audit.Target{Kind: "sim", Org: u.home})
}

// open makes the engines and has them know what the last snapshot knew. Snapshots
// of which none can be read are put aside: records are judged again as far as
// they are there, and alerts that are there already are not said twice.
func (u *usageJudge) open(areas *rules.Areas) (position []byte, err error) {
	dir := filepath.Join(u.desk.dir, ringwall.DeriveID("usage", string(u.home)))
	for {
		if u.keep, err = usage.OpenKeep(dir, nil); err != nil {
			return nil, err
		}
		workers := u.keep.Parts()
		if workers == 0 {
			workers = min(runtime.GOMAXPROCS(0), maxWorkers)
		}
		u.set = usage.NewSet(usage.SetConfig{
			Engine:  usage.Config{Key: u.desk.key, Keys: u.keys, Areas: areas, Now: u.now},
			Workers: workers, Emit: u.emit, Cross: &cross.Config{},
		})
		r, err := u.keep.Restore(u.set)
		for _, p := range r.Passed {
			u.log.Error("a snapshot of card usage cannot be read", "cause", p)
		}
		switch ringwall.CodeOf(err) {
		case "":
			return r.Position, nil
		case ringwall.Unverified, ringwall.Conflict:
			u.log.Error("what is known of card usage cannot be read, and is put aside; records are judged from the start", "cause", err)
			err = errors.Join(u.set.Close(), os.RemoveAll(dir+".aside"))
			if err == nil {
				err = os.Rename(dir, dir+".aside")
			}
		default:
			err = errors.Join(fmt.Errorf("reading what is known of card usage: %w", err), u.set.Close())
		}
		if err != nil {
			return nil, err
		}
	}
}

// ready reads how far records are counted, and opens the archive as it was then.
func (u *usageJudge) ready() error {
	scope, err := u.scope()
	if err != nil {
		return err
	}
	var marks map[string]int64
	read := func(tx *sqlstore.Tx, name string, to any) error {
		text, err := tx.Cursor(scope, name)
		if err != nil || text == "" {
			return err
		}
		return json.Unmarshal([]byte(text), to)
	}
	if err := u.store.View(u.ctx, func(tx *sqlstore.Tx) error {
		for name, f := range u.feeds {
			c := &countedTo{}
			if f.file != nil {
				if err := read(tx, u.fileCursor(name), &c.cursors); err != nil {
					return err
				}
			}
			if err := read(tx, u.countCursor(name), c); err != nil {
				return err
			}
			u.counted[name] = c
			if _, ok := u.places[name]; !ok && f.source != nil {
				var at feedPlace
				if err := read(tx, u.placeCursor(name), &at); err != nil {
					return err
				}
				u.places[name] = at
			}
		}
		return read(tx, u.marksCursor(), &marks)
	}); err != nil {
		return err
	}
	if u.archive, err = archive.Open(u.desk.archiveDir(), archive.Config{Days: u.desk.days, MaxBytes: u.desk.bytes, Records: true}); err != nil {
		return err
	}
	if err := u.archive.Rewind(marks); err != nil {
		return errors.Join(err, u.archive.Close())
	}
	return nil
}

// read reads a feed, again from where it was when it fails.
func (u *usageJudge) read(ctx context.Context, f *feed) {
	for {
		err := f.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			u.log.Info("an input of usage records has ended", "input", f.name)
			return
		}
		// What cannot be read now, such as a file with a wrong header, does not end the
		// platform, and may be put right.
		u.log.Error("usage records are not read; trying again", "input", f.name, "cause", err)
		if !waited(ctx, followRetry) {
			return
		}
	}
}

// give hands a piece over, once there is room.
func (u *usageJudge) give(ctx context.Context, p *piece) error {
	select {
	case u.pieces <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// putPlaces keeps how far sources were read, beside the snapshots: whoever loses
// those does not begin anew where nothing is any more.
func (u *usageJudge) putPlaces(ctx context.Context, at map[string]feedPlace) error {
	return u.turn(ctx, u.home, func(t *turn) error {
		scope, err := t.as(audit.SysUsage, audit.SystemUsage)
		if err != nil {
			return err
		}
		for name, place := range at {
			b, err := json.Marshal(place)
			if err != nil {
				return err
			}
			if err := t.tx.PutCursor(scope, u.placeCursor(name), string(b)); err != nil {
				return err
			}
		}
		return nil
	})
}
