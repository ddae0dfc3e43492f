package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// usageFigure is one row of "ringwall bench usage".
type usageFigure struct {
	Name   string  `json:"name"`
	Best   float64 `json:"best"`
	Median float64 `json:"median"`
	Unit   string  `json:"unit"`
	Bar    float64 `json:"bar,omitempty"` // 0 = none
	AtMost bool    `json:"atMost,omitempty"`
	Note   string  `json:"note,omitempty"`
}

// good reports whether the bar is held. The best round counts: others on the
// machine make the rest slower, and nothing makes one faster.
func (f usageFigure) good() bool {
	return f.Bar == 0 || f.AtMost && f.Best <= f.Bar || !f.AtMost && f.Best >= f.Bar
}

// rounds makes a figure of what rounds gave.
func rounds(name, unit string, bar float64, values []float64) usageFigure {
	slices.Sort(values)
	return usageFigure{Name: name, Unit: unit, Bar: bar, Best: values[len(values)-1], Median: values[len(values)/2]}
}

// threadTime is the processor time of this thread: what others do on the machine
// is not in it, but for what it costs us in caches.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil { // it cannot fail for oneself
		return 0
	}
	return time.Duration(t.Nano())
}

// Numbers of the cards of the speed rows: blocks of ten thousand, apart when they
// are blocks.
const (
	speedFirst = 1_460_041_000_000_000
	speedBlock = 10_000
	speedApart = 70_000
	// speedStart is when measuring begins, but for speedQuiet seconds, in which there is
	// time for the newest records of all cards.
	speedStart = 1_800_000_000
	speedQuiet = 6 * 3600
	// speedHours is how many hours are known of each card by then.
	speedHours = 24
)

// speed is an engine of many cards and honest records of random ones: the worst
// for caches.
type speed struct {
	engine *usage.Engine
	keys   *cdr.Keys
	cards  uint64
	blocks bool
	apn    uint32
	plmn   uint32
	batch  cdr.Batch
	random *rand.Rand
	every  float64 // seconds between two records of a card, on average
	sec    float64
	ids    uint64
}

// speedEvents is how many records there are in a round.
const speedEvents = 2 << 20

func newSpeed(cards int, blocks bool, duplicates int) (*speed, error) {
	key := []byte("ringwall bench usage")
	s := &speed{keys: usage.KeysOf(key), cards: uint64(cards), blocks: blocks, sec: speedStart + speedQuiet, plmn: cdr.ParsePLMN("46004"), random: rand.New(rand.NewPCG(1, 2))}
	s.apn = s.keys.APNKey([]byte("iot.example"))
	book, err := rules.NewBook(rules.BookSpec{Settings: []rules.Spec{
		{Services: []string{"data"}, Peers: []string{"198.18.0.1", "iot.example"}, Homes: []string{"460"}, Fixed: true},
		{Services: []string{"data", "sms"}, Peers: []string{"198.18.0.1", "198.18.1.0/24"}, Homes: []string{"460"}},
		{Services: []string{"data", "sms", "voice"}, Homes: []string{"460", "452"}},
	}}, s.keys)
	if err != nil {
		return nil, err
	}
	s.engine = usage.New(usage.Config{Key: key, Book: book, Duplicates: duplicates})
	if err := s.announce(); err != nil {
		return nil, errors.Join(err, s.engine.Close())
	}
	s.batch.Lines = make([]uint64, cdr.MaxBatch)
	s.batch.Events = make([]cdr.Event, 0, cdr.MaxBatch)
	// Cards are known for a day, with a record in each hour, when measuring begins.
	for hour := range speedHours {
		for i := range s.cards {
			s.learn(s.event(i, speedStart-speedHours*3600+uint32(hour)*3600+uint32(i%3600), 0), i+1 == s.cards)
		}
	}
	s.engine.Sweep(func(l *rules.Line, _ *rules.Side) bool { l.SetSettings(uint32(l.Card % 3)); return true })
	return s, nil
}

// pace says how often a card has a record, on average, and gives each the newest
// that it then has: at times that have nothing to do with each other (a Poisson
// process), so that the first round is as all others.
func (s *speed) pace(every time.Duration) {
	s.every = every.Seconds()
	for i := range s.cards {
		ago := min(s.random.ExpFloat64()*s.every, speedQuiet)
		s.learn(s.event(i, uint32(s.sec-ago), 0), i+1 == s.cards)
	}
}

