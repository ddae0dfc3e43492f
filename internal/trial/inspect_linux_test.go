package trial_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/lab"
	"github.com/ringwall/ringwall/internal/trial"
)

// The good camera reports to its vendor over TLS. A term that denies another name
// inside TLS lets it go on, through the inspector; one that denies the vendor's
// name stops it, and taken back lets it go on again.
func TestInspect_namesInsideTLS(t *testing.T) {
	x := start(t, trial.Config{})
	ctx := t.Context()
	beats := func() uint64 {
		s, err := x.Range.Camera(ctx, lab.GoodCam)
		if err != nil {
			t.Fatal(err)
		}
		return s.Heartbeats
	}
	before := beats()
	until(t, x, 30*time.Second, "the camera reports", func() (bool, error) { return beats() > before+1, nil })
	if err := x.Mode(ctx, ringwall.Enforce, lab.GoodCam); err != nil {
		t.Fatal(err)
	}
	cam := device(t, x, lab.GoodCam)
	deny := func(names ...string) {
		t.Helper()
		terms := []api.Term{{
			ID: "cloud", Action: api.Allow, Direction: api.FromDevice, Domain: lab.CloudName, Proto: "tcp", Ports: []api.PortRange{{First: 443, Last: 443}},
		}}
		if len(names) > 0 {
			terms = append(terms, api.Term{
				ID: "not-there", Action: api.Deny, Direction: api.FromDevice, CIDR: netip.MustParsePrefix("0.0.0.0/0"), Proto: "tcp",
				Ports: []api.PortRange{{First: 443, Last: 443}}, Inside: &api.Inside{Proto: "tls", Hosts: names},
			})
		}
		if _, err := x.Client.PutOwnerTerms(ctx, cam.ID, api.OwnerTerms{Terms: terms}); err != nil {
			t.Fatal(err)
		}
		if err := x.InForce(ctx); err != nil {
			t.Fatal(err)
		}
	}
	deny("elsewhere.example")
	n := beats()
	until(t, x, 30*time.Second, "the camera reports through the inspector", func() (bool, error) { return beats() > n+1, nil })
	deny(lab.CloudName)
	n = beats()
	time.Sleep(4 * time.Second)
	if got := beats(); got > n+1 { // one may have been under way
		t.Errorf("%d reports passed though the name is denied inside TLS", got-n)
	}
	deny()
	n = beats()
	until(t, x, time.Minute, "the camera reports again", func() (bool, error) { return beats() > n+1, nil })
}
