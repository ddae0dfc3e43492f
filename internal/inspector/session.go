package inspector

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

const (
	// headWait is Config.HeadWait where nothing else is said.
	headWait = 10 * time.Second
	// quietWait is how long a client that may speak any protocol is waited for before
	// the other end is let speak first.
	quietWait = 300 * time.Millisecond
	// idleWait is how long a connection may be silent between two requests.
	idleWait = 30 * time.Minute
	// callWait is how long the other end may take to answer a call.
	callWait = 15 * time.Second
	// lastWait is how long what is on its way may take once a connection is refused.
	lastWait = 3 * time.Second
	// maxFacts bounds what a connection is judged again by.
	maxFacts = 64
)

// session is one TCP connection.
type session struct {
	in *Inspector
	ends
	client *net.TCPConn
	share  netip.Addr // whose connection it counts as
	start  time.Time
	first  []byte // what the client has sent and nobody has passed on
	up     atomic.Uint64
	down   atomic.Uint64

	mu     sync.Mutex // guards what follows
	server *net.TCPConn
	facts  []seen // by which it goes on
	names  []string
	limits []bound
	ruling ruling // the last
	closed bool
	// refusing says that the client is to be told of a refusal when the other end has
	// said all.
	refusing bool
}

func verdictOf(reason string) policy.Verdict { return policy.Verdict{Reason: reason} }

// run serves the connection to its end.
func (s *session) run(ctx context.Context) {
	defer s.in.leave(s)
	what := s.serve(ctx)
	s.cut()
	s.mu.Lock()
	s.in.limits.leave(s.limits)
	d := s.ruling
	s.mu.Unlock()
	s.in.reports.ended(s.ends, &d, what, s.start, s.up.Load(), s.down.Load())
}

// serve finds out what the client speaks and goes on from there. It answers with
// what stood inside last.
func (s *session) serve(ctx context.Context) *seen {
	none := &seen{}
	d := s.rule(none)
	switch {
	case !d.Inspect && !d.Pass:
		s.refuse(d, none)
		reset(s.client)
		return none
	case !d.Inspect:
		return s.plain(ctx, d, none) // no term wants a look
	}
	unknown := &seen{Seen: policy.Seen{Complete: true}}
	any := s.rule(unknown)
	quiet := any.Pass
	kind, err := s.sniff(quiet)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && quiet && len(s.first) == 0:
		return s.quiet(ctx, any)
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.unreadable(none, err)
		reset(s.client)
		return none
	case err != nil:
		return none // it went
	}
	return s.speak(ctx, kind)
}

// speak goes on with a client whose protocol is known.
func (s *session) speak(ctx context.Context, kind peek.Kind) *seen {
	switch kind {
	case peek.TLS:
		return s.tls(ctx)
	case peek.HTTP:
		return s.http(ctx)
	case peek.RTSP:
		return s.rtsp(ctx)
	case peek.MQTT:
		return s.mqtt(ctx)
	}
	unknown := &seen{Seen: policy.Seen{Complete: true}}
	d := s.rule(unknown)
	if !d.Pass {
		s.refuse(d, unknown)
		reset(s.client)
		return unknown
	}
	return s.plain(ctx, d, unknown)
}

// sniff reads until it is known what the client speaks.
func (s *session) sniff(quiet bool) (peek.Kind, error) {
	wait := s.in.cfg.HeadWait
	if quiet {
		wait = quietWait
	}
	_ = s.client.SetReadDeadline(time.Now().Add(wait))
	buf := make([]byte, 2048) // a hello of today, and most heads
	n := 0
	for {
		kind, err := peek.Sniff(buf[:n])
		if err == nil {
			s.first = buf[:n]
			return kind, nil
		}
		if n == len(buf) {
			if n >= peek.MaxHead {
				s.first = buf
				return peek.Unknown, nil
			}
			buf = append(buf, make([]byte, len(buf))...)
		}
		k, err := s.client.Read(buf[n:])
		if k == 0 && err != nil {
			s.first = buf[:n]
			return 0, err
		}
		if n == 0 {
			_ = s.client.SetReadDeadline(time.Now().Add(s.in.cfg.HeadWait))
		}
		n += k
	}
}

// quiet serves a client that has said nothing and may speak what it likes: the
// other end may be one that speaks first. When the client does speak, it is
// looked at as ever.
func (s *session) quiet(ctx context.Context, d ruling) *seen {
	unknown := &seen{Seen: policy.Seen{Complete: true}}
	if !s.pass(d, unknown) || !s.call(ctx, d) {
		return unknown
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.move(s.client, s.server, &s.down)
	}()
	_ = s.client.SetReadDeadline(time.Time{})
	one := make([]byte, 1)
	n, err := s.client.Read(one)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		_ = s.server.CloseWrite()
		<-done
		return unknown
	case n == 1:
		s.first = one
		kind, err := s.sniffOn()
		switch {
		case err != nil:
		case kind != peek.Unknown && !d.Would:
			// It was let call as nobody knows what; what it turns out to be has to begin
			// anew, where it can be refused properly.
			s.unreadable(&seen{Seen: policy.Seen{Proto: kind.String(), ECH: true, Complete: true}}, nil)
		default:
			_ = s.client.SetReadDeadline(time.Time{})
			if s.send(s.first) {
				s.first = nil
				s.move(s.server, s.client, &s.up)
				<-done
				return unknown
			}
		}
	}
	s.cut()
	<-done
	return unknown
}

