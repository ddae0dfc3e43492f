package segment

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	// RunRows is how many flow reports one run of the index has at most; 0 means
	// what package run can have, which is also the most.
	RunRows int
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
	index   index

	ctx    context.Context // of the goroutines; ended by Close
	cancel context.CancelFunc
	wg     sync.WaitGroup
	commit chan struct{} // has a value when something waits for the disk
	grown  chan struct{} // has a value when the index may have to read
	frames sync.Pool     // of *[]byte, in which frames are made

	mu       sync.Mutex
	gateways map[gatewayKey]*gateway
	waiting  []waiting
	closed   bool
	lost     uint64 // records that gateways have declared lost
	syncs    uint64 // group commits
	records  uint64 // stored
	indexErr error  // of the last try
}

// waiting is a batch that is answered when its frame is durable.
type waiting struct {
	frame uint64
	ack   api.BatchAck
	done  func(api.BatchAck, error)
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
	s := &Store{
		dir: dir, cfg: cfg, changed: make(chan struct{}, 1), gateways: map[gatewayKey]*gateway{},
		commit: make(chan struct{}, 1), grown: make(chan struct{}, 1),
		frames: sync.Pool{New: func() any { return new([]byte) }},
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("opening evidence store: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background()) // the store's own life; Close ends it
	s.wg.Go(s.committing)
	s.wg.Go(s.indexing)
	signal(s.grown)
	return s, nil
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// waitingBytes is what may wait for one group commit.
const waitingBytes = 4 << 20

func (s *Store) open() error {
	m, err := s.loadMeta()
	if err != nil {
		return err
	}
	s.id = strconv.FormatUint(m.Tag, 36)
	if err := s.loadBase(); err != nil {
		return err
	}
	c := loadCheckpoint(s.dir, m.Tag)
	for _, row := range c.Marks {
		s.recovered(row)
	}
	s.j, err = durable.OpenJournal(s.dir, durable.JournalConfig{
		Disk:         s.cfg.Disk,
		Tag:          m.Tag,
		SegmentBytes: s.cfg.SegmentBytes,
		MaxFrame:     maxFrame,
		Waiting:      waitingBytes,
		KeepMarks:    true,
		Segment:      func(_, following uint64) (bool, error) { return following > c.As+1, nil },
		Frame: func(index uint64, payload []byte) error {
			if index <= c.As {
				return nil
			}
			return s.recoverFrame(index, payload)
		},
	})
	if err != nil {
		return err
	}
	all := marks{rows: map[markKey]markRow{}, as: s.j.Synced()}
	for k, g := range s.gateways {
		for epoch, seq := range g.seqs {
			row := markRow{Org: k.Org, GW: k.GW, Epoch: epoch, Seq: seq}
			if epoch == g.newest {
				row.Frame = g.frame
			}
			all.put(row)
		}
	}
	if err := s.index.open(s.dir, m.Tag, s.j, all, s.cfg.RunRows); err != nil {
		s.j.Close()
		return err
	}
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
	var x headReader
	h, rest, err := x.read(payload)
	last := markRow{Org: h.org, GW: h.gw, Epoch: h.epoch, Frame: index}
	if err == nil {
		err = eachView(rest, h.count, func(seq uint64, _ *api.RecordView) error { last.Seq = seq; return nil })
	}
	if err != nil {
		return fmt.Errorf("%w: frame %d: %w", durable.ErrDamaged, index, err)
	}
	s.recovered(last)
	return nil
}

// recovered notes a watermark. The caller holds mu, or is Open.
func (s *Store) recovered(row markRow) {
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
	in, err := plainBatch(b)
	if err == nil {
		err = checkSender(org, gw)
	}
	if err != nil {
		return refused(b.Epoch, 0, err)
	}
	if err := ctx.Err(); err != nil {
		return refused(b.Epoch, 0, ringwall.Errorf(ringwall.Unavailable, "batch was not taken: %w", err))
	}
	var ack api.BatchAck
	done := make(chan struct{})
	s.take(org, gw, in, func(a api.BatchAck, e error) {
		ack, err = a, e
		close(done)
	})
	<-done
	return ack, err
}

// Submit does what Ingest does with a batch in the binary form, and calls done
// when it is durable or refused: at once, or from the goroutine that writes,
// which done must not hold up. Submit itself waits for the disk only when too
// much waits already.
func (s *Store) Submit(org ringwall.OrgID, gw ringwall.GatewayID, data []byte, done func(api.BatchAck, error)) {
	in, err := binaryBatch(data)
	if err == nil {
		err = checkSender(org, gw)
	}
	if err != nil {
		done(refused(in.epoch, 0, err))
		return
	}
	s.take(org, gw, in, done)
}

func refused(epoch, seq uint64, err error) (api.BatchAck, error) {
	text := err.Error()
	if e, ok := errors.AsType[*ringwall.Error](err); ok {
		text = e.Text
	}
	return api.BatchAck{Epoch: epoch, Seq: seq, Error: text}, err
}

func (s *Store) take(org ringwall.OrgID, gw ringwall.GatewayID, b batch, done func(api.BatchAck, error)) {
	frame, seq, err := s.write(org, gw, b)
	if err != nil {
		done(refused(b.epoch, seq, err))
		return
	}
	ack := api.BatchAck{Epoch: b.epoch, Seq: seq}
	if frame == 0 || s.j.Synced() >= frame {
		done(ack, nil)
		return
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.waiting = append(s.waiting, waiting{frame, ack, done})
	}
	s.mu.Unlock()
	if closed {
		done(refused(b.epoch, 0, ringwall.Errorf(ringwall.Unavailable, "evidence store is closed")))
		return
	}
	signal(s.commit)
}

// write appends the new records of b and returns the frame that must be
// durable before the Seq it returns may be acknowledged.
func (s *Store) write(org ringwall.OrgID, gw ringwall.GatewayID, b batch) (frame, seq uint64, err error) {
	s.mu.Lock()
	g := s.gateway(org, gw)
	s.mu.Unlock()
	g.turn.Lock()
	defer g.turn.Unlock()
	s.mu.Lock()
	have, epochs, frame := g.seqs[b.epoch], len(g.seqs), g.frame
	s.mu.Unlock()
	if have == 0 && epochs >= maxEpochs {
		return 0, 0, ringwall.Errorf(ringwall.Invalid, "gateway has begun more than %d epochs", maxEpochs)
	}
	b, err = b.newer(have)
	if err != nil || b.count == 0 {
		return frame, have, err
	}
	buf := s.frames.Get().(*[]byte)
	defer s.frames.Put(buf)
	payload, err := appendFrame((*buf)[:0], frameHead{org: org, gw: gw, epoch: b.epoch, ingested: s.cfg.Now(), count: b.count}, b.records)
	*buf = payload
	if err != nil {
		return 0, have, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if frame, err = s.j.Append(payload); err != nil {
		return 0, have, ringwall.Errorf(ringwall.Unavailable, "evidence store has stopped: %w", err)
	}
	stored := b.last - b.first + 1
	s.lost += stored - uint64(b.count) // a record of kind lost stands for several
	s.records += uint64(b.count)
	s.recovered(markRow{Org: org, GW: gw, Epoch: b.epoch, Seq: b.last, Frame: frame})
	return frame, b.last, nil
}

// committing makes durable what waits, all of it with one fsync, and answers.
// Batches that come meanwhile share the next.
func (s *Store) committing() {
	for {
		select {
		case <-s.commit:
		case <-s.ctx.Done():
			s.answer()
			return
		}
		s.answer()
	}
}

func (s *Store) answer() {
	s.mu.Lock()
	group := s.waiting
	s.waiting = nil
	if s.ctx.Err() != nil {
		s.closed = true
	}
	s.mu.Unlock()
	if len(group) == 0 {
		return
	}
	// Frames were appended in the order of their numbers, but not always noted so.
	last := slices.MaxFunc(group, func(a, b waiting) int { return cmp.Compare(a.frame, b.frame) }).frame
	err := s.j.Sync(last)
	if err != nil {
		err = ringwall.Errorf(ringwall.Unavailable, "evidence store has stopped: %w", err)
	} else {
		s.mu.Lock()
		s.syncs++
		s.mu.Unlock()
		signal(s.changed)
		signal(s.grown)
	}
	for _, w := range group {
		if err != nil {
			w.done(refused(w.ack.Epoch, 0, err))
		} else {
			w.done(w.ack, nil)
		}
	}
}

// indexing keeps the index up with what is stored. What it has not read yet, a
// query reads.
func (s *Store) indexing() {
	for {
		select {
		case <-s.grown:
		case <-s.ctx.Done():
			return
		}
		err := s.index.catchUp(s.ctx, s.j.Synced())
		s.mu.Lock()
		s.indexErr = err
		s.mu.Unlock()
	}
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
	Records  uint64 // stored since Open
	Syncs    uint64 // group commits since Open
	Runs     int    // of the index
	Rows     uint64 // flow reports in the index
	Behind   uint64 // frames that are not in it yet
	Index    error  // why it could not be kept up, at the last try
}

// ID names this store: another one, put in its place, has another. A Cursor is
// of one store and means nothing in another.
func (s *Store) ID() string { return s.id }

// Stats returns figures for metrics.
func (s *Store) Stats() Stats {
	segs := s.j.Segments()
	runs, rows, next := s.index.progress()
	synced := s.j.Synced()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Stats{
		Frames: synced, Bytes: s.j.Bytes(), Segments: len(segs), Gateways: len(s.gateways), Lost: s.lost,
		Records: s.records, Syncs: s.syncs, Runs: runs, Rows: rows, Index: s.indexErr,
	}
	if synced >= next {
		out.Behind = synced - next + 1
	}
	return out
}

// Failed returns the error that stopped the store, or nil.
func (s *Store) Failed() error { return s.j.Failed() }

// Close answers what waits, makes everything durable and closes the store.
func (s *Store) Close() error {
	s.cancel()
	s.wg.Wait()
	return s.j.Close()
}

// Scan gives f the durable records from a cursor on, in the order of ingest,
// and returns the cursor behind the last one that f took. It ends at what is
// durable when it gets there, with ctx, or with the first error of f, whose
// record is given again next time. A cursor before the oldest segment that is
// still there starts with that.
func (s *Store) Scan(ctx context.Context, from Cursor, f func(gw ringwall.GatewayID, org ringwall.OrgID, r api.Record) error) (Cursor, error) {
	return s.ScanKinds(ctx, from, nil, f)
}

// ScanKinds is Scan of the records whose kind is wanted; the others are passed
// over.
func (s *Store) ScanKinds(ctx context.Context, from Cursor, wanted func(kind []byte) bool, f func(gw ringwall.GatewayID, org ringwall.OrgID, r api.Record) error) (Cursor, error) {
	at := from
	var x headReader
	err := s.j.Read(max(from.Frame, 1), func(index uint64, payload []byte) (bool, error) {
		if index != at.Frame {
			at = Cursor{Frame: index}
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		h, rest, err := x.read(payload)
		if err != nil {
			return false, err
		}
		start, i := at.Record, 0
		if err := eachView(rest, h.count, func(seq uint64, v *api.RecordView) error {
			if i++; i <= start || wanted != nil && !wanted(v.Kind) {
				return nil
			}
			r := v.Record()
			r.Seq = seq
			if err := f(h.gw, h.org, r); err != nil {
				return err
			}
			at.Record = i
			return ctx.Err()
		}); err != nil {
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
