package nft

import (
	"github.com/google/nftables"
)

// family of a set's table, as a short name that sorts and prints well.
type family string

const (
	bridge family = "bridge"
	ipv4   family = "ip"
	ipv6   family = "ip6"
)

// role of a set.
type role uint8

const (
	static  role = iota // elements come from the plan and are part of the hash
	dynamic             // bound by DNS answers; they run out by themselves
	counter             // keys come from the plan; what they count is nobody's policy
	meter               // filled by the kernel
	fixed               // elements belong to the skeleton
)

// setDef is one set of the skeleton.
type setDef struct {
	family   family
	name     string
	key      []nftables.SetDatatype
	data     []nftables.SetDatatype // of a map
	role     role
	interval bool
	elements func(Config) []nftables.SetElement // of a fixed set
}

// Names of sets.
const (
	setBind    = "bind"     // port . MAC . IP : mark
	setBindAny = "bind_any" // MAC . IP : mark, for devices bound to no port
	setMACs    = "macs"     // of devices: with another port or IP they are forged
	setIPs     = "ips"      // of devices: with another port or MAC they are forged
	setClosed  = "closed"   // ports where no stranger passes
	setLocal   = "local"    // networks behind the gateway
	setForged  = "forged"   // MAC of devices: counts frames that were dropped as forged

	setLAN   = "lan"   // interfaces towards devices
	setOwner = "owner" // IP : mark
	setState = "state" // mark : policy.State
	setToken = "token" // mark : connection mark of flows that the policy allowed
	setLive  = "live"  // mark . connection mark: accepted without another look

	setAllow, setAllowI     = "allow", "allow_range"
	setDenyI                = "deny_range"
	setInAllow, setInAllowI = "in_allow", "in_allow_range"
	setInDenyI              = "in_deny_range"
	setRem, setRemI         = "remedy", "remedy_range"
	setRemNoI               = "remedy_deny_range"
	setDyn, setRemDyn       = "dns", "remedy_dns"

	setUp, setDown         = "passed_up", "passed_down" // IP, counted
	setRefused, setWould   = "refused", "would_refuse"  // mark, counted
	setLogRate, setRejRate = "log_rate", "reject_rate"
)

// maxMeter bounds the sets that the kernel fills: one entry a device.
const maxMeter = 1 << 16

// maxDynamic bounds the addresses that DNS answers may bind on one gateway, so
// that a device that asks for ever new names costs bounded memory.
const maxDynamic = 1 << 18

// stateType is how a number of our own is declared; marks are printed in hex by
// the nft program, which suits it.
func stateType() nftables.SetDatatype { return nftables.TypeMark }

// setDefs lists all sets of the skeleton.
func setDefs(c Config) []setDef {
	m, ip, port, proto := nftables.TypeMark, nftables.TypeIPAddr, nftables.TypeInetService, nftables.TypeInetProto
	mac, name := nftables.TypeEtherAddr, nftables.TypeIFName
	list := func(t ...nftables.SetDatatype) []nftables.SetDatatype { return t }
	var out []setDef
	for _, f := range c.binders() {
		out = append(out,
			setDef{family: f, name: setBind, key: list(name, mac, ip), data: list(m)},
			setDef{family: f, name: setBindAny, key: list(mac, ip), data: list(m)},
			setDef{family: f, name: setMACs, key: list(mac)},
			setDef{family: f, name: setIPs, key: list(ip)},
			setDef{family: f, name: setClosed, key: list(name)},
			setDef{family: f, name: setForged, key: list(mac), role: counter},
		)
		if f == bridge {
			out = append(out, setDef{family: f, name: setLocal, key: list(ip), interval: true})
		}
	}
	out = append(out,
		setDef{family: ipv4, name: setLocal, key: list(ip), interval: true},
		setDef{family: ipv4, name: setLAN, key: list(name), role: fixed, elements: lanElements},
		setDef{family: ipv4, name: setOwner, key: list(ip), data: list(m)},
		setDef{family: ipv4, name: setState, key: list(m), data: list(stateType())},
		setDef{family: ipv4, name: setToken, key: list(m), data: list(m)},
		setDef{family: ipv4, name: setLive, key: list(m, m)},
		setDef{family: ipv4, name: setRem, key: list(ip, proto, port)},
		setDef{family: ipv4, name: setRemI, key: list(ip, proto, port), interval: true},
		setDef{family: ipv4, name: setRemNoI, key: list(ip, proto, port), interval: true},
		setDef{family: ipv4, name: setDyn, key: list(m, ip, proto, port), role: dynamic},
		setDef{family: ipv4, name: setRemDyn, key: list(m, ip, proto, port), role: dynamic},
		setDef{family: ipv4, name: setUp, key: list(ip), role: counter},
		setDef{family: ipv4, name: setDown, key: list(ip), role: counter},
		setDef{family: ipv4, name: setRefused, key: list(m), role: counter},
		setDef{family: ipv4, name: setWould, key: list(m), role: counter},
		setDef{family: ipv4, name: setLogRate, key: list(m), role: meter},
		setDef{family: ipv4, name: setRejRate, key: list(m), role: meter},
	)
	for _, s := range []string{setAllow, setInAllow} {
		out = append(out, setDef{family: ipv4, name: s, key: list(m, ip, proto, port)})
	}
	for _, s := range []string{setAllowI, setDenyI, setInAllowI, setInDenyI} {
		out = append(out, setDef{family: ipv4, name: s, key: list(m, ip, proto, port), interval: true})
	}
	return out
}

// set returns the definition for the library.
func (d setDef) set(t *nftables.Table) *nftables.Set {
	s := &nftables.Set{Table: t, Name: d.name, Interval: d.interval, IsMap: d.data != nil}
	s.KeyType = d.key[0]
	if len(d.key) > 1 {
		s.KeyType = nftables.MustConcatSetType(d.key...)
		s.Concatenation = true
	}
	if d.data != nil {
		s.DataType = d.data[0]
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
func (d setDef) concatInterval() bool { return d.interval && len(d.key) > 1 }
