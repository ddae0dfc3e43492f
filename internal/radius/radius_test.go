package radius_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/radius"
)

var secret = []byte("a secret of the link")

func request() radius.Request {
	return radius.Request{
		ID: 7, Status: radius.Start, Session: "5f0a-1", Event: time.Unix(1_790_000_000, 0).UTC(), Delay: 2 * time.Second,
		NAS: netip.MustParseAddr("192.0.2.1"), NASName: "pgw-1", APN: "meters.example", Address: netip.MustParseAddr("10.64.0.9"),
		Address6: netip.MustParseAddr("2001:db8::9"), Prefix6: netip.MustParsePrefix("2001:db8:9::/48"),
		IMSI: "460001234567890", IMEISV: "3520990017614823", Radio: 6, Up: 7<<32 + 9, Down: 1 << 32, Duration: 93 * time.Second,
		Location: radius.Location{Kind: "tai+ecgi", PLMN: "46000", Area: 0x1234, Cell: 0x0ABCDEF},
	}
}

func TestRequest_roundTrip(t *testing.T) {
	in := request()
	b, err := radius.Encode(in, secret)
	if err != nil {
		t.Fatal(err)
	}
	out, err := radius.Decode(append(b, 0, 0, 0), secret) // padding behind is legal
	if err != nil {
		t.Fatal(err)
	}
	in.Authenticator = out.Authenticator
	if in != out {
		t.Errorf("read %+v, wrote %+v", out, in)
	}
	answer := radius.Answer(out, secret)
	if !radius.Answers(answer, in.ID, out.Authenticator, secret) || radius.Answers(answer, in.ID, out.Authenticator, []byte("other")) {
		t.Error("the answer does not prove the secret")
	}
}

