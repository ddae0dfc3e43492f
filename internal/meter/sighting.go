package meter

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/packet"
)

const (
	// maxSights bounds the hosts that are seen; past it the one longest unseen
	// that is no known device gives way.
	maxSights = 1024
	// quietFloor is the shortest silence that is told: devices sleep.
	quietFloor = 2 * time.Minute
	// goneAfter is the silence after which a device is gone.
	goneAfter = 30 * time.Minute
	// habitTimes its longest usual pause makes a device silent.
	habitTimes = 3
)

type sightKey struct {
	mac packet.MAC
	ip  netip.Addr
}

type sight struct {
	api.Sighting
	habit time.Duration // its longest usual pause
}

// see notes who sent a packet.
func (m *Meter) see(p *packet.Packet) {
	addr := p.Src
	if p.Has(packet.ARP) {
		addr = p.ARPSender
	}
	if p.Has(packet.UDP) && p.SrcPort == 68 && p.DstPort == 67 {
		m.dhcp(p)
		return
	}
	if !addr.IsValid() || addr.IsUnspecified() || !m.local(addr) || p.SrcMAC == (packet.MAC{}) {
		return
	}
	m.sighted(p.SrcMAC, addr, p.Time)
}

func (m *Meter) sighted(mac packet.MAC, addr netip.Addr, at time.Time) *sight {
	k := sightKey{mac, addr}
	s := m.sights[k]
	if s == nil {
		if len(m.sights) >= maxSights && !m.dropSight() {
			return nil
		}
		s = &sight{Sighting: api.Sighting{MAC: mac.String(), IP: addr, Port: m.c.Port, First: at, Last: at}}
		m.sights[k] = s
	}
	if gap := at.Sub(s.Last); gap > s.habit {
		s.habit = min(gap, goneAfter)
	}
	if at.After(s.Last) {
		s.Last = at
	}
	s.Packets++
	return s
}

// dropSight forgets the host longest unseen that is no known device.
func (m *Meter) dropSight() bool {
	var victim sightKey
	var last time.Time
	for k, s := range m.sights {
		if m.byMAC[k.mac] == nil && (last.IsZero() || s.Last.Before(last)) {
			victim, last = k, s.Last
		}
	}
	if last.IsZero() {
		return false
	}
	delete(m.sights, victim)
	return true
}

// dhcp reads the host name from a request for an address (RFC 2131 section 2,
// RFC 2132 section 3.14) and the address that is asked for.
func (m *Meter) dhcp(p *packet.Packet) {
	b := p.Payload
	if len(b) < 240 || b[0] != 1 || string(b[236:240]) != "\x63\x82\x53\x63" {
		return
	}
	var name string
	addr, _ := netip.AddrFromSlice(b[12:16]) // what it has already
	for o := b[240:]; len(o) >= 2 && o[0] != 255; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		n := int(o[1])
		if len(o) < 2+n {
			break
		}
		switch v := o[2 : 2+n]; {
		case o[0] == 12 && n <= 63:
			name = printable(v)
		case o[0] == 50 && n == 4:
			addr, _ = netip.AddrFromSlice(v)
		}
		o = o[2+n:]
	}
	if addr.IsUnspecified() || p.SrcMAC == (packet.MAC{}) {
		return
	}
	if s := m.sighted(p.SrcMAC, addr, p.Time); s != nil && name != "" {
		s.Hostname = name
	}
}

// printable keeps what may stand in a host name.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '.' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return -1
	}, string(b))
}

// Sightings returns who was seen and whether it still is, sorted by MAC.
// Silent is said of a host that has paused three times as long as it ever did,
// and two minutes at least; gone of one unheard for half an hour.
func (m *Meter) Sightings() []api.Sighting {
	out := make([]api.Sighting, 0, len(m.sights))
	for k, s := range m.sights {
		x := s.Sighting
		if d := m.byMAC[k.mac]; d != nil {
			x.Device = d.ID
		} else if d := m.byIP[k.ip]; d != nil && (d.MAC == "" || m.c.Routed) {
			x.Device = d.ID
		}
		x.Presence = ringwall.Online
		switch away := m.now.Sub(s.Last); {
		case away >= goneAfter:
			x.Presence = ringwall.Gone
		case away >= max(quietFloor, habitTimes*s.habit):
			x.Presence = ringwall.Silent
		}
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b api.Sighting) int {
		if c := strings.Compare(a.MAC, b.MAC); c != 0 {
			return c
		}
		return a.IP.Compare(b.IP)
	})
	return out
}
