package assess

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// device is the assessment of one device while it runs.
type device struct {
	r       *Runner
	rubric  *Rubric
	t       Target
	env     *Env
	net     *limited
	outside *limited
	fresh   []ringwall.Finding
	skipped []Definition // probes for which it offers nothing

	mu    sync.Mutex
	notes []string
}

// one assesses one device; finished is false when ctx ended first.
func (r *Runner) one(ctx context.Context, rubric *Rubric, t Target) (a api.Assessment, finished bool) {
	started := r.Now()
	own, cancel := context.WithTimeout(ctx, cmp.Or(r.PerDevice, defaultPerDevice))
	defer cancel()
	d := &device{r: r, rubric: rubric, t: t}
	pace := NewPace(cmp.Or(r.Rate, defaultRate))
	d.net = newLimited(r.Network, pace, append(slices.Clone(t.Beside), t.Addr)...)
	if r.Outside != nil {
		d.outside = newLimited(r.Outside, pace, t.Outside...)
	}
	d.env = &Env{
		Now: r.Now, Ledger: r.ledger(t), Ports: r.Ports, Say: d.say,
		Known: Identity{Vendor: t.Vendor, Model: t.Model, Type: t.Type, MAC: t.MAC},
	}
	if t.Path != "" {
		d.env.Paths = []string{t.Path}
	}
	for _, group := range r.groups() {
		d.run(own, group)
		if ctx.Err() != nil {
			return a, false
		}
	}
	d.absent()
	a = d.assessment(started)
	return a, true
}

// say tells of progress and keeps it for the record.
func (d *device) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.mu.Lock()
	if len(d.notes) < maxNotes {
		d.notes = append(d.notes, text)
	}
	d.mu.Unlock()
	d.r.progress(Event{Kind: EventNote, Target: d.t.Name, Text: text})
}

// groups cuts the probes into those that run together: neighbours that say
// so, and each of the others alone.
func (r *Runner) groups() [][]Probe {
	var out [][]Probe
	together := false
	for _, p := range r.Probes {
		if t := p.Def().Together; t && together {
			out[len(out)-1] = append(out[len(out)-1], p)
		} else {
			out, together = append(out, []Probe{p}), t
		}
	}
	return out
}

// run runs a group and takes its answers in the order of the list, so that
// what comes of it does not hang on who was first.
func (d *device) run(ctx context.Context, group []Probe) {
	type result struct {
		def Definition
		ans Answer
		err error
		out bool // its own time was up
	}
	var results []*result
	var wg sync.WaitGroup
	for _, p := range group {
		def := p.Def()
		may, offered := d.r.mayRun(def, d.env)
		if !offered {
			d.skipped = append(d.skipped, def)
		}
		if !may || !offered {
			continue
		}
		res := &result{def: def}
		results = append(results, res)
		env := *d.env // each has its own, so that none writes where another reads
		env.Net = d.net.forProbe(def, d.r.Rate)
		if d.outside != nil {
			env.Outside = d.outside.forProbe(def, d.r.Rate)
		}
		d.r.progress(Event{Kind: EventProbe, Target: d.t.Name, Probe: def.ID})
		wg.Go(func() {
			own, cancel := context.WithTimeout(ctx, cmp.Or(def.Within, defaultWithin))
			defer cancel()
			res.ans, res.err = p.Run(own, &env, d.t)
			res.out = own.Err() != nil
		})
	}
	wg.Wait()
	for _, res := range results {
		if res.err != nil {
			d.say("%s: %v", res.def.ID, res.err)
		}
		if ctx.Err() != nil {
			d.say("%s: the time for one device is used up", res.def.ID)
		} else if res.out {
			d.say("%s: its time is used up", res.def.ID)
		}
		d.fresh = append(d.fresh, d.r.adopt(d.rubric, res.def, res.ans.Findings)...)
		d.env.take(res.ans)
	}
}

// mayRun reports whether a probe is allowed to run, and whether the device
// offers what it needs.
func (r *Runner) mayRun(def Definition, env *Env) (may, offered bool) {
	limit := r.Limit
	if limit == Listens {
		limit = LogsIn
	}
	may = def.Intrusion <= limit && (!def.Optional || slices.Contains(r.Also, def.ID))
	return may, len(def.Needs) == 0 || len(env.Named(def.Needs...)) > 0
}

// adopt completes findings from the rubric and stamps who said them; a probe
// speaks only on what its definition names.
func (r *Runner) adopt(rubric *Rubric, def Definition, fs []ringwall.Finding) []ringwall.Finding {
	// One time for all that a probe says at once: between two ports of which one
	// fails, the worse counts, and not the one that was looked at last.
	now := r.Now()
	var out []ringwall.Finding
	for _, f := range fs[:min(len(fs), maxFindings)] {
		in, ok := rubric.Indicator(f.Indicator)
		if !ok || !slices.Contains(def.Indicators, f.Indicator) {
			continue
		}
		f.Module, f.Source, f.Time = in.Module, SourceProbe+def.ID, now
		f.Until = f.Time.Add(time.Duration(rubric.Validity[ByProbe]))
		if f.Outcome == ringwall.Fail || f.Outcome == ringwall.Partial {
			f.Remedy = cmp.Or(f.Remedy, in.Remedy)
		}
		out = append(out, f)
	}
	return out
}

