package gen

// where is the cell of a vehicle at a time, and whether it is moving. It depends on
// nothing but card and time.
func (w *World) where(cu *Customer, card uint32, at int64) (cell int32, moving bool) {
	if cu.roads {
		return w.haul(cu, card, at)
	}
	return w.commute(cu, card, at)
}

// commute is a day of a car or a van: out in the morning, back in the evening, on
// most days, and now and then to the next town at the end of the week.
func (w *World) commute(cu *Customer, card uint32, at int64) (int32, bool) {
	local := at + zone
	day, sec := local/86400, local%86400
	home := w.homeOf(cu, card)
	h := w.c.at(forTrip, uint64(card), uint64(day))
	if weekday := (day + 4) % 7; weekday == 0 || weekday == 6 {
		if hit(mix(h+7), 0.15) {
			return w.excursion(cu, card, home, h, sec)
		}
		if hit(h, 0.5) {
			return home, false
		}
	}
	work := w.plan.cellOf(w.plan.cells[home].Town, w.c.at(forTrip, uint64(card), 1<<40))
	out := int64(6*3600+within(mix(h+1), 4*3600)) - 1
	back := int64(15*3600 + within(mix(h+2), 6*3600))
	took := int64(w.plan.between(home, work)*1.4/28*3600) + 300 // at 28 km/h through a town
	switch {
	case sec < out || sec >= back+took:
		return home, false
	case sec < out+took:
		return w.plan.step(home, work, float64(sec-out)/float64(took)), true
	case sec < back:
		return work, false
	}
	return w.plan.step(work, home, float64(sec-back)/float64(took)), true
}

// roadKMH is how fast vehicles travel between towns.
const roadKMH = 75

// excursion goes to a neighbouring town and back on one day.
func (w *World) excursion(cu *Customer, card uint32, home int32, h uint64, sec int64) (int32, bool) {
	t := w.plan.cells[home].Town
	l, ok := w.road(cu, home, t, mix(h+3))
	if !ok {
		return home, false
	}
	r := &w.plan.roads[l.road]
	took := int64(r.km / roadKMH * 3600)
	out := int64(7*3600 + within(mix(h+4), 2*3600))
	back := int64(18*3600) + int64(within(mix(h+5), 3600))
	if out+took+3600 > back || back+took > 86000 {
		return home, false // too far for a day
	}
	there := w.plan.cellOf(l.to, mix(h+6))
	switch {
	case sec < out || sec >= back+took:
		return home, false
	case sec < out+took:
		return w.plan.along(r, l.back, float64(sec-out)/float64(took)), true
	case sec < back:
		return there, false
	}
	return w.plan.along(r, !l.back, float64(sec-back)/float64(took)), true
}

// haul is a lorry's or a parcel's journey: for four days along the roads, there and back the same
// way, with rests at the towns.
func (w *World) haul(cu *Customer, card uint32, at int64) (int32, bool) {
	const journey = 4 * 86400
	phase := int64(within(w.c.at(forTrip, uint64(card), 1<<41), journey))
	trip, sec := (at+phase)/journey, (at+phase)%journey
	h := w.c.at(forTrip, uint64(card), 1<<42+uint64(trip))
	home := w.homeOf(cu, card)
	depart := int64(within(mix(h), 86400))
	if sec < depart || hit(mix(h+1), 0.15) {
		return home, false
	}
	// The way out takes half of what is left; the way back is its mirror.
	span := journey - depart - 3600
	t := sec - depart
	if t > span {
		return home, false
	}
	if t > span/2 {
		t = span - t
	}
	town, cell := w.plan.cells[home].Town, home
	for leg := uint64(0); ; leg++ {
		l, ok := w.road(cu, home, town, mix(h+10+leg))
		if !ok {
			return cell, false
		}
		r := &w.plan.roads[l.road]
		took := int64(r.km/roadKMH*3600) + 600
		if t < took {
			back := l.back
			return w.plan.along(r, back, float64(t)/float64(took)), true
		}
		t -= took
		town = l.to
		cell = w.plan.cellOf(town, mix(h+100+leg))
		rest := int64(1800 + within(mix(h+200+leg), 6*3600))
		if t < rest {
			return cell, false
		}
		t -= rest
	}
}

// road is a road out of a town that a vehicle of a customer's takes, that is at
// home in a cell.
func (w *World) road(cu *Customer, from, t int32, h uint64) (link, bool) {
	roads := w.plan.towns[t].roads
	for i := range roads {
		l := roads[(within(h, len(roads))+i)%len(roads)]
		to := &w.plan.towns[l.to]
		if to.Net != home && !cu.mayRoam(w.plan.nets[to.Net].MCC) {
			continue
		}
		if to.Risk && to.Net == home && w.plan.cells[from].Town != l.to {
			continue // goods for it are reloaded
		}
		return l, true
	}
	return link{}, false
}

func (cu *Customer) mayRoam(mcc string) bool {
	for _, m := range cu.Tariff.Roaming {
		if m == mcc {
			return true
		}
	}
	return false
}

// along is the cell of a road at a share of the way.
func (p *plan) along(r *road, back bool, f float64) int32 {
	if back {
		f = 1 - f
	}
	return r.first + min(int32(f*float64(r.count)), r.count-1)
}

// between is the distance of two cells.
func (p *plan) between(a, b int32) float64 {
	x, y := &p.cells[a], &p.cells[b]
	return km(float64(x.Lat), float64(x.Lon), float64(y.Lat), float64(y.Lon))
}

// step is the cell at a share of the way between two cells of one town.
func (p *plan) step(a, b int32, f float64) int32 {
	t := &p.towns[p.cells[a].Town]
	ay, ax := (a-t.first)/t.side, (a-t.first)%t.side
	by, bx := (b-t.first)/t.side, (b-t.first)%t.side
	return t.first + (ay+int32(f*float64(by-ay)))*t.side + ax + int32(f*float64(bx-ax))
}
