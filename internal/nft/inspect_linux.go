package nft

import (
	"context"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/policy"
)

// The inspector has two legs for each flow. What the device sends is steered to
// its listener, as if it were the other end; what it sends on bears the address
// of the device, and the replies find its socket. Both legs are local to the
// gateway: they are judged in the input and output hooks, packet by packet, by
// the policy of the device whose address they bear. Steering alone lets nothing
// pass.

const (
	// steerMark is the bit of the mark that brings a packet to a local socket. The
	// rule and the table of routes are set up by Base.
	steerMark = 1 << 29
	// inspectMark is the bit of the mark of sockets of the inspector.
	inspectMark = policy.InspectMark
	// steerPriority is behind the translation of addresses (-100).
	steerPriority = -90
	// SteerTable is the number of the table of routes, and of the rule that leads
	// there.
	SteerTable = 7787
)

func inspectChains(c site, v ipv) []chainDef {
	var out []chainDef
	add := func(name string, rules ...exprs) {
		out = append(out, chainDef{family: v.family, name: name, rules: rules})
	}
	hasMark := func(mask uint32) exprs { return rule(mark(r0), bits(r0, mask), neq(r0, num(0))) }
	ourFlow := rule(ct(expr.CtKeyMARK, r0), bits(r0, markBits), neq(r0, num(0)))

	steer := rule(imm(r0, be16(c.Inspect)), exprs{&expr.TProxy{Family: v.family.number(), TableFamily: v.family.number(), RegPort: r0}}, markWith(0, steerMark), accept())
	// Towards whom a flow is opened; in prerouting the packet is of the original
	// direction, since it finds no socket of its own yet.
	port := dport(v.portReg())
	ends := func(addr func(uint32) exprs, exactSets []string, rangeSet string) []exprs {
		key := rule(mark(r0), addr(r0+1), meta(expr.MetaKeyL4PROTO, v.protoReg()), port)
		var rules []exprs
		for _, s := range exactSets {
			rules = append(rules, exact(key, s, v.protoReg(), steer)...)
		}
		return append(rules, rule(key, in(rangeSet, r0), steer))
	}
	when := func(to string) []exprs {
		var rules []exprs
		for _, s := range []policy.State{policy.StateEnforce, policy.StateShadow} {
			rules = append(rules, rule(mark(r0), get(setState, r0, r0), eq(r0, num(uint32(s))), jumpTo(to)))
		}
		return rules
	}
	byName := rule(mark(r0), v.daddr(r0+1), meta(expr.MetaKeyL4PROTO, v.protoReg()), port)
	add("steer_named", exact(byName, setDyn, v.protoReg(), steer)...)
	add("steer_look", exact(byName, setDeniedLook, v.protoReg(), steer)...)
	add("steer_from", append(ends(v.daddr, []string{setInspect, setDynInspect}, setInspectI),
		rule(mark(r0), v.daddr(r0+1), in(setDeniedAddr, r0), jumpTo("steer_look")),
		rule(byName, in(setInspectNamed, r0), jumpTo("steer_named")))...)
	add("steer_to", ends(v.saddr, []string{setInInspect}, setInInspectI)...)
	// Who is behind us and opens, then who is behind us and is opened to. The mark is
	// put back for what is not steered: it is that of the binders.
	add("steer_lan", append(when("steer_from"), rule(v.daddr(r0), in(setLocal, r0), goTo("steer_target")))...)
	add("steer_target", concat(owner(v.daddr), when("steer_to"), owner(v.saddr))...)

	out = append(out, chainDef{family: v.family, name: "steer", hook: nftables.ChainHookPrerouting, priority: steerPriority, open: true, rules: []exprs{
		rule(hasMark(steerMark|inspectMark), markWith(steerMark|inspectMark, 0)), // nobody else's to set
		rule(iifname(r0), eq(r0, ifname("lo")), accept()),
		rule(localTo(), accept()),
		rule(ourFlow, exprs{&expr.Socket{Key: expr.SocketKeyTransparent, Register: r0}}, eq(r0, []byte{1}), markWith(0, steerMark), accept()),
		rule(c.from(true), direction(original), v.saddr(r0), in(setLocal, r0), goTo("steer_lan")),
		rule(c.from(false), direction(original), v.daddr(r0), in(setLocal, r0), goTo("steer_outside")),
	}})
	// From outside the mark is nobody's.
	add("steer_outside", concat(owner(v.daddr), when("steer_to"), one(rule(imm(r0, num(0)), setMark(r0))))...)

	// judged returns what both legs may pass.
	add("inspected",
		rule(untracked(), count(), drop()),
		rule(v.origSrc(r0), in(setLocal, r0), jumpTo("inspected_opener")),
		rule(v.origDst(r0), in(setLocal, r0), jumpTo("inspected_target")),
		ours(),
	)
	add("inspect_in",
		jumpTo("inspected"),
		// Replies to the inspector are counted to the device.
		rule(direction(replied), jumpTo("inspect_count")),
		accept())
	add("inspect_out",
		// The gateway itself is no end of what a device asks for by way of the inspector.
		rule(oifname(r0), eq(r0, ifname("lo")), count(), drop()),
		markWith(steerMark|inspectMark, 0),
		jumpTo("inspected"),
		jumpTo("inspect_count"),
		accept())
	add("inspect_count",
		jumpTo("limits"),
		rule(v.saddr(r0), in(setUp, r0)),
		rule(v.daddr(r0), in(setDown, r0)))
	add("inspect_back", jumpTo("inspected"), accept())
	out = append(out, chainDef{family: v.family, name: "output", hook: nftables.ChainHookOutput, open: true, rules: []exprs{
		rule(hasMark(inspectMark), goTo("inspect_out")),
		// What bears an address of a device is of the inspector, whatever mark it has.
		rule(v.saddr(r0), in(setLocal, r0), localFromNot(), direction(original), goTo("inspect_out")),
		rule(ourFlow, goTo("inspect_back")),
	}})
	return out
}

func localFromNot() exprs {
	return rule(exprs{&expr.Fib{Register: r0, FlagSADDR: true, ResultADDRTYPE: true}}, neq(r0, num(rtnLocal)))
}

// steer sets up the way from the steering mark to local sockets.
func (f *Firewall) steer() error {
	ns := f.cfg.NS
	if ns == nil {
		here, err := netns.Current()
		if err != nil {
			return err
		}
		defer here.Close()
		ns = here
	}
	return ns.Steer(steerMark, SteerTable)
}

// Steer sets the way to the inspector up again where somebody took it away: Base
// makes it, and it is no part of the tables, which Apply and Hash look at.
func (f *Firewall) Steer(ctx context.Context) error {
	if err := ctx.Err(); err != nil || f.cfg.Inspect == 0 {
		return err
	}
	return f.steer()
}

// Steered reports whether the way to the inspector is there, or none is needed.
func (f *Firewall) Steered(ctx context.Context) (bool, error) {
	if err := ctx.Err(); err != nil || f.cfg.Inspect == 0 {
		return true, err
	}
	ns := f.cfg.NS
	if ns == nil {
		here, err := netns.Current()
		if err != nil {
			return false, err
		}
		defer here.Close()
		ns = here
	}
	return ns.Steered(steerMark, SteerTable)
}
