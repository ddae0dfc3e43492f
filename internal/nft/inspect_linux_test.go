package nft_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

const inspectPort = 7789

// glass is a transparent proxy that looks into nothing: what it is given it
// passes on, in the name of the device, with its mark.
type glass struct {
	ns    *netns.NS
	marks map[netip.Addr]uint32
	flows atomic.Int64 // that it was given

	mu    sync.Mutex
	world []net.Conn // its legs towards the world
	stop  []io.Closer
}

func newGlass(t *testing.T, w *world) *glass {
	t.Helper()
	g := &glass{ns: w.gw, marks: map[netip.Addr]uint32{}}
	for i := range w.dev {
		g.marks[w.addr(i+1)] = uint32(i + 1)
	}
	must(t, w.gw.Do(func() error {
		lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return control(c, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
		}}
		l, err := lc.Listen(context.Background(), "tcp4", "0.0.0.0:7789")
		if err != nil {
			return err
		}
		ulc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			return errors.Join(control(c, unix.SOL_IP, unix.IP_TRANSPARENT, 1), control(c, unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1))
		}}
		u, err := ulc.ListenPacket(context.Background(), "udp4", "0.0.0.0:7789")
		if err != nil {
			return err
		}
		g.stop = []io.Closer{l, u}
		go g.tcp(l)
		go g.udp(u.(*net.UDPConn))
		return nil
	}))
	t.Cleanup(g.close)
	return g
}

func (g *glass) close() {
	for _, c := range g.stop {
		c.Close()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.world {
		c.Close()
	}
}

func control(c syscall.RawConn, level, opt, v int) (err error) {
	if err2 := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, opt, v) }); err2 != nil {
		return err2
	}
	return err
}

// dial connects to the other end as if it were the device.
func (g *glass) dial(network string, from netip.Addr, to netip.AddrPort) (c net.Conn, err error) {
	var local net.Addr = &net.TCPAddr{IP: from.AsSlice()}
	if network == "udp4" {
		local = &net.UDPAddr{IP: from.AsSlice()}
	}
	d := net.Dialer{LocalAddr: local, FallbackDelay: -1, Timeout: wait, Control: func(_, _ string, c syscall.RawConn) error {
		return errors.Join(control(c, unix.SOL_IP, unix.IP_TRANSPARENT, 1),
			control(c, unix.SOL_SOCKET, unix.SO_MARK, int(policy.InspectMark|g.marks[from])))
	}}
	err = g.ns.Do(func() (err error) {
		c, err = d.Dial(network, to.String())
		return err
	})
	if err == nil {
		g.mu.Lock()
		g.world = append(g.world, c)
		g.mu.Unlock()
	}
	return c, err
}

func (g *glass) tcp(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		g.flows.Add(1)
		go func() {
			defer c.Close()
			far, err := g.dial("tcp4", c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(), c.LocalAddr().(*net.TCPAddr).AddrPort())
			if err != nil {
				return
			}
			defer far.Close()
			go func() { io.Copy(c, far); c.Close() }()
			io.Copy(far, c)
		}()
	}
}

func (g *glass) udp(u *net.UDPConn) {
	buf, oob := make([]byte, 2048), make([]byte, 256)
	type pair struct{ from, to netip.AddrPort }
	legs := map[pair]net.Conn{}
	for {
		n, m, _, from, err := u.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			return
		}
		to, ok := origDst(oob[:m])
		if !ok {
			continue
		}
		p := pair{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), to}
		far := legs[p]
		if far == nil {
			g.flows.Add(1)
			if far, err = g.dial("udp4", p.from.Addr(), to); err != nil {
				continue
			}
			legs[p] = far
			go func() {
				var back net.PacketConn
				if g.ns.Do(func() (err error) {
					lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
						return errors.Join(control(c, unix.SOL_IP, unix.IP_TRANSPARENT, 1), control(c, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
					}}
					back, err = lc.ListenPacket(context.Background(), "udp4", to.String())
					return err
				}) != nil {
					return
				}
				defer back.Close()
				buf := make([]byte, 2048)
				for {
					n, err := far.Read(buf)
					if errors.Is(err, net.ErrClosed) {
						return
					}
					if err == nil {
						back.WriteTo(buf[:n], net.UDPAddrFromAddrPort(p.from))
					}
				}
			}()
		}
		far.Write(buf[:n])
	}
}

func origDst(oob []byte) (netip.AddrPort, bool) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.AddrPort{}, false
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVORIGDSTADDR && len(m.Data) >= 8 {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(m.Data[4:8])), binary.BigEndian.Uint16(m.Data[2:])), true
		}
	}
	return netip.AddrPort{}, false
}

// say sends to the world on all legs of the proxy, unasked.
func (g *glass) say(b string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.world {
		c.Write([]byte(b))
	}
}

// end is one box.
func end(cidr string, proto uint8, first, last uint16) policy.Box {
	p := netip.MustParsePrefix(cidr)
	lo, hi := p.Masked().Addr(), p.Masked().Addr()
	for range 1<<(p.Addr().BitLen()-p.Bits()) - 1 {
		hi = hi.Next()
	}
	return policy.Box{First: lo, Last: hi, Proto: proto, PortFirst: first, PortLast: last}
}

// plan compiles d and lets change alter what comes of it.
func (w *world) plan(t testing.TB, d api.Desired, change func(p *policy.Plan)) policy.Plan {
	t.Helper()
	p, err := policy.Compile(d, nil, time.Now())
	must(t, err)
	change(&p)
	return p
}

func (w *world) force(t testing.TB, p policy.Plan) {
	t.Helper()
	_, err := w.fw.Apply(context.Background(), p)
	must(t, err)
}

