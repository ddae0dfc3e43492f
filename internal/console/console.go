// Package console is the face of the platform for people: a few pages, all of
// them working, in English and 简体中文.
//
// A page is a struct, filled by its handler from the Service and shown by its
// template (templates/pages/<page>.html). The same template answers full loads
// and fragments: all of it, or the block "main" when htmx asks. It is rendered
// into memory first, so that a template that fails never sends half a page.
//
// Every act is a form that posts and works without any script; a good act
// answers with a redirect to where it began. Scripts only make it smooth:
// htmx swaps the main block, and app.js reads the event stream and asks for the
// page again when something on it has changed. Nothing is inline: the content
// security policy allows scripts and styles from our own files alone, which are
// embedded, named by the hash of their content and cached for ever. Vendored
// files, with version, licence and hash, are listed in assets.go and checked by
// a test.
//
// Unknown is an answer of its own: it has its own word and its own look, and is
// never drawn as good.
//
// The handler is meant to stand behind httpapi's wrapper, which guards against
// requests from foreign pages, bounds bodies and logs; it shares its sessions.
// What an actor may see and do is the Service's to decide. The package starts
// no goroutines and keeps no state but what it parsed at the start.
package console

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/i18n"
)

// Config says what the console stands on.
type Config struct {
	Service httpapi.Service // needed
	Log     *slog.Logger    // needed
	Now     func() time.Time

	// Throttle slows down guessing at the login; give the API's. nil = one of
	// its own.
	Throttle *httpapi.Throttle
	// Secure says that browsers come over TLS, as in httpapi.Config.
	Secure bool
	// Location is where times are written for browsers without script; others
	// write them for where they are. nil = UTC.
	Location *time.Location
	// EnrolAddress is where gateways enrol, such as
	// "https://ringwall.example:8443", for the command that enrols one; "" = port
	// 8443 of the host that the browser asked.
	EnrolAddress string
}

// Console serves the pages. It may be used from several goroutines.
type Console struct {
	cfg     Config
	svc     httpapi.Service
	cookies httpapi.Cookies
	words   *i18n.Catalogue
	looks   map[string]look // by language tag
	assets  assets
	mux     *http.ServeMux
}

// New returns the console. An error means that what is embedded is broken.
func New(cfg Config) (*Console, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Throttle == nil {
		cfg.Throttle = httpapi.NewThrottle(cfg.Now)
	}
	if cfg.Location == nil {
		cfg.Location = time.UTC
	}
	c := &Console{cfg: cfg, svc: cfg.Service, cookies: httpapi.Cookies{Secure: cfg.Secure}, mux: http.NewServeMux()}
	var err error
	if c.words, err = i18n.Load(); err != nil {
		return nil, err
	}
	if c.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	if c.looks, err = c.parse(); err != nil {
		return nil, err
	}
	c.routes()
	return c, nil
}

// ServeHTTP serves one request.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	c.mux.ServeHTTP(w, r)
}

// Handler names the route of a request, for logs and metrics.
func (c *Console) Handler(r *http.Request) (http.Handler, string) { return c.mux.Handler(r) }

