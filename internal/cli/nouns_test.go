package cli_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/cli"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/httpapi/httpapitest"
)

// shell runs commands against a platform over a world.
type shell struct {
	*httpapitest.World
	env map[string]string
}

func newShell(t *testing.T) *shell {
	t.Helper()
	w := httpapitest.NewWorld(time.Now)
	srv := httptest.NewServer(httpapi.New(httpapi.Config{Service: w, Log: slog.New(slog.DiscardHandler)}))
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(w.OwnerToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &shell{World: w, env: map[string]string{"RINGWALL_SERVER": srv.URL, "RINGWALL_TOKEN_FILE": file}}
}

func (s *shell) run(t *testing.T, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Main(t.Context(), cli.Env{
		Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &errs, Getenv: func(k string) string { return s.env[k] }, Now: time.Now,
	}, args)
	return out.String(), errs.String(), status
}

func TestNouns(t *testing.T) {
	s := newShell(t)
	for _, c := range []struct {
		name   string
		args   []string
		stdin  string
		status int
		out    []string // in the answer
		talk   []string // in the talk
	}{
		{name: "numbers in clear", args: []string{"sim", "reveal", string(s.MeterSIM), "--reason", "hotline, ticket 4711"}, out: []string{httpapitest.RevealedIMSI, httpapitest.RevealedICCID}},
		{name: "numbers without a reason", args: []string{"sim", "reveal", string(s.MeterSIM)}, status: 1, talk: []string{"reason"}},
		{name: "flows", args: []string{"flow", "list", "--verdict", "refused"}, out: []string{"REPORT", "refused", "flw_"}},
		{name: "why a flow", args: []string{"flow", "why", "--verdict", "refused"}, out: []string{"It was refused", "generation 7"}},
		{name: "why a flow that is not there", args: []string{"flow", "why", "flw_999-0"}, status: 1, talk: []string{"no flow report"}},
		{name: "sums of flows", args: []string{"flow", "totals"}, out: []string{"HOUR", "reason"}},
		{name: "flows of a time that is none", args: []string{"flow", "list", "--from", "yesterday"}, status: 2, talk: []string{`"yesterday"`}},
		{name: "flows to what is no network", args: []string{"flow", "list", "--to", "10.0.0.0/99"}, status: 1, talk: []string{"neither an address nor a network"}},
		{name: "devices", args: []string{"device", "list"}, out: []string{"NAME", "Front door camera", "T1 quarantine", "Garage camera"}},
		{name: "devices of high risk", args: []string{"device", "list", "--grade", "high"}, out: []string{"Front door camera"}},
		{name: "groups", args: []string{"group", "list"}, out: []string{"Cameras", "type=camera"}},
		{name: "a group", args: []string{"group", "show", "cameras"}, out: []string{"time.vendor.example", "Garage camera"}},
		{name: "no such group", args: []string{"group", "show", "none"}, status: 1, talk: []string{"ringwall group list"}},
		{name: "descriptions that wait", args: []string{"device", "mud", "tasks"}, out: []string{"Garage camera", "changed, told", "proposed"}},
		{name: "whom to trust", args: []string{"device", "mud", "roots"}, out: []string{"CN=Vendor root", "platform"}},
		{name: "whom to trust, with no certificate", args: []string{"device", "mud", "roots", "--set", "nouns_test.go"}, status: 1, talk: []string{"certificates in PEM"}},
		{name: "what a description would do", args: []string{"device", "mud", "explain", "Garage camera"}, out: []string{"narrow would change", "approve would change"}},
		{name: "a newer description declined", args: []string{"device", "mud", "decline", "Garage camera"}, out: []string{"approved"}},
		{name: "a device of no SIM", args: []string{"device", "create", "Meter 12"}, status: 2, talk: []string{"--sim"}},
		{name: "a device by a SIM that is not there", args: []string{"device", "create", "Meter 12", "--sim", "sim_0", "--gateway", string(s.House)}, status: 1, talk: []string{"no such SIM"}},
		{name: "rollouts", args: []string{"rollout", "list"}, out: []string{"stage 2 of 3: 25 %", "stopped", "cloud.vendor.example"}},
		{name: "a rollout of nothing", args: []string{"rollout", "start", "--group", "Cameras"}, status: 2, talk: []string{"--terms or --mode"}},
		{name: "a rollout of a mode", args: []string{"rollout", "start", "--group", "Cameras", "--mode", "enforce"}, out: []string{"mode enforce of group", "stage 1 of 3"}},
		{name: "templates", args: []string{"template", "list"}, out: []string{"Branch office", "12"}},
		{name: "a template", args: []string{"template", "put", "Branch office", "-"}, stdin: `{"resolver":"192.0.2.1:53"}`, out: []string{"version", "2"}},
		{name: "a template with a word that nobody knows", args: []string{"template", "put", "x", "-"}, stdin: `{"resolvr":"192.0.2.1:53"}`, status: 1, talk: []string{"resolvr"}},
		{name: "gateways to look at", args: []string{"gateway", "list", "--flag", "clock"}, out: []string{"House gateway", "drift clock"}},
		{name: "bulk enrolment", args: []string{"gateway", "enrol", "--bulk", "-"}, stdin: "name,serial\na,1\nb,2\n", out: []string{"rwe_"}, talk: []string{"good for 2 gateways"}},
		{name: "bulk enrolment of nothing", args: []string{"gateway", "enrol"}, status: 2, talk: []string{"--bulk"}},
		{name: "an explained term", args: []string{"device", "deny", "Garage camera", "198.51.100.0/24", "tcp/443", "--explain"}, out: []string{"newly refused"}},
		{name: "a term", args: []string{"device", "allow", "Mei's phone", "time.vendor.example", "udp/123"}, out: []string{"owner", "time.vendor.example udp 123"}},
		{name: "terms", args: []string{"device", "terms", "Garage camera"}, out: []string{"group Cameras"}},
		{name: "a term that is none", args: []string{"device", "allow", "Garage camera", "nonsense"}, status: 2, talk: []string{"nonsense"}},
		{name: "what a SIM is for", args: []string{"sim", "profile", "sim_x"}, status: 1, talk: []string{"no such SIM"}},
		{name: "learning", args: []string{"device", "learn", "Garage camera"}, out: []string{"reports"}},
		{name: "a grade that is none", args: []string{"device", "list", "--grade", "superb"}, status: 2, talk: []string{`"superb"`}},
		{name: "a device by name", args: []string{"device", "show", "front door camera"}, out: []string{string(s.BadCamera), "at most T1: behaviour", "hold", "allow from 198.51.100.90/32 tcp 443"}},
		{name: "a device by address", args: []string{"device", "show", "10.77.0.11"}, out: []string{"*.cloud.axiom.example"}},
		{name: "a device that is not there", args: []string{"device", "show", "toaster"}, status: 1, talk: []string{`"toaster"`, "hint:"}},
		{name: "mode", args: []string{"device", "mode", "garage camera", "shadow"}},
		{name: "a mode that is none", args: []string{"device", "mode", "garage camera", "asleep"}, status: 2, talk: []string{`"asleep"`}},
		{name: "enrol", args: []string{"device", "enrol", "espressif-61"}},
		{name: "assess", args: []string{"device", "assess", "front door camera"}, out: []string{"high", "AP-01"}, talk: []string{"asm_"}},
		{name: "quarantine", args: []string{"device", "quarantine", "garage camera", "--reason", "drill"}, out: []string{"rsp_", "done"}},
		{name: "timeline", args: []string{"device", "timeline", "garage camera"}, out: []string{"quarantine in force"}},
		{name: "flows", args: []string{"device", "flows", "10.77.0.10", "--verdict", "refused"}, out: []string{"198.51.100.67:48101", "quarantine"}},
		{name: "gateways", args: []string{"gateway", "list"}, out: []string{"House gateway", "on line", "Shed gateway", "away"}},
		{name: "a gateway", args: []string{"gateway", "show", string(s.House)}, out: []string{"generation 41 of 41", "198.51.100.53:53"}},
		{name: "an enrolment token", args: []string{"gateway", "token"}, out: []string{"rwe_"}, talk: []string{"one gateway"}},
		{name: "revoke a gateway", args: []string{"gateway", "revoke", string(s.House)}},
		{name: "a revoked gateway", args: []string{"gateway", "list"}, out: []string{"revoked"}},
		{name: "revoke nobody", args: []string{"gateway", "revoke", "gw_0"}, status: 1},
		{name: "pin what is where it belongs", args: []string{"device", "pin", "garage camera"}, status: 1, talk: []string{"not seen elsewhere"}},
		{name: "incidents", args: []string{"incident", "list"}, out: []string{"critical", "propagation"}},
		{name: "an incident", args: []string{"incident", "show", string(s.Attack)}, out: []string{"command server", "T1046", "action", "not seen"}},
		{name: "close without saying what it was", args: []string{"incident", "close", string(s.Attack)}, status: 2, talk: []string{"--disposition"}},
		{name: "close", args: []string{"incident", "close", string(s.Attack), "--disposition", "true", "--note", "x"}},
		{name: "an incident of nobody", args: []string{"incident", "show", "inc_0"}, status: 1, talk: []string{"no such incident"}},
		{name: "responses", args: []string{"response", "list", "--status", "proposed"}, out: []string{"sim-suspend", "sim-of-compromised"}},
		{name: "approve", args: []string{"response", "approve", string(s.Waiting)}, out: []string{"done"}},
		{name: "decline too late", args: []string{"response", "decline", string(s.Waiting)}, status: 1, talk: []string{"too late"}},
		{name: "undo", args: []string{"response", "undo", string(s.Done)}, out: []string{"undone"}},
		{name: "sims", args: []string{"sim", "list"}, out: []string{"898604****1234"}},
		{name: "a sim", args: []string{"sim", "show", string(s.MeterSIM)}, out: []string{"46004****77", "suspended"}},
		{name: "add a sim", args: []string{"sim", "add", "-"}, stdin: `{"iccid":"89860012345678901234","imsi":"460011234567890","services":["data"]}`, out: []string{"sim_"}},
		{name: "add nonsense", args: []string{"sim", "add", "-"}, stdin: `{"iccid":1}`, status: 1, talk: []string{"reading the card"}},
		{name: "suspend", args: []string{"sim", "suspend", string(s.MeterSIM)}, out: []string{"sim-suspend"}},
		{name: "sims of a customer", args: []string{"sim", "list", "--customer", "Water works"}, out: []string{"898604****1234", "Water works"}},
		{name: "sims in no device", args: []string{"sim", "list", "--nodevice"}, out: []string{"898604****9911"}},
		{name: "the fleet of cards", args: []string{"sim", "fleet"}, out: []string{"separated", "Nord", "rule"}},
		{name: "devices without a card", args: []string{"sim", "fleet", "--devices-without-card"}, out: []string{"Garage camera"}},
		{name: "alerts of cards", args: []string{"sim", "alerts"}, out: []string{"kept quiet: window", "sim-service"}},
		{name: "restrict", args: []string{"sim", "restrict", string(s.MeterSIM), "--rate", "64000", "--off", "voice", "--for", "24h"}, out: []string{"sim-restrict"}},
		{name: "whose card", args: []string{"sim", "set", string(s.MeterSIM), "--tariff", "m2"}, out: []string{"m2"}},
		{name: "whose card, not said", args: []string{"sim", "set", string(s.MeterSIM)}, status: 2, talk: []string{"--customer"}},
		{name: "rules", args: []string{"sim", "rules"}, out: []string{"Water works", "sim-volume"}},
		{name: "rules described", args: []string{"sim", "rules", "--describe"}, out: []string{"deviations"}},
		{name: "rules tried", args: []string{"sim", "rules", "--customer", "Water works", "--set", "-", "--try"}, stdin: `{"rules":{"separation":{"off":true}}}`, out: []string{"1 would not be said", "gone"}},
		{name: "rules that are none", args: []string{"sim", "rules", "--set", "-"}, stdin: `{"rulez":{}}`, status: 1, talk: []string{"rulez"}},
		{name: "rules set", args: []string{"sim", "rules", "--customer", "Gas works", "--set", "-", "--note", "trial"}, stdin: `{"fixed":true}`, out: []string{"Gas works", "trial"}},
		{name: "rules undone", args: []string{"sim", "rules", "--customer", "Gas works", "--undo"}, out: []string{"none of its own"}},
		{name: "exceptions", args: []string{"sim", "exceptions"}, out: []string{"window", "new firmware"}},
		{name: "a swap", args: []string{"sim", "except", "swap", "--sim", string(s.MeterSIM), "--for", "1h", "--reason", "repair"}, stdin: "490154203237518\n", out: []string{"swap", "repair", "exc_"}},
		{name: "a swap without a reason", args: []string{"sim", "except", "window"}, status: 1, talk: []string{"reason"}},
		{name: "pools", args: []string{"sim", "pools"}, out: []string{"spare meters", "86012345"}},
		{name: "areas", args: []string{"sim", "areas", "--set", "-"}, stdin: "area,lat,lon,name,risk\n9100,40.5,116.1,Nord,30\n", out: []string{"1", "areas"}},
		{name: "areas that lie nowhere", args: []string{"sim", "areas", "--set", "-"}, stdin: "area,lat,lon\n9100,north,1\n", status: 1, talk: []string{"line 2"}},
		{name: "areas without columns", args: []string{"sim", "areas", "--set", "-"}, stdin: "area,x\n", status: 1, talk: []string{"line 1", `"x"`}},
		{name: "credit", args: []string{"sim", "credit"}, out: []string{"84 of 100", "unknown"}},
		{name: "credit of one", args: []string{"sim", "credit", "Water works"}, out: []string{"-12.5", "sim-service", "alt_"}},
		{name: "import", args: []string{"sim", "import", "-"}, stdin: "iccid,imsi,count,services,customer\n8986001234567890127,460001234500000,2500,data,Big\n", out: []string{"2500 registered", "0 wrong"}},
		{name: "import what is wrong", args: []string{"sim", "import", "-"}, stdin: "iccid,imsi,count\n8986001234567890127,460001234500000,x\n8986001234567890200,460001234509999,1\n", status: 1, out: []string{"1 registered", "1 wrong"}, talk: []string{"line 2", "count"}},
		{name: "import without numbers", args: []string{"sim", "import", "-"}, stdin: "iccid,name\n", status: 1, talk: []string{`"name"`}},
		{name: "warning routes", args: []string{"warning", "routes"}, out: []string{"enterprise", "Water works' desk"}},
		{name: "a warning route", args: []string{"warning", "add", "https://hooks.example/x", "--party", "manufacturer", "--vendor", "Axiom", "--name", "desk"}, out: []string{"whsec_"}, talk: []string{"once"}},
		{name: "warnings", args: []string{"warning", "list"}, out: []string{"incident.opened", "sent"}},
		{name: "users", args: []string{"user", "list"}, out: []string{"owner,platform"}},
		{name: "add a user", args: []string{"user", "add", "mei"}, stdin: "a long password\n", out: []string{"usr_"}},
		{name: "add a user without password", args: []string{"user", "add", "li"}, status: 1, talk: []string{"hint:"}},
		{name: "parties", args: []string{"party", "list"}, out: []string{"auditor"}},
		{name: "add a token", args: []string{"token", "add", "ci"}, out: []string{"rwt_"}},
		{name: "tokens", args: []string{"token", "list"}, out: []string{"grafana", "ci"}},
		{name: "no verb", args: []string{"device"}, status: 2, talk: []string{"--help"}},
		{name: "a verb that is none", args: []string{"device", "explode"}, status: 2, talk: []string{`"explode"`}},
		{name: "too few arguments", args: []string{"device", "show"}, status: 2, talk: []string{"takes 1"}},
		{name: "a flag that is none", args: []string{"device", "list", "--loud"}, status: 2, talk: []string{"--loud"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, talk, status := s.run(t, c.stdin, c.args...)
			if status != c.status {
				t.Fatalf("status %d, want %d\n%s%s", status, c.status, out, talk)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in the answer:\n%s", want, out)
				}
			}
			for _, want := range c.talk {
				if !strings.Contains(talk, want) {
					t.Errorf("no %q in the talk:\n%s", want, talk)
				}
			}
			if status == 0 && len(c.out) == 0 && out != "" {
				t.Errorf("a verb that only acts says %q", out)
			}
		})
	}
	// What was done is done.
	d, err := s.Device(t.Context(), s.Owner, s.GoodCamera)
	if err != nil || d.Mode != ringwall.Shadow || len(d.Holds) != 1 || d.Holds[0].Reason != "drill" {
		t.Errorf("the garage camera is %+v, %v", d, err)
	}
	if d, _ := s.Device(t.Context(), s.Owner, s.Newcomer); !d.Enrolled {
		t.Error("the newcomer is not enrolled")
	}
	if i, _ := s.Incident(t.Context(), s.Owner, s.Attack); i.Status != "closed" || i.Disposition != "true" {
		t.Errorf("the incident is %s %s", i.Status, i.Disposition)
	}
}

