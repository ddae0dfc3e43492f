package nft

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/policy"
)

// TableName is the name of both our tables.
const TableName = "ringwall"

const (
	// LogGroup is the NFLOG group on which samples of refusals are sent.
	LogGroup = 7787
	// snaplen is enough of a packet for its headers.
	snaplen = 96
	// logRate bounds the samples of one device a second: counters carry the
	// truth, samples carry examples (above 70,000 a second the socket overruns).
	logRate, logBurst = 10, 20
	// rejectRate bounds the polite answers to one device a second; answering a
	// flood costs twice what dropping it does.
	rejectRate, rejectBurst = 5, 10
	pingRate, pingBurst     = 20, 40
	meterLife               = time.Minute
	// icmpProhibited is "communication administratively prohibited" (RFC 1812
	// section 5.2.7.1).
	icmpProhibited = 13

	// flowBoth marks the connection mark of a flow between two devices.
	flowBoth = 1 << 23
	// flowPending marks a token that was given before the flow is judged.
	flowPending = 1 << 31
	// markBits are the bits of a connection mark that hold the device's mark; the
	// version of its token is between flowBoth and flowPending.
	markBits     = 1<<23 - 1
	versionShift = 24
	versions     = 127
)

// chainDef is one chain of the skeleton, with its rules.
type chainDef struct {
	family   family
	name     string
	hook     *nftables.ChainHook // nil: entered by jumps only
	priority int32
	open     bool // policy of a base chain: accept
	nat      bool
	rules    []exprs
}

func lanElements(c Config) []nftables.SetElement {
	var out []nftables.SetElement
	for _, l := range c.lan() {
		out = append(out, nftables.SetElement{Key: ifname(l)})
	}
	return out
}

// byState goes on where the state of the device whose mark is set says. The
// nft program cannot print a map behind a map; so there is one rule a state,
// the common ones first.
func byState(to map[policy.State]string) []exprs {
	var out []exprs
	for _, s := range []policy.State{policy.StateEnforce, policy.StateLearn, policy.StateQuarantine, policy.StateCutoff, policy.StateShadow} {
		then := ret()
		if to[s] != "" {
			then = goTo(to[s])
		}
		out = append(out, rule(mark(r0), get(setState, r0, r0), eq(r0, num(uint32(s))), then))
	}
	return out
}

// openerKey loads the mark of the opener, the other end's address, protocol and
// port.
func openerKey() exprs {
	return rule(mark(r0), ct(ctDstIP, r0+1), meta(expr.MetaKeyL4PROTO, r0+2), ct(expr.CtKeyPROTODST, r0+3))
}

// targetKey is the same for the device that a flow was opened to: the other end
// is the opener, the port the device's own.
func targetKey() exprs {
	return rule(mark(r0), ct(ctSrcIP, r0+1), meta(expr.MetaKeyL4PROTO, r0+2), ct(expr.CtKeyPROTODST, r0+3))
}

// remedyKey is openerKey without a mark: the remediation set is everybody's.
func remedyKey() exprs {
	return rule(ct(ctDstIP, r0), meta(expr.MetaKeyL4PROTO, r0+1), ct(expr.CtKeyPROTODST, r0+2))
}

// exact looks a key up in a hash set three times: as it is, with port 0, which
// stands for all ports, and with protocol 0 too, which stands for all
// protocols. protoReg is where the protocol is.
func exact(key exprs, set string, protoReg uint32, then exprs) []exprs {
	return []exprs{
		rule(key, in(set, r0), then),
		rule(key, imm(protoReg+1, num(0)), in(set, r0), then),
		rule(key, imm(protoReg, num(0)), imm(protoReg+1, num(0)), in(set, r0), then),
	}
}

