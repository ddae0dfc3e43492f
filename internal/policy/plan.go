package policy

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// State is what the kernel does with a device's flows.
type State uint32

// States, in rising order of strictness. The numbers are written into kernel
// maps.
const (
	StateLearn State = iota + 1
	StateShadow
	StateEnforce
	StateQuarantine
	StateCutoff
)

func (s State) String() string {
	switch s {
	case StateLearn:
		return "learn"
	case StateShadow:
		return "shadow"
	case StateEnforce:
		return "enforce"
	case StateQuarantine:
		return "quarantine"
	case StateCutoff:
		return "cutoff"
	}
	return "unknown"
}

// With returns the state of a device that is in s and comes under r.
func (s State) With(r ringwall.Restriction) State {
	switch r {
	case ringwall.Unrestricted:
		return s
	case ringwall.Quarantine:
		return max(s, StateQuarantine)
	}
	return StateCutoff
}

// Marks. The mark of a device is its key in the kernel. The bits above it carry
// what package nft notes in the mark of a connection.
const (
	// MaxMark is the largest mark of a device.
	MaxMark = 1<<23 - 2
	// Stranger is the mark of every device that the plan does not name.
	Stranger = 1<<23 - 1
)

// Plan is what a gateway puts in force: the desired state and the holds,
// reduced to a canonical value. Two inputs that mean the same give plans that
// are Equal.
type Plan struct {
	Generation uint64
	// Arrival is how strangers are treated: StateLearn or StateEnforce.
	Arrival  State
	Resolver netip.AddrPort
	// Local are the networks behind the gateway, disjoint and sorted. When there
	// are none, those of the gateway's own addresses are taken.
	Local []netip.Prefix
	// Devices are sorted by mark.
	Devices []Device
	// Remediation is what a quarantined device may reach, with RemediationDeny
	// taken out; RemediationNames what it may look up.
	Remediation      []Box
	RemediationDeny  []Box
	RemediationNames []Name
	// ClosedPorts are the interfaces behind which a restricted device sits: there
	// a device that the plan does not name is refused even when strangers are
	// learned, or the restricted one would escape by changing its MAC.
	ClosedPorts []string
	// Isolated are MACs of devices that have no address in the plan and must not
	// pass as strangers.
	Isolated []MAC
	// Until is when a window opens or closes next: from then on the plan is to be
	// compiled anew. Zero when nothing in it depends on time.
	Until time.Time
}

// MAC is a 48-bit hardware address.
type MAC [6]byte

// Device is one device of a plan.
type Device struct {
	ID   ringwall.DeviceID
	Mark uint32
	Port string // "" = any
	MAC  MAC
	IP   netip.Addr // IPv4
	// State is what is in force, Free what would be without any hold.
	State, Free State

	// Allow are the ends to which the device may open flows, with all denies taken
	// out; Deny those that are denied, by whatever name they are reached.
	Allow, Deny []Box
	// InAllow and InDeny are the same for flows that are opened to the device; the
	// ports are the device's own.
	InAllow, InDeny []Box
	Names           []Name

	// IP6 are its IPv6 addresses; none = IPv6 is closed to it. Boxes of IPv6 stand in
	// the same lists as those of IPv4, behind them.
	IP6 []netip.Addr
	// Inspect and InInspect are the ends whose flows only the inspector can judge:
	// what is in here is in none of the four lists above.
	Inspect, InInspect []Box
	// Limits bound what is allowed. The first is that of the whole device, if it has one.
	Limits []Limit
	// GatewayAllow and GatewayDeny are services of the gateway itself.
	GatewayAllow, GatewayDeny []Service
	// Subscribed says that the device is bound by its address alone, which came from
	// its SIM: MAC is zero.
	Subscribed bool
	// Programs are what terms with Who open to programs of the device itself; of an agent on it only.
	Programs []Program
}

// Limit is an api.Limit with what it speaks of.
type Limit struct {
	ID    uint32 // unique in the plan and stable while the term is the same
	Term  string // id of the term; "" = the whole device
	Limit api.Limit
	// Boxes and In are the ends of flows from and to the device; Names those whose
	// bound addresses count. All are empty for the whole device.
	Boxes, In []Box
	Names     []Name
}

// Program is one program of the device and what it may open.
type Program struct {
	UID         *uint32
	Cgroup      string
	Allow, Deny []Box
	Names       []Name
}

// Name is one rule for names that a device looks up.
type Name struct {
	Pattern string          `json:"pattern"` // lower case, no final dot; "*.cdn.example" speaks of all below
	Deny    bool            `json:"deny,omitempty"`
	Proto   uint8           `json:"proto"`           // ProtoAny, ProtoTCP, ProtoUDP or ProtoICMP
	Ports   []api.PortRange `json:"ports,omitempty"` // merged; nil = all
	// Inspect says that what it opens is to be judged by the inspector.
	Inspect bool `json:"inspect,omitempty"`
	// Private lets it resolve to addresses inside.
	Private bool `json:"private,omitempty"`
}

// Equal reports whether two plans put the same in force.
func (p Plan) Equal(q Plan) bool { return reflect.DeepEqual(p, q) }

// Device returns the device with this mark.
func (p Plan) Device(mark uint32) (Device, bool) {
	lo, hi := 0, len(p.Devices)
	for lo < hi {
		m := (lo + hi) / 2
		if p.Devices[m].Mark < mark {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo < len(p.Devices) && p.Devices[lo].Mark == mark {
		return p.Devices[lo], true
	}
	return Device{}, false
}

// Service is what of an address a name opens.
type Service struct {
	Proto uint8
	Ports []api.PortRange // nil = all
	// Inspect says that flows to it go through the inspector.
	Inspect bool
}

// Lookup returns what a name opens to who has these rules; ok is false when it
// may not be resolved at all. Any matching deny wins: a deny that names
// ports takes only those away, which cannot be told in advance of a lookup, so
// that a name with any matching deny is refused as a whole.
func Lookup(names []Name, name string) (services []Service, ok bool) {
	for i := range names {
		n := &names[i]
		if !MatchName(n.Pattern, name) {
			continue
		}
		if n.Deny {
			return nil, false
		}
		services = append(services, Service{n.Proto, n.Ports, n.Inspect})
	}
	return services, len(services) > 0
}
