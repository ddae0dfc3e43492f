package console_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/console"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/httpapi/httpapitest"
)

// site is the console over a world, behind the API's wrapper.
type site struct {
	*httpapitest.World
	h       http.Handler
	log     *bytes.Buffer
	nothing string // token of somebody whose organisation has nothing
}

func newSite(t *testing.T) *site {
	t.Helper()
	now := time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC)
	w := httpapitest.NewWorld(func() time.Time { return now })
	log := &bytes.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	c, err := console.New(console.Config{Service: w, Log: logger, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{World: w, log: log, nothing: "rwt_NOTHINGTOKENOFTHETESTWORLD"}
	w.Grant(audit.Actor{Kind: audit.KindUser, ID: "usr_nothing", Org: "org_nothing", Parts: []ringwall.Part{ringwall.PartOwner}}, "nothing", "a long password", s.nothing)
	s.h = httpapi.New(httpapi.Config{Service: w, Log: logger, Now: func() time.Time { return now }, Console: c})
	return s
}

// ask asks for a page; header are pairs. A value that starts with "rwt_" as
// Authorization is a token.
func (s *site) ask(t *testing.T, method, path string, form url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(form.Encode()))
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	r.Header.Set("Authorization", "Bearer "+s.OwnerToken)
	for i := 0; i+1 < len(header); i += 2 {
		v := header[i+1]
		if header[i] == "Authorization" && v != "" {
			v = "Bearer " + v
		}
		r.Header.Set(header[i], v)
		if v == "" {
			r.Header.Del(header[i])
		}
	}
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	return rec
}

// pages lists every page with a thing of each kind.
func (s *site) pages() []string {
	return []string{
		"/", "/devices", "/devices?grade=high&trust=T1&presence=online&enrolled=true&text=door", "/devices?text=nothing-like-that",
		"/devices/" + string(s.BadCamera), "/devices/" + string(s.GoodCamera), "/devices/" + string(s.Meter), "/devices/" + string(s.Newcomer),
		"/devices/" + string(s.BadCamera) + "?before=2026-11-21T19:00:00Z", "/devices/" + string(s.BadCamera) + "?done=assess",
		"/incidents", "/incidents?all=1", "/incidents/" + string(s.Attack), "/incidents/" + string(s.OldIncident),
		"/gateways", "/gateways/" + string(s.House), "/gateways/" + string(s.Shed), "/gateways?flag=drift",
		"/groups", "/groups/" + s.idOf(ringwall.PrefixGroup), "/rollouts", "/rollouts/" + s.idOf(ringwall.PrefixRollout), "/templates", "/devices/" + string(s.GoodCamera) + "/policy",
		"/sims", "/sims/" + string(s.MeterSIM), "/sims?list=separated", "/sims?customer=Water+works", "/sim-fleet", "/sim-fleet/devices", "/usage-rules", "/usage-rules?all=1", "/warnings", "/audit", "/people",
		"/flows", "/flows?device=" + string(s.BadCamera), "/flows?verdict=refused&reason=default&remote=203.0.113.0/24&port=23&name=*.example", "/flows/" + s.flowID(),
		"/mud", "/devices/" + string(s.GoodCamera) + "/mud", "/devices/" + string(s.BadCamera) + "/mud", "/devices/" + string(s.Meter) + "/mud", "/devices/" + string(s.Newcomer) + "/mud",
		"/tunnels", "/tunnels?device=" + string(s.BadCamera),
		"/tasks", "/tasks?status=all&party=manufacturer", "/tasks?status=done", "/assessing", "/devices/" + string(s.BadCamera) + "/questionnaire",
	}
}

// flowID names one of the house's flow reports.
func (s *site) flowID() string {
	for _, id := range s.IDs.Own {
		if ringwall.ValidID(ringwall.PrefixFlow, id) {
			return id
		}
	}
	panic("the world has no flow report")
}

