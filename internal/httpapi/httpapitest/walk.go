package httpapitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// IDs are the ids of a walk: those of the one who walks, and those of everybody
// else. The prefix of an id says what it names; there should be at least one
// own and one foreign id of every kind that a route takes. Own does not hold the
// id of the token that walks: the walk deletes tokens.
type IDs struct {
	Own     []string
	Foreign []string
}

// of returns the ids of a kind, as the OpenAPI document names it.
func of(ids []string, kind string) []string {
	prefix := map[string]string{
		"org": ringwall.PrefixOrg, "device": ringwall.PrefixDevice, "gateway": ringwall.PrefixGateway, "sim": ringwall.PrefixSIM,
		"alert": ringwall.PrefixAlert, "incident": ringwall.PrefixIncident, "hold": ringwall.PrefixHold, "event": ringwall.PrefixEvent,
		"user": ringwall.PrefixUser, "token": ringwall.PrefixToken, "response": ringwall.PrefixResponse, "assess": ringwall.PrefixAssess,
		"exam": ringwall.PrefixExam, "remedial": ringwall.PrefixRemedial,
		"tunnel": ringwall.PrefixTunnel, "group": ringwall.PrefixGroup, "rollout": ringwall.PrefixRollout, "template": ringwall.PrefixTemplate,
		"flow": ringwall.PrefixFlow, "exception": ringwall.PrefixException, "route": ringwall.PrefixRoute,
	}[kind]
	var out []string
	for _, id := range ids {
		if prefix != "" && ringwall.ValidID(prefix, id) {
			out = append(out, id)
		}
	}
	return out
}

// WalkForeign fails the test for each of Foreign's findings.
func WalkForeign(t *testing.T, h http.Handler, openapi []byte, ids IDs, token string) {
	t.Helper()
	findings, tried := Foreign(t.Context(), h, openapi, ids, token)
	for _, f := range findings {
		t.Error(f)
	}
	t.Logf("%d requests with foreign ids", tried)
}

// Foreign walks every operation of the OpenAPI document (JSON, as
// httpapi.OpenAPIJSON gives it) with every foreign id, as the one whose token
// it is, and expects to find nothing:
//
//   - an id in the path: 404, word for word as for an id that nobody has;
//   - an id in a query: not found, or an answer without a foreign id in it;
//   - an id in a body, one place at a time with the rest valid and one's own:
//     never a success;
//   - every list without ids, and the event stream: no foreign id in it.
//
// It returns what it found all the same, a sentence each, and how many requests
// it made with foreign ids. Requests with own ids go first, so that a walk whose
// requests are malformed says so instead of finding nothing. They change
// things: walk in a world that is thrown away.
func Foreign(ctx context.Context, h http.Handler, openapi []byte, ids IDs, token string) (findings []string, tried int) {
	w := &walk{ctx: ctx, h: h, token: token, ids: ids}
	if err := w.read(openapi); err != nil {
		return []string{err.Error()}, 0
	}
	if len(ids.Foreign) == 0 || len(ids.Own) == 0 {
		return []string{"a walk needs own and foreign ids"}, 0
	}
	for _, o := range w.ops() {
		if !o.open { // its input is the credential; Strangers walks the others
			w.at = o.method + " " + o.path
			w.walk(o)
		}
	}
	if w.at = "the walk"; w.tried < 20 {
		w.fail("tried only %d foreign ids: it does not find the places where ids go", w.tried)
	}
	return w.findings, w.tried
}

