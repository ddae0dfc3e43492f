package httpapitest

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
)

// Examinations is of httpapi.Assessments.
func (m *Mem) Examinations(_ context.Context, a audit.Actor, id ringwall.DeviceID) ([]api.Examination, error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return nil, err
	}
	return slices.Clone(append([]api.Examination{}, h.examinations[id]...)), nil
}

// SubmitExamination is of httpapi.Assessments.
func (m *Mem) SubmitExamination(_ context.Context, a audit.Actor, id ringwall.DeviceID, x api.Examination) (api.Assessment, error) {
	h, err := m.enter(a, "assess.run", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Assessment{}, err
	}
	d, err := find(h.devices, "device", id)
	if err != nil || x.Device != "" && x.Device != id {
		return api.Assessment{}, cmp.Or(err, error(ringwall.Errorf(ringwall.NotFound, "no such device in this examination")))
	}
	x.ID, x.Org, x.Device = ringwall.ExamID(m.fresh(ringwall.PrefixExam)), a.Org, id
	h.examinations[id] = append(slices.DeleteFunc(h.examinations[id], func(o api.Examination) bool { return o.Source == x.Source }), x)
	as := h.assessments[d.Assess]
	as.ID, as.Org, as.Device, as.Examinations = ringwall.AssessID(m.fresh(ringwall.PrefixAssess)), a.Org, id, h.examinations[id]
	h.assessments[as.ID] = as
	return as, nil
}

// DropExamination is of httpapi.Assessments.
func (m *Mem) DropExamination(_ context.Context, a audit.Actor, id ringwall.DeviceID, source string) error {
	h, err := m.enter(a, "assess.run", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return err
	}
	n := len(h.examinations[id])
	h.examinations[id] = slices.DeleteFunc(h.examinations[id], func(o api.Examination) bool { return o.Source == source })
	if len(h.examinations[id]) == n {
		return ringwall.Errorf(ringwall.NotFound, "no examination %.60q", source)
	}
	return nil
}

// AssessSettings is of httpapi.Assessments.
func (m *Mem) AssessSettings(_ context.Context, a audit.Actor) (api.AssessSettings, error) {
	h, err := m.enter(a, "policy.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.AssessSettings{}, err
	}
	return h.settings, nil
}

// PutAssessSettings is of httpapi.Assessments.
func (m *Mem) PutAssessSettings(_ context.Context, a audit.Actor, in api.AssessSettings) (api.AssessSettings, error) {
	h, err := m.enter(a, "policy.write", "")
	defer m.mu.Unlock()
	if err != nil {
		return in, err
	}
	h.settings = in
	return in, nil
}

// Remedials is of httpapi.Remedials.
func (m *Mem) Remedials(_ context.Context, a audit.Actor, f httpapi.RemedialFilter, p httpapi.Paging) (api.Page[api.Remedial], error) {
	h, err := m.enter(a, "device.read", string(f.Device))
	defer m.mu.Unlock()
	if err != nil {
		return api.Page[api.Remedial]{}, err
	}
	if f.Device != "" {
		if _, err := find(h.devices, "device", f.Device); err != nil {
			return api.Page[api.Remedial]{}, err
		}
	}
	all := slices.DeleteFunc(sorted(h.remedials, func(x, y api.Remedial) int {
		return cmp.Or(y.Opened.Compare(x.Opened), cmp.Compare(y.ID, x.ID))
	}), func(r api.Remedial) bool {
		return f.Device != "" && r.Device != f.Device || f.Status != "" && r.Status != f.Status || f.Party != "" && r.Party != f.Party
	})
	return page(all, p)
}

// PatchRemedial is of httpapi.Remedials.
func (m *Mem) PatchRemedial(_ context.Context, a audit.Actor, id ringwall.RemedialID, p api.RemedialPatch) (api.Remedial, error) {
	h, err := m.enter(a, "assess.run", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Remedial{}, err
	}
	r, err := find(h.remedials, "task", id)
	if err != nil {
		return r, err
	}
	if p.Status != nil {
		r.Status = *p.Status
	}
	if p.Note != nil {
		r.Note = *p.Note
	}
	if p.Due != nil {
		r.Due = *p.Due
	}
	h.remedials[id] = r
	return r, nil
}

// DoRemedial is of httpapi.Remedials.
func (m *Mem) DoRemedial(_ context.Context, a audit.Actor, id ringwall.RemedialID) (api.RemedialDone, error) {
	h, err := m.enter(a, "device.respond", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.RemedialDone{}, err
	}
	r, err := find(h.remedials, "task", id)
	if err != nil {
		return api.RemedialDone{}, err
	}
	if r.Do == "" {
		return api.RemedialDone{}, ringwall.Errorf(ringwall.Invalid, "nobody but a person can do this task")
	}
	r.Status = "doing"
	h.remedials[id] = r
	out := api.RemedialDone{Remedial: r}
	if r.Do == "change-password" {
		out.Account, out.Secret = "admin", "kT7rWq2mZx9bNc4d"
	}
	return out, nil
}

