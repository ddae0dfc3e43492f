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

// TableName is the name of all our tables.
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
	// section 5.2.7.1), icmp6Prohibited the same of IPv6 (RFC 4443 section 3.1).
	icmpProhibited, icmp6Prohibited = 13, 1

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

// ctMarkBits writes the connection mark with some bits cleared and some set.
func ctMarkBits(clear, set uint32) exprs {
	return rule(ct(expr.CtKeyMARK, r0),
		exprs{&expr.Bitwise{SourceRegister: r0, DestRegister: r0, Len: 4, Mask: num(^clear &^ set), Xor: num(set)}}, setCtMark(r0))
}

// markWith writes the mark with some bits cleared and some set.
func markWith(clear, set uint32) exprs {
	return rule(mark(r0),
		exprs{&expr.Bitwise{SourceRegister: r0, DestRegister: r0, Len: 4, Mask: num(^clear &^ set), Xor: num(set)}}, setMark(r0))
}

// Directions of a connection.
const (
	original uint8 = 0
	replied  uint8 = 1
)

func direction(d uint8) exprs { return rule(ct(expr.CtKeyDIRECTION, r0), eq(r0, []byte{d})) }

func untracked() exprs { return ctState(expr.CtStateBitINVALID | expr.CtStateBitUNTRACKED) }

// chainDefs lists the chains of the skeleton, in an order in which every chain
// stands after those that it goes to.
func chainDefs(c site) []chainDef {
	var out []chainDef
	for _, f := range routed() {
		v := version(f)
		out = append(out, refusalChains(c, v)...)
		out = append(out, limitChains(c, v)...)
		out = append(out, judgeChains(c, v)...)
		if c.Host {
			out = append(out, hostChains(c, v)...)
			continue
		}
		out = append(out, forwardChains(c, v)...)
		if c.Inspect != 0 {
			out = append(out, inspectChains(c, v)...)
		}
		out = append(out, inputChain(c, v))
	}
	tables := map[family]bool{}
	for _, b := range c.binders() {
		out = append(out, binderChains(c, b, !tables[b.table])...)
		tables[b.table] = true
	}
	out = append(out, hookBinders(c)...)
	if c.Masquerade && c.Uplink != "" {
		v := version(ipv4)
		out = append(out, chainDef{family: ipv4, name: "postrouting", hook: nftables.ChainHookPostrouting, priority: 100, open: true, nat: true, rules: []exprs{
			rule(oifname(r0), eq(r0, ifname(c.Uplink)), v.saddr(r0), in(setLocal, r0), exprs{&expr.Masq{}}),
		}})
	}
	return out
}

// refusalChains sample what is refused with its reason, count it for the device
// whose mark is set, and end it.
func refusalChains(c site, v ipv) []chainDef {
	prohibited := uint8(icmpProhibited)
	if v.family == ipv6 {
		prohibited = icmp6Prohibited
	}
	refuse := []exprs{rule(mark(r0), in(setRefused, r0))}
	if !c.Host {
		// Only a device behind us is told; who knocks from outside is not.
		refuse = append(refuse, rule(c.from(false), drop()))
	}
	if !c.noReject {
		refuse = append(refuse,
			rule(l4(unix.IPPROTO_TCP), mark(r0), perDevice(setRejRate, r0, rejectRate, rejectBurst), exprs{&expr.Reject{Type: unix.NFT_REJECT_TCP_RST}}),
			rule(meta(expr.MetaKeyL4PROTO, r0), neq(r0, []byte{unix.IPPROTO_TCP}), mark(r0), perDevice(setRejRate, r0, rejectRate, rejectBurst),
				exprs{&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: prohibited}}))
	}
	out := []chainDef{{family: v.family, name: "refuse", rules: append(refuse, drop())}}
	for _, r := range []string{policy.ReasonDefault, policy.ReasonDeny, policy.ReasonInbound, policy.ReasonQuarantine, policy.ReasonCutoff, ReasonGateway, ReasonPortMapping} {
		out = append(out, chainDef{family: v.family, name: "r_" + r, rules: concat(sample(c, "refused:"+r), one(goTo("refuse")))})
	}
	// What is over a limit goes silently: an answer would end a flow that may go on
	// in a moment.
	out = append(out, chainDef{family: v.family, name: "r_" + ReasonLimited, rules: concat(
		sample(c, "refused:"+ReasonLimited), []exprs{rule(mark(r0), in(setRefused, r0)), drop()})})
	for _, r := range []string{policy.ReasonDefault, policy.ReasonDeny, policy.ReasonInbound} {
		out = append(out, chainDef{family: v.family, name: "w_" + r, rules: concat(
			one(rule(mark(r0), in(setWould, r0))), sample(c, "would:"+r), []exprs{ours(), ret()})})
	}
	return out
}

// sample sends a few packets of each device to who listens.
func sample(c site, prefix string) []exprs {
	if c.noLog {
		return nil
	}
	return one(rule(mark(r0), perDevice(setLogRate, r0, logRate, logBurst), logTo(prefix)))
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
