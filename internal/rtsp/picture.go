package rtsp

import (
	"bytes"
	"errors"
	"image/jpeg"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h265"
)

// Picture is the proof that video came.
type Picture struct {
	Codec         string // "H264", "H265", "JPEG"
	Width, Height int
	Slices        int // of the picture
	Bytes         int // of its slices
}

// errNoPicture says that an access unit proves nothing yet.
var errNoPicture = errors.New("no whole random-access picture")

// maxSide bounds what a picture may claim; the largest level of H.264 allows
// less.
const maxSide = 16384

// h264Picture looks for an IDR picture in an access unit. Parameter sets come
// from the session description or from the stream; they are remembered.
type h264Picture struct{ sps, pps []byte }

func (p *h264Picture) look(au [][]byte) (Picture, error) {
	var slices [][]byte
	for _, n := range au {
		if len(n) < 2 || n[0]&0x80 != 0 {
			continue
		}
		switch h264.NALUType(n[0] & 0x1f) {
		case h264.NALUTypeSPS:
			p.sps = n
		case h264.NALUTypePPS:
			p.pps = n
		case h264.NALUTypeIDR:
			slices = append(slices, n)
		}
	}
	if len(slices) == 0 || p.sps == nil || p.pps == nil {
		return Picture{}, errNoPicture
	}
	var sps h264.SPS
	if err := sps.Unmarshal(p.sps); err != nil {
		return Picture{}, errNoPicture
	}
	out := Picture{Codec: "H264", Width: sps.Width(), Height: sps.Height(), Slices: len(slices)}
	if out.Width < 16 || out.Height < 16 || out.Width > maxSide || out.Height > maxSide {
		return Picture{}, errNoPicture
	}
	ppsID, spsID, ok := ppsIDs(p.pps)
	if !ok || spsID != sps.ID {
		return Picture{}, errNoPicture
	}
	mbs := uint32((out.Width + 15) / 16 * ((out.Height + 15) / 16))
	last := int64(-1)
	for i, n := range slices {
		s, ok := idrSlice(n, sps.Log2MaxFrameNumMinus4+4, sps.SeparateColourPlaneFlag)
		switch {
		case !ok, s.pps != ppsID, s.firstMB >= mbs && sps.FrameMbsOnlyFlag, i == 0 && s.firstMB != 0, int64(s.firstMB) <= last:
			return Picture{}, errNoPicture
		}
		last = int64(s.firstMB)
		out.Bytes += len(n)
	}
	return out, nil
}

// bits reads an RBSP (H.264 section 7.2).
type bits struct {
	b   []byte
	at  int
	bad bool
}

func (r *bits) u(n int) uint32 {
	var v uint32
	for range n {
		if r.at>>3 >= len(r.b) {
			r.bad = true
			return 0
		}
		v = v<<1 | uint32(r.b[r.at>>3]>>(7-r.at&7)&1)
		r.at++
	}
	return v
}

// ue reads an Exp-Golomb code (H.264 section 9.1).
func (r *bits) ue() uint32 {
	zeros := 0
	for r.u(1) == 0 {
		if zeros++; zeros > 31 || r.bad {
			r.bad = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.u(zeros)
}

// ppsIDs returns the ids in a picture parameter set (section 7.3.2.2).
func ppsIDs(n []byte) (pps, sps uint32, ok bool) {
	r := bits{b: h264.EmulationPreventionRemove(n)[1:]}
	pps, sps = r.ue(), r.ue()
	return pps, sps, !r.bad && pps < 256 && sps < 32
}

type slice struct{ firstMB, pps uint32 }

// idrSlice reads the head of an IDR slice (section 7.3.3) as far as it can be
// checked: intra only, frame number zero, and data behind it.
func idrSlice(n []byte, frameNumBits uint32, colourPlane bool) (slice, bool) {
	const head = 64 // bytes are plenty for the fields read
	r := bits{b: h264.EmulationPreventionRemove(n[:min(len(n), head)])[1:]}
	s := slice{firstMB: r.ue()}
	kind := r.ue() % 5
	s.pps = r.ue()
	if colourPlane {
		r.u(2)
	}
	if frameNumBits > 16 || r.u(int(frameNumBits)) != 0 {
		return s, false
	}
	return s, !r.bad && (kind == 2 || kind == 4) && r.at>>3 < len(n)-1
}

// jpegPicture looks at one JPEG picture (RFC 2435): its header must be one.
func jpegPicture(b []byte) (Picture, error) {
	cfg, err := jpeg.DecodeConfig(bytes.NewReader(b))
	if err != nil || cfg.Width < 16 || cfg.Height < 16 || cfg.Width > maxSide || cfg.Height > maxSide || !bytes.HasSuffix(bytes.TrimRight(b, "\x00"), []byte{0xff, 0xd9}) {
		return Picture{}, errNoPicture
	}
	return Picture{Codec: "JPEG", Width: cfg.Width, Height: cfg.Height, Slices: 1, Bytes: len(b)}, nil
}

// h265Picture is h264Picture for H.265: a random-access picture (IRAP) whose
// first slice says that it is the first.
type h265Picture struct{ vps, sps, pps []byte }

func (p *h265Picture) look(au [][]byte) (Picture, error) {
	out := Picture{Codec: "H265"}
	first := false
	for _, n := range au {
		if len(n) < 3 || n[0]&0x80 != 0 {
			continue
		}
		switch t := h265.NALUType(n[0] >> 1 & 0x3f); {
		case t == h265.NALUType_VPS_NUT:
			p.vps = n
		case t == h265.NALUType_SPS_NUT:
			p.sps = n
		case t == h265.NALUType_PPS_NUT:
			p.pps = n
		case t >= h265.NALUType_BLA_W_LP && t <= h265.NALUType_CRA_NUT:
			out.Slices++
			out.Bytes += len(n)
			first = first || n[2]&0x80 != 0 // first_slice_segment_in_pic_flag
		}
	}
	var sps h265.SPS
	if !first || p.vps == nil || p.sps == nil || p.pps == nil || sps.Unmarshal(p.sps) != nil {
		return Picture{}, errNoPicture
	}
	out.Width, out.Height = sps.Width(), sps.Height()
	if out.Width < 16 || out.Height < 16 || out.Width > maxSide || out.Height > maxSide {
		return Picture{}, errNoPicture
	}
	return out, nil
}
