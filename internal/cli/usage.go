package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/cdr/cdrfile"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/cross"
	"github.com/ringwall/ringwall/internal/usage/quarantine"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// newUsage makes "ringwall usage": the rules about SIM cards over usage
// records, with no server.
func newUsage(env Env) *cobra.Command {
	u := &usageRun{env: env}
	c := &cobra.Command{
		Use:   "usage FILE...",
		Short: "Find misuse of SIM cards in usage records",
		Long: `Usage judges usage records (charging records) and tells one alert a line, with
the number of the record it stands on.

A FILE is CSV, records of 3GPP TS 32.298 as they are or framed by TS 32.297, or
TAP 3.12, each plain or gzipped: which, is found out. The first line of CSV names
the columns id, time, imsi, imei, service, direction, peer, apn, up, down, area,
cell, duration, plmn and flags, in any order; time, imsi and service must be
there. --mapping names a JSON file for CSV that is written otherwise. "-" is
standard input. Files are read in the order in which they are given; a record
whose id came before is judged once.

--cards names a CSV file of the cards and their allowed uses, with the columns
sim, imsi, imei, services, peers, settings, life and since; services and peers
are separated by blanks. Records of other cards are counted. Without it every
card is bound to the first equipment it is seen in, and may do anything else.
--settings names a JSON file of settings, exceptions and pools of equipment, and
--areas one of places and their risks, CSV or JSON.

--quarantine keeps records that cannot be read, to be made good and fed again.
--snapshot names a directory: what is known of the cards is kept there, every
5 minutes and at the end, and the next run goes on from there. It needs --key,
and holds numbers of cards: keep it as you keep usage records.
--dry-run names other settings; then no alert is told, but what would change.

Alerts name a card by its id, never by its IMSI. Ids are derived from the IMSI;
with --key, a file that holds a secret, nobody else can derive them.

The status is 1 when there is an alert or a record that cannot be read.`,
		Example: `  ringwall usage --cards cards.csv usage-*.csv
  zcat usage.csv.gz | ringwall usage --json -
  ringwall usage --key secret --snapshot state --quarantine bad.jsonl CDR/*.dat
  ringwall usage --cards cards.csv --settings now.json --dry-run next.json usage-*.csv`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs a file; see %q", c.CommandPath(), c.CommandPath()+" --help")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return u.run(c.Context(), args) },
	}
	f := c.Flags()
	f.BoolVar(&u.json, "json", false, "one JSON object a line")
	f.StringVar(&u.cards, "cards", "", "the cards and their allowed uses, CSV")
	f.StringVar(&u.settings, "settings", "", "settings, exceptions and pools of equipment, JSON")
	f.StringVar(&u.areas, "areas", "", "places and their risks, CSV or JSON")
	f.StringVar(&u.mappingFile, "mapping", "", "how CSV is written, JSON")
	f.StringVar(&u.key, "key", "", "file with a secret of at least 16 bytes from which ids are derived")
	f.StringVar(&u.quarantine, "quarantine", "", "file that keeps records that cannot be read")
	f.StringVar(&u.snapshot, "snapshot", "", "directory that keeps what is known of the cards")
	f.StringVar(&u.dryRun, "dry-run", "", "other settings, JSON: tell what they would change")
	f.IntVar(&u.workers, "workers", 0, "engines that judge at once; 0 = those of the snapshot, else 1")
	f.IntVar(&u.duplicates, "duplicates", 16<<20, "record ids that are remembered")
	f.IntVar(&u.most, "max-cards", 100_000_000, "cards that are judged without --cards; others are counted")
	f.StringToStringVar(&u.columns, "column", nil, "names of columns in the files where they differ, such as time=START_TIME,imsi=SERVED_IMSI")
	c.AddCommand(newUsageGenerate(env))
	return c
}

type usageRun struct {
	env                                                            Env
	json                                                           bool
	cards, key, settings, areas, mappingFile, quarantine, snapshot string
	dryRun                                                         string
	workers, duplicates, most                                      int
	columns                                                        map[string]string

	secret  []byte
	keys    *cdr.Keys
	mapping cdr.Mapping
	book    *rules.Book
	places  *rules.Areas
	list    []usage.Card

	out    *bufio.Writer
	bad    *usageBad
	alerts int
	many   bool // more than one file: alerts name theirs
}

