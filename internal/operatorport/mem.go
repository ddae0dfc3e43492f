package operatorport

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// maxKeys is how many idempotency keys a MemStore remembers.
const maxKeys = 100_000

// MemStore is a working operator in memory: cards that are active or suspended.
type MemStore struct {
	now     func() time.Time
	changed func(Status)

	mu    sync.Mutex // guards what follows
	cards map[ringwall.ICCID]*Status
	imsis map[ringwall.IMSI]ringwall.ICCID
	done  map[string]done
	order []string // keys, oldest first

	settings   map[ringwall.ICCID]api.OperatorSettings
	configured map[string]string // what each key was used for
	reduced    map[ringwall.ICCID]reduced
}

type done struct {
	iccid ringwall.ICCID
	to    State
}

// NewMemStore returns an operator of these cards, all active; each needs both
// numbers. changed, if not nil, is called after each change, one at a time, so
// that what stands for the network can stop or let pass the card's traffic.
func NewMemStore(now func() time.Time, changed func(Status), cards ...Card) (*MemStore, error) {
	s := &MemStore{
		now: now, changed: changed, cards: map[ringwall.ICCID]*Status{}, imsis: map[ringwall.IMSI]ringwall.ICCID{}, done: map[string]done{},
		settings: map[ringwall.ICCID]api.OperatorSettings{}, configured: map[string]string{}, reduced: map[ringwall.ICCID]reduced{},
	}
	for _, c := range cards {
		if err := s.Add(c); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Add adds an active card. The error has code Invalid when a number is missing
// or wrong, Conflict when one is taken.
func (s *MemStore) Add(c Card) error {
	if err := c.Validate(); err != nil {
		return err
	}
	if c.ICCID == "" || c.IMSI == "" {
		return ringwall.Errorf(ringwall.Invalid, "an operator's card needs an ICCID and an IMSI")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cards[c.ICCID] != nil || s.imsis[c.IMSI] != "" {
		return ringwall.Errorf(ringwall.Conflict, "card %s is there already", c.ICCID)
	}
	s.cards[c.ICCID] = &Status{Card: c, State: Active, Since: s.now()}
	s.imsis[c.IMSI] = c.ICCID
	return nil
}

// Cards returns the status of all cards, by ICCID.
func (s *MemStore) Cards() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Status
	for _, k := range slices.Sorted(maps.Keys(s.cards)) {
		all = append(all, *s.cards[k])
	}
	return all
}

// find returns the card with these numbers. Callers hold mu.
func (s *MemStore) find(c Card) (*Status, error) {
	iccid := c.ICCID
	if iccid == "" {
		iccid = s.imsis[c.IMSI]
	}
	st := s.cards[iccid]
	if st == nil || c.IMSI != "" && st.Card.IMSI != c.IMSI {
		return nil, ringwall.Errorf(ringwall.NotFound, "no such card")
	}
	return st, nil
}

// State implements Store.
func (s *MemStore) State(_ context.Context, card Card) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(card)
	if err != nil {
		return Status{}, err
	}
	return *st, nil
}

// Change implements Store.
func (s *MemStore) Change(_ context.Context, card Card, to State, _, key string) (Status, error) {
	if to != Active && to != Suspended {
		return Status{}, ringwall.Errorf(ringwall.Invalid, "state %q cannot be asked for", to)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(card)
	if err != nil {
		return Status{}, err
	}
	want := done{iccid: st.Card.ICCID, to: to}
	if was, again := s.done[key]; again {
		if was != want {
			return Status{}, ringwall.Errorf(ringwall.Conflict, "the idempotency key was used for something else")
		}
		return *st, nil
	}
	s.done[key] = want
	if s.order = append(s.order, key); len(s.order) > maxKeys {
		delete(s.done, s.order[0])
		s.order = s.order[1:]
	}
	if st.State != to {
		st.State, st.Since = to, s.now()
		if s.changed != nil {
			s.changed(*st)
		}
	}
	return *st, nil
}
