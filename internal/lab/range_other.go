//go:build !linux

package lab

import (
	"context"
	"os/exec"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/netns"
)

// errLinux is the answer of everything here.
func errLinux() error {
	return &ringwall.Error{Code: ringwall.Unavailable, Text: "the range needs Linux", Hint: "the recorded range plays anywhere"}
}

// Range cannot be on this system.
type Range struct{}

// Up needs Linux.
func Up(context.Context, Config) (*Range, error) { return nil, errLinux() }

// Down does nothing.
func (r *Range) Down() error { return nil }

// Attack needs Linux.
func (r *Range) Attack(context.Context, string, AttackOptions) (Report, error) {
	return Report{}, errLinux()
}

// Record needs Linux.
func (r *Range) Record(context.Context, string) error { return errLinux() }

// Expose needs Linux.
func (r *Range) Expose(context.Context, string, string) error { return errLinux() }

// StartAgent needs Linux.
func (r *Range) StartAgent(*exec.Cmd) error { return errLinux() }

// StopAgent needs Linux.
func (r *Range) StopAgent(bool) error { return errLinux() }

// Agent returns none.
func (r *Range) Agent() (int, <-chan struct{}) { return 0, nil }

// NS returns nil.
func (r *Range) NS(string) *netns.NS { return nil }

// Network returns nil.
func (r *Range) Network(string) Network { return nil }

// Seed returns 0.
func (r *Range) Seed() uint64 { return 0 }

// Dir returns "".
func (r *Range) Dir() string { return "" }

// UsageFile returns "".
func (r *Range) UsageFile() string { return "" }

// SIM returns no card.
func (r *Range) SIM() SIM { return SIM{} }

// Operator returns nothing.
func (r *Range) Operator() (base, token string) { return "", "" }

// Replaced returns nil.
func (r *Range) Replaced() []string { return nil }

// Ended returns nil.
func (r *Range) Ended() []string { return nil }

// Credential needs Linux.
func (r *Range) Credential(string) (Credential, error) { return Credential{}, errLinux() }

// SetPassword needs Linux.
func (r *Range) SetPassword(context.Context, string, string, string) error { return errLinux() }

// Telnet needs Linux.
func (r *Range) Telnet(context.Context, string, bool) error { return errLinux() }

// Clean needs Linux.
func (r *Range) Clean(context.Context, string) error { return errLinux() }

// Repair needs Linux.
func (r *Range) Repair(context.Context, string, string) error { return errLinux() }

// Camera needs Linux.
func (r *Range) Camera(context.Context, string) (CameraState, error) {
	return CameraState{}, errLinux()
}

// Meter needs Linux.
func (r *Range) Meter(context.Context) (MeterState, error) { return MeterState{}, errLinux() }

// Phone needs Linux.
func (r *Range) Phone(context.Context) (PhoneStats, error) { return PhoneStats{}, errLinux() }

// Card needs Linux.
func (r *Range) Card(context.Context) (OperatorState, error) { return OperatorState{}, errLinux() }

// Count needs Linux.
func (r *Range) Count(context.Context, string, string) (uint64, error) { return 0, errLinux() }
