// Package probetest is what the tests of probes share: the machine's own
// network, an environment for one target on loopback, decoy servers, and a
// way to ask for one finding.
package probetest

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

// Host is the machine's own network.
type Host struct{}

// DialContext dials.
func (Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

// ListenPacket listens.
func (Host) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	var l net.ListenConfig
	return l.ListenPacket(ctx, network, address)
}

// Do runs f: the machine's own network is where tests run.
func (Host) Do(f func() error) error { return f() }

// Target is loopback.
func Target() assess.Target {
	a := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return assess.Target{Name: a.String(), Addr: a}
}

// Env is a fresh environment with these services open.
func Env(t testing.TB, services ...api.Service) *assess.Env {
	return &assess.Env{
		Net: Host{}, Now: time.Now, Ledger: assess.NewLedger(assess.Budget{}, time.Now), Services: services,
		Say: func(format string, args ...any) { t.Logf(format, args...) },
	}
}

// Port returns the port of an address.
func Port(t testing.TB, address string) uint16 {
	t.Helper()
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port()
}

// Service is one open TCP port at address.
func Service(t testing.TB, name, address string) api.Service {
	t.Helper()
	return api.Service{Proto: "tcp", Port: Port(t, address), Name: name}
}

// Serve answers every connection on a loopback port with f, until the test
// ends.
func Serve(t testing.TB, f func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
	return l.Addr().String()
}

// Find returns the first finding on an indicator; a missing one is Unknown
// with no source.
func Find(fs []ringwall.Finding, indicator string) ringwall.Finding {
	for _, f := range fs {
		if f.Indicator == indicator {
			return f
		}
	}
	return ringwall.Finding{Indicator: indicator}
}

// Want fails the test unless indicator was answered so.
func Want(t testing.TB, fs []ringwall.Finding, indicator string, o ringwall.Outcome, c ringwall.Confidence) {
	t.Helper()
	f := Find(fs, indicator)
	if f.Outcome != o || o != ringwall.Unknown && f.Confidence != c {
		t.Errorf("%s is %v (%v), want %v (%v): %q %q", indicator, f.Outcome, f.Confidence, o, c, f.Title, f.Evidence)
	}
}
