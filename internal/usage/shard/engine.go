package shard

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// Control is the payload of Cards, JSON: what somebody said of cards. It holds
// numbers in clear, and belongs where usage records belong.
type Control struct {
	Set    []ControlCard  `json:"set,omitempty"`
	Remove []string       `json:"remove,omitempty"` // IMSIs
	Ranges []ControlRange `json:"ranges,omitempty"`
}

// ControlCard is a card that is declared: see usage.Card.
type ControlCard struct {
	SIM      ringwall.SIMID `json:"sim,omitempty"`
	Org      ringwall.OrgID `json:"org,omitempty"`
	IMSI     string         `json:"imsi"`
	IMEI     string         `json:"imei,omitempty"`
	Settings uint32         `json:"settings,omitempty"`
	Services []string       `json:"services,omitempty"`
	Peers    []string       `json:"peers,omitempty"`
	Life     string         `json:"life,omitempty"`
	Since    time.Time      `json:"since,omitzero"`
}

// ControlRange is numbers that were issued together: see usage.Range. It goes to
// every shard; each takes what is its own.
type ControlRange struct {
	First    string `json:"first"`
	N        int    `json:"n"`
	Settings uint32 `json:"settings,omitempty"`
}

// card is the card as the engine takes it.
func (c *ControlCard) card() (usage.Card, error) {
	if len(c.SIM)+len(c.Org) > maxNames {
		return usage.Card{}, ringwall.Errorf(ringwall.Invalid, "ids of %d characters are no card's", len(c.SIM)+len(c.Org))
	}
	card := usage.Card{SIM: c.SIM, Org: c.Org, IMSI: ringwall.IMSI(c.IMSI), IMEI: ringwall.IMEI(c.IMEI), Settings: c.Settings, Since: c.Since}
	var err error
	if card.Services, err = usage.ParseServices(c.Services); err != nil {
		return card, err
	}
	if card.Peers, err = usage.ParsePeers(c.Peers); err != nil {
		return card, err
	}
	for l := rules.LifeUnknown; l <= rules.LifeTerminated; l++ {
		if l.String() == c.Life {
			card.Life = l
			return card, nil
		}
	}
	return card, ringwall.Errorf(ringwall.Invalid, "a card's life %.20q is not known", c.Life)
}

// Engine is the Machine that judges usage records: a usage.Engine; the cards that
// it was told of, which a snapshot of the engine alone leaves to whoever declared
// them; and this shard's part of what many cards do together (package cross),
// which goes by equipment, cells and peers and not by cards.
type Engine struct {
	e      *usage.Engine
	c      EngineConfig
	cards  map[uint64]ControlCard
	ranges []ControlRange
	seg    Segments

	table    *cross.Table
	names    map[uint64]named // of cards that the table may speak of
	pruned   int              // how many these were when others were last thrown away
	declared int              // cards of ranges that are this shard's, about
	observed []cross.Observation
	usual    *rules.Usual
	popular  popular
}

// EngineConfig says what an Engine is made of.
type EngineConfig struct {
	// Usage makes the engine. Its Key and Keys are needed, its Watch is replaced.
	Usage usage.Config
	// Cross looks at several cards at once. Without Cards it is for as many as Usage
	// has room for, or else for all that were adopted or declared.
	Cross cross.Config
	// Shard is which of so many Shards this is.
	Shard, Shards int
}

// named is whose a card is.
type named struct {
	SIM ringwall.SIMID `json:"sim"`
	Org ringwall.OrgID `json:"org"`
}

// NewEngine returns a machine that knows nothing yet.
func NewEngine(c EngineConfig) *Engine {
	m := &Engine{cards: map[uint64]ControlCard{}, names: map[uint64]named{}, usual: &rules.Usual{}}
	if c.Cross.Cards == 0 {
		if c.Cross.Cards = c.Usage.MaxCards; c.Cross.Cards == 0 && c.Usage.Adopt {
			c.Cross.Cards = c.Usage.MaxAdopted
		}
	}
	c.Cross.Settled = m.settled
	m.c, m.table = c, cross.New(c.Cross)
	c.Usage.Watched = cross.Watched
	c.Usage.Watch = func(e *cdr.Event, l *rules.Line, f rules.Fired) {
		m.observed = m.e.Observed(m.observed, e, l, f)
	}
	m.e = usage.New(c.Usage)
	m.e.Spare(m.usual)
	return m
}

