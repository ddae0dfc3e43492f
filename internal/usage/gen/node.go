package gen

// A node is a charging gateway: it writes files of records, stamps them by its
// clock, and delivers them when it can.
type node struct {
	skew int64 // of its clock, seconds
	// Between from and to its clock is off by wild seconds: it gave local time
	// for UTC.
	from, to, wild int64
}

const fileSeconds = 300 // of records in a node's file

// makeNodes makes gateways: a few for each town, more for a large one.
func (w *World) makeNodes() {
	n := min(max(w.cfg.Cards/20_000, 6), 4096)
	w.nodes = make([]node, n)
	for i := range w.nodes {
		h := w.c.at(forSkew, uint64(i), 0)
		spread := int64(2)
		switch u := unit(h); {
		case u > 0.98:
			spread = 120
		case u > 0.90:
			spread = 20
		}
		w.nodes[i].skew = int64(within(mix(h), int(2*spread+1))) - spread
	}
	if w.cfg.Days > 3 {
		// One of them loses its zone for two hours, as happens after repairs.
		h := w.c.at(forSkew, 0, 1)
		bad := &w.nodes[within(h, n)]
		bad.from = w.start + int64(1+within(mix(h), w.cfg.Days-2))*86400 + 5*3600
		bad.to, bad.wild = bad.from+2*3600, zone
	}
}

// nodeOf is the gateway that serves a card in a cell.
func (w *World) nodeOf(k int32, card uint32, msc bool) uint16 {
	h := w.c.at(forNode, uint64(w.plan.cells[k].Town), uint64(card&3))
	if msc {
		h = mix(h + 1)
	}
	return uint16(within(h, len(w.nodes)))
}

// stamp is what a node's clock says.
func (w *World) stamp(n uint16, at int64) int64 {
	d := &w.nodes[n]
	if at >= d.from && at < d.to {
		return at + d.wild
	}
	return at + d.skew
}

// What becomes of a node's file.
const (
	onTime = iota
	heldBack
	sentTwice
)

// fate is what becomes of the file that a node writes at a time, and for how long
// it is held or after how long it is sent again.
func (w *World) fate(n uint16, arrival int64) (int, int64) {
	h := w.c.at(forFile, uint64(n), uint64(arrival/fileSeconds))
	switch u := unit(h); {
	case u < 0.004:
		return heldBack, int64(1800 + within(mix(h), 6*3600))
	case u < 0.007:
		return sentTwice, int64(600 + within(mix(h), 20*3600))
	}
	return onTime, 0
}

// dark reports whether a town is without service at a time, and else when it was
// last, if within an hour: then everybody comes back at once.
func (w *World) dark(t int32, at int64) (bool, int64) {
	day := (at - w.start) / 86400
	for d := day; d >= day-1 && d >= 0; d-- {
		h := w.c.at(forOutage, uint64(t), uint64(d))
		if !hit(h, 0.004) {
			continue
		}
		from := w.start + d*86400 + int64(within(mix(h), 80_000))
		to := from + 1800 + int64(within(mix(h+1), 4*3600))
		if at >= from && at < to {
			return true, 0
		}
		if at >= to && at < to+3600 {
			return false, to - from
		}
	}
	return false, 0
}
