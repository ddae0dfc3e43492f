package rtsp

import (
	"fmt"
	"strings"

	"github.com/ringwall/ringwall"
	rtspclient "github.com/ringwall/ringwall/internal/rtsp"
)

// confidential answers whether video is confidential on the wire (DA-03), over
// all services: one that is encrypted betters one that is not, and does not
// make it good.
func confidential(visits []*visit) []ringwall.Finding {
	var inTLS, inSRTP []string
	for _, v := range visits {
		switch {
		case v.tls && v.answered:
			inTLS = append(inTLS, v.name()+" is offered")
		case v.offer.Encrypted():
			inSRTP = append(inSRTP, v.name()+" describes its video as SRTP "+keys(v.offer))
		}
	}
	var out []ringwall.Finding
	for _, v := range visits {
		if v.tls || !v.asked {
			continue
		}
		f := ringwall.Finding{
			Indicator: "DA-03", Outcome: ringwall.Fail, Confidence: ringwall.Observed, Title: v.name() + " serves video in the clear",
			Evidence: []string{"RTSP without TLS"},
		}
		switch {
		case v.offer.Encrypted() && v.view == nil:
			// The packets are encrypted, but whoever reads the description in the
			// clear may read the keys in it.
			f.Outcome, f.Title = ringwall.Partial, v.name()+" serves encrypted video, but gives its keys in the clear"
			if k := keys(v.offer); strings.Contains(k, "dtls") {
				f.Outcome, f.Title = ringwall.Pass, v.name()+" serves encrypted video"
			}
			f.Evidence = append(f.Evidence, inSRTP...)
		case v.view != nil:
			f.Confidence = ringwall.Confirmed
			f.Evidence = append(f.Evidence, "in the clear "+proof(v.view.Picture))
		}
		if f.Outcome == ringwall.Fail && len(inTLS)+len(inSRTP) > 0 {
			f.Outcome, f.Title = ringwall.Partial, v.name()+" serves video in the clear, beside an encrypted service"
			f.Evidence = append(append(f.Evidence, inTLS...), inSRTP...)
		}
		out = append(out, f)
	}
	if len(out) == 0 && len(inTLS) > 0 {
		out = append(out, ringwall.Finding{
			Indicator: "DA-03", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "video is served inside TLS only", Evidence: inTLS,
		})
	}
	return out
}

func keys(o rtspclient.Offer) string {
	for _, t := range o.Tracks {
		if t.Encrypted() && t.Keys != "" {
			return "with keys by " + t.Keys
		}
	}
	return "without saying how keys are agreed"
}

// signed answers whether the camera signs its video (DA-04), of the streams
// that were seen long enough.
func signed(visits []*visit) []ringwall.Finding {
	for _, v := range visits {
		switch {
		case v.view == nil:
		case v.view.Signed != "":
			return []ringwall.Finding{{
				Indicator: "DA-04", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: v.name() + " signs its video",
				Evidence: []string{"the stream carries signatures in the form of " + v.view.Signed + "; whether they are right was not checked here"},
				Facts:    map[string]string{"format": v.view.Signed},
			}}
		}
	}
	for _, v := range visits {
		if v.view != nil && v.view.Keyframes > 1 && v.view.Codec != "JPEG" {
			return []ringwall.Finding{{
				Indicator: "DA-04", Outcome: ringwall.Fail, Confidence: ringwall.Observed, Title: v.name() + " does not sign its video",
				Evidence: []string{fmt.Sprintf("%d groups of pictures came without a signature of ONVIF's or Axis's form", v.view.Keyframes-1)},
			}}
		}
	}
	return nil
}
