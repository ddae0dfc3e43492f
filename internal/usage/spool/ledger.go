package spool

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/durable"
)

// Entry is a file that was read to its end.
type Entry struct {
	Number  uint64    `json:"-"` // of the entry, from 1
	Name    string    `json:"name"`
	Size    int64     `json:"size"`
	Digest  uint64    `json:"digest"` // XXH64 of its bytes
	Time    time.Time `json:"time"`
	Records uint64    `json:"records"`
	Bad     uint64    `json:"bad,omitempty"`
	// Again is the number of the entry of the same bytes under another name or at
	// another time: nothing of this one was handed over.
	Again uint64 `json:"again,omitempty"`
}

// ledger remembers files, so that one that comes twice is told.
type ledger struct {
	j       *durable.Journal
	entries []Entry // of the last ones, by number
	first   uint64  // number of entries[0]
	by      map[content]uint64
	most    int
}

// content is what a file is, whatever its name.
type content struct {
	size   int64
	digest uint64
}

func openLedger(dir string, most int) (*ledger, error) {
	l := &ledger{first: 1, by: map[content]uint64{}, most: most}
	err := os.MkdirAll(dir, 0o700)
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "making the spool's ledger: %w", err)
	}
	l.j, err = durable.OpenJournal(dir, durable.JournalConfig{SegmentBytes: 1 << 20, MaxFrame: 4 << 10, Frame: func(n uint64, payload []byte) error {
		var e Entry
		if err := json.Unmarshal(payload, &e); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "entry %d of the spool's ledger: %v", n, err)
		}
		e.Number = n
		l.keep(e)
		return nil
	}})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening the spool's ledger: %w", err)
	}
	return l, nil
}

func (l *ledger) keep(e Entry) {
	if len(l.entries) == 0 {
		l.first = e.Number
	}
	l.entries = append(l.entries, e)
	if e.Again == 0 {
		l.by[content{e.Size, e.Digest}] = e.Number
	}
	if len(l.entries) > l.most {
		old := l.entries[0]
		if c := (content{old.Size, old.Digest}); l.by[c] == old.Number {
			delete(l.by, c)
		}
		l.entries, l.first = l.entries[1:], l.first+1
	}
}

// add writes an entry so that it is still there after the power was cut.
func (l *ledger) add(e Entry) (uint64, error) {
	b, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	n, err := l.j.Append(b)
	if err == nil {
		err = l.j.Sync(n)
	}
	if err != nil {
		return 0, ringwall.Errorf(ringwall.Unavailable, "writing to the spool's ledger: %w", err)
	}
	e.Number = n
	l.keep(e)
	if n > uint64(2*l.most) {
		// What is forgotten is forgotten: a failure leaves more than is needed.
		if err := l.j.Trim(n - uint64(l.most)); err != nil {
			return n, ringwall.Errorf(ringwall.Unavailable, "trimming the spool's ledger: %w", err)
		}
	}
	return n, nil
}

// entry returns the entry of a number, if it is still remembered.
func (l *ledger) entry(n uint64) (Entry, bool) {
	if n < l.first || n-l.first >= uint64(len(l.entries)) {
		return Entry{}, false
	}
	return l.entries[n-l.first], true
}

func (l *ledger) last() uint64 { return l.j.Last() }

// digest reads a file through.
func digest(path string) (content, error) {
	f, err := os.Open(path)
	if err != nil {
		return content{}, err
	}
	defer f.Close()
	h := xxhash.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 256<<10))
	return content{n, h.Sum64()}, err
}
