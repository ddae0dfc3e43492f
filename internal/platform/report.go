package platform

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
	"github.com/ringwall/ringwall/internal/i18n"
	"github.com/ringwall/ringwall/internal/report"
	"github.com/ringwall/ringwall/internal/sqlstore"
)

// tool names this program in what it writes for others.
const tool = "ringwall " + ringwall.Version

// spoken returns the texts in a language of reports.
func spoken(language string) (i18n.Locale, error) {
	c, err := i18n.Load()
	if err != nil {
		return i18n.Locale{}, err
	}
	if language == "zh" {
		language = "zh-CN"
	}
	return c.Match(language), nil
}

// Report writes an assessment in a format for others, as far as who asks may
// see it.
func (s *service) Report(ctx context.Context, a audit.Actor, id ringwall.AssessID, format, language string) (out api.Report, err error) {
	if format == "bundle" {
		return s.bundle(ctx, a, id)
	}
	f, err := report.FormatNamed(format)
	if err != nil {
		return out, err
	}
	w, err := spoken(language)
	if err != nil {
		return out, err
	}
	var as api.Assessment
	var name string
	var tasks []api.Remedial
	v := sightOf(a)
	err = s.view(ctx, a, audit.DeviceRead, on("assessment", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if as, err = tx.Assessment(scope, id); err != nil {
			return err
		}
		if as.Device == "" {
			return nil
		}
		d, err := tx.Device(scope, as.Device)
		if err != nil {
			return err
		}
		name = v.device(d).Name
		page, err := tx.Remedials(scope, sqlstore.RemedialFilter{Device: as.Device}, sqlstore.Paging{})
		for _, r := range page.Items {
			if r.Status != remedialDone {
				tasks = append(tasks, v.remedial(r))
			}
		}
		return err
	})
	if err != nil {
		return out, err
	}
	in, err := report.Of(v.assessment(as), name, tasks, s.now().UTC(), tool, w)
	if err != nil {
		return out, err
	}
	return written(string(id), f.Ext, f.Type, func(w io.Writer) error { return f.Write(w, in) })
}

func written(name, ext, media string, write func(io.Writer) error) (api.Report, error) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return api.Report{}, err
	}
	return api.Report{Name: name + ext, Type: media, Body: b.Bytes()}, nil
}

// remedial is a task as a party may see it.
func (v sight) remedial(r api.Remedial) api.Remedial {
	if !v.whole {
		r.Note, r.Target = "", ""
	}
	return r
}

// bundle seals the evidence of an assessment with the platform's key.
func (s *service) bundle(ctx context.Context, a audit.Actor, id ringwall.AssessID) (out api.Report, err error) {
	if !sightOf(a).whole {
		return out, ringwall.Errorf(ringwall.Forbidden, "the evidence itself is not shown to your parts")
	}
	var as api.Assessment
	var set api.AssessSettings
	err = s.view(ctx, a, audit.DeviceRead, on("assessment", string(id)), func(tx *sqlstore.Tx, scope audit.Scope) error {
		if as, err = tx.Assessment(scope, id); err != nil {
			return err
		}
		set, err = assessSettings(tx, scope)
		return err
	})
	if err != nil {
		return out, err
	}
	if len(as.Examinations) == 0 {
		return out, ringwall.Errorf(ringwall.Conflict, "the assessment was made before evidence was kept by source; assess the device again")
	}
	var xs []api.Examination
	var seen []ringwall.Finding
	for _, x := range as.Examinations {
		if x.Kind == api.ExamIncident {
			seen = append(seen, x.Findings...)
			continue
		}
		xs = append(xs, x)
	}
	b, _, err := assess.NewBundle(assess.Default(), as.Profile, xs, set.Laboratories, seen, as.Ended)
	if err != nil {
		return out, err
	}
	b.Target, b.Device = as.Target, as.Device
	sealed, err := assess.Seal(s.evidenceKey, b)
	if err != nil {
		return out, err
	}
	return api.Report{Name: string(id) + ".evidence.json", Type: "application/json", Body: sealed}, nil
}

// maxHistory bounds the assessments of one device that a trend is drawn from.
const maxHistory = 60

// FleetReport compares the devices of the organisation.
func (s *service) FleetReport(ctx context.Context, a audit.Actor, format, language string) (out api.Report, err error) {
	writers := map[string]struct {
		ext, media string
		write      func(io.Writer, report.Fleet) error
	}{
		"html": {".html", "text/html; charset=utf-8", report.FleetHTML}, "csv": {".csv", "text/csv; charset=utf-8", report.FleetCSV},
		"trend": {"-trend.csv", "text/csv; charset=utf-8", report.TrendCSV},
	}
	f, ok := writers[format]
	if !ok {
		return out, ringwall.Errorf(ringwall.Invalid, "the fleet is written as html, csv or trend, not %.20q", format)
	}
	fleet := report.Fleet{Indicators: report.FromRubric(assess.Default()), Made: s.now().UTC(), Tool: tool}
	if fleet.Words, err = spoken(language); err != nil {
		return out, err
	}
	v := sightOf(a)
	sites, err := s.sites(ctx, a)
	if err != nil {
		return out, err
	}
	err = s.view(ctx, a, audit.DeviceRead, on("fleet", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		return eachDevice(tx, scope, func(d api.Device) error {
			page, err := tx.Assessments(scope, d.ID, sqlstore.Paging{Limit: maxHistory})
			if err != nil {
				return err
			}
			one := report.FleetDevice{ID: d.ID, Vendor: d.Vendor, Model: d.Model, Name: v.device(d).Name}
			for _, as := range page.Items {
				as = v.assessment(as)
				as.Examinations = nil
				one.Assessments = append(one.Assessments, as)
			}
			one.Site = sites[d.Gateway]
			fleet.Devices = append(fleet.Devices, one)
			return nil
		})
	})
	if err != nil {
		return out, err
	}
	return written("fleet-"+s.now().UTC().Format(time.DateOnly), f.ext, f.media, func(w io.Writer) error { return f.write(w, fleet) })
}

// sites names the gateways for those who may know what the owner calls them.
func (s *service) sites(ctx context.Context, a audit.Actor) (map[ringwall.GatewayID]string, error) {
	names := map[ringwall.GatewayID]string{}
	if !sightOf(a).names {
		return names, nil
	}
	err := s.view(ctx, a, audit.GatewayRead, on("gateway", ""), func(tx *sqlstore.Tx, scope audit.Scope) error {
		for p := (sqlstore.Paging{}); ; {
			page, err := tx.Gateways(scope, p)
			if err != nil {
				return err
			}
			for _, g := range page.Items {
				names[g.ID] = g.Name
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				return nil
			}
		}
	})
	if isCode(err, ringwall.Forbidden) {
		return names, nil
	}
	return names, err
}
