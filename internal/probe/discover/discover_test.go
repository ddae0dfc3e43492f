package discover

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/onvif"
	"github.com/ringwall/ringwall/internal/onvif/device"
	"github.com/ringwall/ringwall/internal/probe/probetest"
)

func TestHosts(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want int
	}{{"10.0.0.0/24", 254}, {"10.0.0.7/30", 2}, {"10.0.0.0/31", 2}, {"10.0.0.1/32", 1}, {"10.0.0.0/20", 4094}, {"fd00::/124", 16}} {
		hs, err := Hosts(netip.MustParsePrefix(tt.in))
		if err != nil || len(hs) != tt.want {
			t.Errorf("Hosts(%s) = %d, %v, want %d", tt.in, len(hs), err, tt.want)
		}
	}
	for _, s := range []string{"10.0.0.0/8", "fd00::/64", "0.0.0.0/0"} {
		if _, err := Hosts(netip.MustParsePrefix(s)); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("Hosts(%s): error is %v, want code invalid", s, err)
		}
	}
}

func TestParseNeighbours(t *testing.T) {
	got, err := ParseNeighbours(strings.NewReader(`IP address       HW type     Flags       HW address            Mask     Device
10.77.0.10       0x1         0x2         02:00:0A:4D:00:0A     *        eth0
10.77.0.11       0x1         0x0         00:00:00:00:00:00     *        eth0
garbage
10.77.0.300      0x1         0x2         02:00:0a:4d:00:0a     *        eth0
`))
	if err != nil || len(got) != 1 || got[0].Addr != netip.MustParseAddr("10.77.0.10") || got[0].MAC != "02:00:0a:4d:00:0a" {
		t.Errorf("neighbours = %+v, %v", got, err)
	}
}

// TestNeighbours_proxy lets one hardware address answer for a whole network.
func TestNeighbours_proxy(t *testing.T) {
	table := "heading\n10.77.0.200 0x1 0x2 02:00:00:00:00:aa * eth0\n"
	for i := range 20 {
		table += fmt.Sprintf("10.77.0.%d 0x1 0x2 02:00:00:00:00:01 * eth0\n", 1+i)
	}
	path := filepath.Join(t.TempDir(), "arp")
	if err := os.WriteFile(path, []byte(table), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []assess.Sighting
	err := Neighbours{Path: path}.Find(t.Context(), probetest.Host{}, []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}, func(s assess.Sighting) { got = append(got, s) })
	if err != nil || len(got) != 1 || got[0].MAC != "02:00:00:00:00:aa" {
		t.Errorf("saw %+v, %v", got, err)
	}
}

func TestSweep_findsOpenAndRefusing(t *testing.T) {
	addr := probetest.Serve(t, func(net.Conn) {})
	var seen []netip.Addr
	ch := make(chan assess.Sighting, 16)
	s := Sweep{Ports: []uint16{probetest.Port(t, addr)}}
	if err := s.Find(t.Context(), probetest.Host{}, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/29")}, func(x assess.Sighting) { ch <- x }); err != nil {
		t.Fatal(err)
	}
	close(ch)
	for x := range ch {
		seen = append(seen, x.Addr)
	}
	if len(seen) != 6 { // one open, five that refuse: all alive
		t.Errorf("saw %v, want the six hosts of 127.0.0.0/29", seen)
	}
}

// mapped sends what goes to the discovery port of loopback to a test's own.
type mapped struct {
	probetest.Host
	to netip.AddrPort
}

func (m mapped) ListenPacket(ctx context.Context, network, _ string) (net.PacketConn, error) {
	c, err := m.Host.ListenPacket(ctx, network, "127.0.0.1:0")
	return mappedConn{c, m.to}, err
}

type mappedConn struct {
	net.PacketConn
	to netip.AddrPort
}

func (c mappedConn) WriteTo(b []byte, a net.Addr) (int, error) {
	if ua := a.(*net.UDPAddr); ua.Port == onvif.DiscoveryPort && ua.IP.IsLoopback() {
		return c.PacketConn.WriteTo(b, net.UDPAddrFromAddrPort(c.to))
	}
	return len(b), nil
}

func TestWSDiscovery_asksEveryAddress(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- device.Respond(ctx, conn, device.Discovery{
			Config: device.Config{Vendor: "Refcam", Model: "RC-1", Name: "Refcam RC-1"}, HTTP: netip.MustParseAddrPort("127.0.0.1:80"),
		})
	}()
	n := mapped{to: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	var got []assess.Sighting
	err = WSDiscovery{Wait: 300 * time.Millisecond}.Find(t.Context(), n, []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, func(s assess.Sighting) { got = append(got, s) })
	if err != nil || len(got) != 1 || got[0].Vendor != "Refcam" || got[0].Model != "RC-1" || got[0].Type != "camera" {
		t.Errorf("saw %+v, %v", got, err)
	}
	cancel()
	<-done
}

func FuzzParseNeighbours(f *testing.F) {
	f.Add("h\n10.77.0.10 0x1 0x2 02:00:0A:4D:00:0A * eth0\n")
	f.Fuzz(func(t *testing.T, s string) {
		got, _ := ParseNeighbours(strings.NewReader(s))
		for _, g := range got {
			if !g.Addr.IsValid() {
				t.Fatalf("%+v", g)
			}
		}
	})
}
