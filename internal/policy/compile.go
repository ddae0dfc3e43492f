package policy

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// MaxNamePorts is the most single ports that a domain term may name, unless it
// names all: each becomes an entry for each address of the name.
const MaxNamePorts = 64

// Limits on what one document may hold, so that a wrong one costs bounded memory.
const (
	MaxDevices = 100_000
	MaxTerms   = 4096 // of one device
)

// Compile turns a desired state and the holds in force at now into a plan.
// Holds are those of the gateway; those of the document are added, and what a
// release names or what has expired is left out. An error has code Invalid and
// says which device and term it is about; nothing is half compiled.
func Compile(d api.Desired, holds []api.Hold, now time.Time) (Plan, error) {
	if len(d.Devices) > MaxDevices {
		return Plan{}, ringwall.Errorf(ringwall.Invalid, "desired state names %d devices, more than %d", len(d.Devices), MaxDevices)
	}
	c := compiler{
		restrict: restrictions(d, holds, now),
		byID:     make(map[ringwall.DeviceID]netip.Addr, len(d.Devices)),
		byIP:     make(map[netip.Addr]ringwall.DeviceID, len(d.Devices)),
		byMark:   make(map[uint32]ringwall.DeviceID, len(d.Devices)),
	}
	p := Plan{Generation: d.Generation, Arrival: StateLearn, Resolver: d.Resolver}
	if d.Arrival != ringwall.Learn {
		p.Arrival = StateEnforce
	}
	var err error
	if p.Local, err = localNets(d.LocalNets); err != nil {
		return Plan{}, err
	}
	// Addresses first: a term of any device may name any other.
	for i := range d.Devices {
		if err := c.claim(&d.Devices[i]); err != nil {
			return Plan{}, err
		}
	}
	for i := range d.Devices {
		dev, bound, err := c.device(&d.Devices[i])
		if err != nil {
			return Plan{}, err
		}
		if !bound {
			// Without an address there is nothing to bind. A device that may pass
			// anyway passes as a stranger; any other must not.
			if dev.State >= StateEnforce {
				p.Isolated = append(p.Isolated, dev.MAC)
			}
			continue
		}
		p.Devices = append(p.Devices, dev)
		if dev.State >= StateQuarantine && dev.Port != "" {
			p.ClosedPorts = append(p.ClosedPorts, dev.Port)
		}
	}
	slices.SortFunc(p.Devices, func(a, b Device) int { return cmp.Compare(a.Mark, b.Mark) })
	slices.Sort(p.ClosedPorts)
	p.ClosedPorts = slices.Compact(p.ClosedPorts)
	slices.SortFunc(p.Isolated, func(a, b MAC) int { return slices.Compare(a[:], b[:]) })
	p.Isolated = slices.Compact(p.Isolated)

	rem, err := c.terms(d.Remediation)
	if err != nil {
		return Plan{}, ringwall.Errorf(ringwall.Invalid, "remediation set: %w", err)
	}
	p.Remediation, p.RemediationDeny, p.RemediationNames = rem.allow, rem.deny, rem.names
	return p, nil
}

// restrictions returns the strictest restriction of each device at now.
func restrictions(d api.Desired, holds []api.Hold, now time.Time) map[ringwall.DeviceID]ringwall.Restriction {
	released := map[ringwall.HoldID]bool{}
	for _, r := range d.Releases {
		released[r.Hold] = true
	}
	out := map[ringwall.DeviceID]ringwall.Restriction{}
	for _, list := range [][]api.Hold{holds, d.Holds} {
		for _, h := range list {
			if released[h.ID] || !h.Expires.IsZero() && !now.Before(h.Expires) {
				continue
			}
			out[h.Device] = max(out[h.Device], h.Do)
		}
	}
	return out
}

type compiler struct {
	restrict map[ringwall.DeviceID]ringwall.Restriction
	byID     map[ringwall.DeviceID]netip.Addr
	byIP     map[netip.Addr]ringwall.DeviceID
	byMark   map[uint32]ringwall.DeviceID
}

// claim notes the address and mark of a device and refuses what another has.
func (c *compiler) claim(d *api.DevicePolicy) error {
	switch {
	case d.Device == "":
		return ringwall.Errorf(ringwall.Invalid, "a device of the desired state has no id")
	case d.Mark == 0 || d.Mark > MaxMark:
		return ringwall.Errorf(ringwall.Invalid, "device %q has mark %d, want 1 to %d", d.Device, d.Mark, MaxMark)
	}
	if _, dup := c.byID[d.Device]; dup {
		return ringwall.Errorf(ringwall.Invalid, "device %q is named twice", d.Device)
	}
	if other, dup := c.byMark[d.Mark]; dup {
		return ringwall.Errorf(ringwall.Invalid, "devices %q and %q have the same mark %d", other, d.Device, d.Mark)
	}
	c.byMark[d.Mark] = d.Device
	ip := d.Binding.IP.Unmap()
	if !ip.Is4() || ip.IsUnspecified() {
		ip = netip.Addr{}
	}
	c.byID[d.Device] = ip
	if !ip.IsValid() {
		return nil
	}
	if other, dup := c.byIP[ip]; dup {
		return ringwall.Errorf(ringwall.Invalid, "devices %q and %q have the same address %s", other, d.Device, ip)
	}
	c.byIP[ip] = d.Device
	return nil
}

// maxInterface is the longest name of a network interface in Linux.
const maxInterface = 15

