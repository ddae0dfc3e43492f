package nft_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// wire sends and receives single packets of several protocols in one
// namespace. Every packet carries a number.
type wire struct {
	conns map[string]net.PacketConn
	mu    sync.Mutex
	got   map[uint32]bool
}

var wireProtos = map[string]string{"tcp": "ip4:tcp", "udp": "ip4:udp", "icmp": "ip4:icmp", "99": "ip4:99"}

func newWire(t *testing.T, ns *netns.NS) *wire {
	w := &wire{conns: map[string]net.PacketConn{}, got: map[uint32]bool{}}
	for proto, network := range wireProtos {
		c, err := ns.ListenPacket(context.Background(), network, "0.0.0.0")
		must(t, err)
		t.Cleanup(func() { c.Close() })
		w.conns[proto] = c
		go func() {
			buf := make([]byte, 256)
			for {
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				if id, ok := number(proto, buf[:n]); ok {
					w.mu.Lock()
					w.got[id] = true
					w.mu.Unlock()
				}
			}
		}()
	}
	return w
}

// magic tells our packets from answers to them.
const magic = 0x52570000

func number(proto string, b []byte) (uint32, bool) {
	var id uint32
	switch {
	case proto == "tcp" && len(b) >= 20 && b[13] == 2: // SYN
		id = binary.BigEndian.Uint32(b[4:])
	case proto == "udp" && len(b) == 12:
		id = binary.BigEndian.Uint32(b[8:])
	case proto == "icmp" && len(b) == 12 && b[0] == 8:
		id = binary.BigEndian.Uint32(b[8:])
	case proto == "99" && len(b) == 4:
		id = binary.BigEndian.Uint32(b)
	}
	return id, id&0xffff0000 == magic
}

func (w *wire) send(t *testing.T, proto string, src, dst netip.AddrPort, id uint32) {
	t.Helper()
	var b []byte
	switch proto {
	case "tcp":
		b = make([]byte, 20)
		binary.BigEndian.PutUint16(b, src.Port())
		binary.BigEndian.PutUint16(b[2:], dst.Port())
		binary.BigEndian.PutUint32(b[4:], id)
		b[12], b[13] = 5<<4, 2
		binary.BigEndian.PutUint16(b[14:], 1024)
		binary.BigEndian.PutUint16(b[16:], checksum(b, 6, src.Addr(), dst.Addr()))
	case "udp":
		b = make([]byte, 12)
		binary.BigEndian.PutUint16(b, src.Port())
		binary.BigEndian.PutUint16(b[2:], dst.Port())
		binary.BigEndian.PutUint16(b[4:], 12)
		binary.BigEndian.PutUint32(b[8:], id)
	case "icmp":
		b = make([]byte, 12)
		b[0] = 8
		binary.BigEndian.PutUint16(b[4:], uint16(id))
		binary.BigEndian.PutUint32(b[8:], id)
		binary.BigEndian.PutUint16(b[2:], checksum(b, 0, netip.Addr{}, netip.Addr{}))
	case "99":
		b = binary.BigEndian.AppendUint32(nil, id)
	}
	if _, err := w.conns[proto].WriteTo(b, &net.IPAddr{IP: dst.Addr().AsSlice()}); err != nil {
		t.Logf("sending %s to %s: %v", proto, dst, err)
	}
}

