package agent_test

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/netns/netnstest"
)

// TestAgent_host: on a device that is its own gateway, what the document allows
// passes and nothing else, by program where it says so; with the platform away
// too; a quarantine from the platform cuts the device off, and not the agent.
// Control: without the agent, all passes.
func TestAgent_host(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dev := netnstest.New(t, "device")
	must(t, netns.Cable(dev, "eth0", net.HardwareAddr{2, 0, 0, 0, 0, 77}, r.inet, "dev0", nil))
	must(t, dev.Addr("eth0", "203.0.113.7/24"))
	must(t, r.inet.Addr("dev0", "203.0.113.1/24"))
	must(t, dev.Route("default", "203.0.113.1"))
	allowed, refused := r.count("198.51.100.20:9000"), r.count("198.51.100.66:9999")
	r.stream(dev, "198.51.100.66:9999", time.Millisecond)
	r.stream(dev, "198.51.100.20:9000", time.Millisecond)
	eventually(t, nil, "an open device talks to all", time.Minute, func() bool { return refused.n.Load() > 20 && allowed.n.Load() > 20 })
	r.gw = dev
	p := r.startAs("run", "-state", r.state, "-host", "-uplink", "eth0", "-drift", "500ms", "-poll", "1s", "-mappings", "off")
	uid := uint32(54321)
	doc := func(gen uint64, change ...func(*api.Desired)) api.Desired {
		return desired(gen, ringwall.Enforce, append([]func(*api.Desired){func(d *api.Desired) {
			d.Reflexes, d.LocalNets = nil, nil
			d.Devices = []api.DevicePolicy{{
				Device: "dev_self", Mark: 1, Mode: ringwall.Enforce, Trust: ringwall.T3,
				Binding: api.Binding{MAC: "02:00:00:00:00:4d", IP: netip.MustParseAddr("203.0.113.7")},
				Terms: []api.Term{term("all", "198.51.100.20", 9000), {
					ID: "one", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "tcp",
					Ports: []api.PortRange{{First: 80, Last: 80}}, Who: &api.Who{UID: &uid},
				}},
			}}
		}}, change...)...)
	}
	r.publish(doc(1))
	r.settled(p, 1)
	n := refused.n.Load()
	at := allowed.n.Load()
	eventually(t, p, "what is allowed passes", time.Minute, func() bool { return allowed.n.Load() > at+50 })
	if got := refused.n.Load(); got > n {
		t.Errorf("%d datagrams pass that the document does not allow", got-n)
	}
	// By program.
	l, err := r.inet.Listen(context.Background(), "tcp", "198.51.100.20:80")
	must(t, err)
	var accepted atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	connect := func(uid uint32) error {
		cmd := exec.Command("/bin/busybox", "nc", "-w", "2", "198.51.100.20", "80")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := dev.Start(cmd); err != nil {
			return err
		}
		return cmd.Wait()
	}
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Error("busybox is needed for programs of other users")
	}
	if err := connect(uid); err != nil || accepted.Load() != 1 {
		t.Errorf("the program that may connect: %v, %d connections", err, accepted.Load())
	}
	if err := connect(uid + 1); err == nil || accepted.Load() != 1 {
		t.Errorf("another program: %v, %d connections", err, accepted.Load())
	}
	// Quarantine from the platform: the device is cut off, the agent is not.
	r.publish(doc(2, func(d *api.Desired) {
		d.Holds = []api.Hold{{ID: "hld_1", Device: "dev_self", Do: ringwall.Quarantine, By: "usr_1", Made: time.Now()}}
	}))
	r.settled(p, 2) // so the agent is heard still
	at = allowed.n.Load()
	time.Sleep(200 * time.Millisecond)
	if got := allowed.n.Load(); got > at {
		t.Errorf("%d datagrams of a quarantined device pass", got-at)
	}
	r.publish(doc(3, func(d *api.Desired) { d.Releases = []api.Release{{Hold: "hld_1", By: "usr_1", At: time.Now()}} }))
	r.settled(p, 3)
	// Offline, over a restart.
	r.stopPlatform()
	p.kill(syscall.SIGKILL)
	p = r.startAs(p.cmd.Args[1:]...)
	r.serving(p, 3)
	at = allowed.n.Load()
	eventually(t, p, "it works with the platform away", time.Minute, func() bool { return allowed.n.Load() > at+50 })
	if got := refused.n.Load(); got > n {
		t.Errorf("%d datagrams passed that no document allows", got-n)
	}
	r.startPlatform()
	eventually(t, p, "the agent finds the platform again", time.Minute, func() bool { s, err := r.status(); return err == nil && s.Connected })
}
