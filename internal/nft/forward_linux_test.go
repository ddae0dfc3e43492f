package nft_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// lane is a gateway with many devices behind one port, and a way to send their
// packets as fast as the kernel takes them.
type lane struct {
	name    string
	net     *netns.NS
	fd      int
	msgs    []mmsghdr
	at      int
	perPack []float64
}

type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// newLane makes a lane; setup gets the gateway before any packet.
func newLane(b *testing.B, name string, devices int, setup func(gw *netns.NS)) *lane {
	b.Helper()
	gw, out, dev := netnsNew(b, "gw"), netnsNew(b, "net"), netnsNew(b, "dev")
	hw := net.HardwareAddr{2, 0xff, 0, 0, 0, 9}
	must(b, netns.Cable(gw, "wan0", nil, out, "inet0", hw))
	must(b, gw.Addr("wan0", "198.51.100.1/24"))
	must(b, out.Addr("inet0", "198.51.100.20/24"))
	must(b, netns.Cable(gw, "p0", nil, dev, "eth0", nil))
	must(b, nft.Prepare(b.Context(), gw, "br0", []string{"p0"}))
	must(b, gw.Addr("br0", "10.0.0.1/8"))
	setup(gw)
	var bridgeMAC net.HardwareAddr
	must(b, gw.Do(func() error {
		i, err := net.InterfaceByName("br0")
		if err == nil {
			bridgeMAC = i.HardwareAddr
		}
		return err
	}))
	l := &lane{name: name, net: out}
	var index int
	must(b, dev.Do(func() (err error) {
		i, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		index = i.Index
		l.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		return err
	}))
	b.Cleanup(func() { unix.Close(l.fd) })
	must(b, unix.Bind(l.fd, &unix.SockaddrLinklayer{Ifindex: index, Halen: 6}))
	frames := make([][]byte, devices)
	iovs := make([]unix.Iovec, devices)
	l.msgs = make([]mmsghdr, devices)
	for i := range devices {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).Next()
		f := append([]byte{}, bridgeMAC...)
		f = append(f, 2, 0, 0, byte(i>>16), byte(i>>8), byte(i), 8, 0)
		f = append(f, udp4(a.String(), "198.51.100.20", 40000, 443, strings.Repeat("x", 22))...)
		frames[i] = f
		iovs[i] = unix.Iovec{Base: &frames[i][0], Len: uint64(len(f))}
		l.msgs[i].hdr = unix.Msghdr{Iov: &iovs[i], Iovlen: 1}
	}
	// Neighbours are known, and every flow has begun.
	c, err := gw.DialContext(context.Background(), "udp", "198.51.100.20:9")
	must(b, err)
	c.Write([]byte("x"))
	c.Close()
	time.Sleep(50 * time.Millisecond)
	for range 3 * devices / 64 {
		l.send(b)
	}
	return l
}

func (l *lane) send(b *testing.B) {
	n := min(64, len(l.msgs)-l.at)
	r, _, no := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(l.fd), uintptr(unsafe.Pointer(&l.msgs[l.at])), uintptr(n), 0, 0, 0)
	if no != 0 {
		b.Fatal(no)
	}
	l.at = (l.at + int(r)) % len(l.msgs)
}

// received counts the packets that arrived at the far end.
func (l *lane) received(b *testing.B) (n uint64) {
	must(b, l.net.Do(func() error {
		data, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(data)) {
			if name, rest, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "inet0" {
				n, err = strconv.ParseUint(strings.Fields(rest)[1], 10, 64)
			}
		}
		return err
	}))
	return n
}

func (l *lane) round(b *testing.B, d time.Duration) {
	before := l.received(b)
	start := time.Now()
	for time.Since(start) < d {
		for range 16 {
			l.send(b)
		}
	}
	took := time.Since(start)
	n := l.received(b) - before
	if n < 1000 {
		b.Fatalf("%s: only %d packets arrived", l.name, n)
	}
	l.perPack = append(l.perPack, float64(took.Nanoseconds())/float64(n))
}

// BenchmarkForward forwards small packets of 10,000 devices with 20 destinations
// each, in turns with a gateway that only tracks connections and with one that
// does nothing. The figures are medians; read the ratios.
func BenchmarkForward(b *testing.B) {
	const devices, rounds = 10_000, 11
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, one unix.CPUSet
	must(b, unix.SchedGetaffinity(0, &old))
	one.Set(1)
	must(b, unix.SchedSetaffinity(0, &one))
	defer unix.SchedSetaffinity(0, &old)
	// Ahead of whatever else the machine does.
	fifo, normal := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 10}, unix.SchedAttr{Size: unix.SizeofSchedAttr}
	defer unix.SchedSetAttr(0, &normal, 0)
	track := func(gw *netns.NS) {
		c, err := nftables.New(nftables.WithNetNSFd(gw.FD()))
		must(b, err)
		t := c.AddTable(&nftables.Table{Name: "track", Family: nftables.TableFamilyIPv4})
		drop := nftables.ChainPolicyDrop
		ch := c.AddChain(&nftables.Chain{Name: "forward", Table: t, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Type: nftables.ChainTypeFilter, Policy: &drop})
		c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: []expr.Any{
			&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
			&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: []byte{byte(expr.CtStateBitESTABLISHED | expr.CtStateBitNEW), 0, 0, 0}, Xor: make([]byte, 4)},
			&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
			&expr.Verdict{Kind: expr.VerdictAccept},
		}})
		must(b, c.Flush())
	}
	ours := func(gw *netns.NS) {
		fw, err := nft.Open(nft.Config{NS: gw, Bridge: "br0", Uplink: "wan0"})
		must(b, err)
		b.Cleanup(func() { fw.Close() })
		must(b, fw.Base(b.Context()))
		d := fleet(devices)
		for i := range d.Devices {
			t := &d.Devices[i].Terms[0]
			d.Devices[i].Binding.Port = "p0"
			*t = api.Term{ID: "0", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "udp", Ports: port(443)}
		}
		d.Arrival = ringwall.Enforce
		p, err := policy.Compile(d, nil, time.Now())
		must(b, err)
		_, err = fw.Apply(context.Background(), p)
		must(b, err)
	}
	lanes := []*lane{
		newLane(b, "plain", devices, func(*netns.NS) {}),
		newLane(b, "conntrack", devices, track),
		newLane(b, "ringwall", devices, ours),
	}
	must(b, unix.SchedSetAttr(0, &fifo, 0))
	for b.Loop() {
		for range rounds {
			for _, l := range lanes {
				l.round(b, 150*time.Millisecond)
			}
		}
	}
	median := func(l *lane) float64 {
		s := slices.Clone(l.perPack)
		slices.Sort(s)
		return s[len(s)/2]
	}
	for _, l := range lanes {
		b.ReportMetric(median(l), fmt.Sprintf("ns/packet-%s", l.name))
	}
	b.ReportMetric(median(lanes[0])/median(lanes[2]), "of-plain")
	b.ReportMetric(median(lanes[1])/median(lanes[2]), "of-conntrack")
}
