// Package farm is a street of devices to assess: twenty models, ten built with
// care and ten not, each a real server on an address of its own behind one
// cable. It is where the grades that internal/assess/testdata/fleet20.json
// lays down are measured, and where the speed of assessing a whole network is.
//
// All devices run in this process, in one network namespace; the assessor's end
// of the cable is another. Nothing leaves the two. A Farm owns its namespaces,
// listeners and goroutines; Down ends them all.
package farm

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
)

// Service is one open port of a device.
type Service struct {
	Port uint16
	Name string // as an assessment should name it
	TLS  bool
	// Serve takes the listener and serves until it is closed.
	Serve func(b *Box, l net.Listener) error
	// Packets makes it a UDP service: it takes the socket instead.
	Packets func(b *Box, c net.PacketConn) error
}

// Model is one kind of device.
type Model struct {
	Name     string
	Services []Service
	// Silent drops every packet instead of refusing.
	Silent bool
	// Hides is a port that its maker does not declare; 0 for none.
	Hides uint16
	// Locks says that it locks after five wrong passwords.
	Locks bool
}

// Box is one standing device.
type Box struct {
	Model
	Addr netip.Addr
	// Password is the strong one that this box was given.
	Password string
	// Token and Other are bearer tokens of two accounts.
	Token, Other string
	// Lock counts wrong passwords; nil for a model that never locks.
	Lock *Lock
	cert *tls.Config
}

// Declared lists the services as a maker declares them. One maker lies: it
// leaves out the telnet of its lock.
func (b *Box) Declared() (out []api.Service) {
	for _, s := range b.Services {
		if b.Hides == s.Port {
			continue
		}
		proto := "tcp"
		if s.Packets != nil {
			proto = "udp"
		}
		out = append(out, api.Service{Proto: proto, Port: s.Port, Name: s.Name})
	}
	return out
}

// Farm is a running street.
type Farm struct {
	Boxes []*Box

	street, viewer *netns.NS
	mu             sync.Mutex
	open           []io.Closer
	runs           sync.WaitGroup
	down           bool
	failed         []error
}

// Prefix is the farm's network; the assessor is its last host.
var prefix = netip.MustParsePrefix("10.99.0.0/24")

// Prefix returns the farm's network.
func Prefix() netip.Prefix { return prefix }

// first is the host number of the first device.
const first = 10

// Up builds a device of each model, in order, from address .10 on.
func Up(ctx context.Context, models []Model) (f *Farm, err error) {
	if len(models) > 200 {
		return nil, fmt.Errorf("farm: %d models are more than the street holds", len(models))
	}
	f = &Farm{}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Down())
			f = nil
		}
	}()
	if f.street, err = netns.New("farm-street"); err != nil {
		return f, err
	}
	if f.viewer, err = netns.New("farm-viewer"); err != nil {
		return f, err
	}
	if err := netns.Cable(f.street, "eth0", mac(1), f.viewer, "eth0", mac(2)); err != nil {
		return f, err
	}
	if err := f.viewer.Addr("eth0", "10.99.0.254/24"); err != nil {
		return f, err
	}
	if err := f.street.Addr("eth0", "10.99.0.1/24"); err != nil {
		return f, err
	}
	for i, m := range models {
		b := &Box{Model: m, Addr: netip.AddrFrom4([4]byte{10, 99, 0, byte(first + i)}), Password: rand.Text()[:20], Token: rand.Text(), Other: rand.Text()}
		if err := f.place(ctx, b); err != nil {
			return f, fmt.Errorf("placing %s: %w", m.Name, err)
		}
		f.Boxes = append(f.Boxes, b)
	}
	return f, nil
}

func mac(n byte) net.HardwareAddr { return net.HardwareAddr{2, 0x99, 0, 0, 0, n} }

// place gives a box its address and opens its ports.
func (f *Farm) place(ctx context.Context, b *Box) (err error) {
	if b.Silent {
		return f.silence(b.Addr)
	}
	if err := f.street.Addr("eth0", b.Addr.String()+"/32"); err != nil {
		return err
	}
	if b.cert, err = certificate(b.Addr); err != nil {
		return err
	}
	if b.Locks {
		b.Lock = &Lock{}
	}
	for _, s := range b.Services {
		serve, end, err := f.bind(ctx, b, s)
		if err != nil {
			return err
		}
		f.mu.Lock()
		f.open = append(f.open, end)
		f.mu.Unlock()
		f.runs.Go(func() {
			if err := serve(); err != nil && !f.ending() {
				f.mu.Lock()
				f.failed = append(f.failed, fmt.Errorf("%s on port %d: %w", b.Name, s.Port, err))
				f.mu.Unlock()
			}
		})
	}
	return nil
}

// bind opens a service's port and returns how to serve it until it is closed.
func (f *Farm) bind(ctx context.Context, b *Box, s Service) (serve func() error, end io.Closer, err error) {
	address := net.JoinHostPort(b.Addr.String(), strconv.Itoa(int(s.Port)))
	if s.Packets != nil {
		c, err := f.street.ListenPacket(ctx, "udp4", address)
		return func() error { return s.Packets(b, c) }, c, err
	}
	l, err := f.street.Listen(ctx, "tcp4", address)
	return func() error { return s.Serve(b, l) }, l, err
}

func (f *Farm) ending() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down
}

// Viewer is the assessor's end of the cable.
func (f *Farm) Viewer() *netns.NS { return f.viewer }

// Down ends everything. What went wrong in a device meanwhile is told here.
func (f *Farm) Down() error {
	f.mu.Lock()
	f.down = true
	open := f.open
	f.open = nil
	f.mu.Unlock()
	for _, l := range open {
		_ = l.Close() // a server may have closed it before
	}
	f.runs.Wait()
	errs := f.failed
	for _, ns := range []*netns.NS{f.street, f.viewer} {
		if ns != nil {
			errs = append(errs, ns.Close())
		}
	}
	return errors.Join(errs...)
}

// accept serves each connection in a goroutine of its own until the listener is
// closed, then closes those that are left.
func accept(l net.Listener, serve func(net.Conn)) error {
	var conns sync.Map
	var wg sync.WaitGroup
	defer wg.Wait()
	defer conns.Range(func(c, _ any) bool { _ = c.(net.Conn).Close(); return true })
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		conns.Store(c, nil)
		wg.Go(func() {
			defer conns.Delete(c)
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
			serve(c)
		})
	}
}
