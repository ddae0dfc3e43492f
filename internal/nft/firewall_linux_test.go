package nft_test

import (
	"context"
	"io"
	"maps"
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

var p443 = api.PortRange{First: 443, Last: 443}

// up is a world with its firewall open and the base loaded.
func up(t testing.TB, devices int) *world {
	t.Helper()
	w := newWorld(t, devices)
	w.open(t)
	must(t, w.fw.Base(t.Context()))
	t.Cleanup(func() { w.ruleset(t) })
	return w
}

func TestFirewall_closedBaseThenPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	echo(t, w.net, "198.51.100.20:443")
	echo(t, w.net, "198.51.100.20:80")
	echo(t, w.net, "198.51.100.66:443")
	d1 := w.dev[0]
	check(t, "control: without rules, a connection", reaches(d1, "tcp", "198.51.100.20:443"), true)
	check(t, "control: without rules, the other port", reaches(d1, "tcp", "198.51.100.20:80"), true)
	check(t, "control: without rules, the other protocol", reaches(d1, "udp", "198.51.100.20:443"), true)
	check(t, "control: without rules, the other address", reaches(d1, "tcp", "198.51.100.66:443"), true)
	fw := w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	t.Log("tier:", fw.Tier())
	must(t, fw.Base(t.Context()))
	check(t, "with the closed base, a connection", reach(d1, "tcp", "198.51.100.20:443"), false)
	w.apply(t, w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443)))
	check(t, "what is allowed", reaches(d1, "tcp", "198.51.100.20:443"), true)
	check(t, "the other port", reach(d1, "tcp", "198.51.100.20:80"), false)
	check(t, "the other protocol", reach(d1, "udp", "198.51.100.20:443"), false)
	check(t, "the other address", reach(d1, "tcp", "198.51.100.66:443"), false)

	// Ranges go into interval sets, denies win over them.
	w.apply(t, w.desired(
		allowOut("range", "198.51.100.0/24", "tcp", api.PortRange{First: 1, Last: 1024}),
		api.Term{ID: "no", Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.64/29"), Proto: "any"}))
	check(t, "an address and port of a range", reaches(d1, "tcp", "198.51.100.20:80"), true)
	check(t, "a denied address", reach(d1, "tcp", "198.51.100.66:443"), false)
	check(t, "another protocol than the range's", reach(d1, "udp", "198.51.100.20:443"), false)
}

func TestFirewall_baseIsLoadedBeforeInterfaces(t *testing.T) {
	t.Parallel()
	w := &world{gw: netnsNew(t, "gw")}
	fw, err := nft.Open(w.config()) // neither br0 nor wan0 exist
	must(t, err)
	defer fw.Close()
	must(t, fw.Base(t.Context()))
	if _, err := fw.Apply(t.Context(), policy.Plan{}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("Apply without any local network = %v, want code invalid", err)
	}
}

func TestFirewall_forgedSourcesAreDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	echo(t, w.net, "198.51.100.20:443")
	d1, d2 := w.dev[0], w.dev[1]
	only1 := func() api.Desired {
		d := w.desired()
		d.Devices[0].Terms = []api.Term{allowOut("cloud", "198.51.100.20/32", "any")}
		return d
	}
	// become makes device 2 look like device 1.
	become := func(t *testing.T, ip, hw string) (undo func()) {
		set := func(ip, hw string) {
			run(t, d2, "ip", "link", "set", "eth0", "down")
			run(t, d2, "ip", "link", "set", "eth0", "address", hw)
			run(t, d2, "ip", "addr", "flush", "dev", "eth0")
			run(t, d2, "ip", "link", "set", "eth0", "up")
			must(t, d2.Addr("eth0", ip+"/24"))
			run(t, d2, "ip", "route", "add", "default", "via", "10.77.0.1", "dev", "eth0", "onlink")
		}
		set(ip, hw)
		return func() { set("10.77.0.12", mac(2)) }
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: changing addresses needs the ip program")
	}
	down := func() { run(t, d1, "ip", "link", "set", "eth0", "down") } // the true one is silent
	forget := func() { run(t, w.gw, "ip", "neigh", "flush", "all") }

	down()
	undo := become(t, "10.77.0.11", mac(1))
	forget()
	check(t, "control: without rules, a clone of MAC and IP on another port", reaches(d2, "udp", "198.51.100.20:443"), true)
	undo()

	fw := w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, fw.Base(t.Context()))
	w.apply(t, only1())
	run(t, d1, "ip", "link", "set", "eth0", "up")
	must(t, d1.Route("default", "10.77.0.1"))
	forget()
	check(t, "the true device", reaches(d1, "udp", "198.51.100.20:443"), true)
	down()
	for _, c := range []struct{ what, ip, hw string }{
		{"a clone of MAC and IP on another port", "10.77.0.11", mac(1)},
		{"the IP of another", "10.77.0.11", mac(2)},
		{"the MAC of another", "10.77.0.12", mac(1)},
		{"the MAC of another with an IP of nobody", "10.77.0.99", mac(1)},
		{"its own MAC with an IP of nobody", "10.77.0.99", mac(2)},
		{"an IP from elsewhere", "192.0.2.7", "02:00:00:00:00:77"},
	} {
		undo := become(t, c.ip, c.hw)
		forget()
		check(t, c.what, reach(d2, "udp", "198.51.100.20:443"), false)
		undo()
	}
	counts, err := fw.Counters(t.Context())
	must(t, err)
	if counts[1].Forged.Packets == 0 || counts[2].Forged.Packets == 0 {
		t.Errorf("forged frames are not counted: %+v", counts)
	}
}

