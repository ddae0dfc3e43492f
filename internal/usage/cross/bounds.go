package cross

import (
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Config configures a Table. The zero value is good for up to 32 million cards.
type Config struct {
	// Equipment is how many cards in one piece of equipment within a week are many;
	// 0 = 4.
	Equipment int
	// Cell is how many cards that are new in a cell and call or write from there in
	// a day are many; 0 = 15.
	Cell int
	// Peer is how many cards of the same settings that reach a new peer in a day are
	// many; 0 = 10. A peer is new for three days, to all of them.
	Peer int
	// Times is how many times what is usual they must be as well, of cells and peers;
	// 0 = 5.
	Times int
	// LearnDays is how long nothing is said of cells, after the table's first
	// observation, and of peers, after the first of their settings; 0 = 3.
	LearnDays int
	// Cards is how many cards there are, and with that how much memory may be taken.
	Cards int
	// Bytes bounds the memory; 0 = 2 bytes a card, and at least 64 MiB. Of it only
	// what is needed is taken. Less than 256 KiB are 256 KiB.
	Bytes int64
	// Usual, if not nil, is told of peers of which nothing can be said any more: it
	// then belongs to the Env of those that make the observations.
	Usual *rules.Usual
	// Settled, if not nil, is told of the same.
	Settled func(settings uint32, peer uint64, day uint16)
}

const (
	leastBytes   = 256 << 10
	defaultBytes = 64 << 20
	perCard      = 2
)

func (c Config) withDefaults() Config {
	set := func(v *int, other int) {
		if *v <= 0 {
			*v = other
		}
	}
	set(&c.Equipment, 4)
	set(&c.Cell, 15)
	set(&c.Peer, 10)
	set(&c.Times, 5)
	set(&c.LearnDays, 3)
	return c
}

// most is how many bytes a table may take.
func (c *Config) most() int64 {
	if c.Bytes > 0 {
		return max(c.Bytes, leastBytes)
	}
	return max(defaultBytes, perCard*int64(c.Cards))
}

// shares are the parts of the memory, in 64ths. Each kind has its own: none can
// take what another needs. On its first day a table hears of the equipment of
// every card: that is what most of the memory is for.
type shares struct{ gate, firsts, entries, known int64 }

var shareOf = [kinds]shares{
	Equipment: {gate: 30, firsts: 6, entries: 4},
	Cell:      {gate: 1, firsts: 2, entries: 2},
	Peer:      {gate: 1, firsts: 4, entries: 2, known: 12},
}

// bound sets what each part may take.
func (t *Table) bound() {
	part := t.c.most() / 64
	for k := range t.lots {
		l, s := &t.lots[k], shareOf[k]
		l.gateMost = s.gate * part
		l.firsts.bound(int(s.firsts * part / slotBytes))
		l.entries.bound(s.entries * part)
	}
	t.known.most = shareOf[Peer].known * part / 2
}

// Grow says how many cards there are by now. A table does not shrink.
func (t *Table) Grow(cards int) {
	if cards > t.c.Cards {
		t.c.Cards = cards
		t.bound()
	}
}

// Stats counts what a Table holds.
type Stats struct {
	// Observations are those that it was given since it began or was restored. Those
	// that Usual spared are not among them: how many these are, nobody can tell.
	Observations uint64 `json:"observations"`
	Findings     uint64 `json:"findings"`
	// Bytes are taken, of at most Most.
	Bytes     int64     `json:"bytes"`
	Most      int64     `json:"most"`
	Equipment KindStats `json:"equipment"`
	Cell      KindStats `json:"cell"`
	Peer      KindStats `json:"peer"`
	// Blind is the share of new peers that are taken for known ones.
	Blind float64 `json:"blind"`
}

// KindStats counts what a Table holds of a kind.
type KindStats struct {
	Entries int   `json:"entries"` // of what more than few cards were seen with
	Peak    int   `json:"peak"`    // of them, at once
	Firsts  int   `json:"firsts"`  // of what few were
	Bytes   int64 `json:"bytes"`
	// Full are entries that were refused or given up because there was no room: what
	// was, or would have been, counted in them is lost.
	Full uint64 `json:"full"`
	// Dropped are first cards that were forgotten before their time, and Gated those
	// of which there was only room to note that there was one: the next card counts
	// as the first.
	Dropped uint64 `json:"dropped"`
	Gated   uint64 `json:"gated"`
}

// Stats returns the counts.
func (t *Table) Stats() Stats {
	s := Stats{Observations: t.observed, Findings: t.found, Most: t.c.most(), Blind: t.known.errs(), Bytes: t.Bytes()}
	for k, of := range [kinds]*KindStats{&s.Equipment, &s.Cell, &s.Peer} {
		l := &t.lots[k]
		*of = KindStats{Entries: l.all.len(), Peak: l.peak, Firsts: l.firsts.n, Bytes: l.bytes(), Full: l.full, Dropped: l.dropped, Gated: l.gated}
	}
	s.Peer.Bytes += t.known.bytes()
	return s
}

// Bytes is what the table takes.
func (t *Table) Bytes() int64 {
	n := t.known.bytes() + int64(len(t.groups))*groupBytes
	for k := range t.lots {
		n += t.lots[k].bytes()
	}
	return n
}

func (l *lot) bytes() int64 { return l.entries.bytes() + l.firsts.bytes() + l.gate.bytes() }

// groupBytes is about what the first day of settings takes. There are as many as
// settings, and no more than these can be.
const groupBytes = 24
