package telnet

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

const (
	dialTimeout = 3 * time.Second
	// promptTimeout is how long a prompt may take. busybox login waits three
	// seconds after a wrong password, inetutils up to five.
	promptTimeout = 8 * time.Second
	// proofTimeout is how long a shell may take to start and to run echo; who lets
	// in a credential and is slower is asked once more.
	proofTimeout = 4 * time.Second
	// quiet is how long a peer must be silent after a prompt-like line for it
	// to be one: text that happens to end in "#" goes on.
	quiet = 150 * time.Millisecond
	// maxText is how much of a dialogue is kept; maxRead is how much is read
	// before an endless banner is given up.
	maxText = 8 << 10
	maxRead = 256 << 10
)

var errEndless = errors.New("it never stops talking")

// session is one connection.
type session struct {
	c    net.Conn
	f    filter
	text []byte // since the last send
	read int
	stop func() bool
}

func open(ctx context.Context, n assess.Network, address string) (*session, error) {
	dctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	c, err := n.DialContext(dctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &session{c: c}
	s.stop = context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return s, nil
}

func (s *session) close() {
	s.stop()
	_ = s.c.Close()
}

// send writes a line. What was read before is forgotten.
func (s *session) send(line string) error {
	s.text = s.text[:0]
	if err := s.c.SetWriteDeadline(time.Now().Add(dialTimeout)); err != nil {
		return err
	}
	_, err := io.WriteString(s.c, line+"\r\n")
	return err
}

// until reads until done likes the text and the peer is quiet, or time is up.
func (s *session) until(ctx context.Context, in time.Duration, done func(string) bool) (string, error) {
	deadline := time.Now().Add(in)
	buf := make([]byte, 2<<10)
	for {
		liked := done(string(s.text))
		wait := deadline
		if q := time.Now().Add(quiet); liked && q.Before(deadline) {
			wait = q
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := s.c.SetReadDeadline(wait); err != nil {
			return "", err
		}
		n, err := s.c.Read(buf)
		text, answer := s.f.feed(buf[:n])
		s.read += n
		s.text = append(s.text, text...)
		if over := len(s.text) - maxText; over > 0 {
			s.text = append(s.text[:0], s.text[over:]...) // prompts come last
		}
		if len(answer) > 0 {
			_ = s.c.SetWriteDeadline(time.Now().Add(dialTimeout))
			if _, werr := s.c.Write(answer); werr != nil {
				return string(s.text), werr
			}
		}
		switch {
		case err != nil && n == 0 && liked && timedOut(err):
			return string(s.text), nil
		case err != nil && n == 0:
			return string(s.text), err
		case s.read > maxRead:
			return string(s.text), errEndless
		}
	}
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// tail returns the last line, lower case, without control characters.
func tail(text string) string {
	text = strings.TrimRight(text, " \x00")
	if i := strings.LastIndexAny(text, "\r\n"); i >= 0 {
		text = text[i+1:]
	}
	return strings.ToLower(strings.TrimSpace(text))
}

func asksUser(text string) bool {
	return ends(text, "login", "username", "user name", "user", "account", "userid", "user id", "logon", "用户名", "帐号", "账号")
}

func asksPassword(text string) bool {
	return ends(text, "password", "passwd", "passcode", "pass", "密码", "口令")
}

// ends reports whether the last line ends as a prompt with one of these words
// does: a colon behind it, or one of the signs that some devices write instead.
func ends(text string, words ...string) bool {
	t := tail(text)
	for _, sign := range []string{":", "：", ">", "?"} {
		head, ok := strings.CutSuffix(t, sign)
		for _, w := range words {
			if ok && strings.HasSuffix(strings.TrimRight(head, " "), w) {
				return true
			}
		}
	}
	return false
}

func looksLikeShell(text string) bool {
	t := tail(text)
	return t != "" && len(t) < 80 && strings.ContainsAny(t[len(t)-1:], "#$>%")
}

func refusal(text string) bool {
	t := strings.ToLower(text)
	for _, s := range []string{"incorrect", "failed", "failure", "denied", "invalid", "bad password", "wrong", "not allowed", "错误", "no such user", "authentication fail"} {
		if strings.Contains(t, s) {
			return true
		}
	}
	return false
}

func lockedOut(text string) bool {
	t := strings.ToLower(text)
	for _, s := range []string{"locked", "too many", "try again later", "wait ", "锁定", "稍后再试"} {
		if strings.Contains(t, s) {
			return true
		}
	}
	return false
}

// shellProof runs echo with a token that only a shell joins: what is sent has
// quotes inside the word, so neither the terminal's echo nor a server that
// repeats everything can show the joined word.
func (s *session) shellProof(ctx context.Context) bool {
	a, b := strings.ToLower(rand.Text()[:8]), strings.ToLower(rand.Text()[:8])
	if s.send(`echo `+a+`""`+b) != nil {
		return false
	}
	text, _ := s.until(ctx, proofTimeout, func(t string) bool { return strings.Contains(t, a+b) })
	return strings.Contains(text, a+b)
}

// login presents one credential over a fresh connection.
func login(ctx context.Context, n assess.Network, address, user, password string) (credential.Outcome, string) {
	s, err := open(ctx, n, address)
	if err != nil {
		return broken(err), ""
	}
	defer s.close()
	text, err := s.until(ctx, promptTimeout, func(t string) bool { return asksUser(t) || asksPassword(t) })
	if lockedOut(text) {
		return credential.Locked, ""
	}
	if err != nil {
		return broken(err), ""
	}
	if asksUser(text) {
		if s.send(user) != nil {
			return credential.Dropped, ""
		}
		text, err = s.until(ctx, promptTimeout, func(t string) bool { return asksPassword(t) || asksUser(t) || looksLikeShell(t) })
		switch {
		case lockedOut(text):
			return credential.Locked, ""
		case err != nil:
			return broken(err), ""
		case asksUser(text):
			return credential.Refused, ""
		}
	}
	if asksPassword(text) {
		if s.send(password) != nil {
			return credential.Dropped, ""
		}
		text, err = s.until(ctx, promptTimeout, func(t string) bool { return asksUser(t) || asksPassword(t) || looksLikeShell(t) || refusal(t) })
		switch {
		case lockedOut(text):
			return credential.Locked, ""
		case asksUser(text), asksPassword(text), refusal(text):
			return credential.Refused, "" // also when it hangs up after saying so
		case err != nil && !timedOut(err):
			return broken(err), ""
		}
	}
	// Let in, or so it seems; a shell without a prompt is one too.
	if s.shellProof(ctx) {
		return credential.Accepted, "a shell ran echo on a random word and answered it joined"
	}
	return credential.Hollow, ""
}

func broken(err error) credential.Outcome {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPIPE), timedOut(err):
		return credential.Dropped
	}
	return credential.Unclear
}
