package nft_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
)

// heard collects samples of refusals.
type heard struct {
	mu   sync.Mutex
	list []nft.Refusal
}

func (w *world) hear(t *testing.T) *heard {
	h := &heard{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan bool)
	go func() {
		defer close(done)
		w.fw.Refusals(ctx, func(r nft.Refusal) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.list = append(h.list, r)
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	time.Sleep(50 * time.Millisecond)
	return h
}

// of reports whether something of this reason, mark and port was refused.
func (h *heard) of(reason string, mark uint32, port uint16) bool {
	for until := time.Now().Add(3 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		for _, r := range h.list {
			if r.Reason == reason && r.Mark == mark && (port == 0 || r.Dst.Port() == port) {
				h.mu.Unlock()
				return true
			}
		}
		h.mu.Unlock()
		if time.Now().After(until) {
			return false
		}
	}
}

// A device that asks the gateway to open a port is refused and reported.
func TestGuard_portMapping(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for _, a := range []string{"10.77.0.1:5351", "10.77.0.1:1900", "10.77.0.1:5000"} {
		echo(t, w.gw, a)
		check(t, "control: without rules, "+a, reaches(w.dev[0], "udp", a), true)
	}
	send := frames(t, w.dev[0], "eth0")
	search := func() {
		b := ether(mac(1), unix.ETH_P_IP, udp4("10.77.0.11", "239.255.255.250", 40000, 1900, "M-SEARCH * HTTP/1.1"))
		copy(b, []byte{1, 0, 0x5e, 0x7f, 0xff, 0xfa})
		send(b)
	}
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	d := w.desired(api.Term{ID: "all", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"})
	w.apply(t, d)
	h := w.hear(t)
	check(t, "NAT-PMP and PCP", reach(w.dev[0], "udp", "10.77.0.1:5351"), false)
	check(t, "SSDP to the gateway", reach(w.dev[0], "udp", "10.77.0.1:1900"), false)
	check(t, "IGD", reach(w.dev[0], "tcp", "10.77.0.1:5000"), false)
	for _, p := range []uint16{5351, 1900, 5000} {
		if !h.of(nft.ReasonPortMapping, 1, p) {
			t.Errorf("what asks for a mapping at port %d is not reported", p)
		}
	}
	h.mu.Lock()
	h.list = nil
	h.mu.Unlock()
	search()
	if !h.of(nft.ReasonPortMapping, 1, 1900) {
		t.Error("a search for Internet gateways is not reported")
	}
}

func TestGuard_rogueServerOfAddresses(t *testing.T) {
	t.Parallel()
	w := up(t, 2)
	w.apply(t, w.desired())
	h := w.hear(t)
	frames(t, w.dev[1], "eth0")(ether(mac(2), unix.ETH_P_IP, udp4("10.77.0.12", "255.255.255.255", 67, 68, "offer")))
	if !h.of(nft.ReasonRogue, 2, 68) {
		t.Error("a DHCP server on a device is not reported")
	}
}

// Odd frames and tunnels: each reaches without rules and does not with them, even
// of a device that may send UDP anywhere.
func TestGuard_oddPackets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	got := sink(t, w.net, "198.51.100.20:9")
	reach(w.dev[0], "udp", "198.51.100.20:10")                     // neighbours are known
	must(t, w.gw.Sysctl("ipv4/conf/all/accept_source_route", "1")) // for the control
	must(t, w.gw.Sysctl("ipv4/conf/br0/accept_source_route", "1"))
	gwMAC := macOf(t, w.gw, "br0")
	send := frames(t, w.dev[0], "eth0")
	unicast := func(b []byte) []byte { copy(b, hw(gwMAC)); return b }
	plain := func() []byte {
		return unicast(ether(mac(1), unix.ETH_P_IP, udp4("10.77.0.11", "198.51.100.20", 40000, 9, "x")))
	}
	options := func(opts ...byte) []byte {
		for len(opts)%4 != 0 {
			opts = append(opts, 0)
		}
		ip := udp4("10.77.0.11", "198.51.100.20", 40000, 9, "x")
		head := append(append([]byte{}, ip[:20]...), opts...)
		head[0] = 0x40 | byte(len(head)/4)
		binary.BigEndian.PutUint16(head[2:], uint16(len(ip)+len(opts)))
		head[10], head[11] = 0, 0
		binary.BigEndian.PutUint16(head[10:], checksum(head, 0, netip.Addr{}, netip.Addr{}))
		return unicast(ether(mac(1), unix.ETH_P_IP, head, ip[20:]))
	}
	tagged := func() []byte { // 802.1Q, priority only: the kernel takes it off
		b := plain()
		return append(append(append([]byte{}, b[:12]...), 0x81, 0, 0x20, 0), b[12:]...)
	}
	cases := []struct {
		what  string
		frame []byte
	}{
		{"a tagged frame", tagged()},
		{"record route", options(7, 7, 4, 0, 0, 0, 0)},
		{"router alert", options(148, 4, 0, 0)},
		{"a timestamp", options(68, 8, 5, 0, 0, 0, 0, 0)},
	}
	arrives := func(b []byte, within time.Duration) bool {
		before := got.Load()
		send(b)
		for until := time.Now().Add(within); time.Now().Before(until); time.Sleep(2 * time.Millisecond) {
			if got.Load() > before {
				return true
			}
		}
		return false
	}
	for _, c := range cases {
		check(t, "control: without rules, "+c.what, arrives(c.frame, 5*time.Second), true)
	}
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	w.apply(t, w.desired(allowOut("udp", "198.51.100.0/24", "udp")))
	check(t, "a plain frame", arrives(plain(), 5*time.Second), true)
	for _, c := range cases {
		check(t, c.what, arrives(c.frame, wait/2), false)
	}
}

// Tunnels are protocols that nobody has allowed.
func TestGuard_tunnels(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	gwMAC := macOf(t, w.gw, "br0")
	send := frames(t, w.dev[0], "eth0")
	protos := map[string]byte{"IP in IP": 4, "6in4": 41, "GRE": 47, "L2TP": 115, "SCTP": 132}
	listen := map[string]func() bool{}
	for name, p := range protos {
		var fd int
		must(t, w.net.Do(func() (err error) {
			fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(p))
			return err
		}))
		t.Cleanup(func() { unix.Close(fd) })
		listen[name] = func() bool {
			tv := unix.NsecToTimeval(wait.Nanoseconds() / 2)
			must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
			_, _, err := unix.Recvfrom(fd, make([]byte, 128), 0)
			return err == nil
		}
	}
	packet := func(p byte) []byte {
		b := udp4("10.77.0.11", "198.51.100.20", 1, 2, "tunnelled")
		b[9], b[10], b[11] = p, 0, 0
		binary.BigEndian.PutUint16(b[10:], checksum(b[:20], 0, netip.Addr{}, netip.Addr{}))
		f := ether(mac(1), unix.ETH_P_IP, b)
		copy(f, hw(gwMAC))
		return f
	}
	reach(w.dev[0], "udp", "198.51.100.20:9")
	for name, p := range protos {
		send(packet(p))
		check(t, "control: without rules, "+name, listen[name](), true)
	}
	echo(t, w.net, "198.51.100.20:3544")
	check(t, "control: without rules, Teredo", reaches(w.dev[0], "udp", "198.51.100.20:3544"), true)
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	w.apply(t, w.desired(allowOut("web", "198.51.100.0/24", "tcp"), allowOut("ntp", "198.51.100.0/24", "udp", port(123)...)))
	for name, p := range protos {
		send(packet(p))
		check(t, name, listen[name](), false)
	}
	check(t, "Teredo", reach(w.dev[0], "udp", "198.51.100.20:3544"), false)
}
