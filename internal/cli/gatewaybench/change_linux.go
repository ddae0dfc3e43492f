package gatewaybench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/nftables"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/fastpath"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/tap"
)

// Figures that have a bar.
const (
	figLeaks      = "packets that leak during 60 reloads under attack"
	figLeaksFast  = "packets that leak during 60 reloads under attack, with the fast path"
	figFirst      = "first connections that fail over 400 lookups of rotating names"
	figQuarantine = "from the call of a quarantine to the last packet, p99"
	figQuarFast   = "from the call of a quarantine to the last packet, p99, with the fast path"
	figLoad       = "200,000 entries loaded and read back"
	figMemory     = "kernel memory of 200,000 entries"
	figBind       = "binding of one address, median"
	figDecide     = "decision on one flow, 20 terms, the last matches"
	figResident   = "resident memory of all agent processes, 1,000 devices"
)

var limits = map[string]float64{
	figLeaks: 0, figLeaksFast: 0, figFirst: 0, figQuarantine: 50, figQuarFast: 50, figLoad: 2, figMemory: 40, figBind: 100, figDecide: 100, figResident: 64,
}

// change measures the second axis.
func change(ctx context.Context, o Options) (out []Figure, err error) {
	for _, x := range []struct {
		name string
		do   func(context.Context, Options) ([]Figure, error)
	}{
		{"reloads", reloads}, {"names", names}, {"quarantine", quarantine}, {"load", load}, {"decision", decision}, {"resident memory", resident},
	} {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		if !o.wanted(x.name) {
			continue
		}
		began := time.Now()
		figs, err := x.do(ctx, o)
		out = append(out, figs...)
		if err != nil {
			return out, fmt.Errorf("%s: %w", x.name, err)
		}
		fmt.Fprintf(o.Log, "%s: done in %v\n", x.name, time.Since(began).Round(time.Millisecond))
	}
	return out, nil
}

// counter counts what arrives in the world, by where it was sent to.
type counter struct {
	tap  *tap.Tap
	end  context.CancelFunc
	wg   sync.WaitGroup
	want [2]netip.Addr
	n    [2]atomic.Uint64
	last [2]atomic.Int64 // kernel's time of the last, ns
}

func newCounter(r *Rig, a, b netip.Addr) (*counter, error) {
	c := &counter{want: [2]netip.Addr{a, b}}
	var err error
	if c.tap, err = tap.Open(tap.Config{Interface: "inet0", NS: r.Outside, RingBytes: 32 << 20, IgnoreOutgoing: true}); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.end = cancel
	c.wg.Go(func() {
		var p packet.Packet
		_ = c.tap.Run(ctx, func(data []byte, ts time.Time, _ int) { // ends with its context
			if packet.Decode(c.tap.Link(), data, &p) != nil {
				return
			}
			for i, w := range c.want {
				if p.Dst == w {
					c.n[i].Add(1)
					c.last[i].Store(ts.UnixNano())
				}
			}
		})
	})
	return c, nil
}

func (c *counter) stop() (lost uint64, err error) {
	c.end()
	c.wg.Wait()
	lost = c.tap.Stats().Drops
	return lost, c.tap.Close()
}

// pace sends a batch from each of two lists of headers in turn, then waits,
// until stop.
func pace(b *blaster, wait time.Duration) (stop func() (sent uint64, err error)) {
	done := make(chan bool)
	var wg sync.WaitGroup
	var sent uint64
	var failed error
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			n, err := b.one(true)
			sent += n
			if err != nil {
				failed = err
				return
			}
			time.Sleep(wait)
		}
	})
	return func() (uint64, error) {
		close(done)
		wg.Wait()
		return sent, failed
	}
}

// outlaw is where no policy lets anybody.
var outlaw = netip.MustParseAddr("192.0.2.66")

// reloads puts two policies in force in turn while the first device sends to
// where neither lets it, each packet from a fresh port, and the second to where
// both let it.
func reloads(ctx context.Context, o Options) (out []Figure, err error) {
	for _, x := range []struct {
		name string
		n    int
		fast bool
		how  func(*Rig, *gateway, policy.Plan) error
	}{
		{figLeaks, 60, false, func(_ *Rig, g *gateway, p policy.Plan) error { _, err := g.fw.Apply(ctx, p); return err }},
		{figLeaksFast, 60, true, func(_ *Rig, g *gateway, p policy.Plan) error { _, err := g.fw.Apply(ctx, p); return err }},
		{"control: packets that leak when the rules are flushed and loaded, 60 times", 60, false, func(r *Rig, g *gateway, p policy.Plan) error {
			c, err := nftables.New(nftables.WithNetNSFd(r.Gateway.FD()))
			if err != nil {
				return err
			}
			c.FlushRuleset()
			if err := c.Flush(); err != nil {
				return err
			}
			if err := g.fw.Base(ctx); err != nil {
				return err
			}
			_, err = g.fw.Apply(ctx, p)
			return err
		}},
	} {
		f, err := reloadOne(ctx, x.n, x.fast, x.how)
		if err != nil {
			return out, fmt.Errorf("%s: %w", x.name, err)
		}
		f.What = x.name
		out = append(out, f)
	}
	return out, nil
}

