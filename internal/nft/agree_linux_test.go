package nft_test

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

var (
	agreePlans = flag.Int("plans", 25, "random plans that the kernel and Decide are compared on")
	agreeSeed  = flag.Uint64("seed", 0, "of the random plans; 0 = the clock's")
)

// post sends and receives whole packets of any source in one namespace.
type post struct {
	v4, v6 int
	mu     sync.Mutex
	got    map[uint32]bool
}

func newPost(t *testing.T, ns *netns.NS) *post {
	t.Helper()
	p := &post{got: map[uint32]bool{}}
	must(t, ns.Do(func() (err error) {
		if p.v4, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
			return err
		}
		p.v6, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		return err
	}))
	t.Cleanup(func() { unix.Close(p.v4); unix.Close(p.v6) })
	for _, x := range []struct{ proto, network, addr string }{
		{"tcp", "ip4:tcp", "0.0.0.0"}, {"udp", "ip4:udp", "0.0.0.0"}, {"icmp", "ip4:icmp", "0.0.0.0"}, {"99", "ip4:99", "0.0.0.0"},
		{"tcp", "ip6:tcp", "::"}, {"udp", "ip6:udp", "::"}, {"icmp6", "ip6:58", "::"}, {"99", "ip6:99", "::"},
	} {
		c, err := ns.ListenPacket(context.Background(), x.network, x.addr)
		must(t, err)
		t.Cleanup(func() { c.Close() })
		go func() {
			buf := make([]byte, 256)
			for {
				n, _, err := c.ReadFrom(buf)
				if err != nil {
					return
				}
				proto := x.proto
				if proto == "icmp6" && n == 12 && buf[0] == 128 {
					proto, buf[0] = "icmp", 8
				}
				if id, ok := number(proto, buf[:n]); ok {
					p.mu.Lock()
					p.got[id] = true
					p.mu.Unlock()
				}
			}
		}()
	}
	return p
}

func (p *post) came(id uint32) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got[id]
}

// send sends the first packet of a flow.
func (p *post) send(t *testing.T, proto string, src, dst netip.AddrPort, id uint32) {
	t.Helper()
	v6 := dst.Addr().Is6()
	var b []byte
	var number byte
	switch proto {
	case "tcp":
		number, b = 6, make([]byte, 20)
		binary.BigEndian.PutUint32(b[4:], id)
		b[12], b[13] = 5<<4, 2
		binary.BigEndian.PutUint16(b[14:], 1024)
	case "udp":
		number, b = 17, make([]byte, 12)
		binary.BigEndian.PutUint16(b[4:], 12)
		binary.BigEndian.PutUint32(b[8:], id)
	case "icmp":
		number, b = 1, make([]byte, 12)
		b[0] = 8
		if v6 {
			number, b[0] = 58, 128
		}
		binary.BigEndian.PutUint16(b[4:], uint16(id))
		binary.BigEndian.PutUint32(b[8:], id)
	case "99":
		number, b = 99, binary.BigEndian.AppendUint32(nil, id)
	}
	at := map[byte]int{6: 16, 17: 6, 1: 2, 58: 2}[number]
	if number == 6 || number == 17 {
		binary.BigEndian.PutUint16(b, src.Port())
		binary.BigEndian.PutUint16(b[2:], dst.Port())
	}
	if at > 0 {
		pseudo := number
		if number == 1 {
			pseudo = 0
		}
		sum := checksum(b, pseudo, src.Addr(), dst.Addr())
		if v6 {
			sum = sum6(b, number, src.Addr(), dst.Addr())
		}
		binary.BigEndian.PutUint16(b[at:], sum)
	}
	var err error
	if v6 {
		h := []byte{0x60, 0, 0, 0, 0, byte(len(b)), number, 64}
		h = append(append(h, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		err = unix.Sendto(p.v6, append(h, b...), 0, &unix.SockaddrInet6{Addr: dst.Addr().As16()})
	} else {
		h := []byte{0x45, 0, 0, byte(20 + len(b)), 0, 0, 0, 0, 64, number, 0, 0}
		h = append(append(h, src.Addr().AsSlice()...), dst.Addr().AsSlice()...)
		err = unix.Sendto(p.v4, append(h, b...), 0, &unix.SockaddrInet4{Addr: dst.Addr().As4()})
	}
	if err != nil && err != unix.EHOSTUNREACH {
		t.Logf("sending %s to %s: %v", proto, dst, err)
	}
}

// planet is a gateway with the devices of a policytest.World.
func planet(t *testing.T, u policytest.World) *world {
	t.Helper()
	w := &world{gw: netnsNew(t, "gw"), net: netnsNew(t, "net")}
	must(t, netns.Cable(w.gw, "wan0", nil, w.net, "inet0", nil))
	var ports []string
	for i := range u.Devices {
		ns := netnsNew(t, fmt.Sprint("dev", i))
		m, err := net.ParseMAC(fmt.Sprintf("02:00:00:00:00:%02x", i))
		must(t, err)
		must(t, netns.Cable(w.gw, fmt.Sprint("p", i), nil, ns, "eth0", m))
		w.dev, ports = append(w.dev, ns), append(ports, fmt.Sprint("p", i))
	}
	must(t, nft.Prepare(t.Context(), w.gw, "br0", ports))
	must(t, nft.PrepareIPv6(t.Context(), w.gw, "br0"))
	for _, x := range []struct {
		ns    *netns.NS
		iface string
	}{{w.gw, "br0"}, {w.gw, "wan0"}, {w.net, "inet0"}} {
		must(t, x.ns.Sysctl("ipv6/conf/"+x.iface+"/accept_dad", "0"))
	}
	for _, a := range []string{"10.77.0.254/24", "2001:db8:77::ffff/64"} {
		must(t, w.gw.Addr("br0", a))
	}
	for _, a := range []string{"198.51.100.254/24", "2001:db8:99::ffff/64"} {
		must(t, w.gw.Addr("wan0", a))
	}
	for i := range 64 {
		must(t, w.net.Addr("inet0", fmt.Sprintf("198.51.100.%d/24", i)))
		must(t, w.net.Addr("inet0", fmt.Sprintf("2001:db8:99::%x/64", i)))
	}
	must(t, w.net.Route("10.77.0.0/24", "198.51.100.254"))
	must(t, w.net.Route("2001:db8:77::/64", "2001:db8:99::ffff"))
	for i, ns := range w.dev {
		must(t, ns.Sysctl("ipv6/conf/eth0/accept_dad", "0"))
		must(t, ns.Addr("eth0", u.DeviceAddr(i).String()+"/24"))
		must(t, ns.Addr("eth0", u.DeviceAddr6(i).String()+"/128"))
		must(t, ns.Route("default", "10.77.0.254"))
		h, err := ns.Link()
		must(t, err)
		l, err := h.LinkByName("eth0")
		must(t, err)
		must(t, h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, Gw: net.ParseIP("2001:db8:77::ffff"), Flags: int(netlink.FLAG_ONLINK)}))
		h.Close()
	}
	return w
}