func run(t testing.TB, ns *netns.NS, name string, args ...string) {
	t.Helper()
	must(t, ns.Do(func() error {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Logf("%s %v: %s", name, args, out)
		}
		return err
	}))
}

func TestFirewall_devicesAmongThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	for i, d := range w.dev {
		echo(t, d, w.addr(i+1).String()+":554")
		echo(t, d, w.addr(i+1).String()+":23")
	}
	check(t, "control: without rules, one device to another by way of the gateway", reaches(w.dev[0], "tcp", "10.77.0.12:23"), true)
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))

	d := w.desired()
	d.Devices[0].Terms = []api.Term{{ID: "watch", Action: api.Allow, Direction: api.FromDevice, Local: true, Proto: "any"}}
	d.Devices[1].Terms = []api.Term{{ID: "rtsp", Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "tcp", Ports: port(554)}}
	w.apply(t, d)
	check(t, "both allow", reaches(w.dev[0], "tcp", "10.77.0.12:554"), true)
	check(t, "the other one does not allow the port", reach(w.dev[0], "tcp", "10.77.0.12:23"), false)
	check(t, "the opener does not allow", reach(w.dev[2], "tcp", "10.77.0.12:554"), false)
	check(t, "nobody allows", reach(w.dev[1], "tcp", "10.77.0.13:554"), false)
	check(t, "allowed one way only", reach(w.dev[1], "tcp", "10.77.0.11:554"), false)

	d.Devices[1].Terms[0] = api.Term{ID: "rtsp", Action: api.Allow, Direction: api.ToDevice, Device: "dev_3", Proto: "tcp", Ports: port(554)}
	w.apply(t, d)
	check(t, "allowed to another device only", reach(w.dev[0], "tcp", "10.77.0.12:554"), false)
}

func TestFirewall_fromOutside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	echo(t, w.dev[0], "10.77.0.11:80")
	echo(t, w.dev[0], "10.77.0.11:554")
	check(t, "control: without rules, from outside", reaches(w.net, "tcp", "10.77.0.11:80"), true)
	w.open(t)
	t.Cleanup(func() { w.ruleset(t) })
	must(t, w.fw.Base(t.Context()))
	w.apply(t, w.desired(api.Term{ID: "nvr", Action: api.Allow, Direction: api.ToDevice, CIDR: netip.MustParsePrefix("198.51.100.0/24"), Proto: "tcp", Ports: port(554)}))
	check(t, "from outside to what is allowed", reaches(w.net, "tcp", "10.77.0.11:554"), true)
	check(t, "from outside to another port", reach(w.net, "tcp", "10.77.0.11:80"), false)
}

// stream is a TCP connection on which bytes go round.
type stream struct{ c net.Conn }