// Makers is of httpapi.Assessments.
func (m *Mem) Makers(_ context.Context, a audit.Actor) ([]api.MakerScore, error) {
	h, err := m.enter(a, "device.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return nil, err
	}
	made := map[string]*api.MakerScore{}
	for _, d := range h.devices {
		if d.Vendor == "" {
			continue
		}
		s := made[d.Vendor]
		if s == nil {
			s = &api.MakerScore{Name: d.Vendor, Score: 50, Least: 10, Most: 90, Reasons: []string{"few of its devices are here"}}
			made[d.Vendor] = s
		}
		s.Devices++
		switch d.Grade {
		case ringwall.HighRisk:
			s.High, s.Graded, s.Score = s.High+1, s.Graded+1, 20
		case ringwall.MediumRisk:
			s.Medium, s.Graded = s.Medium+1, s.Graded+1
		case ringwall.LowRisk:
			s.Low, s.Graded, s.Score = s.Low+1, s.Graded+1, 85
		}
	}
	out := []api.MakerScore{}
	for _, s := range made {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b api.MakerScore) int {
		return cmp.Or(cmp.Compare(a.Score, b.Score), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// questions are two of the questionnaire, one that depends on the other.
func (h *holdings) questions(id ringwall.DeviceID, language string) api.Questionnaire {
	given := h.answers[id]
	text := map[string][2]string{
		"updates": {"Are updates signed?", "更新是否签名？"}, "until": {"Until when are updates promised?", "更新承诺到何时？"},
	}
	n := 0
	if language == "zh" {
		n = 1
	}
	q := api.Questionnaire{Device: id, Revision: h.revisions[id], Profile: api.Profile{Class: "camera", Use: "consumer"}, Asked: 1}
	ask := func(name, indicator, kind string, choices ...api.Choice) {
		value, ok := given[name]
		q.Questions = append(q.Questions, api.Question{ID: name, Indicator: indicator, Text: text[name][n], Kind: kind, Choices: choices, Answered: ok, Answer: value})
		if ok {
			q.Answered++
		}
	}
	ask("updates", "FS-09", "choice", api.Choice{Value: "yes", Text: "Yes"}, api.Choice{Value: "no", Text: "No"})
	if given["updates"] == "yes" {
		q.Asked = 2
		ask("until", "FS-12", "date")
	}
	return q
}

// Questionnaire is of httpapi.Assessments.
func (m *Mem) Questionnaire(_ context.Context, a audit.Actor, id ringwall.DeviceID, language string) (api.Questionnaire, error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Questionnaire{}, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return api.Questionnaire{}, err
	}
	return h.questions(id, language), nil
}

// SaveAnswers is of httpapi.Assessments.
func (m *Mem) SaveAnswers(_ context.Context, a audit.Actor, id ringwall.DeviceID, language string, in api.Answers) (api.Questionnaire, error) {
	h, err := m.enter(a, "assess.run", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Questionnaire{}, err
	}
	if _, err := find(h.devices, "device", id); err != nil {
		return api.Questionnaire{}, err
	}
	if in.Revision != h.revisions[id] {
		return api.Questionnaire{}, ringwall.Errorf(ringwall.Conflict, "the questionnaire was changed elsewhere meanwhile")
	}
	kept := map[string]string{}
	for k, v := range h.answers[id] {
		kept[k] = v
	}
	for k, v := range in.Answers {
		if k != "updates" && k != "until" {
			return api.Questionnaire{}, ringwall.Errorf(ringwall.NotFound, "question %.40q is not asked here", k)
		}
		kept[k] = v
		if v == "" {
			delete(kept, k)
		}
	}
	h.answers[id] = kept
	h.revisions[id]++
	return h.questions(id, language), nil
}

// SubmitAnswers is of httpapi.Assessments.
func (m *Mem) SubmitAnswers(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (api.Assessment, error) {
	m.mu.Lock()
	answered := len(m.org(a.Org).answers[id]) > 0
	m.mu.Unlock()
	if !answered {
		if _, err := m.Questionnaire(ctx, a, id, "en"); err != nil {
			return api.Assessment{}, err
		}
		return api.Assessment{}, ringwall.Errorf(ringwall.Invalid, "nothing is answered yet")
	}
	return m.SubmitExamination(ctx, a, id, api.Examination{Kind: api.ExamDeclaration, Source: "declaration/questionnaire", Made: m.now(), Findings: []ringwall.Finding{}})
}

// Report is of httpapi.Assessments.
func (m *Mem) Report(_ context.Context, a audit.Actor, id ringwall.AssessID, format, _ string) (api.Report, error) {
	h, err := m.enter(a, "device.read", string(id))
	defer m.mu.Unlock()
	if err != nil {
		return api.Report{}, err
	}
	as, err := find(h.assessments, "assessment", id)
	if err != nil {
		return api.Report{}, err
	}
	return api.Report{Name: "report." + format, Type: "text/plain; charset=utf-8", Body: []byte("report on " + as.Target)}, nil
}

// FleetReport is of httpapi.Assessments.
func (m *Mem) FleetReport(_ context.Context, a audit.Actor, format, _ string) (api.Report, error) {
	h, err := m.enter(a, "device.read", "")
	defer m.mu.Unlock()
	if err != nil {
		return api.Report{}, err
	}
	return api.Report{Name: "fleet." + format, Type: "text/plain; charset=utf-8", Body: fmt.Appendf(nil, "%d devices", len(h.devices))}, nil
}
