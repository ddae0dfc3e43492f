package ts32298

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/cdr/ber"
)

// plant is an element of a record of any kind, as its modules allow it or nearly so:
// written again and again, its values differ and its shape does not.
type plant struct {
	tag  []byte
	form byte
	do   action
	leaf bool
	wild bool // it may be wrong
	kind *record
	in   []*plant
	read string // what a leaf holds always
	n    int    // octets that it nearly always has, and one; 0 = of any number
}

// any makes records of all that tables know.
type anyRecord struct{ *rand.Rand }

// record makes a record of a kind.
func (r anyRecord) record(k *record) *plant {
	p := &plant{tag: tagOf(0xa0, k.tag), form: r.form(), kind: k, in: r.fields(k, k.structure.fields, 0)}
	if r.IntN(10) > 0 { // else it is refused, for it names no card
		for _, f := range k.structure.fields {
			has := slices.ContainsFunc(p.in, func(v *plant) bool { return v.do == f.do })
			switch {
			case f.do == inSubscriber && !has:
				v := r.field(k, f, 0)
				v.in = []*plant{{tag: tagOf(0x80, 1), do: subscriber, leaf: true, n: 16}}
				p.in = append(p.in, v)
			case (f.do == imsi || f.do == begin) && !has:
				p.in = append(p.in, r.field(k, f, 0))
			}
		}
	}
	r.Shuffle(len(p.in), func(i, j int) { p.in[i], p.in[j] = p.in[j], p.in[i] })
	return p
}

func (r anyRecord) form() byte { return []byte{short, short, short, one, two, endless}[r.IntN(6)] }

func tagOf(c byte, tag uint32) []byte {
	switch {
	case tag < 31:
		return []byte{c | byte(tag)}
	case tag < 128:
		return []byte{c | 0x1f, byte(tag)}
	}
	return []byte{c | 0x1f, 0x80 | byte(tag>>7), byte(tag & 127)}
}

func (r anyRecord) fields(k *record, fs []field, depth int) (in []*plant) {
	for _, f := range fs {
		switch n := r.IntN(12); {
		case n < 6 && (f.do < firstTable || depth < 3), n < 3:
			in = append(in, r.field(k, f, depth))
		case n == 6 && r.IntN(3) == 0: // twice
			in = append(in, r.field(k, f, depth), r.field(k, f, depth))
		case n == 7 && r.IntN(3) == 0: // not known, though it looks like one that is
			v := r.field(k, f, depth)
			if v.leaf, v.wild = true, true; v.do > firstTable {
				v.tag[0] &^= 0x20
				v.read = "\x30\x06\x83\x01\x01\x84\x01\x01"
			} else {
				v.tag[0] ^= []byte{0x20, 0x40, 0xc0}[r.IntN(3)]
			}
			if v.form == endless {
				v.form = one
			}
			in = append(in, v)
		case n == 8 && r.IntN(3) == 0:
			v := &plant{tag: []byte{0xbf, 0x7a}, form: r.form(), in: r.fields(k, fs, depth+1)}
			in = append(in, v)
		}
	}
	return in
}

func (r anyRecord) field(k *record, f field, depth int) *plant {
	if f.do < firstTable {
		v := &plant{tag: tagOf(0x80, uint32(f.tag)), do: f.do, leaf: true, kind: k}
		switch r.IntN(24) {
		case 0:
			v.form = one
		case 1:
			v.form = two
		case 2: // contents that are constructed, and end with octets
			if f.do == address || f.do == node || f.do == apn {
				v.tag[0] |= 0x20
				v.form = endless
			}
		case 3:
			v.wild = r.IntN(3) == 0
		}
		if r.IntN(4) > 0 {
			v.n = 1 + len(r.value(v))
		}
		return v
	}
	s := structures[f.do]
	v := &plant{tag: tagOf(0xa0, uint32(f.tag)), do: f.do, form: r.form()}
	if !s.list {
		v.in = r.fields(k, s.fields, depth+1)
		return v
	}
	for range r.IntN(4) {
		v.in = append(v.in, &plant{tag: []byte{0x30}, form: r.form(), in: r.fields(k, s.fields, depth+1)})
	}
	return v
}

