//go:build !linux

package attack

import (
	"errors"
	"syscall"
)

// BindTo needs Linux, unless there is no interface to bind to.
func BindTo(ifc string) func(network, address string, c syscall.RawConn) error {
	if ifc == "" {
		return nil
	}
	return func(string, string, syscall.RawConn) error {
		return errors.New("binding to an interface needs Linux")
	}
}
