package nft_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// fleet is a desired state of n devices with 20 terms each.
func fleet(n int) api.Desired {
	d := api.Desired{Version: 1, LocalNets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Arrival: ringwall.Enforce}
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		dp := api.DevicePolicy{
			Device: ringwall.DeviceID(fmt.Sprint("dev_", i)), Mark: uint32(i + 1), Mode: ringwall.Enforce, Trust: ringwall.T3,
			Binding: api.Binding{Port: fmt.Sprint("p", i%48), MAC: fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16, i>>8&0xff, i&0xff), IP: a.Next()},
		}
		for j := range 20 {
			dst := netip.AddrFrom4([4]byte{203, byte(j), byte(i >> 8), byte(i)})
			dp.Terms = append(dp.Terms, api.Term{ID: fmt.Sprint(j), Action: api.Allow, Direction: api.FromDevice, CIDR: netip.PrefixFrom(dst, 32), Proto: "tcp", Ports: port(443)})
		}
		d.Devices = append(d.Devices, dp)
	}
	return d
}

func benchWorld(b *testing.B, devices int) (*nft.Firewall, api.Desired) {
	b.Helper()
	fw, err := nft.Open(nft.Config{NS: netnsNew(b, "gw"), Bridge: "br0", Uplink: "wan0"})
	must(b, err)
	b.Cleanup(func() { fw.Close() })
	must(b, fw.Base(b.Context()))
	d := fleet(devices)
	p, err := policy.Compile(d, nil, time.Now())
	must(b, err)
	start := time.Now()
	_, err = fw.Apply(context.Background(), p)
	must(b, err)
	b.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/first-apply")
	return fw, d
}

func BenchmarkBind(b *testing.B) {
	fw, _ := benchWorld(b, 100)
	list := []nft.Binding{{Mark: 1, Name: "a.cdn.example", Services: []policy.Service{{Proto: 6, Ports: port(443)}}, Life: time.Minute}}
	i := 0
	for b.Loop() {
		i++
		list[0].Addr = netip.AddrFrom4([4]byte{45, byte(i >> 16), byte(i >> 8), byte(i)})
		must(b, fw.BindAll(context.Background(), list))
		if i%100_000 == 0 { // the set is bounded; unbind by a plan without names
			b.Fatal("too many for the set")
		}
	}
}

func BenchmarkRestrict(b *testing.B) {
	fw, _ := benchWorld(b, 100)
	r := ringwall.Quarantine
	for b.Loop() {
		must(b, fw.Restrict(context.Background(), 7, r))
		r = ringwall.Quarantine - r
	}
}

// BenchmarkApply changes one term of one device of a fleet. What is compiled is
// not counted.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			fw, d := benchWorld(b, n)
			var plans [2]policy.Plan
			for i := range plans {
				d.Devices[3].Terms[0].Ports = port(uint16(1000 + i))
				var err error
				plans[i], err = policy.Compile(d, nil, time.Now())
				must(b, err)
			}
			i := 0
			for b.Loop() {
				i++
				_, err := fw.Apply(context.Background(), plans[i%2])
				must(b, err)
			}
		})
	}
}

// BenchmarkApplyWhileNamesAreBound is the same while another process binds
// addresses between two plans, so that it is not known whether the rules are as
// they were.
func BenchmarkApplyWhileNamesAreBound(b *testing.B) {
	fw, d := benchWorld(b, 10_000)
	var plans [2]policy.Plan
	for i := range plans {
		d.Devices[3].Terms[0].Ports = port(uint16(1000 + i))
		var err error
		plans[i], err = policy.Compile(d, nil, time.Now())
		must(b, err)
	}
	list := []nft.Binding{{Mark: 1, Addr: netip.MustParseAddr("45.0.0.1"), Name: "a.cdn.example", Services: []policy.Service{{Proto: 6, Ports: port(443)}}, Life: time.Minute}}
	i := 0
	for b.Loop() {
		i++
		must(b, fw.BindAll(context.Background(), list))
		_, err := fw.Apply(context.Background(), plans[i%2])
		must(b, err)
	}
}

// BenchmarkLoad puts 10,000 devices with 20 destinations each in force and reads
// all of it back. The memory is that of the kernel.
func BenchmarkLoad(b *testing.B) {
	p, err := policy.Compile(fleet(10_000), nil, time.Now())
	must(b, err)
	for b.Loop() {
		b.StopTimer()
		ns, err := netns.New("gw")
		must(b, err)
		fw, err := nft.Open(nft.Config{NS: ns, Bridge: "br0", Uplink: "wan0"})
		must(b, err)
		must(b, fw.Base(b.Context()))
		before := kernelMemory(b)
		b.StartTimer()
		_, err = fw.Apply(context.Background(), p)
		b.StopTimer()
		must(b, err)
		b.ReportMetric(float64(kernelMemory(b)-before)/1024, "kernel-MB")
		fw.Close()
		ns.Close()
		b.StartTimer()
	}
}

// kernelMemory is what the kernel has allocated, in KiB.
func kernelMemory(b *testing.B) (kib int64) {
	b.Helper()
	data, err := os.ReadFile("/proc/meminfo")
	must(b, err)
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) >= 2 && (f[0] == "SUnreclaim:" || f[0] == "VmallocUsed:" || f[0] == "Percpu:") {
			n, err := strconv.ParseInt(f[1], 10, 64)
			must(b, err)
			kib += n
		}
	}
	return kib
}
