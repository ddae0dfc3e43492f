// Package usagelog keeps the shards of the usage engine (package shard) in NATS
// JetStream: their logs, who owns them, their snapshots, and what they said.
//
// The server is the platform's own (package broker), a cluster of such, or the
// operator's. Its streams must be synced always: JetStream's default of two
// minutes loses, when the power goes, what it has acknowledged
// (jepsen.io/analyses/nats-2.12.1). A client cannot see how a server is set; the
// guide of operations says what to write.
//
// A shard's log is a stream of its own, so that it is trimmed by sequence and its
// leader may stand on any machine. A log that is full refuses, which stops the
// sources, and drops nothing. Leases and announcements are keys that the server
// lets expire; a lease's epoch is the revision at which it was made. Snapshots are
// objects, or files in a directory that all machines share; which of them counts
// says a key that is only ever replaced by comparing its revision, so that two who
// think that they own a shard cannot both be believed.
//
// A Cluster owns its connection. It may be used from several goroutines; Close
// ends it.
package usagelog

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// Config of a Cluster.
type Config struct {
	// Servers are addresses such as "tls://198.51.100.10:4222", or InProcess and
	// Token reach one in this process.
	Servers   []string
	TLS       *tls.Config
	InProcess func() (net.Conn, error)
	Token     string
	// Credentials is a file of NATS credentials; "" = the certificate alone.
	Credentials string
	// Plain allows servers without TLS, for a test bench.
	Plain bool

	// Name keeps several logs on one server apart: capital letters, digits, "_" and
	// "-"; "" = "USAGE".
	Name   string
	Shards int // as in shard.Config
	// Replicas is on how many machines everything stands: 1, 3 or 5; 0 = 1.
	Replicas int
	// TTL is how long a lease lives that is not renewed; 0 = 10 s.
	TTL time.Duration
	// LogBytes bounds the log of one shard; 0 = 4 GiB.
	LogBytes int64
	// Snapshots is a directory that all machines share; "" = the server's object
	// store.
	Snapshots string
	Log       *slog.Logger // nil = silent
}

const (
	defaultName     = "USAGE"
	defaultTTL      = 10 * time.Second
	defaultLogBytes = 4 << 30
	alertAge        = 7 * 24 * time.Hour
	alertBytes      = 1 << 30
	callTime        = 5 * time.Second
	askTime         = time.Second // of what is asked again at once
	// readAhead is how many entries of a log may be on their way to a reader.
	readAhead = 64
	// lull is how long a reader waits before it says that nothing comes.
	lull = 250 * time.Millisecond
	// chunk is the piece of an object: one write of the server's, synced.
	chunk = 1 << 20
)

// Cluster implements shard.Log, shard.Leases, shard.Store and shard.Sink.
type Cluster struct {
	cfg     Config
	log     *slog.Logger
	nc      *nats.Conn
	js      jetstream.JetStream
	leases  jetstream.KeyValue
	nodes   jetstream.KeyValue
	places  jetstream.KeyValue // of sources
	newest  jetstream.KeyValue // of snapshots
	objects objects

	mu   sync.Mutex
	held map[shard.Lease]held
}

// held is a lease of this process: what stands in its key, and at which revision.
type held struct {
	value    string
	revision uint64
}

