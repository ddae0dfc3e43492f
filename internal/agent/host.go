package agent

import (
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// hostMark is the mark of the sockets of an agent on a device that is its own
// gateway: no policy takes the way to the platform from it. It is none that a
// device or the inspector can have (policy.MaxMark, policy.InspectMark).
const hostMark = 1<<29 | 0x52

// dial connects as the agent itself: on a device that is its own gateway with the
// mark that no policy speaks of.
func (c Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	if c.Host {
		d.Control = markSocket
		d.Resolver = &net.Resolver{PreferGo: true, Dial: (&net.Dialer{Control: markSocket}).DialContext}
	}
	return d.DialContext(ctx, network, address)
}

func markSocket(_, _ string, raw syscall.RawConn) error {
	var err error
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, hostMark) }); e != nil {
		return e
	}
	return err
}
