package nft

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/policy"
)

// maxConfirm is the largest change that is read back element by element; after a
// larger one all sets are read. fullBelow is how many elements all sets may have
// for them to be read after every change: that is as quick then.
const (
	maxConfirm = 2048
	fullBelow  = 8192
)

// Apply puts p in force in one netlink transaction and answers with the hash of
// what it then read back from the kernel. Nothing changes when it fails. Only
// what differs is sent; where the skeleton was damaged, the gateway closes
// until it is made anew. Bindings of DNS answers stay as far as p still allows them;
// flows that p still allows go on, others end with their next packet.
//
// What is read back: the rules, and every element that changed; all elements
// where they are few or many of them changed. Hash reads everything.
func (f *Firewall) Apply(ctx context.Context, p policy.Plan) (hash string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if len(p.Local) == 0 && !f.cfg.Host {
		if p.Local, err = f.ownNets(); err != nil {
			return "", err
		}
	}
	if f.cfg.Host && len(p.Devices) > 1 {
		return "", ringwall.Errorf(ringwall.Invalid, "a machine that is its own device has a plan of %d", len(p.Devices))
	}
	if err := f.grow(len(p.Devices)); err != nil {
		return "", err
	}
	for range 2 {
		hash, err = f.apply(p)
		if !errors.Is(err, errDrift) {
			return hash, err
		}
		// Somebody changed our sets before; what we believed was not what was there.
		f.in = nil
	}
	return "", &ringwall.Error{Code: ringwall.Internal, Text: "the kernel does not hold what was put into it", Err: err}
}

// errDrift says that the kernel did not hold what it was believed to.
var errDrift = errors.New("the sets were changed by somebody else")

func (f *Firewall) apply(p policy.Plan) (hash string, err error) {
	intact, gen, err := f.still()
	if err != nil {
		return "", err
	}
	var next *force
	var c change
	// stand completes the change by states and tokens, which end for those that lose
	// something.
	var stand func(c *change, lost map[uint32]bool)
	switch {
	case !intact:
		f.in = nil
		if err := f.rebuild(); err != nil {
			return "", err
		}
		next, c, stand = f.towards(newForce(), p)
	case f.in != nil:
		next, c, stand = f.towards(f.in, p)
	default:
		if next, c, stand, err = f.adopt(p); err != nil {
			return "", err
		}
	}
	pruned, err := f.prune(next)
	if err != nil {
		return "", err
	}
	lost := map[uint32]bool{}
	for i := range pruned {
		if pruned[i].takes {
			lost[pruned[i].mark] = true
		}
	}
	stand(&c, lost)
	if err := f.put(next, &c, pruned); err != nil {
		return "", err
	}
	if !intact {
		if err := f.finish(); err != nil {
			return "", err
		}
	}
	if err := f.unshut(); err != nil {
		return "", err
	}
	// Where nobody but us has changed anything, the rules are what they were.
	now, err := f.wire.generation()
	if err != nil {
		return "", err
	}
	if !intact || now != gen && now != gen+1 {
		if ok, err := f.intact(); err != nil {
			return "", err
		} else if !ok {
			f.in = nil
			return "", errDrift
		}
	}
	next.gen = now
	return f.acknowledge(next, &c)
}

// still reports whether the kernel holds the skeleton as it should be, as of the
// transaction gen. Where that was the last and ours, nothing can have changed and
// nothing is read.
func (f *Firewall) still() (intact bool, gen uint32, err error) {
	now, err := f.wire.generation()
	if err != nil {
		return false, 0, fmt.Errorf("reading the generation of the rules: %w", err)
	}
	if f.in != nil && f.in.gen == now && now != 0 {
		return true, now, nil
	}
	intact, err = f.intact()
	return intact, now, err
}

// rebuild replaces a damaged skeleton by an empty one, closed: its rules follow
// by finish.
func (f *Firewall) rebuild() error {
	if err := f.shut(); err != nil {
		return err
	}
	if err := f.queueSkeleton(); err != nil {
		return err
	}
	return f.commit()
}

