package cli_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ringwall/ringwall/internal/cli"
	"github.com/ringwall/ringwall/internal/lab"
)

func TestMain(m *testing.M) {
	lab.MaybeActor() // the range starts this program again
	testscript.Main(m, map[string]func(){
		"ringwall": func() { // so that scripts can say "exec ringwall"
			env := cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now}
			os.Exit(cli.Main(context.Background(), env, os.Args[1:]))
		},
	})
}
