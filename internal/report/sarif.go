package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// The parts of SARIF 2.1.0 that we write; sections are those of the standard.
type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct { // 3.14
	Tool        sarifTool         `json:"tool"`
	Invocations []sarifInvocation `json:"invocations"`
	Automation  sarifAutomation   `json:"automationDetails"`
	Results     []sarifResult     `json:"results"`
	Properties  map[string]any    `json:"properties,omitempty"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct { // 3.19
	Name     string      `json:"name"`
	FullName string      `json:"fullName,omitempty"`
	Org      string      `json:"organization"`
	Rules    []sarifRule `json:"rules"`
}

type sarifInvocation struct { // 3.20
	Successful bool   `json:"executionSuccessful"`
	Start      string `json:"startTimeUtc,omitempty"`
	End        string `json:"endTimeUtc,omitempty"`
}

type sarifAutomation struct { // 3.17
	ID   string `json:"id"`
	GUID string `json:"guid"`
}

type sarifRule struct { // 3.49
	ID      string         `json:"id"`
	Short   sarifText      `json:"shortDescription"`
	Full    *sarifText     `json:"fullDescription,omitempty"`
	Help    *sarifText     `json:"help,omitempty"`
	HelpURI string         `json:"helpUri,omitempty"`
	Default sarifDefault   `json:"defaultConfiguration"`
	Props   map[string]any `json:"properties,omitempty"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifDefault struct {
	Level string `json:"level"`
}

type sarifResult struct { // 3.27
	RuleID       string             `json:"ruleId"`
	RuleIndex    int                `json:"ruleIndex"`
	Kind         string             `json:"kind"`
	Level        string             `json:"level"`
	Message      sarifText          `json:"message"`
	Locations    []sarifLocation    `json:"locations"`
	Fingerprints map[string]string  `json:"partialFingerprints"`
	Suppressions []sarifSuppression `json:"suppressions,omitempty"`
	Props        map[string]any     `json:"properties,omitempty"`
}

type sarifLocation struct { // 3.28
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct { // 3.29
	Artifact sarifArtifact `json:"artifactLocation"`
}

type sarifArtifact struct { // 3.4
	URI  string `json:"uri"`
	Base string `json:"uriBaseId,omitempty"`
}

type sarifLogical struct { // 3.33
	Name      string `json:"name"`
	Qualified string `json:"fullyQualifiedName"`
	Kind      string `json:"kind"`
}

type sarifSuppression struct { // 3.35
	Kind          string `json:"kind"`
	Status        string `json:"status"`
	Justification string `json:"justification,omitempty"`
}

// SARIF writes findings and known vulnerabilities as SARIF 2.1.0. What passed,
// what does not apply and what is unknown are results too, of kinds "pass",
// "notApplicable" and "open". A risk that a person accepted and a vulnerability
// that does not apply are suppressed, with the reason.
func SARIF(w io.Writer, in Input) error {
	a := in.Assessment
	s := sarifWriter{in: &in, index: map[string]int{}}
	for _, f := range in.findings() {
		s.finding(f)
	}
	for _, v := range in.vulnerabilities() {
		s.vulnerability(v)
	}
	run := sarifRun{
		Tool:        sarifTool{sarifDriver{Name: "Ringwall", FullName: cmp.Or(in.Tool, "ringwall"), Org: "Ringwall", Rules: s.rules}},
		Invocations: []sarifInvocation{{Successful: true, Start: stamp(a.Started), End: stamp(a.Ended)}},
		Automation:  sarifAutomation{ID: "ringwall/" + cmp.Or(string(a.Device), cut(a.Target)) + "/" + string(a.ID), GUID: uuid5("sarif", in.identity())},
		Results:     s.results,
		Properties: map[string]any{
			"grade": a.Grade.String(), "best": a.Best.String(), "worst": a.Worst.String(), "risk": a.Risk, "coverage": a.Coverage, "rubric": a.Rubric, "supervision": a.Class.String(),
		},
	}
	return writeJSON(w, sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// writeJSON writes indented JSON that keeps < and > readable.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing report: %w", err)
	}
	return nil
}

type sarifWriter struct {
	in      *Input
	rules   []sarifRule
	index   map[string]int
	results []sarifResult
}

func (s *sarifWriter) rule(r sarifRule) int {
	i, ok := s.index[r.ID]
	if !ok {
		i = len(s.rules)
		s.index[r.ID] = i
		s.rules = append(s.rules, r)
	}
	return i
}

func (s *sarifWriter) finding(f ringwall.Finding) {
	i, _ := s.in.indicator(f.Indicator)
	id := cut(f.Indicator)
	rule := sarifRule{
		ID: id, Short: sarifText{s.in.word("indicator."+f.Indicator, cut(cmp.Or(i.Title, f.Title)))}, Default: sarifDefault{"warning"},
		Props: map[string]any{"module": f.Module.String(), "tags": []string{"security", "iot", f.Module.String()}, "weight": i.Weight},
	}
	if why := s.in.word("why."+f.Indicator, i.Why); why != "" {
		rule.Full = &sarifText{why}
	}
	if remedy := cmp.Or(s.in.word("remedy."+f.Indicator, i.Remedy), f.Remedy); remedy != "" {
		text := cut(remedy)
		if std := i.standards(); std != "" {
			text += "\n" + std
		}
		rule.Help = &sarifText{text}
	}
	full, some := i.knockout(f)
	r := sarifResult{
		RuleID: id, RuleIndex: s.rule(rule), Kind: "fail", Level: "warning", Message: sarifText{message(f)}, Locations: s.locations(f),
		Fingerprints: map[string]string{"ringwall/v1": fingerprint(string(s.in.Assessment.Device), s.in.Assessment.Target, f.Indicator, kindOf(f.Source))},
		Props:        map[string]any{"confidence": f.Confidence.String(), "source": cut(f.Source), "outcome": f.Outcome.String()},
	}
	switch f.Outcome {
	case ringwall.Fail:
		if full || some || i.Weight >= 7 {
			r.Level = "error"
		}
	case ringwall.Pass:
		r.Kind, r.Level = "pass", "none"
	case ringwall.NotApplicable:
		r.Kind, r.Level = "notApplicable", "none"
	case ringwall.Unknown:
		r.Kind, r.Level = "open", "none"
	}
	for _, t := range s.in.Tasks {
		if t.Indicator == f.Indicator && t.Status == "accepted" && r.Kind == "fail" {
			r.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: cut(t.Note)}}
		}
	}
	s.results = append(s.results, r)
}

