package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
	"github.com/ringwall/ringwall/cdr/ts32298"
)

// Forms of messages.
const (
	CSV   = "csv"
	BER   = "ber"
	Batch = "batch"
)

// MaxPartitions bounds the partitions of one source: its position has room for so
// many.
const MaxPartitions = 64

// Config configures a Source.
type Config struct {
	Server
	Topic string
	Keys  *cdr.Keys
	Form  string
	// Header and Mapping are those of lines of CSV; "" = our own columns.
	Header  string
	Mapping cdr.Mapping
	// From is a position; nil = the beginning of the topic.
	From []byte
	// Partitions to read, without a group; those of From when empty.
	Partitions []int32
	// Group shares the partitions with the other members of a consumer group. Assigned
	// is told which partitions this member got and answers with a position that has
	// them (nil = their beginning); Revoked which it lost. Both are called while Next
	// waits, and never at once.
	Group    string
	Assigned func(partitions []int32) (position []byte, err error)
	Revoked  func(partitions []int32)
	// SkipGone goes on when records are gone before they were read, and tells
	// Trouble; else Next fails.
	SkipGone bool
	Bad      func(cdr.Bad)
	Trouble  func(error)

	more []kgo.Opt // of tests
}

// place is where a partition is read.
type place struct {
	Offset int64 // of the message
	At     int   // bytes of it that were read
}

// Source reads a topic.
type Source struct {
	c       Config
	client  *kgo.Client
	layout  *cdr.Layout
	lines   *cdr.Decoder
	ber     *ts32298.Decoder
	mu      sync.Mutex // over places, which the client's goroutines set
	places  map[int32]place
	fetched []*kgo.Record
	cur     *kgo.Record
	at      int
	raws    [cdr.MaxBatch][]byte
	skipped uint64
	told    time.Time
}

// New makes a source. It does not wait for the brokers. Errors have code Invalid.
func New(c Config) (*Source, error) {
	s := &Source{c: c, ber: ts32298.NewDecoder(c.Keys), places: map[int32]place{}}
	switch c.Form {
	case CSV:
		if c.Header == "" {
			c.Header = cdr.Header()
		}
		var err error
		if s.layout, err = cdr.ParseHeader([]byte(c.Header), c.Mapping); err != nil {
			return nil, err
		}
		s.lines = cdr.NewDecoder(s.layout, c.Keys)
	case BER, Batch:
	default:
		return nil, ringwall.Errorf(ringwall.Invalid, `kafka: form %.20q is none of "csv", "ber", "batch"`, c.Form)
	}
	opts, err := c.Server.options()
	if err != nil {
		return nil, err
	}
	from, err := parsePosition(c.From)
	if err != nil {
		return nil, err
	}
	opts = append(opts, kgo.FetchMaxBytes(16<<20), kgo.FetchMaxWait(500*time.Millisecond), kgo.FetchMaxPartitionBytes(4<<20), kgo.MaxBufferedRecords(50_000), kgo.KeepRetryableFetchErrors(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if c.Group != "" {
		opts = append(opts, s.group()...)
	} else {
		if len(c.Partitions) == 0 {
			c.Partitions = slices.Collect(maps.Keys(from))
		}
		if len(c.Partitions) == 0 || len(c.Partitions) > MaxPartitions {
			return nil, ringwall.Errorf(ringwall.Invalid, "kafka: %d partitions, want 1 to %d", len(c.Partitions), MaxPartitions)
		}
		offsets := map[int32]kgo.Offset{}
		for _, p := range c.Partitions {
			s.places[p] = from[p]
			offsets[p] = startAt(from[p])
		}
		opts = append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: offsets}), kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	}
	if s.client, err = kgo.NewClient(append(opts, c.more...)...); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "kafka: %v", err)
	}
	return s, nil
}

// startAt is where Kafka is asked from: the beginning of a partition is wherever
// its first message is now, as long as nothing of it was read.
func startAt(p place) kgo.Offset {
	if p == (place{}) {
		return kgo.NewOffset().AtStart()
	}
	return kgo.NewOffset().At(p.Offset)
}

