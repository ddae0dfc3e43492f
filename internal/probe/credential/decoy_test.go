package credential

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/internal/assess"
)

func TestCheck_whoSaysYesByChanceProvesNothing(t *testing.T) {
	synctest.Test(t, testCheck_whoSaysYesByChanceProvesNothing)
}

func testCheck_whoSaysYesByChanceProvesNothing(t *testing.T) {
	for _, yes := range []float64{0.1, 0.3, 0.5, 0.9} {
		for seed := range uint64(400) {
			r := rand.New(rand.NewPCG(seed, uint64(yes*10)))
			rep := Check(t.Context(), newEnv(""), camera, func(context.Context, string, string) (Outcome, string) {
				if r.Float64() < yes {
					return Accepted, "a picture"
				}
				return Refused, ""
			})
			if rep.Hit != nil {
				t.Fatalf("yes in %.0f %% of cases, seed %d: %v was believed", yes*100, seed, rep.Hit)
			}
		}
	}
}

func TestCheck_strangersCatchChance(t *testing.T) { synctest.Test(t, testCheck_strangersCatchChance) }

func testCheck_strangersCatchChance(t *testing.T) {
	for yes := 0.05; yes < 1; yes += 0.1 {
		for seed := range uint64(1000) {
			r := rand.New(rand.NewPCG(seed, uint64(yes*100)))
			coin := func(context.Context) Outcome {
				if r.Float64() < yes {
					return Accepted
				}
				return Refused
			}
			s := camera
			s.Stranger = coin
			rep := Check(t.Context(), newEnv(""), s, func(ctx context.Context, _, _ string) (Outcome, string) { return coin(ctx), "a picture" })
			if rep.Hit != nil {
				t.Fatalf("yes in %.0f %% of cases, seed %d: %v was believed", yes*100, seed, rep.Hit)
			}
		}
	}
	// An honest one is found as before.
	s := camera
	s.Stranger = func(context.Context) Outcome { return Refused }
	if r := Check(t.Context(), newEnv(""), s, (&device{user: "admin", password: "12345"}).login); r.Hit == nil {
		t.Errorf("an honest service: %+v", r)
	}
}

func TestCheck_moreLiars(t *testing.T) { synctest.Test(t, testCheck_moreLiars) }

func testCheck_moreLiars(t *testing.T) {
	once := func() Login { // lets one default in, once
		let := false
		return func(_ context.Context, u, p string) (Outcome, string) {
			if u == "admin" && p == "admin" && !let {
				let = true
				return Accepted, "a page"
			}
			return Refused, ""
		}
	}
	for name, login := range map[string]Login{
		"the first try is let in": func() Login {
			n := 0
			return func(context.Context, string, string) (Outcome, string) {
				if n++; n == 1 {
					return Accepted, "x"
				}
				return Refused, ""
			}
		}(),
		"a default is let in once": once(),
		"only the length is checked": func(_ context.Context, u, p string) (Outcome, string) {
			if len(p) < 8 {
				return Accepted, "x"
			}
			return Refused, ""
		},
		"every second try is let in": func() Login {
			n := 0
			return func(context.Context, string, string) (Outcome, string) {
				if n++; n%2 == 0 {
					return Accepted, "x"
				}
				return Refused, ""
			}
		}(),
		"forced, then not": func() Login {
			n := 0
			return func(_ context.Context, u, p string) (Outcome, string) {
				if p != "admin" {
					return Refused, ""
				}
				if n++; n == 1 {
					return Forced, "set a password"
				}
				return Accepted, "x"
			}
		}(),
	} {
		r := Check(t.Context(), newEnv(""), camera, login)
		if f := answer(t, r); r.Hit != nil || f.Outcome != ringwall.Unknown {
			t.Errorf("%s: %v, %v (%q)", name, r.Hit, f.Outcome, f.Evidence)
		}
	}
}

func TestCheck_forcedChangeIsNoFault(t *testing.T) { synctest.Test(t, testCheck_forcedChangeIsNoFault) }

func testCheck_forcedChangeIsNoFault(t *testing.T) {
	r := Check(t.Context(), newEnv(""), camera, func(_ context.Context, u, p string) (Outcome, string) {
		if u == "admin" && p == "admin" {
			return Forced, "a page that sets a password"
		}
		return Refused, ""
	})
	fs := r.Findings()
	if r.Hit == nil || fs[0].Outcome != ringwall.Partial || fs[1].Indicator != "AP-02" || fs[1].Outcome != ringwall.Pass || fs[1].Confidence != ringwall.Confirmed {
		t.Errorf("findings are %+v", fs)
	}
}

