package api

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/ringwall/ringwall"
)

// RecordKind says what a Record holds.
type RecordKind string

// Kinds of records. Flow is binary (package flow); the others are JSON.
const (
	RecordFlow     RecordKind = "flow"     // flow.Record
	RecordAlert    RecordKind = "alert"    // ringwall.Alert
	RecordHold     RecordKind = "hold"     // HoldReport
	RecordAck      RecordKind = "ack"      // Ack
	RecordPresence RecordKind = "presence" // Sighting
	RecordDNS      RecordKind = "dns"      // DNSReport
	RecordFeatures RecordKind = "features" // Features
	RecordPeers    RecordKind = "peers"    // PeersSeen
	RecordHealth   RecordKind = "health"   // Health
	RecordLost     RecordKind = "lost"     // LostRange
	RecordPosture  RecordKind = "posture"  // SignedPosture
	RecordTunnel   RecordKind = "tunnel"   // TunnelReport
	RecordNotice   RecordKind = "notice"   // Notice
)

// Record is one entry of a gateway's write-ahead log. (Gateway, Epoch, Seq)
// names it for ever: it is stored once, however often it is sent.
type Record struct {
	Seq  uint64          `json:"seq"`
	Time time.Time       `json:"time"`
	Kind RecordKind      `json:"kind"`
	Data json.RawMessage `json:"data,omitempty"` // JSON, for kinds other than flow
	Bin  []byte          `json:"bin,omitempty"`  // for flow
}

// Batch is what a gateway sends on "rw.<org>.gw.<gateway>.report". Seqs are
// consecutive. Epoch is drawn when the log is created, so that a gateway whose
// disk was replaced starts a sequence of its own.
type Batch struct {
	Version int      `json:"version"`
	Epoch   uint64   `json:"epoch"`
	Lost    uint64   `json:"lost,omitempty"` // records dropped for want of disk, in all, this epoch
	Records []Record `json:"records"`
}

// LostRange stands in a batch for records that the gateway cannot send: they
// were dropped for want of disk, or acknowledged and trimmed long ago. Its
// record stands for every Seq from From to its own, so that a batch with such
// records still has no gaps.
type LostRange struct {
	From uint64 `json:"from"`
}

// BatchAck answers a Batch after it is durable: everything up to Seq of Epoch
// is stored and may be trimmed. Error is set instead when it is not.
type BatchAck struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Error string `json:"error,omitempty"`
	// Time is the clock of the platform when it answered. Since protocol version 2.
	Time time.Time `json:"time,omitzero"`
}

// Limits of a batch.
const (
	MaxBatchRecords = 1000
	MaxBatchBytes   = 900 << 10 // well below the broker's largest message
)

// HoldReport tells that a hold came into force or was lifted on the gateway.
type HoldReport struct {
	Hold     Hold          `json:"hold"`
	Lifted   bool          `json:"lifted,omitempty"`
	Why      string        `json:"why,omitempty"`      // "released by usr_…", "expired"
	InForce  time.Time     `json:"inForce"`            // when the kernel had it
	Took     time.Duration `json:"tookNs"`             // from the alert to the kernel
	Flushed  uint64        `json:"flushed"`            // established flows that were cut
	Declined string        `json:"declined,omitempty"` // why a reflex did not act
}

// Ack tells which generation is in force, as read back from the kernel.
type Ack struct {
	Generation uint64    `json:"generation"`
	Hash       string    `json:"hash"` // SHA-256 of the rules read back, hex
	At         time.Time `json:"at"`
	Drift      bool      `json:"drift,omitempty"` // the kernel had been changed by others and was put right
	Error      string    `json:"error,omitempty"` // why a generation was refused; the last good one stays
}

// Sighting tells that a device was seen.
type Sighting struct {
	Device   ringwall.DeviceID `json:"device,omitempty"` // when the desired state names it
	MAC      string            `json:"mac"`
	IP       netip.Addr        `json:"ip"`
	Port     string            `json:"port"`
	Hostname string            `json:"hostname,omitempty"`
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Presence ringwall.Presence `json:"presence"`
	Packets  uint64            `json:"packets"`
}

// DNSReport tells of one decision of the DNS guard.
type DNSReport struct {
	Device  ringwall.DeviceID `json:"device,omitempty"`
	Name    string            `json:"name"`
	Type    string            `json:"type"`
	Verdict string            `json:"verdict"` // "bound", "refused", "stripped", "failed"
	Reason  string            `json:"reason,omitempty"`
	Addrs   []netip.Addr      `json:"addrs,omitempty"`
	Count   uint64            `json:"count"`
	// Chain are the names that the name was an alias of, in order; since protocol
	// version 2.
	Chain []string `json:"chain,omitempty"`
	// First says that it is the first refusal of its kind (device, name, reason) within a
	// day, which a gateway keeps when it cannot keep all. Since protocol version 2.
	First bool `json:"first,omitempty"`
}

