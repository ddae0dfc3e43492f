// Package policy holds what a policy means: who may talk to whom.
//
// It thinks in three steps, all of them pure. Compose makes the least
// privilege terms of one device from its class, from what it was seen to need
// and from what its owner says, reduced to what its trust allows. Decide
// judges one flow against them. Compile turns the desired state of a gateway,
// together with the holds in force, into a Plan: a value in a canonical form
// that package nft puts into the kernel and package dnsguard answers from.
//
// Decide and the kernel agree: a differential test sends real packets through
// a compiled plan and compares. The rules, in order:
//
//  1. Cut off (a hold, or trust T0): nothing passes but enrolment with the
//     gateway itself. Quarantined (a hold, or trust T1): only flows that the
//     device opens to the remediation set. Both hold in every mode, but for
//     one: a device in mode learn is not cut off for trust T0 alone, since T0
//     is also what a device is that nobody has enrolled yet, and learning is
//     how it is admitted.
//  2. IPv6 is closed.
//  3. Mode learn: everything passes.
//  4. Any matching deny term refuses. There are no priorities.
//  5. Any matching allow term passes; else the flow is refused. Mode shadow
//     passes what would have been refused, and says so.
//
// A flow between two devices behind the same gateway must pass both policies:
// that of the one who opens it and that of the other. A flow to the gateway
// itself (DNS, DHCP) is not subject to terms. A term with ports speaks of TCP
// and UDP only.
//
// The package has no goroutines, no clock and no state.
package policy
