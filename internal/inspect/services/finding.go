package services

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/inspect/view"
)

// line is one line of evidence for a service.
func (s Service) line() string {
	where := ""
	if s.Port != 0 {
		where = fmt.Sprintf(" on %s port %d", s.Proto, s.Port)
	}
	out := fmt.Sprintf("%s: starts %s (%s%s)", s.At(), view.Clip(strings.Join(append([]string{s.Program}, s.Args...), " "), 80), s.Name, where)
	if s.NoLogin {
		out += ", which gives a shell without login"
	}
	if len(s.When) > 0 {
		out += ", if " + view.Clip(strings.Join(s.When, "; "), 160)
	}
	if s.Stopped != "" {
		out += "; stopped again at " + s.Stopped
	}
	if s.Absent {
		out += "; the program is on a partition that is not in the image"
	}
	return out
}

// Finding answers FS-03.
func (r *Result) Finding(v *view.View) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-03", Confidence: ringwall.Observed, Facts: map[string]string{}}
	var sure, maybe, ports []string
	open := false
	for _, s := range r.Services {
		if s.Risky == "" || s.Local {
			continue
		}
		if s.Certain() {
			sure = append(sure, s.line())
			open = open || s.NoLogin
			ports = append(ports, fmt.Sprintf("%s/%d", s.Name, s.Port))
		} else {
			maybe = append(maybe, s.line())
		}
	}
	f.Evidence = bound(slices.Concat(sure, maybe))
	switch {
	case len(sure) > 0:
		f.Outcome, f.Title = ringwall.Fail, "a service without protection is started at boot: "+names(r.Services, true)
		slices.Sort(ports)
		f.Facts["services"] = strings.Join(slices.Compact(ports), ",")
		if open {
			f.Facts["login"] = "none"
		}
	case len(maybe) > 0:
		f.Outcome, f.Title = ringwall.Partial, "a service without protection can be started: "+names(r.Services, false)
	case !r.Found:
		f.Title = "no start of the system was found in the image"
		f.Evidence = bound(r.Notes)
	case len(r.away(v)) > 0:
		f.Title = "a part of the start is not in the image, so what it starts was not seen"
		f.Evidence = bound(append(f.Evidence, r.away(v)...))
	default:
		f.Outcome, f.Title = ringwall.Pass, "no telnet, ftp, tftp, rsh or adb is started at boot"
		f.Evidence = append(f.Evidence, fmt.Sprintf("%d commands were followed from %s", len(r.Commands), strings.Join(r.How, ", ")))
		for _, s := range r.Services {
			f.Evidence = append(f.Evidence, s.line())
		}
		f.Evidence = bound(f.Evidence)
	}
	return f
}

func names(ss []Service, sure bool) string {
	var out []string
	for _, s := range ss {
		if s.Risky != "" && !s.Local && s.Certain() == sure {
			out = append(out, s.Name)
		}
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

// away tells the scripts of the start that stand on partitions which are not
// in the image. What is missing on the root itself does not exist.
func (r *Result) away(v *view.View) []string {
	var out []string
	for _, m := range r.Missing {
		t := v.Target(m.Path)
		if strings.HasPrefix(t, "/tmp/") || strings.HasPrefix(t, "/var/") || strings.HasPrefix(t, "/run/") || strings.HasPrefix(t, "/dev/") || strings.HasPrefix(t, "/proc/") || strings.HasPrefix(t, "/media/") || !v.Writable(t) {
			continue
		}
		line := m.By + " runs or reads " + view.Clip(m.Path, 100) + ", which is not in the image"
		if !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	return out
}

// Ports returns the services for an examination: those with a known port that
// others can reach, started for certain or on a condition.
func (r *Result) Ports() []api.Service {
	var out []api.Service
	for _, s := range r.Services {
		if s.Port == 0 || s.Local || s.Stopped != "" {
			continue
		}
		info := s.At()
		if !s.Certain() {
			info += ", on a condition"
		}
		out = append(out, api.Service{Proto: s.Proto, Port: s.Port, Name: s.Name, Info: info})
	}
	return out
}

func bound(lines []string) []string {
	if len(lines) > 24 {
		return append(lines[:24:24], fmt.Sprintf("and %d more", len(lines)-24))
	}
	return lines
}
