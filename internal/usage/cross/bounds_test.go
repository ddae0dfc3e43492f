package cross

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
)

// What a table says it takes is what it takes.
func TestSizes(t *testing.T) {
	if a, b, c := unsafe.Sizeof(first{}), unsafe.Sizeof(entry{})+40, unsafe.Sizeof(many{}); a != slotBytes || b != entryBytes || c != manyBytes {
		t.Errorf("%d, %d, %d bytes", a, b, c)
	}
	for _, tt := range []struct {
		c    Config
		want int64
	}{{Config{}, 64 << 20}, {Config{Cards: 100_000_000}, 200_000_000}, {Config{Cards: 900_000_000}, 1_800_000_000}, {Config{Bytes: 1}, 256 << 10}, {Config{Bytes: 1 << 20, Cards: 100_000_000}, 1 << 20}} {
		tb := New(tt.c)
		if s := tb.Stats(); s.Most != tt.want || s.Bytes != 0 {
			t.Errorf("%+v: %+v", tt.c, s)
		}
		// Together, the parts are what may be taken.
		sum := 2 * tb.known.most
		for k := range tb.lots {
			l := &tb.lots[k]
			sum += l.gateMost + int64(l.firsts.most)*slotBytes + int64(l.all.most)*pageSize*entryBytes + int64(l.many.most)*pageSize*manyBytes
		}
		if sum > tt.want || sum < tt.want*9/10 {
			t.Errorf("%+v: its parts are %d bytes", tt.c, sum)
		}
	}
	tb := New(Config{})
	tb.Grow(100_000_000)
	tb.Grow(5)
	if s := tb.Stats(); s.Most != 200_000_000 {
		t.Errorf("grown: %+v", s)
	}
}

// TestTable_flood has random keys of one kind come without end, some of which come
// twice and more, while crowds of all kinds come: memory stays within its bound,
// what is lost is counted, crowds of the other kinds are found and lose nothing,
// and that of the flooded kind is found.
func TestTable_flood(t *testing.T) {
	const n = 400_000
	for k := range kinds {
		for _, crowd := range []bool{true, false} {
			t.Run(fmt.Sprint(k, " with a crowd ", crowd), func(t *testing.T) {
				r := rand.New(rand.NewPCG(3, uint64(k)))
				tb := New(Config{Bytes: 1 << 20})
				for g := range uint32(4) { // learned
					tb.Observe(Observation{Kind: Peer, Key: 7, Card: card(1), Sec: sec(0), Settings: g})
				}
				said := map[Kind]int{}
				for i := range n {
					at := 5*day + time.Duration(i)*(2*day/n)
					o := Observation{Kind: k, Key: r.Uint64() >> uint(r.IntN(20)), Card: card(1000 + r.IntN(1<<20)), Settings: uint32(r.IntN(4)), Sec: sec(at)}
					if r.IntN(4) == 0 { // and some are known to several cards
						o.Key = uint64(1000 + r.IntN(20_000))
					}
					if f, ok := tb.Observe(o); ok && f.Key == key(k) {
						t.Fatal("a flood says what was not there")
					}
					if i%(n/100) == 0 && crowd && i > n/2 {
						for c := range kinds {
							if f, ok := tb.Observe(Observation{Kind: c, Key: key(c), Card: card(i / (n / 100)), Sec: sec(at), Settings: 3}); ok && f.Key == key(c) {
								said[c]++
							}
						}
					}
					if i%1000 == 0 {
						if s := tb.Stats(); s.Bytes > s.Most {
							t.Fatalf("past its bound: %+v", s)
						}
					}
				}
				s := tb.Stats()
				t.Logf("%+v", s)
				for c, of := range map[Kind]KindStats{Equipment: s.Equipment, Cell: s.Cell, Peer: s.Peer} {
					switch lost := of.Full + of.Dropped + of.Gated; {
					case c == k && lost == 0:
						t.Errorf("%v: nothing was lost: it is no flood", c)
					case c != k && lost != 0:
						t.Errorf("%v: a flood of %v took %d from it", c, k, lost)
					}
					if (said[c] > 0) != crowd {
						t.Errorf("%v: found %d times", c, said[c])
					}
				}
			})
		}
	}
}

