package sdk

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/internal/policy"
)

// conn is an open stream.
type conn struct {
	net.Conn
	*live

	// deadlines in nanoseconds since 1970, 0 = none: waiting for a rate heeds them.
	readBy, writeBy atomic.Int64
}

func newConn(raw net.Conn, l *live) *conn { return &conn{Conn: raw, live: l} }

// Read reads, as fast as the limits let it.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.refused(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		if rerr := c.refused(); rerr != nil { // it came while the policy changed
			return 0, rerr
		}
		c.got(n)
		if werr := c.use(n, c.readBy.Load()); werr != nil {
			return n, c.err(werr)
		}
	}
	if err != nil && err != io.EOF {
		err = c.err(err)
	}
	return n, err
}

// Write writes, as fast as the limits let it.
func (c *conn) Write(b []byte) (n int, err error) {
	for first := true; first || n < len(b); first = false {
		if err := c.refused(); err != nil {
			return n, err
		}
		part := b[n:]
		if most := c.piece(); len(part) > most {
			part = part[:most]
		}
		if err := c.use(len(part), c.writeBy.Load()); err != nil {
			return n, c.err(err)
		}
		m, err := c.Conn.Write(part)
		n += m
		c.sent(m)
		if err != nil {
			return n, c.err(err)
		}
	}
	return n, nil
}

// piece is how much is written at once: an eighth of a second's worth of the
// slowest limit.
func (l *live) piece() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := 1 << 30
	for _, m := range l.meters {
		m.mu.Lock()
		if r := m.limit.ByteRate; r > 0 {
			most = min(most, int(max(r/8, 1)))
		}
		if m.limit.PacketRate > 0 {
			most = min(most, segment)
		}
		m.mu.Unlock()
	}
	return most
}

// use takes n bytes from the limits and waits until they are back within their
// rates. A quota that is used up cuts the flow.
func (l *live) use(n int, deadline int64) error {
	l.mu.Lock()
	meters, fl, f := l.meters, l.flow, l.force
	l.mu.Unlock()
	var wait time.Duration
	for _, m := range meters {
		w, bound := m.take(n, l.c.cfg.Now(), false)
		if bound != "" {
			r := f.refusal(policy.Verdict{Reason: policy.ReasonLimited, Term: m.term}, &fl)
			r.Limit = bound
			l.cut(r)
			if l.c.cfg.Refused != nil {
				l.c.cfg.Refused(r)
			}
			return r
		}
		wait = max(wait, w)
	}
	if wait == 0 {
		return nil
	}
	late := false
	if deadline != 0 {
		if left := time.Until(time.Unix(0, deadline)); left < wait {
			wait, late = max(left, 0), true
		}
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-l.gone:
		return net.ErrClosed
	case <-t.C:
	}
	if late {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.readBy.Store(nanos(t))
	c.writeBy.Store(nanos(t))
	return c.Conn.SetDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.readBy.Store(nanos(t))
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.writeBy.Store(nanos(t))
	return c.Conn.SetWriteDeadline(t)
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// CloseWrite ends this side of a stream that can.
func (c *conn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return net.ErrClosed
}

// Close closes the connection and reports it.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.live.close()
	return err
}

// hard closes a connection so that the other end knows at once: with a reset,
// and nothing that waits to be sent is sent any more.
func hard(raw net.Conn) {
	under := raw
	if t, ok := under.(interface{ NetConn() net.Conn }); ok {
		under = t.NetConn()
	}
	if t, ok := under.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = under.Close()
}
