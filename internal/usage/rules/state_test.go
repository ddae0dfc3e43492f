package rules

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/cdr"
)

// world is a few cards of several kinds and what happens to them: honest, wrong,
// late, from the future, in windows and exceptions.
type world struct {
	book   BookSpec
	areas  *Areas
	events []cdr.Event
	kind   func(card uint64) uint32
}

func newWorld(t testing.TB, seed uint64, n int) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{book: BookSpec{
		Version: 7,
		Settings: []Spec{
			{},
			{Customer: "acme", Services: []string{"data"}, Peers: []string{"198.51.100.20", "192.0.2.0/24", "iot.example"}, Homes: []string{"460"}, Fixed: true,
				Rules: map[string]api.UsageRuleSetting{Moved: {Limits: map[string]float64{"learn-days": 1}}, Dormant: {Limits: map[string]float64{"days": 3}}}},
			{Customer: "bus", Services: []string{"data", "sms"}, Rules: map[string]api.UsageRuleSetting{
				Burst:        {Limits: map[string]float64{"messages-hour": 2, "calls-hour": 2, "call-minutes": 2}},
				Verification: {Limits: map[string]float64{"messages": 3, "senders": 2}},
				Volume:       {Limits: map[string]float64{"learn-hours": 4, "learn-days": 2, "least-bytes": 1000, "drift-days": 3, "drift-bytes": 0, "drift-times": 1.5}}}},
			{Customer: "caps", Bytes: 20000, Messages: 3, Calls: 2, Countries: []string{"460"}, Areas: []string{"100", "101"}, Hours: []api.Window{{Zone: "Asia/Shanghai", From: "06:00", To: "22:00"}}},
		},
		Exceptions: []Exception{
			{ID: "w", Kind: api.ExceptWindow, Customer: "acme", From: t0.Add(20 * time.Hour), Until: t0.Add(30 * time.Hour)},
			{ID: "e", Kind: api.ExceptRule, Customer: "bus", Rules: []string{Burst, Separation}, From: t0.Add(50 * time.Hour), Until: t0.Add(70 * time.Hour)},
			{ID: "s", Kind: api.ExceptSwap, From: t0.Add(100 * time.Hour), Until: t0.Add(110 * time.Hour)},
		},
	}}
	var lines []AreaLine
	for i := range 8 {
		lines = append(lines, AreaLine{Area: fmt.Sprint(100 + i), Lat: 30 + float64(i*i), Lon: 110, Located: i != 5, Km: 5, Risk: []string{"", "", "", "risky", "", "", "high", ""}[i]})
	}
	w.areas = must(NewAreas(lines, keys))
	w.kind = func(card uint64) uint32 { return uint32(card % 4) }
	at := float64(t0.Unix())
	usual := map[uint64]uint64{}
	for i := range n {
		at += 400 * r.ExpFloat64()
		if r.IntN(200) == 0 {
			at += 4 * 3600
		}
		id := uint64(r.IntN(12))
		rc := rec(0, func(c *cdr.Record) {
			c.IMSI, c.IMEI = ringwall.IMSI(fmt.Sprint(460001230000000+id)), ringwall.IMEI(fmt.Sprint(35693803560000+id)+"0")
			c.Time, c.ID = time.Unix(int64(at), 0), fmt.Sprint(i)
			c.Up = uint64(1000*(1+id) + 4*uint64(i/10))
			if usual[id]++; r.IntN(60) == 0 {
				c.Up *= 5000
			}
			c.Area, c.Cell = "100", fmt.Sprint(70000+id)
			if r.IntN(10) == 0 {
				a := r.IntN(8)
				c.Area, c.Cell = fmt.Sprint(100+a), fmt.Sprint(70100+a)
			}
		})
		for range 1 + r.IntN(2) {
			switch r.IntN(16) {
			case 0:
				rc.IMEI = []ringwall.IMEI{twin, phone, "", bound}[r.IntN(4)]
			case 1, 2, 3:
				sms(cdr.Direction(r.IntN(3)), []string{"10086", "Bank", "95588", "10690001234", "+8613800138000"}[r.IntN(5)])(&rc)
			case 4:
				voice(cdr.Direction(r.IntN(3)), "+8613800138000", time.Duration(r.IntN(300))*time.Second)(&rc)
			case 5:
				rc.Peer = "203.0.113.9"
			case 6:
				rc.Time = rc.Time.Add(-time.Duration(r.IntN(72)) * time.Hour)
			case 7:
				rc.PLMN = []string{"45412", "310410", ""}[r.IntN(3)]
			case 8:
				rc.Area, rc.Cell = "", ""
			case 9:
				if r.IntN(4) == 0 {
					rc.Time = rc.Time.Add(time.Duration(r.IntN(1000)) * time.Hour)
				}
			case 10:
				rc.APN, rc.Peer = "internet", ""
			}
		}
		w.events = append(w.events, must(keys.Event(&rc)))
	}
	return w
}

