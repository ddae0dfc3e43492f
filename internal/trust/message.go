package trust

import "maps"

// messages holds the English text of every reason, by key. It is never written
// to; pages translate by key.
var messages = map[string]string{
	"trust.enrolment.self":             "enrolled by its owner",
	"trust.enrolment.non-self":         "never enrolled: not one of ours",
	"trust.enrolment.revoked":          "its enrolment was revoked",
	"trust.root.hardware":              "a key in hardware, authenticated now",
	"trust.root.own":                   "a key of its own, authenticated now",
	"trust.root.vouched":               "no identity of its own; pinned to its port, MAC and IP, and a healthy gateway vouches for it",
	"trust.root.not-pinned":            "no identity of its own, and not pinned to a port, MAC and IP yet",
	"trust.root.gateway-unknown":       "the gateway that vouches for it is not heard from",
	"trust.root.gateway-unhealthy":     "the gateway that vouches for it is not healthy",
	"trust.root.none":                  "nothing vouches that its packets are its own",
	"trust.attestation.clean":          "its attestation is fresh and clean",
	"trust.attestation.none":           "it cannot attest; this keeps it from T4 and no more",
	"trust.attestation.overdue":        "its attestation is past its deadline",
	"trust.attestation.failed":         "its attestation failed",
	"trust.posture.clean":              "assessed; nothing found that limits trust",
	"trust.posture.unknown":            "not assessed yet",
	"trust.posture.default-credential": "it takes a default credential, as was confirmed",
	"trust.posture.critical":           "a critical finding stands against it",
	"trust.behaviour.quiet":            "no open incident, no hold",
	"trust.behaviour.incident":         "an incident is open that calls for action",
	"trust.behaviour.quarantine":       "it is in quarantine",
	"trust.behaviour.cutoff":           "it is cut off",
	"trust.binding.held":               "its SIM sits in the equipment it is bound to",
	"trust.binding.none":               "no SIM binding that could break",
	"trust.binding.separation":         "its SIM was seen in other equipment",
	"trust.binding.pin-broken":         "its MAC or address turned up at another place",
	"trust.gate.none":                  "its owner set no deployment gate",
	"trust.gate.open":                  "it passes its owner's deployment gate",
	"trust.gate.closed":                "it does not pass its owner's deployment gate",
	"trust.recovery.time":              "recovering: one step up for each clean period",
	"trust.recovery.assessment":        "recovering: one step up for each clean period with a clean assessment in it",
}

// Messages returns the English text of every reason by its key, for
// translation.
func Messages() map[string]string { return maps.Clone(messages) }
