//go:build !linux

package attack

import (
	"context"
	"errors"
)

// Scan needs Linux.
func Scan(context.Context, ScanConfig) (ScanResult, error) {
	return ScanResult{}, errors.New("scanning needs raw sockets as Linux has them")
}

func floodSYN(context.Context, FloodConfig) (FloodResult, error) {
	return FloodResult{}, errors.New("openings need raw sockets as Linux has them")
}