// Open connects, and makes what is not there yet, for as long as ctx lets it: a
// cluster takes a while to find itself. Codes: Invalid for a configuration that
// cannot work, Unavailable when ctx ended first.
func Open(ctx context.Context, cfg Config) (*Cluster, error) {
	if cfg.Name == "" {
		cfg.Name = defaultName
	}
	if strings.Trim(cfg.Name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || len(cfg.Name) > 32 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the name %.40q of a usage log has other characters than capital letters, digits, _ and -", cfg.Name)
	}
	if cfg.Shards < 1 || cfg.Shards > shard.MaxShards {
		return nil, ringwall.Errorf(ringwall.Invalid, "%d shards, want 1 to %d", cfg.Shards, shard.MaxShards)
	}
	if cfg.Replicas == 0 {
		cfg.Replicas = 1
	}
	if cfg.Replicas != 1 && cfg.Replicas != 3 && cfg.Replicas != 5 {
		return nil, ringwall.Errorf(ringwall.Invalid, "%d replicas, want 1, 3 or 5", cfg.Replicas)
	}
	if cfg.TTL <= 0 {
		cfg.TTL = defaultTTL
	}
	if cfg.LogBytes <= 0 {
		cfg.LogBytes = defaultLogBytes
	}
	c := &Cluster{cfg: cfg, log: cfg.Log, held: map[shard.Lease]held{}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if err := c.connect(); err != nil {
		return nil, err
	}
	if err := c.prepare(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

type inProcess func() (net.Conn, error)

func (f inProcess) InProcessConn() (net.Conn, error) { return f() }

func (c *Cluster) connect() (err error) {
	opts := []nats.Option{
		nats.Name("ringwall usage"), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(200 * time.Millisecond),
		nats.IgnoreAuthErrorAbort(), nats.RetryOnFailedConnect(true), nats.Timeout(callTime), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { c.log.Warn("usage log is not reached", "err", err) }),
		nats.ReconnectHandler(func(*nats.Conn) { c.log.Info("usage log is reached again") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.log.Debug("usage log reports", "err", err) }),
	}
	cfg := &c.cfg
	switch {
	case cfg.InProcess != nil:
		opts = append(opts, nats.InProcessServer(inProcess(cfg.InProcess)), nats.Token(cfg.Token))
	case len(cfg.Servers) == 0:
		return ringwall.Errorf(ringwall.Invalid, "a usage log needs servers")
	case cfg.TLS != nil:
		opts = append(opts, nats.Secure(cfg.TLS), nats.TLSHandshakeFirst())
	case !cfg.Plain:
		return ringwall.Errorf(ringwall.Invalid, "the servers of a usage log are reached by TLS; without it has to be allowed by word")
	}
	if cfg.Credentials != "" {
		opts = append(opts, nats.UserCredentials(cfg.Credentials))
	}
	if c.nc, err = nats.Connect(strings.Join(cfg.Servers, ","), opts...); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "connecting to the usage log: %w", err)
	}
	if c.js, err = jetstream.New(c.nc, jetstream.WithPublishAsyncMaxPending(256)); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "reaching the usage log: %w", err)
	}
	return nil
}

// prepare makes streams and buckets that are not there. Several machines do so at
// once, while their servers still find each other: a server that has no leader yet
// drops what it is asked, so each question is short and asked again until ctx
// ends. What is there stays as it was made.
func (c *Cluster) prepare(ctx context.Context) (err error) {
	for s := range c.cfg.Shards {
		if err := c.ensure(ctx, jetstream.StreamConfig{
			Name: c.stream(s), Subjects: []string{c.subject(s)}, Storage: jetstream.FileStorage, Replicas: c.cfg.Replicas,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: c.cfg.LogBytes, MaxMsgSize: shard.MaxPayload + 4096,
		}); err != nil {
			return err
		}
	}
	if err := c.ensure(ctx, jetstream.StreamConfig{
		Name: "RWU_" + c.cfg.Name + "_ALERTS", Subjects: []string{c.alertSubject()}, Storage: jetstream.FileStorage, Replicas: c.cfg.Replicas,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxAge: alertAge, MaxBytes: alertBytes,
	}); err != nil {
		return err
	}
	for _, b := range []struct {
		name string
		ttl  time.Duration
		kv   *jetstream.KeyValue
	}{{"LEASES", c.cfg.TTL, &c.leases}, {"NODES", c.cfg.TTL, &c.nodes}, {"PLACES", 0, &c.places}, {"NEWEST", 0, &c.newest}} {
		bucket := "RWU_" + c.cfg.Name + "_" + b.name
		if err := c.insist(ctx, bucket, func(ctx context.Context) (err error) {
			if *b.kv, err = c.js.KeyValue(ctx, bucket); errors.Is(err, jetstream.ErrBucketNotFound) {
				*b.kv, err = c.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: bucket, TTL: b.ttl, Replicas: c.cfg.Replicas, Storage: jetstream.FileStorage})
			}
			return err
		}); err != nil {
			return err
		}
	}
	if c.cfg.Snapshots != "" {
		c.objects = files{dir: c.cfg.Snapshots}
		return nil
	}
	bucket := "RWU_" + c.cfg.Name + "_SNAPS"
	return c.insist(ctx, bucket, func(ctx context.Context) error {
		store, err := c.js.ObjectStore(ctx, bucket)
		if errors.Is(err, jetstream.ErrBucketNotFound) {
			store, err = c.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: bucket, Storage: jetstream.FileStorage, Replicas: c.cfg.Replicas})
		}
		c.objects = natsObjects{store}
		return err
	})
}

