package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/ts32298"
	"github.com/ringwall/ringwall/internal/usage/gen"
)

// usageGenerateFlags are the flags of "ringwall usage generate".
type usageGenerateFlags struct {
	world   gen.Config
	start   string
	out     string
	format  string
	perFile uint64
	records uint64
}

func newUsageGenerate(env Env) *cobra.Command {
	var f usageGenerateFlags
	c := &cobra.Command{
		Use:   "generate --out DIR",
		Short: "Make up usage records of a fleet, with what is wrong in them",
		Long: `Generate makes a world of SIM cards in cameras, meters, trackers, cars, payment
terminals and lifts, and writes the usage records that they leave, in the order in
which they would be delivered:

  records-000001.csv ...  the records; with --format ber, records of 3GPP TS 32.298
  book.json               tariffs, maintenance windows, planned swaps, pools
  cards.csv               the cards with their equipment, allowed uses and settings
  places.csv              cells and areas, and which are risky
  notices.jsonl           what else the operator was told or did
  truth.jsonl             what was wrong: card, kind, rules that must find it, by when

The same seed and numbers make the same files, and both formats tell the same. TS 32.298
has no field for the address that a session of data reaches, nor in a call's record
for a cell of LTE or NR: what rests on these is not found in it. A record's id is
there its recorder and local number, the two halves of the id in CSV.

With --out - the records alone go to standard output.`,
		Example: "  ringwall usage generate --cards 2000 --days 7 --out world\n  ringwall usage --cards world/cards.csv --settings world/book.json --areas world/places.csv world/records*\n  ringwall usage generate --cards 100000 --records 10000000 --out - | ringwall usage -",
		Args:    exactArgs(0),
		RunE:    func(c *cobra.Command, _ []string) error { return usageGenerate(c.Context(), env, f) },
	}
	fl := c.Flags()
	fl.Uint64Var(&f.world.Seed, "seed", 1, "what everything follows from")
	fl.IntVar(&f.world.Cards, "cards", 1000, "cards")
	fl.IntVar(&f.world.Days, "days", 7, "days")
	fl.IntVar(&f.world.Misuse, "misuse", 0, "cases of each kind of misuse (default: as many as the fleet has room for, up to 20)")
	fl.BoolVar(&f.world.Honest, "honest", false, "no misuse, and nothing that looks like it")
	fl.StringVar(&f.start, "start", "", "first day, such as 2026-10-01 (local time of the cards: UTC+8)")
	fl.StringVar(&f.out, "out", "", "directory to write to, which must be empty or not there; - = records to standard output")
	fl.StringVar(&f.format, "format", "csv", "csv or ber")
	fl.Uint64Var(&f.perFile, "per-file", 10_000_000, "records in a file")
	fl.Uint64Var(&f.records, "records", 0, "stop after so many records")
	return c
}

func usageGenerate(ctx context.Context, env Env, f usageGenerateFlags) error {
	if f.out == "" {
		return usagef("generate needs --out DIR")
	}
	if f.perFile == 0 {
		return usagef("--per-file 0 makes no files")
	}
	if f.format != "csv" && f.format != "ber" {
		return usagef("--format %q is neither csv nor ber", f.format)
	}
	if f.start != "" {
		day, err := time.Parse(time.DateOnly, f.start)
		if err != nil {
			return usagef("--start %q is not a day such as 2026-10-01", f.start)
		}
		f.world.Start = day
	}
	w, err := gen.New(f.world)
	if err != nil {
		return err
	}
	g := &generator{env: env, f: f, source: w.Source()}
	if f.out == "-" {
		g.out = bufio.NewWriterSize(env.Stdout, 1<<20)
		return errors.Join(g.run(ctx), g.out.Flush())
	}
	if err := emptyDir(f.out); err != nil {
		return err
	}
	for name, write := range map[string]func(io.Writer) error{
		"book.json": w.WriteBook, "cards.csv": w.WriteCards, "places.csv": w.WritePlaces, "notices.jsonl": w.WriteNotices, "truth.jsonl": w.WriteTruth,
	} {
		if err := writeNew(filepath.Join(f.out, name), write); err != nil {
			return err
		}
	}
	if err := errors.Join(g.run(ctx), g.roll()); err != nil {
		return err
	}
	n := g.source.Counts()
	wrong, unclear := 0, 0
	for _, t := range w.Truth() {
		if t.Ambiguous == "" {
			wrong++
		} else {
			unclear++
		}
	}
	fmt.Fprintf(env.Stderr, "ringwall: %d records of %d cards in %d files; %d held back, %d sent twice; %d cases of misuse, %d that nobody could tell\n",
		g.written, f.world.Cards, g.files, n.Late, n.Again, wrong, unclear)
	return nil
}

