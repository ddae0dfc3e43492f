package fastpath_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/fastpath"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	pkt "github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/tap"
)

const server = "198.51.100.20:7"

func TestPath_flowsBecomeFast(t *testing.T) {
	for _, masquerade := range []bool{false, true} {
		t.Run(fmt.Sprintf("masquerade=%v", masquerade), func(t *testing.T) {
			w := up(t, options{masquerade: masquerade})
			echo(t, w.net, server)
			for _, i := range []int{1, 3} { // behind the bridge, and behind an interface of its own
				for _, n := range []string{"udp", "tcp"} {
					f := dial(t, w.dev[i-1], n, server)
					w.warm(t, f, uint32(i))
					if !f.round(time.Second) {
						t.Errorf("device %d: nothing comes back on a fast %s flow", i, n)
					}
				}
			}
			// Raw frames have real checksums, which the receiver verifies. They are of
			// a device that has no other flows, which might be counted for them.
			s := newSink(t, w.net, "198.51.100.20:9")
			r := w.raw(t, 2, "198.51.100.20:9")
			before := s.n.Load()
			if !r.isFast(t) {
				t.Error("the flow is slow again")
			}
			eventually(t, "a fast packet with its own checksums arrives", func() bool { return s.n.Load() > before })
			want := addr(2).String()
			if masquerade {
				want = "198.51.100.1"
			}
			if got := s.from.Load().IP.String(); got != want {
				t.Errorf("a fast packet arrives from %s, want %s", got, want)
			}
		})
	}
}

// A device that may sit at any port is found by the bridge.
func TestPath_deviceOfNoPort(t *testing.T) {
	w := up(t, options{})
	echo(t, w.net, server)
	d := w.desired(allow("net", "198.51.100.0/24", "any"))
	d.Devices[0].Binding.Port = ""
	w.apply(t, d)
	f := dial(t, w.dev[0], "tcp", server)
	w.warm(t, f, 1)
	if !f.round(time.Second) {
		t.Error("nothing comes back")
	}
}

// What reaches and what does not is the same with the fast path as without.
func TestPath_sameVerdicts(t *testing.T) {
	type answers map[string]bool
	run := func(t *testing.T, without bool) answers {
		w := up(t, options{without: without})
		echo(t, w.net, server)
		echo(t, w.net, "198.51.100.20:8")
		for i, d := range w.dev {
			echo(t, d, addr(i+1).String()+":554")
		}
		d := w.desired(allow("seven", "198.51.100.20/32", "any", api.PortRange{First: 7, Last: 7}))
		d.Devices[1].Mode = ringwall.Shadow
		d.Devices[2].Mode = ringwall.Learn
		d.Devices[0].Terms = append(d.Devices[0].Terms, api.Term{ID: "in", Action: api.Allow, Direction: api.ToDevice, CIDR: netip.MustParsePrefix("198.51.100.0/24"), Proto: "tcp"})
		w.apply(t, d)
		out := answers{}
		try := func(what string, ns *netns.NS, network, to string) {
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			c, err := ns.DialContext(ctx, network, to)
			if err != nil {
				out[what] = false
				return
			}
			defer c.Close()
			f := flow{c}
			ok := f.round(300*time.Millisecond) || network == "udp" && f.round(300*time.Millisecond)
			for range 40 { // long enough to become fast
				if !ok {
					break
				}
				time.Sleep(3 * time.Millisecond)
				ok = f.round(3 * time.Second)
			}
			out[what] = ok
		}
		for i := range w.dev {
			for _, n := range []string{"udp", "tcp"} {
				try(fmt.Sprint("device ", i+1, " ", n, " allowed"), w.dev[i], n, server)
				try(fmt.Sprint("device ", i+1, " ", n, " other port"), w.dev[i], n, "198.51.100.20:8")
				try(fmt.Sprint("device ", i+1, " ", n, " sibling"), w.dev[i], n, addr((i+1)%3+1).String()+":554")
				try(fmt.Sprint("world to device ", i+1, " ", n), w.net, n, addr(i+1).String()+":554")
			}
		}
		if !without {
			if u, d := w.fast(t, 1); u == 0 || d == 0 {
				t.Errorf("nothing was fast (%d, %d): the comparison says little", u, d)
			}
			for m := uint32(2); m <= 3; m++ {
				if u, d := w.fast(t, m); u+d != 0 {
					t.Errorf("%d, %d packets of device %d, which does not enforce, were fast", u, d, m)
				}
			}
		}
		return out
	}
	var slow, fast answers
	t.Run("both", func(t *testing.T) {
		t.Run("without", func(t *testing.T) { t.Parallel(); slow = run(t, true) })
		t.Run("with", func(t *testing.T) { t.Parallel(); fast = run(t, false) })
	})
	pass := 0
	for what, want := range slow {
		if fast[what] != want {
			t.Errorf("%s: passes %v with the fast path, %v without", what, fast[what], want)
		}
		if want {
			pass++
		}
	}
	if pass < 8 || pass > len(slow)-5 {
		t.Errorf("%d of %d pass: the comparison says little", pass, len(slow))
	}
}

