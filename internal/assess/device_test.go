package assess

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

func TestRunner_consent(t *testing.T) {
	sent := 0
	p := FakeProbe{Definition{ID: "p"}, func(context.Context, *Env, Target) (Answer, error) { sent++; return Answer{}, nil }}
	r := runner(p)
	r.Finders = []Finder{FakeFinder{sees: []string{"10.0.0.2", "10.0.0.200"}}}
	r.Consent = &Consent{Registered: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/25")}}
	outside := Target{Name: "x", Addr: netip.MustParseAddr("10.0.0.200")}
	beside, world := target(1), target(1)
	beside.Beside, world.Outside = []netip.Addr{netip.MustParseAddr("192.0.2.1")}, []netip.Addr{netip.MustParseAddr("192.0.2.1")}
	for name, ts := range map[string][]Target{"outside": {target(1), outside}, "beside": {beside}, "world": {world}, "nowhere": {{}}} {
		if _, err := r.Run(t.Context(), ts); ringwall.CodeOf(err) != ringwall.Forbidden || sent != 0 {
			t.Errorf("%s: error %v, %d probes ran", name, err, sent)
		}
		if _, err := r.Plan(ts); ringwall.CodeOf(err) != ringwall.Forbidden {
			t.Errorf("%s: planned: %v", name, err)
		}
	}
	if _, err := r.Run(t.Context(), []Target{target(1)}); err != nil || sent != 1 {
		t.Errorf("inside: %v, %d probes ran", err, sent)
	}
	for _, in := range []string{"10.0.0.0/24", "10.0.0.128/25", "::/0"} {
		if _, err := r.Discover(t.Context(), []netip.Prefix{netip.MustParsePrefix(in)}); ringwall.CodeOf(err) != ringwall.Forbidden {
			t.Errorf("discovery in %s: %v", in, err)
		}
	}
	if ts, err := r.Discover(t.Context(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/26")}); err != nil || len(ts) != 1 {
		t.Errorf("discovery inside: %v, %v", ts, err)
	}
	r.Consent = &Consent{Own: true}
	if _, err := r.Run(t.Context(), []Target{outside}); err != nil {
		t.Errorf("their own: %v", err)
	}
	for _, a := range []string{"224.0.0.1", "0.0.0.0", "ff02::1"} {
		if r.Consent.Covers(netip.MustParseAddr(a)) {
			t.Errorf("%s is nobody's device", a)
		}
	}
	if !(Consent{Registered: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}).Covers(netip.MustParseAddr("::ffff:10.1.2.3")) {
		t.Error("a mapped address is another")
	}
}

func TestRunner_together(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		slow := func(id string, together bool) Probe {
			return FakeProbe{Definition{ID: id, Together: together, Indicators: []string{"CO-05"}}, func(ctx context.Context, env *Env, _ Target) (Answer, error) {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				env.Services = append(env.Services, api.Service{Name: "mine"}) // stays with this probe
				time.Sleep(time.Second)
				return Answer{Services: []api.Service{{Proto: "tcp", Port: uint16(len(id)), Name: id}}}, nil
			}}
		}
		r := runner(slow("a", false), slow("bb", true), slow("ccc", true), slow("dddd", true), slow("eeeee", false))
		r.Now = time.Now
		began := time.Now()
		as, err := r.Run(t.Context(), []Target{target(1)})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 3*time.Second || most.Load() != 3 {
			t.Errorf("it took %v with %d at once, want 3 s with 3", took, most.Load())
		}
		var names []string
		for _, s := range as[0].Services {
			names = append(names, s.Name)
		}
		if !slices.Equal(names, []string{"a", "bb", "ccc", "dddd", "eeeee"}) {
			t.Errorf("services are %q", names)
		}
	})
}

func TestRunner_oneTarpitCostsOneProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tarpit := FakeProbe{Definition{ID: "tarpit"}, func(ctx context.Context, _ *Env, _ Target) (Answer, error) { <-ctx.Done(); return Answer{}, ctx.Err() }}
		after := FakeProbe{Definition{ID: "after", Indicators: []string{"CO-05"}, Within: time.Minute}, func(context.Context, *Env, Target) (Answer, error) {
			time.Sleep(40 * time.Second)
			return Answer{Findings: []ringwall.Finding{{Indicator: "CO-05", Outcome: ringwall.Pass, Confidence: ringwall.Observed}}}, nil
		}}
		r := runner(tarpit, after)
		as, err := r.Run(t.Context(), []Target{target(1)})
		if err != nil || as[0].Grade == ringwall.Ungraded {
			t.Fatalf("%v, %v", as, err)
		}
		x := as[0].Examinations[0]
		if !slices.Contains(x.Notes, "tarpit: its time is used up") || len(x.Findings) != 1 {
			t.Errorf("notes %q, findings %+v", x.Notes, x.Findings)
		}
	})
}

