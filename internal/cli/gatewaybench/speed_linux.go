package gatewaybench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// lane is a contender at work in its namespaces.
type lane struct {
	Contender
	rig   *Rig
	run   *Running
	blast *blaster
	rates []float64
	base  []float64 // what plain forwarding did in the same rounds
	loss  []float64
	sent  uint64
	seen  uint64
	lost  uint64
}

// speed measures all contenders with this many devices.
func speed(ctx context.Context, o Options, devices int) (rows []Row, err error) {
	var lanes []*lane
	defer func() {
		for _, l := range lanes {
			err = errors.Join(err, l.close())
		}
	}()
	list := append(ours(), o.Peers...)
	for _, c := range list {
		if c.Name != plain && !o.wanted(c.Name) || c.Asked && !o.asked(c.Name) || c.Most > 0 && devices > c.Most {
			continue
		}
		began := time.Now()
		l := &lane{Contender: c}
		lanes = append(lanes, l)
		if l.rig, err = newRig(ctx, devices); err != nil {
			return nil, err
		}
		if l.run, err = c.Start(ctx, l.rig); err != nil {
			fmt.Fprintf(o.Log, "%s, %d devices: NOT MEASURED: %v\n", c.Name, devices, err)
			lanes = lanes[:len(lanes)-1]
			err = l.rig.Close()
			if err != nil {
				return nil, err
			}
			continue
		}
		fmt.Fprintf(o.Log, "%s, %d devices: ready in %v\n", c.Name, devices, time.Since(began).Round(time.Millisecond))
	}
	for _, w := range o.Workloads {
		if w == SmallAll && devices*Destinations <= talkers {
			continue // they are all there in Small
		}
		for _, l := range lanes {
			l.rates, l.base, l.loss, l.sent, l.seen, l.lost = nil, nil, nil, 0, 0, 0
		}
		if w == SmallAll {
			err = o.apart(ctx, w, lanes)
		} else {
			err = o.rounds(ctx, w, lanes)
		}
		if err != nil {
			return rows, err
		}
		rows = append(rows, summary(w, devices, lanes)...)
		fmt.Fprintf(o.Log, "%s, %d devices: done\n", w, devices)
	}
	return rows, nil
}

// rounds measures lanes in turn. The first is plain forwarding.
func (o Options) rounds(ctx context.Context, w string, lanes []*lane) error {
	if w != Stream {
		for _, l := range lanes {
			if err := l.warm(ctx, w); err != nil {
				return fmt.Errorf("%s: %w", l.Name, err)
			}
		}
	}
	for range o.Rounds {
		for _, l := range lanes {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := l.measure(ctx, w, o.Slot); err != nil {
				return fmt.Errorf("%s: %w", l.Name, err)
			}
			l.base = append(l.base, lanes[0].rates[len(lanes[0].rates)-1])
		}
	}
	return nil
}

// apart measures each lane in turn with plain forwarding alone, and makes the
// kernel forget its flows then: namespaces share one table of connections, which
// is meant for the flows of one gateway.
func (o Options) apart(ctx context.Context, w string, lanes []*lane) error {
	var all lane
	for _, l := range lanes[1:] {
		if err := o.rounds(ctx, w, []*lane{lanes[0], l}); err != nil {
			return err
		}
		if err := forgetFlows(l.rig); err != nil {
			return err
		}
		all.rates, all.loss = append(all.rates, lanes[0].rates...), append(all.loss, lanes[0].loss...)
		lanes[0].rates, lanes[0].base, lanes[0].loss = nil, nil, nil
	}
	if len(lanes) == 1 {
		return o.rounds(ctx, w, lanes)
	}
	lanes[0].rates, lanes[0].base, lanes[0].loss = all.rates, all.rates, all.loss
	return nil
}

func (o Options) wanted(name string) bool {
	return len(o.Only) == 0 || slices.ContainsFunc(o.Only, func(s string) bool { return strings.Contains(name, s) })
}

// asked is wanted for what is measured only when it is named from the beginning.
func (o Options) asked(name string) bool {
	return slices.ContainsFunc(o.Only, func(s string) bool { return strings.HasPrefix(s, part) && strings.Contains(name, s) })
}

func (l *lane) close() error {
	var errs []error
	if l.run != nil {
		errs = append(errs, l.run.Stop())
	}
	if l.blast != nil {
		errs = append(errs, l.blast.close())
	}
	if l.rig != nil {
		errs = append(errs, l.rig.Close())
	}
	return errors.Join(errs...)
}

// introductions is how often every pair may send until all of them come
// through.
const introductions = 8

// warmest is how long a contender may take to be ready. One that is not is
// measured as it is, and that is said.
const warmest = 3 * time.Minute

