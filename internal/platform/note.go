package platform

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// noteSchema is the version of sqlstore.Telling as an event's Data.
const noteSchema = 1

// note is what a timeline says of an event. Params hold names and levels,
// never secrets.
type note struct {
	Key    string
	Params map[string]string
	Ref    string // id of the alert, incident, response, hold or assessment
}

// messages holds the English of every key; pages translate by key. It is never
// written to.
var messages = map[string]string{
	"timeline.device.seen":          "{name} appeared on port {port} with MAC {mac} and address {ip}",
	"timeline.device.made":          "{name} was made by hand: it is known by its SIM, behind gateway {gateway}",
	"timeline.device.presence":      "{name} is {new} (was {old})",
	"timeline.device.moved":         "{name} turned up behind another gateway",
	"timeline.device.rebound":       "{name} has another address or port: {ip} on {port}",
	"timeline.device.elsewhere":     "seen at {port}/{ip}, which is not where it is bound; refused",
	"timeline.device.pinned":        "bound by a person to {ip} on {port}",
	"timeline.device.mode":          "mode {old} → {new}",
	"timeline.device.enrolled":      "enrolled: it is one of ours",
	"timeline.device.revoked":       "enrolment taken back",
	"timeline.device.named":         "renamed from {old} to {new}",
	"timeline.device.port.closed":   "{target} is refused to everybody at the gateway",
	"timeline.device.password":      "its default password was replaced, by {by}",
	"timeline.device.grade":         "graded {new} risk (was {old}), {coverage} % measured[: {reason}]",
	"timeline.device.trust":         "trust {old} → {new}: {reason}",
	"timeline.device.policy":        "new policy in force, generation {generation}",
	"timeline.device.hold":          "{do} in force[ {took} after the alert], by {by}; {flows} live flows cut",
	"timeline.device.hold.lifted":   "{do} lifted: {reason}",
	"timeline.device.hold.declined": "the gateway did not act alone: {reason}",
	"timeline.device.compromise":    "finding written: seen in an attack",
	"timeline.assessment":           "assessed: {findings} findings, {failed} of them failed",
	"timeline.assessment.evidence":  "new evidence: {grade} risk",
	"timeline.assessment.failed":    "the assessment did not run: {reason}",
	"timeline.alert":                "{title}",
	"timeline.incident.opened":      "incident opened: severity {severity}[, stage {stage}]",
	"timeline.incident.grew":        "incident grew: severity {severity}[, stage {stage}]",
	"timeline.incident.status":      "incident {status}[, disposition {disposition}]",
	"timeline.response.proposed":    "{kind} proposed: {reason}",
	"timeline.response.approved":    "{kind} approved by {by}",
	"timeline.response.declined":    "{kind} declined",
	"timeline.response.doing":       "{kind} under way, by {by}",
	"timeline.response.done":        "{kind} in force",
	"timeline.response.undoing":     "{kind} being undone",
	"timeline.response.undone":      "{kind} undone",
	"timeline.response.expired":     "{kind} expired",
	"timeline.response.failed":      "{kind} failed: {reason}",
	"timeline.gateway.enrolled":     "gateway {name} enrolled",
	"timeline.gateway.ack":          "generation {generation} in force",
	"timeline.gateway.refused":      "generation {generation} refused: {reason}",
	"timeline.gateway.drift":        "its rules had been changed by others and were put right",
	"timeline.gateway.online":       "gateway on line",
	"timeline.gateway.offline":      "gateway not heard from",
	"timeline.gateway.revoked":      "revoked: its identity is refused from now on",
	"timeline.gateway.posture":      "its word on the device it runs on was refused: {reason}",
	"timeline.gateway.nobody":       "it speaks of the device it runs on, and nobody has said which that is",
	"timeline.device.terms":         "its owner's terms were changed: {count} of them now",
	"timeline.device.mud":           "its usage description is {state}[: {reason}]",
	"timeline.device.mud.at":        "its usage description is at {url}",
	"timeline.device.mud.told":      "it tells another usage description now, which is not followed until somebody says so: {url}",
	"timeline.device.mud.kept":      "kept to its usage description at {url}",
	"timeline.device.mud.proposed":  "its usage description is proposed, none of it is in force: {url}",
	"timeline.device.mud.newer":     "a newer file of its usage description would change what is in force, and waits for a decision: {url}",
	"timeline.device.mud.narrowed":  "a newer file of its usage description only takes away and is in force: {url}",
	"timeline.device.mud.narrow":    "its usage description is in force as far as it takes away: {url}",
	"timeline.device.mud.approved":  "all of its usage description is in force: {url}",
	"timeline.device.mud.declined":  "its usage description is declined, none of it is in force: {url}",
	"timeline.device.mud.stays":     "the newer file of its usage description is declined, the one before stays in force: {url}",
	"timeline.device.learned":       "{count} terms that were learned from its traffic were approved",
	"timeline.device.mapping":       "it asked the gateway to open a port to the world, and was refused[: {text}]",
	"timeline.device.mapped":        "the router upstream had a port open to it: {text}",
	"timeline.device.rogue":         "it answered as {text}",
	"timeline.device.inspect":       "refused for what stood inside: {text}",
	"timeline.device.subscriber":    "its SIM has the address {text}",
	"timeline.group.made":           "group {name} made",
	"timeline.group.changed":        "group {name} changed",
	"timeline.group.deleted":        "group {name} deleted",
	"timeline.template.changed":     "template {name} has version {version}",
	"timeline.rollout.begun":        "rollout {name} begun",
	"timeline.rollout.stage":        "rollout {name}: stage {stage} covers {covered} of {total}",
	"timeline.rollout.stopped":      "rollout {name} stopped and undone: {reason}",
	"timeline.rollout.resumed":      "rollout {name} goes on",
	"timeline.rollout.done":         "rollout {name} done",
	"timeline.gateway.template":     "template {name}, version {version}",
	"timeline.gateway.rolledback":   "went back to the document before[: {reason}]",
	"timeline.gateway.lost":         "reports were lost[: {text}]",
	"timeline.gateway.old":          "its document is older than it may be: the platform was not heard for too long",
	"timeline.gateway.mapping":      "the router upstream maps a port: {text}",
	"timeline.gateway.rogue":        "somebody behind it answered as {text}",
	"timeline.sim.profile":          "its function profile is {state}",
	"timeline.sim.profile.failed":   "the operator did not take its function profile: {reason}",
	"timeline.device.agent":         "the agent on it is {new} (was {old})",
	"timeline.sim.revealed":         "its numbers were shown in clear: {reason}",
	"timeline.sim.added":            "SIM registered",
	"timeline.sim.separated":        "SIM seen in other equipment than the one it is bound to",
	"timeline.sim.rejoined":         "SIM seen again in the equipment it is bound to",
	"timeline.sim.suspended":        "SIM suspended at its operator",
	"timeline.sim.restored":         "SIM restored at its operator",
	"timeline.sim.restricted":       "SIM restricted at its operator",
	"timeline.sim.released":         "restriction lifted at its operator",
	"timeline.sim.asked":            "its operator was asked to {what}; until it answers, the SIM's state is unknown",
	"timeline.sim.state":            "its operator says that it is {state}",
	"timeline.sim.bound":            "SIM bound to the equipment it is in",
	"timeline.sim.customer":         "customer {customer}, tariff {tariff}",
	"timeline.sim.exception":        "exception for {rules} until {until}: {reason}",
	"timeline.sim.exception.ended":  "exception for {rules} ended",
	"timeline.sim.muted":            "{title}; kept quiet ({muted})",
	"timeline.sim.alert":            "{rule}: decided to be {disposition}",
	"timeline.tunnel.asked":         "a way to its port {port} is asked for, for {minutes} minutes, by {by}: {reason}",
	"timeline.tunnel.approved":      "the way to its port {port} is approved for {minutes} minutes, by {by}",
	"timeline.tunnel.declined":      "the way to its port {port} is declined, by {by}",
	"timeline.tunnel.closed":        "the way to its port {port} is closed, by {by}",
	"timeline.tunnel.expired":       "the time of the way to its port {port} is over",
	"timeline.tunnel.up":            "the gateway has opened the way to its port {port}",
	"timeline.tunnel.down":          "the gateway has closed the way to its port {port}: {why}",
	"timeline.tunnel.refused":       "the gateway does not open the way to its port {port}: {why}",
	"timeline.demo.attack":          "the range started attack {attack}",
	"timeline.demo.repaired":        "its owner has repaired it: another password, telnet off, a restart",
}

// Messages returns the English text of every timeline key, for translation;
// parts in [brackets] are left out when a parameter in them is empty.
func Messages() map[string]string { return maps.Clone(messages) }

// event makes an event about subject that tells n.
func event(kind string, org ringwall.OrgID, actor, cause string, subject ringwall.Subject, n note, now time.Time) ringwall.Event {
	data, err := json.Marshal(sqlstore.Telling{Key: n.Key, Params: n.Params, Text: incident.Render(messages[n.Key], n.Params), Ref: n.Ref})
	if err != nil {
		panic("platform: a note of strings cannot be marshalled: " + err.Error())
	}
	return ringwall.Event{
		V: ringwall.EventVersion, ID: ringwall.EventID(ringwall.NewID(ringwall.PrefixEvent, now)), Org: org, Kind: kind,
		Schema: noteSchema, Time: now.UTC(), Actor: actor, Cause: cause, Subject: subject, Data: data,
	}
}
