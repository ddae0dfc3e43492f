package platform

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// settingAssess is the name of what an organisation has laid down about
// assessing, among its settings.
const settingAssess = "assess"

// Bounds of an examination.
const (
	maxComponents = 4000
	maxSecrets    = 2000
	maxServices   = 500
	maxRanges     = 1000
)

// Examinations lists the standing examinations of a device, by source.
func (s *service) Examinations(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (xs []api.Examination, err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		xs, err = tx.Examinations(scope, id)
		return err
	})
	if err == nil && !sightOf(a).whole {
		return nil, ringwall.Errorf(ringwall.Forbidden, "what was found out about a device is not shown to your parts as it was found")
	}
	return xs, err
}

// SubmitExamination keeps what one source found out about a device, as far as
// the one who hands it in can vouch for it, and grades the device anew.
func (s *service) SubmitExamination(ctx context.Context, a audit.Actor, id ringwall.DeviceID, x api.Examination) (out api.Assessment, err error) {
	if x.Device != "" && x.Device != id {
		return out, ringwall.Errorf(ringwall.NotFound, "no device %.60q in this examination", x.Device)
	}
	x.Device = id
	err = s.change(ctx, a, audit.AssessRun, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		if _, err := t.tx.Device(scope, id); err != nil {
			return err
		}
		set, err := t.assessSettings(scope)
		if err != nil {
			return err
		}
		x, err := examination(a, x, set.Laboratories, t.at)
		if err != nil {
			return err
		}
		x.Org = a.Org
		out, err = t.examined(scope, x)
		return err
	})
	return out, err
}

// DropExamination takes back what one source said.
func (s *service) DropExamination(ctx context.Context, a audit.Actor, id ringwall.DeviceID, source string) error {
	return s.change(ctx, a, audit.AssessRun, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		if err := t.tx.DropExamination(scope, id, source); err != nil {
			return err
		}
		_, err := t.reassess(scope, id, "")
		return err
	})
}

// examination makes of what somebody hands in what may be kept. A person may
// hand in what a program of ours found in an image or a capture, may declare,
// and may pass on what a laboratory has signed. Nobody may speak in the name of
// a device's agent, of the probes, or of an incident.
func examination(a audit.Actor, x api.Examination, labs []api.Laboratory, now time.Time) (api.Examination, error) {
	if len(x.Findings) > maxSubmitted || len(x.Components) > maxComponents || len(x.Secrets) > maxSecrets || len(x.Services) > maxServices {
		return x, ringwall.Errorf(ringwall.Invalid, "an examination has at most %d findings, %d components, %d secrets and %d services", maxSubmitted, maxComponents, maxSecrets, maxServices)
	}
	name := clip(strings.TrimSpace(x.Source[strings.LastIndex(x.Source, "/")+1:]), maxName)
	switch x.Kind {
	case api.ExamFirmware:
		if name == "" {
			return x, ringwall.Errorf(ringwall.Invalid, "the examination does not say of which image it is")
		}
		x.Source = assess.SourceFirmware + name
	case api.ExamInline:
		x.Source = assess.SourceInline + "capture"
	case api.ExamDeclaration:
		if name == "" {
			name = a.String()
		}
		x.Source = assess.SourceDeclaration + name
	case api.ExamLaboratory:
		return vouched(a, x, labs, now)
	default:
		return x, ringwall.Errorf(ringwall.Invalid, "evidence of kind %.20q is not handed in; firmware, inline, declaration and laboratory are", x.Kind)
	}
	known := map[string]ringwall.Module{}
	for _, i := range assess.Default().Indicators {
		known[i.ID] = i.Module
	}
	x.ID, x.By = ringwall.ExamID(ringwall.NewID(ringwall.PrefixExam, now)), a.String()
	if x.Made.IsZero() || x.Made.After(now) {
		x.Made = now
	}
	x.Tool, x.Digest, x.Key = clip(x.Tool, maxName), clip(x.Digest, maxName), clip(x.Key, maxName)
	for _, s := range []*string{&x.Identity.Vendor, &x.Identity.Model, &x.Identity.Firmware, &x.Identity.MAC, &x.Identity.Type, &x.Identity.Serial} {
		*s = clip(*s, maxName)
	}
	findings := make([]ringwall.Finding, 0, len(x.Findings))
	for _, f := range x.Findings {
		module, ok := known[f.Indicator]
		if !ok {
			return x, ringwall.Errorf(ringwall.Invalid, "the rubric has no indicator %.40q", f.Indicator)
		}
		f.Module, f.Source = module, x.Source
		if x.Kind == api.ExamDeclaration {
			f.Confidence = ringwall.Declared
		}
		if f.Time.IsZero() || f.Time.After(now) {
			f.Time = x.Made
		}
		findings = append(findings, clipped(f))
	}
	x.Findings, x.Notes = findings, lines(x.Notes)
	x.Services = slices.Clone(x.Services)
	for i := range x.Services {
		v := &x.Services[i]
		v.Proto, v.Name, v.Info = clip(v.Proto, maxName), clip(v.Name, maxName), clip(v.Info, maxSaid)
	}
	x.Components, x.Secrets = clippedComponents(x.Components), clippedMarks(x.Secrets)
	return x, nil
}