// raw builds a request by hand, from the text of RFC 2866, independent of Encode.
func raw(attrs ...[]byte) []byte {
	b := append([]byte{4, 9, 0, 0}, make([]byte, 16)...)
	for _, a := range attrs {
		b = append(b, a...)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	sum := md5.Sum(append(bytes.Clone(b), secret...))
	copy(b[4:20], sum[:])
	return b
}

func attr(kind byte, v ...byte) []byte { return append([]byte{kind, byte(len(v) + 2)}, v...) }

func gpp(kind byte, v ...byte) []byte {
	return attr(26, append([]byte{0, 0, 0x28, 0xaf}, attr(kind, v...)...)...)
}

func TestDecode_byHand(t *testing.T) {
	b := raw(attr(40, 0, 0, 0, 3), attr(44, []byte("s1")...), attr(8, 10, 64, 0, 9), gpp(1, []byte("262011234567890")...),
		gpp(22, 0x01, 0x62, 0xf2, 0x10, 0x00, 0x2a, 0x00, 0x07), attr(26, 0, 0, 0, 9, 1, 2), attr(6, 0, 0, 0, 2))
	r, err := radius.Decode(b, secret)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != radius.Interim || r.Session != "s1" || r.IMSI != "262011234567890" || r.Address.String() != "10.64.0.9" {
		t.Errorf("read %+v", r)
	}
	if got := r.Location.String(); got != "sai 26201-42-7" {
		t.Errorf("location %s", got)
	}
}

func TestDecode_refuses(t *testing.T) {
	good := raw(attr(40, 0, 0, 0, 1), attr(44, 'x'))
	edit := func(f func([]byte) []byte) []byte { return f(bytes.Clone(good)) }
	badMessage := func() []byte {
		b := append([]byte{4, 9, 0, 0}, make([]byte, 16)...)
		b = append(b, attr(80, make([]byte, 16)...)...)
		b = append(b, attr(40, 0, 0, 0, 1)...)
		b = append(b, attr(44, 'x')...)
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		m := hmac.New(md5.New, []byte("other"))
		m.Write(b)
		copy(b[22:], m.Sum(nil))
		sum := md5.Sum(append(bytes.Clone(b), secret...))
		copy(b[4:20], sum[:])
		return b
	}
	for _, c := range []struct {
		name string
		in   []byte
		code ringwall.Code
	}{
		{"empty", nil, ringwall.Invalid},
		{"short", good[:19], ringwall.Invalid},
		{"cut", good[:len(good)-1], ringwall.Invalid},
		{"wrong code", edit(func(b []byte) []byte { b[0] = 1; return b }), ringwall.Invalid},
		{"changed", edit(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), ringwall.Unverified},
		{"other authenticator", edit(func(b []byte) []byte { b[5] ^= 1; return b }), ringwall.Unverified},
		{"Message-Authenticator", badMessage(), ringwall.Unverified},
		{"no status", raw(attr(44, 'x')), ringwall.Invalid},
		{"no session", raw(attr(40, 0, 0, 0, 1)), ringwall.Invalid},
		{"attribute of length 1", raw([]byte{40, 1}), ringwall.Invalid},
		{"attribute over the end", raw([]byte{40, 9, 0}), ringwall.Invalid},
		{"status of 3 bytes", raw(attr(40, 0, 0, 1), attr(44, 'x')), ringwall.Invalid},
		{"IMSI of letters", raw(attr(40, 0, 0, 0, 1), attr(44, 'x'), gpp(1, []byte("46000123456789O")...)), ringwall.Invalid},
		{"3GPP of length 0", raw(attr(40, 0, 0, 0, 1), attr(44, 'x'), attr(26, 0, 0, 0x28, 0xaf, 1, 0)), ringwall.Invalid},
	} {
		_, err := radius.Decode(c.in, secret)
		if ringwall.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want code %v", c.name, err, c.code)
		}
		if err != nil && (strings.Contains(err.Error(), "46000") || strings.Contains(err.Error(), string(secret))) {
			t.Errorf("%s: the error tells too much: %v", c.name, err)
		}
	}
	if _, err := radius.Decode(good, []byte("another secret")); ringwall.CodeOf(err) != ringwall.Unverified {
		t.Errorf("another secret: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := radius.Encode(request(), secret)
	f.Add(b[20:])
	f.Add(raw(attr(40, 0, 0, 0, 1), attr(44, 'x'), gpp(22, 130, 1, 2))[20:])
	h, _ := hex.DecodeString("1a09000028af")
	f.Add(h)
	f.Fuzz(func(t *testing.T, attrs []byte) {
		if len(attrs) > 4000 {
			return
		}
		r, err := radius.Decode(raw(attrs), secret) // behind the authenticator, where it is interesting
		if err != nil {
			return
		}
		again, err := radius.Encode(r, secret)
		if err != nil {
			return // several attributes of one type may add up to more than fits
		}
		back, err := radius.Decode(again, secret)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		back.Authenticator, r.Delay = r.Authenticator, back.Delay
		if back != r {
			t.Errorf("%+v became %+v", r, back)
		}
	})
}

func at(minutes int) time.Time {
	return time.Unix(1_790_000_000, 0).Add(time.Duration(minutes) * time.Minute)
}

func event(status radius.Status, session, who, addr string, minutes int) radius.Event {
	e := radius.Event{NAS: "pgw", Status: status, Session: session, Subscriber: who, At: at(minutes), Stamped: true, Arrived: at(minutes)}
	if addr != "" {
		e.Address = netip.MustParseAddr(addr)
	}
	return e
}

func TestTable(t *testing.T) {
	type want map[string]string
	for _, c := range []struct {
		name   string
		events []radius.Event
		tick   int
		want   want
	}{
		{"start", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0)}, 1, want{"a": "10.0.0.1"}},
		{"stop", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Stop, "1", "a", "10.0.0.1", 1)}, 1, want{}},
		{"the address moves to another card", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Start, "2", "b", "10.0.0.1", 1)}, 2, want{"b": "10.0.0.1"}},
		{"and the old card's update does not take it back", []radius.Event{
			event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Start, "2", "b", "10.0.0.1", 1), event(radius.Interim, "1", "a", "10.0.0.1", 2)}, 3, want{"b": "10.0.0.1"}},
		{"its late stop takes nothing from the new one", []radius.Event{
			event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Start, "2", "b", "10.0.0.1", 1), event(radius.Stop, "1", "a", "10.0.0.1", 2)}, 3, want{"b": "10.0.0.1"}},
		{"a replayed start of an ended session", []radius.Event{
			event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Stop, "1", "a", "10.0.0.1", 1), event(radius.Start, "1", "a", "10.0.0.1", 0)}, 2, want{}},
		{"a start that is overtaken by its stop", []radius.Event{event(radius.Stop, "1", "a", "10.0.0.1", 1), event(radius.Start, "1", "a", "10.0.0.1", 0)}, 2, want{}},
		{"an older start that arrives late", []radius.Event{event(radius.Start, "2", "b", "10.0.0.1", 5), event(radius.Start, "1", "a", "10.0.0.1", 1)}, 6, want{"b": "10.0.0.1"}},
		{"the server starts again", []radius.Event{
			event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Start, "2", "b", "10.0.0.2", 0), event(radius.On, "", "", "", 1)}, 2, want{}},
		{"a replayed accounting-on ends nothing that came after it", []radius.Event{
			event(radius.On, "", "", "", 0), event(radius.Start, "1", "a", "10.0.0.1", 1), event(radius.On, "", "", "", 0)}, 2, want{"a": "10.0.0.1"}},
		{"three updates are missing", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Interim, "1", "a", "10.0.0.1", 10)}, 41, want{}},
		{"two updates are missing", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Interim, "1", "a", "10.0.0.1", 10)}, 39, want{"a": "10.0.0.1"}},
		{"never updated, a day old", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0)}, 1441, want{}},
		{"two sessions, the later counts", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Start, "2", "a", "10.0.0.2", 1)}, 2, want{"a": "10.0.0.2"}},
		{"and the earlier when it ends", []radius.Event{
			event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Start, "2", "a", "10.0.0.2", 1), event(radius.Stop, "2", "a", "", 2)}, 3, want{"a": "10.0.0.1"}},
		{"the session's id is stolen", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Interim, "1", "b", "10.0.0.9", 1)}, 2, want{"a": "10.0.0.1"}},
		{"nobody's session", []radius.Event{event(radius.Start, "1", "", "10.0.0.1", 0)}, 1, want{}},
		{"the card gets another address", []radius.Event{event(radius.Start, "1", "a", "10.0.0.1", 0), event(radius.Interim, "1", "a", "10.0.0.5", 5)}, 6, want{"a": "10.0.0.5"}},
	} {
		tab := radius.NewTable(radius.Saved{})
		for _, e := range c.events {
			tab.Apply(e)
			tab = radius.NewTable(tab.Save()) // a restart between any two events changes nothing
		}
		tab.Tick(at(c.tick))
		got := want{}
		for who, a := range tab.Addresses() {
			got[who] = a.String()
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		for who, a := range c.want {
			if got[who] != a {
				t.Errorf("%s: %v, want %v", c.name, got, c.want)
			}
		}
	}
}

func TestTable_changes(t *testing.T) {
	tab := radius.NewTable(radius.Saved{})
	tab.Apply(event(radius.Start, "1", "a", "10.0.0.1", 0))
	changes, taken, _ := tab.Apply(event(radius.Start, "2", "b", "10.0.0.1", 1))
	if !taken || len(changes) != 2 || !changes[0].Lost || changes[0].Subscriber != "a" || changes[1].Lost || changes[1].Subscriber != "b" {
		t.Errorf("changes = %+v", changes)
	}
	if _, taken, why := tab.Apply(event(radius.Interim, "2", "b", "10.0.0.1", 0)); taken || why == "" {
		t.Error("an event of the past is taken")
	}
}
