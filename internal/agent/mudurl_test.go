package agent_test

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/internal/agent"
)

func dhcp(options ...byte) []byte {
	b := make([]byte, 240)
	b[0] = 1
	copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
	return append(b, options...)
}

func TestMUDURL(t *testing.T) {
	for _, c := range []struct {
		in   string
		fine bool
	}{
		{"https://maker.example/cam.json", true}, {"http://maker.example/cam.json", false}, {"https://", false}, {"https:maker.example", false},
		{"https://user:word@maker.example/", false}, {"https://maker.example/a b", false}, {"https://maker.example/\x1b[2J", false},
		{"https://maker.example/" + strings.Repeat("x", 2000), false}, {"", false}, {"https://maker.example/\xff", false},
	} {
		if got := agent.MUDURL(c.in); got != c.fine {
			t.Errorf("MUDURL(%.40q) = %v", c.in, got)
		}
	}
	if got := agent.DHCPMUD(dhcp(53, 1, 1, 161, 3, 'a', 'b', 'c', 0, 161, 2, 'd', 'e', 255, 161, 1, 'x')); got != "abcde" {
		t.Errorf("option 161 in two parts is %q", got)
	}
	for _, b := range [][]byte{nil, dhcp()[:239], dhcp(161), dhcp(161, 9, 'x'), make([]byte, 300)} {
		if got := agent.DHCPMUD(b); got != "" {
			t.Errorf("DHCPMUD of %d bytes = %q", len(b), got)
		}
	}
	if got := agent.LLDPMUD([]byte{2, 1, 9, 0xfe, 6, 0, 0, 0x5e, 1, 'o', 'k', 0, 0}); got != "ok" {
		t.Errorf("LLDPMUD = %q", got)
	}
}

func TestRouterOf(t *testing.T) {
	// A little-endian machine, as all that we build for are.
	if a, ok := agent.RouterOf("up0\t00000000\t0A6433C6\t0003\t0\t0\t0\t00000000\t0\t0\t0", "up0"); !ok || a != netip.MustParseAddr("198.51.100.10") {
		t.Errorf("RouterOf = %v, %v", a, ok)
	}
	for _, l := range []string{"", "Iface\tDestination", "up0\t00000000\tzz\t0\t0\t0\t0\t00000000", "eth1\t00000000\t0A6433C6\t0003\t0\t0\t0\t00000000", "up0\t006433C6\t00000000\t1\t0\t0\t0\t00FFFFFF"} {
		if _, ok := agent.RouterOf(l, "up0"); ok {
			t.Errorf("RouterOf(%q) finds a router", l)
		}
	}
}

func FuzzMUD(f *testing.F) {
	f.Add(dhcp(161, 3, 'a', 'b', 'c', 255))
	f.Add([]byte{2, 1, 9, 0xfe, 6, 0, 0, 0x5e, 1, 'o', 'k', 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range []string{agent.DHCPMUD(b), agent.LLDPMUD(b)} {
			if s != "" && len(s) > len(b) {
				t.Errorf("%q is not in %q", s, b)
			}
			if agent.MUDURL(s) && (!strings.HasPrefix(strings.ToLower(s), "https://") || bytes.ContainsAny([]byte(s), "\n\r ")) {
				t.Errorf("%q is taken", s)
			}
		}
	})
}
