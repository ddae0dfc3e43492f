package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// sqlite runs the shell of SQLite: everything in one process.
func sqlite(ctx context.Context, dir, out string) (s cost, err error) {
	shell, err := exec.LookPath("sqlite3")
	if err != nil {
		return s, fmt.Errorf("sqlite3: %w", errMissing)
	}
	tmp, err := os.MkdirTemp(dir, "sqlite-*")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(tmp)
	db := filepath.Join(tmp, "db")
	var load, ask strings.Builder
	load.WriteString("pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-1000000; pragma temp_store=memory;\n.mode csv\n")
	for name, columns := range schema {
		fmt.Fprintf(&load, "create table %s (%s);\n.import '%s' %s\n", name, columns, filepath.Join(dir, name+".csv"), name)
	}
	// The shell imports what is empty as a text of no letters.
	load.WriteString("update cards set bound=nullif(bound,''), suspended=nullif(suspended,'');\n")
	fmt.Fprintf(&load, "create table r (%s);\n.import --skip 1 '%s' r\n", recordColumns, filepath.Join(dir, "records.csv"))
	load.WriteString("create index ic on cards(imsi); create index ip on places(plmn,cell); create index it on tariffs(tariff); create index ie on peers(tariff,peer); create index ia on areas(tariff,area);\n")
	ask.WriteString("pragma journal_mode=off; pragma synchronous=off; pragma cache_size=-1000000; pragma temp_store=memory;\n")
	d := plainDialect
	d.least = "min"
	for _, q := range d.script("table", "strftime('%Y-%m',t,'unixepoch')") {
		ask.WriteString(q + ";\n")
	}
	fmt.Fprintf(&ask, ".mode csv\n.output '%s'\nselect distinct imsi, rule, day from answers;\n", out)
	run := func(script string) (float64, error) {
		cmd := exec.CommandContext(ctx, shell, "-batch", "-bail", db)
		cmd.Stdin = strings.NewReader(script)
		var talk bytes.Buffer
		cmd.Stdout, cmd.Stderr = &talk, &talk
		if err := cmd.Run(); err != nil {
			return 0, fmt.Errorf("%w: %.500s", err, talk.String())
		}
		t, peak := used(cmd.ProcessState)
		s.Peak = max(s.Peak, peak)
		return t, nil
	}
	if b, err := exec.CommandContext(ctx, shell, "--version").Output(); err == nil {
		s.Version, _, _ = strings.Cut(string(b), " ")
	}
	if s.Load, err = run(load.String()); err != nil {
		return s, err
	}
	s.Rules, err = run(ask.String())
	return s, err
}

