package actor

import (
	"context"
	"fmt"
	"sync"

	"github.com/ringwall/ringwall/internal/lab/attack"
)

// maxBots is how many attack programs run in one device at once.
const maxBots = 4

// bots are the attack programs that run in a device, ordered by the range.
// They stand for what an infection does: all of them are ours, and bounded.
type bots struct {
	e *Env

	mu   sync.Mutex
	next int
	live map[int]context.CancelFunc
}

func newBots(e *Env) *bots { return &bots{e: e, live: map[int]context.CancelFunc{}} }

// ops adds the orders that run attack programs.
func (b *bots) ops(o Ops) {
	o["scan"] = op(func(ctx context.Context, c attack.ScanConfig) (any, error) {
		return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Scan(ctx, c) })
	})
	o["beacon"] = op(func(ctx context.Context, c attack.BeaconConfig) (any, error) {
		return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Beacon(ctx, c) })
	})
	b.deeds(o)
}

// deeds adds the orders of what an infected device does besides.
func (b *bots) deeds(o Ops) {
	o["flood"] = op(func(ctx context.Context, c attack.FloodConfig) (any, error) {
		return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Flood(ctx, c) })
	})
	o["mine"] = op(func(ctx context.Context, c attack.MineConfig) (any, error) {
		return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Mine(ctx, c) })
	})
	o["map"] = op(func(ctx context.Context, c attack.MapConfig) (any, error) {
		return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Map(ctx, c) })
	})
	o["knock"] = op(func(ctx context.Context, c attack.KnockConfig) (any, error) {
		return b.run(ctx, func(ctx context.Context) (any, error) { return attack.Knock(ctx, c) })
	})
}

func (b *bots) run(ctx context.Context, f func(ctx context.Context) (any, error)) (any, error) {
	b.mu.Lock()
	if len(b.live) >= maxBots {
		b.mu.Unlock()
		return nil, fmt.Errorf("%d attack programs run in %q already", maxBots, b.e.Name)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := b.next
	b.next++
	b.live[id] = cancel
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.live, id)
	}()
	return f(ctx)
}

// stop ends all of them.
func (b *bots) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cancel := range b.live {
		cancel()
	}
}

func (b *bots) running() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.live)
}
