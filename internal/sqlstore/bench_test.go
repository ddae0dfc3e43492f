package sqlstore_test

import (
	"errors"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// BenchmarkSighting is what the projector does for a device that is where it
// should be, 200 to a transaction as the projector does them.
func BenchmarkSighting(b *testing.B) {
	a, err := audit.New(audit.Config{Recorder: memRecorder{}, Now: clock})
	if err != nil {
		b.Fatal(err)
	}
	s, err := sqlstore.Open(b.Context(), b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const org, gw = ringwall.OrgID("org_a"), ringwall.GatewayID("gw_a")
	as := func(name audit.SystemName, act audit.Act) audit.Scope {
		scope, err := a.Authorise(b.Context(), audit.System(name, org), act, audit.Target{Kind: "fleet", Org: org})
		if err != nil {
			b.Fatal(err)
		}
		return scope
	}
	scope := as(audit.SysProject, audit.SystemProject)
	err = s.Update(b.Context(), func(tx *sqlstore.Tx) error {
		return errors.Join(
			tx.CreateOrg(as(audit.SysBootstrap, audit.SystemBootstrap), api.Org{ID: org, Name: "a"}),
			tx.CreateGateway(as(audit.SysEnrol, audit.GatewayEnrol), api.Gateway{ID: gw, Org: org}, "01"),
			tx.CreateDevice(scope, api.Device{ID: "dev_a", Org: org, Gateway: gw, Binding: api.Binding{MAC: testMAC}}, 1))
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for n := 0; n < b.N; n += 200 {
		err := s.Update(b.Context(), func(tx *sqlstore.Tx) error {
			for range min(200, b.N-n) {
				d, err := tx.DeviceByMAC(scope, gw, testMAC)
				if err != nil {
					return err
				}
				if err := tx.TouchDevice(scope, d.ID, ringwall.Online, clock()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
