package agent_test

import "github.com/vishvananda/netlink"

// makeBridge makes a bridge with an address in the namespace of the thread.
func makeBridge(name, cidr string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	b := &netlink.Bridge{LinkAttrs: attrs}
	if err := netlink.LinkAdd(b); err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(cidr)
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(b, addr); err != nil {
		return err
	}
	return netlink.LinkSetUp(b)
}

// linkDown takes an interface down in the namespace of the thread.
func linkDown(index int) error {
	l, err := netlink.LinkByIndex(index)
	if err != nil {
		return err
	}
	return netlink.LinkSetDown(l)
}
