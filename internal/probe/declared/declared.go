// Package declared compares the ports that are open with the services that
// somebody has declared (CO-01): the device's maker in an IXIT table or a MUD file,
// or whoever installed it.
//
// It sends nothing. An open port that nobody declared is a fail, named; a declared
// one that is closed is worth a line. Without a declaration the answer is unknown,
// and says how to give one. A port that only seems open, on a host that says yes to
// everybody, is not held against the device: the port scan keeps such out.
//
// Standards: ETSI EN 303 645 provision 5.6-1, ETSI TS 103 701 test case 5.6-1-2
// (IXIT 13-SoftServ), RFC 8520 section 8.
package declared

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/probe/fetch"
)

// Probe compares.
type Probe struct{}

// Def says what the probe is.
func (Probe) Def() assess.Definition {
	return assess.Definition{
		ID: "declared", Title: "Open ports against declared services", Sends: "nothing", Indicators: []string{"CO-01"}, Intrusion: assess.Listens,
	}
}

// maxShown bounds how many ports are named.
const maxShown = 24

// Run compares.
func (Probe) Run(_ context.Context, env *assess.Env, t assess.Target) (assess.Answer, error) {
	if !env.Alive {
		return assess.Answer{}, nil
	}
	want, who := Declared(t)
	return assess.Answer{Findings: []ringwall.Finding{judge(env, want, who)}}, nil
}

// Declared returns what is declared for a target, and by whom; nobody means that
// there is no declaration.
func Declared(t assess.Target) (services []api.Service, who []string) {
	if t.Declared != nil {
		services, who = slices.Clone(t.Declared), []string{"the target's own list"}
	}
	for _, x := range t.Examinations {
		// A declaration without a list of services says nothing of ports; one that
		// means none says so by the note "no services".
		if x.Kind == api.ExamDeclaration && (len(x.Services) > 0 || slices.Contains(x.Notes, "no services")) {
			services = append(services, x.Services...)
			who = append(who, cmp.Or(x.Source, "a declaration"))
		}
	}
	return services, who
}

func judge(env *assess.Env, want []api.Service, who []string) ringwall.Finding {
	f := ringwall.Finding{Indicator: "CO-01", Confidence: ringwall.Confirmed}
	open := make([]string, 0, len(env.Services))
	for _, s := range env.Services {
		open = append(open, show(s))
	}
	if len(who) == 0 {
		f.Confidence, f.Title = ringwall.Observed, "nobody has declared which services it needs"
		f.Evidence = []string{
			fmt.Sprintf("%d ports are open: %s", len(open), list(open)),
			"hand in the maker's list of services (IXIT 13, or a MUD file), or declare them when the device is registered",
		}
		return f
	}
	var extra, closed []string
	for _, s := range env.Services {
		if !slices.ContainsFunc(want, func(w api.Service) bool { return covers(w, s) }) {
			extra = append(extra, show(s))
		}
	}
	for _, w := range want {
		if w.Port != 0 && !slices.ContainsFunc(env.Services, func(s api.Service) bool { return covers(w, s) }) {
			closed = append(closed, show(w))
		}
	}
	f.Evidence = append(f.Evidence, "declared by "+fetch.Clean(strings.Join(who, ", "), 200))
	f.Facts = map[string]string{"undeclared": list(extra)}
	switch {
	case len(extra) > 0:
		f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("%d open ports are not declared: %s", len(extra), list(extra))
	case full(env.Ports):
		// Observed, as what the world reaches is another matter: see package exposure.
		f.Outcome, f.Confidence, f.Title = ringwall.Pass, ringwall.Observed, fmt.Sprintf("all %d open ports are declared", len(open))
	default:
		f.Outcome, f.Confidence, f.Title = ringwall.Pass, ringwall.Observed, fmt.Sprintf("all %d open ports that were found are declared; not all ports were looked at", len(open))
	}
	if len(closed) > 0 {
		f.Evidence = append(f.Evidence, "declared and not open now: "+list(closed))
	}
	f.Evidence = append(f.Evidence, "open: "+list(open))
	return f
}

// covers reports whether a declared service is what is open. A declaration may
// leave out the protocol, or the port of a service that it names.
func covers(w, s api.Service) bool {
	if w.Proto != "" && !strings.EqualFold(w.Proto, s.Proto) {
		return false
	}
	if w.Port == 0 {
		return w.Name != "" && strings.EqualFold(w.Name, s.Name)
	}
	return w.Port == s.Port
}

// full reports whether every TCP port was looked at.
func full(ports []uint16) bool {
	p := slices.Clone(ports)
	slices.Sort(p)
	return len(slices.Compact(p)) >= 65535
}

func show(s api.Service) string {
	out := fmt.Sprintf("%s/%d", cmp.Or(s.Proto, "any"), s.Port)
	if s.Name != "" {
		out += " (" + fetch.Clean(s.Name, 24) + ")"
	}
	return out
}

func list(ss []string) string {
	if len(ss) > maxShown {
		return fmt.Sprintf("%s and %d more", strings.Join(ss[:maxShown], ", "), len(ss)-maxShown)
	}
	return cmp.Or(strings.Join(ss, ", "), "none")
}
