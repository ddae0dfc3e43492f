package policy_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

// same compares a Judge with the walk over terms, for flows that are seen from
// every side.
func same(t *testing.T, w policytest.World, rounds int) map[string]int {
	count := map[string]int{}
	for range rounds {
		d := w.Desired()
		site := policy.SiteOf(&d)
		site.Stale = w.R.IntN(4) == 0
		if w.R.IntN(8) == 0 {
			site.Zones = nil
		}
		for i := range d.Devices {
			dp := &d.Devices[i]
			for j := range dp.Terms { // terms that nobody checked
				if t := &dp.Terms[j]; w.R.IntN(40) == 0 {
					t.Proto, t.CIDR = "gre", netip.Prefix{}
				}
			}
			judge := policy.NewJudge(*dp, site)
			for range 20 {
				f := w.Flow(&d, i)
				switch w.R.IntN(20) {
				case 0:
					f.Remote = netip.AddrPort{}
				case 1:
					f.Direction = "both"
				case 2:
					f.At = f.At.Add(-1 << 62)
				case 3:
					f.Names = []string{"X.A.Example", "a.EXAMPLE"}
				case 4:
					f.Remote = netip.AddrPortFrom(netip.MustParseAddr("fe80::1%eth0"), 443)
				}
				if w.R.IntN(2) == 0 {
					f.Inside = w.Seen()
				}
				r := ringwall.Restriction(max(0, w.R.IntN(8)-5))
				got, want := judge.Decide(r, f), site.Decide(dp, r, &f)
				if got != want {
					t.Fatalf("Judge = %+v, Decide = %+v\nrestriction %v flow %+v\ninside %+v\npolicy %s", got, want, r, f, f.Inside, spell(dp))
				}
				count[got.Reason]++
			}
		}
	}
	return count
}

func TestJudge_isDecide(t *testing.T) {
	count := same(t, world(t, policytest.AllFeatures), 500)
	t.Log(count)
	for _, reason := range []string{"allow", "deny", "default", "inbound", "learn", "quarantine", "cutoff", "remediation", "ipv6", "malformed", "gateway", "inspect"} {
		if count[reason] == 0 {
			t.Errorf("no flow was decided for reason %q: the test says little", reason)
		}
	}
}

func FuzzJudge(f *testing.F) {
	for i := range uint64(4) {
		f.Add(i, uint64(policytest.AllFeatures))
	}
	f.Fuzz(func(t *testing.T, seed, features uint64) {
		same(t, policytest.World{R: rand.New(rand.NewPCG(seed, features)), Features: policytest.Features(features)}, 2)
	})
}

// What a document says in JSON is judged without a panic, checked or not.
func FuzzDecide_unchecked(f *testing.F) {
	w := policytest.World{R: rand.New(rand.NewPCG(3, 3)), Features: policytest.AllFeatures}
	for range 4 {
		d := w.Desired()
		b, err := json.Marshal(d)
		if err != nil {
			f.Fatal(err)
		}
		s, err := json.Marshal(w.Seen())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, s, "x.a.example", "tcp", uint32(0xc6336414), uint16(443))
	}
	f.Fuzz(func(t *testing.T, doc, seen []byte, name, proto string, addr uint32, port uint16) {
		var d api.Desired
		var s policy.Seen
		if json.Unmarshal(doc, &d) != nil || len(d.Devices) > 20 || json.Unmarshal(seen, &s) != nil {
			return
		}
		site := policy.SiteOf(&d)
		a := netip.AddrFrom4([4]byte{byte(addr >> 24), byte(addr >> 16), byte(addr >> 8), byte(addr)})
		for i := range d.Devices {
			judge := policy.NewJudge(d.Devices[i], site)
			for _, dir := range []api.Direction{api.FromDevice, api.ToDevice} {
				for _, inside := range []*policy.Seen{nil, &s} {
					flow := policy.Flow{Direction: dir, Local: netip.AddrPortFrom(a, port), Remote: netip.AddrPortFrom(a, port), Proto: proto, Names: []string{name}, Inside: inside, At: d.Issued}
					if got, want := judge.Decide(0, flow), site.Decide(&d.Devices[i], 0, &flow); got != want {
						t.Fatalf("Judge = %+v, Decide = %+v of %+v", got, want, flow)
					}
				}
			}
		}
	})
}

func TestJudge_allocatesNothing(t *testing.T) {
	w := policytest.World{R: rand.New(rand.NewPCG(5, 5)), Features: policytest.AllFeatures}
	d := w.Desired()
	site := policy.SiteOf(&d)
	for i := range d.Devices {
		judge := policy.NewJudge(d.Devices[i], site)
		f := w.Flow(&d, i)
		f.Inside = w.Seen()
		if n := testing.AllocsPerRun(50, func() { judge.Decide(0, f); site.Decide(&d.Devices[i], 0, &f) }); n != 0 {
			t.Errorf("device %d: %v allocations", i, n)
		}
	}
}

func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{5, 20, 256} {
		d, f := benchInput(n)
		judge := policy.NewJudge(d, policy.Site{})
		b.Run(fmt.Sprintf("terms=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				judge.Decide(0, f)
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		d := api.Desired{Devices: make([]api.DevicePolicy, n)}
		for i := range d.Devices {
			p, _ := benchInput(20)
			p.Device, p.Mark, p.Mode = ringwall.DeviceID(fmt.Sprint("dev_", i)), uint32(i+1), ringwall.Enforce
			p.Binding = api.Binding{MAC: fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16&255, i>>8&255, i&255), IP: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).Next()}
			p.Terms = append(p.Terms, api.Term{ID: "rtsp", Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "tcp", Ports: ports(554, 554)})
			d.Devices[i] = p
		}
		b.Run(fmt.Sprintf("devices=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := policy.Compile(d, nil, d.Issued); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
