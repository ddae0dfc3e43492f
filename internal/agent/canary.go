package agent

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// resolverWait is how long a resolver may take.
const resolverWait = time.Second

// askNames asks a resolver for the name servers of the root (RFC 1035 section
// 4.1) and takes any answer to the question for one.
func (c Config) askNames(ctx context.Context, resolver netip.AddrPort) error {
	conn, err := c.dial(ctx, "udp", resolver.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	q := make([]byte, 17)
	if _, err := rand.Read(q[:2]); err != nil {
		return err
	}
	q[2], q[5] = 1, 1 // recursion desired; one question
	q[14], q[16] = 2, 1
	if err := conn.SetDeadline(time.Now().Add(resolverWait)); err != nil {
		return err
	}
	if _, err := conn.Write(q); err != nil {
		return err
	}
	buf := make([]byte, 512)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "resolver %s does not answer: %w", resolver, err)
		}
		if n >= 12 && binary.BigEndian.Uint16(buf) == binary.BigEndian.Uint16(q) && buf[2]&0x80 != 0 {
			return nil
		}
	}
}
