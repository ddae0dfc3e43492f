package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/ringwall/ringwall"
)

// maxEvent bounds one event of a stream.
const maxEvent = 1 << 20

// Events yields the events of one's organisation from now on, until ctx ends,
// the caller stops, or the stream ends with an error. The platform ends the
// stream of a reader that is too slow: a caller that needs every event reads
// the timeline after it has connected again.
func (c *Client) Events(ctx context.Context) iter.Seq2[ringwall.Event, error] {
	return func(yield func(ringwall.Event, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		req, err := c.request(ctx, call{method: http.MethodGet, path: path("events")})
		if err != nil {
			yield(ringwall.Event{}, err)
			return
		}
		req.Header.Set("Accept", "text/event-stream, application/problem+json")
		// The same client without its timeout: a stream has no end.
		h := *c.http
		h.Timeout = 0
		resp, err := h.Do(req)
		if err != nil {
			yield(ringwall.Event{}, c.unreachable(ctx, err))
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			yield(ringwall.Event{}, problem(resp))
			return
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
			yield(ringwall.Event{}, ringwall.Errorf(ringwall.Unavailable, "the answer is no event stream"))
			return
		}
		for e, err := range readEvents(resp.Body) {
			if ctx.Err() != nil {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// readEvents reads server-sent events (WHATWG HTML section 9.2.6) whose data is
// one ringwall.Event each. Comments, other fields and events without data are
// passed over, and what stands at the end without a blank line is dropped, as
// the standard says. The error after the last event is Unavailable: a stream
// only ends when something went wrong.
func readEvents(r io.Reader) iter.Seq2[ringwall.Event, error] {
	return func(yield func(ringwall.Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(make([]byte, 0, 4096), maxEvent)
		lines.Split(splitLines)
		var data []byte
		for lines.Scan() {
			line := lines.Bytes()
			if len(line) == 0 {
				if len(data) == 0 {
					continue
				}
				var e ringwall.Event
				if err := json.Unmarshal(data, &e); err != nil {
					yield(ringwall.Event{}, ringwall.Errorf(ringwall.Invalid, "reading an event of the stream: %w", err))
					return
				}
				if !yield(e, nil) {
					return
				}
				data = nil
				continue
			}
			field, value, _ := bytes.Cut(line, []byte(":"))
			if string(field) != "data" {
				continue
			}
			value = bytes.TrimPrefix(value, []byte(" "))
			if len(data)+len(value) >= maxEvent {
				yield(ringwall.Event{}, ringwall.Errorf(ringwall.Invalid, "an event of the stream is larger than %d bytes", maxEvent))
				return
			}
			if data != nil {
				data = append(data, '\n')
			}
			data = append(data, value...)
		}
		err := lines.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			yield(ringwall.Event{}, ringwall.Errorf(ringwall.Invalid, "a line of the stream is larger than %d bytes", maxEvent))
			return
		}
		if err == nil {
			err = io.EOF
		}
		yield(ringwall.Event{}, ringwall.Errorf(ringwall.Unavailable, "the event stream has ended: %w", err))
	}
}

// splitLines is a bufio.SplitFunc for lines that end in CR, LF or CR LF. A last
// line without an end is dropped.
func splitLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	i := bytes.IndexAny(data, "\r\n")
	if i < 0 {
		if atEOF {
			return len(data), nil, nil
		}
		return 0, nil, nil
	}
	if data[i] == '\n' {
		return i + 1, data[:i], nil
	}
	if i+1 < len(data) {
		if data[i+1] == '\n' {
			return i + 2, data[:i], nil
		}
		return i + 1, data[:i], nil
	}
	if atEOF {
		return i + 1, data[:i], nil
	}
	// A CR at the end of what has come may be half of a CR LF. Taking the line
	// now and skipping the LF later would need state, so wait: our platform
	// sends LF only.
	return 0, nil, nil
}
