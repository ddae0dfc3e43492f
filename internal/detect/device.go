package detect

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/packet"
)

// Device is one device that the engine knows by name.
type Device struct {
	ID  ringwall.DeviceID
	MAC string // as packet.MAC prints it; "" = not known, the address alone names it
	IP  netip.Addr
	// Learned is what the device was seen to need. As long as it and Terms are
	// empty, nothing is new for the device.
	Learned []api.Peer
	// Terms are what the device is allowed besides; deny terms are passed over.
	Terms []api.Term
	Mode  ringwall.Mode
	// Assessor says that assessments are run from the device: what looks like
	// scanning and guessing by it is its owner's doing.
	Assessor bool
	// Cleared is when the device was last set free: what was said and gathered
	// about it before is over, and what it does again is said again, under
	// another id.
	Cleared time.Time
}

// known is a device with what the engine holds of it.
type known struct {
	Device
	mac    packet.MAC
	hasMAC bool
	key    uint64

	addrs map[uint64]struct{} // hashes of direction, address, protocol and port; nil = none
	names map[peerName]struct{}
	allow bool // one of Terms allows something

	host *host // nil until something is to be noted of it
}

// state returns what is noted of the device.
func (k *known) state() *host { return made(&k.host) }

// peerAddr hashes a peer that is known by address.
func (e *Engine) peerAddr(to bool, addr uint64, proto uint8, port uint16) uint64 {
	n := uint64(proto)<<16 | uint64(port)
	if to {
		n |= 1 << 32
	}
	return e.hash.ordered(addr, e.hash.b, n)
}

type peerName struct {
	to    bool
	name  string
	proto uint8
	port  uint16
}

// SetDevices replaces the devices that are known. What was gathered about a
// device that stays is kept. It may be called from any goroutine and takes
// effect before the next packet. The terms and learned peers stay the caller's,
// who does not change them.
func (e *Engine) SetDevices(list []Device) {
	all := make([]*known, 0, len(list))
	for _, d := range list {
		k := &known{Device: d}
		k.mac, k.hasMAC = packet.ParseMAC(d.MAC)
		for _, p := range d.Learned {
			to := p.Direction == api.ToDevice
			if p.Domain != "" {
				if k.names == nil {
					k.names = map[peerName]struct{}{}
				}
				k.names[peerName{to, strings.ToLower(strings.TrimSuffix(p.Domain, ".")), protoNumber(p.Proto), p.Port}] = struct{}{}
			}
			if p.Addr.IsValid() {
				if k.addrs == nil {
					k.addrs = map[uint64]struct{}{}
				}
				k.addrs[e.peerAddr(to, e.hash.addr(p.Addr.Unmap()), protoNumber(p.Proto), p.Port)] = struct{}{}
			}
		}
		k.allow = slices.ContainsFunc(d.Terms, func(t api.Term) bool { return t.Action == api.Allow })
		all = append(all, k)
	}
	e.pending.Store(&all)
}

// protoNumber folds a protocol of a policy into the number that packets carry;
// 0 = any.
func protoNumber(s string) uint8 {
	switch s {
	case "tcp":
		return packet.ProtoTCP
	case "udp":
		return packet.ProtoUDP
	case "icmp":
		return packet.ProtoICMP
	}
	return 0
}

