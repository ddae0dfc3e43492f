package vuln

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

func openssl(version string, exposed bool, paths ...string) api.Component {
	return api.Component{Name: "openssl", Version: version, CPE: "cpe:2.3:a:openssl:openssl:" + version + ":*:*:*:*:*:*:*", PURL: "pkg:generic/openssl@" + version, Paths: paths, Exposed: exposed, How: "fingerprint"}
}

func pick(vulns []api.Vulnerability, id string) (api.Vulnerability, bool) {
	i := slices.IndexFunc(vulns, func(v api.Vulnerability) bool { return v.ID == id })
	if i < 0 {
		return api.Vulnerability{}, false
	}
	return vulns[i], true
}

func TestDefault_isSound(t *testing.T) {
	d := Default()
	if d.Len() < 250 {
		t.Fatalf("the seed has %d vulnerabilities", d.Len())
	}
	for _, e := range d.entries {
		if len(e.Affects) == 0 || e.Score == 0 {
			t.Errorf("%s concerns nothing or has no score", e.ID)
		}
		for _, a := range e.Affects {
			for _, r := range a.Ranges {
				for _, low := range []string{r.From, r.After} {
					for _, high := range []string{r.Before, r.To} {
						if low != "" && high != "" && Compare(low, high) >= 0 {
							t.Errorf("%s: range %v is empty", e.ID, r)
						}
					}
				}
			}
		}
	}
}

func TestMatch_states(t *testing.T) {
	d := Default()
	const heartbleed = "CVE-2014-0160"
	for _, c := range []struct {
		name  string
		c     api.Component
		state api.VEXState // "" = not found
		why   string
	}{
		{"in the range and exposed", openssl("1.0.1e", true, "lib/libssl.so.1.0.0"), api.VEXAffected, ""},
		{"in the range, nothing listens with it", openssl("1.0.1e", false, "lib/libssl.so.1.0.0"), api.VEXInTriage, WhyUnexposed},
		{"only the library without the weak part", openssl("1.0.1e", true, "lib/libcrypto.so.1.0.0"), api.VEXNotAffected, WhyAbsent},
		{"the corrected version", openssl("1.0.1g", true, "lib/libssl.so.1.0.0"), "", ""},
		{"an older branch", openssl("1.0.0t", true, "lib/libssl.so.1.0.0"), "", ""},
		{"no version", openssl("", true, "lib/libssl.so"), "", ""},
		{"Debian's corrected package", api.Component{Name: "openssl", Version: "1.0.1e", PURL: "pkg:deb/debian/libssl1.0.0@1.0.1e-2%2Bdeb7u5", CPE: "cpe:2.3:a:openssl:openssl:1.0.1e:*:*:*:*:*:*:*", How: "package database", Paths: []string{"var/lib/dpkg/status"}}, api.VEXFixed, WhyFixed},
		{"Debian's package before the correction", api.Component{Name: "openssl", Version: "1.0.1e", PURL: "pkg:deb/debian/libssl1.0.0@1.0.1e-2%2Bdeb7u4", CPE: "cpe:2.3:a:openssl:openssl:1.0.1e:*:*:*:*:*:*:*", How: "package database"}, api.VEXInTriage, WhyPackaged},
		{"found by its CPE alone", api.Component{Name: "Some supplier's OpenSSL", Version: "1.0.1e", CPE: "cpe:2.3:a:openssl:openssl:1.0.1e:*:*:*:*:*:*:*", Exposed: true}, api.VEXAffected, ""},
	} {
		v, ok := pick(d.Match([]api.Component{c.c}), heartbleed)
		if ok != (c.state != "") || v.State != c.state || !strings.HasPrefix(v.Why, c.why) || c.why == "" && v.Why != "" {
			t.Errorf("%s: found %v, state %q, because %q; want %q, %q", c.name, ok, v.State, v.Why, c.state, c.why)
		}
		if ok && (!v.KEV || v.Added.IsZero() || v.Score != 7.5 || v.Severity != "high" || v.Range != ">= 1.0.1, < 1.0.1g") {
			t.Errorf("%s: %+v", c.name, v)
		}
	}
}

