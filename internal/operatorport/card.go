package operatorport

import (
	"time"

	"github.com/ringwall/ringwall"
)

// State of a card at its operator.
type State string

const (
	Active    State = "active"
	Suspended State = "suspended"
	Pending   State = "pending" // asked for, not in force yet
)

// Card names a SIM to its operator: one number suffices.
type Card struct {
	ICCID ringwall.ICCID
	IMSI  ringwall.IMSI
}

// Validate returns an Invalid error when no operator could know such a card.
func (c Card) Validate() error {
	switch {
	case c.ICCID == "" && c.IMSI == "":
		return ringwall.Errorf(ringwall.Invalid, "a card needs an ICCID or an IMSI")
	case c.ICCID != "" && !digits(c.ICCID.Reveal(), 18, 20):
		return ringwall.Errorf(ringwall.Invalid, "ICCID %s is not 18 to 20 digits", c.ICCID)
	case c.IMSI != "" && !digits(c.IMSI.Reveal(), 6, 15):
		return ringwall.Errorf(ringwall.Invalid, "IMSI %s is not 6 to 15 digits", c.IMSI)
	}
	return nil
}

func digits(s string, least, most int) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// Status is what an operator says of a card.
type Status struct {
	Card  Card
	State State
	Since time.Time
}

// request and answer are the wire form. Plain strings: the redacting types
// would mask themselves.
type request struct {
	ICCID  string `json:"iccid,omitempty"`
	IMSI   string `json:"imsi,omitempty"`
	Reason string `json:"reason,omitempty"`
}

type answer struct {
	ICCID string    `json:"iccid,omitempty"`
	IMSI  string    `json:"imsi,omitempty"`
	State State     `json:"state"`
	Since time.Time `json:"since,omitzero"`
}

// problem is RFC 9457 section 3.
type problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title,omitempty"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
}

const (
	pathSuspend = "/v1/sim/suspend"
	pathRestore = "/v1/sim/restore"
	pathState   = "/v1/sim/state"

	maxBody   = 64 << 10
	maxReason = 500
	maxKey    = 128
)
