// Package ringwall is the vocabulary of Ringwall: the words that every other
// package speaks, and nothing else.
//
// Ringwall keeps a fleet of cameras and other Internet-of-Things devices, and
// the SIM cards in them, safe. It grades each device before it goes online
// (Finding, Grade, Class), strengthens it (Trust, Mode, policies enforced by a
// gateway) and watches it and its SIM (Alert, Stage, incidents), so that an
// attack is seen, explained and cut off within seconds.
//
// Two axes are never mixed. Grade says how dangerous a device is by nature,
// build and use, and changes when the device is assessed again. Trust says
// what it has proven lately and decides what the network lets it do. "Unknown"
// is an answer of its own on both and is never drawn as good.
//
// The package stands on the standard library alone and does no I/O. All its
// types are values, safe to copy and to use from several goroutines.
package ringwall