// write appends an element with values of its own.
func (r anyRecord) write(dst []byte, v *plant) []byte {
	var in []byte
	switch {
	case !v.leaf:
		for _, c := range v.in {
			in = r.write(in, c)
		}
	case v.read != "":
		in = []byte(v.read)
	default:
		in = r.value(v)
		for i := 0; i < 40 && v.n != 0 && len(in)+1 != v.n; i++ {
			in = r.value(v)
		}
		if v.form == endless {
			// It looks like a location, but is none.
			in = append([]byte{0x80, 2, 7, 7, 0x81, 2, 7, 7, 0x8f, byte(len(in))}, in...)
		}
	}
	dst = append(dst, v.tag...)
	n := len(in)
	switch form := v.form; {
	case form == endless:
		return append(append(append(dst, endless), in...), 0, 0)
	case form == short && n < 0x80:
		dst = append(dst, byte(n))
	case form != two && n < 0x100:
		dst = append(dst, one, byte(n))
	default:
		dst = append(dst, two, byte(n>>8), byte(n))
	}
	return append(dst, in...)
}

func (r anyRecord) octets(most int) []byte {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func (r anyRecord) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	return string(b)
}

func (r anyRecord) value(v *plant) []byte {
	if v.wild && r.IntN(8) == 0 {
		return r.octets(18)
	}
	switch v.do {
	case kindOf:
		var b ber.Builder
		b.Uint(ber.Context, 0, v.kind.recType)
		return b.B[2:]
	case imsi:
		return tbcd("46"+r.digits([]int{13, 13, 13, 13, 13, 12, 5}[r.IntN(7)]), 8)
	case imei:
		return tbcd(r.digits([]int{16, 16, 15, 14, 8}[r.IntN(5)]), 8)
	case begin, early:
		return stamp(time.Unix(1795000000+r.Int64N(200_000)*int64(1+r.IntN(2)*2000), 0).UTC())
	case duration, cause, sequence, messages, up, down, total:
		if r.IntN(60) == 0 {
			return binary.BigEndian.AppendUint64([]byte{0, 0}[:r.IntN(3)], r.Uint64())
		}
		b := binary.BigEndian.AppendUint64(nil, r.Uint64())[r.IntN(8):]
		b[0] &= 0x7f
		return b
	case equipType:
		return []byte{byte(r.IntN(20) / 19)}
	case equipment:
		return []([]byte){tbcd(r.digits(16), 8), tbcd(r.digits(15), 8), []byte(r.digits(15)), []byte("imeisv-" + r.digits(16)), nil}[min(4, r.IntN(100)/24)]
	case subscriber:
		return []byte([]string{"", "", "", "imsi-"}[r.IntN(4)] + "46" + r.digits([]int{13, 13, 13, 13, 12, 14}[r.IntN(6)]))
	case plmn, placePLMN:
		return [][]byte{{0x64, 0xf0, 0x00}, {0x13, 0x00, 0x14}, {0x64, 0xf0, 0x10}, {0xff, 0xff, 0xff}, {0x64, 0xf0}}[min(4, r.IntN(10)/2)]
	case uli:
		b := append([]byte{[]byte{0, 1, 2, 128, 129, 130, 130, 130, 135, 136, 137, 137, 0x18, 0x18, 0x08}[r.IntN(15)], 0x64, 0xf0, 0x00}, r.octets(11)...)
		if len(b) > 9 && r.IntN(2) == 0 {
			copy(b[6:], []byte{0x64, 0xf0, 0x00})
		}
		return b[:max(4, len(b))]
	case apn, node:
		return []byte(strings.Repeat("iot.example-of-a-name"[:1+r.IntN(20)], 1+r.IntN(30)/29*8))
	case party, isdnParty:
		return directory("+86" + r.digits(r.IntN(12)))
	}
	return r.octets(9)
}

// Records of all kinds, with all fields that are known and some that are not, in any
// order and number, of lengths of any form: read one after the other, each is what it
// is alone.
func TestShape_anyRecord(t *testing.T) {
	r := anyRecord{rand.New(rand.NewPCG(7, 6))}
	shaped, direct, right := 0, 0, 0
	for range 1000 {
		k := &records[r.IntN(len(records))]
		if r.IntN(2) == 0 {
			k = &records[r.IntN(3)]
		}
		w := newAllWays()
		p := r.record(k)
		for range 16 {
			in := r.write(nil, p)
			if r.IntN(16) == 0 {
				in[r.IntN(len(in))]++
			}
			_, s := w.same(t, in)
			right++
			if s != nil {
				shaped++
				if s.direct.ok {
					direct++
				}
			}
		}
	}
	if s := fmt.Sprintf("of %d records %d were of a shape and %d became events directly", right, shaped, direct); shaped < right/4 || direct < right/50 {
		t.Error(s + ": too few to say anything")
	} else {
		t.Log(s)
	}
}
