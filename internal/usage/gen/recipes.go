package gen

import (
	"time"

	"github.com/ringwall/ringwall/cdr"
)

// recipes are the kinds of misuse. Each names the rules one of which must find
// it; which records show it is for people to argue about, not for rules.
func (w *World) recipes() []recipe {
	return []recipe{
		{"card in a phone", []string{"separation"}, only(Steady, Event, Daily, Terminal), 2, 1, inPhone},
		{"card in other equipment of its model", []string{"separation"}, only(Steady, Event), 2, 1, inSibling},
		{"device sends messages", []string{"sim-service"}, dataOnly, 1, 1, sendsSMS},
		{"device calls", []string{"sim-service"}, dataOnly, 1, 1, calls},
		{"strange server", []string{"sim-peer"}, listed, 1, 1, strangeServer},
		{"strange access point", []string{"sim-peer"}, anybody, 1, 1, strangeAPN},
		{"strange number", []string{"sim-peer"}, only(Car, Lift), 1, 1, strangeNumber},
		{"device stolen and used elsewhere", []string{"sim-moved"}, only(Steady, Event), 3, 3, stolen},
		{"used in a country of fraud", []string{"sim-roaming"}, only(Event, Tracker, Terminal), 3, 1, abroad},
		{"used in a network that it may not use", []string{"sim-roaming"}, only(Steady, Daily, Lift), 3, 1, abroadElsewhere},
		{"flood of data", []string{"sim-volume"}, only(Steady, Event), 3, 1, flood},
		{"meter as a modem", []string{"sim-volume"}, only(Daily, Lift), 5, 1, modem},
		{"wakes after long", []string{"sim-dormant"}, only(Steady, Event, Daily, Lift), 2, 13, wakes},
		{"clone far away", []string{"sim-travel"}, only(Steady, Event, Car), 2, 3, clone},
		{"burst of messages", []string{"sim-burst"}, only(Daily, Car), 1, 1, burst},
		{"burst of calls", []string{"sim-burst"}, only(Car, Lift), 1, 1, callBurst},
		{"call without end", []string{"sim-burst"}, only(Car, Lift), 1, 1, endless},
		{"registers accounts", []string{"sim-verification"}, only(Daily, Car), 1, 1, accounts},
		{"registers accounts without messages agreed", []string{"sim-verification", "sim-service"}, dataOnly, 1, 1, accounts},
		{"rack of modems", []string{"sim-box"}, only(Daily, Terminal, Event), 2, 1, rack},
		{"crowd at one server", []string{"sim-box", "sim-peer"}, func(cu *Customer) bool { return cu.Kind <= Event && cu.Cards >= 60 && !listed(cu) }, 2, 1, crowd},
		{"used before activation", []string{"sim-lifecycle"}, anybody, 1, 3, early},
		{"used after suspension", []string{"sim-lifecycle"}, anybody, 3, 3, afterwards},
		{"used at night", []string{"sim-hours"}, only(Terminal), 1, 1, atNight},
		{"used out of its place", []string{"sim-place"}, func(cu *Customer) bool { return cu.Tariff.Areas != nil }, 1, 1, outOfPlace},
		{"over its quota of bytes", []string{"sim-quota"}, func(cu *Customer) bool { return cu.Tariff.MonthBytes > 0 }, 1, 2, overBytes},
	}
}

func inPhone(m *misuse) {
	m.story(&story{from: m.at, silent: true})
	phone := m.phone()
	for i := range 12 {
		m.add(m.at+int64(i)*1500, 900, cdr.Data, func(r *row) {
			r.imei, r.version, r.peer, r.up, r.down = phone, -1, m.site(i), 3e6, 40e6
		})
	}
}

func inSibling(m *misuse) {
	m.story(&story{from: m.at, silent: true})
	other := sibling(m.cu, m.card, m.h)
	for i := range 12 {
		m.add(m.at+int64(i)*3000, 600, cdr.Data, func(r *row) { r.imei, r.up = other, 2e6 })
	}
}

func sendsSMS(m *misuse) {
	for i := range 6 {
		m.add(m.at+int64(i)*240, 0, cdr.SMS, func(r *row) { r.peer = m.stranger(i) })
	}
}

func calls(m *misuse) {
	for i := range 3 {
		m.add(m.at+int64(i)*900, 300, cdr.Voice, func(r *row) { r.peer = m.stranger(i) })
	}
}

func strangeServer(m *misuse) {
	for i := range 5 {
		m.add(m.at+int64(i)*600, 20, cdr.Data, func(r *row) { r.peer, r.up, r.down = m.site(0), 2000, 3000 })
	}
}

func strangeAPN(m *misuse) {
	m.add(m.at, 600, cdr.Data, func(r *row) { r.apn = 1 })
}

