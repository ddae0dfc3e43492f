package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/httpapi/httpapitest"
)

var update = flag.Bool("update", false, "write api/openapi.yaml")

// house is the API over a fresh world.
type house struct {
	*httpapitest.World
	h   http.Handler
	log *bytes.Buffer
	now *clock
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newHouse(t *testing.T, change ...func(*httpapi.Config)) *house {
	t.Helper()
	k := &clock{t: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)}
	w := httpapitest.NewWorld(k.Now)
	log := &bytes.Buffer{}
	cfg := httpapi.Config{Service: w, Log: slog.New(slog.NewJSONHandler(log, nil)), Now: k.Now, Metrics: prometheus.NewRegistry()}
	for _, f := range change {
		f(&cfg)
	}
	return &house{World: w, h: httpapi.New(cfg), log: log, now: k}
}

// do asks as the owner, unless a header says otherwise.
func (x *house) do(t *testing.T, method, path, body string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+x.OwnerToken)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			r.Header.Del(header[i])
		}
	}
	rec := httptest.NewRecorder()
	x.h.ServeHTTP(rec, r)
	return rec
}

func problemIn(t *testing.T, rec *httptest.ResponseRecorder) api.Problem {
	t.Helper()
	if ct := rec.Header().Get("Content-Type"); ct != "application/problem+json" {
		t.Fatalf("Content-Type = %q, want application/problem+json; body %s", ct, rec.Body)
	}
	var p api.Problem
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Status != rec.Code {
		t.Errorf("problem says status %d, the answer is %d", p.Status, rec.Code)
	}
	return p
}

func TestOpenAPI_is_the_committed_one(t *testing.T) {
	const file = "../../api/openapi.yaml"
	got := httpapi.OpenAPI()
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("the API has changed; if that is meant, run the test with -update and commit (-committed +code):\n%s", d)
	}
	if !bytes.Contains(got, []byte("openapi: 3.1.0")) {
		t.Error("the document is not OpenAPI 3.1")
	}
}

func TestWalk_finds_nothing_foreign(t *testing.T) {
	x := newHouse(t)
	httpapitest.WalkForeign(t, x.h, httpapi.OpenAPIJSON(), x.IDs, x.OwnerToken)
}

func TestWalk_strangers_get_nothing(t *testing.T) {
	httpapitest.WalkStrangers(t, newHouse(t).h, httpapi.OpenAPIJSON())
}

// leaky is a service whose tenancy is broken at one place.
type leaky struct {
	*httpapitest.World
	device   bool // answers any device to anybody
	list     bool // lists everybody's SIMs
	response bool // takes any target
	oracle   bool // says Forbidden where it is another's
}

func (l leaky) Device(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (api.Device, error) {
	d, err := l.World.Device(ctx, a, id)
	if err == nil || !l.device && !l.oracle {
		return d, err
	}
	other, otherErr := l.World.Device(ctx, l.Stranger, id)
	if l.oracle && otherErr == nil {
		return d, ringwall.Errorf(ringwall.Forbidden, "that is not yours")
	}
	return other, otherErr
}

func (l leaky) SIMs(ctx context.Context, a audit.Actor, p httpapi.Paging) (api.Page[api.SIM], error) {
	if l.list {
		a = l.Stranger
	}
	return l.World.SIMs(ctx, a, p)
}

func (l leaky) CreateResponse(ctx context.Context, a audit.Actor, in api.ResponseCreate) (api.Response, error) {
	r, err := l.World.CreateResponse(ctx, a, in)
	if err != nil && l.response {
		return api.Response{ID: "rsp_1", Target: in.Target}, nil
	}
	return r, err
}

func TestWalk_finds_what_leaks(t *testing.T) {
	for _, c := range []struct {
		name string
		leak leaky
		want string
	}{
		{"a device", leaky{device: true}, "GET /v1/devices/{id}: with the foreign id"},
		{"a list", leaky{list: true}, "GET /v1/sims: the answer to an own id shows the foreign id"},
		{"a body", leaky{response: true}, "POST /v1/responses: with the foreign id"},
		{"an oracle", leaky{oracle: true}, "GET /v1/devices/{id}: with the foreign id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newHouse(t, func(cfg *httpapi.Config) {
				c.leak.World = cfg.Service.(*httpapitest.World)
				cfg.Service = c.leak
			})
			findings, _ := httpapitest.Foreign(t.Context(), x.h, httpapi.OpenAPIJSON(), x.IDs, x.OwnerToken)
			if len(findings) == 0 || !strings.HasPrefix(findings[0], c.want) {
				t.Errorf("the walk found %q, want %q first", findings, c.want)
			}
		})
	}
}

