package platform

import (
	"sync"
	"time"

	"github.com/ringwall/ringwall"
)

// hearing remembers when each gateway last spoke to this process, by this
// process's own clock. Reports bear the gateway's clock, which may be hours off,
// and may have lain in its log for days; neither says whether it is there now.
type hearing struct {
	now func() time.Time

	mu   sync.Mutex
	last map[ringwall.GatewayID]time.Time
}

// maxHeard bounds what is remembered; past it, all is forgotten and heard anew.
const maxHeard = 1 << 20

func newHearing(now func() time.Time) *hearing {
	return &hearing{now: now, last: map[ringwall.GatewayID]time.Time{}}
}

func (h *hearing) note(gw ringwall.GatewayID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.last) >= maxHeard {
		clear(h.last)
	}
	h.last[gw] = h.now()
}

// lately reports whether a gateway has spoken within gatewayFresh.
func (h *hearing) lately(gw ringwall.GatewayID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.last[gw]
	return ok && h.now().Sub(at) < gatewayFresh
}
