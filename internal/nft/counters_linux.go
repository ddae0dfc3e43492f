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
	out := map[uint32]Counts{}
	byIP, byMAC := map[string]uint32{}, map[string]uint32{}
	for _, d := range f.plan.Devices {
		out[d.Mark] = Counts{}
		byIP[string(ip4(d.IP))] = d.Mark
		byMAC[string(d.MAC[:])] = d.Mark
	}
	out[policy.Stranger] = Counts{}
	add := func(fam family, set string, mark func(key []byte) (uint32, bool), to func(*Counts) *Count) error {
		d, _ := f.def(setID{fam, set})
		els, err := f.conn.GetSetElements(d.set(f.table(fam)))
		if err != nil {
			return fmt.Errorf("reading counters %q: %w", set, err)
		}
		for _, e := range els {
			m, ok := mark(e.Key)
			if !ok || e.Counter == nil {
				continue
			}
			c := out[m]
			n := to(&c)
			n.Packets += e.Counter.Packets
			n.Bytes += e.Counter.Bytes
			out[m] = c
		}
		return nil
	}
	ofIP := func(k []byte) (uint32, bool) { m, ok := byIP[string(k)]; return m, ok }
	ofMAC := func(k []byte) (uint32, bool) { m, ok := byMAC[string(k)]; return m, ok }
	ofMark := func(k []byte) (uint32, bool) { return u32(string(k)), len(k) == 4 }
	for _, x := range []struct {
		fam  family
		set  string
		mark func([]byte) (uint32, bool)
		to   func(*Counts) *Count
	}{
		{ipv4, setUp, ofIP, func(c *Counts) *Count { return &c.PassedUp }},
		{ipv4, setDown, ofIP, func(c *Counts) *Count { return &c.PassedDown }},
		{ipv4, setRefused, ofMark, func(c *Counts) *Count { return &c.Refused }},
		{ipv4, setWould, ofMark, func(c *Counts) *Count { return &c.Would }},
	} {
		if err := add(x.fam, x.set, x.mark, x.to); err != nil {
			return nil, err
		}
	}
	for _, fam := range f.cfg.binders() {
		if err := add(fam, setForged, ofMAC, func(c *Counts) *Count { return &c.Forged }); err != nil {
			return nil, err
		}
	}
	return out, nil
}
