package agent

import (
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// lookups counts what devices looked up, for the features of the minute.
type lookups struct {
	mu  sync.Mutex
	dev map[ringwall.DeviceID]*looked
}

type looked struct {
	names   map[string]bool
	asked   uint64
	refused uint64
}

// Bounds of lookups.
const (
	maxLookers   = 4096
	maxLookNames = 1024 // of one device in one minute
)

func (l *lookups) count(r api.DNSReport) {
	if r.Device == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.dev[r.Device]
	if d == nil {
		if len(l.dev) >= maxLookers {
			return
		}
		if l.dev == nil {
			l.dev = map[ringwall.DeviceID]*looked{}
		}
		d = &looked{names: map[string]bool{}}
		l.dev[r.Device] = d
	}
	n := max(r.Count, 1)
	d.asked += n
	if r.Verdict == "refused" || r.Verdict == "failed" {
		d.refused += n
	}
	if len(d.names) < maxLookNames {
		d.names[r.Name] = true
	}
}

// take puts what was counted into the newest features of each device, and
// begins anew.
func (l *lookups) take(features []api.Features) {
	l.mu.Lock()
	dev := l.dev
	l.dev = nil
	l.mu.Unlock()
	for i := len(features) - 1; i >= 0; i-- {
		f := &features[i]
		if d := dev[f.Device]; d != nil {
			f.Names, f.Lookups, f.NoNames = uint64(len(d.names)), d.asked, d.refused
			delete(dev, f.Device)
		}
	}
}
