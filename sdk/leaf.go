package sdk

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Leaf is a device that does not speak IP, behind this client as its hub: a
// Zigbee lock, a BLE sensor, a LoRaWAN meter. On the platform it is a device of
// its own, with its own policy, mode and holds.
//
// Its flows are what applications do with it through the hub. A command is a
// flow that the application opens to the leaf, with an MQTT PUBLISH of what is
// commanded inside, such as "set" or "write/2a06"; reading is the same with a
// SUBSCRIBE of "report". So a term of the leaf's policy with direction "to", the
// application as its other end (by address, or as a device) and Inside of
// protocol "mqtt" says who may command it and who may read it. An application
// that is a device behind the same hub must be let by its own policy too.
type Leaf struct {
	c       *Client
	address string
	mac     string
	ip      netip.Addr
}

// Leaf returns the leaf that the hub calls address, such as
// "zigbee:00124b0001020304", "ble:aa:bb:cc:dd:ee:ff", "lora:0004a30b001c0530".
// Case does not matter.
func (c *Client) Leaf(address string) *Leaf {
	address = strings.ToLower(address)
	return &Leaf{c: c, address: address, mac: api.LeafMAC(c.id.Gateway, address), ip: api.LeafIP(c.id.Gateway, address)}
}

// Access is what an application wants of a leaf.
type Access struct {
	App    string            // how people call the application
	Addr   netip.Addr        // by which terms know it; the zero one is this machine's
	Device ringwall.DeviceID // "" = it is none behind this hub
	// Command is true for a command and false for reading.
	Command bool
	// What is commanded, such as "set" or "write/2a06"; of reading it is "report".
	What string
	Size int // bytes that the leaf gets, or says
}

// leafPort stands for the hub's service in flows of leaves.
const leafPort = 1883

// loopback is whom an application on this machine is known as.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// Device returns the leaf's id on the platform, "" when it has none yet.
func (l *Leaf) Device() ringwall.DeviceID {
	if p := l.policy(l.c.force.Load()); p != nil {
		return p.Device
	}
	return ""
}

// policy returns what the leaf may do; nil when the document does not name it.
func (l *Leaf) policy(f *inForce) *api.DevicePolicy {
	listed := ringwall.DeviceID("")
	if f.device != nil {
		for _, x := range f.device.Leaves {
			if strings.EqualFold(x.Address, l.address) {
				listed = x.Device
			}
		}
	}
	i := slices.IndexFunc(f.desired.Devices, func(p api.DevicePolicy) bool {
		return listed != "" && p.Device == listed || p.Binding.MAC == l.mac
	})
	if i < 0 {
		return nil
	}
	return &f.desired.Devices[i]
}

// Allow judges what an application wants, and reports it. The error is a
// *Refusal. A leaf that no policy names is open where its hub learns arrivals,
// and closed elsewhere.
func (l *Leaf) Allow(a Access) error {
	f := l.c.force.Load()
	if !a.Addr.IsValid() {
		a.Addr = loopback
	}
	seen := &policy.Seen{Proto: "mqtt", Method: "SUBSCRIBE", Path: "report", Complete: true}
	if a.Command {
		seen.Method, seen.Path = "PUBLISH", a.What
	}
	fl := policy.Flow{
		Direction: api.ToDevice, Proto: "tcp", Local: netip.AddrPortFrom(l.ip, leafPort), Remote: netip.AddrPortFrom(a.Addr.Unmap(), 0),
		RemoteDevice: a.Device, Inside: seen, At: l.c.cfg.Now(),
	}
	p := l.policy(f)
	v := l.judge(f, p, &fl)
	if v.Pass {
		if by := l.application(f, p, a.Device, fl); by != nil && !by.Pass {
			v = *by
		}
	}
	bound := ""
	if v.Pass && p != nil {
		if v, bound = l.spend(p, v, a.Size); bound != "" {
			v.Pass, v.Reason = false, policy.ReasonLimited
		}
	}
	r := f.refusal(v, &fl)
	r.Name, r.Limit, r.Device = l.address, bound, ""
	if p != nil {
		r.Device, r.Mode = p.Device, p.Mode
	}
	l.c.books.leaf(l, r, &fl, v, a)
	if v.Pass {
		return nil
	}
	if l.c.cfg.Refused != nil {
		l.c.cfg.Refused(r)
	}
	return r
}