// run judges the world and gives what was said, by rule, and the state of every
// card in the end, without and with what was said.
func (w *world) run(t testing.TB, change func(*BookSpec), from []byte, events []cdr.Event) (said map[string][]string, state []byte, all []string) {
	spec := w.book
	spec.Settings = slices.Clone(spec.Settings)
	if change != nil {
		change(&spec)
	}
	book, err := NewBook(spec, keys)
	if err != nil {
		t.Fatal(err)
	}
	env := &Env{Book: book, Side: NewSide(0), Areas: w.areas, Horizon: w.horizon()}
	lines := map[uint64]*Line{}
	for len(from) > 0 {
		l := new(Line)
		if from, err = l.Load(from, env.Side); err != nil {
			t.Fatal(err)
		}
		lines[l.Card] = l
	}
	said = map[string][]string{}
	for i := range events {
		e := &events[i]
		l := lines[e.Card]
		if l == nil {
			l = &Line{Card: e.Card}
			l.SetSettings(w.kind(e.Card))
			if e.Card%5 == 0 {
				l.SetLife(LifeSuspended, uint32(t0.Add(200*time.Hour).Unix()), env.Side)
			}
			lines[e.Card] = l
		}
		s := book.Settings(l.Settings())
		f := Step(l, s, e, env)
		for st := range f.All() {
			x := Explain(st, s, e, nil, env)
			text := fmt.Sprint(e.ID, " ", st.Rule, " ", st.Variant, " ", x.Severity, " ", x.Facts)
			said[st.Rule] = append(said[st.Rule], text)
			all = append(all, text)
		}
	}
	var cards []uint64
	for c := range lines {
		cards = append(cards, c)
	}
	slices.Sort(cards)
	for _, c := range cards {
		state = lines[c].AppendState(state, env.Side)
	}
	return said, state, all
}

func (w *world) horizon() uint32 {
	return uint32(t0.Add(100 * 24 * time.Hour).Unix())
}

// unsaid takes what was said out of states: it is all in which a rule that is
// off may differ.
func unsaid(t testing.TB, state []byte) (out []byte) {
	side := NewSide(0)
	for len(state) > 0 {
		var l Line
		rest, err := l.Load(state, side)
		if err != nil {
			t.Fatal(err)
		}
		l.said, l.before = 0, 0
		out, state = l.AppendState(out, side), rest
	}
	return out
}

// Turning any rule off changes nothing in what the others say, nor in the state.
func TestRules_independent(t *testing.T) {
	w := newWorld(t, 1, 10000)
	said, state, _ := w.run(t, nil, nil, w.events)
	for _, r := range All() {
		if len(said[r.Name]) < 3 {
			t.Errorf("%s says %d things: the world proves nothing about it", r.Name, len(said[r.Name]))
		}
	}
	plain := unsaid(t, state)
	off := func(rules ...string) func(*BookSpec) {
		return func(b *BookSpec) {
			for i := range b.Settings {
				set := map[string]api.UsageRuleSetting{}
				for _, r := range All() {
					x := b.Settings[i].Rules[r.Name]
					x.Off = slices.Contains(rules, r.Name)
					set[r.Name] = x
				}
				b.Settings[i].Rules = set
			}
		}
	}
	check := func(without []string) {
		got, after, _ := w.run(t, off(without...), nil, w.events)
		for _, r := range All() {
			want := said[r.Name]
			if slices.Contains(without, r.Name) {
				want = nil
			}
			if d := cmp.Diff(want, got[r.Name]); d != "" {
				t.Fatalf("without %v, %s says other things:\n%.500s", without, r.Name, d)
			}
		}
		if !bytes.Equal(plain, unsaid(t, after)) {
			t.Fatalf("without %v the state is another", without)
		}
	}
	var names []string
	for _, r := range All() {
		names = append(names, r.Name)
		check([]string{r.Name})
	}
	for _, r := range All() {
		check(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == r.Name }))
	}
}

