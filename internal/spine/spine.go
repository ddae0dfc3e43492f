// Package spine is the connection to the spine: NATS, with JetStream for
// events. It alone imports the NATS client; nothing of NATS shows in its API.
//
// A Conn reconnects for ever, waiting a little longer each time, with jitter,
// so that a fleet that lost its platform does not return all at once. Nothing
// is buffered while it is away: a request then fails with Unavailable, and
// whoever asked decides when to ask again.
//
// Requests, subscriptions and pokes are at most once. Events are at least once:
// PublishEvent returns when the stream has the event on its disk, and the same
// event published again within the window is kept once; Consume acknowledges an
// event after its handler has returned nil and hands it out again otherwise.
// Consumers deduplicate by event id.
//
// Subjects are named by package api; an event's by Subject. A Conn may be used
// from several goroutines. It owns the client's goroutines and those of Serve;
// Close ends them and waits. The gateway links this package, which therefore
// keeps the stream's part in files of its own that the linker can leave out.
package spine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ringwall/ringwall"
)

const (
	// DefaultTimeout ends a request whose context has no deadline.
	DefaultTimeout = 10 * time.Second
	// backoffFirst and backoffMost bound the wait before the next attempt: it
	// doubles, and a random half of it is waited.
	backoffFirst = 500 * time.Millisecond
	backoffMost  = 30 * time.Second
	// pendingMessages and pendingBytes bound what waits for one subscription;
	// past them the newest is dropped and counted by the client.
	pendingMessages = 4096
	pendingBytes    = 16 << 20
	// serveAtOnce bounds how many requests one Serve answers at the same time;
	// the others wait in the subscription.
	serveAtOnce = 32
	// receiveMessages and receiveBytes bound what waits for one Receive: a batch of
	// each of many gateways.
	receiveMessages = 64 << 10
	receiveBytes    = 128 << 20
	// serveTime is what one answer may take: no client waits longer.
	serveTime = 30 * time.Second
	// connectTime is what a connection may take: as long as the server's own bound,
	// for when a whole fleet comes at once it lets each wait for its turn.
	connectTime = 10 * time.Second
	// sessions bounds the TLS sessions that are kept for the next connection.
	sessions  = 4
	pingEvery = 20 * time.Second // two missed answers end the connection
)

// Config of a Conn.
type Config struct {
	// Servers are addresses such as "tls://198.51.100.10:4222".
	Servers []string
	// TLS holds the gateway's certificate and the authority that the servers are
	// verified with. It is needed unless InProcess is set.
	TLS *tls.Config
	// Name shows in the server's monitoring.
	Name string
	// Inbox is the prefix of the subjects that answers come to. A gateway's is
	// Inbox(its id): the server lets it listen nowhere else.
	Inbox string
	// InProcess and Token connect to a server inside this process instead.
	InProcess func() (net.Conn, error)
	Token     string
	// Dial opens connections; nil = the usual way. The range dials from a
	// namespace with it.
	Dial func(network, address string) (net.Conn, error)
	Log  *slog.Logger // nil = silent
	// Changed is called, from a goroutine of the client, when the connection
	// comes (true) or goes. It may be nil and must not block.
	Changed func(connected bool)
}

// Inbox returns the prefix under which the gateway of this id gets answers.
func Inbox(id string) string { return "_INBOX_" + id }

// Conn is a connection to the spine.
type Conn struct {
	nc  *nats.Conn
	log *slog.Logger

	ctx    context.Context // ended by Close: that of Serve's handlers
	cancel context.CancelFunc
	wg     sync.WaitGroup // handlers of Serve
	closed chan struct{}
}

// inProcess adapts a function to what the client wants.
type inProcess func() (net.Conn, error)

func (f inProcess) InProcessConn() (net.Conn, error) { return f() }

// dialer adapts a function to what the client wants.
type dialer func(network, address string) (net.Conn, error)

func (f dialer) Dial(network, address string) (net.Conn, error) { return f(network, address) }

// Dial returns a connection that is up or on its way: when no server answers
// it keeps trying in the background, and Connected tells. An InProcess
// connection is up on return. Codes: Invalid for a configuration that cannot
// work.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := &Conn{log: log, closed: make(chan struct{})}
	// The handlers of Serve outlive the dialling: Close ends them.
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	changed := cfg.Changed
	if changed == nil {
		changed = func(bool) {}
	}
	opts := []nats.Option{
		nats.Name(cfg.Name), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.PingInterval(pingEvery), nats.MaxPingsOutstanding(2),
		nats.CustomReconnectDelay(backoff), nats.Timeout(connectTime), nats.DrainTimeout(5 * time.Second),
		// A server that refuses may only be overwhelmed: without this, two refusals in a row
		// would be the end, and the gateway gone until somebody starts it anew.
		nats.IgnoreAuthErrorAbort(),
		nats.ConnectHandler(func(*nats.Conn) { log.Info("spine connected"); changed(true) }),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info("spine connected again"); changed(true) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { log.Warn("spine connection lost", "err", err); changed(false) }),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			log.Warn("spine reports an error", "subject", subject, "err", err)
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	}
	if cfg.Inbox != "" {
		opts = append(opts, nats.CustomInboxPrefix(cfg.Inbox))
	}
	switch {
	case cfg.InProcess != nil:
		opts = append(opts, nats.InProcessServer(inProcess(cfg.InProcess)), nats.Token(cfg.Token))
	case cfg.TLS == nil || len(cfg.Servers) == 0:
		c.cancel()
		return nil, ringwall.Errorf(ringwall.Invalid, "a connection to the spine needs servers and TLS")
	default:
		conf := cfg.TLS
		if conf.ClientSessionCache == nil {
			// Whoever comes back shows its ticket, which costs the server a tenth of a
			// whole handshake when a fleet comes back at once.
			conf = conf.Clone()
			conf.ClientSessionCache = tls.NewLRUClientSessionCache(sessions)
		}
		opts = append(opts, nats.Secure(conf), nats.TLSHandshakeFirst(), nats.RetryOnFailedConnect(true))
		if cfg.Dial != nil {
			opts = append(opts, nats.SetCustomDialer(dialer(cfg.Dial)))
		}
	}
	nc, err := nats.Connect(strings.Join(cfg.Servers, ","), opts...)
	if err != nil {
		c.cancel()
		return nil, ringwall.Errorf(ringwall.Unavailable, "connecting to the spine: %w", err)
	}
	c.nc = nc
	return c, nil
}

