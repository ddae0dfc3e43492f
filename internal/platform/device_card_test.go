package platform

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enforce"
	"github.com/ringwall/ringwall/internal/policy"
)

// TestDevice_known_by_its_SIM_alone is made before anything was seen of it: its
// gateway gets its policy under what the gateway makes of its IMSI, and it lives,
// moves and is held as others are.
func TestDevice_known_by_its_SIM_alone(t *testing.T) {
	t.Parallel()
	const imsi = "460001234567890"
	r := start(t, t.TempDir())
	b, exit := r.enrol(), r.enrol()
	r.report(b, record(api.RecordHealth, api.Health{Version: "t"}))
	r.report(exit, record(api.RecordHealth, api.Health{Version: "t"}))
	svc, who := r.Service(), r.owner()
	card, err := svc.CreateSIM(t.Context(), who, api.SIMCreate{ICCID: "8986001234567890127", IMSI: imsi, Services: []string{"data"}})
	if err != nil {
		t.Fatal(err)
	}
	profile := api.FunctionProfile{Name: "meter", Data: &api.DataUse{Peers: []api.FunctionPeer{{CIDR: netip.MustParsePrefix("198.51.100.20/32"), Proto: "tcp", Ports: []api.PortRange{{First: 8883, Last: 8883}}}}}}
	if _, err := svc.PutSIMProfile(t.Context(), who, card.ID, profile); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]api.DeviceCreate{
		"no name": {SIM: card.ID, Gateway: b.answer.Gateway}, "no SIM": {Name: "x", Gateway: b.answer.Gateway}, "no gateway": {Name: "x", SIM: card.ID},
		"a type that is none": {Name: "x", Type: "toaster", SIM: card.ID, Gateway: b.answer.Gateway},
	} {
		if _, err := svc.CreateDevice(t.Context(), who, in); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := svc.CreateDevice(t.Context(), who, api.DeviceCreate{Name: "x", SIM: card.ID, Gateway: "gw_999"}); ringwall.CodeOf(err) != ringwall.NotFound {
		t.Errorf("a gateway that is not there: %v", err)
	}
	enforced := ringwall.Enforce
	d, err := svc.CreateDevice(t.Context(), who, api.DeviceCreate{Name: "Meter 12", Type: "meter", SIM: card.ID, Gateway: b.answer.Gateway, Mode: &enforced, Tags: []string{"cellar"}})
	if err != nil || !d.BySIM || !d.Enrolled || d.Trust != ringwall.T3 || d.Mode != ringwall.Enforce {
		t.Fatalf("made: %+v, %v", d, err)
	}
	if s, err := svc.SIM(t.Context(), who, card.ID); err != nil || s.Device != d.ID {
		t.Errorf("the card is that of %q, %v", s.Device, err)
	}
	if _, err := svc.CreateDevice(t.Context(), who, api.DeviceCreate{Name: "second", SIM: card.ID, Gateway: b.answer.Gateway}); ringwall.CodeOf(err) != ringwall.Conflict {
		t.Errorf("a second device by one card: %v", err)
	}
	allows := func(p api.DevicePolicy) bool {
		f := policy.Flow{Direction: api.FromDevice, Proto: "tcp", Local: netip.MustParseAddrPort("10.78.0.3:40000"), Remote: netip.MustParseAddrPort("198.51.100.20:8883")}
		site := policy.SiteOf(&api.Desired{})
		return site.Decide(&p, ringwall.Unrestricted, &f).Pass
	}
	bound := func(where string, box *box) api.DevicePolicy {
		t.Helper()
		doc := r.desiredOf(box, 0)
		if err := enforce.Check(*doc); err != nil {
			t.Fatalf("%s: the gateway refuses the document: %v", where, err)
		}
		at := slices.IndexFunc(doc.Devices, func(p api.DevicePolicy) bool { return p.Device == d.ID })
		if at < 0 {
			t.Fatalf("%s: the device is not in the document", where)
		}
		p := doc.Devices[at]
		if p.Binding != (api.Binding{Subscriber: policy.Subscriber(doc.SubscriberSalt, imsi)}) || p.Mark == 0 {
			t.Errorf("%s: it is bound to %+v, mark %d", where, p.Binding, p.Mark)
		}
		return p
	}
	if p := bound("at once", b); p.Mode != ringwall.Enforce || p.Trust != ringwall.T3 || !allows(p) {
		t.Errorf("the policy at the gateway is %+v", p)
	}
	if doc := r.desiredOf(exit, 0); len(doc.Devices) != 0 {
		t.Errorf("another gateway has %d devices", len(doc.Devices))
	}

	// The gateway tells of its address; it is on line, and its traffic is its own.
	address := netip.MustParseAddr("10.78.0.3")
	r.report(b, record(api.RecordNotice, api.Notice{Kind: api.NoticeSubscriber, Device: d.ID, Addr: netip.AddrPortFrom(address, 0), Text: "got"}))
	seen := func() api.Device {
		got, err := svc.Device(t.Context(), who, d.ID)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	r.wait("its address", func() bool { got := seen(); return got.Binding.IP == address && got.Presence == ringwall.Online })
	bound("with an address", b) // which the document does not name
	// A gateway that it is not behind says nothing of it.
	r.report(exit, record(api.RecordNotice, api.Notice{Kind: api.NoticeSubscriber, Device: d.ID, Addr: netip.MustParseAddrPort("10.99.0.1:0"), Text: "got"}), record(api.RecordHealth, api.Health{Version: "later"}))
	r.wait("the other's word", func() bool {
		g, err := svc.Gateway(t.Context(), who, exit.answer.Gateway)
		return err == nil && g.Health != nil && g.Health.Version == "later"
	})
	if got := seen(); got.Binding.IP != address {
		t.Errorf("a gateway that it is not behind moved it to %s", got.Binding.IP)
	}

	// Held, then put behind the exit of the APN: its hold goes with it.
	if _, err := svc.CreateResponse(t.Context(), who, api.ResponseCreate{Kind: "quarantine", Target: deviceSubject(d.ID), Reason: "drill"}); err != nil {
		t.Fatal(err)
	}
	moved, err := svc.PatchDevice(t.Context(), who, d.ID, 0, api.DevicePatch{Gateway: &exit.answer.Gateway})
	if err != nil || moved.Gateway != exit.answer.Gateway || moved.Binding.IP.IsValid() {
		t.Fatalf("%+v, %v", moved, err)
	}
	bound("behind the exit", exit)
	r.wait("its hold to go with it", func() bool { // the responder asks for it in a round of its own
		return slices.ContainsFunc(r.desiredOf(exit, 0).Holds, func(h api.Hold) bool { return h.Device == d.ID && h.Do == ringwall.Quarantine })
	})
	if doc := r.desiredOf(b, 0); slices.ContainsFunc(doc.Devices, func(p api.DevicePolicy) bool { return p.Device == d.ID }) {
		t.Error("the gateway before has it still")
	}
	// One with a MAC is where it is seen.
	r.report(b, record(api.RecordPresence, sighting(1)))
	r.wait("device", func() bool { return len(r.devices()) == 2 })
	for _, x := range r.devices() {
		if x.ID == d.ID {
			continue
		}
		if _, err := svc.PatchDevice(t.Context(), who, x.ID, 0, api.DevicePatch{Gateway: &exit.answer.Gateway}); ringwall.CodeOf(err) != ringwall.Conflict {
			t.Errorf("a device with a MAC is moved by hand: %v", err)
		}
	}
}
