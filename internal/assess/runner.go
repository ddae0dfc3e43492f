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
	// Limit is the furthest that a probe may go; 0 means LogsIn. Probes that
	// strain a device run only when it is Strains.
	Limit Intrusion
	// Also names optional probes that are to run.
	Also []string
	// Consent says what may be spoken to; nil means that the caller has asked.
	Consent *Consent
	// Budget bounds wrong passwords.
	Budget Budget
	// Rate is the most connections and datagrams that one device gets a second;
	// 0 means 2,000, and no raw sockets are paced then but by the probes' own rates.
	Rate int
	// Laboratories are those whose signatures are believed.
	Laboratories []api.Laboratory
	// Tool names the program and its version in what it records.
	Tool string
	// PerDevice is the most time that one device may take; 0 means 90 s.
	PerDevice time.Duration
	// Parallel is how many devices are assessed at once; 0 means 40: probes wait
	// for answers most of their time.
	Parallel int

	mu      sync.Mutex
	ledgers map[string]*Ledger

	progressMu sync.Mutex
}

const (
	defaultPerDevice = 90 * time.Second
	defaultWithin    = 30 * time.Second // for one probe: a tarpit must not eat the others' time
	defaultParallel  = 40
	// maxLedgers bounds the memory of a kept Runner; the oldest windows have
	// long passed when it is reached.
	maxLedgers = 65536
	// maxFindings bounds what one probe may answer.
	maxFindings = 64
	// maxMarks bounds the keys and components that one probe may name.
	maxMarks = 64
	// maxNotes bounds what is kept of what a device's assessment had to say.
	maxNotes = 64
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
	if r.Consent != nil {
		for _, p := range in {
			if !r.Consent.CoversNet(p) {
				return nil, &ringwall.Error{
					Code: ringwall.Forbidden, Text: fmt.Sprintf("network %v is not registered as the organisation's own", p),
					Hint: "register the network first, or say that the devices are yours",
				}
			}
		}
	}
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
				if r.Consent != nil && !r.Consent.Covers(s.Addr) {
					return
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
// When ctx ends it returns what is complete, and ctx's error. Targets that the
// Consent does not cover are an error of code Forbidden, before anything is sent.
func (r *Runner) Run(ctx context.Context, targets []Target) ([]api.Assessment, error) {
	rubric := r.Rubric
	if rubric == nil {
		rubric = Default()
	}
	if r.Consent != nil {
		if err := r.Consent.check(targets); err != nil {
			return nil, err
		}
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
