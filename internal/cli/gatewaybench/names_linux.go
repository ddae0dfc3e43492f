package gatewaybench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/dnsguard"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

const (
	lookups  = 400
	edges    = 40 // addresses of each name
	sites    = 10 // names
	nameTTL  = 5
	edgePort = 443
)

func edge(site, i int) netip.Addr {
	return netip.AddrFrom4([4]byte{203, 0, byte(113 + site), byte(1 + i)})
}

// names counts first connections that fail: a device looks a name up, whose
// answers rotate, and connects at once.
func names(ctx context.Context, o Options) (out []Figure, err error) {
	for _, x := range []struct {
		name string
		way  nameWay
	}{
		{figFirst, boundFirst},
		{"control: first connections that fail when the binding comes 1 ms after the answer", answeredFirst},
		{"control: first connections that fail when the gateway polls the names by itself", polled},
	} {
		failed, err := firstConnections(ctx, x.way)
		if err != nil {
			return out, fmt.Errorf("%s: %w", x.name, err)
		}
		out = append(out, Figure{What: x.name, Value: float64(failed), Unit: "connections", Of: fmt.Sprintf("of %d", lookups)})
	}
	return out, nil
}

type nameWay uint8

const (
	boundFirst nameWay = iota
	answeredFirst
	polled
)

// late says that an address is bound a millisecond before it is.
type late struct {
	*nft.Firewall
	wg *sync.WaitGroup
}

func (l late) BindAll(_ context.Context, list []nft.Binding) error {
	list = append([]nft.Binding(nil), list...)
	l.wg.Go(func() {
		time.Sleep(time.Millisecond)
		_ = l.Firewall.BindAll(context.Background(), list) // what fails is never bound, which the device finds out
	})
	return nil
}

