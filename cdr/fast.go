package cdr

// Decoder makes events of lines, as Layout.Decode and Keys.Event do together but
// without making records: it gives the same events and refuses the same lines
// with the same errors. Most lines are read in one pass, eight bytes at a time;
// a line with anything out of the ordinary (quotes, other writings of numbers,
// letters beyond ASCII, mistakes) is handed to Layout.Decode. It belongs to one
// goroutine.
type Decoder struct {
	layout *Layout
	keys   *Keys
	fields []int8
	fast   bool
	comma  byte
	commas uint64 // eight of it
	unit   uint64
	most   int // digits of a volume that is read quickly
	clock  clock
	words  [2]words // of services and directions
	rec    Record
	room   []byte
}

// word is a text of at most eight bytes and what it means.
type word struct {
	text  uint64
	n     int
	means uint8
}

// NewDecoder makes a decoder of lines of a layout.
func NewDecoder(l *Layout, k *Keys) *Decoder {
	d := &Decoder{layout: l, keys: k, fields: l.field, comma: l.comma, commas: uint64(l.comma) * ones, clock: newClock(l)}
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
	d.room = append(append(d.room[:0], line...), "\n................................"[:1+pad]...)
	if d.fast {
		// The line had its own line break, or has the one that was added.
		if n := d.quick(d.room, 0, e); n >= 0 && n >= len(line) {
			return nil
		}
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

// end returns where a text ends that begins at i: at a separator, a line break,
// a quote or a byte that is not ASCII.
func (d *Decoder) end(b []byte, i int) int {
	for {
		w := load(b, i)
		if m := has(w, d.commas) | has(w, '"'*ones) | has(w, '\n'*ones) | w&highs; m != 0 {
			return i + first(m)
		}
		i += 8
	}
}

// skip returns where a field ends that is not read.
func (d *Decoder) skip(b []byte, i int) int {
	for {
		w := load(b, i)
		if m := has(w, d.commas) | has(w, '"'*ones) | has(w, '\n'*ones); m != 0 {
			return i + first(m)
		}
		i += 8
	}
}

// quick reads the line that begins at i, which ends in a line break that pad
// bytes follow, into e. It returns where the next one begins, or -1: the line is
// not for it, and e is not to be used.
func (d *Decoder) quick(b []byte, i int, e *Event) int {
	// What is read goes straight into e: there are more values than registers.
	*e = Event{}
	var (
		bytes                  uint64
		use                    uint32
		id0, id1, cell0, cell1 int // where the texts stand
		cell                   uint64
		hasCell, cellNumeric   bool
	)
	last := len(d.fields) - 1
	for f, c := range d.fields {
		switch c {
		case colTime:
			sec, n := d.clock.read(b, i)
			if n < 0 {
				return -1
			}
			e.Sec = uint32(sec)
			i += n
		case colIMSI:
			v, n := number(b, i)
			if n < 6 || n > 15 {
				return -1
			}
			e.Card = tens[n] + v
			i += n
		case colIMEI:
			hi, n := lead(load(b, i))
			if n == 0 {
				break
			}
			w := load(b, i+8)
			m := digitsAt(w)
			if n != 8 || m < 6 {
				return -1
			}
			e.IMEI = hi*1e6 + value((w^0x30*ones)<<16) + 1
			i += 8 + m
		case colUp, colDown:
			v, n := number(b, i)
			if n > d.most {
				return -1
			}
			bytes += v * d.unit
			i += n
		case colDuration:
			v, n := lead(load(b, i))
			if v >= 1<<24 || n == 8 {
				return -1
			}
			use |= uint32(v)
			i += n
			if n > 0 && b[i] == '.' {
				_, m := lead(load(b, i+1))
				if m == 0 || m > 6 {
					return -1
				}
				i += 1 + m
			}
		case colService, colDirection:
			j := d.end(b, i)
			n := j - i
			if n > 8 {
				return -1
			}
			if b[j] == '\n' && n > 0 && b[j-1] == '\r' {
				n--
			}
			if n == 0 {
				break
			}
			w := load(b, i) & (^uint64(0) >> uint(64-8*n))
			means := d.words[c-colService].find(w, n)
			if means == 0 {
				return -1
			}
			if c == colService {
				use |= uint32(means) << useService
			} else {
				use |= uint32(means) << useDirection
			}
			i += n
		case colPeer:
			if v, n := address(b, i); n > 0 && (b[i+n] == d.comma || b[i+n] == '\n') {
				e.Peer = AddressPeer(v)
				i += n
				break
			}
			j := d.text(b, i)
			if j-i > maxField {
				return -1
			}
			e.Peer = d.keys.PeerKey(b[i:j])
			i = j
		case colAPN:
			j := d.text(b, i)
			if j-i > maxField {
				return -1
			}
			e.APN = d.keys.APNKey(b[i:j])
			i = j
		case colID:
			id0, id1 = i, d.text(b, i)
			if id1-id0 > maxField {
				return -1
			}
			i = id1
		case colArea:
			if v, n := lead(load(b, i)); n > 0 && n < 8 && v > 0 && v < 1<<24 && b[i] != '0' && (b[i+n] == d.comma || b[i+n] == '\n') {
				e.Area = uint32(v)
				i += n
				break
			}
			j := d.text(b, i)
			if j-i > maxField {
				return -1
			}
			e.Area = d.keys.AreaKey(b[i:j])
			i = j
		case colCell:
			v, n := number(b, i)
			if hasCell = n > 0; n > 0 && n <= 11 && (b[i] != '0' || n == 1) && v < 1<<36 && (b[i+n] == d.comma || b[i+n] == '\n') {
				cell, cellNumeric = v, true
				i += n
				break
			}
			cell0, cell1 = i, d.text(b, i)
			if hasCell = cell1 > cell0; cell1-cell0 > maxField {
				return -1
			}
			i = cell1
		case colPLMN:
			v, n := lead(load(b, i))
			switch n {
			case 0:
			case 5:
				e.PLMN = PLMN(uint32(v/100), uint32(v%100), 2)
			case 6:
				e.PLMN = PLMN(uint32(v/1000), uint32(v%1000), 3)
			default:
				return -1
			}
			i += n
		case colFlags:
			j := d.text(b, i)
			switch string(b[i:j]) {
			case "":
			case flagPartial:
				use |= Partial << useFlags
			case flagEstimated:
				use |= Estimated << useFlags
			default:
				return -1
			}
			i = j
		case colAddress:
			j := d.text(b, i)
			if j-i > maxField {
				return -1
			}
			i = j
		default:
			j := d.skip(b, i)
			if b[j] == '\n' && j > i && b[j-1] == '\r' {
				j--
			}
			i = j
		}
		if f < last {
			if b[i] != d.comma {
				return -1
			}
			i++
		}
	}
	if b[i] == '\r' {
		i++
	}
	if b[i] != '\n' || e.Card == 0 || e.Sec == 0 || use>>useService&7 == 0 {
		return -1
	}
	e.Volume, e.Use = float32(int64(bytes)), Use(use)
	switch {
	case cellNumeric:
		e.Cell = d.keys.CellNumber(e.PLMN, e.Area, cell)
	case hasCell:
		e.Cell = d.keys.cellKey(e.PLMN, e.Area, b[cell0:cell1])
	}
	if id1 > id0 {
		e.ID = d.keys.IDKey(e.Card, b[id0:id1])
	}
	return i + 1
}

// text returns where a text ends, without carriage returns before a line break.
func (d *Decoder) text(b []byte, i int) int {
	j := d.end(b, i)
	if b[j] == '\n' {
		for j > i && b[j-1] == '\r' {
			j--
		}
	}
	return j
}
