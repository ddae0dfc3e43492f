package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
)

// Config says what the face stands on.
type Config struct {
	Service Service      // needed
	Log     *slog.Logger // needed
	Now     func() time.Time

	// Metrics holds what /metrics shows, and takes this package's own; nil
	// serves no /metrics. They are shown to a caller on the same machine, and to
	// an actor who plays the part "platform".
	Metrics *prometheus.Registry

	// Ready answers /readyz: nil when the platform can serve. nil = always.
	Ready func(context.Context) error

	// Console serves what is not the API's, behind the same wrapper; nil = nothing.
	Console http.Handler

	// Throttle slows down guessing. The console's login takes from the same
	// one; nil = one of its own.
	Throttle *Throttle

	// Secure says that browsers reach the platform over TLS: cookies are then
	// given over TLS only, and browsers are told to stay with it.
	Secure bool
}

// New returns the handler of everything that the platform serves over HTTP.
func New(cfg Config) http.Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Throttle == nil {
		cfg.Throttle = NewThrottle(cfg.Now)
	}
	var reg prometheus.Registerer
	if cfg.Metrics != nil {
		reg = cfg.Metrics
	}
	m := newMeters(reg)
	f := newFace(cfg)
	mux := http.NewServeMux()
	mux.Handle("/v1/", newReplays(cfg.Now).guard(f.mux))
	mux.Handle("GET /v1/events", &streams{svc: cfg.Service, cookies: f.cookies, meters: m, beat: heartbeat})
	mux.Handle(connectPattern, &connects{svc: cfg.Service, cookies: f.cookies})
	// Guessing is slowed down before anything else looks at it.
	mux.Handle("POST /v1/session", cfg.Throttle.guard(f.mux))
	mux.Handle("POST /v1/enrol", cfg.Throttle.guard(newReplays(cfg.Now).guard(f.mux)))
	mux.HandleFunc("GET /v1/openapi.yaml", f.openapi)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /readyz", f.ready)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", f.forKeepers(promhttp.HandlerFor(cfg.Metrics, promhttp.HandlerOpts{})))
	}
	inner := []router{f.mux}
	if cfg.Console != nil {
		mux.Handle("/", cfg.Console)
		if r, ok := cfg.Console.(router); ok {
			inner = append(inner, r)
		}
	}
	return newWrapper(mux, inner, cfg, m)
}

// face is the API under construction and in use; it does not change after New.
type face struct {
	cfg     Config
	svc     Service
	cookies Cookies
	mux     *http.ServeMux // of the routes that huma serves
	api     huma.API
	yaml    []byte
}

func newFace(cfg Config) *face {
	f := &face{cfg: cfg, svc: cfg.Service, cookies: Cookies{Secure: cfg.Secure}, mux: http.NewServeMux()}
	f.api = humago.New(f.mux, huma.Config{
		OpenAPI:                      describe(),
		Formats:                      map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
		Transformers:                 []huma.Transformer{houseProblem, emptyLists},
	})
	f.fleetRoutes()
	f.deviceRoutes()
	f.flowRoutes()
	f.assessmentRoutes()
	f.evidenceRoutes()
	f.tunnelRoutes()
	f.gatewayRoutes()
	f.policyRoutes()
	f.groupRoutes()
	f.siteRoutes()
	f.simRoutes()
	f.simUseRoutes()
	f.usageRuleRoutes()
	f.warningRoutes()
	f.incidentRoutes()
	f.responseRoutes()
	f.peopleRoutes()
	f.sessionRoutes()
	f.describeEvents()
	// What the API does not know is a problem too, not net/http's plain text.
	f.mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, problemOf(r.Context(), ringwall.Errorf(ringwall.NotFound, "no such resource")))
	})
	yaml, err := f.api.OpenAPI().YAML()
	if err != nil { // a value built from our own types
		panic("httpapi: the OpenAPI document cannot be written: " + err.Error())
	}
	f.yaml = yaml
	return f
}

// OpenAPI returns the document that describes the API, in YAML.
func OpenAPI() []byte { return newFace(Config{}).yaml }

// OpenAPIJSON returns the same document in JSON.
func OpenAPIJSON() []byte {
	doc, err := newFace(Config{}).api.OpenAPI().MarshalJSON()
	if err != nil { // a value built from our own types
		panic("httpapi: the OpenAPI document cannot be written: " + err.Error())
	}
	return doc
}