func TestPath_restrictionCuts(t *testing.T) {
	for _, r := range []ringwall.Restriction{ringwall.Quarantine, ringwall.Cutoff} {
		t.Run(fmt.Sprint(r), func(t *testing.T) {
			w := up(t, options{})
			s := newSink(t, w.net, "198.51.100.20:9")
			f := w.raw(t, 1, "198.51.100.20:9")
			w.restrict(t, 1, r)
			settled := s.n.Load()
			u, _ := w.fast(t, 1)
			for range 1000 {
				f.send(f.p.frame())
			}
			time.Sleep(50 * time.Millisecond)
			if got := s.n.Load() - settled; got > 1 { // one may have been on its way to the socket
				t.Errorf("%d packets of a restricted device arrive", got)
			}
			if got, _ := w.fast(t, 1); got != u {
				t.Errorf("%d packets of a restricted device were fast", got-u)
			}
			w.restrict(t, 1, ringwall.Unrestricted)
			eventually(t, "the flow is fast again", func() bool { return f.isFast(t) })
		})
	}
	t.Run("control: a filter that does not revoke", func(t *testing.T) {
		w := up(t, options{config: fastpath.Config{Sample: 1}})
		w.end()
		// A keeper whose filter hangs cannot make good what was not revoked.
		w.path.Close()
		hung := &hanging{}
		w.restart(t, hung)
		f := w.raw(t, 1, "198.51.100.20:9")
		hung.hang.Store(true)
		must(t, w.fw.Restrict(t.Context(), 1, ringwall.Quarantine))
		if !f.isFast(t) {
			t.Error("control: a fast flow is cut although nothing was revoked; the tests above could not fail either")
		}
	})
}

// A policy that allows less cuts what it no longer allows, and nothing else.
func TestPath_policyCuts(t *testing.T) {
	w := up(t, options{})
	s := newSink(t, w.net, "198.51.100.20:9")
	f, other := w.raw(t, 1, "198.51.100.20:9"), w.raw(t, 2, "198.51.100.20:10")
	d := w.desired(allow("net", "198.51.100.0/24", "any"))
	d.Devices[0].Terms = []api.Term{allow("less", "198.51.100.20/32", "udp", api.PortRange{First: 10, Last: 10})}
	w.apply(t, d)
	settled := s.n.Load()
	for range 1000 {
		f.send(f.p.frame())
	}
	eventually(t, "the other device is fast again", func() bool { return other.isFast(t) })
	if f.isFast(t) {
		t.Error("a flow that the policy no longer allows is fast")
	}
	if got := s.n.Load() - settled; got > 1 {
		t.Errorf("%d packets arrive that the policy no longer allows", got)
	}
	// A device that moves to another port takes no flow with it.
	d = w.desired(allow("net", "198.51.100.0/24", "any"))
	d.Devices[0].Binding.Port, d.Devices[1].Binding.Port = "p2", "p1"
	w.apply(t, d)
	u, _ := w.fast(t, 2)
	for range 300 {
		other.send(other.p.frame())
		time.Sleep(time.Millisecond)
	}
	if got, _ := w.fast(t, 2); got != u {
		t.Errorf("%d packets from the former port of a device were fast", got-u)
	}
}

