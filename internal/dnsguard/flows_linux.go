package dnsguard

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"github.com/ti-mo/conntrack"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/policy"
)

// tracked asks the kernel's connection tracking.
type tracked struct{ ns *netns.NS }

// NewFlows returns what asks the connection tracking of a namespace; nil is that
// of the program.
func NewFlows(ns *netns.NS) Flows { return tracked{ns} }

// InUse implements Flows. Package nft writes the mark of the device that opened a
// flow into the lower bits of its connection mark.
func (t tracked) InUse(ctx context.Context, mark uint32) (map[netip.Addr]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conf := &netlink.Config{}
	if t.ns != nil {
		conf.NetNS = t.ns.FD()
	}
	c, err := conntrack.Dial(conf)
	if err != nil {
		return nil, fmt.Errorf("asking for the flows of mark %d: %w", mark, err)
	}
	defer c.Close()
	flows, err := c.DumpFilter(conntrack.Filter{Mark: mark, Mask: policy.MaxMark | 1}, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for the flows of mark %d: %w", mark, err)
	}
	out := make(map[netip.Addr]bool, len(flows))
	for i := range flows {
		out[flows[i].TupleOrig.IP.DestinationAddress.Unmap()] = true
	}
	return out, nil
}
