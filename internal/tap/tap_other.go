//go:build !linux

package tap

import (
	"context"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// Tap exists on Linux only.
type Tap struct{}

// Open says that there are taps on Linux only.
func Open(Config) (*Tap, error) {
	return nil, ringwall.Errorf(ringwall.Unavailable, "tap: interfaces can be watched on Linux only")
}

// Link is never reached: no Tap can be opened here.
func (*Tap) Link() packet.LinkType { return 0 }

// Run is never reached: no Tap can be opened here.
func (*Tap) Run(context.Context, func(data []byte, ts time.Time, origLen int)) error { return nil }

// Stats is never reached: no Tap can be opened here.
func (*Tap) Stats() Stats { return Stats{} }

// Close is never reached: no Tap can be opened here.
func (*Tap) Close() error { return nil }
