package platform

import (
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
)

// Origins of answers that no examination brings.
const (
	originProbe    = "probe"    // of the network probes' examination
	originIncident = "incident" // what an incident wrote, and what ended that
)

// answers returns what an assessment's probes and its submitter said, without
// what nobody measured.
func answers(a api.Assessment) (out []ringwall.Finding) {
	all := a.Findings
	for _, x := range a.Examinations {
		if x.Kind == api.ExamNetwork {
			all = x.Findings
		}
	}
	for _, f := range all {
		if f.Source != assess.SourceAssess || f.Outcome != ringwall.Unknown {
			out = append(out, f)
		}
	}
	return out
}

// keepAnswers puts the fresh answers of an assessment in the place of the
// earlier ones of the same origins, as examinations.
func (t *turn) keepAnswers(run audit.Scope, a api.Assessment, fresh []ringwall.Finding) error {
	probe := api.Examination{
		Services: a.Services, Identity: api.Identity{Vendor: a.Vendor, Model: a.Model, Firmware: a.Firmware, MAC: a.MAC, Type: a.Type},
	}
	for _, x := range a.Examinations {
		if x.Kind == api.ExamNetwork {
			probe = x
		}
	}
	probe.ID, probe.Org, probe.Device = ringwall.ExamID(ringwall.NewID(ringwall.PrefixExam, t.at)), a.Org, a.Device
	probe.Kind, probe.Source, probe.By, probe.Made = api.ExamNetwork, originProbe, run.Actor().String(), a.Ended
	probe.Findings = []ringwall.Finding{}
	declared := map[string][]ringwall.Finding{}
	for _, f := range fresh {
		if strings.HasPrefix(f.Source, assess.SourceDeclaration) {
			declared[f.Source] = append(declared[f.Source], f)
			continue
		}
		probe.Findings = append(probe.Findings, f)
	}
	if len(probe.Findings) > 0 { // that somebody only declares replaces nothing that was measured
		old, err := t.tx.FindingsOf(run, a.Device, originProbe)
		if err != nil {
			return err
		}
		for _, f := range unchecked(old, probe.Findings) {
			probe.Findings = slices.DeleteFunc(probe.Findings, func(n ringwall.Finding) bool { return n.Indicator == f.Indicator && n.Source == f.Source })
			probe.Findings = append(probe.Findings, f)
		}
		if err := t.tx.PutExamination(run, probe); err != nil {
			return err
		}
	}
	for source, fs := range declared {
		x := api.Examination{
			ID: ringwall.ExamID(ringwall.NewID(ringwall.PrefixExam, t.at)), Org: a.Org, Device: a.Device, Kind: api.ExamDeclaration, Source: source,
			By: run.Actor().String(), Made: a.Ended, Findings: fs,
		}
		if err := t.tx.PutExamination(run, x); err != nil {
			return err
		}
	}
	return nil
}

// unchecked returns the proven failures of an earlier run that the newer one
// tried to check and could not: that a login is locked, or a budget is used up,
// repairs nothing. Where nothing was there to check any more, they end.
func unchecked(old, fresh []ringwall.Finding) (out []ringwall.Finding) {
	for _, f := range old {
		if f.Outcome != ringwall.Fail || f.Confidence != ringwall.Confirmed {
			continue
		}
		tried, told := false, false
		for _, n := range fresh {
			if n.Indicator == f.Indicator {
				tried = tried || n.Outcome == ringwall.Unknown
				told = told || n.Outcome != ringwall.Unknown
			}
		}
		same := func(o ringwall.Finding) bool { return o.Indicator == f.Indicator && o.Source == f.Source }
		if tried && !told && !slices.ContainsFunc(out, same) {
			out = append(out, f)
		}
	}
	return out
}

// evidence is all that stands about a device, and the rubric as it applies to it.
type evidence struct {
	rubric       *assess.Rubric
	examinations []api.Examination
	findings     []ringwall.Finding
}

