package nft_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// world is a gateway with devices behind a bridge and an internet before it:
//
//	dev1 10.77.0.11 -- p1 \
//	dev2 10.77.0.12 -- p2 - br0 10.77.0.1 [gw] wan0 198.51.100.1 -- inet0 [net]
//	dev3 10.77.0.13 -- p3 /
type world struct {
	gw, net *netns.NS
	dev     []*netns.NS
	fw      *nft.Firewall
}

func (w *world) addr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)}) }
func mac(i int) string                 { return fmt.Sprintf("02:00:00:00:00:%02x", i) }

// newWorld makes the world; with prepare false the gateway is an open router.
func newWorld(t testing.TB, devices int) *world {
	t.Helper()
	w := &world{gw: netnstest.New(t, "gw"), net: netnstest.New(t, "net")}
	must(t, netns.Cable(w.gw, "wan0", nil, w.net, "inet0", nil))
	must(t, w.gw.Addr("wan0", "198.51.100.1/24"))
	for _, a := range []string{"198.51.100.20/24", "198.51.100.66/24", "198.51.100.90/24", "198.51.100.53/24"} {
		must(t, w.net.Addr("inet0", a))
	}
	must(t, w.net.Route("10.77.0.0/24", "198.51.100.1"))
	var ports []string
	for i := 1; i <= devices; i++ {
		ns := netnstest.New(t, fmt.Sprint("dev", i))
		m, err := net.ParseMAC(mac(i))
		must(t, err)
		port := fmt.Sprint("p", i)
		must(t, netns.Cable(w.gw, port, nil, ns, "eth0", m))
		must(t, ns.Sysctl("ipv6/conf/eth0/disable_ipv6", "0"))
		must(t, ns.Addr("eth0", w.addr(i).String()+"/24"))
		must(t, ns.Route("default", "10.77.0.1"))
		w.dev = append(w.dev, ns)
		ports = append(ports, port)
	}
	must(t, nft.Prepare(t.Context(), w.gw, "br0", ports))
	must(t, w.gw.Addr("br0", "10.77.0.1/24"))
	return w
}

func (w *world) config() nft.Config { return nft.Config{NS: w.gw, Bridge: "br0", Uplink: "wan0"} }

func (w *world) open(t testing.TB) *nft.Firewall {
	t.Helper()
	fw, err := nft.Open(w.config())
	must(t, err)
	t.Cleanup(func() { must(t, fw.Close()) })
	w.fw = fw
	return fw
}

// desired names all devices, in mode enforce, with these terms each.
func (w *world) desired(terms ...api.Term) api.Desired {
	d := api.Desired{Version: 1, Generation: 1, Arrival: ringwall.Enforce, LocalNets: []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}}
	d.Remediation = []api.Term{{ID: "update", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.90/32"), Proto: "tcp", Ports: port(443)}}
	for i := range w.dev {
		d.Devices = append(d.Devices, api.DevicePolicy{
			Device: ringwall.DeviceID(fmt.Sprint("dev_", i+1)), Mark: uint32(i + 1), Mode: ringwall.Enforce, Trust: ringwall.T3,
			Binding: api.Binding{Port: fmt.Sprint("p", i+1), MAC: mac(i + 1), IP: w.addr(i + 1)}, Terms: terms,
		})
	}
	return d
}

func (w *world) apply(t testing.TB, d api.Desired, holds ...api.Hold) string {
	t.Helper()
	p, err := policy.Compile(d, holds, time.Now())
	must(t, err)
	hash, err := w.fw.Apply(context.Background(), p)
	must(t, err)
	return hash
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func port(p uint16) []api.PortRange { return []api.PortRange{{First: p, Last: p}} }

func allowOut(id, cidr, proto string, ports ...api.PortRange) api.Term {
	return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix(cidr), Proto: proto, Ports: ports}
}

// echo serves TCP and UDP on an address: it gives back what it gets.
func echo(t testing.TB, ns *netns.NS, addr string) {
	t.Helper()
	l, err := ns.Listen(context.Background(), "tcp", addr)
	must(t, err)
	u, err := ns.ListenPacket(context.Background(), "udp", addr)
	must(t, err)
	t.Cleanup(func() { l.Close(); u.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { io.Copy(c, c); c.Close() }()
		}
	}()
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := u.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				u.WriteTo(buf[:n], from)
			}
		}
	}()
}

const wait = 300 * time.Millisecond

// reach reports whether what ns sends to addr comes back.
func reach(ns *netns.NS, network, addr string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	c, err := ns.DialContext(ctx, network, addr)
	if err != nil {
		return false
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(wait))
	buf := make([]byte, 8)
	for range 2 { // the first datagram may be lost to ARP
		if _, err := c.Write([]byte("ringwall")); err != nil {
			return false
		}
		if _, err := io.ReadFull(c, buf); err == nil {
			return true
		}
		if network == "tcp" {
			return false
		}
		c.SetDeadline(time.Now().Add(wait))
	}
	return false
}

// reaches is reach for what has to pass: a busy machine may take its time, as
// after a link came up.
func reaches(ns *netns.NS, network, addr string) bool {
	for until := time.Now().Add(20 * time.Second); !reach(ns, network, addr); {
		if time.Now().After(until) {
			return false
		}
	}
	return true
}

func check(t *testing.T, what string, got, want bool) {
	t.Helper()
	if got != want {
		word := map[bool]string{true: "passes", false: "is refused"}
		t.Errorf("%s %s, want that it %s", what, word[got], word[want])
	}
}

// ruleset prints what the kernel holds, to look at when a test fails.
func (w *world) ruleset(t testing.TB) {
	if !t.Failed() {
		return
	}
	if _, err := exec.LookPath("nft"); err != nil {
		return
	}
	var out []byte
	_ = w.gw.Do(func() (err error) {
		out, err = exec.Command("nft", "list", "ruleset").CombinedOutput()
		return err
	})
	t.Logf("%s", out)
}

func netnsNew(t testing.TB, name string) *netns.NS { return netnstest.New(t, name) }
