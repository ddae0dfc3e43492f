package inspector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/policy"
)

// ipLocalPortRange narrows the ports of one socket (Linux 6.3). Those of the
// inspector towards the world stay out of the range from which devices take
// theirs: the two legs of a flow differ by that port alone.
const ipLocalPortRange = 51

const portsFrom, portsTo = 10240, 32767

// transparent lets a socket bear an address that is not the gateway's.
func transparent(fd int, six bool) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if six {
		return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1)
	}
	return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_TRANSPARENT, 1)
}

func control(f func(fd int) error) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = f(int(fd)) }); e != nil {
			return e
		}
		return err
	}
}

func within(ns *netns.NS, f func() error) error {
	if ns == nil {
		return f()
	}
	return ns.Do(f)
}

func anyAddr(six bool) (suffix, addr string) {
	if six {
		return "6", "::"
	}
	return "4", "0.0.0.0"
}

// listenTCP listens for what the packet filter steers here: the local address of
// a connection is whom the device called.
func listenTCP(ctx context.Context, ns *netns.NS, port uint16, six bool) (l *net.TCPListener, err error) {
	v, addr := anyAddr(six)
	lc := net.ListenConfig{Control: control(func(fd int) error { return transparent(fd, six) })}
	lc.SetMultipathTCP(false)
	err = within(ns, func() error {
		x, err := lc.Listen(ctx, "tcp"+v, net.JoinHostPort(addr, fmt.Sprint(port)))
		if err == nil {
			l = x.(*net.TCPListener)
		}
		return err
	})
	return l, err
}

// listenUDP does the same for datagrams, each of which tells whom it was for.
func listenUDP(ctx context.Context, ns *netns.NS, port uint16, six bool) (c *net.UDPConn, err error) {
	v, addr := anyAddr(six)
	lc := net.ListenConfig{Control: control(func(fd int) error {
		if err := transparent(fd, six); err != nil {
			return err
		}
		if six {
			return unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1)
		}
		return unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1)
	})}
	err = within(ns, func() error {
		x, err := lc.ListenPacket(ctx, "udp"+v, net.JoinHostPort(addr, fmt.Sprint(port)))
		if err == nil {
			c = x.(*net.UDPConn)
		}
		return err
	})
	return c, err
}

// dial calls dst with the address of src. mark is the device's.
func dial(ctx context.Context, ns *netns.NS, network string, src netip.Addr, dst netip.AddrPort, mark uint32) (c net.Conn, err error) {
	six := dst.Addr().Is6()
	d := net.Dialer{FallbackDelay: -1, Control: control(func(fd int) error {
		if err := transparent(fd, six); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(policy.InspectMark|mark)); err != nil {
			return err
		}
		// The port is chosen when it connects, among all that are free for that end.
		// Older kernels know neither; then it is chosen earlier, from all.
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		_ = unix.SetsockoptInt(fd, unix.SOL_IP, ipLocalPortRange, portsTo<<16|portsFrom)
		return nil
	})}
	if network == "udp" {
		d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
	} else {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))
	}
	v, _ := anyAddr(six)
	err = within(ns, func() error {
		c, err = d.DialContext(ctx, network+v, dst.String())
		return err
	})
	return c, err
}

// answerFrom opens a socket that speaks to a device as whom it called.
func answerFrom(ctx context.Context, ns *netns.NS, as, to netip.AddrPort) (c *net.UDPConn, err error) {
	six := as.Addr().Is6()
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(as), Control: control(func(fd int) error { return transparent(fd, six) })}
	v, _ := anyAddr(six)
	err = within(ns, func() error {
		x, err := d.DialContext(ctx, "udp"+v, to.String())
		if err == nil {
			c = x.(*net.UDPConn)
		}
		return err
	})
	return c, err
}

// originalDst reads whom a datagram was for.
func originalDst(oob []byte) (netip.AddrPort, bool) {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			break
		}
		switch {
		case h.Level == unix.SOL_IP && h.Type == unix.IP_ORIGDSTADDR && len(data) >= 8:
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[4:8])), uint16(data[2])<<8|uint16(data[3])), true
		case h.Level == unix.SOL_IPV6 && h.Type == unix.IPV6_ORIGDSTADDR && len(data) >= 24:
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(data[8:24])), uint16(data[2])<<8|uint16(data[3])), true
		}
		oob = rest
	}
	return netip.AddrPort{}, false
}

// noSuchFamily tells that the kernel has no IPv6.
func noSuchFamily(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EPROTONOSUPPORT)
}

// own returns the addresses of the gateway itself.
func own(ns *netns.NS) (out map[netip.Addr]bool) {
	out = map[netip.Addr]bool{}
	_ = within(ns, func() error {
		addrs, err := net.InterfaceAddrs()
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok {
				if ip, ok := netip.AddrFromSlice(n.IP); ok {
					out[ip.Unmap()] = true
				}
			}
		}
		return err
	})
	return out
}
