package assess

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

const day = 24 * time.Hour

func TestSupervisionOf(t *testing.T) {
	for _, x := range []struct {
		class ringwall.Class
		p     api.Profile
		days  float64
		depth Depth
	}{
		{ringwall.WatchInRealTime, api.Profile{}, 7, DepthFull},
		{ringwall.WatchPeriodically, api.Profile{Use: UseConsumer}, 30, DepthFull},
		{ringwall.WatchOccasionally, api.Profile{}, 180, DepthQuick},
		{ringwall.WatchOccasionally, api.Profile{Use: UsePublic}, 90, DepthQuick},
		{ringwall.WatchInRealTime, api.Profile{Use: UseProduction, SIM: true}, 1.75, DepthFull},
	} {
		if s := SupervisionOf(x.class, x.p); s.Interval.Hours()/24 != x.days || s.Depth != x.depth {
			t.Errorf("%v, %+v: every %v, %v", x.class, x.p, s.Interval, s.Depth)
		}
	}
}

func TestDue(t *testing.T) {
	s := SupervisionOf(ringwall.WatchPeriodically, api.Profile{})
	calm := Occasion{Now: noon, Last: noon.Add(-29 * day), Supervision: s, FirmwareBefore: "1.0", FirmwareNow: "1.0", CertificateEnds: noon.Add(90 * day)}
	for _, x := range []struct {
		name  string
		with  func(*Occasion)
		due   bool
		depth Depth
		says  string
	}{
		{"nothing happened", func(*Occasion) {}, false, DepthNone, ""},
		{"never assessed", func(o *Occasion) { o.Last = time.Time{} }, true, DepthFull, "never"},
		{"its interval is over", func(o *Occasion) { o.Last = noon.Add(-30 * day) }, true, DepthFull, "30 days old"},
		{"a new port", func(o *Occasion) { o.Opened = []api.Service{{Port: 23}} }, true, DepthFull, "tcp/23"},
		{"another firmware", func(o *Occasion) { o.FirmwareNow = "1.1" }, true, DepthDeep, "1.0 to 1.1"},
		{"its firmware is not known any more", func(o *Occasion) { o.FirmwareNow = "" }, false, DepthNone, ""},
		{"newly exploited", func(o *Occasion) { o.Exploited = []api.Vulnerability{{ID: "CVE-2021-36260"}, {ID: "CVE-2021-36260"}} }, true, DepthFull, "CVE-2021-36260: now"},
		{"an incident", func(o *Occasion) { o.Incident = "inc_1" }, true, DepthDeep, "incident"},
		{"its certificate ends", func(o *Occasion) { o.CertificateEnds = noon.Add(10 * day) }, true, DepthQuick, "10 days"},
		{"its certificate has ended", func(o *Occasion) { o.CertificateEnds = noon.Add(-time.Hour) }, true, DepthQuick, "expired"},
		{"stale answers", func(o *Occasion) { o.Stale = 2 }, true, DepthFull, "2 answers"},
		{"newer data", func(o *Occasion) { o.DataChanged = true }, true, DepthMatch, "newer"},
		{"two reasons: the deeper counts", func(o *Occasion) { o.Incident, o.DataChanged = "inc_1", true }, true, DepthDeep, "incident"},
	} {
		o := calm
		x.with(&o)
		due, reasons, depth := Due(o)
		if due != x.due || depth != x.depth || due != (len(reasons) > 0) || due && !strings.Contains(reasons[0], x.says) {
			t.Errorf("%s: due %v, %v, %q", x.name, due, depth, reasons)
		}
	}
	if DepthDeep.Limit() != Strains || DepthFull.Limit() != LogsIn || DepthQuick.Limit() != Asks {
		t.Error("a depth lets probes go too far, or not far enough")
	}
	if got := NextDue(noon, s); !got.Equal(noon.Add(30 * day)) {
		t.Errorf("next due %v", got)
	}
	if got := Opened([]api.Service{{Proto: "tcp", Port: 80}}, []api.Service{{Proto: "tcp", Port: 80, Name: "http"}, {Proto: "udp", Port: 80}}); len(got) != 1 || got[0].Proto != "udp" {
		t.Errorf("opened: %+v", got)
	}
}

