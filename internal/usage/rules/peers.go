package rules

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
)

// MaxPeers bounds the allow list of one card.
const MaxPeers = 10_000

// Peers is an exact set of other ends: addresses and networks, names of access
// points, telephone numbers. Each kind is judged only if the set names one of
// it. It is not changed after ParsePeers and may be shared.
type Peers struct {
	addrs, numbers, apns bool           // kinds that it names
	keys                 []uint64       // open addressing, a power of two, at most half full; 0 = empty
	shift                uint           //
	nets                 []v4range      // sorted, apart
	wide                 []netip.Prefix // of IPv6: only the record itself can tell
	names                []uint32       // access points, sorted
}

type v4range struct{ from, to uint32 }

// ParsePeers reads a list of peers. An empty list is nil: any peer. The error
// has code Invalid.
func ParsePeers(list []string, keys *cdr.Keys) (*Peers, error) {
	if len(list) > MaxPeers {
		return nil, ringwall.Errorf(ringwall.Invalid, "allow list of %d peers is over the limit of %d", len(list), MaxPeers)
	}
	p := &Peers{}
	exact := map[uint64]struct{}{}
	for _, s := range list {
		s = strings.TrimSpace(s)
		if s == "" {
			continue
		}
		if a, err := netip.ParseAddr(s); err == nil {
			exact[keys.AddrPeer(a.WithZone(""))] = struct{}{}
			p.addrs = true
		} else if n, err := netip.ParsePrefix(s); err == nil {
			p.addNet(n.Masked())
		} else if digits(s) {
			exact[keys.PeerKey([]byte(s))] = struct{}{}
			p.numbers = true
		} else if apn(s) {
			p.names = append(p.names, keys.APNKey([]byte(s)))
			p.apns = true
		} else {
			return nil, ringwall.Errorf(ringwall.Invalid, "peer %.40q is no address, network, number or access point name", s)
		}
	}
	if !p.addrs && !p.numbers && !p.apns {
		return nil, nil
	}
	slices.Sort(p.names)
	p.names = slices.Compact(p.names)
	p.nets = join(p.nets)
	n := 2
	for n < 2*len(exact) {
		n *= 2
	}
	p.keys, p.shift = make([]uint64, n), shiftOf(n)
	for _, k := range sortedKeys(exact) {
		i := p.slot(k)
		for p.keys[i] != 0 {
			i = (i + 1) & (n - 1)
		}
		p.keys[i] = k
	}
	return p, nil
}

func (p *Peers) addNet(n netip.Prefix) {
	p.addrs = true
	if n.Addr().Is4In6() && n.Bits() >= 96 {
		n = netip.PrefixFrom(n.Addr().Unmap(), n.Bits()-96)
	}
	if !n.Addr().Is4() {
		p.wide = append(p.wide, n)
		return
	}
	b := n.Addr().As4()
	from := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	p.nets = append(p.nets, v4range{from, from | uint32(1<<(32-n.Bits())-1)})
}

// join sorts ranges and makes one of those that touch or overlap.
func join(list []v4range) (out []v4range) {
	slices.SortFunc(list, func(a, b v4range) int { return int(int64(a.from) - int64(b.from)) })
	for _, r := range list {
		if n := len(out); n > 0 && uint64(r.from) <= uint64(out[n-1].to)+1 {
			out[n-1].to = max(out[n-1].to, r.to)
			continue
		}
		out = append(out, r)
	}
	return out
}

func (p *Peers) slot(k uint64) int {
	k ^= k >> 29
	return int(k * 0x9e3779b97f4a7c15 >> p.shift)
}

// has reports whether a key is in the set, networks of IPv4 included.
func (p *Peers) has(k uint64) bool {
	for i := p.slot(k); ; i = (i + 1) & (len(p.keys) - 1) {
		switch p.keys[i] {
		case k:
			return true
		case 0:
			if cdr.PeerKind(k) != cdr.PeerIPv4 || len(p.nets) == 0 {
				return false
			}
			a := uint32(k)
			j, _ := slices.BinarySearchFunc(p.nets, a, func(r v4range, a uint32) int {
				switch {
				case r.to < a:
					return -1
				case r.from > a:
					return 1
				}
				return 0
			})
			return j < len(p.nets) && p.nets[j].from <= a && a <= p.nets[j].to
		}
	}
}

// refuse says whether the other end of an event is not in the set: peerOff,
// apnOff or both as bits. What the event does not tell it asks the record.
func (p *Peers) refuse(e *cdr.Event, env *Env) (bits uint32) {
	data := e.Use.Service() == cdr.Data
	switch kind := cdr.PeerKind(e.Peer); {
	case kind == cdr.PeerNone:
	case data && p.addrs:
		switch {
		case kind == cdr.PeerNumber || p.has(e.Peer):
		case kind == cdr.PeerIPv4 || env.confirm(p, e):
			bits = 1 << peerOff
		}
	case !data && p.numbers && e.Use.Service() != cdr.ServiceUnknown:
		switch {
		case kind == cdr.PeerIPv4 || p.has(e.Peer) || shortNumber(e.Peer):
		case kind == cdr.PeerNumber || env.confirm(p, e):
			bits = 1 << peerOff
		}
	}
	if data && p.apns && e.APN != 0 {
		if _, ok := slices.BinarySearch(p.names, e.APN); !ok {
			bits |= 1 << apnOff
		}
	}
	return bits
}

// accepts reports whether the other end of an event of data is known to be in the
// set, or not judged.
func (p *Peers) accepts(e *cdr.Event) bool {
	return e.Use.Service() == cdr.Data && (!p.addrs || e.Peer == 0 || p.has(e.Peer))
}

// shortNumber reports whether a number has less than three digits: it is none.
func shortNumber(k uint64) bool {
	return cdr.PeerKind(k) == cdr.PeerNumber && k<<2>>2 < 1000
}

// refuses says the same of a record whose event does not tell: an IPv6 address
// in a network of the list, a telephone number that is too long for a key.
func (p *Peers) refuses(r *cdr.Record) bool {
	if r.Service != cdr.Data {
		return digits(r.Peer)
	}
	a, err := netip.ParseAddr(r.Peer)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	return !slices.ContainsFunc(p.wide, func(n netip.Prefix) bool { return n.Contains(a) })
}

// digits reports whether s is a telephone number or short code.
func digits(s string) bool {
	d := strings.TrimPrefix(s, "+")
	return len(d) >= 3 && len(d) <= 20 && strings.Trim(d, "0123456789") == ""
}

// apn reports whether s has the form of an access point name (TS 23.003
// section 9.1: labels of letters, digits and hyphens).
func apn(s string) bool {
	if len(s) > 100 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			if (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}