func openStream(t testing.TB, ns *netns.NS, addr string) stream {
	t.Helper()
	c, err := ns.DialContext(context.Background(), "tcp", addr)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	s := stream{c}
	if !s.lives() {
		t.Fatal("the stream does not flow")
	}
	return s
}

func (s stream) alive() bool { return s.echoes(wait) }

// lives is alive for what has to go on, however busy the machine is.
func (s stream) lives() bool { return s.echoes(20 * time.Second) }

func (s stream) echoes(within time.Duration) bool {
	s.c.SetDeadline(time.Now().Add(within))
	if _, err := s.c.Write([]byte("ping")); err != nil {
		return false
	}
	_, err := io.ReadFull(s.c, make([]byte, 4))
	return err == nil
}

func TestFirewall_quarantineCutsEstablishedFlows(t *testing.T) {
	t.Parallel()
	w := up(t, 3)
	echo(t, w.net, "198.51.100.20:443")
	echo(t, w.net, "198.51.100.90:443")
	echo(t, w.dev[0], "10.77.0.11:554")
	d := w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443),
		api.Term{ID: "out", Action: api.Allow, Direction: api.FromDevice, Local: true, Proto: "any"},
		api.Term{ID: "in", Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "any"})
	w.apply(t, d)
	check(t, "before, the update server", reach(w.dev[0], "tcp", "198.51.100.90:443"), false)
	cloud := openStream(t, w.dev[0], "198.51.100.20:443")
	other := openStream(t, w.dev[1], "198.51.100.20:443")
	viewed := openStream(t, w.dev[1], "10.77.0.11:554")
	start := time.Now()
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Quarantine))
	t.Logf("Restrict took %v", time.Since(start))
	check(t, "the quarantined device's own stream", cloud.alive(), false)
	check(t, "a stream that another opened to it", viewed.alive(), false)
	check(t, "another device's stream", other.lives(), true)
	check(t, "a new connection of the quarantined device", reach(w.dev[0], "tcp", "198.51.100.20:443"), false)
	check(t, "the update server", reaches(w.dev[0], "tcp", "198.51.100.90:443"), true)
	n, err := w.fw.CutFlows(t.Context(), 1)
	must(t, err)
	if n < 2 { // its own stream and the one to it; the connection to the update server too
		t.Errorf("CutFlows = %d, want 2 at least", n)
	}
	if n, err := w.fw.CutFlows(t.Context(), 1); err != nil || n != 0 {
		t.Errorf("CutFlows again = %d, %v, want 0", n, err)
	}
	check(t, "another device's stream after the cut", other.lives(), true)

	// The hold comes with the next plan and changes nothing; its end opens again.
	w.apply(t, d, api.Hold{ID: "hld_1", Device: "dev_1", Do: ringwall.Quarantine})
	check(t, "quarantined by a hold", reach(w.dev[0], "tcp", "198.51.100.20:443"), false)
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Cutoff))
	check(t, "cut off, the update server", reach(w.dev[0], "tcp", "198.51.100.90:443"), false)
	must(t, w.fw.Restrict(t.Context(), 1, ringwall.Unrestricted))
	check(t, "released", reaches(w.dev[0], "tcp", "198.51.100.20:443"), true)
	if err := w.fw.Restrict(t.Context(), 99, ringwall.Quarantine); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("Restrict of an unknown mark = %v, want not-found", err)
	}
}

