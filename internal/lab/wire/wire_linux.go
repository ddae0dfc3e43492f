package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/mdlayher/socket"
	"golang.org/x/sys/unix"
)

// Frame is one packet with its link header. Data is good until the next.
type Frame struct {
	Data     []byte
	OrigLen  int
	Time     time.Time // when the kernel had it
	Outgoing bool      // sent by this namespace
}

// Tap is an open packet socket. Run reads it; the other methods may be called
// concurrently.
type Tap struct {
	conn    *socket.Conn
	name    string
	dropped atomic.Uint64
}

const (
	snapLen    = 2048
	bufferSize = 4 << 20
)

// Open opens a tap on an interface of the calling thread's namespace. From
// then on packets are kept for Run.
func Open(name string) (*Tap, error) {
	ifc, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("opening a tap on %q: %w", name, err)
	}
	conn, err := socket.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0, "lab-tap", nil)
	if err != nil {
		return nil, fmt.Errorf("opening a tap on %q: %w", name, err)
	}
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) // the kernel wants network order
	err = errors.Join(
		conn.SetReadBuffer(bufferSize),
		conn.SetsockoptInt(unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		conn.Bind(&unix.SockaddrLinklayer{Protocol: all, Ifindex: ifc.Index}),
	)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("opening a tap on %q: %w", name, err)
	}
	return &Tap{conn: conn, name: name}, nil
}

// Close closes the tap; a Run under way ends.
func (t *Tap) Close() error { return t.conn.Close() }

// Dropped returns how many packets the kernel could not keep, as of the end of
// Run.
func (t *Tap) Dropped() uint64 { return t.dropped.Load() }

// Run calls f for every packet until ctx ends, then closes the tap and returns
// nil. Packets that came before ctx ended are all given.
func (t *Tap) Run(ctx context.Context, f func(Frame)) error {
	defer t.conn.Close()
	buf := make([]byte, snapLen)
	oob := make([]byte, 128)
	for {
		n, oobn, _, from, err := t.conn.Recvmsg(ctx, buf, oob, unix.MSG_TRUNC)
		if ctx.Err() != nil {
			t.drain(buf, oob, f)
			t.stats()
			return nil
		}
		if err != nil {
			if errors.Is(err, unix.ENETDOWN) {
				continue // the interface went down; it may come up again
			}
			if errors.Is(err, os.ErrClosed) {
				return nil
			}
			return fmt.Errorf("reading tap on %q: %w", t.name, err)
		}
		f(frame(buf, n, oob[:oobn], from))
	}
}

// drain gives what is still kept.
func (t *Tap) drain(buf, oob []byte, f func(Frame)) {
	raw, err := t.conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // fails only when closed: nothing is kept then
		for {
			n, oobn, _, from, err := unix.Recvmsg(int(fd), buf, oob, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			f(frame(buf, n, oob[:oobn], from))
		}
	})
}

func (t *Tap) stats() {
	if s, err := t.conn.GetsockoptTpacketStats(unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		t.dropped.Add(uint64(s.Drops))
	}
}

func frame(buf []byte, n int, oob []byte, from unix.Sockaddr) Frame {
	fr := Frame{Data: buf[:min(n, len(buf))], OrigLen: n, Time: stamp(oob)}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		fr.Outgoing = ll.Pkttype == unix.PACKET_OUTGOING
	}
	return fr
}

// stamp returns the kernel's time of a packet.
func stamp(oob []byte) time.Time {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return time.Now()
	}
	for _, m := range msgs {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			ts := (*unix.Timespec)(unsafe.Pointer(&m.Data[0]))
			return time.Unix(ts.Unix())
		}
	}
	return time.Now()
}