func TestNouns_as_JSON(t *testing.T) {
	s := newShell(t)
	out, _, status := s.run(t, "", "device", "list", "--json")
	var ds []api.Device
	if err := json.Unmarshal([]byte(out), &ds); err != nil || status != 0 || len(ds) != 5 {
		t.Errorf("status %d, %d devices, %v: %s", status, len(ds), err, out)
	}
	out, _, _ = s.run(t, "", "device", "list", "--text", "nobody", "--json")
	if strings.TrimSpace(out) != "[]" {
		t.Errorf("an empty list is %q", out)
	}
	out, _, _ = s.run(t, "", "incident", "show", string(s.Attack), "--json")
	var i api.Incident
	if err := json.Unmarshal([]byte(out), &i); err != nil || len(i.Alerts) != 4 {
		t.Errorf("%v: %s", err, out)
	}
}

func TestNouns_where_the_platform_is_not(t *testing.T) {
	s := newShell(t)
	if _, talk, status := s.run(t, "", "device", "list", "--server", "127.0.0.1:1"); status != 1 || !strings.Contains(talk, "ringwall up") {
		t.Errorf("no platform: %d %s", status, talk)
	}
	if _, talk, status := s.run(t, "", "device", "list", "--token-file", "/nonexistent/token"); status != 1 || !strings.Contains(talk, "--token-file") {
		t.Errorf("no token: %d %s", status, talk)
	}
	if _, talk, status := s.run(t, "", "device", "list", "--server", "http://ringwall.example"); status != 1 || strings.Contains(talk, s.OwnerToken) || !strings.Contains(talk, "in clear") {
		t.Errorf("in clear: %d %s", status, talk)
	}
	s.env["RINGWALL_CA_FILE"] = s.env["RINGWALL_TOKEN_FILE"]
	if _, talk, status := s.run(t, "", "device", "list"); status != 1 || !strings.Contains(talk, "no certificate") {
		t.Errorf("an authority that is none: %d %s", status, talk)
	}
	delete(s.env, "RINGWALL_CA_FILE")
	wrong := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(wrong, []byte("rwt_WRONG"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, talk, status := s.run(t, "", "device", "list", "--token-file", wrong); status != 1 || strings.Contains(talk, "rwt_WRONG") {
		t.Errorf("a wrong token: %d %s", status, talk)
	}
}

func TestNouns_names_do_not_steer_the_terminal(t *testing.T) {
	s := newShell(t)
	hostile := "cam\x1b[2J\x1b]0;owned\a\u202e"
	if _, err := s.PatchDevice(t.Context(), s.Owner, s.GoodCamera, 0, api.DevicePatch{Name: &hostile}); err != nil {
		t.Fatal(err)
	}
	out, _, _ := s.run(t, "", "device", "list")
	if strings.ContainsAny(out, "\x1b\a\u202e") {
		t.Errorf("control characters came through: %q", out)
	}
}
