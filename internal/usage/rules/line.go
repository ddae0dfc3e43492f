package rules

import (
	"encoding/binary"
	"time"
	"unsafe"

	"github.com/ringwall/ringwall/cdr"
)

// Line is what is kept of one card between records: one cache line. All zero is
// a card of which nothing is known. What few cards need lies in the Side.
// docs/decisions/usage-line.md says why each field has the width it has.
type Line struct {
	// Card is whose line it is: cdr.CardKey. Step neither reads nor changes it.
	Card uint64

	bound  uint64  // equipment in the low 47 bits, then as the constants below say
	last   uint32  // when the newest record that was not from the future began
	place  uint32  // where: 16 bits of a hash of network and area, 16 of the cell
	spot   Point   // where that is on earth
	hour   float32 // bytes in the hour of last
	day    float32 // bytes in the day (UTC) of last
	said   uint32  // a bit a statement: what was said of the day of last
	before uint32  // the same for the day before
	side   uint32  // first block in the Side; 0 = none
	mean   uint16  // of the logarithm of the bytes of an hour with use
	dev    uint16  // mean absolute deviation from it
	daily  uint32  // logarithms: bytes of a day, usual now and long ago; of the largest hours
	terms  uint32  // settings in the low 22 bits, then as the constants below say
	seen   uint8   // when the card was at spot: 64 s units, the low 8 bits
	habit  uint8   // logarithm of the longest silences that are usual
	lasted uint8   // how long the newest record lasted: 64 s units, up to 255
	hours  uint8   // with use, up to 255
}

// A Line is exactly one cache line: neither of these is a negative array.
var (
	_ [64 - unsafe.Sizeof(Line{})]byte
	_ [unsafe.Sizeof(Line{}) - 64]byte
)

// What lies above the equipment in Line.bound.
const (
	equipmentMask = 1<<47 - 1
	daysAt        = 47 // days with use, up to 63
	daysMask      = 1<<6 - 1
	riskAt        = 53 // of the place: 2 bits
	reachAt       = 55 // of spot: its uncertainty, 3 bits
	declaredBit   = 1 << 58
	awayBit       = 1 << 59 // the newest equipment is not the bound one
	staleBit      = 1 << 60 // too long ago at spot for seen to tell when
	movedBit      = 1 << 61 // a fixed device is not where it belongs
	strangeBit    = 1 << 62 // it may not be: its place is unknown
	risenBit      = 1 << 63 // the largest hours were raised today
)

// What lies above the settings in Line.terms.
const (
	settingsMask = 1<<22 - 1
	lifeAt       = 22 // 3 bits
	lifeMask     = 7
	ownAt        = 25 // 5 bits that Step leaves alone
	ownMask      = 1<<5 - 1
	homeRiskAt   = 30 // 2 bits: of where the card lives
)

// MaxSettings bounds the settings of a Book.
const MaxSettings = settingsMask + 1

// Life is where a card is in its life.
type Life uint8

// Lives of a card. What is not told is not judged.
const (
	LifeUnknown    Life = iota
	LifeStock           // made or sold, not activated
	LifeActive          // in use
	LifeSuspended       // may be restored
	LifeTerminated      // is not
)

var lifeNames = [...]string{"", "stock", "active", "suspended", "terminated"}

func (l Life) String() string {
	if int(l) < len(lifeNames) {
		return lifeNames[l]
	}
	return "?"
}

// Settings is the number of the settings that the card is judged by.
func (l *Line) Settings() uint32 { return l.terms & settingsMask }

// SetSettings says which settings the card is judged by.
func (l *Line) SetSettings(n uint32) { l.terms = l.terms&^settingsMask | n&settingsMask }

// Own are five bits for whoever keeps lines; rules leave them alone.
func (l *Line) Own() uint8 { return uint8(l.terms >> ownAt & ownMask) }

// SetOwn sets what Own gives.
func (l *Line) SetOwn(v uint8) {
	l.terms = l.terms&^(ownMask<<ownAt) | uint32(v&ownMask)<<ownAt
}

// Last is when the newest record that was not from the future began, seconds
// since 1970; 0 = there was none.
func (l *Line) Last() uint32 { return l.last }

// Bound is the equipment that the card is bound to, and whether somebody
// declared it; 0 = none yet.
func (l *Line) Bound() (equipment uint64, declared bool) {
	return l.bound & equipmentMask, l.bound&declaredBit != 0
}

// Bind declares the equipment that a card is bound to (cdr.EquipmentKey). 0
// takes a declared binding back: the card is then bound to the next equipment
// that it is seen in. Binding to what it is bound to changes nothing but that it
// is declared.
func (l *Line) Bind(equipment uint64, side *Side) {
	now, declared := l.Bound()
	switch {
	case equipment == 0 && !declared:
	case equipment == 0:
		l.bound &^= equipmentMask | declaredBit | awayBit
		side.drop(l, kindForeign)
		side.drop(l, kindFormer)
	case equipment == now:
		l.bound |= declaredBit
	default:
		l.bound = l.bound&^(equipmentMask|awayBit) | equipment&equipmentMask | declaredBit
		side.drop(l, kindForeign)
		side.drop(l, kindFormer)
	}
}

// Seen is the equipment of the newest record that named one; 0 = unknown.
func (l *Line) Seen(side *Side) uint64 {
	if l.bound&awayBit != 0 {
		if b := side.find(l, kindForeign); b != nil {
			return b.equipment()
		}
	}
	return l.bound & equipmentMask
}

// Away reports whether the card was last seen in other equipment than the bound
// one.
func (l *Line) Away() bool { return l.bound&awayBit != 0 }

