package vuln

import (
	"path"
	"slices"
	"strings"
	"unicode"

	"github.com/ringwall/ringwall/api"
)

// MatchDevice returns the vulnerabilities that are listed for a device's vendor
// and model, sorted by id. Where the firmware's version is not known, or the
// list names none, a person has to decide.
func (d *Data) MatchDevice(id api.Identity) []api.Vulnerability {
	model := modelKey(id.Model)
	if id.Vendor == "" || model == "" {
		return nil
	}
	name := strings.TrimSpace(id.Vendor) + " " + strings.TrimSpace(id.Model)
	var out []api.Vulnerability
	for _, at := range d.byVendor[vendorKey(id.Vendor)] {
		e := &d.entries[at.entry]
		a := &e.Affects[at.affects]
		if !a.models(model) {
			continue
		}
		var r Range
		if id.Firmware != "" {
			var in bool
			if r, in = a.holding(id.Firmware); !in {
				continue
			}
		}
		v := e.found(name, id.Firmware, r)
		switch {
		case a.Triage != "":
			v.State, v.Why = api.VEXInTriage, WhyTriage+": "+a.Triage
		case len(a.Ranges) > 0 && id.Firmware == "":
			v.State, v.Why = api.VEXInTriage, WhyVague+": the version of the firmware is not known"
			v.Range = a.Ranges[0].String()
		case r.vague(id.Firmware):
			v.State, v.Why = api.VEXInTriage, WhyVague
		default:
			v.State = api.VEXAffected
		}
		out = append(out, v)
	}
	slices.SortFunc(out, compareVulnerabilities)
	return slices.CompactFunc(out, func(x, y api.Vulnerability) bool { return x.ID == y.ID })
}

func (a *Affects) models(model string) bool {
	return slices.ContainsFunc(a.Models, func(pattern string) bool {
		ok, err := path.Match(modelKey(pattern), model)
		return err == nil && ok
	})
}

// modelKey makes "ds-2cd2132F-I " and "DS-2CD2132F-I" one. Slashes would end
// what a pattern's star matches.
func modelKey(s string) string {
	return strings.ReplaceAll(strings.ToUpper(strings.TrimSpace(s)), "/", "-")
}

// vendorKey makes the ways one maker is written one: lower case, letters and
// digits alone, without what companies call themselves.
func vendorKey(s string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		switch w {
		case "co", "ltd", "inc", "corp", "corporation", "company", "technology", "technologies", "systems", "gmbh", "llc", "limited", "digital", "security", "networks", "vision":
			continue
		}
		b.WriteString(w)
	}
	return b.String()
}
