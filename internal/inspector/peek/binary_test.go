package peek_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/inspector/peek"
)

// mqttText is a string as MQTT writes it.
func mqttText(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

// mqttPacket puts a fixed header before a body.
func mqttPacket(first byte, body string) []byte {
	out := []byte{first}
	for n := len(body); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, b|0x80)
			continue
		}
		out = append(out, b)
		break
	}
	return append(out, body...)
}

func connect5() []byte {
	return mqttPacket(0x10, mqttText("MQTT")+"\x05\x02\x00\x3c\x00"+mqttText("cam"))
}
func connect4() []byte { return mqttPacket(0x10, mqttText("MQTT")+"\x04\x02\x00\x3c"+mqttText("cam")) }

func TestMQTTReader(t *testing.T) {
	type step struct {
		raw     []byte
		topic   string
		filters []string
		bad     bool
	}
	pub := func(topic, props, payload string) []byte {
		return mqttPacket(0x30, mqttText(topic)+string([]byte{byte(len(props))})+props+payload)
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"version 4", []step{
			{raw: connect4()},
			{raw: mqttPacket(0x32, mqttText("a/b")+"\x00\x07payload"), topic: "a/b"},
			{raw: mqttPacket(0x82, "\x00\x01"+mqttText("a/#")+"\x00"+mqttText("$share/g/b/+")+"\x01"), filters: []string{"a/#", "b/+"}},
			{raw: mqttPacket(0x30, mqttText("a/+")+"x"), bad: true},
			{raw: mqttPacket(0x30, mqttText("")+"x"), bad: true},
			{raw: mqttPacket(0x82, "\x00\x01"+mqttText("a/#/b")+"\x00"), bad: true},
			{raw: mqttPacket(0x80, "\x00\x01"+mqttText("a")+"\x00"), bad: true},
			{raw: connect4(), bad: true},
		}},
		{"aliases", []step{
			{raw: connect5()},
			{raw: pub("a/b", "\x23\x00\x01", "x"), topic: "a/b"},
			{raw: pub("", "\x23\x00\x01", "x"), topic: "a/b"},
			{raw: pub("c", "\x23\x00\x01", "x"), topic: "c"},
			{raw: pub("", "\x23\x00\x01", "x"), topic: "c"},
			{raw: pub("", "\x23\x00\x02", "x"), bad: true},
			{raw: pub("a", "\x23\x00\x00", "x"), bad: true},
			{raw: pub("a", "\x23\x00\x01\x23\x00\x02", "x"), bad: true},
			{raw: pub("a", "\x7f", "x"), bad: true},
			{raw: pub("", "", "x"), bad: true},
		}},
		{"will", []step{{raw: mqttPacket(0x10, mqttText("MQTT")+"\x04\x06\x00\x3c"+mqttText("cam")+mqttText("last/will")+mqttText("bye")), topic: "last/will"}}},
		{"nothing before CONNECT", []step{{raw: mqttPacket(0x30, mqttText("a")+"x"), bad: true}}},
		{"a strange version", []step{{raw: mqttPacket(0x10, mqttText("MQTT")+"\x06\x02\x00\x3c"+mqttText("cam")), bad: true}}},
		{"more than it says", []step{{raw: mqttPacket(0x10, mqttText("MQTT")+"\x04\x02\x00\x3c"+mqttText("cam")+"x"), bad: true}}},
		{"a length written too long", []step{{raw: []byte{0xc0, 0x80, 0x00}, bad: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r peek.MQTTReader
			for i, s := range c.steps {
				p, err := r.Next(s.raw)
				if s.bad {
					if err == nil || err == peek.ErrShort {
						t.Fatalf("packet %d is taken: %+v, %v", i, p, err)
					}
					continue
				}
				if err != nil || p.Topic != s.topic || !slices.Equal(p.Filters, s.filters) || int64(len(s.raw)) != int64(p.Head)+p.Rest {
					t.Fatalf("packet %d: %+v, %v", i, p, err)
				}
			}
		})
	}
	// What comes in pieces is the same; the payload is not waited for.
	raw := pub("a/b", "\x23\x00\x01", strings.Repeat("x", 1000))
	for i := range raw {
		var r peek.MQTTReader
		r.SetVersion(5)
		p, err := r.Next(raw[:i])
		if want := len(raw) - 1000; i < want && err != peek.ErrShort || i >= want && (err != nil || p.Topic != "a/b" || p.Head != want || p.Rest != 1000) {
			t.Fatalf("%d of %d bytes: %+v, %v", i, len(raw), p, err)
		}
	}
	var r peek.MQTTReader
	r.SetVersion(5)
	for i := 1; ; i++ {
		if _, err := r.Next(pub("t", string([]byte{0x23, byte(i >> 8), byte(i)}), "")); err != nil {
			break
		}
		if i > 1000 {
			t.Fatal("aliases are kept without bound")
		}
	}
}

