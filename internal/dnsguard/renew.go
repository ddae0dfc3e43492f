package dnsguard

import (
	"context"
	"net/netip"
	"reflect"
	"time"

	"github.com/ringwall/ringwall/internal/nft"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/rulefile"
)

const (
	// renewEvery is well below half of minLife: nothing that is wanted runs out
	// between two looks.
	renewEvery = 10 * time.Second
	// renewBatch bounds what is bound in one transaction, so that answers need not
	// wait long for the kernel.
	renewBatch = 128
	// maxUsers bounds the devices whose flows are looked at in one round: each costs
	// the kernel a walk over all flows.
	maxUsers = 32
	// ending is the life of what is to end now; the kernel wants one.
	ending = time.Millisecond
)

// Flows tells which addresses a device is talking with.
type Flows interface {
	InUse(ctx context.Context, mark uint32) (map[netip.Addr]bool, error)
}

// renew binds what has lived half its life and is still wanted: its name was
// asked for since it was bound, or a flow uses it. It forgets what the policy
// does not allow any more.
func (g *Guard) renew(ctx context.Context) {
	unlock, err := rulefile.Share(rulefile.LockOf(g.cfg.PolicyFile))
	if err != nil {
		return
	}
	defer unlock()
	tab, err := g.policy.Load()
	if err != nil {
		return
	}
	now := g.cfg.Uptime()
	type key struct {
		device uint64
		name   string
	}
	grants := map[key]grant{}
	grantOf := func(device uint64, name string) (asker, grant) {
		d := tab.byKey[device]
		if d == nil {
			return asker{}, grant{}
		}
		who := askerOf(d)
		k := key{device, name}
		gr, ok := grants[k]
		if !ok {
			gr = tab.grant(who, name)
			grants[k] = gr
		}
		return who, gr
	}
	list := g.book.due(now, func(x *hold) bool {
		who, gr := grantOf(x.Key, x.Name)
		// A mark that went to another device is a binding of nobody. One in quarantine
		// keeps what it will have again.
		return who.mark == x.Mark && (gr.resolve || who.state >= policy.StateQuarantine)
	})
	users := map[uint32]map[netip.Addr]bool{}
	var batch []nft.Binding
	var done []due
	flush := func() bool {
		if len(batch) == 0 {
			return true
		}
		if err := g.cfg.Firewall.BindAll(ctx, batch); err != nil {
			return false // they run out, unless the next round has more luck
		}
		for _, d := range done {
			who, _ := grantOf(d.key, d.name)
			_ = g.book.renewed(d, who, now)
		}
		batch, done = batch[:0], done[:0]
		return true
	}
	for _, d := range list {
		who, gr := grantOf(d.key, d.name)
		if !gr.resolve {
			continue
		}
		if !d.wanted {
			used, asked := users[d.mark]
			if !asked && len(users) < maxUsers && g.cfg.Flows != nil {
				used, _ = g.cfg.Flows.InUse(ctx, d.mark) // not known = not used
				users[d.mark] = used
			}
			if !used[d.addr] {
				continue
			}
		}
		batch = append(batch, g.bindings(tab, who, gr, d.name, d.addr, d.life)...)
		done = append(done, d)
		if len(batch) >= renewBatch && !flush() {
			return
		}
	}
	flush()
}

// follow binds anew, for what is left of their lives, the addresses of devices
// whose names mean something else since the last time: one that may be reached on
// another port now is reached there by who still keeps the answer. What they do
// not open any more the packet filter has taken away already.
func (g *Guard) follow(ctx context.Context) {
	unlock, err := rulefile.Share(rulefile.LockOf(g.cfg.PolicyFile))
	if err != nil {
		return
	}
	defer unlock()
	tab, err := g.policy.Load()
	if err != nil || tab == g.followed {
		return
	}
	changed := map[uint64]bool{}
	for key, d := range tab.byKey {
		var was *Device
		if g.followed != nil {
			was = g.followed.byKey[key]
		}
		if was == nil || was.Mark != d.Mark || was.State != d.State || !reflect.DeepEqual(was.Names, d.Names) || !reflect.DeepEqual(was.Programs, d.Programs) {
			changed[key] = true
		}
	}
	g.followed = tab
	var batch []nft.Binding
	for _, x := range g.book.holds(g.cfg.Uptime(), changed) {
		who := askerOf(tab.byKey[x.key])
		if gr := tab.grant(who, x.name); gr.resolve && who.mark == x.mark {
			batch = append(batch, g.bindings(tab, who, gr, x.name, x.addr, x.life)...)
		}
		if len(batch) >= renewBatch {
			if g.cfg.Firewall.BindAll(ctx, batch) != nil {
				return // the next lookup binds them
			}
			batch = batch[:0]
		}
	}
	_ = g.cfg.Firewall.BindAll(ctx, batch)
}

// bindings returns what opens and closes one address of a name.
func (g *Guard) bindings(tab *table, who asker, gr grant, name string, a netip.Addr, life time.Duration) []nft.Binding {
	var out []nft.Binding
	if who.mark == 0 {
		return nil
	}
	b := nft.Binding{Mark: who.mark, Addr: a, Name: name, Life: life}
	services := gr.services
	if tab.inside(a) {
		services = gr.private
		gr.remedies = nil
	}
	if len(services) > 0 {
		b.Services = services
		out = append(out, b)
	}
	if len(gr.remedies) > 0 {
		b.Services, b.Remediation = gr.remedies, true
		out = append(out, b)
		b.Remediation = false
	}
	for _, p := range gr.programs {
		own := nft.Binding{Mark: p.mark, Addr: a, Name: name, Life: life, Services: p.allow}
		if len(p.allow) > 0 && !tab.inside(a) {
			out = append(out, own)
		}
		if own.Services, own.Denied = p.deny, true; len(p.deny) > 0 {
			out = append(out, own)
		}
	}
	b.Denied = true
	if len(gr.denied) > 0 {
		b.Services = gr.denied
		out = append(out, b)
	}
	if len(gr.noRemedies) > 0 {
		b.Services, b.Remediation = gr.noRemedies, true
		out = append(out, b)
	}
	return out
}
