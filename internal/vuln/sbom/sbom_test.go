package sbom

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/vuln"
	"github.com/ringwall/ringwall/internal/vuln/vex"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func examination() api.Examination {
	return api.Examination{
		Kind: api.ExamFirmware, Source: "firmware/0123456789ab", Tool: "ringwall 0.3", Digest: strings.Repeat("ab", 32), Made: noon,
		Identity: api.Identity{Vendor: "ACME", Model: "Cam 100", Firmware: "1.2.3"},
		Components: []api.Component{
			{Name: "busybox", Version: "1.22.1", CPE: "cpe:2.3:a:busybox:busybox:1.22.1:*:*:*:*:*:*:*", PURL: "pkg:generic/busybox@1.22.1", Paths: []string{"bin/busybox"}, Exposed: true, How: "fingerprint busybox/0"},
			{Name: "linux", Version: "3.10.14", CPE: "cpe:2.3:o:linux:linux_kernel:3.10.14:*:*:*:*:*:*:*", PURL: "pkg:generic/linux@3.10.14", Paths: []string{"lib/x.ko"}},
			{Name: "openssl", Version: "1.0.1e", CPE: "cpe:2.3:a:openssl:openssl:1.0.1e:*:*:*:*:*:*:*", PURL: "pkg:generic/openssl@1.0.1e", Paths: []string{"lib/libcrypto.so.1.0.0"}, Supplier: "OpenSSL"},
			{Name: "boa"},
		},
	}
}

func write(t *testing.T, x api.Examination, vulns []api.Vulnerability) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, x, vulns, noon); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWrite(t *testing.T) {
	x := examination()
	vulns := vuln.Default().Match(x.Components)
	if len(vulns) < 20 {
		t.Fatalf("only %d vulnerabilities", len(vulns))
	}
	b := write(t, x, vulns)
	if !bytes.Equal(b, write(t, x, vulns)) {
		t.Error("the same input gives other bytes")
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(b), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if bom.SpecVersion != cdx.SpecVersion1_6 || !strings.HasPrefix(bom.SerialNumber, "urn:uuid:") || len(bom.SerialNumber) != 45 {
		t.Errorf("version %v, serial %q", bom.SpecVersion, bom.SerialNumber)
	}
	refs := map[string]bool{bom.Metadata.Component.BOMRef: true}
	for _, c := range *bom.Components {
		if refs[c.BOMRef] || c.BOMRef == "" || c.Name == "" || c.Type == "" {
			t.Errorf("component %q has the reference %q and type %q", c.Name, c.BOMRef, c.Type)
		}
		refs[c.BOMRef] = true
	}
	states := map[cdx.ImpactAnalysisState]int{}
	for _, v := range *bom.Vulnerabilities {
		for _, a := range *v.Affects {
			if !refs[a.Ref] {
				t.Errorf("%s refers to %q, which is nothing", v.ID, a.Ref)
			}
		}
		states[v.Analysis.State]++
		if v.ID == "CVE-2014-0160" && (v.Analysis.State != cdx.IASNotAffected || v.Analysis.Justification != cdx.IAJCodeNotPresent) {
			t.Errorf("%s: %+v", v.ID, v.Analysis)
		}
	}
	if states[cdx.IASExploitable] == 0 || states[cdx.IASInTriage] == 0 {
		t.Errorf("states %v", states)
	}
	// What we write, we understand: as components and as VEX.
	got, err := Read(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var want []api.Component
	for _, c := range x.Components {
		c.Paths, c.Exposed, c.How = nil, false, "declared in a CycloneDX SBOM"
		want = append(want, c)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("components (-want +got):\n%s", d)
	}
	if said, left, err := vex.Read(bytes.NewReader(b), vex.Options{}); err != nil || left != 0 || len(said) != len(vulns) {
		t.Errorf("%d statements, %d left out, %v", len(said), left, err)
	}
}

func TestWrite_twoOfOneName(t *testing.T) {
	x := examination()
	x.Components = append(x.Components, x.Components[0])
	var bom cdx.BOM
	if err := json.Unmarshal(write(t, x, nil), &bom); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range *bom.Components {
		if seen[c.BOMRef] {
			t.Errorf("reference %q is used twice", c.BOMRef)
		}
		seen[c.BOMRef] = true
	}
}

func TestRead(t *testing.T) {
	const nested = `{"bomFormat":"CycloneDX","specVersion":"1.4","version":1,"components":[{"type":"application","name":"app","version":"1","components":[{"type":"library","name":"zlib","version":"1.2.8","purl":"pkg:generic/zlib@1.2.8"}]},{"type":"library","name":"zlib","version":"1.2.8","purl":"pkg:generic/zlib@1.2.8"},{"type":"file","name":"etc/passwd"}]}`
	got, err := Read(strings.NewReader(nested))
	if err != nil || len(got) != 2 || got[1].Name != "zlib" {
		t.Errorf("nested: %+v, %v", got, err)
	}
	const text = `<?xml version="1.0"?><bom xmlns="http://cyclonedx.org/schema/bom/1.5" version="1"><components><component type="library"><name>expat</name><version>2.1.0</version></component></components></bom>`
	if got, err := Read(strings.NewReader(text)); err != nil || len(got) != 1 || got[0].Version != "2.1.0" {
		t.Errorf("XML: %+v, %v", got, err)
	}
	for name, text := range map[string]string{
		"nothing":      "",
		"another JSON": `{"spdxVersion":"SPDX-2.3"}`,
		"broken":       `{"bomFormat":"CycloneDX","components":[`,
		"a long name":  `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"` + strings.Repeat("x", 600) + `"}]}`,
		"deep nesting": `{"bomFormat":"CycloneDX","specVersion":"1.6","components":[` + strings.Repeat(`{"type":"library","name":"x","components":[`, 20) + strings.Repeat(`]}`, 20) + `]}`,
	} {
		if _, err := Read(strings.NewReader(text)); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{"type":"library","name":"x","version":"1"}]}`))
	f.Add([]byte(`<bom xmlns="http://cyclonedx.org/schema/bom/1.5"><components><component type="library"><name>x</name></component></components></bom>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(bytes.NewReader(data))
		for _, c := range got {
			if err != nil || c.Name == "" {
				t.Fatalf("component %+v with %v", c, err)
			}
		}
	})
}