func TestPages_in_every_state(t *testing.T) {
	s := newSite(t)
	broken := newSite(t)
	broken.Break(&ringwall.Error{Code: ringwall.Unavailable, Text: "the store is away", Hint: "wait"})
	crashed := newSite(t)
	crashed.Break(http.ErrServerClosed)
	hostile := newSite(t)
	hostile.furnishHostile(t)
	seen := 0
	for _, lang := range []string{"en", "zh-CN"} {
		for _, st := range []struct {
			name   string
			s      *site
			token  string
			status int
		}{
			{"full", s, s.OwnerToken, 200},
			{"auditor", s, s.AuditorToken, 200},
			{"nothing", s, s.nothing, 0}, // lists are empty, things are not there
			{"unavailable", broken, broken.OwnerToken, 503},
			{"crashed", crashed, crashed.OwnerToken, 500},
			{"hostile", hostile, hostile.OwnerToken, 200},
		} {
			for _, path := range st.s.pages() {
				t.Run(lang+"/"+st.name+path, func(t *testing.T) {
					seen++
					rec := st.s.ask(t, "GET", path, nil, "Authorization", st.token, "Accept-Language", lang)
					want := st.status
					if want == 0 {
						want = 200
						if strings.Contains(path, "_") {
							want = 404
						}
					}
					if rec.Code != want {
						t.Fatalf("status %d, want %d\n%s", rec.Code, want, st.s.log)
					}
					d := parse(t, rec.Body.Bytes())
					d.wellMade(t)
					if got := d.attr("html", "lang"); got != lang {
						t.Errorf("the page is in %q", got)
					}
					for _, bad := range []string{"⟦", "%!", "<no value>", "ZgotmplZ"} {
						if strings.Contains(rec.Body.String(), bad) {
							t.Errorf("%q is on the page", bad)
						}
					}
					if strings.Contains(rec.Body.String(), "Server closed") {
						t.Error("the cause of a failure is on the page")
					}
					frag := st.s.ask(t, "GET", path, nil, "Authorization", st.token, "Accept-Language", lang, "HX-Request", "true").Body.String()
					if strings.Contains(frag, "<html") || strings.Count(frag, `<main id="main"`) != 1 || !strings.HasPrefix(frag, "<title>") {
						t.Errorf("the fragment begins %.80q", frag)
					}
				})
			}
		}
	}
	if seen < 200 {
		t.Errorf("only %d pages were seen", seen)
	}
}

func TestPages_unknown_is_drawn_as_unknown(t *testing.T) {
	s := newSite(t)
	d := parse(t, s.ask(t, "GET", "/devices/"+string(s.Newcomer), nil).Body.Bytes())
	for _, class := range []string{"grade-unknown", "presence-unknown", "trust-T0"} {
		if !d.has(class) {
			t.Errorf("no %s on the page of a device of which nothing is known", class)
		}
	}
	for _, class := range []string{"grade-low", "presence-online", "outcome-pass", "trust-T3", "trust-T4"} {
		if d.has(class) {
			t.Errorf("%s is on the page of a device of which nothing is known", class)
		}
	}
	if text := d.text(); !strings.Contains(text, "not been assessed") || !strings.Contains(text, "non-self") {
		t.Errorf("the page does not say what is not known: %s", text)
	}
	// What the assessment did not measure is unknown, not zero risk.
	d = parse(t, s.ask(t, "GET", "/devices/"+string(s.BadCamera), nil).Body.Bytes())
	if !d.has("outcome-unknown") {
		t.Error("the module that was not measured is not drawn as unknown")
	}
	// A count under a name that this console does not know is unknown.
	d = parse(t, s.ask(t, "GET", "/", nil).Body.Bytes())
	if !d.has("grade-unknown") || !d.has("presence-unknown") {
		t.Error("the rings do not show what is unknown")
	}
}

func TestPages_what_a_device_calls_itself_is_text(t *testing.T) {
	s := newSite(t)
	s.furnishHostile(t)
	for _, path := range s.pages() {
		body := s.ask(t, "GET", path, nil).Body
		d := parse(t, body.Bytes())
		if n := d.count("script"); n != 2 {
			t.Errorf("%s has %d scripts, want our two", path, n)
		}
		if d.count("img") > 1 || d.count("iframe") > 0 {
			t.Errorf("%s has foreign elements", path)
		}
	}
	d := parse(t, s.ask(t, "GET", "/devices/"+string(s.GoodCamera), nil).Body.Bytes())
	if !strings.Contains(d.text(), hostileName) {
		t.Error("the name is not shown as it is")
	}
}

