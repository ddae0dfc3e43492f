package enforce_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/policy"
)

var (
	someNames = []string{"a.vendor.example", "b.vendor.example", "vendor.example", "x.a.vendor.example", "other.example"}
	somePats  = []string{"a.vendor.example", "*.vendor.example", "*.a.vendor.example", "other.example"}
	someNets  = []string{"0.0.0.0/0", "198.51.100.0/24", "198.51.100.0/25", "198.51.100.7/32", "10.77.0.0/24"}
	someHosts = []string{"198.51.100.7", "198.51.100.200", "203.0.113.1"}
	someMakes = []string{"", "acme", "bolt"}
)

func pick[T any](r *rand.Rand, list []T) T { return list[r.IntN(len(list))] }

func someTerm(r *rand.Rand) api.Term {
	t := api.Term{
		ID: fmt.Sprintf("t%d", r.IntN(6)), Action: pick(r, []api.Action{api.Allow, api.Allow, api.Allow, api.Deny}),
		Direction: pick(r, []api.Direction{api.FromDevice, api.FromDevice, api.ToDevice}), Proto: pick(r, []string{"tcp", "udp", "any"}),
	}
	if r.IntN(2) == 0 {
		first := uint16(r.IntN(4))*10 + 80
		t.Ports = []api.PortRange{{First: first, Last: first + uint16(r.IntN(2))*15}}
	}
	switch r.IntN(8) {
	case 0, 1, 2:
		t.CIDR = netip.MustParsePrefix(pick(r, someNets))
	case 3, 4:
		t.Direction, t.Domain = api.FromDevice, pick(r, somePats)
	case 5:
		t.Device = ringwall.DeviceID(fmt.Sprintf("dev_%d", r.IntN(4)))
	case 6:
		switch r.IntN(3) {
		case 0:
			t.Local = true
		case 1:
			t.SameMaker = true
		default:
			t.Gateway, t.Direction = true, api.FromDevice
		}
	default:
		t.Controller = "ctl"
	}
	if r.IntN(6) == 0 {
		t.Window = &api.Window{From: "08:00", To: pick(r, []string{"12:00", "20:00"})}
	}
	return t
}

func someTerms(r *rand.Rand, from []api.Term) []api.Term {
	out := slices.Clone(from)
	for range r.IntN(5) {
		out = append(out, someTerm(r))
	}
	for i := range out {
		out[i].ID = fmt.Sprintf("t%d", i)
	}
	if len(out) > 0 && r.IntN(2) == 0 {
		out = slices.Delete(out, 0, 1)
	}
	return out
}

func someDocument(r *rand.Rand, gen uint64, like *api.Desired) api.Desired {
	d := desired(gen)
	d.Arrival = ringwall.Enforce
	d.Remediation = slices.DeleteFunc(someTerms(r, nil), func(t api.Term) bool { return t.SameMaker || t.Gateway }) // which have no place there
	d.Controllers = []api.Controller{{Role: "ctl", Nets: []netip.Prefix{netip.MustParsePrefix(pick(r, someNets[1:]))}, Devices: []ringwall.DeviceID{"dev_2"}}}
	for i := range d.Devices {
		dev := &d.Devices[i]
		dev.Mode = pick(r, []ringwall.Mode{ringwall.Enforce, ringwall.Enforce, ringwall.Shadow, ringwall.Learn})
		dev.Trust = ringwall.Trust(r.IntN(5))
		dev.Maker = pick(r, someMakes)
		var old []api.Term
		if like != nil && i < len(like.Devices) {
			old = like.Devices[i].Terms
		}
		dev.Terms = someTerms(r, old)
		if r.IntN(5) == 0 {
			dev.Binding.Port = pick(r, []string{"p1", "p2"})
		}
	}
	if like != nil && r.IntN(2) == 0 {
		d.Controllers = like.Controllers
		for i := range min(len(d.Devices), len(like.Devices)) {
			d.Devices[i].Maker = like.Devices[i].Maker
		}
	}
	if r.IntN(3) == 0 {
		d.Devices = d.Devices[:3]
	}
	return d
}

// passes judges a flow of a device under a document; a device that it does not
// name is isolated.
func passes(d api.Desired, id ringwall.DeviceID, f policy.Flow) bool {
	i := slices.IndexFunc(d.Devices, func(p api.DevicePolicy) bool { return p.Device == id })
	if i < 0 {
		return false
	}
	site := policy.SiteOf(&d)
	if f.RemoteDevice != "" && !slices.ContainsFunc(d.Devices, func(p api.DevicePolicy) bool { return p.Device == f.RemoteDevice }) {
		return false // the other end is isolated
	}
	return site.Decide(&d.Devices[i], ringwall.Unrestricted, &f).Pass
}

