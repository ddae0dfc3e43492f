package wal

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
)

// Config says how the log is kept.
type Config struct {
	// MaxBytes is the most disk the log takes; 0 means 64 MiB, less than 1 MiB
	// means 1 MiB.
	MaxBytes int64
	// Class is the loss policy: which records may be evicted, and when; nil means
	// ClassOf. It must answer the same for the same record.
	Class func(kind api.RecordKind, payload []byte) Class
	// Free is for tests; nil asks the file system how much may still be written.
	Free func(dir string) (bytes int64, ok bool)
	// Disk is for tests; nil is the real disk.
	Disk *durable.Disk
}

// The sites of the log's own fsyncs; those of its journal are in durable.
const (
	SiteMkdir durable.Site = "wal/mkdir"
	SiteMeta  durable.Site = "wal/meta"
)

// MaxPayload bounds the data of one record, so that a batch can always hold it.
const MaxPayload = 512 << 10

const metaFile = "wal.json"

// waiting is what may wait for one group commit: gateways have little memory.
const waiting = 128 << 10

// meta is what the segments alone do not tell.
type meta struct {
	Epoch uint64 `json:"epoch"`
	// Lost is how many records up to Seq Through were lost; those after it are
	// counted from the gaps in the segments.
	Lost    uint64 `json:"lost"`
	Through uint64 `json:"through"`
	// Kinds are the losses of each kind, as far as they are known.
	Kinds map[api.RecordKind]uint64 `json:"kinds,omitempty"`
}

// Log is the write-ahead log.
type Log struct {
	dir  string
	cfg  Config
	more chan struct{}
	j    *durable.Journal

	mu      sync.Mutex
	meta    meta
	lost    uint64           // since meta.Through
	evicted map[uint64]Class // by first Seq of a segment: nothing of a lower class is in it
	full    bool             // nothing is left to evict
	dirty   uint64           // losses that meta.Kinds has and its file has not
	room    int64            // see limit
	checked int64
	reserve int64 // room on the disk that eviction needs
}

// Open opens the log in dir, or creates it. The error wraps durable.ErrDamaged
// when what is there cannot be read.
func Open(dir string, cfg Config) (*Log, error) {
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 64 << 20
	}
	cfg.MaxBytes = max(cfg.MaxBytes, 1<<20)
	if cfg.Class == nil {
		cfg.Class = ClassOf
	}
	if cfg.Free == nil {
		cfg.Free = free
	}
	l := &Log{dir: dir, cfg: cfg, more: make(chan struct{}, 1), evicted: map[uint64]Class{}}
	if err := l.open(); err != nil {
		return nil, fmt.Errorf("opening write-ahead log: %w", err)
	}
	return l, nil
}

func (l *Log) open() error {
	b, err := os.ReadFile(filepath.Join(l.dir, metaFile))
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := l.cfg.Disk.MkdirAll(SiteMkdir, l.dir, 0o700); err != nil {
			return err
		}
		if l.meta.Epoch, err = drawEpoch(); err != nil {
			return err
		}
		if err := l.writeMeta(); err != nil {
			return err
		}
	case err != nil:
		return err
	default:
		if err := json.Unmarshal(b, &l.meta); err != nil || l.meta.Epoch == 0 {
			return fmt.Errorf("%w: %s holds no epoch", durable.ErrDamaged, metaFile)
		}
	}
	// The Seq up to which frames or losses are accounted for.
	at, started := l.meta.Through, false
	segment := min(max(l.cfg.MaxBytes/16, 64<<10), 4<<20)
	l.reserve = 2*segment + waiting
	l.j, err = durable.OpenJournal(l.dir, durable.JournalConfig{
		Disk:         l.cfg.Disk,
		Tag:          l.meta.Epoch,
		SegmentBytes: segment,
		MaxFrame:     MaxPayload + 1<<10,
		Waiting:      waiting,
		Gaps:         true,
		Segment: func(first, _ uint64) (bool, error) {
			if !started {
				// What is before the first segment was trimmed, not lost.
				at, started = max(at, first-1), true
			}
			return true, nil
		},
		Frame: func(index uint64, _ []byte) error {
			if started && index > at+1 {
				l.lost += index - at - 1
			}
			at, started = max(at, index), true
			return nil
		},
	})
	return err
}

