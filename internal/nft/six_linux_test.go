package nft_test

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// six gives the world IPv6: devices fd00:77::11 and up, the net fd00:99::20.
func six(t *testing.T, w *world) {
	t.Helper()
	must(t, nft.PrepareIPv6(t.Context(), w.gw, "br0"))
	must(t, w.gw.Sysctl("ipv6/conf/wan0/accept_dad", "0"))
	must(t, w.gw.Sysctl("ipv6/conf/br0/accept_dad", "0"))
	must(t, w.net.Sysctl("ipv6/conf/inet0/accept_dad", "0"))
	must(t, w.gw.Addr("br0", "fd00:77::1/64"))
	must(t, w.gw.Addr("wan0", "fd00:99::1/64"))
	must(t, w.net.Addr("inet0", "fd00:99::20/64"))
	must(t, w.net.Addr("inet0", "fd00:99::66/64"))
	must(t, w.net.Route("fd00:77::/64", "fd00:99::1"))
	for i, d := range w.dev {
		must(t, d.Sysctl("ipv6/conf/eth0/accept_dad", "0"))
		must(t, d.Addr("eth0", w.addr6(i+1).String()+"/64"))
		must(t, d.Route("fd00:99::/64", "fd00:77::1"))
	}
}

func (w *world) addr6(i int) netip.Addr {
	a := netip.MustParseAddr("fd00:77::10").As16()
	a[15] += byte(i)
	return netip.AddrFrom16(a)
}

func box6(a string, proto uint8, port uint16) policy.Box {
	x := netip.MustParseAddr(a)
	return policy.Box{First: x, Last: x, Proto: proto, PortFirst: port, PortLast: port}
}

func TestIPv6(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	six(t, w)
	for _, a := range []string{"[fd00:99::20]:443", "[fd00:99::20]:80", "[fd00:99::66]:443"} {
		echo(t, w.net, a)
	}
	echo(t, w.dev[0], "[fd00:77::11]:554")
	echo(t, w.gw, "[fd00:77::1]:53")
	d1, d2, d3 := w.dev[0], w.dev[1], w.dev[2]
	check(t, "control: without rules, IPv6", reaches(d1, "tcp", "[fd00:99::66]:443"), true)
	check(t, "control: without rules, from outside", reaches(w.net, "tcp", "[fd00:77::11]:554"), true)
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	plan := w.plan(t, w.desired(), func(p *policy.Plan) {
		for i := range p.Devices[:2] {
			p.Devices[i].IP6 = []netip.Addr{w.addr6(i + 1)}
			p.Devices[i].Allow = append(p.Devices[i].Allow, box6("fd00:99::20", policy.ProtoTCP, 443), box6("fd00:99::20", policy.ProtoUDP, 443))
		}
		in := box6("fd00:77::12", policy.ProtoTCP, 554)
		p.Devices[0].InAllow = []policy.Box{in}
		p.Devices[1].Allow = append(p.Devices[1].Allow, box6("fd00:77::11", policy.ProtoTCP, 554))
	})
	w.force(t, plan)
	check(t, "what is allowed", reaches(d1, "tcp", "[fd00:99::20]:443"), true)
	check(t, "what is allowed, UDP", reaches(d1, "udp", "[fd00:99::20]:443"), true)
	check(t, "another port", reach(d1, "tcp", "[fd00:99::20]:80"), false)
	check(t, "another address", reach(d1, "tcp", "[fd00:99::66]:443"), false)
	check(t, "a device to which IPv6 is closed", reach(d3, "tcp", "[fd00:99::20]:443"), false)
	check(t, "from outside", reach(w.net, "tcp", "[fd00:77::11]:554"), false)
	check(t, "names at the gateway", reaches(d1, "udp", "[fd00:77::1]:53"), true)
	must(t, w.fw.BindAll(t.Context(), []nft.Binding{{Mark: 1, Addr: netip.MustParseAddr("fd00:99::66"), Name: "a.example", Services: []policy.Service{{Proto: policy.ProtoTCP, Ports: port(443)}}, Life: time.Minute}}))
	check(t, "what a name has bound", reaches(d1, "tcp", "[fd00:99::66]:443"), true)
	check(t, "what a name has bound for another", reach(d2, "tcp", "[fd00:99::66]:443"), false)
	s := openStream(t, d1, "[fd00:99::20]:443")
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Quarantine))
	check(t, "quarantined, its stream", s.alive(), false)
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Unrestricted))
	c := w.counts(t)
	if c[1].PassedUp.Packets < 6 || c[1].PassedDown.Packets < 4 || c[1].Refused.Packets == 0 {
		t.Errorf("counts %+v", c[1])
	}
	// Another address than its own, though it is of a device.
	must(t, d2.Addr("eth0", "fd00:77::99/64"))
	must(t, d1.Sysctl("ipv6/conf/eth0/disable_ipv6", "1"))
	send := frames(t, d2, "eth0")
	got := sink(t, w.net, "[fd00:99::20]:9")
	w.force(t, w.plan(t, w.desired(), func(p *policy.Plan) {
		for i := range p.Devices[:2] {
			p.Devices[i].IP6 = []netip.Addr{w.addr6(i + 1)}
			p.Devices[i].Allow = []policy.Box{{First: netip.MustParseAddr("fd00:99::20"), Last: netip.MustParseAddr("fd00:99::20"), Proto: policy.ProtoAny, PortLast: 0xffff}}
		}
	}))
	reach(d2, "udp", "[fd00:99::20]:10") // neighbours are known
	gwMAC := macOf(t, w.gw, "br0")
	try := func(b []byte) bool {
		before := got.Load()
		send(b)
		time.Sleep(wait / 3)
		return got.Load() > before
	}
	own := func(src string, ext ...byte) []byte { return udp6(gwMAC, mac(2), src, "fd00:99::20", 9, ext...) }
	check(t, "control: a raw packet of its own", try(own("fd00:77::12")), true)
	check(t, "a raw packet with another's address", try(own("fd00:77::11")), false)
	check(t, "a raw packet with nobody's address", try(own("fd00:77::99")), false)
	check(t, "a raw packet with a hop-by-hop header", try(own("fd00:77::12", 0)), false)
	check(t, "a raw packet with destination options", try(own("fd00:77::12", 60)), false)
	check(t, "a raw packet with a routing header", try(own("fd00:77::12", 43)), false)
	check(t, "a raw packet with a fragment header", try(own("fd00:77::12", 44)), false)
}

