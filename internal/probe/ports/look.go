package ports

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/tlscheck"
)

const (
	// maxLook is how much of a greeting is read.
	maxLook = 2 << 10
	// listenFor is how long a service may take to speak first. busybox telnetd
	// and dropbear speak within 100 ms on a 400 MHz MIPS.
	listenFor = 700 * time.Millisecond
	// listenTelnet is how long where a login prompt is expected: it may wait for
	// a name server that is not there.
	listenTelnet = 3 * time.Second
	// answerIn is how long an answer to our greeting may take.
	answerIn = 2 * time.Second
	// maxDrain bounds how long an endless speaker is listened to.
	maxDrain = 300 * time.Millisecond
)

// looker asks one open port who it is.
type looker struct {
	n       assess.Network
	address string
}

// look names the service on one open port.
func look(ctx context.Context, n assess.Network, address string, port uint16) api.Service {
	s := api.Service{Proto: "tcp", Port: port}
	l := looker{n, address}
	// Where a greeting is expected of us, waiting for one first is lost time;
	// the guess decides the order only, the answer decides the name.
	hint := firstGreeting(port)
	if hint != "" {
		if s.Name, s.Info = l.ask(ctx, hint); s.Name != "" {
			return s
		}
	}
	wait := listenFor
	if isTelnetPort(port) {
		wait = listenTelnet
	}
	greeting := []byte(httpGreeting)
	if hint == "http" {
		greeting = nil
	}
	if s.Name, s.Info = l.listen(ctx, wait, greeting); s.Name != "" {
		return s
	}
	var rest []string
	for _, q := range []string{"rtsp", "tls", "mqtt", "adb"} {
		if q != hint {
			rest = append(rest, q)
		}
	}
	names, infos := make([]string, len(rest)), make([]string, len(rest))
	var wg sync.WaitGroup
	for i, q := range rest {
		wg.Go(func() { names[i], infos[i] = l.ask(ctx, q) })
	}
	wg.Wait()
	for i := range rest {
		if names[i] != "" {
			s.Name, s.Info = names[i], infos[i]
			break
		}
	}
	return s
}

// listen waits for a service that speaks first; to one that does not, it sends
// the greeting on the same connection.
func (l looker) listen(ctx context.Context, wait time.Duration, greeting []byte) (name, info string) {
	c, ok := l.dial(ctx)
	if !ok {
		return "", ""
	}
	defer c.Close()
	defer untilDone(ctx, c)()
	if c.SetReadDeadline(time.Now().Add(wait)) != nil {
		return "", ""
	}
	b := read(c)
	if len(b) > 0 {
		if name, info = identify(b); name == mailOrFiles {
			return l.filesOrMail(c, info), info
		}
		return name, info
	}
	if greeting == nil {
		return "", ""
	}
	return l.http(ctx, speak(c, greeting))
}

// filesOrMail tells ftp from others that greet with 220: only ftp knows SYST
// (RFC 959 section 4.1.3), or wants a login for it.
func (l looker) filesOrMail(c net.Conn, line string) string {
	answer := speak(c, []byte("SYST\r\n"))
	switch {
	case bytes.HasPrefix(answer, []byte("215")), bytes.HasPrefix(answer, []byte("530")), bytes.HasPrefix(answer, []byte("331")), bytes.HasPrefix(answer, []byte("332")):
		return "ftp"
	case contains(line, "ftp") && !contains(line, "smtp"):
		return "ftp"
	}
	return "smtp"
}

// ask puts one question on a connection of its own.
func (l looker) ask(ctx context.Context, what string) (name, info string) {
	switch what {
	case "tls":
		return l.tls(ctx)
	case "http":
		return l.http(ctx, l.greet(ctx, []byte(httpGreeting)))
	}
	q := questions(what)
	b := l.greet(ctx, q)
	if name, info = identify(b); name != "" && name != mailOrFiles {
		if name == "http" {
			return l.http(ctx, b)
		}
		return name, info
	}
	return recognise(what, q, b)
}

// http judges an answer to an HTTP greeting.
func (l looker) http(ctx context.Context, b []byte) (name, info string) {
	name, info = identify(b)
	if name != "http" {
		if name == mailOrFiles {
			name = "smtp" // no ftp server waits to be spoken to
		}
		if name == "" && tlscheck.IsTLS(b) {
			return l.tls(ctx)
		}
		return name, info
	}
	// A TLS server may answer plain HTTP with a plain 400.
	if bytes.Contains(b[:min(len(b), 16)], []byte(" 400")) {
		if n, i := l.tls(ctx); n != "" {
			return n, i
		}
	}
	// An RTSP server that can be tunnelled speaks HTTP too, but serves no page.
	if !servesPages(b) {
		if n, i := identify(l.greet(ctx, []byte(rtspGreeting))); n == "rtsp" {
			return n, i
		}
	}
	return name, info
}

// tls tries a handshake with all that was ever in use, and names what answers
// inside.
func (l looker) tls(ctx context.Context) (name, info string) {
	if !tlscheck.IsTLS(l.greet(ctx, tlscheck.Anything())) {
		return "", ""
	}
	inside := func(greeting string) []byte {
		c, ok := l.handshake(ctx)
		if !ok {
			return nil
		}
		defer c.Close()
		defer untilDone(ctx, c)()
		return speak(c, []byte(greeting))
	}
	page := inside(httpGreeting)
	name, info = identify(page)
	if name == "http" && servesPages(page) {
		return "https", info
	}
	if video, server := identify(inside(rtspGreeting)); video == "rtsp" {
		return "rtsps", server
	}
	if name == "http" {
		return "https", info
	}
	q := questions("mqtt")
	if name, _ := recognise("mqtt", q, inside(string(q))); name == "mqtt" {
		return "mqtts", ""
	}
	return "tls", ""
}

func (l looker) handshake(ctx context.Context) (*tls.Conn, bool) {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	raw, err := l.n.DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, false
	}
	c := tls.Client(raw, tlscheck.Client())
	if c.HandshakeContext(ctx) != nil {
		_ = raw.Close()
		return nil, false
	}
	return c, true
}

func (l looker) dial(ctx context.Context) (net.Conn, bool) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	c, err := l.n.DialContext(ctx, "tcp", l.address)
	return c, err == nil
}

// greet connects, sends a greeting and reads the beginning of what comes.
func (l looker) greet(ctx context.Context, greeting []byte) []byte {
	c, ok := l.dial(ctx)
	if !ok {
		return nil
	}
	defer c.Close()
	defer untilDone(ctx, c)()
	return speak(c, greeting)
}

// speak sends and reads the beginning of the answer.
func speak(c net.Conn, greeting []byte) []byte {
	if c.SetDeadline(time.Now().Add(answerIn)) != nil {
		return nil
	}
	if _, err := c.Write(greeting); err != nil {
		return nil
	}
	return read(c)
}

// deadliner is a connection whose reads can be bounded.
type deadliner interface {
	io.Reader
	SetReadDeadline(time.Time) error
}

// read returns the first bytes, and what follows them at once.
func read(c deadliner) []byte {
	buf := make([]byte, maxLook)
	n, err := c.Read(buf)
	if err != nil {
		return buf[:n]
	}
	if c.SetReadDeadline(time.Now().Add(maxDrain)) == nil {
		more, _ := io.ReadFull(c, buf[n:]) // a short read is what ends a greeting
		n += more
	}
	return buf[:n]
}

// untilDone ends reads and writes of a connection when ctx ends; the caller
// defers what it returns.
func untilDone(ctx context.Context, c net.Conn) func() {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}
