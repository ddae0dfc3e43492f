package attack

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Scan runs the scan that c describes until it is over or ctx ends. Packets
// that the kernel refuses to send, because a firewall of the scanning host or
// a missing route says so, are counted and do not end it.
func Scan(ctx context.Context, c ScanConfig) (ScanResult, error) {
	if err := c.check(); err != nil {
		return ScanResult{}, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return ScanResult{}, fmt.Errorf("opening a raw socket (it needs root): %w", err)
	}
	defer unix.Close(fd)

	s := newScanner(c)
	r := ScanResult{Plan: s.plan, First: time.Now()}
	ctx, cancel := context.WithTimeout(ctx, c.Duration)
	defer cancel()
	var buf []byte
	due := r.First // kept against drift: the rate holds over the whole scan
	for r.Packets < uint64(c.MaxPackets) {
		p := s.next()
		due = due.Add(p.wait)
		if !pause(ctx, time.Until(due)) {
			break
		}
		buf = p.packet(buf, c.Source)
		if err := unix.Sendto(fd, buf, 0, &unix.SockaddrInet4{Addr: p.dst.Addr().As4()}); err != nil {
			r.Refused++
			r.Error = err.Error()
			if r.Refused > uint64(c.MaxPackets) {
				break
			}
			continue
		}
		r.Packets++
		if s.c.Kind == Mirai || len(s.ports) == len(s.plan.Ports)-1 {
			r.Targets++
		}
	}
	r.Last = time.Now()
	return r, nil
}
