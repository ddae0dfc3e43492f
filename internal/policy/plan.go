package policy

import (
	"cmp"
	"net/netip"
	"reflect"
	"slices"
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
	// InspectMark is the bit of a packet's mark that says that the inspector of this
	// gateway sent it, for the device whose mark is in the low 23 bits.
	InspectMark = 1 << 30
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
	IP   netip.Addr // IPv4; invalid when it has IPv6 alone
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
	// InspectNamed are the ends at which a flow that is open by name alone is for the
	// inspector too, since a term that denies looks inside there.
	InspectNamed []Box
	// Limits bound what is allowed. The first is that of the whole device, if it has
	// one; those of terms follow by the id of the term. A flow counts against the
	// device's and one other: where its address is in a limit's boxes, that one;
	// else none where the address is allowed; else that of the name (see Resolve).
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
	// Inspect says that the inspector counts, which alone knows the flows that are meant.
	Inspect bool
}

// Program is one program of the device and what it may open besides what all of
// the device may. Its Deny goes before every Allow, its Allow before Inspect; what
// is denied to all, and where a deny looks inside, is taken out of its Allow. A
// flow may belong to several.
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
	// Limit is one more than the index in Device.Limits of what bounds it; 0 = nothing.
	Limit uint32 `json:"limit,omitempty"`
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
	Proto uint8           // ProtoAny, ProtoTCP, ProtoUDP, ProtoICMP, or ProtoOther of the gateway's
	Ports []api.PortRange // nil = all
	// Inspect says that flows to it go through the inspector.
	Inspect bool
	// Limit is as that of Name.
	Limit uint32
}

// Resolution is what a name means to a device: what its addresses open, and what
// is closed at them by whatever name or address it is reached.
type Resolution struct {
	// Allow are services in order of precedence: the first that speaks of a flow says
	// how it is open. Those without limit come before those with one, in the order
	// of limits.
	Allow []Service
	// Deny are services that are refused at the name's addresses, ahead of all that
	// is allowed there; with Inspect, that go through the inspector if anything
	// allows them.
	Deny []Service
	// Private lets addresses inside be among its addresses.
	Private bool
}

// Resolve returns what a name means to who has these rules. ok is false when it
// opens nothing and is not to be resolved for him; what it denies is to be put
// in force all the same where its addresses are known.
func Resolve(names []Name, name string) (r Resolution, ok bool) {
	var open, closed []area
	for i := range names {
		n := &names[i]
		if !MatchName(n.Pattern, name) {
			continue
		}
		s := Service{n.Proto, n.Ports, n.Inspect, n.Limit}
		if n.Deny {
			r.Deny = append(r.Deny, s)
			if !n.Inspect {
				closed = append(closed, area{proto: n.Proto, ports: n.Ports})
			}
			continue
		}
		r.Allow = append(r.Allow, s)
		r.Private = r.Private || n.Private
		open = append(open, area{proto: n.Proto, ports: n.Ports})
	}
	slices.SortStableFunc(r.Allow, func(a, b Service) int {
		// What is open without a look inside stays so.
		return cmp.Or(boolCompare(a.Inspect, b.Inspect), cmp.Compare(a.Limit, b.Limit))
	})
	left := cover(open).without(cover(closed))
	return r, left.other || left.icmp || len(left.tcp) > 0 || len(left.udp) > 0
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Lookup returns what a name opens to who has these rules, for those who cannot
// close part of an address: a name of which any deny speaks is refused as a
// whole. See Resolve.
func Lookup(names []Name, name string) (services []Service, ok bool) {
	r, ok := Resolve(names, name)
	if !ok || len(r.Deny) > 0 {
		return nil, false
	}
	return r.Allow, true
}
