// Package cli is the command line of ringwall: one file a command, each a
// constructor that takes an Env, so that tests drive it in process.
//
// Answers go to stdout, talk to stderr. A command returns an error whose code
// decides the exit status: 0 fine, 1 a finding or a failure, 2 wrong usage.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringwall/ringwall"
)

// Env is the world a command lives in.
type Env struct {
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Getenv func(string) string
	Now    func() time.Time
}

// commands lists the constructors of all commands.
var commands = []func(Env) *cobra.Command{
	newUp,
	newAgent,
	newAssess,
	newBench,
	newData,
	newLab,
	newWatch,
	newUsage,
	newPolicy,
	newMUD,
	newDevice,
	newFlow,
	newTask,
	newTunnel,
	newFleet,
	newMaker,
	newSettings,
	newGateway,
	newGroup,
	newRollout,
	newTemplate,
	newIncident,
	newResponse,
	newSIM,
	newWarning,
	newUser,
	newParty,
	newToken,
}

// errFound ends a command that worked and found something: status 1, and
// nothing more is said.
var errFound = errors.New("something was found")

// usageError marks an error of usage: status 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// usagef returns a usage error.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// New returns the root command.
func New(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:           "ringwall",
		Short:         "Grade, strengthen and watch cameras, other IoT devices and their SIM cards",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	for _, c := range commands {
		root.AddCommand(c(env))
	}
	return root
}

// Main runs the command line and returns the exit status.
func Main(ctx context.Context, env Env, args []string) int {
	root := New(env)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	}
	if e, ok := errors.AsType[agentError](err); ok {
		return int(e)
	}
	fmt.Fprintf(env.Stderr, "ringwall: %v\n", err)
	if e, ok := errors.AsType[*ringwall.Error](err); ok && e.Hint != "" {
		fmt.Fprintf(env.Stderr, "ringwall: hint: %s\n", e.Hint)
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// exactArgs is cobra.ExactArgs with a usage error.
func exactArgs(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usagef("%s takes %d arguments, got %d; see %q", c.CommandPath(), n, len(args), c.CommandPath()+" --help")
		}
		return nil
	}
}