// program finds a program of a server where Debian keeps it.
func program(names ...string) (string, error) {
	for _, n := range names {
		if strings.Contains(n, "*") {
			if found, _ := filepath.Glob(n); len(found) > 0 {
				return found[len(found)-1], nil
			}
			continue
		}
		if p, err := exec.LookPath(n); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s: %w", names[0], errMissing)
}

// postgres starts a server of its own, loads and asks, and stops it: its time is
// that of the server with all its backends, and of the client.
func postgres(ctx context.Context, dir, out string) (s cost, err error) {
	bin, err := program("/usr/lib/postgresql/*/bin/postgres", "postgres")
	if err != nil {
		return s, err
	}
	psql, err := program("psql")
	if err != nil {
		return s, err
	}
	initdb, err := program("/usr/lib/postgresql/*/bin/initdb", "initdb")
	if err != nil {
		return s, err
	}
	tmp, err := os.MkdirTemp("", "usage-postgres-*")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(tmp)
	data := filepath.Join(tmp, "data")
	if err := os.Chmod(tmp, 0o755); err != nil {
		return s, err
	}
	run := func(name string, args ...string) (float64, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		if err := unprivileged(cmd, tmp); err != nil {
			return 0, err
		}
		b, err := cmd.CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%s: %w: %.600s", filepath.Base(name), err, b)
		}
		t, _ := used(cmd.ProcessState)
		return t, nil
	}
	if _, err := run(initdb, "-D", data, "-A", "trust", "-U", "bench", "--no-sync"); err != nil {
		return s, err
	}
	client := func(script string) (float64, error) {
		file := filepath.Join(tmp, "script.sql")
		if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
			return 0, err
		}
		return run(psql, "-h", tmp, "-U", "bench", "-d", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-X", "-f", file)
	}
	cmd := exec.Command(bin, "-D", data, "-k", tmp, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "full_page_writes=off", "-c", "wal_level=minimal", "-c", "max_wal_senders=0",
		"-c", "shared_buffers=512MB", "-c", "work_mem=256MB", "-c", "maintenance_work_mem=256MB", "-c", "max_parallel_workers_per_gather=0", "-c", "jit=off", "-c", "autovacuum=off", "-c", "max_wal_size=8GB")
	server, err := startServer(cmd, tmp, syscall.SIGINT, func() error {
		_, err := client("select 1;")
		return err
	})
	if err != nil {
		return s, err
	}
	defer server.stop() // when something fails
	start, err := server.spent()
	if err != nil {
		return s, err
	}
	var load, ask strings.Builder
	for name, columns := range schema {
		fmt.Fprintf(&load, "create unlogged table %s (%s);\n\\copy %s from '%s' csv\n", name, columns, name, filepath.Join(dir, name+".csv"))
	}
	fmt.Fprintf(&load, "create unlogged table r (%s);\n\\copy r from '%s' csv header\nanalyze;\n", recordColumns, filepath.Join(dir, "records.csv"))
	for _, q := range plainDialect.script("unlogged table", monthSQL("to_timestamp(t)")) {
		ask.WriteString(q + ";\n")
		if strings.HasPrefix(q, "create") {
			ask.WriteString("analyze;\n")
		}
	}
	result := filepath.Join(tmp, "answers.csv")
	fmt.Fprintf(&ask, "\\copy (select distinct imsi, rule, day from answers) to '%s' csv\n", result)
	talk, err := client(load.String())
	if err != nil {
		return s, err
	}
	loaded, err := server.spent()
	if err != nil {
		return s, err
	}
	s.Load = loaded - start + talk
	if talk, err = client(ask.String()); err != nil {
		return s, err
	}
	done, err := server.spent()
	if err != nil {
		return s, err
	}
	s.Rules = done - loaded + talk
	if b, err := exec.Command(bin, "--version").Output(); err == nil {
		if f := strings.Fields(string(b)); len(f) > 2 {
			s.Version = f[2]
		}
	}
	if err := server.stop(); err != nil {
		return s, err
	}
	s.Peak = server.peak()
	b, err := os.ReadFile(result)
	if err != nil {
		return s, err
	}
	return s, os.WriteFile(out, b, 0o644)
}

// treeTime is the processor time of a process, of its children that are there and
// of those that it waited for.
func treeTime(pid int) (float64, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	type process struct {
		parent int
		ticks  float64
	}
	all := map[int]process{}
	for _, e := range entries {
		n, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue // it is gone
		}
		// The name of the program stands in brackets and may hold anything (proc(5)).
		f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		if len(f) < 15 {
			continue
		}
		var p process
		p.parent, _ = strconv.Atoi(f[1])
		for _, v := range f[11:15] {
			t, _ := strconv.ParseFloat(v, 64)
			p.ticks += t
		}
		all[n] = p
	}
	if _, ok := all[pid]; !ok {
		return 0, fmt.Errorf("process %d is not there", pid)
	}
	total := 0.0
	for n, p := range all {
		for at := n; at != 0; at = all[at].parent {
			if at == pid {
				total += p.ticks
				break
			}
		}
	}
	return total / 100, nil // USER_HZ is 100 on all that Go runs on
}
