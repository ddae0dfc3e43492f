package cdr

import (
	"bytes"
	"slices"

	"github.com/ringwall/ringwall/cdr/internal/text"
)

// Decoder makes events of lines, as Layout.Decode and Keys.Event do together but
// without making records: it gives the same events and refuses the same lines
// with the same errors. Most lines are read by the places of their separators,
// without a jump that depends on what they say; a line with anything out of the
// ordinary (quotes, other writings of numbers, letters beyond ASCII in what is
// read, mistakes) is handed to Layout.Decode. It belongs to one goroutine.
type Decoder struct {
	layout *Layout
	keys   *Keys
	at     [len(columns)]int16 // of our columns, the fields in which they stand; -1 = none
	fast   bool
	comma  byte
	unit   uint64
	most   int // digits of a volume that is read quickly
	clock  clock
	words  [2]words // of services and directions
	plmn   struct { // that was read last
		word uint64 // its at most six digits, and in the highest byte how many
		key  uint32
	}
	picks []pick
	nums  numbersRead // of the line; what the layout lacks stays empty
	peers text.Memo[uint64]
	apns  text.Memo[uint32]
	rec   Record
	room  []byte
	marks *marks // of room
}

// word is a text of at most eight bytes and what it means.
type word struct {
	text  uint64
	n     int
	means uint8
}

// NewDecoder makes a decoder of lines of a layout.
func NewDecoder(l *Layout, k *Keys) *Decoder {
	d := &Decoder{layout: l, keys: k, comma: l.comma, clock: newClock(l), picks: picks(l)}
	for c := range d.at {
		d.at[c] = int16(slices.Index(l.field, int8(c)))
	}
	// So that neither the product nor the sum of two of them passes 63 bits.
	d.unit, d.most = max(1, l.m.Unit), 15
	for d.most > 0 && d.unit > (1<<62)/tens[d.most] {
		d.most--
	}
	// A separator that could stand inside a number or a quoted field is left to
	// Layout.Decode.
	d.fast = l.comma == ',' || l.comma == ';' || l.comma == '|' || l.comma == '\t'
	names := []string{"data", "sms", "voice", "DATA", "SMS", "VOICE", "Data", "Sms", "Voice"}
	for w := range l.m.Services {
		names = append(names, w)
	}
	for _, w := range names {
		if s, err := l.service(w); err == nil && len(w) <= 8 {
			d.words[0].list = append(d.words[0].list, word{packWord(w), len(w), uint8(s)})
		}
	}
	names = []string{"mo", "mt", "MO", "MT"}
	for w := range l.m.Directions {
		names = append(names, w)
	}
	for _, w := range names {
		if s, err := l.direction(w); err == nil && len(w) <= 8 && w != "" {
			d.words[1].list = append(d.words[1].list, word{packWord(w), len(w), uint8(s)})
		}
	}
	d.words[0].arrange()
	d.words[1].arrange()
	return d
}

// words finds a word without asking one after the other, which a processor
// would guess wrong for each second line: each has a slot of its own, found by
// one multiplication.
type words struct {
	list []word
	by   uint64
	slot [64]word
}

// arrange looks for a multiplier that keeps all words apart. Words that have no
// slot, because there are too many, are read in the slow way.
func (w *words) arrange() {
	for try := uint64(1); try < 1000; try++ {
		w.by, w.slot = (try*0x9e3779b97f4a7c15)|1, [64]word{}
		apart := true
		for _, k := range w.list {
			s := &w.slot[k.text*w.by>>58]
			apart = apart && (s.n == 0 || *s == k)
			*s = k
		}
		if apart {
			return
		}
	}
}

// find is what a text of n bytes means; 0 = nothing that is known here.
func (w *words) find(text uint64, n int) uint8 {
	if s := &w.slot[text*w.by>>58]; s.text == text && s.n == n {
		return s.means
	}
	return 0
}

func packWord(s string) (w uint64) {
	for i := range len(s) {
		w |= uint64(s[i]) << (8 * i)
	}
	return w
}

