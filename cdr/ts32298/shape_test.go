package ts32298

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
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
				for apn := range 8 {
					w.shapes.purse = mostPurse
					in := make(up, down, apn)
					w.same(t, in)
					for i := range in {
						if in[i] < 20 { // a length, perhaps: of those beside each other one gives to the other
							b := append([]byte(nil), in...)
							b[i]++
							w.same(t, b)
							for j := i + 1; j < min(i+8, len(b)); j++ {
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
	lessons, purse := 0, d.purse
	const records = 50_000
	for range records {
		if err := d.Event(other(), &e); err != nil {
			t.Fatal(err)
		}
		if d.purse < purse {
			lessons++
		}
		purse = d.purse
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