func TestRunner_examinations(t *testing.T) {
	p := FakeProbe{Definition{ID: "p", Indicators: []string{"AP-01", "CO-02"}}, func(_ context.Context, env *Env, _ Target) (Answer, error) {
		env.Say("a word %d", 1)
		return Answer{Alive: true, Known: Identity{Vendor: "acme", Type: "camera"}, Findings: []ringwall.Finding{
			{Indicator: "AP-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "web"}, {Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: ringwall.Observed, Title: "rtsp"},
		}}, nil
	}}
	tg := target(1)
	xs, labs := testExams(t, true)
	tg.Examinations = xs[1:]
	tg.Prior = []ringwall.Finding{
		{Indicator: "HW-04", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed, Source: "agent/dev", Time: noon},
		{Indicator: "FS-09", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "firmware/0123456789ab", Time: noon}, // its examination is given
		{Indicator: "AP-02", Outcome: ringwall.Fail, Source: "probe/old", Time: noon},
		{Indicator: "CO-05", Outcome: ringwall.NotApplicable, Source: SourceAssess, Time: noon},
	}
	r := runner(p)
	r.Laboratories, r.Tool = labs, "ringwall test"
	as, err := r.Run(t.Context(), []Target{tg})
	if err != nil {
		t.Fatal(err)
	}
	a := as[0]
	if a.Profile.Class != "camera" || a.Impact == "" || len(a.Prescribed) == 0 {
		t.Errorf("profile %+v, impact %q, prescribed %+v", a.Profile, a.Impact, a.Prescribed)
	}
	var kinds []string
	for _, x := range a.Examinations {
		kinds = append(kinds, string(x.Kind)+" "+x.Source)
	}
	if want := []string{"network probe", "agent agent/dev", "declaration declaration/maker", "firmware firmware/0123456789ab", "laboratory laboratory/bench"}; !slices.Equal(kinds, want) {
		t.Errorf("examinations are %q, want %q", kinds, want)
	}
	x := a.Examinations[0]
	if len(x.Findings) != 2 || x.Tool != "ringwall test" || x.Identity.Vendor != "acme" || !slices.Contains(x.Notes, "a word 1") || !x.Made.Equal(noon) || x.Until.IsZero() {
		t.Errorf("the network's examination is %+v", x)
	}
	// Whoever has the examinations comes to the same grade.
	b, res, err := NewBundle(Default(), a.Profile, a.Examinations, labs, nil, noon)
	if err != nil || res.Grade != a.Grade || res.Risk != a.Risk || res.Coverage != a.Coverage || !slices.Equal(res.Reasons, a.Reasons) {
		t.Errorf("from its examinations: %v %v %v, the assessment says %v %v %v (%v)", res.Grade, res.Risk, res.Coverage, a.Grade, a.Risk, a.Coverage, err)
	}
	if _, same, err := Regrade(b); err != nil || !same {
		t.Errorf("regraded: %v, %v", same, err)
	}
	for _, f := range a.Findings {
		switch f.Indicator {
		case "AP-02", "CO-05":
			if f.Outcome != ringwall.Unknown {
				t.Errorf("an earlier answer of ours stays: %+v", f)
			}
		case "HW-04":
			if f.Outcome != ringwall.Pass {
				t.Errorf("an earlier answer of an agent is lost: %+v", f)
			}
		case "FS-09":
			if f.Outcome != ringwall.Partial {
				t.Errorf("an earlier answer outlives its examination: %+v", f)
			}
		}
	}
}

func TestRunner_whatIsNotOfferedDoesNotApply(t *testing.T) {
	ports := func(services ...api.Service) Probe {
		return FakeProbe{Definition{ID: "ports", Indicators: []string{"CO-02"}}, func(context.Context, *Env, Target) (Answer, error) {
			return Answer{Alive: true, Services: services, Findings: []ringwall.Finding{{Indicator: "CO-02", Outcome: ringwall.Pass, Confidence: ringwall.Observed}}}, nil
		}}
	}
	tlsProbe := FakeProbe{Definition{ID: "tls", Needs: []string{"https"}, Indicators: []string{"CO-05", "CO-06"}, Absent: []string{"CO-05", "CO-06"}}, func(context.Context, *Env, Target) (Answer, error) {
		return Answer{Findings: []ringwall.Finding{{Indicator: "CO-05", Outcome: ringwall.Unknown}}}, nil
	}}
	silent := FakeProbe{Definition{ID: "ports"}, func(context.Context, *Env, Target) (Answer, error) { return Answer{}, nil }}
	for _, x := range []struct {
		name  string
		ports Probe
		want  ringwall.Outcome
	}{
		{"nothing is open", ports(), ringwall.NotApplicable},
		{"something else is open", ports(api.Service{Proto: "tcp", Port: 554, Name: "rtsp"}), ringwall.NotApplicable},
		{"something without a name is open", ports(api.Service{Proto: "tcp", Port: 9999}), ringwall.Unknown},
		{"it is open and was not understood", ports(api.Service{Proto: "tcp", Port: 443, Name: "https"}), ringwall.Unknown},
		{"nobody answered", silent, ringwall.Unknown},
	} {
		as, err := runner(x.ports, tlsProbe).Run(t.Context(), []Target{target(1)})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(as[0].Findings, func(f ringwall.Finding) bool { return f.Indicator == "CO-05" })
		if got := as[0].Findings[i]; got.Outcome != x.want {
			t.Errorf("%s: CO-05 is %v (%s), want %v", x.name, got.Outcome, got.Title, x.want)
		}
		// Where nothing is offered nothing can be logged into; where something is, no
		// probe of logins has said that it refuses.
		none := x.name == "nothing is open"
		for _, id := range []string{"AP-01", "AP-07"} {
			i := slices.IndexFunc(as[0].Findings, func(f ringwall.Finding) bool { return f.Indicator == id })
			if got := as[0].Findings[i]; (got.Outcome == ringwall.NotApplicable) != none {
				t.Errorf("%s: %s is %v", x.name, id, got.Outcome)
			}
		}
	}
}

func TestRunner_Plan(t *testing.T) {
	nothing := func(context.Context, *Env, Target) (Answer, error) {
		t.Error("a plan runs a probe")
		return Answer{}, nil
	}
	r := runner(
		FakeProbe{Definition{ID: "ports", Sends: "one SYN", Reaches: []string{"tcp/1-65535"}, Intrusion: Asks, Rate: 500}, nothing},
		FakeProbe{Definition{ID: "web", Needs: []string{"http"}, Intrusion: LogsIn, Tries: 3, Within: time.Minute}, nothing},
		FakeProbe{Definition{ID: "load", Intrusion: Strains}, nothing},
		FakeProbe{Definition{ID: "cloud", Intrusion: Asks, Optional: true}, nothing},
	)
	r.Rate = 100
	steps, err := r.Plan([]Target{target(1), target(2)})
	if err != nil || len(steps) != 8 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	if s := steps[0]; !s.Runs || s.Rate != 100 || s.Tries != 0 || !slices.Equal(s.To, []string{"tcp/1-65535"}) || s.Most != 30*time.Second || s.Target != "10.0.0.1" {
		t.Errorf("ports: %+v", s)
	}
	if s := steps[1]; !s.Runs || s.Tries != 3 || !slices.Equal(s.To, []string{"services http"}) || s.Most != time.Minute {
		t.Errorf("web: %+v", s)
	}
	if s := steps[2]; s.Runs || !strings.Contains(s.Why, "strains") {
		t.Errorf("load: %+v", s)
	}
	if s := steps[3]; s.Runs || !strings.Contains(s.Why, "by name") {
		t.Errorf("cloud: %+v", s)
	}
	r.Limit, r.Also = Strains, []string{"cloud"}
	if steps, err = r.Plan([]Target{target(1)}); err != nil || !steps[2].Runs || !steps[3].Runs {
		t.Errorf("asked for, they do not run: %+v, %v", steps, err)
	}
}

// TestRunner_rate counts what a device really gets in any second.
func TestRunner_rate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &counting{}
		p := FakeProbe{Definition{ID: "p", Within: time.Minute}, func(ctx context.Context, env *Env, t Target) (Answer, error) {
			for range 200 {
				if c, err := env.Net.DialContext(ctx, "tcp", t.AddrPort(80)); err == nil {
					_ = c.Close()
				}
			}
			return Answer{}, nil
		}}
		r := runner(p, p)
		r.Network, r.Rate, r.Now = n, 40, time.Now
		if _, err := r.Run(t.Context(), []Target{target(1)}); err != nil {
			t.Fatal(err)
		}
		if len(n.at) != 400 {
			t.Fatalf("%d connections were made, want 400", len(n.at))
		}
		from := 0
		for i := range n.at {
			for n.at[i].Sub(n.at[from]) >= time.Second {
				from++
			}
			if i-from+1 > 40 {
				t.Fatalf("%d connections in one second, 40 are stated", i-from+1)
			}
		}
	})
}

