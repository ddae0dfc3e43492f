package rules

import (
	"cmp"
	"slices"

	"github.com/ringwall/ringwall/cdr"
)

// Risk says how much a place is used for fraud, as its operator holds it.
type Risk uint8

// Risks.
const (
	NoRisk   Risk = iota
	Watched       // worth knowing
	Risky         // fraud comes from there
	HighRisk      // mostly fraud comes from there
)

var riskNames = [...]string{"", "watched", "risky", "high"}

func (r Risk) String() string { return riskNames[r&3] }

// Spot is what is known of a place.
type Spot struct {
	Point Point
	Reach float64 // how far from Point a card there may be, in km
	Risk  Risk
}

// spot is a Spot as tables keep it.
type spot struct {
	point Point
	info  uint32 // 3 bits of reach, 2 of risk above
}

func (s spot) risk() Risk  { return Risk(s.info >> 3 & 3) }
func (s spot) reach() uint { return uint(s.info & 7) }

// Areas says where cells and areas are and which places are risky. It is not
// changed after Areas is made and may be shared by engines.
type Areas struct {
	cells     table // by Event.Cell
	areas     table // by PLMN and area
	anyAreas  table // by area, whatever the network
	networks  table // by PLMN: risks only
	countries [1000]Risk
	riskyCell bool    // some cell has a risk of its own
	list      []Named // for people: areas, by name
	version   uint64
}

// Named is an area with its name.
type Named struct {
	PLMN uint32
	Area uint32
	Name string
	Spot Spot
}

// Version is a hash of what the areas say.
func (a *Areas) Version() uint64 {
	if a == nil {
		return 0
	}
	return a.version
}

// alike reports whether all cells of an area are as good as each other: there is
// no map of cells, or it matters not where in the area the device is.
func (a *Areas) alike(fixed bool) bool {
	return a == nil || len(a.cells.slots) == 0 || fixed && !a.riskyCell
}

// List gives the areas that have a name or a point, in the order of their keys.
func (a *Areas) List() []Named {
	if a == nil {
		return nil
	}
	return a.list
}

// at is what is known of where an event was: of its cell, else its area, else
// its network. The worst risk of all of them counts.
func (a *Areas) at(e *cdr.Event) (s spot) {
	if a == nil {
		return s
	}
	risk := a.countries[min(cdr.Country(e.PLMN), 999)]
	if e.Cell != 0 {
		s, risk = a.cells.take(e.Cell, s, risk)
	}
	if e.Area != 0 {
		s, risk = a.areas.take(areaKey(e.PLMN, e.Area), s, risk)
		s, risk = a.anyAreas.take(uint64(e.Area), s, risk)
	}
	if e.PLMN != 0 {
		s, risk = a.networks.take(uint64(e.PLMN), s, risk)
	}
	s.info = s.info&7 | uint32(risk)<<3
	return s
}

// Spot is what is known of where an event was.
func (a *Areas) Spot(e *cdr.Event) Spot {
	s := a.at(e)
	return Spot{Point: s.point, Reach: float64(reachKm(s.reach())), Risk: s.risk()}
}

func areaKey(plmn, area uint32) uint64 { return uint64(plmn)<<32 | uint64(area) }

// table is an open-addressing map from keys that are not 0.
type table struct {
	slots []known // a power of two, at most half full
	shift uint
}

// known is a key with what is known of it: side by side, for one look at memory.
type known struct {
	key  uint64
	spot spot
}

func newTable(m map[uint64]spot) table {
	if len(m) == 0 {
		return table{}
	}
	n := 4
	for n < 2*len(m) {
		n *= 2
	}
	t := table{slots: make([]known, n), shift: shiftOf(n)}
	for _, k := range sortedKeys(m) {
		i := t.slot(k)
		for t.slots[i].key != 0 {
			i = (i + 1) & (n - 1)
		}
		t.slots[i] = known{k, m[k]}
	}
	return t
}

func shiftOf(n int) (shift uint) {
	for shift = 64; n > 1; n >>= 1 {
		shift--
	}
	return shift
}

func (t *table) slot(k uint64) int {
	k ^= k >> 32
	return int(k * 0x9e3779b97f4a7c15 >> t.shift)
}

// take adds what the table has of a key to what is known so far.
func (t *table) take(key uint64, s spot, risk Risk) (spot, Risk) {
	if len(t.slots) == 0 {
		return s, risk
	}
	v, ok := t.get(key)
	if !ok {
		return s, risk
	}
	if s.point.Valid() {
		v.point, v.info = s.point, s.info&7|v.info&^7
	}
	return v, max(risk, v.risk())
}

func (t *table) get(k uint64) (spot, bool) {
	for i := t.slot(k); ; i = (i + 1) & (len(t.slots) - 1) {
		switch s := &t.slots[i]; s.key {
		case k:
			return s.spot, true
		case 0:
			return spot{}, false
		}
	}
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
