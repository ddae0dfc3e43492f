package ts32298

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
)

// vary changes what differs from one record of a network element to the next.
func vary(rng *rand.Rand, r *cdr.Record) {
	r.IMSI = ringwall.IMSI(fmt.Sprint(460000000000000 + rng.Int64N(1e9)))
	r.IMEI = ringwall.IMEI(fmt.Sprint(10000000000000+rng.Int64N(8e13), rng.IntN(9)))
	r.Up, r.Down = rng.Uint64()>>(24+rng.IntN(40)), rng.Uint64()>>(24+rng.IntN(40))
	r.Duration = time.Duration(rng.IntN(100_000)) * time.Second
	r.Time = r.Time.Add(time.Duration(rng.IntN(1_000_000)) * time.Second)
	r.Partial = rng.IntN(4) == 0
	r.ID = fmt.Sprint([]string{"smf-7/", "pgw-0012.example/"}[rng.IntN(8)/7], rng.Uint32()>>rng.IntN(32))
	r.Cell = fmt.Sprint(1<<16 + rng.IntN(1<<28-1<<16))
	if r.APN != "" {
		r.APN = []string{"iot.example", "meter.net", "cam", "fleet.cars.example"}[rng.IntN(4)]
	}
	if rng.IntN(40) == 0 {
		r.IMEI = ""
	}
	if rng.IntN(40) == 0 {
		r.Address = ""
	}
	if rng.IntN(40) == 0 {
		r.ID = ""
	}
	if rng.IntN(40) == 0 {
		r.PLMN = ""
	}
}

// insert puts an element that nobody knows somewhere into a structure of definite
// length of a record, by writing it anew.
func insert(b []byte, rng *rand.Rand, alien []byte) []byte {
	var walk func(b []byte) []byte
	walk = func(b []byte) (out []byte) {
		for p := 0; p < len(b); {
			if rng.IntN(12) == 0 {
				out = append(out, alien...)
			}
			e, err := ber.Parse(b, p, len(b))
			if err != nil {
				panic(err)
			}
			head := 1
			if b[p]&0x1f == 0x1f {
				head = 2
			}
			in := b[e.From:e.To]
			if e.Constructed {
				in = walk(in)
			}
			out = append(out, b[p:p+head]...)
			switch n := len(in); {
			case n < 0x80:
				out = append(out, byte(n))
			case n < 0x100:
				out = append(out, 0x81, byte(n))
			default:
				out = append(out, 0x82, byte(n>>8), byte(n))
			}
			out = append(out, in...)
			p = e.Next
		}
		return out
	}
	e, err := ber.Parse(b, 0, len(b))
	if err != nil {
		panic(err)
	}
	in := walk(b[e.From:e.To])
	head := 1
	for b[0]&0x1f == 0x1f && head == 1 || head > 1 && b[head-1] >= 0x80 {
		head++
	}
	return append(binary.BigEndian.AppendUint16(append(append([]byte(nil), b[:head]...), 0x82), uint16(len(in))), in...)
}

// Records of one element after the other, whose lengths differ, which have a field
// more or less, or one that nobody knows, or are cut: each is what it is alone, and
// nearly all are of a shape.
func TestShape_sequences(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 1))
	aliens := [][]byte{{0x9f, 0x6e, 2, 1, 2}, {0xbf, 0x6f, 4, 0x80, 2, 3, 4}, {0xa0 | 29, 0}, {0x5f, 0x81, 0x01, 1, 9}}
	for _, v := range variants() {
		w := newAllWays()
		right, shaped, direct := 0, 0, 0
		for i := range 600 {
			r := v.r
			vary(rng, &r)
			in, err := v.a.Append(nil, &r)
			if err != nil {
				t.Fatal(err)
			}
			whole := true
			switch rng.IntN(10) {
			case 0:
				whole = false
				in = in[:rng.IntN(len(in))]
			case 1:
				if !v.a.Indefinite {
					whole = false
					in = insert(in, rng, aliens[rng.IntN(len(aliens))])
				}
			case 2: // lengths that do not fit
				whole = false
				in = append([]byte(nil), in...)
				in[rng.IntN(len(in))] += byte(1 + rng.IntN(3))
			}
			w.shapes.purse = mostPurse
			_, s := w.same(t, in)
			if i >= 300 && whole {
				right++
				if s != nil {
					shaped++
					if s.direct.ok {
						direct++
					}
				}
			}
		}
		if shaped < right*2/3 {
			t.Errorf("%s %d (indefinite %v): %d of %d records are of a shape", v.r.Service, v.tag, v.a.Indefinite, shaped, right)
		}
		if gateway := v.tag == 200 || v.tag == 78 || v.tag == 79; v.r.Service == cdr.Data && gateway != (direct == shaped) {
			t.Errorf("%s %d (indefinite %v): of %d records, %d became events directly", v.r.Service, v.tag, v.a.Indefinite, shaped, direct)
		}
	}
}

