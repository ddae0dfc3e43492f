// Package identity proves who speaks: gateways by certificates of an embedded
// authority, people by passwords and sessions, programs by API tokens. It also
// keeps the key that signs desired states.
//
// It promises that no secret is kept in clear: passwords as argon2id (RFC 9106
// section 3.1), tokens and session ids as SHA-256 of 256 random bits. It
// refuses with one text whatever is wrong with a proof, and puts no proof, nor
// a part of one, into an error.
//
// A token names its organisation and its own id in clear, so that every lookup
// begins with the organisation; what proves it is the secret behind them.
//
// Files, in the directory given to OpenAuthority and OpenSigner: keys in PKCS #8
// PEM (RFC 5958), mode 0600, made at first start and never replaced silently.
// Certificates follow RFC 5280; a gateway's name is a URI in its subject
// alternative name, spiffe://ringwall/<org>/gateway/<gateway>.
//
// All types may be used from several goroutines. None starts one.
package identity
