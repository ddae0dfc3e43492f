package assess

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Runner discovers and assesses. Zero values are good but for Network, Probes
// and Now. A Runner may be kept: the ledgers of the devices it has seen are
// remembered, so that two assessments in a row do not double the tries.
type Runner struct {
	Network Network
	// Outside is a vantage on the world's side of the site's border, for what is
	// seen from there; nil when there is none.
	Outside Network
	Probes  []Probe
	Finders []Finder
	Rubric  *Rubric // nil means Default()
	Now     func() time.Time
	// Progress is told what happens; it is called from one goroutine at a time.
	Progress func(Event)
	// Ports are what the port scan looks at; nil means its default list.
	Ports []uint16
	// Limit is the furthest that a probe may go; 0 means LogsIn.
	Limit Intrusion
	// Budget bounds wrong passwords.
	Budget Budget
	// PerDevice is the most time that one device may take; 0 means 90 s.
	PerDevice time.Duration
	// Parallel is how many devices are assessed at once; 0 means 16.
	Parallel int

	mu      sync.Mutex
	ledgers map[string]*Ledger

	progressMu sync.Mutex
}

const (
	defaultPerDevice = 90 * time.Second
	defaultParallel  = 16
	// maxLedgers bounds the memory of a kept Runner; the oldest windows have
	// long passed when it is reached.
	maxLedgers = 65536
	// maxFindings bounds what one probe may answer.
	maxFindings = 64
	// maxMarks bounds the keys and components that one probe may name.
	maxMarks = 64
)

func (r *Runner) progress(e Event) {
	if r.Progress == nil {
		return
	}
	r.progressMu.Lock()
	defer r.progressMu.Unlock()
	r.Progress(e)
}

// Discover looks for devices in the given prefixes with every Finder and
// returns one target per address, in address order. A Finder that fails is a
// note, not the end; it is an error only when all fail.
func (r *Runner) Discover(ctx context.Context, in []netip.Prefix) ([]Target, error) {
	var mu sync.Mutex
	found := map[netip.Addr]*Target{}
	var errs []error
	var wg sync.WaitGroup
	find := func(f Finder) {
		wg.Go(func() {
			err := f.Find(ctx, r.Network, in, func(s Sighting) {
				if !slices.ContainsFunc(in, func(p netip.Prefix) bool { return p.Contains(s.Addr) }) {
					return // discovery answers from elsewhere are nobody's consent
				}
				mu.Lock()
				defer mu.Unlock()
				t := found[s.Addr]
				if t == nil {
					t = &Target{Name: s.Addr.String(), Addr: s.Addr}
					found[s.Addr] = t
					r.progress(Event{Kind: EventFound, Target: t.Name, Text: s.How})
				}
				t.MAC, t.Vendor = cmp.Or(t.MAC, s.MAC), cmp.Or(t.Vendor, s.Vendor)
				t.Model, t.Type = cmp.Or(t.Model, s.Model), cmp.Or(t.Type, s.Type)
			})
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("discovering by %s: %w", f, err))
				r.progress(Event{Kind: EventNote, Text: fmt.Sprintf("discovery by %s: %v", f, err)})
			}
		})
	}
	for _, late := range []bool{false, true} {
		for _, f := range r.Finders {
			if _, is := f.(LateFinder); is == late {
				find(f)
			}
		}
		wg.Wait()
	}
	if err := ctx.Err(); err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "discovering devices: %w", err)
	}
	if len(errs) > 0 && len(errs) == len(r.Finders) {
		return nil, errors.Join(errs...)
	}
	out := make([]Target, 0, len(found))
	for _, t := range found {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Target) int { return a.Addr.Compare(b.Addr) })
	return out, nil
}

// Run assesses the targets and returns one assessment each, in their order.
// When ctx ends it returns what is complete, and ctx's error.
func (r *Runner) Run(ctx context.Context, targets []Target) ([]api.Assessment, error) {
	rubric := r.Rubric
	if rubric == nil {
		rubric = Default()
	}
	out := make([]*api.Assessment, len(targets))
	var g errgroup.Group
	g.SetLimit(cmp.Or(r.Parallel, defaultParallel))
	done := 0
	for i, t := range targets {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			r.progress(Event{Kind: EventStart, Target: t.Name, Total: len(targets)})
			a, finished := r.one(ctx, rubric, t)
			if !finished {
				return nil
			}
			r.mu.Lock()
			out[i] = &a
			done++
			n := done
			r.mu.Unlock()
			r.progress(Event{Kind: EventDone, Target: t.Name, Done: n, Total: len(targets), Grade: a.Grade})
			return nil
		})
	}
	_ = g.Wait() // the goroutines return nil: a device's trouble is in its assessment
	var complete []api.Assessment
	for _, a := range out {
		if a != nil {
			complete = append(complete, *a)
		}
	}
	if err := ctx.Err(); err != nil {
		return complete, ringwall.Errorf(ringwall.Unavailable, "assessing: stopped after %d of %d devices: %w", len(complete), len(targets), err)
	}
	return complete, nil
}

// ledger returns the purse of one device.
func (r *Runner) ledger(t Target) *Ledger {
	key := cmp.Or(string(t.Device), t.Addr.String())
	r.mu.Lock()
	defer r.mu.Unlock()
	if l, ok := r.ledgers[key]; ok {
		return l
	}
	if r.ledgers == nil || len(r.ledgers) >= maxLedgers {
		r.ledgers = map[string]*Ledger{}
	}
	l := NewLedger(r.Budget, r.Now)
	r.ledgers[key] = l
	return l
}