func TestMatch_aliasesAndVagueVersions(t *testing.T) {
	d := Default()
	lib := api.Component{Name: "libcurl", Version: "7.61.0", CPE: "cpe:2.3:a:haxx:libcurl:7.61.0:*:*:*:*:*:*:*", Exposed: true}
	if _, ok := pick(d.Match([]api.Component{lib}), "CVE-2018-14618"); !ok {
		t.Error("libcurl does not share the vulnerabilities listed for curl")
	}
	v, ok := pick(d.Match([]api.Component{{Name: "gsoap", Version: "2.8", CPE: "cpe:2.3:a:genivia:gsoap:2.8:*:*:*:*:*:*:*", Exposed: true}}), "CVE-2017-9765")
	if !ok || v.State != api.VEXInTriage || v.Why != WhyVague {
		t.Errorf("gSOAP 2.8: %v %+v", ok, v)
	}
	k := api.Component{Name: "linux", Version: "3.10.14", CPE: "cpe:2.3:o:linux:linux_kernel:3.10.14:*:*:*:*:*:*:*", Exposed: true}
	if v, ok := pick(d.Match([]api.Component{k}), "CVE-2016-5195"); !ok || v.State != api.VEXInTriage || v.Why != WhyLocal || !v.KEV {
		t.Errorf("a local weakness of the kernel: %v %+v", ok, v)
	}
	if got := d.Match([]api.Component{lib, lib}); len(got) != len(d.Match([]api.Component{lib})) {
		t.Error("a component that is listed twice counts twice")
	}
}

func TestMatchDevice(t *testing.T) {
	d := Default()
	for _, c := range []struct {
		id    api.Identity
		cve   string
		state api.VEXState
	}{
		{api.Identity{Vendor: "Hikvision", Model: "DS-2CD2032F-I", Firmware: "V5.2.5 build 141201"}, "CVE-2017-7921", api.VEXAffected},
		{api.Identity{Vendor: "HIKVISION DIGITAL TECHNOLOGY CO., LTD.", Model: "ds-2cd2032f-iw", Firmware: "V5.4.0 build 160530"}, "CVE-2017-7921", api.VEXAffected},
		{api.Identity{Vendor: "Hikvision", Model: "DS-2CD2032F-I", Firmware: "V5.4.5 build 170123"}, "CVE-2017-7921", ""},
		{api.Identity{Vendor: "Hikvision", Model: "DS-2CD2032F-I"}, "CVE-2017-7921", api.VEXInTriage},
		{api.Identity{Vendor: "Hikvision", Model: "DS-2CD2143G0-I", Firmware: "V5.5.0 build 170725"}, "CVE-2021-36260", api.VEXInTriage},
		{api.Identity{Vendor: "D-Link", Model: "DCS-2530L", Firmware: "1.05.05"}, "CVE-2020-25078", api.VEXAffected},
		{api.Identity{Vendor: "D-Link Corporation", Model: "DCS-2530L", Firmware: "1.06.01"}, "CVE-2020-25078", ""},
		{api.Identity{Vendor: "Edimax", Model: "IC-7100W", Firmware: "1.0"}, "CVE-2025-1316", api.VEXAffected},
		{api.Identity{Vendor: "PTZOptics", Model: "PT30X-SDI-WH-G2", Firmware: "6.3.34"}, "CVE-2024-8956", api.VEXAffected},
		{api.Identity{Vendor: "Axis", Model: "DCS-2530L", Firmware: "1.05.05"}, "CVE-2020-25078", ""},
		{api.Identity{Model: "DCS-2530L"}, "CVE-2020-25078", ""},
	} {
		v, ok := pick(d.MatchDevice(c.id), c.cve)
		if ok != (c.state != "") || v.State != c.state {
			t.Errorf("%+v, %s: found %v with state %q (%s), want %q", c.id, c.cve, ok, v.State, v.Why, c.state)
		}
	}
}