// put sends a change and notes it.
func (f *Firewall) put(next *force, c *change, pruned []dynChange) error {
	if err := f.carry(c); err != nil {
		return err
	}
	var b batch
	for _, x := range []struct {
		list []changed
		put  func(*setDef, *element) error
	}{{c.del, b.deleteKey}, {c.add, b.insert}} {
		for i := range x.list {
			if err := x.put(x.list[i].set, &x.list[i].e); err != nil {
				return err
			}
		}
	}
	for i := range pruned {
		if err := pruned[i].queue(&b); err != nil {
			return err
		}
	}
	if b.empty() {
		return nil
	}
	var revoked []uint32
	offer := map[uint32]uint32{}
	for _, i := range [][]changed{c.del, c.add} {
		for j := range i {
			if n := i[j].set; n.family == ipv4 && (n.name == setToken || n.name == setState || n.name == setLimited) {
				offer[u32(string(i[j].e.key))] = 0
			}
		}
	}
	for m := range offer {
		was, had := f.in.liveToken(m)
		now, has := next.liveToken(m)
		if f.in == nil || had && (!has || was != now) {
			revoked = append(revoked, m)
		}
		if has {
			offer[m] = now
		}
	}
	// A device that sits elsewhere now has kept its token: its flows must not go
	// the faster way from where it was.
	for j := range c.del {
		switch c.del[j].set.name {
		case setBind, setBindAny, setBindSub, setBindIP:
			revoked = append(revoked, u32(string(c.del[j].e.val)))
		}
	}
	revoked = slices.Compact(slices.Sorted(slices.Values(revoked)))
	if err := f.forget(next.fresh); err != nil {
		return err
	}
	if err := f.revoke(revoked); err != nil {
		return err
	}
	if err := f.wire.commit(&b); err != nil {
		f.in = nil // not known whether it is as before
		return refused(err)
	}
	f.keepCounts()
	if f.cfg.Fast != nil && len(offer) > 0 {
		f.cfg.Fast.LiveTokens(offer)
	}
	return nil
}

func (f *Firewall) revoke(marks []uint32) error {
	if f.cfg.Fast == nil || len(marks) == 0 {
		return nil
	}
	slices.Sort(marks)
	if err := f.cfg.Fast.Revoke(marks); err != nil {
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "the faster way of packets could not be closed; what was in force stays", Err: err}
	}
	return nil
}

// refused says that a transaction did not come to be.
func refused(err error) error {
	code := ringwall.Internal
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM) || errors.Is(err, unix.EPERM) {
		code = ringwall.Unavailable
	}
	return &ringwall.Error{Code: code, Text: "the kernel refused the rules; what was in force stays", Err: err}
}

// acknowledge reads back what a change did and returns the hash of what is in
// force.
func (f *Firewall) acknowledge(next *force, c *change) (string, error) {
	for i := range c.del {
		next.sums.remove(c.del[i].set, &c.del[i].e)
	}
	for i := range c.add {
		next.sums.add(c.add[i].set, &c.add[i].e)
	}
	if len(c.del)+len(c.add) > maxConfirm || next.sums.n <= fullBelow || f.in == nil {
		got, err := f.readSums(&next.sums)
		if err != nil {
			return "", err
		}
		if !got.same(&next.sums) {
			f.in = nil
			return "", errDrift
		}
	} else if err := f.confirm(c); err != nil {
		f.in = nil
		return "", fmt.Errorf("%w: %w", errDrift, err)
	}
	for _, m := range next.gone {
		delete(f.past, m)
	}
	next.settle()
	f.in = next
	f.hash = next.sums.hash(f.rules)
	return f.hash, nil
}

