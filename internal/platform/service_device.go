package platform

import (
	"context"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/httpapi"
	"github.com/ringwall/ringwall/internal/policy"
	"github.com/ringwall/ringwall/internal/segment"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// Devices lists devices by name.
func (s *service) Devices(ctx context.Context, a audit.Actor, f httpapi.DeviceFilter, p httpapi.Paging) (page api.Page[api.Device], err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", ""), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		page, err = tx.Devices(scope, sqlstore.DeviceFilter(f), paging(p))
		return err
	})
	if v := sightOf(a); !v.whole {
		shown := []api.Device{}
		for _, d := range page.Items {
			// Who does not see an address must not find by it.
			if d = v.device(d); f.Text == "" || finds(d, f.Text) {
				shown = append(shown, d)
			}
		}
		page.Items = shown
	}
	return page, err
}

// Device answers one device.
func (s *service) Device(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (d api.Device, err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		d, err = tx.Device(scope, id)
		return err
	})
	return sightOf(a).device(d), err
}

// maxName bounds what a person may call a thing.
const maxName = 120

// deviceTypes are the classes that policies know.
var deviceTypes = []string{"camera", "meter", "phone", "laptop", "hub", "lock", "unknown"}

// PatchDevice changes a device.
func (s *service) PatchDevice(ctx context.Context, a audit.Actor, id ringwall.DeviceID, version uint64, p api.DevicePatch) (d api.Device, err error) {
	if p.Name != nil && (strings.TrimSpace(*p.Name) == "" || len(*p.Name) > maxName) {
		return d, ringwall.Errorf(ringwall.Invalid, "a device's name has 1 to %d bytes", maxName)
	}
	if p.Type != nil && !slices.Contains(deviceTypes, *p.Type) {
		return d, ringwall.Errorf(ringwall.Invalid, "a device's type is one of %s", strings.Join(deviceTypes, ", "))
	}
	if p.Use != nil {
		if err := checkUse(*p.Use); err != nil {
			return d, err
		}
	}
	if err := checkSettings(p); err != nil {
		return d, err
	}
	err = s.change(ctx, a, audit.DeviceWrite, on("device", string(id)), func(t *turn, scope audit.Scope) error {
		old, err := t.tx.Device(scope, id)
		if err != nil {
			return err
		}
		if version != 0 && old.Version != version {
			return ringwall.Errorf(ringwall.Conflict, "the device has changed since version %d", version)
		}
		if p.Leaves != nil {
			for _, l := range *p.Leaves {
				if _, err := t.tx.Device(scope, l.Device); err != nil {
					return err
				}
			}
		}
		if p.SIM != nil && *p.SIM != old.SIM {
			if err := t.bindSIM(old, *p.SIM); err != nil {
				return err
			}
		}
		if p.Gateway != nil && *p.Gateway != old.Gateway {
			if err := t.moveCard(scope, old, *p.Gateway); err != nil {
				return err
			}
			t.compose(old.Gateway)
		}
		if p.Agent != nil && *p.Agent != old.Agent {
			if err := t.bindAgent(old, *p.Agent); err != nil {
				return err
			}
		}
		if p.Pin != nil && *p.Pin {
			if err := t.pin(scope, old); err != nil {
				return err
			}
		}
		if d, err = t.tx.UpdateDevice(scope, id, func(d *api.Device) error {
			set(&d.Name, p.Name)
			set(&d.Type, p.Type)
			set(&d.Mode, p.Mode)
			set(&d.Enrolled, p.Enrolled)
			set(&d.SIM, p.SIM)
			set(&d.Agent, p.Agent)
			set(&d.Assessor, p.Assessor)
			set(&d.Profile.Use, p.Use)
			set(&d.Tags, p.Tags)
			set(&d.BySIM, p.BySIM)
			set(&d.Maker, p.Maker)
			set(&d.IP6, p.IP6)
			set(&d.Fail, p.Fail)
			set(&d.Lookups, p.Lookups)
			set(&d.Leaves, p.Leaves)
			if p.Limit != nil {
				if d.Limit = p.Limit; *p.Limit == (api.Limit{}) {
					d.Limit = nil
				}
			}
			if p.Gate != nil {
				if d.Gate = p.Gate; p.Gate.Worst == ringwall.Ungraded {
					d.Gate = nil
				}
			}
			return nil
		}); err != nil {
			return err
		}
		if p.Agent != nil && *p.Agent != old.Agent {
			if err := t.agentChanged(old, *p.Agent); err != nil {
				return err
			}
		}
		if err := t.gateAsks(scope, d); err != nil {
			return err
		}
		if err := t.tellPatch(scope, old, d); err != nil {
			return err
		}
		t.judge(id, "")
		t.compose(d.Gateway)
		return nil
	})
	if err != nil {
		return d, err
	}
	return s.Device(ctx, a, id) // as it is once trust and policy have followed
}

