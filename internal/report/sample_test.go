package report

import (
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
	"github.com/ringwall/ringwall/internal/declare"
	"github.com/ringwall/ringwall/internal/i18n"
)

var made = time.Date(2026, 11, 22, 9, 30, 0, 0, time.UTC)

func words(t testing.TB, tag string) i18n.Locale {
	t.Helper()
	c, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	return c.Match(tag)
}

// hostile is a name as a device might give itself.
const hostile = `Cam<script>alert(1)</script>"'` + "\u202e" + `=cmd|' /C calc'!A0 大门口摄像机 😀`

// sample is an assessment with everything in it: by rule graded high, with
// unknowns, a compliance view, tasks, components and vulnerabilities.
func sample(t testing.TB, tag string) Input {
	t.Helper()
	rubric := assess.Default()
	at := made.Add(-time.Hour)
	find := func(id string, o ringwall.Outcome, c ringwall.Confidence, source, title string, evidence ...string) ringwall.Finding {
		in, ok := rubric.Indicator(id)
		if !ok {
			t.Fatalf("no indicator %s", id)
		}
		return ringwall.Finding{Indicator: id, Module: in.Module, Outcome: o, Confidence: c, Title: title, Evidence: evidence, Remedy: in.Remedy, Source: source, Time: at}
	}
	fs := []ringwall.Finding{
		find("AP-01", ringwall.Fail, ringwall.Confirmed, "probe/credential", "A known default credential opens the video", "RTSP: DESCRIBE with a random password answers 401", "RTSP: the known pair number 7 answers 200 and a whole picture decoded (1920x1080)"),
		find("CO-02", ringwall.Fail, ringwall.Confirmed, "probe/telnet", "Telnet answers on port 65534", "tcp/65534: IAC WILL ECHO, then \"login:\""),
		find("FS-05", ringwall.Fail, ringwall.Observed, "firmware/0123456789ab", "3 high or critical vulnerabilities are open", "busybox 1.20.2: CVE-2022-30065", "dropbear 2014.63: CVE-2016-7406", "usr/lib/libcurl.so.4: curl 7.29.0"),
		find("FS-09", ringwall.Partial, ringwall.Declared, "declaration/Lantern Cams", "Lantern Cams declares that this is met in part", "UpdMech UpdMech-Full: signature = \"checked-elsewhere\""),
		find("CO-09", ringwall.Partial, ringwall.Observed, "probe/disclosure", "Model and firmware are told before login", "HTTP Server: "+hostile),
		find("AP-04", ringwall.Pass, ringwall.Confirmed, "probe/rtsp", "Video is shown after a login only", "RTSP: 12 routes asked, each answers 401"),
		find("CO-05", ringwall.Pass, ringwall.Confirmed, "probe/tls", "TLS 1.2 and 1.3 with strong ciphers"),
		find("CO-10", ringwall.NotApplicable, ringwall.Confirmed, "probe/snmp", "No SNMP answers"),
		{Indicator: "HW-01", Module: ringwall.Hardware, Outcome: ringwall.Unknown, Title: "not measured", Source: "assess", Time: at},
		{Indicator: "HW-04", Module: ringwall.Hardware, Outcome: ringwall.Unknown, Title: "not measured", Source: "assess", Time: at},
		{Indicator: "DA-03", Module: ringwall.Data, Outcome: ringwall.Unknown, Title: "not measured", Source: "assess", Time: at},
	}
	var refs []declare.Reference = References(rubric)
	coverage, err := declare.Coverage("ETSI EN 303 645", "V3.1.3", refs, nil, fs)
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Name: hostile, Indicators: FromRubric(rubric), Made: made, Tool: "ringwall test", Words: words(t, tag),
		Standards: []Standard{{"ETSI EN 303 645", "V3.1.3", coverage[:24]}},
		Tasks: []api.Remedial{
			{ID: "rmd_1", Indicator: "AP-01", Party: ringwall.PartOwner, Title: "Change the password", Remedy: "Set a password of your own", Effort: "low", Status: "open", Do: "change-password", Target: "tcp/554", Due: made.AddDate(0, 0, 7)},
			{ID: "rmd_2", Indicator: "CO-02", Party: ringwall.PartManufacturer, Title: "Remove telnet", Remedy: "Remove the service from the start scripts", Effort: "low", Status: "accepted", Note: "isolated behind the gateway", Due: made.AddDate(0, 0, 30)},
		},
		Assessment: api.Assessment{
			ID: "asm_01jd8k3c5v7x9z1b3d5f7h9j1m", Device: "dev_01jd8k3c5v7x9z1b3d5f7h9j1m", Target: "192.0.2.17", Started: at.Add(-40 * time.Second), Ended: at,
			Vendor: "Lantern Cams", Model: "LC-2", Firmware: "4.1.7 <b>", MAC: "02:00:5e:00:53:17", Type: "camera",
			Grade: ringwall.HighRisk, Class: ringwall.WatchInRealTime, Best: ringwall.HighRisk, Worst: ringwall.HighRisk, Risk: 61.4, Coverage: 0.57, Rubric: rubric.Version,
			Reasons: []string{"AP-01: A known default credential opens the video — proven, and alone enough for high risk", "57 % of the rubric's weight was measured; low risk needs 80 %"},
			Modules: []api.ModuleScore{
				{Module: ringwall.Hardware, Best: 0, Expected: 0.5, Worst: 1, Coverage: 0}, {Module: ringwall.Firmware, Best: 0.2, Expected: 0.48, Worst: 0.7, Coverage: 0.44},
				{Module: ringwall.Application, Best: 0.61, Expected: 0.72, Worst: 0.84, Coverage: 0.77}, {Module: ringwall.Data, Best: 0.1, Expected: 0.35, Worst: 0.6, Coverage: 0.5},
				{Module: ringwall.Communication, Best: 0.3, Expected: 0.36, Worst: 0.42, Coverage: 0.88},
			},
			Findings: fs, Services: []api.Service{{Proto: "tcp", Port: 554, Name: "rtsp", Info: "RTSP/1.0 " + hostile}, {Proto: "tcp", Port: 65534, Name: "telnet"}},
			Next:    []string{"HW-01 by its firmware image: how the boot chain is verified", "DA-03 by a gateway that sees its traffic"},
			Profile: api.Profile{Class: "camera", Use: "public", SIM: true}, Impact: "a camera can show strangers a room",
			Prescribed: []api.Prescription{{Module: ringwall.Application, Capability: "gateway-policy", Because: []string{"AP-01", "CO-02"}, Text: "a gateway before it, which allows only what its purpose needs"}},
			Examinations: []api.Examination{
				{Kind: api.ExamNetwork, Source: "probe", Made: at, Until: at.AddDate(0, 1, 0)},
				{Kind: api.ExamFirmware, Source: "firmware/0123456789ab", Made: at, Digest: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Components: []api.Component{
					{Name: "busybox", Version: "1.20.2", CPE: "cpe:2.3:a:busybox:busybox:1.20.2:*:*:*:*:*:*:*", Paths: []string{"bin/busybox"}, Exposed: true, How: "banner text"},
					{Name: "dropbear", Version: "2014.63", Paths: []string{"usr/sbin/dropbear", "usr/bin/<x> y"}, How: "banner text"}, {Name: "curl", PURL: "pkg:generic/curl"},
				}, Notes: []string{"one partition could not be unpacked: encrypted"}},
				{Kind: api.ExamDeclaration, Source: "declaration/Lantern Cams", Made: at.AddDate(0, -1, 0), Until: at.AddDate(0, 7, 0)},
			},
			Vulnerabilities: []api.Vulnerability{
				{ID: "CVE-2022-30065", Component: "busybox", Version: "1.20.2", Severity: "high", Score: 7.8, State: api.VEXInTriage},
				{ID: "CVE-2016-7406", Component: "dropbear", Version: "2014.63", Severity: "critical", Score: 9.8, KEV: true, State: api.VEXAffected, Range: "< 2016.74"},
				{ID: "CVE-2013-1944", Component: "curl", Severity: "medium", State: api.VEXNotAffected, Why: "code_not_reachable"},
			},
		},
	}
}