// towards returns what is in force once old has become p, and what that takes.
func (f *Firewall) towards(old *force, p policy.Plan) (*force, change, func(*change, map[uint32]bool)) {
	next := &force{plan: p, standby: old.standby, macs: old.macs, sums: old.sums, pending: map[uint32]standing{}, counted: map[macKey]int{}}
	next.at = f.cfg.Now()
	then, cur := f.cfg.at(old.at), f.cfg.at(next.at)
	var c change
	del, add := f.noting(&c.del), f.noting(&c.add)
	if old.sums.n == 0 {
		n := 0
		for i := range p.Devices {
			n += roughly(&p.Devices[i])
		}
		c.add = make([]changed, 0, n)
		f.fixed(func(set string, fam family, e element) { next.sums.add(f.sets[setID{fam, set}], &e) })
		f.cfg.common(add, &p)
	} else {
		var was, is items = items{}, items{}
		f.cfg.common(f.take(was), &old.plan)
		f.cfg.common(f.take(is), &p)
		c.between(was, is)
	}
	type pair struct {
		a, b *policy.Device
		lost bool
	}
	changed := map[uint32]pair{}
	count := func(k macKey, by int) { next.counted[k] += by }
	for _, m := range old.plan.Isolated {
		count(macKey{mac: m}, -1)
	}
	for _, m := range p.Isolated {
		count(macKey{mac: m}, 1)
	}
	differ(old.plan.Devices, p.Devices, func(a, b *policy.Device) {
		if a != nil {
			for _, k := range macsOf(a) {
				count(k, -1)
			}
		}
		if b != nil {
			for _, k := range macsOf(b) {
				count(k, 1)
			}
		}
		switch {
		case b == nil:
			then.device(del, a)
			f.cfg.stand(del, a, old.standby[a.Mark])
			next.gone, next.names = append(next.gone, a.Mark), true
		case a == nil:
			s := standing{state: b.State, token: f.firstVersion()<<versionShift | b.Mark, names: namesID(b.Names)}
			cur.device(add, b)
			f.cfg.stand(add, b, s)
			next.pending[b.Mark] = s
			next.fresh = append(next.fresh, b.Mark)
		default:
			was, is := items{}, items{}
			then.device(f.take(was), a)
			cur.device(f.take(is), b)
			var own change
			own.between(was, is)
			lost := len(own.takes()) > 0 || namesLost(a, b)
			next.names = next.names || namesMatter(a, b)
			c.del, c.add = append(c.del, own.del...), append(c.add, own.add...)
			changed[b.Mark] = pair{a, b, lost}
		}
	})
	for m, by := range next.counted {
		switch n := old.macs[m]; {
		case n == 0 && n+by > 0:
			f.cfg.mac(add, m)
		case n > 0 && n+by == 0:
			f.cfg.mac(del, m)
		}
	}
	next.names = next.names || !slices.EqualFunc(old.plan.RemediationNames, p.RemediationNames, sameName)
	f.rolled(old, next, &c)
	stand := func(c *change, lost map[uint32]bool) {
		same := func(m uint32, lost bool) {
			a, ok1 := old.plan.Device(m)
			b, ok2 := p.Device(m)
			if _, done := changed[m]; !done && ok1 && ok2 && (lost || old.standby[m].state != b.State) {
				changed[m] = pair{&a, &b, lost}
			}
		}
		for m := range lost {
			same(m, true)
		}
		for m := range old.moved { // by Restrict
			same(m, false)
		}
		for m, x := range changed {
			was, is := items{}, items{}
			s := old.standby[m]
			f.cfg.stand(f.take(was), x.a, s)
			s.state, s.names = x.b.State, namesID(x.b.Names)
			if x.lost || lost[m] {
				s.token = nextToken(s.token)
			}
			f.cfg.stand(f.take(is), x.b, s)
			c.between(was, is)
			next.pending[m] = s
		}
	}
	return next, c, stand
}

// nextToken is the token after this one.
func nextToken(t uint32) uint32 {
	version := t &^ flowPending >> versionShift
	return (version%versions+1)<<versionShift | t&markBits
}

