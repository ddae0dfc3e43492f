package usage

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

var (
	benchCards = flag.Int("cards", 10_000_000, "cards in the benchmarks: 64 bytes each, and 76 for Strays")
	benchEvery = flag.Int("every", 3600, "seconds between two records of a card in the benchmarks, on average: charging makes one an hour")
	benchDir   = flag.String("dir", "", "directory for the snapshots of the benchmarks; empty = a temporary one")
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

// bench is an engine with many cards of three kinds, each with some history, and
// honest events of random ones: the worst for caches.
type bench struct {
	e      *Engine
	events []cdr.Event
	cards  int
	number func(i uint64) uint64
	apn    uint32
	b      cdr.Batch
	r      *rand.Rand
	sec    float64
	cpu    time.Duration
}

const benchEvents = 1 << 20

func newBench(b *testing.B, layout string, cards, duplicates int) *bench {
	b.Helper()
	keys := KeysOf([]byte("bench"))
	book, err := rules.NewBook(rules.BookSpec{Settings: []rules.Spec{
		{Services: []string{"data"}, Peers: []string{"198.51.100.20", "iot.example"}, Homes: []string{"460"}, Fixed: true},
		{Services: []string{"data", "sms"}, Peers: []string{"198.51.100.20", "192.0.2.0/24"}, Homes: []string{"460"}},
		{Services: []string{"data", "sms", "voice"}, Homes: []string{"460", "45412"}},
	}}, keys)
	if err != nil {
		b.Fatal(err)
	}
	x := &bench{e: New(Config{Key: []byte("bench"), Book: book, Duplicates: duplicates, Adopt: true, MaxAdopted: cards}), cards: cards, apn: keys.APNKey([]byte("iot.example"))}
	const first = 1_460_000_000_000_000
	x.number = func(i uint64) uint64 { return first + i }
	switch layout {
	case "dense":
		err = x.e.Announce(Range{First: "460000000000000", N: cards, Dense: true})
	case "blocks": // of 10,000 numbers each, apart
		x.number = func(i uint64) uint64 { return first + i/10_000*70_000 + i%10_000 }
		for i := 0; i < cards && err == nil; i += 10_000 {
			err = x.e.Announce(Range{First: ringwall.IMSI(cdr.IMSIOf(x.number(uint64(i)))), N: 10_000})
		}
	case "strays":
		x.number = func(i uint64) uint64 { return first + i*0x9e3779b97f4a7c15>>24 }
	}
	if err != nil {
		b.Fatal(err)
	}
	x.b.Lines = make([]uint64, cdr.MaxBatch)
	x.events = make([]cdr.Event, 0, cdr.MaxBatch)
	for i := range uint64(cards) { // every card once
		if x.events = append(x.events, x.event(i, 1_800_000_000, 0)); len(x.events) == cdr.MaxBatch || i+1 == uint64(cards) {
			x.b.Events = x.events
			x.e.Batch(&x.b, nil)
			x.events = x.events[:0]
		}
	}
	x.e.Sweep(func(l *rules.Line, _ *rules.Side) bool { l.SetSettings(uint32(l.Card % 3)); return true })
	x.r = rand.New(rand.NewPCG(1, 1))
	x.b.Events = make([]cdr.Event, 0, cdr.MaxBatch)
	x.sec = 1_800_003_600
	return x
}

// event is a record of card i: from its place, now and then from a cell beside
// it, a small message of data to its server.
func (x *bench) event(i uint64, sec, chance uint32) cdr.Event {
	e := cdr.Event{
		Card: x.number(i), IMEI: 35_000_000_000_000 + i, Peer: cdr.AddressPeer(0xc6336414), Sec: sec, PLMN: cdr.ParsePLMN("46000"), APN: x.apn,
		Area: uint32(i/1000%50_000 + 1), Cell: i/50 + 1, Volume: float32(1000 + chance%4096), Use: cdr.NewUse(cdr.Data, 0, 60, 0),
	}
	if chance%16 == 1 {
		e.Cell++
	}
	return e
}

// pass judges n events; ids are fresh ones when they are wanted. Only judging is
// counted: the records of a batch are in the cache, as decoding leaves them.
func (x *bench) pass(n int, ids bool) {
	x.b.Events = x.b.Events[:0]
	for i := range n {
		x.sec += float64(*benchEvery) / float64(x.cards)
		ev := x.event(x.r.Uint64N(uint64(x.cards)), uint32(x.sec), x.r.Uint32())
		if ids {
			ev.ID = (uint64(ev.Sec)<<32|uint64(i))*0x9e3779b97f4a7c15 | 1
		}
		if x.b.Events = append(x.b.Events, ev); len(x.b.Events) == cdr.MaxBatch {
			from := threadCPU()
			x.e.Batch(&x.b, nil)
			x.cpu += threadCPU() - from
			x.b.Events = x.b.Events[:0]
		}
	}
}

// BenchmarkBatch judges honest events of random cards by all rules. Rates are
// by the processor time of one thread.
func BenchmarkBatch(b *testing.B) {
	for _, layout := range []string{"Dense", "Blocks", "Strays"} {
		for _, ids := range []bool{false, true} {
			b.Run(layout+map[bool]string{false: "/rules", true: "/duplicates"}[ids], func(b *testing.B) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				x := newBench(b, map[string]string{"Dense": "dense", "Blocks": "blocks", "Strays": "strays"}[layout], *benchCards, map[bool]int{true: 0, false: -1}[ids])
				defer x.e.Close()
				x.pass(benchEvents, ids)
				x.cpu = 0
				was := x.e.Stats()
				b.ReportAllocs()
				b.ResetTimer()
				n := 0
				for n < b.N {
					x.pass(benchEvents, ids)
					n += benchEvents
				}
				b.StopTimer()
				s := x.e.Stats()
				if s.Unknown+s.Duplicate != 0 {
					b.Fatalf("%+v: the records are not judged", s)
				}
				m := x.e.Memory()
				b.ReportMetric(float64(n)/x.cpu.Seconds()/1e6, "Mrec/cpu-s")
				b.ReportMetric(m.PerCard, "B/card")
				b.ReportMetric(m.SidePerCard, "side-B/card")
				b.ReportMetric(float64(s.Alerts-was.Alerts)/float64(n)*1e6, "alerts/Mrec")
			})
		}
	}
}

