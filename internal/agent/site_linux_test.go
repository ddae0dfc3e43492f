package agent_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/miekg/dns"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/portmap/portmaptest"
)

// ourTable returns a table of the gateway.
func ourTable(c *nftables.Conn, family nftables.TableFamily) *nftables.Table {
	return &nftables.Table{Name: "ringwall", Family: family}
}

// TestAgent_tampered: whatever is taken out of the kernel or changed of the
// machine is put back and told.
func TestAgent_tampered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	victim := r.count("198.51.100.66:9999")
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	want := r.settled(p, 1).Hash
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	sysctl := func(key, value string) func() error {
		return func() error { return r.gw.Sysctl(key, value) }
	}
	read := func(path string) (text string) {
		must(t, r.gw.Do(func() error {
			b, err := os.ReadFile(path)
			text = strings.TrimSpace(string(b))
			return err
		}))
		return text
	}
	inside := func(f func(c *nftables.Conn) error) func() error {
		return func() error {
			return r.gw.Do(func() error {
				c, err := nftables.New()
				if err != nil {
					return err
				}
				if err := f(c); err != nil {
					return err
				}
				return c.Flush()
			})
		}
	}
	link := func(f func(l netlink.Link) error) func() error {
		return func() error {
			return r.gw.Do(func() error {
				l, err := netlink.LinkByName("p-cam")
				if err != nil {
					return err
				}
				return f(l)
			})
		}
	}
	for _, c := range []struct {
		name   string
		tamper func() error
		fixed  func() bool
	}{
		{"table deleted", inside(func(c *nftables.Conn) error { c.DelTable(ourTable(c, nftables.TableFamilyIPv4)); return nil }), nil},
		{"chain flushed", inside(func(c *nftables.Conn) error {
			c.FlushChain(&nftables.Chain{Name: "forward", Table: ourTable(c, nftables.TableFamilyIPv4)})
			return nil
		}), nil},
		{"element removed", inside(func(c *nftables.Conn) error {
			set, err := c.GetSetByName(ourTable(c, nftables.TableFamilyIPv4), "state")
			if err != nil {
				return err
			}
			list, err := c.GetSetElements(set)
			if err != nil || len(list) == 0 {
				return errors.Join(err, errors.New("the set of states is empty"))
			}
			return c.SetDeleteElements(set, list[:1])
		}), nil},
		{"forwarding off", sysctl("ipv4/ip_forward", "0"), func() bool { return read("/proc/sys/net/ipv4/ip_forward") == "1" }},
		{"isolation removed", link(func(l netlink.Link) error { return netlink.LinkSetIsolated(l, false) }), func() bool { return isolated(r, "p-cam") }},
		{"port off the bridge", link(netlink.LinkSetNoMaster), func() bool { return isolated(r, "p-cam") }},
	} {
		drifts := func() (n int) {
			for _, a := range find[api.Ack](r, api.RecordAck) {
				if a.Drift && a.Error == "" {
					n++
				}
			}
			return n
		}
		before := drifts()
		if err := c.tamper(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		eventually(t, p, c.name+": it is repaired and told", time.Minute, func() bool {
			return drifts() > before && (c.fixed == nil || c.fixed())
		})
		if s, err := r.status(); err != nil || s.Hash != want {
			t.Errorf("%s: the hash is %q, want %q (%v)", c.name, s.Hash, want, err)
		}
		n := victim.n.Load()
		time.Sleep(50 * time.Millisecond)
		if got := victim.n.Load(); got != n {
			t.Errorf("%s: %d datagrams pass after the repair", c.name, got-n)
		}
	}
}

// isolated reports whether a port hangs on the bridge and is isolated.
func isolated(r *rig, port string) (yes bool) {
	must(r, r.gw.Do(func() error {
		l, err := netlink.LinkByName(port)
		if err != nil {
			return err
		}
		info, err := netlink.LinkGetProtinfo(l)
		yes = err == nil && l.Attrs().MasterIndex != 0 && info.Isolated
		return nil
	}))
	return yes
}

