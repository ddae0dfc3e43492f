package fastpath

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/nft"
)

const (
	// busy and quiet are how often candidates are looked at, with some and with none.
	busy, quiet = 20 * time.Millisecond, 100 * time.Millisecond
	// survey is how often interfaces, tables of others and devices are looked at.
	survey = time.Second
	// atOnce and atMost bound the candidates of one interface that are asked about
	// in one round: few while connection tracking vouches for few of them, as in a
	// flood of what is refused.
	atOnce, atMost = 64, 2048
	// pending bounds the candidates that wait.
	pending = 1 << 14
	// again is how long a candidate that was unfit is left alone.
	again = time.Second
)

// keeper is what Run keeps to itself.
type keeper struct {
	*Path
	filter  Filter
	track   *tracker
	ring    *ringbuf.Reader
	record  ringbuf.Record
	wait    map[flowKey][6]byte
	unfit   map[flowKey]time.Time
	budget  map[uint32]int // of an interface
	looked  time.Time      // last survey
	swept   time.Time
	full    time.Time // until when nobody asks for room in the cache, since there was none
	heard   bool      // something, in the last round
	unknown bool      // a candidate named a device that is not known
}

// Run keeps the cache until ctx ends, which is no error; ready is called when
// it has begun. It is called once.
func (p *Path) Run(ctx context.Context, filter Filter, ready func()) error {
	ring, err := ringbuf.NewReader(p.maps.events)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "reading the events of the fast path: %w", err)
	}
	defer ring.Close()
	track, err := newTracker(p.ns)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "starting the fast path: %w", err)
	}
	defer track.close()
	k := &keeper{Path: p, filter: filter, track: track, ring: ring, wait: map[flowKey][6]byte{}, unfit: map[flowKey]time.Time{}, budget: map[uint32]int{}}
	defer p.stop()
	for first := true; ctx.Err() == nil; first = false {
		if err := k.round(ctx); err != nil && ctx.Err() == nil {
			// What could not be asked is not cached: gates that are closed stay so.
			p.cfg.Log.Warn("the fast path could not be kept up", "err", err)
		}
		if first {
			ready()
		}
	}
	return nil
}

// stop detaches the programs when the keeper ends.
func (p *Path) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.detach("stopped"); err != nil {
		p.cfg.Log.Warn("programs of the fast path are detached when the process ends", "err", err)
	}
}

func (k *keeper) round(ctx context.Context) error {
	k.mu.Lock()
	stale := k.stale
	k.mu.Unlock()
	now := time.Now()
	if now.Sub(k.looked) >= survey {
		k.looked = now
		if err := k.attach(ctx); err != nil {
			return err
		}
		stale = true
	}
	if stale || k.unknown {
		k.unknown = false
		if err := k.sync(ctx); err != nil {
			return err
		}
	}
	if now.Sub(k.swept) >= k.lease(false)/2 {
		k.swept = now
		if err := k.sweep(); err != nil {
			return err
		}
	}
	if err := k.listen(); err != nil {
		return err
	}
	return k.promote()
}

func (p *Path) lease(translated bool) time.Duration {
	if translated {
		return p.cfg.Lease / 6
	}
	return p.cfg.Lease
}

// listen collects candidates for a while.
func (k *keeper) listen() error {
	d := quiet
	if k.heard || len(k.wait) > 0 {
		d = busy
	}
	k.heard = false
	k.ring.SetDeadline(time.Now().Add(d))
	for range pending {
		err := k.ring.ReadInto(&k.record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading events: %w", err)
		}
		if len(k.record.RawSample) != eventSize {
			continue
		}
		k.heard = true
		e := (*event)(unsafe.Pointer(&k.record.RawSample[0]))
		if until, ok := k.unfit[e.Key]; ok && time.Now().Before(until) {
			continue
		}
		if len(k.wait) >= pending {
			k.crowded.Add(1)
			continue
		}
		k.wait[e.Key] = e.MAC
	}
	return nil
}

