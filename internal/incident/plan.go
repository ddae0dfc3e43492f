package incident

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// A rule marked act that states no cap has this one.
const (
	defaultLimit  = 5
	defaultWindow = time.Hour
)

// Plan returns the responses that rules (nil = DefaultRules) call for on an
// incident and that are not there yet: approved where a rule says act, proposed where it says ask,
// or where its cap on subjects is reached. One that waits for a person is
// approved in place when another rule says act. recent holds the organisation's
// responses of at least the rules' longest window, of any incident.
//
// What a person declined or undid is proposed again only after something new
// was said, and is not done again without asking. Plan is idempotent: with its
// results among recent it returns nothing.
func Plan(in Incident, rules []Rule, recent []api.Response, now time.Time) []api.Response {
	if !in.Active() {
		return nil
	}
	if rules == nil {
		rules = DefaultRules()
	}
	all := union(in.Responses, recent)
	var plan []api.Response
	for _, r := range rules {
		target := r.target(in)
		if r.Do == Observe || r.Kind == "" || target.ID == "" || !r.matches(in) {
			continue
		}
		if got, ok := in.plan(r, target, all, now); ok {
			plan = union(plan, []api.Response{got})
			all = union(all, plan)
		}
	}
	return plan
}

// plan returns what rule r adds for target, if it adds anything.
func (in Incident) plan(r Rule, target ringwall.Subject, all []api.Response, now time.Time) (api.Response, bool) {
	do, why := r.Do, ""
	if limit, window := r.cap(); do == Act && touched(r, target, all, now, window) >= limit {
		do, why = Ask, fmt.Sprintf("; the rule has acted on %d within %v already, so a person decides", limit, window)
	}
	n := 0
	for _, o := range all {
		if o.Target != target || !covers(o.Kind, r.Kind) {
			continue
		}
		if o.Incident == in.ID && o.Kind == r.Kind {
			n++
		}
		switch {
		case o.Status == Proposed && do == Act && o.Kind == r.Kind:
			o.Do, o.By, o.Reason = string(Act), "rule:"+r.Name, in.reason(r)
			if o, err := Approve(o, "rule:"+r.Name, now); err == nil {
				return o, true
			}
			return o, false
		case !ended(o.Status):
			return o, false
		case !in.newsSince(o.Undone, o.Status == Expired):
			return o, false
		case o.Status != Expired:
			do = Ask
		}
	}
	res := api.Response{
		ID:  ringwall.ResponseID(ringwall.DeriveID(ringwall.PrefixResponse, string(in.ID), r.Kind, target.ID, strconv.Itoa(n))),
		Org: in.Org, Incident: in.ID, Kind: r.Kind, Target: target, Do: string(do), Status: Proposed,
		By: "rule:" + r.Name, Reason: in.reason(r) + why, Made: now, Restrict: r.Restrict,
	}
	if do == Act {
		res.Status, res.Decided = Approved, res.By
	}
	if r.Expiry > 0 {
		res.Expires = now.Add(r.Expiry)
	}
	return res, true
}

func (r Rule) cap() (int, time.Duration) {
	limit, window := r.Limit, r.Window
	if limit <= 0 {
		limit = defaultLimit
	}
	if window <= 0 {
		window = defaultWindow
	}
	return limit, window
}

// touched counts the other subjects that rule r acted on within its window. A
// response made in the future, by a clock that jumped back, counts.
func touched(r Rule, target ringwall.Subject, all []api.Response, now time.Time, window time.Duration) int {
	seen := map[ringwall.Subject]bool{}
	for _, o := range all {
		if o.By == "rule:"+r.Name && o.Do == string(Act) && o.Status != Declined && o.Target != target && now.Sub(o.Made) < window {
			seen[o.Target] = true
		}
	}
	return len(seen)
}

// covers reports whether a response of kind have does what one of kind want
// would do.
func covers(have, want string) bool {
	return have == want || have == Cutoff && want == Quarantine || have == SIMSuspend && want == SIMRestrict
}

// newsSince reports whether something was said after t: anything when repeats
// count, else something new.
func (in Incident) newsSince(t time.Time, repeats bool) bool {
	return slices.ContainsFunc(in.Groups, func(g Group) bool {
		return g.Nature != ringwall.NatureNotice && (g.First.After(t) || repeats && g.Last.After(t))
	})
}

func (in Incident) reason(r Rule) string {
	if in.Stage == ringwall.NoStage {
		return fmt.Sprintf("rule %s: severity %s", r.Name, in.Severity)
	}
	return fmt.Sprintf("rule %s: stage %s, severity %s", r.Name, in.Stage, in.Severity)
}

// union returns a with each response of b added or, by id, put in its place.
func union(a, b []api.Response) []api.Response {
	out := slices.Clone(a)
	for _, r := range b {
		if i := slices.IndexFunc(out, func(o api.Response) bool { return o.ID == r.ID }); i >= 0 {
			out[i] = r
		} else {
			out = append(out, r)
		}
	}
	return out
}

// Validate returns an Invalid error when the rule cannot mean anything.
func (r Rule) Validate() error {
	switch {
	case r.Name == "" || len(r.Name) > 64:
		return ringwall.Errorf(ringwall.Invalid, "response rule has a name of %d bytes, want 1 to 64", len(r.Name))
	case r.Do != Observe && r.Do != Ask && r.Do != Act:
		return ringwall.Errorf(ringwall.Invalid, "response rule %q does %q, want %q, %q or %q", r.Name, r.Do, Observe, Ask, Act)
	case r.Do != Observe && r.Kind != Quarantine && r.Kind != Cutoff && r.Kind != SIMSuspend && r.Kind != SIMRestrict:
		return ringwall.Errorf(ringwall.Invalid, "response rule %q has kind %q, want %q, %q, %q or %q", r.Name, r.Kind, Quarantine, Cutoff, SIMSuspend, SIMRestrict)
	case (r.Kind == SIMRestrict) != (r.Restrict != nil):
		return ringwall.Errorf(ringwall.Invalid, "response rule %q: what a card is reduced to goes with %q, and with nothing else", r.Name, SIMRestrict)
	case r.Expiry < 0 || r.Window < 0 || r.Limit < 0:
		return ringwall.Errorf(ringwall.Invalid, "response rule %q has a negative expiry, window or limit", r.Name)
	case r.Do == Act && !r.Attack:
		return ringwall.Errorf(ringwall.Invalid, "response rule %q acts on deviations alone; an act needs an attack alert (set attack)", r.Name)
	}
	return nil
}

func asError(err error) (*ringwall.Error, bool) { return errors.AsType[*ringwall.Error](err) }
