package powercut_test

import (
	"bufio"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/ringwall/ringwall/internal/powercut"
	"github.com/ringwall/ringwall/internal/powercut/powercuttest"
)

// TestFS_SQLite runs a real database on the file system, in a process of its
// own, and cuts its power: with synchronous=FULL nothing that it has
// acknowledged is lost, with OFF it is. The second half shows that the first
// proves something.
func TestFS_SQLite(t *testing.T) {
	for _, c := range []struct {
		synchronous string
		loses       bool
	}{{"FULL", false}, {"OFF", true}} {
		lost := 0
		for seed := range uint64(8) {
			f, dir := powercuttest.New(t, powercut.Config{NamesWithFiles: true})
			cmd := exec.Command(os.Args[0], "-test.run=^TestChild_SQLite$", "-test.v")
			cmd.Env = append(os.Environ(), "POWERCUT_SQLITE="+dir, "POWERCUT_SYNC="+c.synchronous)
			out, err := cmd.StdoutPipe()
			must(t, err)
			must(t, cmd.Start())
			acked := 0
			lines := bufio.NewScanner(out)
			for acked < 20+int(seed)*3 && lines.Scan() {
				if n, ok := strings.CutPrefix(lines.Text(), "committed "); ok {
					acked, err = strconv.Atoi(n)
					must(t, err)
				}
			}
			survival := powercut.Strict()
			if seed%2 == 1 {
				survival = powercut.Torn(seed)
			}
			must(t, f.Cut(survival))
			cmd.Process.Kill()
			cmd.Wait()
			if acked < 20 {
				t.Fatalf("the child has committed only %d rows", acked)
			}
			if rows(t, dir) < acked {
				lost++
			}
		}
		if (lost > 0) != c.loses {
			t.Errorf("synchronous=%s: %d of 8 power cuts lost acknowledged rows", c.synchronous, lost)
		}
	}
}

// rows counts the rows that a database holds, from a copy: see the package
// doc for why not in place. A database that is not even readable has none.
func rows(t *testing.T, dir string) (n int) {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	db, err := sql.Open("sqlite", filepath.Join(to, "x.db"))
	must(t, err)
	defer db.Close()
	if db.QueryRow("select count(*) from t").Scan(&n) != nil {
		return 0
	}
	return n
}

func TestChild_SQLite(t *testing.T) {
	dir := os.Getenv("POWERCUT_SQLITE")
	if dir == "" {
		t.Skip("this is the child of TestFS_SQLite")
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "x.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous("+os.Getenv("POWERCUT_SYNC")+")")
	must(t, err)
	db.SetMaxOpenConns(1)
	_, err = db.Exec("create table t (id integer primary key, pad blob)")
	must(t, err)
	deadline := time.Now().Add(20 * time.Second)
	for i := 1; time.Now().Before(deadline); i++ {
		if _, err := db.Exec("insert into t values (?, zeroblob(3000))", i); err != nil {
			return // the power is off
		}
		fmt.Printf("committed %d\n", i)
	}
}
