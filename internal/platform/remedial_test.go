package platform

import (
	"context"
	"io"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
	"github.com/ringwall/ringwall/internal/probe/credential"
)

// wire is a network on which every address is one server's.
type wire struct{ to string }

func (w *wire) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, w.to)
}

func (w *wire) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var l net.ListenConfig
	return l.ListenPacket(ctx, network, address)
}

// task returns the house's one open task on an indicator.
func (h *house) task(indicator string) api.Remedial {
	h.T.Helper()
	page, err := h.Service().Remedials(h.T.Context(), h.as(ringwall.PartOwner), httpapi.RemedialFilter{Device: h.dev.ID}, httpapi.Paging{})
	if err != nil {
		h.T.Fatal(err)
	}
	i := slices.IndexFunc(page.Items, func(r api.Remedial) bool { return r.Indicator == indicator })
	if i < 0 {
		h.T.Fatalf("no task on %s: %+v", indicator, page.Items)
	}
	return page.Items[i]
}

func TestADefaultPasswordIsChangedByONVIF(t *testing.T) {
	pair := credential.Known(assess.CameraAccounts, "")[0]
	users := device.NewUsers(onvif.User{Username: pair.User, Password: pair.Password(), Level: "Administrator"})
	srv := httptest.NewServer(device.New(device.Config{Users: users, Now: time.Now}))
	t.Cleanup(srv.Close)
	cfg := testConfig(t.TempDir(), io.Discard)
	cfg.Runner = &assess.Runner{Network: &wire{srv.Listener.Addr().String()}, Now: time.Now} // with no probes
	p, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := inHouse(runPlatform(t, p))
	owner := h.as(ringwall.PartOwner)
	if _, err := h.Service().PutAssessSettings(t.Context(), owner, api.AssessSettings{Ranges: api.Ranges{Prefixes: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}}}); err != nil {
		t.Fatal(err)
	}
	found := probed("AP-01", ringwall.Fail)
	found.Source, found.Facts = "probe/onvif", map[string]string{"service": "onvif/80", "pair": strconv.Itoa(pair.N), "user": pair.User}
	if _, err := h.Service().SubmitAssessment(t.Context(), owner, api.Assessment{
		Device: h.dev.ID, Findings: []ringwall.Finding{found}, Services: []api.Service{{Proto: "tcp", Port: 80, Name: "onvif"}},
	}); err != nil {
		t.Fatal(err)
	}
	r := h.task("AP-01")
	if r.Do != assess.DoChangePassword {
		t.Fatalf("the task is %+v", r)
	}
	if _, err := h.Service().DoRemedial(t.Context(), h.as(ringwall.PartIntegrator), r.ID); !isCode(err, ringwall.Forbidden) {
		t.Errorf("an integrator changes the password: %v, want forbidden", err)
	}
	done, err := h.Service().DoRemedial(t.Context(), owner, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := users.Password(pair.User); now != done.Secret || now == pair.Password() || len(now) != 16 || done.Account != pair.User {
		t.Errorf("the device has a password of %d characters, the answer one of %d", len(now), len(done.Secret))
	}
	if !strings.Contains(done.Remedial.Note, "the old one does not") || done.Assess == "" {
		t.Errorf("the answer is %q, assessment %q", done.Remedial.Note, done.Assess)
	}
	// The secret stays nowhere.
	line, err := h.Service().Timeline(t.Context(), owner, deviceSubject(h.dev.ID), time.Time{}, 100)
	if err != nil || !slices.ContainsFunc(line, func(e api.TimelineEntry) bool { return e.Key == "timeline.device.password" }) {
		t.Errorf("the timeline does not tell of it: %v", err)
	}
	for _, e := range line {
		if strings.Contains(e.Text, done.Secret) {
			t.Errorf("the timeline shows the password: %s", e.Text)
		}
	}
	if got := h.task("AP-01"); strings.Contains(got.Note, done.Secret) {
		t.Error("the task shows the password")
	}
	// Once more: the default opens nothing now.
	if _, err := h.Service().DoRemedial(t.Context(), owner, r.ID); !isCode(err, ringwall.Conflict) {
		t.Errorf("done twice: %v, want a conflict", err)
	}
	if now, _ := users.Password(pair.User); now != done.Secret {
		t.Error("the second time changed the password")
	}
}

func TestAPortIsClosedAtTheGateway(t *testing.T) {
	h := newHouse(t)
	owner := h.as(ringwall.PartOwner)
	yes := true
	if _, err := h.Service().PatchDevice(t.Context(), owner, h.dev.ID, 0, api.DevicePatch{Enrolled: &yes}); err != nil {
		t.Fatal(err)
	}
	open := probed("CO-02", ringwall.Fail)
	open.Facts = map[string]string{"port": "23"}
	if _, err := h.Service().SubmitAssessment(t.Context(), owner, api.Assessment{
		Device: h.dev.ID, Findings: []ringwall.Finding{open}, Services: []api.Service{{Proto: "tcp", Port: 23, Name: "telnet"}},
	}); err != nil {
		t.Fatal(err)
	}
	r := h.task("CO-02")
	if r.Do != assess.DoClosePort || r.Target != "tcp/23" {
		t.Fatalf("the task is %+v", r)
	}
	for range 2 { // a second time adds nothing
		if _, err := h.Service().DoRemedial(t.Context(), owner, r.ID); err != nil {
			t.Fatal(err)
		}
	}
	closed := 0
	for _, m := range h.devices()[0].Terms {
		if m.Action == api.Deny && m.Direction == api.ToDevice && len(m.Ports) == 1 && m.Ports[0].First == 23 {
			closed++
		}
	}
	if closed != 1 {
		t.Errorf("%d terms close the port: %+v", closed, h.devices()[0].Terms)
	}
	if got := h.task("CO-02"); got.Status != "doing" || got.Note == "" {
		t.Errorf("the task is %+v", got)
	}
	if _, err := closing("tcp/0"); err == nil {
		t.Error("port 0 can be closed")
	}
}
