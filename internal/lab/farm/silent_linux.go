package farm

import (
	"net/netip"

	"github.com/vishvananda/netlink"
)

// silence makes an address whose neighbour is known and that nobody has: the
// street does not forward, so whatever is sent there is dropped without a word.
func (f *Farm) silence(a netip.Addr) error {
	h, err := f.viewer.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName("eth0")
	if err != nil {
		return err
	}
	return h.NeighAdd(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac(1)})
}
