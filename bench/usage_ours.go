package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"unsafe"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/rules"
	"github.com/ringwall/ringwall/internal/usage/store"
)

// parts are what this program runs as processes of their own.
var parts = map[string]func(dir, out string) error{
	"usage-ours":   judge,
	"usage-duckdb": duck,
}

func judged(ctx context.Context, dir, out string) (cost, error) {
	s, err := self(ctx, "usage-ours", dir, out)
	s.Name = "Ringwall"
	return s, err
}

// judge reads what is known, then judges the records as they are read.
func judge(dir, out string) error {
	var d dataset
	b, err := os.ReadFile(filepath.Join(dir, "dataset.json"))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return err
	}
	w, err := d.world()
	if err != nil {
		return err
	}
	keys := w.Config().Keys
	areas, _, err := places(w)
	if err != nil {
		return err
	}
	bk, err := rules.NewBook(book(w), keys)
	if err != nil {
		return err
	}
	env := rules.Env{Book: bk, Areas: areas, Side: rules.NewSide(0)}
	lines := store.New(store.Config{})
	defer lines.Close()
	if err := readCards(filepath.Join(dir, "cards.csv"), lines, &env); err != nil {
		return err
	}
	load := cpu()

	in, err := os.Open(filepath.Join(dir, "records.csv"))
	if err != nil {
		return err
	}
	defer in.Close()
	src, err := cdr.NewCSV(in, keys, cdr.CSVConfig{})
	if err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	answers := bufio.NewWriter(f)
	if err := step(src, lines, bk, &env, answers); err != nil {
		return err
	}
	if err := errors.Join(answers.Flush(), f.Close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(cost{Load: load})
}

func step(src cdr.Source, lines *store.Table, bk *rules.Book, env *rules.Env, answers *bufio.Writer) error {
	var b cdr.Batch
	var cards store.Cards
	var at store.Places
	seen := store.NewSeen(1 << 20)
	for {
		err := src.Next(context.Background(), &b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for from := 0; from < len(b.Events); from += store.Width {
			few := b.Events[from:min(from+store.Width, len(b.Events))]
			for i := range few {
				cards[i] = few[i].Card
			}
			lines.Find(&cards, len(few), &at)
			for i := range few {
				e := &few[i]
				if at[i] == store.None {
					return fmt.Errorf("record %d is of a card that nobody has", b.Lines[from+i])
				}
				if !seen.Add(e.ID) {
					continue
				}
				l := line(lines, at[i])
				f := rules.Step(l, bk.Settings(l.Settings()), e, env)
				if f&rules.Speaks == 0 {
					continue
				}
				for st := range f.All() {
					fmt.Fprintf(answers, "%s,%s,%d\n", cdr.IMSIOf(e.Card), st.Rule, e.Sec/86400)
				}
			}
		}
	}
}

// line is a line of the store as rules see it: both are 64 bytes, the card first.
func line(t *store.Table, at uint32) *rules.Line { return (*rules.Line)(unsafe.Pointer(t.Line(at))) }

// readCards reads the cards as the peers have them.
func readCards(name string, lines *store.Table, env *rules.Env) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReaderSize(f, 1<<20))
	r.ReuseRecord = true
	for {
		c, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := lines.Put(cdr.CardKey(c[0]))
		if err != nil {
			return err
		}
		settings, err := strconv.ParseUint(c[2], 10, 32)
		if err != nil {
			return err
		}
		l := line(lines, n)
		l.SetSettings(uint32(settings))
		if c[1] != "" {
			l.Bind(cdr.EquipmentKey(c[1]), env.Side)
		}
		if c[3] != "" {
			since, err := strconv.ParseUint(c[3], 10, 32)
			if err != nil {
				return err
			}
			l.SetLife(rules.LifeSuspended, uint32(since), env.Side)
		}
	}
}