func TestGateAllows(t *testing.T) {
	for _, x := range []struct {
		g     api.Gate
		grade ringwall.Grade
		want  bool
	}{
		{api.Gate{}, ringwall.HighRisk, true},
		{api.Gate{}, ringwall.Ungraded, true},
		{api.Gate{Worst: ringwall.MediumRisk}, ringwall.LowRisk, true},
		{api.Gate{Worst: ringwall.MediumRisk}, ringwall.MediumRisk, true},
		{api.Gate{Worst: ringwall.MediumRisk}, ringwall.HighRisk, false},
		{api.Gate{Worst: ringwall.HighRisk}, ringwall.Ungraded, false},
		{api.Gate{Worst: ringwall.LowRisk, Ungraded: true}, ringwall.Ungraded, true},
	} {
		if got := GateAllows(x.g, x.grade); got != x.want {
			t.Errorf("%+v lets %v pass: %v, want %v", x.g, x.grade, got, x.want)
		}
	}
}

func TestPrescribe(t *testing.T) {
	graded := func(p api.Profile, fs ...ringwall.Finding) (*Rubric, Result) {
		r := Default().For(p)
		return r, Grade(r, fs, noon)
	}
	fs := []ringwall.Finding{
		say("HW-01", ringwall.Fail), say("HW-04", ringwall.Fail), say("FS-09", ringwall.Partial), say("FS-03", ringwall.Fail), say("AP-01", ringwall.Fail), say("AP-04", ringwall.Fail),
		say("DA-03", ringwall.Fail), say("CO-02", ringwall.Fail), say("CO-06", ringwall.Fail), say("CO-05", ringwall.Pass),
		with(say("CO-13", ringwall.Partial), "declaration/x", ringwall.Declared),
	}
	for _, x := range []struct {
		name    string
		p       api.Profile
		gateway bool
		want    []string
	}{
		{"a camera behind a gateway", api.Profile{Class: "camera"}, true, []string{
			"hardware attestation HW-01", "hardware device-key HW-04", "firmware gateway-policy FS-03", "firmware update FS-09", "application gateway-policy AP-01",
			"application guarded-video AP-04", "data guarded-video DA-03", "communication gateway-policy CO-02", "communication device-key CO-06",
		}},
		{"a meter with a SIM and no gateway", api.Profile{Class: "meter", SIM: true}, false, []string{
			"hardware attestation HW-01", "hardware sim-identity HW-04", "firmware sdk-policy FS-03", "firmware update FS-09", "application sdk-policy AP-01,AP-04",
			"data sdk-policy DA-03", "communication sdk-policy CO-02", "communication sim-identity CO-06",
		}},
	} {
		r, res := graded(x.p, fs...)
		var got []string
		for _, p := range Prescribe(r, res, x.gateway) {
			got = append(got, p.Module.String()+" "+p.Capability+" "+strings.Join(p.Because, ","))
			if !strings.Contains(p.Text, "watch it in real time, assess it every") {
				t.Errorf("%s: %q names no supervision", x.name, p.Text)
			}
		}
		if !slices.Equal(got, x.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", x.name, got, x.want)
		}
	}
	// Every module with a fail names something, whatever failed.
	for _, in := range Default().Indicators {
		r, res := graded(api.Profile{Class: "camera"}, say(in.ID, ringwall.Fail))
		if ps := Prescribe(r, res, true); len(ps) != 1 || ps[0].Module != in.Module || ps[0].Capability == "" {
			t.Errorf("%s failed and prescribes %+v", in.ID, ps)
		}
	}
	if r, res := graded(api.Profile{}, all(Default(), ringwall.Pass)...); len(Prescribe(r, res, true)) != 0 {
		t.Error("nothing failed and something is prescribed")
	}
}