func TestErrors_become_problems_without_their_cause(t *testing.T) {
	secret := errors.New("dial tcp 10.0.0.9:5432: password=hunter2")
	for _, c := range []struct {
		name   string
		err    error
		status int
		code   ringwall.Code
		detail string
	}{
		{"invalid", ringwall.Errorf(ringwall.Invalid, "the name is empty"), 422, ringwall.Invalid, "the name is empty"},
		{"not found", ringwall.Errorf(ringwall.NotFound, "no such device"), 404, ringwall.NotFound, "no such device"},
		{"conflict", ringwall.Errorf(ringwall.Conflict, "it has changed"), 409, ringwall.Conflict, "it has changed"},
		{"forbidden", ringwall.Errorf(ringwall.Forbidden, "not allowed"), 403, ringwall.Forbidden, "not allowed"},
		{"unverified", ringwall.Errorf(ringwall.Unverified, "does not hold"), 401, ringwall.Unverified, "does not hold"},
		{"unavailable", &ringwall.Error{Code: ringwall.Unavailable, Text: "the store is away", Err: secret}, 503, ringwall.Unavailable, "the store is away"},
		{"internal", &ringwall.Error{Code: ringwall.Internal, Text: "row 7 of " + secret.Error()}, 500, ringwall.Internal, "something went wrong on our side"},
		{"uncoded", fmt.Errorf("reading rows: %w", secret), 500, ringwall.Internal, "something went wrong on our side"},
		{"deadline", fmt.Errorf("reading rows: %w", context.DeadlineExceeded), 503, ringwall.Unavailable, "this took too long and was given up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := newHouse(t)
			x.Break(c.err)
			rec := x.do(t, "GET", "/v1/overview", "")
			p := problemIn(t, rec)
			if rec.Code != c.status || p.Code != c.code || p.Detail != c.detail {
				t.Errorf("got %d %+v, want %d %s %q", rec.Code, p, c.status, c.code, c.detail)
			}
			if strings.Contains(rec.Body.String(), "hunter2") {
				t.Error("the inner cause reached the caller")
			}
			if p.Instance == "" || p.Instance != rec.Header().Get("X-Request-Id") || !strings.Contains(x.log.String(), p.Instance) {
				t.Errorf("instance %q is not the request's id in header and log", p.Instance)
			}
			if c.status >= 500 && strings.Contains(c.err.Error(), "hunter2") && !strings.Contains(x.log.String(), "hunter2") {
				t.Error("the log does not have the cause")
			}
		})
	}
}

