package nft

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall/internal/netns"
	"github.com/ringwall/ringwall/internal/policy"
)

// Config says where a gateway stands.
type Config struct {
	// NS is the network namespace of the gateway; nil is that of the program.
	NS *netns.NS
	// Bridge is the bridge whose ports are the cables of devices; "" when there
	// is none. Prepare makes it ready.
	Bridge string
	// LAN are other interfaces towards devices, without a bridge.
	LAN []string
	// Uplink is the interface towards the world.
	Uplink string
	// Masquerade hides the devices behind the address of the uplink.
	Masquerade bool

	// EnrolPorts are TCP ports of the gateway that even a device that is cut off
	// reaches, to enrol.
	EnrolPorts []uint16
	// Services are ports of the gateway that are open to devices that are not cut
	// off, beside DNS, DHCP and ping, which always are.
	Services []Service
	// Manage are ports of the gateway that are open on the uplink. No policy
	// takes them away.
	Manage []Service

	// Inspect is the port on which the inspector listens with transparent sockets,
	// TCP and UDP; 0 = there is none, and what only it can judge is refused.
	Inspect uint16
	// Host says that the machine is itself the device, the only one of the plan:
	// its own flows are judged in the output and input hooks. Bridge and LAN are
	// empty then and nothing is forwarded.
	Host bool
	// Management is what no policy takes from a machine that is its own device.
	Management Management
	// Fast passes packets of flows that are allowed past the tables; nil = nobody
	// does.
	Fast Fast

	// Room is how many devices the sets are made for that the kernel hashes faster
	// when it knows how many; 0 = 16,384, which take 768 KiB. A plan of more makes
	// the tables anew with more room: nothing is forwarded for that moment, nothing
	// that was counted is lost.
	Room uint32

	// BindOnly opens a Firewall that does nothing but Bind: the DNS guard's.
	BindOnly bool

	// Now is the clock; nil is the system's.
	Now func() time.Time
}

// Fast is a faster way for packets of flows that the tables have allowed. It
// asks LiveToken, never more than once a flow and token, whether it may take a
// flow over.
type Fast interface {
	// Revoke ends the faster way for all flows of these devices. It is called
	// before anything is taken away from them or they are restricted; when it
	// fails, so does what it was called for, and nothing has changed. After it the
	// flows of these devices meet the tables again, until LiveTokens offers their
	// new tokens.
	Revoke(marks []uint32) error
	// LiveTokens offers the tokens of devices whose flows may go the faster way from
	// now on, by mark; it is called after a change is in force. 0 = none of this
	// device's.
	LiveTokens(tokens map[uint32]uint32)
	// Counters returns what passed the faster way. Counters of the tables do not have
	// it.
	Counters() (map[uint32]Counts, error)
}

// Management says how the flows of the agent itself are told from others on a
// machine that is its own device. Both may be set.
type Management struct {
	// Cgroup is a path below the root of cgroup v2, such as "ringwall.slice"; the
	// kernel must have it when Base is called.
	Cgroup string
	// Mark is the SO_MARK of its sockets; 0 = none. Only programs with the right to
	// set marks (CAP_NET_ADMIN) can bear it.
	Mark uint32
}

// Service is a port of the gateway itself.
type Service struct {
	Proto uint8 // policy.ProtoTCP or policy.ProtoUDP
	Port  uint16
}

// Binding lets a device reach one address for a while, because a DNS answer
// named it.
type Binding struct {
	Mark uint32
	Addr netip.Addr
	// Name is the name that was asked for. It is kept in the kernel with the
	// entry: Apply ends what its policy no longer allows.
	Name     string
	Services []policy.Service
	// Remediation makes the binding hold in quarantine.
	Remediation bool
	// Denied says that a deny speaks of the name: what Services name of the address
	// is refused, whatever else allows it.
	Denied bool
	Life   time.Duration
}

// Count is how much there was of something.
type Count struct{ Packets, Bytes uint64 }

// Counts is what became of the packets of one device since its mark is in
// force. They only grow; none is lost to sampling.
type Counts struct {
	// PassedUp and PassedDown were forwarded, from and to the device.
	PassedUp, PassedDown Count
	// Refused were dropped by the device's policy, on their way from or to it.
	Refused Count
	// Would passed only because the mode is shadow.
	Would Count
	// Forged claimed to be the device, from another port or with another address.
	Forged Count
}

// Reasons of a refusal beside those of package policy.
const (
	// ReasonGateway is of what was meant for the gateway itself.
	ReasonGateway = "gateway"
	// ReasonPortMapping is of what asks the gateway to open a port from outside: IGD,
	// NAT-PMP or PCP.
	ReasonPortMapping = "port-mapping"
	// ReasonLimited is of what is over a limit.
	ReasonLimited = "limited"
	// ReasonRogue is of what only a router or a server of addresses may say: DHCP
	// offers, router advertisements.
	ReasonRogue = "rogue"
)

// Refusal is a sample of what was refused, or would have been.
type Refusal struct {
	Time   time.Time
	Mark   uint32 // of the device whose policy decided; policy.Stranger for others
	Would  bool   // it passed, since the mode is shadow
	Reason string // as policy.Decide has it, or one of the Reason constants
	Proto  uint8
	// Src and Dst are those of the packet.
	Src, Dst netip.AddrPort
	Length   uint16 // of the whole packet
}

// Consumption is how much of one quota is used.
type Consumption struct {
	Limit  uint32 `json:"limit"` // policy.Limit.ID
	V6     bool   `json:"v6,omitempty"`
	Period string `json:"period"` // of the quota, such as "day 2026-11-21"
	Bytes  uint64 `json:"bytes"`
}