// adopt returns what turns the sets as they are read, of another life of the
// program or changed by somebody else, into p.
func (f *Firewall) adopt(p policy.Plan) (*force, change, func(*change, map[uint32]bool), error) {
	now, err := f.readItems()
	if err != nil {
		return nil, change{}, nil, err
	}
	next := &force{plan: p, standby: map[uint32]standing{}, pending: map[uint32]standing{}, names: true, at: f.cfg.Now()}
	cur := f.cfg.at(next.at)
	want := items{}
	take := f.take(want)
	for i := range p.Devices {
		cur.device(take, &p.Devices[i])
		for _, k := range macsOf(&p.Devices[i]) {
			f.cfg.mac(take, k)
		}
	}
	for _, m := range p.Isolated {
		f.cfg.mac(take, macKey{mac: m})
	}
	f.cfg.common(take, &p)
	var c change
	standing1 := func(k item) bool { return k.set.token || k.set.name == setState }
	nowPolicy, wantPolicy := items{}, items{}
	for k, v := range now {
		if !standing1(k) {
			nowPolicy[k] = v
		}
	}
	for k, v := range want {
		if !standing1(k) {
			wantPolicy[k] = v
		}
	}
	c.between(nowPolicy, wantPolicy)
	f.rolled(nil, next, &c)
	taken := c.takes()
	stand := func(c *change, lost map[uint32]bool) {
		for i := range p.Devices {
			d := &p.Devices[i]
			token := f.sets[setID{familiesOf(d)[0], setToken}]
			old, had := now[item{set: token, key: string(num(d.Mark))}]
			s := standing{state: d.State, token: u32(old.val) &^ flowPending, names: namesID(d.Names)}
			switch {
			case !had:
				s.token = f.firstVersion()<<versionShift | d.Mark
				next.fresh = append(next.fresh, d.Mark)
			case taken[d.Mark] || lost[d.Mark] || f.cfg.Host && len(taken) > 0 || old.comment != s.names:
				s.token = nextToken(s.token)
			}
			next.standby[d.Mark] = s
			f.cfg.stand(take, d, s)
		}
		for k := range nowPolicy {
			delete(now, k)
		}
		for k := range wantPolicy {
			delete(want, k)
		}
		c.between(now, want)
		f.sum(next)
		// The digests are of the end already.
		for i := range c.del {
			next.sums.add(c.del[i].set, &c.del[i].e)
		}
		for i := range c.add {
			next.sums.remove(c.add[i].set, &c.add[i].e)
		}
	}
	return next, c, stand, nil
}

// firstVersion is the version of the token of a device that had none. It
// follows the clock, so that a flow of an older life of the same mark is
// hardly ever taken for one of this even where forget was not asked to look.
func (f *Firewall) firstVersion() uint32 { return uint32(f.cfg.Now().Unix()%versions) + 1 }

// Hash reads the kernel and answers with the hash of what is in force. When
// it is not what was last applied, the next Apply starts from what is there.
func (f *Firewall) Hash(ctx context.Context) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	gen, err := f.wire.generation()
	if err != nil {
		return "", err
	}
	before := f.rules
	ok, err := f.intact()
	if err != nil {
		return "", err
	}
	var expected *ledger
	if f.in != nil {
		expected = &f.in.sums
	}
	got, err := f.readSums(expected)
	if err != nil {
		return "", err
	}
	rules := f.rules
	hash := got.hash(rules)
	switch {
	case f.in == nil:
	case got.same(&f.in.sums):
		if f.in.gen = 0; ok && string(rules) == string(before) {
			f.in.gen = gen
		}
	default:
		if got.tokens != f.in.sums.tokens {
			hash = got.hash([]byte("tokens changed by others" + string(rules)))
		}
		f.in = nil
	}
	return hash, nil
}

// Restrict puts a device under a restriction, or lifts it, by changing what
// stands of it: the fast path of a reflex. An Apply of a plan that holds the same
// makes it last. The device must be in force; else the error has code NotFound.
func (f *Firewall) Restrict(ctx context.Context, mark uint32, r ringwall.Restriction) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.in == nil {
		return f.restrictUnknown(mark, r)
	}
	d, ok := f.in.plan.Device(mark)
	if !ok {
		return ringwall.Errorf(ringwall.NotFound, "no device with mark %d is in force", mark)
	}
	old := f.in.standby[mark]
	now := old
	now.state = d.Free.With(r)
	if now.state == old.state {
		return nil
	}
	var c change
	was, is := items{}, items{}
	f.cfg.stand(f.take(was), &d, old)
	f.cfg.stand(f.take(is), &d, now)
	c.between(was, is)
	if now.state > old.state {
		if err := f.revoke([]uint32{mark}); err != nil {
			return err
		}
	}
	if err := f.send(&c); err != nil {
		f.in = nil // perhaps it is not what we believed
		return fmt.Errorf("restricting mark %d: %w", mark, err)
	}
	for i := range c.del {
		f.in.sums.remove(c.del[i].set, &c.del[i].e)
	}
	for i := range c.add {
		f.in.sums.add(c.add[i].set, &c.add[i].e)
	}
	f.in.standby[mark] = now
	f.in.touch(mark)
	if f.in.gen != 0 {
		f.in.gen = 0 // read it at the next Apply; here every microsecond counts
	}
	if f.cfg.Fast != nil {
		token, _ := f.in.liveToken(mark)
		f.cfg.Fast.LiveTokens(map[uint32]uint32{mark: token})
	}
	return nil
}

