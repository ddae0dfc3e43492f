// Package enrol makes a gateway, or an application with the SDK, known to its
// platform, and keeps who it is from then on.
//
// Ask.Do makes a key, sends the request to certify it together with a one-time
// token over TLS, and returns what the platform answers. The platform is known by
// its authority, a file or a pin: trust on first use would let whoever is in
// between enrol the machine to himself. A redirect is refused, since a token
// follows nobody. Neither token nor key is in any error.
//
// Store holds the identity in three files, the last of which makes it whole:
// authority, certificate with key, and a JSON that is the caller's. Adopt checks
// that the answer certifies the very key that was asked for. The TLS configuration
// that it gives for the way to the platform reads the certificate for each
// connection, since it is renewed, and judges certificates at the latest time that
// is known to have been, since a machine without a battery starts in 1970.
//
// It starts no goroutines and keeps no state of its own. References: RFC 2986
// (certification requests), RFC 9457 (problems).
package enrol
