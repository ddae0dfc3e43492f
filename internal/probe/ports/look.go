package ports

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

const (
	// maxLook is how much of a greeting is read.
	maxLook = 2 << 10
	// listenFor is how long a service may take to speak first. busybox telnetd
	// and dropbear speak within 100 ms on a 400 MHz MIPS.
	listenFor = 700 * time.Millisecond
	// answerIn is how long an answer to our greeting may take.
	answerIn = 2 * time.Second
	// maxDrain bounds how long an endless speaker is listened to.
	maxDrain = 300 * time.Millisecond
)

// look names the service on one open port.
func look(ctx context.Context, n assess.Network, address string, port uint16) api.Service {
	s := api.Service{Proto: "tcp", Port: port}
	// Where a greeting is expected of us, waiting for one first is lost time;
	// the guess decides the order only, the answer decides the name.
	greetings := []string{"", httpGreeting, rtspGreeting}
	switch {
	case port == 554 || port == 8554 || port == 5554 || port == 10554:
		greetings = []string{rtspGreeting, "", httpGreeting}
	case port == 80 || port == 443 || port == 322 || port >= 8000 && port < 9100:
		greetings = []string{httpGreeting, "", rtspGreeting}
	}
	for _, g := range greetings {
		if ctx.Err() != nil {
			return s
		}
		b := greet(ctx, n, address, g)
		s.Name, s.Info = identify(b)
		// A TLS server may answer plain HTTP with a plain 400.
		if s.Name == "http" && bytes.Contains(b[:min(len(b), 16)], []byte(" 400")) && tlsSpeaks(ctx, n, address) {
			s.Name, s.Info = behindTLS(ctx, n, address)
		}
		// An RTSP server that can be tunnelled speaks HTTP too, but serves no page.
		if s.Name == "http" && !servesPages(b) {
			if name, info := identify(greet(ctx, n, address, rtspGreeting)); name == "rtsp" {
				s.Name, s.Info = name, info
			}
		}
		if s.Name != "" {
			return s
		}
		if g == httpGreeting && tlsSpeaks(ctx, n, address) {
			s.Name, s.Info = behindTLS(ctx, n, address)
			return s
		}
	}
	return s
}

const (
	httpGreeting = "GET / HTTP/1.0\r\nUser-Agent: ringwall-assess\r\n\r\n"
	rtspGreeting = "OPTIONS * RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: ringwall-assess\r\n\r\n"
)

// servesPages reports whether an HTTP answer is one of a web server: a page, a
// redirect or a demand for a login.
func servesPages(b []byte) bool {
	_, rest, _ := bytes.Cut(b, []byte(" "))
	return len(rest) >= 3 && (rest[0] == '2' || rest[0] == '3' || bytes.HasPrefix(rest, []byte("401")))
}

// greet connects, sends a greeting (none: listens) and reads the beginning of
// what comes.
func greet(ctx context.Context, n assess.Network, address, greeting string) []byte {
	dialCtx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	c, err := n.DialContext(dialCtx, "tcp", address)
	if err != nil {
		return nil
	}
	defer c.Close()
	stop := untilDone(ctx, c)
	defer stop()
	wait := listenFor
	if greeting != "" {
		wait = answerIn
	}
	if c.SetDeadline(time.Now().Add(wait)) != nil {
		return nil
	}
	if greeting != "" {
		if _, err := io.WriteString(c, greeting); err != nil {
			return nil
		}
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

// identify names what a service said.
func identify(b []byte) (name, info string) {
	line := firstLine(b)
	switch {
	case len(b) == 0:
		return "", ""
	case bytes.HasPrefix(b, []byte("RTSP/1.")) || bytes.HasPrefix(b, []byte("RTSP/2.")):
		return "rtsp", header(b, "server")
	case bytes.HasPrefix(b, []byte("HTTP/1.")):
		return "http", header(b, "server")
	case bytes.HasPrefix(b, []byte("SSH-")):
		return "ssh", line
	case telnet(b):
		return "telnet", printable(stripIAC(b))
	case strings.HasPrefix(line, "220") && (contains(line, "ftp") || len(line) > 3 && line[3] == '-'):
		return "ftp", line
	case strings.HasPrefix(line, "220") && contains(line, "smtp"):
		return "smtp", line
	case strings.HasPrefix(line, "220 ") || strings.HasPrefix(line, "220-"):
		return "ftp", line // a mail server names its protocol; what else says 220 is ftp
	}
	return "", ""
}

func contains(s, sub string) bool { return strings.Contains(strings.ToLower(s), sub) }

// telnet reports whether a greeting is telnet's: an option negotiation (RFC
// 854: IAC and WILL to DONT) at its beginning, or a login prompt without one.
func telnet(b []byte) bool {
	if len(b) >= 3 && b[0] == 255 && b[1] >= 251 && b[1] <= 254 {
		return true
	}
	t := strings.ToLower(strings.TrimRight(string(b), " \r\n\x00"))
	return strings.HasSuffix(t, "login:") || strings.HasSuffix(t, "username:") || strings.HasSuffix(t, "password:") && len(t) < 200
}

// stripIAC drops telnet commands of three bytes.
func stripIAC(b []byte) []byte {
	var out []byte
	for i := 0; i < len(b); i++ {
		if b[i] == 255 {
			i += 2
			continue
		}
		out = append(out, b[i])
	}
	return out
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return printable(line)
}

// printable makes a peer's bytes safe to show: one line of 80 characters.
func printable(b []byte) string {
	if len(b) > 200 {
		b = b[:200]
	}
	s := strings.Map(func(r rune) rune {
		if r == '\n' || r == '\r' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, string(b))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return s
}

// header finds one header in an HTTP or RTSP answer's beginning.
func header(b []byte, name string) string {
	for line := range bytes.Lines(b) {
		k, v, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(bytes.TrimSpace(k)), name) {
			return printable(v)
		}
		if len(bytes.TrimSpace(line)) == 0 {
			break
		}
	}
	return ""
}

// tlsClient speaks whatever version the peer has: this is a look, not trust.
func tlsClient() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10} // certificates are judged by the tls probe
}

func tlsSpeaks(ctx context.Context, n assess.Network, address string) bool {
	c, ok := handshake(ctx, n, address)
	if ok {
		_ = c.Close()
	}
	return ok
}

func handshake(ctx context.Context, n assess.Network, address string) (*tls.Conn, bool) {
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	raw, err := n.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, false
	}
	c := tls.Client(raw, tlsClient())
	if c.HandshakeContext(ctx) != nil {
		_ = raw.Close()
		return nil, false
	}
	return c, true
}

// behindTLS names what answers inside TLS.
func behindTLS(ctx context.Context, n assess.Network, address string) (name, info string) {
	page := insideTLS(ctx, n, address, httpGreeting)
	name, info = identify(page)
	if name == "http" && servesPages(page) {
		return "https", info
	}
	if video, server := identify(insideTLS(ctx, n, address, rtspGreeting)); video == "rtsp" {
		return "rtsps", server
	}
	if name == "http" {
		return "https", info
	}
	return "tls", ""
}

// insideTLS greets a TLS service and reads the beginning of its answer.
func insideTLS(ctx context.Context, n assess.Network, address, greeting string) []byte {
	c, ok := handshake(ctx, n, address)
	if !ok {
		return nil
	}
	defer c.Close()
	stop := untilDone(ctx, c)
	defer stop()
	if c.SetDeadline(time.Now().Add(answerIn)) != nil {
		return nil
	}
	if _, err := io.WriteString(c, greeting); err != nil {
		return nil
	}
	return read(c)
}
