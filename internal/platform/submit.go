package platform

import (
	"net"
	"slices"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/audit"
)

// Bounds of an assessment made elsewhere.
const (
	// maxSubmitted bounds its findings: more than the rubric has indicators, with
	// room for several sources.
	maxSubmitted = 500
	maxLines     = 50  // of evidence, facts, services or advice
	maxLine      = 500 // bytes of one
)

// submitted makes of an assessment that somebody hands in what may be kept: a
// person may hand in what a program of ours measured, and may declare; nobody
// may speak in the name of a device's agent, of a gateway or of an incident,
// nor date an answer later than it is given. Texts are cut, not refused.
func submitted(a audit.Actor, in api.Assessment, now time.Time) (api.Assessment, error) {
	probe := api.Examination{Kind: api.ExamNetwork, Source: originProbe}
	for _, x := range in.Examinations {
		if x.Kind == api.ExamNetwork {
			probe.Tool, probe.Notes, probe.Secrets, probe.Components = clip(x.Tool, maxName), lines(x.Notes), x.Secrets, x.Components
		}
	}
	if len(probe.Secrets) > maxSecrets || len(probe.Components) > maxComponents {
		return in, ringwall.Errorf(ringwall.Invalid, "an assessment has at most %d secrets and %d components", maxSecrets, maxComponents)
	}
	probe.Secrets, probe.Components = clippedMarks(probe.Secrets), clippedComponents(probe.Components)
	in.Findings, in.Examinations = answers(in), nil
	if len(in.Findings) > maxSubmitted {
		return in, ringwall.Errorf(ringwall.Invalid, "an assessment has at most %d findings", maxSubmitted)
	}
	known := map[string]ringwall.Module{}
	for _, i := range assess.Default().Indicators {
		known[i.ID] = i.Module
	}
	for _, s := range []*string{&in.Target, &in.Vendor, &in.Model, &in.Firmware, &in.MAC, &in.Type} {
		*s = clip(*s, maxName)
	}
	if !slices.Contains(deviceTypes, in.Type) {
		in.Type = ""
	}
	if in.Started.IsZero() || in.Started.After(now) {
		in.Started = now
	}
	in.Ended = now // when it became known here; nothing is backdated
	in.Services, in.Next = atMost(in.Services, maxLines), lines(in.Next)
	in.Services = slices.Clone(in.Services)
	for i := range in.Services {
		s := &in.Services[i]
		s.Proto, s.Name, s.Info = clip(s.Proto, maxName), clip(s.Name, maxName), clip(s.Info, maxSaid)
	}
	// What is reckoned from the findings is reckoned here.
	in.Grade, in.Class, in.Best, in.Worst, in.Risk, in.Coverage = 0, 0, 0, 0, 0, 0
	in.Modules, in.Reasons, in.Rubric, in.Prescribed, in.Impact, in.Contradictions, in.Vulnerabilities = nil, []string{}, "", nil, "", nil, nil
	findings := make([]ringwall.Finding, 0, len(in.Findings))
	for _, f := range in.Findings {
		if f.Indicator == ringwall.ObservedCompromise {
			continue // only an incident writes it
		}
		module, ok := known[f.Indicator]
		if !ok {
			return in, ringwall.Errorf(ringwall.Invalid, "the rubric has no indicator %.40q", f.Indicator)
		}
		f.Module = module
		findings = append(findings, submittedFinding(a, f, now))
	}
	in.Findings = findings
	probe.Findings, probe.Services = findings, in.Services
	probe.Identity = api.Identity{Vendor: in.Vendor, Model: in.Model, Firmware: in.Firmware, MAC: in.MAC, Type: in.Type}
	in.Examinations = []api.Examination{probe}
	return in, nil
}

func submittedFinding(a audit.Actor, f ringwall.Finding, now time.Time) ringwall.Finding {
	f.Source = clip(f.Source, maxName)
	measured := f.Source == assess.SourceAssess || strings.HasPrefix(f.Source, assess.SourceProbe) || strings.HasPrefix(f.Source, assess.SourceFirmware)
	if !measured {
		f.Source, f.Confidence = assess.SourceDeclaration+a.String(), ringwall.Declared
	}
	if f.Time.IsZero() || f.Time.After(now) {
		f.Time = now
	}
	return clipped(f)
}

// clipped cuts a finding's texts to what is kept.
func clipped(f ringwall.Finding) ringwall.Finding {
	f.Title, f.Remedy, f.Evidence = clip(f.Title, maxSaid), clip(f.Remedy, maxLine), lines(f.Evidence)
	facts := map[string]string{}
	for k, v := range f.Facts {
		if len(facts) < maxLines {
			facts[clip(k, maxName)] = clip(v, maxLine)
		}
	}
	f.Facts = facts
	return f
}

func clippedMarks(ms []api.SecretMark) []api.SecretMark {
	ms = slices.Clone(ms)
	for i := range ms {
		for _, s := range []*string{&ms[i].Kind, &ms[i].Mark, &ms[i].Path, &ms[i].Known} {
			*s = clip(*s, maxLine)
		}
	}
	return ms
}

func clippedComponents(cs []api.Component) []api.Component {
	cs = slices.Clone(cs)
	for i := range cs {
		c := &cs[i]
		for _, s := range []*string{&c.Name, &c.Version, &c.Supplier, &c.CPE, &c.PURL, &c.How} {
			*s = clip(*s, maxLine)
		}
		c.Paths = lines(c.Paths)
	}
	return cs
}

func atMost[T any](s []T, n int) []T {
	if s == nil {
		return []T{}
	}
	return s[:min(len(s), n)]
}

func lines(s []string) []string {
	out := []string{}
	for _, l := range atMost(s, maxLines) {
		out = append(out, clip(l, maxLine))
	}
	return out
}

// byMAC returns the device of a MAC; "" when there is none.
func (t *turn) byMAC(mac string) (ringwall.DeviceID, error) {
	hw, err := net.ParseMAC(mac)
	if err != nil {
		return "", nil // none was measured
	}
	scope, err := t.projector()
	if err != nil {
		return "", err
	}
	d, err := maybe(t.tx.DeviceElsewhere(scope, "", hw.String()))
	if err != nil || d == nil {
		return "", err
	}
	return d.ID, nil
}