func TestFirewall_whatIsTakenAwayEndsAtOnce(t *testing.T) {
	t.Parallel()
	w := up(t, 2)
	for _, a := range []string{"198.51.100.20:443", "198.51.100.66:443"} {
		echo(t, w.net, a)
	}
	echo(t, w.dev[1], "10.77.0.12:554")
	local := []api.Term{{ID: "lo", Action: api.Allow, Direction: api.FromDevice, Local: true, Proto: "any"}, {ID: "li", Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "any"}}
	two := w.desired(append(local, allowOut("a", "198.51.100.20/32", "tcp", p443), allowOut("b", "198.51.100.66/32", "tcp", p443))...)
	w.apply(t, two)
	a, b := openStream(t, w.dev[0], "198.51.100.20:443"), openStream(t, w.dev[0], "198.51.100.66:443")
	c := openStream(t, w.dev[0], "10.77.0.12:554")
	one := w.desired(append(local, allowOut("a", "198.51.100.20/32", "tcp", p443))...)
	w.apply(t, one)
	check(t, "a stream that stays allowed", a.lives(), true)
	check(t, "a stream that is allowed no more", b.alive(), false)
	check(t, "a stream between devices", c.lives(), true)
	// A deny that comes on top.
	d := w.desired(append(local, allowOut("a", "198.51.100.20/32", "tcp", p443),
		api.Term{ID: "no", Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.0/24"), Proto: "any"})...)
	w.apply(t, d)
	check(t, "a stream that is denied now", a.alive(), false)
	check(t, "a stream between devices", c.lives(), true)
	// The other side of a flow between devices withdraws.
	d.Devices[1].Terms = nil
	w.apply(t, d)
	check(t, "a stream that its target allows no more", c.alive(), false)
}

// A mark that comes back has nothing of its former life.
func TestFirewall_aMarkThatComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	at := time.Unix(127*1000, 0) // the same token every time
	cfg := w.config()
	cfg.Now = func() time.Time { return at }
	fw, err := nft.Open(cfg)
	must(t, err)
	defer fw.Close()
	w.fw = fw
	must(t, fw.Base(t.Context()))
	t.Cleanup(func() { w.ruleset(t) })
	echo(t, w.net, "198.51.100.20:443")
	d := w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443))
	w.apply(t, d)
	s := openStream(t, w.dev[0], "198.51.100.20:443")
	gone := d
	gone.Devices = d.Devices[1:]
	w.apply(t, gone)
	d.Devices[0].Terms = nil
	w.apply(t, d)
	check(t, "its stream when the mark is back without the term", s.alive(), false)
	check(t, "a new connection", reach(w.dev[0], "tcp", "198.51.100.20:443"), false)
}

