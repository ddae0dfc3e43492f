package platform

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/task"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/quarantine"
)

const (
	// defaultUsageDays and defaultUsageBytes bound the archive of judged records: a
	// month, in which a rule that learns for weeks can be tried over days.
	defaultUsageDays  = 30
	defaultUsageBytes = 20 << 30
)

// usageDesk has the usage records of all organisations' cards judged, life after
// life of a usageJudge, and keeps what outlives them.
//
// What concerns all of them is kept in the name of the first: how far inputs were
// read, the archive's sizes, the numbers of settings, and the network's table of
// areas.
type usageDesk struct {
	*core
	home  ringwall.OrgID
	dir   string
	files []UsageFile
	open  func(UsageWorld) (UsageInputs, error) // nil = no other inputs
	days  int
	bytes int64
	every time.Duration // between snapshots

	key   []byte      // of run
	cards *usageCards // of run
	now   atomic.Pointer[usageJudge]
	areas atomic.Uint64 // how often the table of areas was changed
}

func (d *usageDesk) keyFile() string    { return filepath.Join(d.dir, "key") }
func (d *usageDesk) archiveDir() string { return filepath.Join(d.dir, "archive") }
func (d *usageDesk) version() uint64    { return d.areas.Load() }

// areasChanged has the table of areas read again, if it is the network's: tables of
// other organisations are for their maps.
func (d *usageDesk) areasChanged(org ringwall.OrgID) {
	if org != d.home {
		return
	}
	d.areas.Add(1)
	if u := d.now.Load(); u != nil {
		nudge(u.wake)
	}
}

// settle writes down what follows from the records that were judged so far.
func (d *usageDesk) settle(ctx context.Context) error {
	if u := d.now.Load(); u != nil {
		return u.settled(ctx)
	}
	return nil
}

// forgetOld removes the snapshots of programs before this one, which hold numbers
// of cards and which nobody reads any more.
func (d *usageDesk) forgetOld() {
	old, err := filepath.Glob(filepath.Join(d.dir, "*.state*"))
	for _, f := range old {
		err = errors.Join(err, os.Remove(f))
	}
	if err != nil {
		d.log.Warn("old snapshots of card usage are not removed", "cause", err)
	}
}

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

// run judges until ctx ends.
func (d *usageDesk) run(ctx context.Context) (err error) {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return fmt.Errorf("making the directory of card usage: %w", err)
	}
	if d.key, err = usageKey(d.keyFile()); err != nil {
		return err
	}
	bad, err := quarantine.Open(filepath.Join(d.dir, "quarantine.jsonl"), quarantine.Config{Now: d.core.now})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bad.Close()) }()
	world := UsageWorld{Keys: usage.KeysOf(d.key), Dir: d.dir, Bad: func(form, head string, b cdr.Bad) {
		d.log.Warn("usage record is wrong, and is kept in the quarantine", "input", b.Source, "line", b.Line, "cause", b.Reason)
		bad.Add(form, head, b)
	}}
	d.cards = newUsageCards(d.core, d.home, world.Keys)
	var in UsageInputs
	if d.open != nil {
		if in, err = d.open(world); err != nil {
			return err
		}
	}
	if in.Close != nil {
		defer func() { err = errors.Join(err, in.Close()) }()
	}
	tasks := []task.Task{task.Func("judging", func(ctx context.Context, ready func()) error {
		ready()
		return d.judge(ctx, world, in.Sources, bad)
	})}
	for _, s := range in.Serve {
		tasks = append(tasks, task.Func("usage input", func(ctx context.Context, ready func()) error { ready(); return s(ctx) }))
	}
	return task.Run(ctx, nil, tasks...)
}

func (d *usageDesk) judge(ctx context.Context, world UsageWorld, sources []UsageSource, bad *quarantine.File) error {
	for {
		err := judgeUsage(ctx, d, world, sources, bad)
		switch {
		case ctx.Err() != nil:
			if err != nil && !errors.Is(err, ctx.Err()) {
				d.log.Error("what is known of card usage is not all kept; records are judged again at the next start", "cause", err)
			}
			return nil
		case errors.Is(err, errAnew):
			continue
		}
		d.log.Error("usage records are not judged; trying again", "cause", err)
		if !waited(ctx, followRetry) {
			return nil
		}
	}
}