func TestPath_countsEachPacketOnce(t *testing.T) {
	w := up(t, options{config: fastpath.Config{Refresh: 5 * time.Millisecond}})
	echo(t, w.net, server)
	f := dial(t, w.dev[0], "udp", server)
	w.warm(t, f, 1)
	before := w.total(t, 1)
	u0, d0 := w.fast(t, 1)
	const n = 5000
	for range n {
		if !f.round(time.Second) {
			t.Fatal("a packet is lost")
		}
	}
	after := w.total(t, 1)
	u1, d1 := w.fast(t, 1)
	want := nft.Count{Packets: n, Bytes: n * 36}
	if got := (nft.Count{Packets: after.PassedUp.Packets - before.PassedUp.Packets, Bytes: after.PassedUp.Bytes - before.PassedUp.Bytes}); got != want {
		t.Errorf("%+v were counted up, want %+v", got, want)
	}
	if got := (nft.Count{Packets: after.PassedDown.Packets - before.PassedDown.Packets, Bytes: after.PassedDown.Bytes - before.PassedDown.Bytes}); got != want {
		t.Errorf("%+v were counted down, want %+v", got, want)
	}
	t.Logf("%d packets each way: %d and %d fast", n, u1-u0, d1-d0)
	if u1-u0 < n/2 || d1-d0 < n/2 || u1-u0 == n || d1-d0 == n {
		t.Errorf("%d and %d of %d packets were fast: the sum says little", u1-u0, d1-d0, n)
	}
}

// A long TCP transfer goes on though tracking sees but a packet now and then.
func TestPath_transfer(t *testing.T) {
	for _, masquerade := range []bool{false, true} {
		w := up(t, options{masquerade: masquerade, config: fastpath.Config{Refresh: 10 * time.Millisecond, Lease: 300 * time.Millisecond}})
		echo(t, w.net, server)
		f := dial(t, w.dev[0], "tcp", server)
		w.warm(t, f, 1)
		u, d := w.fast(t, 1)
		const size = 48 << 20
		go func() {
			b := make([]byte, 1<<16)
			for range size / len(b) {
				if _, err := f.Write(b); err != nil {
					return
				}
			}
		}()
		f.SetReadDeadline(time.Now().Add(20 * time.Second))
		if n, err := io.CopyN(io.Discard, f, size); err != nil {
			t.Errorf("masquerade %v: %d of %d bytes came back: %v", masquerade, n, size, err)
		}
		u1, d1 := w.fast(t, 1)
		if u1-u < 100 || d1-d < 100 {
			t.Errorf("masquerade %v: only %d and %d packets were fast", masquerade, u1-u, d1-d)
		}
	}
}

func TestPath_whatIsSlow(t *testing.T) {
	w := up(t, options{})
	s := newSink(t, w.net, "198.51.100.20:9")
	f := w.raw(t, 1, "198.51.100.20:9")
	send2 := frames(t, w.dev[1], "eth0")
	for _, c := range []struct {
		what   string
		change func(*packet)
		other  bool // from the port of device 2
		passes bool
	}{
		{"control: the flow itself", func(p *packet) {}, false, true},
		{"options, which the filter refuses", func(p *packet) { p.options = []byte{1, 1, 1, 0} }, false, false},
		{"a fragment", func(p *packet) { p.frag = 0x2000 }, false, false},
		{"a later fragment", func(p *packet) { p.frag = 100 }, false, false},
		{"the reserved flag", func(p *packet) { p.frag = 0x8000 }, false, true},
		{"TTL 1", func(p *packet) { p.ttl = 1 }, false, false},
		{"another source port, for the first time", func(p *packet) { p.src = netip.AddrPortFrom(p.src.Addr(), 5001) }, false, true},
		{"the MAC of another", func(p *packet) { p.srcMAC = hw(mac(2)) }, false, false},
		{"a MAC of nobody", func(p *packet) { p.srcMAC = hw("02:00:00:00:00:99") }, false, false},
		{"from another port", func(p *packet) {}, true, false},
		{"from another port with its own MAC", func(p *packet) { p.srcMAC = hw(mac(2)) }, true, false},
		{"to another MAC than the gateway's", func(p *packet) { p.dstMAC = hw("02:00:00:00:00:98") }, false, false},
	} {
		if !f.isFast(t) {
			eventually(t, "the flow is fast again", func() bool { return f.isFast(t) })
		}
		time.Sleep(5 * time.Millisecond)
		u, got := uint64(0), s.n.Load()
		u, _ = w.fast(t, 1)
		send := f.send
		if c.other {
			send = send2
		}
		send(f.with(c.change))
		for n := 0; n < 20 || c.passes && s.n.Load() == got && n < 2000; n++ {
			time.Sleep(time.Millisecond)
		}
		if now, _ := w.fast(t, 1); now != u && c.what != "control: the flow itself" {
			t.Errorf("%s: was fast", c.what)
		}
		if arrived := s.n.Load() > got; arrived != c.passes {
			t.Errorf("%s: arrives: %v, want %v", c.what, arrived, c.passes)
		}
	}
}

