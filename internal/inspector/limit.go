package inspector

import (
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// limits counts what terms that look inside allow, for nobody else knows which
// flows are theirs. What is over a rate waits, which slows the sender down; what
// is over a number or a quota is refused. A proxy sees no packets: 1,448 bytes
// count as one.
type limits struct {
	now    func() time.Time
	uptime func() time.Duration

	mu    sync.Mutex // guards what follows
	by    map[limitKey]*gauge
	saved []byte // the file as it was written or read last
}

const segment = 1448

type limitKey struct {
	device ringwall.DeviceID
	term   string
}

// gauge is how much of one limit is used.
type gauge struct {
	limit  api.Limit
	open   uint64
	fresh  float64 // flows that may be opened now
	at     time.Duration
	free   time.Duration // when the next byte may go
	used   uint64
	period time.Time
}

// maxGauges bounds the memory of limits; a gauge of nobody's flows whose quota is
// unused goes first.
const maxGauges = 1 << 16

func (l *limits) gauge(b bound) *gauge {
	k := limitKey{b.device, b.term}
	g := l.by[k]
	if g == nil {
		if l.by == nil {
			l.by = map[limitKey]*gauge{}
		}
		if len(l.by) >= maxGauges {
			for k, g := range l.by {
				if g.open == 0 && g.used == 0 {
					delete(l.by, k)
				}
			}
		}
		g = &gauge{fresh: float64(b.limit.NewFlows), at: l.uptime()}
		l.by[k] = g
	}
	g.limit = b.limit // a policy may change it and keep what was counted
	return g
}

// enter reports whether one more flow may be opened under all limits, and counts
// it.
func (l *limits) enter(list []bound) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range list {
		g := l.gauge(b)
		now := l.uptime()
		if n := float64(g.limit.NewFlows); n > 0 {
			g.fresh = min(n, g.fresh+(now-g.at).Seconds()*n)
			if g.fresh < 1 {
				return false
			}
		}
		g.at = now
		if g.limit.Flows > 0 && g.open >= g.limit.Flows || l.spent(g) {
			return false
		}
	}
	for _, b := range list {
		g := l.gauge(b)
		g.open++
		if g.limit.NewFlows > 0 {
			g.fresh--
		}
	}
	return true
}

func (l *limits) leave(list []bound) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range list {
		if g := l.by[limitKey{b.device, b.term}]; g != nil && g.open > 0 {
			g.open--
		}
	}
}

// spent reports whether the quota of the present period is used up.
func (l *limits) spent(g *gauge) bool {
	if g.limit.Quota == 0 {
		return false
	}
	if p := periodOf(l.now(), g.limit.Per); !p.Equal(g.period) {
		g.period, g.used = p, 0
	}
	return g.used >= g.limit.Quota
}

// count takes n bytes off all limits. It answers how long to wait before the
// next, and whether a quota is used up.
func (l *limits) count(list []bound, n int64) (wait time.Duration, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.uptime()
	for _, b := range list {
		g := l.gauge(b)
		over = l.spent(g) || over
		g.used += uint64(n)
		rate := float64(g.limit.ByteRate)
		if p := float64(g.limit.PacketRate) * segment; p > 0 && (rate == 0 || p < rate) {
			rate = p
		}
		if rate > 0 {
			g.free = max(g.free, now) + time.Duration(float64(n)/rate*float64(time.Second))
			wait = max(wait, g.free-now)
		}
	}
	return wait, over
}

// periodOf returns when the period began that t is in.
func periodOf(t time.Time, per string) time.Time {
	t = t.UTC()
	switch per {
	case "hour":
		return t.Truncate(time.Hour)
	case "day":
		return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	}
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

// paced reports whether bytes have to be counted one piece after the other.
func paced(list []bound) bool {
	for _, b := range list {
		if b.limit.ByteRate > 0 || b.limit.PacketRate > 0 || b.limit.Quota > 0 {
			return true
		}
	}
	return false
}
