package nft

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/google/nftables"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/policy"
)

// Apply puts p in force in one netlink transaction and answers with the hash of
// what it then read back from the kernel. Nothing changes when it fails. Only
// what differs is sent; where the skeleton was damaged, the gateway closes
// until it is made anew. Bindings of DNS answers stay as far as p still allows them;
// flows that p still allows go on, others end with their next packet.
func (f *Firewall) Apply(ctx context.Context, p policy.Plan) (hash string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if len(p.Local) == 0 {
		if p.Local, err = f.ownNets(); err != nil {
			return "", err
		}
	}
	intact, err := f.intact()
	if err != nil {
		return "", err
	}
	if intact && f.held == nil {
		if f.held, err = f.readImage(); err != nil {
			return "", err
		}
		f.plan = policy.Plan{} // not known what names it had
	}
	if err := f.put(p, intact); err != nil {
		return "", err
	}
	if err := f.unshut(); err != nil {
		return "", err
	}
	got, hash, err := f.readHash()
	if err != nil {
		return "", err
	}
	if d := diff(f.defs, got, f.held); len(d) > 0 {
		// Somebody changed our sets before; what we believed was not what was there.
		f.held = got
		if err := f.put(p, true); err != nil {
			return "", err
		}
		if got, hash, err = f.readHash(); err != nil {
			return "", err
		}
		if d := diff(f.defs, got, f.held); len(d) > 0 {
			f.held = nil
			return "", ringwall.Errorf(ringwall.Internal, "set %q of the kernel does not hold what was put into it", d[0].def.name)
		}
	}
	f.hash = hash
	return hash, nil
}

// put commits what turns f.held into p and notes it there.
func (f *Firewall) put(p policy.Plan, intact bool) error {
	now := f.held
	if !intact {
		now = image{}
		if err := f.shut(); err != nil {
			return err
		}
		if err := f.queueSkeleton(); err != nil {
			return err
		}
	}
	want := imageOf(f.cfg.Config, p)
	var pruned []dynChange
	if intact {
		var err error
		if pruned, err = f.prune(p); err != nil {
			return err
		}
	}
	for id, els := range now {
		if d, ok := f.def(id); ok && d.role == fixed {
			want[id] = els // the skeleton's own
		}
	}
	changes := diff(f.defs, now, want, setToken, setLive)
	fresh := f.tokens(now, want, p, lost(changes, pruned))
	for _, name := range []string{setToken, setLive} {
		d, _ := f.def(setID{ipv4, name})
		changes = append(changes, diff([]setDef{d}, now, want)...)
	}
	for _, c := range changes {
		s := c.def.set(f.table(c.def.family))
		if c.flush {
			f.conn.FlushSet(s)
			continue
		}
		if err := delElements(f.conn, s, elements(c.del, false)); err != nil {
			return err
		}
	}
	for _, c := range changes {
		if err := addElements(f.conn, c.def.set(f.table(c.def.family)), elements(c.add, c.def.role == static)); err != nil {
			return err
		}
	}
	for _, c := range pruned {
		if err := c.queue(f.conn); err != nil {
			return err
		}
	}
	if len(changes) == 0 && len(pruned) == 0 && intact {
		f.plan = p
		return nil
	}
	if err := f.forget(fresh); err != nil {
		return err
	}
	if err := f.commit(); err != nil {
		return err
	}
	f.held, f.plan = want, p
	if intact {
		return nil
	}
	return f.finish()
}

func (f *Firewall) def(id setID) (setDef, bool) {
	for _, d := range f.defs {
		if d.family == id.family && d.name == id.name {
			return d, true
		}
	}
	return setDef{}, false
}

// lost returns the marks of the devices from which something is taken away.
func lost(changes []change, pruned []dynChange) map[uint32]bool {
	out := map[uint32]bool{}
	for _, c := range changes {
		switch c.def.name {
		case setAllow, setAllowI:
			for k := range c.del {
				out[u32(k.Key)] = true
			}
		case setDenyI:
			for k := range c.add {
				out[u32(k.Key)] = true
			}
		}
	}
	for _, c := range pruned {
		for _, e := range c.del {
			out[u32(string(e.Key))] = true
		}
	}
	return out
}