// Across counts what was noted of several cards at once: of all shards' cards, what
// is this shard's by its number.
func (m *Engine) Across() cross.Stats { return m.table.Stats() }

// Usage is the engine inside. It belongs to the machine's goroutine.
func (m *Engine) Usage() *usage.Engine { return m.e }

// Apply implements Machine.
func (m *Engine) Apply(e *Entry, after uint64, out *Output) error {
	switch e.Kind {
	case Records:
		m.seg.Reset(e.Payload)
		for {
			b, err := m.seg.Next(after)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			m.e.Batch(b, func(a ringwall.Alert) { out.Alerts = append(out.Alerts, a) })
			m.pass(out)
		}
	case Cards:
		var c Control
		if err := json.Unmarshal(e.Payload, &c); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "what is said of cards cannot be read")
		}
		return m.control(c)
	case Settings:
		b, err := rules.ReadBook(bytes.NewReader(e.Payload), m.c.Usage.Keys)
		if err != nil {
			return err
		}
		if b.Version() < m.e.Book().Version() {
			return nil // somebody was slow to say it
		}
		// The numbers of settings mean other ones then, and what was usual for these is
		// not.
		m.usual = &rules.Usual{}
		m.e.Spare(m.usual)
		return m.e.SetBook(b)
	case Seen:
		return m.seen(e.Payload, out)
	}
	return ringwall.Errorf(ringwall.Invalid, "an entry of kind %d is not known", e.Kind)
}

// control takes what is said of cards: all that can be taken, and the first error.
func (m *Engine) control(c Control) (first error) {
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	for _, r := range c.Ranges {
		if err := m.e.Announce(usage.Range{First: ringwall.IMSI(r.First), N: r.N, Settings: r.Settings}); err != nil {
			note(err)
			continue
		}
		if !slices.Contains(m.ranges, r) {
			m.ranges = append(m.ranges, r)
			m.declared += r.N/max(m.c.Shards, 1) + 1
		}
	}
	for _, k := range c.Set {
		card, err := k.card()
		if err == nil {
			if was, ok := m.cards[cdr.CardKey(k.IMSI)]; ok && was.Org != "" && was.Org != k.Org {
				m.remove(k.IMSI) // what is known of it is the one's that had the number before
			}
			err = m.e.SetCard(card)
		}
		if err != nil {
			note(err)
			continue
		}
		m.cards[cdr.CardKey(k.IMSI)] = k
	}
	for _, imsi := range c.Remove {
		m.remove(imsi)
	}
	if m.c.Usage.MaxCards == 0 {
		m.table.Grow(m.c.Cross.Cards + m.declared + len(m.cards))
	}
	return first
}

// remove forgets a card and all that is known of it by its number.
func (m *Engine) remove(imsi string) {
	m.e.RemoveCard(ringwall.IMSI(imsi))
	delete(m.cards, cdr.CardKey(imsi))
	delete(m.names, cdr.CardKey(imsi))
}

// pass brings what was observed to the shards that it belongs to; what is this
// shard's own is taken at once.
func (m *Engine) pass(out *Output) {
	for i := range m.observed {
		o := &m.observed[i]
		if m.table.Begin(o.Kind, o.Settings, uint16(o.Sec/86400)) {
			m.broadcast(begun+o.Kind, o.Settings, 0, o.Sec, out)
		}
		c := m.cards[o.Card]
		to := o.Partition(m.c.Shards)
		if to == m.c.Shard {
			m.observe(*o, named{c.SIM, c.Org}, out)
			continue
		}
		out.tell(to, appendObservation(nil, o, named{c.SIM, c.Org}))
	}
	m.observed = m.observed[:0]
}

// observe takes one observation and says what follows.
func (m *Engine) observe(o cross.Observation, n named, out *Output) {
	f, ok := m.table.Observe(o)
	m.spread(out)
	if n.SIM != "" && m.table.Names(&o) {
		m.names[o.Card] = n
		m.prune()
	}
	if !ok || !f.Said(m.e.Book()) {
		return
	}
	out.Alerts = append(out.Alerts, f.Alerts(m.c.Usage.Key, func(card uint64) (ringwall.SIMID, ringwall.OrgID) {
		if card == o.Card && n.SIM != "" {
			return n.SIM, n.Org
		}
		if n, ok := m.names[card]; ok {
			return n.SIM, n.Org
		}
		return m.e.NameOf(card)
	})...)
}

