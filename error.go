package ringwall

import (
	"errors"
	"fmt"
	"strings"
)

// Code says what kind of failure an error is. The list is append-only.
type Code string

const (
	Invalid     Code = "invalid"     // the input is wrong; sending it again will not help
	NotFound    Code = "not-found"   // no such thing, or not yours to see
	Conflict    Code = "conflict"    // the state has moved on
	Forbidden   Code = "forbidden"   // known, and not allowed
	Unverified  Code = "unverified"  // a signature, chain, hash or proof does not hold
	Unavailable Code = "unavailable" // could not be tried or checked now; try again
	Internal    Code = "internal"    // our fault
)

// Error is an error with a code for machines and a text that is safe to show
// to people. Err is for the log only.
type Error struct {
	Code Code
	Text string // one lower-case phrase, no secrets
	Hint string // what to do about it; may be empty
	Err  error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *Error with this code; a %w operand becomes its Err and
// does not appear in Text.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Code: code, Text: err.Error(), Err: errors.Unwrap(err)}
	if e.Err != nil {
		e.Text = strings.TrimSuffix(e.Text, ": "+e.Err.Error())
		if cause := e.Err.Error(); cause != "" {
			// An operand in the middle of the sentence is taken out there.
			e.Text = strings.ReplaceAll(e.Text, cause, "...")
		}
	}
	return e
}

// CodeOf returns the code of the first *Error in err's chain, Internal for any
// other error and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
