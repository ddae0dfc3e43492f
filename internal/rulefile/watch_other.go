//go:build unix && !linux

package rulefile

import (
	"context"
	"errors"
)

// Watch needs Linux.
func Watch(context.Context, string, func()) error {
	return errors.New("files are watched on Linux only")
}
