package fastpath

import (
	"context"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/ringwall/ringwall/internal/netns"
)

// attach brings the programs to the interfaces that are there now: cables come
// and go. An interface without Ethernet is left alone; its packets are slow.
func (k *keeper) attach(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	all, err := k.ns.Interfaces()
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	want := wanted(k.cfg, all)
	for i, old := range k.ports {
		if now, ok := want[i]; ok && old.same(now) {
			if !taken(old.link) {
				delete(want, i)
				continue
			}
			k.astray = append(k.astray, old.Name)
			k.cfg.Log.Error("somebody has taken a program of the fast path away; the filter judged meanwhile", "interface", old.Name)
		}
		// What was cached names the interface as it was.
		old.link.Close()
		delete(k.ports, i)
		if err := k.renew(); err != nil {
			return err
		}
	}
	if len(want) == 0 {
		return nil
	}
	return k.ns.Do(func() error {
		for i, q := range want {
			l, err := link.AttachTCX(link.TCXOptions{Interface: i, Program: k.progs[q.side], Attach: ebpf.AttachTCXIngress})
			if err != nil {
				return fmt.Errorf("attaching to %q: %w", q.Name, err)
			}
			q.link = l
			k.ports[i] = q
		}
		return nil
	})
}

// renew ends every cached flow: they are found again under new gates. The
// caller holds mu.
func (p *Path) renew() error {
	for _, d := range p.devices {
		if err := p.shut(d); err != nil {
			return err
		}
		d.Token = 0 // so that the next settling makes another gate
	}
	p.stale = true
	return nil
}

// taken reports whether a link holds its program no more.
func taken(l link.Link) bool {
	info, err := l.Info()
	if err != nil {
		return false // not known
	}
	x := info.TCX()
	return x != nil && x.Ifindex == 0
}

// Astray names the interfaces from which others have taken a program since the last
// call. Until it is attached again, which takes a second at most, their packets go
// the way of the filter.
func (p *Path) Astray() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.astray
	p.astray = nil
	return out
}

func (q *port) same(r *port) bool {
	return q.Name == r.Name && q.side == r.side && slices.Equal(q.MAC, r.MAC) && q.route.Index == r.route.Index && slices.Equal(q.route.MAC, r.route.MAC)
}

// wanted lists the interfaces that a program belongs to, by index.
func wanted(c Config, all []netns.Interface) map[int]*port {
	out := map[int]*port{}
	bridge := netns.Interface{}
	for _, i := range all {
		if i.Name == c.Bridge && c.Bridge != "" {
			bridge = i
		}
	}
	for _, i := range all {
		switch {
		case !i.Ether || len(i.MAC) != 6:
		case i.Name == c.Uplink:
			out[i.Index] = &port{Interface: i, side: world, route: i}
		case slices.Contains(c.LAN, i.Name):
			out[i.Index] = &port{Interface: i, side: devices, route: i}
		case bridge.Index != 0 && i.Bridge == bridge.Index:
			out[i.Index] = &port{Interface: i, side: devices, route: bridge}
		}
	}
	return out
}

// unattached says why nothing can be cached, as far as interfaces go. The caller
// holds mu.
func (p *Path) unattached() string {
	up, down := p.uplink(), false
	for _, q := range p.ports {
		down = down || q.side == devices
	}
	switch {
	case up == nil:
		return fmt.Sprintf("uplink %q is not there, or is no Ethernet", p.cfg.Uplink)
	case !down:
		return "no port towards devices is there"
	}
	return ""
}
