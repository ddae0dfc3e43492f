package dnsguard

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// soRcvMark asks for the mark of each datagram (Linux 5.19); the constant is of
// asm-generic, which all our targets but mips share.
const soRcvMark = unix.SO_RCVMARK

// askForMarks makes the kernel tell the mark of each datagram, which the packet
// filter wrote there. A kernel that cannot leaves the address, which the filter
// ties to port and MAC all the same.
func askForMarks(c *net.UDPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, soRcvMark, 1) })
}

// markOf reads the mark out of what came with a datagram; 0 = none.
func markOf(oob []byte) uint32 {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return 0
		}
		if h.Level == unix.SOL_SOCKET && h.Type == unix.SO_MARK && len(data) >= 4 {
			return binary.NativeEndian.Uint32(data)
		}
		oob = rest
	}
	return 0
}

// isTransient tells errors of one datagram from those of the socket: an answer
// that nobody took comes back as one.
func isTransient(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.EHOSTUNREACH) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EMSGSIZE)
}
