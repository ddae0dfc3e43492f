package policytest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/policy"
)

// Features are parts of the term model that a World uses beside addresses,
// names, devices and ports.
type Features uint

// Features.
const (
	IPv6        Features = 1 << iota // addresses of IPv6
	Inside                           // terms that look inside
	Windows                          // terms that hold at times
	Limits                           // of terms and devices
	Roles                            // controllers and makers
	Gateways                         // terms about the gateway itself
	Programs                         // terms about programs
	NameDenies                       // denies by name
	AllFeatures = IPv6 | Inside | Windows | Limits | Roles | Gateways | Programs | NameDenies
)

// World is a small world in which random terms often overlap.
type World struct {
	R        *rand.Rand
	Features Features
	// Devices is how many there are; 0 = 5.
	Devices int
	// Subnet is the /24 of the devices, 10.77.0.0 when invalid, and Outside that of
	// the other ends, 198.51.100.0.
	Subnet, Outside netip.Addr
}

func (w World) has(f Features) bool { return w.Features&f != 0 }

// one says yes once in n times.
func (w World) one(n int) bool { return w.R.IntN(n) == 0 }

func pick[T any](w World, of ...T) T { return of[w.R.IntN(len(of))] }

func (w World) count() int {
	if w.Devices == 0 {
		return 5
	}
	return w.Devices
}

func host(base netip.Addr, fallback [4]byte, n byte) netip.Addr {
	if base.Is4() {
		fallback = base.As4()
	}
	fallback[3] = n
	return netip.AddrFrom4(fallback)
}

// DeviceAddr returns the address of device i, from 0.
func (w World) DeviceAddr(i int) netip.Addr { return host(w.Subnet, [4]byte{10, 77, 0, 0}, byte(i+1)) }

// DeviceAddr6 returns its IPv6 address.
func (w World) DeviceAddr6(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x77, 15: byte(i + 1)})
}

// Addr returns an address of some end.
func (w World) Addr() netip.Addr {
	if w.has(IPv6) && w.one(4) {
		if w.one(2) {
			return w.DeviceAddr6(w.R.IntN(w.count() + 2))
		}
		return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0x99, 15: byte(w.R.IntN(64))})
	}
	if w.one(2) {
		return w.DeviceAddr(w.R.IntN(w.count() + 2))
	}
	return host(w.Outside, [4]byte{198, 51, 100, 0}, byte(w.R.IntN(64)))
}

// Port returns one of a few ports, the first and last among them.
func (w World) Port() uint16 {
	return pick[uint16](w, 0, 1, 22, 23, 80, 443, 444, 445, 8000, 65534, 65535)
}

// Name returns one of a few names.
func (w World) Name() string {
	return pick(w, "a.example", "b.example", "x.a.example", "y.x.a.example")
}

func (w World) pattern() string {
	return pick(w, "a.example", "*.a.example", "b.example", "x.a.example")
}

func (w World) deviceID() ringwall.DeviceID {
	return ringwall.DeviceID(fmt.Sprint("dev_", w.R.IntN(w.count()+2)))
}

// Term returns a term that passes policy.Check; i makes its id.
func (w World) Term(i int) api.Term {
	for {
		if t := w.term(i); policy.Check(t) == nil {
			return t
		}
	}
}

func (w World) term(i int) api.Term {
	t := api.Term{ID: fmt.Sprint("t", i), Action: api.Allow, Direction: api.FromDevice, Proto: pick(w, "tcp", "udp", "any", "icmp", "tcp")}
	if w.one(4) {
		t.Action = api.Deny
	}
	if w.one(3) {
		t.Direction = api.ToDevice
	}
	for t.Proto != "icmp" && !w.one(3) && len(t.Ports) < 3 {
		p, q := w.Port(), w.Port()
		t.Ports = append(t.Ports, api.PortRange{First: min(p, q), Last: max(p, q)})
	}
	switch n := w.R.IntN(9); {
	case n < 3:
		a := w.Addr()
		bits := pick(w, 0, 8, 24, 26, 28, 29, 30, 31, 32, 32)
		if a.Is6() {
			bits = pick(w, 0, 16, 48, 64, 120, 122, 126, 127, 128, 128)
		}
		t.CIDR = netip.PrefixFrom(a, bits)
	case n < 5 && t.Direction == api.FromDevice && (t.Action == api.Allow || w.has(NameDenies)):
		t.Domain, t.Private = w.pattern(), w.one(8)
		t.Ports = []api.PortRange{{First: 443, Last: 443}}
		if t.Proto == "icmp" || w.one(4) {
			t.Ports = nil
		} else if w.one(3) {
			t.Ports = append(t.Ports, api.PortRange{First: 80, Last: 80})
		}
	case n == 5:
		t.Device = w.deviceID()
	case n == 6 && w.has(Roles):
		if w.one(2) {
			t.SameMaker = true
		} else {
			t.Controller = pick(w, "nvr", "my-controller", "nobody")
			if len(t.Ports) > 0 && t.Direction == api.FromDevice {
				t.Ports = []api.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}
			}
		}
	case n == 7 && w.has(Gateways):
		t.Gateway, t.Direction = true, api.FromDevice
	default:
		t.Local = true
	}
	w.look(&t)
	return t
}

