package nft

import (
	"bufio"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/policy"
)

// A machine that is its own device is judged in the output and input hooks, by
// the same chains as a device behind a gateway. Its mark is found by no address:
// the map of owners has it under the unspecified one.

// managedMark is the connection mark of flows of the agent itself, and of those
// that Config.Manage opens: no device's, so that no policy speaks of it.
const managedMark = flowBoth

// cgroupLevels bounds how deep below the root the cgroup of a program may be.
const cgroupLevels = 6

func hostChains(c site, v ipv) []chainDef {
	managed := rule(ct(expr.CtKeyMARK, r0), eq(r0, num(managedMark)))
	manage := rule(imm(r0, num(managedMark)), setCtMark(r0), accept())
	control := func(typ uint8) exprs {
		return rule(l4(icmp6), payload(expr.PayloadBaseTransportHeader, 0, 1, r0), eq(r0, []byte{typ}), accept())
	}
	udp := func(from, to uint16) exprs {
		return rule(l4(unix.IPPROTO_UDP), sport(r0), eq(r0, be16(from)), dport(r0), eq(r0, be16(to)), accept())
	}
	out := []exprs{rule(oifname(r0), eq(r0, ifname("lo")), accept()), rule(managed, accept())}
	in1 := []exprs{rule(iifname(r0), eq(r0, ifname("lo")), accept()), rule(managed, accept())}
	if m := c.Management.Mark; m != 0 {
		out = append(out, rule(mark(r0), eq(r0, num(m)), manage))
	}
	if c.manageCgroup.id != nil {
		out = append(out, rule(socketCgroup(c.manageCgroup.level, r0), eq(r0, c.manageCgroup.id), manage))
	}
	for _, s := range c.Manage {
		in1 = append(in1, rule(s.match(), manage))
	}
	// Without an address of its own it is no use to anybody.
	out = append(out, udp(v.dhcpAt, v.dhcpTo))
	in1 = append(in1, udp(v.dhcpTo, v.dhcpAt))
	if v.family == ipv6 {
		out = append(out, control(133), control(135), control(136))
		in1 = append(in1, control(134), control(135), control(136))
	}
	// What a policy let pass keeps the mark that its sender gave it.
	passed := func(counted exprs) []exprs {
		return []exprs{
			rule(v.self(r0), setMark(r0)),
			rule(mark(r0), in(setLimited, r0), jumpTo("host_limits")),
			counted,
			accept(),
		}
	}
	judged := func(first, back string, counted exprs) []exprs {
		return append([]exprs{
			rule(untracked(), count(), drop()),
			rule(direction(original), jumpTo(first)),
			rule(direction(replied), jumpTo(back)),
			ours(),
		}, passed(counted)...)
	}
	counted := func(set string) exprs { return rule(imm(r0, make([]byte, v.words*4)), in(set, r0)) }
	return append(programPass(c, v, passed(counted(setUp))), []chainDef{
		{family: v.family, name: "host_limits", rules: []exprs{
			rule(v.self(r0), setMark(r0), jumpTo("limit_from")),
			rule(v.self(r0), setMark(r0), jumpTo("limit_to_ends")),
		}},
		{family: v.family, name: "forward", hook: nftables.ChainHookForward, rules: one(count())},
		{family: v.family, name: "output", hook: nftables.ChainHookOutput, rules: concat(out, judged("opener", "target", counted(setUp)))},
		{family: v.family, name: "input", hook: nftables.ChainHookInput, rules: concat(in1, judged("target", "opener", counted(setDown)))},
	}...)
}

func socketCgroup(level, reg uint32) exprs {
	return exprs{&expr.Socket{Key: expr.SocketKeyCgroupv2, Level: level, Register: reg}}
}