func firstConnections(ctx context.Context, way nameWay) (failed int, err error) {
	r, err := newRig(ctx, 1)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	resolver := netip.AddrPortFrom(netip.MustParseAddr(Server), 53)
	for s := range sites {
		for i := range edges {
			if err := r.Outside.Addr("inet0", edge(s, i).String()+"/32"); err != nil {
				return 0, err
			}
		}
		if err := r.Gateway.Route(fmt.Sprintf("203.0.%d.0/24", 113+s), Server); err != nil {
			return 0, err
		}
	}
	l, err := r.Outside.Listen(ctx, "tcp4", fmt.Sprintf("0.0.0.0:%d", edgePort))
	if err != nil {
		return 0, err
	}
	upstream, err := r.Outside.ListenPacket(ctx, "udp4", resolver.String())
	if err != nil {
		return 0, errors.Join(err, l.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { cancel(); l.Close(); upstream.Close(); wg.Wait() }()
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	wg.Go(func() { serveNames(upstream) })

	d := r.Desired()
	d.Resolver = resolver
	d.Devices[0].Terms = []api.Term{{ID: "cdn", Action: api.Allow, Direction: api.FromDevice, Domain: "*.cdn.example", Proto: "tcp", Ports: []api.PortRange{{First: edgePort, Last: edgePort}}}}
	ask := netip.AddrPortFrom(netip.MustParseAddr(gatewayLAN), 53)
	if way == polled {
		ask = resolver
		d.Devices[0].Terms = append(d.Devices[0].Terms, api.Term{ID: "dns", Action: api.Allow, Direction: api.FromDevice, CIDR: netip.PrefixFrom(resolver.Addr(), 32), Proto: "udp", Ports: []api.PortRange{{First: 53, Last: 53}}})
	}
	fw, err := nft.Open(nft.Config{NS: r.Gateway, Bridge: Bridge, Uplink: Uplink})
	if err != nil {
		return 0, err
	}
	defer fw.Close()
	if err := fw.Base(ctx); err != nil {
		return 0, err
	}
	p, err := policy.Compile(d, nil, time.Now())
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "ringwall-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "dns.json")
	if err := rulefile.Put(file, dnsguard.PolicyOf(p), func() error { _, err := fw.Apply(ctx, p); return err }); err != nil {
		return 0, err
	}
	if way == polled {
		wg.Go(func() { poll(ctx, r, fw, resolver) })
	} else {
		var binder dnsguard.Binder = fw
		if way == answeredFirst {
			binder = late{fw, &wg}
		}
		g, err := dnsguard.New(dnsguard.Config{PolicyFile: file, Listen: ask.String(), NS: r.Gateway, Firewall: binder})
		if err != nil {
			return 0, err
		}
		ended := make(chan error, 1)
		wg.Go(func() { ended <- g.Run(ctx) })
		select {
		case <-g.Ready():
		case err := <-ended:
			return 0, err
		}
	}
	for range lookups {
		addr, err := lookup(ctx, r.Dev.ListenPacket, ask, fmt.Sprintf("s%d.cdn.example.", rand.IntN(sites)))
		if err != nil {
			return 0, err
		}
		dctx, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		c, err := r.Dev.DialContext(dctx, "tcp", netip.AddrPortFrom(addr, edgePort).String())
		stop()
		if err != nil {
			failed++
			continue
		}
		c.Close()
	}
	return failed, nil
}

// serveNames answers with one of the addresses of a name, another each time.
func serveNames(pc net.PacketConn) {
	buf := make([]byte, 1500)
	for {
		n, from, err := pc.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		var p dnsmessage.Parser
		h, err := p.Start(buf[:n])
		if err != nil {
			continue
		}
		q, err := p.Question()
		if err != nil {
			continue
		}
		h.Response, h.RecursionAvailable = true, true
		b := dnsmessage.NewBuilder(nil, h)
		_ = b.StartQuestions() // the order of sections is right
		_ = b.Question(q)
		_ = b.StartAnswers()
		var site int
		if name := q.Name.String(); q.Type == dnsmessage.TypeA && len(name) > 2 {
			site = int(name[1] - '0')
			_ = b.AResource(dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: nameTTL}, dnsmessage.AResource{A: edge(site%sites, rand.IntN(edges)).As4()})
		}
		if out, err := b.Finish(); err == nil {
			_, _ = pc.WriteTo(out, from) // a lost answer is asked for again
		}
	}
}

// lookup asks once more where it gets no answer, as a guard that bounds the rate
// of a device may give none.
func lookup(ctx context.Context, listen func(ctx context.Context, network, address string) (net.PacketConn, error), at netip.AddrPort, name string) (a netip.Addr, err error) {
	pc, err := listen(ctx, "udp4", ":0")
	if err != nil {
		return a, err
	}
	defer pc.Close()
	buf := make([]byte, 1500)
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until) && ctx.Err() == nil; {
		id := uint16(rand.Uint32())
		b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: id, RecursionDesired: true})
		_ = b.StartQuestions()
		_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET})
		q, err := b.Finish()
		if err != nil {
			return a, err
		}
		if _, err := pc.WriteTo(q, net.UDPAddrFromAddrPort(at)); err != nil {
			return a, err
		}
		_ = pc.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
		n, _, err := pc.ReadFrom(buf)
		if err != nil {
			continue
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) == nil && m.ID == id {
			for _, r := range m.Answers {
				if r, ok := r.Body.(*dnsmessage.AResource); ok {
					return netip.AddrFrom4(r.A), nil
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return a, errors.Join(fmt.Errorf("%q is not answered", name), ctx.Err())
}

// poll is what gateways do that resolve the names of a policy by themselves, now
// and then, and let devices to what they got.
func poll(ctx context.Context, r *Rig, fw *nft.Firewall, resolver netip.AddrPort) {
	for ctx.Err() == nil {
		for s := range sites {
			a, err := lookup(ctx, r.Gateway.ListenPacket, resolver, fmt.Sprintf("s%d.cdn.example.", s))
			if err != nil {
				return
			}
			_ = fw.BindAll(ctx, []nft.Binding{{Mark: 1, Addr: a, Name: fmt.Sprintf("s%d.cdn.example", s),
				Services: []policy.Service{{Proto: policy.ProtoTCP, Ports: []api.PortRange{{First: edgePort, Last: edgePort}}}}, Life: time.Minute}}) // what fails stays closed
		}
		select {
		case <-ctx.Done():
		case <-time.After(nameTTL * time.Second / 5): // five times as often as the answers demand
		}
	}
}