// absent answers what does not apply because the device offers nothing of the
// kind. That is only said when the ports were looked at, every open one was
// named, and no probe had a word to say on it.
func (d *device) absent() {
	looked := slices.ContainsFunc(d.fresh, func(f ringwall.Finding) bool { return f.Indicator == portsIndicator && f.Outcome != ringwall.Unknown })
	unnamed := slices.ContainsFunc(d.env.Services, func(s api.Service) bool { return s.Name == "" || s.Name == "unknown" })
	if !d.env.Alive || !looked || unnamed {
		return
	}
	answered := map[string]bool{}
	for _, f := range d.fresh {
		answered[f.Indicator] = true
	}
	say := func(in Indicator, title string) {
		answered[in.ID] = true
		now := d.r.Now()
		d.fresh = append(d.fresh, ringwall.Finding{
			Indicator: in.ID, Module: in.Module, Outcome: ringwall.NotApplicable, Confidence: ringwall.Observed, Source: SourceAssess, Title: title,
			Evidence: []string{fmt.Sprintf("%d services answer, none that could", len(d.env.Services))},
			Time:     now, Until: now.Add(time.Duration(d.rubric.Validity[ByProbe])),
		})
	}
	for _, def := range d.skipped {
		for _, id := range def.Absent {
			if in, ok := d.rubric.Indicator(id); ok && !answered[id] {
				say(in, "it offers no "+strings.Join(def.Needs, ", ")+" to a network")
			}
		}
	}
	for _, in := range d.rubric.Indicators {
		concerns := slices.ContainsFunc(d.env.Services, func(s api.Service) bool { return !slices.Contains(in.Spared, s.Name) })
		if in.Spared != nil && !answered[in.ID] && !concerns {
			say(in, "it offers no service to a network that this is about")
		}
	}
}

// portsIndicator is what a probe answers who has looked at the ports.
const portsIndicator = "CO-02"

// take keeps what a probe learned for those after it.
func (e *Env) take(a Answer) {
	e.Known.merge(a.Known)
	e.Alive = e.Alive || a.Alive
	for _, s := range a.Services {
		i := slices.IndexFunc(e.Services, func(o api.Service) bool { return o.Proto == s.Proto && o.Port == s.Port })
		switch {
		case i < 0:
			e.Services = append(e.Services, s)
		default:
			e.Services[i].Name = cmp.Or(s.Name, e.Services[i].Name)
			e.Services[i].Info = cmp.Or(s.Info, e.Services[i].Info)
		}
	}
	slices.SortFunc(e.Services, func(a, b api.Service) int {
		return cmp.Or(strings.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port))
	})
	for _, m := range a.Secrets[:min(len(a.Secrets), maxMarks)] {
		if !slices.Contains(e.Secrets, m) {
			e.Secrets = append(e.Secrets, m)
		}
	}
	for _, c := range a.Components[:min(len(a.Components), maxMarks)] {
		if !slices.ContainsFunc(e.Components, func(o api.Component) bool { return o.Name == c.Name && o.Version == c.Version }) {
			e.Components = append(e.Components, c)
		}
	}
	for _, p := range a.Stills[:min(len(a.Stills), maxMarks)] {
		if !slices.Contains(e.Stills, p) {
			e.Stills = append(e.Stills, p)
		}
	}
	for _, p := range a.Paths {
		if !slices.Contains(e.Paths, p) {
			e.Paths = append(e.Paths, p)
		}
	}
}

// assessment grades what was found and completes the record.
func (d *device) assessment(started time.Time) api.Assessment {
	now := d.r.Now()
	exams := append([]api.Examination{d.examination(now)}, standing(d.t)...)
	all := Evidence(exams, d.r.Laboratories)
	for _, f := range d.t.Prior { // what no examination holds: incidents
		if f.Indicator == ringwall.ObservedCompromise || strings.HasPrefix(f.Source, SourceIncident) {
			all = append(all, f)
		}
	}
	if f, ok := Clear(d.rubric, d.t.Prior, d.fresh, now); ok {
		all = append(all, f)
	}
	profile := d.t.Profile
	if profile.Class == "" {
		profile = ProfileOf(cmp.Or(d.t.Type, d.env.Known.Type), profile.SIM)
		profile.Use = cmp.Or(d.t.Profile.Use, profile.Use)
	}
	rubric := d.rubric.For(profile)
	res := Grade(rubric, all, now)
	k := d.env.Known
	a := api.Assessment{
		ID: ringwall.AssessID(ringwall.NewID(ringwall.PrefixAssess, now)), Org: d.t.Org, Device: d.t.Device, Target: d.t.Name, Started: started, Ended: now,
		Vendor: k.Vendor, Model: k.Model, Firmware: k.Firmware, MAC: k.MAC, Type: k.Type,
		Findings: rubric.Settled(all, now), Services: append([]api.Service{}, d.env.Services...), Examinations: exams,
	}
	res.Fill(&a, rubric)
	a.Prescribed = Prescribe(rubric, res, d.t.Gateway)
	return a
}

// examination is the record of what the probes found, not yet merged with
// anything.
func (d *device) examination(now time.Time) api.Examination {
	k := d.env.Known
	d.mu.Lock()
	defer d.mu.Unlock()
	return api.Examination{
		Org: d.t.Org, Device: d.t.Device, Kind: api.ExamNetwork, Source: "probe", Tool: d.r.Tool, Made: now,
		Until:    now.Add(time.Duration(d.rubric.Validity[ByProbe])),
		Identity: api.Identity{Vendor: k.Vendor, Model: k.Model, Firmware: k.Firmware, MAC: k.MAC, Type: k.Type},
		Findings: append([]ringwall.Finding{}, d.fresh...), Services: slices.Clone(d.env.Services),
		Components: slices.Clone(d.env.Components), Secrets: slices.Clone(d.env.Secrets), Notes: slices.Clone(d.notes),
	}
}

func next(ns []Next) []string {
	var out []string
	for _, n := range ns {
		out = append(out, n.Indicator+" by "+string(n.Channel)+": "+n.Title)
	}
	return out
}
