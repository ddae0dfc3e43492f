package actor

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// ntpEpoch is the seconds from 1900 to 1970.
const ntpEpoch = 2208988800

// ntpTime is t in NTP's 64-bit form (RFC 5905 section 6).
func ntpTime(t time.Time) uint64 {
	sec := uint64(t.Unix()) + ntpEpoch
	frac := uint64(t.Nanosecond()) << 32 / 1e9
	return sec<<32 | frac
}

// ntpReply answers a client's packet, or returns nil when it is none.
func ntpReply(req []byte, now time.Time) []byte {
	if len(req) < 48 || req[0]&7 != 3 { // mode 3 is client
		return nil
	}
	version := req[0] >> 3 & 7
	if version < 1 || version > 4 {
		return nil
	}
	b := make([]byte, 48)
	b[0] = version<<3 | 4 // no leap warning, mode 4: server
	b[1] = 2              // stratum
	b[2] = req[2]         // poll
	b[3] = 0xec           // precision 2^-20 s
	copy(b[12:], "LABS")
	t := ntpTime(now)
	binary.BigEndian.PutUint64(b[16:], t) // reference
	copy(b[24:32], req[40:48])            // origin: what the client sent
	binary.BigEndian.PutUint64(b[32:], t) // received
	binary.BigEndian.PutUint64(b[40:], t) // sent
	return b
}

// timeServer is an SNTP server (RFC 4330).
func timeServer(e *Env) (Ops, error) {
	pc, err := net.ListenPacket("udp4", net.JoinHostPort(e.Addr.String(), "123"))
	if err != nil {
		return nil, err
	}
	var served atomic.Uint64
	e.Go("serving NTP", func(ctx context.Context) error {
		defer pc.Close()
		stop := context.AfterFunc(ctx, func() { pc.Close() })
		defer stop()
		buf := make([]byte, 512)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return err
			}
			if out := ntpReply(buf[:n], e.Now()); out != nil {
				if _, err := pc.WriteTo(out, from); err == nil {
					served.Add(1)
				}
			}
		}
	})
	return Ops{"stats": op(func(context.Context, struct{}) (any, error) {
		return map[string]uint64{"served": served.Load()}, nil
	})}, nil
}

// askTime asks an SNTP server for the time and returns how far off we are.
func (e *Env) askTime(ctx context.Context, server netip.Addr) (time.Duration, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "udp4", net.JoinHostPort(server.String(), "123"))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second)) // never fails on an open socket
	req := make([]byte, 48)
	req[0] = 4<<3 | 3
	sent := e.Now()
	binary.BigEndian.PutUint64(req[40:], ntpTime(sent))
	if _, err := c.Write(req); err != nil {
		return 0, err
	}
	buf := make([]byte, 128)
	n, err := c.Read(buf)
	if err != nil {
		return 0, fmt.Errorf("asking %s for the time: %w", server, err)
	}
	if n < 48 || buf[0]&7 != 4 || [8]byte(buf[24:32]) != [8]byte(req[40:48]) {
		return 0, errors.New("the answer of the time server is not to our question")
	}
	t := binary.BigEndian.Uint64(buf[40:])
	server64 := time.Unix(int64(t>>32)-ntpEpoch, int64(t&0xffffffff)*1e9>>32)
	return server64.Sub(sent), nil
}
