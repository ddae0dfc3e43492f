package radius

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Bounds of a Table.
const (
	// MaxSessions is the most sessions that are known at once; what begins on top is
	// not taken.
	MaxSessions = 200_000
	// maxClosed bounds the memory of sessions that have ended.
	maxClosed = 200_000
	// forget is how long an ended session is remembered.
	forget = 48 * time.Hour
	// unheard is how long a session may be silent that never had an interim update.
	unheard = 24 * time.Hour
	// missed is how many interim updates may be missing in a row.
	missed = 3
	// leastInterim is the shortest interval between updates that counts as one.
	leastInterim = time.Minute
)

// Event is one Accounting-Request as a Table takes it.
type Event struct {
	NAS        string // who says so: NAS-Identifier, or else an address
	Status     Status
	Session    string
	Subscriber string // "" = the packet had no IMSI
	Address    netip.Addr
	// At is when it happened: Event-Timestamp, or the arrival less Acct-Delay-Time;
	// Stamped tells which.
	At      time.Time
	Stamped bool
	Arrived time.Time
}

// Session is one session of a card.
type Session struct {
	NAS        string        `json:"nas"`
	ID         string        `json:"id"`
	Subscriber string        `json:"subscriber"`
	Address    netip.Addr    `json:"address"`
	Began      time.Time     `json:"began"`             // At of its start, or of its first update
	Last       time.Time     `json:"last"`              // At of what was heard of it last
	Heard      time.Time     `json:"heard"`             // when
	Every      time.Duration `json:"everyNs,omitempty"` // the longest interval between updates
}

type sessionKey struct{ nas, id string }

// Change tells that a subscriber has got or lost an address.
type Change struct {
	Subscriber string
	Address    netip.Addr
	Lost       bool
	Why        string // "start", "stop", "taken", "stale", "accounting-on", ...
}

// Table says which card has which address. An address belongs to one card at a
// time: that of the session that began last.
//
//   - Two cards that claim one address: the session that began later has it. The
//     older one has lost it for good; its updates do not take it back.
//   - A card with several sessions has the address of the one that began last,
//     and those of the others when that one ends.
//   - An event that happened before what is known of its session is late or a
//     replay, and changes nothing; neither does any event of a session that has
//     ended, unless it bears a later time of its own.
//   - Accounting-On and -Off end all sessions of their server.
//   - A session is stale that has missed three updates in a row, by the longest
//     interval seen, or that was never updated and is a day old. It then has no
//     address: whoever has it now might be another.
//
// Nobody gains an address by what is left out of these events: a card without a
// session has none. A Table is not safe for concurrent use.
type Table struct {
	sessions map[sessionKey]*Session
	owner    map[netip.Addr]sessionKey
	closed   map[sessionKey]time.Time // At of the end
}

// NewTable returns a table that knows these sessions, and these that ended.
func NewTable(s Saved) *Table {
	t := &Table{sessions: map[sessionKey]*Session{}, owner: map[netip.Addr]sessionKey{}, closed: map[sessionKey]time.Time{}}
	for _, x := range s.Sessions {
		k := sessionKey{x.NAS, x.ID}
		if len(t.sessions) >= MaxSessions {
			break
		}
		t.sessions[k] = &x
		if o, ok := t.owner[x.Address]; x.Address.IsValid() && (!ok || t.sessions[o].Began.Before(x.Began)) {
			t.owner[x.Address] = k
		}
	}
	for _, c := range s.Closed {
		t.closed[sessionKey{c.NAS, c.ID}] = c.At
	}
	return t
}

// Saved is what outlives a restart.
type Saved struct {
	Sessions []Session `json:"sessions"`
	Closed   []Ended   `json:"closed"`
}

// Ended is a session that has ended.
type Ended struct {
	NAS string    `json:"nas"`
	ID  string    `json:"id"`
	At  time.Time `json:"at"`
}

// Save returns what NewTable takes, in an order of its own.
func (t *Table) Save() Saved {
	var s Saved
	for _, x := range t.sessions {
		s.Sessions = append(s.Sessions, *x)
	}
	for k, at := range t.closed {
		s.Closed = append(s.Closed, Ended{k.nas, k.id, at})
	}
	slices.SortFunc(s.Sessions, func(a, b Session) int { return cmp.Or(cmp.Compare(a.NAS, b.NAS), cmp.Compare(a.ID, b.ID)) })
	slices.SortFunc(s.Closed, func(a, b Ended) int { return cmp.Or(cmp.Compare(a.NAS, b.NAS), cmp.Compare(a.ID, b.ID)) })
	return s
}

