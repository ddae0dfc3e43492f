// Package dnsguard answers the names that devices ask for, and opens the way
// to what it answers.
//
// A name that a device's policy does not allow does not exist for it. An
// address of a name that it does is bound in the kernel, to that device and
// those ports and for a time, before the answer is released: a connection that
// follows the answer never meets a closed door, and an address that nobody
// asked for by a name stays closed. When the kernel cannot bind, the answer is
// SERVFAIL, never an address that would not work or was not permitted. The
// answer's TTL is over before the binding is. A binding that has lived half its
// life is renewed while its name is asked for or a flow uses it (MaxAddrs
// addresses of a name at most: who is not in use goes first).
//
// A name that a term denies is looked up all the same, and its addresses are
// closed in the kernel to that device before it is told that there is no such
// name: so a deny holds against an allow by address. An answer whose chain of
// aliases passes through a denied name is no answer.
//
// It runs as a process of its own (ringwall-agent dns), so that names work
// while the agent restarts. What it may answer stands in a policy file that the
// agent writes (package rulefile): the guard binds under the shared lock, having
// looked whether the file changed, the agent changes file and kernel under the
// exclusive one. So a name that was taken away is never bound afterwards. What
// is bound stands in a file too (package resolved): the inspector asks it which
// names led to an address, and the next guard goes on from it when this one is
// killed. All lives are of the boot clock; setting the time changes none.
//
// Who asks is told by the mark that the packet filter wrote on the question, by
// port, MAC and address together, where the kernel hands it on (UDP, Linux
// 5.19), and by the address, which the filter has tied to them, elsewhere.
//
// What it refuses, whatever the policy: addresses of no network, and those inside
// the house unless a term says that they are meant (rebinding); names by which
// clients find encrypted resolvers, and known resolvers that a term does not name
// in full; questions beyond a rate; names below a wildcard that carry data, told
// by how many new octets a device asks for. HTTPS and SVCB records lose their
// address hints and encrypted client hello (RFC 9460 section 7.3, RFC 9849). IPv6
// addresses are answered to devices to which IPv6 is open.
//
// Upstream it asks with a fresh port, a random id and random capitals, and
// takes no answer that does not repeat them (RFC 5452 section 9), or over TLS
// from a resolver that it can tell by name or pinned key (RFC 7858, RFC 8310).
// Answers are shared among devices for as long as their TTL says. It does not
// verify DNSSEC: what the resolver says is believed, so that it should be one
// that verifies, asked over TLS.
//
// Run owns all goroutines. Memory is bounded: by Config's limits, by what the
// kernel's set of bindings holds, and by one entry a device for rates and one a
// decision for reports.
package dnsguard
