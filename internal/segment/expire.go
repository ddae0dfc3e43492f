package segment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ringwall/ringwall/internal/durable"
)

// base holds the watermarks of what has been removed.
type base struct {
	Marks []markRow
}

func (s *Store) loadBase() error {
	b, err := os.ReadFile(filepath.Join(s.dir, baseFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var v base
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%w: %s: %w", durable.ErrDamaged, baseFile, err)
	}
	for _, row := range v.Marks {
		s.recovered(row)
	}
	return nil
}

// Expire removes the sealed segments whose newest batch came before a time and
// lies before a cursor: what the projector has not read stays. Their part of
// the index goes with them. Watermarks are kept, so nothing that was removed is
// ever stored again.
func (s *Store) Expire(before time.Time, read Cursor) error {
	var cut uint64 // first frame that stays
	segs := s.j.Segments()
	for i, seg := range segs[:max(0, len(segs)-1)] {
		next := segs[i+1].First
		if next > read.Frame {
			break
		}
		newest, err := s.newestIn(seg.First, next)
		if err != nil {
			return fmt.Errorf("expiring evidence: %w", err)
		}
		if !newest.Before(before) {
			break
		}
		cut = next
	}
	if cut == 0 {
		return nil
	}
	// The watermarks are those of the frames that the index has read.
	if err := s.index.catchUp(context.WithoutCancel(s.ctx), cut-1); err != nil {
		return fmt.Errorf("expiring evidence: %w", err)
	}
	if err := s.saveBase(); err != nil {
		return fmt.Errorf("expiring evidence: %w", err)
	}
	s.index.trim(cut)
	return s.j.Trim(cut - 1)
}

// saveBase writes the watermarks of what is about to be removed, and of more.
// The new name and the removals are changes of one directory, made in this
// order and kept in it by the file system: no sync of the directory between.
func (s *Store) saveBase() error {
	var v base
	s.index.turn <- struct{}{}
	for _, row := range s.index.marks.rows {
		v.Marks = append(v.Marks, row)
	}
	s.index.give()
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.cfg.Disk.Replace(SiteBase, filepath.Join(s.dir, baseFile), b, 0o600)
}

// newestIn returns the latest time of ingest in frames first to before next.
func (s *Store) newestIn(first, next uint64) (newest time.Time, err error) {
	var x headReader
	err = s.j.Read(first, func(index uint64, payload []byte) (bool, error) {
		if index >= next {
			return false, nil
		}
		h, _, err := x.read(payload)
		if h.ingested.After(newest) {
			newest = h.ingested
		}
		return true, err
	})
	return newest, err
}
