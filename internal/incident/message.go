package incident

import (
	"maps"
	"strings"
)

// messages holds the English template of every line a story can have, by key.
// {name} stands for a parameter; what stands in [brackets] is left out when a
// parameter in it is missing. It is never written to; pages translate by key.
//
// "story.alert.<rule>" tells of an alert to those who may see addresses,
// "story.brief.<rule>" to those who may not. A rule that says several things
// has a template for each, "story.alert.<rule>.<which>": see templateOf.
var messages = map[string]string{
	"story.alert.credential-guessing.target": "{peer} tried[ {count} or more] passwords on {device}[ over {service}][ within {seconds} s][; {times} times, last at {last}].",
	"story.alert.credential-guessing.source": "{device} tried[ {count} or more] passwords on {peer}[ over {service}][ within {seconds} s][; {times} times, last at {last}].",
	"story.alert.credential-guessing":        "{peer} tried[ {count} or more] passwords on {device}[ over {service}][ within {seconds} s][; {times} times, last at {last}].",
	"story.alert.binary-download":            "{device} fetched a program[ ({kind})] from {peer}[, port {port}][, over {by}][; {times} times, last at {last}].",
	"story.alert.binary-download.target":     "{peer} put a program[ ({kind})] on {device}[, over {by}][; {times} times, last at {last}].",
	"story.alert.binary-download.spread":     "{device} put a program[ ({kind})] on {peer}[, over {by}][; {times} times, last at {last}].",
	"story.alert.mirai-scan":                 "{device} began to scan for others to infect, the way Mirai does[; the first was {target}][, port {ports}][; {times} times, last at {last}].",
	"story.alert.admin-fanout":               "{device} knocked on the administration ports of[ {targets}] or more hosts[ within {seconds} s][, ports {ports}][; {times} times, last at {last}].",
	"story.alert.any-fanout":                 "{device} tried to reach[ {targets}] hosts that have no name[, {unanswered} of which did not answer][, within {seconds} s][, {protocol} ports {ports}][; {times} times, last at {last}].",
	"story.alert.vertical-scan":              "{device} was part of a port scan[ with {peer}][: {ports}][; {times} times, last at {last}].",
	"story.alert.vertical-scan.source":       "{device} tried[ {count} or more] ports of {peer}[ within {seconds} s][: {ports}][; {times} times, last at {last}].",
	"story.alert.vertical-scan.target":       "{peer} tried[ {count} or more] ports of {device}[ within {seconds} s][: {ports}][; {times} times, last at {last}].",
	"story.alert.new-peer":                   "{device} contacted {peer}[ ({name})][, {protocol} port {port}], which it had never needed before[; {times} times, last at {last}].",
	"story.alert.new-peer.many":              "{device} contacted[ {peers}] or more peers that it had never needed before[, within {seconds} s][, ports {ports}][; {times} times, last at {last}].",
	"story.alert.new-peer.target":            "{peer}[ ({name})], which {device} had never served before, contacted it[, {protocol} port {port}][; {times} times, last at {last}].",
	"story.alert.failing-beacon":             "{device} kept calling {peer}[, port {port}], which did not answer[: {calls} calls in vain][ within {seconds} s][; {times} times, last at {last}].",
	"story.alert.beacon":                     "{device} called {peer}[, port {port}] at even intervals[ of {period}][; {times} times, last at {last}].",
	"story.alert.arp-sweep":                  "{device} asked for[ {targets}] or more neighbours by ARP[ within {seconds} s][; {times} times, last at {last}].",
	"story.alert.icmp-sweep":                 "{device} pinged[ {targets}] or more hosts[ within {seconds} s][; {times} times, last at {last}].",
	"story.alert.stranger-video":             "{peer}, which is not among those who may watch, watched the video of {device}[, port {port}][; {times} times, last at {last}].",
	"story.alert.stranger-video.try":         "{peer}, a stranger, tried the video port of {device}[, port {port}][; {times} times, last at {last}].",
	"story.alert.flood":                      "{device} flooded {peer}[, {protocol} port {port}][: {rate} packets][; {times} times, last at {last}].",
	"story.alert.request-flood":              "{device} flooded {peer} with requests[, port {port}][: {rate} connections][; {times} times, last at {last}].",
	"story.alert.exploit-attempt":            "{device} sent {peer} a command hidden in a request[, port {port}][; {times} times, last at {last}].",
	"story.alert.exploit-attempt.target":     "{peer} sent {device} a command hidden in a request[, port {port}][; {times} times, last at {last}].",
	"story.alert.mining":                     "{device} began to mine for {peer}[, port {port}][; {times} times, last at {last}].",
	"story.alert.port-mapping":               "{device} asked the router[, by {by},] to let the Internet reach it[ on port {open}][; {times} times, last at {last}].",
	"story.alert.address-spoof":              "The address of {device} was used by other equipment[: {address} with {mac}][; {times} times, last at {last}].",
	"story.alert.separation":                 "The operator saw the SIM of {device} in other equipment[: {seenImei}][ instead of {boundImei}][, which is another model (TAC {seenTac})][; {times} times, last at {last}].",
	"story.alert.sim-service":                "The SIM of {device} was used for {service}[ ({direction})], which it is not meant for[, with {number}][; {times} times, last at {last}].",
	"story.alert.sim-peer":                   "The SIM of {device} reached {peer}, which is not on its list[; {times} times, last at {last}].",
	"story.alert.sim-moved":                  "The SIM of {device}, which should stay where it is, was used elsewhere[: area {area}][, cell {cell}][; {times} times, last at {last}].",
	"story.alert.sim-roaming":                "The SIM of {device} roamed into an area of risk[: {area}][, network {plmn}][; {times} times, last at {last}].",
	"story.alert.sim-volume":                 "The SIM of {device} used far more than it is wont to[: {bytes} bytes][, {factor} times][; {times} times, last at {last}].",
	"story.alert.sim-dormant":                "The SIM of {device} was used after a long time of silence[: {days} days][; {times} times, last at {last}].",
	"story.alert.sim-travel":                 "The SIM of {device} was in two places faster than anybody travels[: {km} km][ within {seconds} s]; there may be two of it[; {times} times, last at {last}].",
	"story.alert.sim-burst":                  "The SIM of {device} made very many calls or messages[: {count}][ within {seconds} s][; {times} times, last at {last}].",
	"story.alert.sim-verification":           "The SIM of {device} received messages as accounts send them that are being opened[: {count}][; {times} times, last at {last}].",
	"story.alert.sim-box":                    "Many SIMs, that of {device} among them, acted as one: in one piece of equipment, in one cell, or at one new address[: {cards}][; {times} times, last at {last}].",
	"story.alert.sim-lifecycle":              "The SIM of {device} was used when it should not be usable[: {state}][; {times} times, last at {last}].",
	"story.alert.sim-hours":                  "The SIM of {device} was used outside its hours[; {times} times, last at {last}].",
	"story.alert.sim-place":                  "The SIM of {device} was used outside the places that it is for[: {area}][, network {plmn}][; {times} times, last at {last}].",
	"story.alert.sim-quota":                  "The SIM of {device} used more than its month allows[: {bytes} bytes][, {count}][; {times} times, last at {last}].",
	"story.alert.card-online":                "The operator saw the SIM of {device} in use[ at {used}], while the device itself was not heard[ since {seen}][; {times} times, last at {last}].",
	"story.alert.card-silent":                "{device} was heard on the network all the while, and its SIM was not used[ since {used}][; {times} times, last at {last}].",
	"story.alert.device-changed":             "The SIM of {device} is in the equipment it is bound to, and the device behind it is another one[: {what} was {old}][, is {new}][; {times} times, last at {last}].",
	"story.alert.card-volume":                "The operator counted[ {card} bytes] of the SIM of {device}, and the gateway[ {gateway} bytes] of the device[; {times} times, last at {last}].",

	"story.brief.sim-moved":        "The SIM of a device that stays where it is was used elsewhere.",
	"story.brief.sim-roaming":      "The SIM roamed into an area of risk.",
	"story.brief.sim-volume":       "The SIM used far more than it is wont to.",
	"story.brief.sim-dormant":      "The SIM was used after a long time of silence.",
	"story.brief.sim-travel":       "The SIM was in two places faster than anybody travels.",
	"story.brief.sim-burst":        "The SIM made very many calls or messages.",
	"story.brief.sim-verification": "The SIM received messages as accounts send them that are being opened.",
	"story.brief.sim-box":          "Many SIMs acted as one: in one piece of equipment, in one cell, or at one new address.",
	"story.brief.sim-lifecycle":    "The SIM was used when it should not be usable.",
	"story.brief.sim-hours":        "The SIM was used outside its hours.",
	"story.brief.sim-place":        "The SIM was used outside the places that it is for.",
	"story.brief.sim-quota":        "The SIM used more than its month allows.",
	"story.brief.card-online":      "The SIM was used while the device was not heard.",
	"story.brief.card-silent":      "The device was heard and its SIM was not used.",
	"story.brief.device-changed":   "The SIM's equipment is the same, and the device behind it is another one.",
	"story.brief.card-volume":      "The operator and the gateway counted different volumes.",
	"story.alert.other":            "{title}[ ({rule})][; {times} times, last at {last}].",

	"story.brief.credential-guessing": "Somebody tried passwords on the device.",
	"story.brief.binary-download":     "The device fetched a program from a bare address.",
	"story.brief.mirai-scan":          "The device began to scan for others to infect the way Mirai does.",
	"story.brief.admin-fanout":        "The device knocked on the administration ports of many addresses.",
	"story.brief.any-fanout":          "The device tried to reach very many addresses.",
	"story.brief.vertical-scan":       "The device was part of a port scan.",
	"story.brief.new-peer":            "The device talked with somebody it had never needed before.",
	"story.brief.failing-beacon":      "The device kept calling an address that did not answer.",
	"story.brief.beacon":              "The device called an address at regular times.",
	"story.brief.arp-sweep":           "The device asked for many neighbours by ARP.",
	"story.brief.icmp-sweep":          "The device pinged many addresses.",
	"story.brief.stranger-video":      "A stranger opened the device's video.",
	"story.brief.flood":               "The device flooded a host.",
	"story.brief.request-flood":       "The device flooded a host with requests.",
	"story.brief.exploit-attempt":     "A command hidden in a request was sent to the device, or by it.",
	"story.brief.mining":              "The device began to mine for somebody.",
	"story.brief.port-mapping":        "The device asked the router to let the Internet reach it.",
	"story.brief.address-spoof":       "The device's address was used by other equipment.",
	"story.brief.separation":          "The operator saw the SIM in other equipment than it is bound to.",
	"story.brief.sim-service":         "The SIM was used for a service that it is not meant for.",
	"story.brief.sim-peer":            "The SIM talked with a peer that is not on its list.",
	"story.brief.other":               "A detector spoke: {rule}.",

	"story.opened":   "An incident was opened, severity {severity}.",
	"story.reopened": "It began again: the incident was opened anew.",
	"story.doubted":  "Something new was said after the decision: it has to be decided again.",
	"story.note":     "{by} noted: {note}",

	"story.status.triaged":   "{by} took the incident up.",
	"story.status.contained": "{by} declared the incident contained.",
	"story.status.resolved":  "The incident is resolved[, by {by}].",
	"story.status.closed":    "{by} closed the incident.",

	"story.disposition.true":    "{by} decided: this was an attack.",
	"story.disposition.benign":  "{by} decided: this happened, and was meant to.",
	"story.disposition.false":   "{by} decided: this was a false alarm.",
	"story.disposition.unknown": "{by} decided: this cannot be told.",

	"story.assessed.clean":     "{device} was assessed again and found clean[; its grade is {grade} risk].",
	"story.assessed.not-clean": "{device} was assessed again and is not clean[; its grade is {grade} risk].",

	"story.trust.fell":                  "Trust in {device} fell from {from} to {to}[: {reason}].",
	"story.trust.rose":                  "Trust in {device} rose from {from} to {to}[: {reason}].",
	"story.grade.changed":               "The grade of {device} changed from {from} to {to} risk.",
	"story.finding.observed-compromise": "The finding observed-compromise was written against {device}.",

	"story.response.proposed.quarantine":  "To put {device} in quarantine was proposed by {by}[ ({reason})]; it waits for a decision.",
	"story.response.approved.quarantine":  "Quarantine of {device} was approved by {by}.",
	"story.response.declined.quarantine":  "Quarantine of {device} was declined by {by}.",
	"story.response.doing.quarantine":     "Quarantine of {device} was begun.",
	"story.response.done.quarantine":      "{device} was put in quarantine[ within {ms} ms] by {by}: only repair and update servers are left to it[, until {until}].",
	"story.response.failed.quarantine":    "Quarantine of {device} failed[: {error}].",
	"story.response.undoing.quarantine":   "{by} began to lift the quarantine of {device}.",
	"story.response.undone.quarantine":    "The quarantine of {device} was lifted by {by}.",
	"story.response.expired.quarantine":   "The quarantine of {device} ran out.",
	"story.response.proposed.cutoff":      "To cut {device} off was proposed by {by}[ ({reason})]; it waits for a decision.",
	"story.response.approved.cutoff":      "Cutting {device} off was approved by {by}.",
	"story.response.declined.cutoff":      "Cutting {device} off was declined by {by}.",
	"story.response.doing.cutoff":         "Cutting {device} off was begun.",
	"story.response.done.cutoff":          "{device} was cut off[ within {ms} ms] by {by}: nothing passes[, until {until}].",
	"story.response.failed.cutoff":        "Cutting {device} off failed[: {error}].",
	"story.response.undoing.cutoff":       "{by} began to let {device} in again.",
	"story.response.undone.cutoff":        "{device} was let in again by {by}.",
	"story.response.expired.cutoff":       "The cutting off of {device} ran out.",
	"story.response.proposed.sim-suspend": "To suspend the SIM of {device} was proposed by {by}[ ({reason})]; it waits for a decision.",
	"story.response.approved.sim-suspend": "Suspending the SIM of {device} was approved by {by}.",
	"story.response.declined.sim-suspend": "Suspending the SIM of {device} was declined by {by}.",
	"story.response.doing.sim-suspend":    "The operator was asked to suspend the SIM of {device}.",
	"story.response.done.sim-suspend":     "The operator suspended the SIM of {device}, asked by {by}[, until {until}].",
	"story.response.failed.sim-suspend":   "The operator did not suspend the SIM of {device}[: {error}].",
	"story.response.undoing.sim-suspend":  "The operator was asked to restore the SIM of {device}.",
	"story.response.undone.sim-suspend":   "The operator restored the SIM of {device}, asked by {by}.",
	"story.response.expired.sim-suspend":  "The suspension of the SIM of {device} ran out, and the operator restored it.",

	"story.response.proposed.sim-restrict": "To restrict the SIM of {device} was proposed by {by}[ ({reason})]; it waits for a decision.",
	"story.response.approved.sim-restrict": "Restricting the SIM of {device} was approved by {by}.",
	"story.response.declined.sim-restrict": "Restricting the SIM of {device} was declined by {by}.",
	"story.response.doing.sim-restrict":    "The operator was asked to restrict the SIM of {device}.",
	"story.response.done.sim-restrict":     "The operator restricted the SIM of {device}, asked by {by}[, until {until}].",
	"story.response.failed.sim-restrict":   "The operator did not restrict the SIM of {device}[: {error}].",
	"story.response.undoing.sim-restrict":  "The operator was asked to lift the restriction of the SIM of {device}.",
	"story.response.undone.sim-restrict":   "The operator lifted the restriction of the SIM of {device}, asked by {by}.",
	"story.response.expired.sim-restrict":  "The restriction of the SIM of {device} ran out, and the operator lifted it.",
}

