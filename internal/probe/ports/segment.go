package ports

import (
	"encoding/binary"
	"net/netip"
)

// TCP flags (RFC 9293 section 3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// synLength is a TCP header with one option, the maximum segment size: some
// small stacks and filters drop a SYN without it.
const synLength = 24

// putSYN writes a SYN from one port to another, checksum included.
func putSYN(b []byte, src, dst netip.Addr, from, to uint16, seq uint32) []byte {
	b = b[:synLength]
	binary.BigEndian.PutUint16(b[0:], from)
	binary.BigEndian.PutUint16(b[2:], to)
	binary.BigEndian.PutUint32(b[4:], seq)
	binary.BigEndian.PutUint32(b[8:], 0)
	b[12], b[13] = synLength/4<<4, flagSYN
	binary.BigEndian.PutUint16(b[14:], 1024)
	binary.BigEndian.PutUint32(b[16:], 0) // checksum, urgent pointer
	b[20], b[21] = 2, 4
	binary.BigEndian.PutUint16(b[22:], 1460)
	binary.BigEndian.PutUint16(b[16:], checksum(b, src, dst))
	return b
}

// checksum of a TCP segment with its pseudo-header (RFC 9293 section 3.1, RFC
// 8200 section 8.1).
func checksum(b []byte, src, dst netip.Addr) uint16 {
	var sum uint32
	add := func(b []byte) {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		if len(b)%2 == 1 {
			sum += uint32(b[len(b)-1]) << 8
		}
	}
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		add(s[:])
		add(d[:])
	} else {
		s, d := src.As16(), dst.As16()
		add(s[:])
		add(d[:])
	}
	sum += 6 + uint32(len(b))
	add(b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// reply is what matters of a segment that came back.
type reply struct {
	from, to uint16
	ack      uint32
	flags    byte
}

// parseReply reads the TCP header of a packet as a raw socket gives it: with
// the IP header before it for IPv4, without for IPv6.
func parseReply(b []byte, v4 bool) (r reply, ok bool) {
	if v4 {
		if len(b) < 20 || b[0]>>4 != 4 || b[9] != 6 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return r, false
		}
		h := int(b[0]&15) * 4
		if h < 20 || len(b) < h {
			return r, false
		}
		b = b[h:]
	}
	if len(b) < 20 {
		return r, false
	}
	return reply{binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[8:]), b[13]}, true
}