// sniffOn is sniff with a first byte that has come already.
func (s *session) sniffOn() (peek.Kind, error) {
	_ = s.client.SetReadDeadline(time.Now().Add(s.in.cfg.HeadWait))
	for {
		kind, err := peek.Sniff(s.first)
		if err == nil || len(s.first) >= peek.MaxHead {
			return kind, nil
		}
		buf := make([]byte, 1024)
		n, err := s.client.Read(buf)
		if n == 0 && err != nil {
			return 0, err
		}
		s.first = append(s.first, buf[:n]...)
	}
}

// plain passes everything on.
func (s *session) plain(ctx context.Context, d ruling, what *seen) *seen {
	if s.pass(d, what) && s.call(ctx, d) && s.send(s.first) {
		s.first = nil
		s.splice()
	}
	return what
}

// rule judges what is seen by the policy of this moment.
func (s *session) rule(what *seen) ruling {
	t, err := s.in.policy.Load()
	if err != nil {
		return ruling{Verdict: verdictOf(reasonNoPolicy)}
	}
	s.mu.Lock()
	names := s.names
	s.mu.Unlock()
	return s.in.judge(t, s.ends, what, names)
}

// pass notes that the connection goes on by what was seen, so that it is judged
// by it again. It reports false when that is over now: a limit is reached, or the
// policy changed meanwhile.
func (s *session) pass(d ruling, what *seen) bool {
	if d.Would {
		s.in.reports.refuse(s.ends, &d, what)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false
	}
	opened := s.ruling.device != nil
	s.ruling, s.names = d, d.names
	known := false
	for _, f := range s.facts {
		known = known || f == *what
	}
	if !known {
		if len(s.facts) == maxFacts {
			copy(s.facts, s.facts[1:])
			s.facts = s.facts[:maxFacts-1]
		}
		s.facts = append(s.facts, *what)
	}
	s.mu.Unlock()
	if !opened && len(d.limits) > 0 {
		if !s.in.limits.enter(d.limits) {
			d.Pass, d.Reason = false, reasonLimited
			s.refuse(d, what)
			return false
		}
		s.mu.Lock()
		s.limits = d.limits
		s.mu.Unlock()
	}
	// Whoever changed the policy since it was asked does not know of these facts yet.
	return s.rule(what).Pass
}

// only keeps of the facts the one that was noted last: a request that is over
// keeps no connection open, nor closes it.
func (s *session) only() {
	s.mu.Lock()
	if n := len(s.facts); n > 1 {
		s.facts = append(s.facts[:0], s.facts[n-1])
	}
	s.mu.Unlock()
}

// refuse reports a refusal.
func (s *session) refuse(d ruling, what *seen) {
	s.in.reports.refuse(s.ends, &d, what)
	s.mu.Lock()
	s.ruling = d
	s.mu.Unlock()
}

// again judges the connection by what it goes on by.
func (s *session) again(t *table) {
	s.mu.Lock()
	facts, names := append([]seen(nil), s.facts...), s.names
	s.mu.Unlock()
	for i := range facts {
		if d := s.in.judge(t, s.ends, &facts[i], names); !d.Pass {
			s.refuse(d, &facts[i])
			s.cut()
			return
		}
	}
}

// cut closes both legs at once.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	reset(s.client)
	if s.server != nil {
		reset(s.server)
	}
}

// call calls the other end, with the device's address.
func (s *session) call(ctx context.Context, d ruling) bool {
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	mark := uint32(0)
	if p := d.opener; p != nil {
		mark = p.mark
	} else if p := d.target; p != nil {
		mark = p.mark
	}
	c, err := dial(ctx, s.in.cfg.NS, "tcp", s.src, s.dst, mark)
	if err != nil {
		return false // the client is told by a reset, as the other end would
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = c.(*net.TCPConn)
	if s.closed {
		reset(s.server)
		return false
	}
	return true
}

// send sends to the other end and counts.
func (s *session) send(b []byte) bool {
	if len(b) == 0 {
		return true
	}
	n, err := s.server.Write(b)
	s.up.Add(uint64(n))
	return err == nil && s.charge(int64(n))
}

// tell sends to the client something of our own; it does not wait for ever.
func (s *session) tell(b []byte) {
	_ = s.client.SetWriteDeadline(time.Now().Add(lastWait))
	_, _ = s.client.Write(b)
}

// bye ends a connection to whom something has been told: what it still sends is
// read for a moment, or a reset would destroy what it has not read yet (RFC 9112
// section 9.6).
func (s *session) bye() {
	_ = s.client.CloseWrite()
	_ = s.client.SetReadDeadline(time.Now().Add(lastWait))
	buf := make([]byte, 4096)
	for range 64 {
		if _, err := s.client.Read(buf); err != nil {
			break
		}
	}
	s.client.Close()
}

// reset closes a connection with a reset. On a connection that is closed already
// it does nothing.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	c.Close()
}
