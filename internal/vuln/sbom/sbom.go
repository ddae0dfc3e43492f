// Package sbom writes the components and vulnerabilities of an examination as a
// CycloneDX 1.6 BOM with VEX, and reads the components of a supplier's.
//
// The same examination, vulnerabilities and time give the same bytes; the serial
// number is derived from them. Reading is bounded to MaxBytes and MaxComponents
// and takes JSON or XML of any version of CycloneDX; what a supplier lists is a
// declaration, and says so. The package holds no state.
package sbom

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// Bounds of what Read takes.
const (
	MaxBytes      = 64 << 20
	MaxComponents = 100_000

	maxDepth = 16  // of components within components
	maxField = 512 // bytes of a name or version
)

// Write writes a BOM of an examination.
func Write(w io.Writer, x api.Examination, vulns []api.Vulnerability, now time.Time) error {
	serial, err := serialOf(x, vulns, now)
	if err != nil {
		return fmt.Errorf("writing an SBOM: %w", err)
	}
	bom := cdx.NewBOM()
	bom.SpecVersion = cdx.SpecVersion1_6
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	bom.SerialNumber = serial
	bom.Metadata = &cdx.Metadata{
		Timestamp: now.UTC().Format(time.RFC3339),
		Tools:     &cdx.ToolsChoice{Components: &[]cdx.Component{{Type: cdx.ComponentTypeApplication, Name: "ringwall", Version: toolVersion(x.Tool)}}},
		Component: subject(x),
	}
	refs := map[[2]string]string{}
	taken := map[string]bool{subjectRef: true}
	components := make([]cdx.Component, 0, len(x.Components))
	for _, c := range x.Components {
		out := component(c)
		for n := 2; taken[out.BOMRef]; n++ {
			out.BOMRef = component(c).BOMRef + "#" + strconv.Itoa(n)
		}
		taken[out.BOMRef] = true
		if k := [2]string{c.Name, c.Version}; refs[k] == "" {
			refs[k] = out.BOMRef
		}
		components = append(components, out)
	}
	bom.Components = &components
	said := make([]cdx.Vulnerability, 0, len(vulns))
	for i, v := range vulns {
		said = append(said, vulnerability(v, i, refs[[2]string{v.Component, v.Version}]))
	}
	bom.Vulnerabilities = &said
	e := cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON)
	e.SetPretty(true)
	if err := e.EncodeVersion(bom, cdx.SpecVersion1_6); err != nil {
		return fmt.Errorf("writing an SBOM: %w", err)
	}
	return nil
}

// subjectRef is the reference of what was examined.
const subjectRef = "examined"

func subject(x api.Examination) *cdx.Component {
	name := strings.TrimSpace(x.Identity.Vendor + " " + x.Identity.Model)
	if name == "" {
		name = x.Source
	}
	if name == "" {
		name = "unknown"
	}
	c := &cdx.Component{Type: cdx.ComponentTypeFirmware, BOMRef: subjectRef, Name: name, Version: x.Identity.Firmware}
	if x.Kind != api.ExamFirmware {
		c.Type = cdx.ComponentTypeDevice
	}
	if x.Identity.Vendor != "" {
		c.Manufacturer = &cdx.OrganizationalEntity{Name: x.Identity.Vendor}
	}
	if len(x.Digest) == sha256.Size*2 {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: strings.ToLower(x.Digest)}}
	}
	return c
}

// kindOf tells libraries, which others load, from programs.
func kindOf(c api.Component) cdx.ComponentType {
	switch {
	case c.Name == "linux":
		return cdx.ComponentTypeOS
	case c.Name == "u-boot":
		return cdx.ComponentTypeFirmware
	}
	for _, p := range c.Paths {
		if !strings.Contains(p, ".so") {
			return cdx.ComponentTypeApplication
		}
	}
	return cdx.ComponentTypeLibrary
}

func component(c api.Component) cdx.Component {
	out := cdx.Component{Type: kindOf(c), BOMRef: c.PURL, Name: c.Name, Version: c.Version, CPE: c.CPE, PackageURL: c.PURL}
	if out.BOMRef == "" {
		out.BOMRef = c.Name + "@" + c.Version
	}
	if c.Supplier != "" {
		out.Supplier = &cdx.OrganizationalEntity{Name: c.Supplier}
	}
	if len(c.Paths) > 0 {
		var at []cdx.EvidenceOccurrence
		for _, p := range c.Paths {
			at = append(at, cdx.EvidenceOccurrence{Location: p})
		}
		out.Evidence = &cdx.Evidence{Occurrences: &at}
	}
	var properties []cdx.Property
	if c.How != "" {
		properties = append(properties, cdx.Property{Name: "ringwall:how", Value: c.How})
	}
	if c.Exposed {
		properties = append(properties, cdx.Property{Name: "ringwall:exposed", Value: "true"})
	}
	if properties != nil {
		out.Properties = &properties
	}
	return out
}

