package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/portmap"
)

const (
	// mappingsFirst is how soon after the start the router is asked, mappingsEvery
	// how often from then on.
	mappingsFirst = 5 * time.Second
	mappingsEvery = 5 * time.Minute
	// mappingAgain is how soon the same mapping is told again.
	mappingAgain = 24 * time.Hour
)

// What is done about mappings of the router upstream.
const (
	MappingsDelete = "delete" // those to us are taken away, and told
	MappingsTell   = "tell"
	MappingsOff    = "off"
)

// mappings asks the router upstream which ports it maps to us, tells of them, and
// has them taken away. What leads to others is none of the gateway's business.
func (a *Agent) mappings(ctx context.Context, ready func()) error {
	ready()
	told := once[portmap.Mapping]{every: mappingAgain, most: portmap.MaxMappings}
	speaks := once[string]{every: mappingAgain, most: 16}
	timer := time.NewTimer(mappingsFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if router, ok := defaultRouter(a.cfg.Uplink); ok {
			a.askRouter(ctx, router, &told, &speaks)
		}
		timer.Reset(mappingsEvery)
	}
}

func (a *Agent) askRouter(ctx context.Context, router netip.Addr, told *once[portmap.Mapping], speaks *once[string]) {
	c := portmap.New(portmap.Config{Router: router, Dial: a.cfg.dial})
	found, err := c.List(ctx)
	if err != nil && ctx.Err() == nil {
		a.log.Debug("router upstream was not wholly asked for its port mappings", "router", router, "err", err)
	}
	now := a.cfg.Now()
	for _, s := range found.Speaks {
		if speaks.first(s, now) {
			a.log.Info("router upstream maps ports for whoever asks", "router", router, "protocol", s)
		}
	}
	own := a.cfg.ownAddress()
	for _, m := range found.Mappings {
		to, ours := a.mappedTo(m.Internal.Addr(), own)
		if !ours {
			continue
		}
		deleted := ""
		if a.cfg.Mappings == MappingsDelete {
			if err := c.Delete(ctx, m, own); err != nil {
				deleted = "refused"
				a.log.Warn("router upstream keeps a port mapping to us", "router", router, "mapping", m.External, "err", err)
			} else {
				deleted = "yes"
			}
		}
		if m = plain(m); !told.first(m, now) && deleted != "yes" {
			continue
		}
		a.log.Warn("router upstream maps a port to us", "router", router, "protocol", m.Proto, "port", m.External, "to", m.Internal, "deleted", deleted)
		n := api.Notice{
			Kind: api.NoticeMapping, Device: to.Device, Addr: m.Internal, Text: m.Description,
			Detail: map[string]string{"protocol": m.Proto, "port": strconv.Itoa(int(m.External)), "router": router.String()},
		}
		if deleted != "" {
			n.Detail["deleted"] = deleted
		}
		if m.Remote != "" {
			n.Detail["remote"] = m.Remote
		}
		a.notice(n)
	}
}

// plain is a mapping as it is compared: by what it maps.
func plain(m portmap.Mapping) portmap.Mapping {
	return portmap.Mapping{Proto: m.Proto, External: m.External, Internal: m.Internal, Remote: m.Remote, Description: m.Description, Enabled: m.Enabled}
}

// mappedTo reports whether an address is ours: that of a device, of the gateway
// itself, or of the networks behind it.
func (a *Agent) mappedTo(addr, own netip.Addr) (d api.DevicePolicy, ours bool) {
	v := a.view.Load()
	for _, d := range v.desired.Devices {
		if d.Binding.IP == addr {
			return d, true
		}
	}
	return d, addr == own || slices.ContainsFunc(v.desired.LocalNets, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// defaultRouter returns the router of the default route through an interface.
func defaultRouter(uplink string) (netip.Addr, bool) {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return netip.Addr{}, false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if a, ok := routerOf(s.Text(), uplink); ok {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// routerOf reads one line of /proc/net/route.
func routerOf(line, uplink string) (netip.Addr, bool) {
	f := strings.Fields(line)
	if len(f) < 8 || f[0] != uplink || f[1] != "00000000" || f[7] != "00000000" {
		return netip.Addr{}, false
	}
	b, err := hex.DecodeString(f[2])
	if err != nil || len(b) != 4 {
		return netip.Addr{}, false
	}
	// The file has it as a number of this machine.
	var out [4]byte
	binary.NativeEndian.PutUint32(out[:], binary.BigEndian.Uint32(b))
	a := netip.AddrFrom4(out)
	return a, !a.IsUnspecified()
}
