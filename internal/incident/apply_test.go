package incident

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

var t0 = time.Date(2026, 11, 21, 14, 2, 7, 0, time.UTC)

var camera = About{
	Subject: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: "dev_cam"}, Name: "Front door camera",
	SIM: "sim_1", Vendor: "Acme", Model: "C100", Firmware: "1.0.3",
}

// said makes an alert about the camera.
func said(id, rule string, n ringwall.Nature, sev ringwall.Severity, st ringwall.Stage, after time.Duration, peer string, facts ...string) ringwall.Alert {
	a := ringwall.Alert{
		ID: ringwall.AlertID("alt_" + id), Org: "org_home", Time: t0.Add(after), Rule: rule, Nature: n, Severity: sev, Stage: st,
		Subject: camera.Subject, Title: rule + " seen.", Attack: "T1046", Gateway: "gw_1",
	}
	if peer != "" {
		a.Peer = netip.MustParseAddr(peer)
	}
	a.Evidence.Facts = map[string]string{}
	for i := 0; i+1 < len(facts); i += 2 {
		a.Evidence.Facts[facts[i]] = facts[i+1]
	}
	return a
}

// play applies alerts in order, each a second after its own time.
func play(t *testing.T, cfg Config, alerts ...ringwall.Alert) (Incident, []Effect) {
	t.Helper()
	var cur Incident
	var all []Effect
	for _, a := range alerts {
		var e []Effect
		cur, e = Apply(&cur, Input{Now: a.Time.Add(time.Second), Org: "org_home", About: camera, Alert: &a}, cfg)
		all = append(all, e...)
	}
	return cur, all
}

const (
	attack    = ringwall.NatureAttack
	deviation = ringwall.NatureDeviation
	notice    = ringwall.NatureNotice
)

func TestApply_opening(t *testing.T) {
	mirai := said("m", "mirai-scan", attack, ringwall.High, ringwall.Propagation, 0, "")
	guess := said("g", "credential-guessing", attack, ringwall.Medium, ringwall.Infection, 0, "203.0.113.5")
	beacon := func(after time.Duration) ringwall.Alert {
		return said("b", "failing-beacon", deviation, ringwall.Medium, ringwall.Command, after, "198.51.100.67")
	}
	peers := func(n int, sev ringwall.Severity) (as []ringwall.Alert) {
		for i := range n {
			as = append(as, said("p"+string(rune('a'+i)), "new-peer", deviation, sev, ringwall.Command, time.Duration(i)*time.Minute, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}).String()))
		}
		return as
	}
	fan := func(n int) (as []ringwall.Alert) {
		for i := range n {
			as = append(as, said("f"+string(rune('a'+i)), "any-fanout", deviation, ringwall.Medium, ringwall.Propagation, time.Hour+time.Duration(i)*time.Minute, ""))
		}
		return as
	}
	tests := []struct {
		name     string
		alerts   []ringwall.Alert
		status   string
		severity ringwall.Severity
	}{
		{"attack of high severity alone", []ringwall.Alert{mirai}, New, ringwall.High},
		{"attack of medium severity alone", []ringwall.Alert{guess}, Watching, ringwall.Medium},
		{"two stages, one of them an attack", []ringwall.Alert{guess, beacon(time.Hour)}, New, ringwall.High},
		{"two stages more than a day apart", []ringwall.Alert{guess, beacon(25 * time.Hour)}, Watching, ringwall.Medium},
		{"one deviation", peers(1, ringwall.High), Watching, ringwall.Medium},
		{"twenty new peers are one opinion", peers(20, ringwall.Critical), Watching, ringwall.Medium},
		{"deviations of two kinds add up, to medium", append(peers(4, ringwall.Critical), fan(8)...), New, ringwall.Medium},
		{"a few of two kinds do not", append(peers(2, ringwall.Low), fan(1)...), Watching, ringwall.Medium},
		{"a notice begins nothing", []ringwall.Alert{said("n", "beacon", notice, ringwall.Info, ringwall.Command, 0, "")}, "", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, _ := play(t, Config{}, tt.alerts...)
			if in.Status != tt.status || in.Severity != tt.severity {
				t.Errorf("status %q severity %v, want %q %v", in.Status, in.Severity, tt.status, tt.severity)
			}
		})
	}
}
