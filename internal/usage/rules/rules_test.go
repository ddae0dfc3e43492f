package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

const (
	imsi  = "460001234567890"
	bound = "356938035643809" // TAC 35693803
	twin  = "356938039999993" // same TAC
	phone = "490154203237518" // another
)

var (
	t0   = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)
	keys = cdr.NewKeys([32]byte{1, 2, 3})
)

// card is one card under test: feed it records, read what is said.
type card struct {
	t   *testing.T
	l   Line
	env *Env
	s   *Settings
	rec *cdr.Record
}

// newCard makes a card with a declared binding that has been used once at t0.
func newCard(t *testing.T, spec Spec, change ...func(*BookSpec)) *card {
	t.Helper()
	b := BookSpec{Settings: []Spec{spec}}
	for _, f := range change {
		f(&b)
	}
	book, err := NewBook(b, keys)
	if err != nil {
		t.Fatal(err)
	}
	c := &card{t: t, env: &Env{Book: book, Side: NewSide(0)}, s: book.Settings(0)}
	c.env.Record = func(*cdr.Event) *cdr.Record { return c.rec }
	c.l.Card = cdr.CardKey(imsi)
	c.l.Bind(cdr.EquipmentKey(bound), c.env.Side)
	return c
}

// rec is an honest record at t0 after d; f changes it.
func rec(d time.Duration, f ...func(*cdr.Record)) cdr.Record {
	r := cdr.Record{Time: t0.Add(d), IMSI: imsi, IMEI: bound, Service: cdr.Data, Peer: "198.51.100.20", APN: "iot.example", Up: 100, Down: 200, PLMN: "46000", Area: "100", Cell: "70001"}
	for _, f := range f {
		f(&r)
	}
	return r
}

