package inspector

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

const httpForbidden = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 37\r\nConnection: close\r\n\r\nRefused by the policy of this device\n"

// seenRequest is what a request shows to the policy.
func seenRequest(proto string, r *peek.Request, remote netip.Addr) *seen {
	what := &seen{Seen: policy.Seen{Proto: proto, Host: r.Host, Method: r.Method, Complete: true}}
	if r.Address != "" {
		what.Host = policy.ShownName(r.Address, remote)
	}
	what.Path, _ = policy.CanonicalPath(r.Path)
	return what
}

// http serves a client that speaks HTTP/1: every request is judged before a byte
// of it is passed on.
func (s *session) http(ctx context.Context) *seen {
	what := &seen{Seen: policy.Seen{Proto: "http"}}
	st := s.in.stream(s.client, s.first)
	defer st.release()
	s.first = nil
	var back chan struct{} // closed when the other end has said all
	wait := s.in.cfg.HeadWait
	for {
		var r peek.Request
		err := st.until(wait, func(b []byte) (err error) {
			r, err = peek.ParseHTTP(b)
			return err
		})
		if err == nil {
			what = seenRequest("http", &r, s.dst.Addr())
		}
		if err != nil {
			s.endHTTP(ctx, err, what, st, back)
			return what
		}
		d := s.rule(what)
		if !d.Pass {
			s.refuse(d, what)
			s.forbid(back, httpForbidden)
			return what
		}
		if !s.pass(d, what) {
			s.endHTTP(ctx, errOver, what, st, back)
			return what
		}
		s.only()
		if r.Upgrade {
			if back != nil { // what comes back could be the answer to another one
				s.unreadable(what, nil)
				s.forbid(back, httpForbidden)
				return what
			}
			s.upgrade(ctx, d, st, &r)
			return what
		}
		if back == nil {
			if !s.call(ctx, d) {
				return what
			}
			back = make(chan struct{})
			go func() {
				defer close(back)
				s.answers()
			}()
		}
		if err = s.forward(st, s.server, &s.up, int64(r.Head)); err == nil {
			err = s.body(st, &r)
		}
		if err != nil {
			s.endHTTP(ctx, err, what, st, back)
			return what
		}
		wait = idleWait
	}
}

// answers passes on what the other end says. When the last request was refused,
// there is a word of our own to follow.
func (s *session) answers() {
	err := s.copy(s.client, s.server, &s.down)
	s.mu.Lock()
	refusing := s.refusing
	s.mu.Unlock()
	if err == nil && refusing {
		return
	}
	s.finish(s.client, s.server, err)
}

// endHTTP ends a connection whose client says no more, or nothing that can be
// read.
func (s *session) endHTTP(ctx context.Context, err error, what *seen, st *stream, back chan struct{}) {
	switch {
	case isMalformed(err) && s.anyway(ctx, st.buf, "http", back):
	case isMalformed(err) || isSlow(err) && back == nil:
		s.unreadable(what, err)
		s.forbid(back, httpForbidden)
	case errors.Is(err, io.EOF) && back != nil:
		_ = s.server.CloseWrite()
		<-back
	default:
		s.cut()
		if back != nil {
			<-back
		}
	}
}

// forbid tells the client that it may not, after what the other end still has to
// say to what was asked before.
func (s *session) forbid(back chan struct{}, text string) {
	if back != nil {
		s.mu.Lock()
		s.refusing = true
		s.mu.Unlock()
		_ = s.server.CloseWrite()
		_ = s.server.SetReadDeadline(time.Now().Add(lastWait))
		<-back
		s.server.Close()
	}
	s.tell([]byte(text))
	s.bye()
}

// body passes on the body of a request.
func (s *session) body(st *stream, r *peek.Request) error {
	if r.Length >= 0 {
		return s.forward(st, s.server, &s.up, r.Length)
	}
	_ = st.from.SetReadDeadline(time.Time{})
	var c peek.Chunks
	for {
		if len(st.buf) == 0 {
			if err := st.more(); err != nil {
				return err
			}
		}
		n, done, err := c.Skip(st.buf)
		if err != nil {
			return err
		}
		if !s.send(st.buf[:n]) {
			return errOver
		}
		st.use(n)
		if done {
			return nil
		}
	}
}

// upgrade passes on a request for a WebSocket, the first of its connection. What
// follows is only passed on when the other end agrees; else nothing follows.
func (s *session) upgrade(ctx context.Context, d ruling, st *stream, r *peek.Request) {
	if !s.call(ctx, d) || !s.send(st.buf[:r.Head]) {
		return
	}
	st.use(r.Head)
	const want = "HTTP/1.1 101"
	head := make([]byte, len(want))
	_ = s.server.SetReadDeadline(time.Now().Add(callWait))
	if _, err := io.ReadFull(s.server, head); err != nil {
		return
	}
	_ = s.server.SetReadDeadline(time.Time{})
	if !s.deliver(head) {
		return
	}
	if string(head) != want {
		// No: its answer is passed on, and that is all.
		_ = s.server.CloseWrite()
		s.move(s.client, s.server, &s.down)
		return
	}
	if s.send(st.buf) {
		st.release()
		s.splice()
	}
}

// ignoreEnd takes the ordinary end of a stream for no error.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
