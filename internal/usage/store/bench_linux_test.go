package store

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// threadCPU is the processor time of this thread: what others do on the machine
// is not in it.
func threadCPU() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}

var benchCards = flag.Int("cards", 10_000_000, "cards in the table of the benchmarks; 64 bytes each, strays 76")

// fill makes a table of n cards: "dense" in one range, "blocks" of 10,000 numbers
// that lie apart, "strays" that lie anywhere.
func fill(b *testing.B, layout string, n int) (*Table, func(i uint64) uint64) {
	tab := New(Config{})
	card := func(i uint64) uint64 { return number(i) }
	switch layout {
	case "dense":
		if err := tab.Range(number(0), n); err != nil {
			b.Fatal(err)
		}
	case "blocks":
		card = func(i uint64) uint64 { return number(i/blockSize*7*blockSize + i%blockSize) }
		for i := 0; i < n; i += blockSize {
			if err := tab.Announce(card(uint64(i)), blockSize); err != nil {
				b.Fatal(err)
			}
		}
	case "strays":
		card = func(i uint64) uint64 { return number(i * mix >> 24) }
	}
	for i := range uint64(n) {
		if _, err := tab.Put(card(i)); err != nil {
			b.Fatal(err)
		}
	}
	return tab, card
}

// BenchmarkFind finds random cards and changes their lines: what memory allows.
func BenchmarkFind(b *testing.B) {
	for _, layout := range []string{"dense", "blocks", "strays"} {
		b.Run(layout, func(b *testing.B) {
			tab, card := fill(b, layout, *benchCards)
			defer tab.Close()
			r := rand.New(rand.NewPCG(1, 1))
			cards := make([]uint64, 1<<22)
			for i := range cards {
				cards[i] = card(r.Uint64N(uint64(*benchCards)))
			}
			var few Cards
			var at Places
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			from := threadCPU()
			b.ResetTimer()
			// While one batch is worked on, the next is on its way.
			copy(few[:], cards)
			tab.Find(&few, Width, &at)
			for done := 0; done < b.N; done += Width {
				var nextFew Cards
				var nextAt Places
				copy(nextFew[:], cards[(done+Width)%len(cards):])
				tab.Find(&nextFew, Width, &nextAt)
				for j := range few {
					if j%Few == 0 {
						tab.Prefetch(&nextAt, j)
					}
					if l := tab.Line(at[j]); l.Card == few[j] {
						l.Data[0]++
					}
				}
				few, at = nextFew, nextAt
			}
			b.ReportMetric(float64(b.N)/(threadCPU()-from).Seconds()/1e6, "Mrec/cpu-s")
		})
	}
}

// BenchmarkSweep looks at all lines.
func BenchmarkSweep(b *testing.B) {
	tab, _ := fill(b, "blocks", *benchCards)
	defer tab.Close()
	n := 0
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	from := threadCPU()
	for b.Loop() {
		tab.Sweep(func(_ uint32, lines []Line) bool {
			for i := range lines {
				if lines[i].Card != 0 && lines[i].Data[1] == 0 {
					n++
				}
			}
			return true
		})
	}
	b.ReportMetric(float64(n)/(threadCPU()-from).Seconds()/1e6, "Mcards/cpu-s")
}

// spread makes an id of a number (the last steps of SplitMix64): ids are hashes.
func spread(v uint64) uint64 {
	v *= 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// BenchmarkSeen makes new ids and adds them to a set that is full, while those after
// them are fetched.
func BenchmarkSeen(b *testing.B) {
	for _, n := range []int{1 << 12, 1 << 16, 1 << 20, 1 << 22} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			s := NewSeen(n)
			next := uint64(0)
			for range 3 * n {
				next++
				s.Add(spread(next))
			}
			var ids [2]Cards
			for i := range ids[0] {
				next++
				ids[0][i] = spread(next)
			}
			b.ResetTimer()
			for i := 0; i < b.N; i += Width {
				now, then := &ids[i/Width&1], &ids[i/Width&1^1]
				for j := range then {
					next++
					then[j] = spread(next)
				}
				for j := range now {
					if j%Few == 0 {
						s.Prefetch(then, j)
					}
					if !s.Add(now[j]) {
						b.Fatal("a new id was taken for an old one")
					}
				}
			}
		})
	}
}
