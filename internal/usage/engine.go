package usage

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
	"unsafe"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// Engine judges records. It belongs to one goroutine.
type Engine struct {
	c     Config
	keys  *cdr.Keys
	table *store.Table
	seen  *store.Seen
	env   rules.Env
	book  book
	stats Stats

	entries map[uint64]entry // cards that SetCard named
	totals  map[uint64]*total
	ranges  spans
	adopted int
	pending int // cards of a snapshot that are not set yet

	// While a batch is judged.
	batch  *cdr.Batch
	at     int // the event
	rec    cdr.Record
	mac    hash.Hash // of alert; it knows the key
	groups [2]group
	loud   rules.Fired
	every  [cdr.MaxBatch]uint16 // 0, 1, 2 ...
	one    cdr.Batch            // for Record

	snapshot *Snapshot // that is being taken
	place    [2]int    // which of how many engines of a Set
}

// entry is what SetCard said of a card.
type entry struct {
	sim      ringwall.SIMID
	org      ringwall.OrgID
	bound    uint64
	settings uint32 // of the Book
	own      int32  // or of its own; -1 = none
	life     rules.Life
	since    uint32
}

type total struct{ up, down, records uint64 }

// The bits of a line that are the engine's.
const (
	ownAdopted = 1 << iota // nobody registered the card
	ownNamed               // SetCard did
	ownPending             // it is of a snapshot and not set yet: nobody knows it
)

// New returns an engine without cards. Close gives its memory back.
func New(c Config) *Engine {
	c = c.withDefaults()
	e := &Engine{c: c, keys: c.Keys, entries: map[uint64]entry{}, seen: store.NewSeen(c.Duplicates)}
	e.stats.Said = make([]uint64, len(rules.Statements()))
	e.book.init(c.Book, c.Keys)
	e.env = rules.Env{Areas: c.Areas, Record: e.recordOf}
	e.empty()
	e.loud = ^quiet | c.Watched
	for i := range e.every {
		e.every[i] = uint16(i)
	}
	if !c.NoTotals {
		e.totals = map[uint64]*total{}
	}
	return e
}

func (e *Engine) empty() {
	e.table = store.New(store.Config{MaxLines: e.c.MaxCards})
	e.env.Side = rules.NewSide(e.c.MaxSide)
}

// Close gives the memory of lines back. The engine is then empty.
func (e *Engine) Close() error {
	err := e.table.Close()
	e.empty()
	e.adopted, e.pending = 0, 0
	return err
}

// line is the line at a place; valid until a card comes or goes.
func (e *Engine) line(at uint32) *rules.Line { return (*rules.Line)(unsafe.Pointer(e.table.Line(at))) }

// A line of the rules is a line of the table.
var (
	_ [unsafe.Sizeof(rules.Line{}) - unsafe.Sizeof(store.Line{})]byte
	_ [unsafe.Sizeof(store.Line{}) - unsafe.Sizeof(rules.Line{})]byte
	_ [-unsafe.Offsetof(rules.Line{}.Card)]byte
)

// keyed is a keyed hash of s for one purpose.
func (e *Engine) keyed(purpose, s string) (sum [16]byte) {
	return keyedBy(hmac.New(sha256.New, e.c.Key), purpose, s)
}

func keyedBy(m hash.Hash, purpose, s string) (sum [16]byte) {
	m.Write([]byte(purpose + "\x00" + s))
	copy(sum[:], m.Sum(nil))
	return sum
}

// derivedID is the id of a card that nobody gave one.
func (e *Engine) derivedID(card uint64) ringwall.SIMID {
	sum := e.keyed("usage card", cdr.IMSIOf(card))
	return ringwall.SIMID(ringwall.DeriveID(ringwall.PrefixSIM, string(sum[:])))
}

// NameOf is the id of a card (cdr.CardKey), and whose it is, as alerts have it.
func (e *Engine) NameOf(card uint64) (ringwall.SIMID, ringwall.OrgID) { return e.name(card) }

// name is the id of a card, and whose it is.
func (e *Engine) name(card uint64) (ringwall.SIMID, ringwall.OrgID) {
	if c, ok := e.entries[card]; ok {
		return c.sim, c.org
	}
	if e.c.Name != nil {
		if sim, org, ok := e.c.Name(card); ok {
			return sim, org
		}
	}
	return e.derivedID(card), ""
}

// Name is the id of a card (cdr.CardKey) in alerts, and whose it is.
func (e *Engine) Name(card uint64) (ringwall.SIMID, ringwall.OrgID) { return e.name(card) }

// Partition returns which of n engines a card belongs to.
func Partition(i ringwall.IMSI, n int) int { return PartitionOf(cdr.CardKey(i.Reveal()), n) }

// PartitionOf returns which of n engines a card (cdr.CardKey) belongs to. All
// numbers of one block of 10,000 belong to one, so that it finds them as a block.
func PartitionOf(card uint64, n int) int {
	if n <= 1 {
		return 0
	}
	// A mixing step (Fibonacci hashing): blocks are issued one after another. Then
	// the high bits, spread over n.
	h := card / blockCards * 0x9e3779b97f4a7c15 >> 32
	return int(h * uint64(n) >> 32)
}

