package cve

import (
	"regexp"
	"strings"

	"github.com/ringwall/ringwall/api"
)

// byTable compares identity and greetings with flaws whose range can be told
// from what devices say of themselves.
func byTable(id api.Identity, services []api.Service) []api.Vulnerability {
	var out []api.Vulnerability
	add := func(cve string, kev bool, why string) {
		out = append(out, api.Vulnerability{
			ID: cve, Component: strings.TrimSpace(id.Vendor + " " + id.Model), Version: id.Firmware, Severity: "critical", KEV: kev, State: api.VEXAffected, Range: why,
		})
	}
	vendor, model := strings.ToLower(id.Vendor), strings.ToUpper(id.Model)
	if strings.Contains(vendor, "hikvision") || strings.Contains(vendor, "hiwatch") {
		if d, ok := build(id.Firmware); ok {
			// Fixed by the builds of 2021-06-28 and later; of some older lines never.
			if d < "210628" {
				add("CVE-2021-36260", true, "built before 2021-06-28")
			}
			if d >= "140721" && d <= "160530" {
				add("CVE-2017-7921", true, "built between 2014-07-21 and 2016-05-30")
			}
		}
	}
	if strings.Contains(vendor, "edimax") && strings.HasPrefix(model, "IC-7100") {
		add("CVE-2025-1316", true, "all versions: its maker gives no fix")
	}
	if (strings.Contains(vendor, "d-link") || strings.Contains(vendor, "dlink")) && (strings.HasPrefix(model, "DCS-2530L") || strings.HasPrefix(model, "DCS-2670L")) {
		if v, ok := number(id.Firmware); ok && older(v, map[bool][]int{true: {1, 6, 1}, false: {2, 3}}[strings.HasPrefix(model, "DCS-2530L")]) {
			add("CVE-2020-25078", true, "before the fix of 2020")
		}
	}
	for _, s := range services {
		if strings.HasPrefix(strings.ToLower(s.Info), "uc-httpd 1.0.0") || strings.HasPrefix(strings.ToLower(s.Info), "uc-httpd/1.0.0") {
			out = append(out, api.Vulnerability{ID: "CVE-2018-10088", Component: "uc-httpd", Version: "1.0.0", Severity: "critical", State: api.VEXAffected, Range: "named in its greeting"})
			break
		}
	}
	return out
}

// build returns the date, as yymmdd, of a firmware text such as "V5.4.5 build
// 170123".
func build(firmware string) (string, bool) {
	m := regexp.MustCompile(`(?i)build[ _:]*([0-9]{6})\b`).FindStringSubmatch(firmware)
	if m == nil || m[1][2:4] < "01" || m[1][2:4] > "12" || m[1][4:] < "01" || m[1][4:] > "31" {
		return "", false
	}
	return m[1], true
}

// number returns the first version number in a text.
func number(s string) ([]int, bool) {
	m := regexp.MustCompile(`[0-9]{1,4}(\.[0-9]{1,4}){1,3}`).FindString(s)
	if m == "" {
		return nil, false
	}
	var out []int
	for p := range strings.SplitSeq(m, ".") {
		n := 0
		for _, c := range p {
			n = n*10 + int(c-'0')
		}
		out = append(out, n)
	}
	return out, true
}

func older(v, than []int) bool {
	for i := range max(len(v), len(than)) {
		var a, b int
		if i < len(v) {
			a = v[i]
		}
		if i < len(than) {
			b = than[i]
		}
		if a != b {
			return a < b
		}
	}
	return false
}
