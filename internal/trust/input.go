package trust

import (
	"time"

	"github.com/ringwall/ringwall"
)

// Names of the inputs, in the order in which reasons of equal cap are shown.
const (
	InputEnrolment   = "enrolment"
	InputBinding     = "binding"
	InputBehaviour   = "behaviour"
	InputAttestation = "attestation"
	InputGate        = "gate"
	InputPosture     = "posture"
	InputRoot        = "root"
	InputRecovery    = "recovery"
)

var inputOrder = []string{
	InputEnrolment, InputBinding, InputBehaviour, InputAttestation, InputGate, InputPosture, InputRoot, InputRecovery,
}

// Root is what a device's identity stands on.
type Root uint8

const (
	RootNone     Root = iota // nothing says that packets are this device's
	RootVouched              // no identity of its own; its gateway vouches for it by where it is plugged in
	RootOwn                  // a key of its own, authenticated now
	RootHardware             // a key that cannot leave its hardware (TPM, SIM), authenticated now
)

// Gateway is the state of the gateway that vouches.
type Gateway uint8

const (
	GatewayUnknown   Gateway = iota // not heard from lately: a lack
	GatewayHealthy                  // enrolled, connected, in force what it should be
	GatewayUnhealthy                // it says, or is seen, not to enforce what it should: a fault
)

// Pin says whether a device is where it was pinned: port, MAC and IP.
type Pin uint8

const (
	PinNone   Pin = iota // not pinned yet
	PinHeld              // seen where it was pinned, and nowhere else
	PinBroken            // its MAC or address turned up elsewhere
)

// Attestation is the state of a device's attestation. A device that can attest
// and falls silent is Overdue, not None: the caller remembers the capability.
type Attestation uint8

const (
	AttestationNone    Attestation = iota // the device has no such capability
	AttestationClean                      // fresh, and as it should be
	AttestationOverdue                    // past its deadline
	AttestationFailed                     // answered, and not as it should be
)

// Posture is what assessment says of a device.
type Posture uint8

const (
	PostureUnknown           Posture = iota // not assessed
	PostureClean                            // assessed, nothing that caps trust
	PostureDefaultCredential                // a default credential, confirmed
	PostureCritical                         // a critical finding, such as observed-compromise
)

// Binding is the tie between a SIM and the equipment it belongs in.
type Binding uint8

const (
	BindingNone   Binding = iota // no SIM, or not bound: nothing that could break
	BindingHeld                  // seen in the equipment it is bound to
	BindingBroken                // separation: seen in other equipment
)

// Gate is the deployment gate that an owner may set, such as "no high-risk
// device goes online".
type Gate uint8

const (
	GateNone   Gate = iota // the owner set none
	GateOpen               // set, and the device passes
	GateClosed             // set, and the device does not pass
)

// Inputs is everything that trust depends on. Evidence fields hold ids (of an
// assessment, an alert, a response), which reasons repeat.
type Inputs struct {
	Enrolled          bool // self; false is non-self
	Revoked           bool
	EnrolmentEvidence string

	Root    Root
	Gateway Gateway // read when Root is RootVouched
	Pin     Pin     // PinBroken counts whatever the root is

	Attestation         Attestation
	AttestationEvidence string

	Posture         Posture
	PostureEvidence string

	Incident ringwall.IncidentID  // the open incident under an act rule; "" when there is none
	Hold     ringwall.Restriction // the strictest hold in force
	HoldID   ringwall.HoldID

	Binding         Binding
	BindingEvidence string

	Gate         Gate
	GateEvidence string

	// Assessed is when the newest assessment ended and Clean whether it found
	// nothing that caps trust; recovery counts clean ones.
	Assessed time.Time
	Clean    bool

	// Absolved is when a person last decided that what was held against the
	// device's behaviour was none of its doing (disposition false or benign).
	// A behaviour debt whose fault was last seen before it is forgiven.
	Absolved time.Time
}
