package nft_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
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

// BenchmarkApply changes one term of one device of a fleet, and reads all back.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			fw, d := benchWorld(b, n)
			i := 0
			for b.Loop() {
				i++
				d.Devices[3].Terms[0].Ports = port(uint16(1000 + i%100))
				p, err := policy.Compile(d, nil, time.Now())
				must(b, err)
				_, err = fw.Apply(context.Background(), p)
				must(b, err)
			}
		})
	}
}
