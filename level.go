package ringwall

import (
	"fmt"
	"slices"
)

// enum turns the names of a small ordered type into text and back.
func enum[T ~uint8](kind string, names []string, s string) (T, error) {
	i := slices.Index(names, s)
	if i < 0 {
		return 0, Errorf(Invalid, "%s %q is none of %q", kind, s, names)
	}
	return T(i), nil
}

func name[T ~uint8](kind string, names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", kind, v)
}

// Severity says how bad an alert or incident is; the values are those of OCSF
// severity_id 1 to 5.
type Severity uint8

const (
	_ Severity = iota
	Info
	Low
	Medium
	High
	Critical
)

var severityNames = []string{"", "info", "low", "medium", "high", "critical"}

func (s Severity) String() string               { return name("severity", severityNames, s) }
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name of a severity.
func (s *Severity) UnmarshalText(b []byte) (err error) {
	*s, err = enum[Severity]("severity", severityNames, string(b))
	return err
}

// Stage is the place of an alert in the kill chain of an attack on a device.
type Stage uint8

const (
	NoStage     Stage = iota
	Infection         // somebody gets in: credential guessing, a binary fetched
	Command           // the device takes orders: beacon, contact with a controller
	Action            // it does harm: flood, mining, video read by a stranger
	Propagation       // it attacks others: scans, sweeps
)

var stageNames = []string{"", "infection", "command", "action", "propagation"}

func (s Stage) String() string               { return name("stage", stageNames, s) }
func (s Stage) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the name of a stage.
func (s *Stage) UnmarshalText(b []byte) (err error) {
	*s, err = enum[Stage]("stage", stageNames, string(b))
	return err
}

// Grade is the risk of a device: how dangerous it is by nature, build and use.
type Grade uint8

const (
	Ungraded Grade = iota // not assessed yet; never drawn as good
	LowRisk
	MediumRisk
	HighRisk
)

var gradeNames = []string{"unknown", "low", "medium", "high"}

func (g Grade) String() string               { return name("grade", gradeNames, g) }
func (g Grade) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText reads the name of a grade.
func (g *Grade) UnmarshalText(b []byte) (err error) {
	*g, err = enum[Grade]("grade", gradeNames, string(b))
	return err
}

// Class returns the supervision class that the grade demands. A device that
// has not been graded is supervised as if its risk were high.
func (g Grade) Class() Class {
	switch g {
	case LowRisk:
		return WatchOccasionally
	case MediumRisk:
		return WatchPeriodically
	}
	return WatchInRealTime
}

// Class is a supervision class: how closely a device is watched.
type Class uint8

const (
	WatchInRealTime   Class = iota // strengthen, watch in real time, situational awareness
	WatchPeriodically              // strengthen, watch periodically
	WatchOccasionally              // watch occasionally
)

var classNames = []string{"real-time", "periodic", "occasional"}

func (c Class) String() string               { return name("class", classNames, c) }
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the name of a supervision class.
func (c *Class) UnmarshalText(b []byte) (err error) {
	*c, err = enum[Class]("class", classNames, string(b))
	return err
}

// Trust is what a device has proven lately, and so what the network lets it
// do. It is the minimum over its inputs, drops at once and rises slowly.
type Trust uint8

const (
	T0 Trust = iota // revoked, cut off or never enrolled: enrolment only
	T1              // evidence that failed, or an open incident: the remediation set
	T2              // capped by posture: named hosts and local peers, nothing inbound
	T3              // an identity of its own, or pinned and vouched for: its allow list
	T4              // hardware root and fresh clean attestation: secrets may be released
)

var trustNames = []string{"T0", "T1", "T2", "T3", "T4"}

func (t Trust) String() string               { return name("trust", trustNames, t) }
func (t Trust) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads the name of a trust level.
func (t *Trust) UnmarshalText(b []byte) (err error) {
	*t, err = enum[Trust]("trust", trustNames, string(b))
	return err
}

// Mode is how a policy is applied.
type Mode uint8

const (
	Learn   Mode = iota // nothing is refused; what the device needs is noted
	Shadow              // nothing is refused; what would be is noted
	Enforce             // what is not allowed is refused
)

var modeNames = []string{"learn", "shadow", "enforce"}

func (m Mode) String() string               { return name("mode", modeNames, m) }
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the name of a mode.
func (m *Mode) UnmarshalText(b []byte) (err error) {
	*m, err = enum[Mode]("mode", modeNames, string(b))
	return err
}

// Presence is whether a device is where it should be.
type Presence uint8

const (
	PresenceUnknown Presence = iota
	Online
	Silent // nothing heard for longer than its habit
	Gone   // nothing heard for long, and no answer when asked
	Moved  // turned up behind another gateway
)

var presenceNames = []string{"unknown", "online", "silent", "gone", "moved"}

func (p Presence) String() string               { return name("presence", presenceNames, p) }
func (p Presence) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads the name of a presence.
func (p *Presence) UnmarshalText(b []byte) (err error) {
	*p, err = enum[Presence]("presence", presenceNames, string(b))
	return err
}

// Restriction is what a hold or a trust level does to a device's traffic.
type Restriction uint8

const (
	Unrestricted Restriction = iota
	Quarantine               // only the remediation set passes
	Cutoff                   // nothing passes but enrolment
)

var restrictionNames = []string{"none", "quarantine", "cutoff"}

func (r Restriction) String() string               { return name("restriction", restrictionNames, r) }
func (r Restriction) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name of a restriction.
func (r *Restriction) UnmarshalText(b []byte) (err error) {
	*r, err = enum[Restriction]("restriction", restrictionNames, string(b))
	return err
}
