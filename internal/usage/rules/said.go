package rules

import (
	"iter"
	"math/bits"
)

// Names of the rules; they are stable.
const (
	Separation   = "separation"       // the card sits in other equipment than it is bound to
	Service      = "sim-service"      // a service that the card is not meant for
	Peer         = "sim-peer"         // another end that is not on the card's list
	Moved        = "sim-moved"        // a device that does not move has moved
	Roaming      = "sim-roaming"      // a network or place that the card should not be in
	Volume       = "sim-volume"       // far more traffic than is usual
	Dormant      = "sim-dormant"      // used again after a long silence
	Travel       = "sim-travel"       // in two places at once, or nearly
	Burst        = "sim-burst"        // many calls or messages, or calls without end
	Verification = "sim-verification" // messages as accounts are opened with
	Lifecycle    = "sim-lifecycle"    // used before activation or after suspension
	Hours        = "sim-hours"        // used outside its hours
	Place        = "sim-place"        // used outside its places
	Quota        = "sim-quota"        // used more than its profile allows in a month
	Box          = "sim-box"          // many cards that act as one (package cross)
)

// Bits of statements, in the low 32 bits of Fired and in lines. A place that was
// given to a statement is never given to another: snapshots hold them.
const (
	sepModel = iota // same model
	sepOther
	svcLesser
	svcOwn
	peerOff
	apnOff
	movedUnknown
	movedFar
	roamOff
	roamRisk
	roamHigh
	volHour
	volDrift
	dormTold
	dormOwn
	travFast
	travClone
	burstSMS
	burstCalls
	burstTime
	verMany
	verSenders
	lifeStock
	lifeSuspended
	lifeTerminated
	hoursOut
	placeArea
	placeCountry
	quotaBytes
	quotaMessages
	quotaCalls
	statements // how many there are: at most 32
)

var _ [32 - statements]byte

// Said is one statement that a rule can make of a card in a day.
type Said struct {
	Rule string
	// Variant tells apart what a rule may say of one card on one day: the worse
	// must not be kept back by the lesser. Ids of alerts are made of it.
	Variant int
	bit     uint8
}

var said = [statements]Said{
	sepModel: {Separation, 0, sepModel}, sepOther: {Separation, 1, sepOther},
	svcLesser: {Service, 0, svcLesser}, svcOwn: {Service, 1, svcOwn},
	peerOff: {Peer, 0, peerOff}, apnOff: {Peer, 1, apnOff},
	movedUnknown: {Moved, 0, movedUnknown}, movedFar: {Moved, 1, movedFar},
	roamOff: {Roaming, 0, roamOff}, roamRisk: {Roaming, 1, roamRisk}, roamHigh: {Roaming, 2, roamHigh},
	volHour: {Volume, 0, volHour}, volDrift: {Volume, 1, volDrift},
	dormTold: {Dormant, 0, dormTold}, dormOwn: {Dormant, 1, dormOwn},
	travFast: {Travel, 0, travFast}, travClone: {Travel, 1, travClone},
	burstSMS: {Burst, 0, burstSMS}, burstCalls: {Burst, 1, burstCalls}, burstTime: {Burst, 2, burstTime},
	verMany: {Verification, 0, verMany}, verSenders: {Verification, 1, verSenders},
	lifeStock: {Lifecycle, 0, lifeStock}, lifeSuspended: {Lifecycle, 1, lifeSuspended}, lifeTerminated: {Lifecycle, 2, lifeTerminated},
	hoursOut:  {Hours, 0, hoursOut},
	placeArea: {Place, 0, placeArea}, placeCountry: {Place, 1, placeCountry},
	quotaBytes: {Quota, 0, quotaBytes}, quotaMessages: {Quota, 1, quotaMessages}, quotaCalls: {Quota, 2, quotaCalls},
}

// lesserOf gives, for statements that a worse one goes with, the worse.
var lesserOf = [statements]uint8{movedUnknown: movedFar, roamRisk: roamHigh, travFast: travClone, verMany: verSenders}

// Statements lists all that Step can say, in the order of their bits.
func Statements() []Said { return append([]Said(nil), said[:]...) }

// Fired is what Step found: a bit a statement that is said for the first time
// on its day, and above them what is worth knowing.
type Fired uint64

// Flags of a Fired.
const (
	// Late says that the record is older than the newest of its card.
	Late Fired = 1 << (63 - iota)
	// Future says that the record is ahead of Env.Horizon; it moved nothing.
	Future
	// Muted says that an exception or maintenance window kept something back.
	Muted
	// Cold says that the hour's volume was not judged, because too little is known
	// of the card.
	Cold
	// Returned says that the card is back in the equipment that it is bound to.
	Returned
	// Rebound says that the card was bound: to the first equipment that it was seen
	// in, or to that of a planned swap.
	Rebound
	// Strange says that the equipment is not the one of the record before, or, of a
	// late record, not one in which the card belongs.
	Strange
	// Arrived says that the place is not the one of the record before.
	Arrived
	// OffList says that the other end is not on the card's list, said before or not.
	OffList
	// First says that it is the card's first record.
	First
	// Unlisted says that the card has no list of addresses and reached one that
	// Env.Usual does not have.
	Unlisted
)

// Speaks masks the statements of a Fired.
const Speaks Fired = 1<<32 - 1

// All gives the statements of f.
func (f Fired) All() iter.Seq[Said] { return bitsOf(uint32(f)) }

func bitsOf(b uint32) iter.Seq[Said] {
	return func(yield func(Said) bool) {
		for ; b != 0; b &= b - 1 {
			i := bits.TrailingZeros32(b)
			if i >= statements || !yield(said[i]) {
				return
			}
		}
	}
}