// TestAgent_close: the closed base is loaded before there is an interface; nothing
// passes from then on. Control: before it, all does.
func TestAgent_close(t *testing.T) {
	r := newRig(t)
	must(t, r.gw.Do(func() error { // as a bridge of others would forward
		l, err := netlink.LinkByName("p-cam")
		if err != nil {
			return err
		}
		b, err := netlink.LinkByName("br-lan")
		if err != nil {
			return err
		}
		return netlink.LinkSetMaster(l, b)
	}))
	victim := r.count("198.51.100.66:9999")
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	eventually(t, nil, "an open machine forwards", time.Minute, func() bool { return victim.n.Load() > 20 })
	args := []string{"close", "-state", r.state, "-bridge", "br-lan", "-ports", "p-cam,p-phone,not-there-yet", "-uplink", "up0"}
	p := r.startAs(args...)
	if err := <-p.done; err != nil {
		t.Fatalf("close ended with %v:\n%s", err, p.out.String())
	}
	p.done <- nil
	n := victim.n.Load()
	time.Sleep(200 * time.Millisecond)
	if got := victim.n.Load(); got > n+1 {
		t.Errorf("%d datagrams pass a closed gateway", got-n)
	}
}

// TestAgent_upgrade: the agent is replaced by another program under attack and
// under lookups, and then the DNS guard is: nothing leaks, no lookup fails.
func TestAgent_upgrade(t *testing.T) {
	r := newRig(t)
	r.resolver("198.51.100.20:53")
	victim := r.count("198.51.100.66:9999")
	r.program = filepath.Join(r.dir, "ringwall-agent")
	install := func() {
		b, err := os.ReadFile(os.Args[0])
		must(t, err)
		must(t, os.WriteFile(r.program+".new", b, 0o755))
		must(t, os.Rename(r.program+".new", r.program))
	}
	install()
	p := r.start("-dns", "10.77.0.1:53")
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, api.Term{ID: "v", Action: api.Allow, Direction: api.FromDevice, Domain: "api.vendor.example", Proto: "tcp"})
	}))
	before := r.settled(p, 1)
	ctx := context.Background()
	if err := agent.Upgrade(ctx, agent.Config{State: r.state}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("an upgrade to the same program: %v", err)
	}
	lookup := func() error {
		var err error
		for range 3 { // as the resolver of a device asks
			var rcode int
			var addrs []string
			if rcode, addrs, err = r.ask(r.cam, "api.vendor.example."); err == nil && rcode == dns.RcodeSuccess && len(addrs) == 1 {
				return nil
			}
			time.Sleep(20 * time.Millisecond)
		}
		return errors.Join(err, errors.New("the name is not answered"))
	}
	eventually(t, p, "names are answered", time.Minute, func() bool { return lookup() == nil })
	first, err := r.status()
	must(t, err)
	attack, _ := r.stream(r.cam, "198.51.100.66:9999", 200*time.Microsecond)
	var asked, failed atomic.Int64
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			asked.Add(1)
			if lookup() != nil {
				failed.Add(1)
			}
		}
	}()
	install()
	must(t, agent.Upgrade(ctx, agent.Config{State: r.state}))
	var after agent.Status
	eventually(t, p, "the DNS guard is replaced, too", time.Minute, func() bool {
		after, err = r.status()
		return err == nil && after.DNS != 0 && after.DNS != first.DNS
	})
	time.Sleep(300 * time.Millisecond)
	close(stop)
	<-done
	if n := victim.n.Load(); n != 0 || attack.Load() < 500 {
		t.Errorf("%d of %d datagrams leaked during the upgrade", n, attack.Load())
	}
	if failed.Load() != 0 || asked.Load() < 20 {
		t.Errorf("%d of %d lookups failed during the upgrade", failed.Load(), asked.Load())
	}
	if after.Hash != before.Hash || after.Epoch != before.Epoch || after.Generation != 1 {
		t.Errorf("after the upgrade %+v, before %+v", after, before)
	}
	t.Logf("%d datagrams of attack refused, %d names answered, over an upgrade of agent and DNS guard", attack.Load(), asked.Load())

	// A program that does not run replaces nothing.
	must(t, os.WriteFile(r.program+".new", []byte("#!/bin/false\n"), 0o755))
	must(t, os.Rename(r.program+".new", r.program))
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := agent.Upgrade(short, agent.Config{State: r.state}); ringwall.CodeOf(err) != ringwall.Unavailable {
		t.Errorf("an upgrade to a broken program: %v", err)
	}
	if s, err := r.status(); err != nil || !s.Running || s.Generation != 1 {
		t.Errorf("after a failed upgrade: %+v, %v", s, err)
	}
}

