package gatewaybench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/fastpath"
	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
)

// Names of contenders that figures are held against.
const (
	plain        = "plain forwarding"
	plainAgain   = "plain forwarding, again"
	tracking     = "conntrack only"
	tapOff       = "Ringwall, tap off"
	tapOn        = "Ringwall, tap on"
	fastPath     = "Ringwall with the fast path"
	fastPathTap  = "Ringwall with the fast path, tap on"
	nothingAhead = "sender alone"
)

// ours are the contenders that need nothing but the kernel.
func ours() []Contender {
	open := func(context.Context, *Rig) (*Running, error) { return &Running{Stop: func() error { return nil }}, nil }
	return append([]Contender{
		{Name: plain, Start: open},
		{Name: tracking, Start: startTracking},
		{Name: tapOff, Start: ringwallBy(false, false)},
		{Name: tapOn, Start: ringwallBy(true, false)},
		{Name: fastPath, Start: ringwallBy(false, true)},
		{Name: fastPathTap, Start: ringwallBy(true, true)},
		{Name: plainAgain, Start: open},
		{Name: nothingAhead, Start: startNothing},
	}, parts()...)
}

// startTracking drops what is not of a tracked connection: the least that a
// gateway with state does.
func startTracking(_ context.Context, r *Rig) (*Running, error) {
	c, err := nftables.New(nftables.WithNetNSFd(r.Gateway.FD()))
	if err != nil {
		return nil, err
	}
	drop := nftables.ChainPolicyDrop
	t := c.AddTable(&nftables.Table{Name: "tracking", Family: nftables.TableFamilyIPv4})
	ch := c.AddChain(&nftables.Chain{Name: "forward", Table: t, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Type: nftables.ChainTypeFilter, Policy: &drop})
	c.AddRule(&nftables.Rule{Table: t, Chain: ch, Exprs: tracked()})
	return &Running{Stop: func() error { return nil }}, c.Flush()
}

// tracked lets pass what is of a tracked connection.
func tracked() []expr.Any {
	states := uint32(expr.CtStateBitNEW | expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(states), Xor: native(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native(0)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}
}

// startNothing drops everything where it comes in: what is left is what the
// sender costs.
func startNothing(_ context.Context, r *Rig) (*Running, error) {
	c, err := nftables.New(nftables.WithNetNSFd(r.Gateway.FD()))
	if err != nil {
		return nil, err
	}
	drop := nftables.ChainPolicyDrop
	t := c.AddTable(&nftables.Table{Name: "nothing", Family: nftables.TableFamilyNetdev})
	c.AddChain(&nftables.Chain{Name: "ingress", Table: t, Hooknum: nftables.ChainHookIngress, Priority: nftables.ChainPriorityFilter, Type: nftables.ChainTypeFilter, Policy: &drop, Device: Port})
	return &Running{Stop: func() error { return nil }}, c.Flush()
}

// benchLease is longer than the rounds of the others, in which a contender rests
// and none of its flows could be renewed.
const benchLease = 10 * time.Minute

// benchRefresh is the default for one who works less than half of the time: what
// counts is how many of its packets go the slow way.
const benchRefresh = 20 * time.Second

// ringwallBy starts the firewall as the agent does.
func ringwallBy(tapped, fast bool) func(context.Context, *Rig) (*Running, error) {
	return func(ctx context.Context, r *Rig) (*Running, error) {
		g, err := startGateway(ctx, r, fast, fastpath.Config{Lease: benchLease, Refresh: benchRefresh})
		if err != nil {
			return nil, err
		}
		run := &Running{Stop: g.stop, Warm: g.warm}
		if tapped {
			w, err := watchRig(r)
			if err != nil {
				return nil, errors.Join(err, g.stop())
			}
			run.Tap = w.stats
			run.Stop = func() error { return errors.Join(w.stop(), g.stop()) }
		}
		return run, nil
	}
}

// gateway is the firewall of a rig with its policy in force.
type gateway struct {
	fw     *nft.Firewall
	path   *fastpath.Path // nil without
	hash   string
	first  time.Duration // that the first Apply took
	end    context.CancelFunc
	wg     sync.WaitGroup
	runErr error

	lastCached uint64
	lastAsked  time.Time
}

func startGateway(ctx context.Context, r *Rig, fast bool, fc fastpath.Config) (g *gateway, err error) {
	g = &gateway{end: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.stop())
		}
	}()
	cfg := nft.Config{NS: r.Gateway, Bridge: Bridge, Uplink: Uplink}
	if fast {
		fc.NS, fc.Bridge, fc.Uplink = r.Gateway, Bridge, Uplink
		if g.path, err = fastpath.Open(fc); err != nil {
			return g, err
		}
		cfg.Fast = g.path
	}
	if g.fw, err = nft.Open(cfg); err != nil {
		return g, err
	}
	if err := g.fw.Base(ctx); err != nil {
		return g, err
	}
	p, err := policy.Compile(r.Desired(), nil, time.Now())
	if err != nil {
		return g, err
	}
	began := time.Now()
	if g.hash, err = g.fw.Apply(ctx, p); err != nil {
		return g, err
	}
	g.first = time.Since(began)
	if !fast {
		return g, nil
	}
	ctx, g.end = context.WithCancel(ctx)
	begun := make(chan bool)
	g.wg.Go(func() { g.runErr = g.path.Run(ctx, g.fw, sync.OnceFunc(func() { close(begun) })) })
	select {
	case <-begun:
	case <-time.After(10 * time.Second):
		return g, errors.New("the fast path does not begin")
	}
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		active, why := g.path.Tier()
		if active {
			return g, nil
		}
		if time.Now().After(until) {
			return g, fmt.Errorf("the fast path is idle: %s", why)
		}
	}
}

// warm reports whether the cache has stopped growing.
func (g *gateway) warm() bool {
	if g.path == nil {
		return true
	}
	now := g.path.Stats().Cached
	grown := now - g.lastCached
	settled := time.Since(g.lastAsked) > 100*time.Millisecond && grown < 20
	g.lastCached, g.lastAsked = now, time.Now()
	return settled
}

func (g *gateway) stop() error {
	g.end()
	g.wg.Wait()
	errs := []error{g.runErr}
	if g.fw != nil {
		errs = append(errs, g.fw.Close())
	}
	if g.path != nil {
		errs = append(errs, g.path.Close())
	}
	return errors.Join(errs...)
}

// forgetFlows empties the gateway's table of connections, so that new flows find
// room in the next round.
func forgetFlows(r *Rig) error {
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: r.Gateway.FD()})
	if err != nil {
		return err
	}
	defer c.Close()
	const ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE
	_, err = c.Execute(netlink.Message{
		Header: netlink.Header{Type: ctDelete, Flags: netlink.Request | netlink.Acknowledge},
		Data:   []byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 0},
	})
	if err != nil {
		return fmt.Errorf("forgetting connections: %w", err)
	}
	return nil
}