func (c *Cluster) ensure(ctx context.Context, conf jetstream.StreamConfig) error {
	return c.insist(ctx, conf.Name, func(ctx context.Context) error {
		_, err := c.js.Stream(ctx, conf.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_, err = c.js.CreateStream(ctx, conf)
		}
		return err
	})
}

// insist asks until there is an answer. An answer that will not change ends it.
func (c *Cluster) insist(ctx context.Context, what string, ask func(context.Context) error) error {
	for {
		call, cancel := context.WithTimeout(ctx, askTime)
		err := ask(call)
		cancel()
		var api *jetstream.APIError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return unavailable(err, "reaching %s", what)
		case errors.As(err, &api) && api.ErrorCode == storeFull:
			return ringwall.Errorf(ringwall.Invalid, "the server of the usage log has no room for %s: %w", what, err)
		}
		c.log.Debug("usage log: asked again", "about", what, "err", err)
		t := time.NewTimer(askTime/8 + rand.N(askTime/4))
		select {
		case <-ctx.Done():
			t.Stop()
			return unavailable(err, "reaching %s", what)
		case <-t.C:
		}
	}
}

// storeFull is what the server says when a stream would not fit: "insufficient
// storage resources available".
const storeFull jetstream.ErrorCode = 10047

// Close ends the connection. Leases of this process end when they are not renewed.
func (c *Cluster) Close() { c.nc.Close() }

func (c *Cluster) stream(s int) string  { return fmt.Sprintf("RWU_%s_LOG_%d", c.cfg.Name, s) }
func (c *Cluster) subject(s int) string { return fmt.Sprintf("rwu.%s.log.%d", c.cfg.Name, s) }
func (c *Cluster) alertSubject() string { return "rwu." + c.cfg.Name + ".alert" }

// unavailable is an error of the server's or of the way to it.
func unavailable(err error, format string, args ...any) error {
	return ringwall.Errorf(ringwall.Unavailable, "%s: %w", fmt.Sprintf(format, args...), err)
}

// limited bounds a call: a cluster that has no leader for the moment drops what it
// is asked, and says nothing.
func limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTime)
}

// Append implements shard.Log.
func (c *Cluster) Append(ctx context.Context, s int, entry []byte) (uint64, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	ack, err := c.js.Publish(ctx, c.subject(s), entry)
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return 0, ringwall.Errorf(ringwall.Invalid, "an entry of %d bytes is over what the usage log takes", len(entry))
	case err != nil:
		return 0, unavailable(err, "appending to shard %d", s)
	}
	return ack.Sequence, nil
}

