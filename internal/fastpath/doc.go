// Package fastpath takes allowed flows past the packet filter: programs at the
// interfaces of the gateway (eBPF at TCX) forward what package nft has already
// allowed, and leave all else to the kernel's stack, where nft judges it.
//
// It is a cache of verdicts, never a second policy. A flow comes into it only
// by way of connection tracking: nft has judged it, its connection carries the
// token of its device, and that token is live. What the cache does not know,
// or knows and is not sure of, goes on to the stack as if the cache were not
// there. So nothing here can fail open, and nothing has to be in here.
//
// What is cached: flows that a device opened to the world through the uplink,
// TCP in mid-connection and UDP, IPv4 without options, whole packets with a
// live TTL that fit the way out. Everything else is slow: first packets,
// SYN, FIN and RST, fragments, options, flows between devices and flows opened
// to a device (nft judges these packet by packet and gives them no token),
// devices that learn or shadow, whose flows have limits or are looked into, VLAN tags,
// IPv6, helpers that rewrite sequence numbers.
//
// A packet passes by the cache only if all of this holds for it: its protocol,
// addresses, ports and the interface it came in by name a cached flow; it is
// addressed to the gateway's MAC; from a device, its source MAC is the one the
// device is bound to; the gate of the device is open for the very token and
// binding that the flow was cached under; the lease of the flow has not run
// out; and the kernel's routes lead out of the interface they did. It is then
// counted, its TTL lowered, its addresses rewritten where the kernel
// masquerades, and sent out by the port of the destination.
//
// Gates. There is one word of kernel memory a device; writing zero to it ends
// every cached flow of the device at once, whatever their number. Revoke does
// this, before nft restricts the device or takes something from it: first the
// cache, then the filter, so that no packet passes by what is being taken
// away. A gate opens again only for what nft says after that change is in
// force. Gates are also closed while tables of others filter forwarded
// packets, since a cached packet would pass them by.
//
// Leases. Every few seconds one packet of each cached flow goes the slow way,
// so that connection tracking, neighbours and the bridge's table stay alive.
// A flow stays in the cache for Config.Lease, then connection tracking is
// asked again. A keeper that hangs, or is stopped, therefore loses its cache
// within a lease. Programs and maps are not pinned: when the process ends, by
// whatever cause, the kernel detaches them with it and nft goes on alone.
//
// Counting is exact: a packet is counted here or by nft, never by both; a
// packet is what the filter calls one too, a train of segments (GSO) included.
// The counters that connection tracking keeps do not include cached packets.
//
// Taps. TCX runs behind packet sockets, so that the detectors see every cached
// packet as it comes in, and as it goes out.
//
// Run is the one goroutine of a Path; Revoke, Counters, Tier, Stats and Close
// may be called by any. Revoke does not wait for Run. It needs Linux 6.6 (TCX),
// and CAP_BPF with CAP_NET_ADMIN, or root; Open says in its error what is
// missing. The programs are written below as instructions; nothing is compiled
// elsewhere. References: Documentation/bpf and bpf-helpers(7) of Linux; RFC
// 1812 section 5.3.1 (TTL); RFC 1624 (checksums).
package fastpath
