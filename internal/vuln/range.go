package vuln

import "strings"

// Range is a range of versions; all that is set has to hold. The zero value
// holds every version.
type Range struct {
	From   string `json:"ge,omitempty"` // this and later
	After  string `json:"gt,omitempty"`
	Before string `json:"lt,omitempty"`
	To     string `json:"le,omitempty"` // up to and with this
	Only   string `json:"eq,omitempty"`
}

// Holds reports whether version is in the range.
func (r Range) Holds(version string) bool {
	return (r.Only == "" || Compare(version, r.Only) == 0) &&
		(r.From == "" || Compare(version, r.From) >= 0) &&
		(r.After == "" || Compare(version, r.After) > 0) &&
		(r.Before == "" || Compare(version, r.Before) < 0) &&
		(r.To == "" || Compare(version, r.To) <= 0)
}

// vague reports whether version is only the beginning of a bound of the range,
// so that the release meant may lie on either side: a program that says "2.8" may
// be 2.8.100, and the correction 2.8.48.
func (r Range) vague(version string) bool {
	v := strings.ToLower(version) + "."
	for _, bound := range []string{r.From, r.After, r.Before, r.To, r.Only} {
		if rest, ok := strings.CutPrefix(strings.ToLower(bound), v); ok && strings.Trim(rest, "0.") != "" {
			return true
		}
	}
	return false
}

func (r Range) String() string {
	var parts []string
	for _, p := range []struct{ op, v string }{{">= ", r.From}, {"> ", r.After}, {"= ", r.Only}, {"< ", r.Before}, {"<= ", r.To}} {
		if p.v != "" {
			parts = append(parts, p.op+p.v)
		}
	}
	if parts == nil {
		return "all versions"
	}
	return strings.Join(parts, ", ")
}