func checkUse(use string) error {
	if !slices.Contains([]string{"", "consumer", "public", "production"}, use) {
		return ringwall.Errorf(ringwall.Invalid, "a device's use is consumer, public or production")
	}
	return nil
}

// checkSettings looks at what a person says of a device beside its name.
func checkSettings(p api.DevicePatch) error {
	if p.Tags != nil {
		if len(*p.Tags) > 50 {
			return ringwall.Errorf(ringwall.Invalid, "a device has at most 50 tags")
		}
		for _, w := range *p.Tags {
			if w == "" || len(w) > 60 || strings.ContainsAny(w, ",\r\n\t") {
				return ringwall.Errorf(ringwall.Invalid, "tag %.40q: a tag has 1 to 60 bytes and no comma", w)
			}
		}
	}
	if p.Maker != nil && len(*p.Maker) > maxName {
		return ringwall.Errorf(ringwall.Invalid, "a maker's name has at most %d bytes", maxName)
	}
	if p.IP6 != nil {
		if len(*p.IP6) > 16 {
			return ringwall.Errorf(ringwall.Invalid, "a device has at most 16 IPv6 addresses")
		}
		for _, a := range *p.IP6 {
			if !a.Is6() || a.Is4In6() || a.IsMulticast() || a.IsUnspecified() || a.Zone() != "" {
				return ringwall.Errorf(ringwall.Invalid, "%q is no IPv6 address of a device", a)
			}
		}
	}
	if p.Fail != nil && !slices.Contains([]string{"", "static", "closed", "open"}, *p.Fail) {
		return ringwall.Errorf(ringwall.Invalid, "what happens when the platform is away too long is static, closed or open")
	}
	if p.Lookups != nil && (*p.Lookups < 0 || *p.Lookups > 10_000) {
		return ringwall.Errorf(ringwall.Invalid, "lookups are 0 to 10000 a second")
	}
	if p.Leaves != nil && len(*p.Leaves) > 500 {
		return ringwall.Errorf(ringwall.Invalid, "a hub has at most 500 leaves")
	}
	if p.Limit != nil && *p.Limit != (api.Limit{}) {
		return policy.CheckLimit(*p.Limit)
	}
	return nil
}

// bindSIM makes the card's side of a device's card true: the one it had is
// free, the one it gets sits in no other device. "" is no card.
func (t *turn) bindSIM(d api.Device, card ringwall.SIMID) error {
	scope, err := t.as(audit.SysUsage, audit.SystemUsage)
	if err != nil {
		return err
	}
	if card != "" {
		s, err := t.tx.SIM(scope, card)
		if err != nil {
			return err
		}
		if s.Device != "" && s.Device != d.ID {
			return ringwall.Errorf(ringwall.Conflict, "the SIM is that of device %q; take it out there first", s.Device)
		}
		if _, err := t.tx.UpdateSIM(scope, card, func(s *api.SIM) error { s.Device = d.ID; return nil }); err != nil {
			return err
		}
	}
	if d.SIM == "" {
		return nil
	}
	_, err = t.tx.UpdateSIM(scope, d.SIM, func(s *api.SIM) error { s.Device = ""; return nil })
	if isCode(err, ringwall.NotFound) {
		return nil
	}
	return err
}

// pin binds a device to where it was last seen.
func (t *turn) pin(scope audit.Scope, d api.Device) error {
	if d.Elsewhere == nil {
		return ringwall.Errorf(ringwall.Conflict, "the device was not seen elsewhere than where it is bound")
	}
	own, err := t.projector() // another device may have to give its address up
	if err != nil {
		return err
	}
	d.Binding = *d.Elsewhere
	if err := t.freeAddress(own, d); err != nil {
		return err
	}
	if _, err := t.tx.UpdateDevice(scope, d.ID, func(kept *api.Device) error {
		kept.Binding, kept.Elsewhere = d.Binding, nil
		return nil
	}); err != nil {
		return err
	}
	return t.tell(scope, ringwall.EventDeviceMode, deviceSubject(d.ID), "", note{Key: "timeline.device.pinned", Params: place(d)})
}

func set[T any](field *T, v *T) {
	if v != nil {
		*field = *v
	}
}

