// Package onvif speaks ONVIF to cameras: SOAP 1.2 over HTTP for the device and
// media services, and WS-Discovery over UDP.
//
// It is a client for assessment first: it says precisely how a camera answered
// (served, refused for want of a right, not implemented, not ONVIF at all),
// because a probe must never mistake one for another. Client has the dozen
// operations that Ringwall needs; the same message types serve package device,
// the reference device of the range.
//
// A peer is a stranger. An answer is at most MaxBody bytes, MaxDepth deep and
// MaxTokens long; document type declarations, processing instructions after
// the prologue and undeclared entities are refused before anything is decoded
// (no entity is ever expanded, so no bomb can grow). Errors never carry a
// password.
//
// A Client is used by one goroutine at a time and starts none. Standards:
// ONVIF Core Specification 23.06 sections 5.9 (security) and 7 (discovery),
// OASIS WS-Security UsernameToken Profile 1.1 section 3.1, OASIS WS-Discovery
// 2005/04, SOAP 1.2 part 1 section 5.4 (faults), RFC 7616 (HTTP digest).
package onvif

// Namespaces of what is spoken.
const (
	NSSoap      = "http://www.w3.org/2003/05/soap-envelope"
	NSDevice    = "http://www.onvif.org/ver10/device/wsdl"
	NSMedia     = "http://www.onvif.org/ver10/media/wsdl"
	NSMedia2    = "http://www.onvif.org/ver20/media/wsdl"
	NSSchema    = "http://www.onvif.org/ver10/schema"
	NSError     = "http://www.onvif.org/ver10/error"
	NSWSSE      = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	NSWSU       = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
	NSAddress   = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
	NSDiscovery = "http://schemas.xmlsoap.org/ws/2005/04/discovery"
	NSNetwork   = "http://www.onvif.org/ver10/network/wsdl"

	typeDigest = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordDigest"
	typeText   = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"
	typeNonce  = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-soap-message-security-1.0#Base64Binary"
)

// Bounds of what is read from a peer. A full GetProfiles answer of a real
// camera is about 40 KiB, 9 deep and 1,500 tokens long.
const (
	MaxBody   = 512 << 10
	MaxDepth  = 48
	MaxTokens = 40_000
)
