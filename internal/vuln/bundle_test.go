package vuln

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/sharedtest"
)

func encode(t testing.TB, d *Data, key ed25519.PrivateKey) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := d.Encode(&b, key); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestBundle_roundTrip(t *testing.T) {
	b := encode(t, Default(), nil)
	d, err := Load(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if d.Version() != Default().Version() || !reflect.DeepEqual(d.entries, Default().entries) || !reflect.DeepEqual(d.ends, Default().ends) || !reflect.DeepEqual(d.aliases, Default().aliases) {
		t.Error("the data came back as others")
	}
	if !bytes.Equal(encode(t, d, nil), b) {
		t.Error("the same data give other bytes")
	}
}

func TestBundle_damageAndSignature(t *testing.T) {
	pub, priv, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signed, plain := encode(t, Default(), priv), encode(t, Default(), nil)
	if _, err := LoadSigned(bytes.NewReader(signed), pub); err != nil {
		t.Errorf("signed: %v", err)
	}
	if _, err := Load(bytes.NewReader(signed)); err != nil {
		t.Errorf("signed, but nobody asks: %v", err)
	}
	unpack := func(b []byte) string {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	text := unpack(signed)
	if _, err := LoadSigned(strings.NewReader(text), pub); err != nil {
		t.Errorf("not compressed: %v", err)
	}
	for name, c := range map[string]struct {
		in   string
		key  ed25519.PublicKey
		code ringwall.Code
	}{
		"another key":           {text, other, ringwall.Unverified},
		"no signature":          {unpack(plain), pub, ringwall.Unverified},
		"a score changed":       {strings.Replace(text, `"score":9.8`, `"score":1.8`, 1), nil, ringwall.Unverified},
		"a version changed":     {strings.Replace(text, seedVersion, "2027.01.01-seed", 1), pub, ringwall.Unverified},
		"the end is missing":    {text[:len(text)-200], nil, ringwall.Unverified},
		"nothing":               {"", nil, ringwall.Invalid},
		"another format":        {strings.Replace(text, `"format":1`, `"format":2`, 1), nil, ringwall.Invalid},
		"another kind of file":  {"{\"a\":1}\n{}\n", nil, ringwall.Invalid},
		"gzip that is none":     {"\x1f\x8b\x08garbage", nil, ringwall.Invalid},
		"a line without an end": {strings.Repeat("x", 100_000), nil, ringwall.Invalid},
	} {
		if _, err := load(strings.NewReader(c.in), c.key); ringwall.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want code %s", name, err, c.code)
		}
	}
}

func TestBundle_contentIsChecked(t *testing.T) {
	for name, line := range map[string]string{
		"no CVE id":          `{"t":"cve","id":"CVE-14-0160","score":5}`,
		"a score of 11":      `{"t":"cve","id":"CVE-2014-0160","score":11}`,
		"vendor and product": `{"t":"cve","id":"CVE-2014-0160","affects":[{"product":"a:b","vendor":"c"}]}`,
		"a broken pattern":   `{"t":"cve","id":"CVE-2014-0160","affects":[{"vendor":"c","models":["[a"]}]}`,
		"a broken vector":    `{"t":"cve","id":"CVE-2014-0160","vector":"CVSS:3.1/AV:X"}`,
		"an unknown kind":    `{"t":"exploit"}`,
		"twice the same":     `{"t":"cve","id":"CVE-2014-0160"}` + "\n" + `{"t":"cve","id":"CVE-2014-0160"}`,
		"an end of nothing":  `{"t":"end","component":"x","ends":"2020-01-01"}`,
		"an end without day": `{"t":"end","component":"x","branch":"1","ends":"soon"}`,
	} {
		d := &Data{version: "x"}
		if err := d.read(strings.NewReader(line)); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImportKEV(t *testing.T) {
	packed, err := os.Open(sharedtest.Path(t, "lists/kev.json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	z, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	d, err := ImportKEV(Default(), z)
	if err != nil {
		t.Fatal(err)
	}
	if d.Len() < 1400 {
		t.Errorf("%d vulnerabilities after the import", d.Len())
	}
	// The dates in the seed are the list's.
	for _, e := range Default().entries {
		now, ok := d.Entry(e.ID)
		if !ok || (e.KEV != nil && (now.KEV == nil || !now.KEV.Equal(e.KEV.Time))) {
			t.Errorf("%s: the seed says %v, the list %v", e.ID, e.KEV, now.KEV)
		}
		if now.KEV != nil && e.KEV == nil {
			t.Errorf("%s is on the list since %v; the seed does not say so", e.ID, now.KEV)
		}
	}
	if v, ok := pick(d.MatchDevice(api.Identity{Vendor: "D-Link", Model: "DNR-322L", Firmware: "2.60"}), "CVE-2022-40799"); !ok || v.State != api.VEXInTriage || !v.KEV {
		t.Errorf("a model that only the list names: %v %+v", ok, v)
	}
	x := Diff(Default(), d)
	if len(x.New) < 1000 || len(x.KEV) != len(x.New) || len(x.Changed) != 0 {
		t.Errorf("delta: %d new, %d exploited, %d changed", len(x.New), len(x.KEV), len(x.Changed))
	}
	if again, err := Load(bytes.NewReader(encode(t, d, nil))); err != nil || again.Len() != d.Len() {
		t.Errorf("the import does not survive its bundle: %v", err)
	}
}

const nvdSample = `{"resultsPerPage":4,"format":"NVD_CVE","version":"2.0","timestamp":"2027-01-02T03:04:05.678","vulnerabilities":[
{"cve":{"id":"CVE-2014-0160","vulnStatus":"Analyzed","cisaExploitAdd":"2022-05-04","metrics":{"cvssMetricV31":[{"cvssData":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N","baseScore":7.5}}]},
 "configurations":[{"nodes":[{"operator":"OR","negate":false,"cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:openssl:openssl:*:*:*:*:*:*:*:*","versionStartIncluding":"1.0.1","versionEndExcluding":"1.0.1g"}]}]}]}},
{"cve":{"id":"CVE-2027-0001","metrics":{"cvssMetricV2":[{"cvssData":{"vectorString":"AV:L/AC:L/Au:N/C:C/I:C/A:C","baseScore":7.2}}]},
 "configurations":[{"operator":"AND","nodes":[{"cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:o:acme:cam-100\\/x_firmware:*:*:*:*:*:*:*:*","versionEndExcluding":"2.0"}]},{"cpeMatch":[{"vulnerable":false,"criteria":"cpe:2.3:h:acme:cam-100\\/x:-:*:*:*:*:*:*:*"}]}]}]}},
{"cve":{"id":"CVE-2027-0002","metrics":{},"configurations":[{"nodes":[{"cpeMatch":[{"vulnerable":true,"criteria":"cpe:2.3:a:openbsd:openssh:8.4:p1:*:*:*:*:*:*"}]}]}]}},
{"cve":{"id":"CVE-2016-2148","vulnStatus":"Rejected","metrics":{}}}
]}`

func TestImportNVD(t *testing.T) {
	d, err := ImportNVD(Default(), strings.NewReader(nvdSample))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := pick(d.Match([]api.Component{openssl("1.0.1e", true, "lib/libcrypto.so.1.0.0")}), "CVE-2014-0160"); !ok || v.State != api.VEXNotAffected {
		t.Errorf("what the seed knows of the weak part is lost: %v %+v", ok, v)
	}
	if v, ok := pick(d.MatchDevice(api.Identity{Vendor: "ACME Inc.", Model: "CAM-100/X", Firmware: "1.9"}), "CVE-2027-0001"); !ok || v.State != api.VEXAffected || v.Score != 7.2 {
		t.Errorf("firmware of a model: %v %+v", ok, v)
	}
	if v, ok := pick(d.MatchDevice(api.Identity{Vendor: "ACME", Model: "CAM-100/X", Firmware: "2.0"}), "CVE-2027-0001"); ok {
		t.Errorf("corrected firmware: %+v", v)
	}
	ssh := api.Component{Name: "openssh", Version: "8.4p1", CPE: "cpe:2.3:a:openbsd:openssh:8.4:p1:*:*:*:*:*:*", Exposed: true}
	if _, ok := pick(d.Match([]api.Component{ssh}), "CVE-2027-0002"); !ok {
		t.Error("a version with an update field does not match")
	}
	if _, ok := d.Entry("CVE-2016-2148"); ok {
		t.Error("a rejected id stays")
	}
	if d.Made().Year() != 2027 {
		t.Errorf("made %v", d.Made())
	}
	x := Diff(Default(), d)
	if !reflect.DeepEqual(x.New, []string{"CVE-2027-0001", "CVE-2027-0002"}) || !x.Affected([]api.Component{ssh}) || x.Affected([]api.Component{openssl("3.5.0", true)}) {
		t.Errorf("delta %+v", x)
	}
	for name, text := range map[string]string{"a list": "[]", "nothing": "{}", "garbage": "nonsense", "an id that is none": `{"vulnerabilities":[{"cve":{"id":"x"}}]}`} {
		if _, err := ImportNVD(Default(), strings.NewReader(text)); ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestImportCVE(t *testing.T) {
	const records = `{"cveMetadata":{"cveId":"CVE-2027-0003","state":"PUBLISHED"},"containers":{"cna":{"affected":[
 {"vendor":"Busy Box","product":"BusyBox","cpes":["cpe:2.3:a:busybox:busybox:*:*:*:*:*:*:*:*"],"versions":[{"version":"1.30.0","status":"affected","lessThan":"1.38.1","versionType":"semver"},{"version":"abc","status":"affected","versionType":"git","lessThan":"def"}]},
 {"vendor":"n/a","product":"n/a","versions":[{"version":"n/a","status":"affected"}]}],
 "metrics":[{"cvssV3_1":{"vectorString":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H","baseScore":9.8}}]}}}
{"cveMetadata":{"cveId":"CVE-2014-0160","state":"PUBLISHED"},"containers":{"cna":{"affected":[{"vendor":"a","product":"b","versions":[{"version":"1","status":"affected"}]}]}}}`
	d, err := ImportCVE(Default(), strings.NewReader(records))
	if err != nil {
		t.Fatal(err)
	}
	c := api.Component{Name: "busybox", Version: "1.36.1", CPE: "cpe:2.3:a:busybox:busybox:1.36.1:*:*:*:*:*:*:*", Exposed: true}
	if v, ok := pick(d.Match([]api.Component{c}), "CVE-2027-0003"); !ok || v.Score != 9.8 || v.State != api.VEXAffected {
		t.Errorf("%v %+v", ok, v)
	}
	if e, _ := d.Entry("CVE-2014-0160"); e.Affects[0].Product != "openssl:openssl" {
		t.Error("a record of the list replaced a better one")
	}
}

func TestDiff_newlyExploited(t *testing.T) {
	from := Default()
	to := from.edit("later", seedMade.AddDate(0, 0, 1), "test")
	i := to.byID["CVE-2019-12107"]
	to.entries[i].KEV = &Date{time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
	if err := to.build(); err != nil {
		t.Fatal(err)
	}
	x := Diff(from, to)
	if !reflect.DeepEqual(x.KEV, []string{"CVE-2019-12107"}) || x.New != nil || x.Changed != nil || x.Empty() {
		t.Fatalf("delta %+v", x)
	}
	upnp := api.Component{Name: "miniupnpd", Version: "2.0", CPE: "cpe:2.3:a:miniupnp_project:miniupnpd:2.0:*:*:*:*:*:*:*"}
	if !x.Affected([]api.Component{{Name: "zlib", Version: "1.2.8"}, upnp}) {
		t.Error("the device is not concerned")
	}
	upnp.Version, upnp.CPE = "2.3.1", "cpe:2.3:a:miniupnp_project:miniupnpd:2.3.1:*:*:*:*:*:*:*"
	if x.Affected([]api.Component{upnp}) {
		t.Error("a device with the corrected version is concerned")
	}
	if !Diff(from, from).Empty() {
		t.Error("the same data differ from themselves")
	}
}

func FuzzLoad(f *testing.F) {
	var b bytes.Buffer
	small := &Data{version: "x", made: seedMade, entries: []Entry{{ID: "CVE-2014-0160", Score: 7.5, Affects: []Affects{{Product: "a:b", Ranges: []Range{{From: "1"}}}}}}}
	if err := small.build(); err != nil {
		f.Fatal(err)
	}
	if err := small.Encode(&b, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("{\"ringwall\":\"vulnerability-data\",\"format\":1,\"version\":\"x\",\"sha256\":\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Load(bytes.NewReader(data))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := d.Encode(&out, nil); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := Load(&out); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add([]byte(`{"t":"cve","id":"CVE-2014-0160","score":7.5,"affects":[{"product":"openssl:openssl","ranges":[{"ge":"1"}]}]}`))
	f.Add([]byte(`{"t":"end","component":"x","branch":"1","ends":"2020-01-01"}`))
	c := []api.Component{openssl("1.0.1e", true), {Name: "x", Version: "1.2"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &Data{version: "x"}
		if d.read(bytes.NewReader(data)) != nil {
			return
		}
		d.Match(c)
		d.Support("x", "1.2", seedMade)
		d.MatchDevice(api.Identity{Vendor: "c", Model: "DS-1"})
	})
}

func FuzzImports(f *testing.F) {
	f.Add([]byte(nvdSample))
	f.Add([]byte(`{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2014-0160","dateAdded":"2022-05-04","vendorProject":"A","product":"DCS-2530L"}]}`))
	f.Add([]byte(`{"cveMetadata":{"cveId":"CVE-2027-0003","state":"PUBLISHED"}}`))
	small := &Data{version: "x"}
	if err := small.build(); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, in := range []func(*Data, io.Reader) (*Data, error){ImportKEV, ImportNVD, ImportCVE} {
			d, err := in(small, bytes.NewReader(data))
			if err != nil {
				continue
			}
			if _, err := Load(bytes.NewReader(encode(t, d, nil))); err != nil {
				t.Fatalf("what was imported cannot be loaded: %v", err)
			}
		}
	})
}

// fleet makes SBOMs of 30 components each.
func fleet(n int) [][]api.Component {
	r := rand.New(rand.NewPCG(1, 1))
	var names []string
	seen := map[string]bool{}
	for _, e := range Default().entries {
		for _, a := range e.Affects {
			if a.Product != "" && !seen[a.Product] {
				seen[a.Product] = true
				names = append(names, a.Product)
			}
		}
	}
	all := make([][]api.Component, n)
	for i := range all {
		for range 30 {
			p := names[r.IntN(len(names))]
			v := fmt.Sprintf("%d.%d.%d", r.IntN(4), r.IntN(30), r.IntN(30))
			_, name, _ := strings.Cut(p, ":")
			all[i] = append(all[i], api.Component{Name: name, Version: v, CPE: "cpe:2.3:a:" + p + ":" + v + ":*:*:*:*:*:*:*", Exposed: r.IntN(2) == 0})
		}
	}
	return all
}

// BenchmarkAffected asks of 10,000 devices whether a delta of ten newly
// exploited vulnerabilities concerns them: the bar is one second.
func BenchmarkAffected(b *testing.B) {
	sboms := fleet(10_000)
	to := Default().edit("later", seedMade, "test")
	for n, i := 0, 0; n < 10 && i < len(to.entries); i += 7 {
		if to.entries[i].KEV == nil {
			to.entries[i].KEV = &Date{seedMade}
			n++
		}
	}
	if err := to.build(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		x := Diff(Default(), to)
		n := 0
		for _, s := range sboms {
			if x.Affected(s) {
				n++
			}
		}
		if n == 0 {
			b.Fatal("nobody is concerned")
		}
	}
}

// BenchmarkMatch matches the SBOM of one device against all of the seed.
func BenchmarkMatch(b *testing.B) {
	sboms := fleet(100)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		Default().Match(sboms[i%len(sboms)])
		i++
	}
}

func TestImport_tellsTheKind(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := io.WriteString(z, nvdSample); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	const catalogue = `{"title":"KEV","catalogVersion":"2026.11.23","dateReleased":"2026-11-23T10:00:00.0000Z","vulnerabilities":[{"cveID":"CVE-2019-12107","vendorProject":"MiniUPnP","product":"MiniUPnPd","vulnerabilityName":"x","dateAdded":"2026-11-23"}]}`
	const record = `{"dataType":"CVE_RECORD","cveMetadata":{"cveId":"CVE-2027-0009","state":"PUBLISHED"},"containers":{"cna":{"affected":[{"vendor":"a","product":"b","versions":[{"version":"1","status":"affected","lessThan":"2"}]}]}}}`
	d, err := Import(Default(), &packed, strings.NewReader(catalogue), strings.NewReader(record))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"CVE-2027-0001", "CVE-2027-0009"} {
		if _, ok := d.Entry(id); !ok {
			t.Errorf("%s is missing", id)
		}
	}
	if e, _ := d.Entry("CVE-2019-12107"); e.KEV == nil || len(e.Affects) == 0 {
		t.Errorf("%+v", e)
	}
	if again, err := Import(d, bytes.NewReader(encode(t, Default(), nil))); err != nil || again.Len() != Default().Len() {
		t.Errorf("a bundle does not take the place of what was: %v", err)
	}
	if d, err := Import(nil, strings.NewReader(catalogue)); err != nil || d.Len() != 1 {
		t.Errorf("nothing to begin with: %v", err)
	}
	if _, err := Import(Default(), strings.NewReader("hello")); ringwall.CodeOf(err) != ringwall.Invalid {
		t.Errorf("garbage: %v", err)
	}
}
