package mqtt

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

// decoy is a broker.
type decoy struct {
	refuse   byte // with this code; 0 = let in
	anything bool // takes any version
	deny     bool // no subscription
	t        *testing.T
}

func (d decoy) serve(c net.Conn) {
	r := bufio.NewReader(c)
	p, err := readPacket(r, r)
	if err != nil || p.kind != typeConnect || len(p.body) < 10 {
		return
	}
	switch {
	case p.body[7]&0xc0 != 0:
		d.t.Error("a name or password was sent")
	case p.body[6] != level311 && !d.anything:
		_, _ = c.Write([]byte{0x20, 2, 0, 1})
		return
	case d.refuse != 0:
		_, _ = c.Write([]byte{0x20, 2, 0, d.refuse})
		return
	}
	_, _ = c.Write([]byte{0x20, 2, 0, 0})
	for {
		p, err := readPacket(r, r)
		if err != nil {
			return
		}
		switch p.kind {
		case typeSubscribe:
			code := byte(0)
			if d.deny {
				code = 0x80
			}
			_, _ = c.Write(packet{typeSuback, 0, []byte{p.body[0], p.body[1], code, code}}.bytes())
			if !d.deny {
				_, _ = c.Write(packet{typePublish, 1, append(text(nil, "$SYS/broker/version"), "mosquitto version 1.4.15"...)}.bytes())
				_, _ = c.Write(packet{typePublish, 1, append(text(nil, "home/0a1b2c3d4e5f/door"), "open"...)}.bytes())
			}
		case typePublish:
			d.t.Error("something was published")
		}
	}
}

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		name       string
		d          decoy
		co07, co09 ringwall.Outcome
		says       string
	}{
		{"open to everybody", decoy{}, ringwall.Fail, ringwall.Fail, "topic home/…/door"},
		{"wants a password", decoy{refuse: 5}, ringwall.Partial, ringwall.Unknown, "plain text"},
		{"lets in, tells nothing", decoy{deny: true}, ringwall.Unknown, ringwall.Unknown, ""},
		{"yes to everything", decoy{anything: true}, ringwall.Unknown, ringwall.Unknown, "says yes to everything"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.d.t = t
			a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "mqtt", probetest.Serve(t, tt.d.serve))), probetest.Target())
			if err != nil {
				t.Fatal(err)
			}
			var story strings.Builder
			for _, f := range a.Findings {
				story.WriteString(f.Title + "\n" + strings.Join(f.Evidence, "\n"))
			}
			if o := probetest.Find(a.Findings, "CO-07").Outcome; o != tt.co07 {
				t.Errorf("CO-07 is %v, want %v", o, tt.co07)
			}
			if o := probetest.Find(a.Findings, "CO-09").Outcome; o != tt.co09 {
				t.Errorf("CO-09 is %v, want %v", o, tt.co09)
			}
			if !strings.Contains(story.String(), tt.says) || strings.Contains(story.String(), "0a1b2c") {
				t.Errorf("it says %s", story.String())
			}
			if tt.name == "open to everybody" && (len(a.Components) != 1 || a.Components[0].Version != "1.4.15") {
				t.Errorf("components %+v", a.Components)
			}
		})
	}
}

func TestProbe_notMQTT(t *testing.T) {
	for name, serve := range map[string]func(net.Conn){
		"an echo":      func(c net.Conn) { _, _ = io.Copy(c, c) },
		"a page":       func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
		"a long drink": func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, 1000)) },
	} {
		a, err := Probe{}.Run(t.Context(), probetest.Env(t, probetest.Service(t, "mqtt", probetest.Serve(t, serve))), probetest.Target())
		if err != nil || len(a.Findings) != 0 {
			t.Errorf("%s: %+v, %v", name, a.Findings, err)
		}
	}
}

func TestPacket_lengths(t *testing.T) {
	for _, n := range []int{0, 127, 128, 16383, 16384, maxPacket} {
		b := packet{typePublish, 0, make([]byte, n)}.bytes()
		r := bufio.NewReader(bytes.NewReader(b))
		if p, err := readPacket(r, r); err != nil || len(p.body) != n {
			t.Errorf("%d bytes read back as %d, %v", n, len(p.body), err)
		}
	}
}

func FuzzReadPacket(f *testing.F) {
	f.Add([]byte{0x20, 2, 0, 0})
	f.Add(packet{typePublish, 0, append(text(nil, "a/b"), 1)}.bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		p, err := readPacket(r, r)
		if err != nil {
			return
		}
		if len(p.body) > maxPacket {
			t.Fatal(len(p.body))
		}
		_, _ = connack(p)
		_, _ = suback(p, 1, 2)
		_, _, _ = topic(p)
	})
}
