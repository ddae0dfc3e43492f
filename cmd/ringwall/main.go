// Command ringwall is the platform, its command line, and the analyses that
// work with no server at all.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ringwall/ringwall/internal/cli"
	"github.com/ringwall/ringwall/internal/lab"
)

func main() {
	lab.MaybeActor()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	env := cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Now: time.Now}
	os.Exit(cli.Main(ctx, env, os.Args[1:]))
}