// drawEpoch returns a random number that survives JSON readers with 53 bits.
func drawEpoch() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("drawing an epoch: %w", err)
	}
	return binary.BigEndian.Uint64(b[:])>>11 | 1, nil
}

// writeMeta replaces the meta file. Its name is not synced here: the journal
// syncs the directory when it opens, before the first record; and later the
// order of the changes in the directory is enough, see Trim.
func (l *Log) writeMeta() error {
	b, err := json.Marshal(l.meta)
	if err != nil {
		return err
	}
	return l.cfg.Disk.Replace(SiteMeta, filepath.Join(l.dir, metaFile), b, 0o600)
}

// Append writes a record; when it returns nil, the record is durable. The
// payload is JSON but for flow records.
func (l *Log) Append(kind api.RecordKind, t time.Time, payload []byte) (seq uint64, err error) {
	seq, err = l.AppendAsync(kind, t, payload)
	if err != nil {
		return seq, err
	}
	return seq, l.Sync(seq)
}

// AppendAsync writes a record that becomes durable with the next Sync. A
// record that is dropped because the disk is full is counted, and is no error.
func (l *Log) AppendAsync(kind api.RecordKind, t time.Time, payload []byte) (seq uint64, err error) {
	if len(payload) > MaxPayload {
		return 0, ringwall.Errorf(ringwall.Invalid, "record of kind %q has %d bytes, the limit is %d", kind, len(payload), MaxPayload)
	}
	r := api.Record{Time: t, Kind: kind, Data: payload}
	if kind == api.RecordFlow {
		r.Data, r.Bin = nil, payload
	}
	frame, err := api.AppendRecord(make([]byte, 0, len(payload)+32), r)
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.makeRoom(); err != nil {
		return 0, err
	}
	if l.full && !(l.cfg.Class(kind, payload) == Precious && lastResort(kind)) {
		l.lost++
		l.drop(kind, 1)
		return l.j.Skip(), nil
	}
	return l.j.Append(frame)
}

// Sync returns when everything up to seq is durable.
func (l *Log) Sync(seq uint64) error {
	if err := l.j.Sync(seq); err != nil {
		return err
	}
	select {
	case l.more <- struct{}{}:
	default:
	}
	return nil
}

// SyncAll makes durable all that was appended.
func (l *Log) SyncAll() error { return l.Sync(l.j.Last()) }

// More has a value when records may have become durable since it was last
// received from.
func (l *Log) More() <-chan struct{} { return l.more }

// makeRoom evicts until the log is below its limit or nothing is left to
// evict. It evicts to nine tenths, so that not every append pays.
func (l *Log) makeRoom() error {
	limit := l.limit()
	if l.j.Bytes() < limit {
		l.full = false
		return nil
	}
	for c := Bulk; c < Precious; c++ {
		for _, s := range l.j.Segments() {
			if l.j.Bytes() < limit/10*9 {
				return l.keepKinds(1)
			}
			if !s.Sealed || l.evicted[s.First] > c {
				continue
			}
			gone := map[api.RecordKind]uint64{}
			_, err := l.j.Rewrite(s.First, func(_ uint64, frame []byte) bool {
				r, _, err := api.ReadRecord(frame)
				keep := err != nil || l.cfg.Class(r.Kind, payloadOf(r)) > c
				if !keep {
					gone[r.Kind]++
				}
				return keep
			})
			if err != nil {
				return fmt.Errorf("evicting from write-ahead log: %w", err)
			}
			for kind, n := range gone {
				l.lost += n
				l.drop(kind, n)
			}
			l.evicted[s.First] = c + 1
		}
	}
	l.full = l.j.Bytes() >= limit
	return l.keepKinds(keepLosses)
}

// keepLosses is after how many single losses they are written down.
const keepLosses = 4096

// keepKinds writes down of which kinds the losses are, when there are so many that
// are not. It need not last: how many there are is told by the gaps.
func (l *Log) keepKinds(many uint64) error {
	if l.dirty < many {
		return nil
	}
	l.dirty = 0
	if err := l.writeMeta(); err != nil {
		return fmt.Errorf("counting what was evicted from write-ahead log: %w", err)
	}
	return nil
}

