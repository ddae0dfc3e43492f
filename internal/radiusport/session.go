package radiusport

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/internal/radius"
)

// counters are what a session had used at its last report.
type counters struct {
	up, down uint64
	lasted   time.Duration
}

// sessions are the counters of sessions, those that spoke last first. Changes wait
// until they are kept, or are undone.
type sessions struct {
	most  int
	by    map[sessionKey]*list.Element
	order *list.List
	back  []func()
}

type sessionKey struct{ nas, session string }

type session struct {
	key sessionKey
	counters
}

func newSessions(most int) *sessions {
	return &sessions{most: most, by: map[sessionKey]*list.Element{}, order: list.New()}
}

// used is what a report adds to the one before it, and moves the counters on.
func (s *sessions) used(nas string, r radius.Request) counters {
	now := counters{r.Up, r.Down, r.Duration}
	k := sessionKey{nas, r.Session}
	el, known := s.by[k]
	if !known {
		el = s.order.PushFront(&session{key: k, counters: now})
		s.by[k] = el
		s.back = append(s.back, func() {
			s.order.Remove(el)
			delete(s.by, k)
		})
		return counters{} // it begins, or its beginning was not seen and it counts from here
	}
	was := el.Value.(*session)
	old := *was
	s.back = append(s.back, func() { *was = old })
	s.order.MoveToFront(el)
	was.counters = now
	if now.up < old.up || now.down < old.down || r.Status == radius.Start {
		// The client has begun the session's counters anew, or a report overtook
		// another: what is less than what was told is not told again.
		if r.Status != radius.Start {
			was.counters = counters{max(now.up, old.up), max(now.down, old.down), max(now.lasted, old.lasted)}
		}
		return counters{}
	}
	return counters{now.up - old.up, now.down - old.down, max(0, now.lasted-old.lasted)}
}

// keep makes the changes last, and forgets those that have been silent longest
// when there are too many.
func (s *sessions) keep() {
	s.back = s.back[:0]
	for s.order.Len() > s.most {
		el := s.order.Back()
		delete(s.by, el.Value.(*session).key)
		s.order.Remove(el)
	}
}

// undo takes the changes back.
func (s *sessions) undo() {
	for i := len(s.back) - 1; i >= 0; i-- {
		s.back[i]()
	}
	s.back = s.back[:0]
}

// answered are the requests that were answered lately.
type answered struct {
	set   map[requestKey]struct{}
	order []requestKey
}

type requestKey struct {
	from netip.AddrPort
	id   byte
	auth [16]byte
}

const remembered = 1 << 16

func newAnswered() *answered { return &answered{set: map[requestKey]struct{}{}} }

func key(r request) requestKey { return requestKey{r.from, r.ID, r.Authenticator} }

func (a *answered) has(k requestKey) bool {
	_, ok := a.set[k]
	return ok
}

func (a *answered) add(k requestKey) {
	a.set[k] = struct{}{}
	a.order = append(a.order, k)
	if len(a.order) > remembered {
		delete(a.set, a.order[0])
		a.order = a.order[1:]
	}
}
