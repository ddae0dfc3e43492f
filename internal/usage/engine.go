package usage

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash/fnv"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// Config configures an Engine. The zero value judges registered cards by all
// rules, with ids that can be guessed back.
type Config struct {
	// Key is a secret: without it, whoever holds an alert's id can find its
	// card by trying all numbers. A snapshot needs one.
	Key []byte
	// Rules to judge by; nil = Rules().
	Rules []Rule
	// Adopt judges cards that were never registered by what they were first
	// seen to do; else they are only counted.
	Adopt bool
	// MaxAdopted bounds the cards that are adopted; 0 = 1,048,576. Past it they
	// are counted as unknown.
	MaxAdopted int
	// Duplicates is how many record ids are remembered at least; 0 = 1,048,576,
	// negative = none. It costs about 40 bytes for each.
	Duplicates int
	// Now tells records from the future; nil = none is.
	Now func() time.Time
}

const (
	defaultAdopted    = 1 << 20
	defaultDuplicates = 1 << 20
	// maxAhead is how far the clocks of network elements may be ahead of ours.
	maxAhead = time.Hour
)

// Stats counts what an engine has seen.
type Stats struct {
	Records   uint64 `json:"records"` // all
	Unknown   uint64 `json:"unknown"` // of cards that nobody registered; not judged
	Duplicate uint64 `json:"duplicate"`
	Late      uint64 `json:"late"`   // older than the newest of their card; judged
	Future    uint64 `json:"future"` // ahead of our clock; judged
	Alerts    uint64 `json:"alerts"`
	Cards     int    `json:"cards"` // known
}

// state is what is kept of a card between records: 56 bytes.
type state struct {
	last     int64     // newest record, seconds since 1970
	bound    Equipment // learned
	seen     Equipment // of the newest record that named one
	up, down uint64
	records  uint32
	day      int32  // the day that said is of
	said     uint32 // a bit a rule and variant
	before   uint32 // the same for the day before
}

// profile is what cards have in common; few differ.
type profile struct {
	services Services
	peers    *Peers
}

// entry is a card as the engine keeps it.
type entry struct {
	sim     ringwall.SIMID
	org     ringwall.OrgID
	bound   Equipment // declared
	profile *profile
	adopted bool
}

// Engine judges records. It belongs to one goroutine.
type Engine struct {
	c       Config
	rules   []Rule
	stats   Stats
	index   map[uint64]int32 // of an IMSI, its place in the slices
	entries []entry
	states  []state
	free    []int32
	adopted int

	profiles map[string]*profile
	pending  map[[16]byte]state // restored states of cards that are not set yet
	seen     *recent
	seed     uint64
}

// New returns an engine without cards. It panics when there are more rules
// than it can keep apart, or two of one name.
func New(c Config) *Engine {
	if c.Rules == nil {
		c.Rules = Rules()
	}
	if len(c.Rules) > maxRules {
		panic("usage: more than " + strconv.Itoa(maxRules) + " rules")
	}
	names := map[string]bool{}
	for _, r := range c.Rules {
		if names[r.Name] || r.Name == "" {
			panic("usage: rule " + strconv.Quote(r.Name) + " is nameless or there twice")
		}
		names[r.Name] = true
	}
	if c.MaxAdopted == 0 {
		c.MaxAdopted = defaultAdopted
	}
	if c.Duplicates == 0 {
		c.Duplicates = defaultDuplicates
	}
	e := &Engine{c: c, rules: c.Rules, index: map[uint64]int32{}, profiles: map[string]*profile{}, pending: map[[16]byte]state{}, seen: newRecent(c.Duplicates)}
	sum := e.keyed("usage records", "")
	e.seed = binary.BigEndian.Uint64(sum[:])
	return e
}

// keyed is a keyed hash of s for one purpose.
func (e *Engine) keyed(purpose, s string) (sum [16]byte) {
	m := hmac.New(sha256.New, e.c.Key)
	m.Write([]byte(purpose + "\x00" + s))
	copy(sum[:], m.Sum(nil))
	return sum
}

// imsiKey packs up to 15 digits, leading zeros included; 0 = not an IMSI.
func imsiKey(i ringwall.IMSI) uint64 {
	s := i.Reveal()
	if len(s) == 0 || len(s) > 15 {
		return 0
	}
	n := uint64(1)
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint64(c-'0')
	}
	return n
}

// Partition returns which of n engines a card belongs to.
func Partition(i ringwall.IMSI, n int) int {
	if n <= 1 {
		return 0
	}
	// A mixing step (Fibonacci hashing): numbers are issued in blocks.
	return int((imsiKey(i) * 0x9e3779b97f4a7c15 >> 33) % uint64(n))
}

