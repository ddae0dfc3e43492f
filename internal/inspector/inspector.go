package inspector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/flow"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/resolved"
	"github.com/ringwall/ringwall/internal/rulefile"
)

// Config says where the inspector stands.
type Config struct {
	// PolicyFile is written by the agent by package rulefile. While it does not exist,
	// everything is refused.
	PolicyFile string
	// Names is the file of the DNS guard (dnsguard.Config.Names): which device found
	// which address by which name. While it does not exist, no name counts.
	Names string
	// Port is nft.Config.Inspect, TCP and UDP.
	Port uint16
	// Report is called with what was refused or would have been, each kind once with
	// its count, every ReportEvery (0 = 10 s) and at the end. It must not wait.
	Report      func(api.Notice)
	ReportEvery time.Duration
	// Flow is called at the end of each flow with what stood inside. Packets are not
	// counted in it. It must not wait; nil = nobody wants to know.
	Flow func(flow.Record)
	// NS is the namespace of the gateway; nil is that of the program.
	NS *netns.NS
	// MaxConns bounds the connections that are open at once (0 = 4096, or what the
	// limit of open files has room for), MaxEach those of one device, opened by it or
	// to it (0 = 256). What comes on top is refused.
	MaxConns, MaxEach int
	// HeadWait is how long the first byte of a connection may take, and any head from
	// its first byte to its last (0 = 10 s).
	HeadWait time.Duration
	// Now is the clock of windows and reports; nil is the system's.
	Now func() time.Time
	// Uptime is the clock of lives and rates, which nobody sets; nil is the boot clock.
	Uptime func() time.Duration
	// Log takes what an operator should know; nil = nothing.
	Log *slog.Logger
}

// Inspector judges flows by what stands inside.
type Inspector struct {
	cfg     Config
	ready   chan struct{}
	policy  *rulefile.Loader[table]
	names   *resolved.Reader
	reports reports
	limits  limits
	own     atomic.Pointer[map[netip.Addr]bool]
	open    sync.WaitGroup // connections
	blocks  sync.Pool      // of *block

	mu   sync.Mutex // guards what follows
	live map[*session]struct{}
	each map[netip.Addr]int
}

const (
	defaultReportEvery = 10 * time.Second
	defaultMaxConns    = 4096
	defaultMaxEach     = 256
	// filesEach is how many files one connection may take: two sockets, and two ends of
	// a pipe for each direction that the kernel moves. filesElse are for all else.
	filesEach, filesElse = 6, 64
	// judgeEvery is how often open connections are judged anew: windows end in time.
	judgeEvery = time.Second
)

// New returns an inspector. It listens when it runs.
func New(c Config) (*Inspector, error) {
	if c.PolicyFile == "" || c.Port == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "an inspector needs a policy file and a port")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Uptime == nil {
		c.Uptime = resolved.Uptime
	}
	if c.ReportEvery == 0 {
		c.ReportEvery = defaultReportEvery
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultMaxConns
	}
	if c.MaxEach == 0 {
		c.MaxEach = defaultMaxEach
	}
	if c.HeadWait == 0 {
		c.HeadWait = headWait
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Inspector{
		cfg: c, ready: make(chan struct{}), policy: rulefile.NewLoader(c.PolicyFile, loadTable),
		names: resolved.NewReader(c.Names, c.Uptime), reports: reports{tell: c.Report, flow: c.Flow, now: c.Now},
		limits: limits{now: c.Now, uptime: c.Uptime}, live: map[*session]struct{}{}, each: map[netip.Addr]int{},
	}, nil
}

// Ready is closed when the inspector listens.
func (in *Inspector) Ready() <-chan struct{} { return in.ready }

func (in *Inspector) String() string { return "inspector" }

// Open returns how many connections are open.
func (in *Inspector) Open() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.live)
}

