package agent

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/ringwall/ringwall/internal/nft"
)

// astray returns what others have changed of the machine itself, outside of the
// tables: whether it forwards, and how its ports hang on the bridge.
func (c Config) astray() (what []string) {
	if c.Host {
		return nil
	}
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	if c.Bridge != "" || len(c.LAN) > 0 {
		if read("/proc/sys/net/ipv4/ip_forward") != "1" {
			what = append(what, "net.ipv4.ip_forward is off")
		}
	}
	bridge, err := netlink.LinkByName(c.Bridge)
	if len(c.Ports) > 0 && err != nil {
		return append(what, fmt.Sprintf("bridge %s is not there", c.Bridge))
	}
	for _, p := range c.Ports {
		l, err := netlink.LinkByName(p)
		if err != nil {
			continue // its cable or card is gone; the tap says so
		}
		if l.Attrs().MasterIndex != bridge.Attrs().Index {
			what = append(what, fmt.Sprintf("port %s is not on the bridge", p))
			continue
		}
		if info, err := netlink.LinkGetProtinfo(l); err != nil || !info.Isolated {
			what = append(what, fmt.Sprintf("port %s is not isolated", p))
		}
	}
	return what
}

// prepare makes the machine forward as a gateway does.
func (c Config) prepare(ctx context.Context) error {
	switch {
	case c.Bridge != "":
		return nft.Prepare(ctx, nil, c.Bridge, c.Ports)
	case len(c.LAN) > 0:
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
	}
	return nil
}
