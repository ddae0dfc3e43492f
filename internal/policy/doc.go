// Package policy holds what a policy means: who may talk to whom.
//
// It thinks in three steps, all of them pure. Compose makes the least
// privilege terms of one device from its class, from what it was seen to need,
// from what its SIM is for, from its maker's usage description and from what its
// groups and its owner say, reduced to what its trust allows. Decide judges one
// flow against them: Site.Decide term by term, which is the meaning of a policy
// written down, and a Judge the same from terms taken apart beforehand. Compile
// turns the desired state of a gateway, together with the holds in force, into a
// Plan: a value in a canonical form that package nft puts into the kernel and
// package dnsguard answers from.
//
// All agree: random policies and flows are compared between the walk, the
// Judge, lookups in a plan (package policytest) and the kernel. The rules, in
// order:
//
//  1. Cut off (a hold, or trust T0): nothing passes but enrolment with the
//     gateway itself. Quarantined (a hold, or trust T1): only flows that the
//     device opens to the remediation set. Both hold in every mode, but for
//     one: a device in mode learn is not cut off for trust T0 alone, since T0
//     is also what a device is that nobody has enrolled yet, and learning is
//     how it is admitted. A document that is older than it may be quarantines
//     devices with Fail "closed", and turns mode enforce into shadow for those
//     with "open".
//  2. A flow to the gateway itself is judged by terms about the gateway, in every
//     mode. DNS, DHCP and enrolment are not subject to terms.
//  3. A flow without an address is refused, and one of IPv6 of a device that has
//     no IPv6 address.
//  4. Mode learn: everything passes.
//  5. Any matching deny term refuses, by address or by name. There are no
//     priorities.
//  6. Any matching allow term passes, unless a deny looks inside there; else, if
//     what stands inside could matter, Verdict.Inspect says so; else the flow is
//     refused. Mode shadow passes what would have been refused, and says so.
//
// A flow between two devices behind the same gateway must pass both policies:
// that of the one who opens it and that of the other. A term with ports speaks of
// TCP and UDP only. What a term asks and nobody can tell (what stands inside,
// which program, whether a window is open) is not so for a term that allows and is
// so for one that denies.
//
// Narrow makes a document for older gateways that is never wider. Learn proposes
// terms out of what was seen, Diff compares what lists of terms mean, Explain
// says how a verdict came about. CompileFunction turns what a SIM is for into
// settings of the operator, terms, and rules for its usage records.
//
// Package zones beside it makes the tables of time zones that documents carry;
// package mudpolicy turns usage descriptions into terms and back.
//
// The package has no goroutines, no clock and no state. Its inputs are bounded:
// see the constants beside Check, Compile and Learn. Standards: RFC 3986 section
// 6.2.2 (paths), MQTT 5.0 section 4.7 (topics), RFC 1035 section 2.3.1 (names).
package policy
