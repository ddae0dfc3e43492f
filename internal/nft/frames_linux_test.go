package nft_test

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
)

// frames sends raw frames from an interface.
func frames(t testing.TB, ns *netns.NS, iface string) func(frame []byte) {
	t.Helper()
	var fd, index int
	must(t, ns.Do(func() (err error) {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		index = i.Index
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	t.Cleanup(func() { unix.Close(fd) })
	return func(b []byte) { must(t, unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: index, Halen: 6})) }
}

// macOf is the MAC of an interface.
func macOf(t testing.TB, ns *netns.NS, iface string) (mac string) {
	t.Helper()
	must(t, ns.Do(func() error {
		i, err := net.InterfaceByName(iface)
		if err == nil {
			mac = i.HardwareAddr.String()
		}
		return err
	}))
	return mac
}

func hw(s string) []byte { m, _ := net.ParseMAC(s); return m }

// ether is a frame to everybody.
func ether(src string, typ uint16, body ...[]byte) []byte {
	b := append([]byte{255, 255, 255, 255, 255, 255}, hw(src)...)
	b = binary.BigEndian.AppendUint16(b, typ)
	for _, x := range body {
		b = append(b, x...)
	}
	return b
}

func arp(op byte, sha, spa, tpa string) []byte {
	b := []byte{0, 1, 8, 0, 6, 4, 0, op}
	b = append(b, hw(sha)...)
	b = append(b, netip.MustParseAddr(spa).AsSlice()...)
	b = append(b, make([]byte, 6)...)
	return append(b, netip.MustParseAddr(tpa).AsSlice()...)
}

// udp4 is an IPv4 packet with a UDP datagram and no UDP checksum.
func udp4(src, dst string, sport, dport uint16, data string) []byte {
	s, d := netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice()
	b := []byte{0x45, 0, 0, byte(28 + len(data)), 0, 0, 0, 0, 64, 17, 0, 0}
	b = append(append(b, s...), d...)
	binary.BigEndian.PutUint16(b[10:], checksum(b, 0, netip.Addr{}, netip.Addr{}))
	b = binary.BigEndian.AppendUint16(b, sport)
	b = binary.BigEndian.AppendUint16(b, dport)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	b = append(b, 0, 0)
	return append(b, data...)
}

// hears reports whether what send sends is heard on a port of the gateway.
func hears(t testing.TB, ns *netns.NS, addr string, send func()) bool {
	t.Helper()
	c, err := ns.ListenPacket(context.Background(), "udp4", addr)
	must(t, err)
	defer c.Close()
	send()
	c.SetReadDeadline(time.Now().Add(wait))
	_, _, err = c.ReadFrom(make([]byte, 64))
	return err == nil
}

func TestFirewall_frames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	send := frames(t, w.dev[1], "eth0")
	// A DHCP request of a device without an address, which is broadcast.
	discover := func() { send(ether(mac(2), unix.ETH_P_IP, udp4("0.0.0.0", "255.255.255.255", 68, 67, "discover"))) }
	offer := func() { send(ether(mac(2), unix.ETH_P_IP, udp4("10.77.0.12", "255.255.255.255", 67, 68, "offer"))) }
	check(t, "control: without rules, an offer of a DHCP server on a device", hears(t, w.gw, ":68", offer), true)

	poison := func() { send(ether(mac(2), unix.ETH_P_ARP, arp(1, mac(2), "10.77.0.11", "10.77.0.1"))) }
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	check(t, "closed base: a DHCP request", hears(t, w.gw, ":67", discover), true)
	w.apply(t, w.desired())
	check(t, "a DHCP request", hears(t, w.gw, ":67", discover), true)
	must(t, w.fw.Restrict(t.Context(), 2, ringwall.Cutoff))
	check(t, "cut off: a DHCP request", hears(t, w.gw, ":67", discover), true)
	must(t, w.fw.Restrict(t.Context(), 2, ringwall.Unrestricted))
	check(t, "an offer of a DHCP server on a device", hears(t, w.gw, ":68", offer), false)

	forged := func() uint64 {
		c, err := w.fw.Counters(t.Context())
		must(t, err)
		return c[2].Forged.Packets
	}
	before := forged()
	poison()
	time.Sleep(50 * time.Millisecond)
	if got := forged(); got != before+1 {
		t.Errorf("ARP for another's address: %d forged frames counted, want %d", got, before+1)
	}
	send(ether(mac(2), unix.ETH_P_ARP, arp(1, mac(1), "10.77.0.12", "10.77.0.1")))  // another's MAC inside
	send(ether(mac(2), unix.ETH_P_IP, udp4("10.77.0.11", "10.77.0.1", 5, 53, "x"))) // another's address
	time.Sleep(50 * time.Millisecond)
	if got := forged(); got != before+3 {
		t.Errorf("%d forged frames counted, want %d", got, before+3)
	}
	send(ether(mac(2), unix.ETH_P_ARP, arp(1, mac(2), "10.77.0.12", "10.77.0.1"))) // its own
	send(ether(mac(2), unix.ETH_P_ARP, arp(1, mac(2), "0.0.0.0", "10.77.0.12")))   // a probe
	time.Sleep(50 * time.Millisecond)
	if got := forged(); got != before+3 {
		t.Errorf("its own ARP is counted as forged: %d, want %d", got, before+3)
	}
}

