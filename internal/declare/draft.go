package declare

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// DraftLife is how long a questionnaire that nobody touches is kept.
const DraftLife = 90 * 24 * time.Hour

// DraftVersion is the version of the questionnaire; a draft of another one is
// brought up by Upgrade.
const DraftVersion = 1

// Draft is a questionnaire being filled in: what is saved after each answer.
// It is a plain value; whoever stores it compares Revision, so that two windows
// do not overwrite each other.
type Draft struct {
	Version  int               `json:"version"`
	Revision uint64            `json:"revision"`
	Profile  api.Profile       `json:"profile"`
	Answers  map[string]Answer `json:"answers"`
	Updated  time.Time         `json:"updated"`
	Expires  time.Time         `json:"expires"`
}

// NewDraft begins a questionnaire.
func NewDraft(p api.Profile, at time.Time) Draft {
	return Draft{Version: DraftVersion, Profile: p, Answers: map[string]Answer{}, Updated: at.UTC(), Expires: at.Add(DraftLife).UTC()}
}

// ParseDraft reads a saved draft. Answers to questions that are no longer
// asked, or that no longer fit, are dropped.
func ParseDraft(b []byte) (Draft, error) {
	var d Draft
	if len(b) > 1<<20 {
		return d, ringwall.Errorf(ringwall.Invalid, "the draft is longer than 1 MiB")
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, ringwall.Errorf(ringwall.Invalid, "reading draft: %w", err)
	}
	if d.Version < 1 || d.Version > DraftVersion {
		return d, ringwall.Errorf(ringwall.Invalid, "the draft has version %d, newer than %d", d.Version, DraftVersion)
	}
	known := map[string]Question{}
	for _, q := range Questions(d.Profile) {
		known[q.ID] = q
	}
	kept := map[string]Answer{}
	for id, a := range d.Answers {
		if q, ok := known[id]; ok && q.Check(a) == nil {
			kept[id] = a
		}
	}
	d.Version, d.Answers = DraftVersion, kept
	return d, nil
}

// Set returns the draft with one more answer. revision is the one that the
// answer was made on: an older one is a Conflict. A value of "" takes an answer
// back, but for lists, of which "" says "none".
func (d Draft) Set(revision uint64, id string, a Answer, at time.Time) (Draft, error) {
	if at.After(d.Expires) {
		return d, ringwall.Errorf(ringwall.NotFound, "the questionnaire was left alone for too long and has expired")
	}
	if revision != d.Revision {
		return d, ringwall.Errorf(ringwall.Conflict, "the questionnaire was changed elsewhere meanwhile")
	}
	q, ok := d.question(id)
	if !ok {
		return d, ringwall.Errorf(ringwall.NotFound, "question %q is not asked here", short(id))
	}
	answers := make(map[string]Answer, len(d.Answers)+1)
	for k, v := range d.Answers {
		answers[k] = v
	}
	if a.Value == "" && q.Kind != AskPorts && q.Kind != AskDestinations {
		delete(answers, id)
	} else {
		a.At = at.UTC()
		if err := q.Check(a); err != nil {
			return d, err
		}
		answers[id] = a
	}
	d.Answers, d.Updated, d.Expires = answers, at.UTC(), at.Add(DraftLife).UTC()
	d.Revision++
	return d, nil
}

func (d Draft) question(id string) (Question, bool) {
	for _, q := range Questions(d.Profile) {
		if q.ID == id {
			return q, true
		}
	}
	return Question{}, false
}

// Asked lists the questions to be answered with the answers given so far:
// those whose condition holds, all the way up.
func (d Draft) Asked() []Question {
	var out []Question
	asked := map[string]bool{}
	for _, q := range Questions(d.Profile) {
		if q.When != nil && (!asked[q.When.Question] || !slices.Contains(q.When.Is, d.Answers[q.When.Question].Value)) {
			continue
		}
		asked[q.ID] = true
		out = append(out, q)
	}
	return out
}

