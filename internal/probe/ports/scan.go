package ports

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
)

// Bounds of a scan that goes through a plain dialer.
const (
	Workers = 128
	Timeout = time.Second
)

// Means is how a scan asks.
type Means uint8

// The means, best first.
const (
	BySYN     Means = iota // bare SYNs from a raw socket
	ByConnect              // connections, many at once from one thread
	ByDial                 // connections through the Network's dialer
)

func (m Means) String() string {
	return [...]string{"SYN scan", "connect scan", "dialled scan"}[min(m, ByDial)]
}

// Result is what a scan found. Closed ports refused, silent ones never
// answered: a filter, or nobody there.
type Result struct {
	Open           []uint16 // in order
	Closed, Silent int
	By             Means
}

// Answered reports whether the host answered at all.
func (r Result) Answered() bool { return len(r.Open) > 0 || r.Closed > 0 }

// Scan asks every port of a list by the best means that network and privilege
// allow. When ctx ends, what is known by then is returned.
func Scan(ctx context.Context, n assess.Network, t assess.Target, list []uint16) Result {
	for _, m := range []Means{BySYN, ByConnect} {
		if r, err := ScanBy(ctx, m, n, t, list); err == nil {
			return r
		}
	}
	return dialScan(ctx, n, t, list)
}

// ScanBy scans by one means; an error means that it cannot be used here.
func ScanBy(ctx context.Context, m Means, n assess.Network, t assess.Target, list []uint16) (r Result, err error) {
	raw, ok := n.(assess.RawNetwork)
	if !ok && m != ByDial {
		return Result{}, errors.ErrUnsupported
	}
	switch m {
	case BySYN:
		r, err = synScan(ctx, raw, t.Addr, list)
	case ByConnect:
		r, err = connectScan(ctx, raw, t.Addr, list)
	default:
		r = dialScan(ctx, n, t, list)
	}
	r.By = m
	return r, err
}

// dialScan tries connections through the network's own dialer. A port that
// does not answer in Timeout is tried once more, since a busy small device
// drops a SYN now and then.
func dialScan(ctx context.Context, n assess.Network, t assess.Target, list []uint16) Result {
	r := Result{By: ByDial}
	var mu sync.Mutex
	var wg sync.WaitGroup
	next := make(chan uint16)
	for range min(Workers, len(list)) {
		wg.Go(func() {
			for port := range next {
				state := try(ctx, n, t.AddrPort(port))
				if state == silent {
					state = try(ctx, n, t.AddrPort(port))
				}
				mu.Lock()
				switch state {
				case isOpen:
					r.Open = append(r.Open, port)
				case refused:
					r.Closed++
				default:
					r.Silent++
				}
				mu.Unlock()
			}
		})
	}
	for _, p := range list {
		select {
		case next <- p:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	slices.Sort(r.Open)
	r.Open = slices.Compact(r.Open)
	return r
}

func try(ctx context.Context, n assess.Network, address string) standing {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	c, err := n.DialContext(ctx, "tcp", address)
	if err == nil {
		_ = c.Close() // it was open: that is all we wanted to know
		return isOpen
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return refused
	}
	return silent
}
