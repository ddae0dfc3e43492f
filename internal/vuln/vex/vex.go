// Package vex reads what makers say of vulnerabilities in their products, as
// OpenVEX (v0.2.0) or as the vulnerabilities of a CycloneDX BOM (1.4 and later,
// JSON), into statements that vuln.Apply uses.
//
// A statement is somebody's word, not a measurement: who said it stays beside
// the state it gives. The package checks form, never signatures: whoever hands a
// document in has to have verified where it is from. Documents are bounded to
// MaxBytes; statements about ids that are no CVE are left out and counted.
package vex

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
	openvex "github.com/openvex/go-vex/pkg/vex"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/vuln"
)

// MaxBytes is how large a document may be.
const MaxBytes = 32 << 20

const (
	maxStatements = 100_000
	maxText       = 1000 // bytes of a reason
)

// Options says how a document is to be understood. The zero value is good.
type Options struct {
	By string // who says it; empty means the author the document names
	// Product is the identifier (package URL, CPE or name) of the whole device or
	// firmware: a statement about it concerns all its components.
	Product string
}

// Read reads a document of either kind. It returns the statements in the order
// of the document, and how many it left out because they are not about a CVE.
func Read(r io.Reader, o Options) (statements []vuln.Statement, left int, err error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, 0, ringwall.Errorf(ringwall.Invalid, "reading a VEX document: %w", err)
	}
	if len(data) > MaxBytes {
		return nil, 0, ringwall.Errorf(ringwall.Invalid, "the VEX document is larger than %d bytes", MaxBytes)
	}
	var kind struct {
		Context string `json:"@context"`
		Format  string `json:"bomFormat"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return nil, 0, ringwall.Errorf(ringwall.Invalid, "the VEX document is not JSON: %w", err)
	}
	c := collector{Options: o}
	switch {
	case strings.HasPrefix(kind.Context, openvex.Context):
		err = c.openVEX(data)
	case strings.EqualFold(kind.Format, cdx.BOMFormat):
		err = c.cycloneDX(data)
	default:
		return nil, 0, ringwall.Errorf(ringwall.Invalid, "this is neither an OpenVEX document nor a CycloneDX BOM")
	}
	if err != nil {
		return nil, 0, err
	}
	return c.out, c.left, nil
}

// collector gathers statements.
type collector struct {
	Options
	out  []vuln.Statement
	left int
}

var isCVE = regexp.MustCompile(`^CVE-\d{4}-\d{4,9}$`)

func (c *collector) add(s vuln.Statement) error {
	if !isCVE.MatchString(s.ID) {
		c.left++
		return nil
	}
	if len(c.out) == maxStatements {
		return ringwall.Errorf(ringwall.Invalid, "the VEX document has more than %d statements", maxStatements)
	}
	if len(s.Why) > maxText {
		s.Why = strings.ToValidUTF8(s.Why[:maxText], "") + "..."
	}
	if s.Component == c.Product {
		s.Component = ""
	}
	s.By = c.By
	c.out = append(c.out, s)
	return nil
}

func (c *collector) openVEX(data []byte) error {
	doc, err := openvex.Parse(data)
	if err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading an OpenVEX document: %w", err)
	}
	if c.By == "" {
		c.By = doc.Author
	}
	for i := range doc.Statements {
		st := &doc.Statements[i]
		s := vuln.Statement{ID: id(st), Why: join(string(st.Justification), st.ImpactStatement, st.StatusNotes, st.ActionStatement)}
		switch st.Status {
		case openvex.StatusNotAffected:
			if st.Justification == "" && st.ImpactStatement == "" {
				return ringwall.Errorf(ringwall.Invalid, "OpenVEX statement %d: \"not_affected\" needs a justification or an impact statement", i+1)
			}
			s.State = api.VEXNotAffected
		case openvex.StatusAffected:
			s.State = api.VEXAffected
		case openvex.StatusFixed:
			s.State = api.VEXFixed
		case openvex.StatusUnderInvestigation:
			s.State = api.VEXInTriage
		default:
			return ringwall.Errorf(ringwall.Invalid, "OpenVEX statement %d has the unknown status %.40q", i+1, st.Status)
		}
		if len(st.Products) == 0 {
			return ringwall.Errorf(ringwall.Invalid, "OpenVEX statement %d names no product", i+1)
		}
		for j := range st.Products {
			p := &st.Products[j]
			if len(p.Subcomponents) == 0 {
				s.Component = identifier(&p.Component)
				if err := c.add(s); err != nil {
					return err
				}
			}
			for k := range p.Subcomponents {
				s.Component = identifier(&p.Subcomponents[k].Component)
				if err := c.add(s); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// id returns the CVE that a statement is about, by its name or an alias.
func id(st *openvex.Statement) string {
	names := []string{string(st.Vulnerability.Name), st.Vulnerability.ID}
	for _, a := range st.Vulnerability.Aliases {
		names = append(names, string(a))
	}
	for _, n := range names {
		if isCVE.MatchString(n) {
			return n
		}
	}
	return ""
}

func identifier(c *openvex.Component) string {
	for _, kind := range []openvex.IdentifierType{openvex.PURL, openvex.CPE23} {
		if s := c.Identifiers[kind]; s != "" {
			return s
		}
	}
	return c.ID
}

func (c *collector) cycloneDX(data []byte) error {
	var bom cdx.BOM
	if err := json.Unmarshal(data, &bom); err != nil {
		return ringwall.Errorf(ringwall.Invalid, "reading a CycloneDX BOM: %w", err)
	}
	about := map[string]string{} // by bom-ref
	if bom.Components != nil {
		refs(about, *bom.Components, 0)
	}
	if m := bom.Metadata; m != nil && m.Component != nil {
		about[m.Component.BOMRef] = c.Product
		if c.By == "" {
			switch {
			case m.Supplier != nil:
				c.By = m.Supplier.Name
			case m.Component.Supplier != nil:
				c.By = m.Component.Supplier.Name
			}
		}
	}
	if bom.Vulnerabilities == nil {
		return nil
	}
	for _, v := range *bom.Vulnerabilities {
		if v.Analysis == nil || v.Analysis.State == "" {
			continue
		}
		s := vuln.Statement{ID: v.ID, Why: join(string(v.Analysis.Justification), v.Analysis.Detail)}
		switch v.Analysis.State {
		case cdx.IASResolved, cdx.IASResolvedWithPedigree:
			s.State = api.VEXFixed
		case cdx.IASExploitable:
			s.State = api.VEXAffected
		case cdx.IASInTriage:
			s.State = api.VEXInTriage
		case cdx.IASNotAffected, cdx.IASFalsePositive:
			s.State = api.VEXNotAffected
		default:
			return ringwall.Errorf(ringwall.Invalid, "CycloneDX vulnerability %.40q has the unknown state %.40q", v.ID, v.Analysis.State)
		}
		if v.Affects == nil || len(*v.Affects) == 0 {
			s.Component = c.Product
			if err := c.add(s); err != nil {
				return err
			}
			continue
		}
		for _, a := range *v.Affects {
			ref := a.Ref
			if strings.HasPrefix(ref, "urn:cdx:") { // BOM-Link
				_, ref, _ = strings.Cut(ref, "#")
			}
			name, known := about[ref]
			if !known {
				name = ref
			}
			s.Component = name
			if err := c.add(s); err != nil {
				return err
			}
		}
	}
	return nil
}

const maxDepth = 16 // of components within components

func refs(about map[string]string, all []cdx.Component, depth int) {
	for _, c := range all {
		name := c.PackageURL
		if name == "" {
			name = c.CPE
		}
		if name == "" {
			name = c.Name
		}
		if c.BOMRef != "" {
			about[c.BOMRef] = name
		}
		if c.Components != nil && depth < maxDepth {
			refs(about, *c.Components, depth+1)
		}
	}
}

func join(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ": ")
}
