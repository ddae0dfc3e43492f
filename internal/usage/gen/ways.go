package gen

import (
	"math"

	"github.com/ringwall/ringwall/cdr"
)

// The ways of each kind of device. Each takes a turn of its habit, of which x is
// the chance, and fills a record or says that there is none.

// stream is an hour of a camera: a session that never ends, cut every hour.
func stream(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	// The hour is cut by the clock of the session, to the second.
	began := h.next - 3600 - int64(r.card%20)
	hr, day := hour(began)
	if w.off(cu, r.card, day) {
		return false
	}
	r.partial, r.seconds = true, 3600
	w.data(r, cu, mix(x+1))
	swell, ok := w.fixed(r, cu, began, mix(x+2))
	if !ok {
		return false
	}
	v := w.steady(cu, r.card, hr, x)
	if cu.Kind == Event {
		v = w.clips(cu, r.card, hr, day, x)
	}
	v = min(v*swell, 0.95*float64(cu.Tariff.HourBytes)) // more its uplink does not give
	r.up, r.down = uint64(v), uint64(v*0.02)+4000
	return true
}

// steady is what a camera of constant quality sends in an hour: less at night,
// when the picture is grey.
func (w *World) steady(cu *Customer, card uint32, hr float64, x uint64) float64 {
	m := w.c.around(w.c.at(forVolume, uint64(card), 0), cu.mean, cu.spread*0.5)
	if hr < 6 || hr >= 19 {
		m *= 0.45 + 0.3*unit(w.c.at(forNight, uint64(card), 0))
	}
	return min(m*(1+0.08*w.c.gauss(mix(x+5))), 1_600e6)
}

// clips is what a camera that waits for motion sends: a sign of life, clips, and
// at times hours of somebody looking on.
func (w *World) clips(cu *Customer, card uint32, hr float64, day int64, x uint64) float64 {
	v := w.c.around(mix(x+5), 400e3, 0.1)
	site := w.c.around(w.c.at(forVolume, uint64(card), 1), 1.2, 0.9)
	busy := 0.1 + math.Max(0, math.Sin((hr-6)/14*math.Pi))
	if wd := (day + 4) % 7; wd == 0 || wd == 6 {
		busy *= 0.4 + 1.2*unit(w.c.at(forVolume, uint64(card), 2))
	}
	// Wind and rain move branches all over a town.
	town := w.plan.cells[w.homeOf(cu, card)].Town
	if weather := w.c.at(forWeather, uint64(town), uint64(day)); hit(weather, 0.08) {
		busy *= 2 + 8*unit(mix(weather))
	}
	for range w.c.poisson(mix(x+6), min(site*busy, 80)) {
		x = mix(x + 7)
		v += min(w.c.around(x, 4e6, 0.7), 60e6)
	}
	// Somebody watches: at most 4 Mbit/s for an hour.
	if hit(w.c.at(forLive, uint64(card), uint64(day)*24+uint64(hr)), 0.012) {
		l := mix(x + 9)
		v += (0.4 + 0.6*unit(l)) * 500e3 * 3600 * math.Pow(unit(mix(l)), 2)
	}
	return min(v, 1_900e6)
}

// off reports whether a camera is switched off for the day: works on the mast,
// a shop that is closed, a fuse. It lasts for up to eight days, and does not come
// twice in sixteen.
func (w *World) off(cu *Customer, card uint32, day int64) bool {
	turn := day + int64(card%16)
	h := w.c.at(forSkip, uint64(card), uint64(turn/16))
	return hit(h, 0.013) && turn%16 < int64(1+within(mix(h), 8))
}

// report is what a meter or a lift tells of itself.
func report(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	if hit(x, 0.01) {
		return false // no contact that time
	}
	r.seconds = uint32(5 + within(mix(x+1), 60))
	w.data(r, cu, mix(x+2))
	_, ok := w.fixed(r, cu, r.arrival-int64(r.seconds)-3, mix(x+3))
	if !ok {
		return false
	}
	v := w.c.around(mix(x+4), w.c.around(w.c.at(forVolume, uint64(r.card), 0), cu.mean, 0.3), 0.15)
	if hit(mix(x+5), 0.02) {
		v *= 8 // with its log book
	}
	r.up, r.down = uint64(v), uint64(v/4)+200
	return true
}

// wake is a message from the customer's desk that asks a device to call in.
func wake(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	if !hit(x, 0.015) {
		return false
	}
	r.service, r.way, r.partial = cdr.SMS, cdr.Terminated, false
	r.peer = numberPeer(cu.Tariff.Numbers[len(cu.Tariff.Numbers)-1])
	began := r.arrival - int64(1+within(mix(x), 4))
	if cu.Kind == Car {
		near, _ := w.where(cu, r.card, began)
		if _, ok := w.service(near, r.arrival); !ok {
			return false
		}
		w.place(r, near, began, mix(x+3))
		return true
	}
	_, ok := w.fixed(r, cu, began, mix(x+3))
	return ok
}

