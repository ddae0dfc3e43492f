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

// Options say where and how a desired state is put in force.
type Options struct {
	// Stale says that the document is older than its MaxAge; see Site.Stale.
	Stale bool
	// Host says that the plan is for an agent on the device itself, which can tell
	// programs apart. Elsewhere what is denied to one is denied to all, and what is
	// allowed to one is not allowed.
	Host bool
}

// Compile turns a desired state and the holds in force at now into a plan.
// Holds are those of the gateway; those of the document are added, and what a
// release names or what has expired is left out. An error has code Invalid and
// says which device and term it is about; nothing is half compiled.
func Compile(d api.Desired, holds []api.Hold, now time.Time) (Plan, error) {
	return Options{}.Compile(d, holds, now)
}

// Compile is the function Compile under these options.
func (o Options) Compile(d api.Desired, holds []api.Hold, now time.Time) (Plan, error) {
	if len(d.Devices) > MaxDevices {
		return Plan{}, ringwall.Errorf(ringwall.Invalid, "desired state names %d devices, more than %d", len(d.Devices), MaxDevices)
	}
	c := compiler{
		Options:  o,
		now:      now,
		restrict: restrictions(d, holds, now),
		byID:     make(map[ringwall.DeviceID]*api.DevicePolicy, len(d.Devices)),
		byIP:     make(map[netip.Addr]ringwall.DeviceID, len(d.Devices)),
		byMark:   make(map[uint32]ringwall.DeviceID, len(d.Devices)),
	}
	p := Plan{Generation: d.Generation, Arrival: StateLearn, Resolver: d.Resolver}
	if d.Arrival != ringwall.Learn {
		p.Arrival = StateEnforce
	}
	if err := c.site(&d); err != nil {
		return Plan{}, err
	}
	// Addresses first: a term of any device may name any other.
	for i := range d.Devices {
		if err := c.claim(&d.Devices[i]); err != nil {
			return Plan{}, err
		}
	}
	c.group(d.Devices)
	var err error
	if p.Local, err = localNets(d.LocalNets, c.ip6); err != nil {
		return Plan{}, err
	}
	for i := range d.Devices {
		dev, bound, err := c.device(&d.Devices[i])
		if err != nil {
			return Plan{}, err
		}
		if !bound {
			// Without an address there is nothing to bind. A device that may pass
			// anyway passes as a stranger; any other must not.
			if dev.State >= StateEnforce && !dev.Subscribed {
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
	numberLimits(p.Devices)

	if err := c.remediation(&p, d.Remediation); err != nil {
		return Plan{}, ringwall.Errorf(ringwall.Invalid, "remediation set: %w", err)
	}
	if c.until != 0 {
		p.Until = time.Unix(c.until, 0).UTC()
	}
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
	Options
	now         time.Time
	until       int64 // when a window moves next; 0 = never
	restrict    map[ringwall.DeviceID]ringwall.Restriction
	byID        map[ringwall.DeviceID]*api.DevicePolicy
	byIP        map[netip.Addr]ringwall.DeviceID
	byMark      map[uint32]ringwall.DeviceID
	ip6         bool // some device has IPv6
	local       [2][]ipRange
	makers      map[string]*[2][]ipRange
	controllers map[string][]*api.Controller
	zones       map[string]*zone
	windows     map[window]bool // that were looked at: open or not
}

// claim notes the addresses and mark of a device and refuses what another has.
func (c *compiler) claim(d *api.DevicePolicy) error {
	switch {
	case d.Device == "":
		return ringwall.Errorf(ringwall.Invalid, "a device of the desired state has no id")
	case d.Mark == 0 || d.Mark > MaxMark:
		return ringwall.Errorf(ringwall.Invalid, "device %q has mark %d, want 1 to %d", d.Device, d.Mark, MaxMark)
	case len(d.IP6) > maxIP6:
		return ringwall.Errorf(ringwall.Invalid, "device %q has %d IPv6 addresses, more than %d", d.Device, len(d.IP6), maxIP6)
	}
	if _, dup := c.byID[d.Device]; dup {
		return ringwall.Errorf(ringwall.Invalid, "device %q is named twice", d.Device)
	}
	if other, dup := c.byMark[d.Mark]; dup {
		return ringwall.Errorf(ringwall.Invalid, "devices %q and %q have the same mark %d", other, d.Device, d.Mark)
	}
	c.byMark[d.Mark] = d.Device
	c.byID[d.Device] = d
	addrs := make([]netip.Addr, 0, 1+len(d.IP6))
	if ip := address4(d); ip.IsValid() {
		addrs = append(addrs, ip)
	}
	for _, ip := range d.IP6 {
		if !ip.Is6() || ip.Is4In6() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLoopback() || ip.Zone() != "" {
			return ringwall.Errorf(ringwall.Invalid, "device %q has the IPv6 address %s, which is none of a device", d.Device, ip)
		}
		addrs, c.ip6 = append(addrs, ip), true
	}
	for _, ip := range addrs {
		if other, dup := c.byIP[ip]; dup {
			return ringwall.Errorf(ringwall.Invalid, "devices %q and %q have the same address %s", other, d.Device, ip)
		}
		c.byIP[ip] = d.Device
	}
	return nil
}

// address4 returns the IPv4 address that a device is bound to, if any.
func address4(d *api.DevicePolicy) netip.Addr {
	if ip := d.Binding.IP.Unmap(); ip.Is4() && !ip.IsUnspecified() {
		return ip
	}
	return netip.Addr{}
}

const (
	// maxInterface is the longest name of a network interface in Linux.
	maxInterface = 15
	maxIP6       = 16
)

func (c *compiler) device(d *api.DevicePolicy) (dev Device, bound bool, err error) {
	bad := func(format string, args ...any) (Device, bool, error) {
		return Device{}, false, ringwall.Errorf(ringwall.Invalid, "device %q "+format, append([]any{d.Device}, args...)...)
	}
	dev = Device{ID: d.Device, Mark: d.Mark, Port: d.Binding.Port, IP: address4(d)}
	switch sub := d.Binding.Subscriber; {
	case sub != "" && !validSubscriber(sub):
		return bad("is bound to a subscriber that is none")
	case sub != "" && d.Binding.MAC == "":
		dev.Subscribed = true
	default:
		mac, err := net.ParseMAC(d.Binding.MAC)
		if err != nil || len(mac) != 6 {
			return bad("has MAC %q, want 48 bits with colons", short(d.Binding.MAC))
		}
		dev.MAC = MAC(mac)
	}
	if len(d.Binding.Port) > maxInterface || strings.ContainsAny(d.Binding.Port, "/ \x00") {
		return bad("is bound to %q, which is no interface", short(d.Binding.Port))
	}
	if !slices.Contains([]string{"", "static", "closed", "open"}, d.Fail) {
		return bad("is to fail %q, which is none of static, closed, open", short(d.Fail))
	}
	if len(d.IP6) > 0 {
		dev.IP6 = slices.Clone(d.IP6)
		slices.SortFunc(dev.IP6, netip.Addr.Compare)
	}
	r, mode := standing(d, ringwall.Unrestricted, c.Stale)
	switch mode {
	case ringwall.Learn:
		dev.Free = StateLearn
	case ringwall.Shadow:
		dev.Free = StateShadow
	default:
		dev.Free = StateEnforce
	}
	dev.Free = dev.Free.With(r)
	dev.State = dev.Free.With(c.restrict[d.Device])
	if err := c.terms(&dev, d); err != nil {
		return bad("cannot be put in force: %w", err)
	}
	return dev, dev.IP.IsValid() || len(dev.IP6) > 0, nil
}

// remediation compiles what a quarantined device may reach. Nobody looks
// inside flows there and nobody counts.
func (c *compiler) remediation(p *Plan, terms []api.Term) error {
	for i := range terms {
		if t := &terms[i]; t.Inside != nil || t.Who != nil || t.Limit != nil || t.Gateway || t.SameMaker {
			return ringwall.Errorf(ringwall.Invalid, "term %q: inside, who, limit, gateway and sameMaker have no place here", short(t.ID))
		}
	}
	var dev Device
	r := api.DevicePolicy{Terms: terms}
	if c.ip6 { // as if it had IPv6: what opens it to a device is that it has an address
		r.IP6 = []netip.Addr{netip.IPv6Unspecified()}
	}
	if err := c.terms(&dev, &r); err != nil {
		return err
	}
	p.Remediation, p.RemediationDeny, p.RemediationNames = dev.Allow, dev.Deny, dev.Names
	return nil
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

// localNets returns the networks sorted and without those inside others; those
// of IPv6 only when some device has it.
func localNets(nets []netip.Prefix, ip6 bool) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, n := range nets {
		if !n.IsValid() {
			return nil, ringwall.Errorf(ringwall.Invalid, "a local network of the desired state is no network")
		}
		if n.Addr().Is4() || ip6 && !n.Addr().Is4In6() {
			out = append(out, n.Masked())
		}
	}
	return Disjoint(out), nil
}

// Disjoint returns networks sorted, IPv4 first, and without those inside others.
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
