package tap_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/tap"
)

// home makes a device and a gateway with a cable between them.
func home(t *testing.T) (device, gateway *netns.NS) {
	t.Helper()
	device, gateway = netnstest.New(t, "device"), netnstest.New(t, "gateway")
	if err := netns.Cable(device, "eth0", nil, gateway, "lan0", nil); err != nil {
		t.Fatal(err)
	}
	if err := device.Addr("eth0", "10.77.0.10/24"); err != nil {
		t.Fatal(err)
	}
	if err := gateway.Addr("lan0", "10.77.0.1/24"); err != nil {
		t.Fatal(err)
	}
	return device, gateway
}

// seen gathers packets.
type seen struct {
	mu  sync.Mutex
	all []packet.Packet
	lag time.Duration
}

func (s *seen) take(link packet.LinkType) func([]byte, time.Time, int) {
	return func(data []byte, ts time.Time, origLen int) {
		var p packet.Packet
		_ = packet.Decode(link, data, &p) // what cannot be decoded is not what the test waits for
		p.Payload = append([]byte(nil), p.Payload...)
		p.Time, p.OrigLen = ts, origLen
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, p)
		s.lag = max(s.lag, time.Since(ts))
	}
}

func (s *seen) count(f func(*packet.Packet) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.all {
		if f(&s.all[i]) {
			n++
		}
	}
	return n
}

// run taps until the test ends.
func run(t *testing.T, c tap.Config) (*tap.Tap, *seen) {
	t.Helper()
	tp, err := tap.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, done := &seen{}, make(chan error, 1)
	go func() { done <- tp.Run(ctx, s.take(tp.Link())) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run ended with %v", err)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("Run did not end with its context")
		}
		if err := tp.Close(); err != nil {
			t.Error(err)
		}
	})
	return tp, s
}

func wait(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("waited in vain for %s", what)
}

// drop refuses everything at the first hook of the gateway's filter.
func drop(t *testing.T, ns *netns.NS) {
	t.Helper()
	err := ns.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "refuse"})
		chain := c.AddChain(&nftables.Chain{Table: table, Name: "first", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw})
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}}})
		return c.Flush()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTap_seesWhatTheFilterDrops(t *testing.T) {
	device, gateway := home(t)
	drop(t, gateway)
	_, s := run(t, tap.Config{Interface: "lan0", NS: gateway, IgnoreOutgoing: true})
	server, err := gateway.ListenPacket(t.Context(), "udp", "10.77.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	c, err := device.DialContext(t.Context(), "udp", "10.77.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("refused, yet seen")); err != nil {
		t.Fatal(err)
	}
	wait(t, "the datagram", func() bool {
		return s.count(func(p *packet.Packet) bool {
			return p.Has(packet.UDP) && p.DstPort == 9 && string(p.Payload) == "refused, yet seen"
		}) == 1
	})
	// The filter did drop it.
	if err := server.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := server.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("the server got %d bytes through a filter that drops all", n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.Logf("handed over within %s", s.lag)
}

func TestTap_outgoing(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		device, gateway := home(t)
		_, s := run(t, tap.Config{Interface: "lan0", NS: gateway, IgnoreOutgoing: ignore})
		c, err := gateway.DialContext(t.Context(), "udp", "10.77.0.10:9")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("out")); err != nil {
			t.Fatal(err)
		}
		c.Close()
		d, err := device.DialContext(t.Context(), "udp", "10.77.0.1:9")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Write([]byte("in")); err != nil {
			t.Fatal(err)
		}
		d.Close()
		has := func(text string) bool {
			return s.count(func(p *packet.Packet) bool { return p.Has(packet.UDP) && string(p.Payload) == text }) > 0
		}
		wait(t, "the datagram that comes in", func() bool { return has("in") })
		if got := has("out"); got == ignore {
			t.Errorf("IgnoreOutgoing %v: outgoing packet seen %v", ignore, got)
		}
	}
}

