package netns

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// Interface is one interface of a namespace.
type Interface struct {
	Index int
	Name  string
	MAC   net.HardwareAddr
	// Bridge is the index of the bridge that it is a port of; 0 = none.
	Bridge int
	// Ether says that its packets begin with an Ethernet header.
	Ether bool
}

// Interfaces lists the interfaces of the namespace.
func (n *NS) Interfaces() ([]Interface, error) {
	h, err := n.Link()
	if err != nil {
		return nil, err
	}
	defer h.Close()
	links, err := h.LinkList()
	if err != nil {
		return nil, fmt.Errorf("listing the interfaces of %q: %w", n.Name, err)
	}
	out := make([]Interface, 0, len(links))
	bridges := map[int]bool{}
	for _, l := range links {
		a := l.Attrs()
		bridges[a.Index] = l.Type() == "bridge"
		out = append(out, Interface{Index: a.Index, Name: a.Name, MAC: a.HardwareAddr, Bridge: a.MasterIndex, Ether: a.EncapType == "ether"})
	}
	for i := range out {
		if !bridges[out[i].Bridge] {
			out[i].Bridge = 0
		}
	}
	return out, nil
}

// Received is how many packets an interface has taken in.
func (n *NS) Received(iface string) (uint64, error) {
	h, err := n.Link()
	if err != nil {
		return 0, err
	}
	defer h.Close()
	l, err := h.LinkByName(iface)
	if err != nil {
		return 0, fmt.Errorf("finding %q in %q: %w", iface, n.Name, err)
	}
	return l.Attrs().Statistics.RxPackets, nil
}

// HardwareAddr gives an interface a hardware address.
func (n *NS) HardwareAddr(iface string, mac net.HardwareAddr) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("finding %q in %q: %w", iface, n.Name, err)
	}
	return h.LinkSetHardwareAddr(l, mac)
}

// Neighbour tells the namespace, for good, which hardware address a neighbour
// has.
func (n *NS) Neighbour(iface, addr string, mac net.HardwareAddr) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(iface)
	if err != nil {
		return fmt.Errorf("finding %q in %q: %w", iface, n.Name, err)
	}
	return h.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: net.ParseIP(addr), HardwareAddr: mac, State: netlink.NUD_PERMANENT})
}
