package actor

import (
	_ "embed"
	"time"
)

// The test pattern is 4 s of H.264 baseline, 640x360 at 10 pictures a second,
// a key picture every 2 s, one slice a picture, with access unit delimiters.
// It was made with ffmpeg 5.1.9 from its own test source, then rid of x264's
// note about itself:
//
//	ffmpeg -f lavfi -i testsrc2=size=640x360:rate=10:duration=4 -c:v libx264 -profile:v baseline
//	  -preset veryslow -tune zerolatency -crf 34 -g 20 -keyint_min 20 -sc_threshold 0 -bf 0
//	  -x264-params slices=1:sliced-threads=0:aud=1 -pix_fmt yuv420p -f h264 raw.h264
//	ffmpeg -i raw.h264 -c copy -bsf:v filter_units=remove_types=6 pattern.h264
//
//go:embed pattern/pattern.h264
var patternFile []byte

const patternRate = 100 * time.Millisecond // between pictures

// Types of NAL units (H.264 table 7-1).
const (
	nalIDR = 5
	nalSPS = 7
	nalPPS = 8
	nalAUD = 9
)

// accessUnits splits an Annex B stream into pictures, each a list of NAL
// units without start codes and delimiters (H.264 annex B, section 7.4.1.2.3).
func accessUnits(stream []byte) (units [][][]byte) {
	for _, nal := range nalUnits(stream) {
		if nal[0]&31 == nalAUD {
			units = append(units, nil)
			continue
		}
		if len(units) == 0 {
			units = append(units, nil)
		}
		last := len(units) - 1
		units[last] = append(units[last], nal)
	}
	return units
}

// nalUnits splits an Annex B stream at its start codes.
func nalUnits(b []byte) (nals [][]byte) {
	start := -1
	for i := 0; i+2 < len(b); {
		if b[i] != 0 || b[i+1] != 0 || b[i+2] != 1 {
			i++
			continue
		}
		if start >= 0 {
			nals = appendNAL(nals, b[start:i])
		}
		i += 3
		start = i
	}
	if start >= 0 {
		nals = appendNAL(nals, b[start:])
	}
	return nals
}

// appendNAL adds a unit without the zero bytes that belong to the next start code.
func appendNAL(nals [][]byte, nal []byte) [][]byte {
	for len(nal) > 0 && nal[len(nal)-1] == 0 {
		nal = nal[:len(nal)-1]
	}
	if len(nal) == 0 {
		return nals
	}
	return append(nals, nal)
}

// parameterSets returns the first sequence and picture parameter sets.
func parameterSets(units [][][]byte) (sps, pps []byte) {
	for _, u := range units {
		for _, nal := range u {
			switch {
			case nal[0]&31 == nalSPS && sps == nil:
				sps = nal
			case nal[0]&31 == nalPPS && pps == nil:
				pps = nal
			}
		}
	}
	return sps, pps
}

// Pattern returns the test pattern's pictures, each a list of NAL units, with
// its parameter sets. Nothing of it is written to.
func Pattern() (units [][][]byte, sps, pps []byte) {
	units = accessUnits(patternFile)
	sps, pps = parameterSets(units)
	return units, sps, pps
}