// promote asks connection tracking about candidates, each interface within its
// budget.
func (k *keeper) promote() error {
	if len(k.unfit) > pending {
		clear(k.unfit)
	}
	// Whoever finds no room goes the slow way, as all else does: to ask connection
	// tracking about each of its packets that is sampled would cost a processor.
	if time.Now().Before(k.full) {
		k.crowded.Add(uint64(len(k.wait)))
		clear(k.wait)
		return nil
	}
	type tally struct{ asked, fit int }
	tallies := map[uint32]*tally{}
	for key, mac := range k.wait {
		t := tallies[key.Ifindex]
		if t == nil {
			t = &tally{}
			tallies[key.Ifindex] = t
		}
		if t.asked >= max(k.budget[key.Ifindex], atOnce) {
			continue // the next round
		}
		delete(k.wait, key)
		t.asked++
		fit, err := k.consider(key, mac)
		if err != nil {
			return err
		}
		if fit {
			t.fit++
		} else {
			k.Path.unfit.Add(1)
			k.unfit[key] = time.Now().Add(again)
		}
	}
	for i, t := range tallies {
		if t.fit*2 >= t.asked {
			k.budget[i] = min(atMost, 2*max(k.budget[i], atOnce))
		} else {
			k.budget[i] = atOnce
		}
	}
	return nil
}

// consider puts a flow into the cache if all vouch for it.
func (k *keeper) consider(key flowKey, mac [6]byte) (fit bool, err error) {
	k.mu.Lock()
	in := k.ports[int(key.Ifindex)]
	k.mu.Unlock()
	if in == nil {
		return false, nil
	}
	if in.side == devices && !k.vouched(in, key.src().Addr(), mac) {
		return false, nil // nothing that is worth a question
	}
	c, ok, err := k.track.lookup(key)
	if err != nil || !ok {
		return false, err
	}
	if c.asKey != (in.side == devices) {
		return false, nil // opened to the device: the filter judges each packet
	}
	if key.Proto == unix.IPPROTO_TCP && c.strict {
		if err := k.track.relax(unix.IPPROTO_TCP, c.own, c.far); err != nil {
			return false, nil // it ended meanwhile
		}
	}
	v, ok := k.value(in, c)
	if !ok {
		return false, nil
	}
	if err := k.maps.flows.Put(&key, &v); err != nil {
		k.crowded.Add(1)
		k.full = time.Now().Add(again)
		return true, nil
	}
	k.cached.Add(1)
	return true, nil
}

// vouched reports whether a packet from a device has the looks that the device
// is bound to.
func (k *keeper) vouched(in *port, ip netip.Addr, mac [6]byte) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.byIP[ip]
	if d == nil {
		k.unknown = k.unknown || len(k.devices) == 0
		return false
	}
	if !d.open || d.MAC != mac || d.Port != "" && d.Port != in.Name {
		return false
	}
	d.seen = in.Index
	return true
}

// value is what is cached of a connection for one of its directions.
func (k *keeper) value(in *port, c tracked) (v flowValue, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	d := k.byIP[c.own.Addr()]
	if d == nil || !d.open || c.mark != d.Token {
		return v, false
	}
	up := k.uplink()
	out, home := k.home(d)
	if up == nil || home == nil || len(home.route.MAC) != 6 || len(up.MAC) != 6 {
		return v, false
	}
	now := monotonic()
	v = flowValue{
		Gate: d.gate, Slot: d.slot, Slow: now, Until: now + uint64(k.lease(c.own != c.shown)),
		SrcHi: [4]byte(d.MAC[:4]), SrcLo: [2]byte(d.MAC[4:]),
	}
	if c.own != c.shown {
		v.NAT = 1
	}
	if in.side == devices {
		v.Out, v.RouteIn, v.RouteOut, v.Back = uint32(up.Index), uint32(in.route.Index), uint32(up.Index), uint32(up.Index)
		v.DstHi, v.DstLo = [2]byte(in.route.MAC[:2]), [4]byte(in.route.MAC[2:])
		v.NATAddr, v.NATPort = c.shown.Addr().As4(), be2(c.shown.Port())
		return v, true
	}
	v.Out, v.RouteIn, v.RouteOut, v.Back = uint32(out), uint32(up.Index), uint32(home.route.Index), uint32(home.Index)
	v.DstHi, v.DstLo = [2]byte(up.MAC[:2]), [4]byte(up.MAC[2:])
	v.NATAddr, v.NATPort = c.own.Addr().As4(), be2(c.own.Port())
	// The next hop must be the device: its MAC, cut as a route's answer has it.
	v.SrcLo, v.SrcHi = [2]byte(d.MAC[:2]), [4]byte(d.MAC[2:])
	return v, true
}

func (p *Path) uplink() *port {
	for _, q := range p.ports {
		if q.side == world {
			return q
		}
	}
	return nil
}

