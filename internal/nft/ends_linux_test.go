package nft_test

import (
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// An address that a denied name was seen to mean is refused, whatever else
// allows it.
func TestBindAll_deniedNames(t *testing.T) {
	t.Parallel()
	w := up(t, 2)
	for _, a := range []string{"198.51.100.20:443", "198.51.100.20:80", "198.51.100.66:443"} {
		echo(t, w.net, a)
	}
	deny := policy.Name{Pattern: "bad.example", Deny: true, Proto: policy.ProtoTCP, Ports: port(443)}
	good := policy.Name{Pattern: "good.example", Proto: policy.ProtoTCP}
	plan := func(names ...policy.Name) policy.Plan {
		return w.plan(t, w.desired(allowOut("one", "198.51.100.66/32", "tcp")), func(p *policy.Plan) {
			for i := range p.Devices {
				p.Devices[i].Names = names
			}
		})
	}
	w.force(t, plan(good, deny))
	bind := func(b nft.Binding) {
		b.Mark, b.Life = 1, time.Minute
		must(t, w.fw.BindAll(t.Context(), []nft.Binding{b}))
	}
	cdn := netip.MustParseAddr("198.51.100.20")
	bind(nft.Binding{Addr: cdn, Name: "good.example", Services: []policy.Service{{Proto: policy.ProtoTCP}}})
	check(t, "control: an address of an allowed name", reaches(w.dev[0], "tcp", "198.51.100.20:443"), true)
	check(t, "control: an address that is allowed as such", reaches(w.dev[0], "tcp", "198.51.100.66:443"), true)
	denied := []policy.Service{{Proto: policy.ProtoTCP, Ports: port(443)}}
	bind(nft.Binding{Addr: cdn, Name: "bad.example", Services: denied, Denied: true})
	bind(nft.Binding{Addr: netip.MustParseAddr("198.51.100.66"), Name: "bad.example", Services: denied, Denied: true})
	check(t, "an address of a denied name that an allowed one has too", reach(w.dev[0], "tcp", "198.51.100.20:443"), false)
	check(t, "another port than the denied one", reaches(w.dev[0], "tcp", "198.51.100.20:80"), true)
	check(t, "an address of a denied name that is allowed as such", reach(w.dev[0], "tcp", "198.51.100.66:443"), false)
	check(t, "another device, which has not asked for it", reaches(w.dev[1], "tcp", "198.51.100.66:443"), true)
	w.force(t, plan(good)) // the deny is taken back
	check(t, "after the deny was taken back", reaches(w.dev[0], "tcp", "198.51.100.20:443"), true)
}

// Terms that speak of the gateway itself.
func TestFirewall_gatewayTerms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	for _, a := range []string{"10.77.0.1:53", "10.77.0.1:123", "10.77.0.1:8080", "10.77.0.1:3000"} {
		echo(t, w.gw, a)
	}
	check(t, "control: without rules", reaches(w.dev[0], "tcp", "10.77.0.1:8080"), true)
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	plan := w.plan(t, w.desired(), func(p *policy.Plan) {
		p.Devices[0].GatewayAllow = []policy.Service{{Proto: policy.ProtoUDP, Ports: port(123)}, {Proto: policy.ProtoTCP, Ports: []api.PortRange{{First: 2000, Last: 9000}}}}
		p.Devices[0].GatewayDeny = []policy.Service{{Proto: policy.ProtoTCP, Ports: port(3000)}, {Proto: policy.ProtoTCP, Ports: port(53)}}
	})
	w.force(t, plan)
	d1, d2 := w.dev[0], w.dev[1]
	check(t, "an allowed service", reaches(d1, "udp", "10.77.0.1:123"), true)
	check(t, "an allowed range", reaches(d1, "tcp", "10.77.0.1:8080"), true)
	check(t, "a denied port in it", reach(d1, "tcp", "10.77.0.1:3000"), false)
	check(t, "denied names over TCP", reach(d1, "tcp", "10.77.0.1:53"), false)
	check(t, "names", reaches(d1, "udp", "10.77.0.1:53"), true)
	check(t, "another device", reach(d2, "udp", "10.77.0.1:123"), false)
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Quarantine))
	check(t, "an allowed service in quarantine", reach(d1, "udp", "10.77.0.1:123"), false)
}

// A device that is bound by the address that its SIM got has no MAC.
func TestFirewall_subscribed(t *testing.T) {
	t.Parallel()
	gw, dev, out := netnsNew(t, "gw"), netnsNew(t, "dev"), netnsNew(t, "net")
	must(t, netns.Cable(gw, "apn0", nil, dev, "eth0", nil))
	must(t, netns.Cable(gw, "wan0", nil, out, "inet0", nil))
	for _, x := range []struct {
		ns   *netns.NS
		i, a string
	}{{gw, "apn0", "10.77.0.1/24"}, {gw, "wan0", "198.51.100.1/24"}, {out, "inet0", "198.51.100.20/24"}, {dev, "eth0", "10.77.0.11/24"}, {dev, "eth0", "10.77.0.12/24"}} {
		must(t, x.ns.Addr(x.i, x.a))
	}
	must(t, dev.Route("default", "10.77.0.1"))
	must(t, out.Route("10.77.0.0/24", "198.51.100.1"))
	must(t, gw.Sysctl("ipv4/ip_forward", "1"))
	echo(t, out, "198.51.100.20:443")
	fw, err := nft.Open(nft.Config{NS: gw, LAN: []string{"apn0"}, Uplink: "wan0"})
	must(t, err)
	defer fw.Close()
	must(t, fw.Base(t.Context()))
	w := &world{gw: gw, net: out, dev: []*netns.NS{dev}, fw: fw}
	t.Cleanup(func() { w.ruleset(t) })
	for _, port := range []string{"apn0", ""} {
		w.force(t, w.plan(t, w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443)), func(p *policy.Plan) {
			p.Devices[0].Subscribed, p.Devices[0].MAC, p.Devices[0].Port = true, policy.MAC{}, port
		}))
		check(t, "bound by its address, port "+port, reaches(dev, "tcp", "198.51.100.20:443"), true)
	}
	from := func(src string) bool {
		var ok bool
		must(t, dev.Do(func() error {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(src)}, Timeout: wait, FallbackDelay: -1}
			c, err := d.Dial("tcp", "198.51.100.20:443")
			if ok = err == nil; ok {
				c.Close()
			}
			return nil
		}))
		return ok
	}
	check(t, "control: from its address", from("10.77.0.11"), true)
	check(t, "from an address that no SIM got", from("10.77.0.12"), false)
	w.force(t, w.plan(t, w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443)), func(p *policy.Plan) {
		p.Devices[0].Subscribed, p.Devices[0].MAC, p.Devices[0].Port = true, policy.MAC{}, "apn1"
	}))
	check(t, "from another interface than the SIM's", from("10.77.0.11"), false)
}

// The nft program prints all that we put into the kernel: operators look there.
func TestSkeleton_isPrinted(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: printing rules needs the nft program")
	}
	for name, c := range map[string]nft.Config{
		"bridge": {Bridge: "br0", Uplink: "wan0", Inspect: 7789, Masquerade: true},
		"plain":  {LAN: []string{"lan0", "lan1"}, Inspect: 7789},
		"host":   {Host: true, Management: nft.Management{Mark: 5}},
	} {
		c.NS = netnsNew(t, name)
		fw, err := nft.Open(c)
		must(t, err)
		defer fw.Close()
		must(t, fw.Base(t.Context()))
		run(t, c.NS, "nft", "list", "ruleset")
	}
}
