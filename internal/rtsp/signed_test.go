package rtsp

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"image"
	"image/jpeg"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/rtsp/rtsptest"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

// sei makes one H.264 SEI unit of a message.
func sei(kind byte, payload []byte) []byte {
	out := []byte{h264SEI, kind}
	n := len(payload)
	for ; n >= 255; n -= 255 {
		out = append(out, 0xff)
	}
	return append(append(append(out, byte(n)), payload...), 0x80)
}

func onvifSEI() []byte {
	id := []byte{0x00, 0x5b, 0xc9, 0x3f, 0x2d, 0x71, 0x5e, 0x95, 0xad, 0xa4, 0x79, 0x6f, 0x90, 0x87, 0x7a, 0x6f}
	return sei(seiUnregistered, append(id, bytes.Repeat([]byte{7}, 600)...))
}

func TestPlay_seesWhoSigns(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		sei        []byte
	}{
		{"ONVIF", SignedONVIF, onvifSEI()},
		{"Axis", SignedAxis, sei(seiUnregistered, []byte("Signed Video...0 and more"))},
		{"an encoder's own text", "", sei(seiUnregistered, []byte("x264 - core 164 and so on, which signs nothing"))},
		{"the same bytes in another message", "", sei(4, onvifSEI()[4:])},
		{"none", "", nil},
	} {
		s := rtsptest.Start(t, rtsptest.Config{SEI: tt.sei})
		v, err := Play(t.Context(), PlayConfig{Dial: dial, Address: s.Address, Path: "live", Linger: 10 * time.Second})
		if err != nil || v.Signed != tt.want || v.Width != rtsptest.Width {
			t.Errorf("%s: %+v, %v", tt.name, v, err)
		}
		if tt.want == "" && v.Keyframes <= enoughKeyframes {
			t.Errorf("%s: only %d groups of pictures were watched", tt.name, v.Keyframes)
		}
	}
}

func TestPlay_insideTLS(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	s := rtsptest.Start(t, rtsptest.Config{User: "admin", Password: "pw", TLS: &tls.Config{Certificates: cert.TLS.Certificates}})
	v, err := Play(t.Context(), PlayConfig{Dial: dial, Address: s.Address, Path: "live", TLS: true, Credential: &Credential{"admin", "pw"}})
	if err != nil || v.Width != rtsptest.Width {
		t.Fatalf("%+v, %v", v, err)
	}
	c, err := ConnectTLS(t.Context(), dial, s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Describe(t.Context(), "live", &Credential{"admin", "pw"})
	if err != nil || !r.Described() {
		t.Fatalf("%+v, %v", r, err)
	}
	if o := ReadOffer(r.Body); len(o.Tracks) != 1 || o.Tracks[0].Kind != "video" || o.Tracks[0].Codecs[0] != "H264" {
		t.Errorf("offer is %+v", o)
	}
}

func TestSignature_realClips(t *testing.T) {
	for name, want := range map[string]string{"onvif_test_signed_h264.mp4": SignedONVIF, "onvif_test_signed_h265.mp4": SignedONVIF, "onvif_test_h264.mp4": "", "onvif_test_h265.mp4": ""} {
		b, err := os.ReadFile(sharedtest.Path(t, "video/"+name))
		if err != nil {
			t.Fatal(err)
		}
		h265 := bytes.Contains(b, []byte("hvc1")) || bytes.Contains(b, []byte("hev1"))
		found, units := "", 0
		for _, n := range mdat(b) {
			units++
			s := ""
			if h265 {
				s = signedH265([][]byte{n})
			} else {
				s = signedH264([][]byte{n})
			}
			if s != "" {
				found = s
			}
		}
		if found != want || units < 50 {
			t.Errorf("%s: %q among %d units, want %q", name, found, units, want)
		}
	}
}

// mdat returns the length-prefixed units of an MP4 file's media data.
func mdat(b []byte) [][]byte {
	var out [][]byte
	for len(b) >= 8 {
		size := int(binary.BigEndian.Uint32(b))
		if size < 8 || size > len(b) {
			return out
		}
		if string(b[4:8]) == "mdat" {
			for m := b[8:size]; len(m) > 4; {
				n := int(binary.BigEndian.Uint32(m))
				if n <= 0 || n > len(m)-4 {
					break
				}
				out = append(out, m[4:4+n])
				m = m[4+n:]
			}
		}
		b = b[size:]
	}
	return out
}

func TestReadOffer(t *testing.T) {
	for _, tt := range []struct {
		name, sdp string
		encrypted bool
		keys      string
	}{
		{"plain", "v=0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", false, ""},
		{"keys in the description", "v=0\r\nm=video 0 RTP/SAVP 96\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n", true, "sdes"},
		{"mikey for all", "v=0\na=key-mgmt:mikey AQ==\nm=audio 0 RTP/SAVP 0\nm=video 0 RTP/SAVPF 97\n", true, "mikey"},
		{"dtls", "m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=fingerprint:sha-256 00\r\n", true, "dtls"},
		{"one of two", "m=video 0 RTP/SAVP 96\r\nm=video 0 RTP/AVP 96\r\n", false, ""},
		{"no video", "m=audio 0 RTP/SAVP 96\r\n", false, ""},
	} {
		o := ReadOffer([]byte(tt.sdp))
		if o.Encrypted() != tt.encrypted || tt.keys != "" && o.Tracks[len(o.Tracks)-1].Keys != tt.keys {
			t.Errorf("%s: %+v", tt.name, o)
		}
	}
}

func TestJPEGPicture(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 320, 240)), nil); err != nil {
		t.Fatal(err)
	}
	if p, err := jpegPicture(b.Bytes()); err != nil || p.Width != 320 || p.Codec != "JPEG" {
		t.Errorf("%+v, %v", p, err)
	}
	for name, bad := range map[string][]byte{"cut": b.Bytes()[:b.Len()-10], "text": []byte("<html>"), "nothing": nil} {
		if _, err := jpegPicture(bad); err == nil {
			t.Errorf("%s: taken for a picture", name)
		}
	}
}

func FuzzSignature(f *testing.F) {
	f.Add(onvifSEI()[1:])
	f.Add([]byte{5, 0xff, 0xff})
	f.Add([]byte{0xff, 0xff, 1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := signature(b); s != "" && len(b) < 16 {
			t.Fatalf("%d bytes are %s", len(b), s)
		}
	})
}

func FuzzReadOffer(f *testing.F) {
	f.Add([]byte("v=0\r\nm=video 0 RTP/SAVP 96\r\na=rtpmap:96 H264/90000\r\na=crypto:1 x\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		o := ReadOffer(b)
		if len(o.Tracks) > maxTracks {
			t.Fatalf("%d tracks", len(o.Tracks))
		}
		o.Encrypted()
	})
}
