package fastpath_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/netns"
)

// frames sends raw frames from an interface.
func frames(t testing.TB, ns *netns.NS, iface string) func(frame []byte) {
	t.Helper()
	var fd, index int
	must(t, ns.Do(func() (err error) {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		index = i.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	t.Cleanup(func() { unix.Close(fd) })
	return func(b []byte) { must(t, unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: index, Halen: 6})) }
}

func hw(s string) []byte { m, _ := net.ParseMAC(s); return m }

// hwOf returns the MAC of an interface.
func hwOf(t testing.TB, ns *netns.NS, iface string) []byte {
	t.Helper()
	all, err := ns.Interfaces()
	must(t, err)
	for _, i := range all {
		if i.Name == iface {
			return i.MAC
		}
	}
	t.Fatalf("no interface %q", iface)
	return nil
}

// packet is an IPv4 packet to be sent as a frame.
type packet struct {
	dstMAC, srcMAC []byte
	src, dst       netip.AddrPort
	proto          byte
	ttl            byte   // 0 = 64
	frag           uint16 // flags and offset
	options        []byte
	flags          byte // TCP
	data           string
}

func ipsum(b []byte) uint16 {
	var n uint32
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		n += uint32(b[len(b)-1]) << 8
	}
	for n > 0xffff {
		n = n&0xffff + n>>16
	}
	return ^uint16(n)
}

// frame writes the packet with all its checksums.
func (p packet) frame() []byte {
	var l4 []byte
	l4 = binary.BigEndian.AppendUint16(l4, p.src.Port())
	l4 = binary.BigEndian.AppendUint16(l4, p.dst.Port())
	sum := 6
	if p.proto == unix.IPPROTO_TCP {
		l4 = append(l4, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, p.flags, 1, 0, 0, 0, 0, 0)
		sum = 16
	} else {
		l4 = binary.BigEndian.AppendUint16(l4, uint16(8+len(p.data)))
		l4 = append(l4, 0, 0)
	}
	l4 = append(l4, p.data...)
	pseudo := append(append(p.src.Addr().AsSlice(), p.dst.Addr().AsSlice()...), 0, p.proto, byte(len(l4)>>8), byte(len(l4)))
	binary.BigEndian.PutUint16(l4[sum:], ipsum(append(pseudo, l4...)))
	ttl := p.ttl
	if ttl == 0 {
		ttl = 64
	}
	ip := []byte{0x40 | byte(5+len(p.options)/4), 0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(20+len(p.options)+len(l4)))
	ip = append(ip, 0, 1, byte(p.frag>>8), byte(p.frag), ttl, p.proto, 0, 0)
	ip = append(append(append(ip, p.src.Addr().AsSlice()...), p.dst.Addr().AsSlice()...), p.options...)
	binary.BigEndian.PutUint16(ip[10:], ipsum(ip))
	b := append(append([]byte{}, p.dstMAC...), p.srcMAC...)
	return append(append(append(b, 8, 0), ip...), l4...)
}

// sink counts the datagrams that arrive at an address, and remembers whence the
// last came.
type sink struct {
	n    atomic.Int64
	from atomic.Pointer[net.UDPAddr]
}

func newSink(t testing.TB, ns *netns.NS, addr string) *sink {
	t.Helper()
	c, err := ns.ListenPacket(context.Background(), "udp4", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	s := &sink{}
	go func() {
		buf := make([]byte, 2048)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			s.from.Store(from.(*net.UDPAddr))
			s.n.Add(1)
		}
	}()
	return s
}

// raw is a fast flow made of raw frames from device i to a sink of the world.
type raw struct {
	w    *world
	send func([]byte)
	p    packet
	mark uint32
}

func (w *world) raw(t testing.TB, i int, dst string) *raw {
	t.Helper()
	gate := "br0"
	if i == 3 {
		gate = "lan3"
	}
	r := &raw{w: w, send: frames(t, w.dev[i-1], "eth0"), mark: uint32(i)}
	r.p = packet{dstMAC: hwOf(t, w.gw, gate), srcMAC: hw(mac(i)), src: netip.AddrPortFrom(addr(i), 5000), dst: netip.MustParseAddrPort(dst), proto: unix.IPPROTO_UDP, data: "ringwall"}
	eventually(t, "the flow is fast", func() bool { return r.isFast(t) })
	return r
}

// isFast reports whether a packet of the flow is forwarded by the fast path.
func (r *raw) isFast(t testing.TB) bool {
	t.Helper()
	before, _ := r.w.fast(t, r.mark)
	r.send(r.p.frame())
	for range 20 { // a busy kernel forwards a little later
		if after, _ := r.w.fast(t, r.mark); after > before {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// with returns the frame with something changed.
func (r *raw) with(change func(*packet)) []byte {
	p := r.p
	change(&p)
	return p.frame()
}
