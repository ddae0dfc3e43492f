package nft

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/google/nftables"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// maxComment is the longest text that the kernel keeps with an element.
const maxComment = 253

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
// left.
func (f *Firewall) BindAll(ctx context.Context, list []Binding) error {
	f.bindMu.Lock()
	defer f.bindMu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	els := map[string][]nftables.SetElement{}
	for _, b := range list {
		if !b.Addr.Unmap().Is4() {
			return ringwall.Errorf(ringwall.Invalid, "binding %s: IPv6 is closed", b.Addr)
		}
		if b.Mark == 0 || b.Mark > policy.MaxMark || b.Life <= 0 || len(b.Name) > maxComment {
			return ringwall.Errorf(ringwall.Invalid, "binding %s to mark %d for %v makes no sense", b.Addr, b.Mark, b.Life)
		}
		set := setDyn
		if b.Remediation {
			set = setRemDyn
		}
		for _, k := range serviceKeys(b.Services) {
			els[set] = append(els[set], nftables.SetElement{
				Key: append(cat(num(b.Mark), ip4(b.Addr.Unmap())), k...), Timeout: b.Life, Comment: b.Name,
			})
		}
	}
	if len(els) == 0 {
		return nil
	}
	for name, list := range els {
		if err := rebind(f.binder, f.dynSet(name), list); err != nil {
			return err
		}
	}
	if err := f.binder.Flush(); err != nil {
		f.renew(&f.binder)
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "the kernel refused to bind an address", Err: fmt.Errorf("binding: %w", err)}
	}
	return nil
}

// rebind queues what makes els hold with their own lives. Kernels do not agree
// on whether adding an element again changes its life, and refuse to delete
// what is not there; adding, deleting and adding again is right on all.
func rebind(c *nftables.Conn, s *nftables.Set, els []nftables.SetElement) error {
	if err := addElements(c, s, els); err != nil {
		return err
	}
	if err := delElements(c, s, els); err != nil {
		return err
	}
	return addElements(c, s, els)
}

func (f *Firewall) dynSet(name string) *nftables.Set {
	d, _ := f.def(setID{ipv4, name})
	return d.set(f.table(ipv4))
}

// dynChange is what a new plan does to bound addresses.
type dynChange struct {
	set      *nftables.Set
	del, add []nftables.SetElement
}

func (c dynChange) queue(conn *nftables.Conn) error {
	// An element may run out between the reading and now: adding it first makes
	// the deletion succeed.
	if err := addElements(conn, c.set, c.del); err != nil {
		return err
	}
	if err := delElements(conn, c.set, c.del); err != nil {
		return err
	}
	if len(c.add) == 0 {
		return nil
	}
	return rebind(conn, c.set, c.add)
}

// prune compares bound addresses with what p lets their names open. What was
// bound to a device that learns is open to everything; when p ends the
// learning, what its names still open is left of it.
func (f *Firewall) prune(p policy.Plan) ([]dynChange, error) {
	var out []dynChange
	for _, name := range []string{setDyn, setRemDyn} {
		c := dynChange{set: f.dynSet(name)}
		els, err := f.conn.GetSetElements(c.set)
		if err != nil {
			return nil, fmt.Errorf("reading set %q: %w", name, err)
		}
		for _, e := range els {
			if len(e.Key) != 16 {
				continue
			}
			dev, ok := p.Device(u32(string(e.Key)))
			var services []policy.Service
			switch {
			case !ok:
			case name == setRemDyn:
				services, _ = policy.Lookup(p.RemediationNames, e.Comment)
			case dev.Free == policy.StateLearn:
				continue
			default:
				services, _ = policy.Lookup(dev.Names, e.Comment)
			}
			keep, any := false, string(e.Key[8:]) == string(make([]byte, 8))
			keys := serviceKeys(services)
			for _, k := range keys {
				keep = keep || string(k) == string(e.Key[8:])
			}
			if keep {
				continue
			}
			c.del = append(c.del, nftables.SetElement{Key: e.Key, Timeout: time.Minute})
			if any && e.Expires > 0 {
				for _, k := range keys {
					c.add = append(c.add, nftables.SetElement{Key: append(append([]byte(nil), e.Key[:8]...), k...), Timeout: e.Expires, Comment: e.Comment})
				}
			}
		}
		if len(c.del) > 0 {
			out = append(out, c)
		}
	}
	return out, nil
}
