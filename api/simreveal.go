package api

import (
	"log/slog"
	"time"

	"github.com/ringwall/ringwall"
)

// SIMReveal asks for the numbers of a card in clear.
type SIMReveal struct {
	// Reason is written into the audit log and onto the card's way, with who asked.
	// It names a case, no number.
	Reason string `json:"reason" minLength:"5" maxLength:"200" doc:"why they are needed; written down with who asked"`
}

// SIMNumbers are the numbers of a card in clear. They are answered once to each
// request that is written down, and kept nowhere on the way: as text, in a log
// and in an error they are masked.
type SIMNumbers struct {
	SIM       ringwall.SIMID `json:"sim"`
	ICCID     string         `json:"iccid"`
	IMSI      string         `json:"imsi"`
	BoundIMEI string         `json:"boundImei,omitempty"`
	SeenIMEI  string         `json:"seenImei,omitempty"`
	At        time.Time      `json:"at"`
}

func (n SIMNumbers) masked() string { return "numbers of " + string(n.SIM) }

// String implements fmt.Stringer, and names no number.
func (n SIMNumbers) String() string { return n.masked() }

// GoString implements fmt.GoStringer, and names no number.
func (n SIMNumbers) GoString() string { return n.masked() }

// LogValue implements slog.LogValuer, and names no number.
func (n SIMNumbers) LogValue() slog.Value { return slog.StringValue(n.masked()) }