func concat(lists ...[]exprs) []exprs {
	var out []exprs
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

func one(e exprs) []exprs { return []exprs{e} }

// ours notes the device's mark in a connection that has none yet, so that
// CutFlows finds it.
func ours() exprs { return rule(ct(expr.CtKeyMARK, r0), eq(r0, num(0)), mark(r0), setCtMark(r0)) }

// openerRules judge a flow by the policy of who opened it.
//
// The sets change in one transaction, yet a packet may see one set before it and
// the next after, and interval sets change a moment after the others. The
// order is such that this does no harm. What is allowed has no denied part, so
// that any mixture of the allow sets holds only what the old or the new policy
// allows. The denies are one set, looked at only for what names have opened.
// And the token that a flow gets is that of before it was judged: when the
// policy changed meanwhile, it is not live any more and the next packet is
// judged anew.
func openerRules(allowed, denied, refused exprs) []exprs {
	return concat(
		one(rule(mark(r0), ct(expr.CtKeyMARK, r0+1), in(setLive, r0), ret())),
		one(rule(mark(r0), get(setToken, r0, r0), setCtMark(r0))),
		exact(openerKey(), setAllow, r0+2, allowed),
		one(rule(openerKey(), in(setAllowI, r0), allowed)),
		one(rule(openerKey(), in(setDenyI, r0), denied)),
		exact(openerKey(), setDyn, r0+2, allowed),
		one(refused),
	)
}

func targetRules(denied, refused exprs) []exprs {
	return concat(
		exact(targetKey(), setInAllow, r0+2, rule(ret())),
		one(rule(targetKey(), in(setInAllowI, r0), ret())),
		one(rule(targetKey(), in(setInDenyI, r0), denied)),
		one(refused),
	)
}

// ctMarkBits writes the connection mark with some bits cleared and some set.
func ctMarkBits(clear, set uint32) exprs {
	return rule(ct(expr.CtKeyMARK, r0),
		exprs{&expr.Bitwise{SourceRegister: r0, DestRegister: r0, Len: 4, Mask: num(^clear &^ set), Xor: num(set)}}, setCtMark(r0))
}

// refusal is a chain that samples a refused packet with its reason and ends it.
func refusal(c site, reason string) chainDef {
	return chainDef{family: ipv4, name: "r_" + reason, rules: concat(sample(c, "refused:"+reason), one(goTo("refuse")))}
}

// sample sends a few packets of each device to who listens.
func sample(c site, prefix string) []exprs {
	if c.noLog {
		return nil
	}
	return one(rule(mark(r0), perDevice(setLogRate, r0, logRate, logBurst), logTo(prefix)))
}

// wouldBe is a chain that samples a packet that mode shadow lets pass.
func wouldBe(c site, reason string) chainDef {
	return chainDef{family: ipv4, name: "w_" + reason, rules: concat(
		one(rule(mark(r0), in(setWould, r0))),
		sample(c, "would:"+reason),
		[]exprs{ours(), ret()},
	)}
}

// ownerOf sets the mark to that of the device with the address at reg, or to the
// mark of strangers.
func ownerOf(load func(uint32) exprs) []exprs {
	return []exprs{
		rule(imm(r0, num(policy.Stranger)), setMark(r0)),
		rule(load(r0), get(setOwner, r0, r0), setMark(r0)),
	}
}

// Directions of a connection.
const (
	original uint8 = 0
	replied  uint8 = 1
)

func direction(d uint8) exprs { return rule(ct(expr.CtKeyDIRECTION, r0), eq(r0, []byte{d})) }

func origSrc(reg uint32) exprs { return ct(ctSrcIP, reg) }
func origDst(reg uint32) exprs { return ct(ctDstIP, reg) }

// chainDefs lists the chains of the skeleton, in an order in which every chain
// stands after those that it goes to.
func chainDefs(c site) []chainDef {
	untracked := ctState(expr.CtStateBitINVALID | expr.CtStateBitUNTRACKED)
	var out []chainDef
	add := func(d chainDef) { out = append(out, d) }

	refuse := []exprs{
		rule(mark(r0), in(setRefused, r0)),
		// Only a device behind us is told; who knocks from outside is not.
		rule(iifname(r0), notIn(setLAN, r0), drop()),
	}
	reject := []exprs{
		rule(l4(unix.IPPROTO_TCP), mark(r0), perDevice(setRejRate, r0, rejectRate, rejectBurst), exprs{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}),
		rule(meta(expr.MetaKeyL4PROTO, r0), neq(r0, []byte{unix.IPPROTO_TCP}), mark(r0), perDevice(setRejRate, r0, rejectRate, rejectBurst), exprs{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: icmpProhibited}}),
	}
	if !c.noReject {
		refuse = append(refuse, reject...)
	}
	add(chainDef{family: ipv4, name: "refuse", rules: append(refuse, drop())})
	for _, r := range []string{policy.ReasonDefault, policy.ReasonDeny, policy.ReasonInbound, policy.ReasonQuarantine, policy.ReasonCutoff, reasonGateway} {
		add(refusal(c, r))
	}
	for _, r := range []string{policy.ReasonDefault, policy.ReasonDeny, policy.ReasonInbound} {
		add(wouldBe(c, r))
	}
	add(chainDef{family: ipv4, name: "allowed", rules: []exprs{ctMarkBits(flowPending, 0), ret()}})
	add(chainDef{family: ipv4, name: "o_learn", rules: []exprs{ours(), ret()}})
	add(chainDef{family: ipv4, name: "o_shadow", rules: openerRules(goTo("allowed"), goTo("w_deny"), goTo("w_default"))})
	add(chainDef{family: ipv4, name: "o_enforce", rules: openerRules(goTo("allowed"), goTo("r_deny"), goTo("r_default"))})
	add(chainDef{family: ipv4, name: "remedy", rules: []exprs{ours(), ret()}})
	add(chainDef{family: ipv4, name: "o_quarantine", rules: concat(
		exact(remedyKey(), setRem, r0+1, goTo("remedy")),
		one(rule(remedyKey(), in(setRemI, r0), goTo("remedy"))),
		one(rule(remedyKey(), in(setRemNoI, r0), goTo("r_quarantine"))),
		exact(openerKey(), setRemDyn, r0+2, goTo("remedy")),
		one(goTo("r_quarantine")),
	)})
	add(chainDef{family: ipv4, name: "t_shadow", rules: targetRules(goTo("w_deny"), goTo("w_inbound"))})
	add(chainDef{family: ipv4, name: "t_enforce", rules: targetRules(goTo("r_deny"), goTo("r_inbound"))})

	add(chainDef{family: ipv4, name: "opener", rules: concat(ownerOf(origSrc), byState(map[policy.State]string{
		policy.StateLearn: "o_learn", policy.StateShadow: "o_shadow", policy.StateEnforce: "o_enforce",
		policy.StateQuarantine: "o_quarantine", policy.StateCutoff: "r_cutoff",
	}), one(goTo("r_default")))})
	add(chainDef{family: ipv4, name: "target", rules: concat(ownerOf(origDst), byState(map[policy.State]string{
		policy.StateShadow: "t_shadow", policy.StateEnforce: "t_enforce",
		policy.StateQuarantine: "r_quarantine", policy.StateCutoff: "r_cutoff", // StateLearn passes
	}), one(goTo("r_inbound")))})
	add(chainDef{family: ipv4, name: "forward", hook: nftables.ChainHookForward, rules: []exprs{
		rule(untracked, count(), drop()),
		// An address from behind us must not come from elsewhere, nor another one
		// from behind us.
		rule(iifname(r0), notIn(setLAN, r0), saddr(r0), in(setLocal, r0), count(), drop()),
		rule(iifname(r0), in(setLAN, r0), saddr(r0), notIn(setLocal, r0), count(), drop()),
		rule(oifname(r0), in(setLAN, r0), daddr(r0), notIn(setLocal, r0), count(), drop()),
		// Whoever of the two is behind us is judged. The set of interfaces never
		// changes: what passes the acceptance below has passed here.
		rule(direction(original), iifname(r0), in(setLAN, r0), jumpTo("opener")),
		rule(direction(replied), oifname(r0), in(setLAN, r0), jumpTo("opener")),
		rule(direction(original), oifname(r0), in(setLAN, r0), jumpTo("target")),
		rule(direction(replied), iifname(r0), in(setLAN, r0), jumpTo("target")),
		rule(ours()),
		rule(iifname(r0), in(setLAN, r0), oifname(r0), in(setLAN, r0),
			ct(expr.CtKeyMARK, r0), exprs{&expr.Bitwise{SourceRegister: r0, DestRegister: r0, Len: 4, Mask: num(flowBoth), Xor: num(0)}}, eq(r0, num(0)),
			ctMarkBits(0, flowBoth)),
		rule(saddr(r0), in(setUp, r0)),
		rule(daddr(r0), in(setDown, r0)),
		rule(iifname(r0), in(setLAN, r0), accept()),
		rule(oifname(r0), in(setLAN, r0), accept()),
	}})
	add(inputChain(c, untracked))
	// IPv6 is closed.
	add(chainDef{family: ipv6, name: "forward", hook: nftables.ChainHookForward, rules: one(count())})
	var in6 []exprs
	for _, l := range c.lan() {
		in6 = append(in6, rule(iifname(r0), eq(r0, ifname(l)), count(), drop()))
	}
	add(chainDef{family: ipv6, name: "input", hook: nftables.ChainHookInput, open: true, rules: in6})
	for _, f := range c.binders() {
		for _, d := range binderChains(c, f) {
			add(d)
		}
	}
	if c.Masquerade && c.Uplink != "" {
		add(chainDef{family: ipv4, name: "postrouting", hook: nftables.ChainHookPostrouting, priority: 100, open: true, nat: true, rules: []exprs{
			rule(oifname(r0), eq(r0, ifname(c.Uplink)), saddr(r0), in(setLocal, r0), exprs{&expr.Masq{}}),
		}})
	}
	return out
}

