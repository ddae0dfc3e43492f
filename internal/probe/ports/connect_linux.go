package ports

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/assess"
)

// connectWindow bounds the sockets of one scan: many devices are scanned at
// once, and the process has other files.
const connectWindow = 512

// connectScan asks with whole connections, which need no privilege, but without
// a goroutine or a timer for each. A connection that opens is reset at once.
func connectScan(ctx context.Context, n assess.RawNetwork, target netip.Addr, list []uint16) (res Result, err error) {
	err = n.Do(func() error {
		var c connector
		if err := c.open(target); err != nil {
			return err
		}
		defer c.close()
		res, err = c.run(ctx, list)
		return err
	})
	return res, err
}

type connector struct {
	target netip.Addr
	sa     unix.Sockaddr
	epoll  int
	fds    []int32 // by port; 0 = none
	f      *flight
	began  time.Time
}

func (c *connector) open(target netip.Addr) (err error) {
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("opening a poller: %w", err)
	}
	c.target, c.sa, c.fds = target, sockaddr(target, 0), make([]int32, 1<<16)
	return nil
}

func (c *connector) close() {
	for _, fd := range c.fds {
		if fd > 0 {
			_ = unix.Close(int(fd))
		}
	}
	_ = unix.Close(c.epoll)
}

func (c *connector) run(ctx context.Context, list []uint16) (Result, error) {
	c.f, c.began = newFlight(list, connectWindow), time.Now()
	events := make([]unix.EpollEvent, 128)
	for !c.f.done() {
		if ctx.Err() != nil {
			break
		}
		for range 16 {
			port, ok := c.f.ask(time.Since(c.began))
			if !ok {
				break
			}
			if err := c.ask(port); err != nil {
				return c.f.result(), err
			}
		}
		now := time.Since(c.began)
		c.f.expire(now, func(p uint16) { c.drop(p) })
		wait := 0
		if c.f.inFlight >= int(c.f.window) || c.f.next == len(c.f.list) && len(c.f.again) == 0 {
			if at, ok := c.f.wake(); ok {
				wait = int(min(max(at-now, time.Millisecond), 50*time.Millisecond).Milliseconds())
			}
		}
		k, err := unix.EpollWait(c.epoll, events, wait)
		if err != nil && err != unix.EINTR {
			return c.f.result(), fmt.Errorf("waiting for connections: %w", err)
		}
		for _, ev := range events[:max(k, 0)] {
			c.settle(uint16(ev.Pad), int(ev.Fd))
		}
	}
	return c.f.result(), nil
}

// ask starts one connection. Its error means that this machine cannot.
func (c *connector) ask(port uint16) error {
	family := unix.AF_INET
	switch sa := c.sa.(type) {
	case *unix.SockaddrInet4:
		sa.Port = int(port)
	case *unix.SockaddrInet6:
		sa.Port, family = int(port), unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	// Closing resets: the device keeps no half-closed connection, and we keep
	// no port waiting.
	_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	err = unix.Connect(fd, c.sa)
	if errors.Is(err, unix.EINPROGRESS) {
		c.fds[port] = int32(fd)
		ev := unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(fd), Pad: int32(port)}
		if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
			return fmt.Errorf("waiting for connections: %w", err)
		}
		return nil
	}
	c.judge(port, fd, err)
	_ = unix.Close(fd)
	return nil
}

// settle looks at a connection that is through, one way or the other.
func (c *connector) settle(port uint16, fd int) {
	if c.fds[port] != int32(fd) {
		return
	}
	var err error
	if n, soErr := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); soErr != nil {
		err = soErr
	} else if n != 0 {
		err = unix.Errno(n)
	}
	c.judge(port, fd, err)
	c.drop(port)
}

func (c *connector) judge(port uint16, fd int, err error) {
	now := time.Since(c.began)
	switch {
	case err == nil && c.toItself(port, fd):
		// On loopback the kernel may pick the very port that it connects to; it
		// could not if somebody listened there.
		c.f.answered(port, now, refused)
	case err == nil:
		c.f.answered(port, now, isOpen)
	case errors.Is(err, unix.ECONNREFUSED):
		c.f.answered(port, now, refused)
	}
	// Any other error (no way, filtered by an ICMP message) is silence: its time
	// runs out, and it is asked again.
}

func (c *connector) toItself(port uint16, fd int) bool {
	a, p, err := localOf(fd)
	return err == nil && p == port && a.Unmap() == c.target.Unmap()
}

func (c *connector) drop(port uint16) {
	if fd := c.fds[port]; fd > 0 {
		_ = unix.Close(int(fd)) // closing takes it out of the poller too
		c.fds[port] = 0
	}
}
