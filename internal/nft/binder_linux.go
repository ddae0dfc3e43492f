package nft

import (
	"bytes"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/policy"
)

// Binders tie what comes in to a device, by the port, MAC and IP of the frame. On
// a bridge they see frames of its ports; on plain interfaces, packets, before
// connection tracking, so that what is forged makes no entry.

// binderChains are those of one version of IP; shared says to make those that
// the binders of a table share.
func binderChains(c site, b binder, shared bool) []chainDef {
	v := version(b.ip)
	var out []chainDef
	add := func(name string, rules ...exprs) {
		out = append(out, chainDef{family: b.table, name: name, rules: rules})
	}
	if shared {
		add("forged", rule(etherSaddr(r0), in(setForged, r0)), rule(count(), drop()))
		// What only a router or a server may say.
		add("r_"+ReasonRogue, concat(sampleAll(c, "refused:"+ReasonRogue), one(goTo("forged")))...)
		// Whoever seeks a gateway to open a port in; the mark is the device's.
		add("r_mapping", concat(sampleAll(c, "refused:"+ReasonPortMapping), one(rule(count(), drop())))...)
	}
	udp := func(load func(uint32) exprs, port uint16) exprs {
		return rule(l4(unix.IPPROTO_UDP), load(r0), eq(r0, be16(port)))
	}
	// To one: the input hook has the word on what a server or a seeker sends to the
	// gateway alone, and ports are isolated.
	add("known"+b.suffix,
		rule(kind(unix.PACKET_HOST), accept()), // the bridge's own MAC too
		rule(kind(unix.PACKET_OTHERHOST), accept()),
		rule(udp(sport, v.dhcpTo), goTo("r_"+ReasonRogue)), // a server of addresses on a device
		rule(udp(dport, 1900), goTo("r_mapping")),          // SSDP
		accept())
	if b.ip == ipv6 {
		out = append(out, discoveryChains(c, b, v)...)
	}
	out = append(out, chainDef{family: b.table, name: "bind" + b.suffix, rules: bindRules(c, b, v)})
	return out
}

// kind matches packets to this host, to another, to many or to all.
func kind(t uint8) exprs { return rule(meta(expr.MetaKeyPKTTYPE, r0), eq(r0, []byte{t})) }

// plainHeader matches a header of IPv4 without options.
func plainHeader() exprs {
	return rule(payload(expr.PayloadBaseNetworkHeader, 0, 1, r0), eq(r0, []byte{0x45}))
}

// frame is the source of a frame as the keys of bind have it: a MAC and, at the
// ports of a bridge, behind it the type of the frame, as both stand in its header.
// So one load and one lookup see to both, tags included.
func (b binder) frame(mac policy.MAC) []byte {
	if b.typed() {
		return append(mac[:len(mac):len(mac)], 8, 0)
	}
	return pad(mac[:])
}

func (b binder) typed() bool { return b.table == bridge && b.ip == ipv4 }

// source loads what frame says, of a frame that the type was not looked at yet.
func (b binder) source(reg uint32) exprs {
	if b.typed() {
		return payload(expr.PayloadBaseLLHeader, 6, 8, reg)
	}
	return etherSaddr(reg)
}

// claims makes of a MAC that ARP claims, at reg, what frame would say of it.
func (b binder) claims(mac exprs, reg uint32) exprs {
	return rule(mac, exprs{&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: 8, Mask: bytes.Repeat([]byte{255}, 8), Xor: []byte{0, 0, 0, 0, 0, 0, 8, 0}}})
}

// sampleAll is sample where the device is not known for sure: few in all.
func sampleAll(c site, prefix string) []exprs {
	if c.noLog {
		return nil
	}
	return one(rule(limit(logRate, logBurst), logTo(prefix)))
}

// bindKeys are the ways in which a device may be bound, with the map of each.
func (b binder) bindKeys(addr func(uint32) exprs) []exprs {
	return []exprs{
		rule(iifname(r0), b.source(r0+4), addr(r0+6), get(setBind+b.suffix, r0, r0)),
		rule(etherSaddr(r0), addr(r0+2), get(setBindAny+b.suffix, r0, r0)),
		rule(iifname(r0), addr(r0+4), get(setBindSub+b.suffix, r0, r0)),
		rule(addr(r0), get(setBindIP+b.suffix, r0, r0)),
	}
}