// tellPatch tells what a person changed about a device.
func (t *turn) tellPatch(scope audit.Scope, old, now api.Device) error {
	subject := deviceSubject(now.ID)
	tell := func(kind, key, from, to string) error {
		return t.tell(scope, kind, subject, "", note{Key: key, Params: map[string]string{"old": from, "new": to}})
	}
	if old.Name != now.Name {
		if err := tell(ringwall.EventDeviceMode, "timeline.device.named", old.Name, now.Name); err != nil {
			return err
		}
	}
	if old.Mode != now.Mode {
		if err := tell(ringwall.EventDeviceMode, "timeline.device.mode", old.Mode.String(), now.Mode.String()); err != nil {
			return err
		}
	}
	if old.Enrolled != now.Enrolled {
		key := "timeline.device.revoked"
		if now.Enrolled {
			key = "timeline.device.enrolled"
		}
		return tell(ringwall.EventDeviceMode, key, "", "")
	}
	return nil
}

// Flows answers a device's flow reports from the segments.
func (s *service) Flows(ctx context.Context, a audit.Actor, id ringwall.DeviceID, q httpapi.FlowQuery) ([]api.FlowRow, error) {
	if _, err := s.Device(ctx, a, id); err != nil {
		return nil, err
	}
	if !sightOf(a).whole {
		return nil, ringwall.Errorf(ringwall.Forbidden, "whom a device talked to is not shown to your parts")
	}
	if q.Limit <= 0 {
		q.Limit = httpapi.DefaultPage
	}
	rows, err := s.segments.Flows(ctx, segment.Query{
		Org: a.Org, Device: id, From: q.From, To: q.To, Verdict: q.Verdict, Limit: min(q.Limit, httpapi.MaxPage),
	})
	if rows == nil {
		rows = []api.FlowRow{}
	}
	return rows, err
}

// AssessDevice starts an assessment.
func (s *service) AssessDevice(ctx context.Context, a audit.Actor, id ringwall.DeviceID) (ringwall.AssessID, error) {
	scope, err := s.auditor.Authorise(ctx, a, audit.AssessRun, audit.Target{Kind: "device", ID: string(id), Org: a.Org})
	if err != nil {
		return "", err
	}
	return s.assess(ctx, scope, id)
}

// Assessments lists those of one device.
func (s *service) Assessments(ctx context.Context, a audit.Actor, id ringwall.DeviceID, p httpapi.Paging) (page api.Page[api.Assessment], err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("device", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		if _, err := tx.Device(scope, id); err != nil {
			return err
		}
		page, err = tx.Assessments(scope, id, paging(p))
		return err
	})
	for i, v := 0, sightOf(a); i < len(page.Items); i++ {
		page.Items[i] = v.assessment(page.Items[i])
	}
	return page, err
}

// Assessment answers one assessment.
func (s *service) Assessment(ctx context.Context, a audit.Actor, id ringwall.AssessID) (out api.Assessment, err error) {
	err = s.view(ctx, a, audit.DeviceRead, on("assessment", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) (err error) {
		out, err = tx.Assessment(scope, id)
		if !isCode(err, ringwall.NotFound) || s.assessor == nil {
			return err
		}
		if d, running := s.assessor.assessing(id); running {
			if _, mine := tx.Device(scope, d); mine == nil {
				return ringwall.Errorf(ringwall.Unavailable, "the assessment is under way")
			}
		}
		return err
	})
	return sightOf(a).assessment(out), err
}

// SubmitAssessment keeps an assessment that was made elsewhere, as far as the
// one who submits it can vouch for it. A device it does not name is found by
// its MAC or, failing that, is left open.
func (s *service) SubmitAssessment(ctx context.Context, a audit.Actor, in api.Assessment) (out api.Assessment, err error) {
	for _, x := range in.Examinations {
		if x.Device != "" && x.Device != in.Device {
			return out, ringwall.Errorf(ringwall.NotFound, "no device %.60q in this assessment", x.Device)
		}
	}
	in, err = submitted(a, in, s.now().UTC())
	if err != nil {
		return out, err
	}
	err = s.change(ctx, a, audit.AssessRun, on("device", string(in.Device)), func(t *turn, scope audit.Scope) error {
		in.ID, in.Org = ringwall.AssessID(ringwall.NewID(ringwall.PrefixAssess, t.at)), a.Org
		if in.Device == "" {
			if in.Device, err = t.byMAC(in.MAC); err != nil {
				return err
			}
		} else if _, err := t.tx.Device(scope, in.Device); err != nil {
			return err
		}
		if in.Device == "" {
			res := assess.Grade(assess.Default(), in.Findings, t.at)
			in.Grade, in.Class, in.Best, in.Worst, in.Risk, in.Coverage = res.Grade, res.Class, res.Best, res.Worst, res.Risk, res.Coverage
			in.Modules, in.Reasons, in.Rubric = res.Modules, res.Reasons, res.Rubric
		}
		out, err = t.assessed(scope, in)
		return err
	})
	return out, err
}
