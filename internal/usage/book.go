package usage

import (
	"strconv"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// book is the Book that an engine judges by, and what SetCard added to it: the
// allowed uses of single cards become settings after those of the Book, shared
// by the cards that have the same.
type book struct {
	base  *rules.Book
	own   []ownSpec
	index map[string]uint32 // of a key in own
	now   *rules.Book       // base and own together; nil = to be made
}

// ownSpec is what a card may be used for, beyond settings of the base.
type ownSpec struct {
	Base     uint32   `json:"base"`
	Services []string `json:"services,omitempty"`
	Peers    []string `json:"peers,omitempty"`
}

func (b *book) init(base *rules.Book, keys *cdr.Keys) {
	if base == nil {
		var err error
		if base, err = rules.NewBook(rules.BookSpec{}, keys); err != nil {
			panic("usage: the settings that nobody made are wrong: " + err.Error())
		}
	}
	b.base, b.index = base, map[string]uint32{}
	b.now = base
}

func (o *ownSpec) key() string {
	k := strconv.FormatUint(uint64(o.Base), 10)
	for _, s := range o.Services {
		k += " " + s
	}
	k += "\n"
	for _, p := range o.Peers {
		k += " " + p
	}
	return k
}

// settingsOf says which settings a card is judged by: those of the Book (own is
// -1), or own ones.
func (b *book) settingsOf(c Card, keys *cdr.Keys) (own int32, err error) {
	if c.Services == 0 && c.Peers == nil {
		return -1, nil
	}
	o := ownSpec{Base: c.Settings, Services: c.Services.names()}
	if c.Peers != nil {
		o.Peers = c.Peers.list
	}
	i, err := b.add(o, keys)
	return int32(i), err
}

// number is the number of a card's settings in the whole Book: settings 0 while
// the Book has none of that number.
func (b *book) number(settings uint32, own int32) uint32 {
	switch n := uint32(b.base.Count()); {
	case own >= 0:
		return n + uint32(own)
	case settings < n:
		return settings
	}
	return 0
}

// add gives the number of settings among the own ones.
func (b *book) add(o ownSpec, keys *cdr.Keys) (uint32, error) {
	key := o.key()
	if i, ok := b.index[key]; ok {
		return i, nil
	}
	if _, err := rules.Compile(b.spec(o), keys); err != nil {
		return 0, err
	}
	i := uint32(len(b.own))
	if b.base.Count()+len(b.own) >= rules.MaxSettings {
		return 0, ringwall.Errorf(ringwall.Invalid, "cards differ in more than %d ways", rules.MaxSettings)
	}
	b.own, b.index[key], b.now = append(b.own, o), i, nil
	return i, nil
}

func (b *book) spec(o ownSpec) rules.Spec {
	s := b.base.Settings(o.Base).Spec()
	if len(o.Services) > 0 {
		s.Services = o.Services
	}
	if len(o.Peers) > 0 {
		s.Peers = o.Peers
	}
	return s
}

// current is the whole Book.
func (b *book) current(keys *cdr.Keys) (*rules.Book, error) {
	if b.now == nil {
		spec := b.base.Spec()
		spec.Settings = append([]rules.Spec(nil), spec.Settings...)
		for _, o := range b.own {
			spec.Settings = append(spec.Settings, b.spec(o))
		}
		now, err := rules.NewBook(spec, keys)
		if err != nil {
			return nil, err
		}
		b.now = now
	}
	return b.now, nil
}

// SetBook puts another Book in force, between two batches. Cards keep the number
// of their settings; what SetCard said of single cards stays. The error has code
// Invalid, and the Book is then as it was.
func (e *Engine) SetBook(b *rules.Book) error {
	next := e.book
	next.base, next.now = b, nil
	if _, err := next.current(e.keys); err != nil {
		return err
	}
	was, is := uint32(e.book.base.Count()), uint32(b.Count())
	e.book = next
	if was == is {
		return nil
	}
	e.renumber(func(n uint32) uint32 {
		switch {
		case n >= was:
			return n - was + is
		case n >= is:
			return 0
		}
		return n
	})
	return nil
}

// renumber changes the numbers of settings of all cards: to what SetCard and
// Announce said of them, else as to says.
func (e *Engine) renumber(to func(uint32) uint32) {
	e.table.Sweep(func(first uint32, lines []lineOf) bool {
		for i := range lines {
			if lines[i].Card == 0 {
				continue
			}
			l := asRules(&lines[i])
			n := to(l.Settings())
			if c, ok := e.entries[l.Card]; ok {
				n = e.book.number(c.settings, c.own)
			} else if want, ok := e.ranges.find(l.Card); ok {
				n = e.book.number(want, -1)
			}
			if n != l.Settings() {
				l.SetSettings(n)
				e.table.Touch(first + uint32(i))
			}
		}
		return true
	})
}

// Book is the Book in force, without what SetCard added.
func (e *Engine) Book() *rules.Book { return e.book.base }

// BookOf is a Book with what a list of cards says of single ones, and the number
// of the settings of each card (cdr.CardKey): what an engine judges by after
// SetCard. The error has code Invalid.
func BookOf(base *rules.Book, cards []Card, keys *cdr.Keys) (*rules.Book, map[uint64]uint32, error) {
	var b book
	b.init(base, keys)
	b.now = nil
	numbers := make(map[uint64]uint32, len(cards))
	for _, c := range cards {
		own, err := b.settingsOf(c, keys)
		if err != nil {
			return nil, nil, err
		}
		numbers[cardOf(c.IMSI)] = b.number(c.Settings, own)
	}
	now, err := b.current(keys)
	return now, numbers, err
}
