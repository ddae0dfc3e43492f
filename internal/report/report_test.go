package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/google/go-cmp/cmp"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares what was written with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); d != "" {
		t.Errorf("%s differs; if it should, run with -update (-want +got):\n%.4000s", name, d)
	}
}

// writers are all formats of one assessment.
var writers = map[string]func(io.Writer, Input) error{
	"html": HTML, "pdf": PDF, "sarif": SARIF, "oscal": OSCAL, "cdx": CycloneDX, "csv": CSV,
}

func write(t testing.TB, do func(io.Writer, Input) error, in Input) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := do(&b, in); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// little is the sample with a rubric of its three decisive indicators, so that
// the golden files change when the report does and not when the rubric does.
func little(t testing.TB, tag string) Input {
	in := sample(t, tag)
	in.Indicators = []Indicator{
		{ID: "AP-01", Module: ringwall.Application, Weight: 10, Title: "No default or known credential is accepted", Why: "Worms try these first.", Remedy: "Change the password", References: []Reference{{"EN", "5.1-1"}, {"EN", "5.1-2"}, {"UK", "1"}}, Knockouts: []Knockout{{Full: true}}},
		{ID: "CO-02", Module: ringwall.Communication, Weight: 9, Title: "No telnet or ftp answers on any port", Knockouts: []Knockout{{}}},
		{ID: "FS-05", Module: ringwall.Firmware, Weight: 6, Title: "No open high or critical vulnerability"},
	}
	in.Assessment.Rubric = "0.0.0-test"
	in.Standards[0].Rows = in.Standards[0].Rows[:3]
	for i := range in.Standards[0].Rows {
		in.Standards[0].Rows[i].Indicators = []string{"AP-01"}
	}
	return in
}

func TestGolden(t *testing.T) {
	for _, name := range []string{"sarif", "oscal", "cdx", "csv"} {
		golden(t, "sample."+name, write(t, writers[name], little(t, "en")))
	}
	for _, tag := range []string{"en", "zh-CN"} {
		golden(t, "sample."+tag+".html", write(t, HTML, little(t, tag)))
		var b bytes.Buffer
		if err := FleetHTML(&b, fleet(t, tag)); err != nil {
			t.Fatal(err)
		}
		golden(t, "fleet."+tag+".html", b.Bytes())
	}
}

func TestWriters_give_the_same_bytes_again(t *testing.T) {
	for name, do := range writers {
		for _, tag := range []string{"en", "zh-CN"} {
			in := sample(t, tag)
			first := write(t, do, in)
			// The same evidence in another order is the same report.
			again := sample(t, tag)
			fs := again.Assessment.Findings
			for i, j := 0, len(fs)-1; i < j; i, j = i+1, j-1 {
				fs[i], fs[j] = fs[j], fs[i]
			}
			again.Tasks[0], again.Tasks[1] = again.Tasks[1], again.Tasks[0]
			for range 3 {
				if !bytes.Equal(first, write(t, do, in)) {
					t.Errorf("%s %s: two runs differ", name, tag)
				}
			}
			if !bytes.Equal(first, write(t, do, again)) {
				t.Errorf("%s %s: the order of the findings shows", name, tag)
			}
		}
	}
	for _, do := range []func(io.Writer, Fleet) error{FleetHTML, FleetCSV, TrendCSV} {
		var a, b bytes.Buffer
		if do(&a, fleet(t, "en")) != nil || do(&b, fleet(t, "en")) != nil || a.String() != b.String() {
			t.Error("two fleet reports of the same fleet differ")
		}
	}
}

// walk calls do for each element of a page.
func walk(t *testing.T, page []byte, do func(n *html.Node)) {
	t.Helper()
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var down func(n *html.Node)
	down = func(n *html.Node) {
		do(n)
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			down(c)
		}
	}
	down(root)
}

