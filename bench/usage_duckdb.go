package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "github.com/duckdb/duckdb-go/v2" // the peer, inside a process of its own
)

// contenders are the databases, the quickest first.
func contenders() []contender {
	return []contender{
		{"DuckDB", func(ctx context.Context, dir, out string) (cost, error) { return self(ctx, "usage-duckdb", dir, out) }},
		{"PostgreSQL", postgres},
		{"ClickHouse", clickhouse},
		{"SQLite", sqlite},
	}
}

// duck runs DuckDB in this process, on one thread: what more threads save is not
// processor time.
func duck(dir, out string) error {
	db, err := sql.Open("duckdb", "")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	d := plainDialect
	d.div = func(a, b string) string { return "((" + a + ")//(" + b + "))" }
	load := []string{"set threads=1", "set memory_limit='4GB'", "set preserve_insertion_order=false"}
	for name, columns := range schema {
		load = append(load, "create table "+name+" ("+columns+")")
		if info, err := os.Stat(filepath.Join(dir, name+".csv")); err != nil {
			return err
		} else if info.Size() == 0 {
			continue // which its reader refuses
		}
		load = append(load, fmt.Sprintf("copy %s from '%s' (format csv, header false)", name, filepath.Join(dir, name+".csv")))
	}
	load = append(load, "create table r ("+recordColumns+")", fmt.Sprintf("copy r from '%s' (format csv, header true, delim ',', auto_detect false)", filepath.Join(dir, "records.csv")))
	run := func(list []string) error {
		for _, q := range list {
			if _, err := db.Exec(q); err != nil {
				return fmt.Errorf("%.120s: %w", strings.ReplaceAll(q, "\n", " "), err)
			}
		}
		return nil
	}
	if err := run(load); err != nil {
		return err
	}
	loaded := cpu()
	if err := run(append(d.script("table", monthSQL("make_timestamp(t*1000000)")), fmt.Sprintf("copy (select distinct imsi, rule, day from answers) to '%s' (format csv, header false)", out))); err != nil {
		return err
	}
	var version string
	if err := db.QueryRow("select version()").Scan(&version); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(cost{Load: loaded, Version: version})
}

// monthSQL is the month of a time.
func monthSQL(at string) string { return "date_trunc('month', " + at + ")" }
