package dnsguard_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/resolved"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// TestMain runs the guard as a process of its own when a test starts it so.
func TestMain(m *testing.M) {
	if dir := os.Getenv("RINGWALL_TEST_GUARD"); dir != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		fw, err := nft.Open(nft.Config{Bridge: "br0", BindOnly: true})
		if err == nil {
			var g *dnsguard.Guard
			if g, err = dnsguard.New(dnsguard.Config{PolicyFile: filepath.Join(dir, "dns.json"), Names: filepath.Join(dir, "names"), Listen: "10.77.0.1:53", Firewall: fw, Flows: dnsguard.NewFlows(nil)}); err == nil {
				go func() {
					<-g.Ready()
					fmt.Println("ready")
				}()
				err = g.Run(ctx)
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// neighbour adds a second device behind the same gateway.
func (h *house) neighbour(t testing.TB, terms ...api.Term) *netns.NS {
	t.Helper()
	ns := netnstest.New(t, "dev2")
	mac, _ := net.ParseMAC("02:00:00:00:00:02")
	must(t, netns.Cable(h.gw, "p2", nil, ns, "eth0", mac))
	must(t, h.gw.Plug("p2", "br0", true))
	must(t, ns.Addr("eth0", "10.77.0.11/24"))
	must(t, ns.Route("default", "10.77.0.1"))
	h.desired.Devices = append(h.desired.Devices, api.DevicePolicy{
		Device: "dev_two", Mark: 8, Mode: ringwall.Enforce, Trust: ringwall.T3, Terms: terms,
		Binding: api.Binding{Port: "p2", MAC: "02:00:00:00:00:02", IP: netip.MustParseAddr("10.77.0.11")},
	})
	h.apply(t)
	return ns
}

// as lets another device ask and connect.
func (h *house) as(ns *netns.NS) *house {
	other := *h
	other.dev = ns
	return &other
}

// Names resolved past the guard, by every way there is. The control is the same
// device with leave to go anywhere.
func TestAttack_resolversPastTheGuard(t *testing.T) {
	h := newHouse(t)
	h.guard(t, nil)
	for _, addr := range []string{"198.51.100.53:53", "198.51.100.53:853", "198.51.100.60:8443"} {
		l, err := h.net.Listen(context.Background(), "tcp4", addr)
		must(t, err)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
	}
	_, addrs := h.resolve(t, "a.cloud.example")
	quic, err := h.net.ListenPacket(context.Background(), "udp4", addrs[0].String()+":443")
	must(t, err)
	t.Cleanup(func() { quic.Close() })
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := quic.ReadFrom(buf)
			if err != nil {
				return
			}
			quic.WriteTo(buf[:n], from)
		}
	}()
	tcp := func(addr string) func() bool {
		return func() bool {
			a := netip.MustParseAddrPort(addr)
			return h.connects(a.Addr(), fmt.Sprint(a.Port()))
		}
	}
	udp := func(addr string, msg []byte) func() bool {
		return func() bool {
			c, err := h.dev.DialContext(t.Context(), "udp4", addr)
			must(t, err)
			defer c.Close()
			c.SetDeadline(time.Now().Add(150 * time.Millisecond))
			c.Write(msg)
			n, _ := c.Read(make([]byte, 2048))
			return n > 0
		}
	}
	question, err := query("evil.example", dns.TypeA).Pack()
	must(t, err)
	attacks := map[string]func() bool{
		"DNS, UDP":                        udp("198.51.100.53:53", question),
		"DNS, TCP":                        tcp("198.51.100.53:53"),
		"DoT":                             tcp("198.51.100.53:853"),
		"DoH by address":                  tcp("198.51.100.53:443"),
		"DoH on another port":             tcp("198.51.100.60:8443"),
		"QUIC to an address that is open": udp(addrs[0].String()+":443", []byte("quic")),
	}
	for name, reaches := range attacks {
		if reaches() {
			t.Errorf("%s reaches", name)
		}
	}
	h.desired.Devices[0].Terms = append(h.desired.Devices[0].Terms, api.Term{ID: "all", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"})
	h.apply(t)
	for name, reaches := range attacks {
		if !reaches() {
			t.Errorf("control: %s does not reach where everything is allowed", name)
		}
	}
}

// short makes lives of bindings pass quickly.
type short struct{ dnsguard.Binder }

func (s short) BindAll(ctx context.Context, list []nft.Binding) error {
	out := make([]nft.Binding, len(list))
	for i, b := range list {
		b.Life /= 300 // 90 s become 0.3
		out[i] = b
	}
	return s.Binder.BindAll(ctx, out)
}

// Addresses are open to who looked them up, and for as long as that holds.
func TestAttack_borrowedAndStaleAddresses(t *testing.T) {
	h := newHouse(t)
	h.guard(t, func(b dnsguard.Binder) dnsguard.Binder { return short{b} })
	cloud := h.desired.Devices[0].Terms[0]
	two := h.as(h.neighbour(t, cloud))
	_, addrs := h.resolve(t, "a.cloud.example")
	a := addrs[0]
	if !h.connects(a, "443") {
		t.Fatal("bound and not open")
	}
	if two.connects(a, "443") {
		t.Error("a neighbour uses an address that it did not look up")
	}
	for two.connects(a, "443") == false {
		_, more := two.resolve(t, "a.cloud.example") // it rotates
		if len(more) > 0 && more[0] == a {
			break
		}
	}
	if !two.connects(a, "443") {
		t.Error("control: the neighbour has looked it up and may not use it")
	}
	time.Sleep(400 * time.Millisecond) // until the kernel has let go
	if h.connects(a, "443") {
		t.Error("an address that a name led to once is open for ever")
	}
}

// A name that leads into the house leads nowhere; where a term says that it may,
// it does.
func TestAttack_rebinding(t *testing.T) {
	h := newHouse(t)
	inside := []string{"10.77.0.11", "127.0.0.1", "169.254.169.254", "192.168.1.1", "224.0.0.1"}
	var next atomic.Value
	pc, err := h.net.ListenPacket(context.Background(), "udp4", "198.51.100.53:5353")
	must(t, err)
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(req)
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 0}, A: net.ParseIP(next.Load().(string))}}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	h.desired.Resolver = netip.MustParseAddrPort("198.51.100.53:5353")
	two := h.neighbour(t, api.Term{ID: "in", Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "tcp"})
	l, err := two.Listen(context.Background(), "tcp4", "10.77.0.11:443")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	h.guard(t, nil)
	for _, a := range inside {
		next.Store(a)
		if _, addrs := h.resolve(t, "a.cloud.example"); len(addrs) > 0 {
			t.Errorf("the name leads to %v", addrs)
		}
		if h.connects(netip.MustParseAddr(a), "443") {
			t.Errorf("%s is open", a)
		}
	}
	h.desired.Devices[0].Terms[0].Private = true
	h.apply(t)
	next.Store("10.77.0.11")
	if _, addrs := h.resolve(t, "a.cloud.example"); len(addrs) != 1 || !h.connects(addrs[0], "443") {
		t.Errorf("control: a name that may lead inside leads to %v, and not there", addrs)
	}
}

