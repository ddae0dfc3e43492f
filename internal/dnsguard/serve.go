package dnsguard

import (
	"context"
	"net"
	"net/netip"
	"sync"

	"github.com/miekg/dns"
)

// take takes one of the slots of questions that are worked on, if there is one.
func (g *Guard) take() bool {
	select {
	case g.slots <- struct{}{}:
		return true
	default:
		g.dropped.Add(1)
		return false
	}
}

// serveUDP answers datagrams until the socket is closed.
func (g *Guard) serveUDP(ctx context.Context, pc net.PacketConn) error {
	conn, ok := pc.(*net.UDPConn)
	if !ok {
		return net.UnknownNetworkError("dns over " + pc.LocalAddr().Network())
	}
	askForMarks(conn)
	var wg sync.WaitGroup
	defer wg.Wait()
	buf, oob := make([]byte, udpSize*4), make([]byte, 128)
	for {
		n, on, _, from, err := conn.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if n == 0 && isTransient(err) {
				continue
			}
			return err
		}
		if !g.take() {
			continue
		}
		req := new(dns.Msg)
		if err := req.Unpack(buf[:n]); err != nil {
			<-g.slots
			continue // who sends no question gets no answer
		}
		src := source{addr: from.Addr().Unmap(), mark: markOf(oob[:on])}
		wg.Go(func() {
			defer func() { <-g.slots }()
			resp := g.answer(ctx, src, req)
			if resp == nil {
				return
			}
			size := dns.MinMsgSize
			if opt := req.IsEdns0(); opt != nil {
				size = max(size, min(int(opt.UDPSize()), udpSize))
			}
			resp.Truncate(size)
			if wire, err := resp.Pack(); err == nil {
				_, _ = conn.WriteToUDPAddrPort(wire, from)
			}
		})
	}
}

// serveTCP handles one question of a connection.
func (g *Guard) serveTCP(ctx context.Context, w dns.ResponseWriter, req *dns.Msg) {
	src, err := netip.ParseAddrPort(w.RemoteAddr().String())
	if err != nil || !g.take() {
		return
	}
	defer func() { <-g.slots }()
	if resp := g.answer(ctx, source{addr: src.Addr().Unmap()}, req); resp != nil {
		resp.Truncate(dns.MaxMsgSize)
		_ = w.WriteMsg(resp)
	}
}

// limited is a listener that holds so many connections, so many of each address.
type limited struct {
	net.Listener

	mu  sync.Mutex
	all int
	by  map[netip.Addr]int
}

func limit(l net.Listener) *limited { return &limited{Listener: l, by: map[netip.Addr]int{}} }

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err == nil && l.enter(from.Addr()) {
			return &limitedConn{Conn: c, leave: func() { l.leave(from.Addr()) }}, nil
		}
		c.Close()
	}
}

func (l *limited) enter(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxTCP || l.by[a] >= maxTCPEach {
		return false
	}
	l.all++
	l.by[a]++
	return true
}

func (l *limited) leave(a netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.by[a]--; l.by[a] == 0 {
		delete(l.by, a)
	}
}

type limitedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

func (c *limitedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
