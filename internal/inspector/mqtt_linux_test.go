package inspector_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
)

func mqttText(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }

// mqttPacket is one of less than 128 bytes.
func mqttPacket(first byte, body string) string { return string([]byte{first, byte(len(body))}) + body }

func connect(version byte, will string) string {
	body := mqttText("MQTT") + string([]byte{version, 2, 0, 60})
	if will != "" {
		body = mqttText("MQTT") + string([]byte{version, 6, 0, 60})
	}
	if version == 5 {
		body += "\x00"
	}
	body += mqttText("cam")
	if will != "" {
		if version == 5 {
			body += "\x00"
		}
		body += mqttText(will) + mqttText("bye")
	}
	return mqttPacket(0x10, body)
}

// broker answers CONNECT and SUBSCRIBE, and publishes to whoever publishes to it.
func broker(t testing.TB, h *house, unasked string) *server {
	return h.serve(t, "0.0.0.0:1883", func(c net.Conn) {
		head := make([]byte, 2)
		for {
			if _, err := io.ReadFull(c, head); err != nil {
				return
			}
			body := make([]byte, head[1])
			if _, err := io.ReadFull(c, body); err != nil {
				return
			}
			switch head[0] >> 4 {
			case 1:
				if body[6] == 5 {
					c.Write([]byte{0x20, 3, 0, 0, 0})
				} else {
					c.Write([]byte{0x20, 2, 0, 0})
				}
			case 3:
				c.Write([]byte{0x40, 2, 0, 7})
				if unasked != "" {
					io.WriteString(c, mqttPacket(0x30, mqttText(unasked)+"x"))
				}
			case 8:
				c.Write([]byte{0x90, 3, body[0], body[1], 0})
			}
		}
	})
}

func TestInspector_mqtt(t *testing.T) {
	h := newHouse(t, allow("mqtt", "cloud.example", "tcp", 1883, &api.Inside{Proto: "mqtt", Paths: []string{"site/cam/#"}}))
	srv := broker(t, h, "")
	h.resolve(t, "cloud.example")
	type step struct{ send, want string }
	pub5 := func(qos byte, topic, props string) string {
		id := ""
		if qos > 0 {
			id = "\x00\x07"
		}
		return mqttPacket(0x30|qos<<1, mqttText(topic)+id+string([]byte{byte(len(props))})+props+"payload")
	}
	sub := func(version byte, filter string) string {
		props := ""
		if version == 5 {
			props = "\x00"
		}
		return mqttPacket(0x82, "\x00\x09"+props+mqttText(filter)+"\x00")
	}
	for name, steps := range map[string][]step{
		"version 4": {
			{connect(4, ""), "\x20\x02\x00\x00"},
			{sub(4, "site/cam/cmd"), "\x90\x03\x00\x09\x00"},
			{sub(4, "#"), "\x90\x03\x00\x09\x80"},
			{sub(4, "$share/g/site/+/cmd"), "\x90\x03\x00\x09\x80"},
			{mqttPacket(0x32, mqttText("site/cam/state")+"\x00\x07ok"), "\x40\x02\x00\x07"},
			{mqttPacket(0x30, mqttText("site/secret1")+"x"), ""},
		},
		"version 5": {
			{connect(5, ""), "\x20\x03\x00\x00\x00"},
			{pub5(1, "site/cam/state", "\x23\x00\x01"), "\x40\x02\x00\x07"},
			{pub5(1, "", "\x23\x00\x01"), "\x40\x02\x00\x07"},
			{pub5(1, "site/secret2", "\x23\x00\x02"), "\x40\x03\x00\x07\x87"},
			{pub5(1, "", "\x23\x00\x02"), "\x40\x03\x00\x07\x87"},
			{pub5(2, "site/secret3", ""), "\x50\x03\x00\x07\x87"},
			{sub(5, "site/#"), "\x90\x04\x00\x09\x00\x87"},
			{pub5(0, "site/secret4", ""), "\xe0\x02\x87\x00"},
		},
		"a will elsewhere, version 4": {{connect(4, "site/secret5"), "\x20\x02\x00\x05"}},
		"a will elsewhere, version 5": {{connect(5, "site/secret6"), "\x20\x03\x00\x87\x00"}},
		"a will at home":              {{connect(4, "site/cam/gone"), "\x20\x02\x00\x00"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dial(t, "tcp4", edge+":1883")
			for i, s := range steps {
				if got := say(c, s.send, s.want); got != s.want {
					t.Errorf("packet %d: %x, want %x", i, got, s.want)
				}
			}
		})
	}
	if strings.Contains(srv.text(), "secret") {
		t.Errorf("what is refused reaches the broker: %q", srv.text())
	}
	if told := h.told(); !slices.Contains(told, "refused default mqtt  PUBLISH site/secret1") || !slices.Contains(told, "refused default mqtt  SUBSCRIBE #") {
		t.Errorf("not reported: %q", told)
	}
}

// A session at the broker may be older than the policy.
func TestInspector_mqttWhatIsPublishedToTheDevice(t *testing.T) {
	for _, c := range []struct {
		topic string
		looks bool
		comes bool
	}{{"site/cam/cmd", true, true}, {"site/secret", true, false}, {"site/secret", false, true}} {
		in := &api.Inside{Proto: "mqtt", Paths: []string{"site/cam/#"}}
		if !c.looks {
			in = nil
		}
		h := newHouse(t, allow("mqtt", "cloud.example", "tcp", 1883, in))
		broker(t, h, c.topic)
		h.resolve(t, "cloud.example")
		conn := h.dial(t, "tcp4", edge+":1883")
		say(conn, connect(4, ""), "\x20\x02\x00\x00")
		got := say(conn, mqttPacket(0x32, mqttText("site/cam/state")+"\x00\x07ok"), c.topic)
		if strings.Contains(got, c.topic) != c.comes {
			t.Errorf("%s, looked at %v: %q", c.topic, c.looks, got)
		}
	}
}

