package gen

import (
	"fmt"
	"math"
	"slices"
)

// Kind is what a customer's cards are in.
type Kind int

const (
	Steady   Kind = iota // cameras that stream all the time
	Event                // cameras that send when something moves
	Daily                // meters that report every night
	Monthly              // meters that report once a month
	Tracker              // parcels, trailers and lorries
	Car                  // cars of private people
	Terminal             // payment terminals
	Lift                 // emergency phones in lifts
	kinds
)

var kindNames = [...]string{"steady-camera", "event-camera", "daily-meter", "monthly-meter", "tracker", "car", "terminal", "lift"}

func (k Kind) String() string { return kindNames[k] }

// Customer is a company with cards of one tariff: what an operator has in its
// books of it.
type Customer struct {
	Name   string
	Kind   Kind
	Cards  int
	Tariff Tariff

	index  int
	first  uint32 // its first card
	block  uint64 // of numbers, its first
	models int
	spread float64 // how uneven its volumes are
	mean   float64
	wave   int64 // day of the world on which its wave of new software begins
	soft   uint8
	told   bool // it announced its wave
	town   int32
	solo   bool // all in one town
	roads  bool // its vehicles stay on the road for days
}

// Tariff is what a customer's cards are meant for, as agreed with it.
type Tariff struct {
	Services []string // data, sms, voice
	APN      string
	Peers    []string // servers; nil = any
	Numbers  []string // telephone numbers and short codes; nil = any
	Fixed    bool
	Roaming  []string // country codes beyond the home one
	Bound    bool     // the equipment was told to the operator
	Pool     bool     // any equipment of the customer's may hold any of its cards
	// Quiet is for how many days a card may be silent, before its next use is
	// worth a question.
	Quiet int
	// HourBytes is the most that the device is able to send and fetch in an hour.
	HourBytes uint64
	DayCalls  int // and messages; 0 = none is agreed
	CallSec   int // longest call
	// From and To are hours of the day in local time, between which it is used;
	// both 0 = all day.
	From, To int
	// Areas are the tracking areas in which it may be used; nil = all.
	Areas []int32
	// MonthBytes, MonthCalls and MonthMessages are what a month may hold; 0 = no
	// limit agreed.
	MonthBytes                uint64
	MonthCalls, MonthMessages int
}

// share of all cards that each kind has, in percent.
var share = [kinds]int{18, 17, 16, 6, 14, 14, 10, 5}

const blockSize = 10_000

// fleet is who has which cards.
type fleet struct {
	customers []*Customer
	cards     int
}

func newFleet(c *chance, p *plan, cfg Config) *fleet {
	f := &fleet{}
	per := min(max(int(math.Sqrt(float64(cfg.Cards))/40), 2), 60) // customers of a kind
	block := uint64(0)
	for k := range kinds {
		left := cfg.Cards * share[k] / 100
		if k == kinds-1 {
			left = cfg.Cards - f.cards
		}
		weights := 0.0
		for i := range per {
			weights += 1 / float64(i+1)
		}
		total := left
		for i := range per {
			n := int(float64(total) / float64(i+1) / weights)
			if i == per-1 {
				n = left
			}
			if n <= 0 {
				continue
			}
			left -= n
			cu := &Customer{Name: fmt.Sprintf("%s-%02d", k, i+1), Kind: k, Cards: n, index: len(f.customers), first: uint32(f.cards), block: block}
			cu.fit(c, p, cfg, i)
			f.customers = append(f.customers, cu)
			f.cards += n
			// Numbers are issued in blocks of ten thousand, and not all are taken.
			block += uint64((n+blockSize-1)/blockSize) + uint64(within(c.at(forCustomer, uint64(cu.index), 9), 3))
		}
	}
	return f
}

// fit gives a customer its ways.
func (cu *Customer) fit(c *chance, p *plan, cfg Config, nth int) {
	h := func(n uint64) uint64 { return c.at(forCustomer, uint64(cu.index), n) }
	cu.models = 2 + cu.Cards/900_000
	cu.spread = 0.2 + 0.5*unit(h(1))
	cu.soft = uint8(1 + within(h(2), 60))
	cu.town = p.somewhere(unit(h(3)))
	cu.solo = nth%5 == 4
	cu.wave = int64(2 + within(h(4), max(1, cfg.Days-4)))
	cu.told = hit(h(5), 0.85)
	t := &cu.Tariff
	t.APN = fmt.Sprintf("%s.c%d.iot", [...]string{"cam", "cam", "meter", "meter", "track", "car", "pay", "lift"}[cu.Kind], cu.index)
	servers := 2 + within(h(6), 5)
	for i := range servers {
		t.Peers = append(t.Peers, address(serverOf(cu.index, i)))
	}
	if cu.index%4 == 3 {
		t.Peers = nil // whose servers change too often to be listed
	}
	t.Services, t.Bound, t.Quiet = []string{"data"}, !hit(h(7), 0.25), 30
	desk := fmt.Sprintf("106%05d", 40000+cu.index)
	switch cu.Kind {
	case Steady:
		cu.mean = 60e6 + 200e6*unit(h(8)) // an hour
		t.Fixed, t.HourBytes, t.Quiet = true, 1_800e6, 10
	case Event:
		cu.mean = 2e6
		t.Fixed, t.HourBytes, t.Quiet = true, 2_000e6, 10
	case Daily:
		cu.mean = 3e3
		t.Services, t.Numbers = []string{"data", "sms"}, []string{desk}
		t.Fixed, t.HourBytes, t.Quiet, t.DayCalls = true, 20e6, 10, 20
		t.MonthBytes, t.MonthMessages = 60e6, 90
	case Monthly:
		cu.mean = 6e3
		t.Fixed, t.HourBytes, t.Quiet = true, 20e6, 65
	case Tracker:
		cu.mean, cu.roads = 4e3, nth%2 == 0
		t.Pool = nth%5 == 3
		t.HourBytes = 50e6
		if nth%3 == 1 {
			t.Roaming = []string{"452", "457"}
		}
	case Car:
		cu.mean = 1.5e6
		t.Services, t.Numbers = []string{"data", "voice", "sms"}, []string{"4008" + fmt.Sprintf("%06d", 100000+cu.index), "120", desk}
		t.HourBytes, t.DayCalls, t.CallSec = 3_000e6, 30, 2*3600
		if nth%4 == 1 {
			t.Roaming = []string{"452"}
		}
	case Terminal:
		cu.mean = 30e3
		t.Fixed, t.HourBytes, t.From, t.To = nth%2 == 0, 200e6, 6, 24
		if nth%2 == 1 {
			cu.solo = true
		}
		if cu.solo {
			t.Areas = p.areasOf(cu.town)
		}
		cu.told = true // hours were agreed, so works outside of them are announced
	case Lift:
		cu.mean = 2e3
		t.Services, t.Numbers = []string{"data", "voice"}, []string{"9511" + fmt.Sprint(cu.index%10), "119"}
		t.Fixed, t.HourBytes, t.DayCalls, t.CallSec, t.Quiet, t.MonthCalls = true, 20e6, 25, 2*3600, 10, 200
	}
}

