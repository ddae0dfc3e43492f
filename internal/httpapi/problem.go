package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/ringwall/ringwall"
	"github.com/ringwall/ringwall/api"
)

// problem is an api.Problem that huma writes as it is.
type problem struct {
	api.Problem
}

func (p *problem) Error() string             { return p.Detail }
func (p *problem) GetStatus() int            { return p.Status }
func (p *problem) ContentType(string) string { return "application/problem+json" }

// StatusOf returns the HTTP status that belongs to a code.
func StatusOf(c ringwall.Code) int {
	switch c {
	case ringwall.Invalid:
		return http.StatusUnprocessableEntity
	case ringwall.NotFound:
		return http.StatusNotFound
	case ringwall.Conflict:
		return http.StatusConflict
	case ringwall.Forbidden:
		return http.StatusForbidden
	case ringwall.Unverified:
		return http.StatusUnauthorized
	case ringwall.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// codeOf returns the code that belongs to a status which huma or net/http chose.
func codeOf(status int) ringwall.Code {
	switch {
	case status == http.StatusNotFound:
		return ringwall.NotFound
	case status == http.StatusConflict, status == http.StatusPreconditionFailed, status == http.StatusPreconditionRequired:
		return ringwall.Conflict
	case status == http.StatusUnauthorized:
		return ringwall.Unverified
	case status == http.StatusForbidden:
		return ringwall.Forbidden
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests, status == http.StatusRequestTimeout:
		return ringwall.Unavailable
	case status >= 400 && status < 500:
		return ringwall.Invalid
	}
	return ringwall.Internal
}

// Describe turns any error into what a caller may know of it: the status, and
// an *ringwall.Error without its inner cause. Errors without a code are our
// own fault and tell nothing.
func Describe(err error) (status int, e *ringwall.Error) {
	if e, ok := errors.AsType[*ringwall.Error](err); ok && e.Code != ringwall.Internal {
		return StatusOf(e.Code), &ringwall.Error{Code: e.Code, Text: e.Text, Hint: e.Hint}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return http.StatusServiceUnavailable, &ringwall.Error{Code: ringwall.Unavailable, Text: "this took too long and was given up", Hint: "try again"}
	}
	return http.StatusInternalServerError, &ringwall.Error{Code: ringwall.Internal, Text: "something went wrong on our side", Hint: "the log has more under this request's id"}
}

// problemOf is the one border where errors become problems. The inner cause
// goes to the request event, never to the caller.
func problemOf(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p // is one already
	}
	ev := eventOf(ctx)
	status, e := Describe(err)
	ev.code, ev.cause = e.Code, err
	return newProblem(ev.id, status, e)
}

func newProblem(requestID string, status int, e *ringwall.Error) *problem {
	return &problem{api.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Detail: e.Text, Instance: requestID, Code: e.Code, Hint: e.Hint,
	}}
}

// houseProblem is the transformer that turns huma's own error model (wrong
// input, unknown content type) into ours. It leaves out the offending values
// that huma would echo: one of them may be a password.
func houseProblem(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	ev := eventOf(ctx.Context())
	ev.code = codeOf(m.Status)
	p := newProblem(ev.id, m.Status, &ringwall.Error{Code: ev.code, Text: m.Detail})
	for _, e := range m.Errors {
		if e != nil {
			p.Fields = append(p.Fields, api.ProblemField{At: e.Location, Message: e.Message})
		}
	}
	return p.Problem, nil
}