func TestInspector_mqttSubscriptionsEndWithTheirTerm(t *testing.T) {
	h := newHouse(t, allow("mqtt", "cloud.example", "tcp", 1883, &api.Inside{Proto: "mqtt", Paths: []string{"site/cam/#", "site/all/#"}}))
	broker(t, h, "")
	h.resolve(t, "cloud.example")
	c := h.dial(t, "tcp4", edge+":1883")
	say(c, connect(4, ""), "\x20\x02\x00\x00")
	say(c, mqttPacket(0x82, "\x00\x09"+mqttText("site/all/x")+"\x00"), "\x90\x03\x00\x09\x00")
	h.desired.Devices[0].Terms[0].Inside = &api.Inside{Proto: "mqtt", Paths: []string{"site/cam/#"}}
	h.apply(t)
	c.SetReadDeadline(time.Now().Add(2 * time.Second))
	if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 || strings.Contains(err.Error(), "timeout") {
		t.Errorf("a subscription outlives its term: %v", err)
	}
}

func TestInspector_coap(t *testing.T) {
	term := api.Term{ID: "coap", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix(edge + "/32"), Proto: "udp", Ports: ports(5683),
		Inside: &api.Inside{Proto: "coap", Paths: []string{"/sensor/*"}, Methods: []string{"GET", "PUT"}}}
	for _, looks := range []bool{true, false} {
		if !looks {
			term.Inside = nil
		}
		h := newHouse(t, term)
		pc, err := h.net.ListenPacket(context.Background(), "udp4", edge+":5683")
		must(t, err)
		t.Cleanup(func() { pc.Close() })
		got := make(chan string, 64)
		go func() {
			buf := make([]byte, 2048)
			for {
				n, from, err := pc.ReadFrom(buf)
				if err != nil {
					return
				}
				got <- from.(*net.UDPAddr).IP.String() + " " + string(buf[:n])
				pc.WriteTo(append([]byte{0x60, 0x45}, buf[2:n]...), from)
			}
		}()
		c := h.dial(t, "udp4", edge+":5683")
		ask := func(code byte, opts string) []byte {
			t.Helper()
			c.SetDeadline(time.Now().Add(400 * time.Millisecond))
			c.Write(append([]byte{0x41, code, 0x12, 0x34, 0x55}, opts...))
			buf := make([]byte, 2048)
			n, _ := c.Read(buf)
			return buf[:n]
		}
		forbidden := []byte{0x61, 0x83, 0x12, 0x34, 0x55}
		for _, x := range []struct {
			name, opts string
			code       byte
			pass       bool
		}{
			{"allowed", "\xb6sensor\x04temp", 1, true},
			{"again", "\xb6sensor\x05temp2", 1, true},
			{"another path", "\xb6secret", 1, false},
			{"another method", "\xb6sensor\x04temp", 4, false},
			{"allowed once more", "\xb6sensor\x04temp", 3, true},
			{"a proxy", "\xb6sensor\x04temp\xd8\x0bcoap://x", 1, false},
		} {
			answer := ask(x.code, x.opts)
			want := x.pass || !looks
			if want && (len(answer) < 2 || answer[1] != 0x45) || !want && !bytes.Equal(answer, forbidden) {
				t.Errorf("looked at %v, %s: %x", looks, x.name, answer)
			}
			select {
			case at := <-got:
				if !want || !strings.HasPrefix(at, "10.77.0.10 ") {
					t.Errorf("looked at %v, %s: the server got %q", looks, x.name, at)
				}
			default:
				if want {
					t.Errorf("looked at %v, %s: the server got nothing", looks, x.name)
				}
			}
		}
		// QUIC and what else is no CoAP.
		c.SetDeadline(time.Now().Add(200 * time.Millisecond))
		c.Write([]byte{0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0})
		if n, _ := c.Read(make([]byte, 64)); n > 0 == looks {
			t.Errorf("looked at %v: QUIC is answered with %d bytes", looks, n)
		}
	}
}

// TestInspector_coapAfterARefusal: what a device sends right after it was refused
// something reaches who it is for, whether or not it had been allowed anything.
func TestInspector_coapAfterARefusal(t *testing.T) {
	h := newHouse(t, api.Term{ID: "coap", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix(edge + "/32"), Proto: "udp", Ports: ports(5683),
		Inside: &api.Inside{Proto: "coap", Paths: []string{"/sensor/*"}}})
	pc, err := h.net.ListenPacket(context.Background(), "udp4", edge+":5683")
	must(t, err)
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			pc.WriteTo(append([]byte{0x60, 0x45}, buf[2:n]...), from)
		}
	}()
	for i := range 20 {
		c := h.dial(t, "udp4", edge+":5683")
		for round := range 3 { // in the first, nothing is open
			for _, x := range []struct {
				opts string
				code byte // of the answer
			}{{"\xb6secret", 0x83}, {"\xb6sensor\x04temp", 0x45}} {
				c.SetDeadline(time.Now().Add(2 * time.Second))
				c.Write(append([]byte{0x41, 1, 0x12, 0x34, 0x55}, x.opts...))
				buf := make([]byte, 2048)
				if n, err := c.Read(buf); n < 2 || buf[1] != x.code {
					t.Fatalf("device %d, round %d: %q is answered with %x, %v", i, round, x.opts, buf[:n], err)
				}
			}
		}
	}
}
