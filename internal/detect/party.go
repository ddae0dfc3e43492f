package detect

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/packet"
)

// party is one end of a contact.
type party struct {
	addr  netip.Addr
	key   uint64 // of the device, or of the address
	dev   int32  // slot of the device, -1 = none
	local bool
}

// special says that an address is of no single host: a group, a broadcast,
// this host, or none.
func (e *Engine) special(a netip.Addr) bool {
	if a.IsMulticast() || a.IsUnspecified() || a.IsLoopback() {
		return true
	}
	if a.Is4() {
		b := a.As4()
		v := binary.BigEndian.Uint32(b[:])
		if v == 0xffffffff {
			return true
		}
		for _, n := range e.nets4 {
			if v == n.broadcast && n.mask != ^uint32(0) {
				return true
			}
		}
	}
	return false
}

func (e *Engine) isLocal(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		v := binary.BigEndian.Uint32(b[:])
		for _, n := range e.nets4 {
			if v&n.mask == n.value {
				return true
			}
		}
		return false
	}
	for _, n := range e.nets6 {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// sender says who sent p. The MAC names a device before the address does,
// since a device can write any address; an address of a device with a foreign
// MAC names nobody.
func (e *Engine) sender(p *packet.Packet, hash uint64, now int64) party {
	who := party{addr: p.Src, key: hash, dev: -1}
	if len(e.devices) > 0 {
		if i, ok := e.byMAC[macKey(p.SrcMAC)]; ok && !e.routed {
			k := e.devices[i]
			who.dev, who.key, who.local = i, k.key, true
			if p.Src.Is4() && k.IP.Is4() && p.Src != k.IP && !p.Src.IsUnspecified() && e.isLocal(p.Src) && !p.Src.IsLinkLocalUnicast() {
				e.spoofed(i, p, p.Src, p.SrcMAC, now)
			}
			return who
		}
		if i, ok := e.byIP[hash]; ok {
			k := e.devices[i]
			if k.hasMAC && !e.routed && p.SrcMAC != (packet.MAC{}) && p.SrcMAC != k.mac {
				e.spoofed(i, p, p.Src, p.SrcMAC, now)
			} else {
				who.dev, who.key, who.local = i, k.key, true
				return who
			}
		}
	}
	who.local = e.isLocal(p.Src)
	return who
}

// receiver says whom p is for.
func (e *Engine) receiver(p *packet.Packet, hash uint64) party {
	who := party{addr: p.Dst, key: hash, dev: -1}
	if len(e.devices) > 0 {
		if i, ok := e.byIP[hash]; ok {
			who.dev, who.key, who.local = i, e.devices[i].key, true
			return who
		}
		if i, ok := e.byMAC[macKey(p.DstMAC)]; ok && !e.routed {
			who.dev, who.key, who.local = i, e.devices[i].key, true
			return who
		}
	}
	who.local = e.isLocal(p.Dst)
	return who
}

// spoofed notes that an address and a MAC do not belong together.
func (e *Engine) spoofed(dev int32, p *packet.Packet, addr netip.Addr, mac packet.MAC, now int64) {
	k := e.devices[dev]
	who := party{addr: addr, key: k.key, dev: dev, local: true}
	sum := byte(0)
	for _, b := range mac {
		sum += b
	}
	for _, b := range addr.AsSlice() {
		sum += b
	}
	// A device with many addresses, or an address with many MACs, is told of a
	// few times an hour.
	if !e.fresh(ruleSpoof, &who, uint64(sum%4), hour, now) {
		return
	}
	title, role := "The address of the device is used with another MAC", roleTarget
	if mac == k.mac {
		title, role = "The device uses an address that is not its own", roleSource
	}
	e.tell(statement{
		rule: ruleSpoof, nature: ringwall.NatureNotice, severity: ringwall.Low, title: title, role: role, subject: who, peer: addr,
		at: now, first: now, count: 1, packets: []uint64{p.Number},
		facts: map[string]string{"address": addr.String(), "mac": mac.String(), "boundAddress": k.IP.String(), "boundMac": k.MAC},
	}, itoa(sum%4), hour)
}

func timeOf(now int64) time.Time { return time.Unix(0, now) }