// step judges a record.
func (c *card) step(r cdr.Record) Fired {
	c.t.Helper()
	e, err := keys.Event(&r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.rec = &r
	return Step(&c.l, c.s, &e, c.env)
}

// feed judges a record and gives what is said, as "rule/variant nature severity
// stage".
func (c *card) feed(r cdr.Record) (out []string) {
	c.t.Helper()
	e, err := keys.Event(&r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.rec = &r
	f := Step(&c.l, c.s, &e, c.env)
	for st := range f.All() {
		x := Explain(st, c.s, &e, &r, c.env)
		if x.Title == "" || !strings.HasPrefix(x.Attack, "T1") || len(x.Facts) == 0 {
			c.t.Errorf("statement lacks something: %+v", x)
		}
		for _, secret := range []string{imsi, bound, twin, phone, bound[:14], twin[:14], phone[:14], "13800138000"} {
			if strings.Contains(fmt.Sprintf("%+v", x), secret) {
				c.t.Errorf("statement gives away %s: %+v", secret, x)
			}
		}
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s/%d %s %s %s", st.Rule, st.Variant, x.Nature, x.Severity, x.Stage)))
	}
	return out
}

func (c *card) want(what string, got []string, want ...string) {
	c.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		c.t.Errorf("%s: %s", what, d)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var meter = Spec{Services: []string{"data"}, Peers: []string{"198.51.100.20", "192.0.2.0/28", "2001:db8:7::/48", "iot.example"}}

func equipment(imei string) func(*cdr.Record) {
	return func(r *cdr.Record) { r.IMEI = ringwall.IMEI(imei) }
}

func sms(d cdr.Direction, peer string) func(*cdr.Record) {
	return func(r *cdr.Record) { r.Service, r.Direction, r.Peer, r.APN, r.Up, r.Down = cdr.SMS, d, peer, "", 0, 0 }
}

func voice(d cdr.Direction, peer string, long time.Duration) func(*cdr.Record) {
	return func(r *cdr.Record) {
		r.Service, r.Direction, r.Peer, r.APN, r.Up, r.Down, r.Duration = cdr.Voice, d, peer, "", 0, 0, long
	}
}

func peer(p string) func(*cdr.Record) { return func(r *cdr.Record) { r.Peer = p } }

func TestSeparationServicePeer(t *testing.T) {
	phoneOff := "+8613800138000"
	for _, tt := range []struct {
		name string
		spec Spec
		free bool // no declared binding
		rec  []func(*cdr.Record)
		want []string
	}{
		{"as it should be", meter, false, nil, nil},
		{"same equipment as IMEISV", meter, false, []func(*cdr.Record){equipment(bound[:14] + "07")}, nil},
		{"another software version", meter, false, []func(*cdr.Record){equipment(bound[:14] + "99")}, nil},
		{"no equipment named", meter, false, []func(*cdr.Record){equipment("")}, nil},
		{"other equipment, same model", meter, false, []func(*cdr.Record){equipment(twin)}, []string{"separation/0 attack high"}},
		{"other equipment, other model", meter, false, []func(*cdr.Record){equipment(phone)}, []string{"separation/1 attack critical"}},
		{"all-zero equipment is other equipment", meter, false, []func(*cdr.Record){equipment("000000000000000")}, []string{"separation/1 attack critical"}},
		{"learned binding, same model", meter, true, []func(*cdr.Record){equipment(twin)}, []string{"separation/0 deviation medium"}},
		{"learned binding, other model", meter, true, []func(*cdr.Record){equipment(phone)}, []string{"separation/1 deviation high"}},
		{"message sent by the device", meter, false, []func(*cdr.Record){sms(cdr.Originated, phoneOff)}, []string{"sim-service/1 attack high action"}},
		{"call made from elsewhere says nothing of the device", meter, false, []func(*cdr.Record){voice(cdr.Originated, phoneOff, 0), equipment(phone)}, []string{"separation/1 attack critical", "sim-service/1 attack high"}},
		{"message received", meter, false, []func(*cdr.Record){sms(cdr.Terminated, phoneOff)}, []string{"sim-service/0 deviation low"}},
		{"call, direction not told", meter, false, []func(*cdr.Record){voice(cdr.DirectionUnknown, phoneOff, 0)}, []string{"sim-service/0 deviation medium action"}},
		{"services unknown", Spec{}, false, []func(*cdr.Record){voice(cdr.Originated, phoneOff, 0)}, nil},
		{"no service at all is a statement", Spec{Judged: true}, false, nil, []string{"sim-service/0 deviation medium action"}},
		{"one way: in", Spec{Services: []string{"data", "sms"}, OnlyIn: []string{"sms"}}, false, []func(*cdr.Record){sms(cdr.Terminated, phoneOff)}, nil},
		{"one way: out", Spec{Services: []string{"data", "sms"}, OnlyIn: []string{"sms"}}, false, []func(*cdr.Record){sms(cdr.Originated, phoneOff)}, []string{"sim-service/1 attack high action"}},
		{"one way: not told", Spec{Services: []string{"data", "sms"}, OnlyIn: []string{"sms"}}, false, []func(*cdr.Record){sms(cdr.DirectionUnknown, phoneOff)}, nil},
		{"only out, called", Spec{Services: []string{"voice"}, OnlyOut: []string{"voice"}}, false, []func(*cdr.Record){voice(cdr.Terminated, phoneOff, 0)}, []string{"sim-service/0 deviation low"}},
		{"peer in a network of the list", meter, false, []func(*cdr.Record){peer("192.0.2.9")}, nil},
		{"last of the network", meter, false, []func(*cdr.Record){peer("192.0.2.15")}, nil},
		{"first after the network", meter, false, []func(*cdr.Record){peer("192.0.2.16")}, []string{"sim-peer/0 deviation medium command"}},
		{"peer as mapped address", meter, false, []func(*cdr.Record){peer("::ffff:198.51.100.20")}, nil},
		{"neighbour of a listed address", meter, false, []func(*cdr.Record){peer("198.51.100.21")}, []string{"sim-peer/0 deviation medium command"}},
		{"IPv6 in a network of the list", meter, false, []func(*cdr.Record){peer("2001:db8:7::9")}, nil},
		{"IPv6 off the list", meter, false, []func(*cdr.Record){peer("2001:db8:8::9")}, []string{"sim-peer/0 deviation medium command"}},
		{"a name is no address", meter, false, []func(*cdr.Record){peer("cloud.example")}, nil},
		{"access point off the list", meter, false, []func(*cdr.Record){func(r *cdr.Record) { r.APN = "internet" }}, []string{"sim-peer/1 deviation medium command"}},
		{"access point in capitals", meter, false, []func(*cdr.Record){func(r *cdr.Record) { r.APN = "IOT.Example" }}, nil},
		{"no peer named", meter, false, []func(*cdr.Record){func(r *cdr.Record) { r.Peer, r.APN = "", "" }}, nil},
		{"any peer", Spec{}, false, []func(*cdr.Record){peer("203.0.113.9")}, nil},
		{"number off the list", Spec{Peers: []string{"10086"}}, false, []func(*cdr.Record){sms(cdr.Originated, phoneOff)}, []string{"sim-peer/0 deviation medium command"}},
		{"number on the list, with a plus", Spec{Peers: []string{"8613800138000"}}, false, []func(*cdr.Record){sms(cdr.Originated, phoneOff)}, nil},
		{"a number too long for a key", Spec{Peers: []string{"10086"}}, false, []func(*cdr.Record){sms(cdr.Originated, "10691234567890123456")}, []string{"sim-peer/0 deviation medium command"}},
		{"a sender with a name is no number", Spec{Peers: []string{"10086"}}, false, []func(*cdr.Record){sms(cdr.Terminated, "BANK")}, nil},
		{"numbers say nothing of addresses", Spec{Peers: []string{"10086"}}, false, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCard(t, tt.spec)
			if tt.free {
				c.l.Bind(0, c.env.Side)
			}
			if !tt.spec.Judged && tt.spec.OnlyOut == nil {
				c.want("an honest record", c.feed(rec(-time.Minute)))
			}
			c.want("the record", c.feed(rec(0, tt.rec...)), tt.want...)
		})
	}
}

// A rule speaks once a day, and again when it is worse; of two days it is
// remembered.
func TestStep_saysOnceADay(t *testing.T) {
	c := newCard(t, Spec{})
	var got []string
	for i, imei := range []string{twin, twin, phone, phone, twin} {
		got = append(got, c.feed(rec(time.Duration(i)*time.Minute, equipment(imei)))...)
	}
	got = append(got, c.feed(rec(24*time.Hour, equipment(twin)))...)
	got = append(got, c.feed(rec(10*time.Minute, equipment(phone)))...) // late, of yesterday
	c.want("said", got, "separation/0 attack high", "separation/1 attack critical", "separation/0 attack high")
}

func TestStep_lateAndFuture(t *testing.T) {
	c := newCard(t, Spec{})
	c.env.Horizon = uint32(t0.Add(time.Hour).Unix())
	c.feed(rec(0))
	if f := c.step(rec(-26*time.Hour, equipment(phone))); f&Late == 0 || f&Speaks != 1<<sepOther {
		t.Errorf("a late record in other equipment: %x", f)
	}
	if c.l.Away() || c.l.Last() != uint32(t0.Unix()) {
		t.Error("a late record changed the present")
	}
	// Who looks at many cards at once hears of late ones too.
	for _, tt := range []struct {
		f    func(*cdr.Record)
		want Fired
	}{{equipment(phone), Strange | Unlisted}, {equipment(bound), Unlisted}} {
		c.env.Usual = &Usual{}
		if f := c.step(rec(-25*time.Hour, tt.f)); f&(Strange|Unlisted|Arrived) != tt.want {
			t.Errorf("late: %x, want %x", f, tt.want)
		}
		c.env.Usual.Add(0, must(keys.Event(new(rec(0)))).Peer, uint16(t0.Add(-25*time.Hour).Unix()/86400))
		if f := c.step(rec(-25*time.Hour, tt.f)); f&(Strange|Unlisted|Arrived) != tt.want&^Unlisted {
			t.Errorf("late, and usual: %x, want %x", f, tt.want&^Unlisted)
		}
		c.env.Usual = nil
	}
	before := c.l
	if f := c.step(rec(50*365*24*time.Hour, equipment(twin))); f&Future == 0 || f&Speaks != 1<<sepModel {
		t.Errorf("a record from the future: %x", f)
	}
	if c.l != before {
		t.Error("a record from the future changed the card")
	}
	n := 0
	for i := range 5 {
		n += len(c.feed(rec(time.Duration(i)*time.Minute, equipment(phone))))
	}
	if n != 1 {
		t.Errorf("after one from the future, one day made %d statements, want 1", n)
	}
	d := newCard(t, Spec{})
	n = 0
	for _, at := range []time.Duration{-24 * time.Hour, 0, -24 * time.Hour, 0} {
		n += len(d.feed(rec(at, equipment(twin))))
	}
	if n != 2 {
		t.Errorf("two days made %d statements, want 2", n)
	}
}

func TestLine_binding(t *testing.T) {
	c := newCard(t, Spec{})
	c.l.Bind(0, c.env.Side)
	if f := c.step(rec(0)); f&Rebound == 0 || f&First == 0 {
		t.Errorf("the first record: %x, want it to bind", f)
	}
	if eq, declared := c.l.Bound(); eq != cdr.EquipmentKey(bound) || declared {
		t.Errorf("bound to %d, declared %v", eq, declared)
	}
	if f := c.step(rec(time.Minute, equipment(phone))); f&Strange == 0 || !c.l.Away() || c.l.Seen(c.env.Side) != cdr.EquipmentKey(phone) {
		t.Errorf("other equipment: %x", f)
	}
	if f := c.step(rec(2*time.Minute, equipment(phone))); f&Strange != 0 {
		t.Errorf("the same other equipment is strange again: %x", f)
	}
	if f := c.step(rec(3 * time.Minute)); f&Returned == 0 || f&Speaks != 0 || c.l.Away() {
		t.Errorf("back home: %x", f)
	}
	if f := c.step(rec(4 * time.Minute)); f&Returned != 0 {
		t.Errorf("it returns twice: %x", f)
	}
}

func TestSeparation_poolsAndSwaps(t *testing.T) {
	pool := func(b *BookSpec) {
		b.Settings[0].Pools = []string{"depot"}
		b.Pools = []Pool{{Name: "depot", TACs: []string{"49015420"}, Equipment: []uint64{cdr.EquipmentKey(twin)}}}
	}
	c := newCard(t, Spec{}, pool)
	c.want("of the pool", c.feed(rec(0, equipment(twin))))
	c.want("a model of the pool", c.feed(rec(1, equipment(phone))))
	c.want("neither", c.feed(rec(2, equipment("357000000000000"))), "separation/1 attack critical")

	swap := func(to uint64, from, until time.Duration) func(b *BookSpec) {
		return func(b *BookSpec) {
			b.Exceptions = []Exception{{ID: "x", Kind: api.ExceptSwap, Card: cdr.CardKey(imsi), Equipment: to, From: t0.Add(from), Until: t0.Add(until)}}
		}
	}
	c = newCard(t, Spec{}, swap(cdr.EquipmentKey(phone), 0, time.Hour))
	c.want("before the swap", c.feed(rec(-time.Second, equipment(phone))), "separation/1 attack critical")
	c.want("another than planned", c.feed(rec(time.Minute, equipment(twin))), "separation/0 attack high")
	if f := c.step(rec(2*time.Minute, equipment(phone))); f&Speaks != 0 || f&Rebound == 0 {
		t.Errorf("the planned swap: %x", f)
	}
	c.want("after the window the new one is the bound one", c.feed(rec(26*time.Hour, equipment(phone))))
	c.want("and the old one is not", c.feed(rec(27*time.Hour)), "separation/1 attack critical")

	c = newCard(t, Spec{}, swap(cdr.EquipmentKey(phone), 0, time.Hour))
	c.feed(rec(-30 * 24 * time.Hour))
	c.want("a meter that reports once a month", c.feed(rec(24*time.Hour, equipment(phone))))
	c.want("late, from before the swap", c.feed(rec(-time.Minute)))
	c.want("late, from before the swap, in another", c.feed(rec(-time.Minute, equipment(twin))), "separation/1 attack critical")
	c.want("late, from after the swap", c.feed(rec(24*time.Hour+time.Minute, equipment(phone))))
	c = newCard(t, Spec{}, swap(cdr.EquipmentKey(phone), 0, time.Hour))
	c.feed(rec(2 * time.Hour))
	c.want("it was heard of after the window, where it was", c.feed(rec(24*time.Hour, equipment(phone))), "separation/1 attack critical")

	c = newCard(t, Spec{}, swap(0, 0, time.Hour))
	c.want("any new one", c.feed(rec(time.Minute, equipment(phone))))
	c.want("after the window", c.feed(rec(time.Hour, equipment(twin))), "separation/1 attack critical")
}

func TestStatements_namesAndBits(t *testing.T) {
	seen := map[string]bool{}
	for i, st := range Statements() {
		id := fmt.Sprint(st.Rule, "/", st.Variant)
		if seen[id] || st.Rule == "" || int(st.bit) != i {
			t.Errorf("statement %d is %q: there twice, nameless or in the wrong place", i, id)
		}
		seen[id] = true
		if !slices.ContainsFunc(All(), func(r Rule) bool { return r.Name == st.Rule && r.Why != "" && r.Version > 0 && r.Attack != "" }) {
			t.Errorf("statement %q is of no rule", id)
		}
	}
}
