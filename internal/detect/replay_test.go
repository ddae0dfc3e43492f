package detect_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/capture"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

// replay judges a capture file and returns all alerts.
func replay(t testing.TB, file string, c detect.Config) (alerts []ringwall.Alert, packets int) {
	t.Helper()
	c.Alert = func(a ringwall.Alert) { alerts = append(alerts, a) }
	if c.Seed == 0 {
		c.Seed = 1
	}
	e := detect.New(c)
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
			return alerts, packets
		}
		if err != nil {
			t.Fatal(err)
		}
		packets++
		p.Time, p.Number, p.OrigLen = fr.Time, fr.Number, fr.OrigLen
		_ = packet.Decode(fr.Link, fr.Data, &p) // what was decoded before an error counts
		e.Packet(&p)
	}
}

// TestReplay_benign: honest set-up traffic of real devices raises no alert that
// claims an attack, at any severity.
func TestReplay_benign(t *testing.T) {
	packets, deviations := 0, map[string]int{}
	for _, file := range sharedtest.Glob(t, "pcap/benign/*/*.pcap") {
		alerts, n := replay(t, file, detect.Config{})
		packets += n
		for _, a := range alerts {
			if a.Nature == ringwall.NatureAttack {
				t.Errorf("%s: %s %s (%v, packets %v)", filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file), a.Rule, a.Title, a.Evidence.Facts, a.Evidence.Packets)
			}
			deviations[a.Rule]++
		}
	}
	t.Logf("%d packets; deviations and notices: %v", packets, deviations)
}

func TestReplay_protocolSamplesAreNoAttacks(t *testing.T) {
	for _, file := range sharedtest.Glob(t, "pcap/protocol/*.pcap") {
		alerts, _ := replay(t, file, detect.Config{})
		for _, a := range alerts {
			if a.Nature == ringwall.NatureAttack {
				t.Errorf("%s: %s %s %v", filepath.Base(file), a.Rule, a.Title, a.Evidence.Facts)
			}
		}
	}
}

func TestReplay_attacks(t *testing.T) {
	for _, tt := range []struct {
		file, rule, subject string
		within              time.Duration // of the first packet
	}{
		{"ndpi_synscan.pcap", detect.VerticalScan, "172.16.0.8", time.Second},
		{"zeek_sshguess.pcap", detect.CredentialGuessing, "192.168.56.1", 50 * time.Second},
		{"slips_test12-icmp-portscan.pcap", detect.ICMPSweep, "192.168.1.109", 3 * time.Second},
	} {
		file := sharedtest.Path(t, "pcap/attack/"+tt.file)
		alerts, _ := replay(t, file, detect.Config{})
		found := false
		for _, a := range alerts {
			t.Logf("%s: packet %v %s %s %s: %s %v", tt.file, a.Evidence.Packets, a.Rule, a.Nature, a.Subject.ID, a.Title, a.Evidence.Facts)
			if a.Rule == tt.rule {
				found = true
				if a.Subject.ID != tt.subject || a.Nature != ringwall.NatureAttack || len(a.Evidence.Packets) == 0 {
					t.Errorf("%s: alert %+v", tt.file, a)
				}
				if took := a.Time.Sub(a.Evidence.First); took > tt.within {
					t.Errorf("%s: found after %s, want %s", tt.file, took, tt.within)
				}
			}
		}
		if !found {
			t.Errorf("%s: rule %s is silent", tt.file, tt.rule)
		}
	}
}