func (l *Leaf) judge(f *inForce, p *api.DevicePolicy, fl *policy.Flow) policy.Verdict {
	switch {
	case p != nil:
		return f.site.Decide(p, f.restricted[p.Device], fl)
	case f.generation > 0 && f.desired.Arrival == ringwall.Learn:
		return policy.Verdict{Pass: true, Reason: policy.ReasonLearn}
	}
	return policy.Verdict{Reason: reasonNoPolicy}
}

// application judges the same flow by the policy of the device that opens it,
// where that is behind this hub; nil where it is not.
func (l *Leaf) application(f *inForce, leaf *api.DevicePolicy, id ringwall.DeviceID, fl policy.Flow) *policy.Verdict {
	i := slices.IndexFunc(f.desired.Devices, func(p api.DevicePolicy) bool { return id != "" && p.Device == id })
	if i < 0 {
		return nil
	}
	app := &f.desired.Devices[i]
	fl.Direction, fl.Local, fl.Remote, fl.RemoteDevice = api.FromDevice, fl.Remote, fl.Local, ""
	if leaf != nil {
		fl.RemoteDevice = leaf.Device
	}
	v := f.site.Decide(app, f.restricted[app.Device], &fl)
	return &v
}

// spend takes one access from the limits of the leaf.
func (l *Leaf) spend(p *api.DevicePolicy, v policy.Verdict, size int) (policy.Verdict, string) {
	use := func(key string, limit *api.Limit) string {
		if limit == nil {
			return ""
		}
		m := func() *meter {
			l.c.meters.mu.Lock()
			defer l.c.meters.mu.Unlock()
			return l.c.meters.get(key, *limit)
		}()
		if bound := m.enter(l.c.cfg.Now()); bound != "" {
			return bound
		}
		m.leave()
		_, bound := m.take(size, l.c.cfg.Now(), true)
		return bound
	}
	if bound := use("leaf:"+string(p.Device), p.Limit); bound != "" {
		v.Term = ""
		return v, bound
	}
	return v, use("leaf:"+string(p.Device)+":"+v.Term, v.Limit)
}

// Seen reports that the leaf is there, and by which name the hub calls it. The
// first time, and each ten minutes after that, the platform hears of it.
func (l *Leaf) Seen(name string) {
	now := l.c.cfg.Now().UTC()
	b := &l.c.books.leaves
	b.mu.Lock()
	one := b.get(l)
	first := one.said.IsZero()
	due := first || now.Sub(one.said) >= sayHere || name != "" && name != one.name
	if first {
		one.first = now
	}
	if name != "" {
		one.name = name
	}
	if due {
		one.said = now
	}
	called, begun := one.name, one.first
	b.mu.Unlock()
	if !due {
		return
	}
	tech, _, _ := strings.Cut(l.address, ":")
	l.c.books.json(api.RecordPresence, api.Sighting{
		MAC: l.mac, IP: l.ip, Port: tech, Hostname: called, First: begun, Last: now, Presence: ringwall.Online,
	})
}

// Gone reports that the hub has lost the leaf.
func (l *Leaf) Gone() {
	now := l.c.cfg.Now().UTC()
	b := &l.c.books.leaves
	b.mu.Lock()
	one := b.get(l)
	one.said = time.Time{}
	called := one.name
	b.mu.Unlock()
	tech, _, _ := strings.Cut(l.address, ":")
	l.c.books.json(api.RecordPresence, api.Sighting{
		MAC: l.mac, IP: l.ip, Port: tech, Hostname: called, First: now, Last: now, Presence: ringwall.Gone,
	})
}

// Said counts a report of the leaf, of n bytes, whoever reads it.
func (l *Leaf) Said(n int) {
	b := &l.c.books.leaves
	b.mu.Lock()
	defer b.mu.Unlock()
	one := b.get(l)
	one.features.PktsUp++
	one.features.BytesUp += uint64(n)
}

// Bypassed reports that somebody commanded the leaf without asking this hub's
// policy, such as on the broker itself.
func (l *Leaf) Bypassed(what string) {
	l.c.books.json(api.RecordNotice, api.Notice{
		Kind: api.NoticeInspect, Device: l.Device(), MAC: l.mac, Text: "the leaf was commanded past the hub's policy",
		Detail: map[string]string{"leaf": l.address, "what": what}, Count: 1, Time: l.c.cfg.Now().UTC(),
	})
}

