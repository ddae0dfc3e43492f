package trust

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Config says how fast trust rises. The zero value is good.
type Config struct {
	// CoolDown is the clean time that one step up takes; 0 = DefaultCoolDown.
	CoolDown time.Duration
	// CleanAssessments is how many clean assessments one step up takes besides;
	// 0 = none is asked for.
	CleanAssessments int
	// MaxGap is the most clean time that one evaluation adds; 0 = DefaultMaxGap,
	// but never more than CoolDown.
	MaxGap time.Duration
}

const (
	// DefaultCoolDown is an hour: from quarantine back to T3 takes two, longer
	// than the usual retry of a botnet's loader and shorter than a working day.
	DefaultCoolDown = time.Hour
	// DefaultMaxGap is five minutes, ten times the platform's round of evaluation.
	DefaultMaxGap = 5 * time.Minute
)

func (c Config) coolDown() time.Duration {
	if c.CoolDown <= 0 {
		return DefaultCoolDown
	}
	return c.CoolDown
}

func (c Config) maxGap() time.Duration {
	g := c.MaxGap
	if g <= 0 {
		g = DefaultMaxGap
	}
	return min(g, c.coolDown())
}

// State is what trust in one device is and stands on. The zero State is of a
// device never evaluated. It is kept as JSON between evaluations.
type State struct {
	Level ringwall.Trust `json:"level"`
	// Reasons has one entry an input, the lowest cap first; the first one is
	// why the level is not higher.
	Reasons []api.TrustReason `json:"reasons"`
	Since   time.Time         `json:"since,omitzero"` // when Level became what it is
	// Next is when the next step up is due if everything stays clean; zero when
	// no debt holds the level down, or only an assessment is waited for.
	Next  time.Time `json:"next,omitzero"`
	Debts []Debt    `json:"debts,omitempty"`
	At    time.Time `json:"at,omitzero"` // of the last evaluation; kept only while there are debts
}

// Debt is the trace that a fault of one input leaves.
type Debt struct {
	Input string         `json:"input"`
	Cap   ringwall.Trust `json:"cap"`   // what the debt still allows
	Fault time.Time      `json:"fault"` // when the fault was last seen
	Key   string         `json:"key"`   // the fault's reason
	// Served is the clean time, and Assessed the clean assessments, since the
	// fault or the last step; Last is the newest assessment that was counted.
	Served   time.Duration `json:"served"`
	Assessed int           `json:"assessed"`
	Last     time.Time     `json:"last,omitzero"`
}

// Indebted reports whether the device is still recovering, and so has to be
// evaluated at least each Config.MaxGap.
func (s State) Indebted() bool { return len(s.Debts) > 0 }

// Changed reports whether s says something other than prev to people: another
// level, other reasons or another time for the next step. A debt that is served
// as it was foreseen changes nothing.
func (s State) Changed(prev State) bool {
	return s.Level != prev.Level || !slices.EqualFunc(s.Reasons, prev.Reasons, func(a, b api.TrustReason) bool {
		return a.Input == b.Input && a.Cap == b.Cap && a.Key == b.Key && a.Evidence == b.Evidence && a.Due.Sub(b.Due).Abs() < time.Minute
	})
}

// Evaluate returns the trust that in allows now, given what it was. Level is
// never above the lowest cap among in, falls to it at once and, after a fault,
// rises by at most one step a call.
func Evaluate(prev State, in Inputs, now time.Time, cfg Config) State {
	caps := judge(in)
	next := State{Debts: settle(prev, caps, in, now, cfg)}
	if next.Indebted() {
		next.At = now
	}
	next.Reasons = make([]api.TrustReason, 0, len(caps)+1)
	next.Level = ringwall.T4
	for _, c := range caps {
		next.Reasons = append(next.Reasons, c.reason())
		next.Level = min(next.Level, c.cap)
	}
	inputs := next.Level
	for _, d := range next.Debts {
		next.Level = min(next.Level, d.Cap)
	}
	if next.Level < inputs {
		r, due := recovery(next.Debts, next.Level, now, cfg)
		next.Reasons = append(next.Reasons, r)
		next.Next = due
	}
	order(next.Reasons)
	date(next.Reasons, prev.Reasons, now)
	next.Since = prev.Since
	if next.Level != prev.Level || prev.Since.IsZero() {
		next.Since = now
	}
	return next
}

// order sorts by cap, then by the fixed order of inputs.
func order(rs []api.TrustReason) {
	slices.SortStableFunc(rs, func(a, b api.TrustReason) int {
		if a.Cap != b.Cap {
			return int(a.Cap) - int(b.Cap)
		}
		return slices.Index(inputOrder, a.Input) - slices.Index(inputOrder, b.Input)
	})
}

// date gives each reason the time since when it has stood.
func date(rs, prev []api.TrustReason, now time.Time) {
	for i := range rs {
		rs[i].Since = now
		for _, p := range prev {
			if p.Input == rs[i].Input && p.Cap == rs[i].Cap && p.Key == rs[i].Key && !p.Since.IsZero() {
				rs[i].Since = p.Since
			}
		}
	}
}
