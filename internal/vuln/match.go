package vuln

import (
	"cmp"
	"iter"
	"path"
	"slices"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// Reasons why a state is not simply "exploitable". They begin the Why of a
// vulnerability.
const (
	WhyUnexposed = "nothing that is known to listen uses it"
	WhyLocal     = "it needs a program of the attacker on the device"
	WhyPackaged  = "the distribution may have corrected it under the same version"
	WhyVague     = "the version found is not precise enough to tell"
	WhyTriage    = "a person has to decide whether this device is meant"
	WhyFixed     = "corrected in the package that is installed"
	WhyAbsent    = "code_not_present" // CycloneDX justification
)

// Match returns the vulnerabilities of components whose version is known,
// sorted by component, version and id.
func (d *Data) Match(components []api.Component) []api.Vulnerability {
	var out []api.Vulnerability
	for i := range components {
		out = d.match(out, &components[i])
	}
	slices.SortFunc(out, compareVulnerabilities)
	return slices.CompactFunc(out, func(x, y api.Vulnerability) bool {
		return x.ID == y.ID && x.Component == y.Component && x.Version == y.Version
	})
}

func compareVulnerabilities(x, y api.Vulnerability) int {
	return cmp.Or(cmp.Compare(x.Component, y.Component), Compare(x.Version, y.Version), cmp.Compare(x.Version, y.Version),
		cmp.Compare(x.ID, y.ID), cmp.Compare(rank(x.State), rank(y.State)), cmp.Compare(x.Range, y.Range))
}

// rank puts the states in the order of what has to be done.
func rank(s api.VEXState) int {
	return slices.Index([]api.VEXState{api.VEXAffected, api.VEXInTriage, api.VEXNotAffected, api.VEXFixed}, s)
}

// products yields the CPE names under which a component may be listed, each
// once.
func (d *Data) products(c *api.Component) iter.Seq[string] {
	return func(yield func(string) bool) {
		names := d.alias[c.Name]
		for _, n := range names {
			if !yield(n) {
				return
			}
		}
		if own := productOf(c.CPE); own != "" && !slices.Contains(names, own) {
			yield(own)
		}
	}
}

// productOf returns "vendor:product" of a CPE 2.3 name, or "".
func productOf(cpe string) string {
	if plain, ok := strings.CutPrefix(cpe, "cpe:2.3:"); ok && strings.IndexByte(plain, '\\') < 0 && strings.ToLower(plain) == plain {
		// Nothing is quoted: the two stand side by side.
		_, rest, _ := strings.Cut(plain, ":")
		vendor := strings.IndexByte(rest, ':')
		if vendor < 0 {
			return ""
		}
		if end := strings.IndexByte(rest[vendor+1:], ':'); end >= 0 {
			return rest[:vendor+1+end]
		}
		return rest
	}
	fields := splitCPE(cpe)
	if len(fields) < 5 {
		return ""
	}
	return fields[3] + ":" + fields[4]
}

// splitCPE splits a CPE 2.3 formatted string at its colons; a quoted colon is
// part of a field (NISTIR 7695 section 6.2). Other quoting is taken off.
func splitCPE(s string) []string {
	if !strings.HasPrefix(s, "cpe:2.3:") {
		return nil
	}
	var out []string
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case s[i] == ':':
			out = append(out, strings.ToLower(b.String()))
			b.Reset()
		default:
			b.WriteByte(s[i])
		}
	}
	return append(out, strings.ToLower(b.String()))
}

func (d *Data) match(out []api.Vulnerability, c *api.Component) []api.Vulnerability {
	if c.Version == "" {
		return out
	}
	for p := range d.products(c) {
		for _, at := range d.byProduct[p] {
			e := &d.entries[at.entry]
			a := &e.Affects[at.affects]
			r, ok := a.holding(c.Version)
			if !ok {
				continue
			}
			v := e.found(c.Name, c.Version, r)
			v.State, v.Why = a.state(c, r, e.Local)
			out = append(out, v)
		}
	}
	return out
}

// holding returns the first range that holds a version. A product without
// ranges is affected whole.
func (a *Affects) holding(version string) (Range, bool) {
	if len(a.Ranges) == 0 {
		return Range{}, true
	}
	for _, r := range a.Ranges {
		if r.Holds(version) {
			return r, true
		}
	}
	return Range{}, false
}

func (e *Entry) found(name, version string, r Range) api.Vulnerability {
	v := api.Vulnerability{ID: e.ID, Component: name, Version: version, Score: e.Score, Severity: Severity(e.Score), Range: r.String()}
	if e.KEV != nil {
		v.KEV, v.Added = true, e.KEV.Time
	}
	return v
}

// state decides whether a vulnerability counts for a component in its range.
func (a *Affects) state(c *api.Component, r Range, local bool) (api.VEXState, string) {
	kind, pkg, version := splitPURL(c.PURL)
	for _, f := range a.Fixed {
		if f.Type == kind && f.Type == "deb" && sourceOf(pkg) == f.Package && CompareDebian(version, f.Version) >= 0 {
			return api.VEXFixed, WhyFixed + " (" + f.Package + " " + f.Version + ")"
		}
	}
	if files := filesOf(c); len(a.Only) > 0 && len(files) > 0 && !slices.ContainsFunc(files, a.weak) {
		return api.VEXNotAffected, WhyAbsent + ": only " + strings.Join(a.Only, ", ") + " has the weak part"
	}
	if a.Triage != "" {
		return api.VEXInTriage, WhyTriage + ": " + a.Triage
	}
	if r.vague(c.Version) {
		return api.VEXInTriage, WhyVague
	}
	switch kind {
	case "deb", "rpm", "apk", "opkg":
		return api.VEXInTriage, WhyPackaged + " (" + version + ")"
	}
	if local {
		return api.VEXInTriage, WhyLocal
	}
	if !c.Exposed {
		return api.VEXInTriage, WhyUnexposed
	}
	return api.VEXAffected, ""
}

// weak reports whether a file may hold the part that has the weakness.
func (a *Affects) weak(file string) bool {
	return slices.ContainsFunc(a.Only, func(pattern string) bool {
		ok, err := path.Match(pattern, path.Base(file))
		return err == nil && ok
	})
}

// filesOf returns the files a component was found in. A package database is
// none: it does not say which parts are installed.
func filesOf(c *api.Component) []string {
	if strings.Contains(c.How, "package database") {
		return nil
	}
	return c.Paths
}

// splitPURL takes type, name and version out of a package URL.
func splitPURL(s string) (kind, name, version string) {
	s, ok := strings.CutPrefix(s, "pkg:")
	if !ok {
		return "", "", ""
	}
	s, _, _ = strings.Cut(s, "#")
	s, _, _ = strings.Cut(s, "?")
	kind, s, _ = strings.Cut(s, "/")
	name, version, _ = strings.Cut(s, "@")
	return strings.ToLower(kind), path.Base(name), unescape(version)
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := strings.IndexByte(hexDigits, s[i+1]|0x20), strings.IndexByte(hexDigits, s[i+2]|0x20)
			if hi >= 0 && lo >= 0 {
				b.WriteByte(byte(hi<<4 | lo))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

const hexDigits = "0123456789abcdef"

// sourceOf returns the source that a Debian package is built from, for the few
// of them that are named in fixes.
func sourceOf(pkg string) string {
	for _, p := range []string{"libssl", "libcrypto", "openssl"} {
		if strings.HasPrefix(pkg, p) {
			return "openssl"
		}
	}
	return pkg
}
