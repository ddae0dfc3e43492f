package nft

import (
	"context"
	"fmt"

	"github.com/ringwall/ringwall/internal/policy"
)

// Counters reads the counters of all devices in force, by mark; those of
// devices that the plan does not name are together under policy.Stranger. It
// costs a few entries a device, whatever their policies hold.
func (f *Firewall) Counters(ctx context.Context) (map[uint32]Counts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out, err := f.counted()
	if err != nil || f.cfg.Fast == nil {
		return out, err
	}
	fast, err := f.cfg.Fast.Counters()
	if err != nil {
		return nil, fmt.Errorf("reading the counters of the faster way: %w", err)
	}
	for m, n := range fast {
		out[m] = out[m].plus(n)
	}
	return out, nil
}

// counted is what the filter has counted. The caller holds mu.
func (f *Firewall) counted() (map[uint32]Counts, error) {
	var devices []policy.Device
	if f.in != nil {
		devices = f.in.plan.Devices
	}
	out := make(map[uint32]Counts, len(devices)+1)
	byIP, byMAC := make(map[string]uint32, len(devices)), make(map[string]uint32, len(devices))
	for i := range devices {
		d := &devices[i]
		out[d.Mark] = Counts{}
		for _, a := range addresses(d) {
			var k key
			k.addr(a)
			byIP[string(k.bytes())] = d.Mark
		}
		byMAC[string(pad(d.MAC[:]))] = d.Mark
	}
	if f.cfg.Host && len(devices) > 0 {
		for _, fam := range routed() {
			var k key
			k.addr(unspecified(fam))
			byIP[string(k.bytes())] = devices[0].Mark
		}
	}
	out[policy.Stranger] = Counts{}
	add := func(fam family, set string, mark func(key []byte) (uint32, bool), to func(*Counts) *Count) error {
		_, err := f.wire.dump(f.sets[setID{fam, set}], func(e *found) {
			m, ok := mark(e.key)
			if !ok || e.counter == nil {
				return
			}
			c := out[m]
			n := to(&c)
			n.Packets += e.counter.Packets
			n.Bytes += e.counter.Bytes
			out[m] = c
		})
		return err
	}
	ofIP := func(k []byte) (uint32, bool) { m, ok := byIP[string(k)]; return m, ok }
	ofMAC := func(k []byte) (uint32, bool) { m, ok := byMAC[string(pad(k))]; return m, ok }
	ofToken := func(k []byte) (uint32, bool) { return u32(string(k)) & markBits, len(k) == 4 || len(k) == 8 }
	ofMark := func(k []byte) (uint32, bool) { return u32(string(k)), len(k) == 4 }
	for _, fam := range routed() {
		for _, x := range []struct {
			set  string
			mark func([]byte) (uint32, bool)
			to   func(*Counts) *Count
		}{
			{setFastUp, ofToken, func(c *Counts) *Count { return &c.PassedUp }},
			{setFastDown, ofToken, func(c *Counts) *Count { return &c.PassedDown }},
			{setUp, ofIP, func(c *Counts) *Count { return &c.PassedUp }},
			{setDown, ofIP, func(c *Counts) *Count { return &c.PassedDown }},
			{setRefused, ofMark, func(c *Counts) *Count { return &c.Refused }},
			{setWould, ofMark, func(c *Counts) *Count { return &c.Would }},
		} {
			if err := add(fam, x.set, x.mark, x.to); err != nil {
				return nil, err
			}
		}
	}
	for _, b := range f.cfg.binders() {
		if !b.first() {
			continue
		}
		if err := add(b.table, setForged, ofMAC, func(c *Counts) *Count { return &c.Forged }); err != nil {
			return nil, err
		}
	}
	for m, n := range f.past {
		if c, ok := out[m]; ok {
			out[m] = c.plus(n)
		}
	}
	return out, nil
}

func (c Counts) plus(n Counts) Counts {
	for _, x := range []struct{ to, from *Count }{
		{&c.PassedUp, &n.PassedUp}, {&c.PassedDown, &n.PassedDown}, {&c.Refused, &n.Refused}, {&c.Would, &n.Would}, {&c.Forged, &n.Forged},
	} {
		x.to.Packets += x.from.Packets
		x.to.Bytes += x.from.Bytes
	}
	return c
}
