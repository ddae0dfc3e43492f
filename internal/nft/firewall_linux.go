package nft

import (
	"sync"
	"time"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/policy"
)

func (s Service) match() exprs { return rule(l4(s.Proto), dport(r0), eq(r0, be16(s.Port))) }

// site is a configuration with what the kernel of the place cannot. Without
// bridge-meta a frame does not tell which bridge it is on, and every bridge of
// the namespace is taken for ours.
type site struct {
	Config
	noLog, noReject, noBridgeMeta bool
}

// lan lists all interfaces towards devices.
func (c Config) lan() []string {
	var out []string
	if c.Bridge != "" {
		out = append(out, c.Bridge)
	}
	return append(out, c.LAN...)
}

// binders lists the families in which packets are tied to devices.
func (c Config) binders() []family {
	var out []family
	if c.Bridge != "" {
		out = append(out, bridge)
	}
	if len(c.LAN) > 0 {
		out = append(out, ipv4)
	}
	return out
}

// Firewall is the packet filter of one gateway.
type Firewall struct {
	cfg  site
	tier string
	defs []setDef
	skel skeleton

	// mu excludes Apply, Restrict, Hash and Base from each other. It guards what
	// follows: what the kernel is known to hold.
	mu   sync.Mutex
	held image       // nil when it is not known
	hash string      // of the last read
	plan policy.Plan // the last that was applied
	conn *nftables.Conn

	bindMu sync.Mutex // guards binder
	binder *nftables.Conn
}

// Open connects to the kernel and finds out what it can do. It changes
// nothing. The error has code Unavailable when the kernel lacks what is needed
// and Invalid when the configuration makes no sense.
func Open(c Config) (*Firewall, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Bridge == "" && len(c.LAN) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "no interface towards devices is named")
	}
	for _, l := range append(c.lan(), c.Uplink) {
		if len(l) >= unix.IFNAMSIZ {
			return nil, ringwall.Errorf(ringwall.Invalid, "%q is too long for the name of an interface", l)
		}
	}
	for _, s := range append(append([]Service(nil), c.Services...), c.Manage...) {
		if s.Proto != policy.ProtoTCP && s.Proto != policy.ProtoUDP {
			return nil, ringwall.Errorf(ringwall.Invalid, "service with protocol %d: want 6 or 17", s.Proto)
		}
	}
	f := &Firewall{cfg: site{Config: c}, defs: setDefs(c)}
	var err error
	if f.conn, err = f.dial(); err != nil {
		return nil, err
	}
	if f.binder, err = f.dial(); err != nil {
		f.conn.CloseLasting()
		return nil, err
	}
	if c.BindOnly {
		return f, nil
	}
	if err := f.probe(); err != nil {
		f.Close()
		return nil, err
	}
	f.skel = newSkeleton(f.cfg)
	return f, nil
}

// Close ends the connections to the kernel. What is in force stays in force.
func (f *Firewall) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bindMu.Lock()
	defer f.bindMu.Unlock()
	err := f.conn.CloseLasting()
	if err2 := f.binder.CloseLasting(); err == nil {
		err = err2
	}
	return err
}

// Tier names what the kernel was found able to do, such as
// "nft+bridge+conntrack+nflog".
func (f *Firewall) Tier() string { return f.tier }
