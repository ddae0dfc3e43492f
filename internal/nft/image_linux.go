package nft

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// setID names a set of ours.
type setID struct {
	family family
	name   string
}

// elem is the key of one element: End is set for boxes, Stop for the element
// that ends an interval of a set with a single field.
type elem struct {
	Key, End string
	Stop     bool
}

// held is what an element holds beside its key.
type value struct {
	Val     string
	Comment string
}

// image is what our sets hold, or should hold.
type image map[setID]map[elem]value

func (im image) put(id setID, key []byte, v value) {
	im.box(id, key, nil, v)
}

func (im image) box(id setID, key, end []byte, v value) {
	s := im[id]
	if s == nil {
		s = map[elem]value{}
		im[id] = s
	}
	s[elem{Key: string(key), End: string(end)}] = v
}

// Small boxes become single entries of a hash set; an interval set costs three
// and a half times as much to look into.
const (
	maxExactAddrs = 16
	maxExactPorts = 16
	maxExact      = 64
)

// putBoxes adds a list of boxes: small ones to a hash set, if one is named, the
// rest to an interval set.
func (im image) putBoxes(exact, ranges string, prefix []byte, boxes []policy.Box) {
	for _, b := range boxes {
		addrs := uint64(be32(b.Last)-be32(b.First)) + 1
		ports := uint64(b.PortLast-b.PortFirst) + 1
		if b.AllPorts() {
			ports = 1 // one entry with port 0
		}
		// An entry with port 0 stands for all ports, so that port 0 alone must be a range.
		if exact != "" && b.Proto != policy.ProtoOther && addrs <= maxExactAddrs && ports <= maxExactPorts && addrs*ports <= maxExact && (b.AllPorts() || b.PortFirst > 0) {
			for a := be32(b.First); ; a++ {
				if b.AllPorts() {
					im.put(setID{ipv4, exact}, cat(prefix, be4(a), []byte{b.Proto}, be16(0)), value{})
				} else {
					for p := int(b.PortFirst); p <= int(b.PortLast); p++ {
						im.put(setID{ipv4, exact}, cat(prefix, be4(a), []byte{b.Proto}, be16(uint16(p))), value{})
					}
				}
				if a == be32(b.Last) {
					break
				}
			}
			continue
		}
		for _, r := range protoRanges(b.Proto) {
			im.box(setID{ipv4, ranges},
				cat(prefix, ip4(b.First), []byte{r[0]}, be16(b.PortFirst)),
				cat(prefix, ip4(b.Last), []byte{r[1]}, be16(b.PortLast)), value{})
		}
	}
}

// protoRanges returns the protocol numbers that a box means.
func protoRanges(proto uint8) [][2]uint8 {
	switch proto {
	case policy.ProtoAny:
		return [][2]uint8{{0, 255}}
	case policy.ProtoOther:
		return [][2]uint8{{0, 0}, {2, 5}, {7, 16}, {18, 255}}
	}
	return [][2]uint8{{proto, proto}}
}

func be32(a netip.Addr) uint32 { return binary.BigEndian.Uint32(ip4(a)) }
func be4(v uint32) []byte      { return binary.BigEndian.AppendUint32(nil, v) }

// imageOf returns what the sets hold when p is in force. Tokens are left out.
func imageOf(c Config, p policy.Plan) image {
	im := image{}
	for _, f := range c.binders() {
		for _, d := range p.Devices {
			mac := d.MAC[:]
			if d.Port != "" {
				im.put(setID{f, setBind}, cat(ifname(d.Port), mac, ip4(d.IP)), value{Val: string(num(d.Mark))})
			} else {
				im.put(setID{f, setBindAny}, cat(mac, ip4(d.IP)), value{Val: string(num(d.Mark))})
			}
			im.put(setID{f, setMACs}, mac, value{})
			im.put(setID{f, setIPs}, ip4(d.IP), value{})
			im.put(setID{f, setForged}, mac, value{})
		}
		for _, mac := range p.Isolated {
			im.put(setID{f, setMACs}, mac[:], value{})
			im.put(setID{f, setForged}, mac[:], value{})
		}
		for _, port := range p.ClosedPorts {
			im.put(setID{f, setClosed}, ifname(port), value{})
		}
	}
	locals := []family{ipv4}
	if c.Bridge != "" {
		locals = append(locals, bridge)
	}
	for _, f := range locals {
		for _, n := range joined(p.Local) {
			id := setID{f, setLocal}
			im.put(id, be4(n.first), value{})
			if n.last != 0xffffffff {
				im[id][elem{Key: string(be4(n.last + 1)), Stop: true}] = value{}
			}
		}
	}
	marks := []uint32{policy.Stranger}
	im.put(setID{ipv4, setState}, num(policy.Stranger), value{Val: string(num(uint32(p.Arrival)))})
	for _, d := range p.Devices {
		m := num(d.Mark)
		marks = append(marks, d.Mark)
		im.put(setID{ipv4, setOwner}, ip4(d.IP), value{Val: string(m)})
		im.put(setID{ipv4, setState}, m, value{Val: string(num(uint32(d.State)))})
		im.putBoxes(setAllow, setAllowI, m, d.Allow)
		im.putBoxes("", setDenyI, m, d.Deny)
		im.putBoxes(setInAllow, setInAllowI, m, d.InAllow)
		im.putBoxes("", setInDenyI, m, d.InDeny)
		im.put(setID{ipv4, setUp}, ip4(d.IP), value{})
		im.put(setID{ipv4, setDown}, ip4(d.IP), value{})
	}
	for _, m := range marks {
		im.put(setID{ipv4, setRefused}, num(m), value{})
		im.put(setID{ipv4, setWould}, num(m), value{})
	}
	im.putBoxes(setRem, setRemI, nil, p.Remediation)
	im.putBoxes("", setRemNoI, nil, p.RemediationDeny)
	return im
}

