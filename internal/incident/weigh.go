package incident

import (
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// DefaultThreshold is the weight at which deviations open an incident. One rule
// weighs at most ruleCeiling, half of it: what one detector says, however often,
// is one opinion, and takes a second.
const (
	DefaultThreshold = 60
	ruleCeiling      = 30
)

// weights of one deviation by severity; a rule that says more of itself than
// medium is still no proof.
var weights = [...]int{ringwall.Info: 2, ringwall.Low: 5, ringwall.Medium: 10, ringwall.High: 20, ringwall.Critical: 20}

// stagePoints are what a stage adds to the score when it is reached by a
// critical attack alert; they sum to 100.
var stagePoints = [...]int{ringwall.NoStage: 40, ringwall.Infection: 20, ringwall.Command: 25, ringwall.Action: 25, ringwall.Propagation: 30}

// severityShare is the share of stagePoints, in percent, by severity.
var severityShare = [...]int{ringwall.Info: 10, ringwall.Low: 30, ringwall.Medium: 60, ringwall.High: 90, ringwall.Critical: 100}

const orderBonus = 5 // for each stage that came after an earlier one, as an attack does

// at reads a table by severity, the last entry for what is out of range.
func at(table []int, s ringwall.Severity) int { return table[min(int(s), len(table)-1)] }

// chain lists the stages of the kill chain in order.
var chain = [...]ringwall.Stage{ringwall.Infection, ringwall.Command, ringwall.Action, ringwall.Propagation}

// weigh works out stages, severity and score from the groups.
func (in *Incident) weigh() {
	in.Stages = make([]api.StageSeen, 0, len(chain))
	in.Stage = ringwall.NoStage
	for _, st := range chain {
		seen := api.StageSeen{Stage: st}
		for _, g := range in.Groups {
			if g.Stage != st || g.Nature == ringwall.NatureNotice {
				continue
			}
			seen.Count += g.Count
			if seen.First.IsZero() || g.First.Before(seen.First) {
				seen.First = g.First
			}
		}
		if seen.Count > 0 {
			in.Stage = st
		}
		in.Stages = append(in.Stages, seen)
	}
	in.Severity = in.severity()
	in.Score = in.score()
}

func (in *Incident) stageCount() (n int) {
	for _, s := range in.Stages {
		if s.Count > 0 {
			n++
		}
	}
	return n
}

// severity is that of the worst attack alert, one more when it is part of a
// chain. Deviations count up to medium.
func (in *Incident) severity() ringwall.Severity {
	worst, attack := ringwall.Info, false
	for _, g := range in.Groups {
		switch g.Nature {
		case ringwall.NatureAttack:
			worst, attack = max(worst, g.Severity), true
		case ringwall.NatureNotice:
		default:
			worst = max(worst, min(g.Severity, ringwall.Medium))
		}
	}
	if attack && in.stageCount() >= 2 {
		worst = max(worst+1, ringwall.High)
	}
	return min(worst, ringwall.Critical)
}

func (in *Incident) score() int {
	var share [len(stagePoints)]int
	for _, g := range in.Groups {
		if g.Nature == ringwall.NatureNotice || int(g.Stage) >= len(share) {
			continue
		}
		s := at(severityShare[:], g.Severity)
		if g.Nature != ringwall.NatureAttack {
			s = min(s, at(severityShare[:], ringwall.Medium)) / 2
		}
		share[g.Stage] = max(share[g.Stage], s)
	}
	score := 0
	for st, s := range share {
		score += stagePoints[st] * s / 100
	}
	var before time.Time
	for _, s := range in.Stages {
		if s.Count == 0 {
			continue
		}
		if !before.IsZero() && !s.First.Before(before) {
			score += orderBonus
		}
		before = s.First
	}
	return min(score, 100)
}

// opens reports whether a watched incident is to be opened.
func (in *Incident) opens(cfg Config) bool {
	attack := false
	byRule := map[string]int{}
	for _, g := range in.Groups {
		switch g.Nature {
		case ringwall.NatureAttack:
			attack = true
			if g.Severity >= ringwall.High {
				return true
			}
		case ringwall.NatureNotice:
		default:
			w := at(weights[:], g.Severity)
			byRule[g.Rule] = min(byRule[g.Rule]+w*bits.Len(uint(g.Count)), ruleCeiling)
		}
	}
	if attack && in.stageCount() >= 2 || in.witnessed() {
		return true
	}
	sum := 0
	for _, w := range byRule {
		sum += w
	}
	return sum >= cfg.threshold()
}

// ownStage is the furthest stage that the device was proven to reach by its own
// doing. An attack alert about what it does is proof by itself. Of anything else
// (a deviation, or harm that others do to it) one source is none: an honest
// camera that calls a bare address at even times, and at which somebody guesses
// passwords, would be condemned by whoever cares to guess. It is proof when it
// is borne out: see borneOut.
func (in *Incident) ownStage() ringwall.Stage {
	st := ringwall.NoStage
	for _, g := range in.Groups {
		if g.Stage <= st || g.Nature == ringwall.NatureNotice {
			continue
		}
		if g.Nature == ringwall.NatureAttack && !g.Target || in.borneOut(g) {
			st = g.Stage
		}
	}
	return st
}

// borneOut reports whether something else makes proof of what g says: a program
// was brought onto the device; the other end is the one that tried to get in;
// or the operator's records and the gateway's packets, which know nothing of
// each other, both name that other end.
func (in *Incident) borneOut(g Group) bool {
	return slices.ContainsFunc(in.Groups, func(o Group) bool {
		samePeer := g.Peer.IsValid() && o.Peer == g.Peer
		broughtIn := o.Stage == ringwall.Infection && o.Nature == ringwall.NatureAttack && o.Rule != g.Rule
		return broughtIn && (samePeer || o.Rule == "binary-download") || witnesses(g, o) && samePeer
	})
}

// witnesses reports whether one group is the operator's and the other the
// gateway's, and both tell of the device's own doing at stage command or later.
func witnesses(a, b Group) bool {
	return a.SIM != b.SIM && !a.Target && !b.Target && min(a.Stage, b.Stage) >= ringwall.Command
}

// witnessed reports whether operator and gateway bear each other out.
func (in *Incident) witnessed() bool {
	for _, a := range in.Groups {
		for _, b := range in.Groups {
			if witnesses(a, b) && a.Peer.IsValid() && a.Peer == b.Peer {
				return true
			}
		}
	}
	return false
}

// matches reports whether rule r speaks of incident in.
func (r Rule) matches(in Incident) bool {
	if in.Severity < r.Severity || in.Stage < r.Reached || in.ownStage() < r.Stage || r.Attack && !in.Attack() {
		return false
	}
	if r.Alert == "" {
		return true
	}
	for _, g := range in.Groups {
		if g.Rule == r.Alert {
			return true
		}
	}
	return false
}

// target is what the rule's response works on; without an id when the incident
// has no such thing.
func (r Rule) target(in Incident) ringwall.Subject {
	if r.Kind == SIMSuspend || r.Kind == SIMRestrict {
		return ringwall.Subject{Kind: ringwall.SubjectSIM, ID: string(in.SIM)}
	}
	return ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(in.Device())}
}

// finding is the knock-out finding of an incident at stage command or later.
func (in *Incident) finding(now time.Time) ringwall.Finding {
	f := ringwall.Finding{
		Indicator: ringwall.ObservedCompromise, Module: ringwall.Firmware, Outcome: ringwall.Fail, Confidence: ringwall.Confirmed,
		Title:  "The device was seen to act under somebody else's control",
		Facts:  map[string]string{"incident": string(in.ID), "stage": in.ownStage().String()},
		Remedy: "Change its passwords, restore clean firmware, then assess it again",
		Source: "incident:" + string(in.ID), Time: now,
	}
	for _, g := range in.Groups {
		if g.Stage >= ringwall.Command && g.Nature != ringwall.NatureNotice {
			f.Evidence = append(f.Evidence, fmt.Sprintf("%s (%s, %s), %d times since %s", g.Rule, g.Stage, g.Severity, g.Count, g.First.UTC().Format(time.RFC3339)))
		}
	}
	return f
}