func reloadOne(ctx context.Context, n int, fast bool, how func(*Rig, *gateway, policy.Plan) error) (f Figure, err error) {
	r, err := newRig(ctx, 2)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	g, err := startGateway(ctx, r, fast, fastpath.Config{Sample: 1})
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	var plans [2]policy.Plan
	for i := range plans {
		d := r.Desired()
		d.Generation = uint64(2 + i)
		if i == 1 { // everything else differs
			for j := range d.Devices {
				d.Devices[j].Terms = append(d.Devices[j].Terms,
					api.Term{ID: "more", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("203.0.113.0/24"), Proto: "tcp", Ports: []api.PortRange{{First: 1, Last: 1000}}},
					api.Term{ID: "no", Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("192.0.2.67/32"), Proto: "tcp"})
			}
		}
		if plans[i], err = policy.Compile(d, nil, time.Now()); err != nil {
			return f, err
		}
	}
	b, err := newBlaster(r, 0)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	good := Destination(1, 0)
	b.heads = nil
	for i := range 4 {
		b.heads = append(b.heads, head(DeviceMAC(0), netip.AddrPortFrom(DeviceIP(0), 5000), netip.AddrPortFrom(outlaw, uint16(1000+i)), 0)...)
	}
	b.heads = append(b.heads, head(DeviceMAC(1), netip.AddrPortFrom(DeviceIP(1), 5000), netip.AddrPortFrom(good, UDPPort), 0)...)
	b.resize(smallFrame)
	c, err := newCounter(r, outlaw, good)
	if err != nil {
		return f, err
	}
	stop := pace(b, 300*time.Microsecond)
	for i := range n {
		if err = how(r, g, plans[(i+1)%2]); err != nil {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	sent, serr := stop()
	time.Sleep(4 * tap.BlockTimeout)
	lost, cerr := c.stop()
	if err = errors.Join(err, serr, cerr); err != nil {
		return f, err
	}
	attack := sent / 5 * 4
	if lost > 0 {
		return f, fmt.Errorf("the counter in the world lost %d packets", lost)
	}
	if attack < 1000 {
		return f, fmt.Errorf("only %d packets were sent: that says little", attack)
	}
	return Figure{Value: float64(c.n[0].Load()), Unit: "packets", Of: fmt.Sprintf("of %d refused ones; %d of %d allowed ones arrived", attack, c.n[1].Load(), sent/5)}, nil
}

// trials is how many quarantines are timed.
const trials = 250

// quarantine times from the call to the last packet that the world sees.
func quarantine(ctx context.Context, o Options) (out []Figure, err error) {
	for _, fast := range []bool{false, true} {
		name := figQuarantine
		if fast {
			name = figQuarFast
		}
		list, err := quarantines(ctx, fast)
		if err != nil {
			return out, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, Figure{What: name, Value: percentile(list, 0.99), Unit: "ms", Of: fmt.Sprintf("of %d; median %.3f ms, worst %.3f ms", len(list), percentile(list, 0.5), list[len(list)-1])})
	}
	return out, nil
}

func quarantines(ctx context.Context, fast bool) (list []float64, err error) {
	r, err := newRig(ctx, 1)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	g, err := startGateway(ctx, r, fast, fastpath.Config{Sample: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	b, err := newBlaster(r, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	b.heads = b.heads[:headers]
	b.resize(smallFrame)
	c, err := newCounter(r, Destination(0, 0), outlaw)
	if err != nil {
		return nil, err
	}
	defer func() {
		_, cerr := c.stop()
		err = errors.Join(err, cerr)
	}()
	done := make(chan bool)
	var wg sync.WaitGroup
	defer func() { close(done); wg.Wait() }()
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				_, _ = b.some(8) // what is not sent does not arrive, and is noticed there
				time.Sleep(50 * time.Microsecond)
			}
		}
	})
	flows := func(n uint64) error {
		at := c.n[0].Load()
		for until := time.Now().Add(10 * time.Second); c.n[0].Load() < at+n; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				return errors.New("the stream does not flow")
			}
		}
		return nil
	}
	var warm uint64
	if fast {
		for until := time.Now().Add(10 * time.Second); warm == 0; time.Sleep(time.Millisecond) {
			counts, err := g.path.Counters()
			if err != nil {
				return nil, err
			}
			if warm = counts[1].PassedUp.Packets; time.Now().After(until) {
				return nil, errors.New("the stream does not become fast")
			}
		}
	}
	for range trials {
		if fast { // it has to be fast again before it is cut
			before := warm
			for until := time.Now().Add(10 * time.Second); warm == before; time.Sleep(time.Millisecond) {
				counts, err := g.path.Counters()
				if err != nil {
					return nil, err
				}
				if warm = counts[1].PassedUp.Packets; time.Now().After(until) {
					return nil, errors.New("the stream does not become fast again")
				}
			}
		}
		if err := flows(20); err != nil {
			return nil, err
		}
		began := time.Now()
		if err := g.fw.Restrict(ctx, 1, ringwall.Quarantine); err != nil {
			return nil, err
		}
		// The counter reads late when the machine is busy, but the times are the
		// kernel's: it is waited for until it has nothing new to tell.
		for seen, quiet := uint64(0), 0; quiet < 2; time.Sleep(2 * tap.BlockTimeout) {
			if now := c.n[0].Load(); now == seen {
				quiet++
			} else {
				seen, quiet = now, 0
			}
			if time.Since(began) > 10*time.Second {
				return nil, errors.New("the stream goes on in quarantine")
			}
		}
		list = append(list, max(0, float64(c.last[0].Load()-began.UnixNano())/1e6))
		if err := g.fw.Restrict(ctx, 1, ringwall.Unrestricted); err != nil {
			return nil, err
		}
	}
	slices.Sort(list)
	return list, nil
}

