package usage

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"slices"

	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// Restore reads a snapshot into an engine and returns the position that was
// written with it. What SetCard said stands, before or after: a card of the
// snapshot that SetCard had named, and names no more, is carried along and not
// known. Of two Books the one with the higher version is in force afterwards; of
// two with one version, the engine's.
//
// The error has code Unverified when the snapshot is torn, cut or of another
// key, Conflict when an older program wrote it; the engine is then unchanged.
func (e *Engine) Restore(r io.Reader) (position []byte, err error) {
	l := loading{e: e, table: store.New(store.Config{MaxLines: e.c.MaxCards}), side: rules.NewSide(e.c.MaxSide), seen: store.NewSeen(e.c.Duplicates), totals: map[uint64]*total{}}
	l.load = l.table.BeginLoad()
	if err := l.read(newFrameReader(r)); err != nil {
		return nil, joinClose(err, l.table)
	}
	book, to, err := l.book()
	if err != nil {
		return nil, joinClose(err, l.table)
	}
	old := e.table
	e.table, e.env.Side, e.seen, e.book = l.table, l.side, l.seen, book
	e.stats, e.adopted = l.about.Stats, l.about.Adopted
	e.stats.Said = make([]uint64, len(rules.Statements()))
	copy(e.stats.Said, l.about.Stats.Said)
	if e.totals != nil {
		e.totals = l.totals
	}
	e.settle(to)
	return l.about.Position, old.Close()
}

func joinClose(err error, t *store.Table) error {
	if cerr := t.Close(); cerr != nil && err == nil {
		return cerr
	}
	return err
}

// loading is an engine as it is being read.
type loading struct {
	e      *Engine
	table  *store.Table
	load   *store.Load
	side   *rules.Side
	seen   *store.Seen
	totals map[uint64]*total
	text   []byte
	about  about
}

// read reads all frames.
func (l *loading) read(in *frameReader) error {
	for {
		kind, p := in.next()
		if in.err != nil {
			return in.err
		}
		var err error
		switch kind {
		case frameLines:
			err = l.lines(p)
		case framePatch:
			err = l.patch(p)
		case frameKeys:
			err = l.keys(p)
		case frameTotals:
			err = l.total(p)
		case frameAbout:
			l.text = append(l.text, p...)
		case frameEnd:
			return l.end()
		default:
			err = torn("it has a part of no known kind")
		}
		if err != nil {
			return err
		}
	}
}

func (l *loading) lines(p []byte) error {
	if len(p) < 8 {
		return torn("a part of it is too short")
	}
	first, n, p := binary.LittleEndian.Uint32(p), binary.LittleEndian.Uint32(p[4:]), p[8:]
	if uint64(n)*65 > uint64(len(p)) {
		return torn("a part of it is too short")
	}
	space, err := l.load.Space(first, int(n))
	if err != nil {
		return err
	}
	for i := range space {
		if p, err = asRules(&space[i]).Load(p, l.side); err != nil {
			return err
		}
	}
	return nil
}

func (l *loading) patch(p []byte) error {
	if len(p) < 4 {
		return torn("a part of it is too short")
	}
	n, p := uint64(binary.LittleEndian.Uint32(p)), p[4:]
	if n*(4+65) > uint64(len(p)) {
		return torn("a part of it is too short")
	}
	places, p := p[:4*n], p[4*n:]
	for i := range n {
		line, err := l.load.Line(binary.LittleEndian.Uint32(places[4*i:]))
		if err != nil {
			return err
		}
		if p, err = asRules(line).Load(p, l.side); err != nil {
			return err
		}
	}
	return nil
}

func (l *loading) keys(p []byte) error {
	if len(p)%8 != 1 {
		return torn("a part of it is too short")
	}
	for q := p[1:]; len(q) > 0; q = q[8:] {
		l.seen.Load(binary.LittleEndian.Uint64(q), int(p[0]))
	}
	return nil
}

func (l *loading) total(p []byte) error {
	if len(p)%32 != 0 {
		return torn("a part of it is too short")
	}
	u := binary.LittleEndian.Uint64
	for ; len(p) > 0; p = p[32:] {
		l.totals[u(p)] = &total{up: u(p[8:]), down: u(p[16:]), records: u(p[24:])}
	}
	return nil
}

// end reads the description.
func (l *loading) end() error {
	if json.Unmarshal(l.text, &l.about) != nil {
		return torn("its description is none")
	}
	if l.about.Check != l.e.check() {
		return torn("it was made with another key")
	}
	if l.e.place != [2]int{} && l.about.Part != [2]int{} && l.e.place != l.about.Part {
		return torn("it is that of another engine")
	}
	return l.load.Finish(l.about.Index)
}

// book is the Book that is in force after the snapshot, and what becomes of the
// numbers of settings in the lines; nil = they stay.
func (l *loading) book() (b book, to func(uint32) uint32, err error) {
	e := l.e
	b = e.book
	b.own, b.now = slices.Clone(b.own), nil
	b.index = map[string]uint32{}
	for k, v := range e.book.index {
		b.index[k] = v
	}
	if l.about.Book.Version > b.base.Version() {
		if b.base, err = rules.NewBook(l.about.Book, e.keys); err != nil {
			return b, nil, torn("its settings are none")
		}
	}
	was, is := uint32(max(len(l.about.Book.Settings), 1)), uint32(b.base.Count())
	own := make([]uint32, len(l.about.Own))
	for i, o := range l.about.Own {
		if own[i], err = b.add(o, e.keys); err != nil {
			return b, nil, torn("the allowed uses of a card are none")
		}
	}
	if _, err := b.current(e.keys); err != nil {
		return b, nil, torn("its settings are none")
	}
	same := was == is && l.about.Named == 0
	for i, n := range own {
		same = same && n == uint32(i)
	}
	if same {
		return b, nil, nil // 100 million lines need not be looked at for nothing
	}
	return b, func(n uint32) uint32 {
		switch {
		case n < was && n < is:
			return n
		case n >= was && uint64(n-was) < uint64(len(own)):
			return is + own[n-was]
		}
		return 0
	}, nil
}

// settle makes one of the lines of a snapshot and of what SetCard said.
func (e *Engine) settle(to func(uint32) uint32) {
	e.pending = 0
	if to != nil {
		e.table.Sweep(func(_ uint32, lines []store.Line) bool {
			for i := range lines {
				if l := asRules(&lines[i]); l.Card != 0 {
					e.settleLine(l, to)
				}
			}
			return true
		})
	}
	for card, n := range e.entries {
		if e.put(card, n) != nil {
			delete(e.entries, card) // no room: as if it had not been set
		}
	}
}

func (e *Engine) settleLine(l *rules.Line, to func(uint32) uint32) {
	if n := l.Settings(); to(n) != n {
		l.SetSettings(to(n))
	}
	own := l.Own() &^ ownPending
	if _, ok := e.entries[l.Card]; !ok && own&ownNamed != 0 {
		own |= ownPending
		e.pending++
	}
	l.SetOwn(own)
}