func (c *compiler) device(d *api.DevicePolicy) (dev Device, bound bool, err error) {
	mac, err := net.ParseMAC(d.Binding.MAC)
	if err != nil || len(mac) != 6 {
		return Device{}, false, ringwall.Errorf(ringwall.Invalid, "device %q has MAC %q, want 48 bits with colons", d.Device, short(d.Binding.MAC))
	}
	if len(d.Binding.Port) > maxInterface || strings.ContainsAny(d.Binding.Port, "/ \x00") {
		return Device{}, false, ringwall.Errorf(ringwall.Invalid, "device %q is bound to %q, which is no interface", d.Device, short(d.Binding.Port))
	}
	dev = Device{ID: d.Device, Mark: d.Mark, Port: d.Binding.Port, MAC: MAC(mac), IP: c.byID[d.Device]}
	switch d.Mode {
	case ringwall.Learn:
		dev.Free = StateLearn
	case ringwall.Shadow:
		dev.Free = StateShadow
	default:
		dev.Free = StateEnforce
	}
	dev.Free = dev.Free.With(restrictionOf(d.Trust, d.Mode))
	dev.State = dev.Free.With(c.restrict[d.Device])
	t, err := c.terms(d.Terms)
	if err != nil {
		return Device{}, false, ringwall.Errorf(ringwall.Invalid, "device %q: %w", d.Device, err)
	}
	dev.Allow, dev.Deny, dev.InAllow, dev.InDeny, dev.Names = t.allow, t.deny, t.inAllow, t.inDeny, t.names
	return dev, dev.IP.IsValid(), nil
}

// compiled is a list of terms in canonical form.
type compiled struct {
	allow, deny, inAllow, inDeny []Box
	names                        []Name
}

func (c *compiler) terms(terms []api.Term) (compiled, error) {
	if len(terms) > MaxTerms {
		return compiled{}, ringwall.Errorf(ringwall.Invalid, "%d terms are more than %d", len(terms), MaxTerms)
	}
	var out compiled
	var allow, deny, inAllow, inDeny []area
	for i := range terms {
		t := &terms[i]
		if err := Check(*t); err != nil {
			return compiled{}, err
		}
		if t.Domain != "" {
			out.names = append(out.names, Name{
				Pattern: strings.ToLower(strings.TrimSuffix(t.Domain, ".")),
				Deny:    t.Action == api.Deny, Proto: protoOf(t.Proto), Ports: portsOf(t.Ports),
			})
			continue
		}
		list := &allow
		switch {
		case t.Direction == api.FromDevice && t.Action == api.Deny:
			list = &deny
		case t.Direction == api.ToDevice && t.Action == api.Allow:
			list = &inAllow
		case t.Direction == api.ToDevice:
			list = &inDeny
		}
		for _, p := range c.ends(t) {
			first, last := span(p)
			*list = append(*list, area{first, last, protoOf(t.Proto), portsOf(t.Ports)})
		}
	}
	// What is denied is taken out of what is allowed here, not by looking into two
	// sets one after the other: a packet that does so while both change could see
	// one before and the other after, and pass though neither policy lets it.
	for _, x := range []struct {
		to         *[]Box
		from, less []area
	}{{&out.allow, allow, deny}, {&out.deny, deny, nil}, {&out.inAllow, inAllow, inDeny}, {&out.inDeny, inDeny, nil}} {
		var err error
		if *x.to, err = boxes(x.from, x.less); err != nil {
			return compiled{}, err
		}
	}
	slices.SortFunc(out.names, compareNames)
	out.names = slices.CompactFunc(out.names, func(a, b Name) bool { return compareNames(a, b) == 0 })
	return out, nil
}

// ends returns the IPv4 addresses that a term without a domain speaks of.
func (c *compiler) ends(t *api.Term) []netip.Prefix {
	switch {
	case t.Device != "":
		if ip := c.byID[t.Device]; ip.IsValid() {
			return []netip.Prefix{netip.PrefixFrom(ip, 32)}
		}
		return nil // not here, or without an address: nothing to talk to
	case t.Local:
		out := make([]netip.Prefix, 0, len(c.byIP))
		for ip := range c.byIP {
			out = append(out, netip.PrefixFrom(ip, 32))
		}
		return out
	case t.CIDR.Addr().Is4():
		return []netip.Prefix{t.CIDR.Masked()}
	}
	return nil // IPv6 is closed
}

func compareNames(a, b Name) int {
	bit := func(x bool) int {
		if x {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(a.Pattern, b.Pattern), cmp.Compare(bit(a.Deny), bit(b.Deny)), cmp.Compare(a.Proto, b.Proto),
		slices.CompareFunc(a.Ports, b.Ports, func(x, y api.PortRange) int {
			return cmp.Or(cmp.Compare(x.First, y.First), cmp.Compare(x.Last, y.Last))
		}))
}

func protoOf(s string) uint8 {
	switch s {
	case "tcp":
		return ProtoTCP
	case "udp":
		return ProtoUDP
	case "icmp":
		return ProtoICMP
	}
	return ProtoAny
}

func portsOf(ports []api.PortRange) []api.PortRange {
	if len(ports) == 0 {
		return nil
	}
	return MergePorts(ports)
}

// localNets returns the IPv4 networks sorted and without those inside others.
func localNets(nets []netip.Prefix) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, n := range nets {
		if !n.IsValid() {
			return nil, ringwall.Errorf(ringwall.Invalid, "a local network of the desired state is no network")
		}
		if n.Addr().Is4() {
			out = append(out, n.Masked())
		}
	}
	return Disjoint(out), nil
}

// Disjoint returns IPv4 networks sorted and without those inside others.
func Disjoint(nets []netip.Prefix) []netip.Prefix {
	nets = slices.Clone(nets)
	slices.SortFunc(nets, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	out := nets[:0]
	for _, n := range nets {
		if len(out) > 0 && out[len(out)-1].Contains(n.Addr()) {
			continue
		}
		out = append(out, n)
	}
	return out
}

// short cuts a text that is quoted in an error.
func short(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