// prune throws names away of which the table will not speak.
func (m *Engine) prune() {
	if len(m.names) < 2*m.pruned+1024 {
		return
	}
	keep := map[uint64]named{}
	m.table.Cards(func(card uint64) {
		if n, ok := m.names[card]; ok {
			keep[card] = n
		}
	})
	m.names, m.pruned = keep, len(keep)
}

// The payload of Seen is observations, each: how many bytes follow, key and card, 8
// bytes each, when and settings, 4 bytes each, kind, length and bytes of the card's
// id, and its organisation; big endian. Of kind usual it is no observation: at that
// peer, with these settings and on that day there is nothing to observe. From begun
// on it says when the first of a kind and settings was made.
const (
	observationHead = 8 + 8 + 4 + 4 + 1 + 1
	usual           = cross.Peer + 1
	begun           = usual + 1
	lastSeen        = begun + cross.Peer
)

// broadcast tells all other shards something that is no observation.
func (m *Engine) broadcast(k cross.Kind, settings uint32, peer uint64, sec uint32, out *Output) {
	o := cross.Observation{Key: peer, Settings: settings, Sec: sec, Kind: k}
	for to := range m.c.Shards {
		if to != m.c.Shard {
			out.tell(to, appendObservation(nil, &o, named{}))
		}
	}
}

func appendObservation(b []byte, o *cross.Observation, n named) []byte {
	b = append(b, byte(observationHead+len(n.SIM)+len(n.Org)))
	b = binary.BigEndian.AppendUint64(b, o.Key)
	b = binary.BigEndian.AppendUint64(b, o.Card)
	b = binary.BigEndian.AppendUint32(b, o.Sec)
	b = binary.BigEndian.AppendUint32(b, o.Settings)
	b = append(b, byte(o.Kind), byte(len(n.SIM)))
	return append(append(b, n.SIM...), n.Org...)
}

// maxNames bounds the ids that a card is declared with.
const maxNames = 200

func (m *Engine) seen(b []byte, out *Output) error {
	for len(b) > 0 {
		size := 1 + int(b[0])
		if size > len(b) || size < 1+observationHead {
			return ringwall.Errorf(ringwall.Invalid, "an observation of %d bytes cannot be read", len(b))
		}
		o, rest := b[1:size], b[size:]
		sim := int(o[observationHead-1])
		if observationHead+sim > len(o) || o[24] > byte(lastSeen) {
			return ringwall.Errorf(ringwall.Invalid, "an observation of %d bytes cannot be read", len(o))
		}
		seen := cross.Observation{
			Key: binary.BigEndian.Uint64(o), Card: binary.BigEndian.Uint64(o[8:]),
			Sec: binary.BigEndian.Uint32(o[16:]), Settings: binary.BigEndian.Uint32(o[20:]), Kind: cross.Kind(o[24]),
		}
		b = rest
		switch day := uint16(seen.Sec / 86400); {
		case seen.Kind == usual:
			m.spare(seen.Settings, seen.Key, day)
		case seen.Kind >= begun:
			m.table.Begin(seen.Kind-begun, seen.Settings, day)
		default:
			m.observe(seen, named{ringwall.SIMID(o[observationHead : observationHead+sim]), ringwall.OrgID(o[observationHead+sim:])}, out)
		}
	}
	return nil
}

// A snapshot is "RWSHARD\x01"; the length of what follows as 8 bytes, big endian,
// position, cards, ranges and names as JSON; the length of the table of what cards
// do together, and the table; and the snapshot of the engine.
const engineMagic = "RWSHARD\x01"

type engineHead struct {
	Position []byte           `json:"position"`
	Cards    []ControlCard    `json:"cards"`
	Ranges   []ControlRange   `json:"ranges"`
	Names    map[uint64]named `json:"names"`
}

// maxPart bounds what is believed of the length of a part that is read as a whole.
const maxPart = 8 << 30

