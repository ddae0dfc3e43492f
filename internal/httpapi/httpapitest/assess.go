package httpapitest

import (
	"cmp"
	"context"
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
