package dnsguard

import (
	"net/netip"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/resolved"
)

// table is a policy ready to be asked.
type table struct {
	Policy
	byIP   map[netip.Addr]*Device
	byMark map[uint32]*Device
	byKey  map[uint64]*Device
}

func newTable(p Policy) *table {
	t := &table{Policy: p, byIP: make(map[netip.Addr]*Device, len(p.Devices)), byMark: make(map[uint32]*Device, len(p.Devices)), byKey: make(map[uint64]*Device, len(p.Devices))}
	for i := range t.Devices {
		d := &t.Devices[i]
		if d.IP.IsValid() {
			t.byIP[d.IP] = d
		}
		for _, ip := range d.IP6 {
			t.byIP[ip] = d
		}
		t.byMark[d.Mark] = d
		t.byKey[resolved.KeyOf(d.ID)] = d
	}
	return t
}

// loadTable is what a rulefile.Loader calls.
func loadTable(data []byte) (*table, error) {
	p, err := parsePolicy(data)
	if err != nil {
		return nil, err
	}
	return newTable(*p), nil
}

// resolvers returns who is to be asked, in order.
func (t *table) resolvers() []api.Resolver {
	if len(t.Resolvers) > 0 {
		return t.Resolvers
	}
	if t.Resolver.IsValid() {
		return []api.Resolver{{Addr: t.Resolver}}
	}
	return nil
}

// source is where a question comes from.
type source struct {
	addr netip.Addr
	// mark is what the packet filter wrote on the packet, when it could be had: by
	// the binding of port, MAC and address. 0 = not known.
	mark uint32
}

// asker is who asks: a device, or a stranger with mark 0.
type asker struct {
	id      ringwall.DeviceID
	key     uint64
	mark    uint32
	state   policy.State
	names   []policy.Name
	ip6     bool
	lookups int
	// programs of the asker itself.
	programs []Program
}

func askerOf(d *Device) asker {
	return asker{d.ID, resolved.KeyOf(d.ID), d.Mark, d.State, d.Names, len(d.IP6) > 0, d.Lookups, d.Programs}
}

// asker tells who asks. What the packet filter says goes before the address; who
// has the address of one device and the mark of another is neither.
func (t *table) asker(from source) asker {
	if from.addr.IsLoopback() && len(t.Devices) == 1 {
		return askerOf(&t.Devices[0]) // the machine itself, which is its own device
	}
	d := t.byIP[from.addr]
	if m := from.mark & (policy.MaxMark | 1); m != 0 && d != t.byMark[m] {
		d = nil
	}
	if d == nil {
		return asker{state: t.Arrival}
	}
	return askerOf(d)
}

// grant is what the policy says of one name to one asker.
type grant struct {
	resolve bool   // answer it
	reason  string // why not, or why though it would not be
	// services are opened to the asker, remedies in quarantine; denied and noRemedies
	// are closed, or go to the inspector whatever opens them, where the term that
	// denies looks inside.
	services, remedies, denied, noRemedies []policy.Service
	// private services are open at addresses inside too.
	private []policy.Service
	// programs are services that single programs of the asker have besides.
	programs []programGrant
	// raw answers are passed on as they are, inside addresses too.
	raw bool
	// base is the pattern below which the name was found, when it is a wildcard.
	base string
	// looks says that the inspector has to know the name, watched that it does even
	// where the name itself opens nothing.
	looks, watched bool
}

// programGrant is what a name opens and closes to one program.
type programGrant struct {
	mark        uint32
	allow, deny []policy.Service
}

// Reasons in reports.
const (
	reasonName       = "name"       // not in the policy
	reasonDenied     = "denied"     // denied by a term
	reasonQuarantine = "quarantine" // quarantined, and not a name of the remediation set
	reasonCutoff     = "cutoff"
	reasonStranger   = "stranger" // not a device of the policy
	reasonWould      = "would-refuse"
	reasonRate       = "rate"
	reasonTunnel     = "tunnel" // names that carry data
	reasonType       = "type"
	reasonForm       = "malformed"
	reasonRebind     = "rebinding"
	reasonBind       = "bind"
	reasonUpstream   = "upstream"
	reasonCanary     = "canary"
	reasonResolver   = "resolver" // a resolver that hides names from us
	reasonIPv6       = "ipv6"
	reasonTooMany    = "too-many"
)

