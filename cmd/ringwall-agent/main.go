// Command ringwall-agent is the gateway: it enforces, watches and reports in
// front of devices. See package agent.
package main

import (
	"context"
	"os"

	"github.com/ringwall/ringwall/internal/agent"
)

func main() {
	os.Exit(agent.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
