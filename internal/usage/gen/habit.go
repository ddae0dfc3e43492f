package gen

import (
	"math"
	"math/big"

	"github.com/ringwall/ringwall/cdr"
)

// A row is a record before it is written down.
type row struct {
	arrival  int64 // when its file is delivered, and the order of the stream
	at       int64 // when it began
	card     uint32
	customer uint16
	node     uint16
	imei     uint64 // 14 digits
	version  int8   // -1 = a check digit instead
	service  cdr.Service
	way      cdr.Direction
	partial  bool
	peer     uint64
	apn      uint32 // 0 = the customer's, or none for calls; else a foreign one
	up, down uint64
	cell     int32
	area     int32
	seconds  uint32
	id       uint64 // unique for the card
}

// A habit is something that all cards of a customer do again and again. Their
// turns are spread over a window of its period, so that the habit alone knows who
// is next: nothing is remembered of a card.
type habit struct {
	cu       *Customer
	id       uint64
	period   int64
	from, to int64 // window of the period
	mul, add uint64
	turn     uint64 // next card's, in its cycle
	cycle    int64
	next     int64 // when that is
	// do makes the record that a card's turn makes, if any: r has card, customer,
	// arrival, id and equipment.
	do func(w *World, h *habit, x uint64, r *row) bool
}

