package farm

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"github.com/ringwall/ringwall/api"
)

// table reads the grades that were laid down before the code.
func table(t testing.TB) *Fleet {
	t.Helper()
	r, err := os.Open("../../assess/testdata/fleet20.json")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := ReadFleet(r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestFleet assesses the twenty twice, as a stranger each time: the grades are
// those of the table, and the second time the same byte for byte.
func TestFleet(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED, NOT TESTED: the fleet takes a while")
	}
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	f := up(t, Twenty())
	trial, err := f.Trial(table(t), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var first []api.Assessment
	for range 2 {
		began := time.Now()
		as, err := trial.Run(ctx)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("assessed in %v", time.Since(began).Round(time.Millisecond))
		for _, wrong := range trial.Judge(as) {
			t.Error(wrong)
		}
		if first == nil {
			first = as
			continue
		}
		for i := range as {
			was, err := Mark(first[i])
			if err != nil {
				t.Fatal(err)
			}
			is, err := Mark(as[i])
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(was, is) {
				t.Errorf("%s, assessed twice, differs:\n%s\n%s", as[i].Target, was, is)
			}
		}
	}
}