// Apply takes an event. It returns what changed; taken is false, with a reason in
// a phrase, for an event that changes nothing because it is not to be believed.
func (t *Table) Apply(e Event) (changes []Change, taken bool, why string) {
	switch e.Status {
	case On, Off:
		return t.restart(e)
	case Start, Interim, Stop:
	default:
		return nil, false, "it tells nothing of a session"
	}
	k := sessionKey{e.NAS, e.Session}
	s := t.sessions[k]
	if ended, ok := t.closed[k]; ok && s == nil && (!e.Stamped || !e.At.After(ended)) {
		return nil, false, "the session has ended"
	}
	if s != nil && e.At.Before(s.Last) {
		return nil, false, "it happened before what is known of the session"
	}
	if s != nil && e.Subscriber != "" && e.Subscriber != s.Subscriber {
		if !e.Stamped || e.Status != Start {
			return nil, false, "the session is another card's"
		}
		changes = t.end(k, e.At, "another card's session") // the id is used again
		s = nil
	}
	if e.Status == Stop {
		if s == nil {
			t.close(k, e.At, e.Arrived)
			return changes, true, ""
		}
		return append(changes, t.end(k, e.At, "stop")...), true, ""
	}
	if s == nil {
		switch {
		case e.Subscriber == "":
			return changes, false, "it names no card"
		case len(t.sessions) >= MaxSessions:
			return changes, false, "there are too many sessions"
		}
		s = &Session{NAS: e.NAS, ID: e.Session, Subscriber: e.Subscriber, Began: e.At}
		t.sessions[k] = s
		delete(t.closed, k)
	} else if gap := e.Arrived.Sub(s.Heard); e.Status == Interim && gap >= leastInterim {
		s.Every = max(s.Every, gap)
	}
	s.Last, s.Heard = e.At, e.Arrived
	if !e.Address.IsValid() || e.Address == s.Address {
		return changes, true, ""
	}
	if s.Address.IsValid() {
		changes = append(changes, t.release(k, "moved")...)
	}
	return append(changes, t.claim(k, e)...), true, ""
}

// claim gives a session the address of an event, unless a later one has it.
func (t *Table) claim(k sessionKey, e Event) (changes []Change) {
	s := t.sessions[k]
	if ok, held := t.owner[e.Address]; held && ok != k {
		o := t.sessions[ok]
		if o.Began.After(s.Began) || o.Began.Equal(s.Began) && e.Status == Interim {
			s.Address = netip.Addr{}
			return nil // its own address is somebody else's by now
		}
		o.Address = netip.Addr{} // lost for good
		changes = append(changes, Change{o.Subscriber, e.Address, true, "taken"})
	}
	s.Address = e.Address
	t.owner[e.Address] = k
	return append(changes, Change{s.Subscriber, e.Address, false, e.Status.String()})
}

// release takes a session's address from it.
func (t *Table) release(k sessionKey, why string) []Change {
	s := t.sessions[k]
	a := s.Address
	s.Address = netip.Addr{}
	if t.owner[a] != k || !a.IsValid() {
		return nil
	}
	delete(t.owner, a)
	return []Change{{s.Subscriber, a, true, why}}
}

func (t *Table) end(k sessionKey, at time.Time, why string) []Change {
	changes := t.release(k, why)
	arrived := t.sessions[k].Heard
	delete(t.sessions, k)
	t.close(k, at, arrived)
	return changes
}

// close remembers that a session has ended.
func (t *Table) close(k sessionKey, at, now time.Time) {
	if len(t.closed) >= maxClosed {
		maps.DeleteFunc(t.closed, func(_ sessionKey, at time.Time) bool { return now.Sub(at) > forget })
		for old := range t.closed {
			if len(t.closed) < maxClosed {
				break
			}
			delete(t.closed, old)
		}
	}
	t.closed[k] = at
}

// restart ends the sessions of a server that began before it started or ended.
func (t *Table) restart(e Event) (changes []Change, taken bool, why string) {
	for k, s := range t.sessions {
		if k.nas == e.NAS && !s.Last.After(e.At) {
			changes = append(changes, t.end(k, e.At, e.Status.String())...)
		}
	}
	sortChanges(changes)
	return changes, true, ""
}

// Tick ends the sessions that are stale at now.
func (t *Table) Tick(now time.Time) (changes []Change) {
	for k, s := range t.sessions {
		most := unheard
		if s.Every > 0 {
			most = missed * s.Every
		}
		if now.Sub(s.Heard) > most {
			changes = append(changes, t.end(k, s.Last, "stale")...)
		}
	}
	maps.DeleteFunc(t.closed, func(_ sessionKey, at time.Time) bool { return now.Sub(at) > forget })
	sortChanges(changes)
	return changes
}

func sortChanges(c []Change) {
	slices.SortFunc(c, func(a, b Change) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(a.Subscriber, b.Subscriber))
	})
}

// Addresses returns the address of each subscriber that has one.
func (t *Table) Addresses() map[string]netip.Addr {
	out := map[string]netip.Addr{}
	began := map[string]time.Time{}
	for a, k := range t.owner {
		s := t.sessions[k]
		at, ok := began[s.Subscriber]
		if !ok || s.Began.After(at) || s.Began.Equal(at) && a.Less(out[s.Subscriber]) {
			out[s.Subscriber], began[s.Subscriber] = a, s.Began
		}
	}
	return out
}

// Len returns how many sessions there are.
func (t *Table) Len() int { return len(t.sessions) }
