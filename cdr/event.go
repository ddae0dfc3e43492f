package cdr

// Event is one usage record as the hot path takes it: 64 bytes, one cache line,
// no pointer. What people need to read (numbers, names, texts) stays in the
// record behind it: Batch.Record gives it for the few events that matter.
//
// Zero is unknown in every field but Up, Down and Duration.
type Event struct {
	// Card is the IMSI as a number: its digits with a 1 before them, so that
	// leading zeros and lengths are kept (CardKey).
	Card uint64
	// IMEI is the equipment: the first 14 digits of the IMEI or IMEISV, plus one
	// (TS 23.003 sections 6.2.1 and 6.2.2; EquipmentKey).
	IMEI uint64
	// Peer is the other end (PeerKey): a number of up to 17 digits and an IPv4
	// address exactly, anything else as a keyed hash. The two highest bits tell
	// which (PeerKind).
	Peer uint64
	// Cell is where the card was: PLMN and cell identity (PlaceKey).
	Cell uint64
	// ID names the record for its card, to tell duplicates: a keyed hash.
	ID uint64
	// Sec is when it began, seconds since 1970 UTC. Until 2106.
	Sec uint32
	// Area is the location or tracking area (PlaceKey): its code when it is a
	// number below 1<<24, else a keyed hash with the highest bit set.
	Area uint32
	// PLMN is the network that served: 12 bits mobile country code in decimal
	// (460), 20 bits network code with its number of digits (ParsePLMN).
	PLMN uint32
	// APN is a keyed hash of the access point's name in small letters.
	APN uint32
	// Volume is bytes both ways. Exact up to 16 MiB, then to seven digits.
	Volume float32
	// Use packs service, direction, flags and duration (NewUse).
	Use Use
}

// Use is what an event was, packed: duration in seconds in the low 24 bits,
// then service (3 bits), direction (2 bits) and flags (3 bits).
type Use uint32

// Flags of a use.
const (
	// Estimated says that the time is the receiver's: the record names none.
	Estimated = 1 << iota
	// Partial says that the record is one of several of a session that lasts.
	Partial
)

// Places of the parts of a use.
const (
	useService   = 24
	useDirection = 27
	useFlags     = 29
)

// NewUse packs. Durations over 16,777,215 s (194 days) are cut to that.
func NewUse(s Service, d Direction, seconds uint64, flags uint32) Use {
	return Use(uint32(min(seconds, 1<<24-1)) | uint32(s&7)<<useService | uint32(d&3)<<useDirection | (flags&7)<<useFlags)
}

// Service is what was used.
func (u Use) Service() Service { return Service(u >> useService & 7) }

// Direction says who began.
func (u Use) Direction() Direction { return Direction(u >> useDirection & 3) }

// Seconds is how long it lasted.
func (u Use) Seconds() uint32 { return uint32(u) & (1<<24 - 1) }

// Flags are Estimated and Partial.
func (u Use) Flags() uint32 { return uint32(u) >> useFlags }

// Kinds of a peer, as the two highest bits of its key tell.
const (
	PeerNone   = iota // unknown
	PeerNumber        // E.164 digits or a short code
	PeerIPv4          // the low 32 bits
	PeerHashed        // 62 bits of a keyed hash: IPv6, names, long numbers
)

// PeerKind tells what kind of key k is.
func PeerKind(k uint64) int { return int(k >> 62) }

// Batch is what a decoder hands over at once: events, and the way back to the
// records behind them. It is filled anew by each call; who keeps one, copies it.
// At most MaxBatch events.
type Batch struct {
	Events []Event
	// Lines are the numbers of the events in their input, from 1 (a line of CSV, a
	// record of a file, a sequence of a log), parallel to Events.
	Lines []uint64
	// Detail gives the records behind the events. Valid until the batch is filled
	// again.
	Detail Detail
}

// MaxBatch bounds the events of a batch: they stay within the second level of
// a processor's cache.
const MaxBatch = 512

// Detail gives the whole record behind an event of a batch.
type Detail interface {
	// Record reads the record behind event i again, into r. It fails only when
	// the event was made by something that lost it; then the alert stands on the
	// event alone.
	Record(i int, r *Record) error
}