// fix is a position that a tracker reports: every quarter of an hour while it
// moves, a few times a day while it does not.
func fix(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	r.seconds = uint32(4 + within(mix(x+1), 20))
	began := r.arrival - int64(r.seconds) - 2
	near, moving := w.where(cu, r.card, began)
	if !moving && h.cycle%24 != int64(r.card%24) || hit(x, 0.03) {
		return false
	}
	swell, ok := w.service(near, r.arrival)
	if !ok {
		return false
	}
	w.data(r, cu, mix(x+2))
	w.place(r, near, began, mix(x+3))
	v := w.c.around(mix(x+4), cu.mean, 0.3) * swell
	r.up, r.down = uint64(v), uint64(v/5)+150
	return true
}

// telematics is half an hour of a car: on the way, or once a day while it stands.
func telematics(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	r.seconds = uint32(60 + within(mix(x+1), 1700))
	began := r.arrival - int64(r.seconds) - 2
	near, moving := w.where(cu, r.card, began)
	if !moving && h.cycle%48 != int64(r.card%48) || hit(x, 0.02) {
		return false
	}
	if _, ok := w.service(near, r.arrival); !ok {
		return false
	}
	w.data(r, cu, mix(x+2))
	w.place(r, near, began, mix(x+3))
	r.partial = moving
	v := w.c.around(mix(x+4), cu.mean, 0.5+cu.spread)
	if moving && hit(w.c.at(forLive, uint64(r.card), uint64(h.cycle/48)), 0.2) {
		v += w.c.around(mix(x+5), 40e6, 0.9) // music, maps, children with a film
	}
	v = min(v, 1_200e6)
	r.up, r.down = uint64(v*0.2), uint64(v*0.8)
	return true
}

// assistance is a call from or to a car's help desk, a breakdown, an emergency.
func assistance(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	if !hit(x, 0.012) {
		return false
	}
	r.service, r.way = cdr.Voice, cdr.Originated
	r.peer = numberPeer(cu.Tariff.Numbers[0])
	switch u := unit(mix(x + 1)); {
	case u < 0.1:
		r.peer = numberPeer("120")
	case u < 0.3:
		r.way = cdr.Terminated
	}
	r.seconds = uint32(min(w.c.around(mix(x+2), 180, 0.9), 3600))
	began := r.arrival - int64(r.seconds) - 3
	near, _ := w.where(cu, r.card, began)
	if _, ok := w.service(near, r.arrival); !ok {
		return false
	}
	w.place(r, near, began, mix(x+3))
	return true
}

// sales are payments of half an hour.
func sales(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	r.seconds = uint32(3 + within(mix(x+1), 600))
	began := r.arrival - int64(r.seconds) - 2
	hr, day := hour(began)
	open, shut := 7+3*unit(w.c.at(forHome, uint64(r.card), 5)), 19+4.5*unit(w.c.at(forHome, uint64(r.card), 6))
	if hr < open || hr > shut || w.off(cu, r.card, day) || hit(x, 0.35) {
		return false
	}
	w.data(r, cu, mix(x+2))
	near := w.homeOf(cu, r.card)
	if !cu.Tariff.Fixed {
		// A waiter's or a courier's: anywhere in its town.
		near = w.plan.cellOf(w.plan.cells[near].Town, w.c.at(forSpread, uint64(r.card), uint64(h.cycle/4)))
	}
	swell, ok := w.service(near, r.arrival)
	if !ok {
		return false
	}
	w.place(r, near, began, mix(x+3))
	v := w.c.around(mix(x+4), cu.mean, 0.6) * swell
	r.up, r.down = uint64(v*0.6), uint64(v*0.4)
	return true
}

// testCall is a lift that tries its phone, as it must now and then.
func testCall(w *World, h *habit, x uint64, r *row) bool {
	return lift(w, h, x, r, uint32(15+within(mix(x), 45)), 0)
}

// trapped is a person who pressed the button: a long call, and several.
func trapped(w *World, h *habit, x uint64, r *row) bool {
	if !hit(x, 0.002) {
		return false
	}
	return lift(w, h, x, r, uint32(min(w.c.around(mix(x+1), 600, 1), 5400)), within(mix(x+2), 10)/9)
}

func lift(w *World, h *habit, x uint64, r *row, seconds uint32, number int) bool {
	r.service, r.way, r.seconds = cdr.Voice, cdr.Originated, seconds
	r.peer = numberPeer(h.cu.Tariff.Numbers[number])
	_, ok := w.fixed(r, h.cu, r.arrival-int64(seconds)-3, mix(x+3))
	return ok
}

// update is a device that fetches new software, in the night of its customer's
// that it is due.
func update(w *World, h *habit, x uint64, r *row) bool {
	cu := h.cu
	if h.cycle != cu.night(w.c, r.card) {
		return false
	}
	r.seconds = uint32(120 + within(mix(x), 700))
	began := r.arrival - int64(r.seconds) - 2
	w.data(r, cu, 1<<63)
	near := w.homeOf(cu, r.card)
	if cu.Kind == Tracker || cu.Kind == Car {
		near, _ = w.where(cu, r.card, began)
	}
	if _, ok := w.service(near, began); !ok {
		return false
	}
	w.place(r, near, began, mix(x+3))
	size := [...]float64{48e6, 48e6, 900e3, 400e3, 700e3, 180e6, 12e6, 900e3}[cu.Kind]
	r.up, r.down = uint64(size*0.02), uint64(size*(0.98+0.04*unit(x)))
	return true
}
