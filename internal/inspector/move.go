package inspector

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// minPiece and maxPiece are how much is moved before limits are asked again.
const minPiece, maxPiece = 4 << 10, 256 << 10

// pieceOf is about an eighth of a second of the slowest rate.
func pieceOf(list []bound) int64 {
	n := int64(maxPiece)
	for _, b := range list {
		if r := b.limit.ByteRate; r > 0 {
			n = min(n, int64(r/8))
		}
		if r := b.limit.PacketRate; r > 0 {
			n = min(n, int64(r*segment/8))
		}
	}
	return max(n, minPiece)
}

// splice passes everything on, both ways, until both are over. The kernel moves
// the bytes (splice), we do not see them.
func (s *session) splice() {
	_ = s.client.SetReadDeadline(time.Time{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.move(s.client, s.server, &s.down)
	}()
	s.move(s.server, s.client, &s.up)
	<-done
}

// move passes on what comes from one end, until it ends: then the other end is
// told that it did, as it did.
func (s *session) move(to, from *net.TCPConn, count *atomic.Uint64) {
	s.finish(to, from, s.copy(to, from, count))
}

func (s *session) copy(to, from *net.TCPConn, count *atomic.Uint64) error {
	s.mu.Lock()
	list := s.limits
	s.mu.Unlock()
	if !paced(list) {
		n, err := io.Copy(to, from)
		count.Add(uint64(n))
		return err
	}
	size := pieceOf(list)
	for {
		n, err := io.CopyN(to, from, size)
		count.Add(uint64(n))
		switch {
		case !s.charge(n):
			return errOver
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// finish tells one end how the other one ended.
func (s *session) finish(to, from *net.TCPConn, err error) {
	if err != nil {
		s.cut() // a reset goes on as a reset
		return
	}
	_ = to.CloseWrite()
	_ = from.CloseRead()
}

// charge counts bytes against limits and waits as long as they say. It reports
// false when one is used up.
func (s *session) charge(n int64) bool {
	s.mu.Lock()
	list := s.limits
	s.mu.Unlock()
	if len(list) == 0 || n == 0 {
		return true
	}
	wait, over := s.in.limits.count(list, n)
	if over {
		s.mu.Lock()
		d := s.ruling
		s.mu.Unlock()
		d.Pass, d.Reason = false, reasonLimited
		s.refuse(d, &seen{})
		return false
	}
	for wait > 0 {
		step := min(wait, 200*time.Millisecond)
		time.Sleep(step)
		wait -= step
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return false
		}
	}
	return true
}
