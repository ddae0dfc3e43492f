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
	"strings"
	"time"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage"
	"github.com/ringwall/ringwall/internal/usage/rules"
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
	e := usage.New(usage.Config{Key: []byte("a key of sixteen"), Keys: keys, Book: bk, Areas: areas, NoTotals: true})
	defer e.Close()
	for _, cu := range w.Customers() {
		if err := e.Announce(usage.Range{First: ringwall.IMSI(cdr.IMSIOf(w.FirstNumber(cu))), N: cu.Cards, Settings: cu.Settings()}); err != nil {
			return err
		}
	}
	if err := readCards(filepath.Join(dir, "cards.csv"), e); err != nil {
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
	var batch cdr.Batch
	for {
		err := src.Next(context.Background(), &batch)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		e.Batch(&batch, func(a ringwall.Alert) {
			fmt.Fprintf(answers, "%s,%s,%d\n", strings.TrimPrefix(a.Subject.ID, cardPrefix), a.Rule, a.Time.Unix()/86400)
		})
	}
	st := e.Stats()
	if want := uint64(d.Records); st.Records != want || st.Unknown != 0 || st.Duplicate != 0 || st.Late != 0 {
		return fmt.Errorf("of %d records: %+v", want, st)
	}
	if err := errors.Join(answers.Flush(), f.Close()); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(cost{Load: load})
}

// cardPrefix makes an id of a card's number: the comparison needs to know whose
// alert it is.
const cardPrefix = "sim_"

// readCards reads the cards as the peers have them.
func readCards(name string, e *usage.Engine) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReaderSize(f, 1<<20))
	r.ReuseRecord = true
	for {
		l, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		imsi := strings.Clone(l[0])
		c := usage.Card{SIM: ringwall.SIMID(cardPrefix + imsi), IMSI: ringwall.IMSI(imsi), IMEI: ringwall.IMEI(strings.Clone(l[1])), Life: rules.LifeActive}
		settings, err := strconv.ParseUint(l[2], 10, 32)
		if err != nil {
			return err
		}
		c.Settings = uint32(settings)
		if l[3] != "" {
			since, err := strconv.ParseInt(l[3], 10, 64)
			if err != nil {
				return err
			}
			c.Life, c.Since = rules.LifeSuspended, time.Unix(since, 0)
		}
		if err := e.SetCard(c); err != nil {
			return err
		}
	}
}
