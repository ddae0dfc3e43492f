package rules

import "github.com/ringwall/ringwall/cdr"

type event = cdr.Event

const (
	terminated = cdr.Terminated
	originated = cdr.Originated
)
