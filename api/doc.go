// Package api holds the wire types: what platform and gateway say to each
// other, and what the HTTP API takes and gives. It stands on the vocabulary
// alone, so that clients, SDKs and agents can import it without the platform.
//
// Platform and agent speak protocol Version and the one before it; golden
// messages under testdata are read by a test of either side.
package api

// Version is the protocol version that platform and agent speak.
const Version = 2
