package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

// Config of a Node. Log, Leases, Store, Sink, Machine, Name and Shards are needed.
type Config struct {
	// Name of this machine, unique; it is seen in leases and logs.
	Name string
	// Shards is how many shards there are. It never changes for one log.
	Shards int
	Log    Log
	Leases Leases
	Store  Store
	Sink   Sink
	// Machine makes the machine of a shard, empty.
	Machine func(shard int) Machine
	// Every is how often a shard is written down at most; 0 = 1 min. It bounds how
	// much is judged again after a crash.
	Every time.Duration
	// Renew is how often leases are renewed; 0 = 2 s. Leases must live for at least
	// three times as long.
	Renew time.Duration
	// HandOver is how long a last snapshot may take; 0 = 2 min.
	HandOver time.Duration
	// Wrong is told of entries that are passed over because they cannot be read. It
	// is called from the goroutines of shards.
	Wrong  func(shard int, seq uint64, err error)
	Now    func() time.Time // nil = time.Now
	Logger *slog.Logger     // nil = silent
}

const (
	defaultEvery    = time.Minute
	defaultRenew    = 2 * time.Second
	defaultHandOver = 2 * time.Minute
	// MaxShards bounds the shards of one log.
	MaxShards = 4096
)

// Node is this machine as one of those that judge. See Run.
type Node struct {
	cfg Config
	log *slog.Logger

	mu    sync.Mutex
	owned map[int]*owned
	tally map[int]Stats
}

// owned is a shard that runs here.
type owned struct {
	lease  Lease
	cancel context.CancelFunc
	done   chan struct{} // closed when its goroutine has ended, the lease released
	w      *worker
}

// NewNode returns a node that does nothing yet. The error has code Invalid.
func NewNode(c Config) (*Node, error) {
	if c.Shards < 1 || c.Shards > MaxShards {
		return nil, ringwall.Errorf(ringwall.Invalid, "%d shards, want 1 to %d", c.Shards, MaxShards)
	}
	if c.Name == "" || c.Log == nil || c.Leases == nil || c.Store == nil || c.Sink == nil || c.Machine == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "a node needs a name, a log, leases, a store, a sink and a machine")
	}
	if c.Every <= 0 {
		c.Every = defaultEvery
	}
	if c.Renew <= 0 {
		c.Renew = defaultRenew
	}
	if c.HandOver <= 0 {
		c.HandOver = defaultHandOver
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Node{cfg: c, log: log, owned: map[int]*owned{}, tally: map[int]Stats{}}, nil
}

// Owned returns the shards that run here now.
func (n *Node) Owned() []int {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []int
	for s := range n.cfg.Shards {
		if n.owned[s] != nil {
			all = append(all, s)
		}
	}
	return all
}

// Stats returns what became of the entries of a shard while it was owned here, as
// of the last time that it was given away.
func (n *Node) Stats() (sum Stats) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range n.tally {
		sum.Entries += s.Entries
		sum.Again += s.Again
		sum.Wrong += s.Wrong
		sum.Alerts += s.Alerts
		sum.Snaps += s.Snaps
	}
	return sum
}

// Run takes shards and runs them until ctx ends; then it hands all over and
// returns nil. What fails of one shard gives that shard away and is logged; it is
// taken again, here or elsewhere, from its last snapshot.
func (n *Node) Run(ctx context.Context) error {
	tick := time.NewTicker(n.cfg.Renew)
	defer tick.Stop()
	for {
		n.round(ctx)
		select {
		case <-ctx.Done():
			n.handOver(context.WithoutCancel(ctx))
			return nil
		case <-tick.C:
		}
	}
}

