package cli

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ringwall/ringwall"
)

// told is what a run of the command line wrote.
type told struct {
	out, talk string
	status    int
}

func command(t *testing.T, in io.Reader, args ...string) told {
	t.Helper()
	var out, talk bytes.Buffer
	env := Env{Stdin: in, Stdout: &out, Stderr: &talk, Getenv: func(string) string { return "" }, Now: time.Now}
	status := Main(t.Context(), env, args)
	return told{out.String(), talk.String(), status}
}

// judgement is what "ringwall usage" said of records, apart from where they stand:
// alerts with the position of their record, and what was counted.
type judgement struct {
	alerts []string
	rules  map[string]int
	counts string
}

// sayOf runs "ringwall usage" over files, or over in. A record of CSV stands one
// line further down, behind the header.
func sayOf(t *testing.T, world string, in io.Reader, header int, files ...string) judgement {
	t.Helper()
	args := []string{"usage", "--json", "--cards", filepath.Join(world, "cards.csv"), "--settings", filepath.Join(world, "book.json"), "--areas", filepath.Join(world, "places.csv")}
	got := command(t, in, append(args, files...)...)
	if got.status != 1 {
		t.Fatalf("status %d, want alerts; %s", got.status, got.talk)
	}
	j := judgement{rules: map[string]int{}}
	for d := json.NewDecoder(strings.NewReader(got.out)); ; {
		var a ringwall.Alert
		if err := d.Decode(&a); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		j.rules[a.Rule]++
		for i := range a.Evidence.Records {
			a.Evidence.Records[i] -= uint64(header)
		}
		if f := a.Evidence.Facts["file"]; f != "" {
			base := filepath.Base(f)
			a.Evidence.Facts["file"] = strings.TrimSuffix(base, filepath.Ext(base))
		}
		b, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		j.alerts = append(j.alerts, string(b))
	}
	j.counts, _, _ = strings.Cut(got.talk, "\n")
	return j
}

func sameJudgement(t *testing.T, what string, got, want judgement) {
	t.Helper()
	if got.counts != want.counts {
		t.Errorf("%s: counted\n%s, want\n%s", what, got.counts, want.counts)
	}
	for i := range max(len(got.alerts), len(want.alerts)) {
		switch {
		case i >= len(got.alerts):
			t.Fatalf("%s: alert %d is missing: %s", what, i, want.alerts[i])
		case i >= len(want.alerts):
			t.Fatalf("%s: alert %d is one too many: %s", what, i, got.alerts[i])
		case got.alerts[i] != want.alerts[i]:
			t.Fatalf("%s: alert %d is\n%s, want\n%s", what, i, got.alerts[i], want.alerts[i])
		}
	}
}

