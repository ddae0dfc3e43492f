package api

import (
	"time"

	"github.com/ringwall/ringwall"
)

// States of a RemoteTunnel.
const (
	TunnelAsked    = "asked"    // waits for a person
	TunnelDeclined = "declined" // a person said no, or nobody said anything for a day
	TunnelApproved = "approved" // open, or about to be
	TunnelClosed   = "closed"   // by a person
	TunnelExpired  = "expired"  // its time is over
)

// RemoteTunnel is a person's way to one TCP port of one device for a while: asked
// for with a reason, approved, dialled outwards by the gateway, recorded.
type RemoteTunnel struct {
	ID      ringwall.TunnelID  `json:"id"`
	Org     ringwall.OrgID     `json:"org"`
	Device  ringwall.DeviceID  `json:"device"`
	Gateway ringwall.GatewayID `json:"gateway"`
	Port    uint16             `json:"port"`
	Minutes int                `json:"minutes"` // asked for
	Reason  string             `json:"reason"`

	State   string    `json:"state"`
	Asked   time.Time `json:"asked"`
	AskedBy string    `json:"askedBy"`
	Decided time.Time `json:"decided,omitzero"`
	Decider string    `json:"decidedBy,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // once approved
	Ended   time.Time `json:"ended,omitzero"`
	EndedBy string    `json:"endedBy,omitempty"`

	// Gateway's word: "up", "down", "refused", and why.
	Reported string `json:"reported,omitempty"`
	Why      string `json:"why,omitempty"`

	Connections int               `json:"connections,omitempty"` // made through it so far
	Recordings  []TunnelRecording `json:"recordings,omitempty"`
}

// TunnelRecording is one file of what went through a tunnel.
type TunnelRecording struct {
	Name   string    `json:"name"`
	Begun  time.Time `json:"begun"`
	Bytes  int64     `json:"bytes,omitempty"`  // of the file, encrypted
	SHA256 string    `json:"sha256,omitempty"` // of the file, hex; "" while it is written
	// Torn says that the program ended before the recording: its last 64 KiB may be missing.
	Torn bool `json:"torn,omitempty"`
}

// TunnelAsk asks for a tunnel.
type TunnelAsk struct {
	Port    uint16 `json:"port"`
	Minutes int    `json:"minutes"` // at most what the organisation allows
	Reason  string `json:"reason"`
}

// TunnelDecision approves, declines or closes a tunnel.
type TunnelDecision struct {
	Do string `json:"do" enum:"approve,decline,close"`
}

// TunnelSettings is what an organisation has laid down about tunnels.
type TunnelSettings struct {
	// FourEyes keeps who asks from approving.
	FourEyes bool `json:"fourEyes"`
	// MaxMinutes is the longest that anybody may ask for.
	MaxMinutes int `json:"maxMinutes"`
}

// TunnelFrame is one piece of a recording.
type TunnelFrame struct {
	Time time.Time `json:"time"`
	Conn uint32    `json:"conn"`
	What string    `json:"what"` // ">" to the device, "<" from it, "+" opened, "-" closed
	Data []byte    `json:"data,omitempty"`
}