func (u *usageRun) run(ctx context.Context, files []string) (err error) {
	if err := u.prepare(); err != nil {
		return err
	}
	if u.bad, err = newUsageBad(u.env, u.quarantine); err != nil {
		return err
	}
	src := &usageFiles{names: files, open: u.open}
	u.many, u.out = len(files) > 1, bufio.NewWriter(u.env.Stdout)
	began := time.Now()
	var stats usage.Stats
	var memory usage.Memory
	if u.dryRun != "" {
		err = u.try(ctx, src)
	} else {
		stats, memory, err = u.judge(ctx, src)
	}
	for _, e := range []error{src.close(), u.bad.close(), u.out.Flush()} {
		if err == nil && e != nil {
			err = ringwall.Errorf(ringwall.Unavailable, "ending: %w", e)
		}
	}
	if err != nil {
		return err
	}
	if u.dryRun == "" {
		u.summary(stats, memory, time.Since(began))
	}
	switch {
	case u.bad.n > 0:
		return ringwall.Errorf(ringwall.Invalid, "%d lines could not be read, and are not judged", u.bad.n)
	case u.alerts > 0:
		return errFound
	}
	return nil
}

// prepare reads all that is needed beside the records.
func (u *usageRun) prepare() (err error) {
	if u.secret, err = readKey(u.key); err != nil {
		return err
	}
	if u.snapshot != "" && len(u.secret) == 0 {
		return usagef("--snapshot needs --key: a snapshot names no card to others")
	}
	u.keys = usage.KeysOf(u.secret)
	if u.mappingFile != "" {
		text, err := os.ReadFile(u.mappingFile)
		if err != nil {
			return openError(u.mappingFile, err)
		}
		if u.mapping, err = cdr.ParseMapping(text); err != nil {
			return err
		}
	}
	if len(u.columns) > 0 {
		if u.mapping.Names == nil {
			u.mapping.Names = map[string]string{}
		}
		maps.Copy(u.mapping.Names, u.columns)
	}
	if u.book, err = u.readBook(u.settings); err != nil {
		return err
	}
	if u.areas != "" {
		f, err := openInput(u.areas)
		if err != nil {
			return err
		}
		defer f.Close() // it was only read
		if u.places, err = rules.ReadAreas(f, u.keys); err != nil {
			return err
		}
	}
	if u.cards == "" {
		return nil
	}
	f, err := openInput(u.cards)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	u.list, err = usage.ReadCards(f, u.secret)
	return err
}

