package dnsguard

import "context"

// Renew does what Run does every Config.RenewEvery.
func (g *Guard) Renew(ctx context.Context) { g.renew(ctx) }