// Progress is how far a questionnaire is.
type Progress struct {
	Asked    int    `json:"asked"` // that must be answered
	Answered int    `json:"answered"`
	Next     string `json:"next,omitempty"` // the first question without an answer
	Complete bool   `json:"complete"`
}

// Progress counts what must be answered.
func (d Draft) Progress() Progress {
	var p Progress
	for _, q := range d.Asked() {
		if q.Optional {
			continue
		}
		p.Asked++
		if _, ok := d.Answers[q.ID]; ok {
			p.Answered++
		} else if p.Next == "" {
			p.Next = q.ID
		}
	}
	p.Complete = p.Asked > 0 && p.Asked == p.Answered
	return p
}

// Examination returns what the answers come to. It may be taken of a draft
// that is not complete: what must be answered and is not comes out as unknown. Notes
// of the party are evidence as they were written.
func (d Draft) Examination(who string, identity api.Identity, at time.Time) (api.Examination, error) {
	if d.Updated.IsZero() || len(d.Answers) == 0 {
		return api.Examination{}, ringwall.Errorf(ringwall.Invalid, "nothing is answered yet")
	}
	raw, err := json.Marshal(d.Answers)
	if err != nil {
		return api.Examination{}, ringwall.Errorf(ringwall.Internal, "writing answers: %w", err)
	}
	sum := sha256.Sum256(raw)
	x, err := newExaminer(who, hex.EncodeToString(sum[:]), d.Updated, time.Time{}, at)
	if err != nil {
		return api.Examination{}, err
	}
	x.exam.Identity, x.exam.Tool = identity, "ringwall questionnaire"
	var order []string
	by := map[string]*verdicts{}
	facts := map[string]map[string]string{}
	for _, q := range d.Asked() {
		a, answered := d.Answers[q.ID]
		if !answered && q.Optional {
			continue
		}
		v := by[q.Indicator]
		if v == nil {
			v = &verdicts{}
			by[q.Indicator], facts[q.Indicator] = v, map[string]string{}
			order = append(order, q.Indicator)
		}
		if !answered {
			v.add(ringwall.Unknown, q.Text.En+" — not answered")
			continue
		}
		x.answer(q, a, v, facts[q.Indicator], at)
	}
	for _, id := range order {
		f := facts[id]
		if len(f) == 0 {
			f = nil
		}
		x.say(id, by[id].outcome(), f, by[id].evidence...)
	}
	return x.done(), nil
}

func (x *examiner) answer(q Question, a Answer, v *verdicts, facts map[string]string, at time.Time) {
	o, said := ringwall.Pass, a.Value
	switch q.Kind {
	case AskChoice:
		c, _ := q.choice(a.Value)
		o, said = c.Outcome, c.Text.En
		// A question that only leads to another one answers nothing itself.
		if o == ringwall.Unknown && leads(q.ID, a.Value) {
			v.evidence = append(v.evidence, q.Text.En+" — "+said)
			return
		}
	case AskDate:
		facts[FactSupportEnds] = a.Value
		if over(a.Value, at) {
			o = ringwall.Fail
		}
	case AskPorts:
		x.exam.Services, _ = ports(a.Value)
		facts[FactServices] = "true"
		said = list(x.exam.Services)
	case AskDestinations:
		names, _ := destinations(a.Value)
		facts[FactPeers] = strings.Join(names, ",")
		said = strings.Join(names, ", ")
		if said == "" {
			said = "none"
		}
	}
	line := q.Text.En + " — " + said
	if a.Note != "" {
		line += " (" + strings.Join(strings.Fields(a.Note), " ") + ")"
	}
	v.add(o, line)
}

// leads reports whether an answer makes another question be asked.
func leads(question, value string) bool {
	return slices.ContainsFunc(data().questions, func(q Question) bool {
		return q.When != nil && q.When.Question == question && slices.Contains(q.When.Is, value)
	})
}
