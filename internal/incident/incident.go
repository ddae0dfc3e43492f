package incident

import (
	"net/netip"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Status of an incident. Watching is before it opens: such an incident is kept,
// and shown to nobody.
const (
	Watching  = "watching"
	New       = "new"
	Triaged   = "triaged"
	Contained = "contained"
	Resolved  = "resolved"
	Closed    = "closed"
)

// Disposition: what an analyst decided.
const (
	DispositionTrue    = "true"    // an attack
	DispositionBenign  = "benign"  // it happened, and was meant to
	DispositionFalse   = "false"   // it did not happen
	DispositionUnknown = "unknown" // nobody can tell
)

// Bounds of one incident.
const (
	MaxGroups = 64   // different things said of it; more are counted as the last of their rule
	MaxStory  = 200  // lines; past it only what changes the incident is added, up to twice as many
	MaxSeen   = 1024 // ids of alerts that are known again; older ones count as new
)

// Incident is an incident with all that is needed to carry it on. The embedded
// part is what the API shows to its owner, but for Project.
type Incident struct {
	api.Incident

	Vendor   string `json:"vendor,omitempty"` // of the device, for its manufacturer
	Model    string `json:"model,omitempty"`
	Firmware string `json:"firmware,omitempty"`

	Groups []Group            `json:"groups"`
	Seen   []ringwall.AlertID `json:"seen,omitempty"`
	// Fired lists the rules that asked for a response, so that each asks once.
	Fired []string `json:"fired,omitempty"`
	// Act is set once a rule marked act matched: from then on, and as long as
	// the incident is open, it caps the device's trust.
	Act bool `json:"act,omitempty"`
	// Compromised is when the finding observed-compromise was asked for.
	Compromised time.Time `json:"compromised,omitzero"`
	ResolvedAt  time.Time `json:"resolvedAt,omitzero"`
	// Disposed is when the disposition was decided: what it absolves is what was
	// said up to then.
	Disposed time.Time `json:"disposed,omitzero"`
}

// Group is one thing said of the subject by one rule about one peer, however
// often.
type Group struct {
	Rule     string            `json:"rule"`
	Says     string            `json:"says"` // the key of its sentence: a rule may say several things
	Peer     netip.Addr        `json:"peer,omitzero"`
	SIM      bool              `json:"sim,omitempty"`    // said of the SIM, not of the device
	Target   bool              `json:"target,omitempty"` // done to it, not by it
	Nature   ringwall.Nature   `json:"nature"`
	Severity ringwall.Severity `json:"severity"`
	Stage    ringwall.Stage    `json:"stage"` // as it counts for this subject: see stageOf
	First    time.Time         `json:"first"`
	Last     time.Time         `json:"last"`
	Count    int               `json:"count"`
	Alert    ringwall.AlertID  `json:"alert"` // the one that is listed
}

// Listed reports whether the incident was ever opened, and so is to be shown.
func (in Incident) Listed() bool { return in.Status != "" && in.Status != Watching }

// Active reports whether the incident is open: an attack not yet dealt with.
func (in Incident) Active() bool {
	return in.Status == New || in.Status == Triaged || in.Status == Contained
}

// CapsTrust reports whether the device may not be trusted for this incident:
// it is open, and a rule marked act matched it.
func (in Incident) CapsTrust() bool { return in.Active() && in.Act }

// Attack reports whether anything but deviations was said.
func (in Incident) Attack() bool {
	return slices.ContainsFunc(in.Groups, func(g Group) bool { return g.Nature == ringwall.NatureAttack })
}

// Device returns the device that the incident is about; "" when it is about a
// SIM in no known device, or an address.
func (in Incident) Device() ringwall.DeviceID {
	if in.Subject.Kind != ringwall.SubjectDevice {
		return ""
	}
	return ringwall.DeviceID(in.Subject.ID)
}

// clone returns a copy that shares nothing that Apply changes.
func (in Incident) clone() Incident {
	in.Groups = slices.Clone(in.Groups)
	in.Seen = slices.Clone(in.Seen)
	in.Fired = slices.Clone(in.Fired)
	in.Stages = slices.Clone(in.Stages)
	in.Story = slices.Clone(in.Story)
	in.Alerts = slices.Clone(in.Alerts)
	in.Responses = slices.Clone(in.Responses)
	return in
}

// Input is one thing that happened. Exactly one of Alert, Response, Assessed
// and Line is set; with none, time alone passes.
type Input struct {
	Now time.Time
	Org ringwall.OrgID

	// About is whom the caller found the input to be about, and joins by: the
	// device whose SIM it is when an alert names a SIM.
	About About

	Alert    *ringwall.Alert
	Response *api.Response // recorded or changed
	Assessed *Assessed
	Line     *Line
}

// About names the subject of an incident and what is known of it.
type About struct {
	Subject                 ringwall.Subject
	Name                    string // as its owner calls it
	SIM                     ringwall.SIMID
	Vendor, Model, Firmware string
}

// Assessed tells that the device was assessed again.
type Assessed struct {
	ID      ringwall.AssessID
	Started time.Time
	Ended   time.Time
	Clean   bool // no critical finding is left, observed-compromise included
	Grade   ringwall.Grade
}

// Line is something else worth telling, such as a fall of trust: a key of
// Messages with its parameters.
type Line struct {
	Time   time.Time
	Key    string
	Params map[string]string
	Ref    string
}

// Effect is something that has to happen because of an input.
type Effect interface{ effect() }

// Respond tells that a rule matched that calls for a response: call Plan, which
// checks the caps and says what to record.
type Respond struct {
	Rule   string
	Kind   string
	Target ringwall.Subject
	Do     Do
}

// WriteFinding asks to write a finding about the device.
type WriteFinding struct {
	Device  ringwall.DeviceID
	Finding ringwall.Finding
}

// DropTrust asks to evaluate the device's trust now, with this incident as an
// open one under an act rule.
type DropTrust struct {
	Device   ringwall.DeviceID
	Incident ringwall.IncidentID
	Reason   string
}

// Absolve tells that a person decided that the device did nothing wrong: what
// trust holds against its behaviour up to At is forgiven.
type Absolve struct {
	Device ringwall.DeviceID
	At     time.Time
}

// LiftResponse asks to lift a response that is in force, in the name of the
// person who decided that it was made for nothing.
type LiftResponse struct {
	Response ringwall.ResponseID
	By       string
}

func (Respond) effect()      {}
func (WriteFinding) effect() {}
func (DropTrust) effect()    {}
func (Absolve) effect()      {}
func (LiftResponse) effect() {}
