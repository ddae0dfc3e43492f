package discover

import (
	"encoding/binary"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/assess"
)

// neighbours6 returns the IPv6 neighbours of the thread's namespace that have
// answered; none when the kernel does not tell.
func neighbours6() []assess.Sighting {
	b, err := syscall.NetlinkRIB(unix.RTM_GETNEIGH, unix.AF_INET6)
	if err != nil {
		return nil
	}
	return parseNeighbours6(b)
}

// parseNeighbours6 reads the kernel's answer: struct ndmsg and its attributes
// (rtnetlink(7)).
func parseNeighbours6(b []byte) []assess.Sighting {
	msgs, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil
	}
	var out []assess.Sighting
	for _, m := range msgs {
		const header = 12
		if m.Header.Type != unix.RTM_NEWNEIGH || len(m.Data) < header || len(out) >= maxNeighbours {
			continue
		}
		if state := binary.NativeEndian.Uint16(m.Data[8:]); state&(unix.NUD_REACHABLE|unix.NUD_STALE|unix.NUD_DELAY|unix.NUD_PROBE|unix.NUD_PERMANENT) == 0 {
			continue // asked for, not answered
		}
		var s assess.Sighting
		for attrs := m.Data[header:]; len(attrs) >= 4; {
			n, kind := int(binary.NativeEndian.Uint16(attrs)), binary.NativeEndian.Uint16(attrs[2:])
			if n < 4 || n > len(attrs) {
				break
			}
			switch v := attrs[4:n]; kind {
			case unix.NDA_DST:
				s.Addr, _ = netip.AddrFromSlice(v)
			case unix.NDA_LLADDR:
				if len(v) == 6 {
					s.MAC = net.HardwareAddr(v).String()
				}
			}
			attrs = attrs[min((n+3)&^3, len(attrs)):]
		}
		if s.Addr.Is6() && s.MAC != "" && s.MAC != "00:00:00:00:00:00" && !s.Addr.IsMulticast() {
			out = append(out, s)
		}
	}
	return out
}
