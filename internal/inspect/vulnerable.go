package inspect

import (
	"fmt"
	"slices"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// enough is how many components with a version make a pass say something.
const enough = 3

// vulnerable answers FS-04, FS-05 and FS-06 from the components and from what
// the image says it is.
func vulnerable(comps []api.Component, id api.Identity, m Matcher, now time.Time) []ringwall.Finding {
	answer := func(id string) ringwall.Finding {
		return ringwall.Finding{Indicator: id, Confidence: ringwall.Observed, Facts: map[string]string{}}
	}
	kev, cve, eol := answer("FS-04"), answer("FS-05"), answer("FS-06")
	told := 0
	for _, c := range comps {
		if c.Version != "" {
			told++
		}
	}
	found := append(m.Match(comps), m.MatchDevice(id)...)
	if told == 0 && len(found) == 0 {
		const why = "no component with a version was recognised in the image"
		kev.Title, cve.Title, eol.Title = why, why, why
		return []ringwall.Finding{kev, cve, eol}
	}
	basis := fmt.Sprintf("%d components with a version were compared with the data of %s", told, m.Version())
	exploited(&kev, found, comps, told)
	serious(&cve, found, comps, told)
	kev.Evidence, cve.Evidence = append(kev.Evidence, basis), append(cve.Evidence, basis)
	supported(&eol, comps, m, now, told)
	return []ringwall.Finding{kev, cve, eol}
}

// describe makes a line of evidence, and tells whether something that listens
// uses the component.
func describe(v api.Vulnerability, comps []api.Component) (line string, reach bool) {
	reach = slices.ContainsFunc(comps, func(c api.Component) bool { return c.Name == v.Component && c.Version == v.Version && c.Exposed })
	line = fmt.Sprintf("%s: %s %s", v.ID, v.Component, v.Version)
	if v.Severity != "" {
		line += ", " + v.Severity
	}
	if reach {
		line += ", used by something that listens"
	}
	if v.State == api.VEXInTriage {
		line += ", to be decided"
		if v.Why != "" {
			line += ": " + v.Why
		}
	}
	return line, reach
}

func exploited(f *ringwall.Finding, found []api.Vulnerability, comps []api.Component, told int) {
	sure, maybe := 0, 0
	for _, v := range found {
		if !v.KEV || v.State != api.VEXAffected && v.State != api.VEXInTriage {
			continue
		}
		line, reach := describe(v, comps)
		if v.State == api.VEXAffected {
			sure++
			if reach {
				f.Facts["exposed"] = "true"
			}
		} else {
			maybe++
		}
		if len(f.Evidence) < mostListed {
			f.Evidence = append(f.Evidence, line)
		}
	}
	slices.Sort(f.Evidence)
	switch {
	case sure > 0:
		f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("the image has %d vulnerabilities that are known to be exploited", sure)
	case maybe > 0:
		f.Outcome, f.Title = ringwall.Partial, fmt.Sprintf("the image may have %d vulnerabilities that are known to be exploited", maybe)
	case told >= enough:
		f.Outcome, f.Title = ringwall.Pass, "no component of the image is in the list of known exploited vulnerabilities"
	default:
		f.Title = "too few components were recognised to say"
	}
}

// mostListed bounds the evidence of one finding.
const mostListed = 40

func serious(f *ringwall.Finding, found []api.Vulnerability, comps []api.Component, told int) {
	sure, maybe := 0, 0
	for _, v := range found {
		if v.Severity != "high" && v.Severity != "critical" {
			continue
		}
		switch v.State {
		case api.VEXAffected:
			sure++
		case api.VEXInTriage:
			maybe++
		default:
			continue
		}
		if line, _ := describe(v, comps); len(f.Evidence) < mostListed {
			f.Evidence = append(f.Evidence, line)
		}
	}
	slices.Sort(f.Evidence)
	f.Facts["count"] = fmt.Sprint(sure)
	if more := sure + maybe - len(f.Evidence); more > 0 {
		f.Evidence = append(f.Evidence, fmt.Sprintf("and %d more", more))
	}
	switch {
	case sure > 0:
		f.Outcome, f.Title = ringwall.Fail, fmt.Sprintf("components of the image have %d open high or critical vulnerabilities", sure)
	case maybe > 0:
		f.Outcome, f.Title = ringwall.Partial, "components of the image may have high or critical vulnerabilities"
	case told >= enough:
		f.Outcome, f.Title = ringwall.Pass, "no component of the image has an open high or critical vulnerability"
	default:
		f.Title = "too few components were recognised to say"
	}
}

func supported(eol *ringwall.Finding, comps []api.Component, m Matcher, now time.Time, told int) {
	over, within := 0, 0
	for _, c := range comps {
		if c.Version == "" {
			continue
		}
		ends, ok := m.Support(c.Name, c.Version, now)
		switch {
		case !ok:
		case now.After(ends):
			over++
			if len(eol.Evidence) < 40 {
				eol.Evidence = append(eol.Evidence, fmt.Sprintf("%s %s: support ended %s", c.Name, c.Version, ends.UTC().Format(time.DateOnly)))
			}
		default:
			within++
		}
	}
	eol.Evidence = append(eol.Evidence, fmt.Sprintf("%d of %d components with a version have a known end of support", over+within, told))
	switch {
	case over > 0:
		eol.Outcome, eol.Title = ringwall.Fail, fmt.Sprintf("%d components of the image are past their upstream support", over)
	case within >= enough:
		eol.Outcome, eol.Title = ringwall.Pass, "the components of the image are within upstream support"
	default:
		eol.Title = "the end of support of too few components is known to say"
	}
}
