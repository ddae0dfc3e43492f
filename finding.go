package ringwall

import "time"

// Module is one of the five parts of a device that are rated.
type Module uint8

const (
	Hardware Module = iota
	Firmware
	Application
	Data
	Communication
)

// Modules lists the five in the order in which they are shown.
var Modules = [...]Module{Hardware, Firmware, Application, Data, Communication}

var moduleNames = []string{"hardware", "firmware", "application", "data", "communication"}

func (m Module) String() string               { return name("module", moduleNames, m) }
func (m Module) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name of a module.
func (m *Module) UnmarshalText(b []byte) (err error) {
	*m, err = enum[Module]("module", moduleNames, string(b))
	return err
}

// Outcome is the answer to an indicator. The zero value is Unknown: what was
// not measured is never good.
type Outcome uint8

const (
	Unknown Outcome = iota
	Pass
	Partial
	Fail
	NotApplicable
)

var outcomeNames = []string{"unknown", "pass", "partial", "fail", "not-applicable"}

func (o Outcome) String() string               { return name("outcome", outcomeNames, o) }
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads the name of an outcome.
func (o *Outcome) UnmarshalText(b []byte) (err error) {
	*o, err = enum[Outcome]("outcome", outcomeNames, string(b))
	return err
}

// Confidence is how a finding came to be known; a higher one wins over a lower.
type Confidence uint8

const (
	Declared  Confidence = iota // somebody says so
	Observed                    // seen, but not tried: a banner, a static fact
	Confirmed                   // proven: a decoded frame, a prompt, a privileged call
)

var confidenceNames = []string{"declared", "observed", "confirmed"}

func (c Confidence) String() string               { return name("confidence", confidenceNames, c) }
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name of a confidence.
func (c *Confidence) UnmarshalText(b []byte) (err error) {
	*c, err = enum[Confidence]("confidence", confidenceNames, string(b))
	return err
}

// Finding is one answer to one indicator of the rubric, with its evidence.
type Finding struct {
	Indicator  string            `json:"indicator"` // such as "AP-01", or "observed-compromise"
	Module     Module            `json:"module"`
	Outcome    Outcome           `json:"outcome"`
	Confidence Confidence        `json:"confidence"`
	Title      string            `json:"title"`            // one sentence, English
	Evidence   []string          `json:"evidence"`         // what was seen, a line each; no secrets
	Facts      map[string]string `json:"facts,omitempty"`  // the same for machines
	Remedy     string            `json:"remedy,omitempty"` // what to do about it
	Source     string            `json:"source"`           // the probe or party that answered
	Time       time.Time         `json:"time"`
	Until      time.Time         `json:"until,omitzero"` // when the answer goes stale
}

// ObservedCompromise is the indicator of the knock-out finding that an incident
// at stage Command or later writes, and that a clean re-assessment clears.
const ObservedCompromise = "observed-compromise"
