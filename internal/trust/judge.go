package trust

import (
	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// capped is what one input allows.
type capped struct {
	input    string
	cap      ringwall.Trust
	fault    bool // leaves a debt
	key      string
	evidence string
}

func (c capped) reason() api.TrustReason {
	return api.TrustReason{Input: c.input, Cap: c.cap, Key: c.key, Reason: messages[c.key], Evidence: c.evidence}
}

// judge reads DESIGN's table, one entry an input.
func judge(in Inputs) []capped {
	return []capped{enrolment(in), root(in), attestation(in), posture(in), behaviour(in), binding(in), gate(in)}
}

func enrolment(in Inputs) capped {
	c := capped{input: InputEnrolment, cap: ringwall.T4, key: "trust.enrolment.self", evidence: in.EnrolmentEvidence}
	switch {
	case in.Revoked:
		c.cap, c.fault, c.key = ringwall.T0, true, "trust.enrolment.revoked"
	case !in.Enrolled:
		c.cap, c.key = ringwall.T0, "trust.enrolment.non-self"
	}
	return c
}

func root(in Inputs) capped {
	c := capped{input: InputRoot}
	switch in.Root {
	case RootHardware:
		c.cap, c.key = ringwall.T4, "trust.root.hardware"
	case RootOwn:
		c.cap, c.key = ringwall.T3, "trust.root.own"
	case RootVouched:
		return vouched(in, c)
	default:
		c.cap, c.key = ringwall.T1, "trust.root.none"
	}
	return c
}

// vouched needs both a healthy gateway and a device that is where it was
// pinned: the gateway knows it by nothing else.
func vouched(in Inputs, c capped) capped {
	switch {
	case in.Gateway == GatewayUnhealthy:
		c.cap, c.fault, c.key = ringwall.T2, true, "trust.root.gateway-unhealthy"
	case in.Gateway != GatewayHealthy:
		c.cap, c.key = ringwall.T2, "trust.root.gateway-unknown"
	case in.Pin != PinHeld:
		c.cap, c.key = ringwall.T2, "trust.root.not-pinned"
	default:
		c.cap, c.key = ringwall.T3, "trust.root.vouched"
	}
	return c
}

func attestation(in Inputs) capped {
	c := capped{input: InputAttestation, evidence: in.AttestationEvidence}
	switch in.Attestation {
	case AttestationClean:
		c.cap, c.key = ringwall.T4, "trust.attestation.clean"
	case AttestationNone:
		c.cap, c.key = ringwall.T3, "trust.attestation.none"
	case AttestationOverdue:
		c.cap, c.fault, c.key = ringwall.T2, true, "trust.attestation.overdue"
	default:
		c.cap, c.fault, c.key = ringwall.T1, true, "trust.attestation.failed"
	}
	return c
}

func posture(in Inputs) capped {
	c := capped{input: InputPosture, evidence: in.PostureEvidence}
	switch in.Posture {
	case PostureClean:
		c.cap, c.key = ringwall.T4, "trust.posture.clean"
	case PostureUnknown:
		c.cap, c.key = ringwall.T3, "trust.posture.unknown"
	case PostureDefaultCredential:
		c.cap, c.fault, c.key = ringwall.T2, true, "trust.posture.default-credential"
	default:
		c.cap, c.fault, c.key = ringwall.T2, true, "trust.posture.critical"
	}
	return c
}

func behaviour(in Inputs) capped {
	c := capped{input: InputBehaviour, cap: ringwall.T4, key: "trust.behaviour.quiet"}
	switch {
	case in.Hold >= ringwall.Cutoff:
		c.cap, c.fault, c.key, c.evidence = ringwall.T0, true, "trust.behaviour.cutoff", string(in.HoldID)
	case in.Incident != "":
		c.cap, c.fault, c.key, c.evidence = ringwall.T1, true, "trust.behaviour.incident", string(in.Incident)
	case in.Hold == ringwall.Quarantine:
		c.cap, c.fault, c.key, c.evidence = ringwall.T1, true, "trust.behaviour.quarantine", string(in.HoldID)
	}
	return c
}

func binding(in Inputs) capped {
	c := capped{input: InputBinding, cap: ringwall.T4, evidence: in.BindingEvidence}
	switch {
	case in.Binding > BindingHeld:
		c.cap, c.fault, c.key = ringwall.T1, true, "trust.binding.separation"
	case in.Pin > PinHeld:
		c.cap, c.fault, c.key = ringwall.T1, true, "trust.binding.pin-broken"
	case in.Binding == BindingHeld:
		c.key = "trust.binding.held"
	default:
		c.key = "trust.binding.none"
	}
	return c
}

func gate(in Inputs) capped {
	c := capped{input: InputGate, cap: ringwall.T4, evidence: in.GateEvidence}
	switch in.Gate {
	case GateNone:
		c.key = "trust.gate.none"
	case GateOpen:
		c.key = "trust.gate.open"
	default:
		c.cap, c.key = ringwall.T1, "trust.gate.closed"
	}
	return c
}
