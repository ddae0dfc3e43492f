// Package mudpolicy turns manufacturers' usage descriptions (package mud) into
// terms of a policy, and terms into a draft of a description.
//
// What a description allows and a term cannot say as narrowly is left out, what
// it drops and a term cannot say as narrowly is dropped more widely; a note says
// so each time. So the terms never allow what the description does not: the
// direction in which policy.WithMUD uses them; but for one thing: that the side
// which opens a flow does so from a port above 1023 is not enforced. Entries that only let answers
// pass become nothing, since a flow is judged by who opens it.
//
// In a description the first entry that matches decides (RFC 8519 section 4.1);
// among terms any deny wins. Where an accept stands before a drop that covers it,
// the terms are narrower.
//
// Abstractions of RFC 8520 section 8.1 become ends that a site fills: local
// networks are the devices behind the same gateway, the same manufacturer those
// of the same maker, controllers and my-controller are roles. Model and
// manufacturer are roles too, with names that RoleOfModel and RoleOfMaker give,
// so that the platform can fill them with the devices whose MUD URL fits.
//
// Of the TLS profiles of RFC 9761 the least version is enforced, together with
// the name that the entry is about; ciphers, extensions and pins are for
// detectors, and a note says so of each part that a profile has: a gateway's
// inspector reads the hello alone, and from TLS 1.3 on sees no certificate. DTLS is
// not looked into by a gateway: its profiles are noted only.
//
// The package is pure.
package mudpolicy