// A state that is taken in the middle, written and read goes on to the same
// statements and the same state, byte by byte; so does a replay.
func TestState_roundTrip(t *testing.T) {
	w := newWorld(t, 2, 6000)
	_, state, all := w.run(t, nil, nil, w.events)
	_, again, said := w.run(t, nil, nil, w.events)
	if !bytes.Equal(state, again) || !slices.Equal(all, said) {
		t.Fatal("the same events gave something else")
	}
	for _, at := range []int{1, 2500, 5999} {
		_, mid, first := w.run(t, nil, nil, w.events[:at])
		_, end, second := w.run(t, nil, mid, w.events[at:])
		if !bytes.Equal(end, state) {
			t.Errorf("taken after %d events the state goes on to another", at)
		}
		if d := cmp.Diff(all, append(first, second...)); d != "" {
			t.Errorf("taken after %d events other things are said:\n%.500s", at, d)
		}
	}
}

func FuzzLine_Load(f *testing.F) {
	w := newWorld(f, 3, 2000)
	_, state, _ := w.run(f, nil, nil, w.events)
	f.Add(state[:200])
	f.Add(state)
	book := must(NewBook(w.book, keys))
	f.Fuzz(func(t *testing.T, b []byte) {
		side := NewSide(64)
		for len(b) > 0 {
			var l Line
			rest, err := l.Load(b, side)
			if err != nil {
				if ringwall.CodeOf(err) != ringwall.Unverified {
					t.Fatal(err)
				}
				return
			}
			if used := b[:len(b)-len(rest)]; side.Stats().Full == 0 && !bytes.Equal(l.AppendState(nil, side), used) && canonical(used) {
				t.Fatalf("what was read is written otherwise:\n%x\n%x", used, l.AppendState(nil, side))
			}
			// Whatever was read can be judged with.
			env := &Env{Book: book, Side: side, Areas: w.areas}
			for i := range 3 {
				e := w.events[i]
				e.Sec = max(l.last, e.Sec)
				Step(&l, env.Book.Settings(l.Settings()), &e, env)
			}
			side.Drop(&l)
			b = rest
		}
	})
}

// canonical reports whether blocks are in the order in which they are written.
func canonical(b []byte) bool {
	for i := 65; i+13 < len(b); i += 13 {
		if b[i] > b[i+13] {
			return false
		}
	}
	return true
}

func TestBook_roundTrip(t *testing.T) {
	w := newWorld(t, 1, 1)
	b := must(NewBook(w.book, keys))
	var file bytes.Buffer
	if err := b.Encode(&file); err != nil {
		t.Fatal(err)
	}
	got, err := ReadBook(bytes.NewReader(file.Bytes()), keys)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.Spec(), got.Spec()); d != "" || got.Version() != 7 || got.Count() != 4 {
		t.Error(d)
	}
	for i := range file.Len() {
		if i > 100 && i%97 != 0 {
			continue
		}
		torn := slices.Clone(file.Bytes())
		torn[i] ^= 1
		if _, err := ReadBook(bytes.NewReader(torn), keys); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Fatalf("byte %d changed: %v", i, err)
		}
		if _, err := ReadBook(bytes.NewReader(file.Bytes()[:i]), keys); ringwall.CodeOf(err) != ringwall.Unverified {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func FuzzReadBook(f *testing.F) {
	var file bytes.Buffer
	if err := must(NewBook(newWorld(f, 1, 1).book, keys)).Encode(&file); err != nil {
		f.Fatal(err)
	}
	f.Add(file.Bytes())
	f.Add([]byte(bookMagic + "\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if book, err := ReadBook(bytes.NewReader(b), keys); err == nil && book.Count() == 0 {
			t.Fatal("a book without settings")
		}
	})
}

func TestCompile_refuses(t *testing.T) {
	for name, spec := range map[string]Spec{
		"service": {Services: []string{"fax"}}, "peer": {Peers: []string{"a b"}}, "home": {Homes: []string{"4600"}}, "country": {Countries: []string{"46000"}},
		"area": {Areas: []string{""}}, "hours": {Hours: []api.Window{{From: "25:00", To: "26:00"}}}, "zone": {Hours: []api.Window{{Zone: "Mars/Olympus", From: "01:00", To: "02:00"}}},
		"day": {Hours: []api.Window{{Days: []string{"Monday"}, From: "01:00", To: "02:00"}}}, "rule": {Rules: map[string]api.UsageRuleSetting{"sim-sala-bim": {Off: true}}},
		"limit": {Rules: limits(Travel, "mph", 600)}, "range": {Rules: limits(Travel, "kmh", 5)}, "cap": {Calls: 1 << 30}, "pool": {Pools: []string{"none"}},
	} {
		if _, err := NewBook(BookSpec{Settings: []Spec{spec}}, keys); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v, want an invalid error", name, err)
		}
	}
	for name, x := range map[string]Exception{
		"kind": {Kind: "holiday", From: t0, Until: t0.Add(1)}, "time": {Kind: api.ExceptRule, From: t0, Until: t0}, "rule": {Kind: api.ExceptRule, Rules: []string{"x"}, From: t0, Until: t0.Add(time.Hour)},
	} {
		if _, err := NewBook(BookSpec{Exceptions: []Exception{x}}, keys); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("exception, %s: %v, want an invalid error", name, err)
		}
	}
}

