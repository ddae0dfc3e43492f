package api

import (
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Inside says what must stand in clear inside a flow for a term to match it. A
// gateway sees the name in a TLS ClientHello, and hosts, paths and topics only of
// protocols that are not encrypted; what stands inside TLS is seen on the device
// alone, by the SDK. Where nobody can look inside, a term that allows opens
// nothing, and one that denies denies all of the flow.
type Inside struct {
	// Proto is "tls", "http", "rtsp", "mqtt" or "coap".
	Proto string `json:"proto"`
	// Hosts are patterns of names as in Term.Domain: of the SNI, of the Host header or
	// of the URI. None means the term's own Domain, or any where it has none.
	Hosts []string `json:"hosts,omitempty"`
	// NameOptional lets a flow pass that shows no name at all (no SNI); what it
	// shows must match all the same. ECH shows no name that counts.
	NameOptional bool `json:"nameOptional,omitempty"`
	// Paths are "/a/b" (this one), "/a/*" (all below); of MQTT, topic filters
	// (MQTT 5.0 section 4.7). None means any.
	Paths []string `json:"paths,omitempty"`
	// Methods of HTTP, RTSP and CoAP, in capitals; of MQTT "PUBLISH" and
	// "SUBSCRIBE". None means any.
	Methods []string `json:"methods,omitempty"`
	// MinTLS is "1.2" or "1.3", the least version that the ClientHello offers as its
	// best; "" = any. Of RFC 9761.
	MinTLS string `json:"minTls,omitempty"`
}

// Window is when a term holds. Outside of it the term is as if it were not there,
// and flows that it let pass are cut.
type Window struct {
	Zone string   `json:"zone,omitempty"` // IANA, such as "Asia/Shanghai"; "" = UTC
	Days []string `json:"days,omitempty"` // "mon" to "sun", the day on which it begins; none = every day
	From string   `json:"from"`           // "22:00", local time
	To   string   `json:"to"`             // "06:00"; not after From = on the next day
}

// Limit bounds what a term allows, all flows of one device together. Zero
// fields bound nothing. What is over is refused with reason "limited".
type Limit struct {
	PacketRate uint64 `json:"packetRate,omitempty"` // packets a second, both ways
	ByteRate   uint64 `json:"byteRate,omitempty"`   // bytes a second, both ways
	NewFlows   uint64 `json:"newFlows,omitempty"`   // flows opened a second
	Flows      uint64 `json:"flows,omitempty"`      // open at once
	Quota      uint64 `json:"quota,omitempty"`      // bytes, both ways, each Per
	Per        string `json:"per,omitempty"`        // "hour", "day" or "month", in UTC
}

// Who narrows a term to programs of the device itself. Only an agent on the
// device can tell them apart; elsewhere it is as with Inside.
type Who struct {
	UID    *uint32 `json:"uid,omitempty"`
	Cgroup string  `json:"cgroup,omitempty"` // path below /sys/fs/cgroup
}

// Controller says who fills a role that terms name: a MUD controller class, or
// "my-controller" (RFC 8520 section 8.3), on this site.
type Controller struct {
	Role    string              `json:"role"`
	Nets    []netip.Prefix      `json:"nets,omitempty"`
	Domains []string            `json:"domains,omitempty"`
	Devices []ringwall.DeviceID `json:"devices,omitempty"`
}

// Zone gives the offsets of a time zone around now, so that a gateway needs no
// time zone data of its own.
type Zone struct {
	Name    string       `json:"name"`
	Offsets []ZoneOffset `json:"offsets"` // sorted by From
}

// ZoneOffset holds from a moment until the next one's.
type ZoneOffset struct {
	From    time.Time `json:"from"`
	Seconds int       `json:"seconds"` // east of UTC
}

// Tunnel orders a gateway to open an approved way from the platform to one port
// of one device, dialled outwards by the gateway. It lasts until Expires or until
// a later document does not list it any more.
type Tunnel struct {
	ID       ringwall.TunnelID `json:"id"`
	Device   ringwall.DeviceID `json:"device"`
	Port     uint16            `json:"port"`     // TCP, of the device
	Endpoint string            `json:"endpoint"` // host:port, UDP, of the platform
	PeerKey  []byte            `json:"peerKey"`  // the platform's WireGuard public key for this tunnel
	Expires  time.Time         `json:"expires"`
}
