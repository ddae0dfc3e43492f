package rtsp

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/digest"
)

// requestTimeout bounds one request.
const requestTimeout = 5 * time.Second

// userAgent is what we say we are: an owner who finds it in a log should know.
const userAgent = "ringwall-assess"

// Dial opens connections; the probe's network decides where they go.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Credential is a user name and password to present.
type Credential struct{ User, Password string }

// String never shows the password.
func (c Credential) String() string { return c.User }

// Conn is one RTSP connection, for one goroutine.
type Conn struct {
	c    net.Conn
	br   *bufio.Reader
	dial Dial
	host string
	tls  bool
	seq  int
	// spent: a credential was refused on this connection. Many servers close it
	// then, and a request that meets the closing end may or may not have been
	// counted; the next credential goes over a fresh one.
	spent     bool
	challenge digest.Challenge // of this connection
	count     uint32           // how often its nonce was used
}

// Connect opens a connection to address.
func Connect(ctx context.Context, dial Dial, address string) (*Conn, error) {
	c := &Conn{dial: dial, host: address}
	return c, c.connect(ctx)
}

// ConnectTLS opens a connection inside TLS (rtsps://).
func ConnectTLS(ctx context.Context, dial Dial, address string) (*Conn, error) {
	c := &Conn{dial: Secure(dial), host: address, tls: true}
	return c, c.connect(ctx)
}

// Secure wraps what dial opens in TLS of whatever version the peer has: this
// is a look, not trust. Certificates are judged elsewhere, a device's is its own.
func Secure(dial Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
		if err := c.HandshakeContext(ctx); err != nil {
			_ = raw.Close()
			return nil, fmt.Errorf("opening TLS: %w", err)
		}
		return c, nil
	}
}

func (c *Conn) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	nc, err := c.dial(ctx, "tcp", c.host)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "connecting to %s: %w", c.host, err)
	}
	c.c, c.br, c.spent, c.challenge, c.count = nc, bufio.NewReaderSize(nc, MaxLine), false, digest.Challenge{}, 0
	return nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	if c.c == nil {
		return nil
	}
	return c.c.Close()
}

// Reply is what a DESCRIBE brought.
type Reply struct {
	Response
	Challenges []digest.Challenge // of a 401
	Server     string
}

// Described reports whether the server gave a session description.
func (r Reply) Described() bool {
	return r.Status == 200 && strings.HasPrefix(strings.TrimLeft(string(r.Body), "\r\n"), "v=")
}

// Options asks what the server can do.
func (c *Conn) Options(ctx context.Context, path string) (Reply, error) {
	return c.reply(c.do(ctx, "OPTIONS", path, ""))
}

// Describe asks for the description of a path. Without cred nothing is
// presented. With cred a challenge is answered once, so that one call is at
// most one wrong password.
func (c *Conn) Describe(ctx context.Context, path string, cred *Credential) (Reply, error) {
	if c.spent {
		_ = c.c.Close() // its fate does not matter
		if err := c.connect(ctx); err != nil {
			return Reply{}, err
		}
	}
	if cred == nil {
		return c.reply(c.do(ctx, "DESCRIBE", path, ""))
	}
	if c.challenge.Scheme == "" {
		r, err := c.reply(c.do(ctx, "DESCRIBE", path, ""))
		if err != nil || r.Status != 401 || !c.remember(r.Challenges) {
			return r, err
		}
	}
	r, err := c.present(ctx, path, cred)
	if err != nil || r.Status != 401 {
		return r, err
	}
	// Only a stale nonce is worth a second presentation: the server said that
	// the answer itself was right.
	if c.remember(r.Challenges) && c.challenge.Stale {
		return c.present(ctx, path, cred)
	}
	c.spent = true
	return r, nil
}

func (c *Conn) remember(cs []digest.Challenge) bool {
	best, ok := digest.Best(cs)
	if ok {
		c.challenge, c.count = best, 0
	}
	return ok
}

func (c *Conn) present(ctx context.Context, path string, cred *Credential) (Reply, error) {
	c.count++
	h, err := c.challenge.Answer("DESCRIBE", c.url(path), cred.User, cred.Password, c.count)
	if err != nil {
		return Reply{}, err
	}
	return c.reply(c.do(ctx, "DESCRIBE", path, h))
}

func (c *Conn) url(path string) string {
	scheme := "rtsp://"
	if c.tls {
		scheme = "rtsps://"
	}
	return scheme + c.host + "/" + strings.TrimPrefix(path, "/")
}

// request writes one request with the next sequence number.
func (c *Conn) request(b *bytes.Buffer, method, path, authorization string) {
	c.seq++
	b.WriteString(method + " " + c.url(path) + " RTSP/1.0\r\nCSeq: " + strconv.Itoa(c.seq) + "\r\nUser-Agent: " + userAgent + "\r\n")
	if method == "DESCRIBE" {
		b.WriteString("Accept: application/sdp\r\n")
	}
	if authorization != "" {
		b.WriteString("Authorization: " + authorization + "\r\n")
	}
	b.WriteString("\r\n")
}

func (c *Conn) do(ctx context.Context, method, path, authorization string) (Response, error) {
	if strings.ContainsAny(path, " \r\n") {
		return Response{}, ringwall.Errorf(ringwall.Invalid, "RTSP path %q holds a blank", shorten(path, 40))
	}
	var b bytes.Buffer
	c.request(&b, method, path, authorization)
	deadline := time.Now().Add(requestTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := c.c.SetDeadline(deadline); err != nil {
		return Response{}, ringwall.Errorf(ringwall.Unavailable, "asking %s: %w", c.host, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.c.Write(b.Bytes()); err != nil {
		return Response{}, ringwall.Errorf(ringwall.Unavailable, "asking %s: %w", c.host, err)
	}
	r, err := ReadResponse(c.br)
	if err != nil {
		return Response{}, fmt.Errorf("asking %s: %w", c.host, err)
	}
	return r, nil
}

func (c *Conn) reply(r Response, err error) (Reply, error) {
	if err != nil {
		return Reply{}, err
	}
	p := Reply{Response: r, Server: shorten(r.Get("server"), 80)}
	if r.Status == 401 {
		if p.Challenges, err = digest.ParseChallenges(r.Header["www-authenticate"]); err != nil {
			return Reply{}, fmt.Errorf("reading the challenge of %s: %w", c.host, err)
		}
	}
	return p, nil
}
