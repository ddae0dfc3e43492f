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

	// BindOnly opens a Firewall that does nothing but Bind: the DNS guard's.
	BindOnly bool

	// Now is the clock; nil is the system's.
	Now func() time.Time
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
	Life        time.Duration
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

// Refusal is a sample of what was refused, or would have been.
type Refusal struct {
	Time   time.Time
	Mark   uint32 // of the device whose policy decided; policy.Stranger for others
	Would  bool   // it passed, since the mode is shadow
	Reason string // as policy.Decide has it, or "gateway" for what was meant for the gateway itself
	Proto  uint8
	// Src and Dst are those of the packet.
	Src, Dst netip.AddrPort
	Length   uint16 // of the whole packet
}