// Snapshot implements Machine.
func (m *Engine) Snapshot(w io.Writer, position []byte) error {
	h := engineHead{Position: position, Ranges: m.ranges, Cards: make([]ControlCard, 0, len(m.cards)), Names: m.names}
	for _, c := range m.cards {
		h.Cards = append(h.Cards, c)
	}
	slices.SortFunc(h.Cards, func(a, b ControlCard) int { return strings.Compare(a.IMSI, b.IMSI) })
	head, err := json.Marshal(h)
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "writing the cards of a shard: %w", err)
	}
	var table bytes.Buffer
	table.Grow(int(m.table.Bytes()))
	if err := m.table.Snapshot(&table); err != nil {
		return err
	}
	b := append(binary.BigEndian.AppendUint64([]byte(engineMagic), uint64(len(head))), head...)
	b = binary.BigEndian.AppendUint64(b, uint64(table.Len()))
	for _, part := range [][]byte{b, table.Bytes()} {
		if _, err := w.Write(part); err != nil {
			return err
		}
	}
	return m.e.Snapshot(w, nil)
}

// part8 reads a part of a snapshot behind its length.
func part8(in io.Reader) ([]byte, error) {
	var length [8]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(length[:])
	if n > maxPart {
		return nil, ringwall.Errorf(ringwall.Invalid, "a part of a snapshot of %d bytes", n)
	}
	b, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err == nil && uint64(len(b)) != n {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// Restore implements Machine.
func (m *Engine) Restore(r io.Reader) ([]byte, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	magic := make([]byte, len(engineMagic))
	if _, err := io.ReadFull(in, magic); err != nil {
		return nil, err
	}
	if string(magic) != engineMagic {
		return nil, ringwall.Errorf(ringwall.Invalid, "what is read is no snapshot of a shard")
	}
	head, err := part8(in)
	if err != nil {
		return nil, err
	}
	var h engineHead
	if err := json.Unmarshal(head, &h); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "the cards of a shard cannot be read")
	}
	table, err := part8(in)
	if err != nil {
		return nil, err
	}
	if err := m.control(Control{Set: h.Cards, Ranges: h.Ranges}); err != nil {
		return nil, err
	}
	if err := m.table.Restore(bytes.NewReader(table)); err != nil {
		return nil, err
	}
	for card, n := range h.Names {
		m.names[card] = n
	}
	m.pruned = len(m.names)
	if _, err := m.e.Restore(in); err != nil {
		return nil, err
	}
	return h.Position, nil
}

// cardsAtOnce is how many cards one entry declares.
const cardsAtOnce = 5_000

// Declare turns cards (usage.ReadCards) into what shards are told of them.
func Declare(cards []usage.Card) (all []Control) {
	for part := range slices.Chunk(cards, cardsAtOnce) {
		var c Control
		for _, k := range part {
			c.Set = append(c.Set, ControlCard{
				SIM: k.SIM, Org: k.Org, IMSI: k.IMSI.Reveal(), IMEI: k.IMEI.Reveal(), Settings: k.Settings,
				Services: k.Services.Names(), Peers: k.Peers.List(), Life: k.Life.String(), Since: k.Since,
			})
		}
		all = append(all, c)
	}
	return all
}

// Withdraw says that cards are nobody's any more.
func Withdraw(imsis []ringwall.IMSI) (all []Control) {
	for part := range slices.Chunk(imsis, cardsAtOnce) {
		var c Control
		for _, i := range part {
			c.Remove = append(c.Remove, i.Reveal())
		}
		all = append(all, c)
	}
	return all
}

// Own returns what of an entry concerns a shard, and whether anything does: of
// Cards those whose numbers lead to it; ranges and settings concern all.
func Own(e Entry, shard, shards int) (Entry, bool) {
	if e.Kind != Cards {
		return e, true
	}
	var c Control
	if err := json.Unmarshal(e.Payload, &c); err != nil {
		return e, true // the shard says what is wrong with it
	}
	mine := func(imsi string) bool { return usage.PartitionOf(cdr.CardKey(imsi), shards) == shard }
	c.Set = slices.DeleteFunc(c.Set, func(k ControlCard) bool { return !mine(k.IMSI) })
	c.Remove = slices.DeleteFunc(c.Remove, func(imsi string) bool { return !mine(imsi) })
	if len(c.Set)+len(c.Remove)+len(c.Ranges) == 0 {
		return e, false
	}
	b, err := json.Marshal(c)
	if err != nil {
		return e, true
	}
	e.Payload = b
	return e, true
}
