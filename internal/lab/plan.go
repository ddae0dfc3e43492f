package lab

import (
	"fmt"
	"net"
	"net/netip"
)

// Names of the actors, as NS and Attack take them.
const (
	Gateway  = "gateway"
	Internet = "internet"

	BadCam  = "badcam"
	GoodCam = "goodcam"
	Meter   = "meter"
	Phone   = "phone"
	Laptop  = "laptop"

	DNS      = "dns"
	NTP      = "ntp"
	Cloud    = "cloud"
	Loader   = "loader"
	C2       = "c2"
	Operator = "operator"
	Update   = "update"
	Platform = "platform"
	Attacker = "attacker"
	Sink     = "sink"
)

// Names of the range's internet.
const (
	CloudName  = "cloud.vendor.example"
	UpdateName = "update.vendor.example"
	ClockName  = "ntp.pool.example"
	C2Name     = "c2.evil.example"
)

// cloudHosts is how many addresses the vendor's cloud has behind its name, and
// cloudShown how many of them one answer holds.
const (
	cloudHosts = 40
	cloudShown = 2
	nameTTL    = 10 // seconds; content networks go as low
)

// Interfaces of the gateway.
const (
	Bridge = "br-lan"
	Uplink = "up0"
)

// Port returns the gateway's interface that a device is plugged into.
func Port(device string) string { return "p-" + device }

// InternetPort returns the interface of the internet that a host of it is
// plugged into.
func InternetPort(host string) string { return "n-" + host }

var (
	homeNet   = netip.MustParsePrefix("10.77.0.0/24")
	scanRange = netip.MustParsePrefix("198.18.0.0/15") // RFC 2544: nobody's
	simNet    = netip.MustParsePrefix("10.99.0.0/24")
)

// host is one actor's place in the plan.
type host struct {
	name    string
	program string // "" = a namespace without a process
	addr    netip.Addr
	home    bool // behind the gateway
}

func plan() []host {
	home := func(name, program string, last byte) host {
		return host{name: name, program: program, addr: netip.AddrFrom4([4]byte{10, 77, 0, last}), home: true}
	}
	out := func(name, program string, last byte) host {
		return host{name: name, program: program, addr: netip.AddrFrom4([4]byte{198, 51, 100, last})}
	}
	return []host{
		out(DNS, "dns", 53), out(NTP, "ntp", 123), out(Cloud, "cloud", 20), out(Loader, "loader", 66), out(C2, "command", 67),
		out(Operator, "operator", 80), out(Update, "update", 90), out(Platform, "", 10),
		{name: Attacker, program: "attacker", addr: netip.MustParseAddr("203.0.113.5")},
		{name: Sink, addr: netip.MustParseAddr("192.0.2.6")},
		home(BadCam, "camera", 10), home(GoodCam, "camera", 11), home(Meter, "meter", 20), home(Phone, "phone", 30), home(Laptop, "laptop", 40),
	}
}

// Actors lists the names of all actors that are processes, in the order in
// which they start.
func Actors() (names []string) {
	for _, h := range plan() {
		if h.program != "" {
			names = append(names, h.name)
		}
	}
	return names
}

// Addr returns the address of an actor, the home's address for the gateway.
func Addr(actor string) (netip.Addr, bool) {
	if actor == Gateway {
		return netip.MustParseAddr("10.77.0.1"), true
	}
	for _, h := range plan() {
		if h.name == actor {
			return h.addr, true
		}
	}
	return netip.Addr{}, false
}

// addrOf is Addr for names of ours.
func addrOf(actor string) netip.Addr {
	a, ok := Addr(actor)
	if !ok {
		panic("lab: no actor " + actor + " in the plan")
	}
	return a
}

// MAC returns the hardware address of an actor at the gateway's bridge: a
// locally administered one made of its address.
func MAC(a netip.Addr) net.HardwareAddr {
	b := a.As4()
	return net.HardwareAddr{0x02, 0x77, b[0], b[1], b[2], b[3]}
}

// cloudAddrs are all addresses of the vendor's cloud: 198.51.100.20 and up,
// but for the name server's among them.
func cloudAddrs() (out []netip.Addr) {
	for a := addrOf(Cloud); len(out) < cloudHosts; a = a.Next() {
		if a != addrOf(DNS) {
			out = append(out, a)
		}
	}
	return out
}

// isDevice reports whether an actor is behind the gateway.
func isDevice(name string) bool {
	for _, h := range plan() {
		if h.name == name {
			return h.home
		}
	}
	return false
}

// prefix writes an address with its network's length, as interfaces take it.
func prefix(a netip.Addr, bits int) string { return fmt.Sprintf("%s/%d", a, bits) }
