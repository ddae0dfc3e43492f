// Package zones gives the time zones that windows of a policy name as tables of
// offsets, so that a gateway needs no time zone data of its own and a rule of
// the law that changes reaches it with the next document.
//
// The data is the IANA database that the program carries (time/tzdata), or a
// newer one that the system has. The platform and the command line import this
// package; an agent never does.
package zones

import (
	"strings"
	"time"
	_ "time/tzdata" // a platform in an empty container has the zones all the same

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// A table begins before now, for a gateway whose clock is behind, and holds for
// longer than a document is meant to be in force.
const (
	before = 48 * time.Hour
	after  = 3 * 366 * 24 * time.Hour
	most   = 32 // offsets of a zone; three years have twelve where summer time knows Ramadan
)

// For returns the zones of these names around now, each once and in the order in
// which they came; "" and "UTC" need none and are left out. The error has code
// Invalid and names the zone that nobody knows.
func For(now time.Time, names []string) ([]api.Zone, error) {
	var out []api.Zone
	seen := map[string]bool{"": true, "UTC": true}
	for _, name := range names {
		if seen[name] {
			continue
		}
		seen[name] = true
		// "Local" would be the zone of this machine, and a path none of the database.
		if name == "Local" || strings.Contains(name, "..") || strings.HasPrefix(name, "/") {
			return nil, ringwall.Errorf(ringwall.Invalid, "%q is no time zone", name)
		}
		loc, err := time.LoadLocation(name)
		if err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "time zone %q is not known", name)
		}
		z := api.Zone{Name: name}
		for t := now.Add(-before); len(z.Offsets) < most; {
			in := t.In(loc)
			_, seconds := in.Zone()
			if n := len(z.Offsets); n == 0 || z.Offsets[n-1].Seconds != seconds {
				z.Offsets = append(z.Offsets, api.ZoneOffset{From: t.UTC().Truncate(time.Second), Seconds: seconds})
			}
			_, end := in.ZoneBounds()
			if end.IsZero() || end.After(now.Add(after)) {
				break
			}
			t = end
		}
		out = append(out, z)
	}
	return out, nil
}

// Named returns the zones that the windows of some terms name.
func Named(terms []api.Term) []string {
	var out []string
	for i := range terms {
		if w := terms[i].Window; w != nil {
			out = append(out, w.Zone)
		}
	}
	return out
}
