package nft

import (
	"github.com/google/nftables/expr"
)

// ipv is a version of IP as rules look at it: IPv4 and IPv6 are judged alike,
// with keys of another length (RFC 791 section 3.1, RFC 8200 section 3).
type ipv struct {
	family         family
	words          uint32 // of an address
	src, dst       uint32 // offsets in the header
	ctSrc, ctDst   expr.CtKey
	echo, proto    uint8 // echo request, protocol of control messages
	dhcpTo, dhcpAt uint16
}

func version(f family) ipv {
	if f == ipv6 {
		return ipv{family: ipv6, words: 4, src: 8, dst: 24, ctSrc: ctSrcIP6, ctDst: ctDstIP6, echo: 128, proto: icmp6, dhcpTo: 547, dhcpAt: 546}
	}
	return ipv{family: ipv4, words: 1, src: 12, dst: 16, ctSrc: ctSrcIP, ctDst: ctDstIP, echo: 8, proto: 1, dhcpTo: 67, dhcpAt: 68}
}

func (v ipv) saddr(reg uint32) exprs {
	return payload(expr.PayloadBaseNetworkHeader, v.src, v.words*4, reg)
}

func (v ipv) daddr(reg uint32) exprs {
	return payload(expr.PayloadBaseNetworkHeader, v.dst, v.words*4, reg)
}

func (v ipv) origSrc(reg uint32) exprs { return ct(v.ctSrc, reg) }
func (v ipv) origDst(reg uint32) exprs { return ct(v.ctDst, reg) }

// protoReg and portReg are where the keys of ends have their protocol and port.
func (v ipv) protoReg() uint32 { return r0 + 1 + v.words }
func (v ipv) portReg() uint32  { return r0 + 2 + v.words }

// key loads the mark, an address of the connection, its protocol, and the port
// that was connected to.
func (v ipv) key(addr func(uint32) exprs) exprs {
	return rule(mark(r0), addr(r0+1), meta(expr.MetaKeyL4PROTO, v.protoReg()), ct(expr.CtKeyPROTODST, v.portReg()))
}

// openerKey loads the mark of the opener, the other end's address, protocol and
// port.
func (v ipv) openerKey() exprs { return v.key(v.origDst) }

// targetKey is the same for the device that a flow was opened to: the other end
// is the opener, the port the device's own.
func (v ipv) targetKey() exprs { return v.key(v.origSrc) }

// remedyKey is openerKey without a mark: the remediation set is everybody's.
func (v ipv) remedyKey() exprs {
	return rule(v.origDst(r0), meta(expr.MetaKeyL4PROTO, r0+v.words), ct(expr.CtKeyPROTODST, r0+v.words+1))
}

// self loads the mark of the machine that is its own device.
func (v ipv) self(reg uint32) exprs {
	return rule(imm(reg, make([]byte, v.words*4)), get(setOwner, reg, reg))
}

// localTo matches packets for an address of the gateway itself.
func localTo() exprs {
	return rule(exprs{&expr.Fib{Register: r0, FlagDADDR: true, ResultADDRTYPE: true}}, eq(r0, num(rtnLocal)))
}

// rtnLocal is RTN_LOCAL of linux/rtnetlink.h.
const rtnLocal = 2

// from and to match packets that come from (or go to) an interface towards devices.
// Most gateways have one: comparing its name is far cheaper than a lookup.
func (c site) from(yes bool) exprs { return c.iface(iifname, yes) }
func (c site) to(yes bool) exprs   { return c.iface(oifname, yes) }

func (c site) iface(load func(uint32) exprs, yes bool) exprs {
	if l := c.lan(); len(l) == 1 {
		if yes {
			return rule(load(r0), eq(r0, ifname(l[0])))
		}
		return rule(load(r0), neq(r0, ifname(l[0])))
	}
	if yes {
		return rule(load(r0), in(setLAN, r0))
	}
	return rule(load(r0), notIn(setLAN, r0))
}

// bits leaves of the word at reg what mask has.
func bits(reg uint32, mask uint32) exprs {
	return exprs{&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 4, Mask: num(mask), Xor: num(0)}}
}