// WalkStrangers walks every operation without a credential and with wrong ones
// and expects 401, whatever the input.
func WalkStrangers(t *testing.T, h http.Handler, openapi []byte) {
	t.Helper()
	w := &walk{ctx: t.Context(), h: h}
	if err := w.read(openapi); err != nil {
		t.Fatal(err)
	}
	walked := 0
	for _, o := range w.ops() {
		if o.open {
			continue
		}
		walked++
		for _, auth := range []string{"", "Bearer rwt_WRONG", "Bearer ", "Basic b3duZXI6b3duZXI=", "Bearer " + strings.Repeat("x", 5000)} {
			for _, body := range []string{"", "{}", "not json"} {
				r := httptest.NewRequest(o.method, strings.ReplaceAll(o.path, "{id}", "dev_0"), strings.NewReader(body))
				if auth != "" {
					r.Header.Set("Authorization", auth)
				}
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				if rec.Code != http.StatusUnauthorized {
					t.Errorf("%s %s with Authorization %.20q answers %d, want 401: %s", o.method, o.path, auth, rec.Code, rec.Body)
				}
			}
		}
	}
	if walked < 20 {
		t.Errorf("only %d operations were walked", walked)
	}
}

// walk is one walk under way.
type walk struct {
	ctx      context.Context // of the walk, which is over before the function that made it returns
	h        http.Handler
	doc      document
	token    string
	ids      IDs
	at       string   // the operation
	tried    int      //
	sent     []string // foreign ids that were asked for: the walker's own audit trail names them
	findings []string
}

func (w *walk) fail(format string, args ...any) {
	w.findings = append(w.findings, w.at+": "+fmt.Sprintf(format, args...))
}

// document is as much of OpenAPI as a walk needs.
type document struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	OperationID string `json:"operationId"`
	Parameters  []struct {
		Name     string  `json:"name"`
		In       string  `json:"in"`
		Required bool    `json:"required"`
		Schema   *schema `json:"schema"`
	} `json:"parameters"`
	RequestBody *struct {
		Content map[string]struct {
			Schema *schema `json:"schema"`
		} `json:"content"`
	} `json:"requestBody"`
	Security *[]map[string][]string `json:"security"`
}

