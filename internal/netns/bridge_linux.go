package netns

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
)

// Bridge makes a bridge, unless there is one of this name, and brings it up.
func (n *NS) Bridge(name string) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, os.ErrExist) {
			return fmt.Errorf("making bridge %q in %q: %w", name, n.Name, err)
		}
		if l, err = h.LinkByName(name); err != nil {
			return err
		}
	}
	if l.Type() != "bridge" {
		return fmt.Errorf("making bridge %q in %q: there is a %s of that name", name, n.Name, l.Type())
	}
	return h.LinkSetUp(l)
}

// Plug makes an interface a port of a bridge and brings it up. Isolated ports
// of one bridge exchange no frames with each other, only with the bridge.
func (n *NS) Plug(port, bridge string, isolated bool) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	p, err := h.LinkByName(port)
	if err != nil {
		return fmt.Errorf("finding %q in %q: %w", port, n.Name, err)
	}
	b, err := h.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("finding %q in %q: %w", bridge, n.Name, err)
	}
	if err := h.LinkSetMasterByIndex(p, b.Attrs().Index); err != nil {
		return fmt.Errorf("plugging %q into %q in %q: %w", port, bridge, n.Name, err)
	}
	if err := h.LinkSetIsolated(p, isolated); err != nil {
		return fmt.Errorf("isolating %q in %q: %w", port, n.Name, err)
	}
	return h.LinkSetUp(p)
}

// SetUp brings an interface of the namespace up, or takes it down as if its
// cable were pulled.
func (n *NS) SetUp(iface string, up bool) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("finding %q in %q: %w", iface, n.Name, err)
	}
	if up {
		return h.LinkSetUp(l)
	}
	return h.LinkSetDown(l)
}