// learn has the engine judge what is not measured.
func (s *speed) learn(e cdr.Event, last bool) {
	s.batch.Events = append(s.batch.Events, e)
	if len(s.batch.Events) == cdr.MaxBatch || last {
		s.engine.Batch(&s.batch, nil)
		s.batch.Events = s.batch.Events[:0]
	}
}

func (s *speed) announce() error {
	if !s.blocks {
		return s.engine.Announce(usage.Range{First: ringwall.IMSI(cdr.IMSIOf(speedFirst)), N: int(s.cards), Dense: true})
	}
	for i := uint64(0); i < s.cards; i += speedBlock {
		if err := s.engine.Announce(usage.Range{First: ringwall.IMSI(cdr.IMSIOf(s.number(i))), N: int(min(speedBlock, s.cards-i))}); err != nil {
			return err
		}
	}
	return nil
}

func (s *speed) number(i uint64) uint64 {
	if s.blocks {
		return speedFirst + i/speedBlock*speedApart + i%speedBlock
	}
	return speedFirst + i
}

// event is a record of a card: from its place, now and then from a cell beside it, a
// little data to its server.
func (s *speed) event(i uint64, sec, chance uint32) cdr.Event {
	e := cdr.Event{
		Card: s.number(i), IMEI: 86_000_000_000_001 + i, Peer: cdr.AddressPeer(198<<24 | 18<<16 | 1), Sec: sec, PLMN: s.plmn, APN: s.apn,
		Area: uint32(i/1000%50_000 + 1), Cell: 1<<62 | i/50 + 1, Volume: float32(1000 + chance%4096), Use: cdr.NewUse(cdr.Data, 0, 60, 0),
	}
	if chance%16 == 1 {
		e.Cell++
	}
	return e
}

// round judges records of random cards and gives millions a second. Only judging
// is counted: the records of a batch are in the cache, as decoding leaves them.
func (s *speed) round(ids bool) (float64, error) {
	was := s.engine.Stats()
	var took time.Duration
	for range speedEvents / cdr.MaxBatch {
		s.batch.Events = s.batch.Events[:0]
		for range cdr.MaxBatch {
			s.sec += s.every / float64(s.cards)
			e := s.event(s.random.Uint64N(s.cards), uint32(s.sec), s.random.Uint32())
			if ids {
				s.ids++
				e.ID = hashed(s.ids)
			}
			s.batch.Events = append(s.batch.Events, e)
		}
		from := threadTime()
		s.engine.Batch(&s.batch, nil)
		took += threadTime() - from
	}
	now := s.engine.Stats()
	if n := now.Records - was.Records; n != speedEvents || now.Unknown != 0 || now.Duplicate != was.Duplicate {
		return 0, ringwall.Errorf(ringwall.Internal, "not all records were judged: %+v", now)
	}
	return speedEvents / took.Seconds() / 1e6, nil
}

// hashed spreads a number as a hash does (the last steps of SplitMix64): ids of
// records are hashes.
func hashed(v uint64) uint64 {
	v *= 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return v ^ v>>31
}

