package incident

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Do is what a rule demands.
type Do string

const (
	Observe Do = "observe" // tell only
	Ask     Do = "ask"     // propose; a person decides
	Act     Do = "act"     // do, and tell
)

// Kinds of responses.
const (
	Quarantine = "quarantine"
	Cutoff     = "cutoff"
	SIMSuspend = "sim-suspend"
	// SIMRestrict reduces a card: a rate, services off, some access points alone.
	SIMRestrict = "sim-restrict"
)

// Rule says which response an incident calls for. All conditions that are set
// must hold. A rule speaks of open incidents only.
type Rule struct {
	Name string `json:"name"`

	Alert    string            `json:"alert,omitempty"`    // an alert of this rule is in it
	Severity ringwall.Severity `json:"severity,omitempty"` // of the incident, at least
	Stage    ringwall.Stage    `json:"stage,omitempty"`    // that the device is proven to have reached by its own doing, at least
	Reached  ringwall.Stage    `json:"reached,omitempty"`  // of the incident, at least, whoever did it
	Attack   bool              `json:"attack,omitempty"`   // an attack alert is in it, not deviations alone

	Do     Do            `json:"do"`
	Kind   string        `json:"kind"`
	Expiry time.Duration `json:"expiry,omitempty"` // how long it stays in force; 0 = until undone
	// Limit is the most subjects that the rule may act on within Window; past it
	// the rule asks. 0 = no limit, which only an Observe or Ask rule should have.
	Limit int `json:"limit,omitempty"`
	// Restrict is what a card is reduced to by a rule of kind SIMRestrict.
	Restrict *api.SIMRestriction `json:"restrict,omitempty"`
	Window   time.Duration       `json:"window,omitempty"`
}

// Config says how alerts become incidents. The zero value is good.
type Config struct {
	// Window is how long evidence counts before an incident opens, and how far
	// apart two stages may lie; 0 = 24 h.
	Window time.Duration
	// Threshold is the weight at which deviations open an incident; 0 =
	// DefaultThreshold.
	Threshold int
	// Rules are the response rules; nil = DefaultRules.
	Rules []Rule
}

func (c Config) window() time.Duration {
	if c.Window <= 0 {
		return 24 * time.Hour
	}
	return c.Window
}

func (c Config) threshold() int {
	if c.Threshold <= 0 {
		return DefaultThreshold
	}
	return c.Threshold
}

func (c Config) rules() []Rule {
	if c.Rules == nil {
		return DefaultRules()
	}
	return c.Rules
}

// DefaultRules returns the rules of a platform that nobody configured. It acts
// alone where the device itself is seen to attack or to obey a stranger. It
// asks where somebody else's doing would be enough: if guessing at a camera's
// password cut the camera off, guessing would be a way to blind it. It always
// asks before a SIM is suspended, since that reaches beyond the owner's network.
func DefaultRules() []Rule {
	const day = 24 * time.Hour
	return []Rule{
		{Name: "device-compromised", Stage: ringwall.Command, Severity: ringwall.High, Attack: true, Do: Act, Kind: Quarantine, Expiry: day, Limit: 5, Window: time.Hour},
		{Name: "device-entered", Reached: ringwall.Infection, Severity: ringwall.High, Attack: true, Do: Ask, Kind: Quarantine, Expiry: day},
		{Name: "video-watched", Alert: "stranger-video", Severity: ringwall.High, Attack: true, Do: Ask, Kind: Quarantine, Expiry: day},
		{Name: "sim-separated", Alert: "separation", Severity: ringwall.High, Attack: true, Do: Ask, Kind: SIMSuspend, Expiry: 7 * day},
		{Name: "sim-misused", Alert: "sim-service", Severity: ringwall.High, Attack: true, Do: Ask, Kind: SIMSuspend, Expiry: 7 * day},
		{Name: "sim-of-compromised", Stage: ringwall.Action, Severity: ringwall.Critical, Attack: true, Do: Ask, Kind: SIMSuspend, Expiry: day},
		{Name: "sim-box", Alert: "sim-box", Severity: ringwall.High, Attack: true, Do: Ask, Kind: SIMSuspend, Expiry: 7 * day},
		{Name: "sim-out-of-life", Alert: "sim-lifecycle", Severity: ringwall.High, Attack: true, Do: Ask, Kind: SIMSuspend, Expiry: 7 * day},
		{Name: "sim-calling", Alert: "sim-burst", Severity: ringwall.Medium, Do: Ask, Kind: SIMRestrict, Restrict: &api.SIMRestriction{Services: []string{"voice", "sms"}}, Expiry: day},
		{Name: "sim-accounts", Alert: "sim-verification", Severity: ringwall.Medium, Do: Ask, Kind: SIMRestrict, Restrict: &api.SIMRestriction{Services: []string{"sms"}}, Expiry: day},
		{Name: "sim-flooding", Alert: "sim-volume", Severity: ringwall.Medium, Do: Ask, Kind: SIMRestrict, Restrict: &api.SIMRestriction{Rate: 64_000}, Expiry: day},
		{Name: "deviations", Do: Observe},
	}
}
