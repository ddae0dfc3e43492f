package agent

import (
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
	"github.com/ringwall/ringwall/internal/wal"
)

// books is the write-ahead log, opened again when it has stopped: a gateway
// whose disk fails goes on enforcing, counts what it could not write down, and
// says so.
type books struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	wal     *wal.Log // nil while it cannot be opened
	tried   time.Time
	failing error

	unwritten atomic.Uint64

	lost sync.Mutex
	by   map[api.RecordKind]uint64 // unwritten since they were last told
	all  map[api.RecordKind]uint64 // unwritten since the agent began
}

// miss counts a record that could not be written down.
func (b *books) miss(kind api.RecordKind) {
	b.unwritten.Add(1)
	b.lost.Lock()
	defer b.lost.Unlock()
	if b.by == nil {
		b.by = map[api.RecordKind]uint64{}
	}
	if b.all == nil {
		b.all = map[api.RecordKind]uint64{}
	}
	b.by[kind]++
	b.all[kind]++
}

// missed returns what was counted since the last call, and begins anew.
func (b *books) missed() map[api.RecordKind]uint64 {
	b.lost.Lock()
	defer b.lost.Unlock()
	out := b.by
	b.by = nil
	return out
}

// reopenEvery is how often a log that has stopped is tried again.
const reopenEvery = time.Minute

func openBooks(cfg Config) *books {
	b := &books{cfg: cfg, log: cfg.Log}
	b.current()
	return b
}

// current returns the log, opening it if need be, or nil.
func (b *books) current() *wal.Log {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wal != nil && b.wal.Failed() == nil {
		return b.wal
	}
	now := b.cfg.Now()
	if wait := now.Sub(b.tried); !b.tried.IsZero() && wait >= 0 && wait < reopenEvery {
		return nil
	}
	b.tried = now
	if b.wal != nil {
		b.log.Error("write-ahead log has stopped; opening it again", "err", b.wal.Failed())
		b.wal.Close()
		b.wal = nil
	}
	dir := b.cfg.path(logDir)
	c := wal.Config{MaxBytes: b.cfg.LogBytes, Disk: b.cfg.Disk}
	l, err := wal.Open(dir, c)
	if errors.Is(err, durable.ErrDamaged) {
		to, moveErr := wal.SetAside(dir)
		b.log.Error("write-ahead log is damaged; it was set aside and a new one begins", "err", err, "to", to, "moved", moveErr)
		l, err = wal.Open(dir, c)
	}
	b.failing = err
	if err != nil {
		b.log.Error("write-ahead log cannot be opened: reports are lost", "err", err)
		return nil
	}
	b.wal = l
	return l
}

// write logs a record durably. A record that cannot be written is counted, and
// what is about to be done is done all the same.
func (b *books) write(kind api.RecordKind, v any) (epoch, seq uint64) { return b.put(kind, v, true) }

// note logs a record that may become durable within a second.
func (b *books) note(kind api.RecordKind, v any) { b.put(kind, v, false) }

func (b *books) put(kind api.RecordKind, v any, durably bool) (epoch, seq uint64) {
	payload, ok := v.([]byte)
	if !ok {
		var err error
		if payload, err = json.Marshal(v); err != nil {
			b.miss(kind)
			b.log.Error("record cannot be encoded", "kind", kind, "err", err)
			return 0, 0
		}
	}
	err := error(ringwall.Errorf(ringwall.Unavailable, "there is no log"))
	if l := b.current(); l != nil {
		epoch = l.Epoch()
		if durably {
			seq, err = l.Append(kind, b.cfg.Now(), payload)
		} else {
			seq, err = l.AppendAsync(kind, b.cfg.Now(), payload)
		}
	}
	if err != nil {
		b.miss(kind)
		if durably {
			b.log.Error("record is not in the log", "kind", kind, "err", err)
		}
		return 0, 0
	}
	return epoch, seq
}

// pressure returns how full the log is; a log that does not work takes nothing.
func (b *books) pressure() wal.Pressure {
	if l := b.current(); l != nil {
		return l.Pressure()
	}
	return wal.Pressure{Full: true}
}

// losses returns what was lost, by kind: for want of disk in this epoch of the log,
// and what it never took since the agent began.
func (b *books) losses() map[api.RecordKind]uint64 {
	out := map[api.RecordKind]uint64{}
	if l := b.current(); l != nil {
		out = l.Losses()
	}
	b.lost.Lock()
	defer b.lost.Unlock()
	for kind, n := range b.all {
		out[kind] += n
	}
	return out
}

// bytes returns the disk space that the log takes.
func (b *books) bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wal == nil {
		return 0
	}
	return b.wal.Bytes()
}

func (b *books) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wal == nil {
		return nil
	}
	err := b.wal.Close()
	b.wal = nil
	return err
}
