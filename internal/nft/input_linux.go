package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/policy"
)

// Ports by which a device asks a gateway to let others in: NAT-PMP and PCP
// (RFC 6886 section 3.1, RFC 6887 section 5), SSDP and what gateways serve IGD on
// behind it (UPnP Device Architecture 1.1 section 1; the ports are those of
// miniupnpd, libupnp, Windows and Realtek's SDK).
func mappingPorts() (udp, tcp []uint16) {
	return []uint16{5350, 5351, 1900}, []uint16{1780, 1900, 2869, 5000, 5431, 49152, 52869}
}

// inputChain judges what is meant for the gateway itself. What keeps the
// gateway managed, its own flows and what Config.Manage opens on the uplink,
// stands here, where no policy reaches.
func inputChain(c site, v ipv) chainDef {
	established := ctState(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	echo := rule(l4(v.proto), payload(expr.PayloadBaseTransportHeader, 0, 1, r0), eq(r0, []byte{v.echo}), limit(pingRate, pingBurst), accept())
	control := func(typ uint8) exprs {
		return rule(l4(icmp6), payload(expr.PayloadBaseTransportHeader, 0, 1, r0), eq(r0, []byte{typ}))
	}
	rules := []exprs{rule(iifname(r0), eq(r0, ifname("lo")), accept())}
	if c.Inspect != 0 {
		rules = append(rules, rule(mark(r0), bits(r0, steerMark), neq(r0, num(0)), goTo("inspect_in")))
	}
	outside := c.from(false)
	for _, s := range c.Manage {
		rules = append(rules, rule(outside, s.match(), accept()))
	}
	rules = append(rules,
		rule(outside, established, accept()),
		// Our own address from a server.
		rule(outside, l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(v.dhcpTo)), dport(r0), eq(r0, be16(v.dhcpAt)), accept()))
	if v.family == ipv6 {
		// Routers and neighbours on the uplink; tracking does not tell them apart.
		for _, t := range []uint8{134, 135, 136} {
			rules = append(rules, rule(outside, control(t), accept()))
		}
	}
	rules = append(rules,
		rule(outside, echo),
		rule(outside, count(), drop()))
	if v.family == ipv6 {
		// What binders let through of neighbour discovery (RFC 4861): solicitations of
		// routers, and of neighbours and their answers with bound addresses.
		for _, t := range []uint8{133, 135, 136} {
			rules = append(rules, rule(control(t), accept()))
		}
	} else {
		rules = append(rules, rule(l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(v.dhcpAt)), dport(r0), eq(r0, be16(v.dhcpTo)), accept()))
	}
	rules = append(rules,
		rule(untracked(), count(), drop()),
		rule(v.saddr(r0), notIn(setLocal, r0), count(), drop()),
	)
	rules = append(rules, owner(v.saddr)...)
	for _, p := range c.EnrolPorts {
		rules = append(rules, rule(l4(unix.IPPROTO_TCP), dport(r0), eq(r0, be16(p)), accept()))
	}
	rules = append(rules, rule(mark(r0), get(setState, r0, r0), eq(r0, num(uint32(policy.StateCutoff))), goTo("r_cutoff")))
	udp, tcp := mappingPorts()
	for _, p := range udp {
		rules = append(rules, rule(l4(unix.IPPROTO_UDP), dport(r0), eq(r0, be16(p)), goTo("r_"+ReasonPortMapping)))
	}
	// Terms that speak of the gateway: a deny of a device that enforces, then an
	// allow of one that is not restricted.
	gw := rule(mark(r0), meta(expr.MetaKeyL4PROTO, r0+1), dport(r0+2))
	in4 := func(state policy.State, hash, ranges string, then exprs) {
		when := rule(mark(r0), get(setState, r0, r0), eq(r0, num(uint32(state))))
		for _, r := range append(exact(gw, hash, r0+1, then), rule(gw, in(ranges, r0), then)) {
			rules = append(rules, rule(when, r))
		}
	}
	in4(policy.StateEnforce, setGwDeny, setGwDenyI, goTo("r_deny"))
	for _, s := range []policy.State{policy.StateEnforce, policy.StateShadow, policy.StateLearn} {
		in4(s, setGwAllow, setGwAllowI, accept())
	}
	rules = append(rules,
		rule(l4(unix.IPPROTO_UDP), dport(r0), eq(r0, be16(53)), accept()),
		rule(l4(unix.IPPROTO_TCP), dport(r0), eq(r0, be16(53)), accept()),
		rule(established, accept()),
		echo,
	)
	for _, s := range c.Services {
		rules = append(rules, rule(s.match(), accept()))
	}
	for _, p := range tcp {
		rules = append(rules, rule(l4(unix.IPPROTO_TCP), dport(r0), eq(r0, be16(p)), goTo("r_"+ReasonPortMapping)))
	}
	rules = append(rules, goTo("r_"+ReasonGateway))
	return chainDef{family: v.family, name: "input", hook: nftables.ChainHookInput, rules: rules}
}
