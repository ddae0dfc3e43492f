package shardtest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/usage/shard"
)

// Tally counts uses of cards: a machine whose words and state are easy to foresee.
// Every tenth use of a card is an alert, and another shard is told of it.
type Tally struct {
	shard, shards int
	Cards         map[uint64]uint64 // uses of each
	Told          map[uint64]bool   // what other shards told
}

// NewTally makes machines.
func NewTally(shards int) func(int) shard.Machine {
	return func(s int) shard.Machine {
		return &Tally{s, shards, map[uint64]uint64{}, map[uint64]bool{}}
	}
}

// Uses is the payload of uses: lines and cards in turn.
func Uses(pairs ...uint64) (b []byte) {
	for _, v := range pairs {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// Apply implements shard.Machine.
func (m *Tally) Apply(e *shard.Entry, after uint64, out *shard.Output) error {
	switch e.Kind {
	case shard.Seen:
		for b := e.Payload; len(b) >= 8; b = b[8:] {
			m.Told[binary.BigEndian.Uint64(b)] = true
		}
		return nil
	case shard.Records:
	default:
		return ringwall.Errorf(ringwall.Invalid, "kind %d", e.Kind)
	}
	for b := e.Payload; len(b) >= 16; b = b[16:] {
		line, card := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
		if line <= after {
			continue
		}
		m.Cards[card]++
		if n := m.Cards[card]; n%10 == 0 {
			out.Alerts = append(out.Alerts, ringwall.Alert{ID: ringwall.AlertID(fmt.Sprintf("alr_%d_%d", card, n))})
			if out.Seen == nil {
				out.Seen = map[int][]byte{}
			}
			to := int(card*7) % m.shards
			out.Seen[to] = append(out.Seen[to], Uses(card<<16|n)...)
		}
	}
	return nil
}

// Snapshot implements shard.Machine.
func (m *Tally) Snapshot(w io.Writer, position []byte) error {
	b := binary.AppendUvarint(nil, uint64(len(position)))
	b = append(b, position...)
	for _, set := range []map[uint64]uint64{m.Cards, ones(m.Told)} {
		keys := make([]uint64, 0, len(set))
		for k := range set {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b = binary.AppendUvarint(b, uint64(len(keys)))
		for _, k := range keys {
			b = binary.AppendUvarint(binary.AppendUvarint(b, k), set[k])
		}
	}
	_, err := w.Write(append(b, 0xee))
	return err
}

func ones(set map[uint64]bool) map[uint64]uint64 {
	m := map[uint64]uint64{}
	for k := range set {
		m[k] = 1
	}
	return m
}

// Restore implements shard.Machine.
func (m *Tally) Restore(r io.Reader) ([]byte, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if len(b) == 0 || b[len(b)-1] != 0xee {
		return nil, errors.New("torn")
	}
	in := bytes.NewReader(b[:len(b)-1])
	n, _ := binary.ReadUvarint(in)
	position := make([]byte, n)
	_, _ = io.ReadFull(in, position)
	for i := range 2 {
		n, _ := binary.ReadUvarint(in)
		for range n {
			k, _ := binary.ReadUvarint(in)
			v, _ := binary.ReadUvarint(in)
			if i == 0 {
				m.Cards[k] = v
			} else {
				m.Told[k] = true
			}
		}
	}
	return position, nil
}