// TestAgent_everyProcessKilled: the agent, the DNS guard and the inspector are
// killed 60 times, in any order, under attack: nothing leaks, all come back.
func TestAgent_everyProcessKilled(t *testing.T) {
	r := newRig(t)
	r.resolver("198.51.100.20:53")
	victim, cloud := r.count("198.51.100.66:9999"), r.count("198.51.100.20:9000")
	args := []string{"-dns", "10.77.0.1:53", "-inspect"}
	p := r.start(args...)
	r.publish(desired(1, ringwall.Enforce))
	r.settled(p, 1)
	all := func() bool { s, err := r.status(); return err == nil && s.Running && s.DNS != 0 && s.Inspector != 0 }
	eventually(t, p, "all three run", time.Minute, all)
	attack, _ := r.stream(r.cam, "198.51.100.66:9999", 300*time.Microsecond)
	r.stream(r.cam, "198.51.100.20:9000", 2*time.Millisecond)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 9))
	t.Logf("seed %d", seed)
	kills := map[string]int{}
	for i := range 60 {
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		which := rng.IntN(3)
		if i%6 == 5 { // on a slow machine most are not there to be killed: these are
			eventually(t, p, "all three run again, to be killed again", time.Minute, all)
			which = i / 6 % 3
		}
		s, err := r.status()
		switch {
		case which == 0 || err != nil:
			p.kill(unix.SIGKILL)
			p = r.start(args...)
			kills["agent"]++
		case which == 1 && s.DNS != 0:
			unix.Kill(s.DNS, unix.SIGKILL)
			kills["dns"]++
		case which == 2 && s.Inspector != 0:
			unix.Kill(s.Inspector, unix.SIGKILL)
			kills["inspect"]++
		}
	}
	eventually(t, p, "all three run again", time.Minute, all)
	at := cloud.n.Load()
	eventually(t, p, "allowed traffic passes", time.Minute, func() bool { return cloud.n.Load() > at+20 })
	if n := victim.n.Load(); n != 0 || attack.Load() < 1000 {
		t.Errorf("%d of %d refused datagrams passed", n, attack.Load())
	}
	for _, name := range []string{"agent", "dns", "inspect"} {
		if kills[name] < 3 {
			t.Errorf("%s was killed %d times only", name, kills[name])
		}
	}
	r.stored() // none is missing, none is there twice
	t.Logf("killed %v; %d datagrams of attack refused", kills, attack.Load())
}

// TestAgent_inspects: the agent keeps an inspector, which lets one path of a server
// pass and no other; killed, nothing of what it had to judge passes until the
// next one runs.
func TestAgent_inspects(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	l, err := r.inet.Listen(context.Background(), "tcp", "198.51.100.20:80")
	must(t, err)
	var served atomic.Int64
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { served.Add(1); io.WriteString(w, "ok "+q.URL.Path) })}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	p := r.start("-inspect")
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, api.Term{
			ID: "web", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "tcp", Ports: []api.PortRange{{First: 80, Last: 80}},
			Inside: &api.Inside{Proto: "http", Paths: []string{"/ok"}},
		})
	}))
	r.settled(p, 1)
	get := func(path string) (int, error) {
		c := &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: r.cam.DialContext}}
		resp, err := c.Get("http://198.51.100.20" + path)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		return resp.StatusCode, nil
	}
	fine := func() bool { code, err := get("/ok"); return err == nil && code == http.StatusOK }
	eventually(t, p, "the allowed path passes", time.Minute, fine)
	n := served.Load()
	if code, err := get("/admin"); err == nil && code == http.StatusOK || served.Load() != n {
		t.Errorf("another path: %d, %v; the server has seen %d requests more", code, err, served.Load()-n)
	}
	s, err := r.status()
	must(t, err)
	must(t, unix.Kill(s.Inspector, unix.SIGKILL))
	eventually(t, p, "another inspector runs", time.Minute, func() bool { x, err := r.status(); return err == nil && x.Inspector != 0 && x.Inspector != s.Inspector })
	eventually(t, p, "and lets the allowed path pass", time.Minute, fine)
	get("/admin")
	eventually(t, p, "the refusal is told", time.Minute, func() bool { return len(r.notices(api.NoticeInspect)) > 0 })
}