// readBook reads settings; without a file they are the defaults.
func (u *usageRun) readBook(name string) (*rules.Book, error) {
	var spec rules.BookSpec
	if name != "" {
		f, err := openInput(name)
		if err != nil {
			return nil, err
		}
		defer f.Close() // it was only read
		d := json.NewDecoder(f)
		d.DisallowUnknownFields()
		if err := d.Decode(&spec); err != nil {
			return nil, ringwall.Errorf(ringwall.Invalid, "%s: no settings in JSON: %v", name, err)
		}
	}
	b, err := rules.NewBook(spec, u.keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// open opens a file of records.
func (u *usageRun) open(name string, from []byte) (*cdrfile.File, error) {
	c := cdrfile.Config{Keys: u.keys, Mapping: u.mapping, From: from}
	var f *cdrfile.File
	c.Bad = func(b cdr.Bad) { u.bad.add(name, f, b) }
	var err error
	if name == "-" {
		c.Name = "standard input"
		f, err = cdrfile.New(struct{ io.Reader }{u.env.Stdin}, c) // which may be a file, and cannot be gone back in
	} else {
		f, err = cdrfile.Open(name, c)
	}
	switch {
	case err == io.EOF:
		return nil, ringwall.Errorf(ringwall.Invalid, "%s is empty: not even its columns are named", name)
	case ringwall.CodeOf(err) == ringwall.NotFound:
		return nil, ringwall.Errorf(ringwall.NotFound, "there is no file %q", name)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// judge judges all files.
func (u *usageRun) judge(ctx context.Context, src *usageFiles) (stats usage.Stats, m usage.Memory, err error) {
	var keep *usage.Keep
	if u.snapshot != "" {
		if slices.Contains(src.names, "-") {
			return stats, m, usagef("standard input cannot be gone on with: --snapshot needs files")
		}
		if keep, err = usage.OpenKeep(u.snapshot, nil); err != nil {
			return stats, m, err
		}
		if u.workers == 0 {
			u.workers = keep.Parts()
		}
	}
	set := usage.NewSet(usage.SetConfig{
		Workers: max(u.workers, 1), Emit: u.emit, Cross: &cross.Config{},
		Engine: usage.Config{Key: u.secret, Keys: u.keys, Book: u.book, Areas: u.places, Adopt: u.cards == "", MaxAdopted: u.most, Duplicates: u.duplicates, NoTotals: true, Now: u.env.Now},
	})
	defer func() {
		if cerr := set.Close(); err == nil {
			err = cerr
		}
	}()
	if err := set.SetCards(u.list); err != nil {
		return stats, m, err
	}
	if keep != nil {
		if err := u.restore(keep, set, src); err != nil {
			return stats, m, err
		}
	}
	before := set.Stats()
	err = usage.Run(ctx, usage.RunConfig{Set: set, Source: src, Keep: keep, Durable: u.durable, Saved: func(s *usage.Saving) {
		if err := s.Err(); err != nil {
			fmt.Fprintf(u.env.Stderr, "ringwall: %v; those before are still there\n", err)
		}
	}})
	return since(set.Stats(), before), set.Memory(), err
}

// since is what was counted after before.
func since(s, before usage.Stats) usage.Stats {
	s.Records, s.Unknown, s.Duplicate = s.Records-before.Records, s.Unknown-before.Unknown, s.Duplicate-before.Duplicate
	s.Late, s.Future, s.Alerts = s.Late-before.Late, s.Future-before.Future, s.Alerts-before.Alerts
	for i := range s.Said {
		s.Said[i] -= before.Said[i]
	}
	return s
}

func (u *usageRun) restore(keep *usage.Keep, set *usage.Set, src *usageFiles) error {
	r, err := keep.Restore(set)
	for _, p := range r.Passed {
		fmt.Fprintf(u.env.Stderr, "ringwall: %v; the one before is used\n", p)
	}
	if err != nil || r.Position == nil {
		return err
	}
	fmt.Fprintf(u.env.Stderr, "ringwall: goes on after %d records, from a snapshot of %s\n", r.Records, r.Time.Format(time.RFC3339))
	return src.goOn(r.Position)
}

// emit tells the alerts of a batch.
func (u *usageRun) emit(p *usage.Parcel, alerts []ringwall.Alert) error {
	for _, a := range alerts {
		u.alerts++
		if name, ok := p.Tag.(string); ok && u.many {
			a.Evidence.Facts["file"] = name
		}
		if err := u.tell(a); err != nil {
			return ringwall.Errorf(ringwall.Unavailable, "writing an alert: %w", err)
		}
	}
	if err := u.out.Flush(); err != nil {
		return ringwall.Errorf(ringwall.Unavailable, "writing an alert: %w", err)
	}
	return nil
}

// durable syncs the alerts, when they go to a file.
func (u *usageRun) durable() error {
	f, ok := u.env.Stdout.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil // who reads at the other end keeps them, or not
	}
	return f.Sync()
}

// tell writes one alert.
func (u *usageRun) tell(a ringwall.Alert) error {
	if u.json {
		return json.NewEncoder(u.out).Encode(a)
	}
	_, err := fmt.Fprintf(u.out, "%s %-8s %-9s %-20s %s  %s%s\n",
		a.Time.Format("2006-01-02T15:04:05.000Z07:00"), a.Severity, a.Nature, a.Rule, a.Subject.ID, a.Title, usageBasis(a))
	return err
}

// usageBasis says what an alert stands on.
func usageBasis(a ringwall.Alert) string {
	var parts []string
	if f := a.Evidence.Facts["file"]; f != "" {
		parts = append(parts, f)
	}
	for _, n := range a.Evidence.Records {
		parts = append(parts, "line "+strconv.FormatUint(n, 10))
	}
	known := map[string]bool{"file": true, "kind": true, "boundTac": true, "seenTac": true}
	for _, k := range [...][2]string{
		{"seenImei", "seen in"}, {"boundImei", "bound to"}, {"binding", "binding"}, {"service", "service"}, {"direction", "direction"}, {"number", "number"}, {"peer", "peer"},
	} {
		known[k[0]] = true
		if v := a.Evidence.Facts[k[0]]; v != "" {
			parts = append(parts, k[1]+" "+v)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(a.Evidence.Facts)) {
		if v := a.Evidence.Facts[k]; v != "" && !known[k] {
			parts = append(parts, k+" "+v)
		}
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// summary tells how much was judged, and how fast.
func (u *usageRun) summary(s usage.Stats, m usage.Memory, took time.Duration) {
	fmt.Fprintf(u.env.Stderr, "ringwall: %d records of %d cards judged, %d alerts; %d of unknown cards, %d duplicate, %d late, %d from the future\n",
		s.Records-s.Unknown-s.Duplicate, s.Cards, u.alerts, s.Unknown, s.Duplicate, s.Late, s.Future)
	by := s.ByRule()
	var rules []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		rules = append(rules, fmt.Sprintf("%s %d", name, by[name]))
	}
	if len(rules) > 0 {
		fmt.Fprintf(u.env.Stderr, "ringwall: by rule: %s\n", strings.Join(rules, ", "))
	}
	if sec := took.Seconds(); s.Records >= 100_000 {
		fmt.Fprintf(u.env.Stderr, "ringwall: %.1f s, %.2f million records a second; %.0f bytes a card and %.1f beside, %.1f MiB for what many cards do at once\n",
			sec, float64(s.Records)/sec/1e6, m.PerCard, m.SidePerCard, float64(m.Across)/(1<<20))
	}
}

// readKey reads a secret, at least as long as cannot be guessed.
func readKey(name string) ([]byte, error) {
	if name == "" {
		return nil, nil
	}
	f, err := openInput(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	key, err := io.ReadAll(io.LimitReader(f, 4097))
	if err != nil {
		return nil, ringwall.Errorf(ringwall.Unavailable, "reading the key: %w", err)
	}
	if len(key) < 16 || len(key) > 4096 {
		return nil, ringwall.Errorf(ringwall.Invalid, "the key in %q is not 16 to 4096 bytes long", name)
	}
	return key, nil
}

func openInput(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, openError(name, err)
	}
	return f, nil
}

func openError(name string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return ringwall.Errorf(ringwall.NotFound, "there is no file %q", name)
	}
	return ringwall.Errorf(ringwall.Unavailable, "opening %q: %w", name, err)
}

// usageBad deals with records that cannot be read: the first are told one by
// one, all are counted and, when there is a quarantine, kept.
type usageBad struct {
	env  Env
	file *quarantine.File
	n    int
}

// shownBad is how many records that cannot be read are told of one by one.
const shownBad = 10

func newUsageBad(env Env, name string) (*usageBad, error) {
	b := &usageBad{env: env}
	if name == "" {
		return b, nil
	}
	var err error
	b.file, err = quarantine.Open(name, quarantine.Config{Now: env.Now})
	return b, err
}

func (b *usageBad) add(name string, f *cdrfile.File, bad cdr.Bad) {
	if b.n++; b.n <= shownBad {
		fmt.Fprintf(b.env.Stderr, "ringwall: %s: line %d: %s\n", name, bad.Line, bad.Reason)
	}
	if b.file != nil && f != nil {
		b.file.Add(f.Format().String(), f.Head(), bad)
	}
}

func (b *usageBad) close() error {
	if b.file == nil {
		return nil
	}
	err := b.file.Close()
	if c := b.file.Counts(); b.n > 0 {
		fmt.Fprintf(b.env.Stderr, "ringwall: %d records are in quarantine, %d found no room there\n", c.Kept, c.Dropped)
	}
	return err
}
