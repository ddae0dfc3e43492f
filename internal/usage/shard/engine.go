package shard

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
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

// Engine is the Machine that judges usage records: a usage.Engine, and the cards
// that it was told of, which a snapshot of the engine alone leaves to whoever
// declared them.
type Engine struct {
	e      *usage.Engine
	keys   *cdr.Keys
	cards  map[string]ControlCard
	ranges []ControlRange
	seg    Segments
}

// NewEngine returns a machine of an engine, which it owns from now on, and of the
// keys that its events are made with.
func NewEngine(e *usage.Engine, keys *cdr.Keys) *Engine {
	return &Engine{e: e, keys: keys, cards: map[string]ControlCard{}}
}

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
		}
	case Cards:
		var c Control
		if err := json.Unmarshal(e.Payload, &c); err != nil {
			return ringwall.Errorf(ringwall.Invalid, "what is said of cards cannot be read")
		}
		return m.control(c)
	case Settings:
		b, err := rules.ReadBook(bytes.NewReader(e.Payload), m.keys)
		if err != nil {
			return err
		}
		if b.Version() < m.e.Book().Version() {
			return nil // somebody was slow to say it
		}
		return m.e.SetBook(b)
	case Seen:
		return ringwall.Errorf(ringwall.Invalid, "nothing of kind %d concerns cards alone", e.Kind)
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
		}
	}
	for _, k := range c.Set {
		card, err := k.card()
		if err == nil {
			err = m.e.SetCard(card)
		}
		if err != nil {
			note(err)
			continue
		}
		m.cards[k.IMSI] = k
	}
	for _, imsi := range c.Remove {
		m.e.RemoveCard(ringwall.IMSI(imsi))
		delete(m.cards, imsi)
	}
	return first
}

// A snapshot is "RWSHARD\x01", the length of what follows as 8 bytes, big endian,
// position, cards and ranges as JSON, and the snapshot of the engine.
const engineMagic = "RWSHARD\x01"

type engineHead struct {
	Position []byte         `json:"position"`
	Cards    []ControlCard  `json:"cards"`
	Ranges   []ControlRange `json:"ranges"`
}

const maxHead = 8 << 30

// Snapshot implements Machine.
func (m *Engine) Snapshot(w io.Writer, position []byte) error {
	h := engineHead{Position: position, Ranges: m.ranges, Cards: make([]ControlCard, 0, len(m.cards))}
	for _, c := range m.cards {
		h.Cards = append(h.Cards, c)
	}
	slices.SortFunc(h.Cards, func(a, b ControlCard) int { return bytes.Compare([]byte(a.IMSI), []byte(b.IMSI)) })
	head, err := json.Marshal(h)
	if err != nil {
		return ringwall.Errorf(ringwall.Internal, "writing the cards of a shard: %w", err)
	}
	if _, err := w.Write(append(binary.BigEndian.AppendUint64([]byte(engineMagic), uint64(len(head))), head...)); err != nil {
		return err
	}
	return m.e.Snapshot(w, nil)
}

// Restore implements Machine.
func (m *Engine) Restore(r io.Reader) ([]byte, error) {
	in := bufio.NewReaderSize(r, 256<<10)
	start := make([]byte, len(engineMagic)+8)
	if _, err := io.ReadFull(in, start); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint64(start[len(engineMagic):])
	if string(start[:len(engineMagic)]) != engineMagic || n > maxHead {
		return nil, ringwall.Errorf(ringwall.Invalid, "what is read is no snapshot of a shard")
	}
	head, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err != nil {
		return nil, err
	}
	var h engineHead
	if err := json.Unmarshal(head, &h); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "the cards of a shard cannot be read")
	}
	if err := m.control(Control{Set: h.Cards, Ranges: h.Ranges}); err != nil {
		return nil, err
	}
	if _, err := m.e.Restore(in); err != nil {
		return nil, err
	}
	return h.Position, nil
}
