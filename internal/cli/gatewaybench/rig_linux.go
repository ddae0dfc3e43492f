package gatewaybench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
)

// Destinations is how many each device may reach.
const Destinations = 20

// Names and addresses of a rig.
const (
	Bridge = "br0"
	Port   = "p0"
	Uplink = "wan0"

	gatewayLAN = "10.255.255.254"
	gatewayWAN = "198.51.100.1"
	// nobody is the next hop of what is blasted: its MAC is nobody's, so that the
	// world counts the packets and throws them away.
	nobody  = "198.51.100.2"
	Server  = "198.51.100.20" // real, for TCP
	UDPPort = 4433
	TCPPort = 4434
)

var (
	nobodyMAC = net.HardwareAddr{2, 0xff, 0, 0, 0, 1}
	bridgeMAC = net.HardwareAddr{2, 0xfe, 0, 0, 0, 1}
	localNet  = netip.MustParsePrefix("10.0.0.0/8")
)

// Rig is devices, a gateway and the world. All devices sit behind one port, as
// behind a switch or an access point.
type Rig struct {
	Devices               int
	Dev, Gateway, Outside *netns.NS
}

// DeviceIP and DeviceMAC are those of device i, from 0.
func DeviceIP(i int) netip.Addr {
	n := i + 1
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

// DeviceMAC is its hardware address.
func DeviceMAC(i int) net.HardwareAddr {
	n := i + 1
	return net.HardwareAddr{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)}
}

// Destination is where device i may go, by number.
func Destination(i, j int) netip.Addr {
	n := i + 1
	return netip.AddrFrom4([4]byte{byte(100 + j), byte(1 + n>>16), byte(n >> 8), byte(n)})
}

// newRig makes the three, with forwarding on and no rules.
func newRig(ctx context.Context, devices int) (r *Rig, err error) {
	r = &Rig{Devices: devices}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("making namespaces: %w", err), r.Close())
		}
	}()
	for _, x := range []struct {
		name string
		to   **netns.NS
	}{{"devices", &r.Dev}, {"gateway", &r.Gateway}, {"world", &r.Outside}} {
		if *x.to, err = netns.New(x.name); err != nil {
			return r, err
		}
	}
	for _, step := range []func() error{
		func() error { return netns.Cable(r.Gateway, Port, nil, r.Dev, "eth0", DeviceMAC(0)) },
		func() error { return netns.Cable(r.Gateway, Uplink, nil, r.Outside, "inet0", nil) },
		func() error { return nft.Prepare(ctx, r.Gateway, Bridge, []string{Port}) },
		func() error { return r.Gateway.HardwareAddr(Bridge, bridgeMAC) },
		func() error { return r.Gateway.Addr(Bridge, gatewayLAN+"/8") },
		func() error { return r.Gateway.Addr(Uplink, gatewayWAN+"/24") },
		func() error { return r.Gateway.Neighbour(Uplink, nobody, nobodyMAC) },
		func() error { return r.Gateway.Route("default", nobody) },
		func() error { return r.Dev.Addr("eth0", DeviceIP(0).String()+"/8") },
		func() error { return r.Dev.Route("default", gatewayLAN) },
		func() error { return r.Outside.Addr("inet0", Server+"/24") },
		func() error { return r.Outside.Route("10.0.0.0/8", gatewayWAN) },
	} {
		if err := step(); err != nil {
			return r, err
		}
	}
	return r, nil
}

// Close takes the rig away.
func (r *Rig) Close() error {
	var errs []error
	for _, n := range []*netns.NS{r.Dev, r.Gateway, r.Outside} {
		if n != nil {
			errs = append(errs, n.Close())
		}
	}
	return errors.Join(errs...)
}

// Desired is the policy: each device may reach its destinations, the first the
// TCP server besides.
func (r *Rig) Desired() api.Desired {
	d := api.Desired{Version: api.Version, Generation: 1, LocalNets: []netip.Prefix{localNet}, Arrival: ringwall.Enforce}
	term := func(id string, to netip.Addr, proto string, port uint16) api.Term {
		return api.Term{ID: id, Action: api.Allow, Direction: api.FromDevice, CIDR: netip.PrefixFrom(to, 32), Proto: proto, Ports: []api.PortRange{{First: port, Last: port}}}
	}
	for i := range r.Devices {
		dp := api.DevicePolicy{
			Device: ringwall.DeviceID(fmt.Sprint("dev_", i)), Mark: uint32(i + 1), Mode: ringwall.Enforce, Trust: ringwall.T3,
			Binding: api.Binding{Port: Port, MAC: DeviceMAC(i).String(), IP: DeviceIP(i)},
		}
		for j := range Destinations {
			dp.Terms = append(dp.Terms, term(fmt.Sprint("t", j), Destination(i, j), "udp", UDPPort))
		}
		if i == 0 {
			dp.Terms = append(dp.Terms, term("tcp", netip.MustParseAddr(Server), "tcp", TCPPort))
		}
		d.Devices = append(d.Devices, dp)
	}
	return d
}

// arrived is how many packets have come to the world.
func (r *Rig) arrived() (uint64, error) { return r.Outside.Received("inet0") }

// reserve keeps this program off the first processor, which is for packets.
func reserve() (release func(), err error) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, err
	}
	if runtime.NumCPU() < 2 {
		return func() {}, nil
	}
	rest := all
	rest.Clear(firstCPU(all))
	if err := allThreads(&rest); err != nil {
		return nil, err
	}
	return func() { _ = allThreads(&all) }, nil // as it was, or the process ends with less
}

func firstCPU(s unix.CPUSet) int {
	for i := range 1024 {
		if s.IsSet(i) {
			return i
		}
	}
	return 0
}

func allThreads(s *unix.CPUSet) error {
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range list {
		var tid int
		if _, err := fmt.Sscan(t.Name(), &tid); err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, s); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// onPacketCPU runs f on a thread of its own on the first processor, ahead of
// all else that wants it: what it measures is not who else is at work.
func onPacketCPU(f func() error) error {
	done := make(chan error, 1)
	go netns.Thread(func() {
		var s unix.CPUSet
		s.Set(0)
		if err := unix.SchedSetaffinity(0, &s); err != nil {
			done <- err
			return
		}
		// Where it is not let, it is measured all the same, with more noise.
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		done <- f()
	})
	return <-done
}

func machine() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // cannot fail
	model := ""
	b, _ := os.ReadFile("/proc/cpuinfo") // told when it is there
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			model = ", " + strings.TrimSpace(v)
			break
		}
	}
	return fmt.Sprintf("%d processors%s, Linux %s", runtime.NumCPU(), model, unix.ByteSliceToString(u.Release[:]))
}

// spent is the processor time of the calling thread: what the kernel does with
// its packets within its system calls is part of it, waiting for the processor
// is not.
func spent() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // cannot fail
	return time.Duration(t.Nano())
}