// Messages returns the English template of every story line by its key, for
// translation; fill a translated one with Render.
func Messages() map[string]string { return maps.Clone(messages) }

// Sentence returns the English sentence of a story line.
func Sentence(key string, params map[string]string) string {
	t, ok := messages[key]
	if !ok {
		return key
	}
	return Render(t, params)
}

// Render fills a template of Messages, in whatever language: {name} becomes the
// parameter's value and a part in [brackets] is left out when a parameter in it
// is missing or empty. A missing parameter outside brackets becomes "?". What
// parameters hold is put in as it is and never read as a template.
func Render(template string, params map[string]string) string {
	out, _ := render(template, params)
	return out
}

// render also reports whether no parameter was missing.
func render(t string, params map[string]string) (string, bool) {
	var b strings.Builder
	whole := true
	for t != "" {
		i := strings.IndexAny(t, "{[")
		if i < 0 {
			b.WriteString(t)
			break
		}
		b.WriteString(t[:i])
		closing := "}"
		if t[i] == '[' {
			closing = "]"
		}
		n := strings.Index(t[i:], closing)
		if n < 0 {
			b.WriteString(t[i:])
			break
		}
		inner := t[i+1 : i+n]
		if t[i] == '[' {
			if part, ok := render(inner, params); ok {
				b.WriteString(part)
			}
		} else if v := params[inner]; v != "" {
			b.WriteString(v)
		} else {
			b.WriteString("?")
			whole = false
		}
		t = t[i+n+1:]
	}
	return b.String(), whole
}
