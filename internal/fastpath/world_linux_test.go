package fastpath_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/fastpath"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// world is a gateway with two devices behind a bridge, one behind an interface
// of its own, and an internet before it:
//
//	dev1 10.77.0.11 -- p1 \
//	dev2 10.77.0.12 -- p2 - br0 10.77.0.1 [gw] wan0 198.51.100.1 -- inet0 .20 [net]
//	dev3 10.78.0.13 -- lan3 10.78.0.1 /
type world struct {
	gw, net *netns.NS
	dev     []*netns.NS
	fw      *nft.Firewall
	path    *fastpath.Path
	end     func() // ends the keeper
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addr(i int) netip.Addr {
	if i == 3 {
		return netip.MustParseAddr("10.78.0.13")
	}
	return netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)})
}

func mac(i int) string { return fmt.Sprintf("02:00:00:00:00:%02x", i) }

func portOf(i int) string {
	if i == 3 {
		return "lan3"
	}
	return fmt.Sprint("p", i)
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{gw: netnstest.New(t, "gw"), net: netnstest.New(t, "net")}
	must(t, netns.Cable(w.gw, "wan0", nil, w.net, "inet0", nil))
	must(t, w.gw.Addr("wan0", "198.51.100.1/24"))
	must(t, w.net.Addr("inet0", "198.51.100.20/24"))
	must(t, w.net.Route("10.0.0.0/8", "198.51.100.1"))
	for i := 1; i <= 3; i++ {
		ns := netnstest.New(t, fmt.Sprint("dev", i))
		m, err := net.ParseMAC(mac(i))
		must(t, err)
		must(t, netns.Cable(w.gw, portOf(i), nil, ns, "eth0", m))
		must(t, ns.Addr("eth0", addr(i).String()+"/24"))
		w.dev = append(w.dev, ns)
	}
	must(t, nft.Prepare(t.Context(), w.gw, "br0", []string{"p1", "p2"}))
	must(t, w.gw.Addr("br0", "10.77.0.1/24"))
	must(t, w.gw.Addr("lan3", "10.78.0.1/24"))
	for i, ns := range w.dev {
		must(t, ns.Route("default", map[bool]string{true: "10.78.0.1", false: "10.77.0.1"}[i == 2]))
	}
	return w
}

// options of a world.
type options struct {
	masquerade bool
	without    bool // the fast path
	config     fastpath.Config
}

func up(t testing.TB, o options) *world {
	t.Helper()
	w := newWorld(t)
	w.start(t, o)
	return w
}

func (w *world) start(t testing.TB, o options) {
	t.Helper()
	cfg := nft.Config{NS: w.gw, Bridge: "br0", LAN: []string{"lan3"}, Uplink: "wan0", Masquerade: o.masquerade}
	if !o.without {
		c := o.config
		c.NS, c.Bridge, c.LAN, c.Uplink = w.gw, "br0", []string{"lan3"}, "wan0"
		if c.Sample == 0 {
			c.Sample = 1
		}
		var err error
		w.path, err = fastpath.Open(c)
		must(t, err)
		t.Cleanup(func() { must(t, w.path.Close()) })
		cfg.Fast = w.path
	}
	var err error
	w.fw, err = nft.Open(cfg)
	must(t, err)
	t.Cleanup(func() { must(t, w.fw.Close()) })
	must(t, w.fw.Base(t.Context()))
	w.apply(t, w.desired(allow("net", "198.51.100.0/24", "any")))
	if !o.without {
		w.keep(t, w.fw)
	}
}

// keep runs the keeper.
func (w *world) keep(t testing.TB, filter fastpath.Filter) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	begun := make(chan bool)
	wg.Go(func() {
		if err := w.path.Run(ctx, filter, sync.OnceFunc(func() { close(begun) })); err != nil {
			t.Error(err)
		}
	})
	w.end = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(w.end)
	<-begun
	eventually(t, "the fast path is active", func() bool { ok, _ := w.path.Tier(); return ok })
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not so after 10 s: %s", what)
		}
	}
}

// desired names all devices, in mode enforce, with these terms each.
func (w *world) desired(terms ...api.Term) api.Desired {
	d := api.Desired{Version: 1, Generation: 1, Arrival: ringwall.Enforce, LocalNets: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24"), netip.MustParsePrefix("10.78.0.0/24")}}
	for i := 1; i <= 3; i++ {
		d.Devices = append(d.Devices, api.DevicePolicy{
			Device: ringwall.DeviceID(fmt.Sprint("dev_", i)), Mark: uint32(i), Mode: ringwall.Enforce, Trust: ringwall.T3,
			Binding: api.Binding{Port: portOf(i), MAC: mac(i), IP: addr(i)}, Terms: terms,
		})
	}
	return d
}

func allow(id, cidr, proto string, ports ...api.PortRange) api.Term {
	return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix(cidr), Proto: proto, Ports: ports}
}

func (w *world) apply(t testing.TB, d api.Desired) {
	t.Helper()
	p, err := policy.Compile(d, nil, time.Now())
	must(t, err)
	_, err = w.fw.Apply(context.Background(), p)
	must(t, err)
}

func (w *world) restrict(t testing.TB, mark uint32, r ringwall.Restriction) {
	t.Helper()
	must(t, w.fw.Restrict(context.Background(), mark, r))
}

// fast returns what the fast path has forwarded from and to a device.
func (w *world) fast(t testing.TB, mark uint32) (up, down uint64) {
	t.Helper()
	c, err := w.path.Counters()
	must(t, err)
	return c[mark].PassedUp.Packets, c[mark].PassedDown.Packets
}

// total returns what the filter counts, which has what was fast in it.
func (w *world) total(t testing.TB, mark uint32) nft.Counts {
	t.Helper()
	c, err := w.fw.Counters(context.Background())
	must(t, err)
	return c[mark]
}

// echo serves TCP and UDP on an address: it gives back what it gets.
func echo(t testing.TB, ns *netns.NS, addr string) {
	t.Helper()
	l, err := ns.Listen(context.Background(), "tcp", addr)
	must(t, err)
	u, err := ns.ListenPacket(context.Background(), "udp", addr)
	must(t, err)
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := u.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				u.WriteTo(buf[:n], from)
			}
		}
	}()
}

// flow is a connection on which bytes go round.
type flow struct{ net.Conn }

func dial(t testing.TB, ns *netns.NS, network, addr string) flow {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := ns.DialContext(ctx, network, addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return flow{c}
}

// round reports whether something goes there and back.
func (f flow) round(patience time.Duration) bool {
	if _, err := f.Write([]byte("ringwall")); err != nil {
		return false
	}
	f.SetReadDeadline(time.Now().Add(patience))
	_, err := io.ReadFull(f, make([]byte, 8))
	return err == nil
}

// warm sends on a flow until it is fast both ways.
func (w *world) warm(t testing.TB, f flow, mark uint32) {
	t.Helper()
	u0, d0 := w.fast(t, mark)
	eventually(t, "the flow is fast both ways", func() bool {
		f.round(200 * time.Millisecond)
		u, d := w.fast(t, mark)
		return u > u0 && d > d0
	})
}