func TestPages_every_link_leads_somewhere(t *testing.T) {
	s := newSite(t)
	queue, seen := []string{"/"}, map[string]bool{"/": true}
	for len(queue) > 0 && len(seen) < 500 {
		path := queue[0]
		queue = queue[1:]
		rec := s.ask(t, "GET", path, nil)
		if rec.Code != 200 {
			t.Errorf("%s answers %d", path, rec.Code)
			continue
		}
		if !strings.HasPrefix(rec.Header().Get("Content-Type"), "text/html") {
			continue
		}
		for _, to := range parse(t, rec.Body.Bytes()).links() {
			if strings.HasPrefix(to, "?") {
				base, _, _ := strings.Cut(path, "?")
				to = base + to
			}
			if strings.HasPrefix(to, "/") && !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d addresses were found", len(seen))
	}
}

func TestHeaders(t *testing.T) {
	s := newSite(t)
	h := s.ask(t, "GET", "/", nil).Header()
	csp := h.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy %q has no %s", csp, want)
		}
	}
	if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
		t.Errorf("the policy %q is no policy", csp)
	}
	if h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(h.Get("Vary"), "HX-Request") {
		t.Errorf("headers %v", h)
	}
	// Assets are kept for ever under the hash of their content.
	for _, to := range parse(t, s.ask(t, "GET", "/", nil).Body.Bytes()).links() {
		if !strings.HasPrefix(to, "/static/") {
			continue
		}
		rec := s.ask(t, "GET", to, nil, "Authorization", "")
		if rec.Code != 200 || !strings.Contains(rec.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s answers %d %v", to, rec.Code, rec.Header())
		}
		if rec := s.ask(t, "GET", strings.Replace(to, "/static/", "/static/0", 1), nil); rec.Code != 404 {
			t.Errorf("another hash answers %d", rec.Code)
		}
	}
}

func TestLogin(t *testing.T) {
	s := newSite(t)
	// A page leads to the login and back.
	rec := s.ask(t, "GET", "/devices?grade=high", nil, "Authorization", "")
	if rec.Code != 303 || rec.Header().Get("Location") != "/login?next=%2Fdevices%3Fgrade%3Dhigh" {
		t.Fatalf("without a session: %d %s", rec.Code, rec.Header().Get("Location"))
	}
	if rec := s.ask(t, "GET", "/", nil, "Authorization", "", "HX-Request", "true"); rec.Header().Get("HX-Redirect") != "/login" {
		t.Errorf("a fragment without a session: %d %v", rec.Code, rec.Header())
	}
	form := parse(t, s.ask(t, "GET", "/login?next=/devices%3Fgrade%3Dhigh", nil, "Authorization", "").Body.Bytes())
	form.wellMade(t)
	rec = s.ask(t, "POST", "/login", url.Values{"name": {"owner"}, "password": {"wrong"}, "next": {"/devices"}}, "Authorization", "")
	if d := parse(t, rec.Body.Bytes()); rec.Code != 401 || !d.has("bad") || strings.Contains(rec.Body.String(), "wrong\"") {
		t.Errorf("a wrong password: %d %s", rec.Code, rec.Body)
	}
	for next, want := range map[string]string{
		"/devices?grade=high": "/devices?grade=high", "": "/", "https://evil.example/": "/", "//evil.example": "/", "/\\evil.example": "/", "/login": "/", "/a\r\nSet-Cookie: x=y": "/",
	} {
		rec = s.ask(t, "POST", "/login", url.Values{"name": {"owner"}, "password": {s.OwnerPassword}, "next": {next}}, "Authorization", "")
		if rec.Code != 303 || rec.Header().Get("Location") != want {
			t.Errorf("next %q leads to %d %q, want %q", next, rec.Code, rec.Header().Get("Location"), want)
		}
	}
	cookie := rec.Result().Cookies()[0]
	with := []string{"Authorization", "", "Cookie", cookie.Name + "=" + cookie.Value}
	if rec := s.ask(t, "GET", "/", nil, with...); rec.Code != 200 {
		t.Errorf("with the session: %d", rec.Code)
	}
	if rec := s.ask(t, "POST", "/logout", nil, with...); rec.Code != 303 {
		t.Errorf("logout: %d", rec.Code)
	}
	if rec := s.ask(t, "GET", "/", nil, with...); rec.Code != 303 {
		t.Errorf("after logout: %d", rec.Code)
	}
	for range 12 {
		rec = s.ask(t, "POST", "/login", url.Values{"name": {"owner"}, "password": {"guess"}}, "Authorization", "")
	}
	if rec.Code != 429 {
		t.Errorf("the twelfth guess answers %d", rec.Code)
	}
}