// one assesses one device; finished is false when ctx ended first.
func (r *Runner) one(ctx context.Context, rubric *Rubric, t Target) (a api.Assessment, finished bool) {
	started := r.Now()
	own, cancel := context.WithTimeout(ctx, cmp.Or(r.PerDevice, defaultPerDevice))
	defer cancel()
	env := &Env{
		Net: r.Network, Outside: r.Outside, Now: r.Now, Ledger: r.ledger(t), Ports: r.Ports, Known: Identity{Vendor: t.Vendor, Model: t.Model, Type: t.Type, MAC: t.MAC},
		Say: func(format string, args ...any) {
			r.progress(Event{Kind: EventNote, Target: t.Name, Text: fmt.Sprintf(format, args...)})
		},
	}
	if t.Path != "" {
		env.Paths = []string{t.Path}
	}
	var fresh []ringwall.Finding
	for _, p := range r.Probes {
		def := p.Def()
		if !r.mayRun(def, env) {
			continue
		}
		r.progress(Event{Kind: EventProbe, Target: t.Name, Probe: def.ID})
		ans, err := p.Run(own, env, t)
		if ctx.Err() != nil {
			return a, false
		}
		if err != nil {
			env.Say("%s: %v", def.ID, err)
		}
		if own.Err() != nil {
			env.Say("%s: the time for one device is used up", def.ID)
		}
		fresh = append(fresh, r.adopt(rubric, def, ans.Findings)...)
		env.take(ans)
	}
	a = assessment(rubric, t, env, fresh, r.Now())
	a.Started = started
	return a, true
}

func (r *Runner) mayRun(def Definition, env *Env) bool {
	limit := r.Limit
	if limit == Listens {
		limit = LogsIn
	}
	if def.Intrusion > limit {
		return false
	}
	return len(def.Needs) == 0 || len(env.Named(def.Needs...)) > 0
}

// adopt completes findings from the rubric and stamps who said them; a probe
// speaks only on what its definition names.
func (r *Runner) adopt(rubric *Rubric, def Definition, fs []ringwall.Finding) []ringwall.Finding {
	var out []ringwall.Finding
	for _, f := range fs[:min(len(fs), maxFindings)] {
		in, ok := rubric.Indicator(f.Indicator)
		if !ok || !slices.Contains(def.Indicators, f.Indicator) {
			continue
		}
		f.Module, f.Source, f.Time = in.Module, SourceProbe+def.ID, r.Now()
		f.Until = f.Time.Add(time.Duration(rubric.Validity[ByProbe]))
		if f.Outcome == ringwall.Fail || f.Outcome == ringwall.Partial {
			f.Remedy = cmp.Or(f.Remedy, in.Remedy)
		}
		out = append(out, f)
	}
	return out
}

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
func assessment(rubric *Rubric, t Target, env *Env, fresh []ringwall.Finding, now time.Time) api.Assessment {
	all := slices.Clone(fresh)
	for _, f := range t.Prior {
		// Probes' earlier answers are replaced, and so is what nobody knew.
		if !strings.HasPrefix(f.Source, SourceProbe) && (f.Outcome != ringwall.Unknown || f.Indicator == ringwall.ObservedCompromise) {
			all = append(all, f)
		}
	}
	if f, ok := Clear(rubric, t.Prior, fresh, now); ok {
		all = append(all, f)
	}
	res := Grade(rubric, all, now)
	byID := map[string][]ringwall.Finding{}
	for _, f := range all {
		byID[f.Indicator] = append(byID[f.Indicator], f)
	}
	var merged []ringwall.Finding
	for _, in := range rubric.Indicators {
		merged = append(merged, rubric.merge(in, byID[in.ID], now))
	}
	merged = append(merged, byID[ringwall.ObservedCompromise]...)
	return api.Assessment{
		ID: ringwall.AssessID(ringwall.NewID(ringwall.PrefixAssess, now)), Org: t.Org, Device: t.Device, Target: t.Name, Ended: now,
		Vendor: env.Known.Vendor, Model: env.Known.Model, Firmware: env.Known.Firmware, MAC: env.Known.MAC, Type: env.Known.Type,
		Grade: res.Grade, Class: res.Class, Best: res.Best, Worst: res.Worst, Risk: res.Risk, Coverage: res.Coverage,
		Reasons: res.Reasons, Modules: res.Modules, Findings: merged, Services: append([]api.Service{}, env.Services...), Rubric: res.Rubric,
		Next: next(res.Next),
	}
}

func next(ns []Next) []string {
	var out []string
	for _, n := range ns {
		out = append(out, n.Indicator+" by "+string(n.Channel)+": "+n.Title)
	}
	return out
}

// unmeasured is the answer of an indicator that nobody measured.
func unmeasured(in Indicator, now time.Time) ringwall.Finding {
	var by []string
	for _, c := range in.Channels {
		by = append(by, string(c))
	}
	return ringwall.Finding{
		Indicator: in.ID, Module: in.Module, Outcome: ringwall.Unknown, Confidence: ringwall.Declared,
		Title: in.Title + ": not measured", Evidence: []string{"could be measured by " + strings.Join(by, ", ")}, Source: SourceAssess, Time: now,
	}
}

// ServiceKey names a service of a device in its ledger.
func ServiceKey(name string, port uint16) string { return name + "/" + strconv.Itoa(int(port)) }