func strangeNumber(m *misuse) {
	for i := range 2 {
		m.add(m.at+int64(i)*1200, 120, cdr.Voice, func(r *row) { r.peer = m.stranger(i) })
	}
}

// stolen: the device goes on elsewhere as it did at home. Its records of a day and
// a half must suffice, from when it is switched on again.
func stolen(m *misuse) {
	m.story(&story{from: m.at - 12*3600, to: m.at, silent: true})
	m.story(&story{from: m.at, cell: m.w.elsewhere(m.cu, m.card, m.h), moved: true})
	m.truth.By = m.at + 36*3600
	back := m.w.end
	for _, r := range m.w.own(m.cu, m.card, m.at, m.w.end) {
		back = min(back, r.arrival)
	}
	if back >= m.truth.By {
		m.truth.By = back + 36*3600
	}
	if m.truth.By > m.w.end {
		m.truth.Ambiguous = "it is not used again for long enough"
	}
	days := map[int64]bool{}
	for _, r := range m.w.own(m.cu, m.card, m.w.start, m.at) {
		if r.at/86400 < m.at/86400 {
			days[r.at/86400] = true
		}
	}
	if len(days) < settled {
		m.truth.Ambiguous = "it was off in its first days: what is used on so few days may be put up only now"
	}
}

// settled is on how many days a device must have been used before anybody knows
// where it belongs.
const settled = 3

func abroad(m *misuse) { m.away(3) }

func abroadElsewhere(m *misuse) { m.away(1 + within(m.h, 2)) }

// away: the card travels for two days, and is used in another country's network.
func (m *misuse) away(net int) {
	m.story(&story{from: m.at - 2*86400, silent: true})
	for i := range m.w.plan.towns {
		if m.w.plan.towns[i].Net == net {
			m.near = m.w.plan.cellOf(int32(i), m.h)
			break
		}
	}
	for i := range 10 {
		m.add(m.at+int64(i)*3600, 600, cdr.Data, func(r *row) { r.cell = m.near })
	}
}

// flood: a camera that attacks others, for half a day at all that its uplink
// gives. The second hour must suffice.
func flood(m *misuse) {
	m.avoid(12 * 3600)
	for i := range 12 {
		m.add(m.at+int64(i)*3600, 3600, cdr.Data, func(r *row) {
			r.partial, r.up, r.down = true, uint64(2.6e9*(1+unit(mix(m.h+uint64(i))))), 9e6
		})
	}
	m.by(1)
}

// modem: somebody surfs over a meter's own modem.
func modem(m *misuse) {
	m.avoid(6 * 3600)
	for i := range 8 {
		m.add(m.at+int64(i)*2400, 1800, cdr.Data, func(r *row) { r.up, r.down = 20e6, 250e6 })
	}
	m.by(1)
}

func wakes(m *misuse) {
	back := m.at + int64(m.cu.Tariff.Quiet)*86400 + 86400
	m.story(&story{from: m.at, silent: true})
	for i := range 5 {
		m.add(back+int64(i)*4000, 600, cdr.Data, nil)
	}
	m.truth.From = back
	if len(m.w.own(m.cu, m.card, m.w.start, m.at)) == 0 {
		m.truth.Ambiguous = "it was not used before: a first use ends no silence"
	}
}

// clone: the card is used where it is, as ever, and far away as well, in what says
// to be the same equipment.
func clone(m *misuse) {
	far := m.near
	for n := range uint64(40) {
		k := m.w.elsewhere(m.cu, m.card, mix(m.h+n))
		if m.w.plan.between(k, m.near) > m.w.plan.between(far, m.near) {
			far = k
		}
	}
	if m.w.plan.between(far, m.near) < 600 {
		m.truth.Ambiguous = "the clone is so near that one could travel there in the time"
	}
	// A car that is parked tells of itself once a day: until then nobody can know.
	for i := range 80 {
		m.add(m.at+int64(i)*1800, 300, cdr.Data, func(r *row) { r.cell = far })
	}
	m.by(60)
	// One that is switched off does not tell at all.
	if own := m.w.own(m.cu, m.card, m.at, m.rows[60].at); len(own) == 0 {
		m.truth.Ambiguous, m.truth.Rules = "the device itself is silent meanwhile: the copy alone looks like a device that was carried off", []string{"sim-travel", "sim-moved"}
	}
}

func burst(m *misuse) {
	for i := range 200 {
		m.add(m.at+int64(i)*7, 0, cdr.SMS, func(r *row) { r.peer = m.stranger(i) })
	}
	m.by(100)
}

func callBurst(m *misuse) {
	for i := range 80 {
		m.add(m.at+int64(i)*50, 20, cdr.Voice, func(r *row) { r.peer = m.stranger(i) })
	}
	m.by(60)
}

