package agent_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// tamper removes a table of the gateway, as an intruder or a clumsy script may.
func tamper() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	c.DelTable(&nftables.Table{Name: "ringwall", Family: nftables.TableFamilyBridge})
	return c.Flush()
}

// drifts counts the drifts that were told as repaired.
func (r *rig) drifts() (n int) {
	r.Helper()
	for _, a := range find[api.Ack](r, api.RecordAck) {
		if a.Drift && a.Error == "" {
			n++
		}
	}
	return n
}

// inside is a term for flows of a device that the inspector has to look into.
func inside(id string, port uint16, in api.Inside, change ...func(*api.Term)) api.Term {
	t := term(id, "198.51.100.20", port, func(t *api.Term) { t.Proto, t.Inside = "tcp", &in })
	for _, c := range change {
		c(&t)
	}
	return t
}

// TestAgent_steeringRemoved: the rule and the routes that lead flows to the inspector
// are no part of the tables. Whoever takes them away closes what has to be looked
// into, and opens nothing; it is put right and told.
func TestAgent_steeringRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	site := r.web("198.51.100.20:80")
	p := r.start("-inspect")
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, inside("web", 80, api.Inside{Proto: "http", Paths: []string{"/ok"}}))
	}))
	r.settled(p, 1)
	fine := func() bool { return r.get(r.cam, "198.51.100.20", "198.51.100.20", "/ok") == http.StatusOK }
	eventually(t, p, "the allowed path passes", time.Minute, fine)
	for _, c := range []struct {
		name string
		take func() error
	}{
		{"the rule", func() error {
			rules, err := netlink.RuleListFiltered(unix.AF_INET, &netlink.Rule{Table: nft.SteerTable}, netlink.RT_FILTER_TABLE)
			if err != nil || len(rules) != 1 {
				return errors.Join(err, errors.New("there is not one rule"))
			}
			return netlink.RuleDel(&rules[0])
		}},
		{"the routes", func() error {
			routes, err := netlink.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: nft.SteerTable}, netlink.RT_FILTER_TABLE)
			if err != nil || len(routes) != 1 {
				return errors.Join(err, errors.New("there is not one route"))
			}
			return netlink.RouteDel(&routes[0])
		}},
	} {
		before := r.drifts()
		must(t, p.cmd.Process.Signal(unix.SIGSTOP)) // so that it stays away for a while
		must(t, r.gw.Do(c.take))
		n := site.n.Load()
		for _, path := range []string{"/ok", "/admin"} {
			if code := r.get(r.cam, "198.51.100.20", "198.51.100.20", path); code != 0 || site.n.Load() != n {
				t.Errorf("without %s, %s is answered with %d", c.name, path, code)
			}
		}
		must(t, p.cmd.Process.Signal(unix.SIGCONT))
		eventually(t, p, c.name+": it is repaired and told", time.Minute, func() bool { return r.drifts() > before && fine() })
		if code := r.get(r.cam, "198.51.100.20", "198.51.100.20", "/admin"); code == http.StatusOK {
			t.Errorf("after %s was repaired, another path passes", c.name)
		}
	}
}

// TestAgent_fastPathTaken: somebody detaches a program of the fast path. Packets go
// the way of the filter at once, with the same verdicts, and it is told and put
// back.
func TestAgent_fastPathTaken(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.full = true
	victim, cloud := r.count("198.51.100.66:9999"), r.count("198.51.100.20:9000")
	p := r.start()
	r.publish(desired(1, ringwall.Enforce))
	s := r.settled(p, 1)
	programs := func(take bool) (n int) {
		must(t, r.gw.Do(func() error {
			for _, name := range []string{"p-cam", "p-phone", "up0"} {
				i, err := net.InterfaceByName(name)
				if err != nil {
					return err
				}
				q, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: ebpf.AttachTCXIngress})
				if err != nil {
					return err
				}
				for _, x := range q.Programs {
					n++
					id, ok := x.LinkID()
					if !take || !ok {
						continue
					}
					l, err := link.NewFromID(id)
					if err != nil {
						return err
					}
					if err := errors.Join(l.Detach(), l.Close()); err != nil {
						return err
					}
				}
			}
			return nil
		}))
		return n
	}
	if programs(false) == 0 {
		t.Skipf("SKIPPED, NOT TESTED: this kernel has no fast path: %s", s.Tier)
	}
	r.stream(r.cam, "198.51.100.20:9000", time.Millisecond)
	r.stream(r.cam, "198.51.100.66:9999", time.Millisecond)
	eventually(t, p, "allowed traffic passes", time.Minute, func() bool { return cloud.n.Load() > 100 })
	before := r.drifts()
	must(t, p.cmd.Process.Signal(unix.SIGSTOP))
	if programs(true) != 3 || programs(false) != 0 {
		t.Fatal("the programs cannot be taken: the test tests nothing")
	}
	at := cloud.n.Load()
	eventually(t, p, "allowed traffic passes by the filter alone", 10*time.Second, func() bool { return cloud.n.Load() > at+100 })
	must(t, p.cmd.Process.Signal(unix.SIGCONT))
	eventually(t, p, "the programs are back, and it is told", time.Minute, func() bool { return programs(false) == 3 && r.drifts() > before })
	at = cloud.n.Load()
	eventually(t, p, "allowed traffic passes still", 10*time.Second, func() bool { return cloud.n.Load() > at+100 })
	if n := victim.n.Load(); n != 0 {
		t.Errorf("%d refused datagrams passed", n)
	}
}