func TestWrongInput_is_named_and_not_echoed(t *testing.T) {
	x := newHouse(t)
	for _, c := range []struct{ name, method, path, body, at string }{
		{"a number as password", "POST", "/v1/users", `{"name":"x","password":12345678,"parts":[]}`, "body.password"},
		{"an unknown field", "POST", "/v1/users", `{"name":"x","password":"swordfish-is-secret","parts":[],"isAdmin":true}`, "body.isAdmin"},
		{"a part that is none", "POST", "/v1/users", `{"name":"x","password":"swordfish-is-secret","parts":["god"]}`, "body.parts[0]"},
		{"a field is missing", "POST", "/v1/users", `{"name":"x","parts":[]}`, "body"},
		{"an unknown query", "GET", "/v1/devices?colour=red", "", "query.colour"},
		{"a limit too large", "GET", "/v1/devices?limit=100000", "", "query.limit"},
		{"a grade that is none", "GET", "/v1/devices?grade=superb", "", "query.grade"},
		{"a time that is none", "GET", "/v1/audit?before=yesterday", "", "query.before"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := x.do(t, c.method, c.path, c.body)
			p := problemIn(t, rec)
			if rec.Code != 422 || p.Code != ringwall.Invalid || len(p.Fields) == 0 || p.Fields[0].At != c.at {
				t.Errorf("got %d %+v, want 422 about %s", rec.Code, p, c.at)
			}
			for _, s := range []string{"12345678", "swordfish"} {
				if strings.Contains(rec.Body.String(), s) || strings.Contains(x.log.String(), s) {
					t.Errorf("a password came back or was logged: %s", rec.Body)
				}
			}
		})
	}
	for _, c := range []struct {
		name, body string
		status     int
	}{
		{"not JSON", `{"name":`, 400},
		{"not UTF-8", "\xff\xfe\x00", 400},
		{"no body", "", 400},
		{"a giant", `{"name":"` + strings.Repeat("x", 5<<20) + `"}`, 413},
		{"deep", strings.Repeat("[", 200_000), 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := x.do(t, "POST", "/v1/users", c.body)
			if p := problemIn(t, rec); rec.Code != c.status {
				t.Errorf("got %d %+v, want %d", rec.Code, p, c.status)
			}
		})
	}
	if rec := x.do(t, "POST", "/v1/users", "<x/>", "Content-Type", "application/xml"); rec.Code != 415 {
		t.Errorf("XML answers %d, want 415", rec.Code)
	}
	if rec := x.do(t, "GET", "/v1/nothing-here", ""); rec.Code != 404 || problemIn(t, rec).Code != ringwall.NotFound {
		t.Errorf("an unknown resource answers %d", rec.Code)
	}
}

func TestLists_are_paged_and_never_null(t *testing.T) {
	x := newHouse(t)
	seen := map[ringwall.DeviceID]bool{}
	cursor := ""
	for pages := 0; ; pages++ {
		if pages > 10 {
			t.Fatal("the cursor never ends")
		}
		rec := x.do(t, "GET", "/v1/devices?limit=2&cursor="+cursor, "")
		var p api.Page[api.Device]
		if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil || rec.Code != 200 {
			t.Fatalf("%d %v %s", rec.Code, err, rec.Body)
		}
		for _, d := range p.Items {
			if seen[d.ID] {
				t.Errorf("%s came twice", d.ID)
			}
			seen[d.ID] = true
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d devices came, want 5", len(seen))
	}
	// The newcomer has neither holds nor terms: [] and not null.
	body := x.do(t, "GET", "/v1/devices/"+string(x.Newcomer), "").Body.String()
	for _, want := range []string{`"holds":[]`, `"terms":[]`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in %s", want, body)
		}
	}
	if body := x.do(t, "GET", "/v1/devices?text=nobody", "").Body.String(); !strings.Contains(body, `"items":[]`) {
		t.Errorf("an empty list is %s", body)
	}
}

func TestPatchDevice_minds_the_version(t *testing.T) {
	x := newHouse(t)
	path := "/v1/devices/" + string(x.GoodCamera)
	tag := x.do(t, "GET", path, "").Header().Get("ETag")
	if tag != `"v7"` {
		t.Fatalf("ETag = %q", tag)
	}
	rec := x.do(t, "PATCH", path, `{"mode":"shadow"}`, "If-Match", tag)
	if rec.Code != 200 || rec.Header().Get("ETag") != `"v8"` || !strings.Contains(rec.Body.String(), `"mode":"shadow"`) {
		t.Errorf("the first change answers %d %s %s", rec.Code, rec.Header().Get("ETag"), rec.Body)
	}
	if rec := x.do(t, "PATCH", path, `{"mode":"learn"}`, "If-Match", tag); rec.Code != 412 || problemIn(t, rec).Code != ringwall.Conflict {
		t.Errorf("a stale change answers %d", rec.Code)
	}
	for _, bad := range []string{"v8", `W/"v8"`, `"8"`, `"v-1"`, `"v0"`, `"v99999999999999999999"`} {
		if rec := x.do(t, "PATCH", path, `{"mode":"learn"}`, "If-Match", bad); rec.Code != 422 {
			t.Errorf("If-Match %s answers %d, want 422", bad, rec.Code)
		}
	}
	if rec := x.do(t, "PATCH", path, `{"mode":"learn"}`, "If-Match", "*"); rec.Code != 200 {
		t.Errorf("If-Match * answers %d", rec.Code)
	}
}

