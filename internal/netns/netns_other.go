//go:build !linux

// Package netns makes Linux network namespaces; elsewhere its functions say so.
package netns

import (
	"context"
	"errors"
	"net"
	"os/exec"
)

var errLinux = errors.New("network namespaces need Linux")

// NS is one network namespace.
type NS struct{ Name string }

// Available reports that there are none here.
func Available() error { return errLinux }

// New needs Linux.
func New(string) (*NS, error) { return nil, errLinux }

// Current needs Linux.
func Current() (*NS, error) { return nil, errLinux }

// OfPID needs Linux.
func OfPID(int) (*NS, error) { return nil, errLinux }

// Close does nothing.
func (n *NS) Close() error { return nil }

// FD returns no file descriptor.
func (n *NS) FD() int { return -1 }

// Do needs Linux.
func (n *NS) Do(func() error) error { return errLinux }

// Start needs Linux.
func (n *NS) Start(*exec.Cmd) error { return errLinux }

// Listen needs Linux.
func (n *NS) Listen(context.Context, string, string) (net.Listener, error) { return nil, errLinux }

// ListenPacket needs Linux.
func (n *NS) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, errLinux
}

// DialContext needs Linux.
func (n *NS) DialContext(context.Context, string, string) (net.Conn, error) { return nil, errLinux }

// Steer needs Linux.
func (n *NS) Steer(uint32, int) error { return errLinux }

// Steered needs Linux.
func (n *NS) Steered(uint32, int) (bool, error) { return false, errLinux }
