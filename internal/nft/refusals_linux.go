package nft

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"

	"github.com/florianl/go-nflog/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/policy"
)

// logBuffer holds a burst of samples while f is busy.
const logBuffer = 1 << 20

// Refusals calls do for every sample until ctx ends. Of each device there are
// few a second: Counters knows how many there were. do is called by one
// goroutine and must not wait.
func (f *Firewall) Refusals(ctx context.Context, do func(Refusal)) error {
	n, err := nflog.Open(&nflog.Config{Group: LogGroup, Copymode: nflog.CopyPacket, Bufsize: snaplen, NetNS: f.nsFD()})
	if err != nil {
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "the packet log of the kernel cannot be reached", Err: err}
	}
	defer n.Close()
	// An overrun loses samples, never counts: it must not end the reading.
	_ = n.SetOption(netlink.NoENOBUFS, true)
	_ = n.Con.SetReadBuffer(logBuffer)
	failed := make(chan error, 1)
	hook := func(a nflog.Attribute) int {
		if r, ok := f.refusal(a); ok {
			do(r)
		}
		return 0
	}
	lost := func(err error) int {
		if oe, ok := errors.AsType[*netlink.OpError](err); ok && (oe.Timeout() || oe.Temporary()) || errors.Is(err, unix.ENOBUFS) {
			return 0
		}
		select {
		case failed <- err:
		default:
		}
		return 1
	}
	if err := n.RegisterWithErrorFunc(ctx, hook, lost); err != nil {
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "the packet log of the kernel is taken", Err: err}
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

func (f *Firewall) refusal(a nflog.Attribute) (Refusal, bool) {
	r := Refusal{Time: f.cfg.Now(), Mark: policy.Stranger}
	if a.Prefix == nil || a.Payload == nil {
		return r, false
	}
	kind, reason, ok := strings.Cut(strings.TrimRight(*a.Prefix, "\x00"), ":")
	if !ok {
		return r, false
	}
	r.Would, r.Reason = kind == "would", reason
	if a.Mark != nil && *a.Mark&markBits != 0 {
		r.Mark = *a.Mark & markBits
	}
	return r, r.parse(*a.Payload)
}

// parse reads the IPv4 header (RFC 791 section 3.1) or the one of IPv6 (RFC 8200
// section 3), and the ports behind it.
func (r *Refusal) parse(b []byte) bool {
	if len(b) < 20 {
		return false
	}
	var head int
	var src, dst netip.Addr
	switch b[0] >> 4 {
	case 4:
		if head = int(b[0]&0x0f) * 4; head < 20 || len(b) < head {
			return false
		}
		r.Length, r.Proto = binary.BigEndian.Uint16(b[2:]), b[9]
		src, dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	case 6:
		if head = 40; len(b) < head {
			return false
		}
		// The length is that of what is behind the header; a jumbogram is none of a device.
		r.Length, r.Proto = binary.BigEndian.Uint16(b[4:])+40, b[6]
		src, dst = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
	default:
		return false
	}
	var sport, dport uint16
	if (r.Proto == policy.ProtoTCP || r.Proto == policy.ProtoUDP) && len(b) >= head+4 {
		sport, dport = binary.BigEndian.Uint16(b[head:]), binary.BigEndian.Uint16(b[head+2:])
	}
	r.Src, r.Dst = netip.AddrPortFrom(src, sport), netip.AddrPortFrom(dst, dport)
	return true
}