func TestTap_ringWrapsAndCounts(t *testing.T) {
	device, gateway := home(t)
	tp, s := run(t, tap.Config{Interface: "lan0", NS: gateway, RingBytes: 256 << 10, IgnoreOutgoing: true})
	c, err := device.DialContext(t.Context(), "udp", "10.77.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 2000
	data := make([]byte, 1200)
	for i := range n {
		data[0], data[1] = byte(i>>8), byte(i)
		if _, err := c.Write(data); err != nil {
			// Nobody listens: the news of that comes back with the next write.
			if _, err = c.Write(data); err != nil {
				t.Fatal(err)
			}
		}
		if i%50 == 0 {
			time.Sleep(2 * time.Millisecond)
		}
	}
	got := func() int {
		return s.count(func(p *packet.Packet) bool { return p.Has(packet.UDP) && p.DstPort == 9 })
	}
	wait(t, "2000 datagrams through a ring of 200", func() bool { return uint64(got())+tp.Stats().Drops >= n })
	s.mu.Lock()
	defer s.mu.Unlock()
	last := -1
	for i := range s.all {
		if p := &s.all[i]; p.Has(packet.UDP) && p.DstPort == 9 {
			if seq := int(p.Payload[0])<<8 | int(p.Payload[1]); seq < last {
				t.Fatalf("datagram %d came after %d", seq, last)
			} else {
				last = seq
			}
		}
	}
	if st := tp.Stats(); st.Packets < uint64(len(s.all)) {
		t.Errorf("stats %+v of %d packets", st, len(s.all))
	}
}

func TestTap_countsDrops(t *testing.T) {
	device, gateway := home(t)
	tp, err := tap.Open(tap.Config{Interface: "lan0", NS: gateway, RingBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer tp.Close()
	c, err := device.DialContext(t.Context(), "udp", "10.77.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 1000 { // nobody reads the ring
		_, _ = c.Write(make([]byte, 1200)) // every other write reports that nobody listens
	}
	if st := tp.Stats(); st.Drops == 0 {
		t.Errorf("a ring of 200 packets took 1000 without a drop: %+v", st)
	}
}

func TestTap_interfaceGone(t *testing.T) {
	_, gateway := home(t)
	tp, err := tap.Open(tap.Config{Interface: "lan0", NS: gateway})
	if err != nil {
		t.Fatal(err)
	}
	defer tp.Close()
	done := make(chan error, 1)
	go func() { done <- tp.Run(t.Context(), func([]byte, time.Time, int) {}) }()
	h, err := gateway.Link()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName("lan0")
	if err != nil {
		t.Fatal(err)
	}
	// Down and up again is lived through.
	if err := h.LinkSetDown(l); err != nil {
		t.Fatal(err)
	}
	if err := h.LinkSetUp(l); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("Run ended with %v though the interface is up again", err)
	case <-time.After(100 * time.Millisecond):
	}
	if err := h.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "lan0"}}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if ringwall.CodeOf(err) != ringwall.Unavailable {
			t.Errorf("Run = %v, want code unavailable", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("Run goes on without an interface")
	}
}

func TestOpen_errors(t *testing.T) {
	ns := netnstest.New(t, "empty")
	for name, tt := range map[string]struct {
		c    tap.Config
		want ringwall.Code
	}{
		"no such interface": {tap.Config{Interface: "nope0", NS: ns}, ringwall.NotFound},
		"name too long":     {tap.Config{Interface: "an-interface-with-a-long-name", NS: ns}, ringwall.Invalid},
		"ring too small":    {tap.Config{Interface: "lo", NS: ns, RingBytes: 4096}, ringwall.Invalid},
	} {
		if tp, err := tap.Open(tt.c); ringwall.CodeOf(err) != tt.want {
			t.Errorf("%s: %v, want code %s", name, err, tt.want)
			if tp != nil {
				tp.Close()
			}
		}
	}
	var none *netns.NS
	tp, err := tap.Open(tap.Config{Interface: "lo", NS: none})
	if err != nil {
		t.Fatalf("a nil namespace: %v", err)
	}
	tp.Close()
}
