package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
)

func newBenchGateways(env Env) *cobra.Command {
	n, settle := 10_000, 5*time.Second
	c := &cobra.Command{
		Use:   "gateways",
		Short: "Connect many gateways to a platform over mutual TLS: its memory for each, and how fast they all come back",
		Long: `Connect many gateways to a platform over mutual TLS: its memory for each, and how fast they all come back.

The platform is a whole one ("ringwall up") in a process of its own; this process is its gateways, each with its own
certificate and the agent's own connection. All are cut twice: once they hold the tickets of their sessions, once the
platform was started anew and they have to show certificates again. They come back by themselves, with the agent's back-off.`,
		Example: "  ringwall bench gateways --n 10000",
		Args:    exactArgs(0),
		RunE:    func(c *cobra.Command, _ []string) error { return benchGateways(c.Context(), env, n, settle) },
	}
	c.Flags().IntVar(&n, "n", n, "gateways")
	c.Flags().DurationVar(&settle, "settle", settle, "how long the platform is left alone before its memory is read")
	return c
}

// stormTime is how long a bench waits for gateways to come back.
const stormTime = 2 * time.Minute

// memorySteps is at how many parts of the gateways the platform's memory is read.
const memorySteps = 4

func benchGateways(ctx context.Context, env Env, n int, settle time.Duration) (err error) {
	if n < memorySteps || n > 50_000 {
		return usagef("--n %d is not between %d and 50,000", n, memorySteps)
	}
	if err := raiseFiles(uint64(n) + 4096); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ringwall-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p, err := startPlatform(ctx, env, dir, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	began := time.Now()
	all, err := p.enrol(ctx, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "enrolled %d gateways in %v: %.0f/s\n", n, time.Since(began).Round(time.Second), float64(n)/time.Since(began).Seconds())
	defer hangUpAll(all)
	s := storm{all: all, came: make(chan struct{}, 1)}
	if err := s.grow(ctx, env, p, settle); err != nil {
		return err
	}
	// The link is cut under all of them; the platform stays and knows their tickets.
	if err := s.measure(ctx, env, p, "all cut at once, back with tickets", func() error {
		for _, g := range all {
			g.cut()
		}
		return nil
	}); err != nil {
		return err
	}
	// The platform goes and comes: no tickets, certificates again.
	_, spinePort, ok := cutHost(all[0].at)
	if !ok {
		return ringwall.Errorf(ringwall.Internal, "the spine's address %q has no port", all[0].at)
	}
	return s.measure(ctx, env, p, "platform started anew, back with certificates", func() error {
		if err := p.stop(); err != nil {
			return err
		}
		fresh, err := startPlatform(ctx, env, dir, "127.0.0.1:"+spinePort)
		if err != nil {
			return err
		}
		*p = *fresh
		return nil
	})
}

// storm watches how many gateways are connected.
type storm struct {
	all  []*fleetGateway
	up   atomic.Int64
	came chan struct{}
}

// note is told of each connection that comes or goes.
func (s *storm) note(there bool) {
	if !there {
		s.up.Add(-1)
		return
	}
	s.up.Add(1)
	select {
	case s.came <- struct{}{}:
	default:
	}
}

// wait returns when n gateways are connected.
func (s *storm) wait(ctx context.Context, n int) error {
	for s.up.Load() < int64(n) {
		select {
		case <-s.came:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// grow connects the gateways in steps and tells the platform's memory at each.
func (s *storm) grow(ctx context.Context, env Env, p *benchPlatform, settle time.Duration) error {
	none, err := usageOf(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "without gateways the platform takes %.1f MB\n", float64(none.rss)/1e6)
	at := 0
	first := none
	for step := 1; step <= memorySteps; step++ {
		to := len(s.all) * step / memorySteps
		began := time.Now()
		slots := make(chan struct{}, 64)
		for _, g := range s.all[at:to] {
			slots <- struct{}{}
			if err := g.dial(ctx, func(there bool) {
				s.note(there)
				if there {
					select {
					case <-slots:
					default:
					}
				}
			}); err != nil {
				return err
			}
		}
		if err := s.wait(ctx, to); err != nil {
			return err
		}
		took := time.Since(began)
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return ctx.Err()
		}
		u, err := usageOf(p.cmd.Process.Pid)
		if err != nil {
			return err
		}
		fmt.Fprintf(env.Stdout, "%6d connected (%.0f/s): %.1f MB, %.1f kB for each\n", to, float64(to-at)/took.Seconds(), float64(u.rss)/1e6, float64(u.rss-none.rss)/float64(to)/1e3)
		if step == 1 {
			first = u
		} else if step == memorySteps {
			fmt.Fprintf(env.Stdout, "slope of the platform's resident memory from %d on: %.1f kB for each gateway\n", len(s.all)/memorySteps, float64(u.rss-first.rss)/float64(to-len(s.all)/memorySteps)/1e3)
		}
		at = to
	}
	return nil
}

// measure cuts all connections and tells how they come back.
func (s *storm) measure(ctx context.Context, env Env, p *benchPlatform, what string, cut func() error) error {
	n := len(s.all)
	mine, err := usageOf(os.Getpid())
	if err != nil {
		return err
	}
	before, err := usageOf(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	pid := p.cmd.Process.Pid
	began := time.Now() // a platform's new start included
	if err := cut(); err != nil {
		return err
	}
	if pid != p.cmd.Process.Pid {
		before = burden{}
	}
	// The cut is noticed; a platform that was started anew has seen to that.
	for pid == p.cmd.Process.Pid && s.up.Load() > int64(n)/2 {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var half, most time.Duration
	for _, x := range []struct {
		n  int
		at *time.Duration
	}{{n / 2, &half}, {n * 99 / 100, &most}, {n, new(time.Duration)}} {
		within, cancel := context.WithTimeout(ctx, stormTime)
		err := s.wait(within, x.n)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(env.Stdout, "%s: %d of %d are back after %v, and %d were wanted\n", what, s.up.Load(), n, time.Since(began).Round(time.Second), x.n)
			return errFound
		}
		*x.at = time.Since(began)
	}
	took := time.Since(began)
	after, err := usageOf(p.cmd.Process.Pid)
	if err != nil {
		return err
	}
	ours, err := usageOf(os.Getpid())
	if err != nil {
		return err
	}
	fmt.Fprintf(env.Stdout, "%s: half in %v, 99 of 100 in %v, all in %v: %.0f/s; %.2f ms of the platform's processors for each, %.2f of the gateways'; then %.1f MB\n",
		what, half.Round(10*time.Millisecond), most.Round(10*time.Millisecond), took.Round(10*time.Millisecond), float64(n)/took.Seconds(),
		(after.cpu-before.cpu).Seconds()*1e3/float64(n), (ours.cpu-mine.cpu).Seconds()*1e3/float64(n), float64(after.rss)/1e6)
	return nil
}
