package segment

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/durable"
)

// Config says how the store is kept.
type Config struct {
	// SegmentBytes is the size at which a segment is sealed; 0 means 64 MiB.
	SegmentBytes int64
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Disk is for tests; nil is the real disk.
	Disk *durable.Disk
}

// The sites of the store's own fsyncs; those of its journal are in durable.
const (
	SiteMkdir durable.Site = "segment/mkdir"
	SiteMeta  durable.Site = "segment/meta"
	SiteBase  durable.Site = "segment/base"
)

const (
	metaFile = "store.json"
	baseFile = "base.json"
)

// maxEpochs bounds how many epochs one gateway may have, so that a broken or
// hostile one costs bounded memory.
const maxEpochs = 1024

type meta struct {
	Version int    `json:"version"`
	Tag     uint64 `json:"tag"`
}

type gatewayKey struct {
	Org ringwall.OrgID
	GW  ringwall.GatewayID
}

// gateway is what is known of one gateway's records.
type gateway struct {
	// turn is held by the one Ingest of this gateway that decides what is new.
	turn sync.Mutex

	// Guarded by Store.mu.
	seqs   map[uint64]uint64 // by epoch
	newest uint64            // the epoch that wrote last
	frame  uint64            // its last frame
}

// Store is the evidence store.
type Store struct {
	dir     string
	id      string
	cfg     Config
	changed chan struct{}
	j       *durable.Journal

	mu       sync.Mutex
	gateways map[gatewayKey]*gateway
	index    index
	lost     uint64 // records that gateways have declared lost
}

// Open opens the store in dir, or creates it. The error wraps
// durable.ErrDamaged when stored frames cannot be read.
func Open(dir string, cfg Config) (*Store, error) {
	if cfg.SegmentBytes == 0 {
		cfg.SegmentBytes = 64 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Store{dir: dir, cfg: cfg, changed: make(chan struct{}, 1), gateways: map[gatewayKey]*gateway{}}
	s.index.init(dir)
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("opening evidence store: %w", err)
	}
	return s, nil
}

func (s *Store) open() error {
	m, err := s.loadMeta()
	if err != nil {
		return err
	}
	s.id = strconv.FormatUint(m.Tag, 36)
	if err := s.loadBase(); err != nil {
		return err
	}
	s.j, err = durable.OpenJournal(s.dir, durable.JournalConfig{
		Disk:         s.cfg.Disk,
		Tag:          m.Tag,
		SegmentBytes: s.cfg.SegmentBytes,
		MaxFrame:     maxFrame,
		Segment: func(first, following uint64) (bool, error) {
			s.index.seal(first)
			side, err := loadSide(s.dir, first)
			if err != nil || side.First != first || side.Next != following {
				return true, nil // it is rebuilt from the frames
			}
			s.index.adopt(side)
			for _, row := range side.Marks {
				s.advance(row)
			}
			return false, nil
		},
		Frame: s.recoverFrame,
	})
	if err != nil {
		return err
	}
	s.index.seal(s.j.Active())
	return nil
}

func (s *Store) loadMeta() (m meta, err error) {
	path := filepath.Join(s.dir, metaFile)
	b, err := os.ReadFile(path)
	if err == nil {
		if err := json.Unmarshal(b, &m); err != nil || m.Tag == 0 {
			return m, fmt.Errorf("%w: %s holds no tag", durable.ErrDamaged, metaFile)
		}
		if m.Version != 1 {
			return m, ringwall.Errorf(ringwall.Invalid, "evidence store has version %d, want 1", m.Version)
		}
		return m, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return m, err
	}
	if err := s.cfg.Disk.MkdirAll(SiteMkdir, s.dir, 0o700); err != nil {
		return m, err
	}
	var r [8]byte
	if _, err := rand.Read(r[:]); err != nil {
		return m, err
	}
	m = meta{Version: 1, Tag: binary.BigEndian.Uint64(r[:])>>11 | 1}
	if b, err = json.Marshal(m); err != nil {
		return m, err
	}
	// The journal syncs the directory when it opens, before the first frame.
	return m, s.cfg.Disk.Replace(SiteMeta, path, b, 0o600)
}

