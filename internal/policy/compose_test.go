package policy_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/policy/policytest"
)

// A description that nobody approved takes away and never gives: what passes
// afterwards passed before, and the description allows it.
func TestWithMUD_onlyNarrows(t *testing.T) {
	w := world(t, policytest.AllFeatures&^policytest.IPv6)
	both, widened := 0, 0
	for range 1500 {
		d := w.Desired()
		dp := &d.Devices[0]
		dp.Mode, dp.Trust = ringwall.Enforce, ringwall.T3
		var mud []api.Term
		for i := range 1 + w.R.IntN(6) {
			mud = append(mud, w.Term(200+i))
		}
		site := policy.SiteOf(&d)
		decide := func(terms []api.Term, f policy.Flow) policy.Verdict {
			p := *dp
			p.Terms = terms
			return site.Decide(&p, 0, &f)
		}
		narrowed, approved := policy.WithMUD(dp.Terms, mud, false), policy.WithMUD(dp.Terms, mud, true)
		for _, term := range narrowed {
			if err := policy.Check(term); err != nil {
				t.Fatalf("WithMUD made a term that is none: %v", err)
			}
		}
		for range 30 {
			f := w.Flow(&d, 0)
			if f.Inside = nil; w.R.IntN(2) == 0 {
				f.Inside = w.Seen()
			}
			v := decide(narrowed, f)
			if !v.Pass {
				if decide(approved, f).Pass {
					widened++
				}
				continue
			}
			both++
			if before, by := decide(dp.Terms, f), decide(mud, f); !before.Pass || !by.Pass {
				t.Fatalf("passes with an unapproved description, before: %+v, by the description: %+v\nflow %+v\nterms %s\ndescription %s\nresult %s", before, by, f, spell(dp.Terms), spell(mud), spell(narrowed))
			}
		}
	}
	if both < 100 || widened < 100 {
		t.Errorf("%d flows pass both, %d pass once approved: the test says little", both, widened)
	}
}

func TestCompose_parts(t *testing.T) {
	from := api.FromDevice
	tcp := func(id, domain string, p uint16) api.Term {
		return api.Term{ID: id, Action: api.Allow, Direction: from, Domain: domain, Proto: "tcp", Ports: ports(p, p)}
	}
	in := policy.Input{
		Type: "camera", Trust: ringwall.T3, IP6: true,
		Learned: []api.Peer{
			{Direction: from, Domain: "cloud.vendor.example", Proto: "tcp", Port: 443},
			{Direction: from, Domain: "tracker.example", Proto: "tcp", Port: 443},
			{Direction: from, Domain: "ntp.vendor.example", Proto: "udp", Port: 123},
		},
		MUD:   []api.Term{tcp("mud:1", "*.vendor.example", 443), {ID: "mud:2", Action: api.Allow, Direction: api.ToDevice, Local: true, Proto: "tcp", Ports: ports(554, 554)}},
		Group: []api.Term{{ID: "group:g/ntp", Action: api.Allow, Direction: from, Controller: "ntp", Proto: "udp", Ports: ports(123, 123)}},
		Owner: []api.Term{tcp("mine", "mine.example", 8443)},
	}
	ids := func(in policy.Input) []string {
		var out []string
		for _, t := range policy.Compose(in) {
			out = append(out, t.ID)
		}
		return out
	}
	got := ids(in)
	want := []string{"class:camera/no-admin-out", "class:camera/no-admin-out/6", "class:camera/no-telnet-in", "class:camera/no-telnet-in/6", "class:camera/rtsp",
		"group:g/ntp", "learned:from:cloud.vendor.example:tcp:443", "mine"}
	if !slices.Equal(got, want) {
		t.Errorf("not approved: %q, want %q", got, want)
	}
	in.MUDApproved = true
	if got := ids(in); !slices.Contains(got, "mud:1") || !slices.Contains(got, "class:camera/ping") || !slices.Contains(got, "learned:from:tracker.example:tcp:443") {
		t.Errorf("approved: %q", got)
	}
	in.MUD, in.MUDApproved = nil, false
	in.Function = []api.Term{tcp("function/1", "cloud.vendor.example", 443)}
	if got := ids(in); slices.Contains(got, "learned:from:tracker.example:tcp:443") || !slices.Contains(got, "function/1") || !slices.Contains(got, "learned:from:cloud.vendor.example:tcp:443") {
		t.Errorf("with a function profile: %q", got)
	}
	in.Function, in.Trust = []api.Term{}, ringwall.T2
	in.Owner = append(in.Owner, api.Term{ID: "anywhere", Action: api.Allow, Direction: from, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "any"})
	in.LocalNets = []netip.Prefix{netip.MustParsePrefix("10.77.0.0/24")}
	in.Controllers = []api.Controller{{Role: "ntp", Nets: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}}
	if got := ids(in); slices.ContainsFunc(got, func(id string) bool { return id == "anywhere" || id == "group:g/ntp" || id[0] == 'l' }) || !slices.Contains(got, "mine") {
		t.Errorf("at T2 with a profile that allows nothing: %q", got)
	}
}