func TestInspect(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for _, a := range []string{"198.51.100.20:80", "198.51.100.20:443", "198.51.100.66:80"} {
		echo(t, w.net, a)
	}
	echo(t, w.gw, "10.77.0.1:80")
	d1 := w.dev[0]
	check(t, "control: without rules", reaches(d1, "tcp", "198.51.100.20:80"), true)
	check(t, "control: without rules, the gateway's own port", reaches(d1, "tcp", "10.77.0.1:80"), true)
	plan := w.plan(t, w.desired(allowOut("plain", "198.51.100.20/32", "tcp", port(443)...)), func(p *policy.Plan) {
		for i := range p.Devices {
			p.Devices[i].Inspect = []policy.Box{end("198.51.100.20/32", policy.ProtoTCP, 80, 80), end("198.51.100.20/32", policy.ProtoUDP, 80, 80), end("10.77.0.1/32", policy.ProtoTCP, 80, 80)}
		}
	})
	// A gateway without an inspector refuses what only that can judge.
	w.open(t)
	must(t, w.fw.Base(t.Context()))
	w.force(t, plan)
	check(t, "without an inspector, an end that is to be inspected", reach(d1, "tcp", "198.51.100.20:80"), false)
	check(t, "without an inspector, a plain end", reaches(d1, "tcp", "198.51.100.20:443"), true)
	must(t, w.fw.Close())

	cfg := w.config()
	cfg.Inspect = inspectPort
	fw, err := nft.Open(cfg)
	must(t, err)
	defer fw.Close()
	w.fw = fw
	t.Cleanup(func() { w.ruleset(t) })
	must(t, fw.Base(t.Context()))
	w.force(t, plan)
	check(t, "while the inspector is away", reach(d1, "tcp", "198.51.100.20:80"), false)
	g := newGlass(t, w)
	check(t, "through the inspector", reaches(d1, "tcp", "198.51.100.20:80"), true)
	if g.flows.Load() == 0 {
		t.Error("the flow passed by the inspector")
	}
	check(t, "through the inspector, UDP", reaches(d1, "udp", "198.51.100.20:80"), true)
	n := g.flows.Load()
	check(t, "a plain end", reaches(d1, "tcp", "198.51.100.20:443"), true)
	check(t, "an end that nobody allows", reach(d1, "tcp", "198.51.100.66:80"), false)
	if g.flows.Load() != n {
		t.Error("the inspector was given what is not its business")
	}
	check(t, "the inspector's own port", reach(d1, "tcp", "10.77.0.1:7789"), false)
	check(t, "the inspector's port at another address", reach(d1, "tcp", "198.51.100.20:7789"), false)
	check(t, "the inspector's port by UDP", reach(d1, "udp", "198.51.100.20:7789"), false)
	check(t, "the gateway by way of the inspector", reach(d1, "tcp", "10.77.0.1:80"), false)
	if g.flows.Load() != n {
		t.Error("the inspector heard of what was meant for itself")
	}
	c := w.counts(t)
	if c[1].PassedUp.Packets < 6 || c[1].PassedDown.Packets < 4 {
		t.Errorf("what the inspector passed on is not counted to the device: %+v", c[1])
	}
}

// Both legs end with what they stood on.
func TestInspect_bothLegsAreCut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	cfg := w.config()
	cfg.Inspect = inspectPort
	fw, err := nft.Open(cfg)
	must(t, err)
	defer fw.Close()
	w.fw = fw
	t.Cleanup(func() { w.ruleset(t) })
	must(t, fw.Base(t.Context()))
	// The far end counts what arrives.
	var heard atomic.Int64
	l, err := w.net.Listen(t.Context(), "tcp4", "198.51.100.20:80")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 512)
				for {
					n, err := c.Read(buf)
					if err != nil {
						return
					}
					heard.Add(int64(n))
					c.Write(buf[:n])
				}
			}()
		}
	}()
	g := newGlass(t, w)
	open := func(p *policy.Plan) {
		p.Devices[0].Inspect = []policy.Box{end("198.51.100.20/32", policy.ProtoTCP, 80, 80)}
	}
	plan := w.plan(t, w.desired(), open)
	for _, c := range []struct {
		what string
		cut  func()
	}{
		{"quarantine", func() { must(t, fw.Restrict(t.Context(), 1, ringwall.Quarantine)) }},
		{"cutoff", func() { must(t, fw.Restrict(t.Context(), 1, ringwall.Cutoff)) }},
		{"the end of what allowed it", func() { w.force(t, w.plan(t, w.desired(), func(*policy.Plan) {})) }},
	} {
		w.force(t, plan)
		must(t, fw.Restrict(t.Context(), 1, ringwall.Unrestricted))
		s := openStream(t, w.dev[0], "198.51.100.20:80")
		before := heard.Load()
		g.say("unasked")
		for until := time.Now().Add(5 * time.Second); heard.Load() == before && time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		}
		if heard.Load() == before {
			t.Errorf("control: before %s, the leg to the world is dead", c.what)
		}
		io.ReadFull(s.c, make([]byte, 7)) // its echo
		check(t, "before "+c.what+", the stream", s.lives(), true)
		c.cut()
		before = heard.Load()
		g.say("unasked")
		check(t, c.what+": the stream", s.alive(), false)
		if n := heard.Load() - before; n != 0 {
			t.Errorf("%s: %d octets of the leg to the world arrived", c.what, n)
		}
		g.mu.Lock()
		for _, x := range g.world {
			x.Close()
		}
		g.world = nil
		g.mu.Unlock()
	}
}