func (f *face) openapi(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/openapi+yaml")
	_, _ = w.Write(f.yaml) // the caller has gone
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the caller has gone
}

func (f *face) ready(w http.ResponseWriter, r *http.Request) {
	if f.cfg.Ready != nil {
		if err := f.cfg.Ready(r.Context()); err != nil {
			eventOf(r.Context()).cause = err
			plain(w, http.StatusServiceUnavailable, "not ready\n") // why is for the log: anybody may ask
			return
		}
	}
	plain(w, http.StatusOK, "ready\n")
}

// forKeepers lets through who stands on this machine or keeps the platform.
// What came through a proxy did not come from this machine.
func (f *face) forKeepers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local(r) {
			h.ServeHTTP(w, r)
			return
		}
		a, err := Actor(r, f.svc, f.cookies)
		if err == nil && !a.Plays(ringwall.PartPlatform) {
			err = ringwall.Errorf(ringwall.Forbidden, "metrics are for the part %q", ringwall.PartPlatform)
		}
		if err != nil {
			writeProblem(w, problemOf(r.Context(), err))
			return
		}
		h.ServeHTTP(w, r)
	})
}

func local(r *http.Request) bool {
	for _, h := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if r.Header.Get(h) != "" {
			return false
		}
	}
	host := strings.TrimSuffix(strings.TrimPrefix(remoteHost(r), "["), "]")
	return isLoopback(host)
}

// body is an answer with nothing but a body.
type body[T any] struct{ Body T }

// nothing is an answer without a body.
type nothing struct{}

// none is the input of a request that has none.
type none struct{}

type actorKey struct{}

// authenticate finds out who asks before the input is looked at: a stranger
// learns nothing about what would be valid.
func (f *face) authenticate(ctx huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(ctx)
	a, err := Actor(r, f.svc, f.cookies)
	if err != nil {
		if ringwall.CodeOf(err) == ringwall.Unverified {
			w.Header().Set("WWW-Authenticate", `Bearer realm="ringwall"`)
		}
		writeProblem(w, problemOf(r.Context(), err))
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	next(huma.WithValue(ctx, actorKey{}, a))
}

// op describes an operation.
func op(method, path, id, tag, summary string) huma.Operation {
	o := huma.Operation{Method: method, Path: path, OperationID: id, Tags: []string{tag}, Summary: summary, MaxBodyBytes: maxBody}
	o.Errors = []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable}
	if strings.Contains(path, "{") {
		o.Errors = append(o.Errors, http.StatusNotFound)
	}
	if method != http.MethodGet {
		o.Errors = append(o.Errors, http.StatusConflict)
	}
	return o
}

// status sets the status of a good answer.
func status(o huma.Operation, code int) huma.Operation {
	o.DefaultStatus = code
	return o
}

// route registers an operation of an actor. It is a function and not a method
// because methods have no type parameters.
func route[I, O any](f *face, o huma.Operation, h func(ctx context.Context, a audit.Actor, in *I) (*O, error)) {
	o.Middlewares = huma.Middlewares{f.authenticate}
	o.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	if o.Method == http.MethodPost {
		o.Parameters = append(o.Parameters, &huma.Param{Name: "Idempotency-Key", In: "header", Description: "the answer to the first request with this key is given again to the ones that follow", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: ptr(maxKey)}})
	}
	huma.Register(f.api, o, func(ctx context.Context, in *I) (*O, error) {
		a, ok := ctx.Value(actorKey{}).(audit.Actor)
		if !ok {
			panic("httpapi: " + o.OperationID + " was reached without an actor")
		}
		out, err := h(ctx, a, in)
		if err != nil {
			return nil, problemOf(ctx, err)
		}
		return out, nil
	})
}

// open registers an operation whose input is its own credential.
func open[I, O any](f *face, o huma.Operation, h func(ctx context.Context, in *I) (*O, error)) {
	o.Security = []map[string][]string{} // none, on purpose: OpenAPI section 4.8.10.1
	huma.Register(f.api, o, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, problemOf(ctx, err)
		}
		return out, nil
	})
}

// answer turns a value or an error of the Service into an answer.
func answer[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{v}, nil
}

func ptr[T any](v T) *T { return &v }
