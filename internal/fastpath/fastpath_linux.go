package fastpath

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
)

var (
	_ Filter   = (*nft.Firewall)(nil)
	_ nft.Fast = (*Path)(nil)
)

// device is one device whose flows may be cached.
type device struct {
	nft.Cacheable
	slot uint32
	gate uint64 // the gate's word while it is open; 0 = the device may not be cached
	open bool   // the word is in the kernel
	seen int    // index of the interface that it last sent by
}

// Path is the fast path of one gateway; see the package comment.
type Path struct {
	cfg   Config
	ns    *netns.NS
	ownNS bool
	maps  *kernelMaps
	progs [2]*ebpf.Program // by side

	cached, unfit, crowded, revoked atomic.Uint64
	flows                           atomic.Int64

	// mu guards what follows. Revoke takes it while the filter's own lock is
	// held, so that nobody calls the filter with it.
	mu      sync.Mutex
	closed  bool
	devices map[uint32]*device // by mark
	byIP    map[netip.Addr]*device
	free    []uint32 // slots, those that were given back longest ago first
	epoch   uint32   // of the last gate; no two bindings of devices have the same
	turn    uint64   // rises with each Revoke
	stale   bool     // gates are closed that the filter must be asked about
	ports   map[int]*port
	astray  []string // see Astray
	idle    string   // why nothing is cached, "" when it is
}

// port is an interface with a program.
type port struct {
	netns.Interface
	side  side
	route netns.Interface // that the kernel's routes know: the bridge of a port
	link  link.Link
}

// Open loads maps and programs into the kernel. Nothing is cached before Run.
// The error has code Unavailable when the kernel lacks what is needed or does
// not let us use it; the gateway then goes on without.
func Open(c Config) (*Path, error) {
	c.defaults()
	if c.Uplink == "" || c.Bridge == "" && len(c.LAN) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "a fast path needs an interface towards devices and one towards the world")
	}
	p := &Path{cfg: c, ns: c.NS, devices: map[uint32]*device{}, byIP: map[netip.Addr]*device{}, ports: map[int]*port{}, idle: "not started", stale: true}
	p.epoch = 1
	for s := range c.MaxDevices {
		p.free = append(p.free, uint32(s))
	}
	if p.ns == nil {
		ns, err := netns.Current()
		if err != nil {
			return nil, err
		}
		p.ns, p.ownNS = ns, true
	}
	if err := p.load(); err != nil {
		return nil, errors.Join(&ringwall.Error{Code: ringwall.Unavailable, Text: "the kernel has no place for a fast path",
			Hint: "it needs Linux 6.6 or newer with eBPF (BPF_SYSCALL, NET_XGRESS), and root; the gateway works without", Err: err}, p.Close())
	}
	return p, nil
}

func (p *Path) load() (err error) {
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11 charge maps to it
		p.cfg.Log.Debug("the limit of locked memory stays", "err", err)
	}
	if p.maps, err = newMaps(p.cfg); err != nil {
		return err
	}
	for s, name := range map[side]string{devices: "rw_devices", world: "rw_world"} {
		// bpf_fib_lookup is for programs under the GPL or a licence that goes with it.
		spec := &ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, License: "Dual BSD/GPL", Instructions: p.maps.program(s, p.cfg)}
		if p.progs[s], err = ebpf.NewProgram(spec); err != nil {
			return fmt.Errorf("loading program %q: %w", name, err)
		}
	}
	return p.tryAttach()
}

// tryAttach finds out whether the kernel has TCX, on an interface that has
// nothing to forward.
func (p *Path) tryAttach() error {
	return p.ns.Do(func() error {
		probe, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "rw_probe", Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, License: "Dual BSD/GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, tcxNext), asm.Return()}})
		if err != nil {
			return err
		}
		defer probe.Close()
		l, err := link.AttachTCX(link.TCXOptions{Interface: loopback, Program: probe, Attach: ebpf.AttachTCXIngress})
		if err != nil {
			return fmt.Errorf("attaching at TCX: %w", err)
		}
		return l.Close()
	})
}

// loopback is its index in every namespace.
const loopback = 1

// Revoke ends every cached flow of these devices, before it returns; nil
// means of all. It is called before the filter takes something from them; their
// gates open again when the filter has been asked what holds now. When the
// kernel cannot be told, the programs are detached, and no error comes of it.
func (p *Path) Revoke(marks []uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.turn++
	p.stale = true
	if marks == nil {
		marks = slices.Collect(maps.Keys(p.devices))
	}
	for _, m := range marks {
		d := p.devices[m]
		if d == nil || !d.open {
			continue
		}
		if err := p.shut(d); err != nil {
			return p.detach("gates could not be closed")
		}
		p.revoked.Add(1)
	}
	return nil
}

// LiveTokens hears that the filter has changed, and to what. Gates of devices
// whose token is another now are closed; the keeper asks for the rest.
func (p *Path) LiveTokens(tokens map[uint32]uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.stale = true
	for m, token := range tokens {
		if d := p.devices[m]; d != nil && d.open && d.Token != token {
			if err := p.shut(d); err != nil {
				p.cfg.Log.Warn("the fast path is given up", "err", errors.Join(err, p.detach("gates could not be closed")))
				return
			}
		}
	}
}

// shut closes the gate of a device. The caller holds mu.
func (p *Path) shut(d *device) error {
	if err := p.maps.gates.Put(d.slot, uint64(0)); err != nil {
		return err
	}
	d.open = false
	return nil
}

// Counters returns what was forwarded past the filter, by mark: PassedUp and
// PassedDown, which come on top of the filter's own.
func (p *Path) Counters() (map[uint32]nft.Counts, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[uint32]nft.Counts, len(p.devices))
	if p.closed {
		return out, nil
	}
	var perCPU []total
	for m, d := range p.devices {
		if err := p.maps.counts.Lookup(d.slot, &perCPU); err != nil {
			return nil, fmt.Errorf("reading the counters of mark %d: %w", m, err)
		}
		var c nft.Counts
		for _, t := range perCPU {
			c.PassedUp.Packets += t.UpPackets
			c.PassedUp.Bytes += t.UpBytes
			c.PassedDown.Packets += t.DownPackets
			c.PassedDown.Bytes += t.DownBytes
		}
		if c != (nft.Counts{}) {
			out[m] = c
		}
	}
	return out, nil
}

// Tier says whether flows are cached now, and if not, why.
func (p *Path) Tier() (active bool, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.idle == "", p.idle
}

// Stats returns what became of the candidates so far.
func (p *Path) Stats() Stats {
	p.mu.Lock()
	n := len(p.ports)
	p.mu.Unlock()
	return Stats{Flows: int(p.flows.Load()), Cached: p.cached.Load(), Unfit: p.unfit.Load(), Crowded: p.crowded.Load(), Revoked: p.revoked.Load(), Attached: n}
}

// detach takes all programs away. The caller holds mu.
func (p *Path) detach(why string) error {
	var errs []error
	for i, q := range p.ports {
		errs = append(errs, q.link.Close())
		delete(p.ports, i)
	}
	p.idle = why
	return errors.Join(errs...)
}

// Close detaches the programs and gives the cache back. Run must have ended.
func (p *Path) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	errs := []error{p.detach("closed")}
	for _, g := range p.progs {
		if g != nil {
			errs = append(errs, g.Close())
		}
	}
	if p.maps != nil {
		errs = append(errs, p.maps.close())
	}
	if p.ownNS {
		errs = append(errs, p.ns.Close())
	}
	return errors.Join(errs...)
}
