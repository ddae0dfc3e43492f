package dnsguard

import (
	"context"
	"crypto/x509"
	"fmt"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/singleflight"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/resolved"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// Binder opens the way to addresses. All of a list are open when it returns
// nil, none need be otherwise.
type Binder interface {
	BindAll(ctx context.Context, list []nft.Binding) error
}

// Config says where the guard stands.
type Config struct {
	// PolicyFile is written by the agent by package rulefile. While it does not
	// exist, nothing is answered.
	PolicyFile string
	// Names is the file in which is kept which device found which address by which
	// name, for the inspector and for the next guard (package resolved); best on a
	// tmpfs. "" keeps it in memory alone: then nobody else knows, and the next guard
	// renews nothing.
	Names string
	// Listen is where devices ask, such as "10.77.0.1:53" or "[fd00::1]:53"; UDP and
	// TCP.
	Listen string
	// Also are further such addresses. One guard answers on all: there is one file of
	// names, and one cache.
	Also []string
	// Firewall binds addresses before they are answered. It must know of the inspector
	// (nft.Config.Inspect), or names that only that may judge open nothing.
	Firewall Binder
	// Flows tells which addresses are in use, so that they are renewed; nil asks the
	// connection tracking of NS.
	Flows Flows
	// Report is called with what was decided, each kind of decision once with its
	// count, every ReportEvery (0 = 10 s) and at the end. It must not wait.
	Report      func(api.DNSReport)
	ReportEvery time.Duration
	// NS is the namespace of the gateway; nil is that of the program.
	NS *netns.NS
	// MaxInFlight bounds the questions that are worked on at once (0 = 256). What
	// comes on top is dropped; clients ask again.
	MaxInFlight int
	// Now is the clock by which certificates of resolvers are judged; nil is the
	// system's.
	Now func() time.Time
	// Uptime is the clock of lives and rates, which nobody sets; nil is the boot clock.
	Uptime func() time.Duration
	// RenewEvery is how often bindings that are wanted are renewed (0 = 10 s).
	RenewEvery time.Duration
	// Roots are the authorities for resolvers over TLS without pins; nil is the
	// system's.
	Roots *x509.CertPool
	// Dial connects to the resolver; nil dials from NS.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Guard answers names.
type Guard struct {
	cfg     Config
	ready   chan struct{}
	policy  *rulefile.Loader[table]
	reports reports
	rates   rates
	tunnels tunnels
	cache   cache
	flight  singleflight.Group
	lines   lines
	book    *book
	slots   chan struct{}
	dropped atomic.Uint64
	// followed is the policy that bindings were brought to last; of the one goroutine
	// that does it.
	followed *table

	mu      sync.Mutex // guards what follows
	resting map[netip.AddrPort]time.Duration
}

const (
	reportEvery = 10 * time.Second
	maxInFlight = 256
	// tcpIdle is how long a TCP connection of a device may be silent.
	tcpIdle = 5 * time.Second
	// maxTCP bounds the TCP connections of all devices, maxTCPEach those of one.
	maxTCP, maxTCPEach = 256, 8
)

// New returns a guard. It takes over the file of names, and listens when it
// runs.
func New(c Config) (*Guard, error) {
	if c.PolicyFile == "" || c.Listen == "" || c.Firewall == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "a DNS guard needs a policy file, an address to listen on and a packet filter")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Uptime == nil {
		c.Uptime = resolved.Uptime
	}
	if c.ReportEvery == 0 {
		c.ReportEvery = reportEvery
	}
	if c.RenewEvery == 0 {
		c.RenewEvery = renewEvery
	}
	if c.MaxInFlight == 0 {
		c.MaxInFlight = maxInFlight
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
		if c.NS != nil {
			c.Dial = c.NS.DialContext
		}
	}
	if c.Flows == nil {
		c.Flows = NewFlows(c.NS)
	}
	b, err := openBook(c.Names)
	if err != nil {
		return nil, err
	}
	return &Guard{
		cfg: c, ready: make(chan struct{}), slots: make(chan struct{}, c.MaxInFlight), book: b,
		policy: rulefile.NewLoader(c.PolicyFile, loadTable), reports: reports{tell: c.Report},
		rates: rates{now: c.Uptime}, tunnels: tunnels{now: c.Uptime, seed: maphash.MakeSeed()}, cache: cache{now: c.Uptime},
	}, nil
}

// Ready is closed when the guard answers.
func (g *Guard) Ready() <-chan struct{} { return g.ready }

func (g *Guard) String() string { return "dns guard" }

// Dropped returns how many questions were dropped because too many were worked
// on.
func (g *Guard) Dropped() uint64 { return g.dropped.Load() }

// Run answers until ctx ends. A guard runs once.
func (g *Guard) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer g.book.close()
	defer g.lines.close()
	packets, streams, err := g.listen(ctx)
	if err != nil {
		return fmt.Errorf("listening for names: %w", err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) { g.serveTCP(ctx, w, req) })
	failed := make(chan error, len(packets)+len(streams)+1)
	var wg, up sync.WaitGroup
	var servers []*dns.Server
	for _, l := range streams {
		up.Add(1)
		srv := &dns.Server{Listener: limit(l), Handler: handler, ReadTimeout: tcpIdle, WriteTimeout: tcpIdle, IdleTimeout: func() time.Duration { return tcpIdle }, MaxTCPQueries: 64, NotifyStartedFunc: up.Done}
		servers = append(servers, srv)
		wg.Go(func() {
			if err := srv.ActivateAndServe(); err != nil {
				failed <- err
			}
		})
	}
	for _, pc := range packets {
		wg.Go(func() {
			if err := g.serveUDP(ctx, pc); err != nil {
				failed <- err
			}
		})
	}
	wg.Go(func() {
		if err := rulefile.Watch(ctx, g.cfg.PolicyFile, func() { g.follow(ctx) }); err != nil {
			failed <- err
		}
	})
	wg.Go(func() { g.every(ctx, g.cfg.ReportEvery, func() { g.reports.flush() }) })
	wg.Go(func() { g.every(ctx, g.cfg.RenewEvery, func() { g.renew(ctx) }) })
	up.Wait() // each has its socket: they cannot fail before
	close(g.ready)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
		err = fmt.Errorf("answering names: %w", err)
	}
	cancel()
	for _, srv := range servers {
		_ = srv.Shutdown()
	}
	for _, pc := range packets {
		pc.Close()
	}
	wg.Wait()
	g.reports.flush()
	return err
}