// A packet that is too large for the way out is the stack's, which says so.
func TestPath_tooLarge(t *testing.T) {
	w := up(t, options{})
	f := w.raw(t, 1, "198.51.100.20:9")
	big := f.with(func(p *packet) { p.data = string(make([]byte, 1400)); p.frag = 0x4000 })
	u, _ := w.fast(t, 1)
	f.send(big)
	if now, _ := w.fast(t, 1); now != u+1 {
		t.Error("control: 1,400 bytes are not fast with an MTU of 1,500")
	}
	h, err := w.gw.Link()
	must(t, err)
	defer h.Close()
	l, err := h.LinkByName("wan0")
	must(t, err)
	must(t, h.LinkSetMTU(l, 1280))
	eventually(t, "the flow is fast again", func() bool { return f.isFast(t) })
	u, _ = w.fast(t, 1)
	f.send(big)
	if now, _ := w.fast(t, 1); now != u {
		t.Error("a packet larger than the MTU was fast")
	}
}

// The end of a connection takes it out of the cache, both ways.
func TestPath_connectionEnds(t *testing.T) {
	w := up(t, options{})
	echo(t, w.net, server)
	f := dial(t, w.dev[0], "tcp", server)
	w.warm(t, f, 1)
	local := netip.MustParseAddrPort(f.LocalAddr().String())
	p := packet{dstMAC: hwOf(t, w.gw, "br0"), srcMAC: hw(mac(1)), src: local, dst: netip.MustParseAddrPort(server), proto: unix.IPPROTO_TCP, flags: 16}
	send := frames(t, w.dev[0], "eth0")
	fast := func() bool {
		u, _ := w.fast(t, 1)
		send(p.frame())
		now, _ := w.fast(t, 1)
		return now > u
	}
	if !fast() {
		t.Error("control: a stray segment of a fast connection is not fast")
	}
	f.Close()
	time.Sleep(20 * time.Millisecond)
	for range 200 {
		if fast() {
			t.Fatal("a segment was fast after the connection ended")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestPath_leaseEndsWithoutItsKeeper(t *testing.T) {
	w := newWorld(t)
	w.start(t, options{})
	w.end()
	must(t, w.path.Close())
	hung := &hanging{}
	w.restartWith(t, hung, fastpath.Config{Sample: 1, Lease: 300 * time.Millisecond})
	s := newSink(t, w.net, "198.51.100.20:9")
	f := w.raw(t, 1, "198.51.100.20:9")
	hung.hang.Store(true)
	must(t, w.path.Revoke([]uint32{3})) // makes the keeper ask, and hang
	time.Sleep(400 * time.Millisecond)
	if f.isFast(t) {
		t.Error("a flow is fast though its lease is over and its keeper hangs")
	}
	got := s.n.Load()
	f.send(f.p.frame())
	eventually(t, "the flow goes on by the filter", func() bool { return s.n.Load() > got })
}

// Tables of others are not passed by.
func TestPath_othersFilterToo(t *testing.T) {
	w := up(t, options{})
	s := newSink(t, w.net, "198.51.100.20:9")
	f := w.raw(t, 1, "198.51.100.20:9")
	c, err := nftables.New(nftables.WithNetNSFd(w.gw.FD()))
	must(t, err)
	drop := nftables.ChainPolicyDrop
	theirs := c.AddTable(&nftables.Table{Name: "theirs", Family: nftables.TableFamilyINet})
	c.AddChain(&nftables.Chain{Name: "forward", Table: theirs, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Type: nftables.ChainTypeFilter, Policy: &drop})
	must(t, c.Flush())
	eventually(t, "the fast path stands back", func() bool { ok, _ := w.path.Tier(); return !ok })
	got := s.n.Load()
	for range 100 {
		f.send(f.p.frame())
	}
	time.Sleep(20 * time.Millisecond)
	if n := s.n.Load() - got; n > 1 {
		t.Errorf("%d packets pass by the table of another", n)
	}
	_, why := w.path.Tier()
	t.Log(why)
	c.DelTable(theirs)
	must(t, c.Flush())
	eventually(t, "the flow is fast again", func() bool { return f.isFast(t) })
}

// When its process is killed, nothing of the fast path stays but the filter's rules.
func TestPath_killed(t *testing.T) {
	w := up(t, options{without: true})
	s := newSink(t, w.net, "198.51.100.20:9")
	cmd := exec.Command(os.Args[0], "-test.run=^TestPath_child$", "-test.v")
	cmd.Env = append(os.Environ(), "RINGWALL_FASTPATH_CHILD=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, w.gw.Start(cmd))
	buf := make([]byte, 4096)
	said := ""
	for !contains(said, "fast path attached") {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatalf("the child ended: %v: %s", err, said)
		}
		said += string(buf[:n])
	}
	if n := programs(t, w.gw); n != 4 {
		t.Errorf("control: %d interfaces have a program while the child lives, want 4", n)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	eventually(t, "the kernel took the programs away", func() bool { return programs(t, w.gw) == 0 })
	p := packet{dstMAC: hwOf(t, w.gw, "br0"), srcMAC: hw(mac(1)), src: netip.AddrPortFrom(addr(1), 5000), dst: netip.MustParseAddrPort("198.51.100.20:9"), proto: unix.IPPROTO_UDP, data: "x"}
	send := frames(t, w.dev[0], "eth0")
	eventually(t, "the filter goes on", func() bool { send(p.frame()); return s.n.Load() > 0 })
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Quarantine))
	time.Sleep(10 * time.Millisecond)
	got := s.n.Load()
	for range 100 {
		send(p.frame())
	}
	time.Sleep(20 * time.Millisecond)
	if s.n.Load() != got {
		t.Error("a restricted device passes")
	}
}

// TestPath_child is the process that TestPath_killed kills.
func TestPath_child(t *testing.T) {
	if os.Getenv("RINGWALL_FASTPATH_CHILD") == "" {
		t.Skip("only as a child of TestPath_killed")
	}
	p, err := fastpath.Open(fastpath.Config{Bridge: "br0", LAN: []string{"lan3"}, Uplink: "wan0"})
	must(t, err)
	must(t, p.Run(context.Background(), nobody{}, func() { fmt.Println("fast path attached") }))
}

func TestOpen_refuses(t *testing.T) {
	if _, err := fastpath.Open(fastpath.Config{Uplink: "wan0"}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("without an interface towards devices: %v, want code invalid", err)
	}
}

var _ net.Conn = flow{}

// Taps stand before the fast path: the detectors see every cached packet come
// in, and go out.
func TestPath_tapsSeeAll(t *testing.T) {
	w := up(t, options{})
	echo(t, w.net, server)
	f := dial(t, w.dev[0], "udp", server)
	w.warm(t, f, 1)
	var seen [2][2]atomic.Int64 // by interface, by way
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i, name := range []string{"p1", "wan0"} {
		tp, err := tap.Open(tap.Config{Interface: name, NS: w.gw})
		must(t, err)
		wg.Go(func() {
			var p pkt.Packet
			if err := tp.Run(ctx, func(data []byte, _ time.Time, _ int) {
				if pkt.Decode(tp.Link(), data, &p) != nil || !p.Has(pkt.UDP) {
					return
				}
				way := 0
				if p.SrcPort == 7 {
					way = 1
				}
				seen[i][way].Add(1)
			}); err != nil {
				t.Error(err)
			}
			tp.Close()
		})
	}
	u, d := w.fast(t, 1)
	const n = 2000
	for range n {
		if !f.round(time.Second) {
			t.Fatal("a packet is lost")
		}
	}
	u1, d1 := w.fast(t, 1)
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until) && seen[0][1].Load()+seen[1][1].Load() < 2*n; {
		time.Sleep(tap.BlockTimeout)
	}
	cancel()
	wg.Wait()
	if u1-u < n*9/10 || d1-d < n*9/10 {
		t.Errorf("only %d and %d of %d packets were fast: the test says little", u1-u, d1-d, n)
	}
	for i, name := range []string{"p1", "wan0"} {
		if up, down := seen[i][0].Load(), seen[i][1].Load(); up != n || down != n {
			t.Errorf("the tap on %s has seen %d up and %d down, want %d each", name, up, down, n)
		}
	}
}