// reasonGateway is the reason of a refusal of what was meant for the gateway.
const reasonGateway = "gateway"

// inputChain judges what is meant for the gateway itself. What keeps the
// gateway managed, its own flows and what Config.Manage opens on the uplink,
// stands here, where no policy reaches.
func inputChain(c site, untracked exprs) chainDef {
	established := ctState(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	echo := rule(l4(unix.IPPROTO_ICMP), payload(expr.PayloadBaseTransportHeader, 0, 1, r0), eq(r0, []byte{8}), limit(pingRate, pingBurst), accept())
	rules := []exprs{rule(iifname(r0), eq(r0, ifname("lo")), accept())}
	for _, s := range c.Manage {
		rules = append(rules, rule(iifname(r0), notIn(setLAN, r0), s.match(), accept()))
	}
	outside := rule(iifname(r0), notIn(setLAN, r0))
	rules = append(rules,
		rule(outside, established, accept()),
		rule(outside, l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(67)), dport(r0), eq(r0, be16(68)), accept()), // our own address from a DHCP server
		rule(outside, echo),
		rule(outside, count(), drop()),
		rule(l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(68)), dport(r0), eq(r0, be16(67)), accept()),
		rule(untracked, count(), drop()),
		rule(saddr(r0), notIn(setLocal, r0), count(), drop()),
	)
	rules = append(rules, ownerOf(saddr)...)
	for _, p := range c.EnrolPorts {
		rules = append(rules, rule(l4(unix.IPPROTO_TCP), dport(r0), eq(r0, be16(p)), accept()))
	}
	rules = append(rules,
		rule(mark(r0), get(setState, r0, r0), eq(r0, num(uint32(policy.StateCutoff))), goTo("r_cutoff")),
		rule(l4(unix.IPPROTO_UDP), dport(r0), eq(r0, be16(53)), accept()),
		rule(l4(unix.IPPROTO_TCP), dport(r0), eq(r0, be16(53)), accept()),
		rule(established, accept()),
		echo,
	)
	for _, s := range c.Services {
		rules = append(rules, rule(s.match(), accept()))
	}
	rules = append(rules, goTo("r_gateway"))
	return chainDef{family: ipv4, name: "input", hook: nftables.ChainHookInput, rules: rules}
}

