package incident

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// maxNote bounds an analyst's note.
const maxNote = 4096

// next lists where a person may move an incident from a status. Contained is
// reached and left by responses too.
var next = map[string][]string{
	New:       {Triaged, Contained, Resolved, Closed},
	Triaged:   {Contained, Resolved, Closed},
	Contained: {Triaged, Resolved, Closed},
	Resolved:  {Triaged, Closed},
}

// Decide returns the incident after an analyst's decision by a user, and what
// has to happen. A disposition of false or benign absolves the device and lifts
// what was done to it. Closing without a disposition says unknown. The error
// has code Conflict when the incident has moved on, Invalid when the decision
// means nothing.
func Decide(open Incident, p api.IncidentPatch, by string, now time.Time) (Incident, []Effect, error) {
	in := open.clone()
	if !in.Listed() {
		return open, nil, ringwall.Errorf(ringwall.NotFound, "incident %q was never opened", in.ID)
	}
	var effects []Effect
	if p.Disposition != nil && *p.Disposition != in.Disposition {
		e, err := in.dispose(*p.Disposition, by, now)
		if err != nil {
			return open, nil, err
		}
		effects = e
	}
	if p.Status != nil && *p.Status != in.Status {
		if err := in.move(*p.Status, by, now); err != nil {
			return open, nil, err
		}
	}
	if p.Note != nil && *p.Note != "" {
		if len(*p.Note) > maxNote {
			return open, nil, ringwall.Errorf(ringwall.Invalid, "note of %d bytes is over the limit of %d", len(*p.Note), maxNote)
		}
		in.tell(api.StoryLine{Time: now, Key: "story.note", Params: map[string]string{"by": by, "note": *p.Note}, Ref: string(in.ID)}, true)
	}
	in.Updated = now
	return in, effects, nil
}

func (in *Incident) dispose(d, by string, now time.Time) ([]Effect, error) {
	if !slices.Contains([]string{DispositionTrue, DispositionBenign, DispositionFalse, DispositionUnknown}, d) {
		return nil, ringwall.Errorf(ringwall.Invalid, "disposition %q is none of true, benign, false, unknown", d)
	}
	in.Disposition, in.Disposed = d, now
	in.tell(api.StoryLine{Time: now, Key: "story.disposition." + d, Params: map[string]string{"by": by}, Ref: string(in.ID)}, true)
	if d != DispositionFalse && d != DispositionBenign {
		return nil, nil
	}
	in.Act = false
	var effects []Effect
	if dev := in.Device(); dev != "" {
		effects = append(effects, Absolve{Device: dev, At: now})
	}
	for _, r := range in.Responses {
		if r.Status == Done || r.Status == Doing || r.Status == Failed {
			effects = append(effects, LiftResponse{Response: r.ID, By: by})
		}
	}
	return effects, nil
}

func (in *Incident) move(to, by string, now time.Time) error {
	allowed, known := next[in.Status]
	if _, is := next[to]; !is && to != Closed {
		return ringwall.Errorf(ringwall.Invalid, "status %q is none of new, triaged, contained, resolved, closed", to)
	}
	if !known || !slices.Contains(allowed, to) {
		return ringwall.Errorf(ringwall.Conflict, "incident %q is %s: it cannot become %s", in.ID, in.Status, to)
	}
	in.Status = to
	switch to {
	case Resolved:
		in.ResolvedAt = now
	case Triaged:
		in.ResolvedAt = time.Time{}
	case Closed:
		in.Closed = now
		if in.ResolvedAt.IsZero() {
			in.ResolvedAt = now
		}
		if in.Disposition == "" {
			in.Disposition, in.Disposed = DispositionUnknown, now
		}
	}
	in.tell(api.StoryLine{Time: now, Key: "story.status." + to, Params: map[string]string{"by": by}, Ref: string(in.ID)}, true)
	return nil
}