func vulnerability(v api.Vulnerability, n int, ref string) cdx.Vulnerability {
	out := cdx.Vulnerability{BOMRef: "vulnerability-" + strconv.Itoa(n+1), ID: v.ID, Source: &cdx.Source{Name: "CVE"}}
	if v.Score > 0 {
		score := v.Score
		out.Ratings = &[]cdx.VulnerabilityRating{{Score: &score, Severity: cdx.Severity(v.Severity), Method: cdx.ScoringMethodOther}}
	}
	out.Analysis = &cdx.VulnerabilityAnalysis{State: cdx.ImpactAnalysisState(v.State), Detail: v.Why}
	if v.State == api.VEXNotAffected {
		word, _, _ := strings.Cut(v.Why, ":")
		if j := cdx.ImpactAnalysisJustification(strings.TrimSpace(word)); justified(j) {
			out.Analysis.Justification = j
		}
	}
	if ref == "" {
		ref = subjectRef
	}
	out.Affects = &[]cdx.Affects{{Ref: ref}}
	if v.KEV {
		properties := []cdx.Property{{Name: "ringwall:known-exploited", Value: "true"}}
		if !v.Added.IsZero() {
			properties = append(properties, cdx.Property{Name: "ringwall:known-exploited-since", Value: v.Added.UTC().Format(time.DateOnly)})
		}
		out.Properties = &properties
	}
	return out
}

func justified(j cdx.ImpactAnalysisJustification) bool {
	switch j {
	case cdx.IAJCodeNotPresent, cdx.IAJCodeNotReachable, cdx.IAJRequiresConfiguration, cdx.IAJRequiresDependency, cdx.IAJRequiresEnvironment,
		cdx.IAJProtectedByCompiler, cdx.IAJProtectedAtRuntime, cdx.IAJProtectedAtPerimeter, cdx.IAJProtectedByMitigatingControl:
		return true
	}
	return false
}

func toolVersion(tool string) string {
	_, v, _ := strings.Cut(tool, " ")
	return v
}

// serialOf derives a UUID from all that goes into a BOM (RFC 9562 section 5.8:
// version 8, the content is ours).
func serialOf(x api.Examination, vulns []api.Vulnerability, now time.Time) (string, error) {
	b, err := json.Marshal(struct {
		X     api.Examination
		Vulns []api.Vulnerability
		Now   time.Time
	}{x, vulns, now.UTC()})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:]), nil
}

// Read returns the components that a CycloneDX BOM lists, in its order,
// without repetitions.
func Read(r io.Reader) ([]api.Component, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading an SBOM: %w", err)
	}
	if len(data) > MaxBytes {
		return nil, ringwall.Errorf(ringwall.Invalid, "the SBOM is larger than %d bytes", MaxBytes)
	}
	format := cdx.BOMFileFormatJSON
	if bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), []byte("<")) {
		format = cdx.BOMFileFormatXML
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(data), format).Decode(&bom); err != nil {
		return nil, ringwall.Errorf(ringwall.Invalid, "reading a CycloneDX SBOM: %w", err)
	}
	if format == cdx.BOMFileFormatJSON && !strings.EqualFold(bom.BOMFormat, cdx.BOMFormat) {
		return nil, ringwall.Errorf(ringwall.Invalid, "this is no CycloneDX SBOM: it does not say bomFormat CycloneDX")
	}
	l := list{seen: map[string]bool{}}
	if bom.Components != nil {
		if err := l.add(*bom.Components, 0); err != nil {
			return nil, err
		}
	}
	return l.out, nil
}

type list struct {
	out  []api.Component
	seen map[string]bool
}

func (l *list) add(all []cdx.Component, depth int) error {
	if depth > maxDepth {
		return ringwall.Errorf(ringwall.Invalid, "the SBOM nests components more than %d deep", maxDepth)
	}
	for _, c := range all {
		for _, s := range []string{c.Name, c.Version, c.CPE, c.PackageURL} {
			if len(s) > maxField {
				return ringwall.Errorf(ringwall.Invalid, "the SBOM has a component %.60q with a field of %d bytes", c.Name, len(s))
			}
		}
		key := c.Name + "\x00" + c.Version + "\x00" + c.PackageURL
		if c.Name != "" && c.Type != cdx.ComponentTypeFile && !l.seen[key] {
			if len(l.out) == MaxComponents {
				return ringwall.Errorf(ringwall.Invalid, "the SBOM lists more than %d components", MaxComponents)
			}
			l.seen[key] = true
			out := api.Component{Name: c.Name, Version: c.Version, CPE: c.CPE, PURL: c.PackageURL, How: "declared in a CycloneDX SBOM"}
			if c.Supplier != nil {
				out.Supplier = c.Supplier.Name
			}
			l.out = append(l.out, out)
		}
		if c.Components != nil {
			if err := l.add(*c.Components, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}
