package rules

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// at is a place: area and cell.
func at(area, cell string) func(*cdr.Record) {
	return func(r *cdr.Record) { r.Area, r.Cell = area, cell }
}

func in(plmn string) func(*cdr.Record) { return func(r *cdr.Record) { r.PLMN = plmn } }

// map of places: areas 100 (Beijing), 101 (10 km north), 900 (Shanghai), 999 is
// not on it; cell 70001 is in Beijing.
func places(t *testing.T) *Areas {
	t.Helper()
	a, err := NewAreas([]AreaLine{
		{Area: "100", Lat: 39.90, Lon: 116.40, Located: true, Km: 5},
		{Area: "101", Lat: 39.99, Lon: 116.40, Located: true, Km: 5},
		{Area: "900", Lat: 31.23, Lon: 121.47, Located: true, Km: 5},
		{PLMN: "46000", Area: "100", Cell: "70001", Lat: 39.91, Lon: 116.41, Located: true},
		{Area: "666", Risk: "risky"},
		{Area: "667", Risk: "high"},
		{Area: "668", Risk: "watched"},
		{PLMN: "455", Risk: "risky"},
		{PLMN: "45503", Risk: "high"},
	}, keys)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// settle gives a card days of records at home, one an hour, that end an hour
// before t0. Nothing may be said.
func (c *card) settle(days int, f ...func(*cdr.Record)) {
	c.t.Helper()
	for h := -24 * days; h < 0; h++ {
		if got := c.feed(rec(time.Duration(h)*time.Hour, f...)); len(got) > 0 {
			c.t.Fatalf("%d hours before, an honest record: %v", -h, got)
		}
	}
}

var camera = Spec{Fixed: true}

// calm is a camera whose moves nobody asks about.
var calm = Spec{Fixed: true, Rules: map[string]api.UsageRuleSetting{Moved: {Off: true}}}

func TestMoved(t *testing.T) {
	const unknown, far = "sim-moved/0 deviation medium", "sim-moved/1 deviation high"
	type visit struct {
		after time.Duration
		where func(*cdr.Record)
		want  []string
	}
	home := at("100", "70001")
	for _, tt := range []struct {
		name   string
		spec   Spec
		areas  bool
		visits []visit
	}{
		{"another cell of the home area", camera, false, []visit{{0, at("100", "70002"), nil}, {1, at("100", "70003"), nil}, {2, at("100", "70003"), nil}, {3, at("100", "70003"), nil}, {4, at("100", "70003"), nil}}},
		{"carried off, no map: after four records", camera, false, []visit{{0, at("200", "80001"), nil}, {1, at("200", "80001"), nil}, {2, at("200", "80001"), nil}, {3, at("200", "80001"), []string{unknown}}, {4, at("200", "80001"), nil}, {24, at("200", "80001"), []string{unknown}}, {25, home, nil}, {26, home, nil}}},
		{"carried through many places", camera, false, []visit{{0, at("200", "80001"), nil}, {1, at("201", "80002"), nil}, {2, at("202", "80003"), nil}, {3, at("203", "80004"), []string{unknown}}}},
		{"a neighbour area flaps", camera, false, []visit{{0, at("200", "80001"), nil}, {1, home, nil}, {2, at("200", "80001"), nil}, {3, at("200", "80001"), nil}, {4, at("200", "80001"), nil}, {5, at("200", "80001"), nil}, {6, at("200", "80001"), nil}}},
		{"far by the map: at once", camera, true, []visit{{0, at("900", "80001"), []string{far}}, {1, at("900", "80001"), nil}, {24, at("900", "80002"), []string{far}}, {25, home, nil}, {48, home, nil}}},
		{"next area by the map is within the radius and the reaches", Spec{Fixed: true, Rules: limits(Moved, "radius-km", 5)}, true, []visit{{0, at("101", "80001"), nil}, {1, at("101", "80001"), nil}, {2, at("101", "80001"), nil}, {3, at("101", "80001"), nil}, {4, at("101", "80001"), nil}}},
		{"off the map", camera, true, []visit{{0, at("999", "80001"), nil}, {1, at("999", "80001"), nil}, {2, at("999", "80001"), nil}, {3, at("999", "80001"), []string{unknown}}}},
		{"a record without a place", camera, true, []visit{{0, func(r *cdr.Record) { r.PLMN, r.Area, r.Cell = "", "", "" }, nil}}},
		{"a device that may move", Spec{}, false, []visit{{0, at("200", "80001"), nil}, {1, at("200", "80001"), nil}, {2, at("200", "80001"), nil}, {3, at("200", "80001"), nil}, {4, at("200", "80001"), nil}}},
		{"k of the settings", Spec{Fixed: true, Rules: limits(Moved, "records", 2)}, false, []visit{{0, at("200", "80001"), nil}, {1, at("200", "80001"), []string{unknown}}}},
		{"late records say nothing of where it is", camera, true, []visit{{-2, at("101", "80001"), nil}, {0, home, nil}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.spec)
			if tt.areas {
				c.env.Areas = places(t)
			}
			c.settle(5, home)
			for i, v := range tt.visits {
				c.want(tt.name+" "+string(rune('0'+i)), c.feed(rec(v.after*time.Hour, v.where)), v.want...)
			}
		})
	}
}

