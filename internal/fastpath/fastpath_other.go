//go:build !linux

package fastpath

import (
	"context"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/nft"
)

// Path is a fast path; here there is none.
type Path struct{}

func elsewhere() error {
	return ringwall.Errorf(ringwall.Unavailable, "the fast path needs Linux 6.6 or newer")
}

// Open says that the fast path needs Linux.
func Open(Config) (*Path, error) { return nil, elsewhere() }

// Run says so too.
func (p *Path) Run(context.Context, Filter, func()) error { return elsewhere() }

// Revoke has nothing to revoke.
func (p *Path) Revoke([]uint32) error { return nil }

// LiveTokens has no use for them.
func (p *Path) LiveTokens(map[uint32]uint32) {}

// Counters has counted nothing.
func (p *Path) Counters() (map[uint32]nft.Counts, error) { return nil, nil }

// Tier says why there is none.
func (p *Path) Tier() (active bool, why string) { return false, "not on Linux" }

// Astray names none.
func (p *Path) Astray() []string { return nil }

// Stats are all zero.
func (p *Path) Stats() Stats { return Stats{} }

// Close does nothing.
func (p *Path) Close() error { return nil }
