package console_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/console"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/httpapi/httpapitest"
)

// browser is a real Chromium looking at a console over a world.
type browser struct {
	t   *testing.T
	ctx context.Context
	url string
	w   *httpapitest.World
}

// newBrowser starts one, or skips loudly where there is no Chromium.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED, NOT TESTED: no Chromium here; install it to see the console in a real browser")
	}
	w := httpapitest.NewWorld(time.Now)
	log := slog.New(slog.DiscardHandler)
	c, err := console.New(console.Config{Service: w, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(httpapi.New(httpapi.Config{Service: w, Log: log, Console: c}))
	t.Cleanup(srv.Close)
	t.Cleanup(srv.CloseClientConnections) // the event stream has no end of its own

	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true))
	alloc, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // without a timeout, which would end the browser
		t.Fatalf("starting Chromium: %v", err)
	}
	b := &browser{t: t, ctx: ctx, url: srv.URL, w: w}
	b.watchConsole()
	return b
}

// watchConsole fails the test for every complaint of the browser: a broken
// script, a file that is missing, a breach of the content security policy.
func (b *browser) watchConsole() {
	messages := chromedp.Console(b.ctx)
	done := make(chan []string)
	go func() {
		var bad []string
		for m, err := range messages {
			if err != nil {
				break
			}
			if m.IsException() || m.Type == "error" || m.Source == "security" {
				bad = append(bad, m.String())
			}
		}
		done <- bad
	}()
	b.t.Cleanup(func() {
		_ = chromedp.Cancel(b.ctx) // ends the messages; an error means that it had ended before
		for _, m := range <-done {
			// What is asked for and refused on purpose is no complaint.
			if !strings.Contains(m, "409") {
				b.t.Errorf("the browser complains: %s", m)
			}
		}
	})
}

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.shot("failed")
		b.t.Fatalf("%s: %v", what, err)
	}
}

func (b *browser) text(sel chromedp.CSS) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	s, err := chromedp.Run(ctx, chromedp.Text(sel))
	if err != nil {
		b.t.Fatalf("reading %s: %v", sel, err)
	}
	return s
}

// until waits for an expression to hold, without eval in the page.
func (b *browser) until(what, expr string) {
	b.t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(b.ctx, 5*time.Second)
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("Boolean("+expr+")"))
		cancel()
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.shot("failed")
			b.t.Fatalf("%s: %s never held (%v)", what, expr, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// shot keeps a picture where RINGWALL_SHOTS says, for people to look at.
func (b *browser) shot(name string) {
	dir := os.Getenv("RINGWALL_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, 20*time.Second)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Logf("no picture %q: %v", name, err)
		return
	}
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)); err != nil {
		b.t.Log(err)
	}
}

func (b *browser) login() {
	b.t.Helper()
	b.do("logging in",
		chromedp.Navigate(b.url+"/devices"),
		chromedp.WaitVisible(chromedp.CSS(`input[name="password"]`)),
		chromedp.SendKeys(chromedp.CSS(`input[name="name"]`), "owner"),
		chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), b.w.OwnerPassword+"\n"),
		chromedp.WaitVisible(chromedp.CSS(`table.list`)), // the page that was asked for
	)
}

