// Package rtsp asks cameras for video, and proves that video came.
//
// Describe is written by hand, because an assessment must see what a player
// hides: the challenges of a 401, the exact status, the server's name. Watch
// plays the stream with gortsplib over TCP and returns only when a whole
// random-access picture has arrived whose parameter sets and slice headers
// agree: a server that says 200 to everything has no picture to show. Play
// watches on and tells whether the stream is signed; the signature itself is
// not checked here. Guesser presents many credentials in a pipeline, where the
// owner has allowed it; how many may be presented is its caller's business.
//
// A peer is a stranger. A line is at most MaxLine bytes, a header MaxHeaders
// lines, a body MaxBody bytes, and between answers at most MaxInterleaved
// binary frames are skipped. Every call ends with its context. Passwords are
// never part of an error.
//
// Nothing here owns a goroutine beyond a call. Standards: RFC 2326 sections 4
// to 10 (RTSP 1.0), RFC 4566 (SDP), RFC 6184 (H.264 over RTP), RFC 7798
// (H.265), RFC 2435 (JPEG), ITU-T H.264 section 7.3 and annex D, RFC 4568,
// RFC 4567 and RFC 5763 (keys of SRTP), the ONVIF Media Signing Specification.
package rtsp

// Bounds of what is read from a peer.
const (
	MaxLine        = 4 << 10
	MaxHeaders     = 64
	MaxBody        = 64 << 10
	MaxInterleaved = 256
)
