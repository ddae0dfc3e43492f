package vex

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/vuln"
)

const openVEXSample = `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://acme.example/vex/1","author":"ACME PSIRT","timestamp":"2026-01-02T03:04:05Z","version":1,"statements":[
{"vulnerability":{"name":"CVE-2014-0160"},"products":[{"@id":"pkg:generic/acme-cam@1.0","subcomponents":[{"@id":"pkg:generic/openssl@1.0.1e"}]}],"status":"not_affected","justification":"vulnerable_code_not_present","impact_statement":"heartbeats are not compiled in"},
{"vulnerability":{"@id":"https://x","name":"ACME-7","aliases":["CVE-2016-2148"]},"products":[{"@id":"pkg:generic/acme-cam@1.0"}],"status":"fixed"},
{"vulnerability":{"name":"GHSA-xxxx"},"products":[{"@id":"pkg:generic/busybox"}],"status":"affected","action_statement":"update"}]}`

const cycloneSample = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,"metadata":{"supplier":{"name":"ACME"},"component":{"type":"firmware","bom-ref":"cam","name":"acme-cam"}},
"components":[{"type":"library","bom-ref":"c1","name":"openssl","version":"1.0.1e","purl":"pkg:generic/openssl@1.0.1e"},{"type":"application","bom-ref":"c2","name":"busybox","version":"1.22.1"}],
"vulnerabilities":[
{"id":"CVE-2014-0160","analysis":{"state":"not_affected","justification":"code_not_present","detail":"built without"},"affects":[{"ref":"urn:cdx:3e671687-395b-41f5-a30f-a58921a69b79/1#c1"}]},
{"id":"CVE-2016-2148","analysis":{"state":"resolved"},"affects":[{"ref":"c2"},{"ref":"cam"}]},
{"id":"CVE-2018-20679","affects":[{"ref":"c2"}]}]}`

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, text string
		o          Options
		left       int
		want       []vuln.Statement
	}{
		{"OpenVEX", openVEXSample, Options{Product: "pkg:generic/acme-cam@1.0"}, 1, []vuln.Statement{
			{ID: "CVE-2014-0160", Component: "pkg:generic/openssl@1.0.1e", State: api.VEXNotAffected, Why: "vulnerable_code_not_present: heartbeats are not compiled in", By: "ACME PSIRT"},
			{ID: "CVE-2016-2148", State: api.VEXFixed, By: "ACME PSIRT"},
		}},
		{"OpenVEX about a product nobody named", openVEXSample, Options{By: "integrator"}, 1, []vuln.Statement{
			{ID: "CVE-2014-0160", Component: "pkg:generic/openssl@1.0.1e", State: api.VEXNotAffected, Why: "vulnerable_code_not_present: heartbeats are not compiled in", By: "integrator"},
			{ID: "CVE-2016-2148", Component: "pkg:generic/acme-cam@1.0", State: api.VEXFixed, By: "integrator"},
		}},
		{"CycloneDX", cycloneSample, Options{}, 0, []vuln.Statement{
			{ID: "CVE-2014-0160", Component: "pkg:generic/openssl@1.0.1e", State: api.VEXNotAffected, Why: "code_not_present: built without", By: "ACME"},
			{ID: "CVE-2016-2148", Component: "busybox", State: api.VEXFixed, By: "ACME"},
			{ID: "CVE-2016-2148", State: api.VEXFixed, By: "ACME"},
		}},
	} {
		got, left, err := Read(strings.NewReader(c.text), c.o)
		if err != nil || left != c.left {
			t.Errorf("%s: %v, %d left out", c.name, err, left)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
}

// What a maker says closes what was found, and nothing else.
func TestRead_closesEntries(t *testing.T) {
	found := vuln.Default().Match([]api.Component{
		{Name: "openssl", Version: "1.0.1e", CPE: "cpe:2.3:a:openssl:openssl:1.0.1e:*:*:*:*:*:*:*", Exposed: true},
		{Name: "busybox", Version: "1.22.1", CPE: "cpe:2.3:a:busybox:busybox:1.22.1:*:*:*:*:*:*:*", Exposed: true},
	})
	said, _, err := Read(strings.NewReader(cycloneSample), Options{})
	if err != nil {
		t.Fatal(err)
	}
	closed := 0
	for i, v := range vuln.Apply(found, said) {
		switch {
		case v.State == found[i].State:
		case v.ID == "CVE-2014-0160" && v.State == api.VEXNotAffected, v.ID == "CVE-2016-2148" && v.State == api.VEXFixed:
			closed++
		default:
			t.Errorf("%s became %s (%s)", v.ID, v.State, v.Why)
		}
	}
	if closed != 2 {
		t.Errorf("%d entries are closed, want 2", closed)
	}
}

func TestRead_refuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                  ``,
		"no JSON":                  `<bom/>`,
		"another document":         `{"a":1}`,
		"a status that is none":    strings.Replace(openVEXSample, `"fixed"`, `"gone"`, 1),
		"no product":               `{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-2014-0160"},"status":"fixed"}]}`,
		"not affected, just so":    `{"@context":"https://openvex.dev/ns/v0.2.0","statements":[{"vulnerability":{"name":"CVE-2014-0160"},"products":[{"@id":"x"}],"status":"not_affected"}]}`,
		"a CycloneDX state unkown": strings.Replace(cycloneSample, `"resolved"`, `"gone"`, 1),
	} {
		if _, _, err := Read(strings.NewReader(text), Options{}); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(openVEXSample))
	f.Add([]byte(cycloneSample))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, _, err := Read(strings.NewReader(string(data)), Options{})
		for _, s := range got {
			if err != nil || s.State == "" || !isCVE.MatchString(s.ID) {
				t.Fatalf("statement %+v with %v", s, err)
			}
		}
		vuln.Apply([]api.Vulnerability{{ID: "CVE-2014-0160", Component: "openssl", Version: "1.0.1e"}}, got)
	})
}