func (w World) look(t *api.Term) {
	if w.has(Inside) && !t.Gateway && t.Proto != "icmp" && w.one(4) {
		t.Inside = w.inside(t.Action)
	}
	if w.has(Windows) && w.one(4) {
		t.Window = &api.Window{Zone: pick(w, "", "UTC", "Asia/Shanghai", "Europe/Berlin"), From: pick(w, "00:00", "08:00", "22:00"), To: pick(w, "06:00", "08:00", "17:30", "24:00")}
		if w.one(2) {
			t.Window.Days = pick(w, []string{"mon"}, []string{"sat", "sun"}, []string{"mon", "tue", "wed", "thu", "fri"})
		}
	}
	if w.has(Programs) && t.Direction == api.FromDevice && !t.Gateway && w.one(5) {
		t.Who = &api.Who{}
		if w.one(2) {
			uid := uint32(1000 + w.R.IntN(2))
			t.Who.UID = &uid
		}
		if t.Who.UID == nil || w.one(3) {
			t.Who.Cgroup = pick(w, "system.slice/app.service", "system.slice", "user.slice")
		}
	}
	if w.has(Limits) && t.Action == api.Allow && t.Who == nil && !t.Gateway && w.one(4) {
		t.Limit = &api.Limit{ByteRate: uint64(1+w.R.IntN(4)) << 16, Flows: uint64(w.R.IntN(100))}
	}
}

func (w World) inside(a api.Action) *api.Inside {
	in := &api.Inside{Proto: pick(w, "tls", "http", "http", "rtsp", "mqtt", "coap"), NameOptional: w.one(3)}
	if in.Proto != "mqtt" && w.one(2) {
		in.Hosts = []string{w.pattern()}
	}
	if in.Proto == "mqtt" && w.one(2) {
		in.Paths, in.Methods = []string{pick(w, "cam/+/up", "cam/#", "cmd/1")}, pick(w, nil, []string{"PUBLISH"}, []string{"SUBSCRIBE"})
	} else if in.Proto != "tls" && w.one(2) {
		in.Paths, in.Methods = []string{pick(w, "/api/*", "/admin", "/*")}, pick(w, nil, []string{"GET"}, []string{"POST", "PUT"})
	}
	if a == api.Allow && w.one(4) {
		in.MinTLS = pick(w, "1.2", "1.3")
	}
	return in
}

// Time returns a moment at which windows differ.
func (w World) Time() time.Time {
	return time.Date(2026, 11, 16+w.R.IntN(14), w.R.IntN(24), pick(w, 0, 29, 30, 59), 0, 0, time.UTC)
}

// Zones are those that windows of the world name.
func Zones() []api.Zone {
	at := time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)
	return []api.Zone{
		{Name: "Asia/Shanghai", Offsets: []api.ZoneOffset{{From: at, Seconds: 8 * 3600}}},
		{Name: "Europe/Berlin", Offsets: []api.ZoneOffset{{From: at, Seconds: 7200}, {From: time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC), Seconds: 3600}}},
	}
}