func TestSupport(t *testing.T) {
	d := Default()
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, version, ends string }{
		{"linux", "3.10.14", "2017-11-05"},
		{"linux", "3.1.10", "2016-03-12"},
		{"linux", "2.6.30", "2016-03-12"},
		{"linux", "4.8.15", "2022-10-24"},
		{"linux", "4.19.200", "2024-12-05"},
		{"linux", "6.1.55", "2027-12-31"},
		{"linux", "6.3", ""},
		{"openssl", "1.0.2k", "2019-12-31"},
		{"openssl", "1.0.2", "2019-12-31"},
		{"openssl", "0.9.7a", "2010-12-31"},
		{"openssl", "1.1.1w", "2023-09-11"},
		{"busybox", "1.22.1", "2015-12-23"},
		{"busybox", "1.37.0", ""},
		{"uclibc", "0.9.33.2", "2012-05-15"},
		{"nothing", "1.0", ""},
		{"linux", "", ""},
	} {
		ends, ok := d.Support(c.name, c.version, at)
		got := ""
		if ok {
			got = ends.Format(time.DateOnly)
		}
		if got != c.ends {
			t.Errorf("Support(%s, %s) = %q, want %q", c.name, c.version, got, c.ends)
		}
	}
	if _, ok := d.Support("linux", "6.1.55", at.AddDate(3, 0, 0)); ok {
		t.Error("an end that may have been moved since is taken for known")
	}
	if inBranch("1.0.20", "1.0.2") || !inBranch("1.0.2k", "1.0.2") || inBranch("11.0.2", "1.0.2") {
		t.Error("branches are told wrongly")
	}
}

