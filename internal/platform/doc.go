// Package platform assembles the server side of Ringwall: all wiring, and no
// rule of any context.
//
// One process holds the broker and its stream, the store, the segments of
// evidence, the projector that turns reports into state, the publisher of the
// outbox, the composer of desired states, the responder, and the faces. A
// Platform owns its data directory and all its goroutines: Run returns when
// every one has ended.
package platform