func limits(rule, name string, v float64) map[string]api.UsageRuleSetting {
	return map[string]api.UsageRuleSetting{rule: {Limits: map[string]float64{name: v}}}
}

// Until home is settled nothing is said: a device is made, stored, brought and
// put up.
func TestMoved_learns(t *testing.T) {
	c := newCard(t, camera)
	c.env.Areas = places(t)
	c.want("in the factory", c.feed(rec(-72*time.Hour, at("900", "80001"))))
	c.want("on the way", c.feed(rec(-60*time.Hour, at("999", "1"))))
	c.want("put up", c.feed(rec(-50*time.Hour, at("100", "70001"))))
	for h := -48; h < 24*4; h++ {
		c.want("at work", c.feed(rec(time.Duration(h)*time.Hour, at("100", "70001"))))
	}
	c.want("carried off", c.feed(rec(24*5*time.Hour, at("900", "80001"))), "sim-moved/1 deviation high")
	if v := c.l.View(c.env.Side); !v.Moved || !v.Located || v.Lat < 31 || v.Lat > 32 {
		t.Errorf("the card's view: %+v", v)
	}
}

// A planned move: in a maintenance window the new place becomes home.
func TestMoved_planned(t *testing.T) {
	c := newCard(t, camera, func(b *BookSpec) {
		b.Exceptions = []Exception{{ID: "x", Kind: api.ExceptWindow, Card: cdr.CardKey(imsi), Rules: []string{Moved, Travel}, From: t0, Until: t0.Add(2 * time.Hour)}}
	})
	c.env.Areas = places(t)
	c.settle(5)
	c.want("brought to Shanghai", c.feed(rec(time.Hour, at("900", "80001"))))
	for h := range 48 {
		c.want("at work there", c.feed(rec(time.Duration(2+h)*time.Hour, at("900", "80001"))))
	}
	c.want("back in Beijing", c.feed(rec(60*time.Hour, at("100", "70001"))), "sim-moved/1 deviation high")
}

// Neighbourhoods are bounded: a device that sees thousands of cells costs no
// more than maxCells.
func TestMoved_bounded(t *testing.T) {
	c := newCard(t, camera)
	c.settle(5)
	for i := range 500 {
		area := string(rune('a'+i%26)) + string(rune('a'+i/26))
		c.feed(rec(time.Duration(2*i)*time.Hour, at(area, "1")))
		c.want("home", c.feed(rec(time.Duration(2*i+1)*time.Hour)))
	}
	if s := c.env.Side.Stats(); s.Homes != 0 || s.Cells != maxCells/3 {
		t.Errorf("%+v, want no home and %d blocks of cells", s, maxCells/3)
	}
	c.env.Side.Drop(&c.l)
	if s := c.env.Side.Stats(); s.Homes != 0 || s.Cells != 0 {
		t.Errorf("after the card was forgotten: %+v", s)
	}
}