type interval struct{ first, last uint32 }

// joined returns disjoint sorted networks as intervals, those that touch made
// one: the end of one and the beginning of the next would be the same key.
func joined(nets []netip.Prefix) []interval {
	var out []interval
	for _, n := range nets {
		first := be32(n.Addr())
		last := first | uint32(1<<(32-n.Bits())-1)
		if k := len(out); k > 0 && uint64(first) == uint64(out[k-1].last)+1 {
			out[k-1].last = last
			continue
		}
		out = append(out, interval{first, last})
	}
	return out
}

// change is what must be done to a set.
type change struct {
	def      setDef
	flush    bool
	del, add map[elem]value
}

// diff returns what turns now into want, set by set in the order of defs.
func diff(defs []setDef, now, want image, skip ...string) []change {
	var out []change
	for _, d := range defs {
		if d.role != static && d.role != counter || slices.Contains(skip, d.name) {
			continue
		}
		id := setID{d.family, d.name}
		c := change{def: d, del: map[elem]value{}, add: map[elem]value{}}
		for k, v := range now[id] {
			if w, ok := want[id][k]; !ok || w != v {
				c.del[k] = v
			}
		}
		for k, w := range want[id] {
			if v, ok := now[id][k]; !ok || w != v {
				c.add[k] = w
			}
		}
		if len(c.del)+len(c.add) == 0 {
			continue
		}
		if d.interval && !d.concatInterval() {
			// Starts and ends mean nothing by themselves: the few networks are put anew.
			c.flush, c.del, c.add = true, nil, want[id]
		}
		out = append(out, c)
	}
	return out
}

// elements returns keys in a settled order.
func elements(m map[elem]value, withValue bool) []nftables.SetElement {
	keys := slices.SortedFunc(maps.Keys(m), compareElem)
	out := make([]nftables.SetElement, 0, len(keys))
	for _, k := range keys {
		e := nftables.SetElement{Key: []byte(k.Key), IntervalEnd: k.Stop}
		if k.End != "" {
			e.KeyEnd = []byte(k.End)
		}
		if withValue {
			e.Val, e.Comment = []byte(m[k].Val), m[k].Comment
		}
		out = append(out, e)
	}
	return out
}

func compareElem(a, b elem) int {
	stop := func(x bool) int {
		if x {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.End, b.End), cmp.Compare(stop(a.Stop), stop(b.Stop)))
}

// sum writes the sets of an image into h, but for those that change without a
// change of policy.
func (im image) sum(h hash.Hash, skip ...string) {
	ids := slices.SortedFunc(maps.Keys(im), func(a, b setID) int {
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.name, b.name))
	})
	for _, id := range ids {
		if slices.Contains(skip, id.name) || len(im[id]) == 0 {
			continue
		}
		writeField(h, "set", string(id.family), id.name)
		for _, k := range slices.SortedFunc(maps.Keys(im[id]), compareElem) {
			v := im[id][k]
			stop := ""
			if k.Stop {
				stop = "stop"
			}
			writeField(h, k.Key, k.End, stop, v.Val, v.Comment)
		}
	}
}

// writeField writes fields with their lengths, so that no two lists look alike.
func writeField(h hash.Hash, fields ...string) {
	var n [4]byte
	for _, f := range fields {
		binary.BigEndian.PutUint32(n[:], uint32(len(f)))
		h.Write(n[:])
		h.Write([]byte(f))
	}
}

// namesID identifies the name rules of a device; it is kept in the kernel with
// the device's token, so that a restarted agent can tell whether they changed.
func namesID(names []policy.Name) string {
	if len(names) == 0 {
		return ""
	}
	h := sha256.New()
	for _, n := range names {
		deny := ""
		if n.Deny {
			deny = "deny"
		}
		writeField(h, n.Pattern, deny, string(rune(n.Proto)))
		for _, r := range n.Ports {
			writeField(h, string(be16(r.First)), string(be16(r.Last)))
		}
	}
	return "names:" + hex.EncodeToString(h.Sum(nil)[:8])
}

// serviceKeys returns the protocol and port fields that services open: port 0
// stands for all ports, protocol 0 for all protocols.
func serviceKeys(services []policy.Service) [][]byte {
	var out [][]byte
	add := func(proto uint8, port uint16) { out = append(out, cat([]byte{proto}, be16(port))) }
	for _, s := range services {
		if s.Ports == nil {
			add(s.Proto, 0)
			continue
		}
		protos := []uint8{s.Proto}
		if s.Proto == policy.ProtoAny {
			protos = []uint8{policy.ProtoTCP, policy.ProtoUDP}
		}
		for _, proto := range protos {
			for _, r := range s.Ports {
				if r == (api.PortRange{First: 0, Last: 0xffff}) {
					add(proto, 0)
					continue
				}
				for p := max(1, int(r.First)); p <= int(r.Last); p++ {
					add(proto, uint16(p))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b []byte) int { return slices.Compare(a, b) })
	return slices.CompactFunc(out, func(a, b []byte) bool { return slices.Equal(a, b) })
}

func u32(s string) uint32 {
	if len(s) < 4 {
		return 0
	}
	return binaryutil.NativeEndian.Uint32([]byte(s[:4]))
}