func TestBrowser_an_owner_at_work(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: short")
	}
	b := newBrowser(t)
	b.login()

	// The overview is live: what happens shows without a reload.
	b.do("overview", chromedp.Navigate(b.url+"/"), chromedp.WaitVisible(chromedp.CSS(`.rings`)))
	b.until("the event stream opens", `document.querySelector("#live.on")`)
	b.do("marking the page", chromedp.Evaluate[chromedp.Void](`window.sameDocument = true; void 0`))
	mode := ringwall.Shadow
	if _, err := b.w.PatchDevice(t.Context(), b.w.Owner, b.w.GoodCamera, 0, api.DevicePatch{Mode: &mode}); err != nil {
		t.Fatal(err)
	}
	b.until("the change of mode shows", `document.querySelector(".timeline").innerText.includes("enforce → shadow")`)
	b.until("it is still the same document", `window.sameDocument`)

	// An attack of the demo starts.
	b.do("starting an attack", chromedp.Click(chromedp.CSS(`button[value="mirai-scan"]`)), chromedp.WaitVisible(chromedp.CSS(`.note.good`)))
	if got := b.w.Attacks(); len(got) != 1 || got[0] != "mirai-scan" {
		t.Errorf("attacks: %q", got)
	}

	// The incident: approve what waits, undo what is in force, decide.
	b.do("incident", chromedp.Navigate(b.url+"/incidents/"+string(b.w.Attack)), chromedp.WaitVisible(chromedp.CSS(`.chain`)))
	b.do("approving", chromedp.Click(chromedp.CSS(`button[value="approve"]`)), chromedp.WaitVisible(chromedp.CSS(`.note.good`)), chromedp.WaitNotPresent(chromedp.CSS(`button[value="approve"]`)))
	if s, err := b.w.SIM(t.Context(), b.w.Owner, b.w.MeterSIM); err != nil || s.State != "suspended" {
		t.Errorf("after the approval the SIM is %q, %v", s.State, err)
	}
	b.do("deciding", chromedp.Click(chromedp.CSS(`input[name="disposition"][value="true"]`)), chromedp.Click(chromedp.CSS(`fieldset + button`)), chromedp.WaitVisible(chromedp.CSS(`.disposition-true`)))

	// A device: put into quarantine, then released, on the same page.
	b.do("device", chromedp.Navigate(b.url+"/devices/"+string(b.w.GoodCamera)), chromedp.WaitVisible(chromedp.CSS(`.tiles`)),
		chromedp.Click(chromedp.CSS(`button[value="quarantine"]`)), chromedp.WaitVisible(chromedp.CSS(`.banner.quarantine`)))
	if d, _ := b.w.Device(t.Context(), b.w.Owner, b.w.GoodCamera); len(d.Holds) != 1 {
		t.Errorf("the device has holds %v", d.Holds)
	}
	b.do("release", chromedp.Click(chromedp.CSS(`.banner.quarantine button`)), chromedp.WaitNotPresent(chromedp.CSS(`.banner.quarantine`)))

	// What is refused says why, on the page it was asked on: somebody else was
	// faster.
	b.do("incident again", chromedp.Navigate(b.url+"/incidents/"+string(b.w.Attack)), chromedp.WaitVisible(chromedp.CSS(`button[value="undo"]`)))
	if _, err := b.w.DecideResponse(t.Context(), b.w.Owner, b.w.Done, httpapi.Undo); err != nil {
		t.Fatal(err)
	}
	b.do("undoing too late", chromedp.Evaluate[chromedp.Void](`htmx.ajax("POST", "/incidents/`+string(b.w.Attack)+`/responses/`+string(b.w.Done)+`", {target: "#main", swap: "outerMorph", values: {decision: "undo"}}); void 0`),
		chromedp.WaitVisible(chromedp.CSS(`.note.bad`)))
	if got := b.text(`.note.bad`); !strings.Contains(got, "too late") {
		t.Errorf("the refusal says %q", got)
	}

	// In Chinese.
	b.do("language", chromedp.Navigate(b.url+"/"), chromedp.Click(chromedp.CSS(`button[value="zh-CN"]`)), chromedp.WaitVisible(chromedp.CSS(`html[lang="zh-CN"] .rings`)))
	if got := b.text(`h1`); got != "概览" {
		t.Errorf("the heading is %q", got)
	}
	b.do("logging out", chromedp.Click(chromedp.CSS(`form[action="/logout"] button`)), chromedp.WaitVisible(chromedp.CSS(`input[name="password"]`)))
}

func TestBrowser_a_party_betters_a_grade(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: short")
	}
	b := newBrowser(t)
	b.login()
	device := b.url + "/devices/" + string(b.w.BadCamera)

	// An answer is kept as soon as it is given, and is there after a reload; it
	// brings the question that depends on it.
	b.do("questionnaire", chromedp.Navigate(device+"/questionnaire"), chromedp.WaitVisible(chromedp.CSS(`progress`)), chromedp.WaitNotPresent(chromedp.CSS(`input[type="date"]`)),
		chromedp.Click(chromedp.CSS(`input[name="answer"][value="yes"]`)), chromedp.WaitVisible(chromedp.CSS(`input[type="date"]`)))
	b.do("reload", chromedp.Navigate(b.url+"/tasks"), chromedp.WaitVisible(chromedp.CSS(`table`)), chromedp.Navigate(device+"/questionnaire"), chromedp.WaitVisible(chromedp.CSS(`input[type="date"]`)))
	b.until("the answer stands", `document.querySelector('input[name="answer"][value="yes"]').checked`)
	if q, err := b.w.Questionnaire(t.Context(), b.w.Owner, b.w.BadCamera, "en"); err != nil || q.Answered != 1 || q.Asked != 2 {
		t.Errorf("%d of %d are answered, %v", q.Answered, q.Asked, err)
	}
	b.do("handing in", chromedp.Click(chromedp.CSS(`form[action$="/declare"] button`)), chromedp.WaitVisible(chromedp.CSS(`.note.good`)))
	xs, err := b.w.Examinations(t.Context(), b.w.Owner, b.w.BadCamera)
	if err != nil || len(xs) != 2 || xs[1].Kind != api.ExamDeclaration {
		t.Errorf("%d examinations stand, %v", len(xs), err)
	}

	// One click replaces the password, which is shown once.
	b.do("a task", chromedp.Navigate(device), chromedp.Click(chromedp.CSS(`form[action$="/do"] button`)), chromedp.WaitVisible(chromedp.CSS(`#secret`)))
	secret := b.text(`#secret`)
	if len(secret) < 12 {
		t.Errorf("the secret is %q", secret)
	}
	b.shot("secret")
	b.do("the page again", chromedp.Navigate(device), chromedp.WaitVisible(chromedp.CSS(`.tiles`)), chromedp.WaitNotPresent(chromedp.CSS(`#secret`)))
	b.until("the secret is nowhere", `!document.documentElement.outerHTML.includes(`+fmt.Sprintf("%q", secret)+`)`)
}

