package gen

import "math"

// Notice is something about one card that its operator was told, or did itself.
type Notice struct {
	Kind string `json:"kind"` // "swap", "move", "activate", "suspend", "resume"
	Card uint64 `json:"card"`
	// Equipment is the key of the equipment that a swap brings.
	Equipment uint64 `json:"equipment,omitempty"`
	From      int64  `json:"from"` // of a swap or a move: it happens between the two
	To        int64  `json:"to,omitempty"`
}

// Window is a time in which a customer works on all of its devices.
type Window struct {
	Customer int
	From, To int64
}

// How many cards a day meet each fate, in a million. Nobody outside of operators
// knows these numbers; they are guesses, and round ones.
const (
	swapsTold    = 40
	repairsTold  = 10
	movesTold    = 10
	suspensions  = 60
	activations  = 500
	swapsUntold  = 10
	repairUntold = 10
	movesUntold  = 5
	longOff      = 10
	maxStories   = 2_000_000
)

// grace is how long a network goes on with what the books have ended. What they
// begin, they begin first.
const grace = 300

func anybody(*Customer) bool { return true }

// stays: what does not move, and whose contract does not say where it must be.
func stays(cu *Customer) bool {
	return cu.Tariff.Fixed && cu.Kind != Monthly && cu.Tariff.Areas == nil
}

// report is within how many seconds a device tells of itself, so long is an
// announcement open: it may be switched off for some days.
func (cu *Customer) report() int64 {
	if cu.Kind == Monthly {
		return 62 * 86400
	}
	return int64(cu.Tariff.Quiet) * 86400
}

