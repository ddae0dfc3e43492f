package agent

import (
	"maps"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// cleanse lets devices learn again that attacked or were entered, and were set
// right since: the platform's trust in them fell below T3 after the alert and
// has come back. Trust that has not fallen yet says nothing: the alert may be
// on its way still. The caller holds mu, and the meter knows the devices.
func (w *watch) cleanse(devices []api.DevicePolicy) {
	for _, d := range devices {
		switch {
		case !w.meter.Tainted(d.Device):
			delete(w.fell, d.Device)
		case d.Trust < ringwall.T3:
			if w.fell == nil {
				w.fell = map[ringwall.DeviceID]bool{}
			}
			w.fell[d.Device] = true
		case w.fell[d.Device]:
			w.meter.Cleanse(d.Device)
			delete(w.fell, d.Device)
		}
	}
	maps.DeleteFunc(w.fell, func(id ringwall.DeviceID, _ bool) bool {
		return !slices.ContainsFunc(devices, func(d api.DevicePolicy) bool { return d.Device == id })
	})
}
