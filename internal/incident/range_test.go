package incident_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/sharedtest"
	"github.com/ringwall/ringwall/internal/usage"
)

const recorded = "../lab/recorded"

// home is the range as it was recorded: real packets and usage records.
type home struct {
	Devices []struct{ Name, MAC, IP string }
	SIM     struct {
		IMSI, IMEI string
		Peers      []string
	}
}

// listen judges the recording by the real detectors and rules and joins what
// they say, in order of time, into incidents by device.
func listen(t *testing.T) map[string]*incident.Incident {
	t.Helper()
	var h home
	b, err := os.ReadFile(filepath.Join(recorded, "script.json"))
	if err != nil {
		t.Skipf("SKIPPED, NOT TESTED: the range was not recorded: %v", err)
	}
	if err := json.Unmarshal(b, &h); err != nil {
		t.Fatal(err)
	}
	alerts := append(packets(t, h), records(t, h)...)
	slices.SortStableFunc(alerts, func(a, b ringwall.Alert) int { return a.Time.Compare(b.Time) })
	all := map[string]*incident.Incident{}
	for _, a := range alerts {
		about := incident.About{Subject: a.Subject, Name: strings.TrimPrefix(a.Subject.ID, "dev_")}
		if a.Subject.Kind == ringwall.SubjectSIM {
			about = incident.About{Subject: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: "dev_meter"}, Name: "meter"}
		}
		if about.Name == "meter" {
			about.SIM = "sim_meter"
		}
		next, _ := incident.Apply(all[about.Name], incident.Input{Now: a.Time, Org: "org_home", About: about, Alert: &a}, incident.Config{})
		if next.ID != "" {
			all[about.Name] = &next
		}
	}
	return all
}

func packets(t *testing.T, h home) (alerts []ringwall.Alert) {
	t.Helper()
	e := detect.New(detect.Config{
		Seed: 1, Limits: detect.Gateway(), Local: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")},
		Alert: func(a ringwall.Alert) { alerts = append(alerts, a) },
	})
	var devices []detect.Device
	for _, d := range h.Devices {
		devices = append(devices, detect.Device{ID: ringwall.DeviceID("dev_" + d.Name), MAC: d.MAC, IP: netip.MustParseAddr(d.IP), Mode: ringwall.Enforce})
	}
	e.SetDevices(devices)
	feed(t, e, filepath.Join(recorded, "home.pcapng"))
	return alerts
}

// feed gives a capture to the detectors.
func feed(t *testing.T, e *detect.Engine, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := capture.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var p packet.Packet
	for {
		fr, err := r.Next()
		if errors.Is(err, io.EOF) {
			e.Tick(p.Time.Add(2 * time.Second))
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		p.Time, p.Number, p.OrigLen = fr.Time, fr.Number, fr.OrigLen
		_ = packet.Decode(fr.Link, fr.Data, &p) // what was decoded before an error counts
		e.Packet(&p)
	}
}

func records(t *testing.T, h home) (alerts []ringwall.Alert) {
	t.Helper()
	e := usage.New(usage.Config{Key: []byte("range")})
	services, err := usage.ParseServices([]string{"data"})
	if err != nil {
		t.Fatal(err)
	}
	peers, err := usage.ParsePeers(h.SIM.Peers)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SetCard(usage.Card{SIM: "sim_meter", IMSI: ringwall.IMSI(h.SIM.IMSI), IMEI: ringwall.IMEI(h.SIM.IMEI), Services: services, Peers: peers}); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(recorded, "usage.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := cdr.NewReader(f, cdr.Mapping{})
	if err != nil {
		t.Fatal(err)
	}
	var rec cdr.Record
	for {
		err := r.Read(&rec)
		if errors.Is(err, io.EOF) {
			return alerts
		}
		if err != nil {
			t.Fatal(err)
		}
		alerts = append(alerts, e.Record(&rec).Alerts...)
	}
}

// TestRange_tellsWhatHappened: from recorded packets and usage records to what
// a person reads, and nothing of those who did nothing.
func TestRange_tellsWhatHappened(t *testing.T) {
	all := listen(t)
	want := map[string][]string{
		"badcam": {
			"passwords on badcam over telnet",
			"203.0.113.5 put a program",
			"badcam began to scan for others to infect, the way Mirai does",
			"badcam knocked on the administration ports",
			"203.0.113.5, a stranger, tried the video port of badcam",
			"203.0.113.5, which is not among those who may watch, watched the video of badcam",
		},
		"meter": {
			"The SIM of meter reached 198.51.100.67, which is not on its list",
			"The operator saw the SIM of meter in other equipment: ", "which is another model",
			"The SIM of meter was used for sms (mo), which it is not meant for",
		},
	}
	for name, lines := range want {
		in := all[name]
		if in == nil || in.Status != incident.New || in.Severity != ringwall.Critical || !in.CapsTrust() || in.Compromised.IsZero() {
			t.Errorf("%s: no critical incident that caps its trust: %+v", name, in)
			continue
		}
		text, at := incident.Tell(in.Story, time.UTC), 0
		if !strings.Contains(text, "An incident was opened, severity ") {
			lines = append(lines, "An incident was opened")
		}
		for _, l := range lines {
			i := strings.Index(text[at:], l)
			if i < 0 {
				t.Errorf("%s: the story does not tell, in its place, %q:\n%s", name, l, text)
				break
			}
			at += i
		}
	}
	for name, in := range all {
		if want[name] == nil && in.Listed() {
			t.Errorf("%s did nothing, and has an incident:\n%s", name, incident.Tell(in.Story, time.UTC))
		}
	}
	if st := all["badcam"].Stages; st[0].Count < 2 || st[2].Count < 1 || st[3].Count < 3 {
		t.Errorf("stages of badcam: %+v", st)
	}
}

// TestBenign_noIncident: honest traffic of real devices, captured by others,
// makes no incident, whatever adds up.
func TestBenign_noIncident(t *testing.T) {
	files := sharedtest.Glob(t, "pcap/benign/*/*.pcap")
	alerts := 0
	for _, file := range files {
		open := map[ringwall.Subject]*incident.Incident{}
		e := detect.New(detect.Config{Seed: 1, Limits: detect.Gateway(), Alert: func(a ringwall.Alert) {
			alerts++
			next, _ := incident.Apply(open[a.Subject], incident.Input{Now: a.Time, Org: "org_home", About: incident.About{Subject: a.Subject, Name: a.Subject.ID}, Alert: &a}, incident.Config{})
			if next.ID != "" {
				open[a.Subject] = &next
			}
		}})
		feed(t, e, file)
		for _, in := range open {
			if in.Listed() {
				t.Errorf("%s: an incident of %v:\n%s", filepath.Base(file), in.Severity, incident.Tell(in.Story, time.UTC))
			}
		}
	}
	t.Logf("%d captures, %d alerts", len(files), alerts)
}
