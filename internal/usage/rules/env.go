package rules

import (
	"github.com/ringwall/ringwall/cdr"
)

// Env is what Step judges in: what all cards of an engine share. It belongs to
// one goroutine. Book and Side must be there.
type Env struct {
	Book  *Book
	Areas *Areas // nil = nothing is known of places
	Side  *Side
	// Horizon is from when on records are from the future, seconds since 1970; 0 =
	// none is. For a replay to give the same, it must be the same for the same
	// record: when it was received, not when it is judged.
	Horizon uint32
	// Record gives the whole record of an event, for what the event cannot tell:
	// whether an IPv6 address is in a network of a list. nil, or nil from it = such
	// peers are unknown, and not judged.
	Record func(e *cdr.Event) *cdr.Record

	// Usual, if not nil, has Step tell Unlisted, but of what it has. State does not
	// depend on it.
	Usual *Usual

	// Before is the card's line as it was judged: after Step said something, and
	// until the next Step.
	Before Line
	// Kept are the statements that exceptions kept back in the last Step that has
	// the flag Muted.
	Kept uint32

	found found
	here  spot   // of the event that is judged, once it was looked up
	home  *block // of the card, when it is fixed and was elsewhere
	zones [4]zoneSpan
	asked []asked
}

// found is what rules found out that explanations tell.
type found struct {
	km, seconds uint32
	count       [3]uint32
	turns       uint32
	far         bool
	where       uint8 // of a device that does not move: where it is, seen from home
	tallies     tallies
	month       month
	hour        float32 // bytes, of an hour that is not the newest
}

// asked is what a record told of a peer that its event could not tell.
type asked struct {
	set   *Peers
	peer  uint64
	data  bool
	wrong bool
}

// askedSlots is how many answers are kept: IPv6 peers of a fleet are few.
const askedSlots = 1 << 10

// confirm asks the record whether its other end is off the list. Answers depend
// on set and peer alone and are kept for a while.
func (env *Env) confirm(p *Peers, e *cdr.Event) bool {
	if env.Record == nil {
		return false
	}
	if env.asked == nil {
		env.asked = make([]asked, askedSlots)
	}
	a := &env.asked[e.Peer*0x9e3779b97f4a7c15>>54]
	data := e.Use.Service() == cdr.Data
	if a.set == p && a.peer == e.Peer && a.data == data {
		return a.wrong
	}
	r := env.Record(e)
	if r == nil {
		return false
	}
	*a = asked{p, e.Peer, data, p.refuses(r)}
	return a.wrong
}
