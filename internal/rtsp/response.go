package rtsp

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall"
)

// Response is one RTSP answer.
type Response struct {
	Status int
	Reason string
	Header map[string][]string // keys in lower case
	Body   []byte
}

// Get returns the first value of a header.
func (r Response) Get(name string) string {
	if v := r.Header[strings.ToLower(name)]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// ReadResponse reads one answer within the bounds. Interleaved binary frames
// before it (RFC 2326 section 10.12) are skipped.
func ReadResponse(br *bufio.Reader) (Response, error) {
	if err := skipInterleaved(br); err != nil {
		return Response{}, err
	}
	line, err := readLine(br)
	if err != nil {
		return Response{}, err
	}
	r := Response{Header: map[string][]string{}}
	proto, rest, _ := strings.Cut(line, " ")
	status, reason, _ := strings.Cut(rest, " ")
	if !strings.HasPrefix(proto, "RTSP/") {
		return Response{}, ringwall.Errorf(ringwall.Invalid, "answer begins with %q, not RTSP", shorten(line, 40))
	}
	if r.Status, err = strconv.Atoi(status); err != nil || r.Status < 100 || r.Status > 999 {
		return Response{}, ringwall.Errorf(ringwall.Invalid, "RTSP status %q is not a number of three digits", shorten(status, 20))
	}
	r.Reason = shorten(reason, 80)
	for n := 0; ; n++ {
		if line, err = readLine(br); err != nil {
			return Response{}, err
		}
		if line == "" {
			break
		}
		if n >= MaxHeaders {
			return Response{}, ringwall.Errorf(ringwall.Invalid, "RTSP answer has more than %d headers", MaxHeaders)
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return Response{}, ringwall.Errorf(ringwall.Invalid, "RTSP header %q has no colon", shorten(line, 40))
		}
		name = strings.ToLower(strings.TrimSpace(name))
		r.Header[name] = append(r.Header[name], strings.TrimSpace(value))
	}
	length := r.Get("content-length")
	if length == "" {
		return r, nil
	}
	n, err := strconv.Atoi(length)
	if err != nil || n < 0 || n > MaxBody {
		return Response{}, ringwall.Errorf(ringwall.Invalid, "RTSP content length %q is not 0 to %d", shorten(length, 20), MaxBody)
	}
	r.Body = make([]byte, n)
	if _, err := io.ReadFull(br, r.Body); err != nil {
		return Response{}, fmt.Errorf("reading RTSP body: %w", err)
	}
	return r, nil
}

func skipInterleaved(br *bufio.Reader) error {
	for range MaxInterleaved {
		b, err := br.Peek(1)
		if err != nil {
			return fmt.Errorf("reading RTSP answer: %w", err)
		}
		if b[0] != '$' {
			return nil
		}
		var head [4]byte
		if _, err := io.ReadFull(br, head[:]); err != nil {
			return fmt.Errorf("reading RTSP answer: %w", err)
		}
		if _, err := br.Discard(int(binary.BigEndian.Uint16(head[2:]))); err != nil {
			return fmt.Errorf("reading RTSP answer: %w", err)
		}
	}
	return ringwall.Errorf(ringwall.Invalid, "more than %d binary frames before an RTSP answer", MaxInterleaved)
}

func readLine(br *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		if len(line)+len(part) > MaxLine {
			return "", ringwall.Errorf(ringwall.Invalid, "RTSP line is longer than %d bytes", MaxLine)
		}
		line = append(line, part...)
		if err == nil {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return "", fmt.Errorf("reading RTSP answer: %w", err)
		}
	}
}

func shorten(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}
