package nft

import (
	"errors"
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
	manageCgroup                  cgroup
	devices                       uint32 // that sized sets have room for
}

// lan lists all interfaces towards devices.
func (c Config) lan() []string {
	var out []string
	if c.Bridge != "" {
		out = append(out, c.Bridge)
	}
	return append(out, c.LAN...)
}

// Firewall is the packet filter of one gateway.
type Firewall struct {
	cfg  site
	tier string
	defs []setDef
	sets map[setID]*setDef
	skel skeleton

	// mu excludes Apply, Restrict, Hash and Base from each other. It guards what
	// follows: what the kernel is known to hold.
	mu      sync.Mutex
	in      *force // nil when it is not known
	rules   []byte // hash of the rules as they were last read
	hash    string // of the last Apply
	restore []Consumption
	rolls   time.Time         // when the first quota starts anew
	past    map[uint32]Counts // of tokens that have ended
	conn    *nftables.Conn    // for chains and sets
	wire    *wire             // for elements

	bindMu   sync.Mutex // guards what follows
	binder   *wire
	named    map[family]map[[2]uint32]uint32
	namedGen uint32
	namedOK  bool
}

// Open connects to the kernel and finds out what it can do. It changes
// nothing. The error has code Unavailable when the kernel lacks what is needed
// and Invalid when the configuration makes no sense.
func Open(c Config) (*Firewall, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Room = min(c.Room, policy.MaxMark)
	switch {
	case c.Host && (c.Bridge != "" || len(c.LAN) > 0 || c.Inspect != 0):
		return nil, ringwall.Errorf(ringwall.Invalid, "a machine that is its own device has no interfaces towards devices, and no inspector")
	case !c.Host && c.Bridge == "" && len(c.LAN) == 0:
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
	f := &Firewall{cfg: site{Config: c, devices: c.rooms()[0]}, defs: setDefs(c), sets: map[setID]*setDef{}, past: map[uint32]Counts{}}
	for i := range f.defs {
		f.sets[f.defs[i].id()] = &f.defs[i]
	}
	var err error
	if c.Management.Cgroup != "" && !c.BindOnly {
		if f.cfg.manageCgroup, err = findCgroup(c.Management.Cgroup); err != nil {
			return nil, &ringwall.Error{Code: ringwall.Invalid, Text: "the cgroup of the agent itself is not there", Err: err}
		}
	}
	if f.binder, err = dialWire(f.within); err != nil {
		return nil, unreachable(err)
	}
	if c.BindOnly {
		return f, nil
	}
	if f.wire, err = dialWire(f.within); err != nil {
		f.Close()
		return nil, unreachable(err)
	}
	if f.conn, err = f.dial(); err != nil {
		f.Close()
		return nil, err
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
	errs := []error{f.binder.close()}
	if f.wire != nil {
		errs = append(errs, f.wire.close())
	}
	if f.conn != nil {
		errs = append(errs, f.conn.CloseLasting())
	}
	return errors.Join(errs...)
}

func unreachable(err error) error {
	return &ringwall.Error{Code: ringwall.Unavailable, Text: "the packet filter of the kernel cannot be reached",
		Hint: "run as root on Linux with nftables", Err: err}
}

// Tier names what the kernel was found able to do, such as
// "nft+bridge+conntrack+nflog".
func (f *Firewall) Tier() string { return f.tier }
