package agent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/meter"
)

func TestWatch_cleanse(t *testing.T) {
	const dev = ringwall.DeviceID("dev_1")
	const taint = "taint"
	for _, tt := range []struct {
		name  string
		steps []any // a trust that the desired state shows, or taint
		want  bool  // tainted in the end
	}{
		{"nothing happened", []any{ringwall.T3, ringwall.T1, ringwall.T3}, false},
		{"the platform has not heard yet", []any{ringwall.T3, taint, ringwall.T3, ringwall.T3}, true},
		{"fallen", []any{ringwall.T3, taint, ringwall.T3, ringwall.T1}, true},
		{"on its way back", []any{taint, ringwall.T0, ringwall.T1, ringwall.T2}, true},
		{"set right", []any{taint, ringwall.T1, ringwall.T2, ringwall.T3}, false},
		{"better than before", []any{ringwall.T2, taint, ringwall.T1, ringwall.T4}, false},
		{"fallen before the alert, not since", []any{ringwall.T1, ringwall.T3, taint, ringwall.T3}, true},
		{"entered again", []any{taint, ringwall.T1, ringwall.T3, taint, ringwall.T3}, true},
		{"set right again", []any{taint, ringwall.T1, ringwall.T3, taint, ringwall.T0, ringwall.T3}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &watch{meter: meter.New(meter.Config{})}
			w.meter.SetDevices([]meter.Device{{ID: dev, MAC: "02:00:00:00:00:01", IP: netip.MustParseAddr("10.77.0.10"), Learn: true}})
			for _, s := range tt.steps {
				if trust, ok := s.(ringwall.Trust); ok {
					w.cleanse([]api.DevicePolicy{{Device: dev, Trust: trust}})
				} else {
					w.meter.Taint(dev, time.Unix(1, 0))
				}
			}
			if got := w.meter.Tainted(dev); got != tt.want {
				t.Errorf("tainted is %v, want %v", got, tt.want)
			}
		})
	}
	w := &watch{meter: meter.New(meter.Config{}), fell: map[ringwall.DeviceID]bool{"dev_gone": true}}
	if w.cleanse(nil); len(w.fell) > 0 {
		t.Errorf("who is not named any more is remembered: %v", w.fell)
	}
}
