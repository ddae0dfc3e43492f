package accuracy

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// number is a size that a bigger run may ask for.
func number(name string, other int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return other
}

func world(t *testing.T) (*gen.World, *Rules) {
	t.Helper()
	w, err := gen.New(gen.Config{Seed: uint64(number("SEED", 1)), Cards: number("CARDS", 2000), Days: number("DAYS", 20)})
	if err != nil {
		t.Fatal(err)
	}
	areas, err := rules.NewAreas(w.Places(), w.Config().Keys)
	if err != nil {
		t.Fatal(err)
	}
	j, err := NewRules(w, areas)
	if err != nil {
		t.Fatal(err)
	}
	return w, j
}

func report(t *testing.T, w *gen.World, j Judge) *Report {
	t.Helper()
	r, err := Run(t.Context(), w, j)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := r.Print(&b, w, 12); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + b.String())
	return r
}

// The rules find every case that is one of theirs, and are silent on a small
// honest fleet.
func TestRules(t *testing.T) {
	w, j := world(t)
	r := report(t, w, j)
	if r.Wrong() > 0 {
		t.Errorf("%d false alarms", r.Wrong())
	}
	for _, c := range r.Missed() {
		t.Errorf("%s was not found, or too late", c.Kind)
	}
}

// deaf is the control: rules that say nothing find nothing.
type deaf struct{}

func (deaf) Batch(*cdr.Batch, int64, func(Alarm)) error { return nil }
func (deaf) Notice(gen.Notice) error                    { return nil }
func (deaf) End(func(Alarm)) error                      { return nil }

// loud is the control: rules that speak of every record are wrong on every honest
// one.
type loud struct{ deaf }

func (loud) Batch(b *cdr.Batch, _ int64, tell func(Alarm)) error {
	for i := range b.Events {
		tell(Alarm{Card: b.Events[i].Card, Rule: rules.Separation, At: int64(b.Events[i].Sec)})
	}
	return nil
}

func TestRun_control(t *testing.T) {
	w, err := gen.New(gen.Config{Seed: 1, Cards: 200, Days: 20})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(t.Context(), w, deaf{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong() != 0 || len(r.Missed()) < 15 {
		t.Errorf("who says nothing was wrong %d times and missed %d", r.Wrong(), len(r.Missed()))
	}
	r, err = Run(t.Context(), w, loud{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong() < r.Records/2 {
		t.Errorf("who speaks of each of %d records was wrong %d times", r.Records, r.Wrong())
	}
	for _, c := range r.Missed() {
		for _, name := range c.Rules {
			if name == rules.Separation {
				t.Errorf("%s was not found by the rule that speaks of everything", c.Kind)
			}
		}
	}
}