// TestAgent_mappings: what the router upstream maps to us is told and taken away;
// what it maps to others is left alone. Control: told, and kept.
func TestAgent_mappings(t *testing.T) {
	for _, c := range []struct {
		do   string
		left int
	}{{"delete", 1}, {"tell", 3}} {
		t.Run(c.do, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			must(t, r.gw.Route("default", "198.51.100.10"))
			router := portmaptest.New(
				portmaptest.Entry{Proto: "TCP", External: 8554, Internal: netip.MustParseAddrPort("10.77.0.10:554"), Description: "camera"},
				portmaptest.Entry{Proto: "UDP", External: 9000, Internal: netip.MustParseAddrPort("192.168.9.9:9000"), Description: "a neighbour"},
				portmaptest.Entry{Proto: "TCP", External: 8080, Internal: netip.MustParseAddrPort("198.51.100.1:80"), Description: "the gateway"},
			)
			ctx := context.Background()
			l, err := r.inet.Listen(ctx, "tcp4", "198.51.100.10:5000")
			must(t, err)
			ssdp, err := r.inet.ListenPacket(ctx, "udp4", "198.51.100.10:1900")
			must(t, err)
			natpmp, err := r.inet.ListenPacket(ctx, "udp4", "198.51.100.10:5351")
			must(t, err)
			t.Cleanup(func() { l.Close(); ssdp.Close(); natpmp.Close() })
			router.Serve(l, ssdp, natpmp)
			p := r.start("-mappings", c.do)
			r.publish(desired(1, ringwall.Enforce))
			r.settled(p, 1)
			eventually(t, p, "both mappings are told", time.Minute, func() bool { return len(r.notices(api.NoticeMapping)) >= 2 })
			for _, n := range r.notices(api.NoticeMapping) {
				ours := n.Device == cam && n.Detail["port"] == "8554" || n.Device == "" && n.Detail["port"] == "8080"
				if deleted := n.Detail["deleted"] == "yes"; !ours || deleted != (c.do == "delete") {
					t.Errorf("notice = %+v", n)
				}
			}
			if left := router.Entries(); len(left) != c.left {
				t.Errorf("left are %v", left)
			}
		})
	}
}

// TestAgent_asksForMappings: a device that asks the gateway for a port mapping is
// refused and told of.
func TestAgent_asksForMappings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	r.settled(p, 1)
	eventually(t, p, "the try is told", 20*time.Second, func() bool {
		c, err := r.cam.DialContext(context.Background(), "udp", "10.77.0.1:5351")
		if err == nil {
			c.Write([]byte{0, 0})
			c.Close()
		}
		time.Sleep(100 * time.Millisecond)
		for _, n := range r.notices(api.NoticeMappingTry) {
			if n.Device == cam && n.Addr == netip.MustParseAddrPort("10.77.0.1:5351") {
				return true
			}
		}
		return false
	})
}

// TestAgent_mudURL: a device tells where its maker describes it, by DHCP and by
// LLDP; it is told once, and nonsense is not.
func TestAgent_mudURL(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	r.settled(p, 1)
	discover := func(url string) {
		b := make([]byte, 240, 512)
		b[0], b[1], b[2] = 1, 1, 6
		copy(b[28:], []byte{2, 0, 0, 0, 0, 10})
		copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
		b = append(append(b, 53, 1, 1, 161, byte(len(url))), url...)
		b = append(b, 255)
		must(t, r.cam.Do(func() error {
			lc := net.ListenConfig{Control: broadcast}
			pc, err := lc.ListenPacket(context.Background(), "udp4", "10.77.0.10:68")
			if err != nil {
				return err
			}
			defer pc.Close()
			_, err = pc.WriteTo(b, &net.UDPAddr{IP: net.IPv4bcast, Port: 67})
			return err
		}))
	}
	must(t, r.cam.Route("255.255.255.255/32", "10.77.0.1"))
	eventually(t, p, "the URL is told", 20*time.Second, func() bool {
		discover("http://not.tls.example/x")
		discover("https://maker.example/.well-known/mud/cam.json")
		time.Sleep(50 * time.Millisecond)
		return len(r.notices(api.NoticeMUD)) > 0
	})
	must(t, lldp(r.cam, "https://maker.example/lldp.json"))
	eventually(t, p, "that of LLDP, too", 20*time.Second, func() bool { return len(r.notices(api.NoticeMUD)) > 1 })
	for i, n := range r.notices(api.NoticeMUD) {
		want := []string{"https://maker.example/.well-known/mud/cam.json", "https://maker.example/lldp.json"}
		if i > 1 || n.Text != want[i] || n.Device != cam || n.MAC != "02:00:00:00:00:0a" {
			t.Errorf("notice %d = %+v", i, n)
		}
	}
}

func broadcast(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1) })
}

// lldp sends one LLDP data unit with a MUD URL.
func lldp(from *netns.NS, url string) error {
	return from.Do(func() error {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		b := append([]byte{1, 0x80, 0xc2, 0, 0, 0x0e}, i.HardwareAddr...)
		b = append(b, 0x88, 0xcc, 2, 7, 4, 2, 0, 0, 0, 0, 10, 4, 2, 7, '1', 6, 2, 0, 120)
		n := len(url) + 4
		b = append(b, byte(127<<1|n>>8), byte(n), 0, 0, 0x5e, 1)
		b = append(append(b, url...), 0, 0)
		return unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: i.Index})
	})
}
