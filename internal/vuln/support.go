package vuln

import (
	"strings"
	"time"
)

// Support returns when upstream support of a component's version ended or
// ends. It reports false when that is not known; of a branch that the data do
// not name, nothing is known once they are older than two years at the time at.
func (d *Data) Support(component, version string, at time.Time) (ends time.Time, known bool) {
	e, ok := d.end(component, version)
	if !ok {
		return time.Time{}, false
	}
	// An end that lay ahead when the data were made may have been moved since.
	if e.Ends.After(d.made) && at.After(d.made.AddDate(2, 0, 0)) {
		return time.Time{}, false
	}
	return e.Ends.Time, true
}

func (d *Data) end(component, version string) (End, bool) {
	if version == "" {
		return End{}, false
	}
	v := strings.ToLower(version)
	var best End
	found := false
	for _, e := range d.support[component] {
		switch {
		case e.Branch != "" && inBranch(v, e.Branch):
			if !found || best.Branch == "" || len(e.Branch) > len(best.Branch) {
				best, found = e, true
			}
		case e.Below != "" && Compare(v, e.Below) < 0:
			if !found || best.Branch == "" && Compare(e.Below, best.Below) < 0 {
				best, found = e, true
			}
		}
	}
	return best, found
}

// inBranch reports whether a version belongs to a branch: 1.0.2k to 1.0.2, but
// neither 1.0.20 nor 11.0.2.
func inBranch(version, branch string) bool {
	rest, ok := strings.CutPrefix(version, strings.ToLower(branch))
	return ok && (rest == "" || rest[0] < '0' || rest[0] > '9')
}
