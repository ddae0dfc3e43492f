package inspector

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

// maxRefusals bounds the answers of our own on one connection.
const maxRefusals = 16

func rtspForbidden(seq string) string {
	out := "RTSP/1.0 403 Forbidden\r\n"
	if seq != "" {
		out += "CSeq: " + seq + "\r\n"
	}
	return out + "\r\n"
}

// talk is what the other end says to the client, message by message, so that
// something of our own can stand between two.
type talk struct {
	s  *session
	mu sync.Mutex // held while a message is on its way
	// lost says that the ends of messages are not known any more.
	lost atomic.Bool
	done chan struct{}
}

// begin lets the other end talk. size tells how many bytes the message has that
// begins b; what is not judged.
func (s *session) begin(size func(b []byte) (head int, rest int64, err error)) *talk {
	t := &talk{s: s, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		st := s.in.stream(s.server, nil)
		defer st.release()
		var err error
		for err == nil {
			var head int
			var rest int64
			err = st.untilQuietly(func(b []byte) (err error) {
				head, rest, err = size(b)
				return err
			})
			switch {
			case isMalformed(err):
				// It is the other end's to speak as it likes; only nothing can be put
				// between any more.
				t.lost.Store(true)
				if err = s.forward(st, s.client, &s.down, int64(len(st.buf))); err == nil {
					_ = s.server.SetReadDeadline(time.Time{})
					s.move(s.client, s.server, &s.down)
					return
				}
			case err == nil:
				t.mu.Lock()
				err = s.forward(st, s.client, &s.down, int64(head)+rest)
				t.mu.Unlock()
			}
		}
		if errors.Is(err, errJudged) {
			return
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			_ = s.forward(st, s.client, &s.down, int64(len(st.buf)))
			err = io.EOF
		}
		s.finish(s.client, s.server, ignoreEnd(err))
	}()
	return t
}

// errJudged says that what the other end sent was refused and all is closed.
var errJudged = errors.New("refused")

// untilQuietly is until without any wait: the other end may be silent.
func (st *stream) untilQuietly(f func([]byte) error) error {
	for {
		if len(st.buf) > 0 {
			if err := f(st.buf); !errors.Is(err, peek.ErrShort) {
				return err
			}
			if len(st.buf) >= 2*peek.MaxHead {
				return &peek.Malformed{What: "a head that does not end"}
			}
		}
		if err := st.more(); err != nil {
			if errors.Is(err, io.EOF) && len(st.buf) > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// put puts something of our own between two messages. It reports false when
// that cannot be.
func (t *talk) put(text []byte) bool {
	if t.lost.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	_, err := t.s.client.Write(text)
	return err == nil && !t.lost.Load()
}

// rtspSize tells the size of what an RTSP server sends.
func rtspSize(b []byte) (head int, rest int64, err error) {
	n, err := peek.Frame(b)
	if err != nil || n > 0 {
		return min(n, len(b)), int64(n - min(n, len(b))), err
	}
	r, err := peek.ParseRTSP(b)
	return r.Head, r.Length, err
}

// rtsp serves a client that speaks RTSP: every request is judged; frames of media
// and answers pass.
func (s *session) rtsp(ctx context.Context) *seen {
	last := &seen{Seen: policy.Seen{Proto: "rtsp"}}
	st := s.in.stream(s.client, s.first)
	defer st.release()
	s.first = nil
	var back *talk
	refused := 0
	wait := s.in.cfg.HeadWait
	for {
		var r peek.Request
		frame := 0
		err := st.until(wait, func(b []byte) (err error) {
			if frame, err = peek.Frame(b); err != nil || frame > 0 {
				return err
			}
			r, err = peek.ParseRTSP(b)
			return err
		})
		if err == nil && (frame > 0 || r.Reply) && back == nil {
			err = &peek.Malformed{What: "it does not begin with a request"}
		}
		if err != nil {
			s.endClient(ctx, err, last, st, "rtsp", back)
			return last
		}
		wait = idleWait
		size := int64(frame)
		if frame == 0 {
			size = int64(r.Head) + r.Length
		}
		if frame > 0 || r.Reply {
			if s.forward(st, s.server, &s.up, size) != nil {
				s.endTalk(back)
				return last
			}
			continue
		}
		what := seenRequest("rtsp", &r, s.dst.Addr())
		d := s.rule(what)
		if !d.Pass {
			last = what
			s.refuse(d, what)
			refused++
			if refused > maxRefusals || !s.deny(back, []byte(rtspForbidden(r.Seq))) || s.discard(st, size) != nil {
				s.endTalk(back)
				return last
			}
			continue
		}
		last = what
		if !s.pass(d, what) {
			s.endTalk(back)
			return last
		}
		if back == nil {
			if !s.call(ctx, d) {
				return last
			}
			back = s.begin(rtspSize)
		}
		if s.forward(st, s.server, &s.up, size) != nil {
			s.endTalk(back)
			return last
		}
	}
}

// deny answers the client itself.
func (s *session) deny(back *talk, text []byte) bool {
	if back != nil {
		return back.put(text)
	}
	s.tell(text)
	_ = s.client.SetWriteDeadline(time.Time{})
	return true
}

// discard takes n bytes that nobody gets.
func (s *session) discard(st *stream, n int64) error {
	_ = st.from.SetReadDeadline(time.Now().Add(s.in.cfg.HeadWait))
	for n > 0 {
		if len(st.buf) == 0 {
			if err := st.more(); err != nil {
				return err
			}
		}
		k := int(min(n, int64(len(st.buf))))
		st.use(k)
		n -= int64(k)
	}
	return nil
}

// endTalk ends both legs, so that the client still reads what it was told.
func (s *session) endTalk(back *talk) {
	if back == nil {
		s.bye()
		return
	}
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	reset(server)
	closeSoon(s.client)
	<-back.done
}

// closeSoon lets the client read what is on its way.
func closeSoon(c *net.TCPConn) {
	_ = c.SetLinger(int(lastWait / time.Second))
	_ = c.CloseWrite()
}

// endClient ends a connection whose client says no more, or nothing that can be
// read.
func (s *session) endClient(ctx context.Context, err error, last *seen, st *stream, proto string, back *talk) {
	var begun chan struct{}
	if back != nil {
		begun = back.done
	}
	switch {
	case isMalformed(err) && s.anyway(ctx, st.buf, proto, begun):
		return
	case isMalformed(err) || isSlow(err):
		s.unreadable(last, err)
	case errors.Is(err, io.EOF) && back != nil:
		_ = s.server.CloseWrite()
		<-back.done
		return
	}
	s.endTalk(back)
}
