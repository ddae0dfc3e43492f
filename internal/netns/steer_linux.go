package netns

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

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

// Steered reports whether what Steer has made is there, in each family that this
// kernel has.
func (n *NS) Steered(bit uint32, table int) (bool, error) {
	h, err := n.Link()
	if err != nil {
		return false, err
	}
	defer h.Close()
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		rules, err := h.RuleListFiltered(family, &netlink.Rule{Table: table}, netlink.RT_FILTER_TABLE)
		if err == nil {
			var routes []netlink.Route
			routes, err = h.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
			led := slices.ContainsFunc(rules, func(r netlink.Rule) bool { return r.Mark == bit && r.Mask != nil && *r.Mask == bit })
			local := slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Type == unix.RTN_LOCAL })
			if err == nil && led && local {
				continue
			}
		}
		if family == unix.AF_INET6 && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || !n.hasIPv6()) {
			continue // Steer made nothing there
		}
		if err != nil {
			return false, fmt.Errorf("reading how packets are steered in %q: %w", n.Name, err)
		}
		return false, nil
	}
	return true, nil
}

// hasIPv6 reports whether routes of IPv6 can be made on the loopback interface.
func (n *NS) hasIPv6() (yes bool) {
	err := n.Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6")
		yes = err == nil && strings.TrimSpace(string(b)) == "0"
		return nil
	})
	return yes && err == nil
}