// adopt takes over a list of devices that SetDevices left. A device keeps its
// slot, which connections name.
func (e *Engine) adopt() {
	if e.pending.Load() == nil {
		return
	}
	list := *e.pending.Swap(nil)
	slots := map[ringwall.DeviceID]int32{}
	for i, d := range e.devices {
		if d != nil {
			slots[d.ID] = int32(i)
		}
	}
	fresh := make([]*known, len(e.devices), max(len(e.devices), len(list)))
	stay := map[ringwall.DeviceID]bool{}
	for _, k := range list {
		stay[k.ID] = true
	}
	var free []int32
	gone := map[int32]bool{}
	for i, d := range e.devices {
		if d == nil || !stay[d.ID] {
			free = append(free, int32(i))
			gone[int32(i)] = true
		}
	}
	e.conns.forget(gone)
	e.byMAC, e.byIP = map[uint64]int32{}, map[uint64]int32{}
	for _, k := range list[:min(len(list), e.limits.Devices)] {
		at, stays := slots[k.ID]
		switch {
		case stays:
			if k.Cleared.Equal(e.devices[at].Cleared) {
				k.host = e.devices[at].host
			}
		case len(free) > 0:
			at, free = free[0], free[1:]
		default:
			at = int32(len(fresh))
			fresh = append(fresh, nil)
		}
		k.key = e.deviceKey(k.ID)
		fresh[at] = k
		if k.hasMAC {
			e.byMAC[macKey(k.mac)] = at
		}
		if k.IP.IsValid() {
			e.byIP[e.hash.addr(k.IP.Unmap())] = at
		}
	}
	e.devices = fresh
}

// macKey is a MAC as a number, which a map finds faster.
func macKey(m packet.MAC) uint64 {
	return uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 | uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
}

func (e *Engine) deviceKey(id ringwall.DeviceID) uint64 {
	return e.hash.bytes([]byte(id)) | 1
}

// measured reports whether it is known what the device needs.
func (k *known) measured() bool { return len(k.addrs)+len(k.names) > 0 || k.allow }

// expects reports whether the device was seen to need this, or is allowed it.
func (e *Engine) expects(dev int32, to bool, other *party, proto uint8, port uint16) bool {
	k := e.devices[dev]
	if proto == packet.ProtoICMPv6 {
		proto, port = packet.ProtoICMP, 0
	}
	addr := other.addr.Unmap()
	if len(k.addrs) > 0 {
		hash := e.hash.addr(addr)
		for _, p := range [2]uint8{proto, 0} {
			if _, ok := k.addrs[e.peerAddr(to, hash, p, port)]; ok {
				return true
			}
		}
	}
	var names [2]string
	if len(k.names) > 0 || k.allow {
		names = e.names.Names(addr, timeOf(e.now))
		for _, n := range names {
			if n == "" {
				continue
			}
			for _, p := range [2]uint8{proto, 0} {
				if _, ok := k.names[peerName{to, n, p, port}]; ok {
					return true
				}
			}
		}
	}
	if !k.allow {
		return false
	}
	for i := range k.Terms {
		if t := &k.Terms[i]; t.Action == api.Allow && e.covers(t, to, other, names, proto, port) {
			return true
		}
	}
	return false
}

// covers reports whether a term is about this contact.
func (e *Engine) covers(t *api.Term, to bool, other *party, names [2]string, proto uint8, port uint16) bool {
	if (t.Direction == api.ToDevice) != to {
		return false
	}
	if p := protoNumber(t.Proto); p != 0 && p != proto {
		return false
	}
	if len(t.Ports) > 0 && !slices.ContainsFunc(t.Ports, func(r api.PortRange) bool { return r.First <= port && port <= r.Last }) {
		return false
	}
	switch {
	case t.CIDR.IsValid():
		return t.CIDR.Contains(other.addr.Unmap())
	case t.Local:
		return other.local
	case t.Device != "":
		return other.dev >= 0 && e.devices[other.dev].ID == t.Device
	case t.Domain != "":
		for _, n := range names {
			if n != "" && matchDomain(t.Domain, n) {
				return true
			}
		}
	}
	return false
}

// matchDomain reports whether name is the domain, or lies below it when the
// pattern begins with "*.".
func matchDomain(pattern, name string) bool {
	pattern = strings.ToLower(strings.TrimSuffix(pattern, "."))
	if tail, ok := strings.CutPrefix(pattern, "*"); ok && strings.HasPrefix(tail, ".") {
		return len(name) > len(tail) && strings.HasSuffix(name, tail)
	}
	return pattern == name
}