func TestFirewall_poisonedNeighbour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	got1, got2 := sink(t, w.dev[0], "10.77.0.11:9"), sink(t, w.dev[1], "0.0.0.0:9")
	must(t, w.dev[1].Addr("lo", "10.77.0.11/32")) // it would take what is for device 1
	must(t, w.gw.Sysctl("ipv4/conf/br0/arp_accept", "1"))
	send := frames(t, w.dev[1], "eth0")
	try := func() (toOne, toTwo int64) {
		a, b := got1.Load(), got2.Load()
		// Linux believes no new ARP within a second of the last.
		time.Sleep(1100 * time.Millisecond)
		send(ether(mac(2), unix.ETH_P_ARP, arp(1, mac(2), "10.77.0.11", "10.77.0.11")))
		send(ether(mac(2), unix.ETH_P_ARP, arp(2, mac(2), "10.77.0.11", "10.77.0.1")))
		time.Sleep(20 * time.Millisecond)
		c, err := w.net.ListenPacket(context.Background(), "udp4", "198.51.100.20:0")
		must(t, err)
		defer c.Close()
		c.WriteTo([]byte("secret"), &net.UDPAddr{IP: w.addr(1).AsSlice(), Port: 9})
		time.Sleep(100 * time.Millisecond)
		return got1.Load() - a, got2.Load() - b
	}
	reach(w.dev[0], "udp", "198.51.100.20:9")
	if one, two := try(); one != 0 || two != 1 {
		t.Errorf("control: without rules, %d packets for device 1 reach it and %d its neighbour; want the neighbour to take them", one, two)
	}
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	w.apply(t, w.desired(api.Term{ID: "in", Action: api.Allow, Direction: api.ToDevice, CIDR: netip.MustParsePrefix("198.51.100.0/24"), Proto: "udp"}))
	time.Sleep(1100 * time.Millisecond)
	frames(t, w.dev[0], "eth0")(ether(mac(1), unix.ETH_P_ARP, arp(1, mac(1), "10.77.0.11", "10.77.0.1"))) // the true one speaks
	if one, two := try(); one != 1 || two != 0 {
		t.Errorf("%d packets for device 1 reach it and %d its neighbour, want 1 and 0", one, two)
	}
}

// Isolation of the ports is what keeps devices apart; were it lost, the rules
// still would.
func TestFirewall_portsThatAreNotIsolated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	must(t, w.gw.Plug("p1", "br0", false))
	must(t, w.gw.Plug("p2", "br0", false))
	must(t, w.gw.Sysctl("ipv4/conf/br0/proxy_arp_pvlan", "0"))
	echo(t, w.dev[1], "10.77.0.12:23")
	check(t, "control: without rules and isolation, from device to device", reaches(w.dev[0], "tcp", "10.77.0.12:23"), true)
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	d := w.desired(api.Term{ID: "x", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"})
	w.apply(t, d)
	check(t, "without isolation, from device to device", reach(w.dev[0], "tcp", "10.77.0.12:23"), false)
}
