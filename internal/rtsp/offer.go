package rtsp

import (
	"bytes"
	"strings"
)

// Offer is what a session description says of how media travel.
type Offer struct{ Tracks []Track }

// Track is one medium of a description.
type Track struct {
	Kind    string   // "video", "audio", "application"
	Profile string   // such as "RTP/AVP" or "RTP/SAVP"
	Codecs  []string // upper case, such as "H264"
	// Keys says how the keys of SRTP come to the peer: "sdes" (in the description
	// itself, RFC 4568), "mikey" (RFC 4567), "dtls" (RFC 5763), "" for none.
	Keys string
}

// Encrypted reports whether the packets of the track are (SRTP, RFC 3711).
func (t Track) Encrypted() bool { return strings.HasPrefix(t.Profile, "RTP/SAVP") }

// ReadOffer reads a description (RFC 4566 section 5). Lines that it does not
// know are skipped; a body that is none gives no tracks.
func ReadOffer(body []byte) Offer {
	var o Offer
	var cur *Track
	session := "" // keys given for all tracks
	for line := range bytes.Lines(body[:min(len(body), MaxBody)]) {
		key, value, ok := strings.Cut(strings.TrimRight(string(line[:min(len(line), MaxLine)]), "\r\n"), "=")
		if !ok {
			continue
		}
		switch key {
		case "m":
			f := strings.Fields(value)
			if len(f) < 3 || len(o.Tracks) >= maxTracks {
				cur = nil
				continue
			}
			o.Tracks = append(o.Tracks, Track{Kind: shorten(f[0], 20), Profile: strings.TrimPrefix(shorten(strings.ToUpper(f[2]), 30), "UDP/TLS/"), Keys: session})
			cur = &o.Tracks[len(o.Tracks)-1]
			if strings.HasPrefix(strings.ToUpper(f[2]), "UDP/TLS/") {
				cur.Keys = "dtls"
			}
		case "a":
			keys := ""
			switch {
			case strings.HasPrefix(value, "crypto:"):
				keys = "sdes"
			case strings.HasPrefix(value, "key-mgmt:mikey"):
				keys = "mikey"
			case strings.HasPrefix(value, "fingerprint:"):
				keys = "dtls"
			}
			switch {
			case keys != "" && cur == nil:
				session = keys
			case keys != "":
				cur.Keys = keys
			}
			if name, ok := strings.CutPrefix(value, "rtpmap:"); ok && cur != nil && len(cur.Codecs) < maxTracks {
				if _, codec, ok := strings.Cut(name, " "); ok {
					codec, _, _ = strings.Cut(strings.TrimSpace(codec), "/")
					cur.Codecs = append(cur.Codecs, strings.ToUpper(shorten(codec, 20)))
				}
			}
		}
	}
	return o
}

// Encrypted reports whether there is video and all of it is in SRTP.
func (o Offer) Encrypted() bool {
	video := false
	for _, t := range o.Tracks {
		if t.Kind == "video" {
			if !t.Encrypted() {
				return false
			}
			video = true
		}
	}
	return video
}
