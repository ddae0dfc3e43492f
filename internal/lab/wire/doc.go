// Package wire reads the packets of one interface, for the range to count and
// record them. It is a plain packet socket (packet(7)): no ring, no filter,
// good for the thousands of packets a second of a range and no more. It works
// on Linux only.
package wire
