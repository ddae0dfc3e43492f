package inspector

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

// stream is one direction of a connection that is read head by head. While
// nothing is there to be read it holds no memory: a thousand connections are idle
// for one that speaks.
type stream struct {
	from *net.TCPConn
	head time.Duration // Config.HeadWait
	pool *sync.Pool    // of *block
	mem  *block        // nil = none
	buf  []byte        // what has come and is not used up, in mem
}

// block is room for a head and for what comes with it.
type block [2 * peek.MaxHead]byte

func (in *Inspector) stream(from *net.TCPConn, first []byte) *stream {
	st := &stream{from: from, head: in.cfg.HeadWait, pool: &in.blocks}
	if len(first) > 0 {
		st.hold()
		st.buf = st.mem[:copy(st.mem[:], first)]
	}
	return st
}

func (st *stream) hold() {
	if st.mem == nil {
		st.mem, _ = st.pool.Get().(*block)
		if st.mem == nil {
			st.mem = new(block)
		}
	}
}

// release gives the memory back. What had come is gone then.
func (st *stream) release() {
	st.buf = nil
	if st.mem != nil {
		st.pool.Put(st.mem)
		st.mem = nil
	}
}

// use takes n bytes out.
func (st *stream) use(n int) { st.buf = st.buf[n:] }

// more reads more. At the end it answers io.EOF.
func (st *stream) more() error {
	if len(st.buf) == 0 {
		st.release()
		if err := readable(st.from); err != nil {
			return err
		}
		st.hold()
		st.buf = st.mem[:0]
	} else if cap(st.buf)-len(st.buf) < peek.MaxHead {
		st.buf = st.mem[:copy(st.mem[:], st.buf)]
	}
	n, err := st.from.Read(st.buf[len(st.buf):cap(st.buf)])
	st.buf = st.buf[:len(st.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}

// until reads until f does not answer peek.ErrShort any more. The first byte may
// take wait, the rest of the head Config.HeadWait.
func (st *stream) until(wait time.Duration, f func([]byte) error) error {
	begun := len(st.buf) > 0
	if begun {
		wait = st.head
	}
	_ = st.from.SetReadDeadline(time.Now().Add(wait))
	for {
		if len(st.buf) > 0 {
			if err := f(st.buf); !errors.Is(err, peek.ErrShort) {
				return err
			}
			if !begun {
				begun = true
				_ = st.from.SetReadDeadline(time.Now().Add(st.head))
			}
			if len(st.buf) >= 2*peek.MaxHead {
				return &peek.Malformed{What: "a head that does not end"}
			}
		}
		if err := st.more(); err != nil {
			if begun && errors.Is(err, io.EOF) && len(st.buf) > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// forward passes on n bytes: those that are here, then the rest from the
// kernel's hand to the kernel's.
func (s *session) forward(st *stream, to *net.TCPConn, count *atomic.Uint64, n int64) error {
	_ = st.from.SetReadDeadline(time.Time{})
	k := int(min(n, int64(len(st.buf))))
	if k > 0 {
		w, err := to.Write(st.buf[:k])
		count.Add(uint64(w))
		if err != nil {
			return err
		}
		st.use(k)
		if !s.charge(int64(k)) {
			return errOver
		}
	}
	for n -= int64(k); n > 0; {
		w, err := io.CopyN(to, st.from, min(n, maxPiece))
		count.Add(uint64(w))
		if err != nil {
			return err
		}
		if !s.charge(w) {
			return errOver
		}
		n -= w
	}
	return nil
}

var errOver = errors.New("a limit is used up")

// isSlow tells a deadline that passed within a head.
func isSlow(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// isMalformed tells what cannot be read from what did not come.
func isMalformed(err error) bool {
	var m *peek.Malformed
	return errors.As(err, &m)
}

// unreadable reports what cannot be read in one way, or did not come in time.
func (s *session) unreadable(what *seen, err error) {
	d := s.rule(what)
	d.Verdict = verdictOf(reasonMalformed)
	if isSlow(err) {
		d.Verdict = verdictOf(reasonSlow)
	}
	s.refuse(d, what)
}

// anyway passes on what cannot be read where nothing is refused yet (mode
// shadow), and says so. begun is what the other end says, nil = it has not been
// called. It reports false when it must be refused.
func (s *session) anyway(ctx context.Context, rest []byte, proto string, begun <-chan struct{}) bool {
	hidden := &seen{Seen: policy.Seen{Proto: proto, ECH: true, Complete: true}}
	d := s.rule(hidden)
	if !d.Pass || !d.Would {
		return false
	}
	s.in.reports.refuse(s.ends, &d, hidden)
	if begun == nil && !s.call(ctx, d) || !s.send(rest) {
		return true
	}
	if begun == nil {
		s.splice()
		return true
	}
	_ = s.client.SetReadDeadline(time.Time{})
	s.move(s.server, s.client, &s.up)
	<-begun
	return true
}
