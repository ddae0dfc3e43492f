package platform

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/policy"
)

// site is a gateway with devices, as the platform sees it: it takes documents,
// acknowledges them, and reports what the document in force makes of the flows
// of its devices. What it enforces is what package policy says of the very
// document that the platform signed.
type site struct {
	*running
	box     *box
	devices []api.Device
	cancel  context.CancelFunc
	stopped chan struct{}
}

// newSite enrols a gateway with n enrolled cameras in mode enforce, all in one
// group that lets them reach the vendor's server.
func newSite(t *testing.T, n int) (*site, api.Group) {
	r := start(t, t.TempDir())
	s := &site{running: r, box: r.enrol()}
	var seen []api.Record
	for i := range n {
		seen = append(seen, record(api.RecordPresence, sighting(i)))
	}
	r.report(s.box, append(seen, record(api.RecordHealth, api.Health{Version: "1.0.0", DNSRunning: true}))...)
	svc, who := r.Service(), r.owner()
	r.wait("devices", func() bool {
		page, err := svc.Devices(t.Context(), who, httpapi.DeviceFilter{}, httpapi.Paging{Limit: 500})
		if err != nil {
			t.Fatal(err)
		}
		s.devices = page.Items
		return len(page.Items) == n
	})
	mode, yes, kind := ringwall.Enforce, true, "camera"
	for i, d := range s.devices {
		var err error
		if s.devices[i], err = svc.PatchDevice(t.Context(), who, d.ID, 0, api.DevicePatch{Mode: &mode, Enrolled: &yes, Type: &kind}); err != nil {
			t.Fatal(err)
		}
	}
	name := "cameras"
	g, err := svc.CreateGroup(t.Context(), who, api.GroupPatch{Name: &name, Select: &api.Selector{Type: "camera"}, Terms: &[]api.Term{vendor("198.51.100.20/32")}})
	if err != nil {
		t.Fatal(err)
	}
	if g.Devices != n {
		t.Fatalf("the group has %d devices, want %d", g.Devices, n)
	}
	s.work()
	return s, g
}

func vendor(cidr string) api.Term {
	return api.Term{ID: "vendor", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.MustParsePrefix(cidr), Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}}}
}

// work lets the gateway run until the test ends: it asks for its document, puts
// it in force and acknowledges it, and every device calls its vendor.
func (s *site) work() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.stopped = cancel, make(chan struct{})
	go func() {
		defer close(s.stopped)
		have := uint64(0)
		for ctx.Err() == nil {
			d := *s.desiredOf(s.box, 0)
			var out []api.Record
			if d.Generation != have {
				have = d.Generation
				out = append(out, record(api.RecordAck, api.Ack{Generation: have, Hash: "h", At: time.Now()}))
			}
			for _, p := range d.Devices {
				out = append(out, s.call(&d, p))
			}
			s.report(s.box, out...)
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Millisecond):
			}
		}
	}()
}

// rest ends the gateway's work, before the test's context ends.
func (s *site) rest() {
	s.cancel()
	<-s.stopped
}

// call is one connection of a device to its vendor, judged by the document.
func (s *site) call(d *api.Desired, p api.DevicePolicy) api.Record {
	f := policy.Flow{
		Direction: api.FromDevice, Proto: "tcp", Local: netip.AddrPortFrom(p.Binding.IP, 40000), Remote: netip.MustParseAddrPort("198.51.100.20:443"), At: time.Now(),
	}
	place := policy.SiteOf(d)
	v := place.Decide(&p, ringwall.Unrestricted, &f)
	row := flow.Record{
		Start: time.Now(), End: time.Now(), Device: p.Device, Direction: flow.FromDevice, Proto: 6, Local: f.Local, Remote: f.Remote,
		Verdict: flow.Allowed, PacketsUp: 4, BytesUp: 240,
	}
	switch {
	case v.Would:
		row.Verdict = flow.WouldRefuse
	case !v.Pass:
		row.Verdict = flow.Refused
	}
	row.Reason = v.Reason
	b, err := row.MarshalBinary()
	if err != nil {
		s.Fatal(err)
	}
	return api.Record{Time: row.End, Kind: api.RecordFlow, Bin: b}
}