func TestJudge(t *testing.T) {
	d := Default()
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	many := func(n int, state api.VEXState, why string) []api.Vulnerability {
		var out []api.Vulnerability
		for i := range n {
			out = append(out, api.Vulnerability{ID: fmt.Sprintf("CVE-2020-%04d", i+1000), Component: "x", Version: "1", Score: 9.8, State: state, Why: why})
		}
		return out
	}
	kev := func(state api.VEXState, why string) []api.Vulnerability {
		return []api.Vulnerability{{ID: "CVE-2014-0160", Component: "openssl", Version: "1.0.1e", Score: 7.5, KEV: true, Added: at, State: state, Why: why}}
	}
	known := []api.Component{{Name: "openssl", Version: "3.5.1"}, {Name: "jansson", Version: "2.12"}}
	for _, c := range []struct {
		name       string
		components []api.Component
		vulns      []api.Vulnerability
		want       [3]ringwall.Outcome
		exposed    string
	}{
		{"nothing known", nil, nil, [3]ringwall.Outcome{ringwall.Unknown, ringwall.Unknown, ringwall.Unknown}, "false"},
		{"names without versions", []api.Component{{Name: "boa"}}, nil, [3]ringwall.Outcome{ringwall.Unknown, ringwall.Unknown, ringwall.Unknown}, "false"},
		{"clean", known, nil, [3]ringwall.Outcome{ringwall.Pass, ringwall.Pass, ringwall.Pass}, "false"},
		{"exploited and exposed", known, kev(api.VEXAffected, ""), [3]ringwall.Outcome{ringwall.Fail, ringwall.Partial, ringwall.Pass}, "true"},
		{"exploited, not exposed", known, kev(api.VEXInTriage, WhyUnexposed), [3]ringwall.Outcome{ringwall.Fail, ringwall.Partial, ringwall.Pass}, "false"},
		{"exploited, perhaps corrected", known, kev(api.VEXInTriage, WhyPackaged+" (1.0.1e-2)"), [3]ringwall.Outcome{ringwall.Partial, ringwall.Partial, ringwall.Pass}, "false"},
		{"closed by VEX", known, kev(api.VEXNotAffected, "said by the maker"), [3]ringwall.Outcome{ringwall.Pass, ringwall.Pass, ringwall.Pass}, "false"},
		{"nine exposed", known, many(9, api.VEXAffected, ""), [3]ringwall.Outcome{ringwall.Pass, ringwall.Partial, ringwall.Pass}, "false"},
		{"ten exposed", known, many(10, api.VEXAffected, ""), [3]ringwall.Outcome{ringwall.Pass, ringwall.Fail, ringwall.Pass}, "false"},
		{"39 not exposed", known, many(39, api.VEXInTriage, WhyUnexposed), [3]ringwall.Outcome{ringwall.Pass, ringwall.Partial, ringwall.Pass}, "false"},
		{"40 not exposed", known, many(40, api.VEXInTriage, WhyUnexposed), [3]ringwall.Outcome{ringwall.Pass, ringwall.Fail, ringwall.Pass}, "false"},
		{"old kernel", []api.Component{{Name: "linux", Version: "3.10.14"}}, nil, [3]ringwall.Outcome{ringwall.Pass, ringwall.Pass, ringwall.Fail}, "false"},
		{"old PHP beside a new kernel", []api.Component{{Name: "linux", Version: "6.1.5"}, {Name: "php", Version: "5.6.40"}}, nil, [3]ringwall.Outcome{ringwall.Pass, ringwall.Pass, ringwall.Partial}, "false"},
	} {
		got := d.Judge("firmware/0123456789ab", c.components, c.vulns, at)
		for i, id := range []string{"FS-04", "FS-05", "FS-06"} {
			f := got[i]
			if f.Indicator != id || f.Outcome != c.want[i] || f.Module != ringwall.Firmware || f.Source != "firmware/0123456789ab" || !f.Time.Equal(at) || f.Title == "" || len(f.Evidence) == 0 {
				t.Errorf("%s: %s is %v (%q), want %v", c.name, f.Indicator, f.Outcome, f.Title, c.want[i])
			}
		}
		if got[0].Facts["exposed"] != c.exposed {
			t.Errorf("%s: exposed is %q", c.name, got[0].Facts["exposed"])
		}
		if again := d.Judge("firmware/0123456789ab", c.components, c.vulns, at); !reflect.DeepEqual(again, got) {
			t.Errorf("%s: judged otherwise the second time", c.name)
		}
	}
}

func TestApply(t *testing.T) {
	vulns := []api.Vulnerability{
		{ID: "CVE-2014-0160", Component: "openssl", Version: "1.0.1e", State: api.VEXAffected},
		{ID: "CVE-2014-0160", Component: "openssl", Version: "1.0.1f", State: api.VEXAffected},
		{ID: "CVE-2016-2148", Component: "busybox", Version: "1.22.1", State: api.VEXAffected},
	}
	got := Apply(vulns, []Statement{
		{ID: "CVE-2014-0160", Component: "pkg:generic/openssl@1.0.1e", State: api.VEXNotAffected, Why: "code_not_reachable", By: "maker"},
		{ID: "CVE-2014-0160", State: api.VEXInTriage},
		{ID: "CVE-2016-2148", Component: "cpe:2.3:a:busybox:busybox:1.22.1:*:*:*:*:*:*:*", State: api.VEXFixed},
		{ID: "CVE-2016-2148", Component: "dropbear", State: api.VEXAffected},
	})
	var states []string
	for _, v := range got {
		states = append(states, string(v.State))
	}
	if want := []string{"not_affected", "in_triage", "resolved"}; !reflect.DeepEqual(states, want) {
		t.Errorf("states %q, want %q", states, want)
	}
	if got[0].Why != "code_not_reachable (said by maker)" || vulns[0].State != api.VEXAffected {
		t.Errorf("why %q; the input is now %q", got[0].Why, vulns[0].State)
	}
}
