package platform

import (
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// note is the Data of every event that the platform makes, schema 1: what a
// timeline says of it. Params hold names and levels, never secrets.
type note struct {
	Key    string            `json:"key"`
	Params map[string]string `json:"params,omitempty"`
	Ref    string            `json:"ref,omitempty"` // id of the alert, incident, response, hold or assessment
}

// noteSchema is the version of note as an event's Data.
const noteSchema = 1

// messages holds the English of every key; pages translate by key. It is never
// written to.
var messages = map[string]string{
	"timeline.device.seen":          "{name} appeared on port {port} with MAC {mac} and address {ip}",
	"timeline.device.presence":      "{name} is {presence} (was {old})",
	"timeline.device.moved":         "{name} turned up behind gateway {gateway}",
	"timeline.device.mode":          "mode {old} → {new}",
	"timeline.device.enrolled":      "enrolled: it is one of ours",
	"timeline.device.revoked":       "enrolment taken back",
	"timeline.device.named":         "renamed from {old} to {new}",
	"timeline.device.grade":         "graded {new} risk (was {old}), {coverage} % measured: {reason}",
	"timeline.device.trust":         "trust {old} → {new}: {reason}",
	"timeline.device.policy":        "policy of generation {generation} in force",
	"timeline.device.hold":          "{do} in force {took} after the alert, by {by}; {flows} live flows cut",
	"timeline.device.hold.platform": "{do} in force, by {by}",
	"timeline.device.hold.lifted":   "{do} lifted: {reason}",
	"timeline.device.hold.declined": "the gateway did not act alone: {reason}",
	"timeline.device.compromise":    "finding written: observed in an attack at stage {stage}",
	"timeline.assessment":           "assessed: {findings} findings, {failed} failed",
	"timeline.assessment.failed":    "the assessment did not run: {reason}",
	"timeline.alert":                "{title}",
	"timeline.incident.opened":      "incident opened: {severity}, stage {stage}",
	"timeline.incident.grew":        "incident grew: {severity}, stage {stage}",
	"timeline.incident.status":      "incident {status}",
	"timeline.response.proposed":    "{kind} proposed: {reason}",
	"timeline.response.approved":    "{kind} approved by {by}",
	"timeline.response.declined":    "{kind} declined by {by}",
	"timeline.response.doing":       "{kind} under way, by {by}",
	"timeline.response.done":        "{kind} done",
	"timeline.response.undone":      "{kind} undone by {by}",
	"timeline.response.expired":     "{kind} expired",
	"timeline.response.failed":      "{kind} failed: {reason}",
	"timeline.gateway.enrolled":     "gateway {name} enrolled",
	"timeline.gateway.ack":          "generation {generation} in force",
	"timeline.gateway.refused":      "generation {generation} refused: {reason}",
	"timeline.gateway.drift":        "its rules had been changed by others and were put right",
	"timeline.gateway.online":       "gateway on line",
	"timeline.gateway.offline":      "gateway not heard from",
	"timeline.sim.added":            "SIM {iccid} registered",
	"timeline.sim.suspended":        "SIM suspended at its operator",
	"timeline.sim.restored":         "SIM restored at its operator",
	"timeline.sim.imei":             "SIM seen in other equipment",
	"timeline.demo.attack":          "the range started attack {attack}",
}

// Messages returns the English text of every timeline key, for translation.
func Messages() map[string]string { return maps.Clone(messages) }

// english fills the template of key.
func english(key string, params map[string]string) string {
	text, ok := messages[key]
	if !ok {
		return key
	}
	pairs := make([]string, 0, 2*len(params))
	for k, v := range params {
		pairs = append(pairs, "{"+k+"}", v)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// event makes an event about subject that tells n.
func event(kind string, org ringwall.OrgID, actor, cause string, subject ringwall.Subject, n note, now time.Time) ringwall.Event {
	data, err := json.Marshal(n)
	if err != nil {
		panic("platform: a note of strings cannot be marshalled: " + err.Error())
	}
	return ringwall.Event{
		V: ringwall.EventVersion, ID: ringwall.EventID(ringwall.NewID(ringwall.PrefixEvent, now)), Org: org, Kind: kind,
		Schema: noteSchema, Time: now.UTC(), Actor: actor, Cause: cause, Subject: subject, Data: data,
	}
}

// entry renders an event as a line of a timeline. Events of a newer schema are
// shown by their kind alone.
func entry(ev ringwall.Event) api.TimelineEntry {
	e := api.TimelineEntry{Time: ev.Time, Kind: ev.Kind, Key: ev.Kind, Text: ev.Kind, Actor: ev.Actor, Event: ev.ID}
	var n note
	if ev.Schema != noteSchema || json.Unmarshal(ev.Data, &n) != nil || n.Key == "" {
		return e
	}
	e.Key, e.Params, e.Ref, e.Text = n.Key, n.Params, n.Ref, english(n.Key, n.Params)
	return e
}