func TestActs_without_script(t *testing.T) {
	s := newSite(t)
	dev := func(id ringwall.DeviceID) string { return "/devices/" + string(id) }
	for _, c := range []struct {
		name, path string
		form       url.Values
		to         string // where it leads; "" = refused, on the same page
		status     int
		check      func() string // what is wrong, if anything
	}{
		{name: "mode", path: dev(s.GoodCamera) + "/mode", form: url.Values{"mode": {"learn"}}, to: dev(s.GoodCamera) + "?done=mode", check: func() string {
			if d, _ := s.Device(t.Context(), s.Owner, s.GoodCamera); d.Mode != ringwall.Learn {
				return "mode " + d.Mode.String()
			}
			return ""
		}},
		{name: "a mode that is none", path: dev(s.GoodCamera) + "/mode", form: url.Values{"mode": {"<b>"}}, status: 422},
		{name: "enrol", path: dev(s.Newcomer) + "/enrol", form: url.Values{"enrolled": {"true"}}, to: dev(s.Newcomer) + "?done=enrolled"},
		{name: "revoke", path: dev(s.Newcomer) + "/enrol", form: url.Values{"enrolled": {"false"}}, to: dev(s.Newcomer) + "?done=revoked"},
		{name: "name", path: dev(s.Newcomer) + "/name", form: url.Values{"name": {" Lamp "}, "type": {"hub"}}, to: dev(s.Newcomer) + "?done=named", check: func() string {
			if d, _ := s.Device(t.Context(), s.Owner, s.Newcomer); d.Name != "Lamp" || d.Type != "hub" {
				return d.Name + d.Type
			}
			return ""
		}},
		{name: "no name", path: dev(s.Newcomer) + "/name", form: url.Values{"name": {"  "}}, status: 422},
		{name: "assess", path: dev(s.BadCamera) + "/assess", to: dev(s.BadCamera) + "?done=assess"},
		{name: "quarantine", path: dev(s.GoodCamera) + "/restrict", form: url.Values{"kind": {"quarantine"}}, to: dev(s.GoodCamera) + "?done=restricted"},
		{name: "a restriction that is none", path: dev(s.GoodCamera) + "/restrict", form: url.Values{"kind": {"explode"}}, status: 422},
		{name: "release", path: dev(s.BadCamera) + "/responses/" + string(s.Done), form: url.Values{"decision": {"undo"}}, to: dev(s.BadCamera) + "?done=undo", check: func() string {
			if d, _ := s.Device(t.Context(), s.Owner, s.BadCamera); len(d.Holds) != 0 {
				return "held still"
			}
			return ""
		}},
		{name: "release again", path: "/incidents/" + string(s.Attack) + "/responses/" + string(s.Done), form: url.Values{"decision": {"undo"}}, status: 409},
		{name: "approve from the overview", path: "/responses/" + string(s.Waiting), form: url.Values{"decision": {"approve"}}, to: "/?done=approve"},
		{name: "a decision that is none", path: "/responses/" + string(s.Waiting), form: url.Values{"decision": {"maybe"}}, status: 422},
		{name: "take up", path: "/incidents/" + string(s.Attack), form: url.Values{"status": {"triaged"}}, to: "/incidents/" + string(s.Attack) + "?done=status"},
		{name: "disposition", path: "/incidents/" + string(s.Attack), form: url.Values{"disposition": {"true"}}, to: "/incidents/" + string(s.Attack) + "?done=disposition"},
		{name: "nothing decided", path: "/incidents/" + string(s.Attack), status: 422},
		{name: "attack", path: "/demo", form: url.Values{"attack": {"beacon"}}, to: "/?done=attack"},
		{name: "an attack that is none", path: "/demo", form: url.Values{"attack": {"rm -rf"}}, status: 404},
		{name: "gateway", path: "/gateways/" + string(s.House), form: url.Values{"name": {"Cellar"}, "arrival": {"enforce"}}, to: "/gateways/" + string(s.House) + "?done=saved"},
		{name: "sim", path: "/sims", form: url.Values{"iccid": {"8986 0012 3456 7890 1234"}, "imsi": {"460011234567890"}, "services": {"data"}}, to: "/sims?done=sim"},
		{name: "half a sim", path: "/sims", form: url.Values{"iccid": {"8986"}}, status: 422},
		{name: "suspend", path: "/sims/" + string(s.MeterSIM) + "/suspend", to: "/sims/" + string(s.MeterSIM) + "?done=suspended"},
		{name: "suspend for a time that is none", path: "/sims/" + string(s.MeterSIM) + "/suspend", form: url.Values{"hours": {"long"}}, status: 422},
		{name: "whose card", path: "/sims/" + string(s.MeterSIM) + "/set", form: url.Values{"customer": {"Gas works"}}, to: "/sims/" + string(s.MeterSIM) + "?done=saved", check: func() string {
			if c, _ := s.SIM(t.Context(), s.Owner, s.MeterSIM); c.Customer != "Gas works" {
				return c.Customer
			}
			return ""
		}},
		{name: "restrict nothing", path: "/sims/" + string(s.MeterSIM) + "/restrict", form: url.Values{"rate": {"x"}}, status: 422},
		{name: "judge an alert", path: "/sims/" + string(s.MeterSIM) + "/alerts/" + s.idOf(ringwall.PrefixAlert), form: url.Values{"disposition": {"benign"}, "days": {"3"}}, to: "/sims/" + string(s.MeterSIM) + "?done=disposition"},
		{name: "judge by a word that is none", path: "/sims/" + string(s.MeterSIM) + "/alerts/" + s.idOf(ringwall.PrefixAlert), form: url.Values{"disposition": {"odd"}}, status: 422},
		{name: "settings", path: "/usage-rules/save", form: url.Values{"settings": {`{"fixed":true}`}, "customer": {"Gas works"}}, to: "/usage-rules?done=saved"},
		{name: "settings that are none", path: "/usage-rules/save", form: url.Values{"settings": {`{"fixd":true}`}}, status: 422},
		{name: "settings undone", path: "/usage-rules/undo", form: url.Values{"customer": {"Gas works"}}, to: "/usage-rules?done=undo"},
		{name: "a window", path: "/usage-rules/exceptions", form: url.Values{"hours": {"5"}, "reason": {"new firmware"}}, to: "/usage-rules?done=saved"},
		{name: "a window without a reason", path: "/usage-rules/exceptions", form: url.Values{"hours": {"5"}}, status: 422},
		{name: "an exception ended", path: "/usage-rules/exceptions/" + s.idOf(ringwall.PrefixException), to: "/usage-rules?done=saved"},
		{name: "a test warning", path: "/warnings/" + s.idOf(ringwall.PrefixRoute), form: url.Values{"do": {"test"}}, to: "/warnings?done=asked"},
		{name: "user", path: "/people/users", form: url.Values{"name": {"mei"}, "password": {"a long password"}, "parts": {"owner"}}, to: "/people?done=user"},
		{name: "a short password", path: "/people/users", form: url.Values{"name": {"li"}, "password": {"short"}}, status: 422},
		{name: "a device of nobody", path: "/devices/dev_0/mode", form: url.Values{"mode": {"learn"}}, status: 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := s.ask(t, "POST", c.path, c.form)
			if c.to != "" {
				if rec.Code != 303 || rec.Header().Get("Location") != c.to {
					t.Fatalf("leads to %d %q, want %q: %s", rec.Code, rec.Header().Get("Location"), c.to, rec.Body)
				}
				d := parse(t, s.ask(t, "GET", c.to, nil).Body.Bytes())
				if !d.has("good") {
					t.Error("the page does not say that it was done")
				}
			} else {
				d := parse(t, rec.Body.Bytes())
				d.wellMade(t)
				if rec.Code != c.status || !d.has("bad") && !d.has("failure") {
					t.Errorf("status %d, want %d, with the reason on the page", rec.Code, c.status)
				}
			}
			if c.check != nil {
				if wrong := c.check(); wrong != "" {
					t.Error(wrong)
				}
			}
			// An auditor may look, and not act.
			if c.to != "" {
				if rec := s.ask(t, "POST", c.path, c.form, "Authorization", s.AuditorToken); rec.Code != 403 && rec.Code != 409 {
					t.Errorf("for an auditor it answers %d", rec.Code)
				}
				if rec := s.ask(t, "POST", c.path, c.form, "Sec-Fetch-Site", "cross-site"); rec.Code != 403 {
					t.Errorf("from a foreign page it answers %d", rec.Code)
				}
				if rec := s.ask(t, "POST", c.path, c.form, "Authorization", s.StrangerToken); !strings.Contains(c.path, "/demo") && strings.Contains(c.path, "_") && rec.Code != 404 {
					t.Errorf("for a stranger it answers %d", rec.Code)
				}
			}
		})
	}
}

