package cross

import (
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Kind is what cards have in common.
type Kind uint8

// Kinds.
const (
	Equipment Kind = iota
	Cell
	Peer
	kinds
)

var kindNames = [...]string{"equipment", "cell", "peer"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "?"
}

// Observation says that a card was somewhere, in something or with somebody.
type Observation struct {
	Key      uint64 // cdr.EquipmentKey, the key of the cell or that of the peer
	Card     uint64
	Sec      uint32 // when
	Settings uint32 // of the card
	Kind     Kind
}

// Watched are the flags of events that Collect makes observations of.
const Watched = rules.First | rules.Rebound | rules.Strange | rules.Arrived | rules.OffList | rules.Unlisted

// Collect appends what an event says of more than its card. f is what Step found
// of it, settings those of the card.
func Collect(to []Observation, settings uint32, e *cdr.Event, f rules.Fired) []Observation {
	if f&Watched == 0 || f&rules.Future != 0 {
		return to
	}
	o := Observation{Card: e.Card, Sec: e.Sec, Settings: settings}
	sent := e.Use.Direction() == cdr.Originated && e.Use.Service() >= cdr.SMS
	if f&(rules.First|rules.Rebound|rules.Strange) != 0 && e.IMEI != 0 {
		o.Kind, o.Key = Equipment, e.IMEI
		to = append(to, o)
	}
	if f&(rules.First|rules.Arrived|rules.Strange) != 0 && sent && e.Cell != 0 {
		o.Kind, o.Key = Cell, e.Cell
		to = append(to, o)
	}
	if f&(rules.OffList|rules.Unlisted) != 0 && e.Peer != 0 && (sent || e.Use.Service() == cdr.Data) {
		o.Kind, o.Key = Peer, e.Peer
		to = append(to, o)
	}
	return to
}

// id is what an observation is about. Peers are apart for each settings: a
// server that is usual for one customer's devices is strange for another's.
func (o *Observation) id() uint64 {
	k := o.Key * 0x9e3779b97f4a7c15
	if o.Kind == Peer {
		k ^= (uint64(o.Settings) + 1) * 0xd6e8feb86659fd93
	}
	k ^= k>>29 ^ uint64(o.Kind)<<61
	k *= 0xbf58476d1ce4e5b9
	return k ^ k>>32 | 1
}

// Partition is which of n tables an observation belongs to.
func (o *Observation) Partition(n int) int {
	if n <= 1 {
		return 0
	}
	return int(o.id() >> 33 % uint64(n))
}