// fleet is a small fleet over four months.
func fleet(t testing.TB, tag string) Fleet {
	t.Helper()
	at := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 12, 0, 0, 0, time.UTC) }
	grade := func(g ringwall.Grade, risk float64, when time.Time, fails ...string) api.Assessment {
		a := api.Assessment{Grade: g, Risk: risk, Coverage: 0.6, Ended: when, Vendor: "Lantern Cams", Model: "LC-2"}
		for _, id := range fails {
			a.Findings = append(a.Findings, ringwall.Finding{Indicator: id, Outcome: ringwall.Fail})
		}
		return a
	}
	return Fleet{
		Made: made, Tool: "ringwall test", Words: words(t, tag), Indicators: FromRubric(assess.Default()),
		Devices: []FleetDevice{
			{ID: "dev_1", Name: hostile, Site: "Depot", Assessments: []api.Assessment{grade(ringwall.HighRisk, 80, at(8, 3), "AP-01", "CO-02"), grade(ringwall.MediumRisk, 30, at(10, 9), "CO-02")}},
			{ID: "dev_2", Name: "Gate", Site: "Depot", Assessments: []api.Assessment{grade(ringwall.LowRisk, 10, at(9, 3)), grade(ringwall.HighRisk, 70, at(11, 20), "AP-01", "CO-02")}},
			{ID: "dev_3", Name: "Meter 4", Vendor: "Tallow", Model: "T1", Site: "Roof", Assessments: []api.Assessment{grade(ringwall.LowRisk, 12, at(11, 1))}},
			{ID: "dev_4", Name: "New", Vendor: "Tallow", Model: "T1"},
		},
	}
}
