package gen

import (
	"fmt"

	"github.com/ringwall/ringwall/cdr"
)

// misuse is one that is being made up: a card, and the records that show it.
type misuse struct {
	w     *World
	cu    *Customer
	card  uint32
	h     uint64
	at    int64 // when it begins
	near  int32 // where the card is
	truth Truth
	rows  []row
	void  bool // it came to nothing
	// server is where a crowd meets.
	server uint64
}

// add makes a record that began at a time and lasted some seconds, in the card's
// own equipment and place; the caller changes what is different.
func (m *misuse) add(began int64, seconds uint32, service cdr.Service, change func(*row)) {
	w, n := m.w, uint64(len(m.rows))
	r := row{
		card: m.card, customer: uint16(m.cu.index), imei: m.cu.equipment(w.c, m.card, began), version: m.cu.version(w.c, w.start, m.card, began), service: service, seconds: seconds,
		arrival: began + int64(seconds) + 2 + int64(within(mix(m.h+n), 5)), id: 1<<60 | uint64(len(w.extra)+len(m.rows)),
	}
	switch service {
	case cdr.Data:
		w.data(&r, m.cu, mix(m.h+n)|1<<63)
		r.up, r.down = 40_000, 60_000
	default:
		r.way = cdr.Originated
	}
	near := m.near
	if change != nil {
		r.cell = -1
		change(&r)
		if r.cell >= 0 {
			near = r.cell
		}
	}
	w.place(&r, near, began, mix(m.h+n+7))
	m.rows = append(m.rows, r)
}

// recipe is a kind of misuse.
type recipe struct {
	kind  string
	rules []string
	suits func(*Customer) bool
	warm  int64 // days that must have gone by before it
	rest  int64 // days that must be left after it
	do    func(*misuse)
}

// tellMisuse makes up the cases of every kind.
func (w *World) tellMisuse() {
	w.meetings = map[meeting]int{}
	count := w.cfg.Misuse
	if count == 0 {
		count = min(20, max(1, w.cfg.Cards/500))
	}
	for k, r := range w.recipes() {
		if int64(w.cfg.Days) < r.warm+r.rest+1 {
			continue
		}
		for i := range count {
			cu, card, h, ok := w.free(forMisuse*1000+k, uint64(i), r.suits)
			if !ok {
				break
			}
			m := &misuse{w: w, cu: cu, card: card, h: h}
			from, to := w.start+r.warm*86400, w.end-r.rest*86400
			m.at = from + int64(unit(mix(h+3))*float64(to-from-7200)) + 3600
			m.near = w.homeOf(cu, card)
			if cu.Kind == Car || cu.Kind == Tracker {
				m.near, _ = w.where(cu, card, m.at)
			}
			m.truth = Truth{Kind: r.kind, Card: w.cardKey(cu, card), Rules: r.rules, From: m.at, Until: w.end + 7*86400}
			w.tell(card)
			r.do(m)
			w.file(m)
		}
	}
}

// file enters a case into the world.
func (w *World) file(m *misuse) {
	t := &m.truth
	if m.void {
		return
	}
	if len(m.rows) > 0 && t.First == "" {
		t.First, t.From = idText(m.rows[0].id), min(t.From, m.rows[0].at)
	}
	if t.ByRecord == "" && t.By == 0 && len(m.rows) > 0 {
		m.by(0)
	}
	w.extra = append(w.extra, m.rows...)
	w.truth = append(w.truth, *t)
	if m.server == 0 {
		return
	}
	// Two crowds of a customer may meet at one server: at the second it is no news.
	k, n := meeting{m.cu, m.server}, len(w.truth)-1
	before, ok := w.meetings[k]
	switch {
	case !ok:
		w.meetings[k] = n
	case w.truth[before].From <= t.From:
		w.truth[n].Ambiguous = twice
	default:
		w.truth[before].Ambiguous = twice
		w.meetings[k] = n
	}
}

// meeting is where a crowd of a customer's cards met.
type meeting struct {
	cu     *Customer
	server uint64
}

const twice = "the same customer's cards came to this server before, and that was told"

// avoid moves what would last for some seconds out of the nights for which its
// customer has announced works: whoever attacks in them is not seen, and nobody
// could tell.
func (m *misuse) avoid(seconds int64) {
	from := m.w.start + m.cu.wave*86400 - 3600
	to := from + waveNights*86400
	if m.at+seconds < from || m.at > to {
		return
	}
	if m.at = from - seconds - 86400; m.at < m.w.start+86400 {
		m.at = to + 3600
	}
	m.truth.From = m.at
}

// announced reports whether one of the records lies in a night for which their
// customer has announced works.
func (m *misuse) announced() bool {
	for _, x := range m.w.Windows() {
		for i := range m.rows {
			if at := m.rows[i].at; x.Customer == m.cu.index && at >= x.From && at < x.To {
				return true
			}
		}
	}
	return false
}

// few is how many cards are no crowd.
const few = 20

// gather takes cards of the case's customer that have no story yet, its own first.
func (m *misuse) gather(most int) (cards []uint32) {
	n := uint32(m.cu.Cards)
	for i := range n {
		card := m.cu.first + (m.card-m.cu.first+i)%n
		if i == 0 || m.w.marked[card>>6]&(1<<(card&63)) == 0 {
			cards = append(cards, card)
		}
		if len(cards) == most {
			break
		}
	}
	if m.void = len(cards) < few; m.void {
		return nil
	}
	for _, card := range cards {
		m.w.tell(card)
		m.truth.Cards = append(m.truth.Cards, m.w.cardKey(m.cu, card))
	}
	return cards
}

// by says that it must be found with a record, from 0.
func (m *misuse) by(n int) {
	r := &m.rows[min(n, len(m.rows)-1)]
	m.truth.ByRecord, m.truth.By = idText(r.id), r.at
}

// story changes the card's own records.
func (m *misuse) story(s *story) { m.w.tell(m.card, s) }

// phone is a smartphone.
func (m *misuse) phone() uint64 { return phoneTAC*1_000_000 + m.h>>20%9_000_000 }

// stranger is a subscriber's number; n tells them apart.
func (m *misuse) stranger(n int) uint64 {
	return cdr.NumberPeer(8613_000_000_000+mix(m.h+uint64(n)*31)%1_000_000_000, 13)
}

// site is a server of nobody in particular.
func (m *misuse) site(n int) uint64 {
	return cdr.AddressPeer(100<<24 | uint32(64+within(mix(m.h+uint64(n)), 64))<<16 | uint32(mix(m.h+uint64(n)*7)>>48))
}

func numberPeer(digits string) uint64 {
	k := cdr.Keys{}
	return k.PeerKey([]byte(digits))
}

func only(kinds ...Kind) func(*Customer) bool {
	return func(cu *Customer) bool {
		for _, k := range kinds {
			if cu.Kind == k {
				return true
			}
		}
		return false
	}
}

func dataOnly(cu *Customer) bool { return len(cu.Tariff.Services) == 1 }

func listed(cu *Customer) bool { return cu.Tariff.Peers != nil }

func idText(id uint64) string { return fmt.Sprintf("%x", id) }
