package api

import "time"

// SIMProfile is one version of what a SIM is for, and what became of it at its
// operator.
type SIMProfile struct {
	Version int             `json:"version"`
	Profile FunctionProfile `json:"profile"`
	// None says that the SIM has no profile since this version: it was taken back.
	None bool         `json:"none,omitempty"`
	Plan FunctionPlan `json:"plan"`
	Made time.Time    `json:"made"`
	By   string       `json:"by"`
	// State is what became of it at the operator: "asked", "done", "failed" (Error says
	// why; it is asked again), "local" (no operator is configured, or it cannot do
	// that: gateway and usage rules alone follow it).
	State string    `json:"state"`
	Error string    `json:"error,omitempty"`
	Done  time.Time `json:"done,omitzero"`
}
