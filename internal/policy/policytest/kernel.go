package policytest

import (
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Outcome is what a kernel does with the first packet of a flow.
type Outcome int

// Outcomes.
const (
	Refuse Outcome = iota
	Pass
	Steer // to the inspector, which asks policy.Decide again with what it sees
)

func (o Outcome) String() string { return [...]string{"refuse", "pass", "steer"}[o] }

// Packet is what a kernel knows of a flow.
type Packet struct {
	Direction api.Direction
	Remote    netip.Addr // the other end
	Proto     uint8      // IP protocol number; ICMPv6 is 58
	Port      uint16     // of the side that is connected to; 0 where there is none
	Names     []string   // that the device resolved to Remote
	Gateway   bool       // the other end is the gateway
	Program   *policy.Process
}

// PacketOf returns what a kernel knows of f. The protocol of f is a name that
// terms use or a number; ok is false when it is neither.
func PacketOf(f policy.Flow) (p Packet, ok bool) {
	p = Packet{Direction: f.Direction, Remote: f.Remote.Addr().Unmap(), Port: f.Remote.Port(), Names: f.Names, Gateway: f.Gateway, Program: f.Program}
	if f.Direction == api.ToDevice {
		p.Port = f.Local.Port()
	}
	switch f.Proto {
	case "tcp":
		p.Proto = 6
	case "udp":
		p.Proto = 17
	case "icmp":
		p.Proto, p.Port = 1, 0
		if p.Remote.Is6() {
			p.Proto = 58
		}
	default:
		n := 0
		for _, c := range f.Proto {
			if c < '0' || c > '9' || n > 255 {
				return p, false
			}
			n = 10*n + int(c-'0')
		}
		p.Proto, p.Port = uint8(n), 0
		if f.Proto == "" || n > 255 {
			return p, false
		}
	}
	return p, true
}

// Judge does what package nft has the kernel do with a packet of device dev
// under plan p, by lookups in the plan's lists alone, and says which limit the
// flow counts against beside the device's own (nil = none). Would is set when
// the flow goes on only because the state is shadow.
//
// The order of lookups is the contract between a plan and a kernel:
//
//  1. state cutoff, quarantine (remediation set), IPv6 without addresses, learn
//  2. Deny, what a name denies, Deny of a program: refuse
//  3. Allow of a program: pass
//  4. Inspect, or a name denied with Inspect where anything is allowed: steer
//  5. Allow: pass
//  6. a name that is allowed: pass; steer inside InspectNamed or with Inspect
//  7. refuse
func Judge(p policy.Plan, dev policy.Device, k Packet) (o Outcome, would bool, limit *policy.Limit) {
	from := k.Direction == api.FromDevice
	switch dev.State {
	case policy.StateCutoff:
		return Refuse, false, nil
	case policy.StateQuarantine:
		return remedy(p, dev, k), false, nil
	}
	if k.Gateway {
		if from && (!serves(dev.GatewayAllow, k) || serves(dev.GatewayDeny, k)) {
			return Refuse, false, nil
		}
		return Pass, false, nil
	}
	if k.Remote.Is6() && len(dev.IP6) == 0 {
		return Refuse, false, nil
	}
	if dev.State == policy.StateLearn {
		return Pass, false, nil
	}
	o, limit = judge(dev, k, from)
	if o != Pass && dev.State == policy.StateShadow {
		return o, true, nil
	}
	return o, false, limit
}

func remedy(p policy.Plan, dev policy.Device, k Packet) Outcome {
	if k.Direction != api.FromDevice || k.Gateway || k.Remote.Is6() && len(dev.IP6) == 0 || In(p.RemediationDeny, k) {
		return Refuse
	}
	allowed := In(p.Remediation, k)
	for _, n := range k.Names {
		r, ok := policy.Resolve(p.RemediationNames, n)
		if serves(r.Deny, k) {
			return Refuse
		}
		allowed = allowed || ok && serves(r.Allow, k)
	}
	if allowed {
		return Pass
	}
	return Refuse
}

func judge(dev policy.Device, k Packet, from bool) (Outcome, *policy.Limit) {
	allow, deny, inspect := dev.InAllow, dev.InDeny, dev.InInspect
	if from {
		allow, deny, inspect = dev.Allow, dev.Deny, dev.Inspect
	}
	look := false // a name is denied in part by what stands inside
	var named *policy.Service
	if In(deny, k) {
		return Refuse, nil
	}
	if from {
		for _, n := range k.Names {
			r, _ := policy.Resolve(dev.Names, n)
			for _, s := range r.Deny {
				if !Serves(s, k) {
					continue
				}
				if !s.Inspect {
					return Refuse, nil
				}
				look = true
			}
			for i := range r.Allow {
				if s := &r.Allow[i]; Serves(*s, k) {
					if named == nil || !s.Inspect && named.Inspect || s.Inspect == named.Inspect && s.Limit < named.Limit {
						named = s
					}
					break
				}
			}
		}
	}
	mine := programs(dev, k)
	for _, q := range mine {
		if In(q.Deny, k) || closes(q.Names, k) {
			return Refuse, nil
		}
	}
	byProgram := slices.ContainsFunc(mine, func(q policy.Program) bool {
		return In(q.Allow, k) || opens(q.Names, k) && !In(dev.InspectNamed, k)
	})
	if byProgram && !look {
		return Pass, nil
	}
	allowed := In(allow, k)
	switch {
	case In(inspect, k), look && (allowed || named != nil || byProgram):
		return Steer, nil
	case allowed:
		return Pass, boxLimit(dev, k, from)
	case named == nil:
		return Refuse, nil
	case named.Inspect, In(dev.InspectNamed, k):
		return Steer, nil
	case named.Limit > 0:
		return Pass, &dev.Limits[named.Limit-1]
	}
	return Pass, nil
}

func boxLimit(dev policy.Device, k Packet, from bool) *policy.Limit {
	for i := range dev.Limits {
		l := &dev.Limits[i]
		boxes := l.In
		if from {
			boxes = l.Boxes
		}
		if l.Term != "" && !l.Inspect && In(boxes, k) {
			return l
		}
	}
	return nil
}

func programs(dev policy.Device, k Packet) []policy.Program {
	if k.Program == nil || k.Direction != api.FromDevice {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(dev.Programs), func(q policy.Program) bool {
		if q.UID != nil && *q.UID != k.Program.UID {
			return true
		}
		path := k.Program.Cgroup
		return q.Cgroup != "" && path != q.Cgroup && (len(path) <= len(q.Cgroup) || path[:len(q.Cgroup)+1] != q.Cgroup+"/")
	})
}

func opens(names []policy.Name, k Packet) bool {
	return slices.ContainsFunc(k.Names, func(n string) bool {
		r, _ := policy.Resolve(names, n)
		return serves(r.Allow, k)
	})
}

func closes(names []policy.Name, k Packet) bool {
	return slices.ContainsFunc(k.Names, func(n string) bool {
		r, _ := policy.Resolve(names, n)
		return serves(r.Deny, k)
	})
}

// Serves reports whether a packet goes to a service.
func Serves(s policy.Service, k Packet) bool {
	return covers(s.Proto, k) && (s.Ports == nil || (k.Proto == 6 || k.Proto == 17) &&
		slices.ContainsFunc(s.Ports, func(r api.PortRange) bool { return r.First <= k.Port && k.Port <= r.Last }))
}

func serves(list []policy.Service, k Packet) bool {
	return slices.ContainsFunc(list, func(s policy.Service) bool { return Serves(s, k) })
}

// In reports whether a packet's other end is in some box.
func In(boxes []policy.Box, k Packet) bool {
	return slices.ContainsFunc(boxes, func(b policy.Box) bool {
		return b.First.Is4() == k.Remote.Is4() && b.First.Compare(k.Remote) <= 0 && k.Remote.Compare(b.Last) <= 0 &&
			covers(b.Proto, k) && b.PortFirst <= k.Port && k.Port <= b.PortLast
	})
}

func covers(proto uint8, k Packet) bool {
	icmp := uint8(1)
	if k.Remote.Is6() {
		icmp = 58
	}
	switch proto {
	case policy.ProtoAny:
		return true
	case policy.ProtoICMP:
		return k.Proto == icmp
	case policy.ProtoOther:
		return k.Proto != icmp && k.Proto != 6 && k.Proto != 17
	}
	return k.Proto == proto
}