// A table that starts with a whole country's equipment at once, of which it can
// hold the smaller part, finds racks all the same; what it did not know of singles
// is counted.
func TestTable_everybodyAtOnce(t *testing.T) {
	const cards, racks = 500_000, 40
	tb := New(Config{Bytes: 2 * cards})
	r := rand.New(rand.NewPCG(1, 2))
	found := map[uint64]bool{}
	for i := range cards {
		o := Observation{Kind: Equipment, Key: 1<<40 + uint64(i)*7, Card: card(i), Sec: sec(time.Duration(i) * (day / cards))}
		if i%500 < 12 && i/500%(1000/racks) == 0 { // a rack's card, now and then
			o.Key = 1 + uint64(i/12_500)
		} else if r.IntN(100) == 0 {
			o.Key = 1<<40 + uint64(r.IntN(cards))*7 // some change their equipment
		}
		if f, ok := tb.Observe(o); ok {
			found[f.Key] = true
			if f.Key >= 1<<40 {
				t.Errorf("%d cards in equipment %d", f.Count, f.Key)
			}
		}
	}
	s := tb.Stats()
	t.Logf("%+v", s)
	if len(found) != racks || s.Bytes > s.Most || s.Equipment.Gated == 0 {
		t.Errorf("%d of %d racks; %+v", len(found), racks, s)
	}
}

// busy is a table with everything in it.
func busy(t testing.TB, c Config) *Table {
	t.Helper()
	tb := New(c)
	r := rand.New(rand.NewPCG(5, 5))
	for k := range kinds {
		feed(tb, k, 0, 30, 0)
		feed(tb, k, 100, 60, 5*day)
	}
	for i := range 30_000 {
		k := Kind(i) % kinds
		tb.Observe(Observation{Kind: k, Key: r.Uint64(), Card: card(r.IntN(1000)), Sec: sec(5*day + time.Duration(i)*10*time.Second), Settings: 3})
		tb.Observe(Observation{Kind: k, Key: uint64(1 + r.IntN(200)), Card: card(r.IntN(1000)), Sec: sec(5*day + time.Duration(i)*10*time.Second), Settings: 3})
	}
	return tb
}

func saved(t testing.TB, tb *Table) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := tb.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshot(t *testing.T) {
	for _, c := range []Config{{Bytes: 1}, {}} {
		tb := busy(t, c)
		s := tb.Stats()
		if s.Equipment.Entries == 0 || s.Cell.Entries == 0 || s.Peer.Peak == 0 || s.Peer.Firsts == 0 || len(tb.known.eras) == 0 || (c.Bytes == 1) != (s.Peer.Gated+s.Equipment.Full > 0) {
			t.Fatalf("%+v: it proves nothing", s)
		}
		file := saved(t, tb)
		got := New(c)
		if err := got.Restore(bytes.NewReader(file)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(file, saved(t, got)) {
			t.Error("a restored table has another snapshot")
		}
		if a, b := tb.Stats(), got.Stats(); a.Equipment.Entries != b.Equipment.Entries || a.Peer.Gated != b.Peer.Gated || a.Bytes < b.Bytes || a.Findings != b.Findings {
			t.Errorf("%+v is restored as %+v", a, b)
		}
		// Both go on alike.
		r := rand.New(rand.NewPCG(8, 8))
		for i := range 20_000 {
			o := Observation{Kind: Kind(r.IntN(3)), Key: uint64(1 + r.IntN(5000)), Card: card(r.IntN(1000)), Sec: sec(9*day + time.Duration(i)*20*time.Second), Settings: 3}
			a, aok := tb.Observe(o)
			b, bok := got.Observe(o)
			if aok != bok || !cmp.Equal(a, b) {
				t.Fatalf("%+v, %v against %+v, %v", a, aok, b, bok)
			}
		}
		if !bytes.Equal(saved(t, tb), saved(t, got)) {
			t.Error("after more observations they differ")
		}
	}
}

// A state is restored under other bounds: what has no room is left out, and
// counted.
func TestRestore_otherBounds(t *testing.T) {
	large, small := busy(t, Config{}), New(Config{Bytes: 1})
	if err := small.Restore(bytes.NewReader(saved(t, large))); err != nil {
		t.Fatal(err)
	}
	if s := small.Stats(); s.Equipment.Full == 0 || s.Peer.Dropped == 0 || s.Equipment.Entries == 0 || s.Cell.Bytes > s.Most/8 {
		t.Errorf("%+v", s)
	}
	wide := New(Config{})
	if err := wide.Restore(bytes.NewReader(saved(t, busy(t, Config{Bytes: 1})))); err != nil {
		t.Fatal(err)
	}
	feed(wide, Peer, 0, 30, 20*day)
}

func TestRestore_refuses(t *testing.T) {
	tb := New(Config{Bytes: 1})
	feed(tb, Peer, 0, 30, 0)
	feed(tb, Peer, 0, 8, 9*day)
	feed(tb, Equipment, 0, 8, 9*day)
	file := saved(t, tb)
	t.Logf("%d bytes", len(file))
	got := busy(t, Config{Bytes: 1})
	before := saved(t, got)
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 3000 {
		i := r.IntN(len(file))
		if n < 400 {
			i = n
		}
		torn := slices.Clone(file)
		torn[i] ^= 1 << r.IntN(8)
		err := got.Restore(bytes.NewReader(torn))
		if code := ringwall.CodeOf(err); code != ringwall.Unverified && (i != 7 || code != ringwall.Conflict) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if n%10 == 0 {
			if err := got.Restore(bytes.NewReader(file[:i])); ringwall.CodeOf(err) != ringwall.Unverified {
				t.Fatalf("cut at %d: %v", i, err)
			}
		}
	}
	if !bytes.Equal(before, saved(t, got)) {
		t.Error("what was refused changed the table")
	}
	if err := got.Restore(bytes.NewReader(append([]byte(stateOld), file[8:]...))); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("the form before this: %v", err)
	}
}

