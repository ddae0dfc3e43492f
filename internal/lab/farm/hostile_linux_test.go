package farm

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// TestHostile assesses servers that say yes to everything, no to everything, show
// a login page to everybody, hang up or never end, which prove nothing; and
// cameras that lock at the fifth wrong password, as a stranger and then by the
// same runner again, which never locks one.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: tarpits take a while")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	f := up(t, append(Decoys(), Locking()...))
	r, targets := f.Street(time.Now)
	for run := range 2 {
		began := time.Now()
		as, err := r.Run(ctx, targets)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("assessed in %v", time.Since(began).Round(time.Millisecond))
		for i, b := range f.Boxes {
			for _, f := range False(as[i]) {
				t.Errorf("%s: %s is said to be proven by %s: %s %q", as[i].Target, f.Indicator, f.Source, f.Title, f.Evidence)
			}
			if as[i].Grade == ringwall.LowRisk {
				t.Errorf("%s is low: %q", as[i].Target, as[i].Reasons)
			}
			wrong, outs := b.Lock.Count()
			if outs > 0 || b.Locks && wrong == 0 {
				t.Errorf("%s locked %d times, after %d wrong passwords (run %d)", b.Name, outs, wrong, run+1)
			}
		}
		if run == 0 { // the decoys once
			targets, f.Boxes = targets[len(Decoys()):], f.Boxes[len(Decoys()):]
		}
	}
}

// TestLock_counts shows that the cameras that lock do: a fifth wrong password does.
func TestLock_counts(t *testing.T) {
	f := up(t, Locking())
	for i := range lockAfter {
		for _, b := range f.Boxes[:1] {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+b.Addr.String()+"/login", strings.NewReader("user=owner&password=wrong"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			resp, err := f.client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if wrong, outs := b.Lock.Count(); wrong != i+1 || (outs == 1) != (i+1 == lockAfter) {
				t.Errorf("after %d: %d wrong passwords, locked %d times", i+1, wrong, outs)
			}
		}
	}
}

// TestForty finds and grades forty devices of a /24.
func TestForty(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: forty devices take a while")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	f := up(t, Forty())
	r, _ := f.Street(time.Now)
	began := time.Now()
	targets, err := r.Discover(ctx, []netip.Prefix{Prefix()})
	if err != nil {
		t.Fatal(err)
	}
	found := time.Since(began)
	as, err := r.Run(ctx, targets)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d found in %v, assessed in %v", len(targets), found.Round(time.Millisecond), (time.Since(began) - found).Round(time.Millisecond))
	for _, b := range f.Boxes {
		i := slices.IndexFunc(as, func(a api.Assessment) bool { return a.Target == b.Addr.String() })
		if i < 0 {
			t.Errorf("%s at %v was not found", b.Name, b.Addr)
		} else if as[i].Grade == ringwall.Ungraded || len(as[i].Services) != len(b.Services) {
			t.Errorf("%s: %v, with services %+v", b.Name, as[i].Grade, as[i].Services)
		}
	}
}
