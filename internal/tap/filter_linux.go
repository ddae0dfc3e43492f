package tap

import (
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// datagramBytes is how much of a datagram is kept that nobody reads: its headers
	// and the beginning of what they carry.
	datagramBytes = 128
	// wholeBytes is more than any packet has.
	wholeBytes = 1 << 18
	// served is the last of the ports of servers that the system gives (RFC 6335
	// section 6).
	served = 1023
)

// snap is a filter of classic BPF that keeps datagramBytes of a UDP datagram over
// IPv4 between two ports that no service has of right, which is what video is
// sent as, and everything of all else. What it does not understand is kept whole:
// options, fragments, tags.
func snap(link packet.LinkType) []unix.SockFilter {
	const (
		loadHalf = unix.BPF_LD | unix.BPF_H | unix.BPF_ABS
		loadByte = unix.BPF_LD | unix.BPF_B | unix.BPF_ABS
		equal    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		greater  = unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K
		anyOf    = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
		answer   = unix.BPF_RET | unix.BPF_K
	)
	type test struct {
		load   uint16
		at     uint32
		cond   uint16
		k      uint32
		unless bool // it must not hold
	}
	ip, tests := uint32(0), []test(nil)
	if link == packet.LinkEthernet {
		ip, tests = 14, []test{{loadHalf, 12, equal, unix.ETH_P_IP, false}}
	}
	tests = append(tests,
		test{loadByte, ip, equal, 0x45, false},                 // version 4, no options (RFC 791 section 3.1)
		test{loadByte, ip + 9, equal, unix.IPPROTO_UDP, false}, // protocol
		test{loadHalf, ip + 6, anyOf, 0x3fff, true},            // more fragments, or not the first
		test{loadHalf, ip + 20, greater, served, false},        // source port
		test{loadHalf, ip + 22, greater, served, false},        // destination port
	)
	var out []unix.SockFilter
	for i, t := range tests {
		whole := uint8(2*(len(tests)-i-1) + 1) // over the tests that are left, and over the short answer
		jump := unix.SockFilter{Code: t.cond, K: t.k, Jf: whole}
		if t.unless {
			jump.Jt, jump.Jf = whole, 0
		}
		out = append(out, unix.SockFilter{Code: t.load, K: t.at}, jump)
	}
	return append(out, unix.SockFilter{Code: answer, K: datagramBytes}, unix.SockFilter{Code: answer, K: wholeBytes})
}
