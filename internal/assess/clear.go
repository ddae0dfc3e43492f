package assess

import (
	"slices"
	"time"

	"github.com/ringwall/ringwall"
)

// waysIn are the indicators that tell whether the door an infection came
// through is shut: a known credential, an open ONVIF, a telnet.
var waysIn = [...]string{"AP-01", "AP-05", "CO-02"}

// Clear returns the pass that ends an ObservedCompromise, if prior holds one
// that stands and fresh, the findings of an assessment made since, are clean:
// no confirmed knock-out of either class, at least the ports and, where
// something asks for a login, the logins measured, and no way in that failed.
// One that could not be checked does not count as shut.
func Clear(r *Rubric, prior, fresh []ringwall.Finding, now time.Time) (ringwall.Finding, bool) {
	var old []ringwall.Finding
	for _, f := range prior {
		if f.Indicator == ringwall.ObservedCompromise {
			old = append(old, f)
		}
	}
	stands := compromised(old)
	if stands == nil {
		return ringwall.Finding{}, false
	}
	fresh = slices.DeleteFunc(slices.Clone(fresh), func(f ringwall.Finding) bool {
		return f.Time.Before(stands.Time) || f.Indicator == ringwall.ObservedCompromise
	})
	by := r.sort(fresh)
	for i := range r.Indicators {
		if a := r.settle(by.of(i), now); strongest(&r.Indicators[i], a.fails) != "" {
			return ringwall.Finding{}, false
		}
	}
	var evidence []string
	for _, id := range waysIn {
		var a answer
		if i, ok := r.index[id]; ok {
			a = r.settle(by.of(i), now)
		}
		switch {
		case a.outcome() == ringwall.Fail:
			return ringwall.Finding{}, false
		case a.rank > said:
			evidence = append(evidence, id+": "+a.finding.Title)
		case id == "CO-02", id == "AP-01" && loginFound(fresh):
			return ringwall.Finding{}, false
		}
	}
	return ringwall.Finding{
		Indicator: ringwall.ObservedCompromise, Module: stands.Module, Outcome: ringwall.Pass, Confidence: ringwall.Observed,
		Title:    "the device was assessed again and the ways in are shut",
		Evidence: evidence, Source: SourceAssess, Time: now,
	}, true
}

// loginFound reports whether a probe met something that asks for a login, by
// its having an answer, even an unknown one, on known credentials.
func loginFound(fs []ringwall.Finding) bool {
	return slices.ContainsFunc(fs, func(f ringwall.Finding) bool {
		return f.Indicator == "AP-01" && f.Source != SourceAssess
	})
}