// recoverFrame notes a stored frame at Open.
func (s *Store) recoverFrame(index uint64, payload []byte) error {
	refs := refsOf{}
	var last markRow
	err := eachRecord(payload, func(h frameHead, _ int, r api.Record) error {
		last = markRow{Org: h.org, GW: h.gw, Epoch: h.epoch, Seq: r.Seq, Frame: index}
		refs.add(h, index, r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: frame %d: %w", durable.ErrDamaged, index, err)
	}
	s.index.add(index, last, refs)
	s.advance(last)
	return nil
}

func (s *Store) advance(row markRow) {
	g := s.gateway(row.Org, row.GW)
	g.seqs[row.Epoch] = max(g.seqs[row.Epoch], row.Seq)
	if row.Frame >= g.frame {
		g.newest, g.frame = row.Epoch, row.Frame
	}
}

// gateway returns the state of a gateway, making it. The caller holds mu, or
// is Open.
func (s *Store) gateway(org ringwall.OrgID, gw ringwall.GatewayID) *gateway {
	g := s.gateways[gatewayKey{org, gw}]
	if g == nil {
		g = &gateway{seqs: map[uint64]uint64{}}
		s.gateways[gatewayKey{org, gw}] = g
	}
	return g
}

// Ingest stores what is new in a batch and returns when it is durable. The
// acknowledgement says up to where the epoch is stored, also beside an error.
// The caller has authenticated org and gw. Codes: Invalid for a batch of wrong
// form, Conflict for one that does not connect to what is stored, Unavailable
// when the store has stopped. An empty batch asks for the watermark.
func (s *Store) Ingest(ctx context.Context, org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) (api.BatchAck, error) {
	refuse := func(seq uint64, err error) (api.BatchAck, error) {
		text := err.Error()
		if e, ok := errors.AsType[*ringwall.Error](err); ok {
			text = e.Text
		}
		return api.BatchAck{Epoch: b.Epoch, Seq: seq, Error: text}, err
	}
	if err := checkBatch(org, gw, b); err != nil {
		return refuse(0, err)
	}
	if err := ctx.Err(); err != nil {
		return refuse(0, ringwall.Errorf(ringwall.Unavailable, "batch was not taken: %w", err))
	}
	frame, seq, err := s.write(org, gw, b)
	if err != nil {
		return refuse(seq, err)
	}
	if frame > 0 {
		if err := s.j.Sync(frame); err != nil {
			return refuse(0, ringwall.Errorf(ringwall.Unavailable, "evidence store has stopped: %w", err))
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	return api.BatchAck{Epoch: b.Epoch, Seq: seq}, nil
}

// write appends the new records of b and returns the frame that must be
// durable before the Seq it returns may be acknowledged.
func (s *Store) write(org ringwall.OrgID, gw ringwall.GatewayID, b api.Batch) (frame, seq uint64, err error) {
	s.mu.Lock()
	g := s.gateway(org, gw)
	s.mu.Unlock()
	g.turn.Lock()
	defer g.turn.Unlock()
	s.mu.Lock()
	have, epochs, frame := g.seqs[b.Epoch], len(g.seqs), g.frame
	s.mu.Unlock()
	if have == 0 && epochs >= maxEpochs {
		return 0, 0, ringwall.Errorf(ringwall.Invalid, "gateway has begun more than %d epochs", maxEpochs)
	}
	records, err := newer(b, have)
	if err != nil || len(records) == 0 {
		return frame, have, err
	}
	h := frameHead{org: org, gw: gw, epoch: b.Epoch, ingested: s.cfg.Now(), count: len(records)}
	payload, err := appendFrame(nil, h, records)
	if err != nil {
		return 0, have, err
	}
	refs := refsOf{}
	s.mu.Lock()
	defer s.mu.Unlock()
	if frame, err = s.j.Append(payload); err != nil {
		return 0, have, ringwall.Errorf(ringwall.Unavailable, "evidence store has stopped: %w", err)
	}
	for _, r := range records {
		refs.add(h, frame, r)
		if r.Kind == api.RecordLost {
			s.lost += r.Seq - lostFrom(r) + 1
		}
	}
	seq = records[len(records)-1].Seq
	row := markRow{Org: org, GW: gw, Epoch: b.Epoch, Seq: seq, Frame: frame}
	s.advance(row)
	s.index.seal(s.j.Active())
	s.index.add(frame, row, refs)
	return frame, seq, nil
}

// Watermark returns the epoch in which a gateway wrote last and the Seq up to
// which it is stored; zeroes for a gateway that has never written.
func (s *Store) Watermark(org ringwall.OrgID, gw ringwall.GatewayID) (epoch, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.gateways[gatewayKey{org, gw}]
	if g == nil {
		return 0, 0
	}
	return g.newest, g.seqs[g.newest]
}

// Changed has a value when frames may have become durable since it was last
// received from.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Stats describes the store.
type Stats struct {
	Frames   uint64 // durable, since the store was created
	Bytes    int64
	Segments int
	Gateways int
	Lost     uint64 // records that gateways declared lost, since Open
}

// ID names this store: another one, put in its place, has another. A Cursor is
// of one store and means nothing in another.
func (s *Store) ID() string { return s.id }

// Stats returns figures for metrics.
func (s *Store) Stats() Stats {
	segs := s.j.Segments()
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Frames: s.j.Synced(), Bytes: s.j.Bytes(), Segments: len(segs), Gateways: len(s.gateways), Lost: s.lost}
}

// Failed returns the error that stopped the store, or nil.
func (s *Store) Failed() error { return s.j.Failed() }

// Close makes everything durable and closes the store.
func (s *Store) Close() error { return s.j.Close() }

// Scan gives f the durable records from a cursor on, in the order of ingest,
// and returns the cursor behind the last one that f took. It ends at what is
// durable when it gets there, with ctx, or with the first error of f, whose
// record is given again next time. A cursor before the oldest segment that is
// still there starts with that.
func (s *Store) Scan(ctx context.Context, from Cursor, f func(gw ringwall.GatewayID, org ringwall.OrgID, r api.Record) error) (Cursor, error) {
	at := from
	err := s.j.Read(max(from.Frame, 1), func(index uint64, payload []byte) (bool, error) {
		if index != at.Frame {
			at = Cursor{Frame: index}
		}
		start := at.Record
		err := eachRecord(payload, func(h frameHead, i int, r api.Record) error {
			if i < start {
				return nil
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := f(h.gw, h.org, r); err != nil {
				return err
			}
			at.Record = i + 1
			return nil
		})
		if err != nil {
			return false, err
		}
		at = Cursor{Frame: index + 1}
		return true, nil
	})
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return at, fmt.Errorf("reading evidence at %s: %w", at, err)
	}
	return at, err
}