// vouched returns what a laboratory has signed, word for word: its signature
// is checked again whenever the device is graded.
func vouched(a audit.Actor, x api.Examination, labs []api.Laboratory, now time.Time) (api.Examination, error) {
	if !assess.Signed(x, labs) {
		return x, ringwall.Errorf(ringwall.Unverified, "no laboratory that this organisation believes has signed the examination as it is here")
	}
	if x.Made.After(now) {
		return x, ringwall.Errorf(ringwall.Invalid, "the examination is dated %v, which is yet to come", x.Made)
	}
	for _, f := range x.Findings {
		if _, ok := assess.Default().Indicator(f.Indicator); !ok {
			return x, ringwall.Errorf(ringwall.Invalid, "the rubric has no indicator %.40q", f.Indicator)
		}
	}
	x.ID, x.By = ringwall.ExamID(ringwall.NewID(ringwall.PrefixExam, now)), a.String()
	return x, nil
}

// AssessSettings answers what the organisation has laid down about assessing.
func (s *service) AssessSettings(ctx context.Context, a audit.Actor) (out api.AssessSettings, err error) {
	err = s.view(ctx, a, audit.PolicyRead, on("organisation", string(a.Org)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		out, err = assessSettings(tx, scope)
		return err
	})
	out.EvidenceKey, _ = s.evidenceKey.Public().(ed25519.PublicKey)
	return out, err
}

// PutAssessSettings lays it down anew; the gate counts at once.
func (s *service) PutAssessSettings(ctx context.Context, a audit.Actor, in api.AssessSettings) (api.AssessSettings, error) {
	if len(in.Ranges.Prefixes) > maxRanges || len(in.Laboratories) > maxRanges {
		return in, ringwall.Errorf(ringwall.Invalid, "at most %d ranges and as many laboratories can be registered", maxRanges)
	}
	in.Ranges.Prefixes, in.Laboratories = slices.Clone(in.Ranges.Prefixes), slices.Clone(in.Laboratories)
	for i, p := range in.Ranges.Prefixes {
		if !p.IsValid() || p.Bits() == 0 {
			return in, ringwall.Errorf(ringwall.Invalid, "%v is no network that can be anybody's own", p)
		}
		in.Ranges.Prefixes[i] = p.Masked()
	}
	for i, l := range in.Laboratories {
		if len(l.Key) != ed25519.PublicKeySize || strings.TrimSpace(l.Name) == "" || len(l.Name) > maxName || strings.Contains(l.Name, "/") {
			return in, ringwall.Errorf(ringwall.Invalid, "a laboratory has a name without a slash and an Ed25519 key of %d bytes; number %d has not", ed25519.PublicKeySize, i+1)
		}
	}
	in.EvidenceKey = nil
	if in.Gate.Worst == ringwall.HighRisk { // that is every grade
		in.Gate.Worst = ringwall.Ungraded
	}
	text, err := json.Marshal(in)
	if err != nil {
		return in, err
	}
	err = s.change(ctx, a, audit.PolicyWrite, on("organisation", string(a.Org)), func(t *turn, scope audit.Scope) error {
		old, err := t.assessSettings(scope)
		if err != nil {
			return err
		}
		if err := t.tx.PutOrgSetting(scope, settingAssess, string(text)); err != nil {
			return err
		}
		if old.Gate == in.Gate {
			return nil
		}
		return t.judgeAll(scope)
	})
	return in, err
}

func assessSettings(tx *sqlstore.Tx, scope audit.Scope) (out api.AssessSettings, err error) {
	text, err := tx.OrgSetting(scope, settingAssess)
	if err != nil || text == "" {
		return api.AssessSettings{Ranges: api.Ranges{}, Laboratories: []api.Laboratory{}}, err
	}
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return out, ringwall.Errorf(ringwall.Internal, "reading the organisation's settings: %w", err)
	}
	return out, nil
}

// assessSettings reads them once a turn.
func (t *turn) assessSettings(scope audit.Scope) (api.AssessSettings, error) {
	return assessSettings(t.tx, scope)
}

// judgeAll asks for trust in every device to be evaluated anew.
func (t *turn) judgeAll(scope audit.Scope) error {
	return eachDevice(t.tx, scope, func(d api.Device) error {
		t.judge(d.ID, "")
		t.compose(d.Gateway)
		return nil
	})
}

// Remedials lists tasks, newest first.
func (s *service) Remedials(ctx context.Context, a audit.Actor, f httpapi.RemedialFilter, p httpapi.Paging) (page api.Page[api.Remedial], err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", string(f.Device)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.Remedials(scope, sqlstore.RemedialFilter(f), paging(p))
		return err
	})
	for i, v := 0, sightOf(a); i < len(page.Items); i++ {
		page.Items[i] = v.remedial(page.Items[i])
	}
	return page, err
}

// PatchRemedial changes what people say of a task. That it is done is measured.
func (s *service) PatchRemedial(ctx context.Context, a audit.Actor, id ringwall.RemedialID, p api.RemedialPatch) (r api.Remedial, err error) {
	if p.Status != nil && !slices.Contains([]string{"open", "doing", "accepted"}, *p.Status) {
		return r, ringwall.Errorf(ringwall.Invalid, "a task is open, doing or accepted by a person; that it is done is measured")
	}
	if p.Note != nil && len(*p.Note) > maxSaid {
		return r, ringwall.Errorf(ringwall.Invalid, "a note has at most %d bytes", maxSaid)
	}
	err = s.change(ctx, a, audit.AssessRun, on("task", string(id)), func(t *turn, scope audit.Scope) error {
		if r, err = t.tx.Remedial(scope, id); err != nil {
			return err
		}
		set(&r.Status, p.Status)
		set(&r.Note, p.Note)
		set(&r.Due, p.Due)
		r.Updated = t.at
		return t.tx.PutRemedial(scope, r)
	})
	return r, err
}