// Run judges until ctx ends, and closes all connections then. An inspector runs
// once.
func (in *Inspector) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer in.names.Close()
	addrs := own(in.cfg.NS)
	in.own.Store(&addrs)
	in.cfg.MaxConns = max(1, min(in.cfg.MaxConns, (maxFiles()-filesElse)/filesEach))
	var streams []*net.TCPListener
	var packets []*net.UDPConn
	closeAll := func() {
		for _, l := range streams {
			l.Close()
		}
		for _, c := range packets {
			c.Close()
		}
	}
	defer closeAll()
	for _, six := range []bool{false, true} {
		l, err := listenTCP(ctx, in.cfg.NS, in.cfg.Port, six)
		var c *net.UDPConn
		if err == nil {
			streams = append(streams, l)
			if c, err = listenUDP(ctx, in.cfg.NS, in.cfg.Port, six); err == nil {
				packets = append(packets, c)
			}
		}
		if err != nil && !(six && noSuchFamily(err)) {
			return fmt.Errorf("listening for flows to inspect on port %d: %w", in.cfg.Port, err)
		}
	}
	failed := make(chan error, len(streams)+len(packets)+1)
	var wg sync.WaitGroup
	run := func(f func() error) {
		wg.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				failed <- err
			}
		})
	}
	for _, l := range streams {
		run(func() error { return in.accept(ctx, l) })
	}
	for _, c := range packets {
		run(func() error { return in.datagrams(ctx, c) })
	}
	run(func() error { return rulefile.Watch(ctx, in.cfg.PolicyFile, in.judgeAll) })
	wg.Go(func() { in.every(ctx, judgeEvery, in.judgeAll) })
	wg.Go(func() {
		in.every(ctx, in.cfg.ReportEvery, func() {
			addrs := own(in.cfg.NS)
			in.own.Store(&addrs)
			in.reports.flush()
		})
	})
	if err := in.limits.load(in.quotaPath()); err != nil {
		in.cfg.Log.Error("what was used of quotas is not known; they begin anew", "err", err)
	}
	save := func() {
		if err := in.limits.save(in.quotaPath()); err != nil {
			in.cfg.Log.Error("what is used of quotas cannot be written", "err", err)
		}
	}
	wg.Go(func() { in.every(ctx, quotaEvery, save) })
	close(in.ready)
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("inspecting flows: %w", err)
	}
	cancel()
	closeAll()
	wg.Wait()
	in.mu.Lock()
	for s := range in.live {
		s.cut()
	}
	in.mu.Unlock()
	in.open.Wait()
	save()
	in.reports.flush()
	return err
}

func (in *Inspector) every(ctx context.Context, d time.Duration, f func()) {
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

func (in *Inspector) accept(ctx context.Context, l *net.TCPListener) error {
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of files: those that are open have to end first.
			in.cfg.Log.Warn("a connection to inspect cannot be taken", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		e := ends{"tcp", addrPort(c.RemoteAddr()), addrPort(c.LocalAddr())}
		s := &session{in: in, ends: e, client: c, start: in.cfg.Now()}
		if !in.enter(s) {
			reset(c)
			continue
		}
		go s.run(ctx) // in.open waits for it
	}
}

func addrPort(a net.Addr) netip.AddrPort {
	switch v := a.(type) {
	case *net.TCPAddr:
		return netip.AddrPortFrom(v.AddrPort().Addr().Unmap(), uint16(v.Port))
	case *net.UDPAddr:
		return netip.AddrPortFrom(v.AddrPort().Addr().Unmap(), uint16(v.Port))
	}
	return netip.AddrPort{}
}

// enter counts a connection in. It refuses what nobody steered here (its end is
// the gateway itself, or nobody's) and what is over the bounds.
func (in *Inspector) enter(s *session) bool {
	dst := s.dst.Addr()
	if !dst.IsValid() || dst.IsLoopback() || dst.IsUnspecified() || dst.IsMulticast() || (*in.own.Load())[dst] {
		return false
	}
	// Whoever is behind us has the share, or a crowd outside would use up those of all.
	s.share = s.src.Addr()
	if t, err := in.policy.Load(); err == nil && t.byIP[s.share] == nil {
		s.share = dst
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.live) >= in.cfg.MaxConns || in.each[s.share] >= in.cfg.MaxEach {
		in.reports.refuse(s.ends, &ruling{Verdict: verdictOf(reasonCaps)}, &seen{})
		return false
	}
	in.live[s] = struct{}{}
	in.each[s.share]++
	in.open.Add(1)
	return true
}

func (in *Inspector) leave(s *session) {
	in.mu.Lock()
	delete(in.live, s)
	if in.each[s.share]--; in.each[s.share] == 0 {
		delete(in.each, s.share)
	}
	in.mu.Unlock()
	in.open.Done()
}

// judgeAll judges all connections anew by what the file says now.
func (in *Inspector) judgeAll() {
	t, err := in.policy.Load()
	in.mu.Lock()
	list := make([]*session, 0, len(in.live))
	for s := range in.live {
		list = append(list, s)
	}
	in.mu.Unlock()
	for _, s := range list {
		if err != nil {
			s.cut() // without a policy nothing is allowed
			continue
		}
		s.again(t)
	}
}