func (s *site) rollout(in api.RolloutStart) api.Rollout {
	s.Helper()
	r, err := s.Service().StartRollout(s.Context(), s.owner(), in)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

func (s *site) ends(id ringwall.RolloutID) (r api.Rollout) {
	s.Helper()
	s.wait("end of the rollout", func() bool {
		var err error
		if r, err = s.Service().Rollout(s.Context(), s.owner(), id); err != nil {
			s.Fatal(err)
		}
		return r.Status != api.RolloutRunning
	})
	return r
}

// vendorTerms returns, of each device, where its newest document lets it go.
func (s *site) vendorTerms() map[string]int {
	out := map[string]int{}
	for _, p := range s.desiredOf(s.box, 0).Devices {
		for _, t := range p.Terms {
			if t.CIDR.IsValid() && t.Action == api.Allow && t.Direction == api.FromDevice {
				out[t.CIDR.String()]++
			}
		}
	}
	return out
}

// TestRollout_bad_stops_itself_before_the_second_stage: the new terms forget the
// server that the devices need. The canary breaks, the rollout is stopped and
// undone, and no other device ever had the terms.
func TestRollout_bad_stops_itself_before_the_second_stage(t *testing.T) {
	t.Parallel() // it mostly waits
	s, g := newSite(t, 10)
	defer s.rest()
	r := s.rollout(api.RolloutStart{
		Change: api.RolloutChange{Group: g.ID, Terms: &[]api.Term{vendor("203.0.113.9/32")}}, Stages: []int{10, 50, 100}, Soak: api.Duration(20 * time.Second),
	})
	if r.Covered != 1 || r.Total != 10 {
		t.Fatalf("the first stage covers %d of %d, want 1 of 10", r.Covered, r.Total)
	}
	end := s.ends(r.ID)
	if end.Status != api.RolloutStopped || end.Stage != 0 || end.Covered != 0 {
		t.Fatalf("it ended as %s at stage %d with %d covered: %+v", end.Status, end.Stage, end.Covered, end)
	}
	if len(end.Broken) != 1 || end.Broken[0].Count < 3 || end.Broken[0].Flow.Remote.Addr() != netip.MustParseAddr("198.51.100.20") || end.Why == "" {
		t.Errorf("it tells of %+v, why %q", end.Broken, end.Why)
	}
	s.wait("undone document", func() bool {
		return s.vendorTerms()["198.51.100.20/32"] == 10 && s.vendorTerms()["203.0.113.9/32"] == 0
	})
	kept, err := s.Service().Group(t.Context(), s.owner(), g.ID)
	if err != nil || kept.Terms[0].CIDR.String() != "198.51.100.20/32" || kept.Rollout != "" {
		t.Errorf("the group is %+v, %v", kept, err)
	}
	// Somebody mends it elsewhere and lets it go on: it breaks again, and stops again.
	if _, err := s.Service().DecideRollout(t.Context(), s.owner(), r.ID, api.RolloutDecision{Decision: "resume"}); err != nil {
		t.Fatal(err)
	}
	if end := s.ends(r.ID); end.Status != api.RolloutStopped || end.Stage != 0 {
		t.Errorf("resumed, it ended as %s at stage %d", end.Status, end.Stage)
	}
}

// TestRollout_bad_completes_when_nobody_watches is the control of the test
// above: the same change, with a rollout that never stops, reaches every device.
func TestRollout_bad_completes_when_nobody_watches(t *testing.T) {
	t.Parallel() // it mostly waits
	s, g := newSite(t, 10)
	defer s.rest()
	r := s.rollout(api.RolloutStart{
		Change: api.RolloutChange{Group: g.ID, Terms: &[]api.Term{vendor("203.0.113.9/32")}}, Stages: []int{10, 100}, Soak: api.Duration(time.Second), Stop: api.StopRule{Never: true},
	})
	end := s.ends(r.ID)
	if end.Status != api.RolloutDone {
		t.Fatalf("it ended as %s: %s", end.Status, end.Why)
	}
	if n := s.vendorTerms()["203.0.113.9/32"]; n != 10 {
		t.Errorf("%d devices have the bad terms, want all 10", n)
	}
	if len(end.Broken) == 0 {
		t.Error("what it broke is not even shown")
	}
}

// TestRollout_good_completes: the new terms allow one server more.
func TestRollout_good_completes(t *testing.T) {
	t.Parallel() // it mostly waits
	s, g := newSite(t, 10)
	defer s.rest()
	more := vendor("203.0.113.9/32")
	more.ID = "more"
	terms := []api.Term{vendor("198.51.100.20/32"), more}
	r := s.rollout(api.RolloutStart{Change: api.RolloutChange{Group: g.ID, Terms: &terms}, Stages: []int{20, 100}, Soak: api.Duration(time.Second)})
	if _, err := s.Service().PatchGroup(t.Context(), s.owner(), g.ID, 0, api.GroupPatch{Terms: &[]api.Term{}}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("terms that are being rolled out can be changed beside it: %v", err)
	}
	if _, err := s.Service().StartRollout(t.Context(), s.owner(), api.RolloutStart{Change: api.RolloutChange{Group: g.ID, Terms: &terms}}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a second rollout of the same group begins: %v", err)
	}
	s.wait("first stage", func() bool { return s.vendorTerms()["203.0.113.9/32"] == 2 })
	end := s.ends(r.ID)
	if end.Status != api.RolloutDone || end.Covered != 10 {
		t.Fatalf("it ended as %s with %d covered: %s", end.Status, end.Covered, end.Why)
	}
	kept, err := s.Service().Group(t.Context(), s.owner(), g.ID)
	if err != nil || len(kept.Terms) != 2 {
		t.Errorf("the group has %+v, %v", kept.Terms, err)
	}
	if n := s.vendorTerms(); n["203.0.113.9/32"] != 10 || n["198.51.100.20/32"] != 10 {
		t.Errorf("the devices may go to %v", n)
	}
	what := []string{}
	for _, step := range end.Log {
		what = append(what, step.What)
	}
	if !slices.Equal(what, []string{"begun", "stage", "stage", "done"}) {
		t.Errorf("its story is %v", what)
	}
}

// TestRollout_of_a_mode: in shadow the devices call a server that nothing
// allows. Shadow has told of it for a while, so whoever enforces has accepted
// that; a server that nobody was told of stops the rollout.
func TestRollout_of_a_mode(t *testing.T) {
	t.Parallel() // it mostly waits
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprintf("known=%v", known), func(t *testing.T) {
			s, g := newSite(t, 4)
			defer func() { s.rest() }()
			shadow, enforce := ringwall.Shadow, ringwall.Enforce
			for _, d := range s.devices {
				if _, err := s.Service().PatchDevice(t.Context(), s.owner(), d.ID, 0, api.DevicePatch{Mode: &shadow}); err != nil {
					t.Fatal(err)
				}
			}
			if known {
				if _, err := s.Service().PatchGroup(t.Context(), s.owner(), g.ID, 0, api.GroupPatch{Terms: &[]api.Term{}}); err != nil {
					t.Fatal(err)
				}
				s.wait("would-be refusals", func() bool {
					rows, err := s.Service().Flows(t.Context(), s.owner(), s.devices[0].ID, httpapi.FlowQuery{Verdict: "would-refuse"})
					others := 0
					for _, d := range s.devices {
						rows, _ := s.Service().Flows(t.Context(), s.owner(), d.ID, httpapi.FlowQuery{Verdict: "would-refuse"})
						if len(rows) > 0 {
							others++
						}
					}
					return err == nil && len(rows) > 0 && others == len(s.devices)
				})
			} else {
				// Shadow never saw it: the terms are taken away in the moment of enforcing.
				s.rest()
				if _, err := s.Service().PatchGroup(t.Context(), s.owner(), g.ID, 0, api.GroupPatch{Terms: &[]api.Term{}}); err != nil {
					t.Fatal(err)
				}
			}
			r := s.rollout(api.RolloutStart{Change: api.RolloutChange{Group: g.ID, Mode: &enforce}, Stages: []int{50, 100}, Soak: api.Duration(2 * time.Second)})
			if !known {
				s.work()
			}
			end := s.ends(r.ID)
			d, err := s.Service().Device(t.Context(), s.owner(), s.devices[0].ID)
			if err != nil {
				t.Fatal(err)
			}
			if known && (end.Status != api.RolloutDone || d.Mode != ringwall.Enforce) {
				t.Errorf("it ended as %s (%s), the device is in mode %s", end.Status, end.Why, d.Mode)
			}
			if !known && (end.Status != api.RolloutStopped || d.Mode != ringwall.Shadow || end.Broken[0].Was != "shadow") {
				t.Errorf("it ended as %s (%s), the device is in mode %s", end.Status, end.Why, d.Mode)
			}
		})
	}
}

func TestCutAt_covers_at_least_one_and_late_comers_at_the_end(t *testing.T) {
	var places []uint64
	for i := range 200 {
		places = append(places, placeOf("rol_a", fmt.Sprint("dev_", i)))
	}
	count := func(cut uint64) (n int) {
		for _, p := range places {
			if p <= cut {
				n++
			}
		}
		return n
	}
	for percent, want := range map[int]int{1: 2, 5: 10, 33: 66, 100: 200} {
		if got := count(cutAt(slices.Clone(places), percent)); got != want {
			t.Errorf("%d percent cover %d of 200, want %d", percent, got, want)
		}
	}
	if got := count(cutAt(slices.Clone(places[:3]), 1)); got < 1 {
		t.Error("1 percent of three covers nobody")
	}
	if cutAt(nil, 50) != 0 || placeOf("rol_a", "dev_1") == placeOf("rol_b", "dev_1") {
		t.Error("the order is not a rollout's own")
	}
}
