package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/ringwall/ringwall/internal/policy"
)

// Judgement. The chains o_* judge a flow by the policy of who opened it, t_* by
// that of the device that it was opened to. i_* and j_* are the same for flows
// that go through the inspector.

// openerChains judge a flow by the policy of who opened it.
//
// The sets change in one transaction, yet a packet may see one set before it and
// the next after, and interval sets change a moment after the others. The
// order is such that this does no harm. What is allowed has no denied part, so
// that any mixture of the allow sets holds only what the old or the new policy
// allows. The denies are one set, looked at only for what names have opened.
// And the token that a flow gets is that of before it was judged: when the
// policy changed meanwhile, it is not live any more and the next packet is
// judged anew.
func openerChains(c site, v ipv, name string, inspected bool, denied, refused exprs) []chainDef {
	key, p, allowed := v.openerKey(), v.protoReg(), goTo("allowed")
	var ends []exprs
	dns := []string{setDyn}
	if inspected {
		ends = append(ends, exact(key, setInspect, p, allowed)...)
		ends = append(ends, rule(key, in(setInspectI, r0), allowed))
		dns = append(dns, setDynInspect)
	}
	ends = append(ends, exact(key, setAllow, p, allowed)...)
	ends = append(ends, rule(key, in(setAllowI, r0), allowed))
	ends = append(ends, rule(key, in(setDenyI, r0), denied))
	if !inspected {
		ends = append(ends, rule(key, in(setInspectNamed, r0), refused))
	}
	for _, s := range dns {
		ends = append(ends, exact(key, s, p, allowed)...)
	}
	named := exact(key, setDenied, p, denied)
	if !inspected {
		named = append(named, exact(key, setDeniedLook, p, denied)...)
	}
	rest := name + "_ends"
	var out []chainDef
	if c.Host {
		rest = name + "_rest"
		out = programChains(c, v, name, rest, denied)
		out = append(out, chainDef{family: v.family, name: name + "_ends", rules: []exprs{rule(key, in(setDenyI, r0), denied), goTo(name + "_stages")}})
	}
	return append(out, []chainDef{
		{family: v.family, name: rest, rules: append(ends, refused)},
		// A name that a deny speaks of was seen to mean this address.
		{family: v.family, name: name + "_named", rules: append(named, goTo(name+"_ends"))},
		{family: v.family, name: name, rules: []exprs{
			rule(mark(r0), ct(expr.CtKeyMARK, r0+1), in(setLive, r0), ret()),
			rule(mark(r0), get(setToken, r0, r0), setCtMark(r0)),
			rule(mark(r0), v.origDst(r0+1), in(setDeniedAddr, r0), goTo(name+"_named")),
			goTo(name + "_ends"),
		}},
	}...)
}

func targetRules(c site, v ipv, inspected bool, denied, refused exprs) []exprs {
	key := v.targetKey()
	out := exact(key, setInAllow, v.protoReg(), rule(ret()))
	out = append(out, rule(key, in(setInAllowI, r0), ret()))
	if inspected {
		out = append(out, exact(key, setInInspect, v.protoReg(), rule(ret()))...)
		out = append(out, rule(key, in(setInInspectI, r0), ret()))
	}
	return append(out, rule(key, in(setInDenyI, r0), denied), refused)
}

// owner sets the mark to that of the device with the address that load gives, or
// to the mark of strangers.
func owner(load func(uint32) exprs) []exprs {
	return []exprs{
		rule(imm(r0, num(policy.Stranger)), setMark(r0)),
		rule(load(r0), get(setOwner, r0, r0), setMark(r0)),
	}
}

