package dnsguard

import (
	"context"

	"github.com/ringwall/ringwall/internal/rulefile"
)

// ReadPolicy reads a policy file.
func ReadPolicy(path string) (*Policy, error) {
	data, err := rulefile.Read(path)
	if err != nil {
		return nil, err
	}
	return parsePolicy(data)
}

// Renew does what Run does every Config.RenewEvery.
func (g *Guard) Renew(ctx context.Context) { g.renew(ctx) }

// Follow does what Run does when the policy file has changed.
func (g *Guard) Follow(ctx context.Context) { g.follow(ctx) }