// asBER is CSV of the generator without what records of TS 32.298 have no field
// for: the address that a session of data reaches, and in calls a cell of more
// than 16 bits, without which there is no place.
func asBER(t *testing.T, text []byte) []byte {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	for i, name := range rows[0] {
		at[name] = i
	}
	for _, r := range rows[1:] {
		cell, err := strconv.ParseUint(r[at["cell"]], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		switch r[at["service"]] {
		case "data":
			r[at["peer"]] = ""
		case "voice":
			if cell >= 1<<16 {
				r[at["area"]], r[at["cell"]], r[at["plmn"]] = "", "", ""
			}
		}
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	if err := w.WriteAll(rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestUsageGenerate_formats_tell_the_same: what is written as TS 32.298 is judged as
// the CSV of the same seed is, to the word, but for what the format cannot tell;
// in several files and through a pipe.
func TestUsageGenerate_formats_tell_the_same(t *testing.T) {
	t.Parallel()
	for _, seed := range []string{"1", "5"} {
		t.Run("seed "+seed, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			world := map[string]string{}
			made := func(format, out string) []string {
				return []string{"usage", "generate", "--seed", seed, "--cards", "500", "--days", "4", "--per-file", "12000", "--format", format, "--out", out}
			}
			for _, format := range []string{"csv", "ber"} {
				world[format] = filepath.Join(dir, format)
				if got := command(t, nil, made(format, world[format])...); got.status != 0 || got.out != "" {
					t.Fatalf("generate: status %d, %s", got.status, got.talk)
				}
			}
			for _, name := range []string{"book.json", "cards.csv", "places.csv", "notices.jsonl", "truth.jsonl"} {
				a, err := os.ReadFile(filepath.Join(world["csv"], name))
				b, err2 := os.ReadFile(filepath.Join(world["ber"], name))
				if err != nil || err2 != nil || len(a) == 0 || !bytes.Equal(a, b) {
					t.Errorf("%s differs by format, or is not there: %v, %v", name, err, err2)
				}
			}
			records := map[string][]string{}
			for _, format := range []string{"csv", "ber"} {
				all, err := filepath.Glob(filepath.Join(world[format], "records-*."+format))
				if err != nil || len(all) < 3 {
					t.Fatalf("records are in %q, want 3 files at least, %v", all, err)
				}
				records[format] = all
			}
			less := make([]string, len(records["csv"]))
			for i, name := range records["csv"] {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				less[i] = filepath.Join(dir, filepath.Base(name))
				if err := os.WriteFile(less[i], asBER(t, text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			whole := sayOf(t, world["csv"], nil, 1, records["csv"]...)
			want := sayOf(t, world["csv"], nil, 1, less...)
			sameJudgement(t, "TS 32.298", sayOf(t, world["ber"], nil, 0, records["ber"]...), want)
			if len(want.rules) < 8 || len(want.alerts) < 50 {
				t.Errorf("there is too little to compare: %v", want.rules)
			}
			if missed := whole.rules["sim-peer"] - want.rules["sim-peer"]; missed < 1 {
				t.Errorf("without addresses, sim-peer says as much (%d) as with them (%d)", want.rules["sim-peer"], whole.rules["sim-peer"])
			}
			// Through a pipe, all records are one stream.
			piped := func(format string) []byte {
				got := command(t, nil, made(format, "-")...)
				if got.status != 0 {
					t.Fatalf("generate --out -: status %d, %s", got.status, got.talk)
				}
				return []byte(got.out)
			}
			sameJudgement(t, "TS 32.298 through a pipe", sayOf(t, world["ber"], bytes.NewReader(piped("ber")), 0, "-"), sayOf(t, world["csv"], bytes.NewReader(asBER(t, piped("csv"))), 1, "-"))
		})
	}
}

// TestUsageGenerate_book_is_applied: cards.csv says which settings of book.json a
// card has. Judged by them, honest cards in pools of equipment are not separated
// and cameras that stream use no more than they may; without the book both are told
// (the negative control).
func TestUsageGenerate_book_is_applied(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "world")
	if got := command(t, nil, "usage", "generate", "--seed", "1", "--cards", "1000", "--days", "10", "--honest", "--out", dir); got.status != 0 {
		t.Fatalf("generate: status %d, %s", got.status, got.talk)
	}
	file := func(name string) string { return filepath.Join(dir, name) }
	with := command(t, nil, "usage", "--cards", file("cards.csv"), "--settings", file("book.json"), "--areas", file("places.csv"), file("records-000001.csv"))
	without := command(t, nil, "usage", "--cards", file("cards.csv"), "--areas", file("places.csv"), file("records-000001.csv"))
	for _, rule := range []string{"separation", "sim-volume"} {
		if n := strings.Count(with.out, rule); n != 0 {
			t.Errorf("with the book, %s speaks %d times of an honest fleet", rule, n)
		}
		if strings.Count(without.out, rule) == 0 {
			t.Errorf("without the book, %s says nothing, and this test shows nothing: %s", rule, without.talk)
		}
	}
}
