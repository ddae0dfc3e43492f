package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ringwall/ringwall/cdr"
	"github.com/ringwall/ringwall/internal/usage/gen"
	"github.com/ringwall/ringwall/internal/usage/rules"
)

// What everybody is given: one file of records and tables of what is known. The
// rules are those that can be said in SQL; what rules have learned is in tables.
//
// The records are in the order of their times and no card has two in one second:
// what a rule says of late records, and of two at once, is a matter of how the
// engine works, and SQL has no say in it. Nothing is in the file twice.

// dataset says which records; it is stored beside them, so that a directory can be
// used again.
type dataset struct {
	Version int    `json:"version"`
	Records int    `json:"records"`
	Cards   int    `json:"cards"`
	Seed    uint64 `json:"seed"`
	Days    int    `json:"days"`
}

const datasetVersion = 4

// Limits of rules, the same for everybody.
const (
	quietDays    = 2  // of silence, of those that report every day
	movedKM      = 30 // from home
	travelKMH    = 1000
	travelSlack  = 50
	messagesHour = 30
	callsHour    = 20
	minutesDay   = 240
	callMinutes  = 120
	graceMinutes = 60
)

func (d dataset) world() (*gen.World, error) {
	return gen.New(gen.Config{Seed: d.Seed, Cards: d.Cards, Days: d.Days, Plain: true, Misuse: max(1, min(200, d.Cards/500))})
}

// prepare makes the data in dir, unless they are there.
func (d dataset) prepare(ctx context.Context, dir string) error {
	meta := filepath.Join(dir, "dataset.json")
	if b, err := os.ReadFile(meta); err == nil {
		var there dataset
		if json.Unmarshal(b, &there) == nil && there == d {
			return nil
		}
		return fmt.Errorf("%s holds other data: %s", dir, b)
	}
	w, err := d.world()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := d.tables(dir, w); err != nil {
		return err
	}
	if err := d.records(ctx, dir, w); err != nil {
		return err
	}
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return os.WriteFile(meta, b, 0o644)
}

// records writes records.csv: what the world makes, by time, without ties.
func (d dataset) records(ctx context.Context, dir string, w *gen.World) (err error) {
	start := w.Config().Start.Unix() / 3600
	hours := make([]*os.File, d.Days*24+24)
	outs := make([]*bufio.Writer, len(hours))
	for i := range hours {
		if hours[i], err = os.CreateTemp(dir, "hour-*"); err != nil {
			return err
		}
		defer os.Remove(hours[i].Name())
		defer hours[i].Close()
		outs[i] = bufio.NewWriter(hours[i])
	}
	s := w.Source()
	var b cdr.Batch
	var buf []byte
	for {
		err := s.Next(ctx, &b)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		buf = s.AppendCSV(buf[:0])
		rest := buf
		for i := range b.Events {
			line, after, _ := bytes.Cut(rest, []byte("\n"))
			rest = after
			h := int(int64(b.Events[i].Sec)/3600-start) + 4
			if h < 0 || h >= len(outs) {
				continue
			}
			if _, err := outs[h].Write(append(line[:len(line):len(line)], '\n')); err != nil {
				return err
			}
		}
	}
	f, err := os.Create(filepath.Join(dir, "records.csv"))
	if err != nil {
		return err
	}
	defer f.Close()
	out := bufio.NewWriterSize(f, 1<<20)
	out.WriteString(gen.Header)
	n := 0
	for i := range hours {
		if err := outs[i].Flush(); err != nil {
			return err
		}
		all, err := os.ReadFile(hours[i].Name())
		if err != nil {
			return err
		}
		for _, line := range ordered(all) {
			if n == d.Records {
				break
			}
			out.Write(line)
			out.WriteByte('\n')
			n++
		}
	}
	if n < d.Records {
		return fmt.Errorf("the world has %d records, want %d: more days are needed", n, d.Records)
	}
	return errors.Join(out.Flush(), f.Close())
}

// ordered gives the lines of an hour by time; of one card and one second, the
// first.
func ordered(all []byte) [][]byte {
	type entry struct {
		at   int64
		imsi uint64
		line []byte
	}
	var list []entry
	for line := range bytes.SplitSeq(bytes.TrimSuffix(all, []byte("\n")), []byte("\n")) {
		f := bytes.SplitN(line, []byte(","), 4)
		if len(f) < 4 {
			continue
		}
		at, err1 := strconv.ParseInt(string(f[1]), 10, 64)
		imsi, err2 := strconv.ParseUint(string(f[2]), 10, 64)
		if err1 == nil && err2 == nil {
			list = append(list, entry{at, imsi, line})
		}
	}
	slices.SortStableFunc(list, func(a, b entry) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.imsi, b.imsi)) })
	out := make([][]byte, 0, len(list))
	for i, e := range list {
		if i > 0 && list[i-1].at == e.at && list[i-1].imsi == e.imsi {
			continue
		}
		out = append(out, e.line)
	}
	return out
}

