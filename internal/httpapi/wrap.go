package httpapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/ringwall/ringwall"
)

// Limits of a request. The body limit is larger than any answer of "ringwall
// assess" that is sent back to us; a page full of people types far less.
const (
	maxBody        = 4 << 20
	requestTimeout = 30 * time.Second
)

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// wrapper is what stands around every route, once: request id, limits, same
// origin, the last stand against a panic, metrics, and the request event.
type wrapper struct {
	muxes   []router     // from the outermost; they name a request's route
	guarded http.Handler // mux behind http.CrossOriginProtection
	log     *slog.Logger
	now     func() time.Time
	meters  *meters
	hsts    bool
}

// router finds the pattern of a request; http.ServeMux does.
type router interface {
	Handler(r *http.Request) (h http.Handler, pattern string)
}

func newWrapper(mux *http.ServeMux, inner []router, cfg Config, m *meters) *wrapper {
	w := &wrapper{muxes: append([]router{mux}, inner...), log: cfg.Log, now: cfg.Now, meters: m, hsts: cfg.Secure}
	// Sec-Fetch-Site and Origin stop a foreign page from acting with our
	// cookie; what is not a browser sends neither and is let through.
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		ev := eventOf(r.Context())
		ev.code = ringwall.Forbidden
		writeProblem(rw, newProblem(ev.id, http.StatusForbidden, &ringwall.Error{Code: ringwall.Forbidden, Text: "this request came from a page of another origin"}))
	}))
	w.guarded = origin.Handler(mux)
	return w
}

func (w *wrapper) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	ev := &requestEvent{start: w.now()}
	ev.id = ringwall.NewID("req", ev.start)
	ctx := context.WithValue(r.Context(), eventKey{}, ev)
	pattern := w.route(r)
	rc := http.NewResponseController(rw)
	if ev.stream = pattern == "GET /v1/events" || pattern == connectPattern; !ev.stream {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		// Not every writer has deadlines (tests); the context's still holds.
		_ = rc.SetWriteDeadline(time.Now().Add(requestTimeout + 5*time.Second))
	}
	r = r.WithContext(ctx)
	r.Body = http.MaxBytesReader(rw, r.Body, maxBody)
	h := rw.Header()
	h.Set("X-Request-Id", ev.id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	if w.hsts {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	rec := &recorder{ResponseWriter: rw}
	w.meters.inFlight.Inc()
	defer func() {
		w.meters.inFlight.Dec()
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler {
				panic(p)
			}
			w.log.ErrorContext(ctx, "handler panicked", "request", ev.id, "panic", p, "stack", string(debug.Stack()))
			ev.code = ringwall.Internal
			if rec.status == 0 {
				_, e := Describe(nil)
				writeProblem(rec, newProblem(ev.id, http.StatusInternalServerError, e))
			}
		}
		if rec.status == 0 {
			rec.status = http.StatusOK
		}
		took := w.now().Sub(ev.start)
		if !ev.stream {
			w.meters.seen(pattern, rec.status, took)
		}
		ev.write(ctx, w.log, r.Method, pattern, remoteHost(r), rec.status, rec.bytes, took)
	}()
	w.guarded.ServeHTTP(rec, r)
}

// route returns the pattern that names r in logs and metrics: the number of
// patterns is bounded, and none holds an id.
func (w *wrapper) route(r *http.Request) string {
	route := "none"
	for _, m := range w.muxes {
		// "/" and "/v1/" only lead to the next mux.
		if _, p := m.Handler(r); p != "" && p != "/" && p != "/v1/" {
			route = p
		}
	}
	return route
}

// remoteHost returns the address that the request came from, without its port.
func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// writeProblem writes p where huma does not: around the mux and in plain handlers.
func writeProblem(rw http.ResponseWriter, p *problem) {
	body, err := json.Marshal(p.Problem)
	if err != nil { // strings and an int cannot fail
		panic("httpapi: a problem cannot be written as JSON: " + err.Error())
	}
	rw.Header().Set("Content-Type", p.ContentType(""))
	rw.Header().Set("Cache-Control", "no-store")
	rw.WriteHeader(p.Status)
	_, _ = rw.Write(body) // the caller has gone
}
