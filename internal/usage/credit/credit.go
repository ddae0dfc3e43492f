// Package credit says how far a customer or an intermediary can be relied on,
// from what its cards did.
//
// A score begins at 100. Each rule that spoke takes points away: how many
// follows from how grave it is (Ceiling), and from the share of the cards that
// it spoke of. A card counts once a rule, by its gravest statement; what people
// found to be a false alarm or meant to be does not count, what they found true
// counts in full, what nobody has looked at counts half. Statements count for
// less as they grow old, by half each HalfLife, so that a score recovers with
// time and never by anything else. Prior good cards stand beside the real ones,
// so that one card of five does not say what fifty of two hundred and fifty do.
//
// Too little is known of somebody with fewer than MinCards cards that were
// used, or of whom nothing was seen for MinDays: then there is no score. Unknown
// is neither good nor bad.
//
// The package is a pure function: no clock, no state. The same input gives the
// same score, and the order of the statements does not matter.
package credit

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
)

// Constants of the score; each is a choice, stated here to be argued with.
const (
	// HalfLife: what happened a month ago weighs half. A quarter of a year after
	// the last misuse an eighth is left.
	HalfLife = 30 * 24 * time.Hour
	// Span is how far back statements are looked at: past it less than 2 % is left.
	Span = 180 * 24 * time.Hour
	// Saturation is the share of the cards at which a rule takes all it can: one
	// card in twenty is no accident.
	Saturation = 0.05
	// Prior is the number of good cards that everybody is given.
	Prior = 20
	// MinCards and MinDays say below what nothing is known.
	MinCards = 5
	MinDays  = 14
	// Unjudged is what a statement counts that nobody has looked at.
	Unjudged = 0.5
	// Proofs bounds the statements that a deduction names.
	Proofs = 5
)

// Ceiling is the most that one rule takes away, by the gravest that it said.
func Ceiling(s ringwall.Severity) float64 {
	switch {
	case s >= ringwall.Critical:
		return 45
	case s == ringwall.High:
		return 30
	case s == ringwall.Medium:
		return 15
	case s == ringwall.Low:
		return 5
	}
	return 0
}

// weight is how grave one statement is, as a share of the gravest.
func weight(s ringwall.Severity) float64 { return Ceiling(s) / Ceiling(ringwall.Critical) }

// Statement is what one rule said of one card.
type Statement struct {
	ID          ringwall.AlertID
	Card        ringwall.SIMID
	Rule        string
	Severity    ringwall.Severity
	Time        time.Time
	Disposition string // "true", "benign", "false", "unknown", "" = nobody looked
}

// Input is what is known of somebody.
type Input struct {
	Cards int       // that were used within Span
	Since time.Time // the first use of any
	Said  []Statement
}

// Deduction is what one rule takes away, and why.
type Deduction struct {
	Rule        string
	Points      float64 // rounded to tenths
	Statements  int
	Cards       int
	Share       float64 // of the cards
	First, Last time.Time
	Proofs      []ringwall.AlertID // the newest
}

// Score is the answer.
type Score struct {
	Known      bool
	Why        string // why it is not: "cards" or "time"
	Value      int    // 0 to 100
	Deductions []Deduction
}

// counts returns what a disposition makes of a statement.
func counts(disposition string) float64 {
	switch disposition {
	case "true":
		return 1
	case "false", "benign":
		return 0
	}
	return Unjudged
}

// Of reckons a score as of now.
func Of(in Input, now time.Time) Score {
	s := Score{Deductions: deductions(in, now)}
	sum := 0.0
	for _, d := range s.Deductions {
		sum += d.Points
	}
	switch {
	case in.Cards < MinCards:
		s.Why = "cards"
	case in.Since.IsZero() || now.Sub(in.Since) < MinDays*24*time.Hour:
		s.Why = "time"
	default:
		s.Known, s.Value = true, int(math.Round(max(0, 100-sum)))
	}
	return s
}

func deductions(in Input, now time.Time) []Deduction {
	byRule := map[string][]Statement{}
	for _, st := range in.Said {
		age := now.Sub(st.Time)
		if age < Span && counts(st.Disposition) > 0 && weight(st.Severity) > 0 {
			byRule[st.Rule] = append(byRule[st.Rule], st)
		}
	}
	var all []Deduction
	for _, rule := range slices.Sorted(maps.Keys(byRule)) {
		if d := deduct(rule, byRule[rule], in.Cards, now); d.Points > 0 {
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b Deduction) int { return cmp.Compare(b.Points, a.Points) })
	return all
}

func deduct(rule string, said []Statement, cards int, now time.Time) Deduction {
	slices.SortFunc(said, func(a, b Statement) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID)) })
	d := Deduction{Rule: rule, Statements: len(said), First: said[len(said)-1].Time, Last: said[0].Time}
	worst := ringwall.Info
	ofCard := map[ringwall.SIMID]float64{}
	for _, st := range said {
		worst = max(worst, st.Severity)
		age := max(0, now.Sub(st.Time))
		w := counts(st.Disposition) * weight(st.Severity) * math.Exp2(-age.Hours()/HalfLife.Hours())
		ofCard[st.Card] = max(ofCard[st.Card], w)
		if len(d.Proofs) < Proofs {
			d.Proofs = append(d.Proofs, st.ID)
		}
	}
	sum := 0.0
	for _, card := range slices.Sorted(maps.Keys(ofCard)) { // in order: sums of floats depend on it
		sum += ofCard[card]
	}
	d.Cards = len(ofCard)
	d.Share = min(1, float64(d.Cards)/float64(max(1, cards)))
	share := min(1, sum/weight(worst)/float64(max(cards, d.Cards)+Prior)/Saturation)
	d.Points = math.Round(10*Ceiling(worst)*share) / 10
	return d
}
