package attack

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// BindTo returns a dialer's control that binds a socket to an interface, or
// nil when there is none to bind to.
func BindTo(ifc string) func(network, address string, c syscall.RawConn) error {
	if ifc == "" {
		return nil
	}
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), ifc) }); cerr != nil {
			return cerr
		}
		return err
	}
}
