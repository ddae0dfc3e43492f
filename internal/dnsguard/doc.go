// Package dnsguard answers the names that devices ask for, and opens the way
// to what it answers.
//
// A name that a device's policy does not allow does not exist for it. An
// address of a name that it does is bound in the kernel, to that device and
// those ports and for a time, before the answer is released: a connection that
// follows the answer never meets a closed door, and an address that nobody
// asked for by a name stays closed. When the kernel cannot bind, the answer is
// SERVFAIL, never an address that would not work or was not permitted.
//
// It runs as a process of its own (ringwall-agent dns), so that names work
// while the agent restarts. What it may answer stands in a policy file that the
// agent writes by WritePolicy. The two exclude each other by a lock on the file
// beside it: the guard binds under a shared lock, having looked whether the
// file changed, the agent changes file and kernel under an exclusive one. So a
// name that was taken away is never bound afterwards.
//
// What it refuses, whatever the policy: addresses inside the house or of no
// network (rebinding), unless the device learns; more than MaxAddrs addresses
// of a name; questions beyond a rate. HTTPS and SVCB records lose their address
// hints and encrypted client hello (RFC 9460 section 7.3, RFC 9849), IPv6
// addresses are not answered, since IPv6 is closed. Only the name that was
// asked for must be allowed; names that it is an alias of need not be.
//
// Upstream it asks with a fresh port, a random id and random capitals, and
// takes no answer that does not repeat them (RFC 5452 section 9).
//
// Run owns all goroutines. Memory is bounded: by Config's limits, and by one
// entry a device for rates and one a decision for reports.
package dnsguard
