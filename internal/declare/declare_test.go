package declare

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
	"github.com/ringwall/ringwall/internal/assess"
)

var today = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func camera(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/camera.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func examine(t testing.TB, text string) api.Examination {
	t.Helper()
	e, err := Read([]byte(text), "Lantern Cams", today)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func finding(t testing.TB, fs []ringwall.Finding, indicator string) ringwall.Finding {
	t.Helper()
	for _, f := range fs {
		if f.Indicator == indicator {
			return f
		}
	}
	t.Fatalf("no finding on %s", indicator)
	return ringwall.Finding{}
}

func TestRead_answers_by_claims_and_rows(t *testing.T) {
	e := examine(t, camera(t))
	for id, want := range map[string]ringwall.Outcome{
		"AP-01": ringwall.Pass,          // claimed, and the row agrees
		"AP-03": ringwall.Fail,          // not claimed
		"AP-10": ringwall.Pass,          // claimed, with an address
		"FS-09": ringwall.Partial,       // claimed, but the row says who really checks
		"FS-11": ringwall.Fail,          // the row alone
		"FS-12": ringwall.Pass,          // until 2031
		"HW-01": ringwall.Unknown,       // claimed, table SecBoot does not describe it
		"HW-02": ringwall.NotApplicable, // no debug interface
		"HW-04": ringwall.Fail,          // the identity is kept in the clear
		"DA-01": ringwall.Fail,          // the claim is refuted by its row
		"DA-02": ringwall.Partial,       // SHA-256
		"DA-03": ringwall.Partial,       // one of two provisions
		"DA-07": ringwall.Partial,       // the log stays on the device
		"CO-01": ringwall.Pass,
		"CO-08": ringwall.Pass,
		"CO-13": ringwall.Pass,
	} {
		f := finding(t, e.Findings, id)
		if f.Outcome != want {
			t.Errorf("%s is %v by %q, want %v", id, f.Outcome, f.Evidence, want)
		}
		if f.Confidence != ringwall.Declared || f.Source != "declaration/Lantern Cams" || len(f.Evidence) == 0 || f.Title == "" {
			t.Errorf("%s: %+v", id, f)
		}
	}
	if e.Kind != api.ExamDeclaration || e.Identity.Firmware != "4.10" || len(e.Digest) != 64 {
		t.Errorf("%+v", e)
	}
	if want := time.Date(2027, 6, 30, 0, 0, 0, 0, time.UTC); !e.Until.Equal(want) {
		t.Errorf("until %v, want the declared %v", e.Until, want)
	}
	var ports []uint16
	for _, s := range e.Services {
		ports = append(ports, s.Port)
	}
	if !slices.Equal(ports, []uint16{443, 554}) { // 22 is disabled
		t.Errorf("services %v", e.Services)
	}
	if len(e.Components) != 2 || e.Components[0].Version != "5.10.226" {
		t.Errorf("components %v", e.Components)
	}
	if !slices.Contains(e.Notes, "mandatory provision 5.6-2 is not answered") {
		t.Errorf("notes %q", e.Notes)
	}
}

// TestRead_JSON_is_the_same turns the YAML into JSON and expects the same answers.
func TestRead_JSON_is_the_same(t *testing.T) {
	root, err := read([]byte(camera(t)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(plain(root))
	if err != nil {
		t.Fatal(err)
	}
	a, j := examine(t, camera(t)), examine(t, string(b))
	if a.Digest == j.Digest {
		t.Error("two different files have one digest")
	}
	a.Digest, j.Digest = "", ""
	if !reflect.DeepEqual(a, j) {
		t.Errorf("YAML gives %+v\nJSON gives %+v", a, j)
	}
}

func TestParse_refuses_and_names_the_line(t *testing.T) {
	text := camera(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"empty", text, "", "empty"},
		{"not ours", text, "hello: world", "declaration: 1"},
		{"two documents", "\nics:", "\n---\nics:", "more than one document"},
		{"tab", "  5.1-1: yes", "\t5.1-1: yes", "line"},
		{"unknown member", "by: Lantern Cams", "by: Lantern Cams\nbuy: x", `line 5: member "buy" is not known`},
		{"nobody", "by: Lantern Cams\n", "", `"by" must name`},
		{"no date", "made: 2026-10-02\n", "", `"made" must be`},
		{"ends before", "until: 2027-06-30", "until: 2026-06-30", "line 7: until: is before 2026-10-02"},
		{"part", "part: manufacturer", "part: friend", "no part"},
		{"edition", "edition: V3.1.3", "edition: V9", `edition "V9" is not known`},
		{"provision", "  5.1-1: yes", "  5.1-9: yes", `no provision "5.1-9"`},
		{"claim", "  5.1-1: yes", "  5.1-1: perhaps", "line 11: ics.5.1-1"},
		{"claim twice", "  5.1-1: yes", "  5.1-1: yes\n  5.1-1: no", `"5.1-1" is given twice`},
		{"no reason", "{support: no, justification: the lock-out comes with firmware 5}", "no", "needs a justification"},
		{"table", "  TelData:", "  TellData:", `"TellData" is none of the 29 tables`},
		{"table number", "1-AuthMech", "2-AuthMech", "none of the 29 tables"},
		{"table twice", "  TelData:", "  AuthMech:\n    - {id: x}\n  TelData:", "stands twice"},
		{"column", "rollback: possible", "rolback: possible", `"rolback" is not known`},
		{"word", "rollback: possible", "rollback: perhaps", `"perhaps" is none of`},
		{"port", "port: 443", "port: 66000", "whole number from 1 to 65535"},
		{"reference", "authentication: AuthMech-Web}\n    - {id: SoftServ-Web", "authentication: AuthMech-App}\n    - {id: SoftServ-Web", `refers to "AuthMech-App", which is no row of table AuthMech`},
		{"id twice", "id: SoftServ-RTSP", "id: SoftServ-Web", `id "SoftServ-Web" stands twice`},
		{"no id", "{id: TelData-Log, exported: no}", "{exported: no}", "has no id"},
		{"URL", "https://lantern-cams.example/support", "javascript:alert(1)", "no URL"},
		{"tag", "by: Lantern Cams", "by: !!binary aGk=", "is not taken"},
		{"bomb", "by: Lantern Cams", bomb(), "aliases expanded"},
		{"loop", "by: Lantern Cams", "by: &a [*a]", "line"},
		{"merge", "device: {", "device: {<<: {a: b}, ", "plain text"},
		{"deep", "by: Lantern Cams", "by: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), "too deep"},
	} {
		changed := strings.Replace(text, c.old, c.new, 1)
		if changed == text {
			t.Errorf("%s: nothing was changed", c.name)
			continue
		}
		start := time.Now()
		_, err := Read([]byte(changed), "x", today)
		if err == nil || !strings.Contains(err.Error(), c.want) || ringwall.CodeOf(err) != ringwall.Invalid {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if d := time.Since(start); d > 20*time.Second {
			t.Errorf("%s took %v", c.name, d)
		}
	}
	if _, err := Read([]byte(strings.Replace(text, "made: 2026-10-02", "made: 2026-11-25", 1)), "x", today); err == nil {
		t.Error("a declaration of next week was taken")
	}
	if _, err := Read([]byte("a: "+strings.Repeat("x", MaxSize)), "x", today); err == nil {
		t.Error("a declaration beyond the limit was taken")
	}
}

// bomb is a document of nine lines that means a billion values.
func bomb() string {
	var b strings.Builder
	b.WriteString("by: Lantern Cams\nx0: &x0 [a,a,a,a,a,a,a,a,a,a]\n")
	for i := 1; i < 9; i++ {
		prev := "*x" + string(rune('0'+i-1))
		b.WriteString("x" + string(rune('0'+i)) + ": &x" + string(rune('0'+i)) + " [" + strings.Repeat(prev+",", 9) + prev + "]\n")
	}
	return b.String()
}

func TestSupport_that_is_over_fails(t *testing.T) {
	e := examine(t, strings.Replace(camera(t), "2031-12-31", "2026-11-21", 1))
	if f := finding(t, e.Findings, "FS-12"); f.Outcome != ringwall.Fail || f.Facts[FactSupportEnds] != "2026-11-21" {
		t.Errorf("%+v", f)
	}
	e = examine(t, strings.Replace(camera(t), "2031-12-31", "2026-11-22", 1))
	if f := finding(t, e.Findings, "FS-12"); f.Outcome != ringwall.Pass {
		t.Errorf("on the last day: %+v", f)
	}
}

func TestRead_usage_description(t *testing.T) {
	b, err := os.ReadFile("../../mud/testdata/camera.json")
	if err != nil {
		t.Fatal(err)
	}
	e := examine(t, string(b))
	if len(e.Services) != 2 || e.Services[0] != (api.Service{Proto: "tcp", Port: 554, Info: "rtsp"}) {
		t.Errorf("services %v", e.Services)
	}
	f := finding(t, e.Findings, "CO-11")
	if f.Outcome != ringwall.Pass || f.Facts[FactPeers] != "api.lantern-cams.example,controller:urn:ietf:params:mud:ntp" {
		t.Errorf("%+v", f)
	}
	e = examine(t, strings.Replace(string(b), `"ietf-acldns:dst-dnsname": "api.lantern-cams.example", `, "", 1))
	if f := finding(t, e.Findings, "CO-11"); f.Outcome != ringwall.Partial {
		t.Errorf("an entry for anybody: %+v", f)
	}
	e = examine(t, strings.Replace(string(b), `"is-supported": true`, `"is-supported": false`, 1))
	if f := finding(t, e.Findings, "FS-12"); f.Outcome != ringwall.Fail {
		t.Errorf("unsupported: %+v", f)
	}
}

func TestContradict(t *testing.T) {
	said := examine(t, camera(t))
	measured := []ringwall.Finding{
		{Indicator: "AP-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "admin:12345 is accepted", Evidence: []string{"RTSP: a picture decoded"}, Source: "probe/credential", Time: today},
		{Indicator: "CO-08", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Source: "inline/gw", Time: today},
		{Indicator: "AP-03", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "probe/lockout", Time: today},         // declared as a fail too
		{Indicator: "CO-01", Outcome: ringwall.Fail, Confidence: ringwall.Declared, Source: "declaration/Somebody", Time: today},   // no measurement
		{Indicator: "FS-12", Outcome: ringwall.Unknown, Confidence: ringwall.Observed, Source: "probe/fingerprint", Time: today},   // not known
		{Indicator: "CO-13", Outcome: ringwall.NotApplicable, Confidence: ringwall.Confirmed, Source: "agent/dev_1", Time: today},  //
		{Indicator: "HW-04", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "agent/dev_1", Time: today},           // declared as a fail too
		{Indicator: "HW-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "firmware/0123456789ab", Time: today}, // declared as unknown
		{Indicator: "FS-09", Outcome: ringwall.Fail, Confidence: ringwall.Observed, Source: "firmware/0123456789ab", Time: today},  // declared in part
	}
	open := []api.Service{{Proto: "tcp", Port: 554, Name: "rtsp"}, {Proto: "tcp", Port: 23, Name: "telnet"}, {Proto: "udp", Port: 443}, {Proto: "tcp", Port: 23}}
	got := Contradict(said, measured, open)
	if len(got) != 2 {
		t.Fatalf("%d contradictions: %+v", len(got), got)
	}
	login, ports := got[0], got[1]
	if login.Indicator != "AP-01" || login.Outcome != ringwall.Fail || login.Confidence != ringwall.Confirmed || login.Facts[FactContradicts] != said.Source || login.Facts["measured-by"] != "probe/credential" {
		t.Errorf("%+v", login)
	}
	text := strings.Join(login.Evidence, "\n")
	for _, want := range []string{"declared by Lantern Cams", "provision 5.1-1: yes", "measured by probe/credential", "a picture decoded"} {
		if !strings.Contains(text, want) {
			t.Errorf("evidence lacks %q:\n%s", want, text)
		}
	}
	text = strings.Join(ports.Evidence, "\n")
	if ports.Indicator != "CO-01" || !strings.Contains(text, "not declared: tcp/23 telnet") || !strings.Contains(text, "udp/443") || strings.Contains(text, "not declared: tcp/554") {
		t.Errorf("%+v", ports)
	}

	late := []ringwall.Finding{{Indicator: "CO-08", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Source: "inline/gw", Time: time.Date(2032, 1, 1, 1, 0, 0, 0, time.UTC)}}
	got = Contradict(said, late, nil)
	if len(got) != 1 || got[0].Indicator != "FS-12" || !strings.Contains(got[0].Title, "support period") {
		t.Errorf("after the support period: %+v", got)
	}
	// Who lists no services is not told that one is open.
	said.Findings = slices.DeleteFunc(said.Findings, func(f ringwall.Finding) bool { return f.Indicator == "CO-01" })
	if got := Contradict(said, nil, open); len(got) != 0 {
		t.Errorf("no services declared: %+v", got)
	}
}

// TestData holds together what stands in the data files.
func TestData(t *testing.T) {
	lib := data()
	if len(lib.tables) != 29 {
		t.Errorf("%d tables, TS 103 701 has 29", len(lib.tables))
	}
	for i, tab := range lib.tables {
		if tab.Number != i+1 || tab.En == "" || tab.Zh == "" || len(tab.Columns) == 0 {
			t.Errorf("table %d: %+v", i+1, tab)
		}
		for _, c := range tab.Columns {
			if c.En == "" || c.Zh == "" || !slices.Contains([]string{"text", "word", "yesno", "url", "date", "port", "ref"}, c.Kind) || c.Kind == "word" && len(c.Choices) < 2 {
				t.Errorf("%s.%s: %+v", tab.Name, c.Name, c)
			}
			if _, ok := lib.table(c.Table); c.Kind == "ref" && !ok {
				t.Errorf("%s.%s refers to table %q", tab.Name, c.Name, c.Table)
			}
		}
	}
	en, _ := lib.standard("ETSI EN 303 645", "V3.1.3")
	shall := 0
	for _, p := range en.Provisions {
		if p.Mandatory() {
			shall++
		}
		if p.En == "" || p.Zh == "" {
			t.Errorf("provision %s has no words", p.ID)
		}
	}
	if len(en.Provisions) != 78 || shall != 36 {
		t.Errorf("%d provisions, %d of them shall; V3.1.3 has 78 and 36", len(en.Provisions), shall)
	}
	rubric := assess.Default()
	column := func(table, name string) Column {
		tab, ok := lib.table(table)
		if !ok {
			t.Errorf("no table %q", table)
		}
		for _, c := range tab.Columns {
			if c.Name == name {
				return c
			}
		}
		t.Errorf("table %s has no column %q", table, name)
		return Column{}
	}
	words := func(m mapping, c Column, values []string) {
		for _, v := range values {
			ok := v == "" || c.Kind == "yesno" && (v == "yes" || v == "no") || slices.Contains(c.Choices, v)
			if !ok {
				t.Errorf("%s: column %q never holds %q", m.Indicator, c.Name, v)
			}
		}
	}
	for _, m := range lib.mappings {
		if in, ok := rubric.Indicator(m.Indicator); !ok || in.Module != moduleOf(m.Indicator) {
			t.Errorf("indicator %q is not in the rubric, or in another module", m.Indicator)
		}
		for _, id := range m.Claims {
			if _, ok := en.provision(id); !ok {
				t.Errorf("%s: no provision %q", m.Indicator, id)
			}
		}
		if _, ok := lib.table(m.Evidence); m.Evidence != "" && !ok {
			t.Errorf("%s: no table %q", m.Indicator, m.Evidence)
		}
		for _, r := range m.Rows {
			words(m, column(r.Table, r.Column), slices.Concat(r.Pass, r.Partial, r.Fail, r.NotApplicable))
			for name, values := range r.Where {
				words(m, column(r.Table, name), values)
			}
		}
	}
	// Every indicator that the rubric wants declared can be answered on paper.
	for _, in := range rubric.Indicators {
		byMap := slices.ContainsFunc(lib.mappings, func(m mapping) bool { return m.Indicator == in.ID })
		byQuestion := slices.ContainsFunc(lib.questions, func(q Question) bool { return q.Indicator == in.ID })
		if slices.Contains(in.Channels, assess.ByDeclaration) && !byQuestion {
			t.Errorf("no question asks for %s (mapped: %v)", in.ID, byMap)
		}
	}
}

func FuzzRead(f *testing.F) {
	text := camera(f)
	f.Add([]byte(text))
	f.Add([]byte(bomb()))
	f.Add([]byte(`{"declaration":1,"by":"x","made":"2026-01-01"}`))
	f.Add([]byte("declaration: 1\nby: x\nmade: 2026-01-01\nics: {5.1-1: no}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		e, err := Read(b, "who", today)
		if err != nil {
			return
		}
		for _, f := range e.Findings {
			if f.Confidence != ringwall.Declared || f.Until.Sub(f.Time) > Lifetime {
				t.Fatalf("%+v", f)
			}
		}
		Contradict(e, e.Findings, e.Services)
	})
}
