package rules

import (
	"bytes"
	"math"
	"strconv"
	"testing"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// askedAll is Step without its way for what is as the record before: every rule
// is asked about every event.
func askedAll(l *Line, s *Settings, e *cdr.Event, env *Env) Fired {
	if e.Sec < l.last || e.Sec > env.Horizon && env.Horizon != 0 {
		return Step(l, s, e, env)
	}
	var out Fired
	var raw uint32
	if e.Sec/3600 != l.last/3600 {
		if l.last == 0 {
			out = First
		}
		raw = advance(l, s, e.Sec, env)
	}
	return other(l, s, e, env, out, raw)
}

// bothWays judges events with Step and with askedAll: the same must be said, and
// be known of the card, after each.
func bothWays(t *testing.T, book *Book, areas *Areas, horizon uint32, usual *Usual, events []cdr.Event, kind func(card uint64) uint32) (silent, spoke int) {
	var envs [2]Env
	var lines [2]map[uint64]*Line
	for i := range envs {
		envs[i], lines[i] = Env{Book: book, Side: NewSide(0), Areas: areas, Horizon: horizon, Usual: usual}, map[uint64]*Line{}
	}
	for i := range events {
		e := &events[i]
		if i%7 == 0 && usual != nil {
			usual.Add(kind(e.Card), e.Peer, uint16(e.Sec/86400))
		}
		var fired [2]Fired
		var state [2][]byte
		for j, judge := range []func(*Line, *Settings, *cdr.Event, *Env) Fired{Step, askedAll} {
			l := lines[j][e.Card]
			if l == nil {
				l = &Line{Card: e.Card}
				l.SetSettings(kind(e.Card))
				l.SetLife([]Life{LifeUnknown, LifeActive, LifeSuspended}[e.Card%3], uint32(t0.Unix())+50*86400, envs[j].Side)
				lines[j][e.Card] = l
			}
			fired[j] = judge(l, book.Settings(l.Settings()), e, &envs[j])
			state[j] = l.AppendState(nil, envs[j].Side)
		}
		if fired[0] != fired[1] || !bytes.Equal(state[0], state[1]) {
			t.Fatalf("event %d %+v: %x and %x are said, and the same is known: %v", i, e, fired[0], fired[1], bytes.Equal(state[0], state[1]))
		}
		switch {
		case fired[0]&Speaks != 0:
			spoke++
		case fired[0] == 0:
			silent++
		}
	}
	return silent, spoke
}

// What Step does not ask the rules about, none of them would have spoken of.
func TestStep_asksWhatMatters(t *testing.T) {
	for seed := range uint64(3) {
		w := newWorld(t, 10+seed, 6000)
		book := must(NewBook(w.book, keys))
		for _, areas := range []*Areas{nil, w.areas} {
			for _, usual := range []*Usual{nil, {}} {
				if _, spoke := bothWays(t, book, areas, w.horizon(), usual, w.events, w.kind); spoke < 100 {
					t.Fatalf("of %d events something was said: that proves nothing", spoke)
				}
			}
		}
	}
	// A fleet as fleets are, some of it in risky places, and its use grows.
	spec := BookSpec{Settings: []Spec{
		{Services: []string{"data"}, Peers: []string{"198.51.100.20", "iot.example"}, Fixed: true, Rules: map[string]api.UsageRuleSetting{
			Volume: {Limits: map[string]float64{"drift-days": 3, "drift-bytes": 0, "drift-times": 1.5}},
		}},
		{Services: []string{"data", "sms"}, Peers: []string{"198.51.100.20", "192.0.2.0/24"}, Homes: []string{"460"}},
		{Services: []string{"data", "sms", "voice"}},
		{Services: []string{"data"}, Fixed: true, Bytes: 2e7, Countries: []string{"460"}, Hours: []api.Window{{Zone: "Asia/Shanghai", From: "06:00", To: "23:00"}}},
		{Services: []string{"data"}, Peers: []string{"198.51.100.1", "198.51.100.2", "198.51.100.16/28", "203.0.113.7"}, Rules: map[string]api.UsageRuleSetting{
			Volume: {Limits: map[string]float64{"most-bytes": 1e6}},
		}},
	}}
	var list []AreaLine
	for i := range 2000 {
		list = append(list, AreaLine{Area: strconv.Itoa(i + 1), Lat: 30 + float64(i%50)/10, Lon: 110 + float64(i/50)/10, Located: true, Km: 10, Risk: []string{"", "risky", "high"}[i%3]})
	}
	book, areas := must(NewBook(spec, keys)), must(NewAreas(list, keys))
	for _, day := range []float64{24, 288} {
		lines, _, events, at := mix(t, 60, 40_000, day)
		kinds := map[uint64]uint32{}
		for i := range lines {
			kinds[lines[i].Card] = lines[i].Settings()
			switch i % 20 {
			case 2:
				kinds[lines[i].Card] = 3
			case 4, 14:
				kinds[lines[i].Card] = 4
			}
		}
		for i := range events {
			e := &events[i]
			e.Volume *= float32(math.Exp2(float64(e.Sec-events[0].Sec) / (4 * 86400)))
			e.Area = at[i]/7%3 + 1
			switch at[i] % 20 {
			case 9: // there is no word of where it is
				e.PLMN, e.Area, e.Cell = 0, 0, 0
			case 1: // only of the cell
				e.PLMN, e.Area = 0, 0
			}
			switch i % 40 { // and now and then it is not as it was
			case 7:
				e.Use = cdr.NewUse(cdr.Data, 0, 7200, 0)
			case 17:
				e.PLMN, e.Area, e.Cell = 0, 0, 0
			case 27:
				e.IMEI = 0
			case 37:
				e.Volume = 3e6
			}
		}
		silent, spoke := bothWays(t, book, areas, 0, &Usual{}, events, func(card uint64) uint32 { return kinds[card] })
		if silent < len(events)/4 || day == 24 && spoke < 100 {
			t.Fatalf("of %d of %d events nothing was said, and something of %d: that proves nothing", silent, len(events), spoke)
		}
	}
}
