package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/nft"
)

// build makes the namespaces and joins them. What it made before an error is
// in ns all the same, for the caller to close.
func build(ctx context.Context, ns map[string]*netns.NS) error {
	for _, name := range []string{Gateway, Internet} {
		if err := make1(ns, name); err != nil {
			return err
		}
	}
	if err := buildInternet(ns); err != nil {
		return fmt.Errorf("building the internet: %w", err)
	}
	if err := buildHome(ctx, ns); err != nil {
		return fmt.Errorf("building the home: %w", err)
	}
	if err := buildSIM(ns); err != nil {
		return fmt.Errorf("connecting the SIM: %w", err)
	}
	return nil
}

// make1 makes one namespace, without IPv6: the range has none.
func make1(ns map[string]*netns.NS, name string) error {
	n, err := netns.New(name)
	if err != nil {
		return err
	}
	ns[name] = n
	for _, key := range []string{"ipv6/conf/all/disable_ipv6", "ipv6/conf/default/disable_ipv6"} {
		if err := n.Sysctl(key, "1"); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	// What nobody owns any more gives up soon, or a cut connection would keep
	// the namespace when the range ends.
	return n.Sysctl("ipv4/tcp_orphan_retries", "1")
}

func buildInternet(ns map[string]*netns.NS) error {
	in := ns[Internet]
	if err := in.Sysctl("ipv4/ip_forward", "1"); err != nil {
		return err
	}
	const br = "br-net"
	if err := in.Bridge(br); err != nil {
		return err
	}
	if err := in.Addr(br, "198.51.100.1/24"); err != nil {
		return err
	}
	for _, h := range plan() {
		if h.home {
			continue
		}
		if err := make1(ns, h.name); err != nil {
			return err
		}
		port := InternetPort(h.name)
		if err := cable(ns[h.name], "eth0", nil, in, port); err != nil {
			return err
		}
		switch h.name {
		case Attacker:
			if err := join(in, port, "203.0.113.1/24", ns[h.name], prefix(h.addr, 24), "203.0.113.1"); err != nil {
				return err
			}
		case Sink:
			if err := join(in, port, "192.0.2.5/30", ns[h.name], prefix(h.addr, 30), "192.0.2.5"); err != nil {
				return err
			}
			if err := in.Route(scanRange.String(), h.addr.String()); err != nil {
				return err
			}
		default:
			if err := in.Plug(port, br, false); err != nil {
				return err
			}
			addrs := []string{prefix(h.addr, 24)}
			if h.name == Cloud {
				addrs = addrs[:0]
				for _, a := range cloudAddrs() {
					addrs = append(addrs, prefix(a, 24))
				}
			}
			for _, a := range addrs {
				if err := ns[h.name].Addr("eth0", a); err != nil {
					return err
				}
			}
			if err := ns[h.name].Route("default", "198.51.100.1"); err != nil {
				return err
			}
		}
	}
	return nil
}

func buildHome(ctx context.Context, ns map[string]*netns.NS) error {
	gw, in := ns[Gateway], ns[Internet]
	home := addrOf(Gateway)
	var ports []string
	for _, h := range plan() {
		if !h.home {
			continue
		}
		if err := make1(ns, h.name); err != nil {
			return err
		}
		if err := cable(ns[h.name], "eth0", MAC(h.addr), gw, Port(h.name)); err != nil {
			return err
		}
		ports = append(ports, Port(h.name))
	}
	// The bridge is made as the agent makes it, which finds it as it wants it:
	// devices meet through the gateway only, without an agent as well.
	if err := nft.Prepare(ctx, gw, Bridge, ports); err != nil {
		return err
	}
	// A hardware address of its own, or it would change with the ports.
	if err := hardware(gw, Bridge, MAC(home)); err != nil {
		return err
	}
	if err := gw.Addr(Bridge, prefix(home, homeNet.Bits())); err != nil {
		return err
	}
	for _, h := range plan() {
		if !h.home {
			continue
		}
		if err := ns[h.name].Addr("eth0", prefix(h.addr, homeNet.Bits())); err != nil {
			return err
		}
		if err := ns[h.name].Route("default", home.String()); err != nil {
			return err
		}
	}
	if err := cable(gw, Uplink, nil, in, "n-gateway"); err != nil {
		return err
	}
	if err := join(in, "n-gateway", "192.0.2.1/30", gw, "192.0.2.2/30", "192.0.2.1"); err != nil {
		return err
	}
	return in.Route(homeNet.String(), "192.0.2.2")
}

// Interfaces of the meter's SIM: its modem, and the operator's end.
const (
	modem    = "wwan0"
	radio    = "radio0"
	simMeter = "10.99.0.20"
	simHead  = "10.99.0.1"
)

// buildSIM gives the meter a second way out, over the operator, to be used
// only by who binds to it.
func buildSIM(ns map[string]*netns.NS) error {
	op, m, in := ns[Operator], ns[Meter], ns[Internet]
	if err := cable(m, modem, nil, op, radio); err != nil {
		return err
	}
	if err := op.Sysctl("ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if err := op.Addr(radio, simHead+"/24"); err != nil {
		return err
	}
	if err := m.Addr(modem, simMeter+"/24"); err != nil {
		return err
	}
	if err := in.Route(simNet.String(), addrOf(Operator).String()); err != nil {
		return err
	}
	h, err := m.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(modem)
	if err != nil {
		return err
	}
	r := &netlink.Route{Gw: net.ParseIP(simHead), LinkIndex: l.Attrs().Index, Priority: 1000}
	if err := h.RouteAdd(r); err != nil {
		return fmt.Errorf("routing over the SIM: %w", err)
	}
	return nil
}

// cable joins two namespaces with interfaces that carry packets of the size
// that a real cable would: what software joins into large ones is cut again
// before it leaves.
func cable(a *netns.NS, nameA string, macA net.HardwareAddr, b *netns.NS, nameB string) error {
	if err := netns.Cable(a, nameA, macA, b, nameB, nil); err != nil {
		return err
	}
	for _, end := range []struct {
		ns   *netns.NS
		name string
	}{{a, nameA}, {b, nameB}} {
		if err := small(end.ns, end.name); err != nil {
			return fmt.Errorf("limiting packets of %q in %q: %w", end.name, end.ns.Name, err)
		}
	}
	return nil
}

func small(n *netns.NS, name string) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	return h.LinkSetGSOMaxSegs(l, 1)
}

// hardware gives an interface its hardware address.
func hardware(n *netns.NS, name string, mac net.HardwareAddr) error {
	h, err := n.Link()
	if err != nil {
		return err
	}
	defer h.Close()
	l, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	return h.LinkSetHardwareAddr(l, mac)
}

// join gives both ends of a cable their addresses, and the far end its default
// route.
func join(near *netns.NS, ifc, addr string, far *netns.NS, farAddr, via string) error {
	if err := near.Addr(ifc, addr); err != nil {
		return err
	}
	farIfc := "eth0"
	if far.Name == Gateway {
		farIfc = Uplink
	}
	if err := far.Addr(farIfc, farAddr); err != nil {
		return err
	}
	return far.Route("default", via)
}