func (t *table) grant(a asker, name string) grant {
	rem, remedy := policy.Resolve(t.Remediation, name)
	res, ok := policy.Resolve(a.names, name)
	switch a.state {
	case policy.StateCutoff:
		return grant{reason: reasonCutoff}
	case policy.StateQuarantine:
		g := grant{resolve: remedy, noRemedies: rem.Deny}
		if g.reason = reasonQuarantine; remedy {
			g.reason, g.remedies = "", rem.Allow
		}
		return g
	case policy.StateLearn:
		g := grant{resolve: true, raw: true, noRemedies: rem.Deny}
		if remedy {
			g.remedies = rem.Allow
		}
		if a.mark != 0 {
			// Everything is open to it now. The entry keeps the name of the address,
			// for the day when its policy is enforced. What the policy will allow is
			// bound beside it: an address that another name shares, which is not
			// allowed, would lose its entry on that day, and with it the allowed one.
			g.services = []policy.Service{{Proto: policy.ProtoAny}}
			for _, s := range res.Allow {
				if !s.Inspect && s.Proto != policy.ProtoAny {
					g.services = append(g.services, s)
				}
			}
		}
		return g
	}
	g := grant{resolve: ok, denied: res.Deny, noRemedies: rem.Deny, base: wildcard(a.names, name)}
	if ok {
		g.services = res.Allow
	}
	if ok && remedy {
		g.remedies = rem.Allow
	}
	if res.Private && ok {
		private := slices.DeleteFunc(slices.Clone(a.names), func(n policy.Name) bool { return !n.Deny && !n.Private })
		r, _ := policy.Resolve(private, name)
		g.private = r.Allow
	}
	for _, p := range a.programs {
		r, opens := policy.Resolve(p.Names, name)
		if opens {
			g.resolve = true
		}
		if len(r.Allow)+len(r.Deny) > 0 {
			g.programs = append(g.programs, programGrant{p.Mark, r.Allow, r.Deny})
		}
	}
	inspects := func(s policy.Service) bool { return s.Inspect }
	g.watched = slices.ContainsFunc(res.Deny, inspects)
	g.looks = g.watched || slices.ContainsFunc(res.Allow, inspects)
	switch {
	case g.resolve:
	case a.state == policy.StateShadow:
		g.resolve, g.reason, g.raw = true, reasonWould, true
		if remedy {
			g.remedies = rem.Allow
		}
	case a.mark == 0:
		g.reason = reasonStranger
	case len(res.Deny) > 0:
		g.reason = reasonDenied
	default:
		g.reason = reasonName
	}
	return g
}

// wildcard returns what follows "*." in the pattern that lets a name be
// resolved, "" when one names it in full.
func wildcard(names []policy.Name, name string) (base string) {
	for i := range names {
		n := &names[i]
		if n.Deny || !policy.MatchName(n.Pattern, name) {
			continue
		}
		if n.Pattern[0] != '*' {
			return ""
		}
		if b := n.Pattern[2:]; base == "" || len(b) > len(base) {
			base = b
		}
	}
	return base
}

// denies reports whether a term denies any part of a name.
func (a asker) denies(name string) bool {
	return slices.ContainsFunc(a.names, func(n policy.Name) bool { return n.Deny && !n.Inspect && policy.MatchName(n.Pattern, name) })
}

// closes reports whether the addresses of a name are to be found though it is
// not answered: to close them, or have them watched.
func (g *grant) closes() bool { return len(g.denied)+len(g.noRemedies) > 0 }

// named reports whether a term allows this very name, not one below a wildcard.
func (a asker) named(name string) bool {
	return slices.ContainsFunc(a.names, func(n policy.Name) bool { return !n.Deny && n.Pattern[0] != '*' && policy.MatchName(n.Pattern, name) })
}