// Read implements shard.Log.
func (c *Cluster) Read(ctx context.Context, s int, from uint64, f func(seq uint64, entry []byte) error, idle func() error) error {
	r := reading{c: c, shard: s, next: max(from, 1), take: f, idle: idle}
	for ctx.Err() == nil {
		first, _, err := c.ends(ctx, s)
		if err != nil {
			return c.ended(ctx, err)
		}
		if r.next < first {
			return ringwall.Errorf(ringwall.NotFound, "entry %d of shard %d is gone; the log begins at %d", r.next, s, first)
		}
		if err := r.run(ctx); !errors.Is(err, errStalled) {
			return c.ended(ctx, err)
		}
		c.log.Warn("a reader of the usage log had stopped; it is made anew", "shard", s, "next", r.next)
	}
	return nil
}

// errStalled says that a consumer gives nothing though there is something: the
// server that kept it went, and neither side noticed.
var errStalled = errors.New("the reader has stopped")

// stallAfter is how many lulls in a row make one look whether there is something.
const stallAfter = 8

// reading is one call of Read.
type reading struct {
	c     *Cluster
	shard int
	next  uint64
	take  func(seq uint64, entry []byte) error
	idle  func() error
}

// run reads with one consumer.
func (r *reading) run(ctx context.Context) error {
	consumer, err := r.c.js.OrderedConsumer(ctx, r.c.stream(r.shard), jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return unavailable(err, "reading shard %d", r.shard)
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(readAhead))
	if err != nil {
		return unavailable(err, "reading shard %d", r.shard)
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	for quiet := 0; ctx.Err() == nil; {
		m, err := messages.Next(jetstream.NextMaxWait(lull))
		if errors.Is(err, nats.ErrTimeout) {
			if err := r.idle(); err != nil {
				return err
			}
			if quiet++; quiet%stallAfter == 0 {
				// Whether the server answers now is not this reader's business.
				if _, last, err := r.c.ends(ctx, r.shard); err == nil && last >= r.next {
					return errStalled
				}
			}
			continue
		}
		if err != nil {
			return unavailable(err, "reading shard %d", r.shard)
		}
		quiet = 0
		if err := r.message(m); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) message(m jetstream.Msg) error {
	meta, err := m.Metadata()
	if err != nil {
		return unavailable(err, "reading shard %d", r.shard)
	}
	seq := meta.Sequence.Stream
	if seq > r.next {
		// A log has no gaps: what is missing was trimmed while we read, or lost.
		return ringwall.Errorf(ringwall.NotFound, "entries %d to %d of shard %d are gone", r.next, seq-1, r.shard)
	}
	if seq < r.next {
		return nil // the consumer was made anew and begins a little before
	}
	if err := r.take(seq, m.Data()); err != nil {
		return err
	}
	r.next = seq + 1
	if meta.NumPending == 0 {
		return r.idle()
	}
	return nil
}

// ended is err, or nil when it only tells that ctx has ended.
func (c *Cluster) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// ends returns the first sequence that a shard's log holds or will hold, and the
// last that it held.
func (c *Cluster) ends(ctx context.Context, s int) (first, last uint64, err error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.stream(s))
	if err != nil {
		return 0, 0, unavailable(err, "looking at shard %d", s)
	}
	state := stream.CachedInfo().State
	if state.Msgs == 0 {
		return state.LastSeq + 1, state.LastSeq, nil
	}
	return state.FirstSeq, state.LastSeq, nil
}

// Trim implements shard.Log.
func (c *Cluster) Trim(ctx context.Context, s int, before uint64) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	stream, err := c.js.Stream(ctx, c.stream(s))
	if err != nil {
		return unavailable(err, "trimming shard %d", s)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(before)); err != nil {
		return unavailable(err, "trimming shard %d", s)
	}
	return nil
}