// tokens gives every device of want its token: the one it has, unless
// something is taken away from it, then the next. It returns the marks that had
// none.
func (f *Firewall) tokens(now, want image, p policy.Plan, lost map[uint32]bool) (fresh []uint32) {
	tokenID, liveID := setID{ipv4, setToken}, setID{ipv4, setLive}
	for _, d := range p.Devices {
		key := elem{Key: string(num(d.Mark))}
		old, had := now[tokenID][key]
		version := (u32(old.Val) &^ flowPending) >> versionShift
		switch {
		case !had:
			version = f.firstVersion()
			fresh = append(fresh, d.Mark)
		case lost[d.Mark] || old.Comment != namesID(d.Names) && f.namesLost(d):
			version = version%versions + 1
		}
		token := version<<versionShift | d.Mark
		want.put(tokenID, num(d.Mark), value{Val: string(num(token | flowPending)), Comment: namesID(d.Names)})
		want.put(liveID, cat(num(d.Mark), num(token)), value{})
		want.put(liveID, cat(num(d.Mark), num(token|flowBoth)), value{})
	}
	return fresh
}

// firstVersion is the version of the token of a device that had none. It
// follows the clock, so that a flow of an older life of the same mark is
// hardly ever taken for one of this even where forget was not asked to look.
func (f *Firewall) firstVersion() uint32 { return uint32(f.cfg.Now().Unix()%versions) + 1 }

// namesLost reports whether a device may look up less than before. After a
// restart it is not known what was before: then it reports true.
func (f *Firewall) namesLost(d policy.Device) bool {
	old, ok := f.plan.Device(d.Mark)
	if !ok {
		return true
	}
	for _, n := range old.Names {
		if !n.Deny && !slices.ContainsFunc(d.Names, func(m policy.Name) bool { return compareName(n, m) }) {
			return true
		}
	}
	for _, m := range d.Names {
		if m.Deny && !slices.ContainsFunc(old.Names, func(n policy.Name) bool { return compareName(n, m) }) {
			return true
		}
	}
	return false
}

func compareName(a, b policy.Name) bool {
	return a.Pattern == b.Pattern && a.Deny == b.Deny && a.Proto == b.Proto && slices.Equal(a.Ports, b.Ports)
}

// Hash reads the kernel and answers with the hash of what is in force. When
// it is not what was last applied, the next Apply starts from what is there.
func (f *Firewall) Hash(ctx context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	got, hash, err := f.readHash()
	if err != nil {
		return "", err
	}
	if hash != f.hash {
		f.held = got
	}
	return hash, nil
}

// Restrict puts a device under a restriction, or lifts it, by changing one
// element: the fast path of a reflex. An Apply of a plan that holds the same
// makes it last. The device must be in force; else the error has code NotFound.
func (f *Firewall) Restrict(ctx context.Context, mark uint32, r ringwall.Restriction) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	id := setID{ipv4, setState}
	if f.held == nil {
		im, err := f.readImage()
		if err != nil {
			return fmt.Errorf("restricting mark %d: %w", mark, err)
		}
		f.held = im
	}
	key := elem{Key: string(num(mark))}
	old, ok := f.held[id][key]
	if !ok {
		return ringwall.Errorf(ringwall.NotFound, "no device with mark %d is in force", mark)
	}
	free := policy.State(u32(old.Val))
	if d, ok := f.plan.Device(mark); ok {
		free = d.Free
	} else if r == ringwall.Unrestricted && free > policy.StateEnforce {
		return ringwall.Errorf(ringwall.Conflict, "the plan of mark %d is not known since the start; apply it first", mark)
	}
	state := value{Val: string(num(uint32(free.With(r))))}
	if state == old {
		return nil
	}
	d, _ := f.def(id)
	s := d.set(f.table(ipv4))
	if err := f.conn.SetDeleteElements(s, []nftables.SetElement{{Key: num(mark)}}); err != nil {
		return err
	}
	if err := f.conn.SetAddElements(s, []nftables.SetElement{{Key: num(mark), Val: []byte(state.Val)}}); err != nil {
		return err
	}
	if err := f.commit(); err != nil {
		f.held = nil // perhaps it is not what we believed
		return fmt.Errorf("restricting mark %d: %w", mark, err)
	}
	f.held[id][key] = state
	return nil
}

// ownNets returns the networks of the gateway's own addresses towards devices.
func (f *Firewall) ownNets() ([]netip.Prefix, error) {
	var out []netip.Prefix
	err := f.in(func() error {
		for _, name := range f.cfg.lan() {
			i, err := net.InterfaceByName(name)
			if err != nil {
				continue // not there yet
			}
			addrs, err := i.Addrs()
			if err != nil {
				return fmt.Errorf("reading the addresses of %q: %w", name, err)
			}
			for _, a := range addrs {
				if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
					out = append(out, p.Masked())
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, ringwall.Errorf(ringwall.Invalid, "no local network is named, and the interfaces towards devices have no address")
	}
	return policy.Disjoint(out), nil
}

// in runs do in the gateway's namespace.
func (f *Firewall) in(do func() error) error {
	if f.cfg.NS == nil {
		return do()
	}
	return f.cfg.NS.Do(do)
}