// counts returns the counters once nothing moves any more: the end of a
// connection is still under way when its dialer has closed it, and the counters
// are not read all at once.
func (w *world) counts(t *testing.T) map[uint32]nft.Counts {
	t.Helper()
	var last map[uint32]nft.Counts
	for range 200 {
		c, err := w.fw.Counters(t.Context())
		must(t, err)
		if last != nil && maps.Equal(c, last) {
			return c
		}
		last = c
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the counters never rest")
	return nil
}

func TestFirewall_modes(t *testing.T) {
	t.Parallel()
	w := up(t, 3)
	echo(t, w.net, "198.51.100.66:23")
	d := w.desired()
	d.Devices[0].Mode = ringwall.Learn
	d.Devices[1].Mode = ringwall.Shadow
	w.apply(t, d)
	check(t, "learn", reaches(w.dev[0], "tcp", "198.51.100.66:23"), true)
	check(t, "shadow", reaches(w.dev[1], "tcp", "198.51.100.66:23"), true)
	check(t, "enforce", reach(w.dev[2], "tcp", "198.51.100.66:23"), false)
	c := w.counts(t)
	if c[1].PassedUp.Packets < 3 || c[1].PassedDown.Packets < 2 || c[1].Would.Packets != 0 || c[1].Refused.Packets != 0 {
		t.Errorf("learn counts %+v", c[1])
	}
	if c[2].PassedUp.Packets < 3 || c[2].Would.Packets != c[2].PassedUp.Packets+c[2].PassedDown.Packets || c[2].Refused.Packets != 0 {
		t.Errorf("shadow counts %+v, want every packet as would-be refused too", c[2])
	}
	if c[3].PassedUp.Packets != 0 || c[3].Refused.Packets == 0 {
		t.Errorf("enforce counts %+v", c[3])
	}
	// The end of learning: what flowed meanwhile is judged now.
	s := openStream(t, w.dev[0], "198.51.100.66:23")
	d.Devices[0].Mode = ringwall.Enforce
	w.apply(t, d)
	check(t, "a stream of the time of learning", s.alive(), false)
}

func TestFirewall_strangers(t *testing.T) {
	t.Parallel()
	w := up(t, 2)
	echo(t, w.net, "198.51.100.20:443")
	echo(t, w.gw, "10.77.0.1:53")
	echo(t, w.gw, "10.77.0.1:80")
	d := w.desired()
	d.Devices = d.Devices[:1] // nobody knows device 2
	d.Arrival = ringwall.Learn
	w.apply(t, d)
	check(t, "a stranger where strangers are learned", reaches(w.dev[1], "tcp", "198.51.100.20:443"), true)
	s := openStream(t, w.dev[1], "198.51.100.20:443")
	c := w.counts(t)
	if got := c[policy.Stranger]; got.Refused.Packets != 0 {
		t.Errorf("strangers' counts %+v", got)
	}
	// It changes its looks while the device it is plugged in with is held.
	d.Arrival = ringwall.Enforce
	w.apply(t, d)
	check(t, "a stranger where strangers are isolated", reach(w.dev[1], "tcp", "198.51.100.20:443"), false)
	check(t, "its stream of before", s.alive(), false)
	check(t, "its names", reaches(w.dev[1], "udp", "10.77.0.1:53"), true)
	check(t, "the gateway's other ports", reach(w.dev[1], "tcp", "10.77.0.1:80"), false)
	c = w.counts(t)
	if got := c[policy.Stranger]; got.Refused.Packets == 0 {
		t.Errorf("strangers' counts %+v, want refusals", got)
	}
}

func TestFirewall_aHeldDeviceCannotBecomeAStranger(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: changing addresses needs the ip program")
	}
	w := up(t, 1)
	echo(t, w.net, "198.51.100.20:443")
	d := w.desired()
	d.Arrival = ringwall.Learn
	d.Devices[0].Mode = ringwall.Learn
	w.apply(t, d)
	change := func() {
		run(t, w.dev[0], "ip", "link", "set", "eth0", "down")
		run(t, w.dev[0], "ip", "link", "set", "eth0", "address", "02:00:00:00:00:99")
		run(t, w.dev[0], "ip", "addr", "flush", "dev", "eth0")
		run(t, w.dev[0], "ip", "link", "set", "eth0", "up")
		must(t, w.dev[0].Addr("eth0", "10.77.0.99/24"))
		must(t, w.dev[0].Route("default", "10.77.0.1"))
	}
	change()
	check(t, "control: a free device with another MAC is learned as a stranger", reaches(w.dev[0], "tcp", "198.51.100.20:443"), true)
	w.apply(t, d, api.Hold{ID: "hld_1", Device: "dev_1", Do: ringwall.Quarantine})
	check(t, "a held device with another MAC and IP", reach(w.dev[0], "tcp", "198.51.100.20:443"), false)
}

func TestFirewall_input(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	cfg := w.config()
	cfg.EnrolPorts = []uint16{8443}
	cfg.Services = []nft.Service{{Proto: policy.ProtoUDP, Port: 123}}
	cfg.Manage = []nft.Service{{Proto: policy.ProtoTCP, Port: 22}}
	for _, a := range []string{":53", ":123", ":22", ":8443"} {
		echo(t, w.gw, "10.77.0.1"+a)
	}
	echo(t, w.gw, "198.51.100.1:22")
	echo(t, w.gw, "198.51.100.1:80")
	check(t, "control: without rules, ssh of the gateway", reaches(w.dev[0], "tcp", "10.77.0.1:22"), true)
	fw, err := nft.Open(cfg)
	must(t, err)
	defer fw.Close()
	w.fw = fw
	must(t, fw.Base(t.Context()))
	t.Cleanup(func() { w.ruleset(t) })
	w.apply(t, w.desired())
	d := w.dev[0]
	check(t, "names", reaches(d, "udp", "10.77.0.1:53"), true)
	check(t, "names over TCP", reaches(d, "tcp", "10.77.0.1:53"), true)
	check(t, "a service", reaches(d, "udp", "10.77.0.1:123"), true)
	check(t, "ssh of the gateway", reach(d, "tcp", "10.77.0.1:22"), false)
	check(t, "enrolment", reaches(d, "tcp", "10.77.0.1:8443"), true)
	check(t, "management from outside", reaches(w.net, "tcp", "198.51.100.1:22"), true)
	check(t, "other ports from outside", reach(w.net, "tcp", "198.51.100.1:80"), false)
	must(t, fw.Restrict(t.Context(), 1, ringwall.Cutoff))
	check(t, "names, cut off", reach(d, "udp", "10.77.0.1:53"), false)
	check(t, "enrolment, cut off", reaches(d, "tcp", "10.77.0.1:8443"), true)
	check(t, "management while a device is cut off", reaches(w.net, "tcp", "198.51.100.1:22"), true)
}