// leafBooks are what leaves did in a minute.
type leafBooks struct {
	mu sync.Mutex
	by map[string]*leafMinute
}

type leafMinute struct {
	leaf        *Leaf
	name        string
	said, first time.Time
	features    api.Features
	flows       map[leafKey]*repeat
	peers       map[leafKey]*api.Peer
}

type leafKey struct {
	app     netip.Addr
	what    string
	pass    bool
	reason  string
	command bool
}

// maxLeaves bounds the leaves of one hub; a Zigbee network has 200.
const maxLeaves = 4096

// get returns a leaf's minute; past the bound all share one. The caller holds
// b.mu.
func (b *leafBooks) get(l *Leaf) *leafMinute {
	if b.by == nil {
		b.by = map[string]*leafMinute{}
	}
	key := l.address
	if _, known := b.by[key]; !known && len(b.by) >= maxLeaves {
		key = ""
	}
	one := b.by[key]
	if one == nil {
		one = &leafMinute{leaf: l, flows: map[leafKey]*repeat{}, peers: map[leafKey]*api.Peer{}}
		b.by[key] = one
	}
	return one
}

// leaf reports one access: the first of its kind in a minute at once, the others
// as one record when the minute is over.
func (b *books) leaf(l *Leaf, r *Refusal, fl *policy.Flow, v policy.Verdict, a Access) {
	now := b.c.cfg.Now()
	rec := recordOf(b.c.force.Load(), fl, v)
	rec.Start, rec.End, rec.Device, rec.Name, rec.Limit = now, now, r.Device, a.App, r.Limit
	rec.PacketsDown, rec.BytesDown = 1, uint64(a.Size)
	if !a.Command {
		rec.PacketsDown, rec.BytesDown, rec.PacketsUp, rec.BytesUp = 0, 0, 1, uint64(a.Size)
	}
	k := leafKey{fl.Remote.Addr(), fl.Inside.Path, v.Pass && !v.Would, v.Reason, a.Command}
	b.leaves.mu.Lock()
	one := b.leaves.get(l)
	one.features.Flows++
	if !v.Pass {
		one.features.Refused++
	} else if a.Command {
		one.features.PktsDn++
		one.features.BytesDn += uint64(a.Size)
	}
	if p := one.peers[k]; p != nil {
		p.Count++
	} else if v.Pass && (v.Would || v.Reason == policy.ReasonLearn) && len(one.peers) < maxRepeats {
		one.peers[k] = &api.Peer{Direction: api.ToDevice, Addr: fl.Remote.Addr(), Proto: fl.Proto, Port: leafPort, First: now.UTC(), Count: 1}
	}
	again := one.flows[k]
	if again == nil && len(one.flows) < maxRepeats {
		one.flows[k] = &repeat{record: rec}
		b.leaves.mu.Unlock()
		rec.First = !v.Pass
		b.flow(rec)
		return
	}
	if again != nil {
		again.more++
		again.record.End = now
	}
	b.leaves.mu.Unlock()
}

// flushLeaves reports the minute of each leaf that did something.
func (b *books) flushLeaves(from time.Time) {
	f := b.c.force.Load()
	b.leaves.mu.Lock()
	var minutes []*leafMinute
	for _, one := range b.leaves.by {
		kept := *one
		one.features, one.flows, one.peers = api.Features{}, map[leafKey]*repeat{}, map[leafKey]*api.Peer{}
		minutes = append(minutes, &kept)
	}
	b.leaves.mu.Unlock()
	for _, one := range minutes {
		p := one.leaf.policy(f)
		for _, again := range one.flows {
			if again.more == 0 {
				continue
			}
			r := again.record
			r.More = again.more - 1
			r.PacketsUp, r.PacketsDown = r.PacketsUp*again.more, r.PacketsDown*again.more
			r.BytesUp, r.BytesDown = r.BytesUp*again.more, r.BytesDown*again.more
			b.flow(r)
		}
		if p == nil || one.features == (api.Features{}) {
			continue
		}
		one.features.Device, one.features.From, one.features.Dests = p.Device, from.UTC(), uint64(len(one.flows))
		b.json(api.RecordFeatures, one.features)
		if len(one.peers) > 0 {
			seen := api.PeersSeen{Device: p.Device}
			for _, peer := range one.peers {
				seen.Peers = append(seen.Peers, *peer)
			}
			b.json(api.RecordPeers, seen)
		}
	}
}