// Who asks is told by what the packet filter knows of the packet.
func TestGuard_whoAsksIsTheMark(t *testing.T) {
	h := newHouse(t)
	h.guard(t, nil)
	h.neighbour(t)
	if rcode, _ := h.resolve(t, "a.cloud.example"); rcode != dns.RcodeSuccess {
		t.Fatalf("the device itself: %s", dns.RcodeToString[rcode])
	}
	// The file says that the address is another device's, and the filter does not.
	p, err := dnsguard.ReadPolicy(h.path)
	must(t, err)
	p.Devices[0].IP, p.Devices[1].IP = p.Devices[1].IP, p.Devices[0].IP
	p.Devices[1].Names = p.Devices[0].Names
	must(t, rulefile.Put(h.path, p, nil))
	if rcode, _ := h.resolve(t, "a.cloud.example"); rcode != dns.RcodeNameError {
		t.Errorf("mark of one and address of another device: %s, want NXDOMAIN", dns.RcodeToString[rcode])
	}
	p.Devices[1].Mark, p.Devices[0].Mark = p.Devices[0].Mark, p.Devices[1].Mark
	must(t, rulefile.Put(h.path, p, nil))
	if rcode, _ := h.resolve(t, "a.cloud.example"); rcode != dns.RcodeSuccess {
		t.Errorf("control: mark and address of one device: %s", dns.RcodeToString[rcode])
	}
}

// A guard that is killed is back at once, what was open stays open, and the next
// knows what the last one did.
func TestGuard_killed(t *testing.T) {
	h := newHouse(t)
	dir := filepath.Dir(h.path)
	run := func() *exec.Cmd {
		t.Helper()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "RINGWALL_TEST_GUARD="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, h.gw.Start(cmd))
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "ready") {
			t.Fatalf("the guard says %q, %v", line, err)
		}
		return cmd
	}
	cmd := run()
	_, addrs := h.resolve(t, "a.cloud.example")
	names := resolved.NewReader(filepath.Join(dir, "names"), nil)
	defer names.Close()
	for range 3 {
		must(t, cmd.Process.Kill())
		began := time.Now()
		cmd.Wait()
		if !h.connects(addrs[0], "443") {
			t.Error("what was open is closed when the guard is killed")
		}
		c, err := h.dev.DialContext(t.Context(), "udp4", "10.77.0.1:53")
		must(t, err)
		c.SetDeadline(time.Now().Add(50 * time.Millisecond))
		b, err := query("b.cloud.example", dns.TypeA).Pack()
		must(t, err)
		c.Write(b)
		if n, _ := c.Read(make([]byte, 512)); n > 0 {
			t.Error("somebody answers though the guard is dead")
		}
		c.Close()
		cmd = run()
		if rcode, _ := h.resolve(t, "b.cloud.example"); rcode != dns.RcodeSuccess {
			t.Errorf("the next guard: %s", dns.RcodeToString[rcode])
		}
		t.Logf("from the kill to the next answer: %v", time.Since(began))
		if !names.Knows(resolved.KeyOf("dev_cam"), addrs[0], "a.cloud.example") {
			t.Error("what the last guard bound is not known any more")
		}
	}
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("asked to end: %v", err)
	}
}