// bindRules let a packet pass with the mark of its device, and drop what is
// forged: what claims to be a device, and what is not wanted where a restricted
// device might have changed its looks.
func bindRules(c site, b binder, v ipv) []exprs {
	var rules []exprs
	udpTo := func(port uint16) exprs { return rule(l4(unix.IPPROTO_UDP), dport(r0), eq(r0, be16(port))) }
	udpFrom := func(port uint16) exprs { return rule(l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(port))) }
	if v.family == ipv4 {
		// A header with options (RFC 791 section 3.1): source routes are among them,
		// and no device needs any.
		rules = append(rules, rule(payload(expr.PayloadBaseNetworkHeader, 0, 1, r0), neq(r0, []byte{0x45}), count(), drop()))
	} else {
		next := rule(payload(expr.PayloadBaseNetworkHeader, 6, 1, r0))
		rules = append(rules, rule(next, eq(r0, []byte{icmp6}), goTo("discovery")))
		// No extension headers, fragments among them (RFC 8200 section 4, RFC 7045
		// section 4): hop-by-hop options, routing, fragment, authentication, none,
		// destination options, mobility, HIP, shim6, experiments.
		for _, h := range []byte{0, 43, 44, 51, 59, 60, 135, 139, 140, 253, 254} {
			rules = append(rules, rule(next, neq(r0, []byte{unix.IPPROTO_TCP}), neq(r0, []byte{unix.IPPROTO_UDP}), eq(r0, []byte{h}), count(), drop()))
		}
	}
	known := goTo("known" + b.suffix)
	ways := b.bindKeys(v.saddr)
	rules = append(rules, rule(ways[0], setMark(r0), known), rule(ways[1], setMark(r0), known))
	if b.table != bridge {
		rules = append(rules, rule(ways[2], setMark(r0), known), rule(ways[3], setMark(r0), known))
	}
	rules = append(rules, rule(imm(r0, num(0)), setMark(r0)))
	if v.family == ipv6 {
		return append(rules, goTo("forged6")) // closed to whom it is not opened
	}
	rules = append(rules,
		rule(udpFrom(v.dhcpTo), goTo("r_"+ReasonRogue)),
		rule(v.saddr(r0), eq(r0, []byte{0, 0, 0, 0}), udpFrom(v.dhcpAt), udpTo(v.dhcpTo), accept()),
		rule(udpTo(1900), goTo("r_mapping")))
	rules = append(rules, b.unbound(v.saddr)...)
	return append(rules, accept())
}

// unbound is what an address is dropped for that is bound to nobody.
func (b binder) unbound(addr func(uint32) exprs) []exprs {
	return []exprs{
		rule(etherSaddr(r0), in(setMACs, r0), goTo("forged")),
		rule(addr(r0), in(setIPs+b.suffix, r0), goTo("forged")),
		rule(iifname(r0), in(setClosed, r0), goTo("forged")),
		rule(addr(r0), notIn(setLocal, r0), goTo("forged")),
	}
}

// discoveryChains guard neighbour discovery (RFC 4861 section 4, RFC 6105): a
// device solicits with and advertises its own addresses and MAC only, and never
// speaks as a router.
func discoveryChains(c site, b binder, v ipv) []chainDef {
	typ := func(t uint8) exprs {
		return rule(payload(expr.PayloadBaseTransportHeader, 0, 1, r0), eq(r0, []byte{t}))
	}
	size := func(n uint16) exprs { return rule(payload(expr.PayloadBaseNetworkHeader, 4, 2, r0), eq(r0, be16(n))) }
	hops := rule(payload(expr.PayloadBaseNetworkHeader, 7, 1, r0), neq(r0, []byte{255}), count(), drop())
	target := func(reg uint32) exprs { return payload(expr.PayloadBaseTransportHeader, 8, 16, reg) }
	optMAC := func(reg uint32) exprs { return payload(expr.PayloadBaseTransportHeader, 26, 6, reg) }
	option := func(t uint8) exprs {
		return rule(payload(expr.PayloadBaseTransportHeader, 24, 2, r0), eq(r0, []byte{t, 1}))
	}
	// The frame's MAC and that of the option, each with the address at addr.
	both := func(addr func(uint32) exprs, then exprs) []exprs {
		return []exprs{
			rule(iifname(r0), etherSaddr(r0+4), addr(r0+6), get(setBind+b.suffix, r0, r0), setMark(r0),
				iifname(r0), optMAC(r0+4), addr(r0+6), get(setBind+b.suffix, r0, r0), setMark(r0), then),
			rule(etherSaddr(r0), addr(r0+2), get(setBindAny+b.suffix, r0, r0), setMark(r0),
				optMAC(r0), addr(r0+2), get(setBindAny+b.suffix, r0, r0), setMark(r0), then),
		}
	}
	plain := func(addr func(uint32) exprs, then exprs) []exprs {
		w := b.bindKeys(addr)
		return []exprs{rule(w[0], setMark(r0), then), rule(w[1], setMark(r0), then)}
	}
	chain := func(name string, rules ...[]exprs) chainDef {
		return chainDef{family: b.table, name: name, rules: concat(rules...)}
	}
	none := make([]byte, 16)
	return []chainDef{
		// What a device says to which IPv6 is closed is dropped, and no forgery: most
		// speak it unasked.
		chain("forged6", []exprs{rule(etherSaddr(r0), notIn(setMACs6, r0), count(), drop()), goTo("forged")}),
		chain("advertise", one(hops),
			// The source must be bound too, or the target could be another's.
			[]exprs{rule(size(24), jumpTo("advertise_plain")), rule(size(32), option(2), jumpTo("advertise_mac")), goTo("forged6")}),
		chain("solicit", one(hops),
			one(rule(v.saddr(r0), eq(r0, none), goTo("probe"))), // is the address free? (RFC 4862 section 5.4)
			one(rule(size(24), jumpTo("solicit_plain"))),
			one(rule(size(32), option(1), jumpTo("solicit_mac"))),
			one(goTo("forged6"))),
		chain("router", one(hops), plain(v.saddr, accept()), one(goTo("forged6"))),
		chain("as_router", plain(v.saddr, goTo("r_"+ReasonRogue)), one(goTo("r_"+ReasonRogue))),
		chain("discovery", []exprs{
			rule(typ(134), goTo("as_router")), // router advertisement
			rule(typ(137), goTo("as_router")), // redirect
			rule(typ(136), goTo("advertise")),
			rule(typ(135), goTo("solicit")),
			rule(typ(133), goTo("router")),
			// Of the rest, echo and errors of flows; groups are joined in vain, no bridge
			// port hears of them.
			rule(payload(expr.PayloadBaseTransportHeader, 0, 1, r0), eq(r0, []byte{143}), count(), drop()),
		}, plain(v.saddr, accept()), []exprs{goTo("forged6")}),
		chain("advertise_plain", plain(target, accept()), one(goTo("forged6"))),
		chain("advertise_mac", both(target, accept()), one(goTo("forged6"))),
		chain("solicit_plain", plain(v.saddr, accept()), one(goTo("forged6"))),
		chain("solicit_mac", both(v.saddr, accept()), one(goTo("forged6"))),
		chain("probe", plain(target, accept()), one(goTo("forged6"))),
	}
}