// round renews what is owned, and takes or gives away what balance asks for.
func (n *Node) round(ctx context.Context) {
	n.renew(ctx)
	nodes, err := n.cfg.Leases.Join(ctx, n.cfg.Name)
	if err != nil {
		n.log.Warn("this machine cannot be announced", "err", err)
		return
	}
	share := (n.cfg.Shards + max(nodes, 1) - 1) / max(nodes, 1)
	mine := n.Owned()
	for _, s := range mine[min(share, len(mine)):] {
		n.give(s) // asynchronous: it makes its last snapshot first
	}
	// A machine begins with shards of its own corner, so that several that start
	// together do not ask for the same ones.
	start := int(cornerOf(n.cfg.Name) % uint64(n.cfg.Shards))
	for i, held := 0, min(share, len(mine)); i < n.cfg.Shards && held < share && ctx.Err() == nil; i++ {
		s := (start + i) % n.cfg.Shards
		if n.runs(s) {
			continue
		}
		l, err := n.cfg.Leases.Acquire(ctx, s, n.cfg.Name)
		switch {
		case err == nil:
			n.start(ctx, l)
			held++
		case ringwall.CodeOf(err) != ringwall.Conflict:
			n.log.Warn("shard cannot be taken", "shard", s, "err", err)
			return
		}
	}
}

// cornerOf is FNV-1a.
func cornerOf(name string) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range []byte(name) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func (n *Node) runs(s int) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.owned[s] != nil
}

// renew keeps what is owned. A shard whose lease is lost ends at once: somebody
// else has it.
func (n *Node) renew(ctx context.Context) {
	for _, s := range n.Owned() {
		n.mu.Lock()
		o := n.owned[s]
		n.mu.Unlock()
		if o == nil {
			continue
		}
		err := n.cfg.Leases.Renew(ctx, o.lease, n.cfg.Name)
		if ringwall.CodeOf(err) == ringwall.Conflict {
			n.log.Warn("lease of a shard is lost", "shard", s)
			o.cancel()
		} else if err != nil {
			// It may end while nobody answers. Its snapshots are refused then, and what
			// it says has the ids of what its next owner says.
			n.log.Warn("lease of a shard cannot be renewed", "shard", s, "err", err)
		}
	}
}

// start runs a shard.
func (n *Node) start(ctx context.Context, l Lease) {
	run, cancel := context.WithCancel(ctx)
	o := &owned{lease: l, cancel: cancel, done: make(chan struct{})}
	o.w = &worker{cfg: &n.cfg, lease: l, log: n.log.With("shard", l.Shard, "epoch", l.Epoch)}
	n.mu.Lock()
	n.owned[l.Shard] = o
	n.mu.Unlock()
	go func() {
		defer close(o.done)
		defer cancel()
		err := o.w.guarded(run)
		if err != nil && !errors.Is(err, context.Canceled) {
			n.log.Error("shard ended", "shard", l.Shard, "err", err)
		}
		if err := n.cfg.Leases.Release(context.WithoutCancel(ctx), l, n.cfg.Name); err != nil && ringwall.CodeOf(err) != ringwall.Conflict {
			n.log.Warn("shard not given away; its lease will end", "shard", l.Shard, "err", err)
		}
		n.mu.Lock()
		sum := n.tally[l.Shard]
		sum.Entries, sum.Again, sum.Wrong = sum.Entries+o.w.stats.Entries, sum.Again+o.w.stats.Again, sum.Wrong+o.w.stats.Wrong
		sum.Alerts, sum.Snaps = sum.Alerts+o.w.stats.Alerts, sum.Snaps+o.w.stats.Snaps
		n.tally[l.Shard] = sum
		delete(n.owned, l.Shard)
		n.mu.Unlock()
	}()
}

// guarded is run, and an error in the place of a panic: a machine that breaks on
// one entry must not take the other shards of this process with it.
func (w *worker) guarded(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("shard %d broke at entry %d: %v", w.lease.Shard, w.seq+1, p)
		}
	}()
	return w.run(ctx)
}

func (n *Node) give(s int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if o := n.owned[s]; o != nil {
		o.cancel()
	}
}

// handOver ends all shards, waits for their last snapshots, and leaves.
func (n *Node) handOver(ctx context.Context) {
	for {
		n.mu.Lock()
		var any *owned
		for _, o := range n.owned {
			o.cancel()
			any = o
		}
		n.mu.Unlock()
		if any == nil {
			break
		}
		<-any.done
	}
	leave, cancel := context.WithTimeout(ctx, n.cfg.Renew)
	defer cancel()
	if err := n.cfg.Leases.Leave(leave, n.cfg.Name); err != nil {
		n.log.Warn("this machine cannot take its announcement back", "err", err)
	}
}
