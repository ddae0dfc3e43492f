package mqttport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"

	"github.com/ringwall/ringwall"
)

// Times of a connection.
const (
	// greeting bounds the handshake and the wait for CONNECT together.
	greeting = 10 * time.Second
	// writeTime bounds one write: a terminal that does not read holds up nobody
	// for longer.
	writeTime = 10 * time.Second
	// maxKeepAlive is the longest that a terminal may be silent; longer wishes,
	// and none, are cut to it.
	maxKeepAlive = 20 * 60 // seconds
	// retry is the pause after a connection could not be taken.
	retry = 100 * time.Millisecond
)

// terminal is who a connection belongs to.
type terminal struct {
	org ringwall.OrgID
	gw  ringwall.GatewayID
}

// doorway accepts connections while fewer than MaxStrangers wait at the door. It
// is the library's listener too, so that whatever a terminal sends that makes
// the library panic ends that terminal's connection and not the platform.
type doorway struct {
	net.Listener
	port *Port
	// strangers counts connections that have not shown who they are.
	strangers atomic.Int64
	once      sync.Once

	mu   sync.Mutex
	open map[*conn]struct{} // nil once closed

	work sync.WaitGroup // one for each connection
}

// ID, Address, Protocol and Init are what the library asks of a listener.
func (d *doorway) ID() string              { return "mqtts" }
func (d *doorway) Address() string         { return d.Addr().String() }
func (d *doorway) Protocol() string        { return "tcp" }
func (d *doorway) Init(*slog.Logger) error { return nil }

// Serve hands connections to the library until the door closes.
func (d *doorway) Serve(establish listeners.EstablishFn) {
	for {
		c, err := d.accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of descriptors, maybe: that passes
			d.port.log.Error("no connection can be taken", "cause", err)
			select {
			case <-d.port.ctx.Done():
				return
			case <-time.After(retry):
			}
			continue
		}
		d.work.Go(func() { d.serve(c, establish) })
	}
}

func (d *doorway) serve(c net.Conn, establish listeners.EstablishFn) {
	defer func() {
		if r := recover(); r != nil {
			d.port.panics.Add(1)
			d.port.log.Error("a terminal's packet made the MQTT library panic; its connection ends", "remote", c.RemoteAddr(), "panic", r, "stack", string(debug.Stack()))
		}
		_ = c.Close()
	}()
	if err := establish(d.ID(), c); err != nil {
		d.port.log.Debug("connection ended", "remote", c.RemoteAddr(), "cause", err)
	}
}

// accept returns the next connection; its handshake is made by whoever reads
// from it first, so that a slow one keeps nobody from the door.
func (d *doorway) accept() (net.Conn, error) {
	for {
		raw, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if d.strangers.Add(1) > int64(d.port.cfg.MaxStrangers) {
			d.strangers.Add(-1)
			d.port.refused.Add(1)
			_ = raw.Close()
			continue
		}
		_ = raw.SetDeadline(time.Now().Add(greeting))
		c := &conn{Conn: tls.Server(raw, d.port.tls), door: d, raw: raw}
		d.mu.Lock()
		if d.open != nil {
			d.open[c] = struct{}{}
		}
		over := d.open == nil
		d.mu.Unlock()
		if over {
			_ = c.Close()
			return nil, net.ErrClosed
		}
		return c, nil
	}
}

// Close is the library's way to close: the door, then those it knows.
func (d *doorway) Close(closeClients listeners.CloseFn) {
	d.shut()
	closeClients(d.ID())
}

func (d *doorway) shut() { d.once.Do(func() { _ = d.Listener.Close() }) }

// hangUp ends all connections, also of those that the library does not know
// yet.
func (d *doorway) hangUp() {
	d.mu.Lock()
	open := d.open
	d.open = nil
	d.mu.Unlock()
	for c := range open {
		_ = c.raw.Close()
	}
}

// conn is one connection. Deadlines for writing are its own: the library's
// would be as long as the keep-alive.
type conn struct {
	net.Conn          // *tls.Conn
	raw      net.Conn // below it
	door     *doorway

	shake sync.Once
	err   error
	who   terminal

	known atomic.Bool // CONNECT was good: no stranger any more
	gone  sync.Once
}

// greet makes the handshake and asks the desk who this is.
func (c *conn) greet() error {
	c.shake.Do(func() {
		ctx, cancel := context.WithTimeout(c.door.port.ctx, greeting)
		defer cancel()
		t := c.Conn.(*tls.Conn)
		if c.err = t.HandshakeContext(ctx); c.err != nil {
			return
		}
		peers := t.ConnectionState().PeerCertificates
		if len(peers) == 0 {
			c.err = ringwall.Errorf(ringwall.Unverified, "the terminal shows no certificate")
			return
		}
		c.who.org, c.who.gw, c.err = c.door.port.cfg.Desk.Admit(ctx, peers[0])
	})
	return c.err
}

// Read reads what the terminal says, once it is admitted.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.greet(); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write gives the terminal a few seconds to take b.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// SetDeadline is of reading alone, and until CONNECT is good it is the one that
// accept has set.
func (c *conn) SetDeadline(t time.Time) error {
	if !c.known.Load() {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

// settle notes that CONNECT was good.
func (c *conn) settle() {
	if c.known.CompareAndSwap(false, true) {
		c.door.strangers.Add(-1)
	}
}

func (c *conn) Close() error {
	c.gone.Do(func() {
		if c.known.CompareAndSwap(false, true) {
			c.door.strangers.Add(-1)
		}
		c.door.mu.Lock()
		delete(c.door.open, c)
		c.door.mu.Unlock()
	})
	return c.Conn.Close()
}
