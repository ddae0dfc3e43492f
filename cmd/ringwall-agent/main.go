// Command ringwall-agent is the gateway: it enforces, watches and reports in
// front of devices. See package agent.
//
// Without build tags it is the core; "-tags full" adds the parts of package
// internal/agent/full.
package main

import (
	"context"
	"os"

	"github.com/ringwall/ringwall/internal/agent"
)

func main() {
	os.Exit(agent.MainAs(context.Background(), parts(), nil, os.Args[1:], os.Stdout, os.Stderr))
}
