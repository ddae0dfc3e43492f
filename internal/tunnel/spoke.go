package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// SpokeConfig says what a gateway's end stands on.
type SpokeConfig struct {
	Gateway ringwall.GatewayID
	Key     Key
	// Dial connects to a port of a device, or says why not: it is asked for every
	// connection, so that a device that is cut off since is not reached.
	Dial func(ctx context.Context, device ringwall.DeviceID, port uint16) (net.Conn, error)
	// Report tells of tunnels that came up, ended or are refused; it must not block.
	Report func(api.TunnelReport)
	Now    func() time.Time
	Log    *slog.Logger
}

// Spoke is a gateway's end of its tunnels. It holds nothing, listens on nothing
// and sends nothing while there is no tunnel.
type Spoke struct {
	cfg SpokeConfig

	mu     sync.Mutex
	end    *end
	peers  map[string]string // platform's public key -> endpoint
	open   map[ringwall.TunnelID]*inner
	closed bool
	wg     sync.WaitGroup
}

// inner is one open tunnel.
type inner struct {
	tunnel api.Tunnel
	listen net.Listener
	timer  *time.Timer
	cancel context.CancelFunc

	opened, up, down atomic.Uint64
}

// NewSpoke returns the end of a gateway; Set opens tunnels.
func NewSpoke(cfg SpokeConfig) *Spoke {
	return &Spoke{cfg: cfg, peers: map[string]string{}, open: map[ringwall.TunnelID]*inner{}}
}

// MaxTunnels bounds what one gateway keeps open.
const MaxTunnels = 32

// Set makes the open tunnels those of the document in force. What is new is
// opened, what is gone or over is closed with its connections.
func (s *Spoke) Set(tunnels []api.Tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	want := map[ringwall.TunnelID]api.Tunnel{}
	for _, t := range tunnels {
		if len(want) < MaxTunnels && t.Expires.After(s.cfg.Now()) {
			want[t.ID] = t
		}
	}
	for id, in := range s.open {
		if t, ok := want[id]; !ok || !same(t, in.tunnel) {
			s.shut(id, "closed by the platform")
		}
	}
	for id, t := range want {
		if _, ok := s.open[id]; ok {
			continue
		}
		if err := s.start(t); err != nil {
			s.cfg.Log.Error("tunnel cannot be opened", "tunnel", id, "err", err)
			s.cfg.Report(api.TunnelReport{Tunnel: id, State: "refused", Reason: err.Error()})
		}
	}
	if len(s.open) == 0 {
		s.down()
	}
}

func same(a, b api.Tunnel) bool {
	return a.Device == b.Device && a.Port == b.Port && a.Endpoint == b.Endpoint && string(a.PeerKey) == string(b.PeerKey) && a.Expires.Equal(b.Expires)
}

