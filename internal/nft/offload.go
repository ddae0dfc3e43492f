package nft

import (
	"net/netip"

	"github.com/ringwall/ringwall/internal/policy"
)

// Cacheable is what a cache of verdicts (package fastpath) must know of a device.
// A flow that the device opened and whose connection mark is exactly Token was
// allowed by its policy, and is until the token changes or Token is 0.
type Cacheable struct {
	Mark uint32
	// Token is 0 while no flow of the device may pass by the filter: it is
	// restricted or learns, or its flows have to be counted against a limit or
	// looked into.
	Token uint32
	// Port, MAC and IP are its binding; Port is "" when it may sit at any.
	Port string
	MAC  policy.MAC
	IP   netip.Addr
}