// TestHTML_is_safe_and_alone looks at every element: no script, no handler, no
// address of anything else, and the hostile name is text wherever it stands.
func TestHTML_is_safe_and_alone(t *testing.T) {
	for _, tag := range []string{"en", "zh-CN"} {
		var f bytes.Buffer
		if err := FleetHTML(&f, fleet(t, tag)); err != nil {
			t.Fatal(err)
		}
		in := sample(t, tag)
		// Everything a device or a party can write carries the name.
		a := &in.Assessment
		a.Vendor, a.Model, a.Firmware, a.MAC, a.Type, a.Impact = hostile, hostile, hostile, hostile, hostile, hostile
		a.Target, a.Rubric, a.Reasons, a.Next = hostile, hostile, []string{hostile}, []string{hostile}
		a.Profile = api.Profile{Class: hostile, Use: hostile}
		for i := range a.Findings {
			x := &a.Findings[i]
			x.Title, x.Evidence, x.Remedy, x.Source = hostile, []string{hostile}, hostile, hostile
		}
		a.Findings[0].Indicator = hostile
		a.Prescribed[0].Text, a.Prescribed[0].Capability = hostile, hostile
		a.Vulnerabilities[0].ID, a.Vulnerabilities[0].Severity, a.Vulnerabilities[0].State = hostile, hostile, hostile
		a.Examinations[0].Source, a.Examinations[0].Kind, a.Examinations[0].Digest = hostile, hostile, strings.Repeat(hostile, 3)
		in.Tasks[0].Title, in.Tasks[0].Indicator, in.Tasks[0].Status, in.Tasks[0].Do = hostile, hostile, hostile, hostile
		in.Tool = hostile
		for name, page := range map[string][]byte{"report": write(t, HTML, in), "fleet": f.Bytes()} {
			headings, charts := 0, 0
			walk(t, page, func(n *html.Node) {
				if n.Type != html.ElementNode {
					return
				}
				switch n.Data {
				case "script", "iframe", "object", "embed", "link", "base", "form", "img", "a", "foreignobject", "use", "animate":
					t.Errorf("%s %s: there is a <%s>", tag, name, n.Data)
				case "h1", "h2":
					headings++
				case "svg":
					charts++
				case "b", "title":
					if n.Data == "b" {
						t.Errorf("%s %s: markup of the firmware's name came through", tag, name)
					}
				}
				for _, at := range n.Attr {
					if strings.HasPrefix(at.Key, "on") || at.Key == "style" || at.Key == "href" || at.Key == "src" || strings.Contains(at.Val, "script") {
						t.Errorf("%s %s: <%s %s=%q>", tag, name, n.Data, at.Key, at.Val)
					}
				}
			})
			if headings < 5 || charts != 1 {
				t.Errorf("%s %s: %d headings, %d charts", tag, name, headings, charts)
			}
			text := string(page)
			if strings.Contains(text, "⟦") {
				t.Errorf("%s %s: a message is missing near %.80q", tag, name, text[strings.Index(text, "⟦"):])
			}
			if strings.Contains(text, "\u202e") {
				t.Errorf("%s %s: an override that turns text around came through", tag, name)
			}
			if strings.Contains(text, "url(") || strings.Contains(text, "@import") || strings.Count(text, "http") != strings.Count(text, "http://www.w3.org/2000/svg")+strings.Count(text, "http-equiv") {
				t.Errorf("%s %s: something is loaded from elsewhere", tag, name)
			}
		}
	}
}

