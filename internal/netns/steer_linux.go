package netns

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Steer delivers packets whose mark has this bit to local sockets, whatever
// address they are for: by a rule of routing that leads to a table of its own in
// which everything is local. The number of the table is the priority of the rule
// too. What is there already stays.
func (n *NS) Steer(bit uint32, table int) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		return err
	}
	for _, fam := range []struct {
		number int
		all    net.IPNet
	}{
		{unix.AF_INET, net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}},
		{unix.AF_INET6, net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}},
	} {
		route := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: &fam.all, Table: table, Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, Family: fam.number}
		if err := h.RouteReplace(route); err != nil {
			if fam.number == unix.AF_INET6 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES)) {
				return nil // a kernel without IPv6, or one that has it switched off
			}
			return fmt.Errorf("making table %d of routes in %q: %w", table, n.Name, err)
		}
		r := netlink.NewRule()
		r.Family, r.Mark, r.Mask, r.Table, r.Priority = fam.number, bit, &bit, table, table
		if err := h.RuleAdd(r); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("leading marked packets to table %d in %q: %w", table, n.Name, err)
		}
	}
	return nil
}