// TestFallback_isWithinBoth: whatever two documents say, what is in force after a
// rollback lets nothing pass that one of them refuses; and whatever both say in
// the same words passes still.
func TestFallback_isWithinBoth(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 2))
	passed, kept := 0, 0
	for range 1500 {
		prev := someDocument(r, 1, nil)
		next := someDocument(r, 2, &prev)
		back := enforce.Fallback(prev, next)
		if err := enforce.Check(back); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if _, err := policy.Compile(back, nil, start); err != nil {
			t.Fatalf("seed %d: what is left does not compile: %v", seed, err)
		}
		for range 40 {
			id := ringwall.DeviceID(fmt.Sprintf("dev_%d", r.IntN(4)))
			f := policy.Flow{
				Direction: pick(r, []api.Direction{api.FromDevice, api.ToDevice}), Proto: pick(r, []string{"tcp", "udp", "icmp"}),
				Local:  netip.AddrPortFrom(netip.MustParseAddr("10.77.0.10"), uint16(80+r.IntN(45))),
				Remote: netip.AddrPortFrom(netip.MustParseAddr(pick(r, someHosts)), uint16(80+r.IntN(45))),
				At:     time.Date(2026, 11, 21, pick(r, []int{9, 15, 23}), 0, 0, 0, time.UTC),
			}
			switch r.IntN(4) {
			case 0:
				f.Names = []string{pick(r, someNames)}
			case 1:
				n := r.IntN(4)
				f.RemoteDevice = ringwall.DeviceID(fmt.Sprintf("dev_%d", n))
				f.Remote = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + n)}), f.Remote.Port())
			case 2:
				f.Gateway = r.IntN(2) == 0
			}
			inPrev, inNext := passes(prev, id, f), passes(next, id, f)
			// Whom one of them quarantines keeps the way to be repaired, whatever the
			// terms of the other say.
			switch qPrev, qNext := quarantined(prev, id), quarantined(next, id); {
			case qPrev && !qNext:
				inNext = true
			case qNext && !qPrev:
				inPrev = true
			}
			if passes(back, id, f) {
				passed++
				if !inPrev || !inNext {
					t.Fatalf("seed %d: %s of %s passes after the rollback, under the old policy %v, under the new one %v\nold %+v\nnew %+v\nback %+v",
						seed, fmt.Sprintf("%+v", f), id, inPrev, inNext, of(prev, id), of(next, id), of(back, id))
				}
			} else if inPrev && inNext {
				kept++
			}
		}
	}
	if passed < 1000 {
		t.Errorf("only %d flows passed: the test says little", passed)
	}
	t.Logf("%d flows pass; %d that both let pass do not", passed, kept)
}

func quarantined(d api.Desired, id ringwall.DeviceID) bool {
	return slices.ContainsFunc(d.Devices, func(p api.DevicePolicy) bool { return p.Device == id && p.Trust == ringwall.T1 })
}

func of(d api.Desired, id ringwall.DeviceID) any {
	i := slices.IndexFunc(d.Devices, func(p api.DevicePolicy) bool { return p.Device == id })
	if i < 0 {
		return nil
	}
	return d.Devices[i]
}

// TestFallback_ofTheSame is the same, but for what is none of its business.
func TestFallback_ofTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	for range 50 {
		d := someDocument(r, 4, nil)
		plan, err := policy.Compile(d, nil, start)
		if err != nil {
			t.Fatal(err)
		}
		back, err := policy.Compile(enforce.Fallback(d, d), nil, start)
		if err != nil || !plan.Equal(back) {
			t.Fatalf("a document and itself leave another: %v\n%+v\n%+v", err, plan, back)
		}
	}
}

func TestFallback_whereTheGatewayStands(t *testing.T) {
	resolver := netip.MustParseAddrPort("192.0.2.53:53")
	prev := desired(1, func(d *api.Desired) {
		d.Resolver = resolver
		d.LocalNets = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}
	})
	next := desired(2, func(d *api.Desired) {
		d.Arrival = ringwall.Enforce
		d.LocalNets = []netip.Prefix{netip.MustParsePrefix("10.78.0.0/24")}
		d.Tunnels = []api.Tunnel{{ID: "tun_1", Device: "dev_1", Port: 80}}
		d.Devices[1].Binding.Port = "p2"
		d.Devices[2].Binding.IP = netip.MustParseAddr("10.77.0.99")
		d.Devices[3].Fail = "closed"
		d.MaxAge = api.Duration(time.Hour)
	})
	back := enforce.Fallback(prev, next)
	if back.Resolver != resolver || back.LocalNets[0].String() != "10.77.0.0/24" || back.Generation != 1 {
		t.Errorf("back = %+v", back)
	}
	if back.Arrival != ringwall.Enforce || len(back.Tunnels) != 0 || back.Devices[1].Binding.Port != "p2" || back.Devices[3].Fail != "closed" || back.MaxAge != next.MaxAge {
		t.Errorf("what is narrower is not kept: %+v", back)
	}
	if d := back.Devices[2]; d.Trust != ringwall.T0 || d.Mode != ringwall.Enforce {
		t.Errorf("a device that the two know at different places is not cut off: %+v", d)
	}
}
