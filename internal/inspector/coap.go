package inspector

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ringwall/ringwall/internal/inspector/peek"
	"github.com/ringwall/ringwall/internal/policy"
)

const (
	// datagramIdle is how long an exchange may be silent: longer than a CoAP message
	// and its answer can be under way (EXCHANGE_LIFETIME of RFC 7252 section 4.8.2).
	datagramIdle = 250 * time.Second
	// maxDatagram is the largest that there is.
	maxDatagram = 64 << 10
	// maxExchanges bounds the pairs of ends that speak at once, maxExchangesEach those
	// of one device.
	maxExchanges, maxExchangesEach = 1024, 64
)

// exchange is one pair of ends that speak over UDP: two sockets, one towards each.
type exchange struct {
	in *Inspector
	ends
	device *net.UDPConn // speaks as the other end
	far    *net.UDPConn // speaks as the device
	start  time.Time
	last   atomic.Int64 // uptime
	up     atomic.Uint64
	down   atomic.Uint64

	mu     sync.Mutex // guards what follows
	what   seen       // the last that passed
	names  []string
	limits []bound
	ruling ruling
}

// exchanges are those of one listening socket.
type exchanges struct {
	in *Inspector

	mu   sync.Mutex
	by   map[ends]*exchange
	each map[netip.Addr]int
	open sync.WaitGroup
}

// datagrams judges every datagram that is steered here.
func (in *Inspector) datagrams(ctx context.Context, c *net.UDPConn) error {
	x := &exchanges{in: in, by: map[ends]*exchange{}, each: map[netip.Addr]int{}}
	ctx, cancel := context.WithCancel(ctx)
	defer x.open.Wait()
	defer cancel()
	x.open.Go(func() { in.every(ctx, judgeEvery, x.tidy) })
	stop := context.AfterFunc(ctx, x.closeAll)
	defer stop()
	buf, oob := make([]byte, maxDatagram), make([]byte, 128)
	for {
		n, on, _, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			continue
		}
		dst, ok := originalDst(oob[:on])
		if !ok {
			continue
		}
		e := ends{"udp", netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())}
		x.take(ctx, e, buf[:n])
	}
}

// seenDatagram is what a datagram shows: a CoAP request, or nothing that is
// understood. request is nil when it asks for nothing.
func seenDatagram(b []byte, remote netip.Addr) (what *seen, m peek.Message, ok bool) {
	m, err := peek.ParseCoAP(b)
	if err != nil {
		return &seen{Seen: policy.Seen{Complete: true}}, m, false
	}
	what = &seen{Seen: policy.Seen{Proto: "coap", Host: m.Host, Method: m.Method, Complete: true}}
	what.Path, _ = policy.CanonicalPath(m.Path)
	if m.Proxied {
		what.Host, what.ECH = "", true // whom it means is not whom it calls
	}
	return what, m, true
}

// take judges one datagram of who opened the exchange.
func (x *exchanges) take(ctx context.Context, e ends, b []byte) {
	dst := e.dst.Addr()
	if dst.IsLoopback() || dst.IsUnspecified() || dst.IsMulticast() || (*x.in.own.Load())[dst] {
		return
	}
	t, err := x.in.policy.Load()
	if err != nil {
		return
	}
	x.mu.Lock()
	ex := x.by[e]
	x.mu.Unlock()
	what, m, coap := seenDatagram(b, dst)
	if coap && !m.Request() && ex != nil {
		ex.send(ex.far, &ex.up, b) // an answer or an acknowledgement of what is open
		return
	}
	var names []string
	if ex != nil {
		ex.mu.Lock()
		names = ex.names
		ex.mu.Unlock()
	}
	d := x.in.judge(t, e, what, names)
	if m.Proxied && d.Pass && !d.Would {
		d.Pass, d.Reason = false, reasonMalformed
	}
	if d.Would {
		x.in.reports.refuse(e, &d, what)
	}
	if !d.Pass {
		x.in.reports.refuse(e, &d, what)
		if coap && m.Request() {
			x.forbid(ctx, e, ex, &m)
		}
		return
	}
	if ex == nil {
		if ex = x.enter(ctx, e, d); ex == nil {
			return
		}
	}
	ex.mu.Lock()
	ex.what, ex.ruling, ex.names = *what, d, d.names
	ex.mu.Unlock()
	ex.send(ex.far, &ex.up, b)
}

// forbid answers 4.03 as whom the device called: by the exchange, if one is open.
func (x *exchanges) forbid(ctx context.Context, e ends, ex *exchange, m *peek.Message) {
	if ex != nil {
		_, _ = ex.device.Write(m.Forbid()) // it may be ending; the device asks again
		return
	}
	_ = answerOnce(ctx, x.in.cfg.NS, e.dst, e.src, m.Forbid())
}