// The site's Decide and the kernel must say the same of every flow under random
// documents of the whole language, IPv6 among it. What only a look inside can tell
// is refused, since there is no inspector here.
func TestApply_agreesWithTheLanguage(t *testing.T) {
	seed := *agreeSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	u := policytest.World{R: rand.New(rand.NewPCG(seed, 3)), Devices: 4,
		Features: policytest.IPv6 | policytest.Inside | policytest.Windows | policytest.Roles | policytest.NameDenies}
	w := planet(t, u)
	posts := []*post{newPost(t, w.net)}
	for _, d := range w.dev {
		posts = append(posts, newPost(t, d))
	}
	w.open(t)
	must(t, w.fw.Base(t.Context()))
	// Every neighbour is known before it counts.
	greet := func(open bool) {
		d := u.Desired()
		for i := range d.Devices {
			dp := &d.Devices[i]
			dp.Mode, dp.Trust, dp.Terms, dp.Limit = ringwall.Enforce, ringwall.T3, nil, nil
			dp.IP6 = []netip.Addr{u.DeviceAddr6(i)}
			if open {
				dp.Mode = ringwall.Learn
			}
		}
		d.Remediation = nil
		p, err := policy.Compile(d, nil, time.Now())
		must(t, err)
		w.force(t, p)
	}
	greet(true)
	for i, ns := range w.dev {
		reach(ns, "udp", "198.51.100.20:9")
		reach(ns, "udp", "[2001:db8:99::20]:9")
		reach(w.net, "udp", net.JoinHostPort(u.DeviceAddr(i).String(), "9"))
		reach(w.net, "udp", net.JoinHostPort(u.DeviceAddr6(i).String(), "9"))
	}
	id, passed, flows := uint32(magic), 0, 0
	usedPairs := map[[2]netip.Addr]bool{}
	for plan := range *agreePlans {
		greet(false) // ends what names have opened
		d := u.Desired()
		now := u.Time()
		p, err := policy.Compile(d, nil, now)
		must(t, err)
		w.force(t, p)
		site := policy.SiteOf(&d)
		list := make([]policy.Flow, 0, 60)
		of := make([]int, 0, 60)
		names := map[markAddr][]string{}
		for range 60 {
			i := u.R.IntN(len(d.Devices))
			f := u.Flow(&d, i)
			f.At, f.Program = now, nil
			if f.Proto == "132" {
				f.Proto = "99"
			}
			remote := f.Remote.Addr()
			if f.RemoteDevice == d.Devices[i].Device || f.Gateway {
				continue
			}
			if f.RemoteDevice == "" && (netip.MustParsePrefix("10.77.0.0/24").Contains(remote) || netip.MustParsePrefix("2001:db8:77::/64").Contains(remote)) {
				continue // nobody is there
			}
			if remote == netip.MustParseAddr("198.51.100.0") || remote == netip.MustParseAddr("2001:db8:99::") {
				continue // the network itself
			}
			if remote.Is6() {
				f.Local = netip.AddrPortFrom(u.DeviceAddr6(i), f.Local.Port())
			}
			list, of = append(list, f), append(of, i)
			key := markAddr{d.Devices[i].Mark, remote}
			for _, n := range f.Names {
				if !slices.Contains(names[key], n) {
					names[key] = append(names[key], n)
				}
			}
		}
		for k, all := range names {
			for _, n := range all {
				dev, ok := p.Device(k.mark)
				if !ok {
					continue
				}
				must(t, w.fw.BindAll(t.Context(), bindings(p, dev, k, n)))
			}
		}
		type sent1 struct {
			id   uint32
			to   *post
			want bool
			why  string
			f    policy.Flow
		}
		var all []sent1
		for n, f := range list {
			i := of[n]
			id++
			f.Names = nil
			from, to := i+1, 0
			if f.RemoteDevice != "" {
				v, err := strconv.Atoi(string(f.RemoteDevice)[4:])
				must(t, err)
				to = v + 1
			}
			src, dst := f.Local, f.Remote
			if f.Direction == api.ToDevice {
				from, to, src, dst = to, from, dst, src
			}
			if f.Proto == "tcp" || f.Proto == "udp" {
				src = netip.AddrPortFrom(src.Addr(), uint16(10000+id%50000))
			}
			if f.Proto == "99" {
				// All packets between two ends are one flow to the kernel.
				if usedPairs[[2]netip.Addr{src.Addr(), dst.Addr()}] || usedPairs[[2]netip.Addr{dst.Addr(), src.Addr()}] {
					continue
				}
				usedPairs[[2]netip.Addr{src.Addr(), dst.Addr()}] = true
			}
			want, why := true, ""
			judge := func(dev int, dir api.Direction, local, remote netip.AddrPort, other int) {
				dp := &d.Devices[dev-1]
				x := policy.Flow{Direction: dir, Local: local, Remote: remote, Proto: f.Proto, At: now}
				if other > 0 {
					x.RemoteDevice = d.Devices[other-1].Device
				}
				if dir == api.FromDevice {
					x.Names = names[markAddr{dp.Mark, remote.Addr()}]
				}
				v := site.Decide(dp, 0, &x)
				want = want && v.Pass
				why += fmt.Sprintf(" %s %s %+v", dp.Device, dir, v)
			}
			if from > 0 {
				judge(from, api.FromDevice, src, dst, to)
			}
			if to > 0 {
				judge(to, api.ToDevice, dst, src, from)
			}
			posts[from].send(t, f.Proto, src, dst, id)
			f.Local, f.Remote = src, dst
			all = append(all, sent1{id, posts[to], want, why, f})
		}
		for until := time.Now().Add(20 * time.Second); time.Now().Before(until); {
			time.Sleep(60 * time.Millisecond)
			if !slices.ContainsFunc(all, func(s sent1) bool { return s.want && !s.to.came(s.id) }) {
				break
			}
		}
		for _, s := range all {
			got := s.to.came(s.id)
			flows++
			if got {
				passed++
			}
			if got != s.want {
				t.Errorf("plan %d: %s %s > %s: kernel %v, Decide %v:%s", plan, s.f.Proto, s.f.Local, s.f.Remote, got, s.want, s.why)
			}
		}
		if t.Failed() {
			for i := range d.Devices {
				t.Logf("%s %v %v %v %+v", d.Devices[i].Device, d.Devices[i].Mode, d.Devices[i].Trust, d.Devices[i].IP6, d.Devices[i].Terms)
			}
			t.Logf("remediation %+v\nnames %v\nnow %v", d.Remediation, names, now)
			w.ruleset(t)
			return
		}
	}
	t.Logf("%d of %d flows passed", passed, flows)
	if passed < flows/20 || passed > flows*19/20 {
		t.Errorf("the test says little")
	}
}

// bindings are what the DNS guard makes of one name at one address.
func bindings(p policy.Plan, dev policy.Device, k markAddr, name string) []nft.Binding {
	var out []nft.Binding
	b := nft.Binding{Mark: k.mark, Addr: k.addr, Name: name, Life: time.Minute}
	add := func(services []policy.Service, remedy, denied bool) {
		if len(services) > 0 {
			x := b
			x.Services, x.Remediation, x.Denied = services, remedy, denied
			out = append(out, x)
		}
	}
	r, ok := policy.Resolve(dev.Names, name)
	if ok {
		add(r.Allow, false, false)
	}
	add(r.Deny, false, true)
	m, ok := policy.Resolve(p.RemediationNames, name)
	if ok {
		add(m.Allow, true, false)
	}
	add(m.Deny, true, true)
	return out
}
