package portmap

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// exchange sends a datagram to the router up to three times and returns the first
// answer that read takes; ok is false when there is none.
func (c *Client) exchange(ctx context.Context, q []byte, read func([]byte) bool) (ok bool, err error) {
	conn, err := c.c.Dial(ctx, "udp", netip.AddrPortFrom(c.c.Router, c.c.NATPMP).String())
	if err != nil {
		return false, c.unavailable("for port mappings", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, 1100) // RFC 6887 section 7
	for wait := 250 * time.Millisecond; wait <= time.Second; wait *= 2 {
		if _, err := conn.Write(q); err != nil {
			return false, nil // nobody is there
		}
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return false, err
		}
		for {
			n, err := conn.Read(buf)
			if err != nil {
				if ne, is := err.(net.Error); is && ne.Timeout() && ctx.Err() == nil {
					break
				}
				return false, nil
			}
			if read(buf[:n]) {
				return true, nil
			}
		}
	}
	return false, ctx.Err()
}

// speaksNATPMP asks for the external address (RFC 6886 section 3.2).
func (c *Client) speaksNATPMP(ctx context.Context) (bool, error) {
	return c.exchange(ctx, []byte{0, 0}, func(b []byte) bool { return len(b) >= 8 && b[0] == 0 && b[1] == 128 })
}

// deleteNATPMP has a mapping to the asker's own address deleted (RFC 6886 section
// 3.4).
func (c *Client) deleteNATPMP(ctx context.Context, m Mapping) error {
	op := byte(1)
	if m.Proto == "tcp" {
		op = 2
	}
	q := make([]byte, 12)
	q[1] = op
	binary.BigEndian.PutUint16(q[4:], m.Internal.Port())
	code := uint16(1)
	ok, err := c.exchange(ctx, q, func(b []byte) bool {
		r, is := natpmpResult(b, op)
		code = r
		return is
	})
	switch {
	case err != nil:
		return err
	case !ok:
		return ringwall.Errorf(ringwall.Unavailable, "router %s does not answer to NAT-PMP", c.c.Router)
	case code != 0:
		return ringwall.Errorf(ringwall.Forbidden, "router %s answers %d to NAT-PMP", c.c.Router, code)
	}
	return nil
}

// natpmpResult returns the result code of an answer to op.
func natpmpResult(b []byte, op byte) (code uint16, ok bool) {
	if len(b) < 8 || b[0] != 0 || b[1] != 128+op {
		return 0, false
	}
	return binary.BigEndian.Uint16(b[2:]), true
}

// speaksPCP announces itself (RFC 6887 section 14.1): an answer of version 2 is
// PCP.
func (c *Client) speaksPCP(ctx context.Context) (bool, error) {
	q := make([]byte, 24)
	q[0] = 2
	local := netip.IPv6Unspecified()
	if conn, err := c.c.Dial(ctx, "udp", netip.AddrPortFrom(c.c.Router, c.c.NATPMP).String()); err == nil {
		if a, err := netip.ParseAddrPort(conn.LocalAddr().String()); err == nil {
			local = a.Addr()
		}
		conn.Close()
	}
	as16 := local.As16()
	copy(q[8:], as16[:])
	return c.exchange(ctx, q, pcpAnswer)
}

// pcpAnswer reports whether b is an answer of a PCP server (RFC 6887 section 7.2),
// whatever its result.
func pcpAnswer(b []byte) bool {
	return len(b) >= 24 && len(b)%4 == 0 && b[0] == 2 && b[1]&0x80 != 0
}
