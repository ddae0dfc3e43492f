// Package sdk puts the policy of a device into the application that runs on it:
// connections are opened and accepted through a Client, which allows what the
// platform's signed policy allows, refuses the rest and says why, reports every
// decision, and cuts what is open when the device is quarantined.
//
// It is the one place from which a URI inside TLS can be judged, since it stands
// before the encryption: Client.Transport judges host, path and method of each
// request, of redirects again. It binds the application that uses it and no
// other: what goes round it, by package net, a C library or another program, is
// for an agent on the device or a gateway before it.
//
// # What is promised
//
// The Client enrols once, as a gateway does, with a one-time token over HTTPS;
// its key never leaves the state directory. A desired state is taken when a
// known key signed it, it is for this client and it is newer than the one in
// force (package enforce). The last one is kept on disk, so that the Client
// works without the platform, for as long as the policy says (MaxAge). Before
// the first one has come, everything is refused with reason "no-policy". A hold
// stays in force over restarts until it is released by name or has been served.
//
// A name is resolved by the Client itself and the answer is what is dialled:
// that a name gave an address is known, not guessed, and an answer that points
// inside is refused unless a term wants it (DNS rebinding). Names that no term
// speaks of are not looked up. When the policy, a hold or a window changes, open
// connections are judged anew and those that may not be any more are closed,
// within a second.
//
// Every decision is a record in a write-ahead log of bounded size, synced each
// second and at Close, sent until the platform acknowledges it and stored there
// once, whatever is killed meanwhile (package wal). Refusals that repeat within
// a minute are one record that counts them.
//
// # Modes
//
// In mode learn all passes and what was used is reported; in shadow what would
// be refused is reported as such; in enforce it is refused. A refusal is a
// *Refusal: it names the reason, the term, the generation, and holds the term to
// ask for. It has code Forbidden.
//
// # Limits
//
// Rates, quotas and counts of flows are of the device's own traffic through this
// Client. A stream that is too fast is slowed down; a datagram over the rate,
// and a flow over a count or a quota, is refused with reason "limited". What
// was used of a quota is kept on disk each minute.
//
// # What is not promised
//
// Transport speaks HTTP/1.1, in clear or inside TLS: it has to see each request
// on its connection. It uses no proxy. A term about TLS, HTTP or another
// protocol's inside opens nothing to a plain DialContext, which cannot see it.
// The policy is not defended against the application's own process.
//
// A Client owns its goroutines, the state directory and the connection to the
// platform (MQTT 5.0 or the spine, which policy cannot close); Close ends and
// waits for all of them, and closes what was opened through it. Its methods may
// be called concurrently.
package sdk
