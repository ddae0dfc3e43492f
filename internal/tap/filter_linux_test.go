package tap_test

import (
	"fmt"
	"net"
	"testing"

	"github.com/ringwall/ringwall/internal/packet"
	"github.com/ringwall/ringwall/internal/tap"
)

// What nobody reads is cut, and is still seen with its true length; all else is
// whole.
func TestTap_cutsDatagrams(t *testing.T) {
	device, gateway := home(t)
	send := func(t *testing.T, network string, port, n int) {
		t.Helper()
		var c net.Conn
		var err error
		if network == "tcp" {
			l, err := gateway.Listen(t.Context(), "tcp", fmt.Sprintf("10.77.0.1:%d", port))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
		if c, err = device.DialContext(t.Context(), network, fmt.Sprintf("10.77.0.1:%d", port)); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(make([]byte, n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct {
		name    string
		network string
		port, n int
		whole   bool
		want    int // octets of the payload
	}{
		{"video", "udp", 5004, 1200, false, 128 - 14 - 20 - 8},
		{"short", "udp", 5005, 40, false, 40},
		{"video, if one wants it whole", "udp", 5006, 1200, true, 1200},
		{"a server of names", "udp", 53, 1200, false, 1200},
		{"the last port of the system", "udp", 1023, 1200, false, 1200},
		{"the first that is not", "udp", 1024, 1200, false, 86},
		{"a stream", "tcp", 5007, 1200, false, 1200},
		{"the first of several fragments", "udp", 5008, 3000, false, 1472},
	} {
		t.Run(x.name, func(t *testing.T) {
			_, s := run(t, tap.Config{Interface: "lan0", NS: gateway, IgnoreOutgoing: true, Whole: x.whole})
			send(t, x.network, x.port, x.n)
			match := func(p *packet.Packet) bool { return int(p.DstPort) == x.port && p.PayloadLen > 0 }
			wait(t, "the packet", func() bool { return s.count(match) > 0 })
			s.mu.Lock()
			defer s.mu.Unlock()
			for i := range s.all {
				p := &s.all[i]
				if !match(p) {
					continue
				}
				if len(p.Payload) != x.want {
					t.Errorf("%d octets of the payload, want %d", len(p.Payload), x.want)
				}
				if x.network == "udp" && x.n < 1473 && (p.PayloadLen != x.n || p.OrigLen != 14+20+8+x.n) {
					t.Errorf("a datagram of %d octets is told as one of %d, in %d on the wire", x.n, p.PayloadLen, p.OrigLen)
				}
				return
			}
		})
	}
}