type schema struct {
	Ref        string             `json:"$ref"`
	Type       any                `json:"type"` // a name, or a list of names
	Format     string             `json:"format"`
	Enum       []any              `json:"enum"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	Items      *schema            `json:"items"`
	ID         string             `json:"x-ringwall-id"`
}

func (w *walk) read(openapi []byte) error {
	if err := json.Unmarshal(openapi, &w.doc); err != nil {
		return fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	if len(w.doc.Paths) == 0 {
		return errors.New("the OpenAPI document has no paths")
	}
	return nil
}

// op is one operation of the document.
type op struct {
	method, path string
	operation
	open bool
}

func (w *walk) ops() []op {
	var out []op
	for _, path := range slices.Sorted(maps.Keys(w.doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(w.doc.Paths[path])) {
			o := w.doc.Paths[path][method]
			out = append(out, op{strings.ToUpper(method), path, o, o.Security != nil && len(*o.Security) == 0})
		}
	}
	return out
}

// answer is what came back, without what differs between any two requests.
type answer struct {
	status int
	body   string
}

func (w *walk) ask(o op, pathID string, query url.Values, body any) answer {
	target := strings.ReplaceAll(o.path, "{id}", pathID)
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var in strings.Builder
	if body != nil {
		if err := json.NewEncoder(&in).Encode(body); err != nil {
			panic("httpapitest: a sample body cannot be written: " + err.Error())
		}
	}
	// The event stream has no end of its own.
	ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
	if o.OperationID == "events" {
		cancel()
		ctx, cancel = context.WithTimeout(w.ctx, 200*time.Millisecond)
	}
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, o.method, target, strings.NewReader(in.String()))
	r.Header.Set("Authorization", "Bearer "+w.token)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	rec := httptest.NewRecorder()
	w.h.ServeHTTP(rec, r)
	text := rec.Body.String()
	if id := rec.Header().Get("X-Request-Id"); id != "" {
		text = strings.ReplaceAll(text, id, "REQUEST")
	}
	return answer{rec.Code, text}
}

// clean reports when a foreign id, but for those that were sent, is in
// what came back.
func (w *walk) clean(what string, a answer, sent ...string) {
	for _, f := range w.ids.Foreign {
		if !slices.Contains(sent, f) && strings.Contains(a.body, f) {
			w.fail("%s shows the foreign id %s", what, f)
		}
	}
}

func (w *walk) try(id string) {
	w.tried++
	w.sent = append(w.sent, id)
}

func (w *walk) walk(o op) {
	kind := ""
	var queries []struct{ name, kind string }
	for _, p := range o.Parameters {
		s := w.resolve(p.Schema)
		switch {
		case p.In == "path":
			kind = s.ID
			if kind == "" {
				w.fail("the path's id says not what it names: give its type an id of the vocabulary")
				return
			}
		case p.In == "query" && s.ID != "":
			queries = append(queries, struct{ name, kind string }{p.Name, s.ID})
		}
	}
	if strings.Contains(o.path, "{") && (kind == "" || strings.Count(o.path, "{") != 1 || !strings.Contains(o.path, "{id}")) {
		w.fail("the walk knows paths with one {id} only, which the document must describe")
		return
	}
	var body *schema
	if o.RequestBody != nil {
		body = w.resolve(o.RequestBody.Content["application/json"].Schema)
	}
	own := []string{""}
	if kind != "" {
		own = of(w.ids.Own, kind)
		if len(own) == 0 || len(of(w.ids.Foreign, kind)) == 0 {
			w.fail("the walk has no own or no foreign id of a %s", kind)
			return
		}
	}

	// With own ids the request is well formed, whatever the state says of it.
	for _, id := range own[:1] {
		a := w.ask(o, id, nil, w.sample(body, nil))
		if o.OperationID == "audit" {
			w.clean("the audit trail", a, w.sent...)
		} else {
			w.clean("the answer to an own id", a)
		}
		if a.status >= 500 && a.status != http.StatusServiceUnavailable || strings.Contains(a.body, `"fields"`) || a.status == http.StatusUnauthorized {
			w.fail("with own id %q it answers %d: the walk's own request is not well formed: %s", id, a.status, a.body)
			return
		}
	}

	// In the path: as if it were not there.
	if kind != "" {
		nobody := ringwall.DeriveID(strings.SplitN(own[0], "_", 2)[0], "nobody")
		missing := w.ask(o, nobody, nil, w.sample(body, nil))
		for _, f := range of(w.ids.Foreign, kind) {
			a := w.ask(o, f, nil, w.sample(body, nil))
			w.try(f)
			if a.status != http.StatusNotFound {
				w.fail("with the foreign id %s in the path it answers %d, want 404: %s", f, a.status, a.body)
			}
			if x, y := strings.ReplaceAll(a.body, f, "ID"), strings.ReplaceAll(missing.body, nobody, "ID"); x != y || a.status != missing.status {
				w.fail("a foreign id can be told from one that nobody has:\n%d %s\n%d %s", a.status, x, missing.status, y)
			}
		}
	}
	// In the query: nothing foreign comes back.
	for _, q := range queries {
		for _, f := range of(w.ids.Foreign, q.kind) {
			a := w.ask(o, own[0], url.Values{q.name: {f}}, w.sample(body, nil))
			w.try(f)
			if a.status != http.StatusNotFound && a.status != http.StatusOK {
				w.fail("with the foreign id %s as %q it answers %d, want 404 or an empty list: %s", f, q.name, a.status, a.body)
			}
			w.clean("the answer to a foreign "+q.name, a)
		}
	}
	// In the body: never taken.
	for _, place := range w.places(body, nil) {
		for _, f := range of(w.ids.Foreign, place.kind) {
			a := w.ask(o, own[0], nil, w.sample(body, &given{place, f}))
			w.try(f)
			// The platform names what it makes, whatever the body calls it: then the
			// id must not come back. Any other foreign id must not be taken.
			if len(place.path) == 1 && place.path[0] == "id" {
				w.clean("the answer to a body that names itself by a foreign id", a)
				continue
			}
			if a.status < 400 {
				w.fail("with the foreign id %s in the body at %s it answers %d: %s", f, strings.Join(place.path, "."), a.status, a.body)
			}
			w.clean("the answer to a foreign id in the body", a, f)
		}
	}
}

func (w *walk) resolve(s *schema) *schema {
	for s != nil && s.Ref != "" {
		s = w.doc.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	return s
}

// place is where an id goes in a body.
type place struct {
	path []string
	kind string
}

type given struct {
	place
	id string
}

// places lists where ids go, through objects and lists.
func (w *walk) places(s *schema, at []string) []place {
	s = w.resolve(s)
	if s == nil || len(at) > 6 {
		return nil
	}
	if isSubject(s) {
		return []place{{slices.Clone(at), "device"}, {slices.Clone(at), "sim"}}
	}
	if s.ID != "" && len(of(w.ids.Foreign, s.ID)) > 0 && len(at) > 0 && at[len(at)-1] != "org" {
		return []place{{slices.Clone(at), s.ID}}
	}
	var out []place
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		out = append(out, w.places(s.Properties[name], append(slices.Clone(at), name))...)
	}
	if s.Items != nil {
		out = append(out, w.places(s.Items, append(slices.Clone(at), "0"))...)
	}
	return out
}

// isSubject reports whether s is a ringwall.Subject: a kind and an id.
func isSubject(s *schema) bool {
	return len(s.Properties) == 2 && s.Properties["kind"] != nil && s.Properties["id"] != nil
}

// sample makes a valid body: what is required, and the way to the given place.
func (w *walk) sample(s *schema, g *given) any {
	if s == nil {
		return nil
	}
	return w.value(s, nil, g)
}

func (w *walk) value(s *schema, at []string, g *given) any {
	s = w.resolve(s)
	if g != nil && slices.Equal(at, g.path) {
		if isSubject(s) {
			return map[string]any{"kind": g.kind, "id": g.id}
		}
		return g.id
	}
	last := ""
	if len(at) > 0 {
		last = at[len(at)-1]
	}
	switch typ := typeOf(s); {
	case isSubject(s):
		return map[string]any{"kind": "device", "id": of(w.ids.Own, "device")[0]}
	case s.ID != "":
		if own := of(w.ids.Own, s.ID); len(own) > 0 {
			return own[0]
		}
		return ""
	case len(s.Enum) > 0:
		return s.Enum[len(s.Enum)-1]
	case typ == "object":
		out := map[string]any{}
		for name, p := range s.Properties {
			at := append(slices.Clone(at), name)
			if slices.Contains(s.Required, name) || g != nil && len(g.path) >= len(at) && slices.Equal(at, g.path[:len(at)]) {
				out[name] = w.value(p, at, g)
			}
		}
		return out
	case typ == "array":
		if g != nil && len(g.path) > len(at) && slices.Equal(at, g.path[:len(at)]) {
			return []any{w.value(s.Items, append(slices.Clone(at), "0"), g)}
		}
		return []any{}
	case typ == "integer", typ == "number":
		return 0
	case typ == "boolean":
		return false
	case s.Format == "date-time":
		return "2026-01-02T03:04:05Z"
	default:
		return words(last)
	}
}

// words answers a string that is likely to be valid where it stands.
func words(name string) string {
	switch name {
	case "decision":
		return string(httpapi.Approve)
	case "kind":
		return "quarantine"
	case "password":
		return "a long enough password"
	case "iccid":
		return "89860012345678901234"
	case "imsi":
		return "460011234567890"
	case "proto":
		return "tcp"
	case "action":
		return "allow"
	case "direction":
		return "from"
	}
	return fmt.Sprintf("walk %s", name)
}

func typeOf(s *schema) string {
	switch t := s.Type.(type) {
	case string:
		return t
	case []any:
		if len(t) > 0 {
			name, _ := t[0].(string)
			return name
		}
	}
	return ""
}