// A record that is nearly one of a shape, with any octet another, is not taken for
// one: whatever the octet says.
func TestShape_anyOctet(t *testing.T) {
	for _, v := range variants() {
		w := newAllWays()
		rng := rand.New(rand.NewPCG(7, 2))
		for range 30 {
			r := v.r
			vary(rng, &r)
			r.IMEI, r.PLMN, r.Partial = v.r.IMEI, v.r.PLMN, v.r.Partial
			r.ID = fmt.Sprint(v.r.ID, rng.IntN(100))
			in, err := v.a.Append(nil, &r)
			if err != nil {
				t.Fatal(err)
			}
			w.shapes.purse = mostPurse
			w.same(t, in)
		}
		known := append([]*shape(nil), w.shapes.shapes...)
		in, err := v.a.Append(nil, &v.r)
		if err != nil {
			t.Fatal(err)
		}
		for i := range in {
			for _, c := range []byte{0, 1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff, in[i] ^ 0xff, in[i] + 1 ^ in[i], in[i] - 1 ^ in[i]} {
				b := append([]byte(nil), in...)
				if b[i] ^= c; c == 0 {
					b[i] = 0
				}
				w.shapes.purse = 0
				w.same(t, b)
			}
		}
		if len(known) != len(w.shapes.shapes) || known[0] != w.shapes.shapes[0] {
			t.Fatal("shapes were learnt that were not to be")
		}
	}
}

// A shape has no element where there is a value that looks like its header, and the
// other way round.
func TestShape_lengthsTradePlaces(t *testing.T) {
	w := newAllWays()
	make := func(up, down, apn int) []byte {
		return build(79, func(b *ber.Builder) {
			b.Uint(ber.Context, 0, 85)
			ctx(b, 3, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0)
			ctx(b, 7, []byte("0123456789abcdef")[:2*apn]...)
			b.Begin(ber.Context, 12)
			b.Begin(ber.Universal, ber.Sequence)
			ctx(b, 3, []byte{0x04, 0x84, 0x01, 0x83, 0x84, 0x02, 0x00, 0x84, 0x01, 0x03}[:up]...)
			ctx(b, 4, []byte{0x04, 0x84, 0x01, 0x83, 0x84, 0x02, 0x00, 0x84, 0x01, 0x03}[:down]...)
			b.End()
			b.End()
			ctx(b, 13, opened...)
			ctx(b, 18, []byte("pgw")...)
		})
	}
	for range 2 {
		for up := range 11 {
			for down := range 11 {
				for _, apn := range []int{0, 3, 7} {
					w.shapes.purse = mostPurse
					in := make(up, down, apn)
					w.same(t, in)
					for i := range in {
						if in[i] < 20 { // a length, perhaps: of those beside each other one gives to the other
							b := append([]byte(nil), in...)
							b[i]++
							w.same(t, b)
							for j := i + 1; j < min(i+6, len(b)); j++ {
								b[j]--
								w.same(t, b)
								b[j]++
							}
						}
					}
				}
			}
		}
	}
	if len(w.shapes.shapes) == 0 {
		t.Error("no shape was learnt")
	}
}

