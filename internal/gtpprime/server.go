package gtpprime

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr/gtpp"
)

// Sink takes records. AddRecords returns when they are durable; the bytes are its
// caller's again then.
type Sink interface {
	AddRecords(peer string, records [][]byte) error
}

// Config configures a Server.
type Config struct {
	// UDP and TCP are where to listen; one may be nil.
	UDP *net.UDPConn
	TCP net.Listener
	// Sink takes the records.
	Sink Sink
	// State is a directory for packets that are held and for the restart counter.
	State string
	// Allow are the networks of peers that are heard; none = nobody.
	Allow []netip.Prefix
	// MaxPeers bounds the peers that are remembered; 0 = 1,000.
	MaxPeers int
	// MaxHeld bounds the bytes of packets that are held; 0 = 64 MiB.
	MaxHeld int64
	// AtOnce bounds the packets that are being made durable; 0 = 256. Those that come
	// meanwhile wait in the socket.
	AtOnce int
	Log    *slog.Logger // nil = none
}

// Stats counts what happened since the server was made.
type Stats struct {
	Packets   uint64 `json:"packets"` // acknowledged
	Records   uint64 `json:"records"`
	Again     uint64 `json:"again"`     // packets that came again
	Held      uint64 `json:"held"`      // possibly duplicated ones
	Released  uint64 `json:"released"`  // of those
	Cancelled uint64 `json:"cancelled"` // of those
	Refused   uint64 `json:"refused"`   // answered that there is no room
	Bad       uint64 `json:"bad"`       // messages that are none
	Strangers uint64 `json:"strangers"` // messages of peers that are not allowed
}

// idle is how long a TCP peer may say nothing.
const idle = 10 * time.Minute

// Server is a charging gateway.
type Server struct {
	c     Config
	held  *held
	slots chan struct{}

	mu      sync.Mutex
	peers   map[netip.Addr]*peer
	waiting map[pending]chan gtpp.Message
	next    uint16
	udp     map[netip.AddrPort]bool // where peers spoke from, for GoDown

	packets, records, again, heldN, released, cancelled, refused, bad, strangers atomic.Uint64
}

type pending struct {
	peer netip.AddrPort
	seq  uint16
}

// New makes a server and reads the packets that are held. Errors have code
// Unavailable.
func New(c Config) (*Server, error) {
	if c.MaxPeers <= 0 {
		c.MaxPeers = 1000
	}
	if c.MaxHeld <= 0 {
		c.MaxHeld = 64 << 20
	}
	if c.AtOnce <= 0 {
		c.AtOnce = 256
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h, err := openHeld(c.State, c.MaxHeld)
	if err != nil {
		return nil, err
	}
	return &Server{c: c, held: h, slots: make(chan struct{}, c.AtOnce), peers: map[netip.Addr]*peer{}, waiting: map[pending]chan gtpp.Message{}, udp: map[netip.AddrPort]bool{}}, nil
}

// Stats says what happened.
func (s *Server) Stats() Stats {
	return Stats{
		Packets: s.packets.Load(), Records: s.records.Load(), Again: s.again.Load(), Held: s.heldN.Load(), Released: s.released.Load(),
		Cancelled: s.cancelled.Load(), Refused: s.refused.Load(), Bad: s.bad.Load(), Strangers: s.strangers.Load(),
	}
}

// Close closes the directory of held packets. Not before Serve has returned.
func (s *Server) Close() error { return s.held.close() }

// Serve serves until ctx ends, then returns nil, or until a socket fails.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, 2)
	stop := context.AfterFunc(ctx, func() {
		if s.c.UDP != nil {
			s.c.UDP.Close()
		}
		if s.c.TCP != nil {
			s.c.TCP.Close()
		}
	})
	defer stop()
	serve := func(f func(context.Context, *sync.WaitGroup) error) {
		wg.Go(func() {
			if err := f(ctx, &wg); err != nil && ctx.Err() == nil {
				errs <- err
				cancel()
			}
		})
	}
	if s.c.UDP != nil {
		serve(s.serveUDP)
	}
	if s.c.TCP != nil {
		serve(s.serveTCP)
	}
	<-ctx.Done()
	wg.Wait()
	select {
	case err := <-errs:
		return ringwall.Errorf(ringwall.Unavailable, "serving GTP prime: %w", err)
	default:
		return nil
	}
}

func (s *Server) serveUDP(ctx context.Context, wg *sync.WaitGroup) error {
	buf := make([]byte, gtpp.MaxMessage+1)
	for {
		n, from, err := s.c.UDP.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				continue
			}
			return err
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if !s.allowed(from.Addr()) {
			s.strangers.Add(1)
			continue
		}
		s.note(from)
		msg := append([]byte(nil), buf[:n]...)
		s.slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-s.slots }()
			if a := s.handle(from, msg); a != nil {
				// An answer that is lost is asked for again.
				if _, err := s.c.UDP.WriteToUDPAddrPort(a, from); err != nil && ctx.Err() == nil {
					s.c.Log.DebugContext(ctx, "answering a GTP prime peer", "peer", from, "error", err)
				}
			}
		})
	}
}

