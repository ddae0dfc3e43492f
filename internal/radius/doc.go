// Package radius reads and writes RADIUS accounting, as the exit of an operator's
// access point name sends it for the SIM cards behind it, and tells from it which
// card has which address.
//
// Decode verifies the authenticator of an Accounting-Request (RFC 2866 section 3)
// before it looks at anything else, in constant time, and a Message-Authenticator
// (RFC 3579 section 3.2) where there is one; Encode and Answer write requests and
// responses. Of the attributes it knows those of RFC 2865, 2866, 2869 and 3162
// that tell who, where, when and how much, and of 3GPP (vendor 10415, TS 29.061 section
// 16.4.7) the IMSI, the IMEISV, the type of radio access, and the location (TS
// 29.060 section 7.7.51 and TS 29.274 section 8.21). Others are passed over. An
// attribute of wrong length makes the packet invalid.
//
// Table is the state behind that: a pure state machine that takes events and
// answers which subscriber has which address. It does not know IMSIs, only what
// its owner made of them. What it does about cards that claim one address, events
// that come late, twice or not at all, and servers that start again, stands
// with Table.
//
// RADIUS protects with MD5 and a shared secret alone: whoever can read the packets
// learns who is where, and with a weak secret can forge. The exchange belongs on a
// link of its own or into IPsec. The package says nothing of what it read in
// errors but positions and lengths.
//
// The package is pure: no goroutines, clocks or files.
package radius
