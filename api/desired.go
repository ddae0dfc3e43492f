package api

import (
	"crypto/ed25519"
	"encoding/json"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// Desired is the desired state of one gateway: everything it enforces. It
// travels inside a Signed document. What is in force on the gateway is this
// together with its holds.
type Desired struct {
	Version    int                `json:"version"`
	Org        ringwall.OrgID     `json:"org"`
	Gateway    ringwall.GatewayID `json:"gateway"`
	Generation uint64             `json:"generation"` // grows with every change; an older one is refused
	Issued     time.Time          `json:"issued"`

	// Arrival is the mode in which a device that this document does not name is
	// treated: Learn (a home) or Enforce (isolated until enrolled).
	Arrival ringwall.Mode `json:"arrival"`
	// Resolver is where the DNS guard asks, such as "198.51.100.53:53".
	Resolver netip.AddrPort `json:"resolver"`
	// LocalNets are the networks behind the gateway.
	LocalNets []netip.Prefix `json:"localNets"`
	// Remediation is what a quarantined device may still reach.
	Remediation []Term `json:"remediation"`

	Devices  []DevicePolicy `json:"devices"`
	Reflexes []Reflex       `json:"reflexes"`
	// Holds made by the platform. Holds that the gateway made itself stay in
	// force whether or not they are listed here.
	Holds []Hold `json:"holds"`
	// Releases lift holds, made by either side, by naming their ids.
	Releases []Release `json:"releases"`

	// Since protocol version 2:

	// Controllers fill the roles that terms name.
	Controllers []Controller `json:"controllers,omitempty"`
	// Zones are those that windows name.
	Zones []Zone `json:"zones,omitempty"`
	// SubscriberSalt turns an IMSI into the Subscriber of a binding: the first 16
	// bytes of HMAC-SHA256(salt, IMSI), in hex.
	SubscriberSalt []byte `json:"subscriberSalt,omitempty"`
	// Tunnels are approved ways to devices.
	Tunnels []Tunnel `json:"tunnels,omitempty"`
	// MaxAge is how long the document may be enforced without word from the
	// platform; after that only the remediation set is left to devices whose Fail is
	// "closed". 0 = for ever.
	MaxAge Duration `json:"maxAge,omitempty"`
	// Resolvers are asked by the DNS guard, the first that answers; none = Resolver
	// alone, in clear.
	Resolvers []Resolver `json:"resolvers,omitempty"`
	// Confirm is how long the gateway waits for the platform to confirm the
	// document once it is in force before it goes back to the one before; 0 = 30
	// seconds.
	Confirm Duration `json:"confirm,omitempty"`
}

// Resolver is one that the DNS guard asks: over TLS (RFC 7858) when it has a
// name or pins, else in clear. What was to be asked over TLS is never asked in
// clear.
type Resolver struct {
	Addr netip.AddrPort `json:"addr"`
	// Name is what its certificate must be for (RFC 8310 section 8.1), unless there
	// are pins.
	Name string `json:"name,omitempty"`
	// Pins are SHA-256 digests of public keys (SubjectPublicKeyInfo) in base64, one of
	// which must be its own (RFC 7858 section 4.2).
	Pins []string `json:"pins,omitempty"`
}

// DevicePolicy is what one device may do.
type DevicePolicy struct {
	Device  ringwall.DeviceID `json:"device"`
	Mark    uint32            `json:"mark"` // the device's key in the kernel, unique on the gateway, never 0
	Binding Binding           `json:"binding"`
	Mode    ringwall.Mode     `json:"mode"`
	Trust   ringwall.Trust    `json:"trust"`
	// Terms are composed by the platform from class, group and device, and
	// already reduced to what Trust allows. Any matching deny wins.
	Terms []Term `json:"terms"`
	// Learned is the set of peers that the device was seen to need; detectors
	// measure novelty against it.
	Learned []Peer `json:"learned,omitempty"`
	// Assessor says that assessments are run from this device: its probes are
	// no attack.
	Assessor bool `json:"assessor,omitempty"`

	// Since protocol version 2:

	// Maker is who made it, as terms with SameMaker compare; "" = unknown, which is
	// nobody's sibling.
	Maker string `json:"maker,omitempty"`
	// IP6 are its IPv6 addresses, by which the same terms open IPv6 to it; none = IPv6
	// is closed.
	IP6 []netip.Addr `json:"ip6,omitempty"`
	// Limit bounds all that the device does together.
	Limit *Limit `json:"limit,omitempty"`
	// Fail is what happens to it when the document is older than MaxAge: "" or
	// "static" (nothing), "closed", or "open" (for devices on which lives depend; shown
	// and reported wherever it is in force).
	Fail string `json:"fail,omitempty"`
	// Lookups is the most names that it may look up a second; 0 = the guard's own limit.
	Lookups int `json:"lookups,omitempty"`
	// Leaves are devices that do not speak IP, behind this one (a hub).
	Leaves []Leaf `json:"leaves,omitempty"`
}

// Leaf is a device that does not speak IP and is known by its name on a hub.
type Leaf struct {
	Device ringwall.DeviceID `json:"device"`
	// Address is how the hub names it: "zigbee:00124b0001020304", "ble:AA:BB:…",
	// "lora:0004A30B001C0530".
	Address string `json:"address"`
}

// Binding ties a device to where it is plugged in. Port may be empty (any).
type Binding struct {
	Port string     `json:"port,omitempty"` // interface of the gateway
	MAC  string     `json:"mac"`            // lower case, colons
	IP   netip.Addr `json:"ip"`
	// Subscriber binds it to a SIM instead of a MAC: the gateway learns its address from
	// RADIUS accounting or from its own modem. See Desired.SubscriberSalt.
	Subscriber string `json:"subscriber,omitempty"`
}

// Direction says who opens the flow.
type Direction string

const (
	FromDevice Direction = "from" // the device opens it
	ToDevice   Direction = "to"   // the other end opens it
)

// Action of a term.
type Action string

const (
	Allow Action = "allow"
	Deny  Action = "deny"
)

// Term is one line of an allow or deny list. Exactly one of CIDR, Domain,
// Device, Local, Controller, SameMaker and Gateway names the other end.
type Term struct {
	ID        string            `json:"id"` // stable; reports name it
	Action    Action            `json:"action"`
	Direction Direction         `json:"direction"`
	CIDR      netip.Prefix      `json:"cidr,omitzero"`
	Domain    string            `json:"domain,omitempty"` // "ntp.example" or "*.cdn.example" (any depth below)
	Device    ringwall.DeviceID `json:"device,omitempty"` // a device behind the same gateway
	Local     bool              `json:"local,omitempty"`  // any device behind the same gateway
	Proto     string            `json:"proto"`            // "tcp", "udp", "icmp", "any"
	Ports     []PortRange       `json:"ports,omitempty"`  // of the side that is connected to; empty = all
	Why       string            `json:"why,omitempty"`    // "class:camera", "learned", "owner"

	// Since protocol version 2. A gateway of version 1 gets a document that is
	// narrowed to what it understands, never one that it would read as wider.

	Controller string  `json:"controller,omitempty"` // whoever fills this role on the site
	SameMaker  bool    `json:"sameMaker,omitempty"`  // any device of the same maker behind the same gateway
	Gateway    bool    `json:"gateway,omitempty"`    // the gateway itself
	Inside     *Inside `json:"inside,omitempty"`
	Window     *Window `json:"window,omitempty"`
	Limit      *Limit  `json:"limit,omitempty"` // of an allow term only
	Who        *Who    `json:"who,omitempty"`
	// Private lets the names of Domain resolve to addresses inside.
	Private bool `json:"private,omitempty"`
}

// PortRange is a closed range.
type PortRange struct {
	First uint16 `json:"first"`
	Last  uint16 `json:"last"`
}

// Peer is one other end that a device was seen to need.
type Peer struct {
	Direction Direction  `json:"direction"`
	Addr      netip.Addr `json:"addr,omitzero"`
	Domain    string     `json:"domain,omitempty"` // when the address came from a DNS answer
	Proto     string     `json:"proto"`
	Port      uint16     `json:"port"`
	First     time.Time  `json:"first,omitzero"`
	Count     uint64     `json:"count,omitempty"`
}

// Reflex lets a gateway act alone when one of its detectors alerts.
type Reflex struct {
	Rule     string               `json:"rule"` // rule of the alert
	Severity ringwall.Severity    `json:"severity"`
	Do       ringwall.Restriction `json:"do"`
	// Limit is the most devices that this reflex may hold at once; past it the
	// gateway reports and does nothing.
	Limit int `json:"limit"`
	// Expiry is how long the hold lasts when nobody confirms it; 0 = until released.
	Expiry Duration `json:"expiry"`
}

// Hold is a standing restriction made by a reflex or a person. It survives
// reboot and is lifted only by a signed release naming its id, or its expiry.
type Hold struct {
	ID      ringwall.HoldID      `json:"id"`
	Device  ringwall.DeviceID    `json:"device"`
	Do      ringwall.Restriction `json:"do"`
	By      string               `json:"by"` // "reflex:mirai-scan", "usr_…", "system:incident"
	Alert   ringwall.AlertID     `json:"alert,omitempty"`
	Reason  string               `json:"reason"`
	Made    time.Time            `json:"made"`
	Expires time.Time            `json:"expires,omitzero"`
}

// Release lifts one hold.
type Release struct {
	Hold ringwall.HoldID `json:"hold"`
	By   string          `json:"by"`
	At   time.Time       `json:"at"`
}

// Signed is a document with its signature: Ed25519 over
// "ringwall desired state v1\x00" followed by the payload.
type Signed struct {
	KeyID   string `json:"keyId"`
	Payload []byte `json:"payload"`
	Sig     []byte `json:"sig"`
}

const desiredContext = "ringwall desired state v1\x00"

// Sign returns d signed with key.
func Sign(d Desired, keyID string, key ed25519.PrivateKey) (Signed, error) {
	payload, err := json.Marshal(d)
	if err != nil {
		return Signed{}, err
	}
	return Signed{KeyID: keyID, Payload: payload, Sig: ed25519.Sign(key, append([]byte(desiredContext), payload...))}, nil
}

// MaxDesired bounds the payload of a signed document.
const MaxDesired = 16 << 20

// Open returns the document inside s if one of keys, by id, signed it. The
// error has code Unverified when the signature does not hold, Invalid when
// what was signed cannot be read.
func (s Signed) Open(keys map[string]ed25519.PublicKey) (Desired, error) {
	if len(s.Payload) > MaxDesired {
		return Desired{}, ringwall.Errorf(ringwall.Invalid, "desired state of %d bytes is over the limit of %d", len(s.Payload), MaxDesired)
	}
	key, ok := keys[s.KeyID]
	if !ok {
		return Desired{}, ringwall.Errorf(ringwall.Unverified, "desired state is signed with unknown key %q", s.KeyID)
	}
	if !ed25519.Verify(key, append([]byte(desiredContext), s.Payload...), s.Sig) {
		return Desired{}, ringwall.Errorf(ringwall.Unverified, "signature of the desired state does not hold")
	}
	var d Desired
	if err := json.Unmarshal(s.Payload, &d); err != nil {
		return Desired{}, ringwall.Errorf(ringwall.Invalid, "reading desired state: %w", err)
	}
	if d.Version < 1 || d.Version > Version {
		return Desired{}, ringwall.Errorf(ringwall.Invalid, "desired state has version %d, want 1 to %d", d.Version, Version)
	}
	return d, nil
}

// Duration is a time.Duration that reads and writes as "1h30m0s".
type Duration time.Duration

func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration takes.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
