package rules

import (
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// Statement is what a rule has to say, for people.
type Statement struct {
	Said
	Nature   ringwall.Nature
	Severity ringwall.Severity
	Stage    ringwall.Stage
	Title    string
	Attack   string
	Peer     netip.Addr
	Facts    map[string]string
}

// Explain puts a statement of the Step before into words. r is the record that
// the event was made of, nil = only the event is there. No IMSI, IMEI or number
// of a person is in clear in what it returns.
func Explain(st Said, s *Settings, e *cdr.Event, r *cdr.Record, env *Env) Statement {
	if r == nil {
		r = &cdr.Record{}
		e.Record(r)
	}
	x := explainer{s: s, e: e, r: r, env: env, l: &env.Before}
	x.st = Statement{Said: st, Nature: ringwall.NatureDeviation, Severity: ringwall.Medium, Attack: "T1078", Facts: map[string]string{}}
	switch st.Rule {
	case Separation:
		x.separation()
	case Service:
		x.service()
	case Peer:
		x.peer()
	case Moved:
		x.moved()
	case Roaming:
		x.roaming()
	case Volume:
		x.volume()
	case Dormant:
		x.dormant()
	case Travel:
		x.travel()
	case Burst:
		x.burst()
	case Verification:
		x.verification()
	case Lifecycle:
		x.lifecycle()
	case Hours:
		x.say(ringwall.Medium, "SIM used outside its hours")
		x.fact("local", time.Unix(int64(e.Sec)+env.offset(s.week[0].zone, e.Sec), 0).UTC().Format("Mon 15:04"))
	case Place:
		x.say(ringwall.Medium, "SIM used outside its places")
		if st.bit == placeCountry {
			x.say(ringwall.High, "SIM used outside its countries")
		}
		x.place()
	case Quota:
		x.quota()
	}
	return x.st
}

type explainer struct {
	st  Statement
	s   *Settings
	e   *cdr.Event
	r   *cdr.Record
	env *Env
	l   *Line // as it was judged
}

func (x *explainer) say(sev ringwall.Severity, title string) { x.st.Severity, x.st.Title = sev, title }

func (x *explainer) fact(name, value string) {
	if value != "" {
		x.st.Facts[name] = value
	}
}

func (x *explainer) number(name string, n uint64) { x.st.Facts[name] = strconv.FormatUint(n, 10) }

// place notes where the record was, as it names it.
func (x *explainer) place() {
	x.fact("plmn", x.r.PLMN)
	x.fact("area", x.r.Area)
	x.fact("cell", x.r.Cell)
}

// byDevice is the stage of something that the bound device did. What was done
// with the card elsewhere says nothing of the device.
func (x *explainer) byDevice(stage ringwall.Stage) ringwall.Stage {
	bound := x.l.bound & equipmentMask
	if bound == 0 || x.e.IMEI == 0 && x.l.bound&awayBit != 0 || x.e.IMEI != 0 && x.e.IMEI != bound {
		return ringwall.NoStage
	}
	if x.e.IMEI == 0 && x.l.last == 0 {
		return ringwall.NoStage
	}
	return stage
}

func (x *explainer) separation() {
	bound, declared := x.l.Bound()
	x.st.Nature, x.st.Attack = ringwall.NatureAttack, "T1451"
	x.say(ringwall.High, "SIM seen in other equipment of the same model")
	x.fact("boundImei", maskEquipment(bound))
	x.fact("seenImei", maskEquipment(x.e.IMEI))
	x.fact("boundTac", tacText(bound))
	x.fact("binding", "declared")
	if x.st.bit == sepOther {
		x.say(ringwall.Critical, "SIM seen in equipment of another model")
		x.fact("seenTac", tacText(x.e.IMEI))
	}
	if !declared {
		x.st.Nature, x.st.Severity = ringwall.NatureDeviation, x.st.Severity-1
		x.fact("binding", "learned")
	}
}

func tacText(equipment uint64) string {
	s := cdr.IMEIOf(equipment)
	return s[:min(8, len(s))]
}

// maskEquipment masks the serial number but for its last two digits.
func maskEquipment(equipment uint64) string {
	s := cdr.IMEIOf(equipment)
	if s == "" {
		return ""
	}
	return s[:8] + "****" + s[12:]
}

func (x *explainer) service() {
	name, dir := x.e.Use.Service(), x.e.Use.Direction()
	x.st.Attack, x.st.Stage = "T1643", x.byDevice(ringwall.Action)
	x.say(ringwall.High, "SIM used for "+name.String()+", which it is not meant for")
	x.fact("service", name.String())
	x.fact("direction", dir.String())
	if name != cdr.Data && digits(x.r.Peer) {
		x.fact("number", maskNumber(x.r.Peer))
	}
	switch {
	case x.st.bit == svcOwn:
		x.st.Nature = ringwall.NatureAttack
	case dir == cdr.Terminated && name != cdr.Data:
		x.st.Severity, x.st.Stage = ringwall.Low, ringwall.NoStage
	default:
		x.st.Severity = ringwall.Medium
	}
}

// maskNumber keeps what tells the country and two digits.
func maskNumber(s string) string {
	if len(s) <= 6 {
		return s // a short code belongs to a service, not to a person
	}
	return s[:4] + "****" + s[len(s)-2:]
}

func (x *explainer) peer() {
	x.st.Attack, x.st.Stage = "T1437", x.byDevice(ringwall.Command)
	x.say(ringwall.Medium, "SIM reached a peer that is not on its list")
	switch {
	case x.st.bit == apnOff:
		x.fact("kind", "apn")
		x.fact("peer", x.r.APN)
	case x.e.Use.Service() == cdr.Data:
		x.fact("kind", "address")
		x.fact("peer", x.r.Peer)
		x.st.Peer, _ = netip.ParseAddr(x.r.Peer)
	default:
		x.fact("kind", "number")
		x.fact("peer", maskNumber(x.r.Peer))
	}
}

func (x *explainer) moved() {
	x.place()
	if x.st.bit == movedFar {
		x.say(ringwall.High, "SIM of a device that does not move is used far from home")
		x.number("km", uint64(x.env.found.km))
		return
	}
	x.say(ringwall.Medium, "SIM of a device that does not move is used in unknown places")
	x.number("count", uint64(max(x.env.found.count[0], 1)))
}

func (x *explainer) roaming() {
	x.place()
	switch x.st.bit {
	case roamOff:
		x.say(ringwall.Medium, "SIM used in a network that is none of its own")
	case roamRisk:
		x.say(ringwall.Medium, "SIM used in a risky place")
		x.fact("risk", Risky.String())
	case roamHigh:
		x.say(ringwall.High, "SIM used in a place of high risk")
		x.fact("risk", HighRisk.String())
	}
}

func (x *explainer) volume() {
	x.st.Attack, x.st.Stage = "T1643", x.byDevice(ringwall.Action)
	if x.st.bit == volDrift {
		x.say(ringwall.Low, "SIM uses more day by day")
		x.fact("usual", bytesText(x.l.View(x.env.Side).UsualDay))
		return
	}
	x.say(ringwall.High, "SIM uses far more in an hour than is usual")
	sum := float64(hourly(x.e))
	switch {
	case x.e.Sec < x.l.last || x.env.ahead(x.e):
		sum = float64(x.env.found.hour)
	case x.e.Sec/3600 == x.l.last/3600:
		sum += float64(x.l.hour)
	}
	x.fact("bytes", bytesText(sum))
	if usual := unlg(x.l.mean); usual > 0 {
		x.fact("usual", bytesText(usual))
		x.fact("factor", bytesText(sum/usual))
	}
	if x.s.knows(x.l) {
		x.fact("limit", bytesText(unlg(x.l.limit(x.s))))
	}
	if x.s.volumeMost != 0 && sum > float64(x.s.volumeMost) {
		x.fact("limit", bytesText(float64(x.s.volumeMost)))
	}
}

func bytesText(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

func (x *explainer) dormant() {
	gap := x.e.Sec - x.l.last
	if x.env.ahead(x.e) {
		gap = x.env.Horizon - x.l.last
	}
	x.say(ringwall.Medium, "SIM used again after a long silence")
	if x.st.bit == dormTold {
		x.say(ringwall.Low, "SIM was called or written to after a long silence")
	}
	x.number("days", uint64(gap/86400))
	x.number("usualHours", uint64(code8Seconds(x.l.habit)/3600))
}

func (x *explainer) travel() {
	x.say(ringwall.High, "SIM used in two places between which nothing travels so fast")
	if x.st.bit == travClone {
		x.st.Nature = ringwall.NatureAttack
		x.say(ringwall.Critical, "SIM used in two places at once, as a copy would be")
	}
	f := &x.env.found
	x.number("km", uint64(f.km))
	x.number("seconds", uint64(f.seconds))
	if f.turns > 0 {
		x.number("turns", uint64(f.turns))
	}
	x.place()
}

// many tells the count that tipped it: of the hour, else of the day.
func (x *explainer) many(hour, bound, day uint32) {
	if hour >= bound {
		x.number("count", uint64(hour))
		x.number("seconds", 3600)
		return
	}
	x.number("count", uint64(day))
	x.number("seconds", 86400)
}

func (x *explainer) burst() {
	t := &x.env.found.tallies
	x.st.Stage, x.st.Attack = x.byDevice(ringwall.Action), "T1582"
	switch x.st.bit {
	case burstSMS:
		x.say(ringwall.High, "SIM sends many messages")
		x.many(t.messagesHour, x.s.messagesHour, t.messagesDay)
	case burstCalls:
		x.st.Attack = "T1616"
		x.say(ringwall.High, "SIM makes many calls")
		x.many(t.callsHour, x.s.callsHour, t.callsDay)
	case burstTime:
		x.st.Attack = "T1616"
		x.say(ringwall.Medium, "SIM is used for calls without end")
		x.number("callMinutes", uint64(x.e.Use.Seconds()/60))
		x.number("dayMinutes", uint64(t.quarters/4))
	}
}

func (x *explainer) verification() {
	t := &x.env.found.tallies
	x.st.Attack, x.st.Nature = "T1585", ringwall.NatureAttack
	x.say(ringwall.Medium, "SIM gets many messages as accounts are opened with")
	if x.st.bit == verSenders {
		x.say(ringwall.High, "SIM gets messages as accounts are opened with, from many senders")
	}
	x.number("count", uint64(t.coded))
	x.number("senders", uint64(bits.OnesCount32(t.senders)))
}

func (x *explainer) lifecycle() {
	x.st.Nature = ringwall.NatureAttack
	life, since := x.l.Life(x.env.Side)
	switch x.st.bit {
	case lifeStock:
		x.say(ringwall.High, "SIM used before it was activated")
	case lifeSuspended:
		x.say(ringwall.High, "SIM used although it is suspended")
	case lifeTerminated:
		x.say(ringwall.High, "SIM used although it was ended")
	}
	if x.e.Use.Direction() == cdr.Terminated {
		x.st.Nature, x.st.Severity = ringwall.NatureDeviation, ringwall.Low
	}
	x.fact("state", life.String())
	if since != 0 {
		x.fact("since", time.Unix(int64(since), 0).UTC().Format(time.RFC3339))
	}
}

func (x *explainer) quota() {
	m := &x.env.found.month
	x.say(ringwall.Medium, "SIM used more in a month than its profile allows")
	switch x.st.bit {
	case quotaBytes:
		x.number("bytes", m.bytes)
		x.number("cap", x.s.bytes)
	case quotaMessages:
		x.fact("service", cdr.SMS.String())
		x.number("count", uint64(m.messages))
		x.number("cap", uint64(x.s.messages))
	case quotaCalls:
		x.fact("service", cdr.Voice.String())
		x.number("count", uint64(m.calls))
		x.number("cap", uint64(x.s.calls))
	}
	x.fact("month", strings.TrimSpace(x.r.Time.UTC().Format("2006-01")))
}
