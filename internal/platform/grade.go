package platform

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/incident"
	"github.com/ringwall/ringwall/internal/trust"
)

// writeFinding keeps a finding about a device and grades it anew.
func (t *turn) writeFinding(scope audit.Scope, id ringwall.DeviceID, f ringwall.Finding, cause string) error {
	if err := t.tx.PutFinding(scope, id, originIncident, f); err != nil {
		return err
	}
	if _, err := t.tx.UpdateDevice(scope, id, func(d *api.Device) error { due(d, t.at.Add(afterIncident), dueIncident); return nil }); err != nil {
		return err
	}
	if err := t.tell(scope, ringwall.EventAssessment, deviceSubject(id), cause, note{Key: "timeline.device.compromise", Ref: cause}); err != nil {
		return err
	}
	return t.regrade(scope, id, cause)
}

// regrade reckons a device's grade from all findings that stand.
func (t *turn) regrade(scope audit.Scope, id ringwall.DeviceID, cause string) error {
	before, err := t.tx.Device(scope, id)
	if err != nil {
		return err
	}
	e, err := t.evidence(scope, before)
	if err != nil {
		return err
	}
	res := assess.Grade(e.rubric, e.findings, t.at)
	if _, err := t.tx.UpdateDevice(scope, id, func(d *api.Device) error {
		d.Grade, d.Class, d.Coverage, d.Profile = res.Grade, res.Class, res.Coverage, res.Profile
		return nil
	}); err != nil {
		return err
	}
	t.judge(id, cause)
	if before.Grade == res.Grade {
		return nil
	}
	t.compose(before.Gateway) // a gate may hang on it
	reason := ""
	if len(res.Reasons) > 0 {
		reason = res.Reasons[0]
	}
	return t.tell(scope, ringwall.EventDeviceGrade, deviceSubject(id), cause, note{Key: "timeline.device.grade", Ref: cause, Params: map[string]string{
		"old": before.Grade.String(), "new": res.Grade.String(), "reason": reason, "coverage": strconv.Itoa(int(res.Coverage*100 + 0.5)),
	}})
}

// assessed keeps a finished assessment: what its probes answered replaces their
// earlier answers, the grade is reckoned again here from all standing evidence
// whatever the assessment says, and the device's incident hears of it.
// run is the scope in which it was asked for.
func (t *turn) assessed(run audit.Scope, a api.Assessment) (api.Assessment, error) {
	scope, err := t.projector()
	if err != nil {
		return a, err
	}
	if a.Device == "" {
		return a, t.tx.PutAssessment(run, a)
	}
	before, err := t.tx.Findings(scope, a.Device)
	if err != nil {
		return a, err
	}
	fresh := slices.DeleteFunc(answers(a), func(f ringwall.Finding) bool {
		return f.Indicator == ringwall.ObservedCompromise // only an incident writes it, only Clear ends it
	})
	if err := t.keepAnswers(run, a, fresh); err != nil {
		return a, err
	}
	if err := t.compareSecrets(scope, a.Device); err != nil {
		return a, err
	}
	if cleared, ok := assess.Clear(assess.Default(), before, fresh, t.at); ok {
		if err := t.tx.ReplaceFindings(scope, a.Device, originIncident, []ringwall.Finding{cleared}); err != nil {
			return a, err
		}
	}
	a, next, err := t.reckon(scope, a)
	if err != nil {
		return a, err
	}
	failed := 0
	for _, f := range fresh {
		if f.Outcome == ringwall.Fail {
			failed++
		}
	}
	if err := t.tx.PutAssessment(run, a); err != nil {
		return a, err
	}
	was, err := t.tx.Device(scope, a.Device)
	if err != nil {
		return a, err
	}
	if _, err := t.tx.UpdateDevice(scope, a.Device, func(d *api.Device) error {
		d.Graded, d.Assess = a.Ended, a.ID
		next(d)
		known(&d.Vendor, a.Vendor)
		known(&d.Model, a.Model)
		known(&d.Firmware, a.Firmware)
		if d.Type == "" || d.Type == "unknown" {
			known(&d.Type, a.Type)
		}
		return nil
	}); err != nil {
		return a, err
	}
	if err := t.deviceIdentified(was, a); err != nil {
		return a, err
	}
	if err := t.tell(scope, ringwall.EventAssessment, deviceSubject(a.Device), string(a.ID), note{
		Key: "timeline.assessment", Ref: string(a.ID), Params: map[string]string{"findings": strconv.Itoa(len(fresh)), "failed": strconv.Itoa(failed)},
	}); err != nil {
		return a, err
	}
	if err := t.regrade(scope, a.Device, string(a.ID)); err != nil {
		return a, err
	}
	d, err := t.tx.Device(scope, a.Device)
	if err != nil {
		return a, err
	}
	posture, _ := posture(d, a.Findings)
	_, err = t.carryOn(scope, aboutDevice(d), string(a.ID), incident.Input{Assessed: &incident.Assessed{
		ID: a.ID, Started: a.Started, Ended: a.Ended, Grade: a.Grade, Clean: posture == trust.PostureClean,
	}})
	t.compose(d.Gateway) // its type may have become known
	return a, err
}