// SetLife says where the card is in its life, and since when (event time,
// seconds since 1970).
func (l *Line) SetLife(life Life, since uint32, side *Side) {
	l.terms = l.terms&^(lifeMask<<lifeAt) | uint32(life&lifeMask)<<lifeAt
	if life != LifeStock && life != LifeSuspended && life != LifeTerminated {
		side.drop(l, kindLife)
		return
	}
	if b := side.take(l, kindLife); b != nil {
		b.w[0] = since
	}
}

// Life is where the card is in its life; since is kept for cards that may not
// be used, else 0.
func (l *Line) Life(side *Side) (life Life, since uint32) {
	life = Life(l.terms >> lifeAt & lifeMask)
	if b := side.find(l, kindLife); b != nil {
		since = b.w[0]
	}
	return life, since
}

func (l *Line) life() Life { return Life(l.terms >> lifeAt & lifeMask) }

// View is a Line for people.
type View struct {
	Last time.Time // zero = never used
	// Bound is the equipment that the card is bound to, Seen the newest.
	Bound, Seen uint64
	Declared    bool
	Away        bool
	Settings    uint32
	Life        Life
	Since       time.Time // of a Life in which the card may not be used
	// Lat and Lon are where it was last, when Located; Reach how exactly, in km.
	Located  bool
	Lat, Lon float64
	Reach    int
	Risk     Risk
	// Hour and Day are the bytes in the hour and the day (UTC) of Last.
	Hour, Day float64
	// UsualHour and UsualDay are the bytes that are usual, PeakHour those of the
	// largest hours; 0 = none known yet.
	UsualHour, UsualDay, PeakHour float64
	Hours, Days                   int // with use, up to 255 and 63
	Silence                       time.Duration
	Moved                         bool // of a fixed card: it is not where it belongs
	Said                          []Said
}

// View tells what is known of a card.
func (l *Line) View(side *Side) View {
	v := View{
		Bound: l.bound & equipmentMask, Seen: l.Seen(side), Declared: l.bound&declaredBit != 0, Away: l.Away(),
		Settings: l.Settings(), Risk: l.risk(), Hour: float64(l.hour), Day: float64(l.day),
		Hours: int(l.hours), Days: l.days(), Silence: time.Duration(code8Seconds(l.habit)) * time.Second, Moved: l.bound&movedBit != 0,
	}
	var since uint32
	if v.Life, since = l.Life(side); since != 0 {
		v.Since = time.Unix(int64(since), 0).UTC()
	}
	if l.last != 0 {
		v.Last = time.Unix(int64(l.last), 0).UTC()
	}
	if v.Located = l.spot.Valid(); v.Located {
		v.Lat, v.Lon = l.spot.Degrees()
		v.Reach = reachKm(l.reach())
	}
	if l.hours > 0 {
		v.UsualHour, v.PeakHour = unlg(l.mean), unlg(uint16(l.peak())<<8)
	}
	if v.Days > 0 {
		fast, _ := l.usualDays()
		v.UsualDay = unlg(fast << 4)
	}
	for f := range bitsOf(l.said) {
		v.Said = append(v.Said, f)
	}
	return v
}

func (l *Line) days() int      { return int(l.bound >> daysAt & daysMask) }
func (l *Line) homeRisk() Risk { return Risk(l.terms >> homeRiskAt) }
func (l *Line) risk() Risk     { return Risk(l.bound >> riskAt & 3) }
func (l *Line) reach() uint    { return uint(l.bound >> reachAt & 7) }

// AppendState appends all that is known of a card, the Side's blocks included,
// in one form whatever their places are: what is equal has equal bytes. Load
// reads it.
func (l *Line) AppendState(b []byte, side *Side) []byte {
	for _, v := range [...]uint64{
		l.Card, l.bound, uint64(l.last) | uint64(l.place)<<32, uint64(l.spot) | uint64(bits32(l.hour))<<32, uint64(bits32(l.day)) | uint64(l.said)<<32,
		uint64(l.before) | uint64(l.mean)<<32 | uint64(l.dev)<<48, uint64(l.daily) | uint64(l.terms)<<32,
		uint64(l.seen) | uint64(l.habit)<<8 | uint64(l.lasted)<<16 | uint64(l.hours)<<24,
	} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return side.appendCard(b, l)
}

// Load reads what AppendState wrote and returns the rest. What l had in the Side
// is dropped first. The error has code Unverified.
func (l *Line) Load(b []byte, side *Side) (rest []byte, err error) {
	if len(b) < 64 {
		return nil, errCut
	}
	var v [8]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	if v[7]>>32 != 0 {
		return nil, errCut
	}
	side.Drop(l)
	*l = Line{
		Card: v[0], bound: v[1], last: uint32(v[2]), place: uint32(v[2] >> 32), spot: Point(v[3]), hour: float32From(uint32(v[3] >> 32)), day: float32From(uint32(v[4])),
		said: uint32(v[4] >> 32), before: uint32(v[5]), mean: uint16(v[5] >> 32), dev: uint16(v[5] >> 48), daily: uint32(v[6]), terms: uint32(v[6] >> 32),
		seen: uint8(v[7]), habit: uint8(v[7] >> 8), lasted: uint8(v[7] >> 16), hours: uint8(v[7] >> 24),
	}
	return side.loadCard(b[64:], l)
}

// placeOf is the place of an event as a Line keeps it; 0 = unknown.
func placeOf(e *cdr.Event) uint32 {
	area := (uint64(e.PLMN)<<32 | uint64(e.Area)) * 0x9e3779b97f4a7c15
	cell := e.Cell * 0xd6e8feb86659fd93
	return uint32(area>>32)&^0xffff | uint32(cell>>48)
}
