// Package usagenode runs one machine of those that judge usage records together
// ("ringwall up --role usage"): it serves a part of the log, puts the sources that
// this machine can reach into it, and judges the shards that it owns.
//
// The log is NATS JetStream: a server inside this process, alone or as one of a
// cluster, or the operator's own. What a machine owns it hands over when it is
// stopped, and loses to the others when it dies; both leave nothing out and repeat
// nothing (package shard).
//
// The spool and the files of a machine are its own: when it is away, what lies in
// its spool waits for it. Mediation that has to go on writes to Kafka, or to the
// spools of several machines; a record that comes twice is judged once.
//
// Node owns its goroutines, its server and its connection; Run returns when all
// have ended.
package usagenode

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/broker"
	"github.com/ringwall/ringwall/internal/spine/usagelog"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// Source is an input of this machine.
type Source struct {
	// Name tells it from all others of all machines, and is the same after a
	// restart, such as "node-3:/var/spool/cdr".
	Name string
	// Open makes the source at a position of its own; nil = from the start. It is
	// closed, when it is an io.Closer.
	Open func(position []byte) (cdr.Source, error)
}

// Config of a Node.
type Config struct {
	// Name of this machine, unique.
	Name string
	// Dir is where this machine's part of the log lies; not used with Servers.
	Dir string
	// Servers reaches the operator's own NATS instead of a server in this process.
	Servers     []string
	TLS         *tls.Config
	Credentials string
	Plain       bool
	// Cluster joins this process's server with those of other machines; nil = alone.
	Cluster *broker.Cluster
	// LogName, Shards, Replicas, LogBytes, Snapshots: see usagelog.Config.
	LogName   string
	Shards    int
	Replicas  int
	LogBytes  int64
	Snapshots string

	Sources []Source
	// Judge is false for a machine that only brings records.
	Judge bool
	// Machine makes the machine of a shard.
	Machine func(shard int) shard.Machine
	// Every is how often a shard is written down at most; 0 = 1 min.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger // nil = silent
	// Ready is called once the log is reached. It may be nil.
	Ready func(*usagelog.Cluster)
	// Tell, if not nil, is given every alert of all machines, in order, at least once;
	// an error is tried again. Consumer names who is told: each goes on where it was.
	Tell     func(ringwall.Alert) error
	Consumer string
}

const (
	storeRoom   = 16 // times the log of all shards: alerts and snapshots
	retryPause  = time.Second
	leaseRounds = 5 // how many renewals a lease outlives
	renewEvery  = 2 * time.Second
)

// Run runs the machine until ctx ends, then hands over what it owns and returns
// nil. Codes: Invalid for a configuration that cannot work.
func Run(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Name == "" || cfg.Judge && cfg.Machine == nil {
		return ringwall.Errorf(ringwall.Invalid, "a usage machine needs a name, and what it judges with")
	}
	names := map[string]bool{}
	for _, s := range cfg.Sources {
		if s.Name == "" || names[s.Name] {
			return ringwall.Errorf(ringwall.Invalid, "source %q has no name of its own", s.Name)
		}
		names[s.Name] = true
	}
	conf := usagelog.Config{
		Servers: cfg.Servers, TLS: cfg.TLS, Credentials: cfg.Credentials, Plain: cfg.Plain, Name: cfg.LogName, Shards: cfg.Shards, Replicas: cfg.Replicas,
		TTL: leaseRounds * renewEvery, LogBytes: cfg.LogBytes, Snapshots: cfg.Snapshots, Log: cfg.Log,
	}
	if len(cfg.Servers) == 0 {
		room := cfg.LogBytes
		if room <= 0 {
			room = 4 << 30
		}
		b, err := startBroker(cfg, room*int64(max(cfg.Shards, 1)+storeRoom))
		if err != nil {
			return err
		}
		defer b.Close()
		conf.InProcess, conf.Token = b.InProcess, b.Token()
	}
	log, err := reach(ctx, conf, cfg.Log)
	if err != nil || log == nil {
		return err
	}
	defer log.Close()
	if cfg.Ready != nil {
		cfg.Ready(log)
	}
	return run(ctx, cfg, log)
}

// startBroker starts this process's server. Its streams' disk is bounded by what
// they may hold all together.
func startBroker(cfg Config, room int64) (*broker.Broker, error) {
	dir := filepath.Join(cfg.Dir, "log")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "making the directory of the usage log: %w", err)
	}
	return broker.Start(broker.Config{Dir: dir, Cluster: cfg.Cluster, Store: room, Log: cfg.Log})
}

// reach opens the log, for as long as it needs: machines that start together find
// each other one after the other. It returns nil when ctx ends first.
func reach(ctx context.Context, conf usagelog.Config, log *slog.Logger) (*usagelog.Cluster, error) {
	for {
		c, err := usagelog.Open(ctx, conf)
		switch {
		case err == nil:
			return c, nil
		case ctx.Err() != nil:
			return nil, nil
		case ringwall.CodeOf(err) == ringwall.Invalid:
			return nil, err
		}
		log.Warn("usage log not reached yet", "err", err)
		if !pause(ctx, retryPause) {
			return nil, nil
		}
	}
}

// pause waits and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// run judges and feeds until ctx ends.
func run(ctx context.Context, cfg Config, log *usagelog.Cluster) error {
	var wg sync.WaitGroup
	var errs []error
	var mu sync.Mutex
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", what, err))
				mu.Unlock()
				cancel()
			}
		})
	}
	if cfg.Judge {
		n, err := shard.NewNode(shard.Config{
			Name: cfg.Name, Shards: cfg.Shards, Log: log, Leases: log, Store: log, Sink: log, Machine: cfg.Machine,
			Every: cfg.Every, Renew: renewEvery, Now: cfg.Now, Logger: cfg.Log,
		})
		if err != nil {
			return err
		}
		begin("judging", func() error { return n.Run(ctx) })
	}
	if cfg.Tell != nil {
		begin("alerts", func() error { return log.Consume(ctx, cfg.Consumer, cfg.Tell) })
	}
	for _, s := range cfg.Sources {
		begin("source "+s.Name, func() error { return feed(ctx, cfg, log, s) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// feed puts one source into the log, again from where it was when it fails in a
// way that may pass.
func feed(ctx context.Context, cfg Config, log *usagelog.Cluster, s Source) error {
	for {
		err := feedOnce(ctx, cfg, log, s)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if ringwall.CodeOf(err) == ringwall.Invalid {
			return err
		}
		cfg.Log.Warn("source of usage records stopped; it is opened again", "source", s.Name, "err", err)
		if !pause(ctx, retryPause) {
			return nil
		}
	}
}

func feedOnce(ctx context.Context, cfg Config, log *usagelog.Cluster, s Source) error {
	id := SourceID(s.Name)
	place, err := log.Place(ctx, id)
	if err != nil {
		return err
	}
	cut, err := shard.NewCut(ctx, id, cfg.Shards, place, s.Open)
	if err != nil {
		return err
	}
	defer cut.Close()
	g := shard.Ingest{Log: log, Shards: cfg.Shards, Now: cfg.Now, Logger: cfg.Log, Save: func(ctx context.Context, source uint64, place []byte) error {
		if err := log.SavePlace(ctx, source, place); err != nil {
			return err
		}
		cut.Saved()
		return nil
	}}
	return g.Run(ctx, cut)
}

// SourceID is what the log knows a source by: FNV-1a of its name, never 0.
func SourceID(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return max(h.Sum64(), 1)
}