func (w *World) habits() []*habit {
	var out []*habit
	for _, cu := range w.fleet.customers {
		add := func(period, from, to int64, do func(*World, *habit, uint64, *row) bool) {
			n := uint64(cu.Cards)
			h := &habit{cu: cu, id: uint64(len(out) + 1), period: period, from: from, to: to, do: do}
			h.mul = mix(uint64(cu.index)+77)%n | 1
			for gcd(h.mul, n) != 1 {
				h.mul += 2
			}
			h.add = mix(uint64(len(out))) % n
			h.next = w.start + h.from
			out = append(out, h)
		}
		switch cu.Kind {
		case Steady, Event:
			add(3600, 0, 3600, stream)
		case Daily:
			add(86400, 1800, 6*3600, report)
			add(86400, 9*3600, 17*3600, wake)
		case Monthly:
			add(30*86400, 0, 30*86400, report)
		case Tracker:
			add(900, 0, 900, fix)
		case Car:
			add(1800, 0, 1800, telematics)
			add(86400, 7*3600, 23*3600, assistance)
			add(86400, 9*3600, 20*3600, wake)
		case Terminal:
			add(1800, 0, 1800, sales)
		case Lift:
			add(86400, 0, 86400, report)
			add(7*86400, 8*3600, 7*86400-8*3600, testCall)
			add(86400, 0, 86400, trapped)
		}
		add(86400, waveFrom, waveTo, update)
	}
	return out
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// inverse is what a times it is 1, modulo n; a and n have no common divisor.
func inverse(a, n uint64) uint64 {
	x := new(big.Int).ModInverse(new(big.Int).SetUint64(a), new(big.Int).SetUint64(n))
	if x == nil {
		return 0 // n = 1
	}
	return x.Uint64()
}

// card is whose turn it is.
func (h *habit) card() uint32 {
	return h.cu.first + uint32((h.turn*h.mul+h.add)%uint64(h.cu.Cards))
}

// make makes the record of the turn, if there is one.
func (h *habit) make(w *World) (r row, ok bool) {
	card := h.card()
	x := w.c.at(int(h.id)+1000, uint64(card), uint64(h.cycle))
	r = row{arrival: h.next + int64(x&3), card: card, customer: uint16(h.cu.index), id: h.id<<40 | uint64(h.cycle)}
	if !h.do(w, h, x, &r) {
		return r, false
	}
	r.imei = h.cu.equipment(w.c, card, h.next)
	r.version = h.cu.version(w.c, w.start, card, h.next)
	return r, w.befall(&r, x)
}

// advance moves to the next turn.
func (h *habit) advance(w *World) {
	if h.turn++; h.turn == uint64(h.cu.Cards) {
		h.turn, h.cycle = 0, h.cycle+1
	}
	h.due(w)
}

// due sets when the turn is.
func (h *habit) due(w *World) {
	h.next = w.start + h.cycle*h.period + h.from + int64(uint64(h.to-h.from)*h.turn/uint64(h.cu.Cards))
}

// own are the records that a card makes by itself and that arrive between two
// times, habit by habit.
func (w *World) own(cu *Customer, card uint32, from, to int64) (out []row) {
	for _, h := range w.habits() {
		if h.cu != cu {
			continue
		}
		n, at := uint64(cu.Cards), uint64(card-cu.first)
		h.turn = (at + n - h.add) % n * inverse(h.mul, n) % n
		for h.cycle = max((from-w.start)/h.period-1, 0); ; h.cycle++ {
			if h.due(w); h.next >= to {
				break
			}
			if r, ok := h.make(w); ok && r.arrival >= from && r.arrival < to {
				out = append(out, r)
			}
		}
	}
	return out
}

// hour is the local hour of a time, and the local day.
func hour(at int64) (float64, int64) {
	l := at + zone
	return float64(l%86400) / 3600, l / 86400
}

// serve is the cell that serves a card at a place: mostly the nearest, often a
// neighbour, and now and then one further off, whose mast is higher.
func (w *World) serve(card uint32, near int32, at int64, x uint64) int32 {
	k := &w.plan.cells[near]
	h := w.c.at(forServe, uint64(card), uint64(near))
	stay := 0.5 + 0.49*math.Sqrt(unit(h)) // some stand where two cells are equally loud
	_, day := hour(at)
	down := hit(w.c.at(forDown, uint64(near), uint64(day)), 0.0007) // its mast is being repaired
	if k.mates == 0 || !down && hit(x, stay) {
		return near
	}
	i := 0
	for u := unit(mix(x + 1)); u > 0.7 && i < int(k.mates)-1; u = (u - 0.7) / 0.3 {
		i++
	}
	other := k.near[(i+within(mix(h), int(k.mates)))%int(k.mates)]
	if o := &w.plan.cells[other]; o.mates > 0 && hit(mix(x+2), 0.01) {
		far := o.near[within(mix(x+3), int(o.mates))]
		if w.plan.netOf(far) == w.plan.netOf(near) {
			other = far
		}
	}
	return other
}

// place puts a record where the card was, on the node that served it, and stamps
// it by that node's clock.
func (w *World) place(r *row, near int32, began int64, x uint64) {
	cu := w.fleet.customers[r.customer]
	k := w.serve(r.card, near, began, x)
	if n := w.plan.netOf(k); n != home && n != w.plan.netOf(near) && !cu.mayRoam(w.plan.nets[n].MCC) {
		k = near // refused there
	}
	r.cell, r.area = k, w.plan.areaAt(k, began)
	r.node = w.nodeOf(k, r.card, r.service != cdr.Data)
	r.at = w.stamp(r.node, began)
}

// fixed puts a record where a card is at home. It reports false when its town is
// without service; swell is how much more comes after that.
func (w *World) fixed(r *row, cu *Customer, began int64, x uint64) (swell float64, ok bool) {
	near := w.homeOf(cu, r.card)
	swell, ok = w.service(near, r.arrival)
	if ok {
		w.place(r, near, began, x)
	}
	return swell, ok
}

// service is what an outage does to a card in a cell: nothing comes, and then what
// was kept in the meantime.
func (w *World) service(near int32, at int64) (swell float64, ok bool) {
	dark, ended := w.dark(w.plan.cells[near].Town, at)
	return 1 + float64(ended)/3600*0.8, !dark
}

// data gives a record of data its other end.
func (w *World) data(r *row, cu *Customer, h uint64) {
	r.service = cdr.Data
	n := max(len(cu.Tariff.Peers), 2)
	i := 0
	if hit(h, 0.2) {
		i = within(mix(h), n)
	}
	r.peer = cdr.AddressPeer(serverOf(cu.index, i))
	if cu.Tariff.Peers == nil && hit(mix(h+2), 0.3) {
		// Servers behind a delivery network.
		r.peer = cdr.AddressPeer(198<<24 | 19<<16 | uint32(mix(h+1)>>48))
	}
}