// limit is what memory allows: random lines are changed, and nothing is judged.
func limit(cards, n int) (fig usageFigure, err error) {
	table := store.New(store.Config{})
	defer func() { err = errors.Join(err, table.Close()) }()
	if err := table.Range(speedFirst, cards); err != nil {
		return fig, err
	}
	for i := range cards {
		if _, err := table.Put(speedFirst + uint64(i)); err != nil {
			return fig, err
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	var groups [cdr.MaxBatch / store.Width]store.Cards
	var at [2]store.Places
	var values []float64
	for range n {
		var took time.Duration
		for range speedEvents / cdr.MaxBatch {
			for i := range groups {
				for j := range groups[i] {
					groups[i][j] = speedFirst + r.Uint64N(uint64(cards))
				}
			}
			from := threadTime()
			for i := range groups {
				table.Find(&groups[i], store.Width, &at[i%2])
				for j, place := range at[(i+1)%2] {
					if j%store.Few == 0 {
						table.Prefetch(&at[i%2], j)
					}
					table.Line(place).Data[0]++
				}
			}
			took += threadTime() - from
		}
		values = append(values, speedEvents/took.Seconds()/1e6)
	}
	return rounds("memory alone, one range, "+millions(cards)+" cards", "M lines/s/core", 0, values), nil
}

// benchUsageSpeed measures what one core does.
func benchUsageSpeed(ctx context.Context, env Env, f benchUsageFlags) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	b := &usageBench{env: env, f: f}
	parts := []struct {
		name string
		do   func(context.Context) error
	}{{"rules", b.rules}, {"sweep", b.sweep}, {"memory", b.memory}, {"csv", b.csv}, {"ber", b.ber}, {"snapshot", b.snapshot}}
	ran := 0
	for _, p := range parts {
		if len(f.only) > 0 && !slices.Contains(f.only, p.name) {
			continue
		}
		ran++
		had, was, began := len(b.figures), spent(), time.Now()
		if err := p.do(ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
		fmt.Fprintf(env.Stderr, "ringwall: %s measured in %v, %.1f CPU-s\n", p.name, time.Since(began).Round(100*time.Millisecond), (spent().cpu - was.cpu).Seconds())
		if err := printFigures(env.Stderr, b.figures[had:]); err != nil {
			return err
		}
		runtime.GC()
	}
	if ran == 0 {
		return usagef("--only %v names none of rules, sweep, memory, csv, ber, snapshot", f.only)
	}
	if f.json {
		e := json.NewEncoder(env.Stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(b.figures); err != nil {
			return err
		}
	} else if err := printFigures(env.Stdout, b.figures); err != nil {
		return err
	}
	for _, x := range b.figures {
		if !x.good() {
			return errFound
		}
	}
	return nil
}

// usageBench gathers figures.
type usageBench struct {
	env     Env
	f       benchUsageFlags
	figures []usageFigure
}

func printFigures(out io.Writer, list []usageFigure) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "what\tbest\tmedian\tunit\tbar\tnote")
	for _, f := range list {
		bar := ""
		if f.Bar != 0 {
			sign, state := "≥", "held"
			if f.AtMost {
				sign = "≤"
			}
			if !f.good() {
				state = "MISSED"
			}
			bar = fmt.Sprintf("%s %g %s", sign, f.Bar, state)
		}
		fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%s\t%s\t%s\n", f.Name, f.Best, f.Median, f.Unit, bar, f.Note)
	}
	return w.Flush()
}

// rules: random records of many cards, judged by all rules, and what memory
// allows in the same minute.
func (b *usageBench) rules(ctx context.Context) error {
	for _, cards := range b.f.sizes {
		fig, err := limit(cards, b.f.rounds)
		if err != nil {
			return err
		}
		fig.Note = "a random line is fetched and changed, nothing is judged"
		b.figures = append(b.figures, fig)
	}
	for _, x := range []struct {
		name   string
		blocks bool
		ids    bool
		every  time.Duration
		bar    float64
	}{
		{"one range", false, false, time.Hour, 40}, {"one range, five minutes", false, false, 5 * time.Minute, 40}, {"blocks of 10,000", true, false, time.Hour, 30}, {"blocks, five minutes", true, false, 5 * time.Minute, 30},
		{"blocks, ids remembered", true, true, time.Hour, 0},
	} {
		for _, cards := range b.f.sizes {
			duplicates := -1
			if x.ids {
				duplicates = 0
			}
			s, err := newSpeed(cards, x.blocks, duplicates)
			if err != nil {
				return err
			}
			s.pace(x.every)
			var values []float64
			for i := range b.f.rounds + 1 {
				if err := ctx.Err(); err != nil {
					return errors.Join(err, s.engine.Close())
				}
				v, err := s.round(x.ids)
				if err != nil {
					return errors.Join(err, s.engine.Close())
				}
				if i > 0 { // the first warms up
					values = append(values, v)
				}
			}
			fig := rounds(fmt.Sprintf("rules, %s, %s cards", x.name, millions(cards)), "M records/s/core", x.bar, values)
			fig.Note = fmt.Sprintf("%d rules, all on; random cards, a record of each every %v", len(rules.All()), x.every)
			b.figures = append(b.figures, fig)
			if err := s.engine.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

func millions(n int) string {
	if n%1_000_000 == 0 {
		return fmt.Sprintf("%d M", n/1_000_000)
	}
	return fmt.Sprintf("%g M", float64(n)/1e6)
}

// sweep: every card once.
func (b *usageBench) sweep(ctx context.Context) error {
	cards := slices.Max(b.f.sizes)
	s, err := newSpeed(cards, true, -1)
	if err != nil {
		return err
	}
	defer s.engine.Close() // it only read
	var values []float64
	for range b.f.rounds {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, away := 0, 0
		from := threadTime()
		s.engine.Sweep(func(l *rules.Line, _ *rules.Side) bool {
			n++
			if l.Away() {
				away++
			}
			return true
		})
		took := threadTime() - from
		if n != cards || away != 0 {
			return ringwall.Errorf(ringwall.Internal, "a sweep of %d cards saw %d, %d of them in other equipment", cards, n, away)
		}
		values = append(values, float64(n)/took.Seconds()/1e6)
	}
	fig := rounds("sweep of "+millions(cards)+" cards", "M cards/s/core", 100, values)
	fig.Note = fmt.Sprintf("900 M cards: %.1f s", 900/fig.Best)
	b.figures = append(b.figures, fig)
	return nil
}

// snapshot: to a file and back, at two sizes, for the slope.
func (b *usageBench) snapshot(ctx context.Context) error {
	type took struct{ write, read, cards, bytes float64 }
	var all []took
	big := slices.Max(b.f.sizes)
	for _, cards := range []int{big / 4, big} {
		if err := ctx.Err(); err != nil {
			return err
		}
		t, err := snapshotOnce(cards, b.f.dir)
		if err != nil {
			return err
		}
		all = append(all, took{t[0], t[1], float64(cards), t[2]})
	}
	write, read := perCard(all[0].cards, all[0].write, all[1].cards, all[1].write), perCard(all[0].cards, all[0].read, all[1].cards, all[1].read)
	note := fmt.Sprintf("slope from %s to %s cards, one worker", millions(int(all[0].cards)), millions(int(all[1].cards)))
	b.figures = append(b.figures,
		usageFigure{Name: "snapshot of " + millions(big) + " cards, fsynced", Best: all[1].write, Median: all[1].write, Unit: "s", Note: fmt.Sprintf("%.1f bytes a card", all[1].bytes/all[1].cards)},
		usageFigure{Name: "restore of " + millions(big) + " cards", Best: all[1].read, Median: all[1].read, Unit: "s"},
		usageFigure{Name: "snapshot, extrapolated to 900 M cards", Best: write * 900e6, Median: write * 900e6, Unit: "s", Note: note},
		usageFigure{Name: "restore, extrapolated to 900 M cards", Best: read * 900e6, Median: read * 900e6, Unit: "s", Bar: 120, AtMost: true, Note: note},
	)
	return nil
}

// perCard is the slope of seconds by cards: what is the same for few cards is not
// multiplied. Where there is none, since both took next to nothing, all that the
// larger one took counts as if it were by card: more than the truth, never less.
func perCard(few, short, many, long float64) float64 {
	if slope := (long - short) / (many - few); slope > 0 && few < many {
		return slope
	}
	return long / many
}

// snapshotOnce gives seconds of writing, seconds of reading and bytes.
func snapshotOnce(cards int, dir string) (out [3]float64, err error) {
	s, err := newSpeed(cards, true, 0)
	if err != nil {
		return out, err
	}
	if _, err := s.round(true); err != nil {
		return out, errors.Join(err, s.engine.Close())
	}
	want := s.engine.Hash()
	f, err := os.CreateTemp(dir, "ringwall-snapshot-*")
	if err != nil {
		return out, errors.Join(err, s.engine.Close())
	}
	defer os.Remove(f.Name())
	defer f.Close()
	began := time.Now()
	if err := errors.Join(s.engine.Snapshot(f, []byte("position")), f.Sync()); err != nil {
		return out, errors.Join(err, s.engine.Close())
	}
	out[0] = time.Since(began).Seconds()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return out, err
	}
	out[2] = float64(size)
	book := s.engine.Book()
	if err := s.engine.Close(); err != nil {
		return out, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return out, err
	}
	e := usage.New(usage.Config{Key: []byte("ringwall bench usage"), Book: book})
	defer e.Close()
	began = time.Now()
	if _, err := e.Restore(f); err != nil {
		return out, err
	}
	out[1] = time.Since(began).Seconds()
	if e.Hash() != want {
		return out, ringwall.Errorf(ringwall.Internal, "what was restored is not what was written")
	}
	return out, nil
}