// hookBinders are the hooks from which the binders are reached.
func hookBinders(c site) []chainDef {
	var out []chainDef
	if len(c.LAN) > 0 {
		for _, f := range routed() {
			bind := map[family]string{ipv4: "bind", ipv6: "bind6"}[f]
			var rules []exprs
			for _, l := range c.LAN {
				rules = append(rules, rule(iifname(r0), eq(r0, ifname(l)), goTo(bind)))
			}
			out = append(out, chainDef{family: f, name: "prerouting", hook: nftables.ChainHookPrerouting, priority: -300, open: true, rules: rules})
		}
	}
	if c.Bridge == "" {
		return out
	}
	var others []exprs // bridges of others
	if !c.noBridgeMeta {
		others = one(rule(meta(expr.MetaKeyBRIIIFNAME, r0), neq(r0, ifname(c.Bridge)), accept()))
	}
	// The type as it stands in the frame: where a tag was taken out it is that of the
	// tag.
	etherType := func(t uint16) exprs {
		return rule(payload(expr.PayloadBaseLLHeader, 12, 2, r0), eq(r0, be16(t)))
	}
	add := func(name string, rules ...[]exprs) {
		out = append(out, chainDef{family: bridge, name: name, rules: concat(rules...)})
	}
	arpIP := func(reg uint32) exprs { return payload(expr.PayloadBaseNetworkHeader, 14, 4, reg) }
	arpMAC := func(reg uint32) exprs { return payload(expr.PayloadBaseNetworkHeader, 8, 6, reg) }
	b := binder{bridge, ipv4, ""}
	// In ARP both the frame and what it says must be bound to the port.
	add("bind_arp",
		[]exprs{
			rule(imm(r0, num(0)), setMark(r0)),
			rule(iifname(r0), b.claims(etherSaddr(r0+4), r0+4), arpIP(r0+6), get(setBind, r0, r0), setMark(r0),
				iifname(r0), b.claims(arpMAC(r0+4), r0+4), arpIP(r0+6), get(setBind, r0, r0), setMark(r0), accept()),
			rule(etherSaddr(r0), arpIP(r0+2), get(setBindAny, r0, r0), setMark(r0), arpMAC(r0), arpIP(r0+2), get(setBindAny, r0, r0), setMark(r0), accept()),
			rule(arpIP(r0), eq(r0, []byte{0, 0, 0, 0}), accept()), // a probe claims nothing (RFC 5227 section 2.1.1)
			rule(arpMAC(r0), in(setMACs, r0), goTo("forged")),
		},
		b.unbound(arpIP), one(accept()))
	out = append(out,
		chainDef{family: bridge, name: "prerouting", hook: nftables.ChainHookPrerouting, priority: -300, open: true, rules: concat(others, []exprs{
			// Nearly all there is: a bound device sends an untagged frame of IPv4 without
			// options to us. What the chains below would find out rule by rule is found
			// here by one lookup.
			rule(kind(unix.PACKET_HOST), plainHeader(), b.bindKeys(version(ipv4).saddr)[0], setMark(r0), accept()),
			rule(etherType(unix.ETH_P_IP), goTo("bind")),
			rule(etherType(unix.ETH_P_ARP), goTo("bind_arp")),
			rule(etherType(unix.ETH_P_IPV6), goTo("bind6")),
			rule(count(), drop()), // tags, tunnels and the rest have no business here
		})},
		// Ports are isolated; were they not, nothing would pass between them anyway.
		chainDef{family: bridge, name: "forward", hook: nftables.ChainHookForward, priority: -200, open: true, rules: concat(others, one(rule(count(), drop())))})
	return out
}
