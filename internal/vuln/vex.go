package vuln

import (
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// Statement is what somebody who answers for a product says of a vulnerability
// in it. Package vuln/vex reads them.
type Statement struct {
	ID string // CVE
	// Component names what it is about: a component's name, package URL or CPE.
	// Empty means the whole product.
	Component string
	Version   string // empty means every version
	State     api.VEXState
	Why       string // justification and detail
	By        string // who says so
}

// Apply returns vulns with the states that statements give them. The last
// statement about a vulnerability wins; one that names the component wins over one
// about the whole product. vulns is not changed.
func Apply(vulns []api.Vulnerability, statements []Statement) []api.Vulnerability {
	out := slices.Clone(vulns)
	byID := map[string][]Statement{}
	for _, s := range statements {
		byID[s.ID] = append(byID[s.ID], s)
	}
	for i := range out {
		v := &out[i]
		named := false
		for _, s := range byID[v.ID] {
			about := s.about(v)
			if !about || named && s.Component == "" {
				continue
			}
			named = named || s.Component != ""
			v.State = s.State
			v.Why = strings.TrimSpace(s.Why)
			if s.By != "" {
				v.Why = strings.TrimSpace(v.Why + " (said by " + s.By + ")")
			}
		}
	}
	return out
}

// about reports whether a statement is about the component of a vulnerability.
func (s *Statement) about(v *api.Vulnerability) bool {
	if s.Version != "" && Compare(s.Version, v.Version) != 0 {
		return false
	}
	if s.Component == "" {
		return true
	}
	if _, name, version := splitPURL(s.Component); name != "" {
		return strings.EqualFold(name, v.Component) && (version == "" || Compare(version, v.Version) == 0 || strings.HasPrefix(version, v.Version+"-"))
	}
	if f := splitCPE(s.Component); len(f) >= 6 {
		return (f[4] == strings.ToLower(v.Component) || strings.HasPrefix(f[4], strings.ToLower(v.Component)+"_")) && (f[5] == "*" || f[5] == "" || Compare(f[5], v.Version) == 0)
	}
	return strings.EqualFold(s.Component, v.Component)
}