func (s *Server) serveTCP(ctx context.Context, wg *sync.WaitGroup) error {
	for {
		conn, err := s.c.TCP.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		from, err := netip.ParseAddrPort(conn.RemoteAddr().String())
		if err != nil || !s.allowed(from.Addr().Unmap()) {
			s.strangers.Add(1)
			conn.Close()
			continue
		}
		wg.Go(func() {
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			defer stop()
			defer conn.Close()
			if err := s.stream(ctx, conn, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())); err != nil && ctx.Err() == nil {
				s.c.Log.InfoContext(ctx, "a GTP prime connection ended", "peer", from, "error", err)
			}
		})
	}
}

// stream serves one connection: messages are handled beside each other, as those
// of UDP are.
func (s *Server) stream(ctx context.Context, conn net.Conn, from netip.AddrPort) error {
	r := bufio.NewReaderSize(conn, 64<<10)
	var wg sync.WaitGroup
	defer wg.Wait()
	var writing sync.Mutex
	for {
		if err := conn.SetReadDeadline(time.Now().Add(idle)); err != nil {
			return err
		}
		head, err := r.Peek(4)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		size, err := gtpp.Size(head)
		if err != nil {
			s.bad.Add(1)
			return err // nobody knows where the next message begins
		}
		msg := make([]byte, size)
		if _, err := io.ReadFull(r, msg); err != nil {
			return err
		}
		s.slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-s.slots }()
			if a := s.handle(from, msg); a != nil {
				writing.Lock()
				defer writing.Unlock()
				if err := conn.SetWriteDeadline(time.Now().Add(10 * time.Second)); err == nil {
					_, err = conn.Write(a)
					if err != nil && ctx.Err() == nil {
						s.c.Log.DebugContext(ctx, "answering a GTP prime peer", "peer", from, "error", err)
					}
				}
			}
		})
	}
}

func (s *Server) allowed(a netip.Addr) bool {
	for _, p := range s.c.Allow {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// note remembers where a peer speaks from.
func (s *Server) note(from netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.udp) < s.c.MaxPeers {
		s.udp[from] = true
	}
}

// handle deals with one message and returns the answer, nil = none.
func (s *Server) handle(from netip.AddrPort, b []byte) []byte {
	m, err := gtpp.Decode(b)
	if err != nil {
		s.bad.Add(1)
		if m.Type == gtpp.DataTransferRequest {
			return s.encode(gtpp.Answer(m, gtpp.InvalidFormat))
		}
		return nil
	}
	if m.Version > 2 {
		return s.encode(gtpp.Unsupported(m))
	}
	switch m.Type {
	case gtpp.EchoRequest:
		a := gtpp.Answer(m, 0)
		a.Recovery, a.HasRecovery = s.held.restarts, true
		return s.encode(a)
	case gtpp.NodeAliveRequest:
		return s.encode(gtpp.Answer(m, 0))
	case gtpp.RedirectionRequest:
		return s.encode(gtpp.Answer(m, gtpp.ServiceNotSupported))
	case gtpp.DataTransferRequest:
		cause, answer := s.transfer(from.Addr(), m)
		if !answer {
			return nil
		}
		return s.encode(gtpp.Answer(m, cause))
	case gtpp.NodeAliveResponse, gtpp.RedirectionResponse, gtpp.EchoResponse:
		s.mu.Lock()
		c := s.waiting[pending{from, m.Sequence}]
		s.mu.Unlock()
		select {
		case c <- m:
		default: // nobody waits
		}
	}
	return nil
}

func (s *Server) encode(m gtpp.Message) []byte {
	b, err := gtpp.Append(nil, m)
	if err != nil {
		s.c.Log.Error("a GTP prime answer cannot be written", "error", err)
		return nil
	}
	return b
}

// GoDown tells all peers that spoke over UDP to use other gateways, and waits for
// their answers until ctx ends: it asks again every second. It returns how many
// did not answer. For while Serve runs.
func (s *Server) GoDown(ctx context.Context, instead []netip.Addr) (silent int) {
	if s.c.UDP == nil {
		return 0
	}
	s.mu.Lock()
	type asked struct {
		p   pending
		msg []byte
		c   chan gtpp.Message
	}
	var all []asked
	for to := range s.udp {
		s.next++
		m := gtpp.Message{Version: 2, Type: gtpp.RedirectionRequest, Sequence: s.next, Cause: gtpp.ThisNodeGoesDown, Use: instead}
		a := asked{pending{to, m.Sequence}, s.encode(m), make(chan gtpp.Message, 1)}
		s.waiting[a.p] = a.c
		all = append(all, a)
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, a := range all {
			delete(s.waiting, a.p)
		}
	}()
	var wg sync.WaitGroup
	var answered atomic.Int64
	for _, a := range all {
		wg.Go(func() {
			again := time.NewTicker(time.Second)
			defer again.Stop()
			for {
				if _, err := s.c.UDP.WriteToUDPAddrPort(a.msg, a.p.peer); err != nil && ctx.Err() != nil {
					return
				}
				select {
				case <-a.c:
					answered.Add(1)
					return
				case <-again.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	wg.Wait()
	return len(all) - int(answered.Load())
}