// Read returns the durable records from Seq from on, at most limit of them and
// at most what a batch can hold. A run of records that are lost or trimmed is
// one record of kind lost, whose Seq is the last of them.
func (l *Log) Read(from uint64, limit int) (out []api.Record, err error) {
	from = max(from, 1)
	size := 0
	err = l.j.Read(from, func(seq uint64, frame []byte) (bool, error) {
		r, _, err := api.ReadRecord(frame)
		if err != nil {
			return false, fmt.Errorf("record %d: %w", seq, err)
		}
		if seq > from {
			data, err := json.Marshal(api.LostRange{From: from})
			if err != nil {
				return false, err
			}
			out = append(out, api.Record{Seq: seq - 1, Time: r.Time, Kind: api.RecordLost, Data: data})
		}
		// As JSON, with Bin in base64.
		size += 100 + len(r.Data) + len(r.Bin)*4/3
		if len(out) >= limit || len(out) > 0 && size > api.MaxBatchBytes {
			return false, nil
		}
		r.Seq = seq
		r.Data, r.Bin = append(json.RawMessage(nil), r.Data...), append([]byte(nil), r.Bin...)
		out = append(out, r)
		from = seq + 1
		return len(out) < limit, nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading write-ahead log: %w", err)
	}
	return out, nil
}

// Trim lets go of the records up to through, which are stored elsewhere.
func (l *Log) Trim(through uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	segs := l.j.Segments()
	var next uint64 // first Seq of the first segment that stays
	for i := 1; i < len(segs) && segs[i].First-1 <= through; i++ {
		next = segs[i].First
	}
	if next == 0 {
		return nil
	}
	if l.lost > 0 {
		if err := l.settle(segs[0].First, next-1); err != nil {
			return fmt.Errorf("trimming write-ahead log: %w", err)
		}
	}
	for _, s := range segs {
		if s.First < next {
			delete(l.evicted, s.First)
		}
	}
	return l.j.Trim(through)
}

// settle moves the losses up to through into the meta file, before the
// segments whose gaps tell of them are removed. Should the power go between
// the two, the segments are back and Through says not to count them again.
func (l *Log) settle(first, through uint64) error {
	at := max(l.meta.Through, first-1)
	if through <= at {
		return nil
	}
	var frames uint64
	err := l.j.Read(at+1, func(seq uint64, _ []byte) (bool, error) {
		if seq > through {
			return false, nil
		}
		frames++
		return true, nil
	})
	if err != nil {
		return err
	}
	gone := through - at - frames
	l.meta.Lost += gone
	l.meta.Through = through
	l.lost -= min(gone, l.lost)
	l.dirty = 0
	return l.writeMeta()
}

// Epoch returns the number that was drawn when the log was created.
func (l *Log) Epoch() uint64 { return l.meta.Epoch }

// Lost returns how many records were dropped for want of disk, in all. Drops
// after the last record that was kept are forgotten when the process ends:
// nobody has heard of their Seqs, and they are given out again.
func (l *Log) Lost() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.meta.Lost + l.lost
}

// First returns the least Seq that may still be read; Last the newest that is
// durable.
func (l *Log) First() uint64 {
	if s := l.j.Segments(); len(s) > 0 {
		return s[0].First
	}
	return l.j.Synced() + 1
}

// Last returns the newest Seq that is durable.
func (l *Log) Last() uint64 { return l.j.Synced() }

// Bytes returns the disk space taken.
func (l *Log) Bytes() int64 { return l.j.Bytes() }

// Failed returns the error that stopped the log, or nil.
func (l *Log) Failed() error { return l.j.Failed() }

// Close makes everything durable and closes the log.
func (l *Log) Close() error {
	l.mu.Lock()
	err := l.keepKinds(1)
	l.mu.Unlock()
	return errors.Join(err, l.j.Close())
}

// SetAside moves a damaged log out of the way, for an examiner, and returns
// where it is now. It keeps one: an older one that was set aside is removed.
func SetAside(dir string) (string, error) {
	to := filepath.Clean(dir) + ".damaged"
	if err := os.RemoveAll(to); err != nil {
		return "", err
	}
	return to, os.Rename(dir, to)
}