// Control for the headers above: without rules they pass.
func TestIPv6_headersPassWithoutRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	six(t, w)
	got := sink(t, w.net, "[fd00:99::20]:9")
	for range 3 {
		reach(w.dev[1], "udp", "[fd00:99::20]:10") // neighbours are known
	}
	send := frames(t, w.dev[1], "eth0")
	gwMAC := macOf(t, w.gw, "br0")
	for _, ext := range [][]byte{nil, {0}, {60}, {44}} {
		before := got.Load()
		send(udp6(gwMAC, mac(2), "fd00:77::12", "fd00:99::20", 9, ext...))
		for until := time.Now().Add(5 * time.Second); got.Load() == before && time.Now().Before(until); time.Sleep(5 * time.Millisecond) {
		}
		if got.Load() == before {
			t.Errorf("control: without rules a packet with header %v does not arrive", ext)
		}
	}
}

func TestIPv6_neighbours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	six(t, w)
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	w.force(t, w.plan(t, w.desired(api.Term{ID: "x", Action: api.Allow, Direction: api.FromDevice, Local: true, Proto: "any"}), func(p *policy.Plan) {
		for i := range p.Devices[:2] {
			p.Devices[i].IP6 = []netip.Addr{w.addr6(i + 1)}
		}
	}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reasons := make(chan nft.Refusal, 64)
	go w.fw.Refusals(ctx, func(r nft.Refusal) {
		select {
		case reasons <- r:
		default:
		}
	})
	time.Sleep(50 * time.Millisecond)
	send := frames(t, w.dev[1], "eth0")
	forged := func() uint64 {
		c, err := w.fw.Counters(t.Context())
		must(t, err)
		return c[2].Forged.Packets
	}
	// counts as forged or not
	try := func(what string, want bool, b []byte) {
		t.Helper()
		before := forged()
		send(b)
		time.Sleep(20 * time.Millisecond)
		if got := forged() > before; got != want {
			t.Errorf("%s: forged %v, want %v", what, got, want)
		}
	}
	ll := "fe80::ff:fe00:2" // of its MAC
	try("its own advertisement", false, nd(136, mac(2), ll, "fd00:77::12", 2, mac(2)))
	try("its own solicitation", false, nd(135, mac(2), "fd00:77::12", "fd00:77::1", 1, mac(2)))
	try("an advertisement of another's address", true, nd(136, mac(2), ll, "fd00:77::11", 2, mac(2)))
	try("an advertisement of the gateway's address", true, nd(136, mac(2), ll, "fd00:77::1", 2, mac(2)))
	try("its own address at another's MAC", true, nd(136, mac(2), ll, "fd00:77::12", 2, mac(1)))
	try("a solicitation with another's address", true, nd(135, mac(2), "fd00:77::11", "fd00:77::1", 1, mac(2)))
	try("a solicitation with another's MAC inside", true, nd(135, mac(2), "fd00:77::12", "fd00:77::1", 1, mac(1)))
	// One to which IPv6 is closed says much, and forges nothing.
	quiet := frames(t, w.dev[2], "eth0")
	quiet(nd(135, mac(3), "fe80::ff:fe00:3", "fd00:77::1", 1, mac(3)))
	quiet(nd(133, mac(3), "fe80::ff:fe00:3", "::", 0, ""))
	quiet(udp6("33:33:00:00:00:fb", mac(3), "fe80::ff:fe00:3", "ff02::fb", 5353))
	time.Sleep(20 * time.Millisecond)
	if c, err := w.fw.Counters(t.Context()); err != nil || c[3].Forged.Packets != 0 {
		t.Errorf("what a device says to which IPv6 is closed is counted as forged: %+v, %v", c[3], err)
	}
	try("a router advertisement", true, nd(134, mac(2), ll, "::", 0, ""))
	try("a redirect", true, nd(137, mac(2), ll, "::", 0, ""))
	for {
		select {
		case r := <-reasons:
			if r.Reason == nft.ReasonRogue {
				if r.Mark != 2 {
					t.Errorf("a rogue router is reported of mark %d, want 2", r.Mark)
				}
				return
			}
			continue
		case <-time.After(2 * time.Second):
			t.Error("a rogue router is not reported")
		}
		return
	}
}

// nd is a message of neighbour discovery with one option, or none.
func nd(typ byte, src, from, target string, option byte, optMAC string) []byte {
	body := make([]byte, 8)
	body[0] = typ
	if typ == 134 {
		body = append(body, make([]byte, 8)...)
	} else {
		a := netip.MustParseAddr(target).As16()
		body = append(body, a[:]...)
	}
	if option != 0 {
		body = append(append(body, option, 1), hw(optMAC)...)
	}
	s, d := netip.MustParseAddr(from), netip.MustParseAddr("ff02::1")
	binary.BigEndian.PutUint16(body[2:], sum6(body, 58, s, d))
	return ether6("33:33:00:00:00:01", src, 58, 255, s, d, body)
}

func ether6(dst, src string, next, hops byte, s, d netip.Addr, body []byte) []byte {
	b := append(append([]byte{}, hw(dst)...), hw(src)...)
	b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(body)))
	b = append(b, next, hops)
	return append(append(append(b, s.AsSlice()...), d.AsSlice()...), body...)
}

