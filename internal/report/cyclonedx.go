package report

import (
	"cmp"
	"io"
	"strings"
	"time"

	"github.com/ringwall/ringwall/api"
)

// The parts of CycloneDX 1.6 that we write.
type cdxBOM struct {
	Format     string             `json:"bomFormat"`
	Spec       string             `json:"specVersion"`
	Serial     string             `json:"serialNumber"`
	Version    int                `json:"version"`
	Metadata   cdxMetadata        `json:"metadata"`
	Components []cdxComponent     `json:"components"`
	Vulns      []cdxVulnerability `json:"vulnerabilities"`
}

type cdxMetadata struct {
	Time      string       `json:"timestamp,omitempty"`
	Tools     cdxTools     `json:"tools"`
	Component cdxComponent `json:"component"`
}

type cdxTools struct {
	Components []cdxComponent `json:"components"`
}

type cdxComponent struct {
	Type     string        `json:"type"`
	Ref      string        `json:"bom-ref,omitempty"`
	Supplier *cdxParty     `json:"supplier,omitempty"`
	Name     string        `json:"name"`
	Version  string        `json:"version,omitempty"`
	CPE      string        `json:"cpe,omitempty"`
	PURL     string        `json:"purl,omitempty"`
	Props    []cdxProperty `json:"properties,omitempty"`
	Evidence *cdxEvidence  `json:"evidence,omitempty"`
}

type cdxParty struct {
	Name string `json:"name"`
}

type cdxProperty struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type cdxEvidence struct {
	Occurrences []cdxOccurrence `json:"occurrences"`
}

type cdxOccurrence struct {
	Location string `json:"location"`
}

type cdxVulnerability struct {
	Ref      string        `json:"bom-ref"`
	ID       string        `json:"id"`
	Source   *cdxSource    `json:"source,omitempty"`
	Ratings  []cdxRating   `json:"ratings,omitempty"`
	Analysis cdxAnalysis   `json:"analysis"`
	Affects  []cdxAffects  `json:"affects"`
	Props    []cdxProperty `json:"properties,omitempty"`
}

type cdxSource struct {
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
}

type cdxRating struct {
	Score    float64 `json:"score,omitempty"`
	Severity string  `json:"severity"`
}

type cdxAnalysis struct {
	State         string   `json:"state"`
	Justification string   `json:"justification,omitempty"`
	Response      []string `json:"response,omitempty"`
	Detail        string   `json:"detail,omitempty"`
}

type cdxAffects struct {
	Ref string `json:"ref"`
}

// justifications that CycloneDX knows for "not_affected"; others go into detail.
var justifications = map[string]bool{
	"code_not_present": true, "code_not_reachable": true, "requires_configuration": true, "requires_dependency": true, "requires_environment": true,
	"protected_by_compiler": true, "protected_at_runtime": true, "protected_at_perimeter": true, "protected_by_mitigating_control": true,
}

// CycloneDX writes the software components of all examinations as an SBOM with
// VEX: each known vulnerability with its state. It is kept apart from the
// device that it was made of, and can be matched again without it.
func CycloneDX(w io.Writer, in Input) error {
	a := in.Assessment
	device := "device:" + cmp.Or(string(a.Device), uuid5("device", in.identity()))
	bom := cdxBOM{
		Format: "CycloneDX", Spec: "1.6", Serial: "urn:uuid:" + uuid5("cyclonedx", in.identity()), Version: 1,
		Metadata: cdxMetadata{
			Time: stamp(cmpTime(a.Ended, in.Made)), Tools: cdxTools{[]cdxComponent{{Type: "application", Name: cmp.Or(in.Tool, "ringwall")}}},
			Component: cdxComponent{Type: "device", Ref: device, Name: cut(cmp.Or(strings.TrimSpace(a.Vendor+" "+a.Model), in.name())), Version: cut(a.Firmware), Supplier: party(a.Vendor)},
		},
		Components: []cdxComponent{}, Vulns: []cdxVulnerability{},
	}
	refs := map[string][]string{}
	for _, c := range in.components() {
		x := cdxComponent{Type: "library", Ref: "component:" + uuid5("component", c.Name, c.Version), Name: cut(c.Name), Version: cut(c.Version), CPE: cpe(c.CPE), PURL: purl(c.PURL), Supplier: party(c.Supplier)}
		if c.Name == "linux" || strings.HasPrefix(c.CPE, "cpe:2.3:o:") {
			x.Type = "operating-system"
		}
		if c.Exposed {
			x.Props = append(x.Props, cdxProperty{"ringwall:exposed", "true"})
		}
		if c.How != "" {
			x.Props = append(x.Props, cdxProperty{"ringwall:told-by", cut(c.How)})
		}
		if len(c.Paths) > 0 {
			x.Evidence = &cdxEvidence{}
			for _, p := range c.Paths[:min(len(c.Paths), 64)] {
				x.Evidence.Occurrences = append(x.Evidence.Occurrences, cdxOccurrence{cut(p)})
			}
		}
		bom.Components = append(bom.Components, x)
		refs[c.Name] = append(refs[c.Name], x.Ref)
		refs[c.Name+" "+c.Version] = append(refs[c.Name+" "+c.Version], x.Ref)
	}
	for _, v := range in.vulnerabilities() {
		bom.Vulns = append(bom.Vulns, cdxVuln(v, refs, device))
	}
	return writeJSON(w, bom)
}

func cdxVuln(v api.Vulnerability, refs map[string][]string, device string) cdxVulnerability {
	x := cdxVulnerability{Ref: "vulnerability:" + uuid5("vulnerability", v.ID, v.Component, v.Version), ID: cut(v.ID), Analysis: cdxAnalysis{State: cmp.Or(string(v.State), string(api.VEXInTriage))}}
	if strings.HasPrefix(v.ID, "CVE-") {
		x.Source = &cdxSource{Name: "NVD", URL: "https://nvd.nist.gov/vuln/detail/" + cut(v.ID)}
	}
	severity := v.Severity
	switch severity {
	case "critical", "high", "medium", "low":
	default:
		severity = "unknown"
	}
	x.Ratings = []cdxRating{{Score: v.Score, Severity: severity}}
	if v.State == api.VEXNotAffected && justifications[v.Why] {
		x.Analysis.Justification = v.Why
	} else {
		x.Analysis.Detail = cut(v.Why)
	}
	if v.KEV {
		x.Props = append(x.Props, cdxProperty{"ringwall:known-exploited", "true"})
	}
	if v.Range != "" {
		x.Props = append(x.Props, cdxProperty{"ringwall:range", cut(v.Range)})
	}
	found := refs[v.Component+" "+v.Version]
	if len(found) == 0 {
		found = refs[v.Component]
	}
	if len(found) == 0 {
		found = []string{device} // a weakness of the model itself
	}
	for _, ref := range found {
		x.Affects = append(x.Affects, cdxAffects{ref})
	}
	return x
}

// cmpTime returns the first time that is known.
func cmpTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

func party(name string) *cdxParty {
	if name == "" {
		return nil
	}
	return &cdxParty{cut(name)}
}

// cpe passes a name of CPE 2.3 on and nothing else: a firmware could claim any.
func cpe(s string) string {
	if !strings.HasPrefix(s, "cpe:2.3:") || strings.ContainsAny(s, " \"<>") {
		return ""
	}
	return cut(s)
}

func purl(s string) string {
	if !strings.HasPrefix(s, "pkg:") || strings.ContainsAny(s, " \"<>") {
		return ""
	}
	return cut(s)
}
