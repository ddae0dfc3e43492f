package dnsguard

import "context"

// Renew does what Run does every Config.RenewEvery.
func (g *Guard) Renew(ctx context.Context) { g.renew(ctx) }

// Follow does what Run does when the policy file has changed.
func (g *Guard) Follow(ctx context.Context) { g.follow(ctx) }