// Event reads one line, with or without its line break, into e. The error has
// code Invalid.
func (d *Decoder) Event(line []byte, e *Event) error {
	if !d.fast || len(line) > marksPart-1 {
		return d.slow(line, e)
	}
	if d.marks == nil {
		d.marks, d.room = &marks{}, make([]byte, margin+marksPart+margin)
	}
	n := margin + copy(d.room[margin:], line)
	d.room[n] = '\n'
	m := d.marks
	m.reset(margin)
	// The line had its own line break, or has the one that was added.
	if m.fill(d.room, margin, n+1, d.comma) && int(m.pos[m.ends[0]]) >= n-1 && d.quick(d.room, m, e) {
		return nil
	}
	return d.slow(line, e)
}

func (d *Decoder) slow(line []byte, e *Event) error {
	if err := d.layout.Decode(line, &d.rec); err != nil {
		return err
	}
	var err error
	*e, err = d.keys.Event(&d.rec)
	return err
}

// quick reads the line of b that is next in m into e, and reports false when the
// line is not for it; e is then not to be used.
func (d *Decoder) quick(b []byte, m *marks, e *Event) bool {
	end := int(m.ends[m.line])
	if end-m.first+1 != d.layout.width {
		return false
	}
	p, last := (*places)(m.pos[m.first-1:]), m.pos[end]
	ok := true
	for b[m.pos[end]-1] == '\r' && m.pos[end]-1 > p[0] { // it is no part of the last field
		m.pos[end]--
	}
	if m.odd {
		ok = d.plain(b, p)
	}
	ok = ok && d.fields(b, p, e)
	m.pos[end] = last
	return ok
}

// places are where the fields of a line begin and end: field i stands behind
// places[i] and in front of places[i+1].
type places [MaxColumns + 2]uint32

// plain reports whether a line has no quotes, and its columns nothing beyond
// ASCII. It is asked only of lines that have such a thing in their
// neighbourhood.
func (d *Decoder) plain(b []byte, p *places) bool {
	if bytes.IndexByte(b[p[0]+1:p[d.layout.width]], '"') >= 0 {
		return false
	}
	for _, f := range d.at {
		if f < 0 {
			continue
		}
		for _, c := range b[p[f]+1 : p[f+1]] {
			if c >= 0x80 {
				return false
			}
		}
	}
	return true
}

// of is where the field of a column begins and ends.
func (p *places) of(f int16) (from, to int) { return int(p[uint8(f)]) + 1, int(p[int(uint8(f))+1]) }