// Lengths of 128 and more are not those of the short form, whatever ends where.
func TestShape_longLengths(t *testing.T) {
	w := newAllWays()
	make := func(apn, up int) []byte {
		in := []byte{0x80, 1, 85, 0x83, 8, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0, 0x87, byte(apn)}
		in = append(append(in, bytes.Repeat([]byte("a"), apn)...), 0x8d, 9)
		in = append(append(in, opened...), 0xac, byte(up+0x7b), 0x30, byte(up+0x79), 0x8e, 0x75)
		in = append(append(in, bytes.Repeat([]byte{0x05}, 0x75)...), 0x83, byte(up))
		in = append(append(in, bytes.Repeat([]byte{1}, up)...), 0x92, 3, 'p', 'g', 'w')
		return append([]byte{0xbf, 0x4f, 0x82, byte(len(in) >> 8), byte(len(in))}, in...)
	}
	shaped := 0
	for i, tt := range [][2]int{{5, 1}, {7, 2}, {5, 3}, {9, 4}, {127, 4}, {128, 4}, {129, 4}, {133, 1}, {0x82, 1}, {5, 5}, {5, 6}, {5, 7}, {5, 8}, {200, 8}} {
		w.shapes.purse = mostPurse
		if _, s := w.same(t, make(tt[0], tt[1])); s != nil && i < 5 {
			shaped++
		}
	}
	if shaped < 2 {
		t.Error("the records that are right have no shape")
	}
}

// Records of data some of whose fields have to be judged together, or are not there,
// or not of the length that most have.
func TestShape_direct(t *testing.T) {
	long, brief := []byte{0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0}, []byte{0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0xf8}
	bad := append([]byte{0x26, 0x13}, opened[2:]...)
	gateway := func(do func(b *ber.Builder, i byte)) func(i byte) []byte {
		return func(i byte) []byte {
			return build(79, func(b *ber.Builder) {
				b.Uint(ber.Context, 0, 85)
				b.Begin(ber.Context, 12)
				b.Begin(ber.Universal, ber.Sequence)
				ctx(b, 3, 1, i)
				b.End()
				b.End()
				do(b, i)
			})
		}
	}
	chf := func(do func(b *ber.Builder, i byte)) func(i byte) []byte {
		return func(i byte) []byte {
			return build(200, func(b *ber.Builder) {
				b.Uint(ber.Context, 0, 200)
				b.Begin(ber.Context, 5)
				b.Begin(ber.Universal, ber.Sequence)
				b.Begin(ber.Context, 1)
				b.Begin(ber.Universal, ber.Sequence)
				ctx(b, 5, 1, i)
				do(b, i)
				b.End()
				b.End()
				b.End()
				b.End()
				b.Begin(ber.Context, 2)
				ctx(b, 1, []byte("460001234567890")...)
				b.End()
				ctx(b, 6, opened...)
				b.Begin(ber.Context, 13)
				b.Begin(ber.Context, 2)
				b.Uint(ber.Context, 0, uint64(i/9))
				ctx(b, 1, 0x53, 0x96, 0x83, 0x30, 0x65, 0x34, 0x08, 0x21)
				b.End()
				b.End()
			})
		}
	}
	for name, record := range map[string]func(i byte) []byte{
		"no card": gateway(func(b *ber.Builder, _ byte) { ctx(b, 13, opened...) }),
		"no time": gateway(func(b *ber.Builder, _ byte) { ctx(b, 3, long...) }),
		"two cards": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 3, append([]byte{i}, long[1:]...)...)
			ctx(b, 13, opened...)
		}),
		"a bad card": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, append([]byte{i << 4}, long[1:]...)...)
			ctx(b, 3, long...)
			ctx(b, 13, opened...)
		}),
		"a brief card": gateway(func(b *ber.Builder, i byte) { ctx(b, 3, brief...); ctx(b, 13, opened...) }),
		"cards of two lengths": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, [][]byte{long, brief}[i%2]...)
			ctx(b, 13, opened...)
		}),
		"two times": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 13, [][]byte{opened, opened, bad}[i%3]...)
			ctx(b, 13, opened...)
		}),
		"two devices": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 13, opened...)
			ctx(b, 29, append([]byte{i}, long[1:]...)...)
			ctx(b, 29, append([]byte{i << 4}, long[1:]...)...)
		}),
		"two durations": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 13, opened...)
			ctx(b, 14, i<<5)
			ctx(b, 14, 1)
		}),
		"two places and networks": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 13, opened...)
			ctx(b, 32, 130, 0x64, 0xf0, 0x00, 1, 2, 0x64, 0xf0, 0x00, 1, 2, 3, i)
			ctx(b, 32, 130, 0x64|i<<4, 0xf0, 0x00, 1, 2, 0x64, 0xf0, 0x00, 1, 2, 3, i)
			ctx(b, 27, 0x64, 0xf0, 0x10)
			ctx(b, 27, 0x64|i<<4, 0xf0, 0x10)
		}),
		"two names": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 13, opened...)
			for n := range byte(2) {
				ctx(b, 7, []byte("apn-number-")[n+i%4:]...)
				ctx(b, 18, []byte("pgw-")[n+i%3:]...)
				ctx(b, 5, 1, n, i)
				ctx(b, 20, n, i)
				ctx(b, 17, 1+n)
			}
		}),
		"structures that are none": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 13, opened...)
			ctx(b, 34, 0x30, 6, 0x8c, 1, i, 0x8d, 1, i)
		}),
		"a name in parts that look like a place": gateway(func(b *ber.Builder, i byte) {
			ctx(b, 3, long...)
			ctx(b, 13, opened...)
			b.B = append(b.B, 0xb2, 0x80, 0x80, 2, 7, i, 0x81, 2, 7, i, 0, 0)
		}),
		"total volumes":        chf(func(b *ber.Builder, i byte) { ctx(b, 4, i<<4, 1) }),
		"volumes of both ways": chf(func(b *ber.Builder, i byte) { ctx(b, 6, i<<4, 1); ctx(b, 6, make([]byte, i+2)...); ctx(b, 5, 1) }),
	} {
		w := newAllWays()
		for n := range 40 {
			w.shapes.purse = mostPurse
			w.same(t, record(byte(n%10)))
		}
		if len(w.shapes.shapes) == 0 {
			t.Errorf("%s: no shape was learnt", name)
		}
	}
}

