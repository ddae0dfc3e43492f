// Package strict reads documents of others (JSON here, other syntaxes through
// Node) without forgiving anything: an unknown member, a member given twice, a
// value of the wrong kind or out of its range is an error that names its line
// and its path.
//
// A document is first read whole into a tree of nodes, bounded in size, depth
// and number of nodes, then taken apart by a Reader. The Reader keeps the
// first error and turns every later call into a zero value, so that a decoder
// reads like the format's own description and checks once, at its end.
//
// The package keeps no state and starts no goroutine. JSON is that of RFC 8259
// and, stricter, of RFC 7493 (I-JSON) section 2.3: names are unique.
package strict
