// Package shardtest holds what stands behind package shard in memory, and the
// tests that everything must pass which stands there.
package shardtest

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// Mem is a log, leases, a store and a sink that outlive the nodes that use them,
// as a cluster does. It may be used from several goroutines.
type Mem struct {
	// TTL is how long a lease and an announcement live; 0 = 1 s.
	TTL time.Duration

	mu     sync.Mutex
	grown  chan struct{} // closed and made anew when a log grows
	logs   map[int]*memLog
	leases map[int]memLease
	nodes  map[string]time.Time
	epochs map[int]uint64
	snaps  map[int][]memSnap
	alerts map[ringwall.AlertID]int
}

type memLog struct {
	first   uint64
	entries [][]byte
}

type memLease struct {
	shard.Lease
	node string
	ends time.Time
}

type memSnap struct {
	epoch, seq uint64
	data       []byte
}

// NewMem returns an empty one.
func NewMem() *Mem {
	return &Mem{
		TTL: time.Second, grown: make(chan struct{}), logs: map[int]*memLog{}, leases: map[int]memLease{}, nodes: map[string]time.Time{},
		epochs: map[int]uint64{}, snaps: map[int][]memSnap{}, alerts: map[ringwall.AlertID]int{},
	}
}

func (m *Mem) log(s int) *memLog {
	l := m.logs[s]
	if l == nil {
		l = &memLog{first: 1}
		m.logs[s] = l
	}
	return l
}

// Append implements shard.Log.
func (m *Mem) Append(ctx context.Context, s int, entry []byte) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.log(s)
	l.entries = append(l.entries, slices.Clone(entry))
	close(m.grown)
	m.grown = make(chan struct{})
	return l.first + uint64(len(l.entries)) - 1, nil
}

// Read implements shard.Log.
func (m *Mem) Read(ctx context.Context, s int, from uint64, f func(uint64, []byte) error, idle func() error) error {
	for ctx.Err() == nil {
		m.mu.Lock()
		l, grown := m.log(s), m.grown
		if from < l.first {
			m.mu.Unlock()
			return ringwall.Errorf(ringwall.NotFound, "entry %d of shard %d is gone", from, s)
		}
		news := slices.Clone(l.entries[min(from-l.first, uint64(len(l.entries))):])
		m.mu.Unlock()
		for _, e := range news {
			if ctx.Err() != nil {
				return nil
			}
			if err := f(from, e); err != nil {
				return err
			}
			from++
		}
		if len(news) > 0 {
			continue
		}
		if err := idle(); err != nil {
			return err
		}
		lull := time.NewTimer(10 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-grown:
		case <-lull.C:
		}
		lull.Stop()
	}
	return nil
}

// Trim implements shard.Log.
func (m *Mem) Trim(_ context.Context, s int, before uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.log(s)
	if before <= l.first {
		return nil
	}
	n := min(before-l.first, uint64(len(l.entries)))
	l.entries, l.first = l.entries[n:], l.first+n
	return nil
}

// Len returns how many entries of a shard are in the log.
func (m *Mem) Len(s int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.log(s).entries)
}

// Join implements shard.Leases.
func (m *Mem) Join(ctx context.Context, node string) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.nodes[node] = now.Add(m.TTL)
	n := 0
	for _, ends := range m.nodes {
		if ends.After(now) {
			n++
		}
	}
	return n, nil
}

// Leave implements shard.Leases.
func (m *Mem) Leave(_ context.Context, node string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.nodes, node)
	return nil
}

// Acquire implements shard.Leases.
func (m *Mem) Acquire(ctx context.Context, s int, node string) (shard.Lease, error) {
	if err := ctx.Err(); err != nil {
		return shard.Lease{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if l, ok := m.leases[s]; ok && l.ends.After(now) {
		return shard.Lease{}, ringwall.Errorf(ringwall.Conflict, "shard %d is owned", s)
	}
	m.epochs[s]++
	l := shard.Lease{Shard: s, Epoch: m.epochs[s]}
	m.leases[s] = memLease{l, node, now.Add(m.TTL)}
	return l, nil
}

// Renew implements shard.Leases.
func (m *Mem) Renew(ctx context.Context, l shard.Lease, node string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	if o, ok := m.leases[l.Shard]; !ok || o.Lease != l || !o.ends.After(now) {
		return ringwall.Errorf(ringwall.Conflict, "shard %d is not owned any more", l.Shard)
	}
	m.leases[l.Shard] = memLease{l, node, now.Add(m.TTL)}
	return nil
}

// Release implements shard.Leases.
func (m *Mem) Release(_ context.Context, l shard.Lease, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o, ok := m.leases[l.Shard]; !ok || o.Lease != l {
		return ringwall.Errorf(ringwall.Conflict, "shard %d is not owned any more", l.Shard)
	}
	delete(m.leases, l.Shard)
	return nil
}

// Put implements shard.Store.
func (m *Mem) Put(ctx context.Context, l shard.Lease, seq uint64, write func(io.Writer) error) (uint64, error) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.snaps[l.Shard]
	before := uint64(0)
	if n := len(all); n > 0 {
		if last := all[n-1]; last.epoch > l.Epoch || last.epoch == l.Epoch && last.seq >= seq {
			return 0, ringwall.Errorf(ringwall.Conflict, "shard %d has a newer snapshot", l.Shard)
		}
		before = all[n-1].seq
	}
	all = append(all, memSnap{l.Epoch, seq, b.Bytes()})
	m.snaps[l.Shard] = all[max(0, len(all)-2):]
	return before, nil
}

// Get implements shard.Store.
func (m *Mem) Get(_ context.Context, s int, read func(uint64, io.Reader) error) error {
	m.mu.Lock()
	all := slices.Clone(m.snaps[s])
	m.mu.Unlock()
	err := error(ringwall.Errorf(ringwall.NotFound, "shard %d has no snapshot", s))
	for _, snap := range slices.Backward(all) {
		if err = read(snap.seq, bytes.NewReader(snap.data)); err == nil {
			return nil
		}
	}
	return err
}

// Tear damages the newest snapshot of a shard.
func (m *Mem) Tear(s int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.snaps[s]
	if len(all) == 0 {
		return false
	}
	last := &all[len(all)-1]
	last.data = slices.Clone(last.data[:len(last.data)/2])
	return true
}

// Alerts implements shard.Sink.
func (m *Mem) Alerts(ctx context.Context, _ int, alerts []ringwall.Alert) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range alerts {
		m.alerts[a.ID]++
	}
	return nil
}

// Said returns how often each alert came.
func (m *Mem) Said() map[ringwall.AlertID]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make(map[ringwall.AlertID]int, len(m.alerts))
	for id, n := range m.alerts {
		all[id] = n
	}
	return all
}

// Left returns how many entries of a shard no snapshot covers.
func (m *Mem) Left(s int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.log(s)
	last := l.first + uint64(len(l.entries)) - 1
	if all := m.snaps[s]; len(all) > 0 {
		return int(last - all[len(all)-1].seq)
	}
	return int(last)
}