// Volumes that go over are what the slow walk says of them.
func TestShape_giantVolumes(t *testing.T) {
	for _, tag := range []uint32{3, 4} {
		w := newAllWays()
		for n := range 5 {
			w.shapes.purse = mostPurse
			for _, high := range []byte{1, 0x7f} {
				in := build(78, func(b *ber.Builder) {
					b.Uint(ber.Context, 0, 84)
					ctx(b, 3, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0)
					ctx(b, 13, opened...)
					b.Begin(ber.Context, 12)
					for range n {
						b.Begin(ber.Universal, ber.Sequence)
						ctx(b, tag, high, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
						b.End()
					}
					b.End()
				})
				if _, s := w.same(t, in); high > 1 && (s == nil || s.direct.ok != (n > 0)) {
					t.Errorf("%d containers: the record is not of a shape, or events are not made directly", n)
				}
			}
		}
	}
}

// Learning comes to an end: values of shapes, forms and lengths that alternate are
// learnt once.
func TestShape_settles(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	d := NewDecoder(testKeys())
	var e cdr.Event
	for range 20_000 {
		in := build(79, func(b *ber.Builder) {
			b.Uint(ber.Context, 0, 85)
			ctx(b, 3, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0)
			ctx(b, 7, []byte("0123456789abcdef")[:1+rng.IntN(16)]...)
			ctx(b, 13, opened...)
			ctx(b, 64, make([]byte, 100+rng.IntN(2)*100)...)
			ctx(b, 65, make([]byte, rng.IntN(10))...)
			b.Begin(ber.Context, 31)
			ctx(b, 0, byte(rng.IntN(2)))
			b.End()
		})
		if err := d.Event(in, &e); err != nil {
			t.Fatal(err)
		}
	}
	if d.taught > 1000 || len(d.shapes) != 2 || d.trust != mostTrust {
		t.Errorf("the last lesson was record %d; %d shapes, trust %d", d.taught, len(d.shapes), d.trust)
	}
	// Lengths that differ one after the other vary all the same.
	d = NewDecoder(testKeys())
	for _, n := range [][2]int{{1, 1}, {2, 1}, {2, 2}, {1, 1}, {3, 3}} {
		in := build(79, func(b *ber.Builder) {
			b.Uint(ber.Context, 0, 85)
			ctx(b, 3, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0)
			ctx(b, 13, opened...)
			ctx(b, 64, make([]byte, n[0])...)
			ctx(b, 65, make([]byte, n[1])...)
		})
		if err := d.Event(in, &e); err != nil {
			t.Fatal(err)
		}
	}
	if d.taught != 3 || len(d.shapes) != 1 {
		t.Errorf("the last lesson was record %d, trust is %d", d.taught, d.trust)
	}
	// A value that belongs to a shape makes another shape.
	d = NewDecoder(testKeys())
	v := variants()[0]
	in, err := v.a.Append(nil, &v.r)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(in, []byte{0xa2, 13, 0x80, 1, 0}, []byte{0xa2, 13, 0x80, 1, 1}, 1)
	for i, b := range [][]byte{in, other, in, other} {
		if err := d.Event(b, &e); err != nil {
			t.Fatal(err)
		}
		if (e.IMEI != 0) != (i%2 == 0) || len(d.shapes) != min(2, i+1) {
			t.Errorf("record %d: equipment %d, %d shapes", i, e.IMEI, len(d.shapes))
		}
	}
}

// Who sends records of ever other shapes makes no more work than lessons cost, and
// those of known shapes are found again when they come back.
func TestShape_manyShapes(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 3))
	d := NewDecoder(testKeys())
	var e cdr.Event
	other := func() []byte {
		return build(79, func(b *ber.Builder) {
			b.Uint(ber.Context, 0, 85)
			ctx(b, 3, 0x64, 0x00, 0x10, 0x32, 0x54, 0x76, 0x98, 0xf0)
			ctx(b, 13, opened...)
			for range 6 {
				ctx(b, 64+uint32(rng.IntN(50)), 1)
			}
		})
	}
	lessons := 0
	var known []*shape
	const records = 50_000
	for range records {
		if err := d.Event(other(), &e); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(d.shapes, known) {
			lessons++
		}
		known = append(known[:0], d.shapes...)
	}
	if most := mostPurse/lessonCost + records/lessonCost + 1; lessons > most {
		t.Errorf("%d lessons, want at most %d", lessons, most)
	}
	if len(d.shapes) != maxShapes || d.trust != leastTrust {
		t.Errorf("%d shapes and trust %d after shapes of all kinds", len(d.shapes), d.trust)
	}
	one := other()
	for range 16 * 256 {
		if err := d.Event(one, &e); err != nil {
			t.Fatal(err)
		}
	}
	if d.trust != mostTrust {
		t.Errorf("trust %d after records of one shape, want %d", d.trust, mostTrust)
	}
}

