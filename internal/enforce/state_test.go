package enforce_test

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/enforce"
)

const (
	org = ringwall.OrgID("org_a")
	gw  = ringwall.GatewayID("gw_a")
)

var start = time.Date(2026, 11, 21, 22, 0, 0, 0, time.UTC)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(slices.Repeat([]byte{seed}, ed25519.SeedSize))
}

func keys() map[string]ed25519.PublicKey {
	return map[string]ed25519.PublicKey{"k1": key(1).Public().(ed25519.PublicKey)}
}

func desired(gen uint64, change ...func(*api.Desired)) api.Desired {
	d := api.Desired{
		Version: api.Version, Org: org, Gateway: gw, Generation: gen, Issued: start,
		Reflexes: []api.Reflex{{Rule: "mirai-scan", Severity: ringwall.High, Do: ringwall.Quarantine, Limit: 2}},
	}
	for i := range 4 {
		d.Devices = append(d.Devices, api.DevicePolicy{
			Device: ringwall.DeviceID(fmt.Sprintf("dev_%d", i)), Mark: uint32(i + 1), Mode: ringwall.Enforce, Trust: ringwall.T3,
			Binding: api.Binding{MAC: fmt.Sprintf("02:00:00:00:00:%02x", i), IP: netip.AddrFrom4([4]byte{10, 77, 0, byte(10 + i)})},
		})
	}
	for _, c := range change {
		c(&d)
	}
	return d
}