// group are the options of a member of a consumer group.
func (s *Source) group() []kgo.Opt {
	lost := func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
		gone := m[s.c.Topic]
		if len(gone) == 0 {
			return
		}
		s.mu.Lock()
		for _, p := range gone {
			delete(s.places, p)
		}
		s.mu.Unlock()
		if s.c.Revoked != nil {
			s.c.Revoked(gone)
		}
	}
	return []kgo.Opt{
		kgo.ConsumerGroup(s.c.Group), kgo.ConsumeTopics(s.c.Topic), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(), kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.OnPartitionsRevoked(lost), kgo.OnPartitionsLost(lost),
		// Offsets that somebody committed are replaced by ours.
		kgo.AdjustFetchOffsetsFn(func(_ context.Context, m map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			got := slices.Sorted(maps.Keys(m[s.c.Topic]))
			var position []byte
			var err error
			if s.c.Assigned != nil && len(got) > 0 {
				if position, err = s.c.Assigned(got); err != nil {
					return nil, err
				}
			}
			from, err := parsePosition(position)
			if err != nil {
				return nil, err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, p := range got {
				s.places[p] = from[p]
				m[s.c.Topic][p] = startAt(from[p])
			}
			if len(s.places) > MaxPartitions {
				return nil, ringwall.Errorf(ringwall.Invalid, "kafka: %d partitions of one member, want at most %d", len(s.places), MaxPartitions)
			}
			return m, nil
		}),
	}
}

// Next implements cdr.Source. It waits for messages until ctx ends.
func (s *Source) Next(ctx context.Context, b *cdr.Batch) error {
	b.Reset()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		for len(b.Events) < cdr.MaxBatch {
			if s.cur == nil {
				if !s.take() {
					break
				}
				continue // it may have nothing left to read
			}
			if s.c.Form == Batch && len(b.Events) > 0 {
				return nil
			}
			s.read(b)
		}
		if len(b.Events) > 0 {
			return nil
		}
		if err := s.poll(ctx); err != nil {
			return err
		}
	}
}

// take goes on to the next message that was fetched, and reports whether there is
// one. Those of partitions that were lost meanwhile are passed over.
func (s *Source) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.fetched) > 0 {
		r := s.fetched[0]
		s.fetched = s.fetched[1:]
		p, mine := s.places[r.Partition]
		if !mine || r.Offset < p.Offset {
			continue
		}
		s.cur, s.at = r, 0
		if r.Offset == p.Offset {
			s.at = min(p.At, len(r.Value))
		}
		return true
	}
	return false
}

// poll waits for messages.
func (s *Source) poll(ctx context.Context) error {
	if s.c.Group != "" {
		s.client.AllowRebalance()
	}
	fetches := s.client.PollRecords(ctx, 20_000)
	if fetches.IsClientClosed() {
		return ringwall.Errorf(ringwall.Unavailable, "reading from Kafka: the source was closed")
	}
	s.fetched = fetches.Records()
	for _, e := range fetches.Errors() {
		switch {
		case ctx.Err() != nil:
		case errors.Is(e.Err, kerr.OffsetOutOfRange):
			if err := s.gone(ctx, e.Partition); err != nil {
				return err
			}
		case errors.Is(e.Err, kerr.UnknownTopicOrPartition), kerr.IsRetriable(e.Err), !isKafka(e.Err):
			s.trouble(e.Err)
		default:
			return ringwall.Errorf(ringwall.Unavailable, "reading partition %d from Kafka: %w", e.Partition, e.Err)
		}
	}
	return nil
}

// isKafka reports whether a broker said it, and not the network.
func isKafka(err error) bool {
	_, ok := errors.AsType[*kerr.Error](err)
	return ok
}

func (s *Source) trouble(err error) {
	if s.c.Trouble != nil && time.Since(s.told) > troubleEvery {
		s.told = time.Now()
		s.c.Trouble(ringwall.Errorf(ringwall.Unavailable, "reading from Kafka: %w", err))
	}
}

// gone deals with a partition whose next message Kafka has no more.
func (s *Source) gone(_ context.Context, partition int32) error {
	s.mu.Lock()
	was := s.places[partition]
	s.mu.Unlock()
	err := ringwall.Errorf(ringwall.Conflict, "partition %d has no message %d any more: records are gone that nobody judged", partition, was.Offset)
	if !s.c.SkipGone {
		return err
	}
	if s.c.Trouble != nil {
		s.c.Trouble(err)
	}
	s.mu.Lock()
	s.places[partition] = place{}
	s.mu.Unlock()
	if s.c.Group != "" {
		s.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{s.c.Topic: {partition: {Epoch: -1, Offset: -2}}})
		return nil
	}
	s.client.RemoveConsumePartitions(map[string][]int32{s.c.Topic: {partition}})
	s.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{s.c.Topic: {partition: kgo.NewOffset().AtStart()}})
	return nil
}