// programChains look at which program of the machine a flow is of: first by its
// user, then by each of the cgroups that it is in. A program is to the sets what
// a device is, with a mark of its own. What no program's terms decide goes to
// rest. Only what the machine sends is of a program here.
func programChains(c site, v ipv, name, rest string, denied exprs) []chainDef {
	key, p, allowed := v.openerKey(), v.protoReg(), goTo("program_allowed")
	if name == "o_shadow" {
		denied = goTo("program_would")
	}
	var stages []exprs
	for i := range cgroupLevels + 1 {
		load := rule(meta(expr.MetaKeySKUID, r0), get(setProgUID, r0, r0))
		if i > 0 {
			load = rule(socketCgroup(uint32(i), r0), get(setProgCgroup, r0, r0))
		}
		stages = append(stages, rule(load, setMark(r0), jumpTo(name+"_program")))
	}
	stages = append(stages, rule(v.self(r0), setMark(r0)), goTo(rest))
	return []chainDef{
		{family: v.family, name: name + "_program", rules: concat(
			one(rule(key, in(setDenyI, r0), denied)),
			exact(key, setAllow, p, allowed),
			one(rule(key, in(setAllowI, r0), allowed)),
			exact(key, setDyn, p, allowed),
		)},
		{family: v.family, name: name + "_stages", rules: stages},
	}
}

// programPass are the ends of what a program may send.
func programPass(c site, v ipv, passed []exprs) []chainDef {
	self := rule(v.self(r0), setMark(r0))
	return []chainDef{
		{family: v.family, name: "program_allowed", rules: concat([]exprs{ctMarkBits(flowPending, 0), self}, passed)},
		{family: v.family, name: "program_would", rules: concat([]exprs{self, rule(mark(r0), in(setWould, r0))}, sample(c, "would:"+policy.ReasonDeny), []exprs{ours()}, passed)},
	}
}

// ProgramMark is the mark under which bindings for the i-th program of a device
// are made.
func ProgramMark(mark uint32, i int) uint32 {
	const top = 1 << 22
	return ^mark&top | uint32(i+1)
}

// programs puts what the sets hold for the programs of the machine.
func (c *site) programs(p put, d *policy.Device) {
	for i := range d.Programs {
		g := &d.Programs[i]
		m := num(ProgramMark(d.Mark, i))
		for _, f := range routed() {
			if g.UID != nil {
				p(setProgUID, f, element{key: num(*g.UID), val: m})
			}
			if g.Cgroup != "" {
				// A cgroup that is not there has no programs; who makes it applies again.
				if cg, err := findCgroup(g.Cgroup); err == nil {
					p(setProgCgroup, f, element{key: cg.id, val: m})
				}
			}
		}
		p.boxes(setAllow, setAllowI, m, g.Allow, nil)
		p.boxes("", setDenyI, m, g.Deny, nil)
	}
}

// cgroup is one of version 2.
type cgroup struct {
	id    []byte // as the kernel compares it
	level uint32 // below the root
}

// findCgroup finds a cgroup by its path below the root. Its number is that of its
// directory (kernels of 64 bits since 5.5).
func findCgroup(path string) (cgroup, error) {
	clean := filepath.Clean("/" + path)
	level := strings.Count(clean, "/")
	if clean == "/" || level > cgroupLevels {
		return cgroup{}, ringwall.Errorf(ringwall.Invalid, "cgroup %q is not 1 to %d levels below the root", path, cgroupLevels)
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return cgroup{}, err
	}
	defer mounts.Close()
	for s := bufio.NewScanner(mounts); s.Scan(); {
		// proc(5): the mount point is the fifth field, the type the first after " - ".
		head, tail, _ := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(head)
		if len(fields) < 5 || !strings.HasPrefix(tail, "cgroup2 ") || fields[3] != "/" {
			continue
		}
		st, err := os.Stat(filepath.Join(fields[4], clean))
		if err != nil {
			return cgroup{}, err
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		if !ok || !st.IsDir() {
			break
		}
		id := make([]byte, 8)
		binary.NativeEndian.PutUint64(id, sys.Ino)
		return cgroup{id, uint32(level)}, nil
	}
	return cgroup{}, ringwall.Errorf(ringwall.Unavailable, "there is no cgroup %q of version 2 here", path)
}