// emptyDir makes a directory, or makes sure that nothing is in it: numbers of
// cards are in these files, so that they are nobody else's.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "making %q: %w", dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "reading %q: %w", dir, err)
	}
	if len(entries) > 0 {
		return ringwall.Errorf(ringwall.Conflict, "%q is not empty", dir)
	}
	return nil
}

// writeNew writes a new file.
func writeNew(name string, write func(io.Writer) error) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "making %q: %w", name, err)
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "writing %q: %w", name, err)
	}
	return nil
}

// generator writes records into file after file.
type generator struct {
	env     Env
	f       usageGenerateFlags
	source  *gen.Source
	file    *os.File // nil = standard output, or none yet
	out     *bufio.Writer
	inFile  uint64
	written uint64
	files   int
	buf     []byte
	ber     ts32298.Appender
}

func (g *generator) run(ctx context.Context) error {
	if g.f.out == "-" && g.f.format == "csv" {
		if _, err := g.out.WriteString(gen.Header); err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "writing records: %w", err)
		}
	}
	var b cdr.Batch
	for g.f.records == 0 || g.written < g.f.records {
		err := g.source.Next(ctx, &b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if g.f.records != 0 {
			g.source.Cut(&b, g.f.records-g.written)
		}
		if g.f.out != "-" && (g.out == nil || g.inFile >= g.f.perFile) {
			if err := g.next(); err != nil {
				return err
			}
		}
		if err := g.encode(); err != nil {
			return err
		}
		if _, err := g.out.Write(g.buf); err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "writing records: %w", err)
		}
		g.inFile += uint64(len(b.Events))
		g.written += uint64(len(b.Events))
	}
	return nil
}

// encode puts the last batch into buf.
func (g *generator) encode() (err error) {
	if g.buf = g.buf[:0]; g.f.format == "csv" {
		g.buf = g.source.AppendCSV(g.buf)
		return nil
	}
	var r cdr.Record
	for i := range g.source.Len() {
		if err := g.source.Record(i, &r); err != nil {
			return err
		}
		r.ID = recorderID(r.ID)
		if g.buf, err = g.ber.Append(g.buf, &r); err != nil {
			return err
		}
	}
	return nil
}

// recorderID is the id of a record as TS 32.298 has it: the number of who wrote it
// and its own number there. Without one, two records of a card in one second would
// be taken for one that came twice.
func recorderID(id string) string {
	n, err := strconv.ParseUint(id, 16, 64)
	if err != nil {
		return id // not made by the generator
	}
	return strconv.FormatUint(n>>32, 10) + "/" + strconv.FormatUint(n&0xffffffff, 10)
}

// next begins the next file.
func (g *generator) next() error {
	if err := g.roll(); err != nil {
		return err
	}
	g.files++
	name := filepath.Join(g.f.out, fmt.Sprintf("records-%06d.%s", g.files, g.f.format))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "making %q: %w", name, err)
	}
	g.file, g.inFile = f, 0
	if g.out = bufio.NewWriterSize(f, 1<<20); g.f.format == "csv" {
		_, err = g.out.WriteString(gen.Header)
	}
	return err
}

// roll ends the file that is being written.
func (g *generator) roll() error {
	if g.file == nil {
		return nil
	}
	err := errors.Join(g.out.Flush(), g.file.Close())
	g.file, g.out = nil, nil
	if err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "writing records: %w", err)
	}
	return nil
}