// areasOf are the areas of a town, of before and after it is planned anew.
func (p *plan) areasOf(t int32) (out []int32) {
	w := p.towns[t]
	for _, k := range p.cells[w.first : w.first+w.side*w.side] {
		out = append(out, k.Area)
		if k.Alt >= 0 {
			out = append(out, k.Alt)
		}
		// The edge of a town is served from the roads too, but not the other way.
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// homeOf is the cell in which a card of a customer is at home.
func (w *World) homeOf(cu *Customer, card uint32) int32 {
	h := w.c.at(forHome, uint64(card), 0)
	t := cu.town
	if !cu.solo {
		t = w.plan.somewhere(unit(mix(h + 9)))
	}
	return w.plan.cellOf(t, h)
}

// msin is the number of a card within the network: its block and its place in it.
func (w *World) msin(cu *Customer, card uint32) uint64 {
	n := uint64(card - cu.first)
	return 1_000_000_000 + cu.block*blockSize + n
}

// imei is the first 14 digits of the equipment that a card was delivered in: one
// of its customer's models, and a serial number.
func (cu *Customer) imei(card uint32) uint64 {
	n := int(card - cu.first)
	return cu.tac(n%cu.models)*1_000_000 + uint64(n/cu.models)
}

// poolDays is how long a card of a pool stays in one piece of equipment.
const poolDays = 5

// equipment is what a card sits in at a time. Customers with a pool put their cards
// into whatever of their equipment is at hand.
func (cu *Customer) equipment(c *chance, card uint32, at int64) uint64 {
	if !cu.Tariff.Pool {
		return cu.imei(card)
	}
	n := uint64(card - cu.first)
	turn := uint64(at) / (poolDays * 86400)
	other := (n + mix(turn+uint64(cu.index))) % uint64(cu.Cards)
	return cu.imei(cu.first + uint32(other))
}

// tac is a model of a customer's: an eight-digit type allocation code.
func (cu *Customer) tac(model int) uint64 { return uint64(86_000_000 + cu.index*200 + model) }

// Equipment that no customer has.
const (
	phoneTAC   = 35_700_000
	spareTAC   = 86_900_000 // new models, of planned swaps
	gatewayTAC = 86_990_000 // racks of modems
)

// version is the software version in the IMEISV (TS 23.003 section 6.2.2) at a
// time; a customer that is odd has devices that give the plain IMEI.
func (cu *Customer) version(c *chance, start int64, card uint32, at int64) int8 {
	if cu.index%3 == 2 {
		return -1
	}
	v := int8(cu.soft)
	if at >= start+cu.night(c, card)*86400+waveTo {
		v++
	}
	return v
}

// A wave of new software lasts three nights, from two to four in the morning.
const (
	waveNights = 3
	waveFrom   = 2 * 3600
	waveTo     = 4 * 3600
)

// night is the day of the world in whose night a card's device fetches new
// software.
func (cu *Customer) night(c *chance, card uint32) int64 {
	return cu.wave + int64(within(c.at(forWave, uint64(card), uint64(cu.index)), waveNights))
}

// serverOf is a customer's server.
func serverOf(customer, n int) uint32 { return 198<<24 | 18<<16 | uint32(customer*16+n+1) }

func address(a uint32) string {
	return fmt.Sprintf("%d.%d.%d.%d", a>>24, a>>16&255, a>>8&255, a&255)
}

// customerOf finds a card's customer.
func (f *fleet) customerOf(card uint32) *Customer {
	i, ok := slices.BinarySearchFunc(f.customers, card, func(c *Customer, k uint32) int {
		switch {
		case c.first > k:
			return 1
		case c.first == k:
			return 0
		}
		return -1
	})
	if !ok {
		i--
	}
	return f.customers[i]
}