// BenchmarkSweep is a full traversal.
func BenchmarkSweep(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	x := newBench(b, "blocks", *benchCards, -1)
	defer x.e.Close()
	from, n, away := threadCPU(), 0, 0
	for b.Loop() {
		x.e.Sweep(func(l *rules.Line, _ *rules.Side) bool {
			n++
			if l.Away() {
				away++
			}
			return true
		})
	}
	b.ReportMetric(float64(n)/(threadCPU()-from).Seconds()/1e6, "Mcards/cpu-s")
	if away > 0 {
		b.Fatal("honest cards are away")
	}
}

// BenchmarkSnapshot writes a snapshot to a file and reads it again.
func BenchmarkSnapshot(b *testing.B) {
	x := newBench(b, "blocks", *benchCards, 0)
	x.pass(benchEvents, true)
	dir := *benchDir
	if dir == "" {
		dir = b.TempDir()
	}
	name := filepath.Join(dir, fmt.Sprintf("bench-%d.snapshot", os.Getpid()))
	defer os.Remove(name)
	want := x.e.Hash()
	cards := float64(x.e.Stats().Cards)
	b.Run("Write", func(b *testing.B) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		n, from := 0, threadCPU()
		for b.Loop() {
			f, err := os.Create(name)
			if err != nil {
				b.Fatal(err)
			}
			if err := x.e.Snapshot(f, []byte("position")); err != nil {
				b.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				b.Fatal(err)
			}
			size, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(size)
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
			n++
		}
		b.ReportMetric((threadCPU()-from).Seconds()/float64(n)/cards*900e6, "cpu-s/900Mcards")
		b.ReportMetric(b.Elapsed().Seconds()/float64(n)/cards*900e6, "s/900Mcards")
	})
	if err := x.e.Close(); err != nil {
		b.Fatal(err)
	}
	b.Run("Restore", func(b *testing.B) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		n := 0
		var cpu, wall time.Duration
		for b.Loop() {
			e := New(Config{Key: []byte("bench"), Book: x.e.Book()})
			f, err := os.Open(name)
			if err != nil {
				b.Fatal(err)
			}
			from, at := threadCPU(), time.Now()
			if _, err := e.Restore(f); err != nil {
				b.Fatal(err)
			}
			cpu, wall = cpu+threadCPU()-from, wall+time.Since(at)
			if err := f.Close(); err != nil {
				b.Fatal(err)
			}
			if n++; n == 1 && e.Hash() != want {
				b.Fatal("what was restored is not what was written")
			}
			if err := e.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(cpu.Seconds()/float64(n)/cards*900e6, "cpu-s/900Mcards")
		b.ReportMetric(wall.Seconds()/float64(n)/cards*900e6, "s/900Mcards")
	})
}