func TestFirewall_staysAfterTheProgram(t *testing.T) {
	t.Parallel()
	w := up(t, 1)
	echo(t, w.net, "198.51.100.20:443")
	echo(t, w.net, "198.51.100.66:443")
	d := w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443))
	hash := w.apply(t, d)
	s := openStream(t, w.dev[0], "198.51.100.20:443")
	must(t, w.fw.Close())
	check(t, "after Close, what is allowed", reaches(w.dev[0], "tcp", "198.51.100.20:443"), true)
	check(t, "after Close, what is not", reach(w.dev[0], "tcp", "198.51.100.66:443"), false)
	// The next life loads its base and finds everything in place.
	w.open(t)
	must(t, w.fw.Base(t.Context()))
	check(t, "after the next Base", reaches(w.dev[0], "tcp", "198.51.100.20:443"), true)
	check(t, "a stream of the former life", s.lives(), true)
	got, err := w.fw.Hash(t.Context())
	must(t, err)
	if got != hash {
		t.Errorf("hash after restart %s, want %s", got, hash)
	}
	if got := w.apply(t, d); got != hash {
		t.Errorf("hash of the same plan %s, want %s", got, hash)
	}
	check(t, "a stream of the former life after Apply", s.lives(), true)
}

func TestFirewall_driftIsSeenAndPutRight(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: changing our rules from outside needs the nft program")
	}
	w := up(t, 1)
	echo(t, w.net, "198.51.100.66:443")
	d := w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443))
	run(t, w.gw, "nft", "add table ip theirs")
	run(t, w.gw, "nft", "add chain ip theirs c { type filter hook forward priority 5; }")
	hash := w.apply(t, d)
	for _, c := range []struct{ what, cmd string }{
		{"an element more", "add element ip ringwall allow { 1 . 198.51.100.66 . tcp . 443 }"},
		{"an element less", "delete element ip ringwall owner { 10.77.0.11 }"},
		{"a rule more", "insert rule ip ringwall forward accept"},
		{"another policy", "add chain ip ringwall forward { policy accept ; }"},
		{"a chain emptied", "flush chain ip ringwall o_enforce"},
		{"a chain more", "add chain ip ringwall x { type filter hook forward priority -5; policy accept; }"},
		{"a live token", "add element ip ringwall live { 1 . 5 }"},
		{"a table gone", "delete table bridge ringwall"},
	} {
		run(t, w.gw, "nft", c.cmd)
		got, err := w.fw.Hash(t.Context())
		if err == nil && got == hash {
			t.Errorf("%s: the hash is the same", c.what)
		}
		if got := w.apply(t, d); got != hash {
			t.Errorf("%s: hash after Apply %s, want %s", c.what, got, hash)
		}
		if got, err := w.fw.Hash(t.Context()); err != nil || got != hash {
			t.Errorf("%s: hash after repair %s, %v, want %s", c.what, got, err, hash)
		}
		check(t, c.what+", repaired: what is not allowed", reach(w.dev[0], "tcp", "198.51.100.66:443"), false)
	}
	run(t, w.gw, "nft", "list chain ip theirs c") // fails if we touched it
}