// home returns the port of a device and the interface to send by: the port
// that the device is bound to, or, when it is bound to none, the bridge that it
// was seen behind, which knows where it sits. The caller holds mu.
func (p *Path) home(d *device) (out int, home *port) {
	if d.Port == "" {
		if home = p.ports[d.seen]; home == nil || home.side != devices {
			return 0, nil
		}
		return home.route.Index, home
	}
	for _, q := range p.ports {
		if q.side == devices && q.Name == d.Port {
			return q.Index, q
		}
	}
	return 0, nil
}

func monotonic() uint64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // cannot fail: every kernel has this clock
	return uint64(t.Nano())
}

// sync brings the gates to what the filter says now.
func (k *keeper) sync(ctx context.Context) error {
	k.mu.Lock()
	turn := k.turn
	k.mu.Unlock()
	list, err := k.filter.Cacheable(ctx)
	if err != nil {
		return fmt.Errorf("asking what may be cached: %w", err)
	}
	foreign, err := k.filter.Foreign(ctx)
	if err != nil {
		return fmt.Errorf("asking who else filters: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed || k.turn != turn {
		return nil // something was revoked since; ask again
	}
	k.stale = false
	k.idle = k.unattached()
	if len(foreign) > 0 {
		k.idle = "others filter what is forwarded: " + strings.Join(foreign[:min(3, len(foreign))], ", ")
	}
	seen := make(map[uint32]bool, len(list))
	for _, c := range list {
		seen[c.Mark] = true
		if len(foreign) > 0 {
			c.Token = 0
		}
		if err := k.settle(c); err != nil {
			return errors.Join(err, k.detach("gates could not be set"))
		}
	}
	for m, d := range k.devices {
		if seen[m] {
			continue
		}
		if err := k.shut(d); err != nil {
			return errors.Join(err, k.detach("gates could not be closed"))
		}
		delete(k.devices, m)
		k.free = append(k.free, d.slot)
	}
	clear(k.byIP)
	for _, d := range k.devices {
		k.byIP[d.IP] = d
	}
	return nil
}

// settle brings the gate of one device to what c says. The caller holds mu.
func (k *keeper) settle(c nft.Cacheable) error {
	d := k.devices[c.Mark]
	if d == nil {
		if len(k.free) == 0 {
			return nil // one too many: the slow way
		}
		d = &device{slot: k.free[0]}
		zero := make([]total, ebpf.MustPossibleCPU())
		if err := k.maps.counts.Put(d.slot, zero); err != nil {
			return err
		}
		k.free = k.free[1:]
		k.devices[c.Mark] = d
	}
	if d.Cacheable != c && c.Token != 0 {
		// Flows that were cached under another token or binding never pass again.
		k.epoch++
		d.gate = uint64(c.Token)<<32 | uint64(k.epoch)
		d.open = false
	}
	if c.Token == 0 {
		// The binding stays noted as it was: should the same come back, so do its
		// flows.
		if d.open {
			return k.shut(d)
		}
		if d.Mark == 0 {
			d.Cacheable = c
		}
		return nil
	}
	d.Cacheable = c
	if d.open {
		return nil
	}
	if err := k.maps.gates.Put(d.slot, d.gate); err != nil {
		return err
	}
	d.open = true
	return nil
}

// sweep throws out what does not pass any more.
func (k *keeper) sweep() error {
	k.mu.Lock()
	gates := make(map[uint32]uint64, len(k.devices))
	for _, d := range k.devices {
		gates[d.slot] = d.gate
	}
	k.mu.Unlock()
	now, n := monotonic(), 0
	var dead []flowKey
	keys, values := make([]flowKey, 512), make([]flowValue, 512)
	var at ebpf.MapBatchCursor
	for {
		got, err := k.maps.flows.BatchLookup(&at, keys, values, nil)
		for i := range got {
			if values[i].Gate != gates[values[i].Slot] || values[i].Until+uint64(k.cfg.Lease) < now {
				dead = append(dead, keys[i])
			} else {
				n++
			}
		}
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			break
		}
		if err != nil {
			return fmt.Errorf("sweeping the cache: %w", err)
		}
	}
	for i := range dead {
		_ = k.maps.flows.Delete(&dead[i]) // gone already, or taken anew: both fine
	}
	k.flows.Store(int64(n))
	return nil
}