// SetCard registers a card or changes a registered one; its state stays, but a
// learned binding is forgotten when another one is declared. The error has code
// Invalid.
func (e *Engine) SetCard(c Card) error {
	key := imsiKey(c.IMSI)
	if key == 0 || c.SIM == "" {
		return ringwall.Errorf(ringwall.Invalid, "card %q has an IMSI of %d characters, want up to 15 digits", c.SIM, len(c.IMSI))
	}
	if c.IMEI != "" && EquipmentOf(c.IMEI) == 0 {
		return ringwall.Errorf(ringwall.Invalid, "card %q is bound to an IMEI of %d characters, want 14 to 16 digits", c.SIM, len(c.IMEI))
	}
	i, ok := e.index[key]
	if !ok {
		i = e.place(key, c.IMSI)
	} else if e.entries[i].adopted {
		e.adopted--
	}
	e.entries[i] = entry{sim: c.SIM, org: c.Org, bound: EquipmentOf(c.IMEI), profile: e.profile(c)}
	return nil
}

// place makes room for a card, with the state that a snapshot had of it.
func (e *Engine) place(key uint64, imsi ringwall.IMSI) int32 {
	var i int32
	if n := len(e.free); n > 0 {
		i, e.free = e.free[n-1], e.free[:n-1]
		e.states[i] = state{}
	} else {
		i = int32(len(e.entries))
		e.entries, e.states = append(e.entries, entry{}), append(e.states, state{})
	}
	e.index[key] = i
	if len(e.pending) > 0 {
		h := e.keyed("usage state", imsi.Reveal())
		if s, ok := e.pending[h]; ok {
			e.states[i] = s
			delete(e.pending, h)
		}
	}
	return i
}

// profile shares what cards have in common.
func (e *Engine) profile(c Card) *profile {
	key := strconv.Itoa(int(c.Services))
	if c.Peers != nil {
		key += " " + c.Peers.key
	}
	p := e.profiles[key]
	if p == nil {
		p = &profile{services: c.Services, peers: c.Peers}
		e.profiles[key] = p
	}
	return p
}

// RemoveCard forgets a card and its state.
func (e *Engine) RemoveCard(imsi ringwall.IMSI) {
	key := imsiKey(imsi)
	i, ok := e.index[key]
	if !ok {
		return
	}
	if e.entries[i].adopted {
		e.adopted--
	}
	delete(e.index, key)
	e.entries[i] = entry{}
	e.free = append(e.free, i)
}

// Outcome is what became of one record.
type Outcome struct {
	SIM       ringwall.SIMID // "" when nobody registered the card
	Duplicate bool           // not judged again
	Late      bool
	Future    bool
	Alerts    []ringwall.Alert
}

// Record judges one record.
func (e *Engine) Record(r *cdr.Record) Outcome {
	e.stats.Records++
	key := imsiKey(r.IMSI)
	i, ok := e.index[key]
	if !ok {
		if i, ok = e.adopt(key, r.IMSI); !ok {
			e.stats.Unknown++
			return Outcome{}
		}
	}
	c, s := &e.entries[i], &e.states[i]
	out := Outcome{SIM: c.sim}
	if r.ID != "" && !e.seen.add(e.recordKey(r)) {
		e.stats.Duplicate++
		out.Duplicate = true
		return out
	}
	at := r.Time.Unix()
	out.Late = at < s.last
	out.Future = e.c.Now != nil && r.Time.After(e.c.Now().Add(maxAhead))
	if !out.Future {
		s.advance(dayOf(r))
	}
	out.Alerts = e.judge(c, s, r)
	e.move(c, s, r, out)
	return out
}

// adopt makes a card of one that nobody registered.
func (e *Engine) adopt(key uint64, imsi ringwall.IMSI) (int32, bool) {
	if !e.c.Adopt || key == 0 || e.adopted >= e.c.MaxAdopted {
		return 0, false
	}
	i := e.place(key, imsi)
	e.entries[i] = entry{sim: e.derivedID(imsi), profile: e.profile(Card{}), adopted: true}
	e.adopted++
	return i, true
}

// derivedID is the id of a card that nobody gave one.
func (e *Engine) derivedID(imsi ringwall.IMSI) ringwall.SIMID {
	sum := e.keyed("usage card", imsi.Reveal())
	return ringwall.SIMID(ringwall.DeriveID(ringwall.PrefixSIM, string(sum[:])))
}