// policy is the content security policy. Pictures may be data: because Pico's
// style sheet draws its arrows and check marks so.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// routes lists all pages and acts.
func (c *Console) routes() {
	c.mux.HandleFunc("GET /static/{hash}/{name}", c.static)
	c.mux.HandleFunc("GET /login", c.loginForm)
	c.mux.HandleFunc("POST /login", c.login)
	c.mux.HandleFunc("POST /logout", c.logout)
	c.mux.HandleFunc("POST /language", c.language)
	c.mux.HandleFunc("POST /theme", c.theme)

	c.page("GET /{$}", overview)
	c.act("POST /demo", overview, startAttack)

	c.page("GET /devices", devices)
	c.act("POST /devices", devices, createDevice)
	c.page("GET /devices/{id}", device)
	c.act("POST /devices/{id}/assess", device, assessDevice)
	c.act("POST /devices/{id}/mode", device, setMode)
	c.act("POST /devices/{id}/enrol", device, enrolDevice)
	c.act("POST /devices/{id}/name", device, nameDevice)
	c.act("POST /devices/{id}/restrict", device, restrictDevice)
	c.act("POST /devices/{id}/responses/{response}", device, decide)
	c.act("POST /devices/{id}/profile", device, setProfile)
	c.act("POST /devices/{id}/gate", device, setGate)
	c.act("POST /devices/{id}/evidence", device, handIn)
	c.act("POST /devices/{id}/evidence/drop", device, takeBack)
	c.act("POST /devices/{id}/tasks/{task}", device, setTask)
	c.shown("POST /devices/{id}/tasks/{task}/do", doTask)
	c.page("GET /devices/{id}/questionnaire", questionnaire)
	c.act("POST /devices/{id}/questionnaire", questionnaire, answer)
	c.act("POST /devices/{id}/questionnaire/declare", device, submitAnswers)

	c.page("GET /flows", flows)
	c.page("GET /flows/{id}", flowWhy)
	c.page("GET /tunnels", tunnels)
	c.act("POST /tunnels/ask/{device}", tunnels, askTunnel)
	c.act("POST /tunnels/{tunnel}", tunnels, decideTunnel)
	c.page("GET /tasks", tasks)
	c.page("GET /assessing", assessing)
	c.act("POST /assessing", assessing, setAssessing)
	c.mux.HandleFunc("GET /assessments/{id}/report", c.report)
	c.mux.HandleFunc("GET /fleet/report", c.report)

	c.page("GET /incidents", incidents)
	c.page("GET /incidents/{id}", incident)
	c.act("POST /incidents/{id}", incident, patchIncident)
	c.act("POST /incidents/{id}/responses/{response}", incident, decide)
	c.act("POST /responses/{response}", overview, decide)

	c.page("GET /gateways", gateways)
	c.page("GET /gateways/{id}", gateway)
	c.act("POST /gateways/{id}", gateway, patchGateway)
	c.shown("POST /gateways", gatewayToken)

	c.page("GET /devices/{id}/policy", devicePolicy)
	c.act("POST /devices/{id}/policy", devicePolicy, savePolicy)
	c.shown("POST /devices/{id}/policy/explain", explainPolicy)
	c.shown("POST /devices/{id}/policy/learn", learnPolicy)
	c.act("POST /devices/{id}/policy/approve", devicePolicy, approvePolicy)
	c.page("GET /devices/{id}/mud", deviceMUD)
	c.act("POST /devices/{id}/mud", deviceMUD, putMUD)
	c.act("POST /devices/{id}/mud/decision", deviceMUD, decideMUD)
	c.page("GET /mud", muds)
	c.act("POST /mud", muds, setMUD)

	c.page("GET /groups", groups)
	c.act("POST /groups", groups, addGroup)
	c.page("GET /groups/{id}", oneGroup)
	c.act("POST /groups/{id}/rollouts", oneGroup, rollGroup)
	c.act("POST /groups/{group}/delete", groups, deleteGroup)
	c.page("GET /rollouts", rollouts)
	c.page("GET /rollouts/{id}", oneRollout)
	c.act("POST /rollouts/{id}", oneRollout, decideRollout)
	c.page("GET /templates", templates)

	c.page("GET /sims", sims)
	c.act("POST /sims", sims, createSIM)
	c.page("GET /sims/{id}", sim)
	c.act("POST /sims/{id}/responses/{response}", sim, decide)
	c.act("POST /sims/{id}/suspend", sim, suspendSIM)
	c.act("POST /sims/{id}/profile", sim, undoProfile)
	c.act("POST /sims/{id}/restrict", sim, restrictSIM)
	c.act("POST /sims/{id}/set", sim, setSIM)
	c.shown("POST /sims/{id}/reveal", revealSIM)
	c.act("POST /sims/{id}/alerts/{alert}", sim, judgeAlert)
	c.page("GET /sim-fleet", simFleet)
	c.page("GET /sim-fleet/devices", simDevices)
	c.page("GET /usage-rules", usageRules)
	c.shown("POST /usage-rules/try", tryRules)
	c.act("POST /usage-rules/save", usageRules, saveRules)
	c.act("POST /usage-rules/undo", usageRules, undoRules)
	c.act("POST /usage-rules/exceptions", usageRules, except)
	c.act("POST /usage-rules/exceptions/{exception}", usageRules, endException)
	c.act("POST /usage-rules/pools", usageRules, addPool)
	c.act("POST /usage-rules/pools/drop", usageRules, dropPool)
	c.page("GET /warnings", warnings)
	c.shown("POST /warnings", addRoute)
	c.act("POST /warnings/{route}", warnings, actRoute)

	c.page("GET /audit", trail)
	c.page("GET /people", people)
	c.act("POST /people/users", people, createUser)
	c.shown("POST /people/tokens", peopleToken)
	c.act("POST /people/tokens/{token}/delete", people, deleteToken)

	c.page("/", func(*request) (view, error) { return nil, ringwall.Errorf(ringwall.NotFound, "no such page") })
}

// view is a page that is ready to be shown: a struct that embeds page.
type view interface {
	template() string // its file without ".html"
	base() *page
}

// request is one request of somebody who is logged in.
type request struct {
	*http.Request
	c     *Console
	actor audit.Actor
	page  page
	names map[string]string // of subjects and people that were looked up
}

// maker fills a page.
type maker func(*request) (view, error)

// doer does what a form asks. done names the message that tells of it.
type doer func(*request) (done string, err error)

