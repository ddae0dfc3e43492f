//go:build !linux

package ports

import (
	"context"
	"errors"
	"net/netip"

	"github.com/ringwall/ringwall/internal/assess"
)

func synScan(context.Context, assess.RawNetwork, netip.Addr, []uint16) (Result, error) {
	return Result{}, errors.ErrUnsupported
}

func connectScan(context.Context, assess.RawNetwork, netip.Addr, []uint16) (Result, error) {
	return Result{}, errors.ErrUnsupported
}