func TestRemedials(t *testing.T) {
	r := Default().For(api.Profile{Class: "camera"})
	login := say("AP-01", ringwall.Fail)
	login.Facts = map[string]string{"service": "onvif/80"}
	telnet := say("CO-02", ringwall.Fail)
	fs := []ringwall.Finding{say("AP-06", ringwall.Partial), telnet, login, say("CO-09", ringwall.Fail), say("CO-05", ringwall.Pass)}
	services := []api.Service{{Proto: "tcp", Port: 80, Name: "http"}, {Proto: "tcp", Port: 2323, Name: "telnet"}}
	tasks := Remedials(r, Grade(r, fs, noon), "dev_1", services, noon)
	var got []string
	for _, x := range tasks {
		got = append(got, x.Indicator+" "+string(x.Party)+" "+x.Do+" "+x.Target)
		if x.ID != RemedialID("dev_1", x.Indicator) || x.Remedy == "" || x.Effort == "" || x.Status != "open" || !x.Due.After(noon) {
			t.Errorf("task %+v", x)
		}
	}
	want := []string{"AP-01 owner change-password onvif/80", "CO-02 integrator close-port tcp/2323", "CO-09 manufacturer  ", "AP-06 owner  "}
	if !slices.Equal(got, want) {
		t.Errorf("tasks are %q, want %q", got, want)
	}
	if tasks[0].Due.After(tasks[3].Due) {
		t.Error("a knock-out has more time than a half-met indicator")
	}
	// Later: one is measured to be good, one was not looked at, one came back, one is new.
	later := noon.Add(day)
	tasks[1].Status, tasks[2].Status, tasks[3].Note = "doing", "done", "the owner asked"
	ok := say("AP-01", ringwall.Pass)
	res := Grade(r, []ringwall.Finding{ok, telnet, say("CO-09", ringwall.Fail), say("CO-07", ringwall.Fail)}, noon)
	state := map[string]string{}
	for _, x := range Settle(r, tasks, res, "dev_1", services, later) {
		state[x.Indicator] = x.Status + " " + x.Note
		if x.Indicator == "CO-02" && !x.Opened.Equal(noon) || x.Indicator == "CO-07" && !x.Opened.Equal(later) {
			t.Errorf("%s was opened %v", x.Indicator, x.Opened)
		}
	}
	for id, want := range map[string]string{"AP-01": "done ", "CO-02": "doing ", "CO-09": "open ", "AP-06": "open the owner asked", "CO-07": "open "} {
		if state[id] != want {
			t.Errorf("%s is %q, want %q", id, state[id], want)
		}
	}
	if len(state) != 5 {
		t.Errorf("tasks are %v", state)
	}
}

