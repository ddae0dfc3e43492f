package usage

import "github.com/ringwall/ringwall/internal/usage/rules"

// Names of the rules that were there first; the others are those of package
// rules.
const (
	Separation = rules.Separation
	SIMService = rules.Service
	SIMPeer    = rules.Peer
)

// Rules returns the rules in the order in which they are asked.
func Rules() []rules.Rule { return rules.All() }