func TestHTML_shows_what_matters(t *testing.T) {
	page := string(write(t, HTML, sample(t, "zh-CN")))
	for _, want := range []string{"高风险", "评级理由", "不接受默认或已知口令", "单独即决定等级", "实时监控", "未知", "须赋予终端的能力", "CVE-2016-7406", "已知被利用", "如何重新评级", `lang="zh-CN"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the Chinese page lacks %q", want)
		}
	}
	in := sample(t, "en")
	in.Assessment.Grade, in.Assessment.Findings, in.Assessment.Modules, in.Assessment.Reasons = ringwall.Ungraded, nil, nil, nil
	page = string(write(t, HTML, in))
	for _, want := range []string{"there is no grade yet", `class="grade unknown"`, "as if its risk were high"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of an ungraded device lacks %q", want)
		}
	}
	if strings.Contains(page, `class="grade low"`) {
		t.Error("unknown is drawn as good")
	}
	in = sample(t, "en")
	in.Assessment.Worst, in.Assessment.Best = ringwall.HighRisk, ringwall.MediumRisk
	if page := string(write(t, HTML, in)); !strings.Contains(page, "If every unknown were good: medium risk; if bad: high risk.") {
		t.Error("the interval is not told")
	}
}

func TestHTML_is_bounded(t *testing.T) {
	in := sample(t, "en")
	f := in.Assessment.Findings[0]
	f.Evidence = strings.Split(strings.Repeat("line\n", 1000), "\n")
	f.Title = strings.Repeat("x", 1<<20)
	for range 1000 {
		in.Assessment.Findings = append(in.Assessment.Findings, f)
		in.Assessment.Services = append(in.Assessment.Services, in.Assessment.Services[0])
	}
	page := write(t, HTML, in)
	if len(page) > 8<<20 || !bytes.Contains(page, []byte("more findings were left out")) || !bytes.Contains(page, []byte("more lines")) {
		t.Errorf("%d bytes", len(page))
	}
}

func TestCSV_holds_no_formula(t *testing.T) {
	in := sample(t, "en")
	in.Name = "=HYPERLINK(\"http://x\")"
	for i, s := range []string{"+1", "-1", "@x", "\t=1", " =1", "|cmd", "\r=1", "＝1", "%x", "\u00a0=1"} {
		in.Assessment.Findings[i%11].Title = s
	}
	rows, err := csv.NewReader(bytes.NewReader(write(t, CSV, in))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 12 {
		t.Errorf("%d rows", len(rows))
	}
	for _, row := range rows {
		for _, c := range row {
			if t2 := strings.TrimLeft(c, " \t\r\n\u00a0"); t2 != "" && strings.ContainsAny(t2[:1], "=+-@|%") || strings.ContainsAny(c, "\n\r\t") || strings.HasPrefix(c, "＝") {
				t.Errorf("cell %q would be computed", c)
			}
		}
	}
	if rows[1][0] != "'=HYPERLINK(\"http://x\")" {
		t.Errorf("name %q", rows[1][0])
	}
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestSARIF_holds_the_rules_of_the_standard(t *testing.T) {
	var log sarifLog
	dec := json.NewDecoder(bytes.NewReader(write(t, SARIF, sample(t, "en"))))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if log.Version != "2.1.0" || run.Tool.Driver.Name == "" || !uuidForm.MatchString(run.Automation.GUID) {
		t.Errorf("%+v", run.Tool)
	}
	ids := map[string]bool{}
	for _, r := range run.Tool.Driver.Rules {
		if ids[r.ID] || r.Short.Text == "" {
			t.Errorf("rule %q stands twice or has no text", r.ID)
		}
		ids[r.ID] = true
	}
	prints := map[string]bool{}
	suppressed := 0
	for _, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("result of %s points at rule %d", r.RuleID, r.RuleIndex)
		}
		if (r.Kind == "fail") == (r.Level == "none") || r.Message.Text == "" || len(r.Locations) == 0 {
			t.Errorf("%+v", r) // 3.27.10: a level but "none" is for kind "fail" alone
		}
		p := r.Fingerprints["ringwall/v1"]
		if p == "" || prints[p] {
			t.Errorf("%s: the fingerprint %q is not its own", r.RuleID, p)
		}
		prints[p] = true
		suppressed += len(r.Suppressions)
		for _, l := range r.Locations {
			if l.Physical != nil && (strings.ContainsAny(l.Physical.Artifact.URI, " <>\"\\:") || strings.HasPrefix(l.Physical.Artifact.URI, "/")) {
				t.Errorf("%q is no relative reference", l.Physical.Artifact.URI)
			}
		}
	}
	if suppressed != 2 { // the accepted task and the VEX statement
		t.Errorf("%d suppressions", suppressed)
	}
	if got := run.Results[0]; got.RuleID != "AP-01" || got.Level != "error" {
		t.Errorf("the first result is %+v", got)
	}
}

func TestFileURI(t *testing.T) {
	for in, want := range map[string]string{
		"/etc/passwd": "etc/passwd", "a b/c:d": "a%20b/c%3Ad", "../../x": "%2E%2E/%2E%2E/x", "javascript:x": "javascript%3Ax", "a//./b": "a/b", "日志": "%E6%97%A5%E5%BF%97",
	} {
		if got := fileURI(in); got != want {
			t.Errorf("fileURI(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOSCAL_references_resolve(t *testing.T) {
	var doc oscalDocument
	dec := json.NewDecoder(bytes.NewReader(write(t, OSCAL, sample(t, "en"))))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	r := doc.Results.Results[0]
	uuids := map[string]bool{}
	own := func(id string) {
		if !uuidForm.MatchString(id) || uuids[id] {
			t.Errorf("uuid %q has a wrong form or stands twice", id)
		}
		uuids[id] = true
	}
	own(doc.Results.UUID)
	own(r.UUID)
	own(doc.Results.Back.Resources[0].UUID)
	own(r.Local.Components[0].UUID)
	for _, o := range r.Observations {
		own(o.UUID)
		if o.Subjects[0].UUID != r.Local.Components[0].UUID || o.Collected == "" {
			t.Errorf("%+v", o)
		}
	}
	for _, k := range r.Risks {
		own(k.UUID)
	}
	token := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
	for _, f := range r.Findings {
		own(f.UUID)
		if !token.MatchString(f.Target.ID) || !uuids[f.Related[0].UUID] {
			t.Errorf("%+v", f)
		}
		for _, k := range f.Risks {
			if !uuids[k.UUID] {
				t.Errorf("risk %q is not there", k.UUID)
			}
		}
		if f.Target.Status.Reason == "other" && f.Target.Status.Remarks == "not known" && f.Target.Status.State != "not-satisfied" {
			t.Errorf("what is unknown is %s", f.Target.Status.State)
		}
	}
	if "#"+doc.Results.Back.Resources[0].UUID != doc.Results.Plan.Href || len(r.Risks) != 5 || len(r.Findings) != 11 {
		t.Errorf("plan %q, %d risks, %d findings", doc.Results.Plan.Href, len(r.Risks), len(r.Findings))
	}
}

func TestCycloneDX_references_resolve(t *testing.T) {
	var bom cdxBOM
	if err := json.Unmarshal(write(t, CycloneDX, sample(t, "en")), &bom); err != nil {
		t.Fatal(err)
	}
	refs := map[string]string{bom.Metadata.Component.Ref: "device"}
	for _, c := range bom.Components {
		if refs[c.Ref] != "" {
			t.Errorf("bom-ref %q stands twice", c.Ref)
		}
		refs[c.Ref] = c.Name
	}
	if len(bom.Components) != 3 || len(bom.Vulns) != 3 || !strings.HasPrefix(bom.Serial, "urn:uuid:") {
		t.Fatalf("%d components, %d vulnerabilities", len(bom.Components), len(bom.Vulns))
	}
	for _, v := range bom.Vulns {
		for _, a := range v.Affects {
			if refs[a.Ref] == "" {
				t.Errorf("%s affects %q, which is not there", v.ID, a.Ref)
			}
		}
	}
	if v := bom.Vulns[0]; v.ID != "CVE-2016-7406" || refs[v.Affects[0].Ref] != "dropbear" || v.Analysis.State != "exploitable" {
		t.Errorf("%+v", v)
	}
}

func TestFleet(t *testing.T) {
	f := fleet(t, "en")
	v := f.view()
	if v.Now.High != 1 || v.Now.Medium != 1 || v.Now.Low != 1 || v.Now.Ungraded != 1 {
		t.Errorf("now %+v", v.Now)
	}
	if v.Now.RiskText() != "37" { // of the three that have a grade
		t.Errorf("mean risk %s", v.Now.RiskText())
	}
	var months []string
	for _, m := range v.Trend {
		months = append(months, m.Name)
	}
	if strings.Join(months, " ") != "2026-08 2026-09 2026-10 2026-11" {
		t.Fatalf("months %q", months)
	}
	if sep, oct, nov := v.Trend[1], v.Trend[2], v.Trend[3]; sep.High != 1 || sep.Low != 1 || oct.Medium != 1 || oct.Better != 1 || nov.High != 1 || nov.Worse != 1 || nov.Count != 3 {
		t.Errorf("trend %+v", v.Trend)
	}
	if v.Worst[0].ID != "CO-02" || v.Worst[0].Count != 2 || v.Worst[1].Count != 1 {
		t.Errorf("worst %+v", v.Worst)
	}
	if g := v.Groups[0].Rows; g[0].Name != "Lantern Cams" || g[0].Count != 2 || g[1].Ungraded != 1 {
		t.Errorf("makers %+v", g)
	}
	var b bytes.Buffer
	if err := FleetCSV(&b, f); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 5 || rows[4][4] != "unknown" {
		t.Errorf("%v: %q", err, rows)
	}
	b.Reset()
	if err := TrendCSV(&b, f); err != nil || !strings.Contains(b.String(), "2026-11,3,1,1,1,0,37.3") {
		t.Errorf("%v: %s", err, b.String())
	}
}
