package gen

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// Config says which world to make.
type Config struct {
	Seed  uint64 // the same seed and numbers make the same world
	Cards int    // 100 to 900 million
	Start time.Time
	Days  int // 1 to 400
	// Honest leaves all misuse out, and what looks like it to everybody: swaps
	// that nobody announced.
	Honest bool
	// Plain leaves out what happens to honest cards that the books tell of: swaps,
	// moves, activations, suspensions.
	Plain bool
	// Misuse is how many cases there are of each kind; 0 = as many as the fleet
	// has room for, up to 20.
	Misuse int
	// Keys make events; nil = keys of an all-zero secret.
	Keys *cdr.Keys
}

// Bounds of a world.
const (
	MinCards = 100
	MaxCards = 900_000_000
	MaxDays  = 400
)

// zone is how far the local time of all towns is ahead of UTC.
const zone = 8 * 3600

// World is what there is: networks, customers, cards and what happens to them.
// It is not changed after New and may be shared by goroutines.
type World struct {
	cfg        Config
	c          *chance
	keys       *cdr.Keys
	plan       *plan
	fleet      *fleet
	nodes      []node
	start, end int64
	stories    map[uint32][]*story
	marked     []uint64 // a bit for each card with a story
	extra      []row    // records of misuse that no habit makes, by arrival
	truth      []Truth
	meetings   map[meeting]int // of crowds, the first case
	notices    []Notice
	cellKeys   []uint64
	areaKeys   []uint32
	apnKeys    []uint32 // of customers
	plmnKeys   []uint32 // of networks
}

// New makes a world. The error has code Invalid.
func New(cfg Config) (*World, error) {
	if cfg.Cards < MinCards || cfg.Cards > MaxCards {
		return nil, ringwall.Errorf(ringwall.Invalid, "%d cards are not between %d and %d", cfg.Cards, MinCards, MaxCards)
	}
	if cfg.Days < 1 || cfg.Days > MaxDays {
		return nil, ringwall.Errorf(ringwall.Invalid, "%d days are not between 1 and %d", cfg.Days, MaxDays)
	}
	if cfg.Misuse < 0 || cfg.Misuse > 10_000 {
		return nil, ringwall.Errorf(ringwall.Invalid, "%d cases of each misuse are not between 0 and 10000", cfg.Misuse)
	}
	if cfg.Start.IsZero() {
		cfg.Start = time.Date(2026, 9, 30, 16, 0, 0, 0, time.UTC)
	}
	// A world begins at midnight where its cards are.
	cfg.Start = time.Unix((cfg.Start.Unix()+zone)/86400*86400-zone, 0).UTC()
	if cfg.Start.Year() < 1991 || cfg.Start.Year() > 2090 {
		return nil, ringwall.Errorf(ringwall.Invalid, "a world cannot begin in %d", cfg.Start.Year())
	}
	if cfg.Keys == nil {
		cfg.Keys = cdr.NewKeys([32]byte{})
	}
	w := &World{cfg: cfg, c: newChance(cfg.Seed), keys: cfg.Keys, start: cfg.Start.Unix(), stories: map[uint32][]*story{}}
	w.end = w.start + int64(cfg.Days)*86400
	w.plan = newPlan(w.c, min(max(cfg.Cards/400, 400), 200_000), w.start, int64(cfg.Days))
	w.fleet = newFleet(w.c, w.plan, cfg)
	w.makeNodes()
	w.makeKeys()
	w.marked = make([]uint64, (cfg.Cards+63)/64)
	if !cfg.Plain {
		w.tellHonest()
	}
	if !cfg.Honest {
		w.tellMisuse()
	}
	w.sortExtra()
	return w, nil
}

// Config is the world's, with what was left out filled in.
func (w *World) Config() Config { return w.cfg }

// Customers are all companies with cards.
func (w *World) Customers() []*Customer { return w.fleet.customers }

func (w *World) makeKeys() {
	for _, n := range w.plan.nets {
		w.plmnKeys = append(w.plmnKeys, cdr.ParsePLMN(n.MCC+n.MNC))
	}
	for _, a := range w.plan.areas {
		w.areaKeys = append(w.areaKeys, w.keys.AreaNumber(uint32(a.Code)))
	}
	for i := range w.plan.cells {
		k := &w.plan.cells[i]
		w.cellKeys = append(w.cellKeys, w.keys.CellNumber(w.plmnKeys[w.plan.netOf(int32(i))], w.areaKeys[k.Area], uint64(k.ECI)))
	}
	for _, cu := range w.fleet.customers {
		w.apnKeys = append(w.apnKeys, w.keys.APNKey([]byte(cu.Tariff.APN)))
	}
}

// CardKey is the key of a card, from 0 to Cards-1.
func (w *World) CardKey(card uint32) uint64 {
	return w.cardKey(w.fleet.customerOf(card), card)
}

// 46004 and ten digits, and a 1 before them.
const imsiBase = 1_460_04_00_0000_0000

func (w *World) cardKey(cu *Customer, card uint32) uint64 { return imsiBase + w.msin(cu, card) }

// CustomerOf is the customer of a card.
func (w *World) CustomerOf(card uint32) *Customer { return w.fleet.customerOf(card) }

// First is the first card of a customer; the others follow it.
func (cu *Customer) First() uint32 { return cu.first }

// Equipment is the key of the equipment in which a card was delivered.
func (cu *Customer) Equipment(card uint32) uint64 { return cu.imei(card) + 1 }

// FirstNumber is the lowest IMSI of a customer's block, as a key; its cards
// follow without a gap.
func (w *World) FirstNumber(cu *Customer) uint64 { return w.cardKey(cu, cu.first) }

// CardOf is the card of a key, and whether it is one of the world's.
func (w *World) CardOf(key uint64) (uint32, bool) {
	if key < imsiBase {
		return 0, false
	}
	cs := w.fleet.customers
	lo, hi := 0, len(cs)
	for lo < hi {
		m := (lo + hi) / 2
		if w.FirstNumber(cs[m]) <= key {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == 0 {
		return 0, false
	}
	cu := cs[lo-1]
	n := key - w.FirstNumber(cu)
	if n >= uint64(cu.Cards) {
		return 0, false
	}
	return cu.first + uint32(n), true
}
