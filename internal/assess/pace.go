package assess

import (
	"context"
	"sync"
	"time"
)

// Pace holds what is sent to one device to a rate. Take waits until n more
// connections or datagrams may start; in no second do more start than the rate.
// It may be called by several goroutines; they are served in the order of their
// coming.
type Pace struct {
	rate  float64 // a second
	burst float64

	turn chan struct{} // held while one waits, so that nobody overtakes

	mu   sync.Mutex
	left float64
	at   time.Time
}

// burstShare is the part of a second's allowance that may go out at once. The
// bucket refills with the rest, so that any one second sees the rate at most.
const burstShare = 0.25

// NewPace returns a pace of rate a second; 0 or less means no bound.
func NewPace(rate int) *Pace {
	if rate <= 0 {
		return &Pace{}
	}
	burst := max(1, burstShare*float64(rate))
	return &Pace{rate: max(float64(rate)-burst, float64(rate)*(1-burstShare)), burst: burst, left: burst, turn: make(chan struct{}, 1)}
}

// Take waits for n starts; it ends early, with ctx's error, when ctx does. A
// nil Pace has no bound.
func (p *Pace) Take(ctx context.Context, n int) error {
	p.take(ctx.Done(), n)
	return ctx.Err()
}

// take is Take for who has no context at hand: a datagram waits, at most as
// long as the pace makes it.
func (p *Pace) take(done <-chan struct{}, n int) {
	if p == nil || p.rate == 0 {
		return
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-done:
		return
	}
	for left := float64(n); left > 0; {
		some := min(left, p.burst)
		wait := p.spend(some)
		if wait == 0 {
			left -= some
			continue
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-done:
			t.Stop()
			return
		}
	}
}

// spend takes n from the bucket, or says how long until it holds as much.
func (p *Pace) spend(n float64) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now() // monotonic: a clock that is set must not open the bucket
	if !p.at.IsZero() {
		p.left = min(p.burst, p.left+now.Sub(p.at).Seconds()*p.rate)
	}
	p.at = now
	if p.left+1e-9 >= n {
		p.left -= n
		return 0
	}
	return max(time.Duration((n-p.left)/p.rate*float64(time.Second)), 100*time.Microsecond)
}