// load puts 200,000 entries in force, and measures what it takes.
func load(ctx context.Context, o Options) (out []Figure, err error) {
	const devices, times = 10_000, 3
	var took, memory, compile, binds []float64
	for range times {
		r, err := newRig(ctx, devices)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if _, err := policy.Compile(r.Desired(), nil, time.Now()); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		compile = append(compile, time.Since(began).Seconds())
		before, err := kernelMemory()
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		g, err := startGateway(ctx, r, false, fastpath.Config{})
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		after, err := kernelMemory()
		took, memory = append(took, g.first.Seconds()), append(memory, (after-before)/(1<<20))
		if err == nil {
			var list []float64
			list, err = bind(ctx, g.fw)
			binds = append(binds, list...)
		}
		if err := errors.Join(err, g.stop(), r.Close()); err != nil {
			return nil, err
		}
	}
	binds = sorted(binds)
	return []Figure{
		{What: figLoad, Value: percentile(sorted(took), 0.5), Unit: "s", Of: fmt.Sprintf("median of %d; compiling the policy before it %.2f s", times, percentile(sorted(compile), 0.5))},
		{What: figMemory, Value: percentile(sorted(memory), 0.5), Unit: "MiB", Of: "median; 10,000 devices with bindings, counters and tokens included"},
		{What: figBind, Value: percentile(binds, 0.5), Unit: "µs", Of: fmt.Sprintf("p99 %.0f µs, of %d, beside the 200,000", percentile(binds, 0.99), len(binds))},
	}, nil
}

func bind(ctx context.Context, fw *nft.Firewall) (list []float64, err error) {
	b := []nft.Binding{{Mark: 1, Name: "a.cdn.example", Services: []policy.Service{{Proto: policy.ProtoTCP, Ports: []api.PortRange{{First: 443, Last: 443}}}}, Life: time.Minute}}
	for i := range 1000 {
		b[0].Addr = netip.AddrFrom4([4]byte{45, 0, byte(i >> 8), byte(i)})
		began := time.Now()
		if err := fw.BindAll(ctx, b); err != nil {
			return nil, err
		}
		list = append(list, float64(time.Since(began).Nanoseconds())/1e3)
	}
	return list, nil
}

// kernelMemory is what the kernel has taken for itself. Others on the machine
// move it as well: it is read several times, and the least counts.
func kernelMemory() (least float64, err error) {
	least = math.Inf(1)
	for range 5 {
		b, err := os.ReadFile("/proc/meminfo")
		if err != nil {
			return 0, err
		}
		var sum float64
		for line := range strings.Lines(string(b)) {
			var name string
			var kb float64
			if _, err := fmt.Sscanf(line, "%s %f", &name, &kb); err != nil {
				continue
			}
			switch name {
			case "Slab:", "VmallocUsed:", "Percpu:":
				sum += kb * 1024
			}
		}
		least = min(least, sum)
		time.Sleep(20 * time.Millisecond)
	}
	return least, nil
}

// decision times a judge of one device.
func decision(context.Context, Options) ([]Figure, error) {
	r := Rig{Devices: 1}
	d := r.Desired().Devices[0]
	d.Terms = d.Terms[:Destinations]
	judge := policy.NewJudge(d, policy.Site{})
	f := policy.Flow{Direction: api.FromDevice, Local: netip.AddrPortFrom(DeviceIP(0), 5000), Remote: netip.AddrPortFrom(Destination(0, Destinations-1), UDPPort), Proto: "udp"}
	var rounds []float64
	const n = 200_000
	err := onPacketCPU(func() error {
		for range 9 {
			passed := 0
			began := spent()
			for range n {
				if judge.Decide(ringwall.Unrestricted, f).Pass {
					passed++
				}
			}
			rounds = append(rounds, float64((spent()-began).Nanoseconds())/n)
			if passed != n {
				return errors.New("the flow is refused")
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return []Figure{{What: figDecide, Value: percentile(sorted(rounds), 0.5), Unit: "ns"}}, nil
}