// warm lets every pair send and be answered before anything is counted:
// tracking knows the flows, as it does of cameras that have streamed for hours.
func (l *lane) warm(ctx context.Context, workload string) (err error) {
	if l.blast != nil {
		if err := l.blast.close(); err != nil {
			return err
		}
	}
	if l.blast, err = newBlaster(l.rig, flowsOf(workload)); err != nil {
		return err
	}
	if workload == Flows {
		return nil
	}
	l.blast.resize(frameOf(workload))
	b, err := newReplier(l.rig, flowsOf(workload))
	if err != nil {
		return err
	}
	// A way that asks a program about each new flow takes several turns.
	for range introductions {
		before, err := l.rig.arrived()
		if err == nil {
			err = l.blast.all()
		}
		if err != nil {
			return errors.Join(err, b.close())
		}
		time.Sleep(settle)
		after, err := l.rig.arrived()
		if err == nil {
			err = b.all()
		}
		if err != nil {
			return errors.Join(err, b.close())
		}
		if after-before >= uint64(len(l.blast.heads)/headers) {
			break
		}
	}
	if err := b.close(); err != nil {
		return err
	}
	for until := time.Now().Add(warmest); ; {
		if _, _, err := l.blast.send(300*time.Millisecond, false); err != nil {
			return err
		}
		if l.run.Warm == nil || l.run.Warm() {
			return nil
		}
		if time.Now().After(until) {
			l.run.Note = "it was not ready yet"
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// flowsOf is how many flows go on at once; 0 = all.
func flowsOf(workload string) int {
	if workload == SmallAll || workload == Flows {
		return 0
	}
	return talkers
}

func frameOf(workload string) int {
	if workload == Large {
		return largeFrame
	}
	return smallFrame
}

// settle is how long the last packets of a slot may be under way, and the taps
// behind.
const settle = 5 * time.Millisecond

func (l *lane) measure(ctx context.Context, workload string, slot time.Duration) error {
	if workload == Stream {
		rate, err := l.stream(ctx, slot)
		l.rates = append(l.rates, rate)
		return err
	}
	fresh := workload == Flows
	if fresh {
		if err := forgetFlows(l.rig); err != nil {
			return err
		}
	}
	l.blast.resize(frameOf(workload))
	var seen, lost uint64
	if l.run.Tap != nil {
		seen, lost = l.run.Tap()
	}
	before, err := l.rig.arrived()
	if err != nil {
		return err
	}
	sent, took, err := l.blast.send(slot, fresh)
	if err != nil {
		return err
	}
	time.Sleep(settle)
	after, err := l.rig.arrived()
	if err != nil {
		return err
	}
	got := min(after-before, sent)
	n := got
	if l.Name == nothingAhead {
		n = sent
	}
	l.rates = append(l.rates, float64(n)/took.Seconds())
	l.loss = append(l.loss, 1-float64(got)/float64(sent))
	if l.run.Tap != nil {
		s, d := l.run.Tap()
		l.sent, l.seen, l.lost = l.sent+sent, l.seen+s-seen, l.lost+d-lost
	}
	return nil
}

// stream sends bytes over one TCP connection of the first device.
func (l *lane) stream(ctx context.Context, slot time.Duration) (rate float64, err error) {
	if l.Name == nothingAhead {
		return 0, nil
	}
	addr := fmt.Sprintf("%s:%d", Server, TCPPort)
	ln, err := l.rig.Outside.Listen(ctx, "tcp", addr)
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	var got atomic.Uint64
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err != nil {
			served <- err
			return
		}
		defer c.Close()
		buf := make([]byte, 1<<20)
		for {
			n, err := c.Read(buf)
			got.Add(uint64(n))
			if err != nil {
				if errors.Is(err, io.EOF) {
					err = nil
				}
				served <- err
				return
			}
		}
	}()
	dctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	c, err := l.rig.Dev.DialContext(dctx, "tcp", addr)
	if err != nil {
		return 0, fmt.Errorf("connecting to the server: %w", err)
	}
	defer c.Close()
	err = onPacketCPU(func() error {
		buf := make([]byte, 256<<10)
		write := func(d time.Duration) error {
			for until := time.Now().Add(d); time.Now().Before(until); {
				if _, err := c.Write(buf); err != nil {
					return err
				}
			}
			return nil
		}
		if err := write(slot / 2); err != nil { // until windows are open, and the flow is fast
			return err
		}
		began, at := time.Now(), got.Load()
		if err := write(slot); err != nil {
			return err
		}
		rate = float64(got.Load()-at) / time.Since(began).Seconds()
		return c.(*net.TCPConn).CloseWrite()
	})
	if err != nil {
		return 0, err
	}
	select {
	case err = <-served:
	case <-time.After(10 * time.Second):
		err = errors.New("the server does not see the end")
	}
	return rate, err
}

// summary makes rows of the rounds.
func summary(workload string, devices int, lanes []*lane) (rows []Row) {
	for _, l := range lanes {
		if workload == Stream && l.Name == nothingAhead {
			continue
		}
		ratios := make([]float64, 0, len(l.rates))
		for i, r := range l.rates {
			ratios = append(ratios, r/l.base[i])
		}
		ratios = sorted(ratios)
		row := Row{
			Workload: workload, Devices: devices, Contender: l.Name, Rate: percentile(sorted(slices.Clone(l.rates)), 0.5),
			Ratio: percentile(ratios, 0.5), Low: percentile(ratios, 0.25), High: percentile(ratios, 0.75), Note: l.run.Note,
		}
		if len(l.loss) > 0 && l.Name != nothingAhead {
			row.Loss = percentile(sorted(slices.Clone(l.loss)), 0.5)
		}
		if l.seen+l.lost > 0 {
			row.Tapped = float64(l.seen) / float64(l.seen+l.lost)
		}
		rows = append(rows, row)
	}
	return rows
}
