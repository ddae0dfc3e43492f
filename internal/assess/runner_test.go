package assess

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// FakeProbe answers by callback.
type FakeProbe struct {
	Definition
	OnRun func(ctx context.Context, env *Env, t Target) (Answer, error)
}

func (p FakeProbe) Def() Definition { return p.Definition }
func (p FakeProbe) Run(ctx context.Context, env *Env, t Target) (Answer, error) {
	return p.OnRun(ctx, env, t)
}

type noNetwork struct{}

func (noNetwork) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("no network here")
}
func (noNetwork) ListenPacket(context.Context, string, string) (net.PacketConn, error) {
	return nil, errors.New("no network here")
}

func runner(probes ...Probe) *Runner {
	return &Runner{Network: noNetwork{}, Probes: probes, Now: func() time.Time { return noon }}
}

func target(last byte) Target {
	a := netip.AddrFrom4([4]byte{10, 0, 0, last})
	return Target{Name: a.String(), Addr: a}
}

func TestRunner_decidesWhatRuns(t *testing.T) {
	var ran []string
	p := func(id string, i Intrusion, needs ...string) Probe {
		return FakeProbe{Definition{ID: id, Intrusion: i, Needs: needs}, func(context.Context, *Env, Target) (Answer, error) {
			ran = append(ran, id)
			return Answer{Services: []api.Service{{Proto: "tcp", Port: 554, Name: "rtsp"}}}, nil
		}}
	}
	r := runner(p("ports", Asks), p("video", Asks, "rtsp"), p("telnet", Asks, "telnet"), p("load", Strains))
	if _, err := r.Run(t.Context(), []Target{target(1)}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"ports", "video"}; !slices.Equal(ran, want) {
		t.Errorf("ran %q, want %q", ran, want)
	}
}

func TestRunner_adoptsOnlyWhatAProbeMaySay(t *testing.T) {
	liar := FakeProbe{Definition{ID: "liar", Indicators: []string{"AP-04"}}, func(context.Context, *Env, Target) (Answer, error) {
		return Answer{Findings: []ringwall.Finding{
			{Indicator: "AP-04", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "open", Source: "agent/me", Module: ringwall.Hardware},
			{Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: ringwall.Confirmed},
			{Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Pass},
			{Indicator: "ZZ-99", Outcome: ringwall.Fail},
		}}, nil
	}}
	as, err := runner(liar).Run(t.Context(), []Target{target(1)})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, f := range as[0].Findings {
		if f.Outcome != ringwall.Unknown {
			said = append(said, f.Indicator+" "+f.Source)
			if f.Module != ringwall.Application || f.Remedy == "" || f.Until.IsZero() || !f.Time.Equal(noon) {
				t.Errorf("finding is not completed from the rubric: %+v", f)
			}
		}
	}
	if !slices.Equal(said, []string{"AP-04 probe/liar"}) {
		t.Errorf("findings are %q", said)
	}
	if len(as[0].Findings) != 49 || as[0].Grade != ringwall.HighRisk || as[0].Rubric == "" {
		t.Errorf("%d findings, grade %v: every indicator must have an answer, unknown if need be", len(as[0].Findings), as[0].Grade)
	}
}

func TestRunner_oneAnswerPerIndicator(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	r := Default()
	for range 200 {
		fs := evidence(r, rng, 120)
		p := FakeProbe{Definition{ID: "p"}, func(context.Context, *Env, Target) (Answer, error) { return Answer{}, nil }}
		tg := target(1)
		for _, f := range fs {
			f.Source = strings.Replace(f.Source, SourceProbe, SourceInline, 1) // a probe's earlier answers would be dropped
			tg.Prior = append(tg.Prior, f)
		}
		as, err := runner(p).Run(t.Context(), []Target{tg})
		if err != nil {
			t.Fatal(err)
		}
		a := as[0]
		if len(a.Findings) != 49 {
			t.Fatalf("%d findings, want one per indicator", len(a.Findings))
		}
		again := Grade(r, a.Findings, noon)
		if again.Grade != a.Grade || again.Risk != a.Risk || again.Coverage != a.Coverage || again.Best != a.Best || again.Worst != a.Worst {
			t.Fatalf("merged findings grade %v %v %v, all of them %v %v %v", again.Grade, again.Risk, again.Coverage, a.Grade, a.Risk, a.Coverage)
		}
	}
}

