package api

import "github.com/ringwall/ringwall"

// Problem is how the HTTP API tells of a failure (RFC 9457,
// application/problem+json). Code, Hint and Fields are extensions.
type Problem struct {
	Type     string         `json:"type"` // "about:blank": Title says all there is
	Title    string         `json:"title"`
	Status   int            `json:"status"`
	Detail   string         `json:"detail"`
	Instance string         `json:"instance,omitempty"` // the request's id, as in the log
	Code     ringwall.Code  `json:"code"`
	Hint     string         `json:"hint,omitempty"`
	Fields   []ProblemField `json:"fields,omitempty"` // what of the input is wrong
}

// ProblemField names one wrong place of the input, never its value.
type ProblemField struct {
	At      string `json:"at"` // such as "body.parts[0]" or "query.limit"
	Message string `json:"message"`
}

// Login opens a session: POST /v1/session.
type Login struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// Me is who asks: GET /v1/me.
type Me struct {
	Kind  string          `json:"kind"` // "user", "token"
	ID    string          `json:"id"`
	Org   ringwall.OrgID  `json:"org"`
	Parts []ringwall.Part `json:"parts"`
}

// AssessmentStarted answers a request to assess a device.
type AssessmentStarted struct {
	ID ringwall.AssessID `json:"id"`
}

// AttackStart starts an attack of the demo.
type AttackStart struct {
	Attack string `json:"attack"`
	On     string `json:"on,omitempty"` // an actor of the range; "" = the attack's usual victim
}