func TestIdempotencyKey(t *testing.T) {
	x := newHouse(t)
	make := func(key, body string, header ...string) *httptest.ResponseRecorder {
		return x.do(t, "POST", "/v1/tokens", body, append([]string{"Idempotency-Key", key}, header...)...)
	}
	const body = `{"name":"ci","parts":["owner"]}`
	first, again := make("k1", body), make("k1", body)
	if first.Code != 201 || again.Code != 201 || first.Body.String() != again.Body.String() {
		t.Fatalf("the same request twice answers\n%d %s\n%d %s", first.Code, first.Body, again.Code, again.Body)
	}
	if again.Header().Get("Idempotency-Replayed") != "true" || again.Header().Get("X-Request-Id") == first.Header().Get("X-Request-Id") {
		t.Error("the repeat does not say that it is one, or has the first one's id")
	}
	if other := make("k2", body); other.Body.String() == first.Body.String() {
		t.Error("another key gives the same token")
	}
	if rec := make("k1", `{"name":"other","parts":["owner"]}`); rec.Code != 422 {
		t.Errorf("the key with another body answers %d, want 422", rec.Code)
	}
	if rec := make("k1", body, "Authorization", "Bearer "+x.StrangerToken); rec.Body.String() == first.Body.String() {
		t.Error("another actor was given the first one's answer")
	}
	if rec := make(strings.Repeat("k", 200), body); rec.Code != 422 {
		t.Errorf("a giant key answers %d", rec.Code)
	}
	// A refusal is not kept: the next try is a try.
	x.Break(ringwall.Errorf(ringwall.Unavailable, "the store is away"))
	if rec := make("k3", body); rec.Code != 503 {
		t.Fatalf("broken: %d", rec.Code)
	}
	x.Break(nil)
	if rec := make("k3", body); rec.Code != 201 {
		t.Errorf("after a refusal the key answers %d, want 201", rec.Code)
	}
	x.now.Add(2 * time.Hour)
	if rec := make("k1", body); rec.Body.String() == first.Body.String() {
		t.Error("the answer was kept for two hours")
	}
}

// TestReveal_is_not_kept: each answer with numbers is a request of its own, which is
// written down; none is kept to be given again, by us or on the way.
func TestReveal_is_not_kept(t *testing.T) {
	x := newHouse(t)
	path := "/v1/sims/" + string(x.MeterSIM) + "/reveal"
	reveals := func() (n int) {
		all, err := x.Audit(t.Context(), x.Owner, time.Time{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.Act == "sim.reveal" {
				n++
			}
		}
		return n
	}
	for i := range 3 {
		rec := x.do(t, "POST", path, `{"reason":"hotline, ticket 4711"}`, "Idempotency-Key", "same")
		if rec.Code != 200 || !strings.Contains(rec.Body.String(), httpapitest.RevealedIMSI) || rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Idempotency-Replayed") != "" {
			t.Fatalf("%d %v: %s", rec.Code, rec.Header(), rec.Body)
		}
		if got := reveals(); got != i+1 {
			t.Errorf("after %d answers %d are written down", i+1, got)
		}
	}
	for _, body := range []string{`{}`, `{"reason":"no"}`, `{"reason":"` + strings.Repeat("x", 201) + `"}`} {
		if rec := x.do(t, "POST", path, body); rec.Code != 422 {
			t.Errorf("%.30s: %d, want 422", body, rec.Code)
		}
	}
	if rec := x.do(t, "GET", path+"?reason=hotline", ""); rec.Code < 400 {
		t.Errorf("by GET, which stands in logs: %d", rec.Code)
	}
	if strings.Contains(x.log.String(), httpapitest.RevealedIMSI) || strings.Contains(x.log.String(), httpapitest.RevealedICCID) {
		t.Error("the log has a number")
	}
}

func TestIdempotencyKey_at_once(t *testing.T) {
	x := newHouse(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			rec := x.do(t, "POST", "/v1/enrol-tokens", "", "Idempotency-Key", "same")
			if rec.Code != 201 && rec.Code != 409 {
				t.Errorf("answers %d", rec.Code)
			}
		})
	}
	wg.Wait()
	rec := x.do(t, "GET", "/v1/audit", "")
	if n := strings.Count(rec.Body.String(), "gateway.enrol"); n != 1 {
		t.Errorf("the act was done %d times, want once", n)
	}
}