func TestRunner_assessedAgainIsTheSame(t *testing.T) {
	p := FakeProbe{Definition{ID: "p", Indicators: []string{"AP-01"}}, func(context.Context, *Env, Target) (Answer, error) {
		return Answer{Findings: []ringwall.Finding{{Indicator: "AP-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Title: "bad"}}}, nil
	}}
	tg := target(1)
	var first string
	for i := range 3 {
		as, err := runner(p).Run(t.Context(), []Target{tg})
		if err != nil {
			t.Fatal(err)
		}
		tg.Prior = as[0].Findings
		got := fmt.Sprint(as[0].Findings, as[0].Reasons)
		if i == 0 {
			first = got
		} else if got != first {
			t.Fatalf("assessment %d differs:\n%s\n%s", i, first, got)
		}
	}
}

func TestRunner_priorEvidence(t *testing.T) {
	clean := FakeProbe{Definition{ID: "p", Indicators: []string{"AP-01", "CO-02"}}, func(context.Context, *Env, Target) (Answer, error) {
		return Answer{Findings: []ringwall.Finding{
			{Indicator: "AP-01", Outcome: ringwall.Pass, Confidence: ringwall.Observed}, {Indicator: "CO-02", Outcome: ringwall.Pass, Confidence: ringwall.Observed},
		}}, nil
	}}
	tg := target(1)
	tg.Prior = []ringwall.Finding{
		{Indicator: ringwall.ObservedCompromise, Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "incident/inc_1", Time: noon.Add(-time.Hour)},
		{Indicator: "AP-01", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed, Source: "probe/p", Time: noon.Add(-time.Hour)},
	}
	as, err := runner(clean).Run(t.Context(), []Target{tg})
	if err != nil {
		t.Fatal(err)
	}
	if as[0].Grade != ringwall.MediumRisk {
		t.Errorf("after a clean re-assessment the grade is %v, reasons %q", as[0].Grade, as[0].Reasons)
	}
	dirty := clean
	dirty.OnRun = func(context.Context, *Env, Target) (Answer, error) {
		return Answer{Findings: []ringwall.Finding{{Indicator: "CO-02", Outcome: ringwall.Fail, Confidence: ringwall.Confirmed}}}, nil
	}
	if as, err = runner(dirty).Run(t.Context(), []Target{tg}); err != nil || as[0].Grade != ringwall.HighRisk {
		t.Errorf("with the way in still open the grade is %v, %v", as[0].Grade, err)
	}
}

func TestRunner_stopsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var started atomic.Int64
	slow := FakeProbe{Definition{ID: "slow"}, func(ctx context.Context, _ *Env, _ Target) (Answer, error) {
		if started.Add(1) == 2 {
			cancel()
		}
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}}
	r := runner(slow)
	r.Parallel, r.PerDevice = 2, time.Hour
	as, err := r.Run(ctx, []Target{target(1), target(2), target(3), target(4)})
	if ringwall.CodeOf(err) != ringwall.Unavailable || len(as) != 0 {
		t.Errorf("%d assessments and error %v, want none and code unavailable: what was cut short is not complete", len(as), err)
	}
	if n := started.Load(); n > 3 {
		t.Errorf("%d devices were begun after the end", n)
	}
}

func TestRunner_perDeviceTime(t *testing.T) {
	tarpit := FakeProbe{Definition{ID: "tarpit"}, func(ctx context.Context, _ *Env, _ Target) (Answer, error) {
		<-ctx.Done()
		return Answer{}, ctx.Err()
	}}
	r := runner(tarpit)
	r.PerDevice = 20 * time.Millisecond
	var notes []string
	r.Progress = func(e Event) {
		if e.Kind == EventNote {
			notes = append(notes, e.Text)
		}
	}
	as, err := r.Run(t.Context(), []Target{target(1)})
	if err != nil || len(as) != 1 || as[0].Grade != ringwall.Ungraded {
		t.Fatalf("assessments %+v, error %v", as, err)
	}
	if !strings.Contains(strings.Join(notes, "\n"), "time for one device") {
		t.Errorf("notes are %q", notes)
	}
}

func TestRunner_keepsLedgers(t *testing.T) {
	var got []int
	p := FakeProbe{Definition{ID: "p"}, func(_ context.Context, env *Env, _ Target) (Answer, error) {
		env.Ledger.Spend(CameraAccounts, "http/80", "admin")
		got = append(got, env.Ledger.Left(CameraAccounts, "http/80", "admin"))
		return Answer{}, nil
	}}
	r := runner(p)
	for range 2 {
		if _, err := r.Run(t.Context(), []Target{target(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, []int{3, 2}) {
		t.Errorf("tries left are %v: a second assessment must not double them", got)
	}
}

// FakeFinder sees what it is told.
type FakeFinder struct {
	sees []string
	err  error
}

func (f FakeFinder) String() string { return "fake" }
func (f FakeFinder) Find(_ context.Context, _ Network, _ []netip.Prefix, seen func(Sighting)) error {
	for _, s := range f.sees {
		seen(Sighting{Addr: netip.MustParseAddr(s), How: "fake", MAC: "02:00:00:00:00:01"})
	}
	return f.err
}

func TestRunner_Discover(t *testing.T) {
	r := runner()
	r.Finders = []Finder{FakeFinder{sees: []string{"10.0.0.9", "10.0.0.2", "192.0.2.1"}}, FakeFinder{sees: []string{"10.0.0.2"}, err: errors.New("broken")}}
	ts, err := r.Discover(t.Context(), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range ts {
		names = append(names, x.Name)
	}
	if !slices.Equal(names, []string{"10.0.0.2", "10.0.0.9"}) {
		t.Errorf("found %q: each once, in order, none outside", names)
	}
	r.Finders = []Finder{FakeFinder{err: errors.New("broken")}}
	if _, err := r.Discover(t.Context(), nil); err == nil {
		t.Error("all finders failed and nobody said so")
	}
}