// backoff returns how long to wait before attempt n: half of a doubling time,
// and up to as much again by chance.
func backoff(n int) time.Duration {
	most := backoffMost
	if n < 10 {
		most = min(backoffMost, backoffFirst<<max(n-1, 0))
	}
	return most/2 + rand.N(most/2)
}

// Connected reports whether the connection is up now.
func (c *Conn) Connected() bool { return c.nc.IsConnected() }

// Close hands out what has arrived, waits for the handlers of Serve, and ends
// the connection.
func (c *Conn) Close() {
	c.cancel()
	if !c.nc.IsConnected() || c.nc.Drain() != nil {
		c.nc.Close()
	}
	<-c.closed
	c.wg.Wait()
}

// Request sends data on subject and returns the answer. Codes: Unavailable
// when there is no connection, nobody answers, or not in time.
func (c *Conn) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	if !c.nc.IsConnected() {
		return nil, ringwall.Errorf(ringwall.Unavailable, "the spine is not connected")
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	msg, err := c.nc.RequestWithContext(ctx, subject, data)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ringwall.Errorf(ringwall.Unavailable, "nobody answers on %q", subject)
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, ringwall.Errorf(ringwall.Invalid, "a request of %d bytes is over what the spine takes", len(data))
	case err != nil:
		return nil, ringwall.Errorf(ringwall.Unavailable, "asking on %q: %w", subject, err)
	}
	return msg.Data, nil
}

// Publish sends data on subject to whoever listens now.
func (c *Conn) Publish(subject string, data []byte) error {
	if err := c.nc.Publish(subject, data); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "publishing on %q: %w", subject, err)
	}
	return nil
}

// Flush returns when the server has taken what was published and subscribed
// before.
func (c *Conn) Flush(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "flushing the spine: %w", err)
	}
	return nil
}

// Subscribe calls f, one message after the other, with what is published on
// subject, which may hold wildcards. stop ends it.
func (c *Conn) Subscribe(subject string, f func(data []byte)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) { f(m.Data) })
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "listening on %q: %w", subject, err)
	}
	if err := sub.SetPendingLimits(pendingMessages, pendingBytes); err != nil {
		return nil, fmt.Errorf("bounding the subscription of %q: %w", subject, err)
	}
	return func() { c.end(sub) }, nil
}

func (c *Conn) end(sub *nats.Subscription) {
	if err := sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		c.log.Warn("spine subscription not ended", "subject", sub.Subject, "err", err)
	}
}

// Serve answers requests on subject, which may hold wildcards, with what f
// returns; nil sends no answer. f runs for several requests at once, with a
// context that ends with the connection.
func (c *Conn) Serve(subject string, f func(ctx context.Context, subject string, data []byte) []byte) (stop func(), err error) {
	slots := make(chan struct{}, serveAtOnce)
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) {
		select {
		case slots <- struct{}{}:
		case <-c.ctx.Done():
			return
		}
		c.wg.Go(func() {
			defer func() { <-slots }()
			ctx, cancel := context.WithTimeout(c.ctx, serveTime)
			defer cancel()
			answer := f(ctx, m.Subject, m.Data)
			if answer == nil || m.Reply == "" {
				return
			}
			if err := m.Respond(answer); err != nil {
				c.log.Warn("spine answer not sent", "subject", m.Subject, "err", err)
			}
		})
	})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "serving %q: %w", subject, err)
	}
	if err := sub.SetPendingLimits(pendingMessages, pendingBytes); err != nil {
		return nil, fmt.Errorf("bounding the subscription of %q: %w", subject, err)
	}
	return func() { c.end(sub) }, nil
}

// Receive hands the requests on subject, which may hold wildcards, to f, one
// after the other; f must not wait for long. What is given to reply is the
// answer; it may be called later, from any goroutine, once. After Close it does
// nothing.
func (c *Conn) Receive(subject string, f func(subject string, data []byte, reply func([]byte))) (stop func(), err error) {
	sub, err := c.nc.Subscribe(subject, func(m *nats.Msg) {
		f(m.Subject, m.Data, func(answer []byte) {
			if m.Reply == "" || c.ctx.Err() != nil {
				return
			}
			if err := m.Respond(answer); err != nil {
				c.log.Warn("spine answer not sent", "subject", m.Subject, "err", err)
			}
		})
	})
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "receiving %q: %w", subject, err)
	}
	if err := sub.SetPendingLimits(receiveMessages, receiveBytes); err != nil {
		return nil, fmt.Errorf("bounding the subscription of %q: %w", subject, err)
	}
	return func() { c.end(sub) }, nil
}