// BenchmarkSaving takes a snapshot while records are judged, and tells how long
// a batch had to wait at most: from when it was handed over until its alerts
// would have been told.
func BenchmarkSaving(b *testing.B) {
	x := newBench(b, "blocks", *benchCards, -1)
	book := x.e.Book()
	if err := x.e.Close(); err != nil {
		b.Fatal(err)
	}
	s := NewSet(SetConfig{Engine: Config{Key: []byte("bench"), Book: book, Duplicates: -1, Adopt: true, MaxAdopted: *benchCards}, Workers: 1})
	defer s.Close()
	for i := 0; i < *benchCards; i += 10_000 {
		if err := s.Announce(Range{First: ringwall.IMSI(cdr.IMSIOf(x.number(uint64(i)))), N: 10_000}); err != nil {
			b.Fatal(err)
		}
	}
	at, ev := 0, 0
	judge := func() time.Duration {
		p, err := s.Get(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		for range cdr.MaxBatch {
			if at < *benchCards { // each card once, then random ones
				p.Events = append(p.Events, x.event(uint64(at), 1_800_000_000, 0))
				at++
				continue
			}
			p.Events = append(p.Events, x.event(x.r.Uint64N(uint64(x.cards)), 1_800_003_600+uint32(ev**benchEvery / *benchCards), x.r.Uint32()))
			ev++
		}
		p.Lines = append(p.Lines, x.b.Lines...)
		from := time.Now()
		s.Judge(p)
		return time.Since(from)
	}
	for at < *benchCards {
		judge()
	}
	dir := *benchDir
	if dir == "" {
		dir = b.TempDir()
	}
	keep, err := OpenKeep(filepath.Join(dir, "keep"), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(filepath.Join(dir, "keep"))
	var waits []time.Duration
	var pause time.Duration
	var size int64
	for b.Loop() {
		v, err := keep.Begin(s)
		if err != nil {
			b.Fatal(err)
		}
		ready := v.Ready()
		for saved := false; !saved; {
			select {
			case <-ready:
				from := time.Now()
				v.Finish([]byte("position"), nil)
				waits = append(waits, time.Since(from))
				ready = nil
			case <-v.Done():
				saved = true
			default:
				waits = append(waits, judge())
			}
		}
		if v.Err() != nil {
			b.Fatal(v.Err())
		}
		pause, size = max(pause, v.Pause()), v.Bytes()
	}
	slices.Sort(waits)
	b.SetBytes(size)
	b.ReportMetric(float64(pause.Microseconds())/1000, "ms-pause")
	b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds())/1000, "ms-p99")
	b.ReportMetric(float64(waits[len(waits)-1].Microseconds())/1000, "ms-longest")
}
