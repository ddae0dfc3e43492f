package device

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/onvif"
)

// camera starts a device on loopback.
func camera(t *testing.T, change func(*Config)) (Config, string) {
	t.Helper()
	cfg := Config{
		Users: NewUsers(onvif.User{Username: "admin", Password: "correct horse"}, onvif.User{Username: "viewer", Password: "view", Level: "User"}),
		Model: "RC-1", Vendor: "Refcam", Firmware: "1.0.3", Serial: "SN1", RTSPPort: 8554, RTSPPath: "/live", Width: 320, Height: 240,
		Protocols: map[string]int{"HTTP": 80, "RTSP": 554}, Now: time.Now,
	}
	if change != nil {
		change(&cfg)
	}
	s := httptest.NewServer(New(cfg))
	t.Cleanup(s.Close)
	return cfg, s.Listener.Addr().String()
}

func client(t *testing.T, addr, user, password string) *onvif.Client {
	t.Helper()
	var d net.Dialer
	c := onvif.New(onvif.Config{Address: addr, Dial: d.DialContext, Username: user, Password: password, Now: time.Now})
	t.Cleanup(c.Close)
	return c
}

func notAuthorized(err error) bool {
	f, ok := errors.AsType[*onvif.Fault](err)
	return ok && f.NotAuthorized()
}

func TestDevice_servesItsAdministrator(t *testing.T) {
	ctx := t.Context()
	_, addr := camera(t, nil)
	c := client(t, addr, "admin", "correct horse")
	if at, err := c.SystemTime(ctx); err != nil || time.Since(at).Abs() > 3*time.Second {
		t.Errorf("SystemTime = %v, %v", at, err)
	}
	if i, err := c.Information(ctx); err != nil || i.Model != "RC-1" || i.FirmwareVersion != "1.0.3" {
		t.Errorf("Information = %+v, %v", i, err)
	}
	if us, err := c.Users(ctx); err != nil || len(us) != 2 || us[0].Level != "Administrator" || us[0].Password != "" {
		t.Errorf("Users = %+v, %v", us, err)
	}
	services, err := c.Services(ctx)
	if err != nil || services[onvif.NSMedia] != "/onvif/media_service" {
		t.Fatalf("Services = %v, %v", services, err)
	}
	ps, err := c.Profiles(ctx, services[onvif.NSMedia])
	if err != nil || len(ps) != 1 || ps[0].Video.Resolution.Width != 320 {
		t.Fatalf("Profiles = %+v, %v", ps, err)
	}
	if u, err := c.StreamURI(ctx, services[onvif.NSMedia], ps[0].Token); err != nil || u.String() != "rtsp://127.0.0.1:8554/live" {
		t.Errorf("StreamURI = %v, %v", u, err)
	}
	if np, err := c.NetworkProtocols(ctx); err != nil || len(np) != 2 || np[0].Name != "HTTP" {
		t.Errorf("NetworkProtocols = %+v, %v", np, err)
	}
	if s, err := c.Scopes(ctx); err != nil || onvif.ScopeValue(s, "hardware") != "RC-1" || onvif.ScopeValue(s, "name") != "Refcam RC-1" {
		t.Errorf("Scopes = %q, %v", s, err)
	}
}

func TestDevice_refusesWhoMayNot(t *testing.T) {
	ctx := t.Context()
	_, addr := camera(t, nil)
	for _, tt := range []struct{ name, user, password string }{
		{"nobody", "", ""}, {"wrong password", "admin", "admin"}, {"unknown user", "root", "correct horse"}, {"low level", "viewer", "view"},
	} {
		c := client(t, addr, tt.user, tt.password)
		if _, err := c.Users(ctx); !notAuthorized(err) {
			t.Errorf("%s: GetUsers gives %v, want not authorized", tt.name, err)
		}
		if _, err := c.SystemTime(ctx); err != nil {
			t.Errorf("%s: GetSystemDateAndTime is refused: %v", tt.name, err)
		}
	}
	if _, err := client(t, addr, "viewer", "view").Information(ctx); err != nil {
		t.Errorf("a viewer may read the device information: %v", err)
	}
}

func TestDevice_preAuthOpenServesAnybody(t *testing.T) {
	_, addr := camera(t, func(c *Config) { c.PreAuthOpen = true })
	if us, err := client(t, addr, "", "").Users(t.Context()); err != nil || len(us) != 2 {
		t.Errorf("Users = %+v, %v", us, err)
	}
}