// FuzzRestore reads anything, its checksum made right, so that what is behind the
// checksum is tried too; what is taken goes on working and reads as it was.
func FuzzRestore(f *testing.F) {
	tb := New(Config{Bytes: 1})
	feed(tb, Peer, 0, 30, 0)
	feed(tb, Peer, 0, 8, 9*day)
	feed(tb, Equipment, 0, 8, 9*day)
	feed(tb, Cell, 0, 3, 9*day)
	f.Add(saved(f, tb))
	f.Add(saved(f, New(Config{})))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := len(b) - 4; n >= 8 {
			b = binary.LittleEndian.AppendUint32(slices.Clone(b[:n]), crc32.Checksum(b[8:n], crc32.MakeTable(crc32.Castagnoli)))
		}
		tb := New(Config{Bytes: 1})
		if err := tb.Restore(bytes.NewReader(b)); err != nil {
			if c := ringwall.CodeOf(err); c != ringwall.Unverified && c != ringwall.Conflict {
				t.Fatal(err)
			}
			return
		}
		again := New(Config{Bytes: 1})
		if err := again.Restore(bytes.NewReader(saved(t, tb))); err != nil {
			t.Fatalf("what was written again: %v", err)
		}
		for k := range kinds {
			feed(tb, k, 0, 40, 10*day)
		}
	})
}

// A card whose clock is months ahead makes nobody forget, and nothing late, however
// often it says so; many cards do.
func TestTable_wrongClock(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cards int
		want  bool
	}{{"one card", 1, true}, {"a dozen", 12, true}, {"all", 200, false}} {
		tb := New(Config{Bytes: 1})
		for d := range 6 {
			tb.Observe(Observation{Kind: Peer, Key: 1, Card: card(1), Sec: sec(time.Duration(d) * day), Settings: 3})
		}
		feed(tb, Equipment, 0, 3, 5*day)
		for i := range 200 {
			at := 5*day + time.Duration(i)*time.Minute
			tb.Observe(Observation{Kind: Equipment, Key: 5, Card: card(i % tt.cards), Sec: sec(at + 60*day)})
		}
		crowd, rack := feed(tb, Peer, 300, 20, 5*day+4*time.Hour), feed(tb, Equipment, 3, 1, 5*day+4*time.Hour)
		if found := len(crowd) == 1; found != tt.want || len(rack) > 0 != tt.want {
			t.Errorf("%s: of a crowd %v, of a rack %v", tt.name, crowd, rack)
		}
	}
}

// BenchmarkObserve is what an observation costs: of peers that are known, of new
// ones of which there are ever more, of equipment at the start of a country.
func BenchmarkObserve(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, bb := range []struct {
		name string
		make func(i int) Observation
	}{
		{"known", func(i int) Observation {
			return Observation{Kind: Peer, Key: 3<<62 | r.Uint64()%1_000_000, Card: card(i % 1_000_000), Sec: sec(0), Settings: 3}
		}},
		{"new", func(i int) Observation {
			return Observation{Kind: Peer, Key: r.Uint64(), Card: card(i % 1_000_000), Sec: sec(9 * day), Settings: 3}
		}},
		{"equipment", func(i int) Observation {
			return Observation{Kind: Equipment, Key: r.Uint64(), Card: card(i), Sec: sec(0)}
		}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			tb := New(Config{Cards: 100_000_000})
			tb.Observe(Observation{Kind: Peer, Key: 1, Card: card(1), Sec: sec(0), Settings: 3})
			if bb.name == "known" {
				for i := range 2_000_000 {
					tb.Observe(bb.make(i))
				}
			}
			obs := make([]Observation, 1<<16)
			for i := range obs {
				obs[i] = bb.make(i)
			}
			i := 0
			for b.Loop() {
				o := obs[i%len(obs)]
				if bb.name != "known" {
					o.Key += uint64(i)
				}
				tb.Observe(o)
				i++
			}
		})
	}
}