// book is what our engine judges by: the world's tariffs, with the same limits as
// the tables, and nothing that learns.
func book(w *gen.World) rules.BookSpec {
	b := w.Book()
	b.Exceptions = nil
	for i := range b.Settings {
		s := &b.Settings[i]
		if i == 0 {
			continue
		}
		cu := w.Customers()[i-1]
		set := func(rule string, limits map[string]float64) {
			r := s.Rules[rule]
			r.Limits = limits
			s.Rules[rule] = r
		}
		off := s.Rules[rules.Verification]
		off.Off = true
		s.Rules[rules.Verification] = off
		set(rules.Volume, map[string]float64{"most-bytes": hourCap(cu), "learn-hours": 255})
		set(rules.Dormant, map[string]float64{"days": float64(quietOf(cu))})
		set(rules.Moved, map[string]float64{"radius-km": movedKM, "learn-days": 1, "records": 200, "moves": 250})
		set(rules.Travel, map[string]float64{"kmh": travelKMH, "session-kmh": travelKMH, "slack-km": travelSlack})
		day := dayOf(cu)
		set(rules.Burst, map[string]float64{"messages-hour": messagesHour, "messages-day": day, "calls-hour": callsHour, "calls-day": day, "minutes-day": minutesDay, "call-minutes": callMinutes})
		set(rules.Lifecycle, map[string]float64{"grace-minutes": graceMinutes})
	}
	return b
}

func hourCap(cu *gen.Customer) float64 { return float64(cu.Tariff.HourBytes) / 4 }

func quietOf(cu *gen.Customer) int {
	if cu.Kind == gen.Monthly {
		return 65
	}
	return quietDays
}

func dayOf(cu *gen.Customer) float64 {
	if cu.Tariff.DayCalls > 0 {
		return float64(cu.Tariff.DayCalls)
	}
	return 60
}

// places are where cells are; risk is left to countries.
func places(w *gen.World) (*rules.Areas, []rules.AreaLine, error) {
	list := w.Places()
	for i := range list {
		if list[i].Area != "" {
			list[i].Risk = ""
		}
	}
	a, err := rules.NewAreas(list, w.Config().Keys)
	return a, list, err
}

// tables writes what is known, a file a table.
func (d dataset) tables(dir string, w *gen.World) error {
	files := map[string]*bufio.Writer{}
	for name := range schema {
		f, err := os.Create(filepath.Join(dir, name+".csv"))
		if err != nil {
			return err
		}
		defer f.Close()
		files[name] = bufio.NewWriter(f)
	}
	put := func(table string, fields ...any) {
		for i, f := range fields {
			if i > 0 {
				files[table].WriteByte(',')
			}
			if f != nil {
				fmt.Fprint(files[table], f)
			}
		}
		files[table].WriteByte('\n')
	}
	areas, list, err := places(w)
	if err != nil {
		return err
	}
	keys := w.Config().Keys
	for _, l := range list {
		if l.Cell == "" {
			continue
		}
		var e cdr.Event
		e.PLMN = cdr.ParsePLMN(l.PLMN)
		e.Area, e.Cell = keys.PlaceKey(e.PLMN, []byte(l.Area), []byte(l.Cell))
		s := areas.Spot(&e)
		lat, lon := s.Point.Degrees()
		put("places", l.PLMN, l.Cell, lat, lon, int(s.Reach))
	}
	for _, l := range list {
		if l.Cell == "" && l.Area == "" && l.Risk != "" {
			put("risks", l.PLMN)
		}
	}
	suspended := map[uint64]int64{}
	for _, n := range w.Notices() {
		if n.Kind == "suspend" {
			suspended[n.Card] = n.From
		}
	}
	for _, cu := range w.Customers() {
		t := &cu.Tariff
		id := cu.Settings()
		has := func(s string) int {
			if slices.Contains(t.Services, s) {
				return 1
			}
			return 0
		}
		from, to := -1, -1
		if t.From != t.To {
			from, to = (t.From+16)%24, (t.To+16)%24
		}
		one := func(b bool) int {
			if b {
				return 1
			}
			return 0
		}
		put("tariffs", id, has("data"), has("sms"), has("voice"), t.APN, one(t.Peers != nil), one(t.Numbers != nil), one(t.Fixed), int64(hourCap(cu)), quietOf(cu)*86400, from, to,
			one(t.Areas != nil), t.MonthBytes, t.MonthCalls, t.MonthMessages, int(dayOf(cu)))
		for _, p := range append(slices.Clone(t.Peers), t.Numbers...) {
			put("peers", id, p)
		}
		for _, h := range append([]string{"460"}, t.Roaming...) {
			put("homes", id, h)
		}
		for _, a := range w.Book().Settings[id].Areas {
			put("areas", id, a)
		}
		if t.Pool {
			for _, p := range w.Book().Pools {
				if p.Name == cu.Name {
					for _, tac := range p.TACs {
						put("pools", id, tac)
					}
				}
			}
		}
		for n := range uint32(cu.Cards) {
			card := cu.First() + n
			key := w.FirstNumber(cu) + uint64(n)
			var bound, since any
			if t.Bound {
				bound = cdr.IMEIOf(cu.Equipment(card))
			}
			if at, ok := suspended[key]; ok {
				since = at
			}
			put("cards", cdr.IMSIOf(key), bound, id, since)
		}
	}
	for _, f := range files {
		if err := f.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// answer is what a rule said of a card on a day.
type answer struct {
	imsi, rule string
	day        int
}

func (a answer) String() string { return a.imsi + "," + a.rule + "," + strconv.Itoa(a.day) }

// readAnswers reads answers, each once, in their order.
func readAnswers(name string) ([]answer, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.FieldsPerRecord = 3
	var out []answer
	for {
		l, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		day, err := strconv.Atoi(strings.TrimSpace(l[2]))
		if err != nil {
			return nil, err
		}
		out = append(out, answer{strings.TrimSpace(l[0]), l[1], day})
	}
	slices.SortFunc(out, func(a, b answer) int {
		return cmp.Or(cmp.Compare(a.rule, b.rule), cmp.Compare(a.imsi, b.imsi), cmp.Compare(a.day, b.day))
	})
	return slices.Compact(out), nil
}
