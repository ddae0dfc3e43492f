package upnp

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func responder(t *testing.T, answer string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer != "" {
				_, _ = c.WriteTo([]byte(answer), from)
			}
		}
	}()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestJudge(t *testing.T) {
	for _, tt := range []struct {
		name, ssdp, ws string
		want           ringwall.Outcome
	}{
		{"silent", "", "", ringwall.Pass},
		{"UPnP", "HTTP/1.1 200 OK\r\nSERVER: miniupnpd/1.5\r\n\r\n", "", ringwall.Partial},
		{"small WS-Discovery", "", strings.Repeat("x", 2000), ringwall.Pass},
		{"large WS-Discovery", "", strings.Repeat("x", 20_000), ringwall.Fail},
		{"garbage for SSDP", "\x00\x01", "", ringwall.Pass},
	} {
		f, err := judge(t.Context(), probetest.Host{}, responder(t, tt.ssdp), responder(t, tt.ws))
		if err != nil || f.Outcome != tt.want {
			t.Errorf("%s: %v, %v, want %v: %q", tt.name, f.Outcome, err, tt.want, f.Evidence)
		}
	}
}

func TestProbe_deadSilenceIsNoPass(t *testing.T) {
	if a, err := (Probe{}).Run(t.Context(), probetest.Env(t), probetest.Target()); err != nil || len(a.Findings) != 0 {
		t.Errorf("findings %+v, %v of a device that never answered", a.Findings, err)
	}
}
