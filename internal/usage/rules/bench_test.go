package rules

import (
	"math"
	"math/rand/v2"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// mix is a stream as fleets make it: mostly data from the place of last time,
// some neighbour cells, trackers that move, messages; nothing of which anything
// is said.
func mix(b testing.TB, cards, n int, day float64) (lines []Line, env *Env, events []cdr.Event, at []uint32) {
	spec := BookSpec{Settings: []Spec{
		{Services: []string{"data"}, Peers: []string{"198.51.100.20", "iot.example"}, Homes: []string{"460"}, Fixed: true}, // camera, meter
		{Services: []string{"data", "sms"}, Peers: []string{"198.51.100.20", "192.0.2.0/24"}, Homes: []string{"460"}},      // tracker
		{Services: []string{"data", "sms", "voice"}, Homes: []string{"460", "45412"}},                                      // car
	}, Exceptions: []Exception{{ID: "x", Kind: api.ExceptRule, Customer: "other", From: t0, Until: t0.AddDate(1, 0, 0)}}}
	book, err := NewBook(spec, keys)
	if err != nil {
		b.Fatal(err)
	}
	env = &Env{Book: book, Side: NewSide(0), Areas: plain(b)}
	lines = make([]Line, cards)
	for i := range lines {
		lines[i].Card = 1_460_000_000_000_000 + uint64(i)
		lines[i].SetSettings([]uint32{0, 0, 0, 0, 0, 0, 0, 1, 1, 2}[i%10])
		lines[i].SetLife(LifeActive, 0, env.Side)
		lines[i].Bind(uint64(35_000_000_000_000+i), env.Side)
	}
	r := rand.New(rand.NewPCG(1, 1))
	events, at = make([]cdr.Event, n), make([]uint32, n)
	now := float64(t0.Unix())
	plmn := cdr.ParsePLMN("46000")
	for i := range events {
		now += 86400 / day / float64(cards)
		c := r.IntN(cards)
		e := cdr.Event{
			Card: lines[c].Card, IMEI: uint64(35_000_000_000_000 + c), Peer: cdr.AddressPeer(0xc6336414), Sec: uint32(now), PLMN: plmn, ID: uint64(i),
			Volume: float32(1000 + r.IntN(4000)), APN: keys.APNKey([]byte("iot.example")), Use: cdr.NewUse(cdr.Data, 0, 60, 0),
		}
		home := uint64(c/50 + 1)
		e.Area = uint32(home/20 + 1)
		switch k := c % 10; {
		case k < 7: // fixed: now and then a neighbour cell of its area
			if r.IntN(10) == 0 {
				home++
			}
		case k < 9: // trackers: on the road for a third of the day
			if uint32(c)%3 == e.Sec/28800%3 {
				home += uint64(r.IntN(20))
			}
			e.Area = uint32(home/20 + 1)
			if r.IntN(20) == 0 {
				e.Use, e.Peer, e.APN, e.Volume = cdr.NewUse(cdr.SMS, cdr.Terminated, 0, 0), cdr.NumberPeer(8613800138000, 13), 0, 0
			}
		default:
			if uint32(c)%3 == e.Sec/28800%3 {
				home += uint64(r.IntN(20))
			}
			if r.IntN(10) == 0 {
				e.Use, e.Peer, e.APN, e.Volume = cdr.NewUse(cdr.Voice, cdr.Originated, 30, 0), cdr.NumberPeer(8613800138000, 13), 0, 0
			}
		}
		e.Cell = keys.CellNumber(plmn, e.Area, 100_000+home)
		events[i], at[i] = e, uint32(c)
	}
	return lines, env, events, at
}

// plain makes areas 1 to 2000 in a grid, and no cells.
func plain(b testing.TB) *Areas {
	var list []AreaLine
	for i := range 2000 {
		list = append(list, AreaLine{Area: strconv.Itoa(i + 1), Lat: 30 + float64(i%50)/10, Lon: 110 + float64(i/50)/10, Located: true, Km: 10})
	}
	a, err := NewAreas(list, keys)
	if err != nil {
		b.Fatal(err)
	}
	return a
}

// BenchmarkStep is what a record costs when nothing is said, all rules on, lines
// in the second level of cache: CPU time of this thread, the best of the rounds,
// because the machine is shared.
//
// "hourly" has a record an hour of each card, so that every one closes an hour;
// "minutes" has twelve an hour, as charging with five-minute records has; "still"
// is the same of cards that stay where they are and send data alone. The
// yardstick beside them, touch, is what it costs to come by line, settings and
// event, and is part of each.
func BenchmarkStep(b *testing.B) {
	for _, bb := range []struct {
		name  string
		day   float64
		still bool
	}{{"hourly", 24, false}, {"minutes", 288, false}, {"still", 288, true}} {
		b.Run(bb.name, func(b *testing.B) {
			lines, env, events, at := mix(b, 1<<12, 1<<17, bb.day)
			for i := range events { // history
				if e := &events[i]; bb.still {
					e.Area, e.Cell, e.Use, e.Peer, e.APN = at[i]/20+1, uint64(at[i])+1, cdr.NewUse(cdr.Data, 0, 60, 0), cdr.AddressPeer(0xc6336414), keys.APNKey([]byte("iot.example"))
				}
				Step(&lines[at[i]], env.Book.Settings(lines[at[i]].Settings()), &events[i], env)
			}
			span := events[len(events)-1].Sec - events[0].Sec + 1
			best, touch, n, sum := math.Inf(1), math.Inf(1), 0, uint64(0)
			b.ReportAllocs()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() { // an operation is a whole round
				for i := range events {
					events[i].Sec += span // the stream goes on, later
				}
				began := cpuTime()
				for i := range events { // the yardstick: what it costs to come by
					l := &lines[at[i]]
					sum += uint64(env.Book.Settings(l.Settings()).flags) + uint64(events[i].Sec)
					l.Card = events[i].Card
				}
				touch = min(touch, float64(cpuTime()-began)/float64(len(events)))
				began = cpuTime()
				for i := range events {
					l := &lines[at[i]]
					if Step(l, env.Book.Settings(l.Settings()), &events[i], env)&Speaks != 0 {
						n++
					}
				}
				best = min(best, float64(cpuTime()-began)/float64(len(events)))
			}
			b.ReportMetric(best, "cpu-ns/record")
			b.ReportMetric(touch, "touch-ns/record")
			if sum == 0 {
				b.Fatal("nothing was touched")
			}
			b.ReportMetric(float64(n)/float64(b.N*len(events)), "said/record")
		})
	}
}

// cpuTime is nanoseconds of the processor that this thread has had.
func cpuTime() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return t.Nano()
}