func TestDevice_refusesReplayedAndStaleTokens(t *testing.T) {
	cfg, addr := camera(t, nil)
	ask := func(tok *onvif.UsernameToken) int {
		body, err := onvif.Envelope(onvif.DeviceRequest("GetUsers"), tok)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post("http://"+addr+"/onvif/device_service", "application/soap+xml", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode
	}
	tok := onvif.NewToken("admin", "correct horse", cfg.Now())
	if got := ask(tok); got != http.StatusOK {
		t.Fatalf("fresh token: HTTP %d", got)
	}
	if got := ask(tok); got == http.StatusOK {
		t.Error("replayed token accepted")
	}
	again := *tok
	again.Nonce = " " + tok.Nonce + "\n"
	if got := ask(&again); got == http.StatusOK {
		t.Error("replayed token with blanks accepted")
	}
	if got := ask(onvif.NewToken("admin", "correct horse", cfg.Now().Add(-2*TokenLife))); got == http.StatusOK {
		t.Error("stale token accepted")
	}
}

func TestDevice_clientFollowsTheCamerasClock(t *testing.T) {
	_, addr := camera(t, func(c *Config) { c.Now = func() time.Time { return time.Now().Add(-3 * 365 * 24 * time.Hour) } })
	c := client(t, addr, "admin", "correct horse")
	if _, err := c.Users(t.Context()); !notAuthorized(err) {
		t.Fatalf("a token by our clock is %v, want refused", err)
	}
	if _, err := c.SystemTime(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Users(t.Context()); err != nil {
		t.Errorf("a token by the camera's clock is refused: %v", err)
	}
}

func TestDevice_setUserChangesThePassword(t *testing.T) {
	ctx := t.Context()
	cfg, addr := camera(t, nil)
	if err := client(t, addr, "viewer", "view").SetPassword(ctx, onvif.User{Username: "admin", Password: "x", Level: "Administrator"}); !notAuthorized(err) {
		t.Errorf("a viewer's SetUser gives %v, want not authorized", err)
	}
	if err := client(t, addr, "admin", "correct horse").SetPassword(ctx, onvif.User{Username: "admin", Password: "new one", Level: "Administrator"}); err != nil {
		t.Fatal(err)
	}
	if p, _ := cfg.Users.Password("admin"); p != "new one" {
		t.Error("the password did not change")
	}
	if _, err := client(t, addr, "admin", "correct horse").Users(ctx); !notAuthorized(err) {
		t.Error("the old password still works")
	}
}

func TestDevice_journal(t *testing.T) {
	ctx := t.Context()
	_, addr := camera(t, nil)
	if _, err := client(t, addr, "admin", "wr0ng").Users(ctx); !notAuthorized(err) {
		t.Fatal(err)
	}
	if _, err := client(t, addr, "viewer", "view").AccessLog(ctx); !notAuthorized(err) {
		t.Errorf("a viewer's GetSystemLog gives %v, want not authorized", err)
	}
	text, err := client(t, addr, "admin", "correct horse").AccessLog(ctx)
	if err != nil || !strings.Contains(text, "GetUsers was refused to 127.0.0.1") || strings.Contains(text, "wr0ng") {
		t.Errorf("journal is %q, %v", text, err)
	}
	j := newJournal(time.Now)
	for range 10_000 {
		j.note("%s", strings.Repeat("x", 1000))
	}
	if n := len(j.text()); n > journalLines*(journalWidth+1) {
		t.Errorf("the journal grew to %d bytes", n)
	}
}

func TestDevice_httpDigest(t *testing.T) {
	_, addr := camera(t, nil)
	// A request with HTTP digest and no token, as some clients do.
	first, err := http.Post("http://"+addr+"/onvif/device_service", "application/soap+xml", envelope(t))
	if err != nil {
		t.Fatal(err)
	}
	first.Body.Close()
	if first.StatusCode != http.StatusUnauthorized || len(first.Header.Values("WWW-Authenticate")) != 2 {
		t.Fatalf("HTTP %d with %q, want 401 and two challenges", first.StatusCode, first.Header.Values("WWW-Authenticate"))
	}
}

func envelope(t *testing.T) io.Reader {
	t.Helper()
	b, err := onvif.Envelope(onvif.DeviceRequest("GetUsers"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReader(string(b))
}

func TestRespond_answersProbesOnly(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	cfg, _ := camera(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		done <- Respond(ctx, conn, Discovery{Config: cfg, HTTP: netip.MustParseAddrPort("127.0.0.1:80")})
	}()
	mine, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	to := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	_, _ = mine.WriteTo([]byte("<garbage"), conn.LocalAddr())
	ms, err := onvif.Discover(t.Context(), mine, []netip.AddrPort{to, to}, 300*time.Millisecond)
	if err != nil || len(ms) != 1 {
		t.Fatalf("Discover = %+v, %v; want one match", ms, err)
	}
	if ms[0].Scope("hardware") != "RC-1" || ms[0].From != to {
		t.Errorf("match = %+v", ms[0])
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Respond ended with %v", err)
	}
}
