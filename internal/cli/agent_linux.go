package cli

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall/internal/agent"
	"github.com/ringwall/ringwall/internal/agent/full"
)

// newAgent is the gateway inside this program: the range runs itself again as
// its gateway, so that it needs no second program.
func newAgent(env Env) *cobra.Command {
	return &cobra.Command{
		Use:                "agent",
		Short:              "Run as the range's gateway; gateways run ringwall-agent",
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			if status := agent.MainAs(c.Context(), full.Parts(), []string{self, "agent"}, args, env.Stdout, env.Stderr); status != 0 {
				return agentError(status)
			}
			return nil
		},
	}
}