type counting struct{ at []time.Time }

func (c *counting) DialContext(context.Context, string, string) (net.Conn, error) {
	c.at = append(c.at, time.Now())
	a, b := net.Pipe()
	_ = b.Close()
	return a, nil
}
func (c *counting) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, net.ErrClosed
}

func TestRunner_theWorseOfTwoPortsCounts(t *testing.T) {
	for name, order := range map[string][]ringwall.Outcome{"the bad one first": {ringwall.Fail, ringwall.Pass}, "the bad one last": {ringwall.Pass, ringwall.Fail}} {
		r := runner(FakeProbe{Definition{ID: "p", Indicators: []string{"AP-06"}}, func(context.Context, *Env, Target) (a Answer, _ error) {
			for _, o := range order {
				a.Findings = append(a.Findings, ringwall.Finding{Indicator: "AP-06", Outcome: o, Confidence: ringwall.Observed})
			}
			return a, nil
		}})
		tick := noon
		r.Now = func() time.Time { tick = tick.Add(time.Millisecond); return tick } // as clocks do
		as, err := r.Run(t.Context(), []Target{target(1)})
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(as[0].Findings, func(f ringwall.Finding) bool { return f.Indicator == "AP-06" }); as[0].Findings[i].Outcome != ringwall.Fail {
			t.Errorf("%s: AP-06 is %v", name, as[0].Findings[i].Outcome)
		}
	}
}
