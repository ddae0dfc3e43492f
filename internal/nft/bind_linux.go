package nft

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// maxComment is the longest text that the kernel keeps with an element.
const maxComment = 253

// maxDeniedPorts is how many single ports a deny of a name may speak of; of more
// it takes all of the protocol.
const maxDeniedPorts = 256

// Bind is BindAll for one address without a name.
func (f *Firewall) Bind(ctx context.Context, mark uint32, addr netip.Addr, proto string, ports []api.PortRange, life time.Duration) error {
	s := policy.Service{Ports: ports}
	switch proto {
	case "tcp":
		s.Proto = policy.ProtoTCP
	case "udp":
		s.Proto = policy.ProtoUDP
	case "icmp":
		s.Proto = policy.ProtoICMP
	case "any":
	default:
		return ringwall.Errorf(ringwall.Invalid, "protocol %q is none of tcp, udp, icmp, any", proto)
	}
	return f.BindAll(ctx, []Binding{{Mark: mark, Addr: addr, Services: []policy.Service{s}, Life: life}})
}

// BindAll puts all bindings in force in one transaction, or none. What is in
// force when it returns lasts for its life from now on, whatever life it had
// left. What only an inspector may judge is not opened where there is none.
func (f *Firewall) BindAll(ctx context.Context, list []Binding) error {
	f.bindMu.Lock()
	defer f.bindMu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	var b batch
	for i := range list {
		x := &list[i]
		if x.Mark == 0 || x.Mark > policy.MaxMark || x.Life <= 0 || len(x.Name) > maxComment || !x.Addr.IsValid() {
			return ringwall.Errorf(ringwall.Invalid, "binding %s to mark %d for %v makes no sense", x.Addr, x.Mark, x.Life)
		}
		if err := f.bindOne(&b, x); err != nil {
			return err
		}
	}
	if err := f.binder.commit(&b); err != nil {
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "the kernel refused to bind an address", Err: fmt.Errorf("binding: %w", err)}
	}
	return nil
}

func (f *Firewall) bindOne(b *batch, x *Binding) error {
	fam := famOf(x.Addr)
	var prefix key
	prefix.add(num(x.Mark)...)
	prefix.addr(x.Addr)
	put := func(set string, services []policy.Service) error {
		for _, k := range serviceKeys(fam, services) {
			if err := b.renewed(f.sets[setID{fam, set}], &element{key: slices.Concat(prefix.bytes(), k), life: x.Life, comment: x.Name}); err != nil {
				return err
			}
		}
		return nil
	}
	switch {
	case x.Denied && x.Remediation:
		return put(setRemDenied, widened(x.Services))
	case x.Denied:
		if err := b.renewed(f.sets[setID{fam, setDeniedAddr}], &element{key: prefix.bytes(), life: x.Life, comment: x.Name}); err != nil {
			return err
		}
		plain, look := split(widened(x.Services))
		if err := put(setDenied, plain); err != nil {
			return err
		}
		return put(setDeniedLook, look)
	case x.Remediation:
		return put(setRemDyn, x.Services)
	}
	plain, inspected := split(x.Services)
	if err := put(setDyn, plain); err != nil {
		return err
	}
	if f.cfg.Inspect != 0 {
		if err := put(setDynInspect, inspected); err != nil {
			return err
		}
	}
	return f.bindLimits(b, x, fam, prefix.bytes())
}

// split returns the services that packets show, and those that only an inspector
// can judge.
func split(services []policy.Service) (plain, inspected []policy.Service) {
	for _, s := range services {
		if s.Inspect {
			inspected = append(inspected, s)
		} else {
			plain = append(plain, s)
		}
	}
	return plain, inspected
}

// widened returns denied services with lists of ports that are too long for
// single entries widened to all.
func widened(services []policy.Service) []policy.Service {
	out := slices.Clone(services)
	for i, s := range out {
		n := 0
		for _, r := range s.Ports {
			n += int(r.Last) - int(r.First) + 1
		}
		if n > maxDeniedPorts {
			out[i].Ports = nil
		}
	}
	return out
}

// bindLimits puts a bound address under the limits that count its name.
func (f *Firewall) bindLimits(b *batch, x *Binding, fam family, prefix []byte) error {
	keys := limitKeys(fam, x.Services)
	if len(keys) == 0 {
		return nil
	}
	ids, err := f.limitIDs(fam)
	if err != nil {
		return err
	}
	set := f.sets[setID{fam, setLimitDyn}]
	for _, k := range keys {
		id, ok := ids[[2]uint32{x.Mark, k.limit}]
		if !ok {
			return ringwall.Errorf(ringwall.Conflict, "binding %s to mark %d: the limit that it is under is not in force", x.Addr, x.Mark)
		}
		e := element{key: slices.Concat(prefix, k.key), val: num(id), life: x.Life, comment: x.Name}
		// It may be there with another limit, which cannot be added over.
		missing, err := f.binder.lookup(set, []element{{key: e.key}}, func(*found) {})
		if err != nil {
			return err
		}
		if missing == 0 {
			if err := b.deleteKey(set, &e); err != nil {
				return err
			}
		}
		if err := b.insert(set, &e); err != nil {
			return err
		}
	}
	return nil
}