func TestSession(t *testing.T) {
	x := newHouse(t, func(c *httpapi.Config) { c.Secure = true })
	rec := x.do(t, "POST", "/v1/session", `{"name":"owner","password":"`+x.OwnerPassword+`"}`, "Authorization", "")
	if rec.Code != 200 {
		t.Fatalf("login answers %d %s", rec.Code, rec.Body)
	}
	k := rec.Result().Cookies()[0]
	if k.Name != "__Host-ringwall_session" || !k.HttpOnly || !k.Secure || k.SameSite != http.SameSiteLaxMode || k.Path != "/" || k.Domain != "" {
		t.Errorf("the cookie is %+v", k)
	}
	cookie := k.Name + "=" + k.Value
	if rec := x.do(t, "GET", "/v1/me", "", "Authorization", "", "Cookie", cookie); rec.Code != 200 || !strings.Contains(rec.Body.String(), x.Owner.ID) {
		t.Errorf("with the cookie: %d %s", rec.Code, rec.Body)
	}
	// A foreign page cannot act with it, a page of ours can.
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 201} {
		if rec := x.do(t, "POST", "/v1/enrol-tokens", "", "Authorization", "", "Cookie", cookie, "Sec-Fetch-Site", site); rec.Code != want {
			t.Errorf("a POST from %s answers %d, want %d", site, rec.Code, want)
		}
	}
	if rec := x.do(t, "DELETE", "/v1/session", "", "Authorization", "", "Cookie", cookie); rec.Code != 204 {
		t.Errorf("logout answers %d %s", rec.Code, rec.Body)
	}
	if rec := x.do(t, "GET", "/v1/me", "", "Authorization", "", "Cookie", cookie); rec.Code != 401 {
		t.Errorf("after logout the cookie answers %d", rec.Code)
	}
	if strings.Contains(x.log.String(), k.Value) || strings.Contains(x.log.String(), x.OwnerPassword) {
		t.Error("a secret was logged")
	}
}

func TestGuessing_is_slowed_down(t *testing.T) {
	x := newHouse(t)
	guess := func() int {
		return x.do(t, "POST", "/v1/session", `{"name":"owner","password":"guess"}`, "Authorization", "").Code
	}
	for i := range 10 {
		if got := guess(); got != 401 {
			t.Fatalf("guess %d answers %d, want 401", i, got)
		}
	}
	if got := guess(); got != 429 {
		t.Errorf("guess 11 answers %d, want 429", got)
	}
	if rec := x.do(t, "POST", "/v1/enrol", `{"token":"x","csr":"y"}`, "Authorization", ""); rec.Code != 429 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("enrolment from the same address answers %d", rec.Code)
	}
	x.now.Add(10 * time.Second)
	if rec := x.do(t, "POST", "/v1/session", `{"name":"owner","password":"`+x.OwnerPassword+`"}`, "Authorization", ""); rec.Code != 200 {
		t.Errorf("after a while the right password answers %d", rec.Code)
	}
}

func TestEvents_come_as_they_happen(t *testing.T) {
	x := newHouse(t)
	srv := httptest.NewServer(x.h)
	defer srv.Close()
	req, _ := http.NewRequestWithContext(t.Context(), "GET", srv.URL+"/v1/events", nil)
	req.Header.Set("Authorization", "Bearer "+x.OwnerToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if ct := resp.Header.Get("Content-Type"); ct != "text/event-stream" {
		t.Fatalf("Content-Type = %q", ct)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Scan() // ": open"
	// A stranger's event is not ours, the owner's is.
	if _, err := x.CreateResponse(t.Context(), x.Stranger, api.ResponseCreate{Kind: "quarantine", Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: foreignDevice(x)}}); err != nil {
		t.Fatal(err)
	}
	if rec := x.do(t, "PATCH", "/v1/devices/"+string(x.GoodCamera), `{"mode":"learn"}`); rec.Code != 200 {
		t.Fatal(rec.Body)
	}
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e ringwall.Event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		if e.Kind != ringwall.EventDeviceMode || e.Subject.ID != string(x.GoodCamera) || e.Org != x.Owner.Org {
			t.Errorf("the first event is %+v", e)
		}
		return
	}
	t.Fatal("no event came")
}

