package inspect_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/inspect"
)

func TestShared(t *testing.T) {
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	const mbed = "370346c0864770dac7a90774f75ac6de537f5f5b2c4b1bb1d12bf3c5f4f484ae"
	hash := func(m string) api.SecretMark {
		return api.SecretMark{Kind: "password-hash", Mark: m, Path: "/etc/shadow"}
	}
	key := func(m, known string) api.SecretMark {
		return api.SecretMark{Kind: "private-key", Mark: m, Path: "/etc/key.pem", Known: known}
	}
	members := []inspect.Member{
		{Device: "d1", Vendor: "Alpha", Model: "A1", Source: "firmware/a", Secrets: []api.SecretMark{hash("h1"), key(mbed, "mbed TLS test key")}},
		{Device: "d2", Vendor: "Beta", Model: "B2", Source: "firmware/b", Secrets: []api.SecretMark{hash("h1"), key(mbed, "mbed TLS test key"), key("k1", "")}},
		{Device: "d3", Vendor: "Beta", Model: "B3", Source: "firmware/c", Secrets: []api.SecretMark{hash("h2"), key("k1", "")}},
		{Device: "d3", Vendor: "Beta", Model: "B3", Source: "firmware/d", Secrets: []api.SecretMark{hash("h2")}},
		{Device: "d4", Vendor: "Gamma", Source: "firmware/e", Secrets: []api.SecretMark{hash("h4"), {Kind: "certificate", Mark: "h1"}}},
	}
	got := inspect.Shared(members, at)
	check := func(member int, want map[string]string) {
		t.Helper()
		if len(got[member]) != len(want) {
			t.Errorf("member %d has %d findings %+v, want %v", member, len(got[member]), got[member], want)
		}
		for _, f := range got[member] {
			if f.Facts["shared"] != want[f.Indicator] || f.Outcome != ringwall.Fail || f.Source != members[member].Source || len(f.Evidence) == 0 {
				t.Errorf("member %d: %+v, want %v", member, f, want)
			}
		}
	}
	check(0, map[string]string{"FS-01": "vendors"})
	check(1, map[string]string{"FS-01": "vendors", "FS-02": "devices"})
	check(2, map[string]string{"FS-02": "devices"})
	check(3, nil) // two images of one device are no fleet
	check(4, nil) // another kind with the same mark is another secret
	if e := got[0][0].Evidence[0]; !strings.Contains(e, "Beta B2") || strings.Contains(e, "h1") {
		t.Errorf("evidence %q must name the other and not the mark", e)
	}
	// The order of the members changes nothing but places.
	turned := inspect.Shared([]inspect.Member{members[1], members[0]}, at)
	if len(turned[0]) != 1 || len(turned[1]) != 1 || turned[1][0].Evidence[0] != got[0][0].Evidence[0] {
		t.Errorf("turned round: %+v", turned)
	}
}

func TestShared_aThousandOfOneModel(t *testing.T) {
	var all []inspect.Member
	for i := range 20_000 {
		all = append(all, inspect.Member{Device: ringwall.DeviceID("d" + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + time.Duration(i).String()), Vendor: "A", Secrets: []api.SecretMark{{Kind: "password-hash", Mark: "m", Path: "/etc/shadow"}}})
	}
	got := inspect.Shared(all, time.Now())
	if len(got) != len(all) || len(got[0][0].Evidence) != 1 || len(got[0][0].Evidence[0]) > 500 {
		t.Errorf("%d of %d, evidence %q", len(got), len(all), got[0][0].Evidence)
	}
}
