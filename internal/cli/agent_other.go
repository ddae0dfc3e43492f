//go:build !linux

package cli

import (
	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
)

// newAgent says that the gateway needs Linux: its fence is Linux's.
func newAgent(Env) *cobra.Command {
	return &cobra.Command{
		Use:                "agent",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error {
			return ringwall.Errorf(ringwall.Unavailable, "the gateway needs Linux")
		},
	}
}
