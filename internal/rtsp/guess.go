package rtsp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/digest"
)

// Guesser presents many credentials to one server, for the owner who has
// allowed it: nothing here counts tries or spares a lock.
//
// It learns the server's manners from its first answers. One that keeps the
// connection and its nonce after a refusal is asked in a pipeline; one that
// gives a new nonce each time is asked one by one, since an answer to an old
// nonce would be refused whatever the password; one that hangs up is asked over
// a fresh connection each time. Connections run side by side.
type Guesser struct {
	Dial          Dial
	Address, Path string
	TLS           bool
	Conns         int // 0 means 8
	Depth         int // requests in flight on one connection; 0 means 16
}

const (
	defaultConns = 8
	defaultDepth = 16
	// maxBreaks is how many connections may break in a row with nothing learned.
	maxBreaks = 3
)

// Run presents creds and calls seen with the answer to each, from one goroutine
// at a time, in any order. seen returns false to end it. A credential that the
// server did not answer is presented again over another connection; when
// connections break and nothing is learned, the error has code Unavailable. A
// server that asks for no login is Invalid.
func (g Guesser) Run(ctx context.Context, creds []Credential, seen func(n int, r Reply) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &guessing{g: g, creds: creds, seen: seen, cancel: cancel, depth: g.Depth}
	if s.depth == 0 {
		s.depth = defaultDepth
	}
	conns := g.Conns
	if conns == 0 {
		conns = defaultConns
	}
	var wg sync.WaitGroup
	for range min(conns, max(1, len(creds)/4)) {
		wg.Go(func() { s.work(ctx) })
	}
	wg.Wait()
	if s.failed == nil && !s.ended && s.told < len(creds) {
		s.failed = ringwall.Errorf(ringwall.Unavailable, "presenting credentials: %w", context.Cause(ctx))
	}
	return s.failed
}

// guessing is one Run.
type guessing struct {
	g      Guesser
	creds  []Credential
	cancel context.CancelFunc

	mu     sync.Mutex // guards what follows, and calls of seen
	seen   func(int, Reply) bool
	next   int
	back   []int // to present again
	told   int
	depth  int
	breaks int
	ended  bool
	failed error
}

// take returns up to n credentials to present, nil when there are none.
func (s *guessing) take(n int) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.failed != nil {
		return nil
	}
	var out []int
	for len(out) < n && len(s.back) > 0 {
		out, s.back = append(out, s.back[len(s.back)-1]), s.back[:len(s.back)-1]
	}
	for len(out) < n && s.next < len(s.creds) {
		out = append(out, s.next)
		s.next++
	}
	return out
}

func (s *guessing) tell(n int, r Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.breaks = 0
	if s.ended || s.failed != nil {
		return
	}
	s.told++
	if !s.seen(n, r) {
		s.ended = true
		s.cancel()
	}
}

// broke gives unanswered credentials back. A connection that broke with more
// than one in flight may have broken because of that.
func (s *guessing) broke(left []int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.back = append(s.back, left...)
	if len(left) > 1 {
		s.depth = 1
	}
	if s.breaks++; s.breaks > maxBreaks && s.failed == nil && !s.ended {
		s.failed = ringwall.Errorf(ringwall.Unavailable, "presenting credentials: %w", err)
		s.cancel()
	}
}

func (s *guessing) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil && !s.ended {
		s.failed = err
		s.cancel()
	}
}

func (s *guessing) width() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.depth
}

// work opens connections until nothing is left to present.
func (s *guessing) work(ctx context.Context) {
	for ctx.Err() == nil {
		first := s.take(1)
		if len(first) == 0 {
			return
		}
		left, err := s.connection(ctx, first[0])
		switch {
		case err == nil:
			if len(left) > 0 { // it hangs up after a refusal: no fault, a manner
				s.mu.Lock()
				s.back = append(s.back, left...)
				s.mu.Unlock()
			}
		case ringwall.CodeOf(err) == ringwall.Invalid:
			s.fail(err)
			return
		default:
			s.broke(left, err)
		}
	}
}

// connection asks over one connection until it ends. left are taken but not
// answered.
func (s *guessing) connection(ctx context.Context, first int) (left []int, err error) {
	open := Connect
	if s.g.TLS {
		open = ConnectTLS
	}
	c, err := open(ctx, s.g.Dial, s.g.Address)
	if err != nil {
		return []int{first}, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r, err := c.Describe(ctx, s.g.Path, nil)
	switch {
	case err != nil:
		return []int{first}, err
	case r.Status != 401 || !c.remember(r.Challenges):
		return []int{first}, ringwall.Errorf(ringwall.Invalid, "%s answers %d and asks for no login that we know", s.g.Address, r.Status)
	}
	// The first one shows the server's manners.
	nonce := c.challenge.Nonce
	answered, err := s.exchange(c, []int{first})
	if err != nil {
		return []int{first}[answered:], err
	}
	for ctx.Err() == nil {
		n := 1
		if c.challenge.Scheme == "basic" || c.challenge.Nonce == nonce {
			n = s.width()
		}
		nonce = c.challenge.Nonce
		batch := s.take(n)
		if len(batch) == 0 {
			return nil, nil
		}
		answered, err := s.exchange(c, batch)
		if err != nil {
			if answered == 0 && hungUp(err) {
				err = nil // after the refusals before, not because of these
			}
			return batch[answered:], err
		}
	}
	return nil, nil
}

// exchange writes all requests of a batch at once and reads their answers.
func (s *guessing) exchange(c *Conn, batch []int) (answered int, err error) {
	var b bytes.Buffer
	seq := c.seq
	for _, i := range batch {
		cred := s.creds[i]
		c.count++
		h, err := c.challenge.Answer("DESCRIBE", c.url(s.g.Path), cred.User, cred.Password, c.count)
		if err != nil {
			return 0, err
		}
		c.request(&b, "DESCRIBE", s.g.Path, h)
	}
	if err := c.c.SetDeadline(time.Now().Add(requestTimeout)); err != nil {
		return 0, err
	}
	if _, err := c.c.Write(b.Bytes()); err != nil {
		return 0, ringwall.Errorf(ringwall.Unavailable, "asking %s: %w", c.host, err)
	}
	for n, i := range batch {
		resp, err := ReadResponse(c.br)
		if err != nil {
			return n, fmt.Errorf("asking %s: %w", c.host, err)
		}
		if got := resp.Get("cseq"); got != "" && got != strconv.Itoa(seq+n+1) {
			return n, ringwall.Errorf(ringwall.Unavailable, "%s answers out of order", c.host)
		}
		r, err := c.reply(resp, nil)
		if err != nil {
			return n, err
		}
		if r.Status == 401 {
			best, ok := digest.Best(r.Challenges)
			if changed := ok && best.Scheme == "digest" && best.Nonce != c.challenge.Nonce; changed && (n > 0 || best.Stale) {
				// This answer, and those behind it, may have been held against another
				// nonce than they were made for: they must come again. The first of a
				// batch was made for the newest one.
				c.challenge, c.count = best, 0
				return n, ringwall.Errorf(ringwall.Unavailable, "%s let its nonce expire", c.host)
			} else if changed {
				c.challenge, c.count = best, 0
				if len(batch) > 1 {
					s.tell(i, r)
					return n + 1, ringwall.Errorf(ringwall.Unavailable, "%s let its nonce expire", c.host)
				}
			}
		}
		s.tell(i, r)
	}
	return len(batch), nil
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
