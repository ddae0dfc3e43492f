package cross_test

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/gen/accuracy"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// judge is the rules of single cards, of which it tells nothing, with a table
// behind them.
type judge struct {
	w     *gen.World
	book  *rules.Book
	lines map[uint64]*rules.Line
	env   rules.Env
	table *cross.Table
	obs   []cross.Observation
	seen  map[uint64]bool
}

func (j *judge) Notice(gen.Notice) error { return nil }

func (j *judge) End(func(accuracy.Alarm)) error { return nil }

func (j *judge) Batch(b *cdr.Batch, delivered int64, tell func(accuracy.Alarm)) error {
	j.env.Horizon = uint32(delivered + 3600)
	for i := range b.Events {
		e := &b.Events[i]
		if j.seen[e.ID] {
			continue
		}
		j.seen[e.ID] = true
		l := j.lines[e.Card]
		s := j.book.Settings(l.Settings())
		f := rules.Step(l, s, e, &j.env)
		j.obs = cross.Collect(j.obs[:0], l.Settings(), e, f)
		for _, o := range j.obs {
			find, ok := j.table.Observe(o)
			if !ok {
				continue
			}
			for _, a := range find.Alerts(nil, func(uint64) (ringwall.SIMID, ringwall.OrgID) { return "sim_1", "org_1" }) {
				tell(accuracy.Alarm{Card: find.Cards[0], Rule: a.Rule, Variant: find.Variant, At: int64(e.Sec), ID: strconv.FormatUint(e.ID, 10), Facts: a.Evidence.Facts})
			}
		}
	}
	return nil
}

func number(name string, other int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return other
}

// crowd is how many cards the table takes for many at a peer.
const crowd = 10

// In a world of honest cards with racks of modems and fleets that were taken
// over, all of these are found and nothing else.
func TestWorld(t *testing.T) {
	w, err := gen.New(gen.Config{Seed: uint64(number("SEED", 1)), Cards: number("CARDS", 1000), Days: number("DAYS", 22)})
	if err != nil {
		t.Fatal(err)
	}
	book, err := rules.NewBook(w.Book(), w.Config().Keys)
	if err != nil {
		t.Fatal(err)
	}
	usual := &rules.Usual{}
	j := &judge{w: w, book: book, lines: map[uint64]*rules.Line{}, table: cross.New(cross.Config{Usual: usual}), seen: map[uint64]bool{},
		env: rules.Env{Book: book, Side: rules.NewSide(0), Usual: usual}}
	for _, cu := range w.Customers() {
		for n := range uint32(cu.Cards) {
			l := &rules.Line{Card: w.FirstNumber(cu) + uint64(n)}
			l.SetSettings(cu.Settings())
			if cu.Tariff.Bound {
				l.Bind(cu.Equipment(cu.First()+n), j.env.Side)
			}
			j.lines[l.Card] = l
		}
	}
	r, err := accuracy.Run(t.Context(), w, j)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := r.Print(&text, w, 12); err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v\n%+v of %d cards\n%s", j.table.Stats(), j.env.Side.Stats(), w.Config().Cards, text.String())
	if r.Wrong() > 0 {
		t.Errorf("%d false alarms", r.Wrong())
	}
	n := 0
	for _, c := range r.Cases {
		if !slices.Contains(c.Rules, rules.Box) || c.Ambiguous != "" || c.Kind == "crowd at one server" && len(c.Cards) < crowd {
			continue // a customer with few cards makes no crowd
		}
		if n++; !c.Found || c.Late {
			t.Errorf("%s was not found, or too late", c.Kind)
		}
	}
	if n < 2 {
		t.Errorf("only %d cases: the world proves nothing", n)
	}
}
