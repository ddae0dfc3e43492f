package policy_test

import (
	"slices"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

// Whatever is decided otherwise under two lists stands in their difference, and
// for addresses nothing else does.
func TestDiff_saysWhatChanges(t *testing.T) {
	for _, c := range []struct {
		name  string
		f     policytest.Features
		exact bool
	}{{"addresses", 0, true}, {"all ends", policytest.IPv6 | policytest.NameDenies | policytest.Gateways, false}} {
		t.Run(c.name, func(t *testing.T) {
			w := world(t, c.f)
			differ := 0
			for range 800 {
				d := w.Desired()
				dp := &d.Devices[0]
				dp.Mode, dp.Trust = ringwall.Enforce, ringwall.T3
				a, b := dp.Terms, slices.Clone(dp.Terms)
				if len(b) > 0 {
					b = slices.Delete(b, 0, 1)
				}
				b = append(b, w.Term(50), w.Term(51))
				if c.exact {
					no := func(t api.Term) bool { return !t.CIDR.IsValid() }
					a, b = slices.DeleteFunc(slices.Clone(a), no), slices.DeleteFunc(b, no)
				}
				ch, err := policy.Diff(a, b)
				if err != nil {
					t.Fatal(err)
				}
				site := policy.SiteOf(&d)
				for range 30 {
					f := w.Flow(&d, 0)
					decide := func(terms []api.Term) bool {
						p := *dp
						p.Terms = terms
						return site.Decide(&p, 0, &f).Pass
					}
					if f.Remote.Addr().Is6() && len(dp.IP6) == 0 || f.Gateway && f.Direction == api.ToDevice {
						continue
					}
					covers := func(list []policy.Change) bool {
						return slices.ContainsFunc(list, func(c policy.Change) bool { return c.Covers(&f) })
					}
					before, after := decide(a), decide(b)
					if before != after {
						differ++
					}
					if after && !before && !covers(ch.Allowed) || before && !after && !covers(ch.Refused) {
						t.Fatalf("before %v, after %v, changes %s\nflow %+v\nbefore %s\nafter %s", before, after, spell(ch), f, spell(a), spell(b))
					}
					if c.exact && (covers(ch.Allowed) != (after && !before) || covers(ch.Refused) != (before && !after)) {
						t.Fatalf("before %v, after %v, but changes %s\nflow %+v\nbefore %s\nafter %s", before, after, spell(ch), f, spell(a), spell(b))
					}
				}
			}
			if differ < 200 {
				t.Errorf("%d flows are decided otherwise: the test says little", differ)
			}
		})
	}
}

func TestDiff_wordsDoNotMatter(t *testing.T) {
	cidr := mustPrefix
	a := []api.Term{
		{ID: "a", Action: api.Allow, Direction: api.FromDevice, CIDR: cidr("198.51.100.0/24"), Proto: "any"},
		{ID: "b", Action: api.Allow, Direction: api.FromDevice, Domain: "Cloud.Example.", Proto: "tcp", Ports: ports(80, 80, 443, 443)},
	}
	b := []api.Term{
		{ID: "z", Action: api.Allow, Direction: api.FromDevice, Domain: "cloud.example", Proto: "tcp", Ports: ports(443, 443)},
		{ID: "y", Action: api.Allow, Direction: api.FromDevice, Domain: "*.example", Proto: "tcp", Ports: ports(80, 80)},
		{ID: "x", Action: api.Allow, Direction: api.FromDevice, CIDR: cidr("198.51.100.128/25"), Proto: "any"},
		{ID: "w", Action: api.Allow, Direction: api.FromDevice, CIDR: cidr("198.51.100.0/25"), Proto: "any"},
	}
	ch, err := policy.Diff(a, b)
	if err != nil || len(ch.Refused) != 0 || len(ch.Allowed) != 1 || ch.Allowed[0].End != "name *.example" {
		t.Errorf("Diff = %s, %v; want the wildcard alone", spell(ch), err)
	}
	b[1].Domain = "cloud.example"
	if ch, err = policy.Diff(a, b); err != nil || !ch.Empty() {
		t.Errorf("Diff of the same = %s, %v", spell(ch), err)
	}
	w := &api.Window{From: "22:00", To: "06:00"}
	b[3].Window = w
	if ch, err = policy.Diff(a, b); err != nil || len(ch.Allowed) != 0 || len(ch.Refused) != 1 || ch.Refused[0].End != "198.51.100.0-198.51.100.127" || ch.Refused[0].When != "" {
		t.Errorf("half of it by night only: %s, %v", spell(ch), err)
	}
	if _, err = policy.Diff(a, []api.Term{{}}); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("a term that is none: %v", err)
	}
}