// TestAgent_forgedMarks: what lets packets pass is a mark, which the gateway sets by
// port, MAC and address. A packet that comes with one, whatever wrote it there, is
// worth what its device is: it gets neither the inspector's mark, nor that of the
// way to it, nor that of an agent on a device, nor that of the phone, which may do
// everything. Control: what the camera may do it may do with every mark.
func TestAgent_forgedMarks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	victim, cloud := r.count("198.51.100.66:9999"), r.count("198.51.100.20:9000")
	p := r.start("-inspect")
	r.publish(desired(1, ringwall.Enforce, func(d *api.Desired) {
		d.Devices[0].Terms = append(d.Devices[0].Terms, inside("web", 80, api.Inside{Proto: "http", Paths: []string{"/ok"}}))
	}))
	r.settled(p, 1)
	attack, _ := r.stream(r.cam, "198.51.100.66:9999", 500*time.Microsecond)
	r.stream(r.cam, "198.51.100.20:9000", time.Millisecond)
	for _, mark := range []uint32{policy.InspectMark, policy.InspectMark | 2, 1 << 29, 1<<29 | 0x52, policy.InspectMark | 1<<29, 2, 1 << 31, ^uint32(0)} {
		var writes io.Closer
		err := r.gw.Do(func() (err error) { writes, err = writeMark("p-cam", mark); return err })
		if errors.Is(err, ebpf.ErrNotSupported) {
			t.Skipf("SKIPPED, NOT TESTED: nothing writes marks here: %v", err)
		}
		must(t, err)
		at, sent := cloud.n.Load(), attack.Load()
		eventually(t, p, "what is allowed passes with a forged mark", 20*time.Second, func() bool { return cloud.n.Load() > at+20 && attack.Load() > sent+20 })
		if n := victim.n.Load(); n != 0 {
			t.Fatalf("with mark %#x, %d refused datagrams passed", mark, n)
		}
		must(t, writes.Close())
	}
	// Control: the marks are there. A table of another's that drops them cuts the camera.
	const forged = 1 << 31
	var writes io.Closer // a program that nobody holds is taken away by the garbage collector
	must(t, r.gw.Do(func() (err error) {
		if writes, err = writeMark("p-cam", forged); err != nil {
			return err
		}
		return dropMark(forged)
	}))
	defer func() { must(t, writes.Close()) }()
	eventually(t, p, "control: a packet with the forged mark comes in", 5*time.Second, func() bool {
		at := cloud.n.Load()
		time.Sleep(50 * time.Millisecond)
		return cloud.n.Load() == at
	})
	// And from a process of the gateway that bears the camera's address.
	must(t, r.gw.Do(func() error { return sendAs("10.77.0.10:4000", "198.51.100.66:9999", policy.InspectMark, 50) }))
	time.Sleep(50 * time.Millisecond)
	if n := victim.n.Load(); n != 0 {
		t.Errorf("%d datagrams of somebody who calls himself the inspector passed", n)
	}
	must(t, r.gw.Do(func() error { return sendAs("10.77.0.30:4000", "198.51.100.66:9999", policy.InspectMark, 50) }))
	eventually(t, p, "control: what the phone may do passes that way", 5*time.Second, func() bool { return victim.n.Load() > 0 })
}

// writeMark has all that comes in on an interface of the thread's namespace bear a
// mark, until the returned program is closed.
func writeMark(iface string, mark uint32) (io.Closer, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	const offMark, next = 8, -1 // of struct __sk_buff; TCX_NEXT
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadImm(asm.R2, int64(mark), asm.DWord),
		asm.StoreMem(asm.R1, offMark, asm.R2, asm.Word),
		asm.Mov.Imm(asm.R0, next),
		asm.Return(),
	}})
	if err != nil {
		return nil, err
	}
	defer prog.Close()
	return link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: prog, Attach: ebpf.AttachTCXIngress})
}