func TestParseCoAP(t *testing.T) {
	get := []byte{0x44, 0x01, 0x12, 0x34, 1, 2, 3, 4, 0x3b, 'C', 'a', 'm', '.', 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0x86, 's', 'e', 'n', 's', 'o', 'r', 0x04, 't', 'e', 'm', 'p', 0x41, 'q'}
	m, err := peek.ParseCoAP(get)
	if err != nil || m.Method != "GET" || m.Host != "cam.example" || m.Path != "/sensor/temp" || m.Proxied {
		t.Fatalf("%+v, %v", m, err)
	}
	if got, want := m.Forbid(), []byte{0x64, 0x83, 0x12, 0x34, 1, 2, 3, 4}; !bytes.Equal(got, want) {
		t.Errorf("Forbid = %x, want %x", got, want)
	}
	for i := 4; i < len(get); i++ {
		peek.ParseCoAP(get[:i]) // whatever it says, it must not panic
	}
	for name, c := range map[string]struct {
		raw  []byte
		path string
	}{
		"no path":         {[]byte{0x40, 1, 0, 1}, "/"},
		"an odd octet":    {[]byte{0x40, 1, 0, 1, 0xb3, 'a', ' ', 'b'}, "/a%20b"},
		"an answer":       {[]byte{0x60, 0x45, 0, 1, 0xff, 'x'}, ""},
		"empty":           {[]byte{0x40, 0, 0, 1}, ""},
		"a long option":   {append([]byte{0x40, 1, 0, 1, 0xbd, 2}, strings.Repeat("a", 15)...), "/aaaaaaaaaaaaaaa"},
		"an empty one":    {[]byte{0x40, 1, 0, 1, 0xb0}, "/"},
		"unknown options": {[]byte{0x40, 1, 0, 1, 0xe1, 0, 0, 'x'}, "/"},
	} {
		m, err := peek.ParseCoAP(c.raw)
		if err != nil || m.Path != c.path {
			t.Errorf("%s: %+v, %v", name, m, err)
		}
	}
	for name, raw := range map[string][]byte{
		"QUIC":                            {0xc3, 0, 0, 0, 1, 8},
		"short":                           {0x40, 1},
		"token":                           {0x49, 1, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		"dots":                            {0x40, 1, 0, 1, 0xb2, '.', '.'},
		"slash":                           {0x40, 1, 0, 1, 0xb3, 'a', '/', 'b'},
		"marker alone":                    {0x40, 1, 0, 1, 0xff},
		"reserved nibble":                 {0x40, 1, 0, 1, 0xf1, 'x'},
		"cut":                             {0x40, 1, 0, 1, 0xb5, 'x'},
		"a request in an acknowledgement": {0x60, 1, 0, 1},
		"two hosts":                       {0x40, 1, 0, 1, 0x31, 'a', 0x01, 'b'},
		"method":                          {0x40, 9, 0, 1},
	} {
		if m, err := peek.ParseCoAP(raw); err == nil {
			t.Errorf("%s: %+v is taken", name, m)
		}
	}
	if m, err := peek.ParseCoAP([]byte{0x40, 1, 0, 1, 0xd1, 26 - 4, 'x'}); err != nil || !m.Proxied {
		t.Errorf("a request to a proxy: %+v, %v", m, err)
	}
}