// read makes events of the current message, as many as fit, and moves on behind it
// when it is read.
func (s *Source) read(b *cdr.Batch) {
	r := s.cur
	for len(b.Events) < cdr.MaxBatch && s.at < len(r.Value) {
		from := s.at
		var e cdr.Event
		var err error
		switch s.c.Form {
		case Batch:
			n, err := cdr.DecodeBatch(r.Value[from:], b)
			if err != nil {
				s.bad(from, len(r.Value), err.Error())
				s.at = len(r.Value)
				continue
			}
			s.at += n
			s.moved()
			return
		case CSV:
			end := len(r.Value)
			if i := bytes.IndexByte(r.Value[from:], '\n'); i >= 0 {
				end = from + i + 1
			}
			s.at = end
			switch line := bytes.TrimRight(r.Value[from:end], "\r\n"); {
			case len(line) == 0:
				continue
			case len(line) > cdr.MaxLine:
				err = ringwall.Errorf(ringwall.Invalid, "longer than %d bytes", cdr.MaxLine)
			default:
				err = s.lines.Event(r.Value[from:end], &e)
			}
		case BER:
			t, perr := ber.Parse(r.Value, from, len(r.Value))
			if perr != nil {
				s.at = len(r.Value)
				err = ringwall.Errorf(ringwall.Invalid, "%v", perr)
				break
			}
			s.at = t.Next
			err = s.ber.Event(r.Value[from:t.Next], &e)
		}
		if errors.Is(err, ts32298.ErrKind) {
			s.skipped++
			continue
		}
		if err != nil {
			s.bad(from, s.at, err.Error())
			continue
		}
		s.raws[len(b.Events)] = r.Value[from:s.at]
		b.Events, b.Lines = append(b.Events, e), append(b.Lines, uint64(r.Offset)+1)
	}
	b.Detail = s
	s.moved()
}

// moved writes down where the partition is.
func (s *Source) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := place{s.cur.Offset, s.at}
	if s.at >= len(s.cur.Value) {
		p = place{s.cur.Offset + 1, 0}
	}
	if _, mine := s.places[s.cur.Partition]; mine {
		s.places[s.cur.Partition] = p
	}
	if p.At == 0 {
		s.cur = nil
	}
}

func (s *Source) bad(from, to int, reason string) {
	if s.c.Bad == nil {
		return
	}
	raw := s.cur.Value[from:to]
	n := min(len(raw), cdr.MaxRaw)
	s.c.Bad(cdr.Bad{Source: fmt.Sprint(s.c.Topic, "/", s.cur.Partition), Line: uint64(s.cur.Offset) + 1, Offset: s.cur.Offset, Reason: reason, Raw: raw[:n], Lost: int64(len(raw) - n)})
}

// Record implements cdr.Detail for messages of CSV and BER.
func (s *Source) Record(i int, r *cdr.Record) error {
	if s.layout != nil {
		return s.layout.Decode(s.raws[i], r)
	}
	return s.ber.Record(s.raws[i], r)
}

// Skipped counts records of kinds that are not judged.
func (s *Source) Skipped() uint64 { return s.skipped }

// Position implements cdr.Source: of each partition its number, the offset of the
// next message, and the bytes of it that were read.
func (s *Source) Position() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := []byte{1}
	for _, p := range slices.Sorted(maps.Keys(s.places)) {
		at := s.places[p]
		b = binary.AppendUvarint(b, uint64(p))
		b = binary.AppendUvarint(b, uint64(at.Offset))
		b = binary.AppendUvarint(b, uint64(at.At))
	}
	return b
}

// parsePosition is the inverse of Position.
func parsePosition(b []byte) (map[int32]place, error) {
	m := map[int32]place{}
	if b == nil {
		return m, nil
	}
	bad := ringwall.Errorf(ringwall.Invalid, "the position of %d bytes is none of a topic", len(b))
	if len(b) == 0 || b[0] != 1 {
		return nil, bad
	}
	for b = b[1:]; len(b) > 0; {
		var v [3]uint64
		for i := range v {
			n := 0
			if v[i], n = binary.Uvarint(b); n <= 0 || v[i] > 1<<62 {
				return nil, bad
			}
			b = b[n:]
		}
		if v[0] > 1<<31-1 || v[2] > 1<<31-1 || len(m) == MaxPartitions {
			return nil, bad
		}
		m[int32(v[0])] = place{int64(v[1]), int(v[2])}
	}
	return m, nil
}

// Commit writes the offsets of a position to the group, for others to see the lag.
// The error has code Unavailable; nothing depends on it.
func (s *Source) Commit(ctx context.Context, position []byte) error {
	m, err := parsePosition(position)
	if err != nil || s.c.Group == "" {
		return err
	}
	offsets := map[int32]kgo.EpochOffset{}
	for p, at := range m {
		offsets[p] = kgo.EpochOffset{Epoch: -1, Offset: at.Offset}
	}
	s.client.CommitOffsetsSync(ctx, map[string]map[int32]kgo.EpochOffset{s.c.Topic: offsets}, nil)
	return nil
}

// Close leaves the group and closes the connections.
func (s *Source) Close() {
	if s.c.Group != "" {
		s.client.CloseAllowingRebalance()
		return
	}
	s.client.Close()
}
