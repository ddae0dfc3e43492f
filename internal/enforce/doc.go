// Package enforce keeps what a gateway must enforce: the last desired state it
// has verified, and its holds.
//
// State is a value and decides purely. Accept takes a signed desired state
// only if a known key signed it, it is for this gateway and it is newer than
// the one there is; everything else is refused with its code and changes
// nothing. A hold, made by a reflex of this gateway or listed in a desired
// state, stays in force until a release in a verified desired state names its
// id, or until it expires: a desired state that merely does not list it any
// more lifts nothing, and neither does drift repair, which puts back what
// InForce says. A released hold is not made again by the same alert. React
// decides whether a reflex acts on an alert.
//
// A document that was accepted is on trial until Confirm; Rollback puts in force
// what both it and the last confirmed one allow (Fallback), Retry the document
// again. Both are kept, in one file.
//
// Keeper holds the State of the running gateway and keeps it on disk: a hold
// or a desired state is durable before the method that took it returns, hence
// before the kernel is changed because of it. It survives any power cut.
// Should the file of the holds be unreadable, nobody knows who is held: then
// State.Unsure is set and every device is quarantined until a desired state
// has been accepted. Should the desired state be unreadable or its signature
// not hold, there is none, and the gateway stays closed but for what its base
// rules allow.
//
// # Clocks
//
// Gateways have bad clocks: without a battery they start in 1970 and jump. A
// hold with an expiry is therefore measured in time served while the program
// runs (a monotonic clock), which no jump can shorten or lengthen. Only after a
// restart is the wall clock asked how much is left, within bounds: a clock that
// is behind the last time written to disk, or implausibly far ahead of it,
// counts as standing at that time. A desired state issued in the future is not
// refused for it, since the gateway's own clock is the likelier to be wrong;
// its generation is what orders it, and how far ahead it is, is reported. Windows
// go by a Timepiece; how old a document is, by a Contact.
//
// A Keeper's methods may be called concurrently; it starts no goroutines. A
// State is not safe for concurrent use.
package enforce
