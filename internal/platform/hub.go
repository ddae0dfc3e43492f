package platform

import (
	"context"
	"sync"

	"github.com/ringwall/ringwall"
)

// hub passes published events on to those who watch live. It keeps nothing:
// whoever was away reads the timeline.
//
// A watcher that does not keep up is closed rather than waited for, so that
// one stuck browser holds up nobody.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

type watcher struct {
	org ringwall.OrgID
	ch  chan ringwall.Event
}

// backlog is how many events a watcher may lag behind: some seconds of a scan
// storm's worth of alerts.
const backlog = 256

func newHub() *hub { return &hub{watchers: map[*watcher]struct{}{}} }

// tell passes ev to the watchers of its organisation.
func (h *hub) tell(ev ringwall.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if w.org != ev.Org {
			continue
		}
		select {
		case w.ch <- ev:
		default:
			delete(h.watchers, w)
			close(w.ch)
		}
	}
}

// watch answers the events of org from now on, until ctx ends.
func (h *hub) watch(ctx context.Context, org ringwall.OrgID) <-chan ringwall.Event {
	w := &watcher{org: org, ch: make(chan ringwall.Event, backlog)}
	h.mu.Lock()
	h.watchers[w] = struct{}{}
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if _, open := h.watchers[w]; open {
			delete(h.watchers, w)
			close(w.ch)
		}
	})
	return w.ch
}
