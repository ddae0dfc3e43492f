//go:build !linux

package farm

import (
	"errors"
	"net/netip"
)

func (f *Farm) silence(netip.Addr) error { return errors.New("farm: needs Linux") }