// SetCard registers a card or changes a registered one; its state stays, but a
// learned binding is forgotten when another one is declared. The error has code
// Invalid or, when there is no room, Unavailable.
func (e *Engine) SetCard(c Card) error {
	card := cdr.CardKey(c.IMSI.Reveal())
	if card == 0 || c.SIM == "" {
		return ringwall.Errorf(ringwall.Invalid, "card %q has an IMSI of %d characters, want 6 to 15 digits", c.SIM, len(c.IMSI))
	}
	bound := EquipmentOf(c.IMEI)
	if c.IMEI != "" && bound == 0 {
		return ringwall.Errorf(ringwall.Invalid, "card %q is bound to an IMEI of %d characters, want 14 to 16 digits", c.SIM, len(c.IMEI))
	}
	own, err := e.book.settingsOf(c, e.keys)
	if err != nil {
		return err
	}
	n := entry{sim: c.SIM, org: c.Org, bound: uint64(bound), settings: c.Settings, own: own, life: c.Life}
	if !c.Since.IsZero() {
		n.since = uint32(min(max(c.Since.Unix(), 0), 1<<32-1))
	}
	if err := e.put(card, n); err != nil {
		return err
	}
	e.entries[card] = n
	return nil
}

// put makes the line of a card say what its entry says.
func (e *Engine) put(card uint64, n entry) error {
	at, err := e.table.Put(card)
	if err != nil {
		return err
	}
	l := e.line(at)
	own := l.Own()
	if own&ownAdopted != 0 {
		e.adopted--
	}
	if own&ownPending != 0 {
		e.pending--
	}
	l.SetOwn(own&^(ownAdopted|ownPending) | ownNamed)
	l.SetSettings(e.book.number(n.settings, n.own))
	l.Bind(n.bound, e.env.Side)
	l.SetLife(n.life, n.since, e.env.Side)
	e.table.Touch(at)
	return nil
}

// RemoveCard forgets a card and its state.
func (e *Engine) RemoveCard(imsi ringwall.IMSI) { e.remove(cdr.CardKey(imsi.Reveal())) }

func (e *Engine) remove(card uint64) {
	delete(e.entries, card)
	delete(e.totals, card)
	at := e.table.Get(card)
	if at == store.None {
		return
	}
	l := e.line(at)
	if l.Own()&ownAdopted != 0 {
		e.adopted--
	}
	if l.Own()&ownPending != 0 {
		e.pending--
	}
	e.env.Side.Drop(l)
	e.table.Remove(card)
}

// Range is numbers that were issued together.
type Range struct {
	First ringwall.IMSI
	N     int
	// Settings are the number of those in the Book that the cards are judged by; 0
	// while the Book has none of that number.
	Settings uint32
	// Dense says that the range is the engine's only one, and large: its cards are
	// found faster still. It must come first, and not to a Set of several engines.
	Dense bool
}

// Announce registers the cards of a range, without touching their lines: each
// takes memory when its first record comes, or that of a card near it. Announce
// again after Restore. The error has code Invalid or Unavailable.
func (e *Engine) Announce(r Range) error {
	first := cdr.CardKey(r.First.Reveal())
	if first == 0 || r.N <= 0 || r.N > 1e12 {
		return ringwall.Errorf(ringwall.Invalid, "a range of %d cards from an IMSI of %d characters is none", r.N, len(r.First))
	}
	return e.announce(span{first, uint64(r.N), r.Settings}, r.Dense)
}

func (e *Engine) announce(s span, dense bool) error {
	var err error
	if dense && e.table.Len() == 0 {
		err = e.table.Range(s.first, int(s.n))
	} else if !dense {
		err = e.table.Announce(s.first, int(s.n))
	}
	if err == nil {
		e.ranges = e.ranges.put(s)
	}
	return err
}

// admit finds or makes the line of a card whose place was not right; ok is false
// when nobody knows it.
func (e *Engine) admit(card uint64) (at uint32, ok bool) {
	if at = e.table.Get(card); at != store.None {
		return at, e.line(at).Own()&ownPending == 0
	}
	settings, announced := e.ranges.find(card)
	adopted := !announced
	if adopted && (!e.c.Adopt || e.adopted >= e.c.MaxAdopted) || card == 0 {
		return at, false
	}
	at, err := e.table.Put(card)
	if err != nil {
		return at, false // no room: it is counted as unknown
	}
	l := e.line(at)
	l.SetSettings(e.book.number(settings, -1))
	if adopted {
		l.SetOwn(ownAdopted)
		e.adopted++
	}
	return at, true
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Said = append([]uint64(nil), s.Said...)
	s.Cards = e.table.Len() - e.pending
	return s
}

// Memory reports what the engine takes.
func (e *Engine) Memory() Memory {
	m := Memory{Table: e.table.Memory(), Side: e.env.Side.Stats(), Duplicates: e.seen.Bytes(), Cards: e.table.Len()}
	m.perCard()
	return m
}

// cardOf is the key of a card.
func cardOf(i ringwall.IMSI) uint64 { return cdr.CardKey(i.Reveal()) }
