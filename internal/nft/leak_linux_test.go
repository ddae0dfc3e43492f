package nft_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// sink counts the datagrams that arrive at an address.
func sink(t testing.TB, ns *netns.NS, addr string) *atomic.Int64 {
	t.Helper()
	c, err := ns.ListenPacket(context.Background(), "udp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	must(t, c.(*net.UDPConn).SetReadBuffer(4<<20)) // what is lost here says nothing
	var n atomic.Int64
	go func() {
		buf := make([]byte, 64)
		for {
			if _, _, err := c.ReadFrom(buf); err != nil {
				return
			}
			n.Add(1)
		}
	}()
	return &n
}

// attack sends datagrams to addr without a pause until stop, each from a fresh
// connection as far as the packet filter can tell: the source port changes.
func attack(t testing.TB, ns *netns.NS, addr string) (stop func() int64) {
	t.Helper()
	var conns []net.PacketConn
	for range 8 {
		c, err := ns.ListenPacket(context.Background(), "udp", ":0")
		must(t, err)
		conns = append(conns, c)
	}
	to, err := net.ResolveUDPAddr("udp", addr)
	must(t, err)
	var n atomic.Int64
	done := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			if _, err := conns[i%len(conns)].WriteTo([]byte("x"), to); err == nil {
				n.Add(1)
			}
			if i%64 == 0 {
				time.Sleep(100 * time.Microsecond) // one of two processors is for the reloads
			}
		}
	})
	return func() int64 {
		close(done)
		wg.Wait()
		for _, c := range conns {
			c.Close()
		}
		return n.Load()
	}
}

// reloads puts two policies in force in turn, n times, while device 1 sends to
// an address that neither allows and device 2 to one that both allow.
func reloads(t *testing.T, w *world, n int, reload func(p policy.Plan)) (sent, leaked, allowedSent, allowedGot int64) {
	bad, good := sink(t, w.net, "198.51.100.66:9"), sink(t, w.net, "198.51.100.20:9")
	plans := make([]policy.Plan, 2)
	for i := range plans {
		d := w.desired(allowOut("good", "198.51.100.20/32", "udp", port(9)...))
		d.Generation = uint64(i + 1)
		if i == 1 { // everything else differs
			for j := range d.Devices {
				d.Devices[j].Terms = append(d.Devices[j].Terms,
					allowOut("more", "203.0.113.0/24", "tcp", api.PortRange{First: 1, Last: 1000}),
					allowOut("some", "198.51.100.90/32", "any"),
					api.Term{ID: "no", Action: api.Deny, Direction: api.FromDevice, CIDR: allowOut("", "198.51.100.67/32", "").CIDR, Proto: "tcp"})
			}
			d.Remediation = nil
		}
		var err error
		plans[i], err = policy.Compile(d, nil, time.Now())
		must(t, err)
	}
	_, err := w.fw.Apply(t.Context(), plans[0])
	must(t, err)
	stopBad, stopGood := attack(t, w.dev[0], "198.51.100.66:9"), attack(t, w.dev[1], "198.51.100.20:9")
	time.Sleep(50 * time.Millisecond)
	before := bad.Load()
	for i := range n {
		reload(plans[(i+1)%2])
		time.Sleep(2 * time.Millisecond)
	}
	sent, allowedSent = stopBad(), stopGood()
	time.Sleep(100 * time.Millisecond)
	return sent, bad.Load() - before, allowedSent, good.Load()
}

func TestFirewall_reloadsUnderAttackLeakNothing(t *testing.T) {
	const n = 60
	w := up(t, 2)
	sent, leaked, allowed, got := reloads(t, w, n, func(p policy.Plan) {
		_, err := w.fw.Apply(t.Context(), p)
		must(t, err)
	})
	t.Logf("%d reloads: %d of %d refused packets leaked; %d of %d allowed ones arrived", n, leaked, sent, got, allowed)
	if sent < 1000 || got < 1000 {
		t.Errorf("only %d packets were sent and %d arrived: the test says little", sent, got)
	}
	if leaked != 0 {
		t.Errorf("%d packets leaked, want 0", leaked)
	}
}

func TestFirewall_reloadsByFlushingLeak(t *testing.T) {
	w := up(t, 2)
	sent, leaked, _, _ := reloads(t, w, 10, func(p policy.Plan) {
		c, err := nftables.New(nftables.WithNetNSFd(w.gw.FD()))
		must(t, err)
		c.FlushRuleset()
		must(t, c.Flush())
		must(t, w.fw.Base(t.Context()))
		_, err = w.fw.Apply(t.Context(), p)
		must(t, err)
	})
	t.Logf("%d of %d refused packets leaked", leaked, sent)
	if leaked == 0 {
		t.Error("control: nothing leaks though the rules are flushed before each reload; the test above could not fail either")
	}
}