// Alerts implements shard.Sink. An alert that is said again is kept again: whoever
// consumes tells by its id. The server could tell for a while, but a server that
// falls over between taking an id and keeping its message would then refuse the
// message that comes again.
func (c *Cluster) Alerts(ctx context.Context, _ int, alerts []ringwall.Alert) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	acks := make([]jetstream.PubAckFuture, 0, len(alerts))
	for i := range alerts {
		data, err := json.Marshal(&alerts[i])
		if err != nil {
			return ringwall.Errorf(ringwall.Internal, "writing an alert: %w", err)
		}
		ack, err := c.js.PublishMsgAsync(&nats.Msg{Subject: c.alertSubject(), Data: data})
		if err != nil {
			return unavailable(err, "keeping alerts")
		}
		acks = append(acks, ack)
	}
	for _, a := range acks {
		select {
		case <-a.Ok():
		case err := <-a.Err():
			return unavailable(err, "keeping alerts")
		case <-ctx.Done():
			return unavailable(ctx.Err(), "keeping alerts")
		}
	}
	return nil
}

// Consume hands every alert to f, in order, at least once, until ctx ends; then it
// returns nil. durable names the consumer: it goes on where it was. When f fails,
// the alert comes again.
func (c *Cluster) Consume(ctx context.Context, durable string, f func(ringwall.Alert) error) error {
	for {
		err := c.consume(ctx, durable, f)
		if ctx.Err() != nil {
			return nil
		}
		c.log.Warn("listening for alerts was interrupted", "err", err)
		t := time.NewTimer(askTime)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

func (c *Cluster) consume(ctx context.Context, durable string, f func(ringwall.Alert) error) error {
	call, cancel := limited(ctx)
	consumer, err := c.js.CreateOrUpdateConsumer(call, "RWU_"+c.cfg.Name+"_ALERTS", jetstream.ConsumerConfig{
		Durable: durable, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxAckPending: readAhead, MaxDeliver: -1, DeliverPolicy: jetstream.DeliverAllPolicy,
	})
	cancel()
	if err != nil {
		return c.ended(ctx, unavailable(err, "listening for alerts"))
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(readAhead))
	if err != nil {
		return c.ended(ctx, unavailable(err, "listening for alerts"))
	}
	stop := context.AfterFunc(ctx, messages.Stop)
	defer stop()
	defer messages.Stop()
	for {
		m, err := messages.Next()
		if err != nil {
			return c.ended(ctx, unavailable(err, "listening for alerts"))
		}
		var a ringwall.Alert
		if err := json.Unmarshal(m.Data(), &a); err != nil {
			c.log.Error("alert cannot be read and is dropped", "err", err)
			if err := m.Term(); err != nil {
				return unavailable(err, "dropping an alert")
			}
			continue
		}
		if err := f(a); err != nil {
			c.log.Warn("alert not taken, comes again", "alert", a.ID, "err", err)
			if err := m.NakWithDelay(2 * time.Second); err != nil {
				return unavailable(err, "handing back an alert")
			}
			continue
		}
		if err := m.Ack(); err != nil {
			return unavailable(err, "acknowledging an alert")
		}
	}
}

// SavePlace keeps how far a source was read (shard.Ingest.Save).
func (c *Cluster) SavePlace(ctx context.Context, source uint64, position []byte) error {
	ctx, cancel := limited(ctx)
	defer cancel()
	if _, err := c.places.Put(ctx, strconv.FormatUint(source, 16), position); err != nil {
		return unavailable(err, "keeping a position")
	}
	return nil
}

// Place returns how far a source was read; nil = it is new.
func (c *Cluster) Place(ctx context.Context, source uint64) ([]byte, error) {
	ctx, cancel := limited(ctx)
	defer cancel()
	e, err := c.places.Get(ctx, strconv.FormatUint(source, 16))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, unavailable(err, "reading a position")
	}
	return e.Value(), nil
}

var _ interface {
	shard.Log
	shard.Leases
	shard.Store
	shard.Sink
	io.Closer
} = closer{}

// closer only checks, at compile time, that a Cluster is all of it.
type closer struct{ *Cluster }

func (c closer) Close() error { c.Cluster.Close(); return nil }