// Features is what one device's traffic looked like in one minute.
type Features struct {
	Device   ringwall.DeviceID `json:"device"`
	From     time.Time         `json:"from"`
	Flows    uint64            `json:"flows"`
	Dests    uint64            `json:"dests"`
	NewDests uint64            `json:"newDests"`
	BytesUp  uint64            `json:"bytesUp"`
	BytesDn  uint64            `json:"bytesDown"`
	PktsUp   uint64            `json:"packetsUp"`
	PktsDn   uint64            `json:"packetsDown"`
	Refused  uint64            `json:"refused"`

	// Since protocol version 2:

	// Names are the distinct names that it looked up, Lookups all its lookups, NoNames
	// those that were answered with no such name, refused by its policy included.
	Names   uint64 `json:"names,omitempty"`
	Lookups uint64 `json:"lookups,omitempty"`
	NoNames uint64 `json:"noNames,omitempty"`
	// Unanswered are connections of TCP that it opened and nobody answered.
	Unanswered uint64 `json:"unanswered,omitempty"`
	// Ports are the distinct ports of others that it opened flows to.
	Ports uint64 `json:"ports,omitempty"`
	// Regular are the other ends that it comes back to in even intervals, Interval the
	// shortest of these.
	Regular  uint64   `json:"regular,omitempty"`
	Interval Duration `json:"interval,omitempty"`
	// Totals are the kernel's counters at the end of the minute, nil when they could
	// not be read. They only grow until the kernel starts anew, so that a lost report
	// loses no totals.
	Totals *Totals `json:"totals,omitempty"`
}

// Totals are the packets of one device since the kernel counts them.
type Totals struct {
	Up      uint64 `json:"up"`   // passed
	Down    uint64 `json:"down"` // passed
	Refused uint64 `json:"refused"`
	Would   uint64 `json:"would"` // passed only because the mode is shadow
	Forged  uint64 `json:"forged"`
}

// PeersSeen tells which peers a device in mode learn or shadow was seen to
// need. Peers first seen after an alert about the device are not in it.
type PeersSeen struct {
	Device ringwall.DeviceID `json:"device"`
	Peers  []Peer            `json:"peers"`
}

// Health is the gateway's own state.
type Health struct {
	Version    string        `json:"version"`
	Uptime     time.Duration `json:"uptimeNs"`
	Tier       string        `json:"tier"` // what the kernel can do, such as "nft+conntrack"
	Devices    int           `json:"devices"`
	Packets    uint64        `json:"packets"` // seen by the tap
	TapDrops   uint64        `json:"tapDrops"`
	WALBytes   int64         `json:"walBytes"`
	RSSBytes   int64         `json:"rssBytes"`
	DNSRunning bool          `json:"dnsRunning"`

	// Since protocol version 2:

	Protocol  int    `json:"protocol,omitempty"`  // that it speaks
	Inspector string `json:"inspector,omitempty"` // "running", "stopped"; "" = it has none
	// Clock is how far the gateway's clock is ahead of the platform's, as the last answer showed.
	Clock time.Duration `json:"clockNs,omitempty"`
	// Unwritten are records that could not even be logged, since the agent started.
	Unwritten uint64 `json:"unwritten,omitempty"`
	// Lost are records dropped for want of disk, in this epoch.
	Lost uint64 `json:"lost,omitempty"`
	// Losses is Lost by kind of record; "" are those of which only the number is known.
	Losses map[RecordKind]uint64 `json:"losses,omitempty"`
	// LogShare is how much of the room for its log is taken, from 0 to 1: from a half on the
	// gateway folds more flows into one report. At 1 only what is precious is taken.
	LogShare float64 `json:"logShare,omitempty"`
	// Processes is the resident memory of each process, in bytes.
	Processes map[string]int64 `json:"processes,omitempty"`
	// TunnelKey is the gateway's WireGuard public key, when it can do tunnels.
	TunnelKey []byte `json:"tunnelKey,omitempty"`
	// FailOpen and FailClosed count devices to which the end of MaxAge has come.
	FailOpen   int `json:"failOpen,omitempty"`
	FailClosed int `json:"failClosed,omitempty"`
}

// TunnelReport tells of one end of a tunnel on the gateway.
type TunnelReport struct {
	Tunnel ringwall.TunnelID `json:"tunnel"`
	State  string            `json:"state"` // "up", "down", "refused"
	Reason string            `json:"reason,omitempty"`
	Opened uint64            `json:"opened,omitempty"` // connections to the device
	Up     uint64            `json:"up,omitempty"`     // bytes from the device
	Down   uint64            `json:"down,omitempty"`
}

// Kinds of notices.
const (
	NoticeRolledBack  = "rolled-back"     // a document went back to the one before; Text says why
	NoticeMapping     = "port-mapping"    // the router upstream maps a port to a device; Detail: protocol, port, deleted
	NoticeMappingTry  = "mapping-refused" // a device asked for a port mapping (UPnP IGD, NAT-PMP, PCP)
	NoticeMUD         = "mud-url"         // a device told its MUD URL by DHCP or LLDP (RFC 8520 section 10)
	NoticeRogue       = "rogue-server"    // a device answered as DHCP server, router or resolver
	NoticeExpired     = "document-old"    // MaxAge is over
	NoticeInspect     = "inspect"         // the inspector refused or would have; Detail: what stood inside
	NoticeSubscriber  = "subscriber"      // a SIM got or lost its address
	NoticeLostReports = "reports-lost"    // the log was full: Detail: kind, count
)

// Notice is something that a gateway noticed about itself or about a device,
// which is no alert of a detector.
type Notice struct {
	Kind   string            `json:"kind"`
	Device ringwall.DeviceID `json:"device,omitempty"`
	MAC    string            `json:"mac,omitempty"`
	Addr   netip.AddrPort    `json:"addr,omitzero"` // of the other end, where there is one
	Text   string            `json:"text,omitempty"`
	Detail map[string]string `json:"detail,omitempty"`
	Count  uint64            `json:"count,omitempty"`
	Time   time.Time         `json:"time,omitzero"`
}