func foreignDevice(x *house) string {
	for _, id := range x.IDs.Foreign {
		if ringwall.ValidID(ringwall.PrefixDevice, id) {
			return id
		}
	}
	return ""
}

func TestKeepersOnly(t *testing.T) {
	x := newHouse(t)
	ask := func(remote, token string, header ...string) int {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.RemoteAddr = remote
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		rec := httptest.NewRecorder()
		x.h.ServeHTTP(rec, r)
		if rec.Code == 200 && !strings.Contains(rec.Body.String(), "ringwall_http_requests_in_flight") {
			t.Errorf("the metrics hold nothing of ours")
		}
		return rec.Code
	}
	for _, c := range []struct {
		name string
		got  int
		want int
	}{
		{"this machine", ask("127.0.0.1:999", ""), 200},
		{"a proxy on this machine", ask("127.0.0.1:999", "", "X-Forwarded-For", "203.0.113.9"), 401},
		{"a network", ask("203.0.113.9:999", ""), 401},
		{"an owner who keeps the platform", ask("203.0.113.9:999", x.OwnerToken), 200},
		{"an owner who does not", ask("203.0.113.9:999", x.StrangerToken), 403},
	} {
		if c.got != c.want {
			t.Errorf("%s: metrics answer %d, want %d", c.name, c.got, c.want)
		}
	}
}

func TestHealth(t *testing.T) {
	ready := errors.New("the spine is away at 10.0.0.3")
	x := newHouse(t, func(c *httpapi.Config) { c.Ready = func(context.Context) error { return ready } })
	if rec := x.do(t, "GET", "/healthz", "", "Authorization", ""); rec.Code != 200 {
		t.Errorf("healthz answers %d", rec.Code)
	}
	if rec := x.do(t, "GET", "/readyz", "", "Authorization", ""); rec.Code != 503 || strings.Contains(rec.Body.String(), "10.0.0.3") || !strings.Contains(x.log.String(), "10.0.0.3") {
		t.Errorf("readyz answers %d %s", rec.Code, rec.Body)
	}
	ready = nil
	if rec := x.do(t, "GET", "/readyz", "", "Authorization", ""); rec.Code != 200 {
		t.Errorf("readyz answers %d", rec.Code)
	}
}

func TestRequestEvent_once_and_without_ids(t *testing.T) {
	x := newHouse(t)
	x.do(t, "GET", "/v1/devices/"+string(x.BadCamera)+"/flows?verdict=refused", "")
	out := strings.TrimSpace(x.log.String())
	if strings.Count(out, "\n") != 0 {
		t.Errorf("one request makes these lines:\n%s", out)
	}
	for _, want := range []string{`"route":"GET /v1/devices/{id}/flows"`, `"status":200`, `"actor":"` + x.Owner.ID, `"org":"` + string(x.Owner.Org)} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	for _, bad := range []string{string(x.BadCamera), "verdict=", x.OwnerToken} {
		if strings.Contains(out, bad) {
			t.Errorf("%s is in %s", bad, out)
		}
	}
}

func TestConsole_stands_behind_the_same_wrapper(t *testing.T) {
	x := newHouse(t, func(c *httpapi.Config) {
		c.Console = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("a page broke")
			}
			if _, err := io.ReadAll(r.Body); err != nil {
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			}
		})
	})
	if rec := x.do(t, "GET", "/", ""); rec.Code != 200 || rec.Header().Get("X-Request-Id") == "" || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the console answers %d %v", rec.Code, rec.Header())
	}
	if rec := x.do(t, "POST", "/", "x", "Sec-Fetch-Site", "cross-site"); rec.Code != 403 {
		t.Errorf("a foreign page's POST to the console answers %d", rec.Code)
	}
	if rec := x.do(t, "POST", "/", strings.Repeat("x", 5<<20)); rec.Code != 413 {
		t.Errorf("a giant answers %d", rec.Code)
	}
	if rec := x.do(t, "GET", "/panic", ""); rec.Code != 500 || !strings.Contains(x.log.String(), "a page broke") {
		t.Errorf("a panic answers %d", rec.Code)
	}
}
