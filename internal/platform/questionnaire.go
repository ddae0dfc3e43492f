package platform

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/declare"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// draftQuestionnaire is the name of the questionnaire among a device's drafts.
const draftQuestionnaire = "questionnaire"

// maxAnswers bounds what is answered at once.
const maxAnswers = 200

// Questionnaire asks about a device, with what was answered so far.
func (s *service) Questionnaire(ctx context.Context, a audit.Actor, id ringwall.DeviceID, language string) (out api.Questionnaire, err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		d, err := tx.Device(scope, id)
		if err != nil {
			return err
		}
		draft, err := draftOf(tx, scope, d, s.now().UTC())
		if err != nil {
			return err
		}
		out, err = asked(tx, scope, d, draft, language)
		return err
	})
	if err == nil && !sightOf(a).whole {
		return out, ringwall.Errorf(ringwall.Forbidden, "what is declared about a device is not shown to your parts")
	}
	return out, err
}

// draftOf returns the draft of a device's questionnaire, a new one when there
// is none, it has expired, or the device has become something else.
func draftOf(tx *sqlstore.Tx, scope audit.Scope, d api.Device, now time.Time) (declare.Draft, error) {
	profile := profileOf(d)
	text, _, err := tx.Draft(scope, d.ID, draftQuestionnaire)
	if err != nil || text == "" {
		return declare.NewDraft(profile, now), err
	}
	draft, err := declare.ParseDraft([]byte(text))
	if err != nil || now.After(draft.Expires) {
		return declare.NewDraft(profile, now), nil // what cannot be read any more is asked again
	}
	if draft.Profile != profile {
		fresh := declare.NewDraft(profile, now)
		fresh.Answers, fresh.Revision = draft.Answers, draft.Revision+1
		kept, err := json.Marshal(fresh)
		if err != nil {
			return fresh, err
		}
		return declare.ParseDraft(kept) // without the answers that are no longer asked for
	}
	return draft, nil
}

// asked shows a draft in a language.
func asked(tx *sqlstore.Tx, scope audit.Scope, d api.Device, draft declare.Draft, language string) (api.Questionnaire, error) {
	p := draft.Progress()
	out := api.Questionnaire{
		Device: d.ID, Revision: draft.Revision, Profile: draft.Profile, Questions: []api.Question{}, Asked: p.Asked, Answered: p.Answered,
		Expires: draft.Expires,
	}
	if draft.Revision > 0 {
		out.Saved = draft.Updated
	}
	for _, q := range draft.Asked() {
		shown := api.Question{ID: q.ID, Indicator: q.Indicator, Text: q.Text.In(language), Help: q.Help.In(language), Kind: string(q.Kind), Optional: q.Optional}
		for _, c := range q.Choices {
			shown.Choices = append(shown.Choices, api.Choice{Value: c.ID, Text: c.Text.In(language)})
		}
		var given declare.Answer
		given, shown.Answered = draft.Answers[q.ID]
		shown.Answer, shown.Note = given.Value, given.Note
		out.Questions = append(out.Questions, shown)
	}
	xs, err := tx.Examinations(scope, d.ID)
	for _, x := range xs {
		if x.Source == sourceQuestionnaire {
			out.Submitted, out.Until = x.Made, x.Until
		}
	}
	return out, err
}

// sourceQuestionnaire is the source of what the organisation itself declares.
const sourceQuestionnaire = assess.SourceDeclaration + "questionnaire"

// SaveAnswers keeps answers, all or none of those given.
func (s *service) SaveAnswers(ctx context.Context, a audit.Actor, id ringwall.DeviceID, language string, in api.Answers) (out api.Questionnaire, err error) {
	if len(in.Answers) > maxAnswers || len(in.Notes) > maxAnswers {
		return out, ringwall.Errorf(ringwall.Invalid, "at most %d answers are taken at once", maxAnswers)
	}
	err = s.change(ctx, a, audit.AssessRun, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		d, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		draft, err := draftOf(t.tx, scope, d, t.at)
		if err != nil {
			return err
		}
		if in.Revision != draft.Revision {
			return ringwall.Errorf(ringwall.Conflict, "the questionnaire was changed elsewhere meanwhile")
		}
		for _, q := range slices.Sorted(maps.Keys(in.Answers)) {
			if draft, err = draft.Set(draft.Revision, q, declare.Answer{Value: in.Answers[q], Note: in.Notes[q]}, t.at); err != nil {
				return err
			}
		}
		text, err := json.Marshal(draft)
		if err != nil {
			return err
		}
		if err := t.tx.PutDraft(scope, id, draftQuestionnaire, string(text), t.at); err != nil {
			return err
		}
		out, err = asked(t.tx, scope, d, draft, language)
		return err
	})
	return out, err
}

// SubmitAnswers makes the answers so far a declaration, and grades by it.
func (s *service) SubmitAnswers(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (out api.Assessment, err error) {
	err = s.change(ctx, a, audit.AssessRun, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		d, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		draft, err := draftOf(t.tx, scope, d, t.at)
		if err != nil {
			return err
		}
		x, err := draft.Examination("questionnaire", api.Identity{Vendor: d.Vendor, Model: d.Model, Firmware: d.Firmware, Type: d.Type}, t.at)
		if err != nil {
			return err
		}
		if x, err = examination(a, x, nil, t.at); err != nil {
			return err
		}
		x.Org, x.Device = a.Org, id
		out, err = t.examined(scope, x)
		return err
	})
	return out, err
}
