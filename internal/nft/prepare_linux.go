package nft

import (
	"context"
	"errors"
	"io/fs"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/netns"
)

// Prepare makes a bridge through which no device reaches another but by way of
// the forward hook: its ports exchange no frames, the gateway answers ARP for
// every device (so that they send to it what is for each other) and routes
// between them. Interfaces of the list that do not exist are an error; the
// bridge is made if need be. Call it after Base, so that nothing passes before
// there are rules.
func Prepare(ctx context.Context, ns *netns.NS, bridge string, ports []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ns == nil {
		here, err := netns.Current()
		if err != nil {
			return err
		}
		defer here.Close()
		ns = here
	}
	if bridge == "" {
		return ringwall.Errorf(ringwall.Invalid, "no bridge is named")
	}
	if err := ns.Bridge(bridge); err != nil {
		return err
	}
	conf := "ipv4/conf/" + bridge + "/"
	for _, s := range []struct {
		key, value string
		maybe      bool // where the kernel has it
	}{
		{conf + "proxy_arp_pvlan", "1", false},
		// Linux waits up to 0.8 s before it answers for another.
		{"ipv4/neigh/" + bridge + "/proxy_delay", "0", false},
		// A redirect would tell devices to talk past us.
		{"ipv4/conf/all/send_redirects", "0", false},
		{conf + "send_redirects", "0", false},
		{"ipv4/conf/all/accept_source_route", "0", false},
		{conf + "accept_redirects", "0", false},
		{"ipv6/conf/" + bridge + "/disable_ipv6", "1", true},
		// Bridged frames must not run through the IP hooks a second time.
		{"bridge/bridge-nf-call-iptables", "0", true},
		{"bridge/bridge-nf-call-ip6tables", "0", true},
		{"bridge/bridge-nf-call-arptables", "0", true},
		{"netfilter/nf_conntrack_acct", "1", true},
		{"ipv4/ip_forward", "1", false},
	} {
		if err := ns.Sysctl(s.key, s.value); err != nil && !(s.maybe && errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	for _, p := range ports {
		if err := ns.Plug(p, bridge, true); err != nil {
			return err
		}
	}
	return nil
}

// PrepareIPv6 makes a bridge that Prepare has made ready carry IPv6 to the devices
// to which a plan opens it. The gateway itself listens to no router there.
func PrepareIPv6(ctx context.Context, ns *netns.NS, bridge string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if ns == nil {
		here, err := netns.Current()
		if err != nil {
			return err
		}
		defer here.Close()
		ns = here
	}
	conf := "ipv6/conf/" + bridge + "/"
	for _, s := range [][2]string{
		{conf + "accept_ra", "0"}, {conf + "accept_redirects", "0"}, {conf + "accept_source_route", "-1"},
		{"ipv6/conf/all/forwarding", "1"}, {conf + "disable_ipv6", "0"},
	} {
		if err := ns.Sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	return nil
}