// Desired returns a document that compiles.
func (w World) Desired() api.Desired {
	d := api.Desired{
		Version: api.Version, Generation: 1, Arrival: ringwall.Enforce, Zones: Zones(),
		LocalNets: []netip.Prefix{netip.PrefixFrom(w.DeviceAddr(0), 24).Masked()},
	}
	for i := range w.count() {
		p := api.DevicePolicy{
			Device: ringwall.DeviceID(fmt.Sprint("dev_", i)), Mark: uint32(i + 1), Mode: ringwall.Mode(w.R.IntN(3)),
			Trust:   pick(w, ringwall.T0, ringwall.T1, ringwall.T3, ringwall.T3, ringwall.T3),
			Binding: api.Binding{Port: fmt.Sprint("p", i), MAC: fmt.Sprintf("02:00:00:00:00:%02x", i), IP: w.DeviceAddr(i)},
		}
		if w.has(IPv6) && w.one(2) {
			p.IP6 = []netip.Addr{w.DeviceAddr6(i)}
		}
		if w.has(Roles) {
			p.Maker = pick(w, "", "Lantern", "Lantern", "Beacon")
		}
		if w.has(Limits) && w.one(4) {
			p.Limit = &api.Limit{PacketRate: 1000}
		}
		p.Fail = pick(w, "", "static", "closed", "open")
		for j := range w.R.IntN(10) {
			p.Terms = append(p.Terms, w.Term(j))
		}
		d.Devices = append(d.Devices, p)
	}
	if w.has(Roles) {
		d.Controllers = []api.Controller{
			{Role: "nvr", Nets: []netip.Prefix{netip.PrefixFrom(w.Addr(), 32)}, Devices: []ringwall.DeviceID{w.deviceID()}},
			{Role: "my-controller", Domains: []string{w.pattern()}, Devices: []ringwall.DeviceID{w.deviceID()}},
			{Role: "nvr", Domains: []string{"b.example"}},
		}
	}
	for j := range w.R.IntN(3) {
		t := w.Term(100 + j)
		t.Direction, t.Local, t.Device, t.Controller, t.SameMaker, t.Gateway = api.FromDevice, false, "", "", false, false
		t.Inside, t.Who, t.Limit = nil, nil, nil
		if t.Domain == "" && !t.CIDR.IsValid() {
			t.CIDR = netip.PrefixFrom(w.Addr(), 28)
		}
		d.Remediation = append(d.Remediation, t)
	}
	return d
}

// Flow returns a flow of device i of d, with names as the device may know them.
func (w World) Flow(d *api.Desired, i int) policy.Flow {
	dp := &d.Devices[i]
	f := policy.Flow{Direction: api.FromDevice, Proto: pick(w, "tcp", "tcp", "udp", "icmp", "132"), At: w.Time()}
	if w.one(3) {
		f.Direction = api.ToDevice
	}
	remote, local := w.Addr(), dp.Binding.IP
	if remote.Is6() && len(dp.IP6) > 0 {
		local = dp.IP6[0]
	}
	f.Local, f.Remote = netip.AddrPortFrom(local, w.Port()), netip.AddrPortFrom(remote, w.Port())
	for j := range d.Devices {
		if o := &d.Devices[j]; o.Binding.IP == remote || slices.Contains(o.IP6, remote) {
			f.RemoteDevice = o.Device
		}
	}
	if f.Direction == api.FromDevice {
		for w.one(3) && len(f.Names) < 2 {
			f.Names = append(f.Names, w.Name())
		}
	}
	if f.Proto == "icmp" || f.Proto == "132" {
		f.Local, f.Remote = netip.AddrPortFrom(local, 0), netip.AddrPortFrom(remote, 0)
	}
	if w.has(Gateways) && w.one(6) {
		f.Gateway, f.RemoteDevice, f.Names = true, "", nil
	}
	if w.has(Programs) && w.one(2) {
		f.Program = &policy.Process{UID: uint32(1000 + w.R.IntN(2)), Cgroup: pick(w, "", "system.slice/app.service", "system.slice/other.service", "user.slice")}
	}
	return f
}

// Seen returns what stands inside some flow.
func (w World) Seen() *policy.Seen {
	s := &policy.Seen{Proto: pick(w, "", "tls", "http", "http", "rtsp", "mqtt", "coap"), Complete: !w.one(8), ECH: w.one(12)}
	if !w.one(5) {
		s.Host = w.Name()
	}
	if s.Proto == "tls" || w.one(3) {
		s.TLS = pick[uint16](w, 0x0301, 0x0303, 0x0304)
	}
	switch s.Proto {
	case "mqtt":
		s.Method = pick(w, "CONNECT", "PUBLISH", "SUBSCRIBE")
		s.Path = pick(w, "cam/1/up", "cmd/1", "cam/#", "#", "$share/g/cam/+/up")
	default:
		s.Method = pick(w, "GET", "POST", "")
		s.Path = pick(w, "/api/v1/x", "/admin", "/", "/api/../admin", "*")
	}
	return s
}
