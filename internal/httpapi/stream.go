package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
)

// Limits of event streams.
const (
	maxStreams   = 256              // open at once; each costs a connection and a subscription
	heartbeat    = 20 * time.Second // keeps proxies from closing, and asks whether the credential still holds
	writeTimeout = 10 * time.Second // for one event; a reader that is slower is cut off
)

// streams serves GET /v1/events: server-sent events, one ringwall.Event each,
// with its id, from now on.
type streams struct {
	svc     Service
	cookies Cookies
	meters  *meters
	beat    time.Duration
	open    atomic.Int64
}

func (s *streams) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	a, err := Actor(r, s.svc, s.cookies)
	if err != nil {
		writeProblem(w, problemOf(ctx, err))
		return
	}
	if s.open.Add(1) > maxStreams {
		s.open.Add(-1)
		writeProblem(w, problemOf(ctx, &ringwall.Error{Code: ringwall.Unavailable, Text: "too many event streams are open", Hint: "close one"}))
		return
	}
	s.meters.streams.Inc()
	defer func() { s.open.Add(-1); s.meters.streams.Dec() }()
	events, err := s.svc.Events(ctx, a)
	if err != nil {
		writeProblem(w, problemOf(ctx, err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	rc := http.NewResponseController(w)
	send := func(text string) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout)) // not every writer has one (tests)
		_, err := w.Write([]byte(text))
		return err == nil && rc.Flush() == nil
	}
	if !send(": open\n\n") {
		return
	}
	beat := time.NewTicker(s.beat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			// A logged-out session or a deleted token ends its stream too.
			if _, err := Actor(r, s.svc, s.cookies); err != nil || !send(": beat\n\n") {
				return
			}
		case e, ok := <-events:
			if !ok {
				return
			}
			data, err := json.Marshal(e)
			if err != nil {
				eventOf(ctx).cause = fmt.Errorf("writing event %q: %w", e.ID, err)
				return
			}
			if !send(fmt.Sprintf("id: %s\ndata: %s\n\n", e.ID, data)) {
				return
			}
		}
	}
}