// message tells a finding with its evidence in one text.
func message(f ringwall.Finding) string {
	lines := append([]string{cut(cmp.Or(f.Title, f.Indicator))}, cuts(f.Evidence, 16)...)
	return strings.Join(lines, "\n")
}

// kindOf returns the kind of a source: the same answer from another run of the
// same means is the same result.
func kindOf(source string) string {
	kind, rest, _ := strings.Cut(source, "/")
	if kind == "probe" {
		return kind + "/" + rest
	}
	return kind
}

func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// locations are the device, the port, and the file in the image, as far as the
// finding names them.
func (s *sarifWriter) locations(f ringwall.Finding) []sarifLocation {
	device := cut(s.in.name())
	where := cut(cmp.Or(string(s.in.Assessment.Device), s.in.Assessment.Target, device))
	l := sarifLocation{Logical: []sarifLogical{{Name: device, Qualified: where, Kind: "resource"}}}
	for _, key := range []string{"service", "port"} {
		if p := f.Facts[key]; p != "" {
			l.Logical = append(l.Logical, sarifLogical{Name: cut(p), Qualified: where + "/" + cut(p), Kind: "resource"})
			break
		}
	}
	out := []sarifLocation{l}
	for _, p := range paths(f) {
		out = append(out, sarifLocation{Physical: &sarifPhysical{sarifArtifact{URI: fileURI(p), Base: "FIRMWARE"}}})
	}
	return out
}

// paths returns files in the image that a finding names: by fact, or at the
// head of a line of evidence of a firmware source.
func paths(f ringwall.Finding) []string {
	var out []string
	add := func(p string) {
		p = strings.TrimPrefix(strings.TrimSpace(p), "/")
		if p != "" && len(out) < 16 && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for p := range strings.SplitSeq(f.Facts["path"], ",") {
		add(p)
	}
	if strings.HasPrefix(f.Source, "firmware/") {
		for _, e := range f.Evidence {
			if head, _, ok := strings.Cut(e, ": "); ok && strings.Contains(head, "/") && !strings.Contains(head, " ") && len(head) < 512 {
				add(head)
			}
		}
	}
	return out
}

// fileURI writes a path of an image as a relative reference (RFC 3986 section
// 4.2): segments escaped, and never one that climbs out or looks like a scheme.
func fileURI(p string) string {
	var out []string
	for seg := range strings.SplitSeq(cut(p), "/") {
		switch seg {
		case "", ".":
		case "..":
			out = append(out, "%2E%2E")
		default:
			out = append(out, strings.ReplaceAll(url.PathEscape(seg), ":", "%3A"))
		}
	}
	return strings.Join(out, "/")
}

func (s *sarifWriter) vulnerability(v api.Vulnerability) {
	id := cut(v.ID)
	level := map[string]string{"critical": "error", "high": "error", "medium": "warning", "low": "note"}[v.Severity]
	rule := sarifRule{ID: id, Short: sarifText{id}, Default: sarifDefault{cmp.Or(level, "warning")}, Props: map[string]any{"tags": []string{"security", "vulnerability"}}}
	if strings.HasPrefix(id, "CVE-") {
		rule.HelpURI = "https://nvd.nist.gov/vuln/detail/" + url.PathEscape(id)
	}
	if v.Score > 0 {
		rule.Props["security-severity"] = fmt.Sprintf("%.1f", v.Score)
	}
	text := strings.TrimSpace(v.Component + " " + v.Version)
	if v.Range != "" {
		text += " (" + v.Range + ")"
	}
	if v.KEV {
		text += "; known to be exploited"
	}
	r := sarifResult{
		RuleID: id, RuleIndex: s.rule(rule), Kind: "fail", Level: cmp.Or(level, "warning"), Message: sarifText{cut(id + " in " + text)},
		Fingerprints: map[string]string{"ringwall/v1": fingerprint(string(s.in.Assessment.Device), s.in.Assessment.Target, v.ID, v.Component)},
		Props:        map[string]any{"kev": v.KEV, "state": string(v.State)},
	}
	device := cut(s.in.name())
	r.Locations = []sarifLocation{{Logical: []sarifLogical{{Name: cut(v.Component), Qualified: device + "/" + cut(v.Component), Kind: "module"}}}}
	for _, c := range s.in.components() {
		if c.Name == v.Component && (v.Version == "" || c.Version == v.Version) {
			for _, p := range c.Paths[:min(len(c.Paths), 4)] {
				r.Locations = append(r.Locations, sarifLocation{Physical: &sarifPhysical{sarifArtifact{URI: fileURI(p), Base: "FIRMWARE"}}})
			}
		}
	}
	if v.State == api.VEXNotAffected || v.State == api.VEXFixed {
		r.Suppressions = []sarifSuppression{{Kind: "external", Status: "accepted", Justification: cut(cmp.Or(v.Why, string(v.State)))}}
	}
	s.results = append(s.results, r)
}