func TestSecrets_are_shown_once(t *testing.T) {
	s := newSite(t)
	rec := s.ask(t, "POST", "/gateways", nil, "Host", "ringwall.example")
	d := parse(t, rec.Body.Bytes())
	d.wellMade(t)
	text := d.text()
	if rec.Code != 200 || !strings.Contains(text, "ringwall-agent enrol -platform https://") || !strings.Contains(text, "rwe_") || rec.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the token's page: %d %s", rec.Code, text)
	}
	if strings.Contains(s.ask(t, "GET", "/gateways", nil).Body.String(), "rwe_") {
		t.Error("the enrolment token is shown again")
	}
	rec = s.ask(t, "POST", "/people/tokens", url.Values{"name": {"ci"}, "parts": {"owner"}, "days": {"7"}})
	d = parse(t, rec.Body.Bytes())
	d.wellMade(t)
	if rec.Code != 200 || !strings.Contains(d.text(), "rwt_") {
		t.Errorf("the token's page: %d %s", rec.Code, d.text())
	}
	if strings.Contains(s.ask(t, "GET", "/people", nil).Body.String(), "rwt_") || strings.Contains(s.log.String(), "rwt_") {
		t.Error("the API token is shown again, or logged")
	}
	if rec := s.ask(t, "POST", "/people/tokens", url.Values{"name": {"x"}, "parts": {"operator"}}); rec.Code != 403 || !parse(t, rec.Body.Bytes()).has("bad") {
		t.Errorf("a part that one does not play: %d", rec.Code)
	}
	toks, _ := s.Tokens(t.Context(), s.Owner)
	if rec := s.ask(t, "POST", "/people/tokens/"+string(toks[0].ID)+"/delete", nil); rec.Code != 303 {
		t.Errorf("deleting: %d", rec.Code)
	}
}

