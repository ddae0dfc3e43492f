package lab

import (
	"os"

	"github.com/ringwall/ringwall/internal/lab/actor"
)

// MaybeActor plays an actor and ends the program, when the range started the
// program for that; otherwise it does nothing. Programs and TestMains that use
// the range call it first thing.
func MaybeActor() {
	if os.Getenv(actor.EnvName) != "" {
		os.Exit(actor.Main())
	}
}