// judgeChains are those of a family.
func judgeChains(c site, v ipv) []chainDef {
	var out []chainDef
	add := func(name string, rules []exprs) {
		out = append(out, chainDef{family: v.family, name: name, rules: rules})
	}
	add("allowed", []exprs{ctMarkBits(flowPending, 0), ret()})
	add("learnt", []exprs{ours(), ret()})
	add("remedy", []exprs{ours(), ret()})
	// A flow that mode shadow would refuse keeps no token: that of n_shadow is left
	add("o_quarantine", concat(
		exact(v.openerKey(), setRemDenied, v.protoReg(), goTo("r_quarantine")),
		exact(v.remedyKey(), setRem, r0+v.words, goTo("remedy")),
		one(rule(v.remedyKey(), in(setRemI, r0), goTo("remedy"))),
		one(rule(v.remedyKey(), in(setRemNoI, r0), goTo("r_quarantine"))),
		exact(v.openerKey(), setRemDyn, v.protoReg(), goTo("remedy")),
		one(goTo("r_quarantine")),
	))
	kinds := []struct {
		opener, target string
		inspected      bool
	}{{"o", "t", false}}
	if c.Inspect != 0 {
		kinds = append(kinds, struct {
			opener, target string
			inspected      bool
		}{"i", "j", true})
	}
	for _, k := range kinds {
		out = append(out, openerChains(c, v, k.opener+"_shadow", k.inspected, goTo("w_deny"), goTo("w_default"))...)
		out = append(out, openerChains(c, v, k.opener+"_enforce", k.inspected, goTo("r_deny"), goTo("r_default"))...)
		add(k.target+"_shadow", targetRules(c, v, k.inspected, goTo("w_deny"), goTo("w_inbound")))
		add(k.target+"_enforce", targetRules(c, v, k.inspected, goTo("r_deny"), goTo("r_inbound")))
		quarantine := "o_quarantine"
		if k.inspected {
			quarantine = "r_quarantine"
		}
		from, to := owner(v.origSrc), owner(v.origDst)
		if c.Host {
			from = one(rule(v.self(r0), setMark(r0)))
			to = from
		}
		name := map[bool]string{false: "opener", true: "inspected_opener"}[k.inspected]
		add(name, concat(from, byState(map[policy.State]string{
			policy.StateLearn: "learnt", policy.StateShadow: k.opener + "_shadow", policy.StateEnforce: k.opener + "_enforce",
			policy.StateQuarantine: quarantine, policy.StateCutoff: "r_cutoff",
		}), one(goTo("r_default"))))
		name = map[bool]string{false: "target", true: "inspected_target"}[k.inspected]
		add(name, concat(to, byState(map[policy.State]string{
			policy.StateShadow: k.target + "_shadow", policy.StateEnforce: k.target + "_enforce",
			policy.StateQuarantine: "r_quarantine", policy.StateCutoff: "r_cutoff", // StateLearn passes
		}), one(goTo("r_inbound"))))
	}
	return out
}

// forwardChains judge what goes through the gateway. Most packets are of flows
// that a device opened to the outside and that its policy allows: they pass by
// their token, which stands in the mark of their connection, after two or three
// rules. What keeps that right: only a packet of the device itself, as the
// binders know it, makes a connection with its address as the source; the
// token ends when the address changes; and what goes between devices never
// passes here.
func forwardChains(c site, v ipv) []chainDef {
	f := v.family
	return []chainDef{
		{family: f, name: "slow", rules: []exprs{
			rule(untracked(), count(), drop()),
			// An address from behind us must not come from elsewhere, nor another one
			// from behind us.
			rule(c.from(false), v.saddr(r0), in(setLocal, r0), count(), drop()),
			rule(c.from(true), v.saddr(r0), notIn(setLocal, r0), count(), drop()),
			rule(c.to(true), v.daddr(r0), notIn(setLocal, r0), count(), drop()),
			// Whoever of the two is behind us is judged. The set of interfaces never
			// changes: what passes the acceptance below has passed here.
			rule(direction(original), c.from(true), jumpTo("opener")),
			rule(direction(replied), c.to(true), jumpTo("opener")),
			rule(direction(original), c.to(true), jumpTo("target")),
			rule(direction(replied), c.from(true), jumpTo("target")),
			ours(),
			rule(c.from(true), c.to(true),
				ct(expr.CtKeyMARK, r0), bits(r0, flowBoth), eq(r0, num(0)),
				ctMarkBits(0, flowBoth)),
			jumpTo("limits"),
			rule(v.saddr(r0), in(setUp, r0)),
			rule(v.daddr(r0), in(setDown, r0)),
			rule(c.from(true), accept()),
			rule(c.to(true), accept()),
			drop(),
		}},
		{family: f, name: "forward", hook: nftables.ChainHookForward, rules: []exprs{
			// The mark is that of the device that a binder knew the frame to be of: it
			// opened the flow itself, so that this is the original direction.
			rule(c.from(true), c.to(false), mark(r0), ct(expr.CtKeyMARK, r0+1), in(setFastUp, r0), accept()),
			rule(c.to(true), c.from(false), direction(replied), ct(expr.CtKeyMARK, r0), in(setFastDown, r0), accept()),
			goTo("slow"),
		}},
	}
}
