//go:build !linux

package cli

import (
	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
)

func newBench(Env) *cobra.Command {
	return &cobra.Command{
		Use:   "bench",
		Short: "Measure what docs/benchmarks.md publishes (Linux only)",
		RunE: func(*cobra.Command, []string) error {
			return ringwall.Errorf(ringwall.Unavailable, "the range needs Linux")
		},
	}
}