// evidence gathers what stands about a device.
func (t *turn) evidence(scope audit.Scope, d api.Device) (e evidence, err error) {
	set, err := t.assessSettings(scope)
	if err != nil {
		return e, err
	}
	if e.examinations, err = t.tx.Examinations(scope, d.ID); err != nil {
		return e, err
	}
	if !slices.ContainsFunc(e.examinations, func(x api.Examination) bool { return x.Kind == api.ExamNetwork }) {
		// What a platform of an earlier version kept of the probes has no examination.
		old, err := t.tx.FindingsOf(scope, d.ID, originProbe)
		if err != nil {
			return e, err
		}
		if len(old) > 0 {
			e.examinations = append(e.examinations, api.Examination{
				Org: t.org, Device: d.ID, Kind: api.ExamNetwork, Source: originProbe, Made: d.Graded, Findings: old,
			})
		}
	}
	e.rubric = assess.Default().For(profileOf(d))
	e.findings = assess.Evidence(e.examinations, set.Laboratories)
	common, err := t.tx.FindingsOf(scope, d.ID, originShared)
	if err != nil {
		return e, err
	}
	if len(common) > 0 {
		e.findings = append(e.findings, common...)
		e.examinations = append(e.examinations, api.Examination{Org: t.org, Device: d.ID, Kind: api.ExamFirmware, Source: assess.SourceFirmware + originShared, Made: common[0].Time, Findings: common})
	}
	seen, err := t.tx.FindingsOf(scope, d.ID, originIncident)
	if err != nil || len(seen) == 0 {
		return e, err
	}
	e.findings = append(e.findings, seen...)
	// Written by incidents, one by one; to the evidence they are one source.
	e.examinations = append(e.examinations, api.Examination{
		Org: t.org, Device: d.ID, Kind: api.ExamIncident, Source: originIncident, By: scope.Actor().String(), Made: seen[len(seen)-1].Time, Findings: seen,
	})
	return e, nil
}

// profileOf is how the rubric is applied to a device: its class and card are
// what they are, its use is the owner's to say.
func profileOf(d api.Device) api.Profile {
	p := assess.ProfileOf(d.Type, d.SIM != "")
	if d.Profile.Use != "" {
		p.Use = d.Profile.Use
	}
	return p
}

// reckon fills in what follows from all that stands about the device of an
// assessment, and makes its tasks follow. next notes in the device when it is
// due again, which only what was measured now puts off.
func (t *turn) reckon(scope audit.Scope, a api.Assessment) (_ api.Assessment, next func(*api.Device), err error) {
	d, err := t.tx.Device(scope, a.Device)
	if err != nil {
		return a, nil, err
	}
	e, err := t.evidence(scope, d)
	if err != nil {
		return a, nil, err
	}
	res := assess.Grade(e.rubric, e.findings, t.at)
	res.Fill(&a, e.rubric)
	a.Findings, a.Examinations, a.Prescribed = e.rubric.Settled(e.findings, t.at), e.examinations, assess.Prescribe(e.rubric, res, d.Gateway != "")
	a.Vulnerabilities, a.Contradictions = t.vulnerabilities(a), assess.Contradictions(e.rubric, e.findings, t.at)
	if len(a.Services) == 0 {
		a.Services = []api.Service{}
		for _, x := range e.examinations {
			if x.Kind == api.ExamNetwork {
				a.Services = append(a.Services, x.Services...)
			}
		}
	}
	at, why := e.next(res, a.Ended)
	return a, func(d *api.Device) { d.Due, d.DueReason = at, why }, t.syncRemedials(scope, a, e, res)
}

