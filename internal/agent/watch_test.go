package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall/internal/packet"
)

var (
	world = netip.MustParseAddr("203.0.113.5")
	inner = netip.MustParseAddr("10.77.0.10")

	routerMAC = packet.MAC{2, 0xff, 0, 0, 0, 1}
	oursMAC   = packet.MAC{2, 0xff, 0, 0, 0, 2}
	innerMAC  = packet.MAC{2, 0xff, 0, 0, 0, 3}
)

// testWatch returns a watch with a device on port p1, beside port p2.
func testWatch(t *testing.T) (w *watch, uplink, p1, p2 *listener) {
	t.Helper()
	w = newWatch(&Agent{cfg: testConfig(t)})
	w.self[oursMAC] = true
	w.ports[innerMAC] = "p1"
	return w, &listener{iface: "up", uplink: true}, &listener{iface: "p1"}, &listener{iface: "p2"}
}

// seen is a packet with where it is seen.
type seen struct {
	at   *listener
	p    packet.Packet
	name string
}

// judged feeds packets and names those that are judged, in order.
func judged(w *watch, all []seen) (names []string) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, s := range all {
		p := s.p
		p.Time = now
		if w.comesIn(s.at, &p) {
			names = append(names, s.name)
		}
		now = now.Add(time.Millisecond)
	}
	return names
}

func ip(proto uint8, src, dst netip.Addr, sport, dport uint16) packet.Packet {
	p := packet.Packet{Layers: packet.Link | packet.IPv4, Proto: proto, Src: src, Dst: dst, SrcPort: sport, DstPort: dport}
	switch proto {
	case packet.ProtoTCP:
		p.Layers |= packet.TCP
	case packet.ProtoUDP:
		p.Layers |= packet.UDP
	}
	return p
}

func from(mac, to packet.MAC, p packet.Packet) packet.Packet {
	p.SrcMAC, p.DstMAC = mac, to
	return p
}

// Whatever ring is read first, each packet of a conversation that the world
// begins is judged once, and before what answers it.
func TestWatch_judgesInOrder(t *testing.T) {
	syn := ip(packet.ProtoTCP, world, inner, 40000, 554)
	syn.Flags, syn.Seq = packet.SYN, 1000
	synAck := ip(packet.ProtoTCP, inner, world, 554, 40000)
	synAck.Flags, synAck.Seq, synAck.AckNum = packet.SYN|packet.ACK, 5000, 1001
	play := ip(packet.ProtoTCP, world, inner, 40000, 554)
	play.Flags, play.Seq, play.AckNum, play.PayloadLen = packet.ACK, 1001, 5001, 80
	ask, tell := ip(packet.ProtoUDP, world, inner, 40000, 3702), ip(packet.ProtoUDP, inner, world, 3702, 40000)
	again := ask
	again.PayloadLen = 9
	type step struct {
		name  string
		p     packet.Packet // as the port sees it
		twice bool          // the uplink sees it as well
	}
	for _, c := range []struct {
		name  string
		steps []step
	}{
		{"tcp", []step{{"syn", syn, true}, {"syn+ack", synAck, false}, {"play", play, true}}},
		{"udp", []step{{"ask", ask, true}, {"tell", tell, false}, {"again", again, true}, {"ask more", ask, true}}},
	} {
		var port, uplink []seen
		var want []string
		w, up, p1, p2 := testWatch(t)
		for _, s := range c.steps {
			want = append(want, s.name)
			if s.twice {
				uplink = append(uplink, seen{up, from(routerMAC, oursMAC, s.p), s.name})
				port = append(port, seen{p2, from(oursMAC, innerMAC, s.p), s.name + " flooded"})
				port = append(port, seen{p1, from(oursMAC, innerMAC, s.p), s.name})
			} else {
				port = append(port, seen{p1, from(innerMAC, oursMAC, s.p), s.name})
			}
		}
		for i, order := range merges(uplink, port) {
			t.Run(fmt.Sprint(c.name, i), func(t *testing.T) {
				w.twins = newTwins()
				got := judged(w, order)
				if !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
					t.Fatalf("judged %q, want each of %q once", got, want)
				}
				// What the port shows is judged in its order at the latest: the uplink
				// may be ahead of it, never behind.
				for n, name := range want[:len(want)-1] {
					if c.steps[n+1].twice {
						continue
					}
					if slices.Index(got, name) > slices.Index(got, want[n+1]) {
						t.Errorf("judged %q: %q after its answer", got, name)
					}
				}
			})
		}
	}
}

// merges lists all ways of reading two rings.
func merges(a, b []seen) (out [][]seen) {
	if len(a) == 0 || len(b) == 0 {
		return [][]seen{append(slices.Clone(a), b...)}
	}
	for _, m := range merges(a[1:], b) {
		out = append(out, append([]seen{a[0]}, m...))
	}
	for _, m := range merges(a, b[1:]) {
		out = append(out, append([]seen{b[0]}, m...))
	}
	return out
}

// What is refused is seen at the uplink alone, however often it is repeated,
// and so is what is for a device whose port is not known.
func TestWatch_judgesWhatIsRefused(t *testing.T) {
	w, up, p1, _ := testWatch(t)
	syn := ip(packet.ProtoTCP, world, inner, 40000, 23)
	syn.Flags, syn.Seq = packet.SYN, 1000
	atUplink := seen{up, from(routerMAC, oursMAC, syn), "uplink"}
	all := slices.Repeat([]seen{atUplink}, 300)
	if got := judged(w, all); len(got) != len(all) {
		t.Errorf("%d of %d refused openings are judged", len(got), len(all))
	}
	if got := judged(w, []seen{atUplink, {p1, from(oursMAC, innerMAC, syn), "port"}}); !slices.Equal(got, []string{"uplink"}) {
		t.Errorf("when one passes, %q are judged, want it at the uplink", got)
	}
	delete(w.ports, innerMAC)
	syn.Seq++
	if got := judged(w, []seen{{p1, from(oursMAC, innerMAC, syn), "port"}, {up, from(routerMAC, oursMAC, syn), "uplink"}}); !slices.Equal(got, []string{"uplink"}) {
		t.Errorf("of a device whose port is not known %q are judged, want the copy at the uplink", got)
	}
}

// Nobody in the world becomes a host of the home by writing its address.
func TestWatch_sightings(t *testing.T) {
	w, up, p1, _ := testWatch(t)
	now := time.Now()
	forged := from(routerMAC, oursMAC, ip(packet.ProtoUDP, netip.MustParseAddr("10.77.0.99"), inner, 40000, 9))
	honest := from(innerMAC, oursMAC, ip(packet.ProtoUDP, inner, world, 40000, 123))
	forged.Time, honest.Time = now, now
	w.judge(up, &forged)
	w.judge(p1, &honest)
	got := w.sightings()
	if len(got) != 1 || got[0].IP != inner || got[0].Port != "p1" {
		t.Errorf("sightings %+v, want %v at p1 alone", got, inner)
	}
	// However many hosts somebody makes up, who is there is seen there.
	for i := range maxPorts + 10 {
		w.sits(packet.MAC{2, 1, 1, 1, byte(i >> 8), byte(i)}, "p2")
	}
	w.judge(p1, &honest)
	if len(w.ports) > maxPorts || w.ports[innerMAC] != "p1" {
		t.Errorf("%d hosts are kept, the device at %q", len(w.ports), w.ports[innerMAC])
	}
}
