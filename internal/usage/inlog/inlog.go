// Package inlog keeps usage records that servers have received until the engine has
// made something durable of them: a server acknowledges a record only when Add has
// returned, and the engine reads the same log as a cdr.Source and says by Commit
// how far it needs it no more. So nothing that was acknowledged is lost, and the
// log is the only copy.
//
// A Log is a durable.Journal of frames: records of TS 32.298 as they came, with the
// name of who sent them, or batches in the wire form of package cdr. It is bounded:
// past Config.MaxBytes Add refuses (code Unavailable), and the server says to its
// peer that it has no room. Frames hold numbers of cards in clear; the directory
// has mode 0700.
//
// A Log may be used by several goroutines, a Source belongs to one. There are no
// goroutines here.
package inlog

import (
	"encoding/binary"
	"os"
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/durable"
)

// Config configures a Log.
type Config struct {
	// MaxBytes bounds the log; 0 = 8 GiB.
	MaxBytes int64
	Disk     *durable.Disk // nil = the real disk
}

// Kinds of frames.
const (
	kindRecords = 1 // 1 byte length and name, then of each record 2 bytes length and it
	kindBatch   = 2 // the wire form of a batch
)

const maxFrame = 4 << 20

// Log is a log of received records.
type Log struct {
	c    Config
	j    *durable.Journal
	mu   sync.Mutex
	more chan struct{} // closed when frames were added
}

// Open opens the log in dir, making it when it is not there.
func Open(dir string, c Config) (*Log, error) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = 8 << 30
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "making the log of received records: %w", err)
	}
	j, err := durable.OpenJournal(dir, durable.JournalConfig{Disk: c.Disk, MaxFrame: maxFrame, SegmentBytes: 64 << 20, Waiting: 8 << 20})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening the log of received records: %w", err)
	}
	return &Log{c: c, j: j, more: make(chan struct{})}, nil
}

// AddRecords adds records of TS 32.298 from a peer, and returns when they are
// durable. Errors have code Unavailable, or Invalid for what no frame can hold.
func (l *Log) AddRecords(peer string, records [][]byte) error {
	peer = peer[:min(len(peer), 255)]
	b := append([]byte{kindRecords, byte(len(peer))}, peer...)
	for _, r := range records {
		if len(r) > 1<<16-1 {
			return ringwall.Errorf(ringwall.Invalid, "a record of %d bytes", len(r))
		}
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(r))), r...)
	}
	return l.add(b)
}

// AddBatch adds a batch with the records behind it, and returns when it is durable.
func (l *Log) AddBatch(b *cdr.Batch) error {
	w, err := cdr.AppendBatch([]byte{kindBatch}, b, true)
	if err != nil {
		return err
	}
	return l.add(w)
}

func (l *Log) add(frame []byte) error {
	if len(frame) > maxFrame {
		return ringwall.Errorf(ringwall.Invalid, "a packet of %d bytes", len(frame))
	}
	if n := l.j.Bytes(); n+int64(len(frame)) > l.c.MaxBytes {
		return ringwall.Errorf(ringwall.Unavailable, "the log of received records is full: %d bytes wait to be judged", n)
	}
	n, err := l.j.Append(frame)
	if err == nil {
		err = l.j.Sync(n)
	}
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "writing the log of received records: %w", err)
	}
	l.mu.Lock()
	close(l.more)
	l.more = make(chan struct{})
	l.mu.Unlock()
	return nil
}

func (l *Log) wait() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.more
}

// Commit says that what was read before a position is durable elsewhere: the log
// may forget it. The error has code Invalid for a position that is none.
func (l *Log) Commit(position []byte) error {
	n, err := l.index(position)
	if err != nil {
		return err
	}
	if err := l.j.Trim(n); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "trimming the log of received records: %w", err)
	}
	return nil
}

func (l *Log) index(position []byte) (uint64, error) {
	if len(position) != 8 || binary.BigEndian.Uint64(position) > l.j.Last() {
		return 0, ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none in this log of received records", len(position))
	}
	return binary.BigEndian.Uint64(position), nil
}

// Bytes is how much waits in the log.
func (l *Log) Bytes() int64 { return l.j.Bytes() }

// Close closes the log.
func (l *Log) Close() error { return l.j.Close() }