func TestRoaming(t *testing.T) {
	spec := Spec{Homes: []string{"46000", "454"}}
	for _, tt := range []struct {
		name string
		spec Spec
		f    []func(*cdr.Record)
		want []string
	}{
		{"home network", spec, nil, nil},
		{"network of a home country", spec, []func(*cdr.Record){in("45412")}, nil},
		{"another network at home", spec, []func(*cdr.Record){in("46001")}, []string{"sim-roaming/0 deviation medium"}},
		{"abroad", spec, []func(*cdr.Record){in("310410")}, []string{"sim-roaming/0 deviation medium"}},
		{"network not told", spec, []func(*cdr.Record){in("")}, nil},
		{"no homes set", Spec{}, []func(*cdr.Record){in("310410")}, nil},
		{"risky area", calm, []func(*cdr.Record){at("666", "1")}, []string{"sim-roaming/1 deviation medium"}},
		{"area of high risk", Spec{}, []func(*cdr.Record){at("667", "1")}, []string{"sim-roaming/2 deviation high"}},
		{"watched area", Spec{}, []func(*cdr.Record){at("668", "1")}, nil},
		{"area of which nothing is said", Spec{}, []func(*cdr.Record){at("665", "1")}, nil},
		{"risky country", calm, []func(*cdr.Record){in("45501")}, []string{"sim-roaming/1 deviation medium"}},
		{"worse network of a risky country", Spec{}, []func(*cdr.Record){in("45503")}, []string{"sim-roaming/2 deviation high"}},
		{"abroad and risky", Spec{Homes: spec.Homes, Fixed: true, Rules: map[string]api.UsageRuleSetting{Moved: {Off: true}}}, []func(*cdr.Record){in("45501")}, []string{"sim-roaming/0 deviation medium", "sim-roaming/1 deviation medium"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, late := range []bool{false, true} {
				c := newCard(t, tt.spec)
				c.env.Areas = places(t)
				c.settle(9)
				if late {
					c.feed(rec(time.Hour))
				}
				c.want(tt.name, c.feed(rec(0, tt.f...)), tt.want...)
				if !late {
					c.want("again the same day", c.feed(rec(time.Minute, tt.f...)))
					c.want("the next day, same place", c.feed(rec(24*time.Hour, tt.f...)), tt.want...)
				}
			}
		})
	}
}

func TestTravel(t *testing.T) {
	const fast, clone = "sim-travel/0 deviation high", "sim-travel/1 attack critical"
	shanghai := at("900", "80001") // 1,070 km from Beijing
	long := func(r *cdr.Record) { r.Duration = 3 * time.Hour }
	for _, tt := range []struct {
		name  string
		first []func(*cdr.Record)
		after time.Duration
		then  []func(*cdr.Record)
		want  []string
	}{
		{"by air", nil, 70 * time.Minute, []func(*cdr.Record){shanghai}, nil},
		{"faster than anything", nil, 50 * time.Minute, []func(*cdr.Record){shanghai}, []string{fast}},
		{"at once", nil, 0, []func(*cdr.Record){shanghai}, []string{fast}},
		{"the first session had not ended", []func(*cdr.Record){long}, 50 * time.Minute, []func(*cdr.Record){shanghai}, []string{clone}},
		{"the first session had not ended, by air", []func(*cdr.Record){long}, 100 * time.Minute, []func(*cdr.Record){shanghai}, nil},
		{"in other equipment", nil, 50 * time.Minute, []func(*cdr.Record){shanghai, equipment(phone)}, []string{"separation/1 attack critical", clone}},
		{"time made up by the receiver", nil, 0, []func(*cdr.Record){shanghai, func(r *cdr.Record) { r.Estimated = true }}, nil},
		{"place not on the map", nil, 0, []func(*cdr.Record){at("999", "1")}, nil},
		{"place not told", nil, 0, []func(*cdr.Record){at("", "")}, nil},
		{"next area", nil, 0, []func(*cdr.Record){at("101", "80001")}, nil},
		{"late, and no way to have come from there", nil, -50 * time.Minute, []func(*cdr.Record){shanghai}, []string{fast}},
		{"late, by air", nil, -80 * time.Minute, []func(*cdr.Record){shanghai}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, Spec{})
			c.env.Areas = places(t)
			c.want("the first record", c.feed(rec(0, tt.first...)))
			c.want(tt.name, c.feed(rec(tt.after, tt.then...)), tt.want...)
		})
	}
}