// enter opens an exchange.
func (x *exchanges) enter(ctx context.Context, e ends, d ruling) *exchange {
	refuse := func(reason string) *exchange {
		d.Pass, d.Reason = false, reason
		x.in.reports.refuse(e, &d, &seen{})
		return nil
	}
	x.mu.Lock()
	full := len(x.by) >= maxExchanges || x.each[e.src.Addr()] >= maxExchangesEach
	x.mu.Unlock()
	if full {
		return refuse(reasonCaps)
	}
	if !x.in.limits.enter(d.limits) {
		return refuse(reasonLimited)
	}
	mark := uint32(0)
	if d.opener != nil {
		mark = d.opener.mark
	} else if d.target != nil {
		mark = d.target.mark
	}
	far, err := dial(ctx, x.in.cfg.NS, "udp", e.src, e.dst, mark)
	if err != nil {
		x.in.limits.leave(d.limits)
		return nil
	}
	near, err := answerFrom(ctx, x.in.cfg.NS, e.dst, e.src)
	if err != nil {
		far.Close()
		x.in.limits.leave(d.limits)
		return nil
	}
	ex := &exchange{in: x.in, ends: e, device: near, far: far.(*net.UDPConn), start: x.in.cfg.Now(), limits: d.limits, ruling: d, names: d.names}
	ex.last.Store(int64(x.in.cfg.Uptime()))
	x.mu.Lock()
	x.by[e] = ex
	x.each[e.src.Addr()]++
	x.mu.Unlock()
	if ctx.Err() != nil {
		ex.far.Close() // closeAll did not know of it
	}
	x.open.Go(func() {
		// The kernel gives what comes after the first datagram to this socket: it is of
		// the same two ends.
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, maxDatagram)
			for {
				n, err := near.Read(buf)
				if err != nil {
					if errors.Is(err, net.ErrClosed) {
						return
					}
					continue
				}
				x.take(ctx, e, buf[:n])
			}
		}()
		ex.answers()
		near.Close()
		<-done
		x.leave(ex)
	})
	return ex
}

// answers passes on what the other end says. Its answers belong to what was
// asked; a request of its own is judged like one of the device.
func (ex *exchange) answers() {
	buf := make([]byte, maxDatagram)
	for {
		n, err := ex.far.Read(buf)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // an ICMP error of what was sent
		}
		b := buf[:n]
		if what, m, coap := seenDatagram(b, ex.dst.Addr()); coap && m.Request() {
			t, err := ex.in.policy.Load()
			if err != nil {
				continue
			}
			ex.mu.Lock()
			names := ex.names
			ex.mu.Unlock()
			d := ex.in.judge(t, ex.ends, what, names)
			if !d.Pass || d.Would {
				ex.in.reports.refuse(ex.ends, &d, what)
			}
			if !d.Pass {
				continue
			}
		}
		ex.send(ex.device, &ex.down, b)
	}
}

func (ex *exchange) send(to *net.UDPConn, count *atomic.Uint64, b []byte) {
	ex.mu.Lock()
	list := ex.limits
	ex.mu.Unlock()
	if len(list) > 0 {
		// A datagram that would have to wait is lost, as in a queue that is full.
		if wait, over := ex.in.limits.count(list, int64(len(b))); over || wait > time.Second {
			ex.mu.Lock()
			d := ex.ruling
			ex.mu.Unlock()
			d.Pass, d.Reason = false, reasonLimited
			ex.in.reports.refuse(ex.ends, &d, &seen{})
			return
		}
	}
	if n, err := to.Write(b); err == nil {
		count.Add(uint64(n))
		ex.last.Store(int64(ex.in.cfg.Uptime()))
	}
}

// tidy ends exchanges that are silent, or not allowed any more.
func (x *exchanges) tidy() {
	t, err := x.in.policy.Load()
	x.mu.Lock()
	list := make([]*exchange, 0, len(x.by))
	for _, ex := range x.by {
		list = append(list, ex)
	}
	x.mu.Unlock()
	now := x.in.cfg.Uptime()
	for _, ex := range list {
		ex.mu.Lock()
		what, names := ex.what, ex.names
		ex.mu.Unlock()
		if err == nil && now-time.Duration(ex.last.Load()) <= datagramIdle && x.in.judge(t, ex.ends, &what, names).Pass {
			continue
		}
		ex.far.Close() // its goroutine does the rest
	}
}

func (x *exchanges) leave(ex *exchange) {
	x.mu.Lock()
	delete(x.by, ex.ends)
	if x.each[ex.src.Addr()]--; x.each[ex.src.Addr()] == 0 {
		delete(x.each, ex.src.Addr())
	}
	x.mu.Unlock()
	ex.mu.Lock()
	d, what := ex.ruling, ex.what
	ex.mu.Unlock()
	x.in.limits.leave(ex.limits)
	x.in.reports.ended(ex.ends, &d, &what, ex.start, ex.up.Load(), ex.down.Load())
}

func (x *exchanges) closeAll() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, ex := range x.by {
		ex.far.Close()
	}
}
