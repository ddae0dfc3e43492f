package cli_test

import (
	"os"
	"testing"

	"github.com/ringwall/ringwall/internal/lab"
)

func TestMain(m *testing.M) {
	lab.MaybeActor() // the range starts this program again
	os.Exit(m.Run())
}