func TestCheck_growingDelayEndsTheTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		env := newEnv("")
		env.Ledger = assess.NewLedger(assess.Budget{PerAccount: 20, PerService: 20}, time.Now)
		r := Check(t.Context(), env, camera, func(context.Context, string, string) (Outcome, string) {
			time.Sleep(100 * time.Millisecond << (2 * tries))
			tries++
			return Refused, ""
		})
		if !r.Slowed || tries > 4 {
			t.Errorf("slowed %v after %d tries", r.Slowed, tries)
		}
		fs := r.Findings()
		if fs[0].Outcome != ringwall.Unknown || fs[len(fs)-1].Indicator != "AP-03" || fs[len(fs)-1].Outcome != ringwall.Pass {
			t.Errorf("findings are %+v", fs)
		}
		// A constant delay is only a slow device.
		r = Check(t.Context(), newEnv(""), camera, func(context.Context, string, string) (Outcome, string) {
			time.Sleep(3 * time.Second)
			return Refused, ""
		})
		if r.Slowed || answer(t, r).Outcome != ringwall.Pass {
			t.Errorf("a slow device: %+v", r)
		}
	})
}

// many makes Many of a device.
func many(d *device) Many {
	return func(ctx context.Context, ps []Pair, seen func(int, Outcome) bool) {
		for i, p := range ps {
			if o, _ := d.login(ctx, p.User, p.Password()); !seen(i, o) {
				return
			}
		}
	}
}

func TestCheck_manyAreStillProven(t *testing.T) { synctest.Test(t, testCheck_manyAreStillProven) }

func testCheck_manyAreStillProven(t *testing.T) {
	wide := func() *assess.Env {
		env := newEnv("")
		env.Ledger = assess.NewLedger(assess.Budget{PerAccount: 500, PerService: 500}, time.Now)
		return env
	}
	for _, tt := range []struct {
		name string
		d    *device
		want ringwall.Outcome
	}{
		{"the last of the list", &device{user: "admin", password: "9999"}, ringwall.Fail},
		{"an owner's", &device{user: "admin", password: "correct horse"}, ringwall.Pass},
		{"without a proof", &device{user: "admin", password: "admin", hollow: true}, ringwall.Unknown},
		{"a lock", &device{user: "x", password: "y", lockAfter: 10}, ringwall.Unknown},
		{"it hangs up", &device{user: "x", password: "y", dropAfter: 10}, ringwall.Unknown},
	} {
		s := camera
		s.Many = many(tt.d)
		r := Check(t.Context(), wide(), s, tt.d.login)
		if f := answer(t, r); f.Outcome != tt.want || (r.Hit != nil) != (tt.want == ringwall.Fail) {
			t.Errorf("%s: %v, hit %v: %q", tt.name, f.Outcome, r.Hit, f.Evidence)
		}
	}
	// A liar that passes the control and then says yes to all.
	s := camera
	s.Many = func(_ context.Context, ps []Pair, seen func(int, Outcome) bool) {
		for i := range ps {
			if !seen(i, Accepted) {
				return
			}
		}
	}
	r := Check(t.Context(), wide(), s, func(context.Context, string, string) (Outcome, string) { return Refused, "" })
	if r.Hit != nil || answer(t, r).Outcome == ringwall.Fail {
		t.Errorf("a liar: %+v", r)
	}
	// With the default budget nothing is hurried.
	s.Many = func(context.Context, []Pair, func(int, Outcome) bool) { t.Error("the default budget allows no haste") }
	Check(t.Context(), newEnv(""), s, (&device{user: "a", password: "b"}).login)
}

func TestKnown_passwordsStayInside(t *testing.T) {
	for _, p := range Known(assess.CameraAccounts, "") {
		if len(p.Password()) < 4 || strings.Contains(p.User+" known default password", p.Password()) {
			continue
		}
		if s := fmt.Sprintf("%v %+v %#v %s", p, p, p, p); strings.Contains(s, p.Password()) {
			t.Errorf("a password is shown: %s", s)
		}
	}
}