func sign(t testing.TB, d api.Desired) api.Signed {
	t.Helper()
	s, err := api.Sign(d, "k1", key(1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func accept(t testing.TB, s *enforce.State, d api.Desired, now enforce.Clock) []enforce.Lifted {
	t.Helper()
	signed := sign(t, d)
	got, err := s.Verify(signed, keys())
	if err != nil {
		t.Fatal(err)
	}
	lifted, err := s.Accept(signed, got, now)
	if err != nil {
		t.Fatal(err)
	}
	return lifted
}

func at(d time.Duration) enforce.Clock { return enforce.Clock{Wall: start.Add(d), Mono: time.Hour + d} }

func alert(dev string, n int) ringwall.Alert {
	return ringwall.Alert{
		ID: ringwall.AlertID(fmt.Sprintf("alt_%s%d", strings.ReplaceAll(dev, "_", ""), n)), Rule: "mirai-scan", Nature: ringwall.NatureAttack,
		Severity: ringwall.High, Subject: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: dev}, Title: "scans for telnet",
		Evidence: ringwall.Evidence{Facts: map[string]string{"role": "source"}},
	}
}

func TestState_Verify_refuses(t *testing.T) {
	edit := func(f func(*api.Desired)) api.Signed { return sign(t, desired(6, f)) }
	forged := sign(t, desired(6))
	forged.Payload = []byte(strings.Replace(string(forged.Payload), `"generation":6`, `"generation":9`, 1))
	foreignKey, err := api.Sign(desired(6), "k1", key(2))
	if err != nil {
		t.Fatal(err)
	}
	unknownKey, err := api.Sign(desired(6), "k2", key(1))
	if err != nil {
		t.Fatal(err)
	}
	garbage := api.Signed{KeyID: "k1", Payload: []byte("{")}
	garbage.Sig = ed25519.Sign(key(1), append([]byte("ringwall desired state v1\x00"), garbage.Payload...))
	otherUse := sign(t, desired(6))
	otherUse.Sig = ed25519.Sign(key(1), otherUse.Payload) // a signature made for another purpose
	for _, c := range []struct {
		name   string
		signed api.Signed
		code   ringwall.Code
	}{
		{"the next", sign(t, desired(6)), ""},
		{"the same again", sign(t, desired(5)), ""},
		{"older", sign(t, desired(4)), ringwall.Conflict},
		{"same generation, another content", sign(t, desired(5, func(d *api.Desired) { d.Devices = nil })), ringwall.Conflict},
		{"generation 0", sign(t, desired(0)), ringwall.Invalid},
		{"changed after signing", forged, ringwall.Unverified},
		{"signed by another key", foreignKey, ringwall.Unverified},
		{"signed by an unknown key", unknownKey, ringwall.Unverified},
		{"signature of another use", otherUse, ringwall.Unverified},
		{"empty", api.Signed{}, ringwall.Unverified},
		{"signed garbage", garbage, ringwall.Invalid},
		{"giant", api.Signed{KeyID: "k1", Payload: make([]byte, api.MaxDesired+1)}, ringwall.Invalid},
		{"another gateway's", edit(func(d *api.Desired) { d.Gateway = "gw_b" }), ringwall.Forbidden},
		{"another organisation's", edit(func(d *api.Desired) { d.Org = "org_b" }), ringwall.Forbidden},
		{"version of tomorrow", edit(func(d *api.Desired) { d.Version = api.Version + 1 }), ringwall.Invalid},
		{"mark 0", edit(func(d *api.Desired) { d.Devices[1].Mark = 0 }), ringwall.Invalid},
		{"mark twice", edit(func(d *api.Desired) { d.Devices[1].Mark = d.Devices[0].Mark }), ringwall.Invalid},
		{"device twice", edit(func(d *api.Desired) { d.Devices[1].Device = d.Devices[0].Device }), ringwall.Invalid},
		{"device with a path for an id", edit(func(d *api.Desired) { d.Devices[1].Device = "dev_../x" }), ringwall.Invalid},
		{"MAC in capitals", edit(func(d *api.Desired) { d.Devices[1].Binding.MAC = "02:00:00:00:00:AA" }), ringwall.Invalid},
		{"no address", edit(func(d *api.Desired) { d.Devices[1].Binding.IP = netip.Addr{} }), ringwall.Invalid},
		{"a hold that does nothing", edit(func(d *api.Desired) { d.Holds = []api.Hold{{ID: "hld_1", Device: "dev_1"}} }), ringwall.Invalid},
		{"a reflex without a rule", edit(func(d *api.Desired) { d.Reflexes[0].Rule = "" }), ringwall.Invalid},
		{"issued in a hundred years", edit(func(d *api.Desired) { d.Issued = start.AddDate(100, 0, 0) }), ""},
	} {
		s := enforce.New(org, gw)
		accept(t, s, desired(5), at(0))
		if _, err := s.Verify(c.signed, keys()); ringwall.CodeOf(err) != c.code {
			t.Errorf("%s: Verify = %v, want code %q", c.name, err, c.code)
		}
		if s.Desired.Generation != 5 || len(s.Desired.Devices) != 4 {
			t.Errorf("%s: Verify changed the state", c.name)
		}
	}
}

func TestState_holds_areLiftedOnlyByReleaseOrExpiry(t *testing.T) {
	s := enforce.New(org, gw)
	platform := api.Hold{ID: "hld_p", Device: "dev_1", Do: ringwall.Cutoff, By: "usr_1", Made: start}
	accept(t, s, desired(1, func(d *api.Desired) { d.Holds = []api.Hold{platform} }), at(0))
	own, ok, why := s.React(alert("dev_0", 1), at(0))
	if !ok {
		t.Fatal(why)
	}
	if !s.Hold(own, at(0)) || s.Hold(own, at(0)) {
		t.Fatal("a hold is made once")
	}
	timed := api.Hold{ID: "hld_t", Device: "dev_2", Do: ringwall.Quarantine, Made: start, Expires: start.Add(time.Hour)}
	s.Hold(timed, at(0))

	// A newer document that lists none of them lifts none of them.
	if lifted := accept(t, s, desired(2), at(time.Minute)); lifted != nil {
		t.Errorf("lifted without a release: %v", lifted)
	}
	want := map[ringwall.DeviceID]ringwall.Restriction{"dev_0": ringwall.Quarantine, "dev_1": ringwall.Cutoff, "dev_2": ringwall.Quarantine}
	if got := s.InForce(at(time.Minute)); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("in force: %v, want %v", got, want)
	}
	// The strictest of several holds is in force.
	s.Hold(api.Hold{ID: "hld_q", Device: "dev_1", Do: ringwall.Quarantine, Made: start}, at(time.Minute))
	if got := s.InForce(at(time.Minute))["dev_1"]; got != ringwall.Cutoff {
		t.Errorf("quarantine weakens a cutoff: %v", got)
	}

	if lifted := s.Expire(at(59 * time.Minute)); lifted != nil {
		t.Errorf("expired early: %v", lifted)
	}
	if lifted := s.Expire(at(time.Hour)); len(lifted) != 1 || lifted[0].Hold.ID != "hld_t" {
		t.Errorf("after an hour expired: %v", lifted)
	}
	lifted := accept(t, s, desired(3, func(d *api.Desired) {
		d.Releases = []api.Release{{Hold: own.ID, By: "usr_7", At: start}, {Hold: "hld_p", By: "usr_7", At: start}, {Hold: "hld_unknown"}}
	}), at(time.Hour))
	if len(lifted) != 2 {
		t.Errorf("released: %v", lifted)
	}
	if got := s.InForce(at(time.Hour)); len(got) != 1 || got["dev_1"] != ringwall.Quarantine {
		t.Errorf("after the releases: %v", got)
	}
	// The same alert, judged again, does not bring the hold back; another does.
	if _, ok, why := s.React(alert("dev_0", 1), at(time.Hour)); ok || !strings.Contains(why, "released") {
		t.Errorf("a released hold comes back: %v %q", ok, why)
	}
	if _, ok, why := s.React(alert("dev_0", 2), at(time.Hour)); !ok {
		t.Errorf("a new alert is not acted on: %q", why)
	}
}

func TestState_React(t *testing.T) {
	edit := func(f func(*ringwall.Alert)) ringwall.Alert {
		a := alert("dev_0", 1)
		f(&a)
		return a
	}
	for _, c := range []struct {
		name  string
		alert ringwall.Alert
		ok    bool
		why   string // a part of it
	}{
		{"in scope", alert("dev_0", 1), true, ""},
		{"another rule", edit(func(a *ringwall.Alert) { a.Rule = "beacon" }), false, ""},
		{"not severe enough", edit(func(a *ringwall.Alert) { a.Severity = ringwall.Medium }), false, ""},
		{"more severe", edit(func(a *ringwall.Alert) { a.Severity = ringwall.Critical }), true, ""},
		{"unknown device", edit(func(a *ringwall.Alert) { a.Subject.ID = "dev_9" }), false, "not in the desired state"},
		{"an address", edit(func(a *ringwall.Alert) { a.Subject = ringwall.Subject{Kind: ringwall.SubjectAddress, ID: "10.0.0.1"} }), false, "not a device"},
		{"the target", edit(func(a *ringwall.Alert) { a.Evidence.Facts = map[string]string{"role": "target"} }), false, "target"},
		{"held already", alert("dev_1", 1), false, "held already"},
	} {
		s := enforce.New(org, gw)
		accept(t, s, desired(1), at(0))
		s.Hold(api.Hold{ID: "hld_x", Device: "dev_1", Do: ringwall.Quarantine, By: "usr_1", Made: start}, at(0))
		h, ok, why := s.React(c.alert, at(0))
		if ok != c.ok || !strings.Contains(why, c.why) || (c.why == "") != (why == "") {
			t.Errorf("%s: %v, %q; want %v, %q", c.name, ok, why, c.ok, c.why)
		}
		if ok && (h.Device != "dev_0" || h.Do != ringwall.Quarantine || h.By != "reflex:mirai-scan" || h.Alert != c.alert.ID || !h.Expires.IsZero()) {
			t.Errorf("%s: hold %+v", c.name, h)
		}
	}
}

func TestState_React_keepsToTheLimit(t *testing.T) {
	s := enforce.New(org, gw)
	accept(t, s, desired(1, func(d *api.Desired) { d.Reflexes[0].Expiry = api.Duration(time.Hour) }), at(0))
	for i := range 2 {
		h, ok, why := s.React(alert(fmt.Sprintf("dev_%d", i), 1), at(0))
		if !ok {
			t.Fatal(why)
		}
		s.Hold(h, at(0))
	}
	if _, ok, why := s.React(alert("dev_2", 1), at(0)); ok || !strings.Contains(why, "limit is 2") {
		t.Errorf("a third device: %v, %q", ok, why)
	}
	s.Expire(at(2 * time.Hour))
	if _, ok, why := s.React(alert("dev_2", 1), at(2*time.Hour)); !ok {
		t.Errorf("after the others expired: %q", why)
	}
	s = enforce.New(org, gw)
	accept(t, s, desired(1, func(d *api.Desired) { d.Reflexes[0].Limit = 0 }), at(0))
	if _, ok, _ := s.React(alert("dev_0", 1), at(0)); ok {
		t.Error("a reflex with limit 0 acts")
	}
}

func TestState_expiry_isTimeServed_whateverTheClockSays(t *testing.T) {
	hold := api.Hold{ID: "hld_t", Device: "dev_1", Do: ringwall.Quarantine, Made: start, Expires: start.Add(time.Hour)}
	for _, c := range []struct {
		name string
		wall time.Time // when the hold comes in
		min  time.Duration
		max  time.Duration
	}{
		{"clock right", start, time.Hour, time.Hour},
		{"half served", start.Add(30 * time.Minute), 30 * time.Minute, 30 * time.Minute},
		{"clock in 1970", time.Unix(0, 0), time.Hour, time.Hour},
	} {
		s := enforce.New(org, gw)
		s.Hold(hold, enforce.Clock{Wall: c.wall, Mono: time.Minute})
		// The wall clock jumps far ahead at once; only time served counts.
		ahead := start.AddDate(10, 0, 0)
		if got := s.Expire(enforce.Clock{Wall: ahead, Mono: time.Minute + c.min - 1}); got != nil {
			t.Errorf("%s: lifted early by a jump", c.name)
		}
		if got := s.Expire(enforce.Clock{Wall: time.Unix(0, 0), Mono: time.Minute + c.max}); len(got) != 1 {
			t.Errorf("%s: not lifted after %s", c.name, c.max)
		}
	}
}

// FuzzState_Verify checks that no signed payload panics or is accepted without
// being for this gateway.
func FuzzState_Verify(f *testing.F) {
	b, err := json.Marshal(desired(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"version":1,"org":"org_a","gateway":"gw_a","generation":1,"devices":[{"mark":0}]}`))
	f.Add([]byte(`{"version":1,"holds":[{"do":"cutoff"}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		signed := api.Signed{KeyID: "k1", Payload: payload}
		signed.Sig = ed25519.Sign(key(1), append([]byte("ringwall desired state v1\x00"), payload...))
		s := enforce.New(org, gw)
		d, err := s.Verify(signed, keys())
		if err != nil {
			if c := ringwall.CodeOf(err); c == ringwall.Internal || c == "" {
				t.Fatalf("error without a code: %v", err)
			}
			return
		}
		if d.Gateway != gw || d.Org != org || d.Generation == 0 {
			t.Fatalf("accepted %+v", d)
		}
		if _, err := s.Accept(signed, d, at(0)); err != nil {
			t.Fatal(err)
		}
		s.InForce(at(0))
		s.React(alert("dev_0", 1), at(0))
	})
}
