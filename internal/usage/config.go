package usage

import (
	"crypto/hmac"
	"crypto/sha256"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// Config configures an Engine. The zero value judges registered cards by all
// rules, with ids that can be guessed back.
type Config struct {
	// Key is a secret: without it, whoever holds an alert's id can find its
	// card by trying all numbers. A snapshot needs one.
	Key []byte
	// Keys are those that events were made with; nil = KeysOf(Key).
	Keys *cdr.Keys
	// Book says what is judged by; nil = the defaults, for all cards alike.
	Book *rules.Book
	// Areas says where cells are and which places are risky; nil = unknown.
	Areas *rules.Areas
	// Name gives the id and the owner of a card (cdr.CardKey) that SetCard did not
	// name; nil, or false from it = the id is derived, and there is no owner.
	Name func(card uint64) (ringwall.SIMID, ringwall.OrgID, bool)
	// Adopt judges cards that were never registered by what they were first
	// seen to do; else they are only counted.
	Adopt bool
	// MaxAdopted bounds the cards that are adopted; 0 = 1,048,576. Past it they
	// are counted as unknown.
	MaxAdopted int
	// MaxCards bounds lines, 64 bytes each; 0 = 1<<30.
	MaxCards int
	// MaxSide bounds the blocks of 16 bytes that hold what only some cards need; 0
	// = rules.MaxSide.
	MaxSide int
	// Duplicates is how many record ids are remembered at least; 0 = 1,048,576,
	// negative = none. It costs about 21 bytes for each.
	Duplicates int
	// NoTotals leaves out the bytes and the number of records that are kept for
	// Use of each card that SetCard named: about 60 bytes a card, and half the
	// speed, for those who have another place to count in.
	NoTotals bool
	// Now tells records from the future; nil = none is.
	Now func() time.Time
	// Watch, if not nil, is told of each record with one of the flags of Watched:
	// after it was judged, before the next. It is for those who look at several
	// cards at once.
	Watch   func(*cdr.Event, *rules.Line, rules.Fired)
	Watched rules.Fired
}

const (
	defaultAdopted    = 1 << 20
	defaultDuplicates = 1 << 20
	// maxAhead is how far the clocks of network elements may be ahead of ours.
	maxAhead = time.Hour
)

func (c Config) withDefaults() Config {
	if c.Keys == nil {
		c.Keys = KeysOf(c.Key)
	}
	if c.MaxAdopted == 0 {
		c.MaxAdopted = defaultAdopted
	}
	if c.Duplicates == 0 {
		c.Duplicates = defaultDuplicates
	}
	return c
}

// KeysOf are the keys that events are made with by whoever shares an engine's
// secret.
func KeysOf(key []byte) *cdr.Keys {
	m := hmac.New(sha256.New, key)
	m.Write([]byte("usage events"))
	return cdr.NewKeys([32]byte(m.Sum(nil)))
}

// Stats counts what an engine has seen.
type Stats struct {
	Records   uint64 `json:"records"` // all
	Unknown   uint64 `json:"unknown"` // of cards that nobody registered; not judged
	Duplicate uint64 `json:"duplicate"`
	Late      uint64 `json:"late"`   // older than the newest of their card; judged
	Future    uint64 `json:"future"` // ahead of our clock; judged
	Muted     uint64 `json:"muted"`  // of which something was kept back by an exception
	Cold      uint64 `json:"cold"`   // whose volume was not judged: too little is known of the card
	Alerts    uint64 `json:"alerts"`
	// Said counts alerts by rule and variant, in the order of rules.Statements.
	Said  []uint64 `json:"said,omitempty"`
	Cards int      `json:"cards"` // known
}

// ByRule counts alerts by the name of their rule.
func (s Stats) ByRule() map[string]uint64 {
	out := map[string]uint64{}
	for i, st := range rules.Statements() {
		if i < len(s.Said) && s.Said[i] > 0 {
			out[st.Rule] += s.Said[i]
		}
	}
	return out
}

// add sums counts of several engines.
func (s *Stats) add(o Stats) {
	for i, v := range o.counters() {
		*s.counters()[i] += *v
	}
	s.Cards += o.Cards
	if s.Said == nil {
		s.Said = make([]uint64, len(o.Said))
	}
	for i := range o.Said {
		s.Said[i] += o.Said[i]
	}
}

// counters are the counts that a snapshot carries.
func (s *Stats) counters() [8]*uint64 {
	return [...]*uint64{&s.Records, &s.Unknown, &s.Duplicate, &s.Late, &s.Future, &s.Muted, &s.Cold, &s.Alerts}
}

// Memory is what an engine takes, in bytes.
type Memory struct {
	Table      store.Memory    `json:"table"`
	Side       rules.SideStats `json:"side"`
	Duplicates uint64          `json:"duplicates"`
	// Across is what is noted of several cards at once, in a Set.
	Across uint64 `json:"across,omitempty"`
	Cards  int    `json:"cards"`
	// PerCard are the bytes of lines and of what finds them, and SidePerCard those
	// of the side, for each card.
	PerCard     float64 `json:"perCard"`
	SidePerCard float64 `json:"sidePerCard"`
}

func (m *Memory) add(o Memory) {
	t, ot := &m.Table, &o.Table
	t.Lines, t.Blocks, t.Strays, t.Free = t.Lines+ot.Lines, t.Blocks+ot.Blocks, t.Strays+ot.Strays, t.Free+ot.Free
	t.InBlock, t.Stray, t.Mapped = t.InBlock+ot.InBlock, t.Stray+ot.Stray, t.Mapped || ot.Mapped
	s, os := &m.Side, &o.Side
	s.Homes, s.Cells, s.Foreign, s.Calls, s.Quota, s.Life = s.Homes+os.Homes, s.Cells+os.Cells, s.Foreign+os.Foreign, s.Calls+os.Calls, s.Quota+os.Quota, s.Life+os.Life
	s.Former, s.Aside, s.Bytes, s.Full = s.Former+os.Former, s.Aside+os.Aside, s.Bytes+os.Bytes, s.Full+os.Full
	m.Duplicates, m.Cards = m.Duplicates+o.Duplicates, m.Cards+o.Cards
	m.perCard()
}

func (m *Memory) perCard() {
	n := float64(max(m.Cards, 1))
	m.PerCard = float64(m.Table.Lines+m.Table.Blocks+m.Table.Strays+m.Table.Free) / n
	m.SidePerCard = float64(m.Side.Bytes) / n
}