func (f *Firewall) send(c *change) error {
	var b batch
	for i := range c.del {
		if err := b.deleteKey(c.del[i].set, &c.del[i].e); err != nil {
			return err
		}
	}
	for i := range c.add {
		if err := b.insert(c.add[i].set, &c.add[i].e); err != nil {
			return err
		}
	}
	if err := f.wire.commit(&b); err != nil {
		return refused(err)
	}
	f.keepCounts()
	return nil
}

// keepCounts adds what tokens had counted when they ended, which the kernel told
// as it took them away.
func (f *Firewall) keepCounts() {
	for _, e := range f.wire.ended {
		n := f.past[e.mark]
		to := &n.PassedUp
		if e.down {
			to = &n.PassedDown
		}
		to.Packets += e.count.Packets
		to.Bytes += e.count.Bytes
		f.past[e.mark] = n
	}
	f.wire.ended = f.wire.ended[:0]
}

// restrictUnknown is Restrict where it is not known what the kernel holds: after
// a start, before the first plan. Its state is all that can be changed then.
func (f *Firewall) restrictUnknown(mark uint32, r ringwall.Restriction) error {
	var c change
	var state policy.State
	for _, fam := range routed() {
		d := f.sets[setID{fam, setState}]
		_, err := f.wire.lookup(d, []element{{key: num(mark)}}, func(e *found) {
			state = policy.State(u32(string(e.val)))
			c.del = append(c.del, changed{d, element{key: num(mark)}})
			c.add = append(c.add, changed{d, element{key: num(mark), val: num(uint32(state.With(r)))}})
		})
		if err != nil {
			return fmt.Errorf("restricting mark %d: %w", mark, err)
		}
		// The token that its packets pass by goes with it.
		var token uint32
		t := f.sets[setID{fam, setToken}]
		if _, err := f.wire.lookup(t, []element{{key: num(mark)}}, func(e *found) { token = u32(string(e.val)) &^ flowPending }); err != nil {
			return fmt.Errorf("restricting mark %d: %w", mark, err)
		}
		for name, key := range map[string][]byte{setFastUp: cat(num(mark), num(token)), setFastDown: num(token)} {
			fast := f.sets[setID{fam, name}]
			if _, err := f.wire.lookup(fast, []element{{key: key}}, func(*found) {
				c.del = append(c.del, changed{fast, element{key: key}})
			}); err != nil {
				return fmt.Errorf("restricting mark %d: %w", mark, err)
			}
		}
	}
	if state == 0 {
		return ringwall.Errorf(ringwall.NotFound, "no device with mark %d is in force", mark)
	}
	if r == ringwall.Unrestricted && state > policy.StateEnforce {
		return ringwall.Errorf(ringwall.Conflict, "the plan of mark %d is not known since the start; apply it first", mark)
	}
	if state.With(r) == state {
		return nil
	}
	if err := f.revoke([]uint32{mark}); err != nil {
		return err
	}
	if err := f.send(&c); err != nil {
		return fmt.Errorf("restricting mark %d: %w", mark, err)
	}
	return nil
}

// ownNets returns the networks of the gateway's own addresses towards devices.
func (f *Firewall) ownNets() ([]netip.Prefix, error) {
	var out []netip.Prefix
	err := f.within(func() error {
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

// within runs do in the gateway's namespace.
func (f *Firewall) within(do func() error) error {
	if f.cfg.NS == nil {
		return do()
	}
	return f.cfg.NS.Do(do)
}
