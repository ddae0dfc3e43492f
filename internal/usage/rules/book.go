package rules

import (
	"slices"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// Exception keeps rules from speaking for a while. Its kinds are those of
// api.UsageException.
type Exception struct {
	ID   string `json:"id,omitempty"`
	Kind string `json:"kind"`
	// Card (cdr.CardKey) or Customer says for whom; neither = for all.
	Card     uint64 `json:"card,omitempty"`
	Customer string `json:"customer,omitempty"`
	// Rules that say nothing; none = all. Of a swap it means nothing.
	Rules []string `json:"rules,omitempty"`
	// Equipment of a swap: the only one that may come (cdr.EquipmentKey); 0 = any.
	Equipment uint64    `json:"equipment,omitempty"`
	From      time.Time `json:"from"`
	Until     time.Time `json:"until"`
}

// Pool is equipment in which cards may sit by turns.
type Pool struct {
	Name string   `json:"name"`
	TACs []string `json:"tacs,omitempty"` // whole models: eight digits
	// Equipment is single pieces (cdr.EquipmentKey).
	Equipment []uint64 `json:"equipment,omitempty"`
}

// BookSpec is what a Book is made of.
type BookSpec struct {
	Version    uint64      `json:"version"`
	Settings   []Spec      `json:"settings"`
	Exceptions []Exception `json:"exceptions,omitempty"`
	Pools      []Pool      `json:"pools,omitempty"`
}

// Book is all that is set down about judging: settings by number, exceptions,
// maintenance windows, planned swaps and pools of equipment. It is not changed
// after NewBook and may be shared by engines. Settings 0 are those of cards of
// which nobody has said anything.
type Book struct {
	spec     BookSpec
	settings []*Settings
	cards    map[uint64][]*exception
	others   map[string][]*exception // by customer; "" = of everybody
	pools    map[string]*pool
}

type exception struct {
	*Exception
	from, until int64
	mutes       uint32 // statements
	box         bool   // and of rule Box
}

type pool struct {
	equipment []uint64 // sorted
	tacs      []uint32 // sorted
}

// Bounds of a Book.
const (
	maxExceptions = 1 << 20
	maxPool       = 1 << 24
)

// NewBook makes a book. Without settings it has the defaults. The error has code
// Invalid and names what is wrong.
func NewBook(spec BookSpec, keys *cdr.Keys) (*Book, error) {
	if len(spec.Settings) == 0 {
		spec.Settings = []Spec{{}}
	}
	if len(spec.Settings) > MaxSettings || len(spec.Exceptions) > maxExceptions {
		return nil, ringwall.Errorf(ringwall.Invalid, "usage settings: %d settings and %d exceptions are over the limits of %d and %d",
			len(spec.Settings), len(spec.Exceptions), MaxSettings, maxExceptions)
	}
	b := &Book{spec: spec, cards: map[uint64][]*exception{}, others: map[string][]*exception{}, pools: map[string]*pool{}}
	for i := range spec.Pools {
		if err := b.addPool(&spec.Pools[i]); err != nil {
			return nil, err
		}
	}
	for i := range spec.Exceptions {
		if err := b.addException(&spec.Exceptions[i]); err != nil {
			return nil, err
		}
	}
	for _, sp := range spec.Settings {
		for _, name := range sp.Pools {
			if b.pools[name] == nil {
				return nil, ringwall.Errorf(ringwall.Invalid, "usage settings: there is no pool %.40q", name)
			}
		}
		s, err := Compile(sp, keys)
		if err != nil {
			return nil, err
		}
		for _, name := range sp.Pools {
			s.pools = append(s.pools, b.pools[name])
		}
		b.settings = append(b.settings, s)
	}
	return b, nil
}

func (b *Book) addPool(p *Pool) error {
	if p.Name == "" || b.pools[p.Name] != nil || len(p.Equipment)+len(p.TACs) > maxPool {
		return ringwall.Errorf(ringwall.Invalid, "usage settings: pool %.40q is nameless, there twice or too large", p.Name)
	}
	out := &pool{equipment: slices.Clone(p.Equipment)}
	slices.Sort(out.equipment)
	for _, t := range p.TACs {
		n, err := strconv.ParseUint(t, 10, 32)
		if err != nil || len(t) != 8 {
			return ringwall.Errorf(ringwall.Invalid, "usage settings: pool %.40q: a TAC has eight digits, not %d characters", p.Name, len(t))
		}
		out.tacs = append(out.tacs, uint32(n))
	}
	slices.Sort(out.tacs)
	b.pools[p.Name] = out
	return nil
}

func (b *Book) addException(x *Exception) error {
	e := &exception{Exception: x, from: x.From.Unix(), until: x.Until.Unix()}
	if !x.Until.After(x.From) {
		return ringwall.Errorf(ringwall.Invalid, "usage settings: exception %.40q ends before it begins", x.ID)
	}
	switch x.Kind {
	case api.ExceptRule, api.ExceptWindow:
		for i, st := range said {
			if len(x.Rules) == 0 || slices.Contains(x.Rules, st.Rule) {
				e.mutes |= 1 << i
			}
		}
		e.box = len(x.Rules) == 0 || slices.Contains(x.Rules, Box)
		for _, r := range x.Rules {
			if r != Box && !slices.ContainsFunc(said[:], func(s Said) bool { return s.Rule == r }) {
				return ringwall.Errorf(ringwall.Invalid, "usage settings: exception %.40q: there is no rule %.40q", x.ID, r)
			}
		}
	case api.ExceptSwap:
	default:
		return ringwall.Errorf(ringwall.Invalid, "usage settings: exception %.40q has no kind", x.ID)
	}
	if x.Card != 0 {
		b.cards[x.Card] = append(b.cards[x.Card], e)
	} else {
		b.others[x.Customer] = append(b.others[x.Customer], e)
	}
	return nil
}

// Version is what BookSpec said.
func (b *Book) Version() uint64 { return b.spec.Version }

// Spec is what the book was made of. It is not to be changed.
func (b *Book) Spec() BookSpec { return b.spec }

// Settings gives settings by their number; those that are not there are
// settings 0.
func (b *Book) Settings(n uint32) *Settings {
	if uint64(n) < uint64(len(b.settings)) {
		return b.settings[n]
	}
	return b.settings[0]
}

// Count is how many settings there are.
func (b *Book) Count() int { return len(b.settings) }

// each calls f for the exceptions that hold for a card at a moment, until f
// returns true.
func (b *Book) each(card uint64, s *Settings, sec uint32, f func(*exception) bool) bool {
	return b.since(card, s, sec, sec, f)
}

// since does the same for those that held at some time from a moment (last) to
// another: a card that was silent in between may have done then what it is seen
// to have done now.
func (b *Book) since(card uint64, s *Settings, last, sec uint32, f func(*exception) bool) bool {
	at, last64 := int64(sec), int64(last)
	if b == nil {
		return false
	}
	lists := [...][]*exception{b.cards[card], b.others[""], nil}
	if s.spec.Customer != "" {
		lists[2] = b.others[s.spec.Customer]
	}
	for _, list := range lists {
		for _, x := range list {
			if at >= x.from && last64 < x.until && f(x) {
				return true
			}
		}
	}
	return false
}

// muted are the statements of a set that an exception or window keeps back.
func (b *Book) muted(card uint64, s *Settings, sec uint32, bits uint32) (kept uint32) {
	b.each(card, s, sec, func(x *exception) bool { kept |= bits & x.mutes; return kept == bits })
	return kept
}

// Muted tells which exception keeps a statement back at a moment; "" = none.
func (b *Book) Muted(card uint64, s *Settings, sec uint32, st Said) (id string, ok bool) {
	ok = b.each(card, s, sec, func(x *exception) bool { id = x.ID; return x.mutes>>st.bit&1 == 1 })
	if !ok {
		id = ""
	}
	return id, ok
}

// MutedBox tells whether rule Box is off for a card, or kept back at a moment.
func (b *Book) MutedBox(card uint64, s *Settings, sec uint32) bool {
	return s.spec.Rules[Box].Off || b.each(card, s, sec, func(x *exception) bool { return x.box })
}

// window reports whether there is maintenance that keeps a statement back.
func (b *Book) window(card uint64, s *Settings, sec uint32, bit int) bool {
	return b.each(card, s, sec, func(x *exception) bool { return x.Kind == api.ExceptWindow && x.mutes>>bit&1 == 1 })
}

// moves reports whether a move was planned since the card was last heard of.
func (b *Book) moves(card uint64, s *Settings, last, sec uint32) bool {
	return b.since(card, s, min(last, sec), sec, func(x *exception) bool { return x.Kind == api.ExceptWindow && x.mutes>>movedFar&1 == 1 })
}

// swap reports whether a card may have moved into equipment since it was last
// heard of. done is when it last did as planned: what was planned before that is
// done when its window is over.
func (b *Book) swap(card uint64, s *Settings, last, sec, done uint32, equipment uint64) bool {
	return b.since(card, s, min(last, sec), sec, func(x *exception) bool {
		return x.Kind == api.ExceptSwap && (x.Equipment == 0 || x.Equipment == equipment) && (int64(sec) < x.until || int64(done) < x.from)
	})
}

// pooled reports whether equipment is in one of the pools of the settings.
func (s *Settings) pooled(equipment uint64) bool {
	for _, p := range s.pools {
		if _, ok := slices.BinarySearch(p.equipment, equipment); ok {
			return true
		}
		if _, ok := slices.BinarySearch(p.tacs, cdr.TAC(equipment)); ok {
			return true
		}
	}
	return false
}
