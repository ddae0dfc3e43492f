package vuln

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const (
	listed     = 12   // lines of evidence of one finding
	fullScore  = 20   // open high and critical vulnerabilities that make the worst score
	unexposed  = 0.25 // what one counts that nothing exposed is known to use
	triaged    = 0.1  // what one counts that the distribution may have corrected
	staleAfter = 400  // days after which the data are called old
)

// Judge answers the indicators that known weaknesses decide: FS-04 (known to be
// exploited), FS-05 (open high and critical ones) and FS-06 (upstream support), of
// the components found by source at a time. It is pure.
//
// FS-05 weighs: an exposed vulnerability counts 1, one that nothing exposed is
// known to use, or that needs a program on the device, 0.25, one that a distribution may have corrected 0.1; the score is
// the sum by 20, at most 1. 0 passes, from 0.5 on it fails.
func (d *Data) Judge(source string, components []api.Component, vulns []api.Vulnerability, at time.Time) []ringwall.Finding {
	versioned := 0
	for _, c := range components {
		if c.Version != "" {
			versioned++
		}
	}
	out := []ringwall.Finding{d.judgeExploited(versioned, vulns), d.judgeOpen(versioned, vulns), d.judgeSupport(components, at)}
	for i := range out {
		f := &out[i]
		f.Module, f.Source, f.Time, f.Confidence = ringwall.Firmware, source, at, ringwall.Observed
		if f.Facts == nil {
			f.Facts = map[string]string{}
		}
		f.Facts["data"] = d.version
		basis := fmt.Sprintf("%d components with a known version, against vulnerability data %s", versioned, d.version)
		if at.Sub(d.made) > staleAfter*24*time.Hour {
			basis += ", which are old: " + d.made.Format(time.DateOnly)
		}
		f.Evidence = append(f.Evidence, basis)
	}
	return out
}

// open reports whether a vulnerability still counts.
func open(v api.Vulnerability) bool { return v.State == api.VEXAffected || v.State == api.VEXInTriage }

// weight is what an open vulnerability counts.
func weight(v api.Vulnerability) float64 {
	switch {
	case v.State == api.VEXAffected:
		return 1
	case sure(v):
		return unexposed
	}
	return triaged
}

// sure reports whether the weakness is there for certain, though nobody
// reaches it from the network alone.
func sure(v api.Vulnerability) bool {
	return strings.HasPrefix(v.Why, WhyUnexposed) || strings.HasPrefix(v.Why, WhyLocal)
}

func (d *Data) judgeExploited(versioned int, vulns []api.Vulnerability) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-04"}
	var certain, exposed, doubtful []api.Vulnerability
	for _, v := range vulns {
		switch {
		case !v.KEV || !open(v):
		case v.State == api.VEXAffected:
			exposed = append(exposed, v)
		case sure(v):
			certain = append(certain, v)
		default:
			doubtful = append(doubtful, v)
		}
	}
	f.Facts = map[string]string{"exposed": strconv.FormatBool(len(exposed) > 0), "exploited": strconv.Itoa(len(exposed) + len(certain)), "doubtful": strconv.Itoa(len(doubtful))}
	f.Evidence = lines(slices.Concat(exposed, certain, doubtful))
	switch {
	case len(exposed) > 0:
		f.Outcome, f.Title = ringwall.Fail, "Software that listens has a weakness that is known to be exploited"
	case len(certain) > 0:
		f.Outcome, f.Title = ringwall.Fail, "A component has a weakness that is known to be exploited"
	case len(doubtful) > 0:
		f.Outcome, f.Title = ringwall.Partial, "A component may have a weakness that is known to be exploited"
	case versioned == 0:
		f.Outcome, f.Title = ringwall.Unknown, "No component's version is known"
	default:
		f.Outcome, f.Title = ringwall.Pass, "No component is on the list of exploited weaknesses"
	}
	if f.Outcome != ringwall.Pass && f.Outcome != ringwall.Unknown {
		f.Remedy = "Update the components named; isolate the device until then"
	}
	return f
}