// What is read at once is what is read octet by octet.
func TestClock_read9(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 4))
	var quick, slow clock
	valid := 0
	for range 300_000 {
		zone := time.FixedZone("", []int{0, 8 * 3600, -5*3600 - 1800}[rng.IntN(3)])
		b := stamp(time.Unix(1795000000+rng.Int64N(200_000), 0).In(zone))
		switch rng.IntN(3) {
		case 0:
			b[rng.IntN(9)] = byte(rng.Uint32())
		case 1:
			b[3+rng.IntN(3)] += byte(rng.IntN(0x70))
		}
		want := slow.read(b)
		if got := quick.read9(binary.LittleEndian.Uint64(b), b[8]); got != want {
			t.Fatalf("%x is %d, want %d", b, got, want)
		}
		if want != 0 {
			valid++
		}
	}
	if valid < 100_000 {
		t.Errorf("%d of 300000 are right", valid)
	}
	var c clock
	if got := c.read9(0, 0); got != 0 {
		t.Errorf("zeros are %d", got)
	}
}

// FuzzShape has records of any form learnt from, and others held against them.
func FuzzShape(f *testing.F) {
	rng := rand.New(rand.NewPCG(7, 5))
	for _, v := range variants() {
		var in [2][]byte
		for i := range in {
			r := v.r
			vary(rng, &r)
			b, err := v.a.Append(nil, &r)
			if err != nil {
				f.Fatal(err)
			}
			in[i] = b
		}
		f.Add(in[0], in[1])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		w := newAllWays()
		w.same(t, a)
		w.same(t, b)
		w.same(t, a)
		w.same(t, b)
	})
}