func TestMaker(t *testing.T) {
	r := Default()
	good, bad := Grade(r, all(r, ringwall.Pass), noon), Grade(r, append(all(r, ringwall.Pass)[1:], say("AP-01", ringwall.Fail)), noon)
	fleet := func(n, high int) (out []DeviceResult) {
		for i := range n {
			d := DeviceResult{Model: string(rune('a' + i%3)), Result: good}
			if i < high {
				d.Result = bad
			}
			out = append(out, d)
		}
		return out
	}
	none := Maker(r, "acme", []DeviceResult{{}})
	if none.Graded != 0 || none.Least != 0 || none.Most != 100 || len(none.Reasons) != 1 {
		t.Errorf("of an ungraded device: %+v", none)
	}
	one, ten, ill := Maker(r, "acme", fleet(1, 0)), Maker(r, "acme", fleet(10, 0)), Maker(r, "acme", fleet(10, 8))
	if !(ten.Score > one.Score && ten.Score > ill.Score) {
		t.Errorf("one good %v, ten good %v, eight of ten bad %v", one.Score, ten.Score, ill.Score)
	}
	if one.Most-one.Least <= ten.Most-ten.Least || !strings.Contains(strings.Join(one.Reasons, "\n"), "only 1 of its devices") {
		t.Errorf("one device: %v to %v, ten: %v to %v; %q", one.Least, one.Most, ten.Least, ten.Most, one.Reasons)
	}
	if ill.ShareHigh != 0.8 || ill.High != 8 || ill.Low != 2 || ill.Failures[0] != (Failure{"AP-01", "No default or known credential is accepted", 8}) {
		t.Errorf("%+v", ill)
	}
	liar := fleet(10, 0)
	liar[0].Result.Doubted = []Doubt{{"declaration/acme", []string{"CO-02", "CO-07"}}}
	liar[1].Remedials = []api.Remedial{
		{Party: ringwall.PartManufacturer, Status: "done", Opened: noon, Updated: noon.Add(10 * day)}, {Party: ringwall.PartManufacturer, Status: "open"},
		{Party: ringwall.PartOwner, Status: "open"},
	}
	m := Maker(r, "acme", liar)
	if m.Contradicted != 2 || m.Score >= ten.Score || m.Responded != 1 || m.Waiting != 1 || m.Response != 10*day {
		t.Errorf("%+v", m)
	}
	text := strings.Join(m.Reasons, "\n")
	if !strings.Contains(text, "2 times a measurement contradicted") || !strings.Contains(text, "1 of its 2 tasks are done, half of them within 10 days") {
		t.Errorf("reasons: %s", text)
	}
}