func TestFirewall_plainInterface(t *testing.T) {
	t.Parallel()
	gw, dev, out := netnsNew(t, "gw"), netnsNew(t, "dev"), netnsNew(t, "net")
	m, _ := net.ParseMAC(mac(1))
	must(t, netns.Cable(gw, "lan0", nil, dev, "eth0", m))
	must(t, netns.Cable(gw, "wan0", nil, out, "inet0", nil))
	must(t, gw.Addr("lan0", "10.77.0.1/24"))
	must(t, gw.Addr("wan0", "198.51.100.1/24"))
	must(t, out.Addr("inet0", "198.51.100.20/24"))
	must(t, dev.Addr("eth0", "10.77.0.11/24"))
	must(t, dev.Addr("eth0", "10.77.0.12/24"))
	must(t, dev.Route("default", "10.77.0.1"))
	must(t, gw.Sysctl("ipv4/ip_forward", "1"))
	echo(t, out, "198.51.100.20:443")
	fw, err := nft.Open(nft.Config{NS: gw, LAN: []string{"lan0"}, Uplink: "wan0", Masquerade: true})
	must(t, err)
	defer fw.Close()
	must(t, fw.Base(t.Context()))
	w := &world{gw: gw, net: out, dev: []*netns.NS{dev}, fw: fw}
	d := w.desired(allowOut("cloud", "198.51.100.20/32", "tcp", p443))
	d.Devices[0].Binding.Port = "lan0"
	w.apply(t, d)
	check(t, "behind a plain interface and the gateway's address", reaches(dev, "tcp", "198.51.100.20:443"), true)
	d.Devices[0].Binding.Port = "lan1"
	w.apply(t, d)
	check(t, "from another interface than its own", reach(dev, "tcp", "198.51.100.20:443"), false)
	d.Devices[0].Binding.Port = ""
	w.apply(t, d)
	check(t, "bound to no interface", reaches(dev, "tcp", "198.51.100.20:443"), true)
	w.ruleset(t)
}

func TestFirewall_ipv6IsClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	must(t, w.gw.Sysctl("ipv6/conf/br0/disable_ipv6", "0"))
	must(t, w.gw.Sysctl("ipv6/conf/all/forwarding", "1"))
	for _, x := range []struct {
		ns          *netns.NS
		iface, cidr string
	}{{w.gw, "br0", "fd00:1::1/64"}, {w.gw, "wan0", "fd00:2::1/64"}, {w.net, "inet0", "fd00:2::2/64"}, {w.dev[0], "eth0", "fd00:1::2/64"}} {
		must(t, x.ns.Sysctl("ipv6/conf/"+x.iface+"/accept_dad", "0"))
		must(t, x.ns.Addr(x.iface, x.cidr))
	}
	must(t, w.dev[0].Route("fd00:2::/64", "fd00:1::1"))
	must(t, w.net.Route("fd00:1::/64", "fd00:2::1"))
	time.Sleep(100 * time.Millisecond)
	var up bool
	for range 30 { // addresses are tentative for a while
		if l, err := w.net.Listen(t.Context(), "tcp", "[fd00:2::2]:443"); err == nil {
			l.Close()
			up = true
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !up {
		t.Skip("SKIPPED, NOT TESTED: no IPv6 here")
	}
	echo(t, w.net, "[fd00:2::2]:443")
	var before bool
	for range 10 {
		if before = reach(w.dev[0], "tcp", "[fd00:2::2]:443"); before {
			break
		}
	}
	check(t, "control: without rules, IPv6", before, true)
	w.open(t)
	must(t, w.fw.Base(t.Context()))
	d := w.desired()
	d.Devices[0].Mode = ringwall.Learn
	w.apply(t, d)
	check(t, "IPv6, even where everything is learned", reach(w.dev[0], "tcp", "[fd00:2::2]:443"), false)
}

func TestFirewall_samplesOfRefusals(t *testing.T) {
	t.Parallel()
	w := up(t, 1)
	w.apply(t, w.desired())
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan nft.Refusal, 100)
	done := make(chan error, 1)
	go func() { done <- w.fw.Refusals(ctx, func(r nft.Refusal) { got <- r }) }()
	time.Sleep(200 * time.Millisecond)
	reach(w.dev[0], "tcp", "198.51.100.66:23")
	select {
	case r := <-got:
		if r.Mark != 1 || r.Reason != policy.ReasonDefault || r.Would || r.Proto != 6 || r.Src.Addr() != w.addr(1) || r.Dst != netip.MustParseAddrPort("198.51.100.66:23") {
			t.Errorf("refusal %+v", r)
		}
	case <-time.After(2 * time.Second):
		t.Error("no sample of a refusal")
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("Refusals = %v", err)
		}
	case <-time.After(2 * time.Second):
		t.Error("Refusals does not end with its context")
	}
}
