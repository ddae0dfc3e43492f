package ringwall

import (
	"encoding/json"
	"time"
)

// EventVersion is the version of the envelope that Event describes.
const EventVersion = 1

// Event tells that something has changed. It is committed together with the
// state it tells of, then published on "rw.<org>.<kind>.<id>"; consumers
// deduplicate by ID. The database is the truth, events carry the change.
type Event struct {
	V       int             `json:"v"`
	ID      EventID         `json:"id"`
	Org     OrgID           `json:"org"`
	Kind    string          `json:"kind"`   // such as "device.trust"; see the Event constants
	Schema  int             `json:"schema"` // version of Data for this kind
	Time    time.Time       `json:"time"`
	Actor   string          `json:"actor"`           // who did it, such as "usr_…", "gw_…", "system:incident"
	Cause   string          `json:"cause,omitempty"` // id of the event, alert, response or request behind it
	Subject Subject         `json:"subject"`
	Data    json.RawMessage `json:"data,omitempty"`
}

// Kinds of events. Each is published on a subject whose third token is the
// kind with its dots replaced by dashes.
const (
	EventDeviceSeen     = "device.seen"     // a device is known for the first time
	EventDevicePresence = "device.presence" // on line, silent, gone, moved
	EventDeviceMode     = "device.mode"
	EventDeviceTunnel   = "device.tunnel" // a way to it was asked for, opened, ended
	EventDeviceGrade    = "device.grade"
	EventDeviceTrust    = "device.trust"
	EventDevicePolicy   = "device.policy" // a new generation that changes it is in force
	EventDeviceHold     = "device.hold"   // a hold was made or released
	EventAssessment     = "device.assessment"
	EventAlert          = "alert"
	EventIncident       = "incident" // opened, grew, closed
	EventResponse       = "response" // proposed, approved, done, undone, expired, failed
	EventGatewayEnrol   = "gateway.enrol"
	EventGatewayState   = "gateway.state" // acknowledged a generation, came, went
	EventSIM            = "sim.state"     // suspended, restored, bound
	EventUsage          = "sim.usage"
	EventGroup          = "group"   // made, changed, deleted; a template too
	EventRollout        = "rollout" // begun, a stage, stopped, resumed, done
)
