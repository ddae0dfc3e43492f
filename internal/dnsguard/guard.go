package dnsguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
)

// Binder opens the way to addresses. All of a list are open when it returns
// nil, none need be otherwise.
type Binder interface {
	BindAll(ctx context.Context, list []nft.Binding) error
}

// Config says where the guard stands.
type Config struct {
	// PolicyFile is written by the agent with WritePolicy. While it does not
	// exist, nothing is answered.
	PolicyFile string
	// Listen is where devices ask, such as "10.77.0.1:53"; UDP and TCP.
	Listen string
	// Firewall binds addresses before they are answered.
	Firewall Binder
	// Report is called with what was decided, each kind of decision once with its
	// count, every ReportEvery (0 = 10 s) and at the end. It must not wait.
	Report      func(api.DNSReport)
	ReportEvery time.Duration
	// NS is the namespace of the gateway; nil is that of the program.
	NS *netns.NS
	// MaxInFlight bounds the questions that are worked on at once (0 = 256). What
	// comes on top is dropped; clients ask again.
	MaxInFlight int
	// Now is the clock; nil is the system's.
	Now func() time.Time
	// Dial connects to the resolver; nil dials from NS.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Guard answers names.
type Guard struct {
	cfg     Config
	ready   chan struct{}
	reports reports
	rates   rates
	quotas  quotas
	slots   chan struct{}
	dropped atomic.Uint64

	mu     sync.Mutex // guards what follows
	table  *table
	loaded fileID
}

// fileID tells one version of a file from the next.
type fileID struct {
	ino, size uint64
	sec, nsec int64
}

const (
	reportEvery = 10 * time.Second
	maxInFlight = 256
	// tcpIdle is how long a TCP connection of a device may be silent.
	tcpIdle = 5 * time.Second
)

// New returns a guard. It listens when it runs.
func New(c Config) (*Guard, error) {
	if c.PolicyFile == "" || c.Listen == "" || c.Firewall == nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "a DNS guard needs a policy file, an address to listen on and a packet filter")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.ReportEvery == 0 {
		c.ReportEvery = reportEvery
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
	return &Guard{
		cfg: c, ready: make(chan struct{}), slots: make(chan struct{}, c.MaxInFlight),
		reports: reports{tell: c.Report}, rates: rates{now: c.Now}, quotas: quotas{now: c.Now},
	}, nil
}

// Ready is closed when the guard answers.
func (g *Guard) Ready() <-chan struct{} { return g.ready }

func (g *Guard) String() string { return "dns guard" }

// Dropped returns how many questions were dropped because too many were worked
// on.
func (g *Guard) Dropped() uint64 { return g.dropped.Load() }

// Run answers until ctx ends.
func (g *Guard) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pc, l, err := g.listen(ctx)
	if err != nil {
		return fmt.Errorf("listening for names on %q: %w", g.cfg.Listen, err)
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) { g.serve(ctx, w, req) })
	var up sync.WaitGroup
	up.Add(2)
	servers := []*dns.Server{
		{PacketConn: pc, Handler: handler, UDPSize: 4096, NotifyStartedFunc: up.Done},
		{Listener: l, Handler: handler, ReadTimeout: tcpIdle, WriteTimeout: tcpIdle, IdleTimeout: func() time.Duration { return tcpIdle }, MaxTCPQueries: 64, NotifyStartedFunc: up.Done},
	}
	failed := make(chan error, len(servers))
	var wg sync.WaitGroup
	for _, s := range servers {
		wg.Go(func() {
			if err := s.ActivateAndServe(); err != nil {
				failed <- err
			}
		})
	}
	wg.Go(func() {
		t := time.NewTicker(g.cfg.ReportEvery)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				g.reports.flush()
			case <-ctx.Done():
				return
			}
		}
	})
	up.Wait()
	close(g.ready)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
		err = fmt.Errorf("answering names: %w", err)
	}
	cancel()
	for _, s := range servers {
		_ = s.Shutdown()
	}
	wg.Wait()
	g.reports.flush()
	return err
}

func (g *Guard) listen(ctx context.Context) (net.PacketConn, net.Listener, error) {
	listenPacket := func() (net.PacketConn, error) { return (&net.ListenConfig{}).ListenPacket(ctx, "udp4", g.cfg.Listen) }
	listen := func() (net.Listener, error) { return (&net.ListenConfig{}).Listen(ctx, "tcp4", g.cfg.Listen) }
	if g.cfg.NS != nil {
		listenPacket = func() (net.PacketConn, error) { return g.cfg.NS.ListenPacket(ctx, "udp4", g.cfg.Listen) }
		listen = func() (net.Listener, error) { return g.cfg.NS.Listen(ctx, "tcp4", g.cfg.Listen) }
	}
	pc, err := listenPacket()
	if err != nil {
		return nil, nil, err
	}
	l, err := listen()
	if err != nil {
		pc.Close()
		return nil, nil, err
	}
	return pc, l, nil
}

// serve handles one question.
func (g *Guard) serve(ctx context.Context, w dns.ResponseWriter, req *dns.Msg) {
	src, err := netip.ParseAddrPort(w.RemoteAddr().String())
	if err != nil {
		return
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	default:
		g.dropped.Add(1)
		return
	}
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	resp := g.Answer(ctx, src.Addr().Unmap(), req)
	if resp == nil {
		return
	}
	size := dns.MaxMsgSize
	if udp {
		size = dns.MinMsgSize
		if opt := req.IsEdns0(); opt != nil {
			size = max(size, min(int(opt.UDPSize()), udpSize))
		}
	}
	resp.Truncate(size)
	_ = w.WriteMsg(resp)
}

// policy returns what is in the policy file now. While the file cannot be
// read, the last that could be stays.
func (g *Guard) policy() (*table, error) {
	var st unix.Stat_t
	if err := unix.Stat(g.cfg.PolicyFile, &st); err != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.table != nil && !errors.Is(err, unix.ENOENT) {
			return g.table, nil
		}
		return nil, &os.PathError{Op: "reading", Path: g.cfg.PolicyFile, Err: err}
	}
	id := fileID{st.Ino, uint64(st.Size), int64(st.Mtim.Sec), int64(st.Mtim.Nsec)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.table != nil && g.loaded == id {
		return g.table, nil
	}
	p, err := ReadPolicy(g.cfg.PolicyFile)
	if err != nil {
		if g.table != nil {
			return g.table, nil
		}
		return nil, err
	}
	g.table, g.loaded = newTable(p), id
	return g.table, nil
}