func TestBrowser_no_page_scrolls_sideways_on_a_phone(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: short")
	}
	b := newBrowser(t)
	b.login()
	pages := map[string]string{
		"overview": "/", "devices": "/devices", "device": "/devices/" + string(b.w.BadCamera), "newcomer": "/devices/" + string(b.w.Newcomer),
		"incidents": "/incidents", "incident": "/incidents/" + string(b.w.Attack), "gateways": "/gateways", "gateway": "/gateways/" + string(b.w.House),
		"simfleet": "/sim-fleet", "usagerules": "/usage-rules", "warnings": "/warnings", "sims": "/sims", "sim": "/sims/" + string(b.w.MeterSIM), "audit": "/audit", "people": "/people",
		"tasks": "/tasks", "assessing": "/assessing", "questionnaire": "/devices/" + string(b.w.BadCamera) + "/questionnaire",
		"mud": "/devices/" + string(b.w.GoodCamera) + "/mud", "muds": "/mud", "tunnels": "/tunnels", "tunnel": "/tunnels?device=" + string(b.w.BadCamera),
		"flows": "/flows", "flows-device": "/flows?device=" + string(b.w.BadCamera),
		"groups": "/groups", "rollouts": "/rollouts", "templates": "/templates", "policy": "/devices/" + string(b.w.GoodCamera) + "/policy",
	}
	for _, id := range b.w.IDs.Own {
		switch {
		case ringwall.ValidID(ringwall.PrefixGroup, id):
			pages["group"] = "/groups/" + id
		case ringwall.ValidID(ringwall.PrefixRollout, id):
			pages["rollout-"+id[len(id)-3:]] = "/rollouts/" + id
		}
	}
	for _, size := range []struct {
		name          string
		width, height int64
	}{{"wide", 1360, 900}, {"phone", 390, 844}} {
		b.do("size", chromedp.EmulateViewport(size.width, size.height))
		for name, path := range pages {
			b.do(name, chromedp.Navigate(b.url+path), chromedp.WaitVisible(chromedp.CSS(`#main h1`)))
			ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
			over, err := chromedp.Run(ctx, chromedp.Evaluate[string](`(() => { const w = document.documentElement.clientWidth; if (document.documentElement.scrollWidth <= w) return ""; return [...document.querySelectorAll("#main *")].filter(e => e.getBoundingClientRect().right > w + 1 && !e.closest(".scroll")).map(e => e.tagName + "." + e.className).slice(0, 5).join(" ") || "the page" })()`))
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			if over != "" {
				t.Errorf("%s on %s is wider than the screen: %s", name, size.name, over)
			}
			b.shot(fmt.Sprintf("%s-%s", name, size.name))
		}
	}
	if os.Getenv("RINGWALL_SHOTS") != "" {
		b.do("dark", chromedp.EmulateViewport(1360, 900), chromedp.Navigate(b.url+"/"), chromedp.Click(chromedp.CSS(`button[value="dark"]`)), chromedp.WaitVisible(chromedp.CSS(`html[data-theme="dark"]`)))
		b.shot("overview-dark")
		b.do("device", chromedp.Navigate(b.url+"/devices/"+string(b.w.BadCamera)), chromedp.WaitVisible(chromedp.CSS(`#main h1`)))
		b.shot("device-dark")
		b.do("zh", chromedp.Click(chromedp.CSS(`button[value="zh-CN"]`)), chromedp.WaitVisible(chromedp.CSS(`html[lang="zh-CN"]`)))
		b.shot("device-zh")
		for name, path := range map[string]string{"sim": "/sims/" + string(b.w.MeterSIM), "simfleet": "/sim-fleet", "usagerules": "/usage-rules", "warnings": "/warnings"} {
			b.do(name, chromedp.Navigate(b.url+path), chromedp.WaitVisible(chromedp.CSS(`#main h1`)))
			b.shot(name + "-dark-zh")
		}
		b.do("policy", chromedp.Navigate(b.url+"/devices/"+string(b.w.GoodCamera)+"/policy"), chromedp.WaitVisible(chromedp.CSS(`#other`)),
			chromedp.SendKeys(chromedp.CSS(`#other`), "198.51.100.0/24"), chromedp.Click(chromedp.CSS(`#owner ~ form > button`)), chromedp.WaitVisible(chromedp.CSS(`#would`)))
		b.shot("policy-explained-zh")
		for name, path := range pages {
			b.do(name, chromedp.Navigate(b.url+path), chromedp.WaitVisible(chromedp.CSS(`#main h1`)))
			b.shot(name + "-dark-zh")
		}
	}
}