// fields makes an event of the fields of a line. What is wrong is gathered in one
// word, which is looked at once: a jump for each would be guessed wrong too often.
func (d *Decoder) fields(b []byte, p *places, e *Event) bool {
	*e = Event{}
	numbers(b, p, d.picks, d.layout.width, &d.nums)
	v, n := &d.nums.v, &d.nums.n
	var wrong int // below zero when something is
	var use uint32

	if n[numTime] == 10 && d.clock.form == formDefault {
		wrong |= int(v[numTime]-minTime) | int(maxTime-1-v[numTime])
		e.Sec = uint32(v[numTime])
	} else {
		from, to := p.of(d.at[colTime])
		sec, size := d.clock.read(b, from)
		if size != to-from {
			return false
		}
		e.Sec = uint32(sec)
	}
	wrong |= (n[numIMSI] - 6) | (15 - n[numIMSI])
	e.Card = tens[n[numIMSI]&15] + v[numIMSI]
	if n[numIMEI] != 0 { // its first fourteen digits
		wrong |= (n[numIMEI] - 14) | (16 - n[numIMEI])
		imei, by10, by100 := v[numIMEI], v[numIMEI]/10, v[numIMEI]/100
		if n[numIMEI] == 15 {
			imei = by10
		}
		if n[numIMEI] == 16 {
			imei = by100
		}
		e.IMEI = imei + 1
	}
	wrong |= (d.most - n[numUp]) | (d.most - n[numDown])
	e.Volume = float32(int64((v[numUp] + v[numDown]) * d.unit))
	seconds := v[numDuration]
	if n[numDuration] > 7 {
		ok := false
		if seconds, ok = fraction(b, p, d.at[colDuration]); !ok {
			return false
		}
	}
	wrong |= 1<<24 - 1 - int(seconds)
	use |= uint32(seconds)
	if f := d.at[colPLMN]; f >= 0 {
		if from, to := p.of(f); to > from {
			word := text.First(b, from, to-from) | uint64(to-from)<<56
			if word != d.plmn.word {
				key := ParsePLMN(b[from:to])
				if key == 0 {
					return false
				}
				d.plmn.word, d.plmn.key = word, key
			}
			wrong |= 6 - (to - from)
			e.PLMN = d.plmn.key
		}
	}
	if n[numArea] > 0 {
		from, to := p.of(d.at[colArea])
		switch {
		case n[numArea] < 8 && b[from] != '0' && v[numArea] < 1<<24:
			e.Area = uint32(v[numArea])
		case to-from > maxField:
			return false
		default:
			e.Area = d.keys.AreaKey(b[from:to])
		}
	}
	if n[numCell] > 0 {
		from, to := p.of(d.at[colCell])
		switch {
		case n[numCell] <= 11 && (b[from] != '0' || n[numCell] == 1) && v[numCell] < 1<<36:
			e.Cell = d.keys.CellNumber(e.PLMN, e.Area, v[numCell])
		case to-from > maxField:
			return false
		default:
			e.Cell = d.keys.cellKey(e.PLMN, e.Area, b[from:to])
		}
	}
	if f := d.at[colService]; f >= 0 {
		from, to := p.of(f)
		means := d.words[0].find(text.First(b, from, to-from), to-from)
		use |= uint32(means) << useService
	}
	if f := d.at[colDirection]; f >= 0 {
		if from, to := p.of(f); to > from {
			means := d.words[1].find(text.First(b, from, to-from), to-from)
			if means == 0 {
				return false
			}
			use |= uint32(means) << useDirection
		}
	}
	if f := d.at[colPeer]; f >= 0 {
		if from, to := p.of(f); to-from > maxField {
			return false
		} else if to-from > text.MaxMemo {
			e.Peer = d.keys.PeerKey(b[from:to])
		} else if to > from {
			key, ok := d.peers.Find(b, to, to-from)
			if !ok {
				*key = d.peer(b, from, to)
			}
			e.Peer = *key
		}
	}
	if f := d.at[colAPN]; f >= 0 {
		if from, to := p.of(f); to-from > maxField {
			return false
		} else if to-from > text.MaxMemo {
			e.APN = d.keys.APNKey(b[from:to])
		} else if to > from {
			key, ok := d.apns.Find(b, to, to-from)
			if !ok {
				*key = d.keys.APNKey(b[from:to])
			}
			e.APN = *key
		}
	}
	if f := d.at[colID]; f >= 0 {
		from, to := p.of(f)
		if to-from > maxField {
			return false
		}
		e.ID = d.keys.IDKey(e.Card, b[from:to])
	}
	if f := d.at[colFlags]; f >= 0 {
		from, to := p.of(f)
		// Half of the lines may be partial, in no order that could be guessed.
		is, n := uint32(0), 0
		if text.First(b, from, to-from) == partialWord {
			is, n = Partial<<useFlags, len(flagPartial)
		}
		if to-from != n {
			if string(b[from:to]) != flagEstimated {
				return false
			}
			is = Estimated << useFlags
		}
		use |= is
	}
	if f := d.at[colAddress]; f >= 0 {
		if from, to := p.of(f); to-from > maxField {
			return false
		}
	}
	e.Use = Use(use)
	return wrong >= 0 && use>>useService&7 != 0
}

// peer is the key of a peer that is not remembered.
func (d *Decoder) peer(b []byte, from, to int) uint64 {
	if v, ok := address(b, from, to-from); ok {
		return AddressPeer(v)
	}
	return d.keys.PeerKey(b[from:to])
}

// partialWord is flagPartial as text.First gives it.
const partialWord = 'p' | 'a'<<8 | 'r'<<16 | 't'<<24 | 'i'<<32 | 'a'<<40 | 'l'<<48

// fraction reads a duration with a fraction, which is cut off.
func fraction(b []byte, p *places, f int16) (uint64, bool) {
	from, to := p.of(f)
	v, n := lead(text.Load(b, from))
	i := from + n
	if n == 0 || n > 7 || b[i] != '.' {
		return 0, false
	}
	_, n = lead(text.Load(b, i+1))
	return v, n > 0 && n < 7 && i+1+n == to
}