func (g *Guard) every(ctx context.Context, d time.Duration, f func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f()
		case <-ctx.Done():
			return
		}
	}
}

// listen opens a socket of each kind on every address.
func (g *Guard) listen(ctx context.Context) (packets []net.PacketConn, streams []net.Listener, err error) {
	conf := net.ListenConfig{}
	listenPacket, listen := conf.ListenPacket, conf.Listen
	if g.cfg.NS != nil {
		listenPacket, listen = g.cfg.NS.ListenPacket, g.cfg.NS.Listen
	}
	for _, addr := range append([]string{g.cfg.Listen}, g.cfg.Also...) {
		six := "4"
		if a, err := netip.ParseAddrPort(addr); err == nil && a.Addr().Is6() {
			six = "6"
		}
		var pc net.PacketConn
		var l net.Listener
		if pc, err = listenPacket(ctx, "udp"+six, addr); err == nil {
			packets = append(packets, pc)
			if l, err = listen(ctx, "tcp"+six, addr); err == nil {
				streams = append(streams, l)
			}
		}
		if err != nil {
			for _, pc := range packets {
				pc.Close()
			}
			for _, l := range streams {
				l.Close()
			}
			return nil, nil, fmt.Errorf("on %q: %w", addr, err)
		}
	}
	return packets, streams, nil
}