func known(field *string, v string) {
	if v != "" {
		*field = v
	}
}

// assessor runs assessments one after the other, in the background. It owns
// one goroutine a run and waits for all in close.
type assessor struct {
	core   *core
	runner *assess.Runner
	ctx    context.Context
	cancel context.CancelFunc
	runs   sync.WaitGroup

	mu        sync.Mutex
	turnstile chan struct{} // one run at a time: probing is not a race
	busy      map[ringwall.DeviceID]ringwall.AssessID
}

func newAssessor(ctx context.Context, c *core, r *assess.Runner) *assessor {
	ctx, cancel := context.WithCancel(ctx)
	return &assessor{core: c, runner: r, ctx: ctx, cancel: cancel, turnstile: make(chan struct{}, 1), busy: map[ringwall.DeviceID]ringwall.AssessID{}}
}

func (s *assessor) close() {
	s.cancel()
	s.runs.Wait()
}

// start begins an assessment of a device and returns its id. A device that is
// being assessed keeps that one.
func (s *assessor) start(scope audit.Scope, about subject) (ringwall.AssessID, error) {
	d := about.device
	if !d.Binding.IP.IsValid() {
		return "", ringwall.Errorf(ringwall.Conflict, "the device has no known address")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.busy[d.ID]; ok {
		return id, nil
	}
	if s.ctx.Err() != nil {
		return "", ringwall.Errorf(ringwall.Unavailable, "the platform is stopping")
	}
	id := ringwall.AssessID(ringwall.NewID(ringwall.PrefixAssess, s.core.now()))
	s.busy[d.ID] = id
	s.runs.Go(func() {
		defer func() {
			s.mu.Lock()
			delete(s.busy, d.ID)
			s.mu.Unlock()
		}()
		select {
		case s.turnstile <- struct{}{}:
			defer func() { <-s.turnstile }()
		case <-s.ctx.Done():
			return
		}
		if err := s.run(scope, id, about); err != nil && s.ctx.Err() == nil {
			s.core.log.Error("assessment failed", "device", d.ID, "cause", err)
		}
	})
	return id, nil
}

func (s *assessor) run(scope audit.Scope, id ringwall.AssessID, about subject) error {
	d := about.device
	org, started := scope.Org(), s.core.now().UTC()
	done, err := s.runner.Run(s.ctx, []assess.Target{about.target(org)})
	if err == nil && len(done) != 1 {
		err = errors.New("the runner gave no assessment")
	}
	if err != nil {
		return errors.Join(err, s.core.turn(s.ctx, org, func(t *turn) error {
			teller, err := t.projector()
			if err != nil {
				return err
			}
			return t.tell(teller, ringwall.EventAssessment, deviceSubject(d.ID), string(id), note{
				Key: "timeline.assessment.failed", Ref: string(id), Params: map[string]string{"reason": "the probes were stopped"},
			})
		}))
	}
	a := done[0]
	a.ID, a.Org, a.Device, a.Started, a.Ended = id, org, d.ID, started, s.core.now().UTC()
	if err := s.core.turn(s.ctx, org, func(t *turn) error {
		_, err := t.assessed(scope, a)
		return err
	}); err != nil {
		return fmt.Errorf("keeping assessment %q: %w", id, err)
	}
	return nil
}

// assessing returns the device whose assessment under this id is under way.
func (s *assessor) assessing(id ringwall.AssessID) (ringwall.DeviceID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for d, running := range s.busy {
		if running == id {
			return d, true
		}
	}
	return "", false
}
