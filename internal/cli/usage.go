package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
)

// newUsage makes "ringwall usage": the rules about SIM cards over usage
// records, with no server.
func newUsage(env Env) *cobra.Command {
	u := &usageRun{env: env}
	c := &cobra.Command{
		Use:   "usage FILE...",
		Short: "Find misuse of SIM cards in usage records",
		Long: `Usage judges usage records (charging records) and tells one alert a line, with
the number of the line it stands on.

A FILE is CSV whose first line names the columns id, time, imsi, imei, service,
direction, peer, apn, up, down, area, cell and duration, in any order; time, imsi
and service must be there. "-" is standard input. Files are read in the order in
which they are given; a record whose id came before is judged once.

--cards names a CSV file of the cards and their allowed uses, with the columns
sim, imsi, imei, services and peers; services and peers are separated by blanks.
Records of other cards are counted. Without it every card is bound to the first
equipment it is seen in, and may do anything else.

Alerts name a card by its id, never by its IMSI. Ids are derived from the IMSI;
with --key, a file that holds a secret, nobody else can derive them.

The status is 1 when there is an alert or a line that cannot be read.`,
		Example: "  ringwall usage --cards cards.csv usage-*.csv\n  zcat usage.csv.gz | ringwall usage --json -",
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
	f.StringVar(&u.key, "key", "", "file with a secret of at least 16 bytes from which ids are derived")
	f.StringToStringVar(&u.columns, "column", nil, "names of columns in the files where they differ, such as time=START_TIME,imsi=SERVED_IMSI")
	c.AddCommand(newUsageGenerate(env))
	return c
}

type usageRun struct {
	env        Env
	json       bool
	cards, key string
	columns    map[string]string

	engine *usage.Engine
	alerts int
	bad    int
	many   bool // more than one file: alerts name theirs
}

// shownBad is how many lines that cannot be read are told of one by one.
const shownBad = 10

func (u *usageRun) run(ctx context.Context, files []string) error {
	key, err := readKey(u.key)
	if err != nil {
		return err
	}
	u.engine = usage.New(usage.Config{Key: key, Adopt: u.cards == "", Now: u.env.Now})
	if u.cards != "" {
		if err := u.setCards(key); err != nil {
			return err
		}
	}
	u.many = len(files) > 1
	for _, name := range files {
		if err := u.file(ctx, name); err != nil {
			return err
		}
	}
	s := u.engine.Stats()
	fmt.Fprintf(u.env.Stderr, "ringwall: %d records of %d cards judged, %d alerts; %d of unknown cards, %d duplicate, %d late, %d from the future\n",
		s.Records-s.Unknown-s.Duplicate, s.Cards, u.alerts, s.Unknown, s.Duplicate, s.Late, s.Future)
	switch {
	case u.bad > 0:
		return ringwall.Errorf(ringwall.Invalid, "%d lines could not be read, and are not judged", u.bad)
	case u.alerts > 0:
		return errFound
	}
	return nil
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
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, ringwall.Errorf(ringwall.NotFound, "there is no file %q", name)
	case err != nil:
		return nil, ringwall.Errorf(ringwall.Unavailable, "opening %q: %w", name, err)
	}
	return f, nil
}

func (u *usageRun) setCards(key []byte) error {
	f, err := openInput(u.cards)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	cards, err := usage.ReadCards(f, key)
	if err != nil {
		return err
	}
	for _, c := range cards {
		if err := u.engine.SetCard(c); err != nil {
			return err
		}
	}
	return nil
}

// file judges one file.
func (u *usageRun) file(ctx context.Context, name string) error {
	in := u.env.Stdin
	if name != "-" {
		f, err := openInput(name)
		if err != nil {
			return err
		}
		defer f.Close() // it was only read
		in = f
	}
	r, err := cdr.NewReader(in, cdr.Mapping{Names: u.columns})
	switch {
	case err == io.EOF:
		return ringwall.Errorf(ringwall.Invalid, "%s is empty: not even its columns are named", name)
	case err != nil:
		return u.readError(name, err)
	}
	var rec cdr.Record
	for ctx.Err() == nil {
		err := r.Read(&rec)
		if err == io.EOF {
			return nil
		}
		if line, ok := errors.AsType[*cdr.LineError](err); ok {
			if u.bad++; u.bad <= shownBad {
				fmt.Fprintf(u.env.Stderr, "ringwall: %s: line %d: %v\n", name, line.Line, line.Err)
			}
			continue
		}
		if err != nil {
			return u.readError(name, err)
		}
		for _, a := range u.engine.Record(&rec).Alerts {
			if err := u.tell(name, a); err != nil {
				return ringwall.Errorf(ringwall.Unavailable, "writing an alert: %w", err)
			}
		}
	}
	return ctx.Err()
}

func (u *usageRun) readError(name string, err error) error {
	if line, ok := errors.AsType[*cdr.LineError](err); ok {
		return ringwall.Errorf(ringwall.Invalid, "%s: line %d: %v", name, line.Line, line.Err)
	}
	return ringwall.Errorf(ringwall.Unavailable, "reading %q: %w", name, err)
}

// tell writes one alert.
func (u *usageRun) tell(file string, a ringwall.Alert) error {
	u.alerts++
	if u.many {
		a.Evidence.Facts["file"] = file
	}
	if u.json {
		return json.NewEncoder(u.env.Stdout).Encode(a)
	}
	_, err := fmt.Fprintf(u.env.Stdout, "%s %-8s %-9s %-20s %s  %s%s\n",
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
	for _, k := range [...][2]string{
		{"seenImei", "seen in"}, {"boundImei", "bound to"}, {"binding", "binding"}, {"service", "service"}, {"direction", "direction"}, {"number", "number"}, {"peer", "peer"},
	} {
		if v := a.Evidence.Facts[k[0]]; v != "" {
			parts = append(parts, k[1]+" "+v)
		}
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
