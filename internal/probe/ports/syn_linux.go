package ports

import (
	"context"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/assess"
)

// synScan asks with bare SYNs. It needs the right to open raw sockets.
//
// The source port is a real one: a bound socket that never listens keeps it
// from others, so that the kernel answers a SYN-ACK with a reset and no half-open
// connection stays on the device. Each SYN carries a sequence number that only
// we can know, and an answer counts only if it acknowledges that.
func synScan(ctx context.Context, n assess.RawNetwork, target netip.Addr, list []uint16) (Result, error) {
	var s rawSocket
	if err := n.Do(func() error { return s.open(target) }); err != nil {
		return Result{}, err
	}
	defer s.close()
	f := newFlight(list, maxWindow)
	seed := maphash.MakeSeed()
	cookie := func(port uint16) uint32 { return uint32(maphash.Comparable(seed, port)) }
	began := time.Now()
	var out [synLength]byte
	in := make([]byte, 256) // headers are all that is looked at
	for !f.done() {
		if ctx.Err() != nil {
			break
		}
		now := time.Since(began)
		for range 16 { // then hear what came meanwhile
			port, ok := f.ask(now)
			if !ok {
				break
			}
			// A full queue or a missing way is as good as a lost packet: the
			// question is asked again.
			_, _ = unix.Write(s.fd, putSYN(out[:], s.local, target, s.port, port, cookie(port)))
		}
		heard := false
		for range 256 {
			k, err := unix.Read(s.fd, in)
			if err == unix.EAGAIN {
				break
			}
			if err != nil {
				continue // an ICMP error that the kernel hands on
			}
			heard = true
			r, ok := parseReply(in[:k], target.Is4())
			if !ok || r.to != s.port || r.flags&flagACK == 0 || r.ack != cookie(r.from)+1 {
				continue
			}
			switch now := time.Since(began); {
			case r.flags&flagRST != 0:
				f.answered(r.from, now, refused)
			case r.flags&flagSYN != 0:
				f.answered(r.from, now, isOpen)
			}
		}
		now = time.Since(began)
		f.expire(now, func(uint16) {})
		if !heard && (f.inFlight >= int(f.window) || f.next == len(f.list) && len(f.again) == 0) {
			if at, ok := f.wake(); ok {
				wait := min(max(at-now, time.Millisecond), 50*time.Millisecond) // 50 ms: ctx may end
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}, int(wait.Milliseconds()))
			}
		}
	}
	return f.result(), nil
}

// rawSocket is a raw TCP socket towards one address, and the port it owns.
type rawSocket struct {
	fd, keeper int
	local      netip.Addr
	port       uint16
}

func (s *rawSocket) open(target netip.Addr) (err error) {
	s.fd, s.keeper = -1, -1
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	family := unix.AF_INET
	if target.Is6() {
		family = unix.AF_INET6
	}
	if s.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP); err != nil {
		return fmt.Errorf("opening a raw socket: %w", err)
	}
	if err = unix.Connect(s.fd, sockaddr(target, 0)); err != nil {
		return fmt.Errorf("finding the way to %v: %w", target, err)
	}
	if s.local, _, err = localOf(s.fd); err != nil {
		return err
	}
	if s.keeper, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("keeping a port: %w", err)
	}
	if err = unix.Bind(s.keeper, sockaddr(s.local, 0)); err != nil {
		return fmt.Errorf("keeping a port: %w", err)
	}
	if _, s.port, err = localOf(s.keeper); err != nil {
		return err
	}
	// A burst of answers must fit; without the privilege the system's limit holds.
	const queue = 4 << 20
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, queue)
	}
	return s.filter(family)
}

// filter lets only segments to our port in: the device may be talking to other
// programs of this machine as well.
func (s *rawSocket) filter(family int) error {
	toPort := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 2}, // IPv6: the segment alone
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: uint32(s.port)},
		{Code: unix.BPF_RET | unix.BPF_K, K: 256},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	if family == unix.AF_INET {
		toPort[0] = unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2}
		toPort = append([]unix.SockFilter{{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0}}, toPort...)
	}
	if err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(toPort)), Filter: &toPort[0]}); err != nil {
		return fmt.Errorf("filtering a raw socket: %w", err)
	}
	return nil
}

func (s *rawSocket) close() {
	for _, fd := range []int{s.fd, s.keeper} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

func sockaddr(a netip.Addr, port uint16) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: int(port), Addr: a.As4()}
	}
	sa := &unix.SockaddrInet6{Port: int(port), Addr: a.As16()}
	if ifi, err := net.InterfaceByName(a.Zone()); err == nil { // we are in the right namespace here
		sa.ZoneId = uint32(ifi.Index)
	}
	return sa
}

func localOf(fd int) (netip.Addr, uint16, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}, 0, fmt.Errorf("asking for our own address: %w", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(sa.Addr), uint16(sa.Port), nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(sa.Addr), uint16(sa.Port), nil
	}
	return netip.Addr{}, 0, fmt.Errorf("asking for our own address: unexpected family %T", sa)
}
