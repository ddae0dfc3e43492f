package httpapi

import (
	"context"
	"log/slog"
	"time"

	"github.com/ringwall/ringwall"
)

// requestEvent gathers what is logged of one request, once, at its end. It
// belongs to the request's goroutine.
type requestEvent struct {
	id     string
	start  time.Time
	actor  string
	org    ringwall.OrgID
	code   ringwall.Code
	cause  error
	stream bool // an endless answer: no deadline, and its time says nothing
}

type eventKey struct{}

// eventOf returns the event of the request that ctx belongs to, or a fresh one
// that nobody logs.
func eventOf(ctx context.Context) *requestEvent {
	if ev, ok := ctx.Value(eventKey{}).(*requestEvent); ok {
		return ev
	}
	return &requestEvent{}
}

// write logs the event. Paths are given as their pattern and without query, so
// that nothing a caller put into a URL reaches the log.
func (ev *requestEvent) write(ctx context.Context, log *slog.Logger, method, pattern, remote string, status int, bytes int64, took time.Duration) {
	level := slog.LevelInfo
	switch {
	case status >= 500:
		level = slog.LevelError
	case ev.code == ringwall.Unavailable:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{
		slog.String("request", ev.id), slog.String("method", method), slog.String("route", pattern),
		slog.Int("status", status), slog.Int64("bytes", bytes), slog.Duration("took", took), slog.String("remote", remote),
	}
	if ev.actor != "" {
		attrs = append(attrs, slog.String("actor", ev.actor), slog.String("org", string(ev.org)))
	}
	if ev.code != "" {
		attrs = append(attrs, slog.String("code", string(ev.code)))
	}
	if ev.cause != nil {
		attrs = append(attrs, slog.String("cause", ev.cause.Error()))
	}
	log.LogAttrs(ctx, level, "request", attrs...)
}