func (d *Data) judgeOpen(versioned int, vulns []api.Vulnerability) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-05"}
	var serious []api.Vulnerability
	sum := 0.0
	for _, v := range vulns {
		if open(v) && v.Score >= 7 {
			serious = append(serious, v)
			sum += weight(v)
		}
	}
	score := min(1, sum/fullScore)
	slices.SortStableFunc(serious, func(x, y api.Vulnerability) int {
		return cmp.Or(cmp.Compare(weight(y), weight(x)), cmp.Compare(y.Score, x.Score), cmp.Compare(x.ID, y.ID))
	})
	f.Facts = map[string]string{"open": strconv.Itoa(len(serious)), "score": strconv.FormatFloat(score, 'f', 3, 64)}
	f.Evidence = lines(serious)
	switch {
	case versioned == 0:
		f.Outcome, f.Title = ringwall.Unknown, "No component's version is known"
	case score == 0:
		f.Outcome, f.Title = ringwall.Pass, "No open high or critical vulnerability is known in the components"
	case score < 0.5:
		f.Outcome, f.Title = ringwall.Partial, fmt.Sprintf("%d high or critical vulnerabilities are open in the components", len(serious))
	default:
		f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("%d high or critical vulnerabilities are open in the components", len(serious))
	}
	if len(serious) > 0 {
		f.Remedy = "Update the components; state with VEX what does not apply"
	}
	return f
}

// core are the components without whose support nothing else is safe.
var core = [...]string{"linux", "openssl", "glibc", "uclibc", "busybox", "mbedtls", "musl"}

func (d *Data) judgeSupport(components []api.Component, at time.Time) ringwall.Finding {
	f := ringwall.Finding{Indicator: "FS-06"}
	known, ended, endedCore := 0, 0, 0
	for _, c := range components {
		ends, ok := d.Support(c.Name, c.Version, at)
		if !ok {
			continue
		}
		known++
		if !ends.Before(at) {
			continue
		}
		ended++
		if slices.Contains(core[:], c.Name) {
			endedCore++
		}
		if len(f.Evidence) < listed {
			e, _ := d.end(c.Name, c.Version)
			line := fmt.Sprintf("%s %s: support ended %s", c.Name, c.Version, ends.Format(time.DateOnly))
			if e.Basis != "" {
				line += " (" + e.Basis + ")"
			}
			f.Evidence = append(f.Evidence, line)
		}
	}
	f.Facts = map[string]string{"known": strconv.Itoa(known), "ended": strconv.Itoa(ended)}
	switch {
	case known == 0:
		f.Outcome, f.Title = ringwall.Unknown, "Of no component is it known how long it is supported"
	case endedCore > 0:
		f.Outcome, f.Title = ringwall.Fail, "Core components are beyond upstream support"
	case ended > 0:
		f.Outcome, f.Title = ringwall.Partial, "Components are beyond upstream support"
	default:
		f.Outcome, f.Title = ringwall.Pass, "Components are within upstream support"
	}
	if ended > 0 {
		f.Remedy = "Move to supported versions"
	}
	return f
}

// lines writes vulnerabilities for people, no more than listed.
func lines(vulns []api.Vulnerability) []string {
	var out []string
	for i, v := range vulns {
		if i == listed {
			out = append(out, fmt.Sprintf("and %d more", len(vulns)-listed))
			break
		}
		l := v.ID + " in " + strings.TrimSpace(v.Component+" "+v.Version)
		if v.Score > 0 {
			l += fmt.Sprintf(" (CVSS %.1f)", v.Score)
		}
		if v.KEV {
			l += ", exploited since " + v.Added.Format(time.DateOnly)
		}
		if v.Why != "" {
			l += "; " + v.Why
		}
		out = append(out, l)
	}
	return out
}