func endless(m *misuse) {
	m.add(m.at, 7*3600, cdr.Voice, func(r *row) { r.peer = numberPeer(m.cu.Tariff.Numbers[0]) })
}

// accounts: code after code arrives from services that send such.
func accounts(m *misuse) {
	for i := range 40 {
		m.add(m.at+int64(i)*70, 0, cdr.SMS, func(r *row) {
			r.way, r.peer = cdr.Terminated, cdr.NumberPeer(1069_0000_0000+mix(m.h+uint64(i))%90_000_000, 12)
		})
	}
	m.by(len(m.rows) - 1)
}

// rack: forty cards of a customer were taken out and call from one cell, through a
// rack of four modems.
func rack(m *misuse) {
	cell := m.w.elsewhere(m.cu, m.card, m.h)
	self, number := m.card, 0
	taken := m.gather(40)
	for _, m.card = range taken {
		m.story(&story{from: m.at - 6*3600, silent: true})
	}
	for i := range 12 {
		for n, card := range taken {
			m.card = card
			m.add(m.at+int64(i)*1800+int64(n)*45, uint32(60+within(mix(m.h+uint64(i*64+n)), 200)), cdr.Voice, func(r *row) {
				number++
				r.imei, r.version, r.cell, r.peer = gatewayTAC*1_000_000+m.h>>20%100_000*10+uint64((n+i)%4), -1, cell, m.stranger(number)
			})
		}
	}
	if m.card = self; !m.void {
		m.by(len(m.rows) - 1)
	}
}

// learning is how long whoever has no list of servers must look on, before a new
// one can be told from a usual one.
const learning = 4 * 86400

// crowd: cameras of one customer are taken over and all call one server. The
// customer named no servers, so one alone is nothing.
func crowd(m *misuse) {
	self, server := m.card, m.site(0)
	m.server = server
	if m.at < m.w.start+learning {
		m.truth.Ambiguous = "in the first days of a customer nobody knows which servers are usual for its devices"
	}
	for n, card := range m.gather(50) {
		m.card, m.near = card, m.w.homeOf(m.cu, card)
		for i := range 3 {
			m.add(m.at+int64(n)*40+int64(i)*1200, 15, cdr.Data, func(r *row) { r.peer, r.up, r.down = server, 900, 1200 })
		}
	}
	if m.card = self; !m.void {
		m.by(len(m.rows) - 1)
	}
}

// early: a card that is still in its box is used.
func early(m *misuse) {
	due := m.at + 2*86400
	m.story(&story{to: due, silent: true})
	m.w.notices = append(m.w.notices, Notice{Kind: "activate", Card: m.truth.Card, From: due})
	for i := range 3 {
		m.add(m.at+int64(i)*3600, 300, cdr.Data, nil)
	}
}

func afterwards(m *misuse) {
	m.story(&story{from: m.at - 86400, silent: true})
	m.w.notices = append(m.w.notices, Notice{Kind: "suspend", Card: m.truth.Card, From: m.at - 86400})
	for i := range 3 {
		m.add(m.at+int64(i)*3600, 300, cdr.Data, nil)
	}
}

func atNight(m *misuse) {
	m.avoid(86400)
	day := (m.at + zone) / 86400
	m.at = day*86400 - zone + 3*3600
	m.truth.From = m.at
	for i := range 3 {
		m.add(m.at+int64(i)*900, 60, cdr.Data, nil)
	}
	if m.announced() {
		m.truth.Ambiguous = "in a night of works that its customer announced, nobody can tell use from works"
	}
}

func outOfPlace(m *misuse) {
	m.near = m.w.elsewhere(m.cu, m.card, m.h)
	m.story(&story{from: m.at - 86400, silent: true})
	for i := range 4 {
		m.add(m.at+int64(i)*3600, 60, cdr.Data, func(r *row) { r.cell = m.near })
	}
}

// overBytes: a little more than what is agreed for a month, in pieces none of
// which is large.
func overBytes(m *misuse) {
	n := int(m.cu.Tariff.MonthBytes/5_000_000) + 4
	for i := range n {
		m.add(m.at+int64(i)*7200, 600, cdr.Data, func(r *row) { r.up, r.down = 1e6, 4.3e6 })
	}
	m.by(n - 1)
	// What is agreed is agreed for calendar months (UTC).
	var most uint64
	sums := map[time.Month]uint64{}
	for i := range m.rows {
		r := &m.rows[i]
		month := time.Unix(r.at, 0).UTC().Month()
		sums[month] += r.up + r.down
		most = max(most, sums[month])
	}
	if most <= m.cu.Tariff.MonthBytes {
		m.truth.Ambiguous = "it lies in two months, and is less in each than is agreed for a month"
	}
}
