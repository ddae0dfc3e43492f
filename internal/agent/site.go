package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

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
	for _, p := range c.Ports {
		dir := "/sys/class/net/" + p
		if _, err := os.Stat(dir); err != nil {
			continue // its cable or card is gone; the tap says so
		}
		master, err := os.Readlink(dir + "/master")
		switch {
		case err != nil || filepath.Base(master) != c.Bridge:
			what = append(what, fmt.Sprintf("port %s is not on the bridge", p))
		case read(dir+"/brport/isolated") != "1":
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