// A device that does not move is not flown about with its session open. The record
// of a long session comes after those of short ones that began in it.
func TestTravel_session(t *testing.T) {
	const fast, clone = "sim-travel/0 deviation high", "sim-travel/1 attack critical"
	shanghai := at("900", "80001") // 1,070 km from Beijing
	long := func(d time.Duration) func(*cdr.Record) { return func(r *cdr.Record) { r.Duration = d } }
	moved := Spec{Fixed: true, Rules: map[string]api.UsageRuleSetting{Moved: {Off: true}}}
	for _, tt := range []struct {
		name  string
		spec  Spec
		first []func(*cdr.Record)
		after time.Duration
		then  []func(*cdr.Record)
		want  []string
	}{
		{"late, and it lasted until the other began", moved, nil, -90 * time.Minute, []func(*cdr.Record){shanghai, long(2 * time.Hour)}, []string{clone}},
		{"late, and it had ended a little before", moved, nil, -75 * time.Minute, []func(*cdr.Record){shanghai, long(70 * time.Minute)}, []string{fast}},
		{"late, and it had ended long before", moved, nil, -75 * time.Minute, []func(*cdr.Record){shanghai, long(10 * time.Minute)}, nil},
		{"the same of a device that moves", Spec{}, nil, -90 * time.Minute, []func(*cdr.Record){shanghai, long(2 * time.Hour)}, nil},
		{"the newest still goes on", moved, []func(*cdr.Record){long(2 * time.Hour)}, 90 * time.Minute, []func(*cdr.Record){shanghai}, []string{clone}},
		{"the newest had ended long before", moved, []func(*cdr.Record){long(10 * time.Minute)}, 90 * time.Minute, []func(*cdr.Record){shanghai}, nil},
		{"nobody is as slow as that", moved, []func(*cdr.Record){long(4 * time.Hour)}, 170 * time.Minute, []func(*cdr.Record){shanghai}, nil},
		{"late, of next door", moved, nil, -10 * time.Minute, []func(*cdr.Record){at("101", "80001"), long(time.Hour)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.spec)
			c.env.Areas = places(t)
			c.settle(9)
			c.want("the first record", c.feed(rec(0, tt.first...)))
			c.want(tt.name, c.feed(rec(tt.after, tt.then...)), tt.want...)
		})
	}
}

// Records without a place in between take nothing away from what is known of
// when the card was where; after four and a half hours nothing is known.
func TestTravel_recordsWithoutAPlace(t *testing.T) {
	for _, tt := range []struct {
		between time.Duration
		after   time.Duration
		want    []string
	}{{40 * time.Minute, 50 * time.Minute, []string{"sim-travel/0 deviation high"}}, {50 * time.Minute, 75 * time.Minute, nil}, {5 * time.Hour, 5*time.Hour + time.Minute, nil}} {
		c := newCard(t, Spec{})
		c.env.Areas = places(t)
		c.feed(rec(0))
		for d := time.Minute; d <= tt.between; d += time.Minute {
			c.feed(rec(d, at("", ""), in("")))
		}
		c.want(tt.after.String(), c.feed(rec(tt.after, at("900", "80001"))), tt.want...)
	}
}