func TestTaste(t *testing.T) {
	s := newSite(t)
	rec := s.ask(t, "POST", "/language", url.Values{"language": {"zh-CN"}, "back": {"/devices"}}, "Authorization", "")
	k := rec.Result().Cookies()[0]
	if rec.Code != 303 || rec.Header().Get("Location") != "/devices" || k.Value != "zh-CN" {
		t.Errorf("language: %d %s %+v", rec.Code, rec.Header().Get("Location"), k)
	}
	if d := parse(t, s.ask(t, "GET", "/devices", nil, "Cookie", k.Name+"="+k.Value, "Accept-Language", "en").Body.Bytes()); d.attr("html", "lang") != "zh-CN" {
		t.Error("the choice does not hold")
	}
	rec = s.ask(t, "POST", "/theme", url.Values{"theme": {"dark"}, "back": {"https://evil.example"}}, "Authorization", "")
	k = rec.Result().Cookies()[0]
	if rec.Header().Get("Location") != "/" {
		t.Errorf("theme leads to %s", rec.Header().Get("Location"))
	}
	if d := parse(t, s.ask(t, "GET", "/", nil, "Cookie", k.Name+"="+k.Value).Body.Bytes()); d.attr("html", "data-theme") != "dark" {
		t.Error("the theme does not hold")
	}
	if d := parse(t, s.ask(t, "GET", "/", nil, "Cookie", k.Name+`="><script>`).Body.Bytes()); d.attr("html", "data-theme") != "" {
		t.Error("a theme that is none holds")
	}
}