// A damaged skeleton is made anew; meanwhile the gateway is closed, never open.
func TestFirewall_repairUnderAttackLeaksNothing(t *testing.T) {
	w := up(t, 2)
	sent, leaked, _, _ := reloads(t, w, 10, func(p policy.Plan) {
		c, err := nftables.New(nftables.WithNetNSFd(w.gw.FD()))
		must(t, err)
		c.AddChain(&nftables.Chain{Name: "theirs", Table: &nftables.Table{Name: "ringwall", Family: nftables.TableFamilyIPv4}})
		must(t, c.Flush())
		_, err = w.fw.Apply(t.Context(), p)
		must(t, err)
	})
	t.Logf("%d of %d refused packets leaked", leaked, sent)
	if leaked != 0 {
		t.Errorf("%d packets leaked, want 0", leaked)
	}
}

// The same with TCP, and with ends that are inspected in one policy and gone in
// the next, while the inspector runs.
func TestFirewall_reloadsOfInspectedEndsLeakNothing(t *testing.T) {
	const n = 60
	w := newWorld(t, 2)
	cfg := w.config()
	cfg.Inspect = inspectPort
	fw, err := nft.Open(cfg)
	must(t, err)
	defer fw.Close()
	w.fw = fw
	t.Cleanup(func() { w.ruleset(t) })
	must(t, fw.Base(t.Context()))
	newGlass(t, w)
	for _, a := range []string{"198.51.100.20:80", "198.51.100.66:80"} {
		echo(t, w.net, a)
	}
	far, near := newPost(t, w.net), newPost(t, w.dev[0])
	var plans [2]policy.Plan
	for i := range plans {
		d := w.desired(allowOut("good", "198.51.100.90/32", "tcp", port(9)...))
		d.Generation = uint64(i + 1)
		plans[i] = w.plan(t, d, func(p *policy.Plan) {
			for j := range p.Devices {
				p.Devices[j].Inspect = []policy.Box{end("198.51.100.20/32", policy.ProtoTCP, 80, 80)}
				if i == 1 {
					p.Devices[j].Inspect = []policy.Box{end("198.51.100.20/32", policy.ProtoTCP, 80, 443), end("203.0.113.0/24", policy.ProtoAny, 0, 0xffff)}
					p.Devices[j].InInspect = []policy.Box{end("198.51.100.0/24", policy.ProtoTCP, 80, 80)}
				}
			}
		})
	}
	w.force(t, plans[0])
	check(t, "control: through the inspector", reaches(w.dev[0], "tcp", "198.51.100.20:80"), true)
	src := w.addr(1)
	type target struct {
		addr string
		id   uint32 // the first of its packets
		want bool
	}
	// Neither policy allows the first two: one is inspected nowhere, one is next to
	// what is. The number of a packet tells which it was for.
	targets := []target{{"198.51.100.66:80", magic, false}, {"198.51.100.20:9", magic + 0x4000, false}, {"198.51.100.90:9", magic + 0x8000, true}}
	done := make(chan bool)
	var wg sync.WaitGroup
	sent := 0
	wg.Go(func() {
		for i := uint32(0); ; i++ {
			select {
			case <-done:
				return
			default:
			}
			for _, x := range targets {
				to := netip.MustParseAddrPort(x.addr)
				near.send(t, "tcp", netip.AddrPortFrom(src, uint16(20000+i%40000)), to, x.id+i%0x4000)
			}
			sent++
			if i%32 == 0 {
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	for i := range n {
		w.force(t, plans[(i+1)%2])
	}
	close(done)
	wg.Wait()
	time.Sleep(100 * time.Millisecond)
	var got [3]int
	far.mu.Lock()
	for id := range far.got {
		got[(id-magic)/0x4000]++
	}
	far.mu.Unlock()
	t.Logf("%d reloads, %d rounds of packets: arrived %v", n, sent, got)
	if sent < 300 || got[2] < 100 {
		t.Errorf("only %d rounds were sent and %d allowed packets arrived: the test says little", sent, got[2])
	}
	if got[0] != 0 || got[1] != 0 {
		t.Errorf("%d and %d refused packets leaked, want none", got[0], got[1])
	}
}
