package rtsp

import (
	"bytes"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
)

// Names of the formats that sign video inside the stream.
const (
	SignedONVIF = "ONVIF Media Signing"
	SignedAxis  = "Axis Signed Video"
)

// seiUnregistered is the payload type of user data that an application names
// by a UUID (H.264 and H.265 annex D, user_data_unregistered).
const seiUnregistered = 5

// Types of units that hold SEI messages (H.264 table 7-1, H.265 table 7-1).
const (
	h264SEI       = 6
	h265PrefixSEI = 39
	h265SuffixSEI = 40
)

func signedH264(au [][]byte) string {
	for _, n := range au {
		if len(n) > 1 && n[0]&0x1f == h264SEI {
			if s := signature(n[1:]); s != "" {
				return s
			}
		}
	}
	return ""
}

func signedH265(au [][]byte) string {
	for _, n := range au {
		if len(n) > 2 {
			if t := n[0] >> 1 & 0x3f; t == h265PrefixSEI || t == h265SuffixSEI {
				if s := signature(n[2:]); s != "" {
					return s
				}
			}
		}
	}
	return ""
}

// signature looks through the messages of one SEI unit for the UUID of a
// signing format. Only the heads are read: whether the signature is right is
// another question than whether there is one. Some cameras leave emulation
// prevention out; neither UUID holds bytes that it would change.
func signature(payload []byte) string {
	b := h264.EmulationPreventionRemove(payload)
	for len(b) > 2 {
		kind, n, ok := ffCoded(b)
		if !ok {
			return ""
		}
		size, m, ok := ffCoded(b[n:])
		if !ok {
			return ""
		}
		b = b[n+m:]
		if kind == seiUnregistered && size >= 16 && len(b) >= 16 {
			if s := signer([16]byte(b[:16])); s != "" {
				return s
			}
		}
		if size > len(b) {
			return ""
		}
		b = b[size:]
	}
	return ""
}

// ffCoded reads a number written as a run of 0xff and one byte (H.264 section
// 7.3.2.3.1).
func ffCoded(b []byte) (value, length int, ok bool) {
	n := 0
	for n < len(b) && b[n] == 0xff {
		n++
	}
	if n == len(b) {
		return 0, 0, false
	}
	return n*255 + int(b[n]), n + 1, true
}

// signer names the format with this UUID.
func signer(id [16]byte) string {
	switch {
	case id == [16]byte{0x00, 0x5b, 0xc9, 0x3f, 0x2d, 0x71, 0x5e, 0x95, 0xad, 0xa4, 0x79, 0x6f, 0x90, 0x87, 0x7a, 0x6f}:
		return SignedONVIF // ONVIF Media Signing Specification
	case bytes.Equal(id[:], []byte("Signed Video...0")):
		return SignedAxis
	}
	return ""
}