// idOf names one of the house's own things.
func (s *site) idOf(prefix string) string {
	for _, id := range s.IDs.Own {
		if ringwall.ValidID(prefix, id) {
			return id
		}
	}
	panic("the world has no " + prefix)
}

// TestPolicy_is_explained_before_it_is_saved: the first form changes nothing and
// shows what would change; the second saves what was shown.
func TestPolicy_is_explained_before_it_is_saved(t *testing.T) {
	s := newSite(t)
	path := "/devices/" + string(s.GoodCamera) + "/policy"
	rec := s.ask(t, "POST", path+"/explain", url.Values{"draft": {"[]"}, "action": {"deny"}, "direction": {"from"}, "other": {"198.51.100.0/24"}, "service": {"tcp/443"}})
	body := rec.Body.String()
	if rec.Code != 200 || !strings.Contains(body, `id="would"`) || !strings.Contains(body, "deny-from-198.51.100.0-24-tcp-443") {
		t.Fatalf("%d: nothing is explained:\n%s", rec.Code, body)
	}
	v, err := s.DevicePolicy(t.Context(), s.Owner, s.GoodCamera)
	if err != nil || len(v.Owner) != 0 {
		t.Fatalf("explaining has saved %+v, %v", v.Owner, err)
	}
	draft := `[{"id":"a","action":"deny","direction":"from","cidr":"198.51.100.0/24","proto":"tcp"}]`
	if rec := s.ask(t, "POST", path, url.Values{"draft": {draft}}); rec.Code != 303 || rec.Header().Get("Location") != path+"?done=terms" {
		t.Errorf("saving answers %d, %q", rec.Code, rec.Header().Get("Location"))
	}
	if v, err = s.DevicePolicy(t.Context(), s.Owner, s.GoodCamera); err != nil || len(v.Owner) != 1 {
		t.Errorf("saved: %+v, %v", v.Owner, err)
	}
	for _, bad := range []string{"", "{}", `[{"idd":"a"}]`} {
		if rec := s.ask(t, "POST", path+"/explain", url.Values{"draft": {bad}}); rec.Code != 422 && rec.Code != 400 {
			t.Errorf("the draft %q answers %d", bad, rec.Code)
		}
	}
}

// TestUsageRules_are_tried_before_they_are_saved, and a route's secret is shown
// once.
func TestUsageRules_are_tried_before_they_are_saved(t *testing.T) {
	s := newSite(t)
	before, err := s.AllUsageSettings(t.Context(), s.Owner)
	if err != nil {
		t.Fatal(err)
	}
	rec := s.ask(t, "POST", "/usage-rules/try", url.Values{"settings": {`{"rules":{"separation":{"off":true}}}`}, "customer": {"Water works"}})
	d := parse(t, rec.Body.Bytes())
	d.wellMade(t)
	if rec.Code != 200 || !strings.Contains(d.text(), "1 would not be said") {
		t.Errorf("%d: %s", rec.Code, d.text())
	}
	if after, err := s.AllUsageSettings(t.Context(), s.Owner); err != nil || len(after) != len(before) || after[1].Version != before[1].Version {
		t.Errorf("trying has saved: %+v, %v", after, err)
	}
	rec = s.ask(t, "POST", "/warnings", url.Values{"party": {"enterprise"}, "name": {"desk"}, "url": {"https://hooks.example/x"}, "customer": {"Water works"}, "severity": {"medium"}})
	d = parse(t, rec.Body.Bytes())
	d.wellMade(t)
	if rec.Code != 200 || !strings.Contains(d.text(), "whsec_") {
		t.Errorf("%d: %s", rec.Code, d.text())
	}
	if strings.Contains(s.ask(t, "GET", "/warnings", nil).Body.String(), "whsec_") || strings.Contains(s.log.String(), "whsec_") {
		t.Error("the secret is shown again, or logged")
	}
}
