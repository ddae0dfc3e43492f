package usage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/powercut/powercuttest"
	"github.com/ringwall/ringwall/internal/usage/cross"
)

// world is what outlives the machine: the records, and the receiver of alerts,
// which has them for good when it was asked to (durable).
type world struct {
	hash    map[string]uint64             // what is known after so many records, by position
	alerts  map[ringwall.AlertID]int      // of one undisturbed run: the record after which each is told
	waiting map[ringwall.AlertID]struct{} // told, not durable yet
	have    map[ringwall.AlertID]int      // durable: how often
	mu      sync.Mutex
	acked   int // position of the newest snapshot that was said to be durable
}

const drillRecords = 1200

func newWorld(t *testing.T) *world {
	w := &world{hash: map[string]uint64{}, alerts: map[ringwall.AlertID]int{}}
	recs := stream(21, drillRecords)
	s := newDrillSet(t, func(p *Parcel, as []ringwall.Alert) error {
		for _, a := range as {
			if _, ok := w.alerts[a.ID]; !ok {
				w.alerts[a.ID] = must(startOf(p.Position, drillRecords))
			}
		}
		return nil
	})
	src := &chopped{recs: recs}
	w.hash["0"] = s.Hash()
	for {
		p := must(s.Get(t.Context()))
		if src.Next(t.Context(), &p.Batch) != nil {
			break
		}
		p.Position = append(p.Position[:0], src.Position()...)
		s.Judge(p)
		w.hash[string(src.Position())] = s.Hash()
	}
	check(t, s.Flush())
	return w
}

func newDrillSet(t *testing.T, emit func(*Parcel, []ringwall.Alert) error) *Set {
	t.Helper()
	s := NewSet(SetConfig{Engine: Config{Key: []byte("test key"), Duplicates: 1000, Adopt: true}, Workers: 2, Emit: emit, Cross: &cross.Config{Equipment: 3}})
	check(t, s.SetCards(fleet()))
	return s
}

// live runs once, until the end, a kill or some records. It returns what is
// wrong with what it found.
func (w *world) live(t *testing.T, dir string, disk *durable.Disk, until int) (ended bool, err error) {
	s := newDrillSet(t, func(_ *Parcel, as []ringwall.Alert) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range as {
			w.waiting[a.ID] = struct{}{}
		}
		return nil
	})
	defer s.Close()
	clear(w.waiting) // what was not durable died with the machine
	keep, err := OpenKeep(filepath.Join(dir, "state"), disk)
	if errors.Is(err, powercuttest.ErrKilled) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	r, err := keep.Restore(s)
	if err != nil {
		return false, fmt.Errorf("restoring: %w", err)
	}
	at := 0
	if r.Position != nil {
		at = must(startOf(r.Position, drillRecords))
	}
	if at < w.acked {
		return false, fmt.Errorf("the snapshot at %d was durable, what is there is of %d (passed over: %v)", w.acked, at, r.Passed)
	}
	if got, want := s.Hash(), w.hash[fmt.Sprint(at)]; got != want {
		return false, fmt.Errorf("what is known after %d records is not what one run knows", at)
	}
	for id, told := range w.alerts {
		if told <= at && w.have[id] == 0 {
			return false, fmt.Errorf("the snapshot at %d covers an alert that nobody has", at)
		}
	}
	src := &chopped{recs: stream(21, drillRecords), from: at}
	src.hook = func(n int) error {
		if n >= until {
			return context.Canceled
		}
		return nil
	}
	err = Run(t.Context(), RunConfig{
		Set: s, Source: src, Keep: keep, Every: 300 * time.Microsecond,
		Durable: func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for id := range w.waiting {
				w.have[id]++
			}
			return nil
		},
		Saved: func(v *Saving) {
			if v.Err() == nil {
				w.acked = max(w.acked, must(startOf(v.Position(), drillRecords)))
			}
		},
	})
	switch {
	case errors.Is(err, powercuttest.ErrKilled) || errors.Is(err, context.Canceled):
		return false, nil
	case err != nil:
		return false, err
	}
	if s.Hash() != w.hash[fmt.Sprint(drillRecords)] {
		return false, errors.New("what is known in the end is not what one run knows")
	}
	return true, nil
}

// TestPowerCut: however a machine dies, at any fsync, with files torn in any way,
// it goes on from a snapshot that was true and covers no alert that is lost; and
// each fsync is needed for that.
func TestPowerCut(t *testing.T) {
	w := newWorld(t)
	if len(w.alerts) < 100 {
		t.Fatalf("%d alerts prove nothing", len(w.alerts))
	}
	powercuttest.Mutate(t, powercuttest.SiteConstants(t, "."), 6, func(t *testing.T, rig *powercuttest.Rig) error {
		w := &world{hash: w.hash, alerts: w.alerts, waiting: map[ringwall.AlertID]struct{}{}, have: map[ringwall.AlertID]int{}}
		for until := 0; ; {
			if rig.Rand.IntN(2) == 0 {
				rig.Kill(rig.Rand.IntN(20))
			}
			until += 100 + rig.Rand.IntN(300)
			ended, err := w.live(t, rig.Dir, rig.Disk, until)
			rig.Revive()
			if err != nil {
				return err
			}
			rig.Cut(t)
			if !ended {
				continue
			}
			if _, err := w.live(t, rig.Dir, rig.Disk, drillRecords); err != nil {
				return fmt.Errorf("after the end: %w", err)
			}
			for id := range w.have {
				if _, ok := w.alerts[id]; !ok {
					return errors.New("there is an alert that one run does not tell")
				}
			}
			if len(w.have) != len(w.alerts) {
				return fmt.Errorf("%d alerts, want %d", len(w.have), len(w.alerts))
			}
			return nil
		}
	})
}