// checksum is that of RFC 1071, with a pseudo header when proto is not 0.
func checksum(b []byte, proto byte, src, dst netip.Addr) uint16 {
	var sum uint32
	add := func(b []byte) {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	add(b)
	if proto != 0 {
		add(src.AsSlice())
		add(dst.AsSlice())
		add([]byte{0, proto, 0, byte(len(b))})
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// worlds draws random policies and flows of a small world.
type worlds struct {
	r *rand.Rand
	w *world
}

var outside = []string{"198.51.100.20", "198.51.100.53", "198.51.100.66", "198.51.100.90"}

func (u worlds) out() netip.Addr { return netip.MustParseAddr(outside[u.r.IntN(len(outside))]) }
func (u worlds) port() uint16    { return []uint16{1, 22, 23, 80, 443, 444, 8000, 65535}[u.r.IntN(8)] }
func (u worlds) dev() int        { return u.r.IntN(len(u.w.dev)) + 1 }
func (u worlds) domain() string {
	return []string{"a.example", "*.a.example", "b.example"}[u.r.IntN(3)]
}
func (u worlds) hostname() string {
	return []string{"a.example", "x.a.example", "b.example"}[u.r.IntN(3)]
}

func (u worlds) term(i int) api.Term {
	t := api.Term{ID: fmt.Sprint("t", i), Action: api.Allow, Direction: api.FromDevice, Proto: []string{"tcp", "udp", "any", "any", "icmp"}[u.r.IntN(5)]}
	if u.r.IntN(4) == 0 {
		t.Action = api.Deny
	}
	if u.r.IntN(3) == 0 {
		t.Direction = api.ToDevice
	}
	for t.Proto != "icmp" && u.r.IntN(3) > 0 && len(t.Ports) < 3 {
		p, q := u.port(), u.port()
		if u.r.IntN(2) == 0 {
			q = p
		}
		t.Ports = append(t.Ports, api.PortRange{First: min(p, q), Last: max(p, q)})
	}
	switch n := u.r.IntN(8); {
	case n < 3:
		t.CIDR = netip.PrefixFrom(u.out(), []int{0, 24, 26, 28, 30, 31, 32, 32}[u.r.IntN(8)])
	case n == 3:
		t.CIDR = netip.PrefixFrom(u.w.addr(u.dev()), []int{24, 31, 32}[u.r.IntN(3)])
	case n < 6 && t.Direction == api.FromDevice:
		t.Domain = u.domain()
		if t.Proto != "icmp" && u.r.IntN(2) == 0 {
			t.Ports = port(443)
		} else {
			t.Ports = nil
		}
	case n == 6:
		t.Device = ringwall.DeviceID(fmt.Sprint("dev_", u.dev()))
	default:
		t.Local = true
	}
	return t
}

func (u worlds) desired() api.Desired {
	d := u.w.desired()
	for i := range d.Devices {
		d.Devices[i].Mode = []ringwall.Mode{ringwall.Enforce, ringwall.Enforce, ringwall.Enforce, ringwall.Shadow, ringwall.Learn}[u.r.IntN(5)]
		d.Devices[i].Trust = []ringwall.Trust{ringwall.T3, ringwall.T3, ringwall.T3, ringwall.T3, ringwall.T1, ringwall.T0}[u.r.IntN(6)]
		for j := range u.r.IntN(7) {
			d.Devices[i].Terms = append(d.Devices[i].Terms, u.term(j))
		}
	}
	d.Remediation = nil
	for j := range u.r.IntN(3) {
		t := u.term(100 + j)
		t.Direction, t.Local, t.Device = api.FromDevice, false, ""
		if t.Domain == "" {
			t.CIDR = netip.PrefixFrom(u.out(), 28)
		}
		d.Remediation = append(d.Remediation, t)
	}
	return d
}

type sent struct {
	proto    string
	from, to int // device, 0 = outside
	src, dst netip.AddrPort
	id       uint32
	want     bool
	why      string
}

// Decide and the kernel must say the same of every flow: real packets of four
// protocols, out, in and between devices, under random policies.
func TestApply_agreesWithDecide(t *testing.T) {
	const plans, flows = 40, 60
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newWorld(t, 4)
	u := worlds{rand.New(rand.NewPCG(seed, 2)), w}
	wires := []*wire{newWire(t, w.net)}
	for i, d := range w.dev {
		wires = append(wires, newWire(t, d))
		// Every neighbour is known before it counts.
		reach(d, "udp", "198.51.100.20:9")
		reach(w.net, "udp", w.addr(i+1).String()+":9")
		for j := range w.dev {
			if j != i {
				reach(d, "udp", w.addr(j+1).String()+":9")
			}
		}
	}
	w.open(t)
	must(t, w.fw.Base(t.Context()))
	id, passed := uint32(magic), 0
	for plan := range plans {
		w.apply(t, w.desired()) // ends what names have opened
		d := u.desired()
		p, err := policy.Compile(d, nil, time.Now())
		must(t, err)
		_, err = w.fw.Apply(t.Context(), p)
		must(t, err)
		names := u.bind(t, p)
		var all []sent
		for range flows {
			id++
			s := sent{proto: []string{"tcp", "udp", "icmp", "99"}[u.r.IntN(4)], id: id, from: u.dev()}
			if u.r.IntN(4) == 0 {
				s.from = 0
			}
			if s.from == 0 || u.r.IntN(3) == 0 {
				for s.to = u.dev(); s.to == s.from; s.to = u.dev() {
				}
			}
			addr := func(dev int) netip.Addr {
				if dev == 0 {
					return u.out()
				}
				return w.addr(dev)
			}
			s.src, s.dst = netip.AddrPortFrom(addr(s.from), uint16(10000+id%50000)), netip.AddrPortFrom(addr(s.to), u.port())
			if s.from == 0 {
				s.src = netip.AddrPortFrom(netip.MustParseAddr("198.51.100.20"), s.src.Port()) // the kernel's choice
			}
			if s.proto == "icmp" || s.proto == "99" {
				s.src, s.dst = netip.AddrPortFrom(s.src.Addr(), 0), netip.AddrPortFrom(s.dst.Addr(), 0)
			}
			s.want, s.why = u.judge(d, s, names)
			if s.proto == "99" {
				// The protocol has no ports: all packets between two hosts are one flow to
				// the kernel, whoever sent first. Only fresh pairs say something.
				if s.to != 0 {
					continue
				}
			}
			wires[s.from].send(t, s.proto, s.src, s.dst, s.id)
			all = append(all, s)
		}
		came := func(s sent) bool {
			r := wires[s.to]
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.got[s.id]
		}
		// What has to come is waited for; what must not has that time as well.
		for until := time.Now().Add(20 * time.Second); time.Now().Before(until); {
			time.Sleep(80 * time.Millisecond)
			if !slices.ContainsFunc(all, func(s sent) bool { return s.want && !came(s) }) {
				break
			}
		}
		for _, s := range all {
			got := came(s)
			if got != s.want {
				t.Errorf("plan %d: %s %s > %s: kernel %v, Decide %v (%s)", plan, s.proto, s.src, s.dst, got, s.want, s.why)
			}
			if got {
				passed++
			}
		}
		if t.Failed() {
			for _, dp := range d.Devices {
				t.Logf("%s %v %v %+v", dp.Device, dp.Mode, dp.Trust, dp.Terms)
			}
			t.Logf("remediation %+v\nnames %v", d.Remediation, names)
			w.ruleset(t)
			return
		}
	}
	t.Logf("%d of %d flows passed", passed, plans*flows)
	if passed < plans*flows/20 || passed > plans*flows*19/20 {
		t.Errorf("the test says little")
	}
}

type markAddr struct {
	mark uint32
	addr netip.Addr
}

// bind binds some names to some addresses, as the DNS guard would.
func (u worlds) bind(t *testing.T, p policy.Plan) map[markAddr][]string {
	out := map[markAddr][]string{}
	for _, dev := range p.Devices {
		for range 2 {
			name, addr := u.hostname(), u.out()
			services, ok := policy.Lookup(dev.Names, name)
			remedies, remedy := policy.Lookup(p.RemediationNames, name)
			var list []nft.Binding
			if ok {
				list = append(list, nft.Binding{Mark: dev.Mark, Addr: addr, Name: name, Services: services, Life: time.Minute})
			}
			if remedy {
				list = append(list, nft.Binding{Mark: dev.Mark, Addr: addr, Name: name, Services: remedies, Life: time.Minute, Remediation: true})
			}
			must(t, u.w.fw.BindAll(context.Background(), list))
			if ok || remedy {
				out[markAddr{dev.Mark, addr}] = append(out[markAddr{dev.Mark, addr}], name)
			}
		}
	}
	return out
}

func (u worlds) judge(d api.Desired, s sent, names map[markAddr][]string) (bool, string) {
	pass, why := true, ""
	id := func(dev int) ringwall.DeviceID {
		if dev == 0 {
			return ""
		}
		return ringwall.DeviceID(fmt.Sprint("dev_", dev))
	}
	if s.from != 0 {
		dp := d.Devices[s.from-1]
		v := policy.Decide(dp, 0, d.Remediation, policy.Flow{Direction: api.FromDevice, Local: s.src, Remote: s.dst, Proto: s.proto,
			Names: names[markAddr{dp.Mark, s.dst.Addr()}], RemoteDevice: id(s.to)})
		pass, why = v.Pass, fmt.Sprintf("opener: %+v", v)
	}
	if pass && s.to != 0 {
		v := policy.Decide(d.Devices[s.to-1], 0, d.Remediation, policy.Flow{Direction: api.ToDevice, Local: s.dst, Remote: s.src, Proto: s.proto, RemoteDevice: id(s.from)})
		pass, why = v.Pass, why+fmt.Sprintf(" target: %+v", v)
	}
	return pass, why
}
