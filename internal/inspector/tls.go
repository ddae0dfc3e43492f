package inspector

import (
	"bytes"
	"context"
	"time"

	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

const (
	// accessDenied is the alert "access_denied" (RFC 8446 section 6.2), fatal, in a
	// record of its own.
	accessDenied = "\x15\x03\x03\x00\x02\x02\x31"
	// serverHead is how much of the other end's first record tells a retry request:
	// record header, message header, version, random.
	serverHead = 5 + 4 + 2 + 32
	// maxEarly bounds what a client sends between its two hellos: early data that
	// the other end skips (RFC 8446 section 4.2.10).
	maxEarly = 64 << 10
)

// retry is the random of a HelloRetryRequest (RFC 8446 section 4.1.3).
const retry = "\xCF\x21\xAD\x74\xE5\x9A\x61\x11\xBE\x1D\x8C\x02\x1E\x65\xB8\x91\xC2\xA2\x11\x16\x7A\xBB\x8C\x5E\x07\x9E\x09\xE2\xC8\xA8\x33\x9C"

// tls serves a client that speaks TLS.
func (s *session) tls(ctx context.Context) *seen {
	what := &seen{Seen: policy.Seen{Proto: "tls"}}
	h, err := s.hello(&s.first, nil)
	if err != nil {
		switch {
		case isMalformed(err) && s.anyway(ctx, s.first, "tls", nil):
		case isMalformed(err) || isSlow(err):
			s.unreadable(what, err)
			s.tell([]byte(accessDenied))
			s.bye()
		}
		return what
	}
	what.Seen = policy.Seen{Proto: "tls", Host: h.Name, TLS: h.Version, ECH: h.ECH, Complete: true}
	d := s.rule(what)
	if !d.Pass {
		s.refuse(d, what)
		s.tell([]byte(accessDenied))
		s.bye()
		return what
	}
	if !s.pass(d, what) || !s.call(ctx, d) || !s.send(s.first) {
		return what
	}
	s.first = nil
	if !s.retried(what) {
		return what
	}
	s.splice()
	return what
}

// hello reads a ClientHello and keeps all that came in kept. With skip, records
// ahead of it are kept that belong to an abandoned attempt.
func (s *session) hello(kept *[]byte, skip func([]byte) (int, error)) (peek.Hello, error) {
	_ = s.client.SetReadDeadline(time.Now().Add(s.in.cfg.HeadWait))
	var r peek.HelloReader
	fed, ahead := 0, skip != nil
	buf := make([]byte, 4096)
	for {
		b := (*kept)[fed:]
		if ahead && len(b) > 0 {
			n, err := skip(b)
			switch {
			case err == nil && n == 0:
				ahead = false
			case err == nil && n <= len(b):
				fed += n
				continue
			case err == nil || err == peek.ErrShort:
				b = nil // not all of it has come
			default:
				return peek.Hello{}, err
			}
		}
		if !ahead && len(b) > 0 {
			h, err := r.Feed(b)
			if fed += len(b); err != peek.ErrShort {
				return h, err
			}
		}
		if len(*kept) > peek.MaxHello+maxEarly {
			return peek.Hello{}, &peek.Malformed{What: "a hello that does not come"}
		}
		n, err := s.client.Read(buf)
		if n == 0 && err != nil {
			return peek.Hello{}, err
		}
		*kept = append(*kept, buf[:n]...)
	}
}

// retried looks at the first words of the other end. When they ask for another
// hello, that must show the same as the first one: the other end need not compare.
func (s *session) retried(what *seen) bool {
	head := make([]byte, serverHead)
	n := 0
	for n < len(head) {
		k, err := s.server.Read(head[n:])
		if k == 0 && err != nil {
			// It hung up, or answers with an alert: that is all there is to come.
			s.deliver(head[:n])
			s.finish(s.client, s.server, ignoreEnd(err))
			return false
		}
		if n += k; n >= 6 && (head[0] != 22 || head[5] != 2) {
			break // no ServerHello: an alert, most likely
		}
	}
	if !s.deliver(head[:n]) || n < len(head) || !bytes.Equal(head[11:], []byte(retry)) {
		return s.alive()
	}
	done := make(chan struct{})
	var again []byte
	var h peek.Hello
	var err error
	go func() {
		defer close(done)
		h, err = s.hello(&again, abandoned)
	}()
	// What is left of the other end's message goes on meanwhile.
	rest := int(head[3])<<8 + int(head[4]) + 5 - len(head)
	if rest < 0 || rest > 1<<14 {
		s.cut()
	} else if rest > 0 {
		s.relayExactly(rest)
	}
	<-done
	if err != nil || h.Name != what.Host || h.ECH != what.ECH {
		second := *what
		second.Host, second.ECH = h.Name, h.ECH
		if err == nil || isMalformed(err) {
			s.unreadable(&second, err)
			s.tell([]byte(accessDenied))
			s.bye()
		}
		return false
	}
	return s.send(again)
}

// abandoned returns how many bytes at the beginning of b are a record that the
// other end of a retry skips: a change of ciphers, or early data. 0 = none.
func abandoned(b []byte) (int, error) {
	if len(b) < 5 {
		return 0, peek.ErrShort
	}
	if b[0] != 20 && b[0] != 23 {
		return 0, nil
	}
	return 5 + int(b[3])<<8 + int(b[4]), nil
}

func (s *session) alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed
}

// deliver passes on to the client what the other end has said.
func (s *session) deliver(b []byte) bool {
	n, err := s.client.Write(b)
	s.down.Add(uint64(n))
	return err == nil
}

func (s *session) relayExactly(n int) {
	buf := make([]byte, 4096)
	for n > 0 {
		k, err := s.server.Read(buf[:min(n, len(buf))])
		if k > 0 && !s.deliver(buf[:k]) || err != nil {
			s.cut()
			return
		}
		n -= k
	}
}