// udp6 is a datagram behind extension headers without options.
func udp6(dstMAC, srcMAC, src, dst string, port uint16, ext ...byte) []byte {
	s, d := netip.MustParseAddr(src), netip.MustParseAddr(dst)
	u := binary.BigEndian.AppendUint16(nil, 40000)
	u = binary.BigEndian.AppendUint16(u, port)
	u = append(u, 0, 9, 0, 0, 'x')
	binary.BigEndian.PutUint16(u[6:], sum6(u, 17, s, d))
	next := byte(17)
	for i := len(ext) - 1; i >= 0; i-- {
		h := []byte{next, 0, 1, 4, 0, 0, 0, 0} // PadN
		switch ext[i] {
		case 44:
			h = []byte{next, 0, 0, 0, 0, 0, 0, 1} // an atomic fragment
		case 43:
			h = []byte{next, 0, 4, 0, 0, 0, 0, 0} // segments left: none
		}
		u, next = append(h, u...), ext[i]
	}
	return ether6(dstMAC, srcMAC, next, 64, s, d, u)
}

func sum6(b []byte, proto byte, s, d netip.Addr) uint16 {
	p := append(append([]byte{}, s.AsSlice()...), d.AsSlice()...)
	p = binary.BigEndian.AppendUint32(p, uint32(len(b)))
	p = append(p, 0, 0, 0, proto)
	p = append(p, b...)
	if len(p)%2 == 1 {
		p = append(p, 0)
	}
	return checksum(p, 0, netip.Addr{}, netip.Addr{})
}