// renewed queues what makes e hold with its own life. Kernels do not agree on
// whether adding an element again changes its life, and refuse to delete what is
// not there; adding, deleting and adding again is right on all.
func (b *batch) renewed(d *setDef, e *element) error {
	if err := b.refresh(d, e); err != nil {
		return err
	}
	if err := b.deleteKey(d, e); err != nil {
		return err
	}
	return b.insert(d, e)
}

// dynChange is what a new plan does to bound addresses.
type dynChange struct {
	mark     uint32
	takes    bool // something that was open is not any more
	del, add []changed
}

func (c *dynChange) queue(b *batch) error {
	for i := range c.del {
		// An element may run out between the reading and now.
		e := c.del[i].e
		e.life = time.Minute
		if err := b.refresh(c.del[i].set, &e); err != nil {
			return err
		}
		if err := b.deleteKey(c.del[i].set, &e); err != nil {
			return err
		}
	}
	for i := range c.add {
		if err := b.renewed(c.add[i].set, &c.add[i].e); err != nil {
			return err
		}
	}
	return nil
}

// dynEnd is what one name has bound to one device.
type dynEnd struct {
	fam        family
	mark, addr string
	name       string
}

// prune compares bound addresses with what the plan of next lets their names
// open. What was bound to a device that learns is open to everything; when the
// plan ends the learning, what its names still open is left of it.
func (f *Firewall) prune(next *force) ([]dynChange, error) {
	if !next.names {
		return nil, nil
	}
	p := &next.plan
	var out []dynChange
	for _, fam := range routed() {
		for _, sets := range [][]string{{setDyn, setDynInspect}, {setRemDyn}, {setDenied, setDeniedLook}, {setRemDenied}, {setLimitDyn}} {
			have := map[dynEnd]map[item]time.Duration{}
			vals := map[item]string{}
			for _, name := range sets {
				d := f.sets[setID{fam, name}]
				if d == nil {
					continue
				}
				if _, err := f.wire.dump(d, func(e *found) {
					if len(e.key) < 16 {
						return
					}
					n := len(e.key) - 8
					end := dynEnd{fam, string(e.key[:4]), string(e.key[4:n]), e.comment()}
					if have[end] == nil {
						have[end] = map[item]time.Duration{}
					}
					k := item{set: d, key: string(e.key)}
					have[end][k] = e.expires
					vals[k] = string(e.val)
				}); err != nil {
					return nil, err
				}
			}
			for end, els := range have {
				want, skip := f.wanted(p, sets[0], end)
				if skip {
					continue
				}
				c := dynChange{mark: u32(end.mark), takes: sets[0] == setDyn || sets[0] == setRemDyn}
				var left time.Duration
				for k, life := range els {
					left = max(left, life)
					if id, ok := want[k]; !ok || id != vals[k] {
						c.del = append(c.del, changed{k.set, element{key: []byte(k.key), val: []byte(vals[k])}})
					}
				}
				if len(c.del) == 0 {
					continue
				}
				for k, id := range want {
					if _, ok := els[k]; !ok && left > 0 {
						c.add = append(c.add, changed{k.set, element{key: []byte(k.key), val: []byte(id), life: left, comment: end.name}})
					}
				}
				if sets[0] == setLimitDyn {
					c.add = nil // it comes back with the next lookup
				}
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b dynChange) int { return int(a.mark) - int(b.mark) })
	return out, nil
}

// wanted returns what a plan lets a name have in a set; skip says that all it has
// is right.
func (f *Firewall) wanted(p *policy.Plan, set string, end dynEnd) (want map[item]string, skip bool) {
	want = map[item]string{}
	dev, ok := p.Device(u32(end.mark))
	if !ok && !f.cfg.Host {
		return want, false
	}
	add := func(set, val string, services []policy.Service) {
		for _, k := range serviceKeys(end.fam, services) {
			want[item{set: f.sets[setID{end.fam, set}], key: end.mark + end.addr + string(k)}] = val
		}
	}
	names := dev.Names
	if !ok {
		names, ok = programNames(p, u32(end.mark))
		if !ok {
			return want, false
		}
	}
	remedy, _ := policy.Resolve(p.RemediationNames, end.name)
	open, resolved := policy.Resolve(names, end.name)
	switch set {
	case setRemDyn:
		add(setRemDyn, "", remedy.Allow)
	case setRemDenied:
		add(setRemDenied, "", widened(remedy.Deny))
	case setDenied:
		plain, look := split(widened(open.Deny))
		add(setDenied, "", plain)
		add(setDeniedLook, "", look)
	case setLimitDyn:
		for _, k := range limitKeys(end.fam, open.Allow) {
			if int(k.limit) <= len(dev.Limits) {
				want[item{set: f.sets[setID{end.fam, setLimitDyn}], key: end.mark + end.addr + string(k.key)}] = string(num(dev.Limits[k.limit-1].ID))
			}
		}
	default:
		if dev.Free == policy.StateLearn {
			return nil, true
		}
		if !resolved {
			return want, false
		}
		plain, inspected := split(open.Allow)
		add(setDyn, "", plain)
		if f.cfg.Inspect != 0 {
			add(setDynInspect, "", inspected)
		}
	}
	return want, false
}

// programNames returns the name rules of the program with this mark.
func programNames(p *policy.Plan, mark uint32) ([]policy.Name, bool) {
	for i := range p.Devices {
		for j := range p.Devices[i].Programs {
			if ProgramMark(p.Devices[i].Mark, j) == mark {
				return p.Devices[i].Programs[j].Names, true
			}
		}
	}
	return nil, false
}