// tellHonest gives honest cards their fates.
func (w *World) tellHonest() {
	cardDays := float64(w.cfg.Cards) * float64(w.cfg.Days)
	each := func(rate float64, what int, suits func(*Customer) bool, do func(cu *Customer, card uint32, at int64, h uint64)) {
		n := min(rate*cardDays/1e6, maxStories)
		count := int(n)
		if hit(w.c.at(forStory, uint64(what), 1<<32), n-math.Floor(n)) {
			count++
		}
		for i := range count {
			cu, card, h, ok := w.free(forStory*1000+what, uint64(i), suits)
			if !ok {
				return
			}
			do(cu, card, w.start+3600+int64(unit(mix(h))*float64(w.end-w.start-7200)), mix(h+2))
		}
	}
	spare := uint64(0)
	newEquipment := func() uint64 { spare++; return spareTAC*1_000_000 + spare }
	each(swapsTold, 1, anybody, func(cu *Customer, card uint32, at int64, h uint64) {
		s := &story{from: at, imei: newEquipment()}
		w.tell(card, s)
		w.notices = append(w.notices, Notice{Kind: "swap", Card: w.cardKey(cu, card), Equipment: s.imei + 1, From: at - 3600*int64(1+within(h, 48)), To: at + cu.report() + 3600*int64(48+within(mix(h), 48))})
	})
	each(repairsTold, 2, anybody, func(cu *Customer, card uint32, at int64, h uint64) {
		s := &story{from: at, imei: sibling(cu, card, h)}
		w.tell(card, s)
		w.notices = append(w.notices, Notice{Kind: "swap", Card: w.cardKey(cu, card), Equipment: s.imei + 1, From: at - 7200, To: at + cu.report() + 86400})
	})
	each(movesTold, 3, stays, func(cu *Customer, card uint32, at int64, h uint64) {
		w.tell(card, &story{from: at - 86400, to: at, silent: true}, &story{from: at, cell: w.elsewhere(cu, card, h), moved: true})
		w.notices = append(w.notices, Notice{Kind: "move", Card: w.cardKey(cu, card), From: at - 2*86400, To: at + 2*86400})
	})
	each(suspensions, 4, anybody, func(cu *Customer, card uint32, at int64, h uint64) {
		s := &story{from: at + int64(within(h, grace)), silent: true}
		w.notices = append(w.notices, Notice{Kind: "suspend", Card: w.cardKey(cu, card), From: at})
		if hit(mix(h), 0.5) {
			s.to = at + 86400*int64(1+within(mix(h+1), 6))
			w.notices = append(w.notices, Notice{Kind: "resume", Card: w.cardKey(cu, card), From: s.to - int64(within(mix(h+2), grace))})
		}
		w.tell(card, s)
	})
	each(activations, 5, anybody, func(cu *Customer, card uint32, at int64, h uint64) {
		w.tell(card, &story{to: at + int64(within(h, 4*3600)), silent: true})
		w.notices = append(w.notices, Notice{Kind: "activate", Card: w.cardKey(cu, card), From: at})
	})
	if w.cfg.Honest {
		return
	}
	tell := func(kind, why string, cu *Customer, card uint32, at int64, excused ...string) {
		w.truth = append(w.truth, Truth{Kind: kind, Card: w.cardKey(cu, card), From: at, Until: w.end + 86400, Ambiguous: why, Rules: excused})
	}
	w.travellers(tell)
	each(swapsUntold, 6, anybody, func(cu *Customer, card uint32, at int64, _ uint64) {
		w.tell(card, &story{from: at, imei: newEquipment()})
		tell("swap nobody announced", "an honest change of equipment that nobody told looks like a card that was taken out", cu, card, at, "separation")
	})
	each(repairUntold, 7, anybody, func(cu *Customer, card uint32, at int64, h uint64) {
		w.tell(card, &story{from: at, imei: sibling(cu, card, h)})
		tell("repair nobody announced", "a replacement of the same model that nobody told looks like a card that was taken out", cu, card, at, "separation")
	})
	each(movesUntold, 8, stays, func(cu *Customer, card uint32, at int64, h uint64) {
		w.tell(card, &story{from: at - 86400, to: at, silent: true}, &story{from: at, cell: w.elsewhere(cu, card, h), moved: true})
		tell("move nobody announced", "a device that its owner puts up elsewhere looks like one that was stolen", cu, card, at, "sim-moved")
	})
	each(longOff, 9, stays, func(cu *Customer, card uint32, at int64, h uint64) {
		back := at + 86400*int64(cu.Tariff.Quiet+1+within(h, 6))
		w.tell(card, &story{from: at, to: back, silent: true})
		if back < w.end {
			tell("switched off for long", "a device that was off for longer than its customer said it would be looks like a card that was laid by for other use", cu, card, back-7200, "sim-dormant")
		}
	})
}

// travellers are moving devices at home in a town that is known for fraud.
func (w *World) travellers(tell func(kind, why string, cu *Customer, card uint32, at int64, excused ...string)) {
	for _, cu := range w.fleet.customers {
		if !cu.roads {
			continue
		}
		for n := range uint32(cu.Cards) {
			if card := cu.first + n; w.plan.towns[w.plan.cells[w.homeOf(cu, card)].Town].Risk {
				tell("at home in a risky town, and travels", "whether a device that comes to a risky town belongs there, only its customer knows", cu, card, w.start-86400, "sim-roaming")
			}
		}
	}
}

// sibling is equipment of the same model.
func sibling(cu *Customer, card uint32, h uint64) uint64 {
	return cu.imei(card)/1_000_000*1_000_000 + 900_000 + uint64(within(h, 90_000))
}

// elsewhere is a cell of another town, at least 80 km away, of no bad name.
func (w *World) elsewhere(cu *Customer, card uint32, h uint64) int32 {
	at := w.homeOf(cu, card)
	for n := range uint64(50) {
		t := w.plan.somewhere(unit(mix(h + n)))
		if w.plan.apart(t, w.plan.cells[at].Town) > 80 && !w.plan.towns[t].Risk {
			return w.plan.cellOf(t, mix(h+100))
		}
	}
	return w.plan.cellOf(0, h)
}
