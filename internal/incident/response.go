package incident

import (
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Status of a response. It is recorded before the act, so a response that was
// interrupted is found Doing or Undoing, and is taken up again.
const (
	Proposed = "proposed" // waits for a person
	Approved = "approved" // may be done
	Declined = "declined"
	Doing    = "doing"
	Done     = "done" // in force
	Failed   = "failed"
	Undoing  = "undoing" // still in force, being lifted
	Undone   = "undone"
	Expired  = "expired"
)

// AskFor is how long a proposal waits before it is no longer worth deciding.
const AskFor = 24 * time.Hour

// byExpiry is the decider of what time ends.
const byExpiry = "system:expiry"

// InForce reports whether the response restricts its target now. One that is
// being lifted still does; one that is being done may already, and is counted
// only when it is known to.
func InForce(r api.Response) bool { return r.Status == Done || r.Status == Undoing }

// Waiting reports whether the response waits for a person.
func Waiting(r api.Response) bool { return r.Status == Proposed }

func ended(status string) bool {
	return status == Declined || status == Undone || status == Expired
}

// Request returns the response that a person asks for outright: approved by the
// asking. An expiry of 0 means until undone.
func Request(id ringwall.ResponseID, org ringwall.OrgID, c api.ResponseCreate, by string, now time.Time) (api.Response, error) {
	kinds := map[string]ringwall.SubjectKind{Quarantine: ringwall.SubjectDevice, Cutoff: ringwall.SubjectDevice, SIMSuspend: ringwall.SubjectSIM, SIMRestrict: ringwall.SubjectSIM}
	want, ok := kinds[c.Kind]
	switch {
	case !ok:
		return api.Response{}, ringwall.Errorf(ringwall.Invalid, "response kind %q is none of %q, %q, %q, %q", c.Kind, Quarantine, Cutoff, SIMSuspend, SIMRestrict)
	case c.Target.Kind != want || c.Target.ID == "":
		return api.Response{}, ringwall.Errorf(ringwall.Invalid, "response %q works on a %s, not on a %q", c.Kind, want, c.Target.Kind)
	case (c.Kind == SIMRestrict) != (c.Restrict != nil):
		return api.Response{}, ringwall.Errorf(ringwall.Invalid, "what a card is reduced to (restrict) goes with %q, and with nothing else", SIMRestrict)
	case c.Expiry < 0:
		return api.Response{}, ringwall.Errorf(ringwall.Invalid, "expiry %v lies in the past", time.Duration(c.Expiry))
	}
	r := api.Response{
		ID: id, Org: org, Incident: c.Incident, Kind: c.Kind, Target: c.Target, Do: string(Act), Status: Approved,
		By: by, Decided: by, Reason: c.Reason, Made: now, Restrict: c.Restrict,
	}
	if c.Expiry > 0 {
		r.Expires = now.Add(time.Duration(c.Expiry))
	}
	return r, nil
}

// FromHold returns the response that stands for a hold which a gateway's reflex
// made by itself: it is done already. The id follows from the hold's, so that a
// report sent twice makes one response.
func FromHold(org ringwall.OrgID, inc ringwall.IncidentID, h api.HoldReport) api.Response {
	kind := Quarantine
	if h.Hold.Do == ringwall.Cutoff {
		kind = Cutoff
	}
	return api.Response{
		ID:  ringwall.ResponseID(ringwall.DeriveID(ringwall.PrefixResponse, string(org), string(h.Hold.ID))),
		Org: org, Incident: inc, Kind: kind, Target: ringwall.Subject{Kind: ringwall.SubjectDevice, ID: string(h.Hold.Device)},
		Do: string(Act), Status: Done, By: h.Hold.By, Decided: h.Hold.By, Reason: h.Hold.Reason,
		Made: h.Hold.Made, Done: h.InForce, Expires: h.Hold.Expires, Hold: h.Hold.ID,
	}
}

// conflict says that r is past what was asked of it.
func conflict(r api.Response, act string) error {
	return ringwall.Errorf(ringwall.Conflict, "response %q is %s: it cannot be %s", r.ID, r.Status, act)
}

// Approve lets a proposed response be done. Its expiry runs from now.
func Approve(r api.Response, by string, now time.Time) (api.Response, error) {
	if r.Status != Proposed {
		return r, conflict(r, "approved")
	}
	if !now.Before(r.Made.Add(AskFor)) {
		return r, ringwall.Errorf(ringwall.Conflict, "response %q was proposed more than %v ago: ask for a new one", r.ID, AskFor)
	}
	if !r.Expires.IsZero() {
		r.Expires = now.Add(r.Expires.Sub(r.Made))
	}
	r.Status, r.Decided = Approved, by
	return r, nil
}

// Decline ends a proposed response, or an approved one that was not begun.
func Decline(r api.Response, by string, now time.Time) (api.Response, error) {
	if r.Status != Proposed && r.Status != Approved {
		return r, conflict(r, "declined")
	}
	r.Status, r.Decided, r.Undone = Declined, by, now
	return r, nil
}

// Start marks an approved response, or one that failed and is tried again, as
// being done. Record the result before acting.
func Start(r api.Response, now time.Time) (api.Response, error) {
	if r.Status != Approved && r.Status != Failed && r.Status != Doing {
		return r, conflict(r, "done")
	}
	if !r.Expires.IsZero() && !now.Before(r.Expires) {
		return r, ringwall.Errorf(ringwall.Conflict, "response %q has expired", r.ID)
	}
	r.Status, r.Error = Doing, ""
	return r, nil
}

// Finish marks a response as done: what it asked for is known to be in force.
// hold names the hold that carries it out, if one does.
func Finish(r api.Response, hold ringwall.HoldID, now time.Time) (api.Response, error) {
	if r.Status != Doing {
		return r, conflict(r, "finished")
	}
	r.Status, r.Done, r.Hold, r.Error = Done, now, hold, ""
	return r, nil
}

// Fail marks a response whose act failed. An act whose outcome is not known has
// not failed: leave it Doing and try again.
func Fail(r api.Response, cause error) (api.Response, error) {
	if r.Status != Doing {
		return r, conflict(r, "failed")
	}
	r.Status, r.Error = Failed, safeText(cause)
	return r, nil
}

// Lift begins to undo a response that is in force, or may be: record the
// result, act, then call Lifted or LiftFailed. by is a person, or "" when its
// time is over.
func Lift(r api.Response, by string) (api.Response, error) {
	if r.Status != Done && r.Status != Doing && r.Status != Failed {
		return r, conflict(r, "undone")
	}
	if by == "" {
		by = byExpiry
	}
	r.Status, r.Decided, r.Error = Undoing, by, ""
	return r, nil
}

// Lifted marks a response as undone, or as expired when time ended it.
func Lifted(r api.Response, now time.Time) (api.Response, error) {
	if r.Status != Undoing {
		return r, conflict(r, "lifted")
	}
	r.Status, r.Undone, r.Error = Undone, now, ""
	if r.Decided == byExpiry {
		r.Status = Expired
	}
	return r, nil
}

// LiftFailed notes why lifting did not work; the response stays Undoing, which
// is in force, and lifting is tried again.
func LiftFailed(r api.Response, cause error) (api.Response, error) {
	if r.Status != Undoing {
		return r, conflict(r, "lifted")
	}
	r.Error = safeText(cause)
	return r, nil
}

// Due returns what time has decided among responses: those in force or failed
// whose expiry has come, moved to Undoing, and proposals nobody decided, Expired.
// Record each before acting on it.
func Due(responses []api.Response, now time.Time) []api.Response {
	var due []api.Response
	for _, r := range responses {
		over := !r.Expires.IsZero() && !now.Before(r.Expires)
		switch {
		case r.Status == Proposed && !now.Before(r.Made.Add(AskFor)), r.Status == Approved && over:
			r.Status, r.Decided, r.Undone = Expired, byExpiry, now
			due = append(due, r)
		case over && (r.Status == Done || r.Status == Doing || r.Status == Failed):
			if lifted, err := Lift(r, ""); err == nil {
				due = append(due, lifted)
			}
		}
	}
	return due
}

// safeText is the part of an error that may be shown.
func safeText(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := asError(err); ok {
		return e.Text
	}
	return "internal failure"
}
