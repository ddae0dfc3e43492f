package platform

import (
	"context"
	"slices"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// subject is a device as it goes to be assessed, with all that is known of it.
type subject struct {
	device       api.Device
	prior        []ringwall.Finding
	examinations []api.Examination
	set          api.AssessSettings
	nets         assess.Consent
}

// assess starts an assessment of a device in the name of scope. Only what lies
// in a network that the organisation has registered, or that it told a gateway
// of its own to guard, is spoken to.
func (s *service) assess(ctx context.Context, scope audit.Scope, id ringwall.DeviceID) (ringwall.AssessID, error) {
	var about subject
	if err := s.store.View(ctx, func(tx *sqlstore.Tx) (err error) {
		about, err = gather(tx, scope, id)
		return err
	}); err != nil {
		return "", err
	}
	if s.assessor == nil {
		return "", ringwall.Errorf(ringwall.Unavailable, "this platform reaches no devices; run ringwall assess --submit near them")
	}
	if ip := about.device.Binding.IP; ip.IsValid() && !about.nets.Covers(ip) {
		return "", &ringwall.Error{
			Code: ringwall.Forbidden, Text: "the device's address is in no network that this organisation has registered as its own",
			Hint: "register the network, or tell its gateway that it is local",
		}
	}
	return s.assessor.start(scope, about)
}

func gather(tx *sqlstore.Tx, scope audit.Scope, id ringwall.DeviceID) (about subject, err error) {
	if about.device, err = tx.Device(scope, id); err != nil {
		return about, err
	}
	if about.prior, err = tx.Findings(scope, id); err != nil {
		return about, err
	}
	if about.examinations, err = tx.Examinations(scope, id); err != nil {
		return about, err
	}
	if about.set, err = assessSettings(tx, scope); err != nil {
		return about, err
	}
	about.nets.Registered = slices.Clone(about.set.Ranges.Prefixes)
	if about.device.Gateway == "" {
		return about, nil
	}
	g, err := tx.Gateway(scope, about.device.Gateway)
	about.nets.Registered = append(about.nets.Registered, g.LocalNets...)
	return about, err
}

// target is the device as probes see it.
func (a subject) target(org ringwall.OrgID) assess.Target {
	d := a.device
	t := assess.Target{
		Name: d.Name, Addr: d.Binding.IP, Device: d.ID, Org: org, MAC: d.Binding.MAC, Vendor: d.Vendor, Model: d.Model, Type: d.Type,
		Profile: profileOf(d), Gateway: d.Gateway != "",
	}
	for _, f := range a.prior {
		if f.Indicator == ringwall.ObservedCompromise {
			t.Prior = append(t.Prior, f)
		}
	}
	for _, x := range a.examinations {
		if x.Kind == api.ExamNetwork {
			continue
		}
		t.Examinations = append(t.Examinations, x)
		if x.Kind == api.ExamDeclaration && x.Services != nil {
			t.Declared = append(append([]api.Service{}, t.Declared...), x.Services...)
		}
	}
	return t
}
