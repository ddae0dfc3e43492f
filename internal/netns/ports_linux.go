package netns

import (
	"fmt"
	"net"
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
