package enforce

import (
	"net/netip"
	"reflect"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Fallback returns what is in force when next could not be confirmed and the
// gateway goes back to prev: prev, but for all in which next is narrower. A flow
// passes only if both let it pass, so that nobody gains by cutting the uplink
// right after a policy has taken something from him; but whom either quarantines
// has the remediation set of both. What tells the gateway where
// it stands and how it is reached (local networks, resolver) is that of prev
// alone: going back on these is what cures a gateway that locked itself out.
//
// Whom the two documents know by different places is known in neither: he is
// cut off until one of them is confirmed. Holds and releases are no part of
// either; they stay as they are.
func Fallback(prev, next api.Desired) api.Desired {
	out := prev
	out.Version = max(prev.Version, next.Version)
	out.Arrival = max(prev.Arrival, next.Arrival)
	out.Holds, out.Releases = nil, nil
	out.SubscriberSalt = next.SubscriberSalt
	out.MaxAge = leastDuration(prev.MaxAge, next.MaxAge)
	out.Reflexes = append(slices.Clone(prev.Reflexes), next.Reflexes...)
	out.Tunnels = slices.DeleteFunc(slices.Clone(prev.Tunnels), func(t api.Tunnel) bool {
		return !slices.ContainsFunc(next.Tunnels, func(o api.Tunnel) bool { return reflect.DeepEqual(t, o) })
	})
	// Roles are written out below wherever the documents differ on them.
	out.Controllers = slices.Clone(prev.Controllers)
	out.Zones = slices.Clone(next.Zones)
	for _, z := range prev.Zones {
		if !slices.ContainsFunc(out.Zones, func(o api.Zone) bool { return o.Name == z.Name }) {
			out.Zones = append(out.Zones, z)
		}
	}
	a, b := newSite(prev), newSite(next)
	same := sameRoles(a, b)
	out.Remediation = meetTerms(a.expand(prev.Remediation, "", same), b.expand(next.Remediation, "", same))
	old := make(map[ringwall.DeviceID]*api.DevicePolicy, len(prev.Devices))
	for i := range prev.Devices {
		old[prev.Devices[i].Device] = &prev.Devices[i]
	}
	salted := reflect.DeepEqual(prev.SubscriberSalt, next.SubscriberSalt)
	out.Devices = make([]api.DevicePolicy, 0, len(next.Devices))
	marks := map[uint32]bool{}
	for _, n := range next.Devices {
		o := old[n.Device]
		delete(old, n.Device)
		var d api.DevicePolicy
		switch {
		case o != nil:
			d = meetDevice(*o, n, a, b, same, salted)
		case prev.Arrival == ringwall.Learn:
			d = n // it was a stranger to whom nothing was refused
			d.Terms = b.expand(n.Terms, n.Device, same)
		default:
			continue // it was a stranger who was isolated, and is again
		}
		marks[d.Mark] = true
		out.Devices = append(out.Devices, d)
	}
	// What next does not name is a stranger to it.
	if next.Arrival == ringwall.Learn {
		for _, o := range prev.Devices {
			if old[o.Device] != nil && !marks[o.Mark] {
				o.Terms = a.expand(o.Terms, o.Device, same)
				out.Devices = append(out.Devices, o)
			}
		}
	}
	out.Devices = withoutClashes(out.Devices)
	return out
}

// withoutClashes leaves out devices that claim the address or the mark of one
// before them: two documents may have given it to two devices, and a document
// that does so cannot be compiled.
func withoutClashes(list []api.DevicePolicy) []api.DevicePolicy {
	type place struct{ v any }
	seen := map[place]bool{}
	return slices.DeleteFunc(list, func(d api.DevicePolicy) bool {
		clash := seen[place{d.Mark}] || seen[place{d.Binding.IP}]
		seen[place{d.Mark}] = true
		if d.Binding.IP.IsValid() && !d.Binding.IP.IsUnspecified() {
			seen[place{d.Binding.IP}] = true
		}
		return clash
	})
}

func leastDuration(a, b api.Duration) api.Duration {
	switch {
	case a == 0:
		return b
	case b == 0:
		return a
	}
	return min(a, b)
}

// meetDevice returns the policy under which d passes only what both let pass.
func meetDevice(o, n api.DevicePolicy, a, b site, same map[string]bool, salted bool) api.DevicePolicy {
	out := n
	out.Mark = o.Mark
	out.Mode = max(o.Mode, n.Mode)
	oldTerms, newTerms := a.expand(o.Terms, o.Device, same), b.expand(n.Terms, n.Device, same)
	// What is meant for the gateway itself is judged in every mode.
	oldGate, oldTerms := splitGateway(oldTerms)
	newGate, newTerms := splitGateway(newTerms)
	switch {
	case o.Mode == ringwall.Enforce && n.Mode == ringwall.Enforce:
		out.Terms = meetTerms(oldTerms, newTerms)
	case o.Mode == ringwall.Enforce:
		out.Terms = oldTerms
	default:
		out.Terms = newTerms // the old one let all pass
	}
	out.Terms = append(slices.Clone(out.Terms), meetTerms(oldGate, newGate)...)
	out.Trust = meetTrust(o, n)
	var agreed bool
	if out.Binding, agreed = meetBinding(o.Binding, n.Binding, salted); !agreed {
		out.Mode, out.Trust = ringwall.Enforce, ringwall.T0
	}
	if o.Maker != n.Maker {
		out.Maker = "" // terms that speak of makers are written out
	}
	out.IP6 = slices.DeleteFunc(slices.Clone(n.IP6), func(x netip.Addr) bool { return !slices.Contains(o.IP6, x) })
	out.Limit = meetLimit(o.Limit, n.Limit)
	out.Fail = meetFail(o.Fail, n.Fail)
	out.Assessor = o.Assessor && n.Assessor
	if o.Lookups != 0 && (n.Lookups == 0 || o.Lookups < n.Lookups) {
		out.Lookups = o.Lookups
	}
	return out
}

// splitGateway parts the terms that speak of the gateway from the others.
func splitGateway(terms []api.Term) (gate, others []api.Term) {
	for _, t := range terms {
		if t.Gateway {
			gate = append(gate, t)
		} else {
			others = append(others, t)
		}
	}
	return gate, others
}

// meetTrust returns the lesser trust. Level T0 says nothing of a device in mode
// learn: that is what it has before it is enrolled.
func meetTrust(o, n api.DevicePolicy) ringwall.Trust {
	if o.Mode == ringwall.Learn && n.Mode == ringwall.Learn {
		if o.Trust == ringwall.T1 || n.Trust == ringwall.T1 {
			return ringwall.T1
		}
		return min(o.Trust, n.Trust)
	}
	counts := func(d api.DevicePolicy) ringwall.Trust {
		if d.Mode == ringwall.Learn && d.Trust == ringwall.T0 {
			return ringwall.T4
		}
		return d.Trust
	}
	return min(counts(o), counts(n))
}

// meetBinding returns the place at which both documents know a device; ok is
// false when there is none.
func meetBinding(o, n api.Binding, salted bool) (b api.Binding, ok bool) {
	b = n
	if b.Port == "" {
		b.Port = o.Port
	}
	port := o.Port == "" || n.Port == "" || o.Port == n.Port
	who := o.MAC == n.MAC && o.IP == n.IP && (o.Subscriber == n.Subscriber || !salted && o.Subscriber != "" && n.Subscriber != "")
	return b, port && who
}

// meetFail returns the stricter of two words on what happens after MaxAge.
func meetFail(a, b string) string {
	rank := map[string]int{"open": 0, "": 1, "static": 1, "closed": 2}
	if rank[a] > rank[b] {
		return a
	}
	return b
}
