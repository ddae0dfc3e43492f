package nft

import (
	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall/internal/policy"
)

// family of a set's table, as a short name that sorts and prints well.
type family string

const (
	bridge family = "bridge"
	ipv4   family = "ip"
	ipv6   family = "ip6"
)

// number is the family's in the kernel.
func (f family) number() byte {
	switch f {
	case bridge:
		return unix.NFPROTO_BRIDGE
	case ipv6:
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// routed are the families that judge flows; their sets bear the same names.
func routed() []family { return []family{ipv4, ipv6} }

// role of a set.
type role uint8

const (
	static  role = iota // elements come from the plan and are part of the hash
	dynamic             // bound by DNS answers; they run out by themselves
	counter             // keys come from the plan; what they count is nobody's policy
	meter               // filled by the kernel
	fixed               // elements belong to the skeleton
	bound               // keys come from the plan, each with a bound of its own (a limit)
)

// setDef is one set of the skeleton.
type setDef struct {
	family   family
	name     string
	key      []nftables.SetDatatype
	data     []nftables.SetDatatype // of a map
	role     role
	interval bool
	token    bool                               // it numbers the changes of the past, which are no policy
	counts   bool                               // packets, though not of role counter
	sized    bool                               // the kernel is told how many elements there may be, and hashes them faster
	elements func(Config) []nftables.SetElement // of a fixed set
}

// setID names a set of ours.
type setID struct {
	family family
	name   string
}

func (d *setDef) id() setID { return setID{d.family, d.name} }

// Names of sets. Those of the binders that hold IPv6 addresses end with "6".
const (
	setBind    = "bind"     // port . MAC . IP : mark
	setBindAny = "bind_any" // MAC . IP : mark, for devices bound to no port
	setBindSub = "bind_sub" // port . IP : mark, for devices bound by what their SIM got
	setBindIP  = "bind_ip_only"
	setMACs    = "macs"   // of devices: with another port or IP they are forged
	setMACs6   = "macs6"  // of devices to which IPv6 is open: others' is dropped, and no forgery
	setIPs     = "ips"    // of devices: with another port or MAC they are forged
	setClosed  = "closed" // ports where no stranger passes
	setLocal   = "local"  // networks behind the gateway
	setForged  = "forged" // MAC of devices: counts frames that were dropped as forged

	setLAN   = "lan"   // interfaces towards devices
	setOwner = "owner" // IP : mark
	setState = "state" // mark : policy.State
	setToken = "token" // mark : connection mark of flows that the policy allowed
	setLive  = "live"  // mark . connection mark: accepted without another look
	// Connection marks of flows to the outside of devices that enforce and have no
	// limit, counted by the way that packets go; up, behind the mark that a binder
	// gave the packet.
	setFastUp, setFastDown = "fast_up", "fast_down"

	setAllow, setAllowI          = "allow", "allow_range"
	setDenyI                     = "deny_range"
	setInAllow, setInAllowI      = "in_allow", "in_allow_range"
	setInDenyI                   = "in_deny_range"
	setInspect, setInspectI      = "inspect", "inspect_range"
	setInInspect, setInInspectI  = "in_inspect", "in_inspect_range"
	setRem, setRemI              = "remedy", "remedy_range"
	setRemNoI                    = "remedy_deny_range"
	setDyn, setRemDyn            = "dns", "remedy_dns"
	setInspectNamed              = "inspect_named_range" // ends where what names open is for the inspector
	setDeniedLook                = "denied_look"         // closed, unless the inspector lets it pass
	setRemDenied                 = "remedy_denied"
	setDynInspect                = "dns_inspect"
	setDeniedAddr, setDenied     = "denied_addr", "denied" // what a denied name was seen to mean
	setGwAllow, setGwAllowI      = "gateway_allow", "gateway_allow_range"
	setGwDeny, setGwDenyI        = "gateway_deny", "gateway_deny_range"
	setLimited                   = "limited"   // mark: each packet counts
	setDevLimit                  = "limit_all" // mark : limit of the whole device
	setLimit, setLimitI          = "limit", "limit_range"
	setInLimit, setInLimitI      = "in_limit", "in_limit_range"
	setLimitDyn                  = "limit_dns"
	setLimitNames                = "limit_names" // mark . limit, with its place among the limits of the device in its comment
	setLimitOwner                = "limit_owner" // limit : mark
	setOverPackets, setOverBytes = "over_packets", "over_bytes"
	setOverNew, setOverFlows     = "over_new", "over_flows"
	setOverQuota                 = "over_quota"
	setProgUID, setProgCgroup    = "program_uid", "program_cgroup"
	setUp, setDown               = "passed_up", "passed_down" // IP, counted
	setRefused, setWould         = "refused", "would_refuse"  // mark, counted
	setLogRate, setRejRate       = "log_rate", "reject_rate"
)

// maxMeter bounds the sets that the kernel fills: one entry a device.
const maxMeter = 1 << 16

// maxDynamic bounds the addresses that DNS answers may bind on one gateway, so
// that a device that asks for ever new names costs bounded memory.
const maxDynamic = 1 << 18

// stateType is how a number of our own is declared; marks are printed in hex by
// the nft program, which suits it.
func stateType() nftables.SetDatatype { return nftables.TypeMark }

// rooms are how many devices sized sets have room for. A fleet that outgrows one
// gets the next: the kernel cannot make a set larger.
func (c Config) rooms() []uint32 {
	room := c.Room
	if room == 0 {
		room = 1 << 14
	}
	var out []uint32
	for ; room <= policy.MaxMark; room *= 16 {
		out = append(out, room)
	}
	return append(out, policy.MaxMark+1)
}

// binder is where addresses of one version are tied to devices: on the ports of a
// bridge, or on plain interfaces.
type binder struct {
	table  family
	ip     family // ipv4 or ipv6
	suffix string // of its sets
}

// binders lists them.
func (c Config) binders() []binder {
	var out []binder
	if c.Bridge != "" {
		out = append(out, binder{bridge, ipv4, ""}, binder{bridge, ipv6, "6"})
	}
	if len(c.LAN) > 0 {
		out = append(out, binder{ipv4, ipv4, ""}, binder{ipv6, ipv6, "6"})
	}
	return out
}

// first reports whether b is the one that has the sets that its table's binders
// share.
func (b binder) first() bool { return b.suffix == "" || b.table == ipv6 }

func addrType(f family) nftables.SetDatatype {
	if f == ipv6 {
		return nftables.TypeIP6Addr
	}
	return nftables.TypeIPAddr
}

// setDefs lists all sets of the skeleton.
func setDefs(c Config) []setDef {
	m, port, proto := nftables.TypeMark, nftables.TypeInetService, nftables.TypeInetProto
	mac, name := nftables.TypeEtherAddr, nftables.TypeIFName
	list := func(t ...nftables.SetDatatype) []nftables.SetDatatype { return t }
	var out []setDef
	for _, b := range c.binders() {
		ip := addrType(b.ip)
		out = append(out,
			setDef{family: b.table, name: setBind + b.suffix, key: list(name, mac, ip), data: list(m), sized: b.ip == ipv4},
			setDef{family: b.table, name: setBindAny + b.suffix, key: list(mac, ip), data: list(m)},
			setDef{family: b.table, name: setBindSub + b.suffix, key: list(name, ip), data: list(m)},
			setDef{family: b.table, name: setBindIP + b.suffix, key: list(ip), data: list(m)},
			setDef{family: b.table, name: setIPs + b.suffix, key: list(ip)},
		)
		if b.ip == ipv6 {
			out = append(out, setDef{family: b.table, name: setMACs6, key: list(mac)})
		}
		if b.first() {
			out = append(out,
				setDef{family: b.table, name: setMACs, key: list(mac)},
				setDef{family: b.table, name: setClosed, key: list(name)},
				setDef{family: b.table, name: setForged, key: list(mac), role: counter},
			)
		}
		if b.table == bridge && b.ip == ipv4 {
			out = append(out, setDef{family: bridge, name: setLocal, key: list(ip), interval: true})
		}
	}
	for _, f := range routed() {
		ip := addrType(f)
		end := list(m, ip, proto, port)
		add := func(d setDef) {
			d.family = f
			out = append(out, d)
		}
		// Addresses of IPv6 are those of the devices, one by one.
		add(setDef{name: setLocal, key: list(ip), interval: f == ipv4})
		add(setDef{name: setLAN, key: list(name), role: fixed, elements: lanElements})
		add(setDef{name: setOwner, key: list(ip), data: list(m)})
		add(setDef{name: setState, key: list(m), data: list(stateType())})
		add(setDef{name: setToken, key: list(m), data: list(m), token: true})
		add(setDef{name: setLive, key: list(m, m), token: true})
		add(setDef{name: setFastUp, key: list(m, m), token: true, counts: true, sized: f == ipv4})
		add(setDef{name: setFastDown, key: list(m), token: true, counts: true, sized: f == ipv4})
		add(setDef{name: setRem, key: end[1:]})
		add(setDef{name: setRemI, key: end[1:], interval: true})
		add(setDef{name: setRemNoI, key: end[1:], interval: true})
		add(setDef{name: setDyn, key: end, role: dynamic})
		add(setDef{name: setRemDyn, key: end, role: dynamic})
		add(setDef{name: setDeniedAddr, key: end[:2], role: dynamic})
		add(setDef{name: setDenied, key: end, role: dynamic})
		add(setDef{name: setDeniedLook, key: end, role: dynamic})
		add(setDef{name: setRemDenied, key: end, role: dynamic})
		add(setDef{name: setInspectNamed, key: end, interval: true})
		add(setDef{name: setUp, key: list(ip), role: counter})
		add(setDef{name: setDown, key: list(ip), role: counter})
		add(setDef{name: setRefused, key: list(m), role: counter})
		add(setDef{name: setWould, key: list(m), role: counter})
		add(setDef{name: setLogRate, key: list(m), role: meter})
		add(setDef{name: setRejRate, key: list(m), role: meter})
		exact, ranges := []string{setAllow, setInAllow}, []string{setAllowI, setDenyI, setInAllowI, setInDenyI}
		if c.Inspect != 0 {
			exact, ranges = append(exact, setInspect, setInInspect), append(ranges, setInspectI, setInInspectI)
			add(setDef{name: setDynInspect, key: end, role: dynamic})
		}
		for _, s := range exact {
			add(setDef{name: s, key: end})
		}
		for _, s := range ranges {
			add(setDef{name: s, key: end, interval: true})
		}
		add(setDef{name: setGwAllow, key: list(m, proto, port)})
		add(setDef{name: setGwDeny, key: list(m, proto, port)})
		add(setDef{name: setGwAllowI, key: list(m, proto, port), interval: true})
		add(setDef{name: setGwDenyI, key: list(m, proto, port), interval: true})
		add(setDef{name: setLimited, key: list(m)})
		add(setDef{name: setDevLimit, key: list(m), data: list(m)})
		add(setDef{name: setLimitOwner, key: list(m), data: list(m)})
		add(setDef{name: setLimitNames, key: list(m, m)})
		for _, s := range []string{setLimit, setInLimit} {
			add(setDef{name: s, key: end, data: list(m)})
		}
		for _, s := range []string{setLimitI, setInLimitI} {
			add(setDef{name: s, key: end, data: list(m), interval: true})
		}
		add(setDef{name: setLimitDyn, key: end, data: list(m), role: dynamic})
		for _, s := range []string{setOverPackets, setOverBytes, setOverNew, setOverFlows, setOverQuota} {
			add(setDef{name: s, key: list(m), role: bound})
		}
		if c.Host {
			add(setDef{name: setProgUID, key: list(m), data: list(m)})
			add(setDef{name: setProgCgroup, key: list(cgroupType()), data: list(m)})
		}
	}
	return out
}

// cgroupType is the number of a cgroup: eight octets.
func cgroupType() nftables.SetDatatype {
	return nftables.SetDatatype{Name: "cgroupsv2", Bytes: 8}
}

// set returns the definition for the library.
func (d *setDef) set(t *nftables.Table, devices uint32) *nftables.Set {
	s := &nftables.Set{Table: t, Name: d.name, Interval: d.interval, IsMap: d.data != nil}
	s.KeyType = d.key[0]
	if len(d.key) > 1 {
		s.KeyType = nftables.MustConcatSetType(d.key...)
		s.Concatenation = true
	}
	if d.data != nil {
		s.DataType = d.data[0]
	}
	s.Counter = d.counts
	if d.sized {
		s.Size = devices
	}
	switch d.role {
	case dynamic:
		s.HasTimeout, s.Size = true, maxDynamic
	case counter:
		s.Counter = true
	case meter:
		s.Dynamic, s.HasTimeout, s.Timeout, s.Size = true, true, meterLife, maxMeter
	}
	return s
}

// concatInterval reports whether the elements are boxes, with a key and a key
// end; the other interval sets hold starts and ends as elements of their own.
func (d *setDef) concatInterval() bool { return d.interval && len(d.key) > 1 }

// fromPlan reports whether the elements come from the plan.
func (d *setDef) fromPlan() bool { return d.role == static || d.role == counter || d.role == bound }