// Cells of one area are looked at no further only where they tell nothing more:
// a risky cell of an area that is not is seen.
func TestRoaming_riskyCell(t *testing.T) {
	for _, spec := range []Spec{calm, {Rules: limits(Roaming, "passing", 0)}} {
		c := newCard(t, spec)
		c.env.Areas = must(NewAreas([]AreaLine{{PLMN: "46000", Area: "100", Cell: "70009", Risk: "risky"}, {PLMN: "46000", Area: "100", Cell: "70001"}}, keys))
		c.settle(9)
		c.want("another cell", c.feed(rec(0, at("100", "70001"))))
		c.want("the risky cell", c.feed(rec(time.Hour, at("100", "70009"))), "sim-roaming/1 deviation medium")
	}
}

// A card that lives in a risky place is at home there, in one of high risk it is
// not.
func TestRoaming_home(t *testing.T) {
	c := newCard(t, Spec{})
	c.env.Areas = places(t)
	c.want("put up in a risky place", c.feed(rec(0, at("666", "1"))))
	c.want("still there", c.feed(rec(48*time.Hour, at("666", "2"))))
	c.want("at home in another", c.feed(rec(49*time.Hour, at("100", "1"))))
	for h := range 9 * 24 {
		c.feed(rec(time.Duration(50+h)*time.Hour, at("100", "1")))
	}
	c.want("back", c.feed(rec(50*time.Hour+9*day, at("666", "1"))))
	c.want("in a worse place", c.feed(rec(51*time.Hour+9*day, at("667", "1"))), "sim-roaming/2 deviation high")
	c.want("and again", c.feed(rec(96*time.Hour+9*day, at("667", "1"))), "sim-roaming/2 deviation high")
	c = newCard(t, Spec{})
	c.env.Areas = places(t)
	c.settle(9)
	c.want("a car comes through", c.feed(rec(0, at("666", "1"))))
	c.want("on its way", c.feed(rec(time.Hour, at("666", "2"))))
	c.want("is still there the next day", c.feed(rec(11*time.Hour, at("666", "2"))), "sim-roaming/1 deviation medium")
	c = newCard(t, Spec{Rules: limits(Roaming, "passing", 0)})
	c.env.Areas = places(t)
	c.settle(9)
	c.want("settings: at once", c.feed(rec(0, at("666", "1"))), "sim-roaming/1 deviation medium")
	c = newCard(t, Spec{})
	c.env.Areas = places(t)
	c.want("first seen where fraud comes from", c.feed(rec(0, at("667", "1"))), "sim-roaming/2 deviation high")
}

// Two pieces of equipment far apart take turns, each slowly enough to have
// travelled.
func TestTravel_turns(t *testing.T) {
	c := newCard(t, Spec{Rules: map[string]api.UsageRuleSetting{Separation: {Off: true}}})
	c.env.Areas = places(t)
	var got []string
	for i := range 8 {
		d := time.Duration(i-4)*100*time.Minute - 4*time.Hour
		if i%2 == 0 {
			got = append(got, c.feed(rec(d))...)
		} else {
			got = append(got, c.feed(rec(d, at("900", "80001"), equipment(phone)))...)
		}
	}
	c.want("turns", got, "sim-travel/1 attack critical")

	c = newCard(t, Spec{Rules: map[string]api.UsageRuleSetting{Separation: {Off: true}}})
	c.env.Areas = places(t)
	got = nil
	for i := range 8 {
		got = append(got, c.feed(rec(time.Duration(i)*time.Minute, equipment([]string{bound, phone}[i%2])))...)
	}
	c.want("turns in one place", got)
}
