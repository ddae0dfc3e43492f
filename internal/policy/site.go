package policy

import (
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Bounds of what one document may hold beside its devices.
const (
	maxZones           = 1024
	maxOffsets         = 64 // of one zone
	maxControllers     = 4096
	maxControllerParts = 1024 // networks, names and devices of one, each
)

// site notes the zones and controllers of a document.
func (c *compiler) site(d *api.Desired) error {
	bad := func(format string, args ...any) error { return ringwall.Errorf(ringwall.Invalid, format, args...) }
	if len(d.Zones) > maxZones || len(d.Controllers) > maxControllers {
		return bad("%d zones and %d controllers are more than %d and %d", len(d.Zones), len(d.Controllers), maxZones, maxControllers)
	}
	c.windows = map[window]bool{}
	c.zones = make(map[string]*zone, len(d.Zones))
	for i := range d.Zones {
		z := &d.Zones[i]
		made, ok := makeZone(z)
		if _, twice := c.zones[z.Name]; !ok || twice || z.Name == "" || len(z.Offsets) > maxOffsets {
			return bad("time zone %q has no offsets in order, stands twice or has more than %d", short(z.Name), maxOffsets)
		}
		c.zones[z.Name] = made
	}
	c.controllers = make(map[string][]*api.Controller, len(d.Controllers))
	for i := range d.Controllers {
		k := &d.Controllers[i]
		if k.Role == "" || len(k.Role) > maxRole {
			return bad("a controller fills role %q", short(k.Role))
		}
		if len(k.Nets) > maxControllerParts || len(k.Domains) > maxControllerParts || len(k.Devices) > maxControllerParts {
			return bad("controller %q has more than %d parts of one kind", short(k.Role), maxControllerParts)
		}
		for _, n := range k.Nets {
			if !n.IsValid() {
				return bad("a network of controller %q is none", short(k.Role))
			}
		}
		for _, n := range k.Domains {
			if err := CheckPattern(n); err != nil {
				return bad("controller %q: domain %q: %w", short(k.Role), short(n), err)
			}
		}
		c.controllers[k.Role] = append(c.controllers[k.Role], k)
	}
	return nil
}

// ipRange is a closed range of addresses.
type ipRange struct{ first, last u128 }

// joinRanges returns the addresses as ranges, sorted and disjoint.
func joinRanges(addrs []u128) []ipRange {
	slices.SortFunc(addrs, u128.compare)
	var out []ipRange
	for _, a := range addrs {
		if n := len(out); n > 0 && out[n-1].last.next() == a {
			out[n-1].last = a
			continue
		}
		out = append(out, ipRange{a, a})
	}
	return out
}

// group collects the addresses of all devices and of those of each maker, once
// for all terms that speak of them.
func (c *compiler) group(devices []api.DevicePolicy) {
	type list [2][]u128
	var all list
	byMaker := map[string]*list{}
	for i := range devices {
		d := &devices[i]
		m := byMaker[d.Maker]
		if m == nil {
			m = &list{}
			byMaker[d.Maker] = m
		}
		if ip := address4(d); ip.IsValid() {
			all[ipv4], m[ipv4] = append(all[ipv4], number(ip)), append(m[ipv4], number(ip))
		}
		for _, ip := range d.IP6 {
			all[ipv6], m[ipv6] = append(all[ipv6], number(ip)), append(m[ipv6], number(ip))
		}
	}
	c.local = [2][]ipRange{joinRanges(all[ipv4]), joinRanges(all[ipv6])}
	c.makers = make(map[string]*[2][]ipRange, len(byMaker))
	for maker, l := range byMaker {
		if maker != "" {
			c.makers[maker] = &[2][]ipRange{joinRanges(l[ipv4]), joinRanges(l[ipv6])}
		}
	}
}

// end is whom a term speaks of on this site: addresses and, for flows that the
// device opens, names.
type end struct {
	ranges [2][]ipRange
	names  []string
}

func (e *end) prefix(p netip.Prefix) {
	a := p.Addr()
	if a.Is4In6() {
		return // no such packet exists
	}
	f := ipv4
	if !a.Is4() {
		f = ipv6
	}
	first, last := span(p)
	e.ranges[f] = append(e.ranges[f], ipRange{first, last})
}

func (e *end) device(d *api.DevicePolicy) {
	if d == nil {
		return // not here: nothing to talk to
	}
	if ip := address4(d); ip.IsValid() {
		e.prefix(netip.PrefixFrom(ip, 32))
	}
	for _, ip := range d.IP6 {
		e.prefix(netip.PrefixFrom(ip, 128))
	}
}

// end resolves whom t, a term of d, speaks of.
func (c *compiler) end(d *api.DevicePolicy, t *api.Term) (end, error) {
	var e end
	switch {
	case t.Domain != "":
		e.names = []string{t.Domain}
	case t.Device != "":
		e.device(c.byID[t.Device])
	case t.Local:
		e.ranges = c.local
	case t.SameMaker:
		if m := c.makers[d.Maker]; m != nil {
			e.ranges = *m
		}
	case t.Controller != "":
		ports := 0
		for _, r := range t.Ports {
			ports += int(r.Last) - int(r.First) + 1
		}
		for _, k := range c.controllers[t.Controller] {
			for _, n := range k.Nets {
				e.prefix(n)
			}
			for _, id := range k.Devices {
				e.device(c.byID[id])
			}
			if t.Direction == api.FromDevice {
				e.names = append(e.names, k.Domains...)
			}
		}
		if len(e.names) > 0 && !namePorts(t, ports) {
			return end{}, ringwall.Errorf(ringwall.Invalid, "term %q: role %q is filled by names, which may have %d ports at most, or all", short(t.ID), short(t.Controller), MaxNamePorts)
		}
	case t.CIDR.IsValid():
		e.prefix(t.CIDR)
	}
	if len(d.IP6) == 0 {
		e.ranges[ipv6] = nil // IPv6 is closed
	}
	return e, nil
}

// holds reports whether the window of a term is open now, and notes when that
// changes.
func (c *compiler) holds(t *api.Term) (bool, error) {
	if t.Window == nil {
		return true, nil
	}
	w, err := parseWindow(t.Window)
	if err != nil {
		return false, err
	}
	if open, done := c.windows[w]; done {
		return open, nil
	}
	var z *zone
	if w.zone != "" {
		if z = c.zones[w.zone]; z == nil {
			return false, ringwall.Errorf(ringwall.Invalid, "term %q: its window is in time zone %q, which the document does not carry", short(t.ID), short(w.zone))
		}
	}
	now := c.now.Unix()
	if at, ok := w.next(z, now); ok && (c.until == 0 || at < c.until) {
		c.until = at
	}
	open := w.open(now + z.offset(now))
	c.windows[w] = open
	return open, nil
}
