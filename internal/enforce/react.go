package enforce

import (
	"fmt"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// React decides whether a reflex of the desired state acts on an alert, and
// returns the hold to make. When none does, why says so in a phrase; it is ""
// when no reflex speaks of the alert at all, which is nothing to report.
//
// A reflex acts on devices that the desired state names, and on a device that
// does harm, not on one to whom it is done. It never holds more devices at
// once than its limit. The hold's id is derived from the alert: the same alert
// makes no second hold.
func (s *State) React(a ringwall.Alert, now Clock) (h api.Hold, ok bool, why string) {
	r, found := s.reflexFor(a)
	if !found {
		return api.Hold{}, false, ""
	}
	if a.Subject.Kind != ringwall.SubjectDevice {
		return api.Hold{}, false, fmt.Sprintf("the alert is about an %s, not a device", a.Subject.Kind)
	}
	dev := ringwall.DeviceID(a.Subject.ID)
	if _, ok := s.Device(dev); !ok {
		return api.Hold{}, false, fmt.Sprintf("device %q is not in the desired state", dev)
	}
	if a.Evidence.Facts["role"] == "target" {
		return api.Hold{}, false, fmt.Sprintf("device %q is the target, not the source", dev)
	}
	h = api.Hold{
		ID:     ringwall.HoldID(ringwall.DeriveID(ringwall.PrefixHold, string(s.Gateway), string(a.ID))),
		Device: dev,
		Do:     r.Do,
		By:     "reflex:" + r.Rule,
		Alert:  a.ID,
		Reason: a.Title,
		Made:   now.Wall,
	}
	if r.Expiry > 0 {
		h.Expires = now.Wall.Add(time.Duration(r.Expiry))
	}
	if at, ok := s.released[h.ID]; ok {
		return api.Hold{}, false, fmt.Sprintf("the hold for this alert was released at %s", at.UTC().Format(time.RFC3339))
	}
	mine := map[ringwall.DeviceID]bool{}
	for _, other := range s.Holds(now) {
		if other.Device == dev && other.Do >= r.Do {
			return api.Hold{}, false, fmt.Sprintf("device %q is held already by %s", dev, other.By)
		}
		if other.By == h.By {
			mine[other.Device] = true
		}
	}
	if !mine[dev] && len(mine) >= r.Limit {
		return api.Hold{}, false, fmt.Sprintf("reflex on %q holds %d devices, its limit is %d", r.Rule, len(mine), r.Limit)
	}
	return h, true, ""
}

// reflexFor returns the strictest reflex that speaks of the alert.
func (s *State) reflexFor(a ringwall.Alert) (best api.Reflex, found bool) {
	for _, r := range s.Desired.Reflexes {
		if r.Rule == a.Rule && a.Severity >= r.Severity && r.Do > best.Do {
			best, found = r, true
		}
	}
	return best, found
}
