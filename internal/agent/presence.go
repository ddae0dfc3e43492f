package agent

import (
	"net"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

type hostKey struct {
	mac string
	ip  netip.Addr
}

// presence tells when a host is first seen, falls silent, is gone, is back, or
// sits at another port. Whether it has moved to another gateway only the
// platform can know.
type presence struct {
	agent *Agent
	told  map[hostKey]api.Sighting
	asked time.Time
}

// askEvery is how often hosts that have fallen silent are asked.
const askEvery = 10 * time.Second

func (p *presence) tell(now time.Time, sights []api.Sighting) {
	ask := now.Sub(p.asked) >= askEvery || now.Before(p.asked)
	if ask {
		p.asked = now
	}
	there := make(map[hostKey]bool, len(sights))
	for _, s := range sights {
		k := hostKey{s.MAC, s.IP}
		there[k] = true
		s.Presence = p.judge(s, now)
		old, known := p.told[k]
		if !known || old.Presence != s.Presence || old.Port != s.Port || old.Hostname != s.Hostname || old.Device != s.Device {
			p.told[k] = s
			p.agent.books.note(api.RecordPresence, s)
		}
		if s.Presence != ringwall.Online && ask {
			nudge(s.IP)
		}
	}
	for k := range p.told {
		if !there[k] {
			delete(p.told, k) // the meter has forgotten it, too
		}
	}
}

// judge takes the meter's word, which knows the habit of each host, unless the
// configuration is stricter.
func (p *presence) judge(s api.Sighting, now time.Time) ringwall.Presence {
	away := now.Sub(s.Last)
	switch c := p.agent.cfg; {
	case away >= c.Gone:
		return ringwall.Gone
	case s.Presence == ringwall.Online && c.Silent < meterFloor && away >= c.Silent:
		return ringwall.Silent
	}
	return s.Presence
}

// meterFloor is the shortest silence of which the meter speaks.
const meterFloor = 2 * time.Minute

// nudge makes the kernel ask for a host's MAC, by sending an empty datagram to
// its discard port: the answer, if any, passes the tap.
func nudge(ip netip.Addr) {
	if !ip.Is4() {
		return
	}
	c, err := net.Dial("udp4", netip.AddrPortFrom(ip, 9).String())
	if err != nil {
		return // no route: then there is nobody to ask
	}
	_, _ = c.Write(nil)
	c.Close()
}