func TestExceptions(t *testing.T) {
	for name, tt := range map[string]struct {
		x    Exception
		want int // of three days
	}{
		"this card, this rule": {Exception{Card: cdr.CardKey(imsi), Rules: []string{Separation}}, 2},
		"this card, all rules": {Exception{Card: cdr.CardKey(imsi)}, 2},
		"the customer":         {Exception{Customer: "acme", Rules: []string{Separation}}, 2},
		"everybody":            {Exception{Rules: []string{Separation}}, 2},
		"another card":         {Exception{Card: cdr.CardKey("460001234567891")}, 3},
		"another customer":     {Exception{Customer: "bus"}, 3},
		"another rule":         {Exception{Rules: []string{Travel}}, 3},
	} {
		tt.x.Kind, tt.x.From, tt.x.Until = api.ExceptRule, t0.Add(24*time.Hour), t0.Add(48*time.Hour)
		c := newCard(t, Spec{Customer: "acme"}, func(b *BookSpec) { b.Exceptions = []Exception{tt.x} })
		n := 0
		for d := range 3 {
			n += len(c.feed(rec(time.Duration(24*d)*time.Hour, equipment(phone))))
		}
		if n != tt.want {
			t.Errorf("%s: said on %d days of three, want %d", name, n, tt.want)
		}
	}
	// It ends in the middle of a day: what was kept back is then said.
	c := newCard(t, Spec{}, func(b *BookSpec) {
		b.Exceptions = []Exception{{Kind: api.ExceptRule, From: t0, Until: t0.Add(time.Hour)}}
	})
	if f := c.step(rec(0, equipment(phone))); f&Muted == 0 || f&Speaks != 0 || c.env.Kept != 1<<sepOther {
		t.Errorf("within: %x", f)
	}
	c.want("after", c.feed(rec(time.Hour, equipment(phone))), "separation/1 attack critical")
}

// When the Side is full nothing is made up: what it would tell is not judged,
// and Full counts it.
func TestSide_full(t *testing.T) {
	c := newCard(t, Spec{Bytes: 1000})
	c.env.Side = NewSide(1)
	c.feed(rec(0, equipment(phone)))
	for i := range 5 {
		c.want("the month is not known", c.feed(rec(time.Duration(i), bytesOf(400))))
	}
	for i := range 100 {
		c.step(rec(time.Duration(i)*time.Minute, sms(cdr.Originated, "10086")))
	}
	if s := c.env.Side.Stats(); s.Full == 0 || s.Calls != 0 {
		t.Errorf("%+v", s)
	}
}

func bytesOf(n uint64) func(*cdr.Record) { return func(r *cdr.Record) { r.Up, r.Down = n, 0 } }

// Whatever an event holds, it is judged and explained.
func FuzzStep(f *testing.F) {
	w := newWorld(f, 5, 40)
	var seed []byte
	for i := range w.events {
		seed = must(binary.Append(seed, binary.LittleEndian, &w.events[i]))
	}
	f.Add(seed)
	f.Add(bytes.Repeat([]byte{0xff}, 192))
	f.Add(bytes.Repeat([]byte{0x7f, 0xc0, 0, 1}, 48))
	book := must(NewBook(w.book, keys))
	f.Fuzz(func(t *testing.T, b []byte) {
		run := func() (state []byte) {
			env := &Env{Book: book, Side: NewSide(8), Areas: w.areas, Horizon: w.horizon(), Usual: &Usual{}}
			lines := [4]Line{}
			for i := range lines {
				lines[i].SetSettings(uint32(i))
				lines[i].SetLife(Life(i), 1, env.Side)
			}
			for i := 0; i+64 <= len(b) && i < 64*64; i += 64 {
				var e cdr.Event
				if _, err := binary.Decode(b[i:], binary.LittleEndian, &e); err != nil {
					t.Fatal(err)
				}
				l := &lines[e.Card%4]
				s := book.Settings(l.Settings())
				for st := range Step(l, s, &e, env).All() {
					if x := Explain(st, s, &e, nil, env); x.Title == "" {
						t.Fatalf("%v has no words", st)
					}
				}
			}
			for i := range lines {
				state = lines[i].AppendState(state, env.Side)
				lines[i].View(env.Side)
			}
			return state
		}
		if !bytes.Equal(run(), run()) {
			t.Fatal("the same events made another state")
		}
	})
}

