package peek

import (
	"bytes"
	"encoding/binary"
)

// interleaved begins a frame of media on an RTSP connection (RFC 2326 section
// 10.12).
const interleaved = '$'

// Frame returns how many bytes the interleaved frame that begins b has, its
// header included; 0 when b does not begin with one.
func Frame(b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return 0, ErrShort
	case b[0] != interleaved:
		return 0, nil
	case len(b) < 4:
		return 0, ErrShort
	}
	return 4 + int(binary.BigEndian.Uint16(b[2:])), nil
}

// ParseRTSP reads the head of the request or answer that begins b.
func ParseRTSP(b []byte) (Request, error) {
	n, err := headEnd(b)
	if err != nil {
		return Request{}, err
	}
	i := bytes.IndexByte(b, '\n')
	if i < 1 || b[i-1] != '\r' {
		return Request{}, bad("a line ends without a carriage return")
	}
	r := Request{Head: n}
	line := b[:i-1]
	var target []byte
	if bytes.HasPrefix(line, []byte("RTSP/1.0 ")) || bytes.HasPrefix(line, []byte("RTSP/2.0 ")) {
		r.Reply = true
	} else {
		method, t, version, err := requestLine(line)
		if err != nil {
			return Request{}, err
		}
		if v := string(version); v != "RTSP/1.0" && v != "RTSP/2.0" {
			return Request{}, bad("version %q", shorten(version))
		}
		r.Method, target = methodName(method), t
	}
	lengths, seqs := 0, 0
	err = fields(b[i+1:n], func(name, v []byte) error {
		switch {
		case len(name) == 14 && is(name, "content-length"):
			if lengths++; lengths > 1 {
				return bad("two content lengths")
			}
			var err error
			r.Length, err = length(v)
			return err
		case len(name) == 17 && is(name, "transfer-encoding"):
			return bad("a transfer coding in RTSP")
		case len(name) == 4 && is(name, "cseq"):
			if seqs++; seqs > 1 {
				return bad("two sequence numbers")
			}
			if _, err := length(v); err != nil {
				return bad("sequence number %q", shorten(v))
			}
			r.Seq = string(v)
		}
		return nil
	})
	if err != nil || r.Reply {
		return r, err
	}
	if string(target) == "*" {
		r.Path = "*"
		return r, nil
	}
	rest, ok := cutScheme(target, "rtsp://")
	if !ok {
		if rest, ok = cutScheme(target, "rtspu://"); !ok {
			return Request{}, bad("target %q", shorten(target))
		}
	}
	auth := rest
	if j := bytes.IndexAny(rest, "/?#"); j >= 0 {
		auth, target = rest[:j], rest[j:]
	} else {
		target = nil
	}
	if j := bytes.LastIndexByte(auth, '@'); j >= 0 {
		auth = auth[j+1:] // who asks; never told to anybody
	}
	name, raw, err := authority(auth)
	if err != nil {
		return Request{}, err
	}
	if r.Host = name; name == "" {
		r.Address = string(raw)
	}
	r.Path = pathOf(target)
	return r, nil
}
