package nft

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"github.com/ringwall/ringwall"
)

// CutFlows ends the tracked connections of a device: those that it opened and
// those that were opened to it. It answers how many there were. A restriction
// needs it not, since it is looked up for every packet; it makes the kernel
// forget, and says how much was going on.
func (f *Firewall) CutFlows(ctx context.Context, mark uint32) (n uint64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c, err := conntrack.Dial(&netlink.Config{NetNS: f.nsFD()})
	if err != nil {
		return 0, &ringwall.Error{Code: ringwall.Unavailable, Text: "the connections of the kernel cannot be reached", Err: err}
	}
	defer c.Close()
	// Every bit of the mark, none of those above it: all versions of its token.
	own := conntrack.Filter{Mark: mark, Mask: markBits}
	flows, err := c.DumpFilter(own, nil)
	if err != nil {
		return 0, fmt.Errorf("reading the flows of mark %d: %w", mark, err)
	}
	if len(flows) > 0 {
		if err := c.FlushFilter(own); err != nil {
			return 0, fmt.Errorf("cutting the flows of mark %d: %w", mark, err)
		}
	}
	n = uint64(len(flows))
	ip, ok := f.addrOf(mark)
	if !ok {
		return n, nil
	}
	// A flow between two devices carries the mark of who opened it.
	both, err := c.DumpFilter(conntrack.Filter{Mark: flowBoth, Mask: flowBoth}, nil)
	if err != nil {
		return n, fmt.Errorf("reading the flows between devices: %w", err)
	}
	for _, fl := range both {
		if fl.TupleOrig.IP.DestinationAddress == ip {
			if c.Delete(fl) == nil { // else it ended by itself
				n++
			}
		}
	}
	return n, nil
}

// maxForget bounds how many marks are looked for one by one among the tracked
// connections. More come at once only with the first plan after a start.
const maxForget = 256

// forget ends what is tracked of an older life of marks that are new: a
// connection that was given a token then must not be taken for one of now.
func (f *Firewall) forget(marks []uint32) error {
	if len(marks) == 0 || len(marks) > maxForget {
		return nil
	}
	c, err := conntrack.Dial(&netlink.Config{NetNS: f.nsFD()})
	if err != nil {
		return &ringwall.Error{Code: ringwall.Unavailable, Text: "the connections of the kernel cannot be reached", Err: err}
	}
	defer c.Close()
	for _, m := range marks {
		flows, err := c.DumpFilter(conntrack.Filter{Mark: m, Mask: markBits}, nil)
		if err == nil && len(flows) > 0 {
			err = c.FlushFilter(conntrack.Filter{Mark: m, Mask: markBits})
		}
		if err != nil {
			return fmt.Errorf("forgetting former flows of mark %d: %w", m, err)
		}
	}
	return nil
}

func (f *Firewall) addrOf(mark uint32) (netip.Addr, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.in == nil {
		return netip.Addr{}, false
	}
	d, ok := f.in.plan.Device(mark)
	return d.IP, ok
}