// binderChains tie what comes in to a device. On a bridge they see frames of
// its ports; on plain interfaces, packets.
func binderChains(c site, f family) []chainDef {
	forged := chainDef{family: f, name: "forged", rules: []exprs{
		rule(etherSaddr(r0), in(setForged, r0)),
		rule(count(), drop()),
	}}
	bindKey := func(addr func(uint32) exprs) exprs { return rule(iifname(r0), etherSaddr(r0+4), addr(r0+6)) }
	anyKey := func(addr func(uint32) exprs) exprs { return rule(etherSaddr(r0), addr(r0+2)) }
	// A packet that is not bound is forged when it claims to be a device, and not
	// wanted where a restricted device might have changed its looks.
	unbound := func(addr func(uint32) exprs) []exprs {
		return []exprs{
			rule(etherSaddr(r0), in(setMACs, r0), goTo("forged")),
			rule(addr(r0), in(setIPs, r0), goTo("forged")),
			rule(iifname(r0), in(setClosed, r0), goTo("forged")),
			rule(addr(r0), notIn(setLocal, r0), goTo("forged")),
		}
	}
	bound := func(addr func(uint32) exprs) []exprs {
		return []exprs{
			rule(bindKey(addr), get(setBind, r0, r0), setMark(r0), accept()),
			rule(anyKey(addr), get(setBindAny, r0, r0), setMark(r0), accept()),
		}
	}
	clear := rule(imm(r0, num(0)), setMark(r0))
	ip := []exprs{
		rule(l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(67)), count(), drop()), // a DHCP server on a device
		rule(saddr(r0), eq(r0, []byte{0, 0, 0, 0}), l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(68)), dport(r0), eq(r0, be16(67)), accept()),
	}
	ip = concat(ip, bound(saddr), unbound(saddr), one(accept()))

	if f == ipv4 {
		var plain []exprs
		for _, l := range c.LAN {
			plain = append(plain, rule(iifname(r0), eq(r0, ifname(l)), goTo("bind_ip")))
		}
		return []chainDef{forged,
			{family: ipv4, name: "bind_ip", rules: concat([]exprs{
				clear,
			}, ip)},
			// Before connection tracking: what is forged makes no entry.
			{family: ipv4, name: "prerouting", hook: nftables.ChainHookPrerouting, priority: -300, open: true, rules: plain},
		}
	}

	arpIP := func(reg uint32) exprs { return payload(expr.PayloadBaseNetworkHeader, 14, 4, reg) }
	arpMAC := func(reg uint32) exprs { return payload(expr.PayloadBaseNetworkHeader, 8, 6, reg) }
	etherType := func(v uint16) exprs { return rule(meta(expr.MetaKeyPROTOCOL, r0), eq(r0, be16(v))) }
	// In ARP both the frame and what it says must be bound to the port.
	arp := concat(
		one(rule(arpIP(r0), eq(r0, []byte{0, 0, 0, 0}), accept())), // a probe claims nothing (RFC 5227 section 2.1.1)
		[]exprs{
			rule(bindKey(arpIP), get(setBind, r0, r0), setMark(r0), iifname(r0), arpMAC(r0+4), arpIP(r0+6), get(setBind, r0, r0), setMark(r0), accept()),
			rule(anyKey(arpIP), get(setBindAny, r0, r0), setMark(r0), arpMAC(r0), arpIP(r0+2), get(setBindAny, r0, r0), setMark(r0), accept()),
		},
		one(rule(arpMAC(r0), in(setMACs, r0), goTo("forged"))),
		unbound(arpIP),
		one(accept()),
	)
	var others []exprs // bridges of others
	if !c.noBridgeMeta {
		others = one(rule(meta(expr.MetaKeyBRIIIFNAME, r0), neq(r0, ifname(c.Bridge)), accept()))
	}
	return []chainDef{forged,
		{family: bridge, name: "bind_ip", rules: ip},
		{family: bridge, name: "bind_arp", rules: arp},
		{family: bridge, name: "prerouting", hook: nftables.ChainHookPrerouting, priority: -300, open: true, rules: concat(others, []exprs{
			clear,
			rule(etherType(unix.ETH_P_ARP), goTo("bind_arp")),
			rule(etherType(unix.ETH_P_IP), goTo("bind_ip")),
			rule(count(), drop()), // IPv6 is closed; tags, tunnels and the rest have no business here
		})},
		// Ports are isolated; were they not, nothing would pass between them anyway.
		{family: bridge, name: "forward", hook: nftables.ChainHookForward, priority: -200, open: true, rules: concat(others, one(rule(count(), drop())))},
	}
}

// tagType is a type of rule data that the nft program does not know and leaves
// alone.
const tagType = 0x52

// tag identifies one rule of one skeleton: it is kept with the rule, so that
// the kernel can be asked whether it holds this very skeleton.
func tag(skeleton string, i int) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", skeleton, i))
	return userdata.Append(nil, tagType, []byte(hex.EncodeToString(sum[:8])))
}