// examined keeps an examination and grades its device anew.
func (t *turn) examined(run audit.Scope, x api.Examination) (api.Assessment, error) {
	d, err := t.tx.Device(run, x.Device)
	if err != nil {
		return api.Assessment{}, err
	}
	if x.Kind == api.ExamLaboratory {
		// A signature is worth nothing on another thing than the one that was signed for.
		if x.Identity.Model == "" || !strings.EqualFold(x.Identity.Model, d.Model) || x.Identity.Firmware != "" && x.Identity.Firmware != d.Firmware {
			return api.Assessment{}, ringwall.Errorf(ringwall.Conflict, "the laboratory examined model %.60q with firmware %.60q; the device is of model %.60q with firmware %.60q",
				x.Identity.Model, x.Identity.Firmware, d.Model, d.Firmware)
		}
	}
	var opened []api.Service
	if x.Kind == api.ExamAgent {
		seen, err := t.tx.Examinations(run, x.Device)
		if err != nil {
			return api.Assessment{}, err
		}
		for _, o := range seen {
			if o.Kind == api.ExamNetwork {
				opened = assess.Opened(o.Services, x.Services)
			}
		}
		for _, o := range seen {
			if o.Source == x.Source { // what it has said before brings no assessment again
				opened = assess.Opened(o.Services, opened)
			}
		}
	}
	if err := t.tx.PutExamination(run, x); err != nil {
		return api.Assessment{}, err
	}
	if x.Kind == api.ExamFirmware || x.Kind == api.ExamAgent {
		own, err := t.projector()
		if err != nil {
			return api.Assessment{}, err
		}
		if _, err := t.tx.UpdateDevice(own, d.ID, func(d *api.Device) error {
			if d.Vendor == "" {
				d.Vendor = x.Identity.Vendor
			}
			if d.Model == "" {
				d.Model = x.Identity.Model
			}
			switch {
			case x.Identity.Firmware == "":
			case d.Firmware == "":
				d.Firmware = x.Identity.Firmware
			case d.Firmware != x.Identity.Firmware && x.Kind == api.ExamAgent:
				d.Firmware = x.Identity.Firmware
				due(d, t.at, dueFirmware)
			}
			if len(opened) > 0 {
				due(d, t.at, dueOpened)
			}
			return nil
		}); err != nil {
			return api.Assessment{}, err
		}
	}
	own, err := t.projector()
	if err != nil {
		return api.Assessment{}, err
	}
	if err := t.compareSecrets(own, x.Device); err != nil {
		return api.Assessment{}, err
	}
	return t.reassess(run, x.Device, string(x.ID))
}

// reassess writes the assessment that follows from what stands, with nothing
// measured anew, and grades the device by it.
func (t *turn) reassess(run audit.Scope, id ringwall.DeviceID, cause string) (api.Assessment, error) {
	scope, err := t.projector()
	if err != nil {
		return api.Assessment{}, err
	}
	d, err := t.tx.Device(scope, id)
	if err != nil {
		return api.Assessment{}, err
	}
	a := api.Assessment{
		ID: ringwall.AssessID(ringwall.NewID(ringwall.PrefixAssess, t.at)), Org: t.org, Device: id, Target: d.Name, Started: t.at, Ended: t.at,
		Vendor: d.Vendor, Model: d.Model, Firmware: d.Firmware, MAC: d.Binding.MAC, Type: d.Type, Services: []api.Service{},
	}
	if a, _, err = t.reckon(scope, a); err != nil {
		return a, err
	}
	if err := t.tx.PutAssessment(run, a); err != nil {
		return a, err
	}
	if _, err := t.tx.UpdateDevice(scope, id, func(d *api.Device) error { d.Assess = a.ID; return nil }); err != nil {
		return a, err
	}
	if err := t.tell(scope, ringwall.EventAssessment, deviceSubject(id), cause, note{
		Key: "timeline.assessment.evidence", Ref: string(a.ID), Params: map[string]string{"grade": a.Grade.String()},
	}); err != nil {
		return a, err
	}
	return a, t.regrade(scope, id, string(a.ID))
}