// page registers a page.
func (c *Console) page(pattern string, f maker) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		q, ok := c.enter(w, r)
		if !ok {
			return
		}
		if done := r.URL.Query().Get("done"); q.page.L.Has("done." + done) {
			q.page.Done = q.page.L.T("done." + done)
		}
		v, err := f(q)
		if err != nil {
			v = q.failure(err)
		}
		c.show(w, r, v)
	})
}

// act registers a form's act. When it is done, the browser is sent to the page
// that the form was on; when it is refused, that page is shown with the reason.
func (c *Console) act(pattern string, f maker, do doer) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		q, ok := c.enter(w, r)
		if !ok {
			return
		}
		done, err := q.do(do)
		if err == nil {
			to := q.home()
			http.Redirect(w, r, to+"?"+url.Values{"done": {done}}.Encode(), http.StatusSeeOther)
			return
		}
		status, e := httpapi.Describe(err)
		c.note(r.Context(), status, err)
		q.page.status, q.page.Problem = status, e
		v, err := f(q)
		if err != nil {
			v = q.failure(err)
		}
		c.show(w, r, v)
	})
}

// shown registers an act whose answer holds a secret that is shown once: it
// answers with the page itself, since a redirect would have to carry it.
func (c *Console) shown(pattern string, f maker) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		q, ok := c.enter(w, r)
		if !ok {
			return
		}
		if err := q.parse(); err != nil {
			c.show(w, r, q.failure(err))
			return
		}
		v, err := f(q)
		if err != nil {
			v = q.failure(err)
		}
		c.show(w, r, v)
	})
}

func (q *request) do(f doer) (string, error) {
	if err := q.parse(); err != nil {
		return "", err
	}
	return f(q)
}

// parse reads the form.
func (q *request) parse() error {
	if err := q.ParseForm(); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "the form cannot be read")
	}
	return nil
}

// home is the path of the page that a form was on: the pattern's path up to the
// resource.
func (q *request) home() string {
	parts := strings.Split(strings.Trim(q.URL.Path, "/"), "/")
	id := q.PathValue("id")
	switch {
	case id != "" && len(parts) >= 3 && (parts[2] == "questionnaire" || parts[2] == "policy" || parts[2] == "mud"):
		return "/" + parts[0] + "/" + url.PathEscape(id) + "/" + parts[2]
	case id != "":
		return "/" + parts[0] + "/" + url.PathEscape(id)
	case parts[0] == "demo", parts[0] == "responses":
		return "/"
	}
	return "/" + parts[0]
}

// enter finds out who asks. Who is not logged in is sent to the login; ok is
// false when the answer was given.
func (c *Console) enter(w http.ResponseWriter, r *http.Request) (*request, bool) {
	q := &request{Request: r, c: c, page: c.newPage(r), names: map[string]string{}}
	a, err := httpapi.Actor(r, c.svc, c.cookies)
	if err == nil {
		q.actor, q.page.Me = a, &a
		return q, true
	}
	if ringwall.CodeOf(err) != ringwall.Unverified {
		c.show(w, r, q.failure(err))
		return nil, false
	}
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
	}
	if r.Header.Get("HX-Request") != "" {
		w.Header().Set("HX-Redirect", to) // the whole page, not a fragment of it
		w.WriteHeader(http.StatusNoContent)
		return nil, false
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil, false
}

// failure is the page for what could not be shown or done.
func (q *request) failure(err error) view {
	status, e := httpapi.Describe(err)
	q.c.note(q.Context(), status, err)
	q.page.status, q.page.Title = status, q.page.L.T("error."+string(e.Code))
	return &failurePage{page: q.page, Code: string(e.Code), Text: e.Text, Hint: e.Hint}
}

// note logs what people are not told.
func (c *Console) note(ctx context.Context, status int, err error) {
	if status >= http.StatusInternalServerError {
		c.cfg.Log.ErrorContext(ctx, "page failed", "status", status, "cause", err)
	}
}

type failurePage struct {
	page
	Code, Text, Hint string
}

func (*failurePage) template() string { return "failure" }

// show renders v into memory, then answers.
func (c *Console) show(w http.ResponseWriter, r *http.Request, v view) {
	p := v.base()
	block := "base"
	if r.Header.Get("HX-Request") != "" {
		block = "fragment"
	}
	var out bytes.Buffer
	if err := c.looks[p.L.Tag].render(&out, v.template(), block, v); err != nil {
		c.cfg.Log.ErrorContext(r.Context(), "template failed", "page", v.template(), "cause", err)
		http.Error(w, p.L.T("error.internal"), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.L.Tag)
	h.Set("Cache-Control", "no-store") // pages hold what only their reader may see
	h.Add("Vary", "HX-Request, Cookie, Accept-Language")
	w.WriteHeader(p.status)
	_, _ = out.WriteTo(w) // the reader has gone
}

// isCode reports whether err has the code.
func isCode(err error, code ringwall.Code) bool {
	e, ok := errors.AsType[*ringwall.Error](err)
	return ok && e.Code == code
}