func TestSharedSecrets(t *testing.T) {
	x := func(vendor string, dev ringwall.DeviceID, kind, mark string) api.Examination {
		return api.Examination{Kind: api.ExamFirmware, Source: "firmware/" + vendor, Device: dev, Identity: api.Identity{Vendor: vendor}, Secrets: []api.SecretMark{{Kind: kind, Mark: mark}}}
	}
	got := SharedSecrets([]api.Examination{
		x("a", "dev_1", "password-hash", "m1"), x("b", "dev_2", "password-hash", "m1"), x("a", "dev_3", "host-key", "m2"), x("a", "dev_4", "host-key", "m2"),
		x("a", "dev_1", "token", "m3"), x("a", "dev_1", "certificate", "m4"), x("b", "dev_2", "certificate", "m4"), x("a", "dev_5", "token", ""), x("a", "dev_6", "token", ""),
	})
	if len(got) != 2 || got[0].Mark != "m1" || !got[0].Anywhere || got[1].Mark != "m2" || got[1].Anywhere || len(got[1].Devices) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestTrendAndCompare(t *testing.T) {
	a := func(dev ringwall.DeviceID, when time.Duration, g ringwall.Grade, risk float64) api.Assessment {
		return api.Assessment{Device: dev, Ended: noon.Add(when), Grade: g, Risk: risk}
	}
	h := []api.Assessment{a("dev_1", 2*day, ringwall.LowRisk, 10), a("dev_1", 0, ringwall.HighRisk, 60), a("dev_2", day, ringwall.MediumRisk, 30), a("dev_3", day, ringwall.Ungraded, 50)}
	got := Trend(h, []time.Time{noon.Add(-time.Hour), noon, noon.Add(day), noon.Add(3 * day)})
	want := []Point{{Time: noon.Add(-time.Hour)}, {Time: noon, High: 1, Risk: 60}, {Time: noon.Add(day), High: 1, Medium: 1, Ungraded: 1, Risk: 45}, {Time: noon.Add(3 * day), Low: 1, Medium: 1, Ungraded: 1, Risk: 20}}
	if !slices.Equal(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	before, now := api.Assessment{Findings: []ringwall.Finding{say("AP-01", ringwall.Fail), say("CO-02", ringwall.Pass), say("CO-05", ringwall.Fail)}},
		api.Assessment{Device: "dev_1", Findings: []ringwall.Finding{say("AP-01", ringwall.Pass), say("CO-02", ringwall.Fail), say("CO-05", ringwall.Unknown)}}
	if c := Compare(before, now); !slices.Equal(c.Worse, []string{"CO-02"}) || !slices.Equal(c.Better, []string{"AP-01"}) {
		t.Errorf("%+v: what nobody looked at again is not better", c)
	}
}

func TestNext_saysWhatItWouldDo(t *testing.T) {
	r := Default().For(api.Profile{Class: "camera"})
	// All is well but one mandatory indicator that nobody measured.
	fs := slices.DeleteFunc(all(r, ringwall.Pass), func(f ringwall.Finding) bool { return f.Indicator == "FS-04" || f.Indicator == "CO-09" })
	got := Grade(r, fs, noon)
	if got.Grade != ringwall.MediumRisk || len(got.Next) != 2 {
		t.Fatalf("%v, next %+v", got.Grade, got.Next)
	}
	if n := got.Next[0]; n.Indicator != "FS-04" || n.Channel != ByProbe || n.IfPass != ringwall.LowRisk || n.IfFail != ringwall.HighRisk {
		t.Errorf("the first is %+v", n)
	}
	// What it says is what comes of it.
	for _, n := range got.Next {
		if g := Grade(r, append(slices.Clone(fs), say(n.Indicator, ringwall.Pass)), noon).Grade; g != n.IfPass {
			t.Errorf("%s passes and it is %v, %v was said", n.Indicator, g, n.IfPass)
		}
		bad := say(n.Indicator, ringwall.Fail)
		bad.Facts = map[string]string{"exposed": "true"}
		if g := Grade(r, append(slices.Clone(fs), bad), noon).Grade; g != n.IfFail {
			t.Errorf("%s fails and it is %v, %v was said", n.Indicator, g, n.IfFail)
		}
	}
	// A means that was tried in vain is not named again.
	tried := say("FS-04", ringwall.Unknown)
	if n := Grade(r, append(fs, tried), noon).Next[0]; n.Channel != ByImage {
		t.Errorf("after the network could not tell, it is %+v", n)
	}
	// A declaration narrows no interval, so none is asked for.
	for range 50 {
		rng := rand.New(rand.NewPCG(21, 22))
		for _, n := range Grade(r, evidence(r, rng, 40), noon).Next {
			if n.Channel == ByDeclaration {
				t.Errorf("a declaration is asked for: %+v", n)
			}
		}
	}
}

// fleetOf makes devices with the evidence of a network, an image and a
// declaration each.
func fleetOf(n int) [][]ringwall.Finding {
	r := Default()
	rng := rand.New(rand.NewPCG(31, 32))
	out := make([][]ringwall.Finding, n)
	for i := range out {
		out[i] = evidence(r, rng, 70)
	}
	return out
}

// BenchmarkRegrade_10000 grades ten thousand devices again after their FS-04
// changed: a list of exploited vulnerabilities grew.
func BenchmarkRegrade_10000(b *testing.B) {
	fleet := fleetOf(10_000)
	r := Default().For(api.Profile{Class: "camera"})
	delta := say("FS-04", ringwall.Fail)
	delta.Source = "firmware/image"
	for b.Loop() {
		var wg sync.WaitGroup
		work := make(chan [][]ringwall.Finding, 100)
		for range 2 {
			wg.Go(func() {
				for part := range work {
					for _, fs := range part {
						Grade(r, append(fs[:len(fs):len(fs)], delta), noon)
					}
				}
			})
		}
		for part := range slices.Chunk(fleet, 100) {
			work <- part
		}
		close(work)
		wg.Wait()
	}
}

func BenchmarkRubric_For(b *testing.B) {
	for b.Loop() {
		Default().For(api.Profile{Class: "camera", Use: UsePublic})
	}
}
