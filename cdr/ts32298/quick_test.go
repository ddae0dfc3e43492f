package ts32298

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ber"
)

// allWays are decoders that read in all ways there are: quickly, slowly, and by the
// shapes of the records that came before.
type allWays struct {
	quick, slow, shapes *Decoder
	fence               *fence
}

func newAllWays() *allWays {
	k := testKeys()
	return &allWays{NewDecoder(k), NewDecoder(k), NewDecoder(k), fenced()}
}

// fence is memory with none in front of it and behind it.
type fence struct {
	b     []byte
	front bool
}

var fenced = sync.OnceValue(func() *fence {
	page := os.Getpagesize()
	b, err := unix.Mmap(-1, 0, 2*page+2*MaxRecord, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(err)
	}
	if err := errors.Join(unix.Mprotect(b[:page], unix.PROT_NONE), unix.Mprotect(b[len(b)-page:], unix.PROT_NONE)); err != nil {
		panic(err)
	}
	return &fence{b: b[page : len(b)-page]}
})

// put copies bytes to the one end or to the other: who reads further, stops the test.
func (f *fence) put(in []byte) []byte {
	if len(in) > len(f.b) {
		return in
	}
	f.front = !f.front
	to := f.b[len(f.b)-len(in):]
	if f.front {
		to = f.b[:len(in):len(in)]
	}
	copy(to, in)
	return to
}

// same holds the other ways against the slow one, and reports whether the quick walk
// took the record, and which shape it has.
func (w *allWays) same(t testing.TB, in []byte) (bool, *shape) {
	t.Helper()
	in = w.fence.put(in)
	quick, slow, shapes := w.quick, w.slow, w.shapes
	took, err := quick.quick(in), slow.slow(in)
	differ := func(way string, got *fields) {
		t.Helper()
		if err != nil || *got != slow.f {
			t.Fatalf("%x\nslowly: %v\n%s: %s", in, err, way, cmp.Diff(slow.f, *got, cmp.AllowUnexported(fields{}, place{}, span{}), cmp.Comparer(func(a, b *kind) bool { return a == b })))
		}
	}
	if took {
		differ("quickly", &quick.f)
	}
	shapes.trust = mostTrust
	var s *shape
	if s = shapes.shaped(in); s != nil && shapes.replay(s, in) {
		differ("by shape", &shapes.f)
	}
	var want cdr.Event
	if err == nil {
		err = slow.event(in, &want)
	}
	// By vectors and without.
	tag, from, open := opening(in)
	for _, s := range shapes.shapes {
		var at, at2 bases
		if s.fits(tag, open) {
			if n, n2 := s.match(in, from, &at), s.matchGo(in, from, &at2); n != n2 || n >= 0 && at != at2 {
				t.Fatalf("%x\nends at %d by vectors and at %d without: %v, %v", in, n, n2, at, at2)
			}
		}
	}
	more := append(in[:len(in):len(in)], 0, 0, 0x80)
	if n := shapes.Ends(more); n != 0 {
		if e, err := ber.Parse(more, 0, len(more)); err != nil || n != e.Next || !e.Indefinite {
			t.Fatalf("%x\nends at %d, want %d: %v", more, n, e.Next, err)
		}
	}
	var got cdr.Event
	if gerr := shapes.Event(in, &got); fmt.Sprint(gerr) != fmt.Sprint(err) || err == nil && got != want {
		t.Fatalf("%x\nslowly: %v\nby shape: %v\n%s", in, err, gerr, cmp.Diff(want, got))
	}
	return took, s
}

// Records of definite lengths are quick, whatever their kind; what goes wrong is
// the slow walk's.
func TestQuick_saysWhatTheSlowWalkSays(t *testing.T) {
	r, w := rand.New(rand.NewPCG(1, 1)), newAllWays()
	took := 0
	for _, v := range variants() {
		in, err := v.a.Append(nil, &v.r)
		if err != nil {
			t.Fatal(err)
		}
		if took, _ := w.same(t, in); !took && !v.a.Indefinite {
			t.Errorf("%s %d is not quick", v.r.Service, v.tag)
		}
		for range 3000 {
			b := append([]byte(nil), in...)
			for range 1 + r.IntN(3) {
				i := r.IntN(len(b))
				switch r.IntN(4) {
				case 0:
					b[i] = byte(r.IntN(256))
				case 1:
					b[i] ^= 1 << r.IntN(8)
				case 2:
					b[i] = []byte{0, 0x1f, 0x30, 0x80, 0x81, 0x82, 0xa0, 0xbf, 0xff}[r.IntN(9)]
				default:
					b = append(b[:i], b[min(len(b), i+1+r.IntN(3)):]...)
					if len(b) == 0 {
						b = []byte{0}
					}
				}
			}
			w.shapes.purse = mostPurse
			if ok, _ := w.same(t, b); ok {
				took++
			}
		}
	}
	if took < 1000 {
		t.Errorf("the quick walk took %d mutations: too few to say anything", took)
	}
}

// What a decoder remembers of one record changes nothing of the next: all records
// that come one after the other are what they are alone.
func TestEvent_remembersRightly(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	d, k := NewDecoder(testKeys()), testKeys()
	vs := variants()
	for range 20_000 {
		v := vs[r.IntN(len(vs))]
		v.r.ID = []string{"smf-7/4711", "smf-77/4711", "0smf-7/1", "é/5", "/9", ""}[r.IntN(6)]
		if v.r.APN != "" {
			v.r.APN = []string{"iot.example", "IoT.example", "0", "00", "a.very.long.name.of.an.access.point", "é", "\x00", "0iot.example"}[r.IntN(8)]
		}
		v.r.PLMN = []string{"46000", "310410", "26201", ""}[r.IntN(4)]
		in, err := v.a.Append(nil, &v.r)
		if err != nil {
			t.Fatal(err)
		}
		var e cdr.Event
		if err := d.Event(in, &e); err != nil {
			t.Fatal(err)
		}
		var rec cdr.Record
		if err := NewDecoder(k).Record(in, &rec); err != nil {
			t.Fatal(err)
		}
		if want, err := k.Event(&rec); err != nil || e != want {
			t.Fatalf("%v %d: %v\n%s", v.r, v.tag, err, cmp.Diff(want, e))
		}
	}
}

func FuzzQuick(f *testing.F) {
	for _, v := range variants() {
		b, err := v.a.Append(nil, &v.r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	w := newAllWays()
	f.Fuzz(func(t *testing.T, in []byte) {
		w.same(t, in)
		var e cdr.Event
		if err := w.quick.Event(in, &e); err != nil && !errors.Is(err, ErrKind) && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatal(err)
		}
	})
}