func FuzzReadAreas(f *testing.F) {
	f.Add("plmn,area,cell,name,lat,lon,km,risk\n46000,100,,Beijing,39.9,116.4,5,risky\n")
	f.Add("{\"area\":\"100\",\"lat\":1,\"lon\":2}\n")
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := ReadAreas(strings.NewReader(s), keys); err != nil && ringwall.CodeOf(err) != ringwall.Invalid {
			t.Fatal(err)
		}
	})
}

func TestReadAreas(t *testing.T) {
	a, err := ReadAreas(strings.NewReader("\ufeffarea,plmn,cell,lat,lon,km,risk,name\n100,46000,,39.9,116.4,5,,Beijing\n\n100,46000,70001,39.91,116.41,,risky,\n,455,,,,,high,\n{\"area\":\"900\",\"lat\":31.23,\"lon\":121.47}\n"), keys)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		plmn, area, cell string
		lat              float64
		risk             Risk
	}{{"46000", "100", "70009", 39.9, NoRisk}, {"46000", "100", "70001", 39.91, Risky}, {"46001", "100", "", 0, NoRisk}, {"45501", "7", "", 0, HighRisk}, {"46001", "900", "5", 31.23, NoRisk}} {
		r := rec(0, at(tt.area, tt.cell), in(tt.plmn))
		e := must(keys.Event(&r))
		s := a.Spot(&e)
		lat := 0.0
		if s.Point.Valid() {
			lat, _ = s.Point.Degrees()
		}
		if d := lat - tt.lat; d > 0.01 || d < -0.01 || s.Risk != tt.risk {
			t.Errorf("%+v: %v %v", tt, lat, s.Risk)
		}
	}
	if len(a.List()) != 2 || a.List()[1].Name != "Beijing" {
		t.Errorf("list %+v", a.List())
	}
	for name, text := range map[string]string{
		"column": "area,colour\n1,red\n", "risk": "area,risk\n1,awful\n", "place": "area,lat,lon\n1,91,0\n", "half a place": "area,lat\n1,5\n", "number": "area,lat,lon\n1,x,y\n",
		"nothing": "area,risk\n,risky\n", "network": "plmn,risk\n46,risky\n", "reach": "area,km\n1,-3\n", "json": "{\"colour\":1}\n", "fields": "area,risk\n1\n",
	} {
		if _, err := ReadAreas(strings.NewReader(text), keys); ringwall.CodeOf(err) != ringwall.Invalid || !strings.Contains(err.Error(), "line") {
			t.Errorf("%s: %v, want an invalid error with its line", name, err)
		}
	}
}

func TestPoint(t *testing.T) {
	for _, tt := range []struct {
		a, b [2]float64
		km   uint32
	}{
		{[2]float64{39.90, 116.40}, [2]float64{31.23, 121.47}, 1067}, // Beijing, Shanghai
		{[2]float64{0, 179.9}, [2]float64{0, -179.9}, 22},            // across the date line
		{[2]float64{90, 0}, [2]float64{90, 120}, 0},                  // the pole
		{[2]float64{-33.87, 151.21}, [2]float64{51.51, -0.13}, 16994},
	} {
		a, b := PointAt(tt.a[0], tt.a[1]), PointAt(tt.b[0], tt.b[1])
		got := a.Km(b)
		if d := int(got) - int(tt.km); d < -3 || d > 3 || a.Km(b) != b.Km(a) {
			t.Errorf("%v to %v: %d km, want %d", tt.a, tt.b, got, tt.km)
		}
		if a.within(b, tt.km-min(tt.km, 4)) && tt.km > 4 {
			t.Errorf("%v and %v are said to be within less than they are", tt.a, tt.b)
		}
	}
	if PointAt(91, 0).Valid() || Point(0).Valid() {
		t.Error("a place that is none")
	}
}
