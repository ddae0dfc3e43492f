package inspector

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/policy"
)

// Ports of sockets towards the world. The two legs of a flow differ by that port
// alone, and connection tracking must not take one for the other: so they stay out
// of the range from which most devices take theirs (32768 and up), and are drawn.
const portsFrom, portsTo = 10240, 32767

// maxPorts is how many ports are tried: one may be in use with the same end.
const maxPorts = 16

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

// dial calls dst with the address of src, and another port. mark is the device's.
func dial(ctx context.Context, ns *netns.NS, network string, src, dst netip.AddrPort, mark uint32) (c net.Conn, err error) {
	six := dst.Addr().Is6()
	v, _ := anyAddr(six)
	d := net.Dialer{FallbackDelay: -1, Control: control(func(fd int) error {
		if err := transparent(fd, six); err != nil {
			return err
		}
		return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, int(policy.InspectMark|mark))
	})}
	for range maxPorts {
		port := uint16(portsFrom + rand.IntN(portsTo-portsFrom+1))
		if port == src.Port() {
			continue
		}
		from := netip.AddrPortFrom(src.Addr(), port)
		d.LocalAddr = net.TCPAddrFromAddrPort(from)
		if network == "udp" {
			d.LocalAddr = net.UDPAddrFromAddrPort(from)
		}
		err = within(ns, func() error {
			c, err = d.DialContext(ctx, network+v, dst.String())
			return err
		})
		if !errors.Is(err, unix.EADDRINUSE) && !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
	}
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

// answerOnce sends a device one datagram as whom it called. The socket is connected
// to a port of the device that does not speak: else the kernel would give it what the
// device sends next, and that would be lost with it.
func answerOnce(ctx context.Context, ns *netns.NS, as, to netip.AddrPort, b []byte) error {
	other := netip.AddrPortFrom(to.Addr(), to.Port()%65535+1)
	c, err := answerFrom(ctx, ns, as, other)
	if err != nil {
		return err
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return errors.Join(err, c.Close())
	}
	var at unix.Sockaddr
	if to.Addr().Is6() {
		at = &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	} else {
		at = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	var sent error
	err = raw.Write(func(fd uintptr) bool {
		sent = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT, at) // a full queue loses it, as a network may
		return true
	})
	return errors.Join(err, sent, c.Close())
}

// readable waits until there is something to be read, or the end.
func readable(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var one [1]byte
	// What it is, the read to come tells.
	return raw.Read(func(fd uintptr) bool {
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		return err != unix.EAGAIN && err != unix.EINTR
	})
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

// maxFiles returns how many files may be open.
func maxFiles() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<20))
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
