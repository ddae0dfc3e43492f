package ports

import (
	"container/heap"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// event is an answer on its way.
type event struct {
	at   time.Duration
	port uint16
	what standing
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	*e = old[:len(old)-1]
	return x
}

// device is a simulated one: how it answers, how far away it is, and how much of
// a burst it drops.
type device struct {
	open     []uint16
	filtered func(uint16) bool
	rtt      time.Duration
	loss     float64
	perMilli int // questions that it can take in one millisecond; 0 = any
}

// scan runs a flight against a device in simulated time, and returns the result,
// how long it took and how many questions were sent.
func (d device) scan(t *testing.T, list []uint16) (Result, time.Duration, int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	f := newFlight(list, maxWindow)
	var queue events
	now, sent, slot, inSlot := time.Duration(0), 0, time.Duration(0), 0
	for !f.done() {
		if sent > 20*len(list)+1000 || now > time.Hour {
			t.Fatalf("no end after %v and %d questions", now, sent)
		}
		for {
			port, ok := f.ask(now)
			if !ok {
				break
			}
			sent++
			if ms := now.Truncate(time.Millisecond); ms != slot {
				slot, inSlot = ms, 0
			}
			inSlot++
			now += 3 * time.Microsecond
			if d.filtered != nil && d.filtered(port) || rng.Float64() < d.loss || d.perMilli > 0 && inSlot > d.perMilli {
				continue
			}
			what := refused
			if slices.Contains(d.open, port) {
				what = isOpen
			}
			heap.Push(&queue, event{now + d.rtt + time.Duration(rng.Int64N(int64(d.rtt)/4+1)), port, what})
		}
		next, ok := f.wake()
		if len(queue) > 0 && (!ok || queue[0].at < next) {
			next, ok = queue[0].at, true
		}
		if ok {
			now = max(now, next)
		}
		for len(queue) > 0 && queue[0].at <= now {
			e := heap.Pop(&queue).(event)
			f.answered(e.port, now, e.what)
		}
		f.expire(now, func(uint16) {})
	}
	return f.result(), now, sent
}

func TestFlight_losesNothing(t *testing.T) {
	open := []uint16{1, 22, 23, 80, 81, 443, 554, 1024, 8000, 8554, 9527, 10000, 23231, 34567, 37777, 49152, 50000, 60000, 65534, 65535}
	filter := func(n uint16) func(uint16) bool {
		return func(p uint16) bool { return p%n == 3 && !slices.Contains(open, p) }
	}
	for _, tt := range []struct {
		name string
		d    device
		most time.Duration
	}{
		{"a near device", device{open: open, rtt: 100 * time.Microsecond}, time.Second},
		{"a device far away", device{open: open, rtt: 80 * time.Millisecond}, 10 * time.Second},
		{"a filter over every tenth port", device{open: open, rtt: time.Millisecond, filtered: filter(10)}, 4 * time.Second},
		{"a filter over all but what is open", device{open: open, rtt: time.Millisecond, filtered: func(p uint16) bool { return !slices.Contains(open, p) }}, 20 * time.Second},
		{"a way that loses one in twenty", device{open: open, rtt: 2 * time.Millisecond, loss: 0.05}, 60 * time.Second},
		{"a way that loses one in five", device{open: open, rtt: 2 * time.Millisecond, loss: 0.2}, 200 * time.Second},
		{"a small device that takes 5 questions in a millisecond", device{open: open, rtt: 3 * time.Millisecond, perMilli: 5}, 120 * time.Second},
		{"nobody", device{rtt: time.Millisecond, filtered: func(uint16) bool { return true }}, 60 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, took, sent := tt.d.scan(t, All())
			t.Logf("%v simulated, %d questions, %d refused, %d silent", took, sent, r.Closed, r.Silent)
			if !slices.Equal(r.Open, tt.d.open) {
				t.Errorf("found %v, want %v", r.Open, tt.d.open)
			}
			if took > tt.most {
				t.Errorf("took %v, want %v at most", took, tt.most)
			}
		})
	}
}

func TestFlight_asksEachPortOnce(t *testing.T) {
	_, _, sent := device{rtt: time.Millisecond}.scan(t, append(All(), All()...))
	if sent != 65535 {
		t.Errorf("%d questions for 65535 ports that answer", sent)
	}
}

func TestAll(t *testing.T) {
	all := All()
	slices.Sort(all)
	if len(all) != 65535 || all[0] != 1 || len(slices.Compact(all)) != 65535 {
		t.Errorf("%d ports", len(all))
	}
}
