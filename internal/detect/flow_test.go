package detect_test

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/detect"
	"github.com/ringwall/ringwall/internal/sharedtest"
	"github.com/ringwall/ringwall/internal/zeeklog"
)

// replayFlows judges a log of connections.
func replayFlows(t *testing.T, file string) (alerts []ringwall.Alert, labels map[uint64]string) {
	t.Helper()
	f, err := os.Open(sharedtest.Path(t, file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := zeeklog.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	labels = map[uint64]string{}
	var all []detect.Flow
	for {
		c, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		labels[c.Line] = c.Label
		proto := map[string]uint8{"tcp": 6, "udp": 17, "icmp": 1}[c.Proto]
		all = append(all, detect.Flow{
			Number: c.Line, Start: c.Start, Src: c.Orig, Dst: c.Resp, Proto: proto, Answered: c.RespPkts > 0 && c.State != "REJ",
			Refused: c.State == "REJ", Openings: int(c.OrigPkts), BytesUp: c.OrigLen, BytesDn: c.RespLen,
			PktsUp: c.OrigPkts, PktsDn: c.RespPkts, Duration: c.Duration,
		})
	}
	slices.SortStableFunc(all, func(a, b detect.Flow) int { return a.Start.Compare(b.Start) })
	e := detect.New(detect.Config{Seed: 1, Alert: func(a ringwall.Alert) { alerts = append(alerts, a) }})
	for i := range all {
		e.Flow(&all[i])
	}
	e.Tick(all[len(all)-1].Start.Add(2 * time.Second))
	return alerts, labels
}

func TestFlow_realInfections(t *testing.T) {
	for _, tt := range []struct{ file, rule string }{
		{"flows/iot-23/CTU-Malware-Capture-8-1-labeled.csv", detect.FailingBeacon},
		{"flows/iot-23/CTU-Malware-Capture-20-1-labeled.csv", detect.FailingBeacon},
		{"flows/iot-23/CTU-Malware-Capture-44-1-labeled.csv", detect.Flood},
	} {
		alerts, labels := replayFlows(t, tt.file)
		found := false
		for i, a := range alerts {
			if i < 10 {
				t.Logf("%s: %s %s %s %v lines %v", tt.file[14:], a.Time.Format(time.TimeOnly), a.Rule, a.Nature, a.Evidence.Facts, a.Evidence.Records)
			}
			found = found || a.Rule == tt.rule
			for _, n := range a.Evidence.Records {
				if a.Nature == ringwall.NatureAttack && strings.EqualFold(labels[n], "benign") {
					t.Errorf("%s: %s stands on line %d, which is honest", tt.file, a.Rule, n)
				}
			}
			if len(a.Evidence.Packets) > 0 {
				t.Errorf("evidence of a flow is numbered as packets: %+v", a.Evidence)
			}
		}
		if !found {
			t.Errorf("%s: rule %s is silent", tt.file, tt.rule)
		}
	}
}

func TestFlow_honestBridge(t *testing.T) {
	alerts, _ := replayFlows(t, "flows/iot-23/CTU-Honeypot-Capture-4-1-labeled.csv")
	for _, a := range alerts {
		if a.Nature == ringwall.NatureAttack {
			t.Errorf("%s %v", a.Rule, a.Evidence)
		}
		t.Logf("%s %s %v", a.Rule, a.Nature, a.Evidence.Facts)
	}
}