// start opens one tunnel. The caller holds mu.
func (s *Spoke) start(t api.Tunnel) error {
	peer, err := publicHex(t.PeerKey)
	if err != nil {
		return err
	}
	at, err := endpoint(t.Endpoint)
	if err != nil {
		return err
	}
	if s.end == nil {
		if s.end, err = openEnd(s.cfg.Key, GatewayAddr(s.cfg.Gateway), 0, s.cfg.Log); err != nil {
			s.end = nil
			return err
		}
	}
	if s.peers[peer] != at.String() {
		// The keep-alive holds the way open through whatever translates addresses
		// on it; the first one is sent at once.
		if err := s.end.set(fmt.Sprintf("public_key=%s\nendpoint=%s\npersistent_keepalive_interval=15\nreplace_allowed_ips=true\nallowed_ip=%s/128", peer, at, HubAddr())); err != nil {
			return err
		}
		s.peers[peer] = at.String()
	}
	l, err := s.end.net.ListenTCPAddrPort(netip.AddrPortFrom(GatewayAddr(s.cfg.Gateway), Port(t.ID)))
	if err != nil {
		return fmt.Errorf("listening inside: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	in := &inner{tunnel: t, listen: l, cancel: cancel}
	s.open[t.ID] = in
	// Time is served, whatever the clock does from now on.
	in.timer = time.AfterFunc(t.Expires.Sub(s.cfg.Now()), func() { s.over(t.ID, in) })
	s.wg.Go(func() { s.accept(ctx, in) })
	s.cfg.Report(api.TunnelReport{Tunnel: t.ID, State: "up"})
	return nil
}

// endpoint reads host:port; a name is looked up once.
func endpoint(text string) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(text); err == nil {
		return at, nil
	}
	a, err := net.ResolveUDPAddr("udp", text)
	if err != nil {
		return netip.AddrPort{}, ringwall.Errorf(ringwall.Invalid, "the platform's end of the tunnel is not found: %w", err)
	}
	return a.AddrPort(), nil
}

// over ends a tunnel whose time is served.
func (s *Spoke) over(id ringwall.TunnelID, in *inner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[id] != in {
		return
	}
	s.shut(id, "its time is over")
	if len(s.open) == 0 {
		s.down()
	}
}

// shut closes one tunnel. The caller holds mu.
func (s *Spoke) shut(id ringwall.TunnelID, why string) {
	in := s.open[id]
	delete(s.open, id)
	in.timer.Stop()
	in.cancel()
	in.listen.Close()
	s.cfg.Report(api.TunnelReport{Tunnel: id, State: "down", Reason: why, Opened: in.opened.Load(), Up: in.up.Load(), Down: in.down.Load()})
}

// down takes the encrypted way away. The caller holds mu.
func (s *Spoke) down() {
	if s.end != nil {
		s.end.close()
		s.end, s.peers = nil, map[string]string{}
	}
}

// maxConns bounds the connections through one tunnel at once.
const maxConns = 64

func (s *Spoke) accept(ctx context.Context, in *inner) {
	slots := make(chan struct{}, maxConns)
	for {
		c, err := in.listen.Accept()
		if err != nil {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		s.wg.Go(func() {
			defer func() { <-slots }()
			s.carry(ctx, in, c)
		})
	}
}

// carry joins one connection from inside with the device.
func (s *Spoke) carry(ctx context.Context, in *inner, from net.Conn) {
	defer from.Close()
	dial, cancel := context.WithTimeout(ctx, dialTime)
	to, err := s.cfg.Dial(dial, in.tunnel.Device, in.tunnel.Port)
	cancel()
	if err != nil {
		s.cfg.Log.Warn("tunnel does not reach the device", "tunnel", in.tunnel.ID, "device", in.tunnel.Device, "err", err)
		return
	}
	defer to.Close()
	in.opened.Add(1)
	Join(ctx, from, to, &in.down, &in.up)
}

// Join copies both ways until both are done or ctx ends, counting bytes.
func Join(ctx context.Context, a, b net.Conn, ab, ba *atomic.Uint64) {
	stop := context.AfterFunc(ctx, func() { a.Close(); b.Close() })
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		pour(a, b, ba)
	}()
	pour(b, a, ab)
	<-done
}

// pour copies until the end of one direction and passes the end on; after a
// fault it ends the other direction too.
func pour(to, from net.Conn, n *atomic.Uint64) {
	_, err := io.Copy(counting{to, n}, from)
	half, ok := to.(interface{ CloseWrite() error })
	if ok && err == nil {
		err = half.CloseWrite()
	}
	if !ok || err != nil && !errors.Is(err, net.ErrClosed) {
		to.Close()
		from.Close()
	}
}

type counting struct {
	w io.Writer
	n *atomic.Uint64
}

func (c counting) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n.Add(uint64(n))
	return n, err
}

// Close ends all tunnels and waits for what they did.
func (s *Spoke) Close() error {
	s.mu.Lock()
	s.closed = true
	for id := range s.open {
		s.shut(id, "the gateway's program ends")
	}
	s.down()
	s.mu.Unlock()
	s.wg.Wait()
	return nil
}