// judge asks every rule and makes alerts of what is new today.
func (e *Engine) judge(c *entry, s *state, r *cdr.Record) []ringwall.Alert {
	card := Card{SIM: c.sim, Org: c.org, IMSI: r.IMSI, Services: c.profile.services, Peers: c.profile.peers}
	past := Present{Bound: c.bound, Declared: c.bound != 0, Seen: s.seen}
	if !past.Declared {
		past.Bound = s.bound
	}
	day := dayOf(r)
	var alerts []ringwall.Alert
	for n, rule := range e.rules {
		st, ok := rule.Judge(card, past, r)
		if !ok || !s.say(day, n*maxVariants+st.Variant%maxVariants) {
			continue
		}
		alerts = append(alerts, e.alert(c, rule.Name, day, st, r))
		e.stats.Alerts++
	}
	return alerts
}

// dayOf is the day of a record, UTC, counted from 1970.
func dayOf(r *cdr.Record) int32 { return int32(r.Time.Unix() / 86400) }

// advance brings what was said to a record's day. It is done for every record,
// whether or not a rule speaks: what one rule says must not decide how long
// another is remembered.
func (s *state) advance(day int32) {
	switch {
	case day <= s.day:
	case day == s.day+1:
		s.day, s.before, s.said = day, s.said, 0
	default:
		s.day, s.before, s.said = day, 0, 0
	}
}

// say notes that something was said on a day and reports whether it is the
// first time. Of days other than the newest two nothing is remembered: what is
// said of them again has the same id again.
func (s *state) say(day int32, bit int) bool {
	said := &s.said
	switch day {
	case s.day:
	case s.day - 1:
		said = &s.before
	default:
		return true
	}
	if *said&(1<<bit) != 0 {
		return false
	}
	*said |= 1 << bit
	return true
}

func (e *Engine) alert(c *entry, rule string, day int32, st Statement, r *cdr.Record) ringwall.Alert {
	imsi := e.keyed("usage alert", r.IMSI.Reveal())
	return ringwall.Alert{
		ID:  ringwall.AlertID(ringwall.DeriveID(ringwall.PrefixAlert, string(imsi[:]), rule, strconv.Itoa(int(day)), strconv.Itoa(st.Variant))),
		Org: c.org, Time: r.Time.UTC(), Rule: rule, Nature: st.Nature, Severity: st.Severity,
		Subject: ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(c.sim)}, Stage: st.Stage, Title: st.Title, Attack: st.Attack, Peer: st.Peer,
		Evidence: ringwall.Evidence{Records: lines(r), Count: 1, First: r.Time.UTC(), Last: r.Time.UTC(), Facts: st.Facts},
	}
}

func lines(r *cdr.Record) []uint64 {
	if r.Line == 0 {
		return nil
	}
	return []uint64{r.Line}
}

// move carries the card's state past a record.
func (e *Engine) move(c *entry, s *state, r *cdr.Record, out Outcome) {
	s.up += r.Up
	s.down += r.Down
	s.records++
	if out.Late {
		e.stats.Late++
	}
	if out.Future {
		e.stats.Future++
		return
	}
	if seen := EquipmentOf(r.IMEI); seen != 0 {
		if c.bound == 0 && s.bound == 0 {
			s.bound = seen
		}
		if !out.Late {
			s.seen = seen
		}
	}
	s.last = max(s.last, r.Time.Unix())
}

// recordKey names a record of a card. Record ids are the operator's own, so a
// fast hash will do; it is seeded so that a snapshot gives no number away.
func (e *Engine) recordKey(r *cdr.Record) uint64 {
	h := fnv.New64a()
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], e.seed)
	h.Write(seed[:])
	h.Write([]byte(r.IMSI.Reveal()))
	h.Write([]byte{0})
	h.Write([]byte(r.ID))
	return h.Sum64()
}

// Stats returns the counts so far.
func (e *Engine) Stats() Stats {
	s := e.stats
	s.Cards = len(e.index)
	return s
}

// Use is what is known of one card's use.
type Use struct {
	Last     time.Time
	Bound    Equipment // declared or learned
	Declared bool      // the binding was declared
	Seen     Equipment
	Up, Down uint64
	Records  uint64
}

// Use returns what is known of a card's use, and whether the card is known.
func (e *Engine) Use(imsi ringwall.IMSI) (Use, bool) {
	i, ok := e.index[imsiKey(imsi)]
	if !ok {
		return Use{}, false
	}
	s := e.states[i]
	u := Use{Bound: e.entries[i].bound, Declared: e.entries[i].bound != 0, Seen: s.seen, Up: s.up, Down: s.down, Records: uint64(s.records)}
	if u.Bound == 0 {
		u.Bound = s.bound
	}
	if s.last != 0 {
		u.Last = time.Unix(s.last, 0).UTC()
	}
	return u, true
}