// dropMark drops frames with a mark ahead of the gateway's own tables.
func dropMark(mark uint32) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	tbl := c.AddTable(&nftables.Table{Name: "control", Family: nftables.TableFamilyBridge})
	chain := c.AddChain(&nftables.Chain{Name: "prerouting", Table: tbl, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-1000)})
	c.AddRule(&nftables.Rule{Table: tbl, Chain: chain, Exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyMARK, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.NativeEndian.PutUint32(mark)},
		&expr.Verdict{Kind: expr.VerdictDrop},
	}})
	return c.Flush()
}

// sendAs sends datagrams from an address that is not this machine's, with a mark.
func sendAs(from, to string, mark uint32, n int) error {
	lc := net.ListenConfig{Control: transparent(mark)}
	pc, err := lc.ListenPacket(context.Background(), "udp4", from)
	if err != nil {
		return err
	}
	defer pc.Close()
	for range n {
		// A refusal of the output hook is an error here, and what is wanted.
		_, _ = pc.WriteTo([]byte("forged"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		time.Sleep(time.Millisecond)
	}
	return nil
}

// TestAgent_ownModem: a machine with a modem of its own is the device that its
// document binds to a card: it has the address of its uplink, and gets the next one
// as soon as the modem has another. A card that is not its own opens nothing.
func TestAgent_ownModem(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dev := netnstest.New(t, "device")
	must(t, netns.Cable(dev, "wwan0", nil, r.inet, "dev0", nil))
	must(t, dev.Addr("wwan0", "203.0.113.7/24"))
	must(t, r.inet.Addr("dev0", "203.0.113.1/24"))
	must(t, dev.Route("default", "203.0.113.1"))
	allowed, refused := r.count("198.51.100.20:9000"), r.count("198.51.100.66:9999")
	r.gw = dev
	const imsi, other = "460001234567890", "460009876543210"
	file := filepath.Join(r.dir, "imsi")
	must(t, os.WriteFile(file, []byte(imsi+"\n"), 0o600))
	p := r.startAs("run", "-state", r.state, "-host", "-uplink", "wwan0", "-imsi-file", file, "-drift", "500ms", "-poll", "1s", "-mappings", "off")
	salt := []byte("salt of the site")
	doc := func(gen uint64, card string) api.Desired {
		return desired(gen, ringwall.Enforce, func(d *api.Desired) {
			d.Reflexes, d.LocalNets, d.SubscriberSalt = nil, nil, salt
			d.Devices = []api.DevicePolicy{{
				Device: "dev_self", Mark: 1, Mode: ringwall.Enforce, Trust: ringwall.T3, Binding: api.Binding{Subscriber: policy.Subscriber(salt, card)},
				Terms: []api.Term{term("all", "198.51.100.20", 9000)},
			}}
		})
	}
	r.stream(dev, "198.51.100.66:9999", time.Millisecond)
	r.stream(dev, "198.51.100.20:9000", time.Millisecond)
	r.publish(doc(1, other))
	r.settled(p, 1)
	n := allowed.n.Load()
	time.Sleep(100 * time.Millisecond)
	if got := allowed.n.Load(); got != n {
		t.Errorf("%d datagrams pass by the policy of another card", got-n)
	}
	r.publish(doc(2, imsi))
	r.settled(p, 2)
	eventually(t, p, "the card's own policy lets pass", time.Minute, func() bool { return allowed.n.Load() > n+20 })
	was := refused.n.Load()
	must(t, dev.Do(func() error { // the operator gives it another address
		l, err := netlink.LinkByName("wwan0")
		if err != nil {
			return err
		}
		old, err := netlink.ParseAddr("203.0.113.7/24")
		if err != nil {
			return err
		}
		next, err := netlink.ParseAddr("203.0.113.8/24")
		if err != nil {
			return err
		}
		return errors.Join(netlink.AddrDel(l, old), netlink.AddrAdd(l, next))
	}))
	must(t, dev.Route("default", "203.0.113.1"))
	at := allowed.n.Load()
	r.stream(dev, "198.51.100.20:9000", time.Millisecond) // the socket of the first has the old address
	eventually(t, p, "it passes from the new address", time.Minute, func() bool { return allowed.n.Load() > at+50 })
	if got := refused.n.Load(); got != was {
		t.Errorf("%d datagrams passed that no policy allows", got-was)
	}
	for _, bad := range []string{"", "46000x", "1234567890123456"} {
		must(t, os.WriteFile(file, []byte(bad), 0o600))
		p.kill(unix.SIGTERM)
		if p = r.startAs(p.cmd.Args[1:]...); p.wait() == nil {
			t.Errorf("with the IMSI %q the agent runs", bad)
		}
	}
}
