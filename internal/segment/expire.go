package segment

import (
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
		s.index.mark(row)
		s.advance(row)
	}
	return nil
}

// Expire removes the sealed segments whose newest batch came before a time and
// lies before a cursor: what the projector has not read stays. Watermarks are
// kept, so nothing that was removed is ever stored again.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index.seal(s.j.Active())
	var v base
	for _, row := range s.index.marks {
		v.Marks = append(v.Marks, row)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	// The new name and the removals are changes of one directory, made in this
	// order and kept in it by the file system: no sync of the directory between.
	if err := s.cfg.Disk.Replace(SiteBase, filepath.Join(s.dir, baseFile), b, 0o600); err != nil {
		return fmt.Errorf("expiring evidence: %w", err)
	}
	s.index.trim(cut)
	return s.j.Trim(cut - 1)
}

// newestIn returns the latest time of ingest in frames first to before next.
func (s *Store) newestIn(first, next uint64) (newest time.Time, err error) {
	err = s.j.Read(first, func(index uint64, payload []byte) (bool, error) {
		if index >= next {
			return false, nil
		}
		h, _, err := readHead(payload)
		if h.ingested.After(newest) {
			newest = h.ingested
		}
		return true, err
	})
	return newest, err
}
