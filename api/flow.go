package api

import (
	"time"

	"github.com/ringwall/ringwall"
)

// FlowInside is what stood in clear inside a flow.
type FlowInside struct {
	Proto  string `json:"proto"`
	Host   string `json:"host,omitempty"`
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
}

// FlowWhy explains one flow report: what was decided then, and what the
// policy that is in force decides on such a flow now.
type FlowWhy struct {
	Flow FlowRow `json:"flow"`
	// Text says in words why the flow was decided as it was.
	Text string `json:"text"`
	// Now is absent when there is no policy to ask, and Unknown says why.
	Now     *FlowVerdict `json:"now,omitempty"`
	Unknown string       `json:"unknown,omitempty"`
}

// FlowVerdict is what a policy decides.
type FlowVerdict struct {
	Generation uint64 `json:"generation"` // of the gateway's document
	Verdict    string `json:"verdict"`    // "allowed", "refused", "would-refuse"
	Reason     string `json:"reason"`
	Term       string `json:"term,omitempty"`
	Why        string `json:"why,omitempty"` // what the term is for
	Text       string `json:"text"`
	// Same says that the policy of that generation is the one that decided then.
	Same bool `json:"same,omitempty"`
}

// FlowTotals are sums over flow reports, by hour and reason, and the devices
// and other ends that had most of them.
type FlowTotals struct {
	From    time.Time       `json:"from"` // on the hour
	To      time.Time       `json:"to"`
	Flows   uint64          `json:"flows"` // with those that were folded into a report
	Refused uint64          `json:"refused"`
	Bytes   uint64          `json:"bytes"`
	Hours   []FlowHour      `json:"hours"`   // oldest first, those without flows too
	Reasons []FlowReason    `json:"reasons"` // of what was or would be refused, most first
	Devices []FlowTalker    `json:"devices"` // by bytes
	Remotes []FlowTalkerFar `json:"remotes,omitempty"`
}

// FlowHour is one hour of FlowTotals.
type FlowHour struct {
	Hour    time.Time         `json:"hour"`
	Allowed uint64            `json:"allowed"`
	Refused uint64            `json:"refused"`
	Would   uint64            `json:"wouldRefuse"`
	Bytes   uint64            `json:"bytes"`
	Reasons map[string]uint64 `json:"reasons,omitempty"` // of what was or would be refused
}

// FlowReason counts what one reason refused, or would have.
type FlowReason struct {
	Reason string `json:"reason"`
	Flows  uint64 `json:"flows"`
}

// FlowTalker is a device of FlowTotals.
type FlowTalker struct {
	Device  ringwall.DeviceID `json:"device"`
	Flows   uint64            `json:"flows"`
	Refused uint64            `json:"refused"`
	Bytes   uint64            `json:"bytes"`
}

// FlowTalkerFar is an other end of FlowTotals.
type FlowTalkerFar struct {
	Remote string `json:"remote"`
	Flows  uint64 `json:"flows"`
	Bytes  uint64 `json:"bytes"`
}
